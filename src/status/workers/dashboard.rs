//! The list of workers that somebody has saved: what each does, all of them together, and who else is
//! there of a wallet.

use std::collections::HashMap;

use minijinja::context;
use serde::Serialize;

use super::lookup::{field, fields};
use super::view::Shown;
use super::wanted::{Kind, Wanted};
use super::{Asked, DASHBOARD, LOOKUP, ReconnectPolicy};
use crate::clock::unix_now;
use crate::history::{CompactSeries, History, Resolution};
use crate::identity::worker_hash_hex;
use crate::status::account::{Fields, People, SavedList};
use crate::status::auth::LOCAL_USER;
use crate::status::format;
use crate::status::http::{Answer, Response, Status};
use crate::status::json::{PoolHashrate, blocks};
use crate::status::pages::{Chart, odds, spark};
use crate::status::sign_in::policy;
use crate::store::{SAVED_PER_USER_MAX, SavedWorkerRow};

/// Found blocks shown beside one's own workers.
const BLOCKS_SHOWN: usize = 10;

/// What the rows can be sorted by; the first is the default.
const SORTS: [(&str, &str); 10] = [
    ("connection", "Connection"),
    ("name", "Name"),
    ("hashrate", "Hashrate"),
    ("best", "Best share"),
    ("difficulty", "Difficulty"),
    ("rate", "Shares/min"),
    ("accepted", "Accepted"),
    ("rejected", "Refused"),
    ("connected", "Connected"),
    ("uptime", "There"),
];

pub fn dashboard(asked: &Asked<'_>) -> Answer {
    let Some(user) = &asked.user else { return Response::see_other(LOOKUP).into() };
    let fields = fields(asked.request);
    let (people, now) = (asked.people, unix_now());
    let mut list = SavedList::new(people, user, now);
    let sort = SORTS.iter().find(|(key, _)| *key == field(&fields, "sort")).unwrap_or(&SORTS[0]).0;
    let is_ascending = field(&fields, "order") == "ascending";
    let saved = people.saved.list(user);
    let minute = u32::try_from(now / 60).unwrap_or(u32::MAX);
    let (all, sparks) = {
        let history = people.history.read();
        let series = series_of(&history, &saved, minute);
        let all = CompactSeries::sum(series.values(), minute);
        (all, sparks(series))
    };
    let uptime = |hash: &str| sparks.get(hash).and_then(|spark| spark.uptime).unwrap_or(0.0);
    list.sort(sort, is_ascending, uptime);
    let paper = &asked.paper;
    let snapshot = &paper.newest.snapshot;
    let hashrate = PoolHashrate::new(snapshot);
    let found = blocks::list(snapshot);
    let (hashrate_sum, rate_sum) = list.sums();
    let clerk = people.clerk_script().filter(|_| user != LOCAL_USER);
    let has_script = clerk.is_some();
    let page = context! {
        here => DASHBOARD,
        left_out => list.left_out(),
        list,
        sort,
        is_ascending,
        sorts => SORTS,
        sparks,
        chart => all.as_ref().and_then(Chart::of),
        hashrate_sum,
        rate_sum,
        odds => odds(hashrate_sum, hashrate.block_difficulty),
        hashrate,
        blocks => &found[..found.len().min(BLOCKS_SHOWN)],
        finder => Finder::new(asked, &fields, &saved, now),
        notice => notice(fields.1.get("notice")),
        is_local => user == LOCAL_USER,
        clerk,
        has_discord => people.has_discord,
        has_notices => people.has_notices,
        can_reconnect => asked.workers.reconnect != ReconnectPolicy::Off,
        link => people.links.get(user).map(|row| row.enabled),
        as_of => format::rfc3339_unix(now),
    };
    let page = paper.page(Status::Ok, "saved_workers.html", page);
    // Clerk's script keeps the session's token fresh here.
    let policy = people.clerk.as_ref().filter(|_| has_script);
    let policy = policy.map(|clerk| policy::of(&clerk.settings.frontend_api_url));
    match policy {
        Some(policy) => page.with("Content-Security-Policy", policy).into(),
        None => page.into(),
    }
}

