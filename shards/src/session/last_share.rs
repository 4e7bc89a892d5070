//! What is kept of the shares of a connection: what can be used again for the next one, and what
//! became of them.

use smallvec::SmallVec;

use crate::limits::EXTRANONCE1_BYTES;
use crate::sha256d::Hash;
use crate::share::Verdict;

use super::jobs::Notified;
use super::look::Record;
use super::submit::Submission;

/// The last share. The next is most likely for the same notify, and then its coinbase differs in
/// extranonce2 only; or not at all, for between two extranonces a miner rolls nonce, time and
/// version, and then the merkle root is the same too.
#[derive(Debug, Default)]
pub(super) struct LastShare {
    /// Of its notify; 0 before the first share.
    sequence: u32,
    extranonce2: SmallVec<[u8; 8]>,
    root: Hash,
    coinbase: Vec<u8>,
    /// Where the extranonce2 stands in the coinbase.
    extranonce2_at: usize,
    /// Here because only those that submit need one.
    pub(super) record: Record,
}

impl LastShare {
    pub(super) fn remember(
        &mut self,
        submission: &Submission,
        notified: &Notified,
        verdict: &Verdict,
    ) {
        if self.root_of(submission).is_some() {
            return;
        }
        if self.sequence != submission.sequence {
            self.coinbase.clear();
            notified.job.coinbase.write_prefix(&mut self.coinbase, notified.sequence);
            self.extranonce2_at = self.coinbase.len() + EXTRANONCE1_BYTES;
            self.coinbase.clear();
            submission.write_coinbase(notified, &mut self.coinbase);
            self.sequence = submission.sequence;
        }
        self.extranonce2.clone_from(&submission.extranonce2);
        self.root = verdict.merkle_root;
    }

    /// The merkle root of a submission, if it is that of the last share.
    pub(super) fn root_of(&self, submission: &Submission) -> Option<Hash> {
        let is_same =
            self.sequence == submission.sequence && self.extranonce2 == submission.extranonce2;
        is_same.then_some(self.root)
    }

    /// Appends the coinbase of a submission, if only its extranonce2 is new; whether it is.
    pub(super) fn write_coinbase_of(&self, submission: &Submission, out: &mut Vec<u8>) -> bool {
        if self.sequence != submission.sequence {
            return false;
        }
        let extranonce2 = &submission.extranonce2;
        let start = out.len() + self.extranonce2_at;
        out.extend_from_slice(&self.coinbase);
        out[start..start + extranonce2.len()].copy_from_slice(extranonce2);
        true
    }
}
