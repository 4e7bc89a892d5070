//! The hashing: threads that search the newest work for hashes under its target.

use super::job::Job;
use crossbeam_channel::Sender;
use gopool_shards::sha256d::{BLOCK_BYTES, Hash, Midstate};
use gopool_shards::work::target::Target;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Nonces tried between two looks at the board: under a millisecond on a fast core.
const BATCH_NONCES: u32 = 4096;
/// Nonces tried before the version, or then the extranonce2, moves on. Small enough that a slow
/// miner rolls within a job too; large enough that a new merkle root costs nothing.
const RANGE_NONCES: u32 = 1 << 20;
/// Looks at the board per second of a throttled thread.
const LOOKS_PER_SECOND: u64 = 50;
/// A throttled thread that was held up makes up for this much and no more.
const PACE_BEHIND_MAX: Duration = Duration::from_secs(1);

/// What is mined now, and where finds go.
#[derive(Clone, Debug)]
pub struct Work {
    pub job: Job,
    pub extranonce1: Vec<u8>,
    pub extranonce2_size: usize,
    pub share_target: Target,
    /// Version bits that may be rolled; 0 when that was not negotiated.
    pub version_mask: u32,
}

/// A hash under the target, with all that made it.
#[derive(Clone, Debug)]
pub struct Found {
    pub work: Arc<Work>,
    pub extranonce2: Vec<u8>,
    pub nonce: u32,
    pub version_bits: u32,
    pub hash: Hash,
}

/// Work and the channel of the connection it came by: a share never reaches another connection,
/// where its extranonce1 would be wrong.
#[derive(Clone)]
struct Assignment {
    sequence: u64,
    work: Arc<Work>,
    finds: Sender<Found>,
}

/// Where the newest work hangs for the threads to see.
#[derive(Default)]
pub struct Board {
    assignment: Mutex<Option<Assignment>>,
    changed: Condvar,
    /// Raised with every change, so that a thread can look without the lock.
    sequence: AtomicU64,
    stopped: AtomicBool,
    hashes: AtomicU64,
}

impl Board {
    /// Replaces the work.
    pub fn post(&self, work: Work, finds: Sender<Found>) {
        self.change(|sequence| Some(Assignment { sequence, work: Arc::new(work), finds }));
    }

    /// Takes the work away: the pool is gone.
    pub fn clear(&self) {
        self.change(|_| None);
    }

