//! `/api/pool-page` (`web.md` §3.3): what the pool has asked of the node, and what went wrong.
//! Everything is counted from the start of the process.

use serde::Serialize;

use super::API_VERSION;
use crate::snapshot::Snapshot;
use crate::status::api::{Disconnect, ErrorEvent, finite};

/// The newest errors of the last hour.
const ERRORS_SHOWN: usize = 6;

#[derive(Debug, Serialize)]
pub struct PoolPage {
    pub api_version: &'static str,
    pub blocks_accepted: u64,
    pub blocks_errored: u64,
    pub rpc_gbt_last_sec: f64,
    pub rpc_gbt_max_sec: f64,
    pub rpc_gbt_count: u64,
    pub rpc_submit_last_sec: f64,
    pub rpc_submit_max_sec: f64,
    pub rpc_submit_count: u64,
    pub rpc_errors: u64,
    /// Rejected shares, but those of who may not mine here.
    pub share_errors: u64,
    pub rpc_gbt_min_1h_sec: f64,
    pub rpc_gbt_avg_1h_sec: f64,
    pub rpc_gbt_max_1h_sec: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stratum_safeguard_disconnect_count: Option<u64>,
    /// Oldest first, as are the errors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stratum_safeguard_disconnects: Vec<Disconnect>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub error_history: Vec<ErrorEvent>,
}

impl PoolPage {
    pub fn new(snapshot: &Snapshot) -> Self {
        let rpc = &snapshot.rpc;
        let hour = rpc.gbt_hour;
        let events = &snapshot.error_events;
        Self {
            api_version: API_VERSION,
            blocks_accepted: snapshot.blocks_accepted,
            blocks_errored: snapshot.blocks_errored,
            rpc_gbt_last_sec: finite(rpc.gbt_seconds_last),
            rpc_gbt_max_sec: finite(rpc.gbt_seconds_max),
            rpc_gbt_count: rpc.gbt_count,
            rpc_submit_last_sec: finite(rpc.submit_seconds_last),
            rpc_submit_max_sec: finite(rpc.submit_seconds_max),
            rpc_submit_count: rpc.submit_count,
            rpc_errors: rpc.errors,
            share_errors: snapshot.shares.errors,
            rpc_gbt_min_1h_sec: hour.map_or(0.0, |hour| hour.min.as_secs_f64()),
            rpc_gbt_avg_1h_sec: hour.map_or(0.0, |hour| hour.mean.as_secs_f64()),
            rpc_gbt_max_1h_sec: hour.map_or(0.0, |hour| hour.max.as_secs_f64()),
            stratum_safeguard_disconnect_count: Some(snapshot.disconnects_count)
                .filter(|count| *count > 0),
            stratum_safeguard_disconnects: snapshot
                .disconnects
                .iter()
                .map(Disconnect::new)
                .collect(),
            error_history: events[events.len().saturating_sub(ERRORS_SHOWN)..]
                .iter()
                .map(ErrorEvent::new)
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::status::sample;

    fn json_of(snapshot: &Snapshot) -> Value {
        serde_json::to_value(PoolPage::new(snapshot)).unwrap()
    }

    #[test]
    fn a_new_pool_has_counters_and_no_lists() {
        let value = json_of(&sample::empty());
        let object = value.as_object().unwrap();
        assert_eq!(object.len(), 14);
        assert!(object.values().skip(1).all(|value| value.as_f64() == Some(0.0)));
    }

    #[test]
    fn errors_and_disconnects_are_told_without_places() {
        let value = json_of(&sample::busy());
        assert_eq!(value["share_errors"], 358);
        assert_eq!(value["rpc_gbt_avg_1h_sec"], 0.0119);
        assert_eq!(
            value["error_history"],
            json!([
                {"at": "2026-01-31T19:54:32Z", "type": "share", "message": "stale job", "count": 3},
                {"at": "2026-01-31T19:54:42Z", "type": "rpc", "message": "post ***: reset", "count": 1},
            ])
        );
        assert_eq!(
            value["stratum_safeguard_disconnects"],
            json!([{
                "at": "2026-01-30T18:55:02Z",
                "disconnected": 20,
                "reason": "node/job feed error",
                "detail": "connect to *** refused",
            }])
        );
        assert_eq!(value["stratum_safeguard_disconnect_count"], 1);
    }

    #[test]
    fn the_six_newest_errors_are_shown() {
        let mut snapshot = sample::busy();
        let one = snapshot.error_events[0].clone();
        snapshot.error_events = vec![one; 20];
        snapshot.error_events[19].message = "newest".into();
        let value = json_of(&snapshot);
        assert_eq!(value["error_history"].as_array().unwrap().len(), ERRORS_SHOWN);
        assert_eq!(value["error_history"][5]["message"], "newest");
    }
}
