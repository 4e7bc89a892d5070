//! What the node says of itself, for the pages (`web.md` §8.6).
//!
//! A thread and a timer of its own: no page waits for the node, and one round ends before the next
//! begins. Each part is kept until it is heard anew. Of the peers only counts and pings leave this
//! file: a list of them would help whoever wants to cut the node off from its network.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tracing::debug;

use super::exchange::NodeError;
use super::rpc::Rpc;
use crate::identity::is_hash_hex;
use crate::snapshot::{ChainFigures, NodeFigures, PeerFigures, PingFigures, ReachFigures};

/// From the end of one round to the next.
const INTERVAL: Duration = Duration::from_secs(30);
/// One call.
const CALL_MAX: Duration = Duration::from_secs(5);
/// Bitcoin Core's own limit of its version text (`MAX_SUBVERSION_LENGTH` in `src/net.h`).
const SUBVERSION_CHARS_MAX: usize = 256;

/// Where the newest figures are. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct NodeInfo(Arc<ArcSwap<NodeFigures>>);

impl NodeInfo {
    pub fn load(&self) -> Arc<NodeFigures> {
        self.0.load_full()
    }
}

/// Asks at once and then again and again, for as long as the process lives.
pub fn spawn(rpc: Arc<Rpc>) -> io::Result<NodeInfo> {
    let info = NodeInfo::default();
    let shared = info.clone();
    thread::Builder::new().name("node-info".into()).spawn(move || {
        loop {
            let ask = |method, params: &Value| rpc.call_once(method, params, CALL_MAX);
            shared.0.store(Arc::new(refresh(&shared.load(), ask, SystemTime::now())));
            thread::sleep(INTERVAL);
        }
    })?;
    Ok(info)
}

