//! Why a share is worth so little: the constructions that firmware is known to get wrong, tried one
//! by one (`miners.md`, what follows 7). Off the accepted path, and seldom enough to cost nothing.

use std::time::Duration;

use crate::limits::EXPLAIN_INTERVAL;
use crate::sha256d::sha256d;
use crate::share::{Candidate, Leaf};
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

/// A share that is worth too little.
pub(super) struct Low<'a> {
    pub(super) submission: &'a Submission,
    /// What it answers.
    pub(super) notified: &'a Notified,
    pub(super) found: f64,
    /// The difficulty that the miner was asked for before the last change.
    pub(super) earlier: Option<f64>,
}

/// When a connection was last explained something.
#[derive(Debug, Default)]
pub(super) struct Explainer {
    last_at: Option<Duration>,
}

impl Explainer {
    /// The mistake that makes a share good, if one does and it is time to look for it. `others` are
    /// the jobs that the miner has besides the one it named.
    pub(super) fn explain<'a>(
        &mut self,
        low: &Low<'_>,
        others: impl Iterator<Item = &'a Notified>,
        now: Duration,
    ) -> Option<Mistake> {
        if low.expected() < MEANINGFUL_DIFFICULTY
            || self.last_at.is_some_and(|last| now.saturating_sub(last) < EXPLAIN_INTERVAL)
        {
            return None;
        }
        self.last_at = Some(now);
        if low.earlier.is_some_and(|earlier| low.found >= earlier * SHARE_TOLERANCE) {
            return Some(Mistake::OldDifficulty);
        }
        low.wrong_fields().or_else(|| low.wrong_coinbase()).or_else(|| low.wrong_job(others))
    }
}

impl Low<'_> {
    /// The least difficulty that is taken.
    fn expected(&self) -> f64 {
        self.notified.difficulty * SHARE_TOLERANCE
    }

    fn is_good(&self, candidate: Candidate<'_>) -> bool {
        hash_difficulty(&sha256d(&candidate.header())) >= self.expected()
    }

    fn candidate<'a>(&'a self, coinbase: &'a [u8]) -> Candidate<'a> {
        self.submission.candidate(&self.notified.job, Leaf::Coinbase(coinbase))
    }

    fn wrong_fields(&self) -> Option<Mistake> {
        let mut coinbase = Vec::new();
        self.submission.write_coinbase(self.notified, &mut coinbase);
        let right = self.candidate(&coinbase);
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
            .find(|(_, candidate)| differs(candidate) && self.is_good(*candidate));
        good.map(|(mistake, _)| mistake)
    }

    fn wrong_coinbase(&self) -> Option<Mistake> {
        let mut coinbase = Vec::new();
        self.submission.write_swapped_coinbase(self.notified, &mut coinbase);
        if self.is_good(self.candidate(&coinbase)) {
            return Some(Mistake::Extranonce2Swapped);
        }
        coinbase.clear();
        self.submission.write_coinbase(self.notified, &mut coinbase);
        let coinb2_bytes = self.coinb2_bytes();
        let coinb2_start = coinbase.len() - coinb2_bytes;
        let is_cut = COINB2_CUTS.into_iter().any(|cut| {
            cut < coinb2_bytes && self.is_good(self.candidate(&coinbase[..coinb2_start + cut]))
        });
        is_cut.then_some(Mistake::CoinbaseCut)
    }

    fn coinb2_bytes(&self) -> usize {
        let Notified { job, payee, .. } = self.notified;
        let mut suffix = Vec::new();
        job.coinbase.write_suffix(&mut suffix, &job.payout, &payee.script);
        suffix.len()
    }

    fn wrong_job<'a>(&self, mut others: impl Iterator<Item = &'a Notified>) -> Option<Mistake> {
        let mut coinbase = Vec::new();
        others.find_map(|other| {
            coinbase.clear();
            self.submission.write_coinbase(other, &mut coinbase);
            let right = self.candidate(&coinbase);
            let bits = right.version ^ right.job.version;
            let moved = Candidate { job: &other.job, version: other.job.version ^ bits, ..right };
            if self.is_good(moved) {
                return Some(Mistake::OtherJob);
            }
            let with_own_version = Candidate { version: right.version, ..moved };
            (with_own_version.version != moved.version && self.is_good(with_own_version))
                .then_some(Mistake::VersionOr)
        })
    }
}
