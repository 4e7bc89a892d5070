//! Slow peers of the node are let go, so that faster ones take their places (`mining.md` §10).
//!
//! A thread and a timer of its own: nobody has to look at a page for it to happen, and no page
//! waits for it. What is slow and how many must stay can change while it runs.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::Deserialize;
use serde_json::json;
use tracing::{debug, info, warn};

use super::exchange::NodeError;
use super::rpc::Rpc;

/// How often the node's peers are looked at.
const INTERVAL: Duration = Duration::from_secs(30);
/// One call.
const CALL_MAX: Duration = Duration::from_secs(5);
/// A younger peer may be slow only because it is catching up with what the node has.
const AGE_MIN: Duration = Duration::from_secs(120);
/// `RPC_CLIENT_NODE_NOT_CONNECTED` of Core's `src/rpc/protocol.h`: the peer has gone by itself.
const CODE_NOT_CONNECTED: i64 = -29;

/// Which peers the node is asked to let go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PeerCleaning {
    pub is_enabled: bool,
    /// None for no limit: then nobody is slow.
    pub ping_max: Option<Duration>,
    pub peers_min: usize,
}

/// What `getpeerinfo` says of one peer; older nodes leave some of it out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Peer {
    addr: String,
    /// Seconds. Missing until the first pong.
    pingtime: Option<f64>,
    /// The best so far, in seconds: one late pong does not make a peer slow.
    minping: Option<f64>,
    /// Unix seconds by the node's clock, as are the two below.
    conntime: i64,
    lastsend: i64,
    lastrecv: i64,
    connection_type: String,
    /// Core before 0.21 has this instead of a connection type.
    addnode: bool,
    permissions: Vec<String>,
}

impl Peer {
    fn ping_seconds(&self) -> f64 {
        self.minping.or(self.pingtime).unwrap_or(0.0)
    }

    /// Somebody wants this very peer: it neither goes nor counts.
    fn is_kept(&self) -> bool {
        self.addnode
            || self.connection_type == "manual"
            || self.permissions.iter().any(|permission| permission == "noban")
    }

    fn has_settled(&self, now: i64) -> bool {
        now.saturating_sub(self.conntime) >= AGE_MIN.as_secs() as i64
    }
}

/// Looks at the node's peers for as long as the process lives. `settings` are read anew each time.
pub fn spawn(rpc: Arc<Rpc>, settings: Arc<ArcSwap<PeerCleaning>>) -> io::Result<()> {
    thread::Builder::new().name("peers".into()).spawn(move || {
        loop {
            thread::sleep(INTERVAL);
            clean(&rpc, **settings.load());
        }
    })?;
    Ok(())
}

/// Looks once. Returns how many peers the node has let go.
///
/// A node that does not answer is no trouble of this file's: the feed sees it too and says so.
pub fn clean(rpc: &Rpc, settings: PeerCleaning) -> usize {
    if !settings.is_enabled || settings.ping_max.is_none() {
        return 0;
    }
    let peers: Vec<Peer> = match rpc.call_once("getpeerinfo", &json!([]), CALL_MAX) {
        Ok(peers) => peers,
        Err(error) => {
            debug!(component = "peers", %error, "the node's peers are not known");
            return 0;
        }
    };
    let Choice { candidates, count, surplus } = choose(&peers, settings);
    let mut gone = 0;
    for peer in candidates {
        if gone == surplus {
            break;
        }
        let ping_ms = format!("{:.1}", peer.ping_seconds() * 1000.0);
        match disconnect(rpc, &peer.addr) {
            Ok(()) => {
                gone += 1;
                info!(component = "peers", remote = peer.addr, ping_ms, "slow peer disconnected");
            }
            Err(error) => {
                warn!(component = "peers", remote = peer.addr, %error, "slow peer not disconnected");
                // The node has gone: the others would each take as long to fail.
                if error.is_retryable() {
                    break;
                }
            }
        }
    }
    if gone > 0 {
        info!(
            component = "peers",
            disconnected = gone,
            left = count - gone,
            peers_min = settings.peers_min,
            "peers cleaned"
        );
    }
    gone
}

