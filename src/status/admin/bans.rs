//! Who is banned: all bans that are in force, with those that rules have made; lifting them, and
//! banning by hand, whether the worker is connected or not (`web.md` §6.9).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{TryRecvError, bounded};
use glommio::timer::sleep;
use gopool_shards::admission::ban::Ban;
use gopool_shards::limits::WORKER_NAME_BYTES_MAX;
use minijinja::context;
use serde::Serialize;

use super::super::format;
use super::super::http::{Answer, Response};
use super::list::Wanted;
use super::visit::{Problem, Visit};
use crate::clock::unix_now;
use crate::command::{BanLength, Command};
use crate::identity::worker_hash_hex;
use crate::privacy;

/// Control carries out what it is asked within milliseconds; a page does not wait longer for one that
/// does not.
const SETTLE_WAIT_MAX: Duration = Duration::from_secs(1);
const SETTLE_POLL: Duration = Duration::from_millis(2);
pub const PATH: &str = "/admin/bans";
/// What a miner is told when the operator names no reason.
pub const REASON: &str = "banned by the operator";
/// Of a page, or of an action: more at once is a mistake.
pub const NAMES_MAX: usize = 1000;

const LIFT: &str = "lift";
const ADD: &str = "add";
const MINUTE: u64 = 60;
/// Longer than that is for good.
const SECONDS_MAX: u64 = 10 * 365 * 24 * 3600;

#[derive(Serialize)]
struct Row {
    worker: String,
    display: String,
    hash: String,
    reason: String,
    /// RFC 3339; none for ever.
    until: Option<String>,
    /// An address, where the ban is of a rule that was broken from there.
    source: String,
}

impl Row {
    fn of(ban: &Ban) -> Self {
        Self {
            worker: ban.worker.to_string(),
            display: privacy::worker_name(&ban.worker),
            hash: privacy::hash(&worker_hash_hex(&ban.worker)),
            reason: ban.reason.to_string(),
            until: (ban.until_unix > 0).then(|| format::rfc3339_unix(ban.until_unix)),
            source: ban.source.map(|source| source.to_string()).unwrap_or_default(),
        }
    }
}

/// The query says where in the list one is, or the form that was sent from there.
pub fn page(visit: &Visit, problem: Option<&Problem>) -> Response {
    let wanted = wanted(visit);
    let now = unix_now();
    let end = |ban: &Ban| if ban.until_unix == 0 { u64::MAX } else { ban.until_unix };
    let mut bans = visit.admin().plan.bans.list();
    bans.retain(|ban| {
        ban.is_in_force(now)
            && (wanted.is_all()
                || wanted.is_found(&[
                    &*ban.worker,
                    &*ban.reason,
                    &*worker_hash_hex(&ban.worker),
                    &*ban.source.map(|source| source.to_string()).unwrap_or_default(),
                ]))
    });
    bans.sort_by(|a, b| (end(a), &a.worker).cmp(&(end(b), &b.worker)));
    let (shown, part) = wanted.part(&bans);
    let rows: Vec<Row> = shown.iter().map(|ban| Row::of(ban)).collect();
    let typed = ["worker", "amount", "unit", "reason"].map(|name| visit.form.get(name));
    let [worker, amount, unit, reason] = typed;
    let typed = context! { worker, amount, unit, reason };
    visit.page(PATH, "admin_bans.html", context! { rows, part, typed, path => PATH }, problem)
}

/// The list; after a change not before that has been carried out.
pub fn fresh_page(visit: Visit) -> Answer {
    if visit.query.get("notice").is_empty() {
        return page(&visit, None).into();
    }
    let (done, settled) = bounded(0);
    visit.admin().command(Command::Settled { done });
    Answer::Later(Box::pin(async move {
        let deadline = Instant::now() + SETTLE_WAIT_MAX;
        while settled.try_recv() == Err(TryRecvError::Empty) && Instant::now() < deadline {
            sleep(SETTLE_POLL).await;
        }
        page(&visit, None)
    }))
}

fn wanted(visit: &Visit) -> Wanted {
    // A form that was refused shows the list where it was sent from.
    let is_sent = visit.desk.path != PATH;
    Wanted::of(if is_sent { &visit.form } else { &visit.query })
}

