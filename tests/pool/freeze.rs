//! A client that asks a lot and takes no answer freezes neither its shard nor the pool's end.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

use crate::abuse::{SHARDS, open_count, undisturbed};
use crate::cores::Watch;
use crate::node::{Chain, Node};
use crate::poll::POLL_INTERVAL;
use crate::pool::Pool;
use crate::settings::Settings;
use crate::shutdown::{LEFT_BEHIND, STOP_LIMIT};
use crate::stratum::{Connection, Heard};

/// What a good miner waits for an answer at most.
const ANSWER_LATENCY_MAX: Duration = Duration::from_secs(1);
/// A full outbox is cut off; what is less has a few seconds to be taken once the connection ends.
const CLOSE_LIMIT: Duration = Duration::from_secs(15);
const PING: &str = "{\"id\":1,\"method\":\"mining.ping\",\"params\":[]}\n";
/// How much is asked, so that the answers end in the client's kernel, in the pool's, in the outbox
/// or beyond it, wherever the sizes of this machine's buffers put the borders.
const SIZES: [usize; 12] = [100, 400, 800, 1200, 1600, 2000, 2400, 2800, 3200, 3600, 4400, 6000];

fn one_shard(node: &Node) -> Pool {
    let mut settings = Settings::of(node);
    settings.shards = Some(1);
    Pool::start(settings)
}

/// A socket whose kernel takes next to nothing on its behalf.
fn narrow(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("a socket");
    // The window is agreed on when connecting; the kernel raises this to its least.
    socket.set_recv_buffer_size(1024).expect("a socket option");
    socket.connect(&address.into()).expect("connect");
    socket.set_write_timeout(Some(CLOSE_LIMIT)).expect("a socket option");
    socket.into()
}

/// Asks for `kilobytes` of pings and reads nothing. The pool may end it meanwhile.
fn stuff(stream: &mut TcpStream, kilobytes: usize) {
    let chunk = PING.repeat(1024 * 4);
    let mut left = kilobytes * 1024;
    while left > 0 {
        let whole = left.min(chunk.len()) / PING.len() * PING.len();
        if whole == 0 || stream.write_all(&chunk.as_bytes()[..whole]).is_err() {
            return;
        }
        left -= whole;
    }
}

#[test]
fn a_deaf_client_that_ends_in_garbage_freezes_nobody() {
    let node = Node::new(Chain::Regtest);
    let pool = one_shard(&node);
    let address = pool.stratum();
    undisturbed(&node, &pool, || {
        let mut deaf = Vec::new();
        for kilobytes in SIZES {
            let mut stream = narrow(address);
            stuff(&mut stream, kilobytes);
            // The pool may have closed already.
            let _ = stream.write_all(b"garbage\n");
            deaf.push(stream);
        }
        // They stay, and read nothing; the pool does not wait for that. One is the good miner's.
        let deadline = Instant::now() + CLOSE_LIMIT;
        while open_count(&pool.api_server()) > 1 {
            assert!(Instant::now() < deadline, "open after {CLOSE_LIMIT:?}");
            sleep(POLL_INTERVAL);
        }
        drop(deaf);
    });
}

#[test]
fn a_deaf_client_does_not_keep_the_pool_from_stopping() {
    let node = Node::new(Chain::Regtest);
    let mut pool = one_shard(&node);
    let address = pool.stratum();
    let process_id = pool.process_id();
    let stopping = AtomicBool::new(false);
    let slowest = scope(|threads| {
        let witnesses: Vec<_> = (0..2)
            .map(|_| {
                let connection = Connection::open(address).expect("connect");
                let watch = Watch::new(process_id, SHARDS);
                threads.spawn(|| slowest_until_closed(connection, watch, &stopping))
            })
            .collect();
        let mut deaf = Vec::new();
        for kilobytes in SIZES {
            let mut stream = narrow(address);
            stuff(&mut stream, kilobytes);
            deaf.push(stream);
        }
        let connections = pool.api_server()["connections"].clone();
        stopping.store(true, Ordering::Relaxed);
        let asked = Instant::now();
        pool.ask_to_stop();
        let status = pool.ended(STOP_LIMIT);
        let took = asked.elapsed();
        // The witnesses end with the pool, whatever comes of it.
        pool.kill();
        drop(deaf);
        let status = status.unwrap_or_else(|| panic!("running {took:?} after SIGTERM"));
        assert!(status.success(), "{status}, {connections}");
        let lines = pool.lines_after(0);
        assert!(!lines.iter().any(|line| line.contains(LEFT_BEHIND)), "{lines:#?}");
        witnesses.into_iter().map(|witness| witness.join().expect("it was served")).max()
    });
    let slowest = slowest.expect("there are witnesses");
    assert!(slowest < ANSWER_LATENCY_MAX, "a good miner waited {slowest:?} for an answer");
}

/// Asks until the pool closes the connection, which it may do once it is `stopping`.
fn slowest_until_closed(
    mut connection: Connection,
    watch: Watch,
    stopping: &AtomicBool,
) -> Duration {
    const LIMIT: Duration = Duration::from_secs(60);
    let start = Instant::now();
    let mut slowest = Duration::ZERO;
    while start.elapsed() < LIMIT {
        let asked = watch.now();
        if connection.send(PING.as_bytes()).is_err() {
            assert!(stopping.load(Ordering::Relaxed), "closed while the pool was running");
            return slowest;
        }
        loop {
            match connection.hear(LIMIT) {
                Heard::Line(line) => {
                    let message: Value = serde_json::from_str(&line).expect("JSON");
                    if message["result"] == "pong" {
                        break;
                    }
                }
                Heard::Closed => {
                    assert!(stopping.load(Ordering::Relaxed), "closed while the pool was running");
                    return slowest;
                }
                Heard::Silence => panic!("a ping was not answered"),
            }
        }
        slowest = slowest.max(watch.now().since(asked));
        sleep(POLL_INTERVAL);
    }
    panic!("the pool did not close in {LIMIT:?}");
}
