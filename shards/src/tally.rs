//! The counters of one shard, added up between two reports. Plain numbers: a share touches one
//! core and nothing else.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use crate::admission::ban::Ban;
use crate::limits::BANS_PER_REPORT_MAX;
use crate::wire::reject::Reject;

/// What happened since the last report. Sums may be added to each other in any order.
#[derive(Clone, Debug, Default)]
pub struct Sums {
    pub accepted: u64,
    /// Sum of the difficulties credited.
    pub accepted_difficulty: f64,
    /// By [`Reject::label`].
    pub rejected: BTreeMap<&'static str, u64>,
    /// Difficulties that were raised, and lowered, on a miner's own account.
    pub vardiff_up: u64,
    pub vardiff_down: u64,
    /// Low shares whose cause is known, by the cause.
    pub mistakes: BTreeMap<&'static str, u64>,
    pub best_difficulty: f64,
    pub connections_accepted: u64,
    pub connections_refused: u64,
    /// By [`CloseReason::label`].
    pub connections_closed: BTreeMap<&'static str, u64>,
    /// New ones, for the database.
    pub bans: Vec<Arc<Ban>>,
    /// By worker name.
    pub workers: BTreeMap<Arc<str>, WorkerSums>,
}

/// One worker's part of the sums.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkerSums {
    pub accepted: u64,
    pub rejected: u64,
    pub accepted_difficulty: f64,
    pub best_difficulty: f64,
    /// Unix seconds of the newest submission; 0 for none.
    pub last_share_at: u64,
    /// Connections that joined less those that left.
    pub connections: i64,
    /// The difficulty last assigned; 0 when it has not changed.
    pub difficulty: f64,
}

/// Why a connection ended; each reason has its own counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The miner closed it, or it broke.
    Hangup,
    Idle,
    LineTooLong,
    Malformed,
    /// It spoke another protocol than its port.
    Foreign,
    /// Its TLS was broken.
    Tls,
    OutboxFull,
    Refused,
    Banned,
    Paused,
    Shutdown,
}

impl CloseReason {
    pub fn label(self) -> &'static str {
        match self {
            Self::Hangup => "hangup",
            Self::Idle => "idle",
            Self::LineTooLong => "line_too_long",
            Self::Malformed => "malformed",
            Self::Foreign => "foreign",
            Self::Tls => "tls",
            Self::OutboxFull => "outbox_full",
            Self::Refused => "refused",
            Self::Banned => "banned",
            Self::Paused => "paused",
            Self::Shutdown => "shutdown",
        }
    }
}

/// The sums that are being added up.
#[derive(Debug, Default)]
pub struct Tally {
    sums: Sums,
}

impl Tally {
    pub fn accept(&mut self, worker: &Arc<str>, credit: f64, found: f64, at: u64) {
        self.sums.accepted += 1;
        self.sums.accepted_difficulty += credit;
        self.sums.best_difficulty = self.sums.best_difficulty.max(found);
        let worker = self.worker(worker);
        worker.accepted += 1;
        worker.accepted_difficulty += credit;
        worker.best_difficulty = worker.best_difficulty.max(found);
        worker.last_share_at = at;
    }

    pub fn reject(&mut self, worker: Option<&Arc<str>>, reject: Reject, at: u64) {
        *self.sums.rejected.entry(reject.label()).or_default() += 1;
        if let Some(worker) = worker {
            let worker = self.worker(worker);
            worker.rejected += 1;
            worker.last_share_at = at;
        }
    }

    pub fn mistake(&mut self, label: &'static str) {
        *self.sums.mistakes.entry(label).or_default() += 1;
    }

    pub fn retargeted(&mut self, up: bool) {
        if up {
            self.sums.vardiff_up += 1;
        } else {
            self.sums.vardiff_down += 1;
        }
    }

    pub fn banned(&mut self, ban: Arc<Ban>) {
        if self.sums.bans.len() < BANS_PER_REPORT_MAX {
            self.sums.bans.push(ban);
        }
    }

