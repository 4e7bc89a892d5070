//! The history of the pool survives a kill up to the last minute.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::miner::Miner;
use crate::node::{Chain, Node};
use crate::poll::until_true;
use crate::pool::Pool;
use crate::settings::MINER_ADDRESS;

const MINUTE: u64 = 60;
/// A minute is written down two seconds after it has ended, by the pool's clock. Who looks later
/// than that sees the next one.
const WRITE_LIMIT: Duration = Duration::from_secs(90);

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn number(bytes: &[u8], at: usize, size: usize) -> u64 {
    bytes[at..at + size].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// The minutes of the series `pool` in a snapshot file (`state-and-services.md` §9.6), with the code
/// of the hashrate of each.
fn pool_minutes(bytes: &[u8]) -> Vec<(u64, u64)> {
    assert_eq!(&bytes[..8], b"GPSWPR01");
    assert_eq!(&bytes[bytes.len() - 8..], b"GPSWPRE1");
    let mut at = 24;
    for _ in 0..number(bytes, 20, 4) {
        let (key_size, slots) = (number(bytes, at, 2) as usize, number(bytes, at + 2, 2) as usize);
        let key = &bytes[at + 8..at + 8 + key_size];
        let first = at + 8 + key_size;
        at = first + 8 * slots;
        if key == b"pool" {
            let slot =
                |slot| (number(bytes, first + 8 * slot, 4), number(bytes, first + 8 * slot + 4, 2));
            return (0..slots).map(slot).collect();
        }
    }
    Vec::new()
}

#[test]
fn a_kill_loses_at_most_the_minute_that_has_not_ended() {
    let node = Node::new(Chain::Signet);
    let before = now() / MINUTE;
    let mut pool = Pool::for_node(&node);
    let started = now();
    let mut miner = Miner::join(pool.stratum(), MINER_ADDRESS);
    // The first minute that begins while it runs, and the one after it.
    let first = started / MINUTE + 1;
    let end = (first + 2) * MINUTE;
    while now() < end {
        let job = miner.job();
        let share = miner.find_share(&job);
        miner.submit(&share);
        std::thread::sleep(Duration::from_millis(500));
    }
    let journal = pool.folder().join("state/saved_worker_periods_history.journal");
    let length = || fs::metadata(&journal).expect("the journal").len();
    let before_it = length();
    assert!(before_it > 0);
    until_true("the last minute is in the journal", WRITE_LIMIT, || length() > before_it);
    assert!(!pool.folder().join("state/saved_worker_periods_history.bin").exists());
    pool.kill();
    let mut pool = pool.relaunch();
    pool.stratum();
    assert!(pool.terminate().success());
    let path = pool.folder().join("state/saved_worker_periods_history.bin");
    until_true("the snapshot", Duration::from_secs(1), || path.exists());
    let minutes = pool_minutes(&fs::read(path).expect("the snapshot"));
    let seen: BTreeSet<u64> = minutes.iter().map(|(minute, _)| *minute).collect();
    assert!(seen.contains(&first) && seen.contains(&(first + 1)), "{minutes:?}, from {first}");
    let hashrate = minutes.iter().find(|(minute, _)| *minute == first + 1).expect("it is there").1;
    assert!(hashrate > 1, "somebody was mining: {minutes:?}");
    // When the pool was not there nobody knows what happened: not even zeros.
    assert!(!seen.contains(&before), "{minutes:?}");
}
