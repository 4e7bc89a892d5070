//! Why a share is worth so little: the constructions that firmware is known to get wrong, tried one
//! by one (`miners.md`, what follows 7). Off the accepted path, and seldom enough to cost nothing.

use std::time::Duration;

use crate::limits::EXPLAIN_INTERVAL;
use crate::sha256d::sha256d;
use crate::share::Candidate;
use crate::work::target::{SHARE_TOLERANCE, hash_difficulty};

use super::jobs::Notified;
use super::submit::Submission;

/// Below this a wrong construction meets the difficulty by chance too often to mean anything.
const MEANINGFUL_DIFFICULTY: f64 = 1e-5;
/// Where firmware with too small a buffer cuts the second half of the coinbase, in bytes.
const COINB2_CUTS: [usize; 3] = [127, 255, 511];

/// What a miner did to build another header than the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    OldDifficulty,
    VersionNotRolled,
    VersionWhole,
    VersionOr,
    OtherJob,
    NonceSwapped,
    NtimeSwapped,
    Extranonce2Swapped,
    CoinbaseCut,
}

impl Mistake {
    /// What is said to the miner's owner.
    pub fn words(self) -> &'static str {
        match self {
            Self::OldDifficulty => "it was mined for an earlier difficulty",
            Self::VersionNotRolled => "it was mined without the version bits that were submitted",
            Self::VersionWhole => "the submitted version bits were used as the whole version",
            Self::VersionOr => "the submitted version bits were added to a version of another job",
            Self::OtherJob => "it was mined on another job than the one named",
            Self::NonceSwapped => "its nonce has the bytes the wrong way round",
            Self::NtimeSwapped => "its ntime has the bytes the wrong way round",
            Self::Extranonce2Swapped => "its extranonce2 has the bytes the wrong way round",
            Self::CoinbaseCut => {
                "the second half of the coinbase was cut: the firmware's buffer is too small"
            }
        }
    }

    /// The name it is counted under.
    pub fn label(self) -> &'static str {
        match self {
            Self::OldDifficulty => "old difficulty",
            Self::VersionNotRolled => "version not rolled",
            Self::VersionWhole => "version bits as whole version",
            Self::VersionOr => "version bits of another job",
            Self::OtherJob => "other job",
            Self::NonceSwapped => "nonce byte order",
            Self::NtimeSwapped => "ntime byte order",
            Self::Extranonce2Swapped => "extranonce2 byte order",
            Self::CoinbaseCut => "coinbase cut",
        }
    }
}

/// When a connection was last explained something.
#[derive(Debug, Default)]
pub(super) struct Explainer {
    last_at: Option<Duration>,
}

impl Explainer {
    /// The mistake that makes `submission` good, if one does and it is time to look for it.
    /// `earlier` are the difficulties that the miner has been asked for before; `others` the jobs
    /// it has besides the one it named.
    pub(super) fn explain<'a>(
        &mut self,
        submission: &Submission,
        found: f64,
        earlier: Option<f64>,
        others: impl Iterator<Item = &'a Notified>,
        now: Duration,
    ) -> Option<Mistake> {
        let expected = submission.difficulty() * SHARE_TOLERANCE;
        if expected < MEANINGFUL_DIFFICULTY
            || self.last_at.is_some_and(|last| now.saturating_sub(last) < EXPLAIN_INTERVAL)
        {
            return None;
        }
        self.last_at = Some(now);
        if earlier.is_some_and(|earlier| found >= earlier * SHARE_TOLERANCE) {
            return Some(Mistake::OldDifficulty);
        }
        wrong_fields(submission)
            .or_else(|| wrong_coinbase(submission))
            .or_else(|| wrong_job(submission, others))
    }
}

fn is_good(submission: &Submission, candidate: Candidate<'_>) -> bool {
    let difficulty = hash_difficulty(&sha256d(&candidate.header()));
    difficulty >= submission.difficulty() * SHARE_TOLERANCE
}

fn wrong_fields(submission: &Submission) -> Option<Mistake> {
    let mut coinbase = Vec::new();
    submission.write_coinbase(&mut coinbase);
    let right = submission.candidate(&coinbase);
    let base = right.job.version;
    let bits = right.version ^ base;
    let attempts = [
        (Mistake::VersionNotRolled, Candidate { version: base, ..right }),
        (Mistake::VersionWhole, Candidate { version: bits, ..right }),
        (Mistake::NonceSwapped, Candidate { nonce: right.nonce.swap_bytes(), ..right }),
        (Mistake::NtimeSwapped, Candidate { ntime: right.ntime.swap_bytes(), ..right }),
    ];
    let differs = |candidate: &Candidate<'_>| {
        (candidate.version, candidate.nonce, candidate.ntime)
            != (right.version, right.nonce, right.ntime)
    };
    let good = attempts
        .into_iter()
        .find(|(_, candidate)| differs(candidate) && is_good(submission, *candidate));
    good.map(|(mistake, _)| mistake)
}

fn wrong_coinbase(submission: &Submission) -> Option<Mistake> {
    let mut coinbase = Vec::new();
    submission.write_swapped_coinbase(&mut coinbase);
    if is_good(submission, submission.candidate(&coinbase)) {
        return Some(Mistake::Extranonce2Swapped);
    }
    coinbase.clear();
    submission.write_coinbase(&mut coinbase);
    let coinb2_bytes = submission.coinb2_bytes();
    let coinb2_start = coinbase.len() - coinb2_bytes;
    let is_cut = COINB2_CUTS.into_iter().any(|cut| {
        cut < coinb2_bytes
            && is_good(submission, submission.candidate(&coinbase[..coinb2_start + cut]))
    });
    is_cut.then_some(Mistake::CoinbaseCut)
}

fn wrong_job<'a>(
    submission: &Submission,
    mut others: impl Iterator<Item = &'a Notified>,
) -> Option<Mistake> {
    let mut coinbase = Vec::new();
    others.find_map(|other| {
        coinbase.clear();
        submission.write_coinbase_of(other, &mut coinbase);
        let right = submission.candidate(&coinbase);
        let bits = right.version ^ right.job.version;
        let moved = Candidate { job: &other.job, version: other.job.version ^ bits, ..right };
        if is_good(submission, moved) {
            return Some(Mistake::OtherJob);
        }
        let with_own_version = Candidate { version: right.version, ..moved };
        (with_own_version.version != moved.version && is_good(submission, with_own_version))
            .then_some(Mistake::VersionOr)
    })
}