/// One round. `ask` makes a call.
fn refresh(
    known: &NodeFigures,
    ask: impl Fn(&'static str, &Value) -> Result<Value, NodeError>,
    now: SystemTime,
) -> NodeFigures {
    let mut figures = known.clone();
    let parts: [Part; 5] = [
        ("getblockchaininfo", json!([]), |figures, answer| {
            figures.chain = Some(read::<RawChain>(answer)?.into());
            Some(())
        }),
        ("getnetworkinfo", json!([]), |figures, answer| {
            figures.reach = Some(read::<RawNetwork>(answer)?.into());
            Some(())
        }),
        ("getbestblockhash", json!([]), |figures, answer| {
            figures.best_block_hash = Some(block_hash(&answer)?);
            Some(())
        }),
        ("getblockhash", json!([0]), |figures, answer| {
            figures.genesis_hash = Some(block_hash(&answer)?);
            Some(())
        }),
        ("getpeerinfo", json!([]), |figures, answer| {
            figures.peers = Some(peers(&read::<Vec<RawPeer>>(answer)?));
            Some(())
        }),
    ];
    for (method, params, take) in parts {
        match ask(method, &params) {
            Ok(answer) => match take(&mut figures, answer) {
                Some(()) => figures.updated_at = Some(now),
                None => debug!(component = "node", method, "answer not understood"),
            },
            Err(error) => {
                debug!(component = "node", method, %error, "not refreshed");
                // The node has gone, which the feed says: the others would each take as long.
                if error.is_retryable() {
                    break;
                }
            }
        }
    }
    figures
}

/// A method, its parameters, and what its answer changes; none when it is not understood.
type Part = (&'static str, Value, fn(&mut NodeFigures, Value) -> Option<()>);

fn read<T: DeserializeOwned>(answer: Value) -> Option<T> {
    serde_json::from_value(answer).ok()
}

/// 64 hex digits in lower case.
fn block_hash(answer: &Value) -> Option<String> {
    let text = answer.as_str()?;
    is_hash_hex(text).then(|| text.to_ascii_lowercase())
}

#[derive(Deserialize)]
struct RawChain {
    chain: String,
    blocks: u64,
    headers: u64,
    #[serde(rename = "initialblockdownload", default)]
    is_initial_download: bool,
    #[serde(rename = "pruned", default)]
    is_pruned: bool,
    #[serde(default)]
    size_on_disk: u64,
}

impl From<RawChain> for ChainFigures {
    fn from(raw: RawChain) -> Self {
        let RawChain { chain, blocks, headers, is_initial_download, is_pruned, size_on_disk } = raw;
        Self {
            chain,
            blocks,
            headers,
            is_initial_download,
            is_pruned,
            size_on_disk_bytes: size_on_disk,
        }
    }
}

#[derive(Deserialize)]
struct RawNetwork {
    #[serde(default)]
    subversion: String,
    connections: u64,
    /// Core before 0.21 has neither of these.
    connections_in: Option<u64>,
    connections_out: Option<u64>,
}

impl From<RawNetwork> for ReachFigures {
    fn from(raw: RawNetwork) -> Self {
        Self {
            subversion: raw.subversion.chars().take(SUBVERSION_CHARS_MAX).collect(),
            connections: raw.connections,
            split: raw.connections_in.zip(raw.connections_out),
        }
    }
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct RawPeer {
    inbound: bool,
    /// Seconds; missing until the first pong.
    pingtime: Option<f64>,
}

fn peers(peers: &[RawPeer]) -> PeerFigures {
    let mut pings: Vec<Duration> =
        peers.iter().filter_map(|peer| Duration::try_from_secs_f64(peer.pingtime?).ok()).collect();
    pings.sort_unstable();
    PeerFigures {
        count: peers.len() as u64,
        inbound: peers.iter().filter(|peer| peer.inbound).count() as u64,
        pings: pings.first().zip(pings.last()).map(|(min, max)| PingFigures {
            peers: pings.len() as u64,
            min: *min,
            median: pings[pings.len() / 2],
            max: *max,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206";
    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn answer(method: &str) -> Value {
        match method {
            "getblockchaininfo" => json!({
                "chain": "regtest", "blocks": 5, "headers": 6, "initialblockdownload": true,
                "pruned": false, "size_on_disk": 1234, "warnings": []
            }),
            "getnetworkinfo" => json!({
                "subversion": "/Satoshi:28.0.0/", "connections": 3, "connections_in": 1,
                "connections_out": 2, "networks": []
            }),
            "getpeerinfo" => json!([
                {"addr": "203.0.113.9:8333", "inbound": true, "pingtime": 0.3},
                {"addr": "203.0.113.8:8333", "inbound": false, "pingtime": 0.02},
                {"addr": "203.0.113.7:8333", "inbound": false}
            ]),
            _ => json!(HASH.to_uppercase()),
        }
    }

    fn timeout(method: &'static str) -> NodeError {
        NodeError::Timeout { method }
    }

    #[test]
    fn every_part_is_taken_and_of_peers_only_figures() {
        let figures = refresh(&NodeFigures::default(), |method, _| Ok(answer(method)), NOW);
        let chain = figures.chain.as_ref().unwrap();
        assert_eq!((chain.blocks, chain.headers, chain.size_on_disk_bytes), (5, 6, 1234));
        assert!(chain.is_initial_download && !chain.is_pruned);
        let reach = figures.reach.as_ref().unwrap();
        assert_eq!((reach.connections, reach.split), (3, Some((1, 2))));
        let peers = figures.peers.as_ref().unwrap();
        assert_eq!((peers.count, peers.inbound), (3, 1));
        let pings = peers.pings.as_ref().unwrap();
        assert_eq!((pings.peers, pings.min, pings.max), (2, ms(20), ms(300)));
        assert_eq!(figures.best_block_hash.as_deref(), Some(HASH));
        assert_eq!(figures.genesis_hash.as_deref(), Some(HASH));
        assert_eq!(figures.updated_at, Some(NOW));
        assert!(!format!("{figures:?}").contains("203.0.113"));
    }

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn what_fails_or_is_nonsense_keeps_its_old_value() {
        let known = refresh(&NodeFigures::default(), |method, _| Ok(answer(method)), NOW);
        let later = NOW + INTERVAL;
        let refused = |method: &'static str, _: &Value| match method {
            "getnetworkinfo" => Err(NodeError::Undecodable { method, reason: "x".into() }),
            "getbestblockhash" => Ok(json!("../../etc")),
            "getblockchaininfo" => Ok(json!({"chain": "regtest", "blocks": 9, "headers": 9})),
            _ => Ok(answer(method)),
        };
        let figures = refresh(&known, refused, later);
        assert_eq!(figures.chain.unwrap().blocks, 9);
        assert_eq!(figures.reach.unwrap().connections, 3);
        assert_eq!(figures.best_block_hash.as_deref(), Some(HASH));
        assert_eq!(figures.updated_at, Some(later));
    }

    #[test]
    fn a_node_that_is_away_is_asked_once_a_round() {
        let known = refresh(&NodeFigures::default(), |method, _| Ok(answer(method)), NOW);
        let asked = std::cell::Cell::new(0);
        let away = |method, _: &Value| {
            asked.set(asked.get() + 1);
            Err(timeout(method))
        };
        let figures = refresh(&known, away, NOW + INTERVAL);
        assert_eq!((asked.get(), figures.updated_at), (1, Some(NOW)));
        assert!(figures.chain.is_some() && figures.peers.is_some());
    }
}
