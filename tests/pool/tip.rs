//! Shares, blocks and a moving tip, on a signet of our own where a share is not yet a block.

use std::time::Duration;

use serde_json::{Value, json};

use crate::miner::{Miner, Solution};
use crate::node::{Chain, Node, text};
use crate::poll::until;
use crate::pool::Pool;
use crate::settings::{MINER_ADDRESS, Settings};

const ACCEPT_LIMIT: Duration = Duration::from_secs(10);
const SHARE_COUNT: u64 = 5;

/// A pool whose tip has just moved, and what was found before it did.
struct Moved {
    node: Node,
    pool: Pool,
    miner: Miner,
    old_share: Solution,
    old_block: Solution,
    shares_accepted: u64,
}

/// Two miners; one hands in some shares and a block, and both get work on top of it. The first
/// keeps back a share and a second block of the old tip.
fn moved(freshness_mode: u8) -> Moved {
    let node = Node::new(Chain::Signet);
    let mut settings = Settings::of(&node);
    settings.freshness_mode = freshness_mode;
    let pool = Pool::start(settings);
    let mut miner = Miner::join(pool.stratum(), &format!("{MINER_ADDRESS}.finder"));
    let mut other = Miner::join(pool.stratum(), &format!("{MINER_ADDRESS}.other"));

    let job = miner.job();
    other.job();
    for _ in 0..SHARE_COUNT {
        let share = miner.find_share(&job);
        let answer = miner.submit(&share);
        assert!(answer.is_true(), "a good share: {answer:?}");
    }
    await_accepted(&pool, SHARE_COUNT);

    let old_share = miner.find_share(&job);
    let old_block = miner.find_block(&job);
    let hash = miner.mine_block_of(&job);
    node.await_tip(&hash, ACCEPT_LIMIT);
    assert_eq!(node.height(), 1);
    for miner in [&mut miner, &mut other] {
        assert!(miner.job_on(&hash).clean, "work on a new tip throws the old work away");
    }
    pool.await_found(&hash);
    // The block was a share too, counted once.
    let shares_accepted = SHARE_COUNT + 1;
    await_accepted(&pool, shares_accepted);
    Moved { node, pool, miner, old_share, old_block, shares_accepted }
}

#[track_caller]
fn await_accepted(pool: &Pool, count: u64) {
    pool.await_server(&format!("{count} shares accepted"), |server| {
        let accepted = server["shares"]["accepted"].as_u64().expect("shares.accepted");
        assert!(accepted <= count, "{accepted} shares counted, {count} handed in");
        (accepted == count).then_some(())
    });
}

fn rejected_sum(server: &Value) -> u64 {
    let reasons = server["shares"]["rejected"].as_object().expect("shares.rejected");
    reasons.values().map(|count| count.as_u64().expect("a count")).sum()
}

/// A block of the old tip reaches the node, which keeps it as a branch that did not win.
#[track_caller]
fn check_old_block_reaches_the_node(moved: &mut Moved) {
    let answer = moved.miner.submit(&moved.old_block);
    assert!(answer.is_true(), "a block is a block whatever the tip: {answer:?}");
    let hash = &moved.old_block.hash_hex;
    moved.pool.await_found(hash);
    let branch = until("the node has it", ACCEPT_LIMIT, || {
        let tips = moved.node.rpc("getchaintips", &json!([]));
        let tips = tips.as_array().expect("chain tips");
        tips.iter().find(|tip| tip["hash"] == hash.as_str()).cloned()
    });
    let status = text(&branch["status"]);
    assert!(["valid-fork", "valid-headers"].contains(&status.as_str()), "{branch}");
    assert_eq!(branch["branchlen"], 1);
    // It was not built on what it lost to.
    assert_ne!(moved.node.best_block_hash(), *hash);
    let errored = moved.pool.api_server()["blocks"]["errored"].clone();
    assert_eq!(errored, 0, "losing a race is no error");
}

#[test]
fn a_share_of_the_old_tip_counts_when_only_the_job_must_be_known() {
    let mut moved = moved(1);
    let answer = moved.miner.submit(&moved.old_share);
    assert!(answer.is_true(), "{answer:?}");
    await_accepted(&moved.pool, moved.shares_accepted + 1);
    check_old_block_reaches_the_node(&mut moved);
}

#[test]
fn a_share_of_the_old_tip_is_stale_when_the_tip_must_be_current() {
    let mut moved = moved(2);
    let answer = moved.miner.submit(&moved.old_share);
    assert_eq!(answer.error, Some((21, "job not found".to_owned())));
    assert_eq!(answer.result, Value::Bool(false));
    // By its shard; the pool's own sums leave out late shares of the first two minutes.
    moved.pool.await_server("the stale share is counted", |server| {
        let shards = server["shards"].as_array().expect("shards");
        (shards.iter().any(|shard| shard["rejected"] == 1)).then_some(())
    });
    assert_eq!(rejected_sum(&moved.pool.api_server()), 0);
    await_accepted(&moved.pool, moved.shares_accepted);
    check_old_block_reaches_the_node(&mut moved);
}

#[test]
fn a_share_handed_in_twice_is_a_duplicate() {
    let node = Node::new(Chain::Signet);
    let pool = Pool::for_node(&node);
    let mut miner = Miner::join(pool.stratum(), MINER_ADDRESS);
    let job = miner.job();
    let share = miner.find_share(&job);
    assert!(miner.submit(&share).is_true());
    let again = miner.submit(&share);
    assert_eq!(again.error.map(|(code, _)| code), Some(22));
    await_accepted(&pool, 1);
}
