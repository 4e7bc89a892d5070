//! Gathers the submissions of one turn, whoever they are from, and has them judged side by side;
//! verdicts go back in the order in which the submissions came.

use std::rc::Rc;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::limits::{JUDGE_BATCH_MAX, JUDGE_BATCH_WANTED};
use crate::session::Submission;
use crate::sha256d::Hash;
use crate::share::{self, Candidate, Leaf, Verdict};
use crate::work::job::Job;

use super::Shard;
use super::connection::Connection;

/// Submissions on their way to a verdict, and the memory they need, kept from one batch to the
/// next.
#[derive(Default)]
pub(super) struct Judge {
    pending: Vec<Pending>,
    /// Their coinbases, one after the other.
    coinbases: Vec<u8>,
    /// The jobs they are for. Kept when they have been judged: the next are most likely for the
    /// same, and then the count that all shards share is left alone.
    jobs: Vec<Arc<Job>>,
    verdicts: Vec<Verdict>,
}

/// Jobs that are kept without a submission.
const JOBS_KEPT: usize = 4;

struct Pending {
    connection: Rc<Connection>,
    submission: Submission,
    /// In `jobs`.
    job: usize,
    /// The merkle root, if it is known; else its coinbase has been written.
    root: Option<Hash>,
    /// Where its coinbase ends.
    end: usize,
}

impl Judge {
    pub(super) fn push(&mut self, connection: &Rc<Connection>, submission: Submission) {
        connection.is_being_judged.set(true);
        let session = connection.session.borrow();
        let (job, root) = session.leaf(&submission, &mut self.coinbases);
        let job =
            self.jobs.iter().rposition(|known| Arc::ptr_eq(known, job)).unwrap_or_else(|| {
                self.jobs.push(Arc::clone(job));
                self.jobs.len() - 1
            });
        let end = self.coinbases.len();
        let connection = Rc::clone(connection);
        self.pending.push(Pending { connection, submission, job, root, end });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// There are as many as are judged at a good price.
    pub(super) fn has_enough(&self) -> bool {
        self.pending.len() >= JUDGE_BATCH_WANTED
    }

    pub(super) fn is_full(&self) -> bool {
        self.pending.len() >= JUDGE_BATCH_MAX
    }

    /// Judges what has been gathered and has each session answer its own. The clock is read once for
    /// all of them.
    pub(super) fn conclude(&mut self, shard: &Shard) {
        self.hash();
        self.glance();
        let mut first = 0;
        while let Some(pending) = self.pending.get(first) {
            let connection = &pending.connection;
            connection.is_being_judged.set(false);
            let same = |next: &&Pending| Rc::ptr_eq(&next.connection, connection);
            let end = first + self.pending[first..].iter().take_while(same).count();
            shard.with_env(connection, |session, env| {
                for (pending, verdict) in
                    self.pending[first..end].iter().zip(&self.verdicts[first..end])
                {
                    let solved = session.on_verdict(&pending.submission, verdict, env);
                    shard.solved.borrow_mut().extend(solved);
                }
                session.on_verdicts_end(env);
            });
            first = end;
        }
        // A turn's clock shows when it began.
        let took = shard.shared.started.elapsed().saturating_sub(shard.now().elapsed);
        shard.tally.borrow_mut().judged(self.pending.len(), took);
        self.pending.clear();
        self.coinbases.clear();
        if self.jobs.len() > JOBS_KEPT {
            self.jobs.drain(..self.jobs.len() - JOBS_KEPT);
        }
    }

    /// With thousands of miners nothing of one is in the CPU's cache: it is fetched for all of the
    /// batch at once rather than for one after the other.
    fn glance(&self) {
        let glances = self.pending.iter().zip(&self.verdicts).map(|(pending, verdict)| {
            pending.connection.session.borrow().glance(&pending.submission, verdict)
        });
        std::hint::black_box(glances.fold(0, |all, one| all ^ one));
    }

    fn hash(&mut self) {
        let mut start = 0;
        let candidates: SmallVec<[Candidate<'_>; JUDGE_BATCH_MAX]> = self
            .pending
            .iter()
            .map(|pending| {
                let coinbase = std::mem::replace(&mut start, pending.end)..pending.end;
                let leaf = match pending.root {
                    Some(root) => Leaf::Root(root),
                    None => Leaf::Coinbase(&self.coinbases[coinbase]),
                };
                pending.submission.candidate(&self.jobs[pending.job], leaf)
            })
            .collect();
        self.verdicts.clear();
        self.verdicts.resize(candidates.len(), Verdict::NONE);
        share::judge(&candidates, &mut self.verdicts);
    }
}
