//! Who is connected: every authorized connection, one row each, and what can be done about them
//! (`web.md` §6.7). Of those that have not authorized there is the number here, and a page of their
//! own: [`super::strangers`].

use std::collections::BTreeSet;
use std::fmt::Write as _;

use minijinja::context;
use serde::Serialize;

use super::super::format;
use super::super::http::{Answer, Response};
use super::bans::{REASON, names};
use super::list::Wanted;
use super::visit::{Problem, Visit};
use crate::clock::unix_now;
use crate::command::{BanLength, Command};
use crate::identity::worker_hash_hex;
use crate::ledger::roster::{Connection, Fading};
use crate::privacy;

pub const PATH: &str = "/admin/miners";

const FORM: &str = "miners";
pub(super) const GOODBYE: &str = "Disconnected by the pool's operator.";

#[derive(Serialize)]
struct Row {
    sequence: u64,
    worker: String,
    hash: String,
    client: String,
    remote: String,
    is_tls: bool,
    difficulty: f64,
    hashrate: f64,
    /// Shares per minute of the current window; none before the first.
    accepted_rate: Option<String>,
    submitted_rate: Option<String>,
    /// RFC 3339.
    connected_at: String,
    last_share_at: Option<String>,
    /// It is connected all the same: it will be refused when it authorizes again.
    ban: Option<BanCell>,
}

#[derive(Serialize)]
struct BanCell {
    until: Option<String>,
    reason: String,
}

impl Row {
    fn of(visit: &Visit, sequence: u64, connection: &Connection, fading: Fading) -> Self {
        let look = connection.look.as_deref();
        let rate = |count: u32| {
            let started_at = look.map_or(0, |look| look.window_started_at);
            let seconds = fading.now.saturating_sub(started_at);
            let rate = f64::from(count) * 60.0 / seconds as f64;
            (started_at > 0 && seconds > 0).then(|| format!("{rate:.2}"))
        };
        let bans = &visit.admin().plan.bans;
        let ban = bans.check(&connection.worker, connection.remote.ip().into(), fading.now);
        let at = |unix: u64| format::rfc3339_unix(unix);
        Self {
            sequence,
            worker: connection.worker.to_string(),
            hash: privacy::hash(&worker_hash_hex(&connection.worker)),
            client: connection.client_id.to_string(),
            remote: connection.remote.to_string(),
            is_tls: connection.is_tls,
            difficulty: connection.difficulty,
            hashrate: connection.hashrate(fading),
            accepted_rate: look.and_then(|look| rate(look.window_accepted)),
            submitted_rate: look.and_then(|look| rate(look.window_submissions)),
            connected_at: at(connection.connected_at),
            last_share_at: look.and_then(|look| look.last_share).map(|share| at(share.at)),
            ban: ban.map(|ban| BanCell {
                until: (ban.until_unix > 0).then(|| at(ban.until_unix)),
                reason: ban.reason.to_string(),
            }),
        }
    }
}

pub fn page(visit: &Visit, problem: Option<&Problem>) -> Response {
    let is_sent = visit.desk.path != PATH;
    let wanted = Wanted::of(if is_sent { &visit.form } else { &visit.query });
    // The ledger waits meanwhile: numbers first, and rows of the few that are shown.
    let roster = visit.admin().plan.roster.read();
    let fading = roster.fading(unix_now());
    let mut remote = String::new();
    let found = roster.connections().filter(|(_, it)| {
        if wanted.is_all() {
            return true;
        }
        remote.clear();
        let _ = write!(remote, "{}", it.remote);
        wanted.is_found(&[&*it.worker, &*it.client_id, &*remote])
    });
    let mut sequences: Vec<u64> = found.map(|(sequence, _)| sequence).collect();
    sequences.sort_unstable();
    let (shown, part) = wanted.part(&sequences);
    let connections = shown.iter().filter_map(|it| Some((*it, roster.connection(*it)?)));
    let rows: Vec<Row> =
        connections.map(|(sequence, it)| Row::of(visit, sequence, it, fading)).collect();
    drop(roster);
    let open = &visit.desk.paper.snapshot().connections;
    let strangers = open.open.saturating_sub(open.authorized);
    let page = context! { rows, part, strangers, path => PATH };
    visit.page(PATH, "admin_miners.html", page, problem)
}

/// The connections that were chosen and are still there, with their workers.
fn chosen(visit: &Visit) -> Vec<(u64, String)> {
    let numbers: BTreeSet<u64> = names(visit, "connection_seq")
        .filter_map(|number| number.parse().ok())
        .filter(|number| *number > 0)
        .collect();
    let roster = visit.admin().plan.roster.read();
    let there = numbers
        .into_iter()
        .filter_map(|number| Some((number, roster.connection(number)?.worker.to_string())));
    there.collect()
}

fn nobody() -> Problem {
    Problem::bad(FORM, "Choose miners that are connected. Nothing was done.")
}

pub fn disconnect(visit: Visit) -> Answer {
    let chosen = chosen(&visit);
    if chosen.is_empty() {
        return page(&visit, Some(&nobody())).into();
    }
    visit.with_password("disconnect", FORM, page, move |visit| {
        let targets: Vec<String> =
            chosen.iter().map(|(sequence, worker)| format!("{sequence} ({worker})")).collect();
        let sequences = chosen.into_iter().map(|(sequence, _)| sequence).collect();
        visit.admin().command(Command::Disconnect { sequences, words: GOODBYE });
        visit.note("disconnect", &targets.join(", "), "done");
        visit.see(&Wanted::of(&visit.form).place(PATH), "miner_disconnected")
    })
}

/// By name: all connections of these workers end, and none comes back before the ban does.
pub fn ban(visit: Visit) -> Answer {
    let workers: BTreeSet<String> = chosen(&visit).into_iter().map(|(_, worker)| worker).collect();
    if workers.is_empty() {
        return page(&visit, Some(&nobody())).into();
    }
    visit.with_password("ban", FORM, page, move |visit| {
        let workers: Vec<String> = workers.into_iter().collect();
        visit.note("ban", &workers.join(", "), "done");
        let (length, reason) = (BanLength::Usual, REASON.to_owned());
        visit.admin().command(Command::Ban { workers, length, reason });
        visit.see(&Wanted::of(&visit.form).place(PATH), "miner_banned")
    })
}
