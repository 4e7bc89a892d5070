//! How many shares can one core judge in a second? The floor is the `sha2` crate, which hashes
//! coinbase, branch and header of one share after the other.

use std::hint::black_box;

use clap::Parser;
use gopool_bench::station::{Arguments, Station};
use gopool_bench::workbench::work;
use gopool_shards::sha256d::{Hash, Kernel};
use gopool_shards::share::{Candidate, Leaf, Verdict, judge_with};
use gopool_shards::work::job::Job;
use gopool_shards::work::merkle;
use gopool_shards::work::target::{Target, hash_difficulty};
use sha2::{Digest, Sha256};

const COINBASE_BYTES: usize = 270;
const TXIDS: usize = 4000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let mut station = Station::new("judge", &arguments);
    let random: Vec<u8> = (0..1 << 16u32).map(|i| (i * i + 31 * i + 7) as u8).collect();
    // Branches of twelve levels, twelve and eleven.
    let works = [work(TXIDS, 0), work(TXIDS, 1), work(TXIDS / 2, 2)];
    let jobs = works.each_ref().map(|work| &*work.job);
    for kernel in arguments.kernels()? {
        for count in [1, 2, 4, 8, 16, 64] {
            let candidates: Vec<_> =
                (0..count).map(|i| candidate(jobs[0], &random, i, COINBASE_BYTES)).collect();
            compare(&mut station, kernel, &format!("{count} shares"), &candidates);
        }
        let mixed: Vec<_> = (0..16)
            .map(|i| candidate(jobs[i % 3], &random, i, COINBASE_BYTES - 40 + 5 * i))
            .collect();
        compare(&mut station, kernel, "16 shares of three jobs", &mixed);
        let remembered: Vec<_> = (0..16)
            .map(|i| {
                let draft = candidate(jobs[0], &random, i, COINBASE_BYTES);
                Candidate { leaf: Leaf::Root(root(&draft)), ..draft }
            })
            .collect();
        compare(&mut station, kernel, "16 shares, roots remembered", &remembered);
    }
    let (txids, _) = random.as_chunks::<32>();
    let txids: Vec<Hash> = txids.iter().cycle().take(TXIDS).copied().collect();
    assert_eq!(merkle::branch(&txids), branch(&txids));
    station.compare(
        &format!("{}: branch over {TXIDS} transactions", Kernel::best().name()),
        1,
        || drop(black_box(branch(black_box(&txids)))),
        || drop(black_box(merkle::branch(black_box(&txids)))),
    );
    station.finish()?;
    Ok(())
}

fn compare(station: &mut Station, kernel: Kernel, name: &str, candidates: &[Candidate<'_>]) {
    let mut verdicts = vec![Verdict::NONE; candidates.len()];
    judge_with(kernel, candidates, &mut verdicts);
    // A fast wrong answer is not a result.
    assert!(candidates.iter().zip(&verdicts).all(|(candidate, verdict)| {
        let (hash, is_block) = one(candidate);
        (hash, is_block, hash_difficulty(&hash))
            == (verdict.hash, verdict.is_block, verdict.difficulty)
    }));
    station.compare(
        &format!("{}: {name}", kernel.name()),
        candidates.len(),
        || candidates.iter().for_each(|candidate| _ = black_box(one(black_box(candidate)))),
        || judge_with(kernel, black_box(candidates), black_box(&mut verdicts)),
    );
}

/// The hash of one share, and whether it is a block.
fn one(candidate: &Candidate<'_>) -> (Hash, bool) {
    let job = candidate.job;
    let mut header = [0; 80];
    header[..4].copy_from_slice(&candidate.version.to_le_bytes());
    header[4..36].copy_from_slice(&job.prev_hash);
    header[36..68].copy_from_slice(&root(candidate));
    header[68..72].copy_from_slice(&candidate.ntime.to_le_bytes());
    header[72..76].copy_from_slice(&job.bits.to_le_bytes());
    header[76..].copy_from_slice(&candidate.nonce.to_le_bytes());
    let hash = double(&header);
    (hash, Target::from_hash(&hash) <= job.target)
}

fn root(candidate: &Candidate<'_>) -> Hash {
    match candidate.leaf {
        Leaf::Root(root) => root,
        Leaf::Coinbase(coinbase) => candidate.job.branch.iter().fold(double(coinbase), pair),
    }
}

fn branch(txids: &[Hash]) -> Vec<Hash> {
    let mut rest = txids.to_vec();
    let mut branch = Vec::new();
    while let Some((&sibling, others)) = rest.split_first() {
        branch.push(sibling);
        rest = others.chunks(2).map(|two| pair(two[0], &two[two.len() - 1])).collect();
    }
    branch
}

fn pair(left: Hash, right: &Hash) -> Hash {
    let mut both = [0; 64];
    both[..32].copy_from_slice(&left);
    both[32..].copy_from_slice(right);
    double(&both)
}

fn double(data: &[u8]) -> Hash {
    Sha256::digest(Sha256::digest(data)).into()
}

fn candidate<'a>(job: &'a Job, random: &'a [u8], i: usize, bytes: usize) -> Candidate<'a> {
    let coinbase = &random[i * 400..i * 400 + bytes];
    let leaf = Leaf::Coinbase(coinbase);
    Candidate { job, leaf, version: 0x2000_0000, ntime: 1_700_000_000, nonce: i as u32 }
}