fn disconnect(rpc: &Rpc, addr: &str) -> Result<(), NodeError> {
    match rpc.call_once::<Option<()>>("disconnectnode", &json!([addr]), CALL_MAX) {
        Ok(_) | Err(NodeError::Refused { code: CODE_NOT_CONNECTED, .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Who may go, and how many of them.
struct Choice<'a> {
    /// Slowest first.
    candidates: Vec<&'a Peer>,
    /// Peers that count: those nobody has asked for by name.
    count: usize,
    /// So many are more than the minimum.
    surplus: usize,
}

fn choose(peers: &[Peer], settings: PeerCleaning) -> Choice<'_> {
    let counted: Vec<&Peer> =
        peers.iter().filter(|peer| !peer.addr.is_empty() && !peer.is_kept()).collect();
    let count = counted.len();
    let surplus = count.saturating_sub(settings.peers_min);
    let Some(ping_max) = settings.ping_max.filter(|_| settings.is_enabled && surplus > 0) else {
        return Choice { candidates: Vec::new(), count, surplus };
    };
    // The node's clock, not ours, which may be minutes off: it has never heard or said anything
    // later than now. When it has been silent for a while, peers look younger than they are, and
    // stay a little longer.
    let now = peers.iter().map(|peer| peer.lastsend.max(peer.lastrecv)).max().unwrap_or_default();
    let mut candidates: Vec<&Peer> = counted
        .into_iter()
        .filter(|peer| peer.ping_seconds() > ping_max.as_secs_f64() && peer.has_settled(now))
        .collect();
    candidates.sort_by(|a, b| b.ping_seconds().total_cmp(&a.ping_seconds()));
    Choice { candidates, count, surplus }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn peer(addr: &str, ping_ms: f64) -> Peer {
        Peer {
            addr: addr.to_owned(),
            pingtime: Some(ping_ms / 1000.0),
            conntime: NOW - 3600,
            lastrecv: NOW,
            connection_type: "outbound-full-relay".to_owned(),
            ..Peer::default()
        }
    }

    fn cleaning(ping_max_ms: u64, peers_min: usize) -> PeerCleaning {
        let ping_max = Some(Duration::from_millis(ping_max_ms));
        PeerCleaning { is_enabled: true, ping_max, peers_min }
    }

    /// Those who go when the node does as it is told.
    #[track_caller]
    fn check(peers: &[Peer], settings: PeerCleaning, expected: &[&str]) {
        let Choice { candidates, surplus, .. } = choose(peers, settings);
        let gone: Vec<&str> =
            candidates.iter().take(surplus).map(|peer| peer.addr.as_str()).collect();
        assert_eq!(gone, expected);
    }

    fn with_fast(count: usize, slow: &[Peer]) -> Vec<Peer> {
        let fast = (0..count).map(|index| peer(&format!("fast{index}"), 20.0));
        fast.chain(slow.iter().cloned()).collect()
    }

    #[test]
    fn the_slowest_go_until_the_minimum_is_reached() {
        let pings = [300.0, 900.0, 260.0, 700.0, 400.0, 500.0];
        let slow = pings.map(|ping| peer(&format!("slow{ping}"), ping));
        let peers = with_fast(28, &slow);
        check(&peers, cleaning(250, 30), &["slow900", "slow700", "slow500", "slow400"]);
        // The fast ones never go, however many there are.
        let all = ["slow900", "slow700", "slow500", "slow400", "slow300", "slow260"];
        check(&peers, cleaning(250, 1), &all);
        check(&peers, cleaning(250, 34), &[]);
        check(&peers, cleaning(250, 100), &[]);
    }

    #[test]
    fn exactly_at_the_limit_is_not_above_it() {
        check(&[peer("at", 250.0), peer("above", 250.1)], cleaning(250, 0), &["above"]);
    }

    #[test]
    fn nothing_happens_when_it_is_off_or_nobody_can_be_slow() {
        let peers = [peer("a", 900.0), peer("b", 900.0)];
        check(&peers, PeerCleaning { is_enabled: false, ..cleaning(250, 0) }, &[]);
        check(&peers, PeerCleaning { ping_max: None, ..cleaning(250, 0) }, &[]);
        check(&peers, cleaning(250, 1), &["a"]);
    }

    #[test]
    fn peers_that_somebody_wants_neither_go_nor_count() {
        let manual = Peer { connection_type: "manual".to_owned(), ..peer("manual", 900.0) };
        let old_manual =
            Peer { addnode: true, connection_type: String::new(), ..peer("addnode", 900.0) };
        let noban = Peer {
            connection_type: "inbound".to_owned(),
            permissions: vec!["relay".to_owned(), "noban".to_owned()],
            ..peer("noban", 900.0)
        };
        let relay = Peer { permissions: vec!["relay".to_owned()], ..peer("relay", 800.0) };
        let peers = [manual, old_manual, noban, relay, peer("other", 700.0), peer("", 900.0)];
        check(&peers, cleaning(250, 0), &["relay", "other"]);
        check(&peers, cleaning(250, 1), &["relay"]);
        check(&peers, cleaning(250, 2), &[]);
    }

    #[test]
    fn a_peer_has_two_minutes_to_settle_and_counts_meanwhile() {
        let young = Peer { conntime: NOW - 119, ..peer("young", 900.0) };
        let settled = Peer { conntime: NOW - 120, ..peer("settled", 800.0) };
        check(&[young.clone(), settled.clone()], cleaning(250, 0), &["settled"]);
        check(&[young, settled], cleaning(250, 1), &["settled"]);
    }

    #[test]
    fn the_best_ping_counts_more_than_the_last_and_none_is_fast() {
        let once_late = Peer { minping: Some(0.1), ..peer("late once", 900.0) };
        let always_late = Peer { minping: Some(0.3), ..peer("always late", 400.0) };
        let silent = Peer { pingtime: None, ..peer("silent", 0.0) };
        check(&[once_late, always_late, silent], cleaning(250, 0), &["always late"]);
    }

    #[test]
    fn the_answer_of_an_old_node_is_understood() {
        let text = r#"[{"id":1,"addr":"10.0.0.1:8333","conntime":5,"addnode":true},
            {"id":2,"addr":"[2001:db8::1]:8333","pingtime":0.4,"minping":0.3,"conntime":7,
             "lastsend":190,"lastrecv":200,"connection_type":"inbound","permissions":[]}]"#;
        let peers: Vec<Peer> = serde_json::from_str(text).unwrap();
        check(&peers, cleaning(250, 0), &["[2001:db8::1]:8333"]);
    }
}
