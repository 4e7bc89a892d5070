//! What is done once a minute or every few seconds: the history's samples
//! (`state-and-services.md` §9.3, §18.1).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::history::{
    HistoryKeeper, MinuteBest, MinuteSample, POOL_KEY, SAMPLE_INTERVAL, ShortHistory, ShortSample,
    WorkerMinute,
};
use crate::identity::{NameHash, worker_hash_hex};
use crate::ledger::Ledger;
use crate::saved_workers::SavedWorkers;

const MINUTE: u64 = 60;
/// Shares of a minute are reported up to a second after it.
const REPORTS_WAIT: u64 = 2;

/// Fills the history.
pub(super) struct Minutes {
    keeper: HistoryKeeper,
    best: MinuteBest,
    short: ShortHistory,
    saved: SavedWorkers,
    /// The last minute that is done with: at first the one in which the process started, of which
    /// it has seen a part only.
    done: u64,
    short_at: u64,
    /// Worker hashes by name, of this minute.
    hashes: HashMap<Arc<str>, String>,
}

impl Minutes {
    pub(super) fn new(keeper: HistoryKeeper, saved: SavedWorkers, now_unix: u64) -> Self {
        Self {
            keeper,
            best: MinuteBest::default(),
            short: ShortHistory::default(),
            saved,
            done: now_unix / MINUTE,
            short_at: 0,
            hashes: HashMap::new(),
        }
    }

    pub(super) fn set_flush_interval(&self, interval: Duration) {
        self.keeper.set_flush_interval(interval);
    }

    /// Takes what a report has said: the best accepted share of all, and of each worker. Of a report
    /// that came in the first second of a minute some shares are of the minute before.
    pub(super) fn note(&mut self, best: f64, workers: &[(Arc<str>, f64)], now_unix: u64) {
        let minute = minute_of(now_unix);
        if best > 0.0 {
            self.best.note(POOL_KEY, minute, best);
        }
        if self.saved.is_empty() {
            self.hashes.clear();
            return;
        }
        for (name, _) in workers {
            self.hashes.entry(Arc::clone(name)).or_insert_with(|| worker_hash_hex(name));
        }
        let shares = workers.iter().map(|(name, best)| (&*self.hashes[name], *best));
        for (hash, difficulty) in self.saved.note(shares) {
            self.best.note(hash, minute, difficulty);
        }
    }

    /// Looks whether anything is due.
    pub(super) fn turn(&mut self, ledger: &Ledger, hashrate: f64, height: Option<u64>, now: u64) {
        if now >= self.short_at + SAMPLE_INTERVAL || now < self.short_at {
            self.short_at = now;
            self.short.add(ShortSample { at: now, hashrate, height });
        }
        let complete = (now.saturating_sub(REPORTS_WAIT) / MINUTE).saturating_sub(1);
        // A clock that was set back goes through some minutes twice; the history knows them.
        if self.done > complete + 1 {
            self.done = complete + 1;
        }
        if complete > self.done {
            self.done = complete;
            self.sample(ledger, hashrate, complete, now);
        }
    }

    fn sample(&mut self, ledger: &Ledger, pool_hashrate: f64, minute: u64, now: u64) {
        let minute = u32::try_from(minute).unwrap_or(u32::MAX);
        let hashes: Vec<NameHash> = self
            .saved
            .tracked()
            .iter()
            .filter_map(|hash| const_hex::decode_to_array(hash).ok())
            .collect();
        let views = {
            let reader = ledger.roster();
            let roster = reader.read();
            roster.workers_among(&hashes, roster.fading(now))
        };
        let workers = views
            .into_iter()
            .map(|(hash, view)| {
                let hash = const_hex::encode(hash);
                let best = self.best.take(&hash, minute);
                WorkerMinute { hash, hashrate: view.hashrate, best }
            })
            .collect();
        let pool_best = self.best.take(POOL_KEY, minute);
        // Whoever goes on working is hashed again, once a minute.
        self.hashes.clear();
        self.keeper.record(MinuteSample { minute, pool_hashrate, pool_best, workers });
    }

    /// The newest minutes of the pool, for pages.
    pub(super) fn short(&self) -> &ShortHistory {
        &self.short
    }

    /// Writes the history; returns when it is written.
    pub(super) fn finish(self) {
        self.keeper.finish();
    }
}

fn minute_of(unix: u64) -> u32 {
    u32::try_from(unix / MINUTE).unwrap_or(u32::MAX)
}
