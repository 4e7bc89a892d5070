//! `-profile` shows where a working pool's time goes, and changes nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use pprof::protos::{Message, Profile};
use serde_json::json;

use crate::miner::Miner;
use crate::node::{Chain, Node};
use crate::pool::Pool;
use crate::settings::{MINER_ADDRESS, Settings};

const ACCEPT_LIMIT: Duration = Duration::from_secs(10);
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long the pool is kept busy: at a hundred samples a second of its CPU time, a shard has
/// dozens.
const BUSY_TIME: Duration = Duration::from_secs(6);
const QUESTION_COUNT: usize = 200;

/// The threads whose stacks are in a profile, and how many functions have names.
fn read(bytes: &[u8]) -> (BTreeSet<String>, usize) {
    let profile = Profile::decode(bytes).expect("a profile");
    let text = |index: i64| profile.string_table[usize::try_from(index).expect("an index")].clone();
    let labels = profile.sample.iter().flat_map(|sample| &sample.label);
    let threads =
        labels.filter(|label| text(label.key) == "thread").map(|label| text(label.str)).collect();
    let named = profile.function.iter().filter(|function| !text(function.name).is_empty());
    (threads, named.count())
}

/// The timer interrupts whichever thread is running, once in a while in the middle of a system
/// call. Here each of them is, wherever it waits.
fn interrupt_every_thread(pool: &Pool) {
    let process = i32::try_from(pool.process_id()).expect("a process id fits");
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("a running program");
    for thread in threads {
        let name = thread.expect("an entry").file_name();
        let thread: i32 = name.to_str().and_then(|name| name.parse().ok()).expect("a thread id");
        // SAFETY: three integers. The pool has a handler for this signal while it is profiled, and
        // the process is ours; a thread that has ended meanwhile is an error and nothing else.
        unsafe { libc::syscall(libc::SYS_tgkill, process, thread, libc::SIGPROF) };
    }
}

#[test]
fn a_profile_of_a_busy_pool_can_be_read_and_nobody_notices_that_it_is_taken() {
    let node = Node::new(Chain::Regtest);
    let mut settings = Settings::of(&node);
    settings.flags = &["-profile"];
    settings.shards = Some(1);
    let mut pool = Pool::start(settings);
    pool.await_log("CPU profile started", &["path=default.pgo", "seconds=60"], START_LIMIT);
    let mut miner = Miner::join(pool.stratum(), MINER_ADDRESS);
    let question = json!({"id": 1, "method": "mining.ping", "params": []}).to_string() + "\n";
    let questions = question.repeat(QUESTION_COUNT);
    let deadline = Instant::now() + BUSY_TIME;
    while Instant::now() < deadline {
        interrupt_every_thread(&pool);
        miner.client().send(questions.as_bytes());
        for _ in 0..QUESTION_COUNT {
            assert_eq!(miner.client().answer()["result"], "pong");
        }
        // Blocks are heard of, found and handed in as ever.
        let hash = miner.mine_block();
        node.await_tip(&hash, ACCEPT_LIMIT);
        miner.job_on(&hash);
    }
    for lost in ["socket failed", "disconnected from node", "cookie not readable"] {
        assert_eq!(pool.logged(lost, &[]), None);
    }

    // It is stopped long before the minute is over, and its profile is whole all the same.
    let status = pool.terminate();
    assert_eq!(status.code(), Some(0), "{status}");
    let bytes = fs::read(pool.folder().join("default.pgo")).expect("the profile");
    let (threads, functions) = read(&bytes);
    // The executor puts a number of its own behind the name.
    assert!(threads.iter().any(|name| name.starts_with("shard-0")), "{threads:?}");
    assert!(functions > 10, "{functions} functions in {} bytes", bytes.len());
}
