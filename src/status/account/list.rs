//! `/api/saved-workers`: a user's workers, a row for each connection (`web.md` §3.9,
//! `state-and-services.md` §11).

use std::collections::HashMap;

use serde::Serialize;

use super::People;
use crate::identity::NameHash;
use crate::ledger::RosterReader;
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
    /// Hashrate and shares per minute of all that are online, those that have no row included.
    #[serde(skip)]
    sums: (f64, f64),
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
        let connected = connected(&people.roster, &saved, now);
        let (mut online, mut offline) = (Vec::new(), Vec::new());
        let (mut online_workers, mut connections, mut sums) = (0, 0, (0.0, 0.0));
        // Each saved worker has a row, or nobody could remove it.
        let mut more_rows = ROWS_MAX.saturating_sub(saved.len());
        for row in &saved {
            let Some(worker) = connected.get(&row.worker_hash) else {
                offline.push(offline_row(people, row, now));
                continue;
            };
            online_workers += 1;
            connections += worker.connections;
            sums.0 += worker.all.hashrate;
            sums.1 += worker.all.share_rate;
            let rows = worker.first.len().min(1 + more_rows);
            more_rows -= rows.saturating_sub(1);
            online.extend(worker.first[..rows].iter().map(|view| online_row(row, view, now)));
        }
        let link = people.has_discord.then(|| people.links.get(user_id));
        Self {
            updated_at: format::rfc3339_unix(now),
            saved_max: SAVED_PER_USER_MAX,
            saved_count: saved.len(),
            online_count: connections,
            online_worker_count: online_workers,
            discord_registered: link.as_ref().map(Option::is_some),
            discord_notify_enabled: link.map(|link| link.is_some_and(|row| row.enabled)),
            best_difficulty: saved.iter().map(|row| row.best_difficulty).fold(0.0, f64::max),
            online_workers: online,
            offline_workers: offline,
            sums,
        }
    }
}

impl SavedList {
    /// Puts the rows that are online in order; without another wish by their numbers, so that they do not
    /// jump.
    pub fn sort(&mut self, key: &str, is_ascending: bool, uptime: impl Fn(&str) -> f64) {
        let number = |row: &Row| match key {
            "hashrate" => row.hashrate,
            "best" => row.best_difficulty,
            "difficulty" => row.difficulty,
            "rate" => row.shares_per_minute,
            "accepted" => row.accepted as f64,
            "rejected" => row.rejected as f64,
            "uptime" => uptime(&row.hash),
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
        self.sums
    }

    /// Connections that have no row.
    pub fn left_out(&self) -> usize {
        self.online_count - self.online_workers.len()
    }
}

/// A worker that is connected: all its connections as one, and those that may have a row.
struct Connected {
    all: WorkerView,
    connections: usize,
    first: Vec<WorkerView>,
}

/// Those of the saved workers that are connected, by hash. One pass over the roster, which the control
/// loop waits for meanwhile.
fn connected(
    roster: &RosterReader,
    saved: &[SavedWorkerRow],
    now: u64,
) -> HashMap<String, Connected> {
    let hashes: Vec<NameHash> =
        saved.iter().filter_map(|row| const_hex::decode_to_array(&row.worker_hash).ok()).collect();
    let roster = roster.read();
    let fading = roster.fading(now);
    let known = roster.known_among(&hashes).into_iter();
    let connected = known.filter_map(|(hash, name, mut sequences)| {
        sequences.sort_unstable();
        let all = roster.view(&name, &sequences, fading)?;
        let shown = sequences.iter().take(ROWS_PER_WORKER_MAX);
        let first = shown.filter_map(|one| roster.view(&name, &[*one], fading)).collect();
        Some((const_hex::encode(hash), Connected { all, connections: sequences.len(), first }))
    });
    connected.collect()
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
