//! A submission judged: coinbase → branch → header → hash → compare.

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::limits::{EXTRANONCE1_BYTES, JUDGE_BATCH_MAX};
use crate::sha256d::{HASH_BYTES, Hash, Kernel, sha256d};
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
    pub leaf: Leaf<'a>,
    /// The whole version, rolled bits included.
    pub version: u32,
    pub ntime: u32,
    pub nonce: u32,
}

/// What the merkle root of a candidate follows from.
#[derive(Clone, Copy, Debug)]
pub enum Leaf<'a> {
    /// The coinbase, serialised without witness, extranonces in place.
    Coinbase(&'a [u8]),
    /// The root itself, remembered from a share with the same job and extranonces: most of the
    /// hashing has been done then.
    Root(Hash),
}

/// What a candidate's hash is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    pub hash: Hash,
    /// Worth remembering: it is that of every share with the same job and extranonces.
    pub merkle_root: Hash,
    pub difficulty: f64,
    /// The hash meets the network's target.
    pub is_block: bool,
}

impl Verdict {
    /// What a verdict is before its candidate has been judged.
    pub const NONE: Self =
        Self { hash: [0xff; 32], merkle_root: [0; 32], difficulty: 0.0, is_block: false };
}

/// Judges submissions side by side, in the lanes of the fastest kernel there is.
///
/// Shapes: `candidates` and `verdicts` are equally long, of any length; entry `i` of each is the
/// same submission. Jobs, coinbases and branches may differ; shares of one job are the fastest.
/// Errors: none. A hash that meets nothing is a verdict like any other.
/// Source: `CheckProofOfWork` in Bitcoin Core's `src/pow.cpp`.
///
/// # Panics
/// When the slices differ in length: the caller's bug, never a miner's.
pub fn judge(candidates: &[Candidate<'_>], verdicts: &mut [Verdict]) {
    judge_with(Kernel::best(), candidates, verdicts);
}

/// The same with a kernel of the caller's choice, for tests and measurements.
///
/// # Panics
/// When the slices differ in length.
pub fn judge_with(kernel: Kernel, candidates: &[Candidate<'_>], verdicts: &mut [Verdict]) {
    assert_eq!(candidates.len(), verdicts.len());
    let batches = candidates.chunks(JUDGE_BATCH_MAX);
    for (candidates, verdicts) in batches.zip(verdicts.chunks_mut(JUDGE_BATCH_MAX)) {
        judge_batch(kernel, candidates, verdicts);
    }
}

/// As many as [`JUDGE_BATCH_MAX`], which is what the vectors hold in place: nothing is allocated.
type Batch<T> = SmallVec<[T; JUDGE_BATCH_MAX]>;

fn judge_batch(kernel: Kernel, candidates: &[Candidate<'_>], verdicts: &mut [Verdict]) {
    let mut coinbases: Batch<&[u8]> = Batch::new();
    let mut branches: Batch<&[Hash]> = Batch::new();
    for candidate in candidates {
        if let Leaf::Coinbase(coinbase) = candidate.leaf {
            coinbases.push(coinbase);
            branches.push(&candidate.job.branch);
        }
    }
    let mut folded: Batch<Hash> = smallvec![[0; HASH_BYTES]; coinbases.len()];
    kernel.sha256d_each(&coinbases, &mut folded);
    kernel.fold_each(&mut folded, &branches);

    let mut folded = folded.iter();
    let mut headers: Batch<[u8; HEADER_BYTES]> = Batch::new();
    for (candidate, verdict) in candidates.iter().zip(&mut *verdicts) {
        verdict.merkle_root = match candidate.leaf {
            Leaf::Coinbase(_) => *folded.next().expect("one for each coinbase"),
            Leaf::Root(root) => root,
        };
        headers.push(candidate.header_over(verdict.merkle_root));
    }
    let messages: Batch<&[u8]> = headers.iter().map(<[u8; HEADER_BYTES]>::as_slice).collect();
    let mut hashes: Batch<Hash> = smallvec![[0; HASH_BYTES]; messages.len()];
    kernel.sha256d_each(&messages, &mut hashes);
    for ((candidate, verdict), hash) in candidates.iter().zip(verdicts).zip(hashes) {
        verdict.hash = hash;
        verdict.difficulty = hash_difficulty(&hash);
        verdict.is_block = candidate.job.target.is_met_by(&hash);
    }
}

impl Candidate<'_> {
    /// The header that is hashed.
    pub fn header(&self) -> [u8; HEADER_BYTES] {
        self.header_over(match self.leaf {
            Leaf::Coinbase(coinbase) => merkle::fold(sha256d(coinbase), &self.job.branch),
            Leaf::Root(root) => root,
        })
    }

    fn header_over(&self, merkle_root: Hash) -> [u8; HEADER_BYTES] {
        Header {
            version: self.version,
            prev_hash: self.job.prev_hash,
            merkle_root,
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
