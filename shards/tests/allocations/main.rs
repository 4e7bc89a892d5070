//! A share costs no allocation: a real shard is sent accepted shares while every call of its
//! allocator is counted. What is left is its executor going to sleep and waking up, which costs the
//! same for one share as for a hundred.

#[allow(dead_code)]
#[path = "../shard/running.rs"]
mod running;
#[allow(dead_code)]
#[path = "../session/transcript.rs"]
mod transcript;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};

use running::{Running, mine};
use transcript::{WALLET, defaults};

/// The system's allocator, and how often it was asked.
struct Counting;

static CALLS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is the system allocator's doing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(start, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Shares that each miner sends at a time, at most.
const IN_FLIGHT: u32 = 16;
const MINERS: usize = 8;
/// What is sent before anything is counted: buffers grow, and the table of shares seen doubles at
/// 3,584 and next at 7,168.
const WARM_UP_ROUNDS: u32 = 240;
const COUNTED_ROUNDS: u32 = 150;
/// What a sleep more may add to the quietest round.
const SLEEP_MAX: u64 = 16;
/// Bytes of the answer to each.
const ANSWER: &str = r#"{"id":1,"result":true,"error":null}"#;

/// A burst of shares that have not been sent before.
fn write_burst(out: &mut Vec<u8>, in_flight: u32, nonce: &mut u32) {
    out.clear();
    for _ in 0..in_flight {
        *nonce += 1;
        writeln!(
            out,
            "{{\"id\":1,\"method\":\"mining.submit\",\"params\":[\"{WALLET}.rig1\",\"2-1\",\
             \"00000000\",\"662307b7\",\"{nonce:08x}\"]}}"
        )
        .expect("a Vec takes every byte");
    }
}

fn play_round(miners: &mut [BufReader<TcpStream>], burst: &[u8], answers: &mut [u8]) {
    for miner in &mut *miners {
        miner.get_ref().write_all(burst).expect("sent");
    }
    for miner in miners {
        miner.read_exact(answers).expect("all are answered");
        for answer in answers.chunks(ANSWER.len() + 1) {
            assert_eq!(std::str::from_utf8(&answer[..ANSWER.len()]), Ok(ANSWER));
        }
    }
}

#[test]
fn an_accepted_share_allocates_nothing() {
    let mut settings = defaults();
    // As `-flood` has it: every hash is a share.
    let difficulty = &mut settings.difficulty;
    (difficulty.default, difficulty.min, difficulty.max) = (1e-10, 1e-10, 1e-10);
    let shard = Running::start(settings);
    let mut rounds = Rounds {
        miners: (0..MINERS).map(|_| mine(&shard)).collect(),
        nonce: 0,
        burst: Vec::with_capacity(4096),
        answers: vec![0; (ANSWER.len() + 1) * IN_FLIGHT as usize],
    };
    rounds.quietest(WARM_UP_ROUNDS, IN_FLIGHT);
    let with_one = rounds.quietest(COUNTED_ROUNDS, 1);
    let with_all = rounds.quietest(COUNTED_ROUNDS, IN_FLIGHT);
    let more = MINERS as u64 * u64::from(IN_FLIGHT - 1);
    assert!(
        with_all <= with_one + SLEEP_MAX,
        "{with_all} allocations instead of {with_one} for {more} shares more"
    );
    drop(rounds);
    shard.stop();
}

struct Rounds {
    miners: Vec<BufReader<TcpStream>>,
    nonce: u32,
    burst: Vec<u8>,
    answers: Vec<u8>,
}

impl Rounds {
    /// Plays rounds in which each miner sends so many shares: the fewest allocations of one.
    fn quietest(&mut self, rounds: u32, in_flight: u32) -> u64 {
        let Self { miners, nonce, burst, answers } = self;
        let answers = &mut answers[..(ANSWER.len() + 1) * in_flight as usize];
        let count = |_| {
            write_burst(burst, in_flight, nonce);
            let before = CALLS.load(Ordering::Relaxed);
            play_round(miners, burst, answers);
            CALLS.load(Ordering::Relaxed) - before
        };
        (0..rounds).map(count).min().expect("there are rounds")
    }
}
