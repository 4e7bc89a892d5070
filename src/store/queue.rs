//! What waits to be written. A newer change of a kind takes the older's place, so that what waits
//! is bounded however long the disk takes nothing:
//!
//! | what waits                | bound                    | when it is full                     |
//! |---------------------------|--------------------------|-------------------------------------|
//! | steps of blocks           | as many as were found    | never: a block is not dropped       |
//! | bans                      | [`BANS_WAITING_MAX`]     | the new one is in force, not kept   |
//! | best shares, codes, marks | one of each              | replaced by the newer               |
//! | best difficulties         | one for a saved worker   | raised                              |
//! | watched workers           | one for a saved worker   | replaced by the newer               |
//! | visits of users           | [`USERS_WAITING_MAX`]    | those of one more are not counted   |
//! | edits of people           | [`EDITS_WAITING_MAX`]    | refused with an error               |

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::change::{BlockChange, Change, Visits};
use super::rows::{BackupMark, BestShareRow, CodeRow};

/// As many as can be in force.
const BANS_WAITING_MAX: usize = gopool_shards::admission::bans::BANS_MAX;
/// Users with visits that are not written.
const USERS_WAITING_MAX: usize = 10_000;
/// People who press a button; each waits for the answer.
const EDITS_WAITING_MAX: usize = 256;
/// Changes that go into one transaction, at most: some milliseconds of work.
const GROUP_MAX: usize = 256;

/// What somebody waits for: it is done at once or not at all, and the answer goes back.
pub(super) type Edit = Box<dyn FnOnce(&mut Connection) + Send>;

/// What the writer does next.
pub(super) enum Work {
    Group(Vec<Change>),
    Edit(Edit),
    /// Nothing waits.
    Nothing,
    /// Nothing waits and nothing will.
    End,
}

#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    has_work: Condvar,
}

#[derive(Default)]
struct Waiting {
    blocks: VecDeque<BlockChange>,
    edits: VecDeque<Edit>,
    /// By worker name: [`Change::SaveBan`] or [`Change::LiftBan`].
    bans: BTreeMap<String, Change>,
    ended_bans: Option<u64>,
    best_shares: Option<Vec<BestShareRow>>,
    best_difficulties: HashMap<String, f64>,
    codes: Option<Vec<CodeRow>>,
    /// By user and worker: [`Change::Watched`] or [`Change::Unwatched`].
    watched: BTreeMap<(String, String), Change>,
    visits: BTreeMap<String, Visits>,
    marks: BTreeMap<&'static str, BackupMark>,
    settled_before: Option<u64>,
    bans_dropped: u64,
    is_closed: bool,
}

impl Queue {
    pub(super) fn push(&self, change: Change) {
        let mut waiting = self.lock();
        match change {
            Change::Block(change) => waiting.blocks.push_back(change),
            Change::SaveBan(ban) => {
                let is_new = !waiting.bans.contains_key(&ban.worker);
                if is_new && waiting.bans.len() >= BANS_WAITING_MAX {
                    waiting.bans_dropped += 1;
                } else {
                    waiting.bans.insert(ban.worker.clone(), Change::SaveBan(ban));
                }
            }
            // Always has a place: lifting what is not written would bring it back at the next start.
            Change::LiftBan { worker } => {
                waiting.bans.insert(worker.clone(), Change::LiftBan { worker });
            }
            Change::DeleteEndedBans { now } => waiting.ended_bans = Some(now),
            Change::BestShares(shares) => waiting.best_shares = Some(shares),
            Change::RaiseBest { worker_hash, difficulty } => {
                let best = waiting.best_difficulties.entry(worker_hash).or_default();
                *best = best.max(difficulty);
            }
            Change::Codes(codes) => waiting.codes = Some(codes),
            Change::Watched(row) => {
                let key = (row.user_id.clone(), row.worker_hash.clone());
                waiting.watched.insert(key, Change::Watched(row));
            }
            Change::Unwatched { user_id, worker_hash } => {
                let key = (user_id.clone(), worker_hash.clone());
                waiting.watched.insert(key, Change::Unwatched { user_id, worker_hash });
            }
            Change::SeeUser { user_id, visits } => {
                if let Some(before) = waiting.visits.get_mut(&user_id) {
                    before.last = before.last.max(visits.last);
                    before.count += visits.count;
                } else if waiting.visits.len() < USERS_WAITING_MAX {
                    waiting.visits.insert(user_id, visits);
                }
            }
            Change::Backup { key, mark } => {
                waiting.marks.insert(key, mark);
            }
            Change::DeleteSettledBefore { unix } => waiting.settled_before = Some(unix),
        }
        self.has_work.notify_one();
    }

