//! Slow peers of a real node are let go, those that somebody wants are not.

use std::fs;
use std::time::Duration;

use gopool::node::cookie::{Auth, CookieFile};
use gopool::node::peers::{self, PeerCleaning};
use gopool::node::rpc::Rpc;
use serde_json::{Value, json};

use crate::node::{Chain, Node, text};
use crate::poll::until_true;
use crate::pool::Pool;
use crate::settings::Settings;

const CONNECT_LIMIT: Duration = Duration::from_secs(30);
/// A peer has two minutes to settle, and the peers are looked at twice a minute.
const CLEANING_LIMIT: Duration = Duration::from_secs(240);
const LOG_LIMIT: Duration = Duration::from_secs(10);
/// No pong over any wire comes back within a microsecond: whoever counts is slow.
const PING_MAX_MS: f64 = 0.001;

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

/// Has `pool` keep at least so many peers, as an operator does.
#[track_caller]
fn keep_at_least(pool: &Pool, settings: &Settings, peers_min: usize) {
    settings.write(pool.folder());
    let path = pool.folder().join("config/tuning.toml");
    let section = format!(
        "\n[peer_cleaning]\nenabled = true\nmax_ping_ms = {PING_MAX_MS}\nmin_peers = {peers_min}\n"
    );
    let tuning = fs::read_to_string(&path).expect("tuning.toml") + &section;
    fs::write(&path, tuning).expect("write tuning.toml");
    let length = pool.log_length();
    pool.signal(libc::SIGUSR2);
    pool.await_log_after(length, "configuration reloaded", &[]);
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
    let settings = Settings::of(&hub);
    let pool = Pool::start(settings.clone());
    keep_at_least(&pool, &settings, 2);

    // What is slow and what must stay, asked of the node directly.
    let rpc = Rpc::new(&hub.rpc_url(), Auth::Cookie(CookieFile::at(&hub.cookie_path())));
    let ping_max = Some(Duration::from_secs_f64(PING_MAX_MS / 1000.0));
    let cleaning = PeerCleaning { is_enabled: true, ping_max, peers_min: 1 };
    assert_eq!(peers::clean(&rpc, cleaning), 0, "all of them are new");
    assert_eq!(counts(&hub), (3, 1));

    until_true("two inbound peers are left", CLEANING_LIMIT, || counts(&hub).0 <= 2);
    pool.await_log("peers cleaned", &["disconnected=1", "left=2", "peers_min=2"], LOG_LIMIT);
    assert_eq!(counts(&hub), (2, 1));

    // By now all are old enough: nobody goes who is not above the minimum, or while it is off.
    assert_eq!(peers::clean(&rpc, PeerCleaning { peers_min: 2, ..cleaning }), 0);
    assert_eq!(peers::clean(&rpc, PeerCleaning { is_enabled: false, ..cleaning }), 0);
    assert_eq!(peers::clean(&rpc, PeerCleaning { ping_max: None, ..cleaning }), 0);
    assert_eq!(counts(&hub), (2, 1));

    // A running pool takes another minimum.
    keep_at_least(&pool, &settings, 1);
    until_true("one inbound peer is left", CLEANING_LIMIT, || counts(&hub).0 <= 1);
    pool.await_log("peers cleaned", &["disconnected=1", "left=1", "peers_min=1"], LOG_LIMIT);
    assert_eq!(counts(&hub), (1, 1));

    // Whoever counts would go, and the one that was asked for still does not.
    assert_eq!(peers::clean(&rpc, PeerCleaning { peers_min: 0, ..cleaning }), 1);
    until_true("no inbound peer is left", CONNECT_LIMIT, || counts(&hub).0 == 0);
    assert_eq!(counts(&hub), (0, 1));
}
