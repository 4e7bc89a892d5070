//! A block that was found reaches the chain, whatever is away at that moment.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::Duration;

use crate::miner::Miner;
use crate::node::{Chain, Node};
use crate::pool::Pool;
use crate::ports;
use crate::settings::{MINER_ADDRESS, Settings};

/// A node that came back is asked again within a second or two; a started one within five.
const DELIVERY_LIMIT: Duration = Duration::from_secs(40);
/// The row of a found block is one small write.
const DISK_LIMIT: Duration = Duration::from_secs(5);

/// A node with a few blocks, its pool, and a miner with work.
fn scene() -> (Node, Pool, Miner) {
    let node = Node::new(Chain::Regtest);
    node.mine_to(MINER_ADDRESS, 3);
    let pool = Pool::for_node(&node);
    let mut miner = Miner::join(pool.stratum(), MINER_ADDRESS);
    miner.job();
    (node, pool, miner)
}

#[test]
fn a_block_found_while_the_node_hangs_is_on_the_chain_when_it_goes_on() {
    let (node, pool, mut miner) = scene();
    node.pause();
    let hash = miner.mine_block();
    // The miner's answer and its next request do not wait for the node.
    assert_eq!(miner.request("mining.ping", &serde_json::json!([])).result, "pong");
    node.resume();
    node.await_tip(&hash, DELIVERY_LIMIT);
    pool.await_found(&hash);
}

#[test]
fn a_block_found_while_the_node_is_down_is_on_the_chain_when_it_is_back() {
    let (mut node, pool, mut miner) = scene();
    node.crash();
    let hash = miner.mine_block();
    node.start();
    node.await_tip(&hash, DELIVERY_LIMIT);
    pool.await_found(&hash);
    // The feed came back too, with the new cookie.
    assert!(miner.job_on_within(&hash, DELIVERY_LIMIT).clean);
}

#[test]
fn a_block_outlives_a_pool_that_is_killed() {
    let (mut node, mut pool, mut miner) = scene();
    node.crash();
    let hash = miner.mine_block();
    pool.await_on_disk(&hash, DISK_LIMIT);
    pool.kill();
    node.start();
    assert_ne!(node.best_block_hash(), hash, "nobody has handed it in yet");
    let pool = pool.relaunch();
    node.await_tip(&hash, DELIVERY_LIMIT);
    pool.await_found(&hash);
}

#[test]
fn a_block_outlives_a_pool_that_is_stopped() {
    let (mut node, mut pool, mut miner) = scene();
    node.crash();
    let hash = miner.mine_block();
    let status = pool.terminate();
    assert_eq!(status.code(), Some(0), "an orderly stop, {status}");
    node.start();
    let pool = pool.relaunch();
    node.await_tip(&hash, DELIVERY_LIMIT);
    pool.await_found(&hash);
}

#[test]
fn the_pages_are_up_before_the_node_and_stratum_opens_with_it() {
    let mut node = Node::absent(Chain::Regtest);
    let mut settings = Settings::of(&node);
    let stratum = ports::loopback(ports::free());
    settings.pool_listen = stratum.to_string();
    let pool = Pool::launch(settings);
    assert_eq!(pool.get("/", &[]).status, 200);
    pool.await_server("the node is known to be away", |server| {
        (server["rpc_healthy"] == false).then_some(())
    });
    let refused = TcpStream::connect_timeout(&stratum, Duration::from_secs(5));
    assert_eq!(refused.map_err(|error| error.kind()).err(), Some(ErrorKind::ConnectionRefused));

    node.start();
    assert_eq!(pool.stratum(), stratum);
    let hash = Miner::join(stratum, MINER_ADDRESS).mine_block();
    node.await_tip(&hash, DELIVERY_LIMIT);
}

#[test]
fn a_new_tip_reaches_the_miners_after_the_node_was_away() {
    let (mut node, _pool, mut miner) = scene();
    node.crash();
    node.start();
    node.mine_to(MINER_ADDRESS, 1);
    let hash = node.best_block_hash();
    assert!(miner.job_on_within(&hash, DELIVERY_LIMIT).clean);
}
