//! `/api/pool-hashrate` (`web.md` §3.6): what the pool does, and how far the chain is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::API_VERSION;
use crate::history::{CompactSeries, HistoryReader, POOL_KEY, Resolution};
use crate::snapshot::{JobFigures, Snapshot, TipFigures};
use crate::status::api::{finite, time};
use crate::status::format;

/// From one block to the next, as the network aims at.
const BLOCK_SECONDS: u64 = 600;
/// Blocks between two changes of the network's difficulty.
const RETARGET_BLOCKS: u64 = 2016;
/// What the timer reads while there is none.
const NO_TIMER: i64 = -1;

#[derive(Debug, Serialize)]
pub struct PoolHashrate {
    pub api_version: &'static str,
    /// Hashes per second.
    pub pool_hashrate: f64,
    /// 8-bit codes of the last six minutes, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub phh: Vec<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ph24: Option<CompactSeries>,
    /// Of the node's newest block.
    pub block_height: u64,
    pub block_difficulty: f64,
    /// Negative when the block is overdue, and −1 without a timer.
    pub block_time_left_sec: i64,
    pub block_timer_active: bool,
    /// Oldest first.
    pub recent_block_times: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_difficulty_retarget: Option<Retarget>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_tx_fees_sats: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_updated_at: Option<String>,
    pub updated_at: String,
}

#[derive(Debug, Serialize)]
pub struct Retarget {
    pub height: u64,
    pub blocks_away: u64,
    /// In words, of at most two units.
    pub duration_estimate: String,
}

impl PoolHashrate {
    pub fn new(snapshot: &Snapshot) -> Self {
        let (tip, job) = (snapshot.feed.tip.as_ref(), snapshot.job.as_ref());
        let hashrate = finite(snapshot.shares.hashrate);
        let newest = snapshot.recent_hashrate.newest;
        let height = tip
            .map(|tip| tip.height)
            .filter(|height| *height > 0)
            // What is mined on is one above what there is.
            .or_else(|| Some(job?.height.saturating_sub(1)))
            .or_else(|| newest?.1)
            .unwrap_or(0);
        let tip_difficulty = tip.map(|tip| finite(tip.difficulty)).filter(|value| *value > 0.0);
        Self {
            api_version: API_VERSION,
            pool_hashrate: if hashrate > 0.0 {
                hashrate
            } else {
                newest.map_or(0.0, |(hashrate, _)| finite(hashrate))
            },
            phh: Vec::new(),
            ph24: None,
            block_height: height,
            block_difficulty: tip_difficulty
                .or(job.map(|job| finite(job.network_difficulty)))
                .unwrap_or(0.0),
            block_time_left_sec: tip.map_or(NO_TIMER, |tip| seconds_left(tip, snapshot.built_at)),
            block_timer_active: tip.is_some(),
            recent_block_times: snapshot
                .feed
                .block_times
                .iter()
                .map(|time| format::rfc3339(*time))
                .collect(),
            next_difficulty_retarget: (height > 0).then(|| Retarget::after(height)),
            template_tx_fees_sats: job.map(|job| fees(job, snapshot.network)),
            template_updated_at: time(
                job.and_then(|job| snapshot.feed.last_success_at.or(Some(job.built_at))),
            ),
            updated_at: format::rfc3339(snapshot.built_at),
        }
    }

    /// With the last minutes and the last day.
    pub fn with_history(mut self, snapshot: &Snapshot, history: &HistoryReader) -> Self {
        let since = snapshot.built_at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let minute = u32::try_from(since.as_secs() / 60).unwrap_or(u32::MAX);
        self.phh.clone_from(&snapshot.recent_hashrate.codes);
        self.ph24 = history.read().compact(Resolution::Minute, POOL_KEY, minute);
        self
    }
}

impl Retarget {
    fn after(height: u64) -> Self {
        let next = (height / RETARGET_BLOCKS + 1) * RETARGET_BLOCKS;
        let blocks_away = next - height;
        Self {
            height: next,
            blocks_away,
            duration_estimate: words(blocks_away * BLOCK_SECONDS / 60),
        }
    }
}

/// Rounded away from zero, so that a second that has begun counts.
fn seconds_left(tip: &TipFigures, now: SystemTime) -> i64 {
    let due = tip.time + Duration::from_secs(BLOCK_SECONDS);
    match due.duration_since(now) {
        Ok(left) => left.as_secs_f64().ceil() as i64,
        Err(overdue) => -(overdue.duration().as_secs_f64().ceil() as i64),
    }
}

/// What the transactions of the template pay.
fn fees(job: &JobFigures, network: &str) -> u64 {
    job.coinbase_value_sats.saturating_sub(subsidy(job.height, network))
}

/// Source: `GetBlockSubsidy` in Bitcoin Core's `src/validation.cpp`.
pub fn subsidy(height: u64, network: &str) -> u64 {
    let halving_interval = if network == "regtest" { 150 } else { 210_000 };
    match height / halving_interval {
        halvings @ 0..64 => 5_000_000_000 >> halvings,
        _ => 0,
    }
}

