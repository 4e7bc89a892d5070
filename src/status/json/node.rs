//! `/api/node` (`web.md` §3.4): the node behind the pool. Of its peers there are counts and pings
//! alone: who knows them all can cut the node off from its network.

use serde::Serialize;

use super::{API_VERSION, milliseconds};
use crate::privacy;
use crate::snapshot::{PingFigures, Snapshot};
use crate::status::api::time;

#[derive(Debug, Serialize)]
pub struct NodePage {
    pub api_version: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub node_network: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub node_subversion: String,
    pub node_blocks: u64,
    pub node_headers: u64,
    pub node_initial_block_download: bool,
    pub node_connections: u64,
    pub node_connections_in: u64,
    pub node_connections_out: u64,
    /// Peers that have answered a ping; it and the three below are absent when none has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_ping_peers: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_ping_min_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_ping_median_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_ping_max_ms: Option<f64>,
    pub node_pruned: bool,
    pub node_size_on_disk_bytes: u64,
    pub node_peer_cleanup_enabled: bool,
    /// 0 for no limit.
    pub node_peer_cleanup_max_ping_ms: f64,
    pub node_peer_cleanup_min_peers: usize,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub genesis_hash: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub genesis_expected: &'static str,
    pub genesis_match: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub best_block_hash: String,
    /// When the node was heard last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_updated_at: Option<String>,
}

impl NodePage {
    pub fn new(snapshot: &Snapshot) -> Self {
        let node = &*snapshot.node;
        let (chain, reach) = (node.chain.as_ref(), node.reach.as_ref());
        let peers = node.peers.as_ref();
        let counted = peers.map(|peers| (peers.inbound, peers.count.saturating_sub(peers.inbound)));
        let (inbound, outbound) =
            reach.and_then(|reach| reach.split).or(counted).unwrap_or_default();
        let pings = peers.and_then(|peers| peers.pings.as_ref());
        let ping = |of: fn(&PingFigures) -> _| pings.map(of).map(milliseconds);
        let expected = genesis_expected(chain.map_or(snapshot.network, |chain| &chain.chain));
        let genesis = node.genesis_hash.clone().unwrap_or_default();
        Self {
            api_version: API_VERSION,
            node_network: chain
                .map(|chain| privacy::error_text(network(&chain.chain)))
                .unwrap_or_default(),
            node_subversion: reach.map(|reach| reach.subversion.clone()).unwrap_or_default(),
            node_blocks: chain.map_or(0, |chain| chain.blocks),
            node_headers: chain.map_or(0, |chain| chain.headers),
            node_initial_block_download: chain.is_some_and(|chain| chain.is_initial_download),
            node_connections: reach
                .map(|reach| reach.connections)
                .or(peers.map(|peers| peers.count))
                .unwrap_or(0),
            node_connections_in: inbound,
            node_connections_out: outbound,
            node_ping_peers: pings.map(|pings| pings.peers),
            node_ping_min_ms: ping(|pings| pings.min),
            node_ping_median_ms: ping(|pings| pings.median),
            node_ping_max_ms: ping(|pings| pings.max),
            node_pruned: chain.is_some_and(|chain| chain.is_pruned),
            node_size_on_disk_bytes: chain.map_or(0, |chain| chain.size_on_disk_bytes),
            node_peer_cleanup_enabled: snapshot.peer_cleaning.is_enabled,
            node_peer_cleanup_max_ping_ms: snapshot
                .peer_cleaning
                .ping_max
                .map_or(0.0, milliseconds),
            node_peer_cleanup_min_peers: snapshot.peer_cleaning.peers_min,
            genesis_match: !genesis.is_empty() && genesis.eq_ignore_ascii_case(expected),
            genesis_hash: genesis,
            genesis_expected: expected,
            best_block_hash: node.best_block_hash.clone().unwrap_or_default(),
            node_updated_at: time(node.updated_at),
        }
    }
}

/// The network that the node's word means.
fn network(chain: &str) -> &str {
    match chain {
        "main" | "mainnet" | "" => "mainnet",
        "test" | "testnet" | "testnet3" | "testnet4" => "testnet",
        other => other,
    }
}

/// Source: `src/kernel/chainparams.cpp` of Bitcoin Core.
fn genesis_expected(chain: &str) -> &'static str {
    if chain == "testnet4" {
        return "00000000da84f2bafbbc53dee25a72ae507ff4914b867c565be350b0da8bf043";
    }
    match network(chain) {
        "mainnet" => "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
        "testnet" => "000000000933ea01ad0ee984209779baaec3ced90fa3f408719526f8d77f4943",
        "signet" => "00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6",
        "regtest" => "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::status::sample;

    fn json_of(snapshot: &Snapshot) -> Value {
        serde_json::to_value(NodePage::new(snapshot)).unwrap()
    }

    #[test]
    fn of_a_node_that_was_never_heard_only_what_is_configured_is_told() {
        assert_eq!(
            json_of(&sample::empty()),
            json!({
                "api_version": "1",
                "node_blocks": 0,
                "node_headers": 0,
                "node_initial_block_download": false,
                "node_connections": 0,
                "node_connections_in": 0,
                "node_connections_out": 0,
                "node_pruned": false,
                "node_size_on_disk_bytes": 0,
                "node_peer_cleanup_enabled": true,
                "node_peer_cleanup_max_ping_ms": 150.0,
                "node_peer_cleanup_min_peers": 20,
                "genesis_expected": genesis_expected("regtest"),
                "genesis_match": false,
            })
        );
    }

    #[test]
    fn a_node_is_told_with_figures_of_its_peers_and_without_a_list() {
        let value = json_of(&sample::busy());
        assert_eq!(value["node_network"], "mainnet");
        assert_eq!(value["node_subversion"], "/Satoshi:28.1.0/");
        assert_eq!(
            (&value["node_connections_in"], &value["node_connections_out"]),
            (&json!(31), &json!(10))
        );
        assert_eq!(
            (&value["node_ping_peers"], &value["node_ping_median_ms"]),
            (&json!(39), &json!(48.0))
        );
        assert_eq!(value["genesis_match"], true);
        assert_eq!(value["node_updated_at"], "2026-01-31T19:54:41Z");
        assert!(value.get("node_peers").is_none());
    }

    #[test]
    fn an_old_nodes_peers_are_counted() {
        let mut snapshot = sample::busy();
        Arc::make_mut(&mut snapshot.node).reach.as_mut().unwrap().split = None;
        let value = json_of(&snapshot);
        assert_eq!(
            (&value["node_connections_in"], &value["node_connections_out"]),
            (&json!(30), &json!(10))
        );
    }

    #[test]
    fn each_network_has_its_genesis() {
        for (chain, shown, start) in [
            ("main", "mainnet", "000000000019"),
            ("", "mainnet", "000000000019"),
            ("test", "testnet", "000000000933"),
            ("testnet4", "testnet", "00000000da84"),
            ("signet", "signet", "000000088198"),
            ("regtest", "regtest", "0f9188f13cb7"),
            ("liquidv1", "liquidv1", ""),
        ] {
            assert_eq!(network(chain), shown);
            assert!(genesis_expected(chain).starts_with(start), "{chain}");
        }
    }
}
