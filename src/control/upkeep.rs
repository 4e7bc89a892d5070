//! What must be done again and again while the pool runs, and once more when it stops: bans that
//! have ended, best difficulties, best shares, codes, and the history.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tracing::{debug, info};

use gopool_shards::admission::ban::Ban;
use gopool_shards::admission::bans::Bans;

use super::banned::Banned;
use super::minutes::Minutes;
use crate::codes::Codes;
use crate::ledger::roster::Roster;
use crate::ledger::{Heard, Ledger};
use crate::saved_workers::SavedWorkers;
use crate::snapshot::{BannedFigures, RecentHashrate};
use crate::store::{CodeRow, EndedBans, StoreHandle};

/// Seconds from one to the next.
const FLUSH_INTERVAL: u64 = 10;
const CODES_INTERVAL: u64 = 60;
const CLEANING_INTERVAL: u64 = 3600;
/// Bytes of blocks that were settled are kept for thirty days.
const SETTLED_KEPT: u64 = 30 * 24 * 3600;

/// What is kept beside the ledger, and when it was last looked at.
pub(super) struct Upkeep {
    store: StoreHandle,
    bans: Arc<Bans>,
    banned: Banned,
    ended_bans: EndedBans,
    saved: SavedWorkers,
    codes: Arc<Mutex<Codes>>,
    minutes: Minutes,
    /// Accepted and rejected shares, as last logged.
    totals: (u64, u64),
    flush: Timer,
    code_cleaning: Timer,
    cleaning: Timer,
}

/// What [`Upkeep`] is made of.
pub struct UpkeepPlan {
    pub store: StoreHandle,
    pub bans: Arc<Bans>,
    pub ended_bans: EndedBans,
    pub saved: SavedWorkers,
    pub codes: Arc<Mutex<Codes>>,
    pub history: crate::history::HistoryKeeper,
}

impl Upkeep {
    pub(super) fn new(plan: UpkeepPlan, now_unix: u64) -> Self {
        let UpkeepPlan { store, bans, ended_bans, saved, codes, history } = plan;
        Self {
            minutes: Minutes::new(history, saved.clone(), now_unix),
            store,
            banned: Banned::new(Arc::clone(&bans)),
            bans,
            ended_bans,
            saved,
            codes,
            totals: (0, 0),
            flush: Timer::new(FLUSH_INTERVAL, now_unix),
            code_cleaning: Timer::new(CODES_INTERVAL, now_unix),
            // At once: the last run may have ended long ago.
            cleaning: Timer::new(CLEANING_INTERVAL, 0),
        }
    }

    pub(super) fn set_history_flush_interval(&self, interval: Duration) {
        self.minutes.set_flush_interval(interval);
    }

    pub(super) fn note(&mut self, heard: &Heard, now_unix: u64) {
        self.minutes.note(heard.best_difficulty, &heard.best_of_workers, now_unix);
    }

    /// Does what is due.
    pub(super) fn turn(
        &mut self,
        ledger: &mut Ledger,
        hashrate: f64,
        height: Option<u64>,
        now_unix: u64,
    ) {
        if let Some(best) = ledger.take_best_shares() {
            self.store.save_best_shares(best);
        }
        if self.flush.is_due(now_unix) {
            self.saved.flush();
            self.log_totals(ledger);
        }
        if self.code_cleaning.is_due(now_unix) {
            self.codes().expire(now_unix);
        }
        if self.cleaning.is_due(now_unix) {
            self.store.delete_settled_before(now_unix.saturating_sub(SETTLED_KEPT));
            if self.ended_bans == EndedBans::Delete {
                self.bans.expire(now_unix);
                self.store.delete_ended_bans(now_unix);
            }
        }
        self.minutes.turn(ledger, hashrate, height, now_unix);
    }

    /// The pool's hashrate of the last minutes, for pages (§18.1).
    pub(super) fn recent_hashrate(&self, now_unix: u64) -> RecentHashrate {
        let short = self.minutes.short();
        RecentHashrate {
            codes: short.codes(now_unix),
            newest: short.fallback(now_unix).map(|sample| (sample.hashrate, sample.height)),
        }
    }

    /// Whether a worker would be turned away if it came from there now.
    pub(super) fn is_banned(&self, worker: &str, remote: SocketAddr, now_unix: u64) -> bool {
        self.bans.check(worker, remote.ip().into(), now_unix).is_some()
    }

    /// Who is banned, for the pages.
    pub(super) fn banned(&mut self, roster: &Roster, now_unix: u64) -> Vec<BannedFigures> {
        self.banned.listed(roster, self.ended_bans, now_unix)
    }

    /// Connected workers that are banned by the hash of their name alone, with that ban.
    pub(super) fn recognised(
        &mut self,
        roster: &Roster,
        now_unix: u64,
    ) -> Vec<(Arc<str>, Arc<Ban>)> {
        self.banned.recognised(roster, now_unix)
    }

    /// Bans everywhere, from now on and for those who are connected when they authorize again.
    pub(super) fn ban(&self, worker: &str, until_unix: u64, reason: &str) {
        let ban = self.bans.insert(Ban::new(worker, until_unix, reason, None));
        self.store.save_ban(&ban);
        info!(component = "stratum", worker, reason, until = until_unix, "banned by an operator");
    }

    /// Lifts all bans of exactly this name, also for those who hold one.
    pub(super) fn lift_ban(&self, worker: &str) {
        let count = self.bans.remove(worker);
        self.store.lift_ban(worker);
        info!(component = "stratum", worker, count, "ban lifted by an operator");
    }

