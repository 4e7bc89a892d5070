//! Whatever one client does, the others do not notice, and the pool's memory hardly does.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cores::Watch;
use crate::miner::Miner;
use crate::node::{Chain, Node};
use crate::poll::{POLL_INTERVAL, until_true};
use crate::pool::Pool;
use crate::settings::{MINER_ADDRESS, Settings};
use crate::stratum::{Connection, Heard, connect};

const CLOSE_LIMIT: Duration = Duration::from_secs(10);
/// The slowest answer a good miner may get meanwhile, from a debug build that has a core.
const ANSWER_LATENCY_MAX: Duration = Duration::from_secs(1);
/// The threads that answer miners.
pub const SHARDS: &[&str] = &["shard-"];
/// How often each offence is committed: what leaked each time would add up.
const ROUND_COUNT: usize = 20;
/// Twenty rounds of lines of a megabyte, were they kept, would be twenty megabytes and more.
const GROWTH_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// No test here takes longer.
const TEST_LIMIT: Duration = Duration::from_secs(150);

/// What the pool says before it closes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Farewell {
    Nothing,
    /// A parse error to this id.
    ParseError(i64),
    /// The description leaves it open.
    Anything,
    /// It may pass for a request: answered or closed, not left hanging.
    AnswerOrClose,
    /// An answer a browser can show.
    Http,
}

fn offences() -> Vec<(&'static str, Vec<u8>, Farewell)> {
    // One byte of each step of a xorshift generator: as good as noise, the same in every run.
    let mut state = 0x9e37_79b9_u32;
    let mut noise: Vec<u8> = (0..4096)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_le_bytes()[1]
        })
        .collect();
    noise.push(b'\n');
    let ping_with = |params: &str| {
        format!("{{\"id\":7,\"method\":\"mining.ping\",\"params\":{params}\n").into_bytes()
    };
    vec![
        ("noise", noise, Farewell::Nothing),
        ("a megabyte without a line end", vec![b'a'; 1024 * 1024], Farewell::Nothing),
        ("100 000 brackets", vec![b'['; 100_000], Farewell::Nothing),
        (
            "60 000 brackets in a line",
            [vec![b'['; 60_000], vec![b'\n']].concat(),
            Farewell::Nothing,
        ),
        ("deep parameters", ping_with(&"[".repeat(60_000)), Farewell::Anything),
        (
            "deep and whole",
            ping_with(&format!("{}{}}}", "[".repeat(30_000), "]".repeat(30_000))),
            Farewell::AnswerOrClose,
        ),
        ("an object cut short", ping_with("[\"x\""), Farewell::ParseError(7)),
        ("parameters that are no array", ping_with("{\"a\":1}}"), Farewell::ParseError(7)),
        ("a NUL byte", b"{\"id\":7,\0\"method\":\"mining.ping\"}\n".to_vec(), Farewell::Anything),
        ("only NUL bytes", b"\0\0\0\0\n".to_vec(), Farewell::Nothing),
        ("no UTF-8", b"{\"id\":7,\"method\":\"\xff\xfe\"}\n".to_vec(), Farewell::AnswerOrClose),
        ("a batch", b"[{\"id\":7,\"method\":\"mining.ping\"}]\n".to_vec(), Farewell::Nothing),
        ("an HTTP request", b"GET / HTTP/1.1\r\nHost: pool\r\n\r\n".to_vec(), Farewell::Http),
        (
            "a TLS client hello",
            b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x0a".to_vec(),
            Farewell::Nothing,
        ),
    ]
}

#[test]
fn what_is_no_request_ends_its_connection_and_nothing_else() {
    let node = Node::new(Chain::Regtest);
    let pool = Pool::for_node(&node);
    let address = pool.stratum();
    undisturbed(&node, &pool, || {
        for round in 0..ROUND_COUNT {
            for (name, bytes, farewell) in offences() {
                let mut connection = Connection::open(address)
                    .unwrap_or_else(|error| panic!("connect for {name}: {error}"));
                // The pool may close before it has heard everything.
                let _ = connection.send(&bytes);
                if farewell == Farewell::AnswerOrClose {
                    let heard = connection.hear(CLOSE_LIMIT);
                    assert_ne!(heard, Heard::Silence, "{name}: no answer, round {round}");
                    continue;
                }
                let words = connection.last_words(CLOSE_LIMIT);
                let words = words.unwrap_or_else(|| panic!("{name}: open, round {round}"));
                check_farewell(name, farewell, &words);
            }
        }
    });
}

