//! The thread that writes: small changes that wait together go into one transaction.

use std::io;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, Sender, unbounded};
use rusqlite::{Connection, ErrorCode, Transaction, params};
use sha2::{Digest, Sha256};
use tracing::{error, info, warn};

use gopool_shards::admission::ban::Ban;

use super::{BanRow, FoundBlock, PendingBlock, Settled};

/// Changes that go into one transaction, at most.
const GROUP_MAX: usize = 256;
/// Pause before a transaction that failed is tried again: a full disk, most likely.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// One change. Found blocks must never be lost and bans are few: the queue has no bound, and what
/// the disk does not take stays in memory and is tried again.
#[derive(Clone, Debug)]
pub(super) enum Change {
    SavePending(Box<PendingBlock>),
    Settle { hash_hex: String, settled: Settled, reason: String },
    RecordFound(Box<FoundBlock>),
    SaveBan(BanRow),
}

/// Where changes are handed in. Cheap to clone; none of its calls waits for the disk.
#[derive(Clone, Debug)]
pub struct StoreHandle(Sender<Change>);

impl StoreHandle {
    /// Writes down a block before it is known whether the node takes it.
    pub fn save_pending(&self, block: PendingBlock) {
        self.send(Change::SavePending(Box::new(block)));
    }

    pub fn settle(&self, hash_hex: &str, settled: Settled, reason: &str) {
        self.send(Change::Settle {
            hash_hex: hash_hex.to_owned(),
            settled,
            reason: reason.to_owned(),
        });
    }

    /// Records an accepted block, unless one of that hash is recorded already.
    pub fn record_found(&self, block: FoundBlock) {
        self.send(Change::RecordFound(Box::new(block)));
    }

    /// Writes down a ban, in place of an earlier one of the same worker.
    pub fn save_ban(&self, ban: &Ban) {
        self.send(Change::SaveBan(BanRow {
            worker: ban.worker.to_string(),
            until: ban.until_unix,
            reason: ban.reason.to_string(),
        }));
    }

    fn send(&self, change: Change) {
        if self.0.send(change).is_err() {
            error!(component = "db", "the writer has ended, a change is lost");
        }
    }
}

/// A database that is open and waits for its thread.
#[derive(Debug)]
pub struct Writer {
    connection: Connection,
}

impl Writer {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// Starts to write. The thread ends, after its last transaction, when every handle is gone.
    pub fn spawn(self) -> io::Result<(StoreHandle, JoinHandle<()>)> {
        let (sender, changes) = unbounded();
        let thread = thread::Builder::new()
            .name("store".into())
            .spawn(move || write_all(self.connection, &changes))?;
        Ok((StoreHandle(sender), thread))
    }
}

fn write_all(mut connection: Connection, changes: &Receiver<Change>) {
    while let Ok(first) = changes.recv() {
        let mut group = vec![first];
        group.extend(changes.try_iter().take(GROUP_MAX - 1));
        write_whatever_can_be(&mut connection, &group);
    }
    if let Err(error) = connection.pragma_update(None, "wal_checkpoint", "TRUNCATE") {
        warn!(component = "db", %error, "checkpoint failed");
    }
    info!(component = "db", "database closed");
}

/// Writes all changes together; when one of them cannot be written, each by itself, so that the one
/// keeps no other from the disk. A disk that takes nothing is waited for.
fn write_whatever_can_be(connection: &mut Connection, group: &[Change]) {
    while let Err(error) = write_group(connection, group) {
        if is_about_the_disk(&error) {
            warn!(component = "db", %error, waiting = group.len(), "write failed, trying again");
            thread::sleep(RETRY_DELAY);
        } else if let [change] = group {
            error!(component = "db", %error, ?change, "this change cannot be written");
            return;
        } else {
            for change in group {
                write_whatever_can_be(connection, std::slice::from_ref(change));
            }
            return;
        }
    }
}

/// Whether the same write may succeed later.
fn is_about_the_disk(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::OutOfMemory
        )
    )
}

fn write_group(connection: &mut Connection, group: &[Change]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for change in group {
        write(&transaction, change)?;
    }
    transaction.commit()
}

