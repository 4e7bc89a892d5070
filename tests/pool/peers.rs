//! Slow peers of a real node are let go, those that somebody wants are not.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use gopool::node::cookie::{Auth, CookieFile};
use gopool::node::peers::{self, PeerCleaning};
use gopool::node::rpc::Rpc;
use serde_json::{Value, json};

use crate::node::{Chain, Node, text};
use crate::poll::until_true;

const CONNECT_LIMIT: Duration = Duration::from_secs(30);
/// A peer has two minutes to settle, and the peers are looked at twice a minute.
const CLEANING_LIMIT: Duration = Duration::from_secs(240);
/// No pong over any wire comes back within a microsecond: whoever counts is slow.
const PING_MAX: Duration = Duration::from_micros(1);

fn rpc_of(node: &Node) -> Rpc {
    Rpc::new(&node.rpc_url(), Auth::Cookie(CookieFile::at(&node.cookie_path())))
}

/// How many peers of each type of connection `node` has.
fn counts(node: &Node) -> (usize, usize) {
    let peers = node.rpc("getpeerinfo", &json!([]));
    let of = |kind: &str| {
        let peers = peers.as_array().expect("a list of peers");
        peers.iter().filter(|peer| text(&peer["connection_type"]) == kind).count()
    };
    (of("inbound"), of("manual"))
}

fn all_have_answered(node: &Node) -> bool {
    let peers = node.rpc("getpeerinfo", &json!([]));
    let peers: &Vec<Value> = peers.as_array().expect("a list of peers");
    peers.iter().all(|peer| peer["minping"].as_f64().is_some_and(|ping| ping > 0.0))
}

/// Slow: it waits until the peers have had the time that a new peer is given.
#[test]
fn slow_peers_are_disconnected_down_to_the_minimum_and_wanted_ones_are_kept() {
    let hub = Node::reachable(Chain::Regtest);
    let wanted = Node::reachable(Chain::Regtest);
    let others = [(); 3].map(|()| Node::new(Chain::Regtest));
    hub.rpc("addnode", &json!([wanted.p2p_address(), "add"]));
    for other in &others {
        other.rpc("addnode", &json!([hub.p2p_address(), "onetry"]));
    }
    until_true("four peers have answered a ping", CONNECT_LIMIT, || {
        counts(&hub) == (3, 1) && all_have_answered(&hub)
    });

    let rpc = Arc::new(rpc_of(&hub));
    let cleaning = PeerCleaning { is_enabled: true, ping_max: Some(PING_MAX), peers_min: 1 };
    assert_eq!(peers::clean(&rpc, cleaning), 0, "all of them are new");
    assert_eq!(counts(&hub), (3, 1));

    let settings = Arc::new(ArcSwap::from_pointee(cleaning));
    peers::spawn(Arc::clone(&rpc), Arc::clone(&settings)).expect("a thread");
    until_true("one inbound peer is left", CLEANING_LIMIT, || counts(&hub).0 <= 1);
    assert_eq!(counts(&hub), (1, 1));

    // At the minimum nobody goes, and what is switched off does nothing.
    assert_eq!(peers::clean(&rpc, cleaning), 0);
    let nobody_need_stay = PeerCleaning { peers_min: 0, ..cleaning };
    assert_eq!(peers::clean(&rpc, PeerCleaning { is_enabled: false, ..nobody_need_stay }), 0);
    assert_eq!(peers::clean(&rpc, PeerCleaning { ping_max: None, ..nobody_need_stay }), 0);
    assert_eq!(counts(&hub), (1, 1));

    // Settings are read anew each time.
    settings.store(Arc::new(nobody_need_stay));
    until_true("no inbound peer is left", CLEANING_LIMIT, || counts(&hub).0 == 0);
    assert_eq!(counts(&hub), (0, 1));
}
