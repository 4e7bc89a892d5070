//! `/api/saved-workers`: a user's workers, a row for each connection (`web.md` §3.9,
//! `state-and-services.md` §11).

use serde::Serialize;

use super::People;
use crate::ledger::roster::{Fading, NameHash, Roster};
use crate::snapshot::WorkerView;
use crate::status::format;
use crate::store::{SAVED_PER_USER_MAX, SavedWorkerRow};

/// Rows of one worker, and of an answer.
const ROWS_PER_WORKER_MAX: usize = 16;
const ROWS_MAX: usize = 64;

#[derive(Debug, Serialize)]
pub struct SavedList {
    updated_at: String,
    saved_max: usize,
    saved_count: usize,
    /// Connections, as the field has always been counted.
    online_count: usize,
    /// Workers that have one, at least.
    online_worker_count: usize,
    /// Both are there when Discord is configured (FIX-29).
    #[serde(skip_serializing_if = "Option::is_none")]
    discord_registered: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    discord_notify_enabled: Option<bool>,
    best_difficulty: f64,
    online_workers: Vec<Row>,
    offline_workers: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    hash: String,
    online: bool,
    notify_enabled: bool,
    best_difficulty: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_online_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_share: Option<String>,
    hashrate: f64,
    #[serde(skip_serializing_if = "str::is_empty")]
    hashrate_accuracy: &'static str,
    shares_per_minute: f64,
    accepted: u64,
    rejected: u64,
    difficulty: f64,
    #[serde(skip_serializing_if = "is_zero")]
    estimated_ping_p50_ms: f64,
    #[serde(skip_serializing_if = "is_zero")]
    estimated_ping_p95_ms: f64,
    #[serde(skip_serializing_if = "is_none")]
    connection_seq: u64,
    #[serde(skip_serializing_if = "is_none")]
    connection_duration_seconds: u64,
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

fn is_none(value: &u64) -> bool {
    *value == 0
}

impl SavedList {
    /// As of `now`, in Unix seconds.
    pub fn new(people: &People, user_id: &str, now: u64) -> Self {
        let saved = people.saved.list(user_id);
        let roster = people.roster.read();
        let fading = roster.fading(now);
        let (mut online, mut offline) = (Vec::new(), Vec::new());
        let mut online_workers = 0;
        for row in &saved {
            let left = ROWS_MAX.saturating_sub(online.len() + offline.len());
            if left == 0 {
                break;
            }
            let connections = connections_of(&roster, row, fading);
            if connections.is_empty() {
                offline.push(offline_row(people, row, now));
                continue;
            }
            online_workers += 1;
            let shown = connections.iter().take(ROWS_PER_WORKER_MAX.min(left));
            online.extend(shown.map(|view| online_row(row, view, now)));
        }
        let link = people.has_discord.then(|| people.links.get(user_id));
        Self {
            updated_at: format::rfc3339_unix(now),
            saved_max: SAVED_PER_USER_MAX,
            saved_count: saved.len(),
            online_count: online.len(),
            online_worker_count: online_workers,
            discord_registered: link.as_ref().map(Option::is_some),
            discord_notify_enabled: link.map(|link| link.is_some_and(|row| row.enabled)),
            best_difficulty: saved.iter().map(|row| row.best_difficulty).fold(0.0, f64::max),
            online_workers: online,
            offline_workers: offline,
        }
    }
}

/// By their numbers, so that rows do not jump.
impl SavedList {
    /// Puts the rows that are online in order.
    pub fn sort(&mut self, key: &str, is_ascending: bool) {
        let number = |row: &Row| match key {
            "hashrate" => row.hashrate,
            "best" => row.best_difficulty,
            "difficulty" => row.difficulty,
            "rate" => row.shares_per_minute,
            "accepted" => row.accepted as f64,
            "connected" => row.connection_duration_seconds as f64,
            _ => row.connection_seq as f64,
        };
        let by_name = |row: &Row| row.name.to_lowercase();
        match key {
            "name" => self.online_workers.sort_by_key(|row| std::cmp::Reverse(by_name(row))),
            _ => self.online_workers.sort_by(|a, b| {
                number(b).total_cmp(&number(a)).then_with(|| by_name(b).cmp(&by_name(a)))
            }),
        }
        if is_ascending {
            self.online_workers.reverse();
        }
    }

    /// Hashrate and shares per minute of all that are online.
    pub fn sums(&self) -> (f64, f64) {
        let rows = &self.online_workers;
        let sum = |of: fn(&Row) -> f64| rows.iter().map(of).sum();
        (sum(|row| row.hashrate), sum(|row| row.shares_per_minute))
    }
}

fn connections_of(roster: &Roster, row: &SavedWorkerRow, fading: Fading) -> Vec<WorkerView> {
    let Ok(hash) = const_hex::decode_to_array::<_, 32>(&row.worker_hash) else { return Vec::new() };
    let hash: NameHash = hash;
    let mut sequences = roster.connections_of(&hash);
    sequences.sort_unstable();
    let views = sequences.iter().filter_map(|sequence| {
        let name = &roster.connection(*sequence)?.worker;
        roster.view(name, &[*sequence], fading)
    });
    views.collect()
}

fn online_row(row: &SavedWorkerRow, view: &WorkerView, now: u64) -> Row {
    let last_share = view.last_share_at();
    let ping = view.round_trip.map_or(0.0, |trip| trip.as_secs_f64() * 1000.0);
    Row {
        online: true,
        last_share: (last_share > 0).then(|| format::rfc3339_unix(last_share)),
        hashrate: view.hashrate,
        hashrate_accuracy: view.accuracy.marker(),
        shares_per_minute: view.share_rate,
        accepted: view.accepted,
        rejected: view.rejected,
        difficulty: view.difficulty,
        // The kernel's own estimate is smooth already.
        estimated_ping_p50_ms: ping,
        estimated_ping_p95_ms: ping,
        connection_seq: view.sequence,
        connection_duration_seconds: now.saturating_sub(view.connected_at),
        ..bare_row(row)
    }
}

fn offline_row(people: &People, row: &SavedWorkerRow, now: u64) -> Row {
    let minute = u32::try_from(now / 60).unwrap_or(u32::MAX);
    let history = people.history.read();
    let last_online_at = history.last_online_at(&row.worker_hash, minute);
    Row { last_online_at: last_online_at.map(|time| time.to_string()), ..bare_row(row) }
}

fn bare_row(row: &SavedWorkerRow) -> Row {
    Row {
        name: row.display.clone(),
        hash: row.worker_hash.clone(),
        online: false,
        notify_enabled: row.notify,
        best_difficulty: row.best_difficulty,
        last_online_at: None,
        last_share: None,
        hashrate: 0.0,
        hashrate_accuracy: "",
        shares_per_minute: 0.0,
        accepted: 0,
        rejected: 0,
        difficulty: 0.0,
        estimated_ping_p50_ms: 0.0,
        estimated_ping_p95_ms: 0.0,
        connection_seq: 0,
        connection_duration_seconds: 0,
    }
}
