//! A miner that loses its connection comes back to its place: its work in hand stays good.

use std::collections::HashSet;

use serde_json::json;

use crate::abuse::open_count;
use crate::miner::Miner;
use crate::node::{Chain, Node, text};
use crate::poll::until;
use crate::pool::Pool;
use crate::settings::{MINER_ADDRESS, Settings};
use crate::shards::per_shard;
use crate::stratum::{ANSWER_LIMIT, Client};

const SHARD_COUNT: u32 = 2;
/// A place keeps work of ten jobs, and each return is given one more.
const RETURN_COUNT: usize = 8;
/// Each connection lands on either shard: that all are on one, again and again, will not be seen.
const PLACE_COUNT: usize = 4;
const DUPLICATE: i64 = 22;
/// Between the pool's own 1e-5 and what a block has.
const SUGGESTED: f64 = 4e-5;

fn pool(node: &Node) -> Pool {
    let mut settings = Settings::of(node);
    settings.shards = Some(SHARD_COUNT);
    settings.difficulty_max = 1e-4;
    Pool::start(settings)
}

/// The shard that the only connection is on, which is the `nth` that there has been.
#[track_caller]
fn shard_of_the_one(pool: &Pool, nth: u64) -> usize {
    pool.await_server("one connection", |server| {
        // Figures from before it came are of another.
        if server["connections"]["accepted"] != nth {
            return None;
        }
        let connections = per_shard(server, "connections");
        let there = connections.iter().position(|count| *count == 1)?;
        (connections.iter().sum::<u64>() == 1).then_some(there)
    })
}

#[track_caller]
fn check_own_id(session_id: &str) {
    let (_, secret) = session_id.split_once('-').unwrap_or_else(|| panic!("{session_id}"));
    assert_eq!(secret.len(), 16, "{session_id}");
    assert!(secret.bytes().all(|byte| byte.is_ascii_hexdigit()), "{session_id}");
}

#[test]
fn a_miner_that_comes_back_has_its_place_on_whatever_shard() {
    let node = Node::new(Chain::Signet);
    let pool = pool(&node);
    let mut connections = 0;
    let is_done = (0..PLACE_COUNT).any(|_| comes_back_on_every_shard(&pool, &mut connections));
    assert!(is_done, "{connections} connections on one shard");
}

/// Whether all shards have had the miner, which starts with a place of its own.
#[track_caller]
fn comes_back_on_every_shard(pool: &Pool, connections: &mut u64) -> bool {
    let address = pool.stratum();
    let mut miner = Miner::join(address, MINER_ADDRESS);
    *connections += 1;
    let (session_id, extranonce1) = (miner.session_id.clone(), miner.extranonce1.clone());
    check_own_id(&session_id);
    let job = miner.job();
    let before = miner.difficulty();
    assert!(miner.request("mining.suggest_difficulty", &json!([SUGGESTED])).is_true());
    let suggested = until("the difficulty follows the suggestion", ANSWER_LIMIT, || {
        // It comes with new work.
        miner.job();
        miner.difficulty().filter(|difficulty| Some(*difficulty) != before)
    });
    let submitted = miner.find_share(&job);
    assert!(miner.submit(&submitted).is_true());
    let in_hand: Vec<_> = (0..RETURN_COUNT).map(|_| miner.find_share(&job)).collect();

    let mut seen_on = HashSet::from([shard_of_the_one(pool, *connections)]);
    for (returns, share) in (1..).zip(in_hand) {
        miner.leave();
        miner = Miner::come_back(address, MINER_ADDRESS, &session_id);
        *connections += 1;
        assert_eq!((&miner.session_id, &miner.extranonce1), (&session_id, &extranonce1));
        // Nothing was forgotten, and nothing that was not handed in counts as if it had been.
        let again = miner.submit(&submitted);
        assert_eq!(again.error.map(|(code, _)| code), Some(DUPLICATE), "return {returns}");
        assert!(miner.submit(&share).is_true(), "return {returns}");
        let again = miner.submit(&share);
        assert_eq!(again.error.map(|(code, _)| code), Some(DUPLICATE), "return {returns}");
        let new = miner.job();
        assert_ne!(new.id, job.id, "an id is used for one job only");
        assert_eq!(miner.difficulty(), Some(suggested), "return {returns}");
        seen_on.insert(shard_of_the_one(pool, *connections));
        if returns >= 4 && seen_on.len() == SHARD_COUNT as usize {
            let share = miner.find_share(&new);
            assert!(miner.submit(&share).is_true(), "of the new work");
            return true;
        }
    }
    miner.leave();
    false
}

