//! `/api/overview` (`web.md` §3.2): who mines, who is banned, what was best.

use serde::Serialize;

use gopool_shards::work::base58;

use super::{API_VERSION, positive, worker_name};
use crate::ledger::best_shares::time_of;
use crate::privacy;
use crate::snapshot::{self, BannedFigures, Snapshot, WorkerView};
use crate::status::api::{finite, time};
use crate::status::format;
use crate::store::BestShareRow;

/// Letters and digits in a row that no version has.
const OPAQUE_CHARS_MIN: usize = 24;

#[derive(Debug, Serialize)]
pub struct Overview {
    pub api_version: &'static str,
    /// Connections that get work.
    pub active_miners: u64,
    pub active_tls_miners: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shares_per_minute: Option<f64>,
    /// Hashes per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_hashrate: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_tag: Option<String>,
    /// Absent as long as no price is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub btc_price_fiat: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub btc_price_updated_at: Option<String>,
    pub fiat_currency: String,
    /// Nanoseconds; whoever times the making fills it in.
    pub render_duration: u64,
    pub workers: Vec<RecentWork>,
    pub banned_workers: Vec<Banned>,
    pub best_shares: Vec<BestShare>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub miner_types: Vec<MinerType>,
}

#[derive(Debug, Serialize)]
pub struct RecentWork {
    pub name: String,
    pub display_name: String,
    pub rolling_hashrate: f64,
    /// `~` or `≈`.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub hashrate_accuracy: &'static str,
    pub difficulty: f64,
    pub vardiff: f64,
    /// Accepted shares per minute.
    pub share_rate: f64,
    pub accepted: u64,
    /// Of the newest connection.
    pub connection_id: String,
}

/// The five keys that the contract documents, and no more: a worker's hash is the key to its page.
#[derive(Debug, Serialize)]
pub struct Banned {
    pub name: String,
    pub display_name: String,
    /// False of a ban that has ended and is kept.
    pub banned: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub banned_until: Option<String>,
    /// The pool's own words; what an operator has written stays private.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ban_reason: String,
}

#[derive(Debug, Serialize)]
pub struct BestShare {
    pub worker: String,
    pub difficulty: f64,
    pub timestamp: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hash: String,
}

#[derive(Debug, Serialize)]
pub struct MinerType {
    pub name: String,
    pub total_workers: u64,
    pub versions: Vec<MinerVersion>,
}

#[derive(Debug, Serialize)]
pub struct MinerVersion {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    pub workers: u64,
}

impl Overview {
    pub fn new(snapshot: &Snapshot) -> Self {
        Self {
            api_version: API_VERSION,
            active_miners: snapshot.connections.authorized,
            active_tls_miners: snapshot.connections.authorized_tls,
            shares_per_minute: positive(snapshot.shares.per_minute),
            pool_hashrate: positive(snapshot.shares.hashrate),
            pool_tag: pool_tag(&snapshot.pool_tag),
            btc_price_fiat: snapshot.price.as_ref().map(|price| price.value),
            btc_price_updated_at: snapshot.price.as_ref().map(|price| format::rfc3339(price.at)),
            fiat_currency: snapshot.fiat_currency.clone(),
            render_duration: 0,
            workers: snapshot.recent_work.iter().map(RecentWork::new).collect(),
            banned_workers: snapshot.banned.iter().map(Banned::new).collect(),
            best_shares: snapshot.best_shares.iter().map(BestShare::new).collect(),
            miner_types: snapshot.miner_types.iter().map(MinerType::new).collect(),
        }
    }
}

impl RecentWork {
    fn new(view: &WorkerView) -> Self {
        let name = worker_name(&view.name);
        Self {
            display_name: name.clone(),
            name,
            rolling_hashrate: finite(view.hashrate),
            hashrate_accuracy: view.accuracy.marker(),
            difficulty: finite(view.difficulty),
            vardiff: finite(view.ideal_difficulty),
            share_rate: finite(view.share_rate),
            accepted: view.accepted,
            // Sequences start at 1.
            connection_id: view.sequence.checked_sub(1).map(base58::counter).unwrap_or_default(),
        }
    }
}

impl Banned {
    fn new(banned: &BannedFigures) -> Self {
        let name = worker_name(&banned.worker);
        let reason = if banned.is_automatic { &*banned.reason } else { "" };
        Self {
            display_name: name.clone(),
            name,
            banned: banned.is_in_force,
            banned_until: time(banned.until),
            ban_reason: privacy::error_text(reason),
        }
    }
}

