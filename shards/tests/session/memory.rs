//! What one connection can make the pool remember.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use gopool_shards::limits::{LINE_BYTES_MAX, SEEN_PER_SESSION_MAX};

use crate::transcript::{Pool, WALLET, defaults};

thread_local! {
    /// Bytes that this thread has allocated less those it has freed.
    static HELD: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(bytes: isize) {
    // A thread that is ending frees more when its counter is gone.
    let _ = HELD.try_with(|held| held.set(held.get() + bytes));
}

// SAFETY: everything is the system allocator's; counting touches no memory but the thread's cell,
// which needs no allocation and no drop.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as above; it came from `System` with this layout.
        unsafe { System.dealloc(memory, layout) }
    }
}

fn held() -> isize {
    HELD.with(Cell::get)
}

/// A miner of whose hashes none is worth anything, and what it holds so far.
fn ready() -> (Pool, isize) {
    let before = held();
    let mut settings = defaults();
    settings.bans.threshold = 0;
    let mut pool = Pool::new(settings);
    pool.read(
        format!(
            "{{\"id\":1,\"method\":\"mining.subscribe\"}}\n\
             {{\"id\":2,\"method\":\"mining.authorize\",\"params\":[\"{WALLET}\",\"x\"]}}\n"
        )
        .as_bytes(),
    );
    (pool, before)
}

#[test]
fn a_flood_of_shares_is_remembered_up_to_a_bound() {
    let (mut pool, before) = ready();
    let (mut job, mut most) = ("1-1".to_owned(), 0);
    for nonce in 0..3 * SEEN_PER_SESSION_MAX {
        pool.read(
            format!(
                "{{\"id\":4,\"method\":\"mining.submit\",\"params\":\
                 [\"w\",\"{job}\",\"00000000\",\"662307b7\",\"{nonce:x}\"]}}\n"
            )
            .as_bytes(),
        );
        for line in pool.hear() {
            if let Some((_, rest)) = line.split_once("\"mining.notify\",\"params\":[\"") {
                job = rest.split('"').next().expect("an id").to_owned();
            }
        }
        most = most.max(held() - before);
    }
    assert_ne!(job, "1-1", "a full job is followed by another");
    assert!(most < 6 << 20, "{most} bytes");
}

#[test]
fn a_flood_of_anything_else_is_not_remembered() {
    let (mut pool, before) = ready();
    let long = "x".repeat(10_000);
    let mut most = 0;
    for round in 0..3000 {
        let line = match round % 6 {
            0 => format!(r#"{{"id":1,"method":"mining.configure","params":["{long}{round}"]}}"#),
            1 => format!(r#"{{"id":1,"method":"mining.authorize","params":["{WALLET}.{round}"]}}"#),
            2 => format!(r#"{{"id":1,"method":"{long}","params":["{long}"]}}"#),
            3 => format!(r#"{{"id":1,"method":"mining.submit","params":["{long}","{round}"]}}"#),
            4 => r#"{"id":1,"method":"mining.suggest_difficulty","params":[5]}"#.to_owned(),
            _ => format!(r#"{{"id":1,"method":"mining.get_transactions","params":["{long}"]}}"#),
        };
        pool.read((line + "\n").as_bytes());
        pool.hear();
        pool.tally.take();
        assert!(pool.closed.is_none());
        most = most.max(held() - before);
    }
    assert!(most < 256 << 10, "{most} bytes");
}

#[test]
fn a_line_without_an_end_is_held_up_to_its_bound() {
    let (mut pool, before) = ready();
    let mut most = 0;
    while pool.closed.is_none() {
        pool.receive(&[b' '; 1000]);
        most = most.max(held() - before);
    }
    assert!(most < (3 * LINE_BYTES_MAX) as isize, "{most} bytes");
}
