//! What miners hear when the pool stops.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::miner::Miner;
use crate::node::{Chain, Node};
use crate::pool::Pool;
use crate::settings::{MINER_ADDRESS, Settings};
use crate::stratum::{ANSWER_LIMIT, Connection};
use crate::tls_client;

const CONNECTION_COUNT: usize = 1000;
const SHARD_COUNT: u32 = 2;
/// How many miners may come back in the same second to the one pool that follows.
const RETURNS_PER_SECOND_MAX: usize = 500;
const WAIT_SECONDS_MAX: u64 = 120;
/// A shard that has not ended is left behind after ten seconds, and the log says so.
pub const STOP_LIMIT: Duration = Duration::from_secs(30);
pub const LEFT_BEHIND: &str = "the shards have not ended in time";
/// A stop that was cut short waits for nothing: one that was not waits for ten seconds.
const AT_ONCE: Duration = Duration::from_secs(8);

/// The seconds a miner is asked to wait, once everything it is told has been checked.
#[track_caller]
fn goodbye(mut connection: Connection) -> u64 {
    let lines = connection.last_words(ANSWER_LIMIT).expect("the pool closes");
    let (message, reconnect) = match &lines[lines.len().saturating_sub(2)..] {
        [message, reconnect] => (message, reconnect),
        other => panic!("two lines are owed: {other:?}"),
    };
    let text = "Pool restarting; please reconnect.";
    let shown = json!({"id": null, "method": "client.show_message", "params": [text]});
    assert_eq!(message, &shown.to_string());
    let told: Value = serde_json::from_str(reconnect).expect("JSON");
    let wait = told["params"][2].as_u64().unwrap_or_else(|| panic!("no wait in {reconnect}"));
    let expected = json!({"id": null, "method": "client.reconnect", "params": [null, null, wait]});
    assert_eq!(reconnect, &expected.to_string());
    wait
}

/// The pool ends as it should, and nothing of it is left behind.
#[track_caller]
fn check_end(pool: &mut Pool) {
    let status = pool.ended(STOP_LIMIT).expect("the pool ends");
    assert!(status.success(), "{status}");
    let lines = pool.lines_after(0);
    assert!(!lines.iter().any(|line| line.contains(LEFT_BEHIND)), "{lines:#?}");
}

#[test]
fn a_miner_is_asked_to_come_back_when_the_pool_stops() {
    let node = Node::new(Chain::Regtest);
    let mut settings = Settings::of(&node);
    settings.stratum_tls_listen = "127.0.0.1:0";
    let mut pool = Pool::start(settings);
    let address = pool.stratum();
    let mut connections: Vec<Connection> = vec![
        // One that has not said anything, one in the middle of a line, and one over TLS.
        Connection::open(address).expect("connect"),
        Connection::open(address).expect("connect"),
        tls_client::open(pool.stratum_tls(), &pool.certificate_paths().0),
    ];
    connections[1].send(b"{\"id\":1,\"method\":\"mining.").expect("send");
    let mut miner = Miner::join(address, MINER_ADDRESS);
    miner.job();
    connections.push(miner.into_connection());
    pool.await_server("all are there", |server| {
        (server["connections"]["open"] == connections.len()).then_some(())
    });
    pool.ask_to_stop();
    for connection in connections {
        assert_eq!(goodbye(connection), 1);
    }
    check_end(&mut pool);
}

#[test]
fn a_thousand_miners_are_asked_to_come_back_one_after_another() {
    let node = Node::new(Chain::Regtest);
    let mut settings = Settings::of(&node);
    settings.shards = Some(SHARD_COUNT);
    let mut pool = Pool::start(settings);
    let connections: Vec<_> = (0..CONNECTION_COUNT)
        .map(|nth| {
            let opened = Connection::open(pool.stratum());
            opened.unwrap_or_else(|error| panic!("connect, {nth} are open: {error}"))
        })
        .collect();
    pool.await_server("all are there", |server| {
        (server["connections"]["open"] == CONNECTION_COUNT).then_some(())
    });
    pool.ask_to_stop();
    let mut returns = BTreeMap::<u64, usize>::new();
    for connection in connections {
        *returns.entry(goodbye(connection)).or_default() += 1;
    }
    assert!(returns.keys().all(|wait| (1..=WAIT_SECONDS_MAX).contains(wait)), "{returns:?}");
    assert!(returns.len() > 1, "all at once: {returns:?}");
    assert!(returns.values().all(|count| *count <= RETURNS_PER_SECOND_MAX), "{returns:?}");
    check_end(&mut pool);
}

#[test]
fn a_miner_that_does_not_hang_up_does_not_keep_the_pool_from_stopping() {
    let node = Node::new(Chain::Regtest);
    let mut pool = Pool::for_node(&node);
    let mut miner = Miner::join(pool.stratum(), MINER_ADDRESS);
    miner.job();
    pool.ask_to_stop();
    check_end(&mut pool);
    drop(miner);
}

/// A stop that waits for something can be cut short, and says so by its code.
#[test]
fn sigint_stops_in_order_and_a_second_signal_at_once() {
    let node = Node::new(Chain::Regtest);
    let mut pool = Pool::for_node(&node);
    pool.signal(libc::SIGINT);
    let status = pool.ended(STOP_LIMIT).expect("it stops");
    assert_eq!(status.code(), Some(0));

    let mut pool = Pool::for_node(&node);
    let mut miner = Miner::join(pool.stratum(), MINER_ADDRESS);
    let job = miner.job();
    // The stop has a block to wait for that the node does not take.
    node.pause();
    let block = miner.find_block(&job);
    assert!(miner.submit(&block).is_true());
    pool.ask_to_stop();
    pool.await_log("stopping", &["component=control"], STOP_LIMIT);
    let told_again = Instant::now();
    pool.ask_to_stop();
    let status = pool.ended(STOP_LIMIT).expect("it stops");
    node.resume();
    assert_eq!(status.code(), Some(1));
    assert!(told_again.elapsed() < AT_ONCE, "{:?}", told_again.elapsed());
}