    fn log_totals(&mut self, ledger: &Ledger) {
        let totals = ledger.totals();
        if totals != self.totals {
            self.totals = totals;
            let (accepted, rejected) = totals;
            debug!(component = "stratum", accepted, rejected, "shares so far");
        }
    }

    /// Writes what is in memory alone; returns when the history is on the disk.
    pub(super) fn finish(self, ledger: &mut Ledger, now_unix: u64) {
        if let Some(best) = ledger.take_best_shares() {
            self.store.save_best_shares(best);
        }
        self.saved.flush();
        let mut codes = self.codes();
        codes.expire(now_unix);
        let live = codes.live().into_iter().map(|code| CodeRow {
            user_id: code.user_id,
            code: code.code,
            created_at: code.created_at_unix,
            expires_at: code.expires_at_unix,
        });
        self.store.save_codes(live.collect());
        drop(codes);
        self.minutes.finish();
    }

    fn codes(&self) -> MutexGuard<'_, Codes> {
        self.codes.lock().expect("no code panics while it holds this")
    }
}

/// Something that is due again and again, by a clock that may be set.
struct Timer {
    interval: u64,
    last: u64,
}

impl Timer {
    fn new(interval: u64, now: u64) -> Self {
        Self { interval, last: now }
    }

    fn is_due(&mut self, now: u64) -> bool {
        let is_due = now >= self.last + self.interval || now < self.last;
        if is_due {
            self.last = now;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use gopool_shards::admission::source::Source;

    use super::*;
    use crate::history::HistoryKeeper;
    use crate::store::{BanRow, Restored, StorePlan, open};

    const NOW: u64 = 1_700_000_000;

    /// What the next run finds after `act` has been done in this one.
    fn after(act: impl FnOnce(&mut Upkeep, &Bans)) -> Restored {
        let folder = tempfile::tempdir().unwrap();
        let plan = StorePlan {
            data_dir: folder.path(),
            ended_bans: EndedBans::Keep,
            backup: folder.path().join("backup"),
        };
        let (store, reader, thread) = open(&plan).unwrap().0.spawn().unwrap();
        let bans = Arc::new(Bans::default());
        let mut upkeep = Upkeep::new(
            UpkeepPlan {
                store: store.clone(),
                bans: Arc::clone(&bans),
                ended_bans: EndedBans::Delete,
                saved: SavedWorkers::new(Vec::new(), store.clone()),
                codes: Arc::new(Mutex::new(Codes::new("ABCD"))),
                history: HistoryKeeper::open(&folder.path().join("state"), 1).unwrap(),
            },
            NOW,
        );
        act(&mut upkeep, &bans);
        upkeep.finish(&mut ledger(), NOW);
        drop((store, reader));
        thread.join().unwrap();
        open(&plan).unwrap().1
    }

    fn ledger() -> Ledger {
        Ledger::new(&[0], Vec::new(), Default::default(), Duration::from_secs(450))
    }

    #[test]
    fn an_operators_ban_is_in_force_at_once_and_outlives_the_process_until_it_is_lifted() {
        let source: Source = "10.0.0.7".parse().unwrap();
        let restored = after(|upkeep, bans| {
            upkeep.ban("w.1", NOW + 60, "admin ban");
            assert!(bans.check("w.1", source, NOW).is_some());
            let remote = "10.0.0.7:4000".parse().unwrap();
            assert!(upkeep.is_banned("w.1", remote, NOW) && !upkeep.is_banned("x", remote, NOW));
            upkeep.ban("w.2", NOW + 60, "admin ban");
            upkeep.ban("W.2", NOW + 60, "admin ban");
            upkeep.lift_ban("w.2");
            assert!(bans.check("w.2", source, NOW).is_none());
        });
        let mut names: Vec<&str> =
            restored.bans.iter().map(|BanRow { worker, .. }| &**worker).collect();
        names.sort_unstable();
        assert_eq!(names, ["W.2", "w.1"], "names that differ by case are different");
    }

    #[test]
    fn bans_that_have_ended_are_deleted_hourly() {
        let restored = after(|upkeep, bans| {
            upkeep.turn(&mut ledger(), 0.0, None, NOW);
            upkeep.ban("ends", NOW + 60, "");
            upkeep.ban("stays", NOW + 36_000, "");
            upkeep.turn(&mut ledger(), 0.0, None, NOW + 3599);
            assert_eq!(bans.list().len(), 2);
            upkeep.turn(&mut ledger(), 0.0, None, NOW + 3600);
            assert_eq!(bans.list().len(), 1);
        });
        assert_eq!(restored.bans.len(), 1);
    }

    #[test]
    fn codes_that_are_alive_when_the_pool_stops_are_there_for_the_next() {
        let mut code = String::new();
        let restored = after(|upkeep, _| {
            let mut codes = upkeep.codes();
            code = codes.create("user", NOW - 10).unwrap().code;
            codes.create("late", NOW - 1000).unwrap();
        });
        assert_eq!(restored.codes.len(), 1);
        assert_eq!(format!("ABCD-{}", restored.codes[0].code), code);
    }

    #[test]
    fn a_timer_is_due_once_an_interval_and_when_the_clock_was_set_back() {
        let mut timer = Timer::new(10, 100);
        let due: Vec<u64> = (100..140).filter(|now| timer.is_due(*now)).collect();
        assert_eq!(due, [110, 120, 130]);
        assert!(timer.is_due(50) && !timer.is_due(51) && timer.is_due(60));
    }
}
