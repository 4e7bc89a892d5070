//! A worker as its page and the search show it.

use std::time::Duration;

use gopool_shards::session::client::name_and_version;
use gopool_shards::tally::LastShareLook;
use serde::Serialize;

use crate::identity::worker_hash_hex;
use crate::privacy;
use crate::snapshot::WorkerView;
use crate::status::format;

#[derive(Debug, Serialize)]
pub struct Shown {
    /// Shortened while the visitor wants privacy.
    name: String,
    hash: String,
    client: String,
    client_version: String,
    connections: u64,
    is_tls: bool,
    connected_at: String,
    hashrate: f64,
    accuracy: &'static str,
    share_rate: f64,
    accepted: u64,
    rejected: u64,
    window_accepted: u64,
    window_submissions: u64,
    difficulty: f64,
    ideal_difficulty: f64,
    last_share_at: Option<String>,
    last_share: Option<LastShare>,
    last_reject: &'static str,
    /// Seconds.
    round_trip: Option<f64>,
    first_share_p50: Option<f64>,
    first_share_p95: Option<f64>,
}

#[derive(Debug, Serialize)]
struct LastShare {
    is_accepted: bool,
    difficulty: f64,
    hash: String,
}

impl Shown {
    pub fn new(view: &WorkerView, is_private: bool) -> Self {
        let (client, client_version) = name_and_version(&view.client_id);
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
        let last_share_at = view.last_share_at();
        Self {
            name: if is_private { privacy::worker_name(&view.name) } else { view.name.to_string() },
            hash: worker_hash_hex(&view.name),
            client,
            client_version,
            connections: view.connections,
            is_tls: view.is_tls,
            connected_at: format::rfc3339_unix(view.connected_at),
            hashrate: view.hashrate,
            accuracy: view.accuracy.marker(),
            share_rate: view.share_rate,
            accepted: view.accepted,
            rejected: view.rejected,
            window_accepted: view.window_accepted,
            window_submissions: view.window_submissions,
            difficulty: view.difficulty,
            ideal_difficulty: view.ideal_difficulty,
            last_share_at: (last_share_at > 0).then(|| format::rfc3339_unix(last_share_at)),
            last_share: view.last_share.map(|share| LastShare::new(&share, is_private)),
            last_reject: view.last_reject,
            round_trip: seconds(view.round_trip),
            first_share_p50: seconds(view.first_share_p50),
            first_share_p95: seconds(view.first_share_p95),
        }
    }
}

impl LastShare {
    fn new(share: &LastShareLook, is_private: bool) -> Self {
        let mut hash = share.hash;
        hash.reverse();
        let hex = if hash == [0; 32] { String::new() } else { const_hex::encode(hash) };
        Self {
            is_accepted: share.is_accepted,
            difficulty: share.difficulty,
            hash: if is_private { privacy::hash(&hex) } else { hex },
        }
    }
}
