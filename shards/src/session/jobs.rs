//! The jobs a connection has been notified of. What a miner was told is what it is judged by.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::limits::{BLOCK_JOBS_MAX, FOUND_BLOCKS_MAX, RECENT_JOBS_MAX, SEEN_PER_SESSION_MAX};
use crate::settings::Freshness;
use crate::sha256d::Hash;
use crate::work::base58;
use crate::work::job::Job;

use super::Payee;
use super::seen::Seen;

/// One `mining.notify` as it was sent. The coinbase halves follow from these without fail: the
/// job and the payee never change.
#[derive(Clone, Debug)]
pub(super) struct Notified {
    pub(super) job: Arc<Job>,
    pub(super) payee: Arc<Payee>,
    /// The difficulty that its shares must have.
    pub(super) difficulty: f64,
    /// Number of the notify on its connection, from 1.
    pub(super) sequence: u32,
}

impl Notified {
    pub(super) fn new(job: &Arc<Job>, payee: &Arc<Payee>, sequence: u32, difficulty: f64) -> Self {
        let (job, payee) = (Arc::clone(job), Arc::clone(payee));
        Self { job, payee, difficulty, sequence }
    }

    /// `<pool job>-<notify>`, both in base 58 (`stratum.md` §5.3).
    pub(super) fn write_id(&self, out: &mut Vec<u8>) {
        base58::write_counter(out, self.job.id);
        out.push(b'-');
        base58::write_counter(out, u64::from(self.sequence) - 1);
    }

    fn has_id(&self, (job, sequence): (u64, u64)) -> bool {
        self.job.id == job && u64::from(self.sequence) == sequence
    }
}

/// A job that takes shares, and those it has had.
#[derive(Debug)]
struct RecentJob {
    notified: Notified,
    /// None before the first.
    seen: Option<Box<Seen>>,
}

impl RecentJob {
    fn shares(&self) -> usize {
        self.seen.as_ref().map_or(0, |seen| seen.len())
    }

    /// It has had as many as can be remembered.
    fn is_full(&self) -> bool {
        self.seen.as_ref().is_some_and(|seen| seen.is_full())
    }
}

/// The pool job's number and the notify's, as [`Notified::write_id`] writes them.
fn parse_id(id: &str) -> Option<(u64, u64)> {
    let (job, sequence) = id.split_once('-')?;
    Some((base58::parse_counter(job)?, base58::parse_counter(sequence)?.checked_add(1)?))
}

/// A job that a submission names.
pub(super) enum Found<'a> {
    /// It takes shares, if there is room for one more.
    Recent { notified: &'a Notified, is_full: bool },
    /// It takes a block only: its height is still being mined, but it has left the window.
    Late(&'a Notified),
}

/// The job that a submission is judged as.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) notified: &'a Notified,
    /// It is good for a block and for nothing else.
    pub(super) is_stale: bool,
    /// Its shares are remembered.
    pub(super) is_remembered: bool,
}

/// The blocks a connection has found last: a job that takes blocks only does not remember shares.
#[derive(Debug, Default)]
pub(super) struct FoundBlocks(VecDeque<Hash>);

impl FoundBlocks {
    /// `false` when it was known.
    pub(super) fn remember(&mut self, hash: Hash) -> bool {
        if self.0.contains(&hash) {
            return false;
        }
        if self.0.len() == FOUND_BLOCKS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(hash);
        true
    }
}

#[derive(Debug, Default)]
pub(super) struct NotifiedJobs {
    /// Oldest first, at most [`RECENT_JOBS_MAX`]; their sequences follow each other.
    recent: VecDeque<RecentJob>,
    /// Older ones of the current tip.
    late: VecDeque<Notified>,
    /// The set of a job that has gone, for the next.
    spare: Option<Box<Seen>>,
    /// Blocks found for any of them.
    pub(super) found: FoundBlocks,
    sequence: u32,
}

impl NotifiedJobs {
    /// Records a notify that is about to be sent, and returns it.
    pub(super) fn push(
        &mut self,
        job: &Arc<Job>,
        payee: &Arc<Payee>,
        difficulty: f64,
    ) -> &Notified {
        self.sequence += 1;
        self.late.retain(|notified| notified.job.is_same_tip_as(job));
        self.retire(job);
        while self.late.len() > BLOCK_JOBS_MAX - RECENT_JOBS_MAX {
            self.late.pop_front();
        }
        // Ten thousand miners grow theirs at the same time: to what is used, and no further.
        if self.recent.len() == self.recent.capacity() {
            let room = (self.recent.len().max(1)).min(RECENT_JOBS_MAX - self.recent.len());
            self.recent.reserve_exact(room);
        }
        let notified = Notified::new(job, payee, self.sequence, difficulty);
        self.recent.push_back(RecentJob { notified, seen: None });
        &self.recent.back().expect("just pushed").notified
    }

    /// Makes room for one more: the oldest take no more shares, but those of the tip a block.
    fn retire(&mut self, tip: &Job) {
        let mut shares_seen = self.shares_seen();
        while self.recent.len() >= RECENT_JOBS_MAX || shares_seen > SEEN_PER_SESSION_MAX {
            let Some(oldest) = self.recent.pop_front() else { break };
            shares_seen -= oldest.shares();
            if oldest.notified.job.is_same_tip_as(tip) {
                self.late.push_back(oldest.notified);
            }
            self.spare = oldest.seen.and_then(Seen::emptied).or_else(|| self.spare.take());
        }
    }