fn series_of(
    history: &History,
    saved: &[SavedWorkerRow],
    minute: u32,
) -> HashMap<String, CompactSeries> {
    let series = |row: &SavedWorkerRow| {
        let series = history.compact(Resolution::Minute, &row.worker_hash, minute)?;
        Some((row.worker_hash.clone(), series))
    };
    saved.iter().filter_map(series).collect()
}

/// A small drawing of each worker's day, and how much of it the worker was there.
fn sparks(series: HashMap<String, CompactSeries>) -> HashMap<String, Spark> {
    let spark =
        |series: CompactSeries| Spark { path: spark(&series), uptime: series.uptime_percent };
    series.into_iter().map(|(hash, series)| (hash, spark(series))).collect()
}

#[derive(Serialize)]
struct Spark {
    path: String,
    uptime: Option<f64>,
}

/// Workers of a wallet that are connected, to be saved with one press.
#[derive(Serialize)]
struct Finder {
    message: String,
    workers: Vec<Found>,
    /// Hashes of those that can be saved with one press.
    unsaved: Vec<String>,
}

#[derive(Serialize)]
struct Found {
    worker: Shown,
    is_saved: bool,
}

impl Finder {
    fn new(
        asked: &Asked<'_>,
        fields: &(Fields, Fields),
        saved: &[SavedWorkerRow],
        now: u64,
    ) -> Option<Self> {
        let hash = match Wanted::of(field(fields, "hash"), field(fields, "wallet"), Kind::Wallet) {
            Ok(Wanted::Nothing) => return None,
            Ok(Wanted::Hash(hash)) => hash,
            Err(error) => {
                let message = error.to_string();
                return Some(Self { message, workers: Vec::new(), unsaved: Vec::new() });
            }
        };
        let people: &People = asked.people;
        let views = {
            let roster = people.roster.read();
            roster.workers_of_wallet(&hash, roster.fading(now))
        };
        let mut unsaved = Vec::new();
        let workers: Vec<Found> = views
            .iter()
            .map(|view| {
                let hash = worker_hash_hex(&view.name);
                let is_saved = saved.iter().any(|row| row.worker_hash == hash);
                if !is_saved {
                    unsaved.push(hash);
                }
                Found { worker: Shown::new(view, true), is_saved }
            })
            .collect();
        unsaved.truncate(SAVED_PER_USER_MAX.saturating_sub(saved.len()));
        let message = match workers.len() {
            0 => "No worker of this wallet is connected now.".to_owned(),
            count => format!("{count} connected."),
        };
        Some(Self { message, workers, unsaved })
    }
}

/// What has just been done, in fixed words: what stands in an address is never shown.
fn notice(code: &str) -> Option<(&'static str, bool)> {
    Some(match code {
        "saved" => ("Saved.", true),
        "removed" => ("Removed.", true),
        "reset" => ("Its connections are being closed; the miner comes back by itself.", true),
        "notices_on" => ("Notices are on.", true),
        "notices_off" => ("Notices are off.", true),
        "worker_on" => ("You will hear of this worker.", true),
        "worker_off" => ("You will not hear of this worker.", true),
        "not_linked" => ("Not switched: connect your Discord account first.", false),
        "list_full" => ("Not saved: the list is full. Remove one first.", false),
        "too_long" => ("Not saved: a worker's name has at most 256 bytes.", false),
        "store_failed" => ("Not saved: the database cannot be written now.", false),
        "not_found" => ("Not saved: nobody of that name is connected any more.", false),
        "not_connected" => ("Nothing to reset: this worker is not connected.", false),
        "reset_elsewhere" => (
            "Not reset: none of its connections comes from the network that you are in now.",
            false,
        ),
        "reset_off" => ("Not reset: this pool has switched that off.", false),
        "reset_too_soon" => ("Not reset: it was reset less than five minutes ago.", false),
        _ => return None,
    })
}
