//! What must be done again and again while the pool runs, and once more when it stops: bans that
//! have ended, best difficulties, best shares, codes, and the history.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tracing::info;

use gopool_shards::admission::ban::Ban;
use gopool_shards::admission::bans::Bans;

use super::minutes::Minutes;
use crate::codes::Codes;
use crate::ledger::{Heard, Ledger};
use crate::saved_workers::SavedWorkers;
use crate::snapshot::RecentHashrate;
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
    ended_bans: EndedBans,
    saved: SavedWorkers,
    codes: Arc<Mutex<Codes>>,
    minutes: Minutes,
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
            bans,
            ended_bans,
            saved,
            codes,
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
    use super::*;

    #[test]
    fn a_timer_is_due_once_an_interval_and_when_the_clock_was_set_back() {
        let mut timer = Timer::new(10, 100);
        let due: Vec<u64> = (100..140).filter(|now| timer.is_due(*now)).collect();
        assert_eq!(due, [110, 120, 130]);
        assert!(timer.is_due(50) && !timer.is_due(51) && timer.is_due(60));
    }
}
