//! Where changes are handed in. Cheap to clone; nothing here waits for the disk but the edits of
//! people, who want to know what became of them.

use std::sync::{Arc, Weak};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};
use rusqlite::Transaction;

use gopool_shards::admission::ban::Ban;

use super::change::{BlockChange, Change, Visits};
use super::figures::{StoreFigures, WriterFigures};
use super::queue::Queue;
use super::rows::{
    BackupMark, BestShareRow, BlockNotice, BlockState, CodeRow, FoundBlock, PendingBlock, Settled,
    WatchedRow,
};

/// How long somebody waits for an edit: longer than the database waits for another program.
const EDIT_PATIENCE: Duration = Duration::from_secs(10);

/// Why what somebody asked for is not in the database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    #[error("the database has too much to do, try again")]
    Busy,
    #[error("the database has not answered in time; look whether it was done before trying again")]
    Slow,
    #[error("the database cannot be written now: {0}")]
    Failed(String),
}

/// The writer's letter box.
#[derive(Clone)]
pub struct StoreHandle(Arc<LetterBox>);

/// For a thread that may hang when the pool stops: the database is closed when nobody holds it.
#[derive(Clone, Default)]
pub struct WeakStoreHandle(Weak<LetterBox>);

/// Closed when the last handle has gone.
struct LetterBox {
    queue: Arc<Queue>,
    figures: Arc<WriterFigures>,
}

impl Drop for LetterBox {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl StoreHandle {
    pub(super) fn new(queue: Arc<Queue>, figures: Arc<WriterFigures>) -> Self {
        Self(Arc::new(LetterBox { queue, figures }))
    }

    pub fn downgrade(&self) -> WeakStoreHandle {
        WeakStoreHandle(Arc::downgrade(&self.0))
    }

    /// Writes down a block before it is known whether the node takes it.
    pub fn found(&self, pending: PendingBlock, record: FoundBlock) {
        let (pending, record) = (Box::new(pending), Box::new(record));
        self.block(BlockChange::Found { pending, record });
    }

    /// The node was asked and has not settled it.
    pub fn sent(&self, hash_hex: &str, error: &str) {
        self.block(BlockChange::Sent { hash_hex: hash_hex.to_owned(), error: error.to_owned() });
    }

    /// The node has answered; an accepted block is recorded, once.
    pub fn settle(&self, record: FoundBlock, settled: Settled, reason: &str) {
        let (record, reason) = (Box::new(record), reason.to_owned());
        self.block(BlockChange::Settled { record, settled, reason, notice: None });
    }

    /// The node has taken a block, and people are to hear of it: from the next process, if not from
    /// this one.
    pub fn accept(&self, record: FoundBlock, notice: BlockNotice) {
        let (record, settled, notice) = (Box::new(record), Settled::Submitted, Some(notice));
        self.block(BlockChange::Settled { record, settled, reason: String::new(), notice });
    }

    /// What the chain says of a block that the node has.
    pub fn followed(&self, hash_hex: &str, state: BlockState, confirmations: u64) {
        let hash_hex = hash_hex.to_owned();
        self.block(BlockChange::Followed { hash_hex, state, confirmations });
    }

    /// People there need not be told of it any more.
    pub fn told(&self, place: &str, hash_hex: &str) {
        let [place, hash_hex] = [place, hash_hex].map(str::to_owned);
        self.block(BlockChange::Told { hash_hex, place });
    }

    /// Writes down a ban, in place of an earlier one of the same worker.
    pub fn save_ban(&self, ban: &Ban) {
        self.0.queue.push(Change::SaveBan(ban.into()));
    }

    pub fn lift_ban(&self, worker: &str) {
        self.0.queue.push(Change::LiftBan { worker: worker.trim().to_owned() });
    }

    /// Deletes bans that have ended by `now_unix`.
    pub fn delete_ended_bans(&self, now_unix: u64) {
        self.0.queue.push(Change::DeleteEndedBans { now: now_unix });
    }

    /// The whole list, best first.
    pub fn save_best_shares(&self, shares: Vec<BestShareRow>) {
        self.0.queue.push(Change::BestShares(shares));
    }

    /// Raises the best difficulty of a saved worker, for every user who has saved it.
    pub fn raise_best(&self, worker_hash: &str, difficulty: f64) {
        let worker_hash = worker_hash.to_owned();
        self.0.queue.push(Change::RaiseBest { worker_hash, difficulty });
    }

    /// All codes that are alive, in place of those written before.
    pub fn save_codes(&self, codes: Vec<CodeRow>) {
        self.0.queue.push(Change::Codes(codes));
    }

    /// Writes down how a user's worker is watched.
    pub fn save_watched(&self, row: WatchedRow) {
        self.0.queue.push(Change::Watched(row));
    }

    /// Nobody watches it for the user any more.
    pub fn delete_watched(&self, user_id: &str, worker_hash: &str) {
        let [user_id, worker_hash] = [user_id, worker_hash].map(str::to_owned);
        self.0.queue.push(Change::Unwatched { user_id, worker_hash });
    }

    /// A user has come, at that time.
    pub fn see_user(&self, user_id: &str, now_unix: u64) {
        let visits = Visits { first: now_unix, last: now_unix, count: 1 };
        self.0.queue.push(Change::SeeUser { user_id: user_id.to_owned(), visits });
    }

    pub fn save_backup_mark(&self, key: &'static str, mark: BackupMark) {
        self.0.queue.push(Change::Backup { key, mark });
    }

    /// Forgets the bytes of blocks that were settled and found before then (FIX-18).
    pub fn delete_settled_before(&self, unix: u64) {
        self.0.queue.push(Change::DeleteSettledBefore { unix });
    }

    pub fn figures(&self) -> StoreFigures {
        self.0.figures.read(self.0.queue.depth(), self.0.queue.bans_dropped())
    }

    /// Makes an edit in a transaction of its own and waits until it is on the disk.
    pub(super) fn edit<T: Send + 'static>(
        &self,
        edit: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, EditError> {
        let (sender, answer) = bounded(1);
        let has_place = self.0.queue.push_edit(Box::new(move |connection| {
            let edited = connection.transaction().and_then(|transaction| {
                let value = edit(&transaction)?;
                transaction.commit()?;
                Ok(value)
            });
            // Whoever asked may have given up.
            let _ = sender.send(edited);
        }));
        if !has_place {
            return Err(EditError::Busy);
        }
        match answer.recv_timeout(EDIT_PATIENCE) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(EditError::Failed(error.to_string())),
            Err(RecvTimeoutError::Timeout) => Err(EditError::Slow),
            Err(RecvTimeoutError::Disconnected) => {
                Err(EditError::Failed("the pool is stopping".to_owned()))
            }
        }
    }

    fn block(&self, change: BlockChange) {
        self.0.queue.push(Change::Block(change));
    }
}

impl WeakStoreHandle {
    /// None when the pool has stopped.
    pub fn upgrade(&self) -> Option<StoreHandle> {
        self.0.upgrade().map(StoreHandle)
    }
}

impl std::fmt::Debug for StoreHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreHandle")
    }
}
