//! A block found through the pool is a block of the chain, and pays whom it should.

use std::time::Duration;

use serde_json::Value;

use crate::miner::Miner;
use crate::node::{Chain, Node, sats, text};
use crate::pool::Pool;
use crate::settings::{Donation, MINER_ADDRESS, Settings, pool_address};
use crate::wallet::{AddressKind, Key, Wallet};

const ACCEPT_LIMIT: Duration = Duration::from_secs(10);
/// Transaction counts on both sides of every change in the depth of a small merkle tree, and one
/// whose block has a transaction count of more than one byte.
const TRANSACTION_COUNTS: [usize; 10] = [0, 1, 2, 3, 4, 5, 7, 8, 9, 300];

/// What a block's coinbase pays out, in satoshis (`mining.md` §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Split {
    worker: u64,
    pool: u64,
    donation: u64,
}

fn split(total: u64, fee_percent: f64, donation_percent: f64) -> Split {
    let share = |of: u64, percent: f64| (of as f64 * percent / 100.0).round() as u64;
    let fee = share(total, fee_percent);
    let donation = share(fee, donation_percent);
    Split { worker: total - fee, pool: fee - donation, donation }
}

#[test]
fn the_split_is_that_of_the_table() {
    for (total, fee, donation, worker, pool, donated) in [
        (312_500_000, 2.0, 0.0, 306_250_000, 6_250_000, 0),
        (318_759_331, 2.0, 12.5, 312_384_144, 5_578_289, 796_898),
        (318_759_331, 0.5, 50.0, 317_165_534, 796_898, 796_899),
        (5_000_003_000, 2.0, 0.0, 4_900_002_940, 100_000_060, 0),
        (1_000, 1.5, 0.0, 985, 15, 0),
    ] {
        let expected = Split { worker, pool, donation: donated };
        assert_eq!(split(total, fee, donation), expected, "{total} at {fee} % and {donation} %");
    }
}

/// Waits for the block, and returns it with what its coinbase may pay out.
#[track_caller]
fn accepted(node: &Node, hash: &str) -> (Value, u64) {
    node.await_tip(hash, ACCEPT_LIMIT);
    let stats = node.rpc("getblockstats", &serde_json::json!([hash, ["subsidy", "totalfee"]]));
    let total =
        stats["subsidy"].as_u64().expect("subsidy") + stats["totalfee"].as_u64().expect("totalfee");
    (node.block(hash), total)
}

/// Checks the outputs of a coinbase: the witness commitment and then these payouts, in this order.
#[track_caller]
fn check_payouts(block: &Value, expected: &[(&str, u64)]) {
    let outputs = block["tx"][0]["vout"].as_array().expect("outputs of the coinbase");
    let commitment = &outputs[0];
    assert!(text(&commitment["scriptPubKey"]["hex"]).starts_with("6a24aa21a9ed"), "{commitment}");
    assert_eq!(sats(&commitment["value"]), 0);
    let paid: Vec<_> = outputs[1..]
        .iter()
        .map(|output| (text(&output["scriptPubKey"]["address"]), sats(&output["value"])))
        .collect();
    let expected: Vec<_> = expected.iter().map(|(to, sats)| ((*to).to_owned(), *sats)).collect();
    assert_eq!(paid, expected);
}

/// Checks that the coinbase carries `/<brand>/` and behind it the suffix of nine characters.
#[track_caller]
fn check_tag(block: &Value, brand: &str) {
    let script = crate::work::unhex(&text(&block["tx"][0]["vin"][0]["coinbase"]));
    let script = String::from_utf8_lossy(&script).into_owned();
    let tag = format!("/{brand}/");
    let (_, suffix) = script.split_once(&tag).unwrap_or_else(|| panic!("no {tag} in {script:?}"));
    let (pool, job) = suffix.split_once('-').unwrap_or_else(|| panic!("no suffix in {script:?}"));
    for part in [pool, job] {
        assert_eq!(part.len(), 4, "{suffix:?}");
        assert!(part.chars().all(|c| c.is_ascii_alphanumeric()), "{suffix:?}");
    }
}