    /// Whether there is a place for it.
    pub(super) fn push_edit(&self, edit: Edit) -> bool {
        let mut waiting = self.lock();
        let has_place = waiting.edits.len() < EDITS_WAITING_MAX;
        if has_place {
            waiting.edits.push_back(edit);
            self.has_work.notify_one();
        }
        has_place
    }

    /// No more will come.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.has_work.notify_one();
    }

    /// What is next, waiting up to `patience` for it. Blocks go first.
    pub(super) fn next(&self, patience: Duration) -> Work {
        let deadline = Instant::now() + patience;
        let mut waiting = self.lock();
        loop {
            if let Some(edit) = waiting.take_edit() {
                return Work::Edit(edit);
            }
            let group = waiting.take_group();
            if !group.is_empty() {
                return Work::Group(group);
            }
            if waiting.is_closed {
                return Work::End;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Work::Nothing;
            }
            (waiting, _) = self
                .has_work
                .wait_timeout(waiting, left)
                .expect("no code panics while it holds this");
        }
    }

    pub(super) fn depth(&self) -> usize {
        let waiting = self.lock();
        waiting.blocks.len()
            + waiting.edits.len()
            + waiting.bans.len()
            + waiting.best_difficulties.len()
            + waiting.watched.len()
            + waiting.visits.len()
            + waiting.marks.len()
            + usize::from(waiting.best_shares.is_some())
            + usize::from(waiting.codes.is_some())
            + usize::from(waiting.ended_bans.is_some())
            + usize::from(waiting.settled_before.is_some())
    }

    pub(super) fn bans_dropped(&self) -> u64 {
        self.lock().bans_dropped
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().expect("no code panics while it holds this")
    }
}

impl Waiting {
    /// A person waits, and a block waits for no person.
    fn take_edit(&mut self) -> Option<Edit> {
        if self.blocks.is_empty() { self.edits.pop_front() } else { None }
    }