    /// Shares remembered, for all jobs together.
    pub(super) fn shares_seen(&self) -> usize {
        self.recent.iter().map(RecentJob::shares).sum()
    }

    pub(super) fn last(&self) -> Option<&Notified> {
        self.recent.back().map(|recent| &recent.notified)
    }

    /// All jobs that take shares, oldest first.
    pub(super) fn recent(&self) -> impl Iterator<Item = &Notified> {
        self.recent.iter().map(|recent| &recent.notified)
    }

    /// The job that a submission means by `id`, under the rule of freshness (`stratum.md` §6.5).
    pub(super) fn name(&self, id: &str, freshness: Freshness) -> Option<Named<'_>> {
        let last = self.last()?;
        let Some(found) = self.find(id) else {
            let falls_back = freshness == Freshness::Off;
            let named = Named { notified: last, is_stale: true, is_remembered: false };
            return falls_back.then_some(named);
        };
        let (notified, is_remembered) = match found {
            Found::Recent { notified, is_full } => (notified, !is_full),
            Found::Late(notified) => (notified, false),
        };
        let is_old =
            notified.job.prev_hash != last.job.prev_hash || notified.job.height != last.job.height;
        let is_stale = !is_remembered || (is_old && freshness == Freshness::JobIdAndPrevHash);
        Some(Named { notified, is_stale, is_remembered })
    }

    pub(super) fn find(&self, id: &str) -> Option<Found<'_>> {
        let id = parse_id(id)?;
        if let Some(recent) = self.recent.iter().rev().find(|recent| recent.notified.has_id(id)) {
            return Some(Found::Recent { notified: &recent.notified, is_full: recent.is_full() });
        }
        self.late.iter().find(|notified| notified.has_id(id)).map(Found::Late)
    }

    /// The notify of this number, while it takes shares or blocks.
    pub(super) fn get(&self, sequence: u32) -> Option<&Notified> {
        let first = self.recent.front()?.notified.sequence;
        match sequence.checked_sub(first) {
            Some(index) => self.recent.get(index as usize).map(|recent| &recent.notified),
            None => self.late.iter().find(|notified| notified.sequence == sequence),
        }
    }

    /// Brings what [`Self::remember`] is going to look at; see [`Seen::glance`].
    pub(super) fn glance(&self, sequence: u32, hash: &Hash) -> u64 {
        let first = self.recent.front().map_or(0, |oldest| oldest.notified.sequence);
        let recent = self.recent.get(sequence.wrapping_sub(first) as usize);
        recent.and_then(|recent| recent.seen.as_ref()).map_or(0, |seen| seen.glance(hash))
    }

    /// Remembers a share of a recent job by the hash of its header: whether it is new, and whether
    /// the job can take another after it.
    pub(super) fn remember(&mut self, sequence: u32, hash: &Hash) -> (bool, bool) {
        let first = self.recent.front().map_or(0, |oldest| oldest.notified.sequence);
        let Some(recent) = self.recent.get_mut(sequence.wrapping_sub(first) as usize) else {
            return (true, true);
        };
        let seen = recent.seen.get_or_insert_with(|| self.spare.take().unwrap_or_default());
        (seen.insert(hash), seen.is_full())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::notify::tests::job;

    fn payee() -> Arc<Payee> {
        Arc::new(Payee { name: "w".into(), script: vec![0x51] })
    }

    #[track_caller]
    fn check(jobs: &mut NotifiedJobs, id: &str, expected: &str) {
        let found = match jobs.find(id) {
            Some(Found::Recent { .. }) => "recent",
            Some(Found::Late(_)) => "late",
            None => "unknown",
        };
        assert_eq!(found, expected, "{id}");
    }

    #[test]
    fn the_last_ten_take_shares_and_those_of_the_tip_before_them_a_block() {
        let mut jobs = NotifiedJobs::default();
        let (tip, payee) = (job(0, 1), payee());
        for _ in 0..12 {
            jobs.push(&tip, &payee, 1.0);
        }
        check(&mut jobs, "1-1", "late");
        check(&mut jobs, "1-2", "late");
        check(&mut jobs, "1-3", "recent");
        check(&mut jobs, "1-C", "recent");
        check(&mut jobs, "1-D", "unknown");
        for unknown in ["2-C", "1-", "-1", "", "1", "1-1-1", "11-C", "1-1C", "1-0", "1- C"] {
            check(&mut jobs, unknown, "unknown");
        }
        // A new tip: nobody mines the old height any more, but what is recent stays.
        jobs.push(&job(1, 2), &payee, 1.0);
        check(&mut jobs, "1-2", "unknown");
        check(&mut jobs, "1-3", "unknown");
        check(&mut jobs, "1-4", "recent");
        check(&mut jobs, "2-D", "recent");
    }

    #[test]
    fn late_jobs_are_bounded() {
        let mut jobs = NotifiedJobs::default();
        let (tip, payee) = (job(0, 1), payee());
        for _ in 0..1000 {
            jobs.push(&tip, &payee, 1.0);
        }
        assert_eq!(
            (jobs.recent.len(), jobs.late.len()),
            (RECENT_JOBS_MAX, BLOCK_JOBS_MAX - RECENT_JOBS_MAX)
        );
    }
}
