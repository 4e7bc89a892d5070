//! What is written down of a found block (`mining.md` §7.4).

use jiff::Timestamp;

use gopool_shards::sha256d::sha256d;
use gopool_shards::share::Solved;
use gopool_shards::work::address::{Network, script_for, wallet_of};
use gopool_shards::work::block::coinbase_parts;
use gopool_shards::work::header::display_hex;
use gopool_shards::work::merkle;
use gopool_shards::work::target::hash_difficulty;
use gopool_shards::work::{base58, header::HEADER_BYTES};

use crate::store::{FoundBlock, PendingBlock};

/// The record of a block that has just been found: the split is that of its own coinbase.
pub(super) fn of_solved(solved: &Solved) -> FoundBlock {
    FoundBlock {
        timestamp: Timestamp::now().to_string(),
        height: solved.job.height,
        hash: display_hex(&solved.hash),
        worker: solved.worker.to_string(),
        share_diff: solved.difficulty,
        job_id: base58::counter(solved.job.id),
        payout_address: solved.job.payout.pool_address.clone(),
        coinbase_value_sats: solved.job.coinbase.value,
        pool_fee_sats: solved.split.fee(),
        worker_payout_sats: solved.split.worker,
        donation_sats: solved.split.donation,
        dual_payout_fallback: solved.split.fallback,
    }
}

/// The record of a block of an earlier run, read back from its bytes. The job's number is the one
/// thing that cannot be: it is left empty.
pub(super) fn of_row(row: &PendingBlock, network: Network) -> FoundBlock {
    let block = const_hex::decode(row.block_hex.trim()).unwrap_or_default();
    let hash = block.first_chunk::<HEADER_BYTES>().map(|header| sha256d(header));
    let outputs = coinbase_parts(&block).map(|parts| parts.outputs).unwrap_or_default();
    let script = |address: &str| script_for(address, network).unwrap_or_default();
    let worker_script = script(&wallet_of(&row.worker));
    let pool_script = script(&row.payout_address);
    let total: u64 = outputs.iter().map(|(value, _)| value).sum();
    let paid_to = |wanted: &[u8]| -> u64 {
        outputs.iter().filter(|(_, script)| *script == wanted).map(|(value, _)| value).sum()
    };
    let to_worker = if worker_script == pool_script { 0 } else { paid_to(&worker_script) };
    let to_pool = paid_to(&pool_script);
    FoundBlock {
        timestamp: Timestamp::from_second(row.found_at.cast_signed())
            .unwrap_or(Timestamp::UNIX_EPOCH)
            .to_string(),
        height: row.height,
        hash: row.hash_hex.clone(),
        worker: row.worker.clone(),
        share_diff: hash.map_or(0.0, |hash| hash_difficulty(&hash)),
        job_id: String::new(),
        payout_address: row.payout_address.clone(),
        coinbase_value_sats: total,
        pool_fee_sats: total - to_worker,
        worker_payout_sats: to_worker,
        donation_sats: total - to_worker - to_pool,
        dual_payout_fallback: to_worker == 0,
    }
}

/// What a found block must be, looked at once more before it is sent; it is sent all the same.
pub(super) fn check(solved: &Solved) -> Vec<&'static str> {
    let mut problems = Vec::new();
    if sha256d(&solved.header) != solved.hash {
        problems.push("its header does not have the hash that was judged");
    }
    let mut leaves = vec![sha256d(&solved.coinbase)];
    leaves.extend(solved.job.transactions.iter().map(|transaction| transaction.txid));
    if merkle::root(&leaves) != solved.header[36..68] {
        problems.push("its merkle root is not that of its transactions");
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_of_an_earlier_run_can_be_recorded_from_its_bytes() {
        let row = PendingBlock {
            hash_hex: "6627dad31cafe77c8ece5ca0e1359591ae4f8d05412c1dd8d4ed8fd6454c0ffa".into(),
            found_at: 1_713_572_400,
            height: 840_000,
            worker: "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr.rig".into(),
            block_hex: include_str!("../../shards/tests/vectors/example_a.hex").into(),
            rpc_url: String::new(),
            payout_address: "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4".into(),
        };
        let record = of_row(&row, Network::Mainnet);
        assert_eq!(record.timestamp, "2024-04-20T00:20:00Z");
        assert_eq!(record.coinbase_value_sats, 318_759_331);
        assert_eq!((record.pool_fee_sats, record.donation_sats), (6_375_187, 796_898));
        assert_eq!((record.worker_payout_sats, record.dual_payout_fallback), (312_384_144, false));
        assert!((record.share_diff / 5.834598103267232e-10 - 1.0).abs() < 1e-14);
    }
}
