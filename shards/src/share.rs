//! A submission judged: coinbase → branch → header → hash → compare.

use std::sync::Arc;

use crate::limits::EXTRANONCE1_BYTES;
use crate::sha256d::{Hash, sha256d};
use crate::work::header::{HEADER_BYTES, Header};
use crate::work::job::Job;
use crate::work::merkle;
use crate::work::payout::Split;
use crate::work::target::hash_difficulty;

/// A submission that the session has admitted: known job, fields in range. What is left is
/// hashing.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    pub job: &'a Job,
    /// Serialised without witness, extranonces in place.
    pub coinbase: &'a [u8],
    /// The whole version, rolled bits included.
    pub version: u32,
    pub ntime: u32,
    pub nonce: u32,
}

/// What a candidate's hash is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    pub hash: Hash,
    pub difficulty: f64,
    /// The hash meets the network's target.
    pub is_block: bool,
}

impl Verdict {
    /// What a verdict is before its candidate has been judged.
    pub const NONE: Self = Self { hash: [0xff; 32], difficulty: 0.0, is_block: false };
}

/// Judges submissions side by side.
///
/// Shapes: `candidates` and `verdicts` are equally long; entry `i` of each is the same submission.
/// Errors: none. A hash that meets nothing is a verdict like any other.
/// Source: `CheckProofOfWork` in Bitcoin Core's `src/pow.cpp`.
///
/// # Panics
/// When the slices differ in length: the caller's bug, never a miner's.
pub fn judge(candidates: &[Candidate<'_>], verdicts: &mut [Verdict]) {
    assert_eq!(candidates.len(), verdicts.len());
    for (candidate, verdict) in candidates.iter().zip(verdicts) {
        let hash = sha256d(&candidate.header());
        *verdict = Verdict {
            hash,
            difficulty: hash_difficulty(&hash),
            is_block: candidate.job.target.is_met_by(&hash),
        };
    }
}

impl Candidate<'_> {
    /// The header that is hashed.
    pub fn header(&self) -> [u8; HEADER_BYTES] {
        Header {
            version: self.version,
            prev_hash: self.job.prev_hash,
            merkle_root: merkle::fold(sha256d(self.coinbase), &self.job.branch),
            time: self.ntime,
            bits: self.job.bits,
            nonce: self.nonce,
        }
        .serialize()
    }
}

/// Appends the coinbase that was handed out, with the extranonces in place.
pub fn write_coinbase(
    out: &mut Vec<u8>,
    job: &Job,
    worker_script: &[u8],
    sequence: u32,
    extranonce1: [u8; EXTRANONCE1_BYTES],
    extranonce2: &[u8],
) {
    job.coinbase.write_prefix(out, sequence);
    out.extend(extranonce1);
    out.extend(extranonce2);
    job.coinbase.write_suffix(out, &job.payout, worker_script);
}

/// A block that a miner has found: everything needed to rebuild it, and to record it.
#[derive(Clone, Debug)]
pub struct Solved {
    pub job: Arc<Job>,
    pub header: [u8; HEADER_BYTES],
    /// Serialised without witness.
    pub coinbase: Vec<u8>,
    pub hash: Hash,
    pub difficulty: f64,
    /// Full name of the worker that it pays.
    pub worker: Arc<str>,
    pub split: Split,
}