#[test]
fn blocks_of_every_shape_of_merkle_tree_are_accepted() {
    let node = Node::new(Chain::Regtest);
    let coin_count = u32::try_from(TRANSACTION_COUNTS.iter().sum::<usize>()).expect("few");
    let mut wallet = Wallet::new(&node, Key(4), coin_count);
    let pool = Pool::for_node(&node);
    let mut miner = Miner::join(pool.stratum(), &format!("{MINER_ADDRESS}.rig"));
    for count in TRANSACTION_COUNTS {
        let tip = wallet.offer(count);
        let job = miner.job_on(&tip);
        let hash = miner.mine_block_of(&job);
        let (block, total) = accepted(&node, &hash);
        assert_eq!(block["nTx"], count + 1);
        let expected = split(total, 2.0, 0.0);
        check_payouts(
            &block,
            &[(MINER_ADDRESS, expected.worker), (pool_address(Chain::Regtest), expected.pool)],
        );
        check_tag(&block, "goPool");
        pool.await_log("block accepted", &[&format!("hash={hash}")], ACCEPT_LIMIT);
    }
    let errored = pool.api_server()["blocks"]["errored"].clone();
    assert_eq!(errored, 0, "blocks.errored");
}

#[test]
fn every_kind_of_address_is_paid_by_its_miners_block() {
    let node = Node::new(Chain::Regtest);
    node.mine_to(MINER_ADDRESS, 1);
    let pool = Pool::for_node(&node);
    for kind in AddressKind::ALL {
        let address = Key(2).address(&node, kind);
        let mut miner = Miner::join(pool.stratum(), &format!("{address}.{kind:?}"));
        let job = miner.job_on(&node.best_block_hash());
        let hash = miner.mine_block_of(&job);
        let (block, total) = accepted(&node, &hash);
        let expected = split(total, 2.0, 0.0);
        check_payouts(
            &block,
            &[(&address, expected.worker), (pool_address(Chain::Regtest), expected.pool)],
        );
    }
}

#[test]
fn the_reward_is_split_to_the_satoshi() {
    let node = Node::new(Chain::Regtest);
    let own = pool_address(Chain::Regtest);
    let donee = Key(3).address(&node, AddressKind::P2wsh);
    let mut wallet = Wallet::new(&node, Key(4), 40);
    for (fee_percent, donation_percent) in
        [(2.0, 0.0), (2.0, 12.5), (0.5, 50.0), (2.0, 100.0), (0.0, 0.0), (99.0, 0.0)]
    {
        let mut settings = Settings::of(&node);
        settings.fee_percent = fee_percent;
        settings.pooltag_prefix = "Our 1st";
        settings.donation = (donation_percent > 0.0)
            .then(|| Donation { percent: donation_percent, address: donee.clone() });
        let tip = wallet.offer(3);
        let pool = Pool::start(settings);
        let mut miner = Miner::join(pool.stratum(), MINER_ADDRESS);
        let job = miner.job_on(&tip);
        let hash = miner.mine_block_of(&job);
        let (block, total) = accepted(&node, &hash);
        let Split { worker, pool, donation } = split(total, fee_percent, donation_percent);
        let mut expected = vec![(own, pool), (donee.as_str(), donation), (MINER_ADDRESS, worker)];
        // Largest first, and an output of nothing is left out.
        expected.retain(|(_, sats)| *sats > 0);
        expected.sort_by_key(|(_, sats)| std::cmp::Reverse(*sats));
        check_payouts(&block, &expected);
        check_tag(&block, "our1st-goPool");
    }
}

#[test]
fn a_miner_with_the_pools_own_address_gets_one_output() {
    let node = Node::new(Chain::Regtest);
    let pool = Pool::for_node(&node);
    let own = pool_address(Chain::Regtest);
    // The same address, as bech32 may also be written.
    let mut miner = Miner::join(pool.stratum(), &own.to_uppercase());
    let hash = miner.mine_block();
    let (block, total) = accepted(&node, &hash);
    check_payouts(&block, &[(own, total)]);
}

#[test]
fn a_block_with_rolled_version_bits_is_accepted() {
    let node = Node::new(Chain::Regtest);
    let pool = Pool::for_node(&node);
    let mut miner = Miner::join(pool.stratum(), MINER_ADDRESS);
    let mask = miner.roll_version();
    let job = miner.job();
    assert_eq!(job.version & mask, 0, "XOR, OR and replacement must mean the same");
    let hash = miner.mine_block_of(&job);
    let (block, _) = accepted(&node, &hash);
    assert_ne!(block["version"], job.version);
}
