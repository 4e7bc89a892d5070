//! What a submission is worth, by the book: one at a time, with the `sha2` crate and bytes.

use std::sync::Arc;

use gopool_shards::share::Verdict;
use gopool_shards::work::job::{Job, JobInputs, JobStamp};
use gopool_shards::work::payout::PayoutPolicy;
use gopool_shards::work::target::Target;
use gopool_shards::work::template::Template;
use sha2::{Digest, Sha256};

/// What a submission is found to be.
pub(crate) struct Found {
    pub(crate) hash: [u8; 32],
    pub(crate) merkle_root: [u8; 32],
    /// The hash as a number in big-endian hex, which sorts as the number does.
    pub(crate) hex: String,
}

impl Found {
    /// All of the verdict but whether it is a block.
    pub(crate) fn verdict(&self) -> Verdict {
        Verdict {
            hash: self.hash,
            merkle_root: self.merkle_root,
            difficulty: difficulty(&self.hash),
            is_block: false,
        }
    }
}

pub(crate) fn judge(job: &Job, coinbase: &[u8], version: u32, ntime: u32, nonce: u32) -> Found {
    let mut merkle_root = double(&[coinbase]);
    for sibling in &job.branch {
        merkle_root = double(&[&merkle_root, sibling]);
    }
    let hash = double(&[
        &version.to_le_bytes(),
        &job.prev_hash,
        &merkle_root,
        &ntime.to_le_bytes(),
        &job.bits.to_le_bytes(),
        &nonce.to_le_bytes(),
    ]);
    let mut reversed = hash;
    reversed.reverse();
    Found { hash, merkle_root, hex: const_hex::encode(reversed) }
}

fn double(parts: &[&[u8]]) -> [u8; 32] {
    let mut first = Sha256::new();
    for part in parts {
        first.update(part);
    }
    Sha256::digest(first.finalize()).into()
}

/// 0xffff × 2^208 over the eight most significant bytes that are not zero.
fn difficulty(hash: &[u8; 32]) -> f64 {
    let zeros = hash.iter().rev().take_while(|byte| **byte == 0).count();
    if zeros == 32 {
        return f64::MAX;
    }
    let mut top = [0; 8];
    for (top, byte) in top.iter_mut().zip(hash.iter().rev().skip(zeros)) {
        *top = *byte;
    }
    65535.0 / u64::from_be_bytes(top) as f64 * 2f64.powi(208 - 8 * (24 - zeros as i32))
}

/// The number before a hash, the hash, or the number after it.
pub(crate) fn next_to(mut hash: [u8; 32], distance: i8) -> [u8; 32] {
    for byte in &mut hash {
        let (next, carries) = match distance {
            0 => return hash,
            1 => byte.overflowing_add(1),
            _ => byte.overflowing_sub(1),
        };
        *byte = next;
        if !carries {
            break;
        }
    }
    hash
}

/// A job with a branch of so many levels.
pub(crate) fn job(chance: &mut Chance, levels: usize) -> Job {
    let template = Template {
        height: 840_000,
        version: 0x2000_0000,
        prev_hash: chance.hash(),
        bits: 0x1703_4219,
        target: Target::from_bits(0x1703_4219).expect("valid bits"),
        curtime: 1_700_000_000,
        mintime: 1_600_000_000,
        coinbase_value: 312_500_000,
        coinbase_flags: vec![],
        witness_commitment: vec![0x6a],
        transactions: Default::default(),
        version_bits_fixed: 0,
    };
    let inputs = JobInputs {
        payout: Arc::new(PayoutPolicy {
            pool_address: String::new(),
            pool_script: vec![0x51],
            fee_percent: 2.0,
            donation: None,
        }),
        brand_tag: "/goPool/".into(),
        pool_entropy: String::new(),
        script_bytes_max: 100,
        extranonce2_size: 4,
        template_extranonce2_size: 8,
        bip110_enabled: false,
        version_bits: vec![],
    };
    let stamp = JobStamp { id: 0, built_at: 1_700_000_000, entropy: String::new() };
    let mut job = Job::compile(&template, &inputs, &stamp).expect("a job");
    job.branch = (0..levels).map(|_| chance.hash()).collect();
    job
}

/// Numbers that look like chance and are the same in every run (SplitMix64).
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn hash(&mut self) -> [u8; 32] {
        std::array::from_fn(|_| self.next() as u8)
    }
}
