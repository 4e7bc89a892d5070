//! What one report says, and how it is added to another.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::admission::ban::Ban;
use crate::limits::{BANS_PER_REPORT_MAX, GONE_PER_REPORT_MAX, OBSERVATIONS_PER_REPORT_MAX};

use super::Observation;
use super::best::{self, BestShare};
use super::look::Look;
use super::times::Times;

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
    /// Only while somebody wants to know.
    pub observations: Vec<Observation>,
    /// By worker name.
    pub workers: HashMap<Arc<str>, WorkerSums>,
    /// The newest look at each connection that has changed, by its sequence.
    pub looks: HashMap<u64, Look>,
    /// Sequences of connections that were looked at, now or in an earlier report, and have ended.
    /// Whoever adds reports up for good takes them out first, for they are never used again.
    pub gone: Vec<u64>,
    /// Shares that may be among the best there have been, best first, at most
    /// [`BEST_SHARES_MAX`](crate::limits::BEST_SHARES_MAX). A shard has named its best twelve when
    /// its reports are taken together, and little else.
    pub best_shares: Vec<BestShare>,
    pub pace: Pace,
}

/// How quick a shard is, and what it does to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Times that it has taken what had come from all sockets.
    pub turns: u64,
    /// Times that it has judged submissions, side by side.
    pub batches: u64,
    /// Receives that ended because all of the ring's buffers were full.
    pub starved: u64,
    /// From the turn that took a submission to the answer: one for each that was hashed.
    pub answers: Times,
    /// From when the pool could know of a new tip to the first miner that was told, where that was
    /// one of this shard.
    pub first_told: Times,
    /// From when the job on a new tip was sent to the shard until the last of its miners was told.
    pub last_told: Times,
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
        self.observations.extend(later.observations);
        self.observations.truncate(OBSERVATIONS_PER_REPORT_MAX);
        add_counts(&mut self.connections_closed, later.connections_closed);
        for (name, sums) in later.workers {
            self.workers.entry(name).or_default().add(&sums);
        }
        self.looks.extend(later.looks);
        for sequence in &later.gone {
            self.looks.remove(sequence);
        }
        self.gone.extend(later.gone);
        self.gone.truncate(GONE_PER_REPORT_MAX);
        // The last first, so that equals keep their order.
        for share in later.best_shares.into_iter().rev() {
            best::insert(&mut self.best_shares, share);
        }
        self.pace.add(&later.pace);
    }
}

impl Pace {
    pub fn add(&mut self, later: &Self) {
        self.turns += later.turns;
        self.batches += later.batches;
        self.starved += later.starved;
        self.answers.add(&later.answers);
        self.first_told.add(&later.first_told);
        self.last_told.add(&later.last_told);
    }
}

impl WorkerSums {
    pub(super) fn accept(&mut self, credit: f64, found: f64, at: u64) {
        self.accepted += 1;
        self.accepted_difficulty += credit;
        self.best_difficulty = self.best_difficulty.max(found);
        self.last_share_at = at;
    }

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