#[test]
fn a_connection_that_is_torn_off_leaves_its_place_too() {
    let node = Node::new(Chain::Signet);
    let pool = pool(&node);
    let mut miner = Miner::join(pool.stratum(), MINER_ADDRESS);
    let (session_id, extranonce1) = (miner.session_id.clone(), miner.extranonce1.clone());
    let job = miner.job();
    let (submitted, in_hand) = (miner.find_share(&job), miner.find_share(&job));
    assert!(miner.submit(&submitted).is_true());
    // Something is unread: the close becomes a reset.
    let ping = "{\"id\":9,\"method\":\"mining.ping\",\"params\":[]}\n";
    miner.client().send(ping.repeat(100).as_bytes());
    drop(miner);
    pool.await_server("nobody is there", |server| (open_count(server) == 0).then_some(()));
    let mut miner = Miner::come_back(pool.stratum(), MINER_ADDRESS, &session_id);
    assert_eq!(miner.extranonce1, extranonce1);
    assert!(miner.submit(&in_hand).is_true());
    assert_eq!(miner.submit(&submitted).error.expect("known").0, DUPLICATE);
}

#[test]
fn a_place_in_use_is_nobody_elses() {
    let node = Node::new(Chain::Signet);
    let pool = pool(&node);
    let mut miner = Miner::join(pool.stratum(), MINER_ADDRESS);
    let job = miner.job();
    let other = Miner::come_back(pool.stratum(), MINER_ADDRESS, &miner.session_id);
    assert_ne!(other.extranonce1, miner.extranonce1);
    assert_ne!(other.session_id, miner.session_id);
    check_own_id(&other.session_id);
    // Nor did the newcomer get the work of the first, which goes on.
    let share = miner.find_share(&job);
    assert!(miner.submit(&share).is_true());
    // When the newcomer leaves, the place of the first is still in use.
    other.leave();
    let third = Miner::come_back(pool.stratum(), MINER_ADDRESS, &miner.session_id);
    assert_ne!(third.extranonce1, miner.extranonce1);
}

#[test]
fn a_place_is_kept_for_its_own_session_only() {
    let node = Node::new(Chain::Signet);
    let pool = pool(&node);
    let mut miner = Miner::join(pool.stratum(), MINER_ADDRESS);
    let job = miner.job();
    let (session_id, extranonce1) = (miner.session_id.clone(), miner.extranonce1.clone());
    let share = miner.find_share(&job);
    miner.leave();
    // One digit off: the form is ours, the id is not.
    let digit = if session_id.ends_with('0') { "1" } else { "0" };
    let guess = format!("{}{digit}", &session_id[..session_id.len() - 1]);
    let mut stranger = Miner::come_back(pool.stratum(), MINER_ADDRESS, &guess);
    assert_ne!(stranger.extranonce1, extranonce1);
    assert!(stranger.session_id != guess && stranger.session_id != session_id);
    assert!(!stranger.submit(&share).is_true(), "not its work");
    let mut miner = Miner::come_back(pool.stratum(), MINER_ADDRESS, &session_id);
    assert_eq!(miner.extranonce1, extranonce1);
    assert!(miner.submit(&share).is_true());
}

#[test]
fn an_id_of_another_pool_is_echoed() {
    let node = Node::new(Chain::Signet);
    let pool = pool(&node);
    for foreign in ["abc123", "ae6812eb4cd7735a302a8a9dd95cf71f", "1-", "7"] {
        let mut client = Client::open(pool.stratum());
        let answer = client.request("mining.subscribe", &json!(["cgminer/4.12.0", foreign]));
        assert_eq!(text(&answer.result[0][0][1]), foreign);
    }
    // What no id can be is not.
    for bad in [json!(""), json!("x".repeat(65)), json!("a\u{7}b"), json!(7), json!(null)] {
        let mut client = Client::open(pool.stratum());
        let answer = client.request("mining.subscribe", &json!(["cgminer/4.12.0", bad]));
        check_own_id(&text(&answer.result[0][0][1]));
    }
}