fn write(transaction: &Transaction<'_>, change: &Change) -> rusqlite::Result<()> {
    match change {
        Change::SavePending(block) => {
            // A row that is settled stays so: the same block may be found twice.
            transaction.execute(
                "INSERT INTO pending_submissions (submission_key, timestamp_unix, height, hash,
                     worker, block_hex, rpc_error, rpc_url, payout_addr, status)
                 VALUES (?1, ?2, ?3, ?1, ?4, ?5, '', ?6, ?7, 'pending')
                 ON CONFLICT (submission_key) DO NOTHING",
                params![
                    block.hash_hex,
                    block.found_at as i64,
                    block.height as i64,
                    block.worker.trim(),
                    block.block_hex,
                    block.rpc_url,
                    block.payout_address,
                ],
            )?;
        }
        Change::Settle { hash_hex, settled, reason } => {
            transaction.execute(
                "UPDATE pending_submissions SET status = ?2, rpc_error = ?3
                 WHERE submission_key = ?1",
                params![hash_hex, settled.as_str(), reason.trim()],
            )?;
        }
        Change::RecordFound(block) => {
            let json = serde_json::to_string(block).expect("its fields are plain");
            transaction.execute(
                "INSERT INTO found_blocks_log (created_at_unix, json)
                 SELECT ?1, ?2 WHERE NOT EXISTS
                     (SELECT 1 FROM found_blocks_log
                      WHERE CASE WHEN json_valid(json) THEN json_extract(json, '$.hash') END = ?3)",
                params![unix_now(), json, block.hash],
            )?;
        }
        Change::SaveBan(BanRow { worker, until, reason }) => {
            let worker_hash = worker_hash(worker);
            transaction.execute(
                "INSERT INTO bans (worker, worker_hash, until_unix, reason, updated_at_unix)
                 VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (worker) DO UPDATE SET until_unix = ?3, reason = ?4,
                     updated_at_unix = ?5",
                params![worker, worker_hash, until.cast_signed(), reason, unix_now()],
            )?;
        }
    }
    Ok(())
}

/// SHA-256 of a worker name, in hex (`stratum.md` §4.1).
pub fn worker_hash(worker: &str) -> String {
    const_hex::encode(Sha256::digest(worker.trim().as_bytes()))
}

fn unix_now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{found, pending};
    use super::super::{EndedBans, Settled, open};

    #[test]
    fn workers_are_hashed_as_the_specification_says() {
        let wallet = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
        for (worker, hash) in [
            (
                format!("{wallet}.rig1"),
                "da48b650063a9ef89f53382e4f7bf49ce6805ca428be7f8604e89908436fb97e",
            ),
            (wallet.to_owned(), "6cd42dab0217b54fdf5df95b892f055d2a462baa8c0b269e71e4ba6ec65ca66b"),
        ] {
            assert_eq!(super::worker_hash(&worker), hash);
        }
    }

    #[test]
    fn a_row_that_nobody_can_read_keeps_no_other_from_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let (writer, _) = open(folder.path(), EndedBans::Delete).unwrap();
        writer
            .connection
            .execute(
                "INSERT INTO found_blocks_log (created_at_unix, json) VALUES (1, 'no json')",
                [],
            )
            .unwrap();
        let (store, thread) = writer.spawn().unwrap();
        store.record_found(found("bb"));
        store.save_pending(pending("aa"));
        drop(store);
        thread.join().unwrap();
        let (_, restored) = open(folder.path(), EndedBans::Delete).unwrap();
        assert_eq!(restored.found, [found("bb")]);
        assert_eq!(restored.pending, [pending("aa")]);
    }

    #[test]
    fn a_change_that_cannot_be_written_is_skipped_and_the_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let (writer, _) = open(folder.path(), EndedBans::Delete).unwrap();
        writer
            .connection
            .execute_batch(
                "CREATE TRIGGER refuse BEFORE INSERT ON pending_submissions
                 WHEN new.submission_key = 'bad' BEGIN SELECT RAISE(ABORT, 'refused'); END",
            )
            .unwrap();
        let (store, thread) = writer.spawn().unwrap();
        for hash in ["aa", "bad", "cc"] {
            store.save_pending(pending(hash));
        }
        drop(store);
        thread.join().unwrap();
        let (_, restored) = open(folder.path(), EndedBans::Delete).unwrap();
        assert_eq!(restored.pending, [pending("aa"), pending("cc")]);
    }

    #[test]
    fn a_found_block_outlives_the_writer_and_is_recorded_once() {
        let folder = tempfile::tempdir().unwrap();
        let (writer, _) = open(folder.path(), EndedBans::Delete).unwrap();
        let (store, thread) = writer.spawn().unwrap();
        store.save_pending(pending("aa"));
        store.save_pending(pending("bb"));
        store.save_pending(pending("cc"));
        store.settle("bb", Settled::Submitted, "");
        store.settle("cc", Settled::Rejected, "high-hash");
        store.record_found(found("bb"));
        store.record_found(found("bb"));
        // Found again after it was settled: it stays settled.
        store.save_pending(pending("bb"));
        drop(store);
        thread.join().unwrap();
        let (_, restored) = open(folder.path(), EndedBans::Delete).unwrap();
        assert_eq!(restored.pending, [pending("aa")]);
        assert_eq!(restored.found, [found("bb")]);
    }
}