#[track_caller]
fn check_farewell(name: &str, farewell: Farewell, words: &[String]) {
    match farewell {
        Farewell::Anything | Farewell::AnswerOrClose => {}
        Farewell::Nothing => assert!(words.is_empty(), "{name}: the pool said {words:?}"),
        Farewell::Http => {
            let status = words.first().map(String::as_str);
            assert_eq!(status, Some("HTTP/1.1 400 Bad Request\r"), "{name}: {words:?}");
        }
        Farewell::ParseError(id) => {
            let error = json!([-32700, "parse error", null]);
            let expected = json!({"id": id, "result": null, "error": error});
            assert_eq!(words.len(), 1, "{name}: the pool said {words:?}");
            let said: Value = serde_json::from_str(&words[0]).expect("JSON");
            assert_eq!(said, expected, "{name}");
        }
    }
}

#[test]
fn a_client_that_never_reads_is_closed() {
    const CLIENT_COUNT: usize = 4;
    // A minute for a write that does not go through (`stratum.md` §1.9), and time to get there.
    const LIMIT: Duration = Duration::from_secs(100);
    /// Times everybody talks between two looks at the figures.
    const TURN_COUNT: usize = 200;
    let node = Node::new(Chain::Regtest);
    let pool = Pool::for_node(&node);
    let address = pool.stratum();
    undisturbed(&node, &pool, || {
        let mut deaf: Vec<_> = (0..CLIENT_COUNT).map(|_| Deaf::open(address)).collect();
        // The good miner is one more.
        pool.await_server("the deaf are counted", |server| {
            (open_count(server) == CLIENT_COUNT as u64 + 1).then_some(())
        });
        // The pool is asked whether they are gone: a client whose own buffers are full learns that
        // it was closed only when its kernel next tries, which may be minutes later.
        let deadline = Instant::now() + LIMIT;
        let mut left = u64::MAX;
        while left != 1 {
            assert!(Instant::now() < deadline, "{} deaf are open after {LIMIT:?}", left - 1);
            for _ in 0..TURN_COUNT {
                deaf.retain_mut(Deaf::talk);
                sleep(Duration::from_millis(1));
            }
            left = open_count(&pool.api_server());
        }
    });
}

/// What nobody takes waits in the kernel's buffer as well: a client that has gone without a word is
/// noticed although nothing is said to it that the buffer would not hold.
#[test]
fn a_client_that_has_fallen_silent_is_closed_after_a_minute() {
    const LEAST: Duration = Duration::from_secs(45);
    const LIMIT: Duration = Duration::from_secs(90);
    /// Of 9 kB each: more than its own kernel takes, less than the pool's.
    const TURNS: usize = 30;
    let node = Node::new(Chain::Regtest);
    let pool = Pool::for_node(&node);
    let address = pool.stratum();
    undisturbed(&node, &pool, || {
        let mut silent = Deaf::open(address);
        silent.say(TURNS);
        let start = Instant::now();
        pool.await_server("it is counted", |server| (open_count(server) == 2).then_some(()));
        let is_closed = || open_count(&pool.api_server()) == 1;
        until_true("it is closed", LIMIT, is_closed);
        assert!(start.elapsed() > LEAST, "closed after {:?}", start.elapsed());
    });
}

#[track_caller]
pub fn open_count(server: &Value) -> u64 {
    server["connections"]["open"].as_u64().expect("connections.open")
}

/// A client that asks and asks, and takes no answer. Its kernel takes 64 KiB on its behalf; the
/// window of a socket nobody reads does not grow.
struct Deaf {
    stream: TcpStream,
    request: Vec<u8>,
    sent: usize,
}

impl Deaf {
    fn open(address: std::net::SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("connect");
        stream.set_nonblocking(true).expect("a socket option");
        let request = "{\"id\":1,\"method\":\"mining.ping\",\"params\":[]}\n".repeat(200);
        Self { stream, request: request.into_bytes(), sent: 0 }
    }

    /// Says all it has to say so many times.
    fn say(&mut self, count: usize) {
        self.stream.set_nonblocking(false).expect("a socket option");
        (0..count).for_each(|_| self.stream.write_all(&self.request).expect("say it"));
    }

    /// Says what the socket takes; false when the pool has closed it.
    fn talk(&mut self) -> bool {
        match self.stream.write(&self.request[self.sent..]) {
            Ok(size) => {
                self.sent = (self.sent + size) % self.request.len();
                true
            }
            Err(error) => {
                let waits = [ErrorKind::WouldBlock, ErrorKind::Interrupted];
                waits.contains(&error.kind())
            }
        }
    }
}

