//! Connections that come and go leave nothing behind.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::scope;
use std::time::{Duration, Instant};

use serde_json::json;
use socket2::{Domain, Protocol, Socket, Type};

use crate::abuse::open_count;
use crate::node::{Chain, Node};
use crate::poll::until;
use crate::pool::Pool;
use crate::settings::MINER_ADDRESS;
use crate::stratum::{ANSWER_LIMIT, Client, Connection};

/// After these the pool has what it needs to serve: buffers, tables, threads' heaps.
const WARM_UP_COUNT: usize = 500;
const VISIT_COUNT: usize = 10_000;
/// A machine that cannot do all in this time does what it can.
const VISITS_LIMIT: Duration = Duration::from_secs(60);
const THREAD_COUNT: usize = 8;
/// Of 127.0.0.0/8, which is all this machine.
const SOURCE_COUNT: u8 = 16;
/// One visit in so many waits for its answers, and so for the pause before its first work.
const PATIENT_EVERY: usize = 50;
/// One visit in so many is torn off instead of hung up.
const TORN_EVERY: usize = 3;

/// The place of a miner that has gone is kept for five minutes (its jobs, its difficulty, the shares
/// it has handed in): until then each visit leaves that much behind.
const PARKED_BYTES_MAX: usize = 1280;
/// When the last of them has ended, and the allocator has given its memory back.
const PARKING_LIMIT: Duration = Duration::from_secs(300 + 60);
/// The heaps of a few threads never give back everything.
const HEAP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// An answer of the status page or a call to the node may be under way in either count.
const DESCRIPTORS_MAX: usize = 6;
/// A connection that was torn off is noticed by its next event.
const SETTLE_LIMIT: Duration = Duration::from_secs(15);

fn connect_from(source: u8, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, source), 0)).into())?;
    socket.connect_timeout(&address.into(), ANSWER_LIMIT)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_write_timeout(Some(ANSWER_LIMIT))?;
    Ok(socket.into())
}

/// Comes, gets work and goes.
#[track_caller]
fn visit(nth: usize, address: SocketAddr) {
    let source = 1 + u8::try_from(nth % usize::from(SOURCE_COUNT)).expect("below the count");
    let stream = connect_from(source, address);
    let stream = stream.unwrap_or_else(|error| panic!("connect from 127.0.0.{source}: {error}"));
    let mut client = Client::over(Connection::over(stream));
    let worker = format!("{MINER_ADDRESS}.rig{source}");
    if nth.is_multiple_of(PATIENT_EVERY) {
        assert_eq!(client.request("mining.subscribe", &json!(["churn/1.0"])).error, None);
        assert!(client.request("mining.authorize", &json!([worker, "x"])).is_true());
    } else {
        let subscribe = json!({"id": 1, "method": "mining.subscribe", "params": ["churn/1.0"]});
        let authorize = json!({"id": 2, "method": "mining.authorize", "params": [worker, "x"]});
        client.send(format!("{subscribe}\n{authorize}\n").as_bytes());
        for id in [1, 2] {
            let answer = client.answer();
            assert_eq!((&answer["id"], &answer["error"]), (&json!(id), &json!(null)));
        }
    }
    loop {
        let notification = client.notification(ANSWER_LIMIT).expect("work comes by itself");
        if notification.method == "mining.notify" {
            break;
        }
    }
    if nth.is_multiple_of(TORN_EVERY) {
        drop(client);
    } else {
        client.leave();
    }
}

/// Up to `count` visits by several threads; how many there were.
fn visits(count: usize, address: SocketAddr) -> usize {
    let deadline = Instant::now() + VISITS_LIMIT;
    let next = AtomicUsize::new(0);
    let done = AtomicUsize::new(0);
    scope(|threads| {
        for _ in 0..THREAD_COUNT {
            threads.spawn(|| {
                while Instant::now() < deadline {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    if nth >= count {
                        return;
                    }
                    visit(nth, address);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    done.into_inner()
}

struct AtRest {
    /// Bytes.
    resident: usize,
    descriptors: usize,
}

/// How it is once nobody is there.
#[track_caller]
fn at_rest(pool: &Pool, descriptors_max: usize) -> AtRest {
    until("the pool is as it was", SETTLE_LIMIT, || {
        let open = open_count(&pool.api_server());
        let descriptors = pool.descriptor_count();
        let resident = usize::try_from(pool.resident_bytes()).expect("a size");
        (open == 0 && descriptors <= descriptors_max).then_some(AtRest { resident, descriptors })
    })
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    let node = Node::new(Chain::Regtest);
    let pool = Pool::for_node(&node);
    let before = after_warm_up(&pool);
    let count = visit_again_and_again(&pool, VISIT_COUNT);
    let AtRest { resident, .. } = at_rest(&pool, before.descriptors + DESCRIPTORS_MAX);
    let growth = resident.saturating_sub(before.resident);
    let bound = count * PARKED_BYTES_MAX + HEAP_BYTES_MAX;
    assert!(growth < bound, "{growth} bytes more after {count} visits, {bound} are allowed");
    every_visit_was_counted(&pool, WARM_UP_COUNT + count);
}

#[test]
#[ignore = "takes seven minutes: the places of those who have gone are kept for five"]
fn a_minute_of_connections_that_come_and_go_costs_no_memory_in_the_end() {
    let node = Node::new(Chain::Regtest);
    let pool = Pool::for_node(&node);
    let before = after_warm_up(&pool);
    let count = visit_again_and_again(&pool, usize::MAX);
    let AtRest { resident, .. } = at_rest(&pool, before.descriptors + DESCRIPTORS_MAX);
    println!("{count} visits: resident {} before, {resident} after", before.resident);
    let bound = before.resident + HEAP_BYTES_MAX;
    let resident = until("the memory is as it was", PARKING_LIMIT, || {
        let resident = usize::try_from(pool.resident_bytes()).expect("a size");
        (resident < bound).then_some(resident)
    });
    println!("and {resident} in the end");
    every_visit_was_counted(&pool, WARM_UP_COUNT + count);
}

fn after_warm_up(pool: &Pool) -> AtRest {
    assert_eq!(visits(WARM_UP_COUNT, pool.stratum()), WARM_UP_COUNT);
    at_rest(pool, usize::MAX)
}

/// As many visits as there is time for, up to `count`; how many there were.
fn visit_again_and_again(pool: &Pool, count: usize) -> usize {
    let start = Instant::now();
    let count = visits(count, pool.stratum());
    let took = start.elapsed();
    assert!(count >= WARM_UP_COUNT, "only {count} visits in {took:?}");
    count
}

fn every_visit_was_counted(pool: &Pool, total: usize) {
    pool.await_server("every visit was counted", |server| {
        let closed = server["connections"]["closed"].as_object().expect("reasons");
        let closed: u64 = closed.values().filter_map(serde_json::Value::as_u64).sum();
        let total = total as u64;
        (server["connections"]["accepted"] == total && closed == total).then_some(())
    });
}