    pub fn join(&mut self, worker: &Arc<str>) {
        self.worker(worker).connections += 1;
    }

    pub fn leave(&mut self, worker: &Arc<str>) {
        self.worker(worker).connections -= 1;
    }

    pub fn assigned(&mut self, worker: &Arc<str>, difficulty: f64) {
        self.worker(worker).difficulty = difficulty;
    }

    pub fn connection_accepted(&mut self) {
        self.sums.connections_accepted += 1;
    }

    pub fn connection_refused(&mut self) {
        self.sums.connections_refused += 1;
    }

    pub fn connection_closed(&mut self, reason: CloseReason) {
        *self.sums.connections_closed.entry(reason.label()).or_default() += 1;
    }

    /// Hands the sums over and starts new ones.
    pub fn take(&mut self) -> Sums {
        std::mem::take(&mut self.sums)
    }

    /// Takes sums back that could not be handed over: they go out with the next ones.
    pub fn put_back(&mut self, sums: Sums) {
        let newer = std::mem::replace(&mut self.sums, sums);
        self.sums.add(newer);
    }

    fn worker(&mut self, name: &Arc<str>) -> &mut WorkerSums {
        self.sums.workers.entry(Arc::clone(name)).or_default()
    }
}

impl Sums {
    /// Adds what happened later.
    pub fn add(&mut self, later: Self) {
        self.accepted += later.accepted;
        self.accepted_difficulty += later.accepted_difficulty;
        self.best_difficulty = self.best_difficulty.max(later.best_difficulty);
        self.connections_accepted += later.connections_accepted;
        self.connections_refused += later.connections_refused;
        self.vardiff_up += later.vardiff_up;
        self.vardiff_down += later.vardiff_down;
        add_counts(&mut self.rejected, later.rejected);
        add_counts(&mut self.mistakes, later.mistakes);
        self.bans.extend(later.bans);
        self.bans.truncate(BANS_PER_REPORT_MAX);
        add_counts(&mut self.connections_closed, later.connections_closed);
        for (name, sums) in later.workers {
            match self.workers.entry(name) {
                Entry::Vacant(entry) => {
                    entry.insert(sums);
                }
                Entry::Occupied(mut entry) => entry.get_mut().add(&sums),
            }
        }
    }
}

impl WorkerSums {
    /// Adds what happened later.
    pub fn add(&mut self, later: &Self) {
        self.accepted += later.accepted;
        self.rejected += later.rejected;
        self.accepted_difficulty += later.accepted_difficulty;
        self.best_difficulty = self.best_difficulty.max(later.best_difficulty);
        self.last_share_at = self.last_share_at.max(later.last_share_at);
        self.connections += later.connections;
        if later.difficulty > 0.0 {
            self.difficulty = later.difficulty;
        }
    }
}

fn add_counts(sums: &mut BTreeMap<&'static str, u64>, later: BTreeMap<&'static str, u64>) {
    for (label, count) in later {
        *sums.entry(label).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_back_goes_out_with_the_next() {
        let worker: Arc<str> = "w.1".into();
        let mut tally = Tally::default();
        tally.join(&worker);
        tally.assigned(&worker, 256.0);
        tally.accept(&worker, 256.0, 300.0, 10);
        tally.reject(Some(&worker), Reject::Duplicate, 11);
        let sums = tally.take();
        tally.accept(&worker, 256.0, 1000.0, 20);
        tally.reject(None, Reject::Duplicate, 21);
        tally.put_back(sums);
        let sums = tally.take();
        assert_eq!(
            (sums.accepted, sums.accepted_difficulty, sums.best_difficulty),
            (2, 512.0, 1000.0)
        );
        assert_eq!(sums.rejected["duplicate share"], 2);
        assert_eq!(
            sums.workers[&worker],
            WorkerSums {
                accepted: 2,
                rejected: 1,
                accepted_difficulty: 512.0,
                best_difficulty: 1000.0,
                last_share_at: 20,
                connections: 1,
                difficulty: 256.0,
            }
        );
        assert_eq!(tally.take().accepted, 0);
    }
}