/// `1 week 6 days`: the two largest units that are not zero; empty for nothing.
fn words(minutes: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(7 * 24 * 60, "week"), (24 * 60, "day"), (60, "hour"), (1, "minute")];
    let mut left = minutes;
    let parts = UNITS.iter().filter_map(|(length, unit)| {
        let count = left / length;
        left %= length;
        let plural = if count == 1 { "" } else { "s" };
        (count > 0).then(|| format!("{count} {unit}{plural}"))
    });
    parts.take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::status::sample;

    fn json_of(snapshot: &Snapshot) -> Value {
        serde_json::to_value(PoolHashrate::new(snapshot)).unwrap()
    }

    #[test]
    fn before_anything_is_known_there_is_no_timer_and_an_empty_list() {
        assert_eq!(
            json_of(&sample::empty()),
            json!({
                "api_version": "1",
                "pool_hashrate": 0.0,
                "block_height": 0,
                "block_difficulty": 0.0,
                "block_time_left_sec": -1,
                "block_timer_active": false,
                "recent_block_times": [],
                "updated_at": "2026-01-31T19:55:02Z",
            })
        );
    }

    #[test]
    fn a_busy_pool_tells_the_tip_and_what_its_template_pays() {
        let value = json_of(&sample::busy());
        assert_eq!(value["block_height"], 934_217);
        assert_eq!(value["block_time_left_sec"], 180);
        assert_eq!(value["block_timer_active"], true);
        assert_eq!(value["recent_block_times"].as_array().unwrap().len(), 4);
        assert_eq!(value["recent_block_times"][3], "2026-01-31T19:48:02Z");
        assert_eq!(
            value["next_difficulty_retarget"],
            json!({"height": 935_424, "blocks_away": 1207, "duration_estimate": "1 week 1 day"})
        );
        assert_eq!(value["template_tx_fees_sats"], 2_282_110);
        assert_eq!(value["template_updated_at"], "2026-01-31T19:54:50Z");
        assert!(value.get("phh").is_none() && value.get("ph24").is_none());
    }

    #[test]
    fn history_comes_when_it_is_asked_for() {
        let snapshot = sample::busy();
        let with = |history: &HistoryReader| {
            serde_json::to_value(PoolHashrate::new(&snapshot).with_history(&snapshot, history))
                .unwrap()
        };
        let value = with(&sample::history());
        assert_eq!(value["phh"], json!([130, 148, 148]));
        assert_eq!((&value["ph24"]["i"], &value["ph24"]["n"]), (&json!(60), &json!(1440)));
        assert!(value["ph24"]["h1"].as_f64().unwrap() > 1e15);
        assert!(with(&HistoryReader::default()).get("ph24").is_none(), "nothing was recorded");
    }

    #[test]
    fn what_is_not_known_falls_back() {
        let mut snapshot = sample::busy();
        snapshot.feed.tip = None;
        snapshot.shares.hashrate = 0.0;
        snapshot.recent_hashrate.newest = Some((5e12, Some(7)));
        let value = json_of(&snapshot);
        assert_eq!(
            (&value["block_height"], &value["pool_hashrate"]),
            (&json!(934_217), &json!(5e12))
        );
        assert_eq!(value["block_difficulty"], 1.3551e14);
        snapshot.job = None;
        let value = json_of(&snapshot);
        assert_eq!(value["block_height"], 7);
        assert!(value.get("template_tx_fees_sats").is_none());
        assert!(value.get("template_updated_at").is_none());
    }

    #[test]
    fn an_overdue_block_is_told_apart_from_none() {
        let mut snapshot = sample::busy();
        let due = snapshot.feed.tip.as_ref().unwrap().time + Duration::from_secs(BLOCK_SECONDS);
        for (milliseconds, left) in [(0, 0), (1, -1), (1000, -1), (1001, -2), (7_200_000, -7200)] {
            snapshot.built_at = due + Duration::from_millis(milliseconds);
            let value = json_of(&snapshot);
            assert_eq!(value["block_time_left_sec"], left);
            assert_eq!(value["block_timer_active"], true);
        }
        snapshot.built_at = due - Duration::from_millis(1);
        assert_eq!(json_of(&snapshot)["block_time_left_sec"], 1);
    }

    #[test]
    fn subsidies_halve_as_the_network_does() {
        for (height, network, sats) in [
            (0, "mainnet", 5_000_000_000),
            (209_999, "mainnet", 5_000_000_000),
            (840_000, "mainnet", 312_500_000),
            (64 * 210_000, "mainnet", 0),
            (149, "regtest", 5_000_000_000),
            (150, "regtest", 2_500_000_000),
        ] {
            assert_eq!(subsidy(height, network), sats, "{height} {network}");
        }
    }

    #[test]
    fn estimates_have_two_units() {
        for (minutes, text) in [
            (20_150, "1 week 6 days"),
            (20_160, "2 weeks"),
            (10, "10 minutes"),
            (1, "1 minute"),
            (61, "1 hour 1 minute"),
            (10_081, "1 week 1 minute"),
            (0, ""),
        ] {
            assert_eq!(words(minutes), text);
        }
        assert_eq!(Retarget::after(2015).height, 2016);
        assert_eq!(Retarget::after(2016).blocks_away, 2016);
    }
}