    fn take_group(&mut self) -> Vec<Change> {
        let blocks = self.blocks.len().min(GROUP_MAX);
        let mut group: Vec<Change> = self.blocks.drain(..blocks).map(Change::Block).collect();
        group.extend(self.best_shares.take().map(Change::BestShares));
        group.extend(self.codes.take().map(Change::Codes));
        let marks = std::mem::take(&mut self.marks).into_iter();
        group.extend(marks.map(|(key, mark)| Change::Backup { key, mark }));
        let settled_before = self.settled_before.take();
        group.extend(settled_before.map(|unix| Change::DeleteSettledBefore { unix }));
        while group.len() < GROUP_MAX
            && let Some((_, change)) = self.bans.pop_first()
        {
            group.push(change);
        }
        while group.len() < GROUP_MAX
            && let Some((user_id, visits)) = self.visits.pop_first()
        {
            group.push(Change::SeeUser { user_id, visits });
        }
        // Behind those that have ended while they waited.
        if self.bans.is_empty() {
            group.extend(self.ended_bans.take().map(|now| Change::DeleteEndedBans { now }));
        }
        while group.len() < GROUP_MAX
            && let Some((_, change)) = self.watched.pop_first()
        {
            group.push(change);
        }
        let room = GROUP_MAX.saturating_sub(group.len());
        let names: Vec<String> = self.best_difficulties.keys().take(room).cloned().collect();
        for worker_hash in names {
            if let Some(difficulty) = self.best_difficulties.remove(&worker_hash) {
                group.push(Change::RaiseBest { worker_hash, difficulty });
            }
        }
        group
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::BanRow;
    use super::*;

    fn ban(worker: &str, until: u64) -> Change {
        Change::SaveBan(BanRow {
            worker: worker.into(),
            until,
            reason: String::new(),
            source: None,
        })
    }

    fn group(queue: &Queue) -> Vec<Change> {
        match queue.next(Duration::ZERO) {
            Work::Group(group) => group,
            _ => Vec::new(),
        }
    }

    fn sent(hash: &str) -> Change {
        Change::Block(BlockChange::Sent { hash_hex: hash.into(), error: String::new() })
    }

    #[test]
    fn the_newest_of_a_kind_is_written_and_blocks_are_written_all() {
        let queue = Queue::default();
        queue.push(ban("w", 1));
        queue.push(ban("w", 2));
        queue.push(Change::LiftBan { worker: "v".into() });
        queue.push(ban("v", 3));
        for difficulty in [2.0, 5.0, 3.0] {
            queue.push(Change::RaiseBest { worker_hash: "h".into(), difficulty });
        }
        queue.push(Change::BestShares(Vec::new()));
        queue.push(Change::BestShares(Vec::new()));
        for hash in ["a", "b", "a"] {
            queue.push(sent(hash));
        }
        assert_eq!(queue.depth(), 3 + 2 + 1 + 1);
        let group = group(&queue);
        assert_eq!(group.len(), 7);
        let hashes: Vec<_> = group
            .iter()
            .filter_map(|change| match change {
                Change::Block(change) => Some(change.hash_hex()),
                _ => None,
            })
            .collect();
        assert_eq!(hashes, ["a", "b", "a"]);
        assert!(group.iter().any(|change| matches!(change, Change::SaveBan(b) if b.until == 2)));
        assert!(group.iter().any(|change| matches!(change, Change::SaveBan(b) if b.until == 3)));
        assert!(group.iter().any(
            |change| matches!(change, Change::RaiseBest { difficulty, .. } if *difficulty == 5.0)
        ));
        assert_eq!(queue.depth(), 0);
    }

    #[test]
    fn a_transaction_is_never_larger_than_its_bound() {
        let queue = Queue::default();
        for number in 0..1000 {
            queue.push(ban(&number.to_string(), 1));
            queue.push(sent(&number.to_string()));
        }
        let mut written = 0;
        while let Work::Group(group) = queue.next(Duration::ZERO) {
            assert!(group.len() <= GROUP_MAX + 5);
            written += group.len();
        }
        assert_eq!(written, 2000);
    }

    #[test]
    fn a_full_queue_refuses_people_and_bans_and_no_block() {
        let queue = Queue::default();
        for number in 0..BANS_WAITING_MAX + 10 {
            queue.push(ban(&number.to_string(), 1));
        }
        queue.push(ban("0", 2));
        assert_eq!((queue.depth(), queue.bans_dropped()), (BANS_WAITING_MAX, 10));
        for _ in 0..EDITS_WAITING_MAX {
            assert!(queue.push_edit(Box::new(|_| {})));
        }
        assert!(!queue.push_edit(Box::new(|_| {})));
        queue.push(sent("a"));
        assert!(matches!(&group(&queue)[0], Change::Block(_)), "before anyone else");
    }

    #[test]
    fn it_ends_when_it_is_closed_and_empty() {
        let queue = Queue::default();
        queue.push(sent("a"));
        queue.close();
        assert_eq!(group(&queue).len(), 1);
        assert!(matches!(queue.next(Duration::from_secs(60)), Work::End));
        assert!(matches!(Queue::default().next(Duration::from_millis(1)), Work::Nothing));
    }
}