#[test]
fn a_client_without_a_whole_line_is_closed_when_its_time_is_up() {
    const IDLE: Duration = Duration::from_secs(30);
    const LIMIT: Duration = Duration::from_secs(45);
    let node = Node::new(Chain::Regtest);
    let mut settings = Settings::of(&node);
    settings.idle_seconds = 30;
    let pool = Pool::start(settings);
    let address = pool.stratum();
    undisturbed(&node, &pool, || {
        let start = Instant::now();
        let mut open = Vec::new();
        for (name, first, trickle) in [
            ("nothing at all", "", ""),
            ("half a line", "{\"id\":1,\"method\":\"mining.", ""),
            ("a trickle", "{\"id\":1,\"method\":\"mining.", "a"),
            ("blank lines", "\n", "\r\n"),
        ] {
            let mut connection = Connection::open(address).expect("connect");
            connection.send(first.as_bytes()).expect("say it");
            open.push((name, trickle, connection));
        }
        while !open.is_empty() {
            assert!(start.elapsed() < LIMIT, "{} are open after {LIMIT:?}", open.len());
            open.retain_mut(|(name, trickle, connection)| {
                // A closed connection may refuse it; the next line sees that.
                let _ = connection.send(trickle.as_bytes());
                let closed = connection.last_words(POLL_INTERVAL).is_some();
                assert!(!closed || start.elapsed() >= IDLE, "{name}: {:?}", start.elapsed());
                !closed
            });
            sleep(Duration::from_millis(500));
        }
    });
}

/// Commits `offence` while a good miner is at work, and checks that neither it nor the pool's
/// memory was affected.
#[track_caller]
pub fn undisturbed(node: &Node, pool: &Pool, offence: impl FnOnce()) {
    let mut miner = Miner::join(pool.stratum(), MINER_ADDRESS);
    miner.job();
    let before = pool.resident_bytes();
    let over = AtomicBool::new(false);
    let watch = Watch::new(pool.process_id(), SHARDS);
    let slowest = scope(|threads| {
        let witness = threads.spawn(|| slowest_answer(&mut miner, &watch, &over));
        // The witness is told even when the offence fails its test.
        let told = OnDrop(&over);
        offence();
        drop(told);
        witness.join().expect("the good miner was served")
    });
    assert!(slowest < ANSWER_LATENCY_MAX, "the good miner waited {slowest:?} for an answer");
    let growth = pool.resident_bytes().saturating_sub(before);
    assert!(growth < GROWTH_BYTES_MAX, "the pool grew by {growth} bytes");
    let hash = miner.mine_block();
    node.await_tip(&hash, Duration::from_secs(10));
}

fn slowest_answer(miner: &mut Miner, watch: &Watch, over: &AtomicBool) -> Duration {
    let start = Instant::now();
    let mut slowest = Duration::ZERO;
    while !over.load(Ordering::Relaxed) && start.elapsed() < TEST_LIMIT {
        let asked = watch.now();
        assert_eq!(miner.request("mining.ping", &json!([])).result, "pong");
        slowest = slowest.max(watch.now().since(asked));
        sleep(POLL_INTERVAL);
    }
    slowest
}

struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Connections that shout at once, from as many threads as a test may have.
const SHOUTING_COUNT: usize = 400;
const SHOUTING_THREADS: usize = 8;
/// All there are, one after the other: what they have sent is there to be read when they have gone, and a
/// fast machine would leave a slow build more than it can read in time.
const SHOUTING_TOTAL: usize = 6000;
const SHOUTING_TIME: Duration = Duration::from_secs(4);

/// However much comes from however many, whoever comes after them is served.
#[test]
fn many_who_shout_at_once_keep_nobody_out() {
    let node = Node::new(Chain::Signet);
    let mut settings = Settings::of(&node);
    settings.shards = Some(1);
    let pool = Pool::start(settings);
    let address = pool.stratum();
    let until = Instant::now() + SHOUTING_TIME;
    scope(|threads| {
        for _ in 0..SHOUTING_THREADS {
            threads.spawn(|| {
                // Lines that mean nothing, lines without an end, and answers that nobody reads.
                let line = b"{\"id\":1,\"method\":\"mining.ping\",\"params\":[]}\n".repeat(200);
                let endless = vec![b'['; 100_000];
                let mut connections: Vec<TcpStream> = Vec::new();
                let mut left = SHOUTING_TOTAL / SHOUTING_THREADS;
                while Instant::now() < until {
                    if left > 0 {
                        connections.truncate(SHOUTING_COUNT / SHOUTING_THREADS / 2);
                    }
                    while left > 0 && connections.len() < SHOUTING_COUNT / SHOUTING_THREADS {
                        let Ok(stream) = connect(address) else { break };
                        let _ = stream.set_nonblocking(true);
                        connections.push(stream);
                        left -= 1;
                    }
                    for (nth, stream) in connections.iter_mut().enumerate() {
                        let bytes: &[u8] = if nth % 3 == 0 { &endless } else { &line };
                        let _ = stream.write(bytes);
                    }
                    connections.reverse();
                }
            });
        }
    });
    let mut miner = Miner::join(address, MINER_ADDRESS);
    let job = miner.job();
    let share = miner.find_share(&job);
    assert!(miner.submit(&share).is_true());
    pool.await_server("only the miner is left", |server| {
        (server["connections"]["open"] == 1).then_some(())
    });
}
