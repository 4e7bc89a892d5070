//! Several shards are one pool.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::Value;

use crate::miner::Miner;
use crate::node::{Chain, Node};
use crate::pool::Pool;
use crate::settings::{MINER_ADDRESS, Settings};

const ACCEPT_LIMIT: Duration = Duration::from_secs(10);
const SHARD_COUNT: u32 = 2;
/// Enough that both shards get some, whatever the kernel's hash does.
const CONNECTION_COUNT: usize = 64;
/// Miners enough that what each takes stands out.
const FLEET_COUNT: usize = 2000;
/// Of both shards, with few miners.
const QUIET_BYTES_MAX: u64 = 4 << 20;
/// An authorized miner without shares takes between one and two KiB.
const BYTES_PER_MINER_MIN: u64 = 512;
const BYTES_PER_MINER_MAX: u64 = 4096;

fn pool_of_two(node: &Node) -> Pool {
    let mut settings = Settings::of(node);
    settings.shards = Some(SHARD_COUNT);
    Pool::start(settings)
}

/// One counter of every shard, by the shards' places in the list.
#[track_caller]
pub fn per_shard(server: &Value, counter: &str) -> Vec<u64> {
    let shards = server["shards"].as_array().expect("shards is a list");
    shards.iter().map(|shard| shard[counter].as_u64().expect("a counter")).collect()
}

#[test]
fn many_connections_share_two_shards_and_no_extranonce() {
    let node = Node::new(Chain::Regtest);
    node.mine_to(MINER_ADDRESS, 1);
    let pool = pool_of_two(&node);
    let address = pool.stratum();
    let mut miners: Vec<_> = (0..CONNECTION_COUNT)
        .map(|nth| Miner::join(address, &format!("{MINER_ADDRESS}.rig{nth}")))
        .collect();
    let distinct: HashSet<_> = miners.iter().map(|miner| miner.extranonce1.clone()).collect();
    assert_eq!(distinct.len(), CONNECTION_COUNT, "an extranonce1 was given twice");

    let connections = pool.await_server("every connection is counted", |server| {
        let connections = per_shard(server, "connections");
        (connections.iter().sum::<u64>() == CONNECTION_COUNT as u64).then_some(connections)
    });
    assert_eq!(connections.len(), SHARD_COUNT as usize);
    assert!(connections.iter().all(|count| *count > 0), "a shard without work: {connections:?}");

    for _ in 0..3 {
        let tip = node.mine_empty(MINER_ADDRESS);
        for miner in &mut miners {
            assert!(miner.job_on(&tip).clean);
        }
    }
}

/// Its miners are most of what a shard's memory is for.
#[test]
fn the_memory_of_each_shard_is_shown_and_follows_its_miners() {
    let node = Node::new(Chain::Regtest);
    node.mine_to(MINER_ADDRESS, 1);
    let pool = pool_of_two(&node);
    let address = pool.stratum();
    // What a shard takes once, for its first miner, is not what each costs.
    let warm_up: Vec<_> = (0..CONNECTION_COUNT)
        .map(|nth| Miner::join(address, &format!("{MINER_ADDRESS}.warm{nth}")))
        .collect();
    let sum_at = |count: usize| {
        pool.await_server("every connection is counted", |server| {
            let connections: u64 = per_shard(server, "connections").iter().sum();
            let memory = per_shard(server, "memory_bytes");
            assert!(memory.iter().all(|bytes| *bytes > 0), "{memory:?}");
            (connections == count as u64).then(|| memory.iter().sum::<u64>())
        })
    };
    let before = sum_at(CONNECTION_COUNT);
    assert!(before < QUIET_BYTES_MAX, "{before}");
    let fleet: Vec<_> = (0..FLEET_COUNT)
        .map(|nth| Miner::join(address, &format!("{MINER_ADDRESS}.rig{nth}")))
        .collect();
    let with_fleet = sum_at(CONNECTION_COUNT + FLEET_COUNT);
    let each = with_fleet.saturating_sub(before) / FLEET_COUNT as u64;
    assert!((BYTES_PER_MINER_MIN..BYTES_PER_MINER_MAX).contains(&each), "{each} bytes a miner");
    let metrics = pool.get("/metrics", &[]).body;
    for shard in 0..SHARD_COUNT {
        assert!(metrics.contains(&format!("\ngopool_shard_memory_bytes{{shard=\"{shard}\"}} ")));
    }
    // Some of it is kept for others, and for those who come back.
    drop(fleet);
    let after = sum_at(CONNECTION_COUNT);
    assert!(after < before + (with_fleet - before) * 3 / 4, "{before}, {with_fleet}, {after}");
    drop(warm_up);
}

#[test]
fn a_block_of_either_shard_is_on_the_chain() {
    let node = Node::new(Chain::Regtest);
    node.mine_to(MINER_ADDRESS, 1);
    let pool = pool_of_two(&node);
    let mut found_on = HashSet::new();
    // Each connection lands on either shard: all on one, sixteen times, will not be seen.
    for nth in 0..16 {
        let mut miner = Miner::join(pool.stratum(), &format!("{MINER_ADDRESS}.rig{nth}"));
        let job = miner.job_on(&node.best_block_hash());
        let before = per_shard(&pool.api_server(), "accepted");
        let share = miner.find_share(&job);
        assert!(miner.submit(&share).is_true());
        let shard = pool.await_server("one shard counts the share", |server| {
            let after = per_shard(server, "accepted");
            before.iter().zip(&after).position(|(before, after)| before < after)
        });
        if !found_on.insert(shard) {
            continue;
        }
        let hash = miner.mine_block_of(&job);
        node.await_tip(&hash, ACCEPT_LIMIT);
        pool.await_found(&hash);
        // The block is a share as well: counted before the next connection looks.
        pool.await_server("the block is counted", |server| {
            (per_shard(server, "accepted")[shard] == before[shard] + 2).then_some(())
        });
        if found_on.len() == SHARD_COUNT as usize {
            return;
        }
    }
    panic!("sixteen connections on one shard: {found_on:?}");
}