/// Lifts every ban of the names that were chosen.
pub fn lift(visit: Visit) -> Answer {
    let names: BTreeSet<String> = names(&visit, "worker_name").collect();
    let known = visit.admin().plan.bans.list();
    // Names that differ by case are different, and each is sent as it is.
    let meant: BTreeSet<Arc<str>> = known
        .iter()
        .filter(|ban| names.contains(&*ban.worker))
        .map(|ban| Arc::clone(&ban.worker))
        .collect();
    if meant.is_empty() {
        let words = if names.is_empty() {
            "Choose whose ban to lift."
        } else {
            "None of them is banned any more."
        };
        return page(&visit, Some(&Problem::bad(LIFT, words))).into();
    }
    visit.with_password("lift-bans", LIFT, page, move |visit| {
        for worker in &meant {
            visit.admin().command(Command::LiftBan { worker: worker.to_string() });
        }
        let targets: Vec<&str> = meant.iter().map(|name| &**name).collect();
        visit.note("lift-bans", &targets.join(", "), "done");
        visit.see(&Wanted::of(&visit.form).place(PATH), "bans_removed")
    })
}

/// Bans a worker, or every worker of a wallet.
pub fn add(visit: Visit) -> Answer {
    let form = &visit.form;
    let worker = form.get("worker").to_owned();
    let length = match length(form.get("amount"), form.get("unit")) {
        _ if worker.is_empty() => Err("Name a worker, or a wallet.".to_owned()),
        _ if worker.len() > WORKER_NAME_BYTES_MAX => {
            Err(format!("A worker's name has {WORKER_NAME_BYTES_MAX} bytes at most."))
        }
        length => length.map_err(str::to_owned),
    };
    let length = match length {
        Ok(length) => length,
        Err(words) => return page(&visit, Some(&Problem::bad(ADD, words))).into(),
    };
    let reason = match form.get("reason") {
        "" => REASON.to_owned(),
        reason => reason.to_owned(),
    };
    visit.with_password("ban", ADD, page, move |visit| {
        let targets = format!("{worker}, {}: {reason}", words(length));
        visit.admin().command(Command::Ban { workers: vec![worker], length, reason });
        visit.note("ban", &targets, "done");
        visit.see(PATH, "worker_banned")
    })
}

fn length(amount: &str, unit: &str) -> Result<BanLength, &'static str> {
    let unit = match unit {
        "endless" => return Ok(BanLength::Endless),
        "" | "usual" => return Ok(BanLength::Usual),
        "minutes" => MINUTE,
        "hours" => 60 * MINUTE,
        "days" => 24 * 60 * MINUTE,
        _ => return Err("Choose for how long."),
    };
    let seconds = amount.parse::<u64>().ok().and_then(|amount| amount.checked_mul(unit));
    match seconds {
        Some(seconds @ 1..=SECONDS_MAX) => Ok(BanLength::Seconds(seconds)),
        _ => Err("Say for how long: a whole number, up to ten years."),
    }
}

fn words(length: BanLength) -> String {
    match length {
        BanLength::Usual => "as long as usual".to_owned(),
        BanLength::Seconds(seconds) => format!("{seconds} s"),
        BanLength::Endless => "for good".to_owned(),
    }
}

/// What a form has of a name, each once and none blank.
pub fn names<'a>(visit: &'a Visit, field: &'a str) -> impl Iterator<Item = String> + 'a {
    let all = visit.form.all(field).filter(|name| !name.is_empty());
    all.take(NAMES_MAX).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_a_number_of_a_unit_or_for_good() {
        for (amount, unit, expected) in [
            ("2", "hours", Ok(BanLength::Seconds(7200))),
            ("30", "minutes", Ok(BanLength::Seconds(1800))),
            ("", "endless", Ok(BanLength::Endless)),
            ("", "usual", Ok(BanLength::Usual)),
            ("3650", "days", Ok(BanLength::Seconds(SECONDS_MAX))),
        ] {
            assert_eq!(length(amount, unit), expected, "{amount} {unit}");
        }
        for (amount, unit) in [
            ("", "days"),
            ("0", "days"),
            ("-1", "days"),
            ("1.5", "days"),
            ("3651", "days"),
            ("18446744073709551615", "days"),
            ("1", "years"),
        ] {
            assert!(length(amount, unit).is_err(), "{amount} {unit}");
        }
    }
}
