//! The page of one worker.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crossbeam_channel::{TryRecvError, bounded};
use glommio::timer::sleep;
use gopool_shards::admission;
use gopool_shards::session::ShownWork;
use minijinja::context;
use minijinja::value::Value;
use serde::Serialize;

use super::lookup::{field, fields};
use super::payout::Payout;
use super::view::Shown;
use super::wanted::{Kind, Wanted};
use super::{Asked, LOOKUP, Paper};
use crate::clock::unix_now;
use crate::command::Command;
use crate::history::Resolution;
use crate::identity::{NameHash, worker_hash};
use crate::privacy;
use crate::status::account::People;
use crate::status::format;
use crate::status::http::{Answer, Response, Status};
use crate::status::pages::Chart;

/// A shard answers within a turn; one that does not has no time for pages.
const SHOW_WAIT_MAX: Duration = Duration::from_millis(500);
const SHOW_POLL: Duration = Duration::from_millis(1);

/// Questions to the shards in one second, of all visitors: each looks through all connections, which is
/// a millisecond or two with twenty thousand.
const SHOWS_PER_SECOND: u32 = 20;

/// How many have been asked since when.
pub struct Shows(Cell<(Instant, u32)>);

impl Default for Shows {
    fn default() -> Self {
        Self(Cell::new((Instant::now(), 0)))
    }
}

impl Shows {
    /// Whether one more may be asked now, in which case it counts.
    fn begin(&self, now: Instant) -> bool {
        let (since, count) = self.0.get();
        let is_over = now.duration_since(since) >= Duration::from_secs(1);
        let (since, count) = if is_over { (now, 0) } else { (since, count) };
        self.0.set((since, count + 1));
        count < SHOWS_PER_SECOND
    }
}

pub fn worker(asked: &Asked<'_>) -> Answer {
    let fields = fields(asked.request);
    let is_private = is_private(fields.1.get("privacy"));
    let paper = asked.paper.clone();
    let message = |status, title: &str, text: String| -> Answer {
        let page = context! { here => LOOKUP, title, text };
        paper.page(status, "worker_message.html", page).into()
    };
    let hash = match Wanted::of(field(&fields, "hash"), field(&fields, "worker"), Kind::Worker) {
        Err(error) => {
            return message(Status::BadRequest, "That cannot be looked up", error.to_string());
        }
        Ok(Wanted::Nothing) => {
            let text = "Look one up by its name, as your miner has it.".to_owned();
            return message(Status::Ok, "No worker was named", text);
        }
        Ok(Wanted::Hash(hash)) => hash,
    };
    let (workers, people) = (asked.workers, asked.people);
    let now = unix_now();
    let view = {
        let roster = people.roster.read();
        roster.worker_of(&hash, roster.fading(now))
    };
    let ban = workers.banned.find(&hash, now).map(|ban| Ban::new(&ban));
    let saved = Saved::of(people, asked.user.as_deref(), &hash, now);
    if view.is_none() && ban.is_none() && saved.is_none() {
        let text = "Nobody of that name is connected. A worker is shown while it mines here.";
        return message(Status::NotFound, "This worker is not here", text.to_owned());
    }
    let own = context! {
        here => LOOKUP,
        hash => const_hex::encode(hash),
        worker => view.as_ref().map(|view| Shown::new(view, is_private)),
        is_private,
        ban,
        saved,
        can_save => asked.user.is_some(),
    };
    let Some(view) = view else { return finish(&paper, own, None).into() };
    // The newest connection's: what it was told is what it is judged by.
    let (answer, answers) = bounded(1);
    let show = Command::Show { sequence: view.sequence, answer };
    let is_asked = workers.shows.begin(Instant::now()) && workers.commands.send(show).is_ok();
    let network = workers.network;
    Answer::Later(Box::pin(async move {
        let deadline = Instant::now() + SHOW_WAIT_MAX;
        let mut work: Option<ShownWork> = None;
        while is_asked && Instant::now() < deadline {
            match answers.try_recv() {
                Ok(shown) => {
                    work = Some(shown);
                    break;
                }
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => sleep(SHOW_POLL).await,
            }
        }
        // It may have become somebody else's in between.
        let work = work.filter(|work| worker_hash(&work.payee.name) == hash);
        let shown = &paper.newest.snapshot.shown;
        let payout = work.and_then(|work| Payout::new(&work, network, shown, is_private));
        finish(&paper, own, payout)
    }))
}

fn finish(paper: &Paper, own: Value, payout: Option<Payout>) -> Response {
    paper.page(Status::Ok, "worker.html", context! { payout, ..own })
}

/// Private unless the visitor says otherwise (§4.10).
fn is_private(value: &str) -> bool {
    !["off", "0", "false", "no"].iter().any(|off| value.eq_ignore_ascii_case(off))
}

/// Why the worker may not mine.
#[derive(Serialize)]
struct Ban {
    name: String,
    /// None for ever.
    until: Option<String>,
    reason: String,
}

impl Ban {
    fn new(ban: &admission::ban::Ban) -> Self {
        Self {
            name: privacy::worker_name(&ban.worker),
            until: (ban.until_unix > 0).then(|| format::rfc3339_unix(ban.until_unix)),
            // What an operator has written stays private.
            reason: if ban.source.is_some() { ban.reason.to_string() } else { String::new() },
        }
    }
}

/// What is kept of a worker that this visitor has saved.
#[derive(Serialize)]
struct Saved {
    name: String,
    best_difficulty: f64,
    last_online_at: Option<String>,
    chart: Option<Chart>,
}

impl Saved {
    fn of(people: &People, user: Option<&str>, hash: &NameHash, now: u64) -> Option<Self> {
        let hash = const_hex::encode(hash);
        let row = people.saved.list(user?).into_iter().find(|row| row.worker_hash == hash)?;
        let minute = u32::try_from(now / 60).unwrap_or(u32::MAX);
        let history = people.history.read();
        let series = history.compact(Resolution::Minute, &hash, minute);
        Some(Self {
            name: row.display,
            best_difficulty: row.best_difficulty,
            last_online_at: history.last_online_at(&hash, minute).map(|time| time.to_string()),
            chart: series.as_ref().and_then(Chart::of),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shards_are_not_asked_without_end() {
        let shows = Shows::default();
        let now = Instant::now();
        let asked = (0..1000).filter(|_| shows.begin(now)).count();
        assert_eq!(asked, SHOWS_PER_SECOND as usize);
        assert!(shows.begin(now + Duration::from_secs(1)));
    }
}