    /// Ends the threads.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.clear();
    }

    /// Hashes computed since the start.
    pub fn hashes(&self) -> u64 {
        self.hashes.load(Ordering::Relaxed)
    }

    fn change(&self, make: impl FnOnce(u64) -> Option<Assignment>) {
        let mut assignment = self.lock();
        let sequence = self.sequence.load(Ordering::Relaxed) + 1;
        *assignment = make(sequence);
        self.sequence.store(sequence, Ordering::Release);
        self.changed.notify_all();
    }

    fn is_current(&self, assignment: &Assignment) -> bool {
        self.sequence.load(Ordering::Acquire) == assignment.sequence
    }

    /// Waits for work newer than `done`; `None` when the threads are to end.
    fn next(&self, done: u64) -> Option<Assignment> {
        let mut assignment = self.lock();
        loop {
            if self.stopped.load(Ordering::Relaxed) {
                return None;
            }
            if let Some(new) = assignment.as_ref().filter(|new| new.sequence > done) {
                return Some(new.clone());
            }
            let woken = self.changed.wait(assignment);
            assignment = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A thread that panicked cannot have left the slot half written: it is replaced whole.
    fn lock(&self) -> MutexGuard<'_, Option<Assignment>> {
        self.assignment.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One thread of `count`: takes every `count`-th extranonce2, starting with its own `index`.
pub fn run(board: &Board, index: u64, count: u64, hashes_per_second: Option<u64>) {
    let mut pace = Pace::new(hashes_per_second);
    let mut done = 0;
    while let Some(assignment) = board.next(done) {
        done = assignment.sequence;
        search(board, &assignment, index, count, &mut pace);
    }
}

/// Searches until the work is replaced or its space is used up.
fn search(board: &Board, assignment: &Assignment, index: u64, count: u64, pace: &mut Pace) {
    let work = &assignment.work;
    // A hash that makes a block is worth handing in even where the share target is the harder one.
    let target = work.share_target.max(work.job.block_target);
    for counter in (index..).step_by(usize::try_from(count).unwrap_or(usize::MAX)) {
        let Some(extranonce2) = extranonce2(counter, work.extranonce2_size) else { return };
        let merkle_root = work.job.merkle_root(&work.extranonce1, &extranonce2);
        for (version_bits, nonces) in ranges(work.version_mask) {
            let version = work.job.rolled_version(work.version_mask, version_bits);
            let header = work.job.header(version, &merkle_root, work.job.ntime, 0);
            let (first, rest) = header.split_at(BLOCK_BYTES);
            let midstate = Midstate::new(first.try_into().expect("split at a block"));
            let mut tail: [u8; 16] = rest.try_into().expect("80 bytes less a block of 64");
            let end = nonces.end;
            for start in nonces.step_by(pace.batch as usize) {
                if !board.is_current(assignment) {
                    return;
                }
                let batch = start..end.min(start + u64::from(pace.batch));
                let length = batch.end - batch.start;
                for nonce in batch {
                    let nonce = nonce as u32;
                    tail[12..].copy_from_slice(&nonce.to_le_bytes());
                    let hash = midstate.sha256d(&tail);
                    if target.is_met_by(&hash) {
                        let (work, extranonce2) = (Arc::clone(work), extranonce2.clone());
                        let found = Found { work, extranonce2, nonce, version_bits, hash };
                        // A full channel is waited for: a block is never dropped. A closed one
                        // means that the connection is gone, and the board is about to say so.
                        if assignment.finds.send(found).is_err() {
                            return;
                        }
                    }
                }
                board.hashes.fetch_add(length, Ordering::Relaxed);
                pace.wait(length);
            }
        }
    }
}

/// `counter` in `size` bytes, most significant first; `None` when it does not fit.
fn extranonce2(counter: u64, size: usize) -> Option<Vec<u8>> {
    let bytes = counter.to_be_bytes();
    if size >= bytes.len() {
        let mut wide = vec![0; size - bytes.len()];
        wide.extend(bytes);
        return Some(wide);
    }
    let (high, low) = bytes.split_at(bytes.len() - size);
    high.iter().all(|byte| *byte == 0).then(|| low.to_vec())
}

/// The nonce space under every version `mask` allows: the version changes first, as in hardware,
/// where that is what costs least.
fn ranges(mask: u32) -> impl Iterator<Item = (u32, std::ops::Range<u64>)> {
    let nonces = (0..1u64 << 32).step_by(RANGE_NONCES as usize);
    nonces.flat_map(move |start| {
        let end = start + u64::from(RANGE_NONCES);
        (0..1u64 << mask.count_ones()).map(move |version| (spread(version, mask), start..end))
    })
}

/// The low bits of `bits`, laid out over the places of `mask`.
fn spread(bits: u64, mask: u32) -> u32 {
    let places = (0..32).filter(|place| mask >> place & 1 == 1);
    places.enumerate().fold(0, |out, (index, place)| out | ((bits >> index & 1) as u32) << place)
}

/// Holds a thread to a number of hashes per second.
struct Pace {
    hashes_per_second: Option<u64>,
    batch: u32,
    /// When the hashes done so far would be done at the wanted speed.
    due_at: Instant,
}

impl Pace {
    fn new(hashes_per_second: Option<u64>) -> Self {
        let batch = hashes_per_second.map_or(BATCH_NONCES, |limit| {
            u32::try_from(limit / LOOKS_PER_SECOND).unwrap_or(u32::MAX).clamp(1, BATCH_NONCES)
        });
        Self { hashes_per_second, batch, due_at: Instant::now() }
    }

    fn wait(&mut self, hashes: u64) {
        let Some(limit) = self.hashes_per_second else { return };
        let now = Instant::now();
        if now.saturating_duration_since(self.due_at) > PACE_BEHIND_MAX {
            self.due_at = now;
        }
        self.due_at += Duration::from_secs_f64(hashes as f64 / limit.max(1) as f64);
        sleep(self.due_at.saturating_duration_since(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Work easy enough for a test: a hash in 256 is a share, one in 2^32 × a great many a block.
    fn easy(version_mask: u32) -> Work {
        let job = Job::from_params(&super::super::job::tests::example()).unwrap();
        let share_target = Target::from_difficulty(1.0 / 16_777_216.0);
        let extranonce1 = vec![0, 0, 0, 1];
        Work { job, extranonce1, extranonce2_size: 4, share_target, version_mask }
    }

    #[test]
    fn what_the_threads_find_is_under_the_target_and_hashes_again_to_the_same() {
        let board = Board::default();
        let (finds, found) = crossbeam_channel::bounded(4);
        std::thread::scope(|scope| {
            for index in 0..2 {
                let board = &board;
                scope.spawn(move || run(board, index, 2, None));
            }
            board.post(easy(0), finds);
            for _ in 0..64 {
                let found = found.recv_timeout(Duration::from_secs(60)).unwrap();
                let job = &found.work.job;
                let root = job.merkle_root(&found.work.extranonce1, &found.extranonce2);
                let header = job.header(job.version, &root, job.ntime, found.nonce);
                assert_eq!(gopool_shards::sha256d::sha256d(&header), found.hash);
                assert!(found.work.share_target.is_met_by(&found.hash));
            }
            // The threads may be waiting for room in the channel: closing it lets them go.
            drop(found);
            board.stop();
        });
        assert!(board.hashes() > 0);
    }

    #[test]
    fn new_work_replaces_the_old_in_every_thread() {
        let board = Board::default();
        let (finds, old) = crossbeam_channel::bounded(1);
        let (new_finds, new) = crossbeam_channel::bounded(1);
        std::thread::scope(|scope| {
            scope.spawn(|| run(&board, 0, 1, Some(50_000)));
            board.post(easy(0), finds);
            old.recv_timeout(Duration::from_secs(60)).unwrap();
            board.clear();
            board.post(easy(0x1fff_e000), new_finds);
            drop(old);
            new.recv_timeout(Duration::from_secs(60)).unwrap();
            drop(new);
            board.stop();
        });
    }

    #[test]
    fn an_extranonce2_is_as_long_as_the_pool_says_and_ends_where_it_is_used_up() {
        assert_eq!(extranonce2(258, 4), Some(vec![0, 0, 1, 2]));
        assert_eq!(extranonce2(1, 9), Some(vec![0, 0, 0, 0, 0, 0, 0, 0, 1]));
        assert_eq!(extranonce2(255, 1), Some(vec![255]));
        assert_eq!(extranonce2(256, 1), None);
    }

    #[test]
    fn versions_change_first_and_stay_inside_the_mask() {
        let mask = 0x1fff_e000;
        let first: Vec<_> = ranges(mask).take(3).collect();
        assert_eq!(first, [(0, 0..1 << 20), (0x2000, 0..1 << 20), (0x4000, 0..1 << 20)]);
        assert!(ranges(mask).take(1 << 16).all(|(bits, _)| bits & !mask == 0));
        assert_eq!(ranges(mask).nth(1 << 16), Some((0, 1 << 20..2 << 20)));
        let without = ranges(0).inspect(|(bits, _)| assert_eq!(*bits, 0));
        assert_eq!(without.count(), 4096);
    }

    #[test]
    fn a_throttled_thread_keeps_its_pace() {
        let mut pace = Pace::new(Some(10_000));
        let started_at = Instant::now();
        for _ in 0..10 {
            pace.wait(u64::from(pace.batch));
        }
        assert!(started_at.elapsed() >= Duration::from_millis(180), "10 × 200 hashes at 10 kH/s");
    }
}