impl BestShare {
    fn new(row: &BestShareRow) -> Self {
        Self {
            // Rows of other programs may hold what ours shorten.
            worker: worker_name(&row.worker),
            difficulty: finite(row.difficulty),
            timestamp: format::rfc3339(time_of(row)),
            hash: privacy::hash(&row.hash),
        }
    }
}

impl MinerType {
    fn new(kind: &snapshot::MinerType) -> Self {
        let version = |(version, workers): &(String, u64)| MinerVersion {
            version: client(version),
            workers: *workers,
        };
        Self {
            name: client(&kind.name),
            total_workers: kind.workers,
            versions: kind.versions.iter().map(version).collect(),
        }
    }
}

/// What a miner's software calls itself is the miner's to choose: a name that could hold a wallet or
/// a secret is treated as any text that could.
fn client(text: &str) -> String {
    let mut runs = text.split(|c: char| !c.is_ascii_alphanumeric());
    if runs.any(|run| run.len() >= OPAQUE_CHARS_MIN) {
        privacy::error_text(text)
    } else {
        text.to_owned()
    }
}

/// The first path segment of the coinbase message, between slashes.
fn pool_tag(message: &str) -> Option<String> {
    let segment = message.trim().trim_matches('/').split('/').next()?;
    (!segment.is_empty()).then(|| format!("/{segment}/"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::status::sample;

    fn json_of(snapshot: &Snapshot) -> Value {
        serde_json::to_value(Overview::new(snapshot)).unwrap()
    }

    #[test]
    fn lists_are_there_when_there_is_nothing_in_them() {
        assert_eq!(
            json_of(&sample::empty()),
            json!({
                "api_version": "1",
                "active_miners": 0,
                "active_tls_miners": 0,
                "pool_tag": "/goPool/",
                "fiat_currency": "usd",
                "render_duration": 0,
                "workers": [],
                "banned_workers": [],
                "best_shares": [],
            })
        );
    }

    #[test]
    fn a_busy_pool_is_told_with_short_names() {
        let value = json_of(&sample::busy());
        assert_eq!(
            value["workers"][0],
            json!({
                "name": "bc1qw508...7kv8f3t4.garage",
                "display_name": "bc1qw508...7kv8f3t4.garage",
                "rolling_hashrate": 2.8e14,
                "hashrate_accuracy": "≈",
                "difficulty": 65_536.0,
                "vardiff": 131_072.0,
                "share_rate": 62.5,
                "accepted": 41_233,
                "connection_id": "z",
            })
        );
        assert!(value["workers"][1].get("hashrate_accuracy").is_none());
        assert_eq!(
            value["banned_workers"],
            json!([
                {
                    "name": "bc1qw508...7kv8f3t4.loud",
                    "display_name": "bc1qw508...7kv8f3t4.loud",
                    "banned": true,
                    "banned_until": "2026-01-31T20:55:02Z",
                    "ban_reason": "too many invalid submissions (40 in 5m0s)",
                },
                {
                    "name": "bc1qw508...7kv8f3t4.rude",
                    "display_name": "bc1qw508...7kv8f3t4.rude",
                    "banned": true,
                },
            ])
        );
        assert_eq!(value["best_shares"][0]["timestamp"], "2026-01-30T19:06:40Z");
        assert_eq!(
            value["miner_types"],
            json!([{
                "name": "bitaxe",
                "total_workers": 5,
                "versions": [
                    {"version": "BM1370/v2.6.5", "workers": 4},
                    {"workers": 1},
                ],
            }])
        );
        assert_eq!(
            (&value["btc_price_fiat"], &value["btc_price_updated_at"]),
            (&json!(81_234.5), &json!("2026-01-31T19:35:02Z"))
        );
        assert_eq!((&value["active_miners"], &value["active_tls_miners"]), (&json!(21), &json!(2)));
    }

    #[test]
    fn the_tag_is_the_first_segment() {
        for (message, tag) in [
            ("/acme-goPool/", Some("/acme-goPool/")),
            (" acme ", Some("/acme/")),
            ("/acme/x9Yz-77/", Some("/acme/")),
            ("///acme//x//", Some("/acme/")),
            ("///", None),
            ("", None),
        ] {
            assert_eq!(pool_tag(message).as_deref(), tag, "{message}");
        }
    }

    #[test]
    fn who_has_no_name_that_can_be_shown_has_a_placeholder() {
        let mut snapshot = sample::busy();
        snapshot.recent_work[0].name = "αβγ".into();
        assert_eq!(json_of(&snapshot)["workers"][0]["name"], "(unnamed)");
    }
}
