//! Gathers the submissions that came together and has them judged side by side; verdicts go back
//! in the order in which the submissions came.

use crate::limits::JUDGE_BATCH_MAX;
use crate::session::Submission;
use crate::share::{self, Candidate, Verdict};

/// Submissions on their way to a verdict, and the memory they need, kept from one to the next.
#[derive(Debug, Default)]
pub(super) struct Judge {
    submissions: Vec<Submission>,
    /// Their coinbases, one after the other.
    coinbases: Vec<u8>,
    /// Where each coinbase ends.
    ends: Vec<usize>,
    verdicts: Vec<Verdict>,
}

impl Judge {
    pub(super) fn push(&mut self, submission: Submission) {
        submission.write_coinbase(&mut self.coinbases);
        self.ends.push(self.coinbases.len());
        self.submissions.push(submission);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.submissions.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.submissions.len() >= JUDGE_BATCH_MAX
    }

    /// Judges what has been gathered and hands each submission back with its verdict.
    pub(super) fn conclude(&mut self, mut on_verdict: impl FnMut(&Submission, &Verdict)) {
        let mut start = 0;
        let candidates: Vec<Candidate<'_>> = self
            .submissions
            .iter()
            .zip(&self.ends)
            .map(|(submission, end)| {
                let coinbase = &self.coinbases[std::mem::replace(&mut start, *end)..*end];
                submission.candidate(coinbase)
            })
            .collect();
        self.verdicts.clear();
        self.verdicts.resize(candidates.len(), Verdict::NONE);
        share::judge(&candidates, &mut self.verdicts);
        drop(candidates);
        for (submission, verdict) in self.submissions.iter().zip(&self.verdicts) {
            on_verdict(submission, verdict);
        }
        self.submissions.clear();
        self.coinbases.clear();
        self.ends.clear();
    }
}
