//! Submissions judged side by side, compared in every field with an oracle that takes them one by
//! one and has nothing of ours in it but the `sha2` crate.

mod allocation;
mod oracle;

use gopool_shards::sha256d::Kernel;
use gopool_shards::share::{Candidate, Leaf, Verdict, judge_with};
use gopool_shards::work::job::Job;
use gopool_shards::work::target::Target;

use oracle::{Chance, job, next_to};

/// Around every place where padding needs another block.
const EDGES: [usize; 9] = [0, 1, 54, 55, 56, 57, 62, 63, 64];
const COINBASE_BYTES_MAX: usize = 9 * 64;
const LEVELS_MAX: usize = 14;
const BATCH_MAX: usize = 130;

#[test]
fn a_million_submissions_get_the_verdicts_of_the_oracle() {
    check(Kernel::best(), 1_000_000);
}

#[test]
fn every_other_kernel_gives_them_too() {
    for kernel in Kernel::all() {
        let submissions = if kernel.name() == "scalar" { 20_000 } else { 60_000 };
        check(kernel, submissions);
    }
}

#[track_caller]
fn check(kernel: Kernel, submissions: usize) {
    let mut chance = Chance(submissions as u64);
    // Each length of branch twice: a batch may hold two jobs that are alike and not the same.
    let mut jobs: Vec<Job> =
        (0..2 * (LEVELS_MAX + 1)).map(|i| job(&mut chance, i % (LEVELS_MAX + 1))).collect();
    let bytes: Vec<u8> = (0..1 << 16).map(|_| chance.next() as u8).collect();
    let (mut judged, mut blocks, mut remembered) = (0, 0, 0);
    while judged < submissions {
        let drafts = drafts(&mut chance, &jobs, &bytes);
        // The target of one job is put at the hash of one of its shares, or next to it.
        let aimed = &drafts[chance.below(drafts.len())];
        let distance = chance.below(3) as i8 - 1;
        jobs[aimed.job].target = Target::from_hash(&next_to(aimed.expected.hash, distance));

        let candidates: Vec<Candidate<'_>> =
            drafts.iter().map(|draft| draft.candidate(&jobs[draft.job])).collect();
        let mut verdicts = vec![Verdict::NONE; candidates.len()];
        judge_with(kernel, &candidates, &mut verdicts);
        for (i, (draft, verdict)) in drafts.iter().zip(&verdicts).enumerate() {
            let target = jobs[draft.job].target.to_hex();
            let expected =
                Verdict { is_block: draft.expected.hex <= target, ..draft.expected.verdict() };
            assert_eq!(*verdict, expected, "{kernel:?}, {i} of {}", drafts.len());
            assert_eq!(verdict.difficulty.to_bits(), expected.difficulty.to_bits());
            blocks += usize::from(verdict.is_block);
            remembered += usize::from(draft.is_remembered);
        }
        judged += drafts.len();
    }
    // Both sides of each question have been seen, and often.
    assert!(blocks > judged / 50 && judged - blocks > judged / 50, "{blocks} of {judged}");
    assert!(remembered > judged / 10 && judged - remembered > judged / 10);
}

/// A submission with what it must be found to be.
struct Draft<'a> {
    job: usize,
    coinbase: &'a [u8],
    is_remembered: bool,
    version: u32,
    ntime: u32,
    nonce: u32,
    expected: oracle::Found,
}

impl Draft<'_> {
    fn candidate<'a>(&'a self, job: &'a Job) -> Candidate<'a> {
        let leaf = if self.is_remembered {
            Leaf::Root(self.expected.merkle_root)
        } else {
            Leaf::Coinbase(self.coinbase)
        };
        let Self { version, ntime, nonce, .. } = *self;
        Candidate { job, leaf, version, ntime, nonce }
    }
}

/// One batch: of one job or of many, of coinbases alike or not.
fn drafts<'a>(chance: &mut Chance, jobs: &[Job], bytes: &'a [u8]) -> Vec<Draft<'a>> {
    let count = match chance.below(4) {
        0 => 1 + chance.below(BATCH_MAX),
        _ => 1 + chance.below(20),
    };
    let (one_job, one_length) = (chance.below(jobs.len()), coinbase_bytes(chance));
    let (mixes_jobs, mixes_lengths) = (chance.below(2) == 0, chance.below(2) == 0);
    let remembered_of_four = chance.below(4);
    (0..count)
        .map(|_| {
            let job = if mixes_jobs { chance.below(jobs.len()) } else { one_job };
            let length = if mixes_lengths { coinbase_bytes(chance) } else { one_length };
            let start = chance.below(bytes.len() - length);
            let coinbase = &bytes[start..start + length];
            let (version, time_and_nonce) = (chance.next() as u32, chance.next());
            let (ntime, nonce) = (time_and_nonce as u32, (time_and_nonce >> 32) as u32);
            let expected = oracle::judge(&jobs[job], coinbase, version, ntime, nonce);
            let is_remembered = chance.below(4) < remembered_of_four;
            Draft { job, coinbase, is_remembered, version, ntime, nonce, expected }
        })
        .collect()
}

fn coinbase_bytes(chance: &mut Chance) -> usize {
    match chance.below(3) {
        0 => chance.below(COINBASE_BYTES_MAX),
        _ => 64 * chance.below(8) + EDGES[chance.below(EDGES.len())],
    }
}
