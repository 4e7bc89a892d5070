//! `/api/blocks` (`web.md` §3.7): what has been found, newest first.

use std::time::Duration;

use serde::Serialize;

use super::worker_name;
use crate::privacy;
use crate::snapshot::{BlockFigures, Snapshot};
use crate::status::api::finite;
use crate::status::format;
use crate::store::BlockState;

pub const LIMIT_MAX: usize = 100;
const LIMIT_DEFAULT: usize = 10;
/// When a client need not ask again before.
pub const TTL: Duration = Duration::from_secs(3);
/// So many blocks on top, and it is not going to be undone.
const CONFIRMATIONS_WINNING: u64 = 6;

#[derive(Debug, Serialize)]
pub struct Block {
    pub height: u64,
    /// Shortened, as the contract has it, and so is the next.
    pub hash: String,
    pub display_hash: String,
    /// All of it, to look the block up with: it is on the chain for everybody to see.
    pub block_hash: String,
    pub worker: String,
    pub display_worker: String,
    pub timestamp: String,
    pub share_diff: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_fee_sats: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker_payout_sats: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmations: Option<u64>,
    /// `possible`, `winning` or `stale`.
    pub result: &'static str,
    /// `found`, `submitted`, `accepted`, `rejected`, `stale` or `orphaned`.
    pub status: &'static str,
}

/// At most [`LIMIT_MAX`], whatever is asked for.
pub fn list(snapshot: &Snapshot) -> Vec<Block> {
    snapshot.blocks.iter().take(LIMIT_MAX).map(Block::new).collect()
}

/// The number that a query asks for.
pub fn limit(query: &str) -> usize {
    let value = super::parameter(query, "limit").unwrap_or_default();
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
    let number = value.parse().ok().filter(|_| is_number);
    number.filter(|number| (1..=LIMIT_MAX).contains(number)).unwrap_or(LIMIT_DEFAULT)
}

impl Block {
    fn new(block: &BlockFigures) -> Self {
        let hash = privacy::hash(&block.hash_hex);
        let worker = worker_name(&block.worker);
        let is_lost =
            matches!(block.state, BlockState::Rejected | BlockState::Stale | BlockState::Orphaned);
        let confirmations = if is_lost { 0 } else { block.confirmations };
        let some = |number: u64| Some(number).filter(|number| *number > 0);
        Self {
            height: block.height,
            display_hash: hash.clone(),
            hash,
            block_hash: block.hash_hex.clone(),
            display_worker: worker.clone(),
            worker,
            timestamp: format::rfc3339(block.found_at),
            share_diff: finite(block.share_difficulty),
            pool_fee_sats: some(block.pool_fee_sats),
            worker_payout_sats: some(block.worker_payout_sats),
            confirmations: some(confirmations),
            result: match confirmations {
                _ if is_lost => "stale",
                CONFIRMATIONS_WINNING.. => "winning",
                _ => "possible",
            },
            status: block.state.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::status::sample;

    fn json_of(snapshot: &Snapshot) -> Value {
        serde_json::to_value(list(snapshot)).unwrap()
    }

    #[test]
    fn a_pool_without_blocks_has_an_empty_list() {
        assert_eq!(json_of(&sample::empty()), json!([]));
    }

    #[test]
    fn a_block_is_told_whole() {
        let value = json_of(&sample::busy());
        assert_eq!(
            value[0],
            json!({
                "height": 934_101,
                "hash": "...19c2b6f07d4e19c2",
                "display_hash": "...19c2b6f07d4e19c2",
                "block_hash": sample::busy().blocks[0].hash_hex,
                "worker": "bc1qw508...7kv8f3t4.garage",
                "display_worker": "bc1qw508...7kv8f3t4.garage",
                "timestamp": "2026-01-31T00:28:22Z",
                "share_diff": 1.812e14,
                "pool_fee_sats": 6_300_084,
                "worker_payout_sats": 308_704_136,
                "confirmations": 100,
                "result": "winning",
                "status": "accepted",
            })
        );
        assert_eq!(
            (&value[1]["result"], &value[1]["status"]),
            (&json!("stale"), &json!("rejected"))
        );
        assert!(value[1].get("confirmations").is_none());
    }

    #[test]
    fn results_follow_confirmations_and_state() {
        let mut snapshot = sample::busy();
        for (state, confirmations, result) in [
            (BlockState::Found, 0, "possible"),
            (BlockState::Submitted, 0, "possible"),
            (BlockState::Accepted, 5, "possible"),
            (BlockState::Accepted, 6, "winning"),
            (BlockState::Orphaned, 8, "stale"),
            (BlockState::Stale, 0, "stale"),
        ] {
            snapshot.blocks[0].state = state;
            snapshot.blocks[0].confirmations = confirmations;
            assert_eq!(json_of(&snapshot)[0]["result"], result, "{state:?} {confirmations}");
        }
    }

    #[test]
    fn limits_outside_of_what_is_allowed_are_the_usual_one() {
        for (query, expected) in [
            ("", 10),
            ("limit=1", 1),
            ("limit=100", 100),
            ("a=b&limit=25", 25),
            ("limit=25&limit=7", 25),
            ("limit=0", 10),
            ("limit=101", 10),
            ("limit=+5", 10),
            ("limit=-5", 10),
            ("limit=", 10),
            ("limit=99999999999999999999999", 10),
            ("unlimited=5", 10),
        ] {
            assert_eq!(limit(query), expected, "{query}");
        }
    }
}
