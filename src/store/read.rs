//! What is read: at the start by whoever carries on, later by pages over a connection of their own.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, Row};

use super::connection;
use super::rows::{
    BackupMark, BanRow, BestShareRow, BlockLife, BlockState, CodeRow, FoundBlock, LinkRow,
    PendingBlock, SavedWorkerRow, UntoldBlock, UserRow, WatchedRow, WorkerState,
};
use crate::privacy;

/// Blocks that are kept in memory for those who look; unsettled ones are never left out.
pub const BLOCKS_SHOWN: usize = 100;
/// Best shares that are kept (§4).
pub const BEST_SHARES_MAX: usize = 12;

/// What the last run left behind.
#[derive(Debug, Default)]
pub struct Restored {
    pub pending: Vec<PendingBlock>,
    /// Newest first.
    pub blocks: Vec<BlockLife>,
    pub bans: Vec<BanRow>,
    /// Best first.
    pub best_shares: Vec<BestShareRow>,
    pub saved_workers: Vec<SavedWorkerRow>,
    pub codes: Vec<CodeRow>,
    pub links: Vec<LinkRow>,
    pub watched: Vec<WatchedRow>,
    /// Oldest first.
    pub untold: Vec<UntoldBlock>,
}

pub(super) fn restored(connection: &Connection) -> rusqlite::Result<Restored> {
    Ok(Restored {
        pending: pending(connection)?,
        blocks: blocks(connection)?,
        bans: bans(connection)?,
        best_shares: best_shares(connection)?,
        saved_workers: saved_workers(connection)?,
        codes: codes(connection)?,
        links: links(connection)?,
        watched: watched(connection)?,
        untold: untold(connection)?,
    })
}

/// Text that an older release may have left out.
fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    row.get::<_, Option<String>>(column).map(Option::unwrap_or_default)
}

/// A time or a count; what lies below zero is none.
fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(|number| number.max(0).cast_unsigned())
}

/// Rows of an older release may say anything; what is not settled is pending.
fn pending(connection: &Connection) -> rusqlite::Result<Vec<PendingBlock>> {
    let mut statement = connection.prepare(
        "SELECT submission_key, timestamp_unix, height, worker, block_hex, rpc_url, payout_addr
         FROM pending_submissions
         WHERE lower(status) NOT IN ('submitted', 'rejected', 'expired') AND trim(block_hex) <> ''",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(PendingBlock {
            hash_hex: text(row, 0)?,
            found_at: count(row, 1)?,
            height: count(row, 2)?,
            worker: text(row, 3)?,
            block_hex: text(row, 4)?,
            rpc_url: text(row, 5)?,
            payout_address: text(row, 6)?,
        })
    })?;
    rows.collect()
}

fn blocks(connection: &Connection) -> rusqlite::Result<Vec<BlockLife>> {
    let mut statement = connection.prepare(
        "SELECT json, state, submitted_at_unix, settled_at_unix, confirmations, reason
         FROM block_life
         ORDER BY state NOT IN ('found', 'submitted'), found_at_unix DESC, rowid DESC LIMIT ?1",
    )?;
    let mut rows = statement.query([BLOCKS_SHOWN as i64])?;
    let mut blocks = Vec::new();
    while let Some(row) = rows.next()? {
        // A line that cannot be read is somebody else's; the others still count.
        let Ok(record) = serde_json::from_str::<FoundBlock>(&text(row, 0)?) else { continue };
        let Some(state) = BlockState::of(&text(row, 1)?) else { continue };
        blocks.push(BlockLife {
            record,
            state,
            submitted_at: count(row, 2)?,
            settled_at: count(row, 3)?,
            confirmations: count(row, 4)?,
            reason: text(row, 5)?,
        });
    }
    let found_at = |life: &BlockLife| life.record.timestamp.parse::<jiff::Timestamp>().ok();
    blocks.sort_by_key(|life| std::cmp::Reverse(found_at(life)));
    Ok(blocks)
}

fn untold(connection: &Connection) -> rusqlite::Result<Vec<UntoldBlock>> {
    let mut statement = connection.prepare(
        "SELECT place, notice_id, json FROM untold_blocks JOIN block_life USING (hash)
         ORDER BY found_at_unix, untold_blocks.rowid",
    )?;
    let rows = statement.query_map([], |row| {
        let (place, notice_id) = (row.get(0)?, row.get(1)?);
        let record = serde_json::from_str(&text(row, 2)?).ok();
        Ok(record.map(|record| UntoldBlock { place, notice_id, record }))
    })?;
    rows.filter_map(Result::transpose).collect()
}

fn bans(connection: &Connection) -> rusqlite::Result<Vec<BanRow>> {
    let mut statement = connection.prepare(
        "SELECT bans.worker, until_unix, reason, source
         FROM bans LEFT JOIN ban_sources ON ban_sources.worker = bans.worker",
    )?;
    let rows = statement.query_map([], |row| {
        // Only 0 is permanent; what lies before 1970 has ended.
        let until = match row.get::<_, i64>(1)? {
            until @ 0.. => until.cast_unsigned(),
            _ => 1,
        };
        let source = text(row, 3)?.parse().ok();
        Ok(BanRow { worker: row.get(0)?, until, reason: text(row, 2)?, source })
    })?;
    rows.collect()
}

fn best_shares(connection: &Connection) -> rusqlite::Result<Vec<BestShareRow>> {
    let mut statement = connection.prepare(
        "SELECT worker, difficulty, timestamp_unix, hash FROM best_shares
         WHERE difficulty > 0 ORDER BY position LIMIT ?1",
    )?;
    let rows = statement.query_map([BEST_SHARES_MAX as i64], |row| {
        let (worker, difficulty) = (row.get(0)?, row.get(1)?);
        Ok(BestShareRow { worker, difficulty, at: count(row, 2)?, hash: text(row, 3)? })
    })?;
    rows.collect()
}

/// Of all users, ordered by user and display, ignoring case (§8.2).
fn saved_workers(connection: &Connection) -> rusqlite::Result<Vec<SavedWorkerRow>> {
    let mut statement = connection.prepare(
        "SELECT user_id, lower(trim(worker_hash)), worker_display, notify_enabled, best_difficulty
         FROM saved_workers
         WHERE trim(ifnull(worker_hash, '')) <> '' AND trim(user_id) <> ''
         ORDER BY user_id COLLATE NOCASE, worker_display COLLATE NOCASE",
    )?;
    let rows = statement.query_map([], |row| {
        let worker_hash: String = row.get(1)?;
        let display = match text(row, 2)? {
            display if !display.trim().is_empty() => display,
            _ => privacy::worker_name(&worker_hash),
        };
        Ok(SavedWorkerRow {
            user_id: row.get(0)?,
            worker_hash,
            display,
            notify: row.get::<_, i64>(3)? != 0,
            best_difficulty: row.get(4)?,
        })
    })?;
    rows.collect()
}

fn users(connection: &Connection) -> rusqlite::Result<Vec<UserRow>> {
    let mut statement = connection.prepare(
        "SELECT user_id, first_seen_unix, last_seen_unix, seen_count FROM clerk_users
         WHERE trim(user_id) <> ''",
    )?;
    let rows = statement.query_map([], |row| {
        let (first_seen, last_seen) = (count(row, 1)?, count(row, 2)?);
        Ok(UserRow { user_id: row.get(0)?, first_seen, last_seen, visits: count(row, 3)? })
    })?;
    rows.collect()
}

fn codes(connection: &Connection) -> rusqlite::Result<Vec<CodeRow>> {
    let mut statement = connection
        .prepare("SELECT user_id, code, created_at_unix, expires_at_unix FROM one_time_codes")?;
    let rows = statement.query_map([], |row| {
        let (user_id, code) = (text(row, 0)?, text(row, 1)?);
        Ok(CodeRow { user_id, code, created_at: count(row, 2)?, expires_at: count(row, 3)? })
    })?;
    rows.collect()
}

fn links(connection: &Connection) -> rusqlite::Result<Vec<LinkRow>> {
    let mut statement = connection.prepare(
        "SELECT user_id, trim(discord_user_id), enabled, linked_at, updated_at FROM discord_links
         WHERE trim(user_id) <> '' AND trim(discord_user_id) <> ''",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(LinkRow {
            user_id: row.get(0)?,
            discord_user_id: row.get(1)?,
            enabled: row.get::<_, i64>(2)? != 0,
            linked_at: count(row, 3)?,
            updated_at: count(row, 4)?,
        })
    })?;
    rows.collect()
}

fn watched(connection: &Connection) -> rusqlite::Result<Vec<WatchedRow>> {
    let mut statement = connection.prepare(
        "SELECT user_id, lower(trim(worker_hash)), online, since, seen_online, seen_offline,
             offline_eligible, offline_notified, recovery_eligible, recovery_notified, updated_at
         FROM discord_worker_state",
    )?;
    let rows = statement.query_map([], |row| {
        let flag = |column| row.get::<_, i64>(column).map(|number| number != 0);
        Ok(WatchedRow {
            user_id: row.get(0)?,
            worker_hash: row.get(1)?,
            state: WorkerState {
                online: flag(2)?,
                since: count(row, 3)?,
                seen_online: flag(4)?,
                seen_offline: flag(5)?,
                offline_eligible: flag(6)?,
                offline_notified: flag(7)?,
                recovery_eligible: flag(8)?,
                recovery_notified: flag(9)?,
            },
            updated_at: count(row, 10)?,
        })
    })?;
    rows.collect()
}

/// A mark of `backup_state`; nothing under that name is the oldest of all.
pub(super) fn backup_mark(connection: &Connection, key: &str) -> rusqlite::Result<BackupMark> {
    let mark = connection.query_row(
        "SELECT last_backup_unix, data_version FROM backup_state WHERE key = ?1",
        [key],
        |row| Ok(BackupMark { at: count(row, 0)?, version: count(row, 1)? }),
    );
    match mark {
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok(BackupMark::default()),
        mark => mark,
    }
}

/// Reads beside the writer. Cheap to clone; clones share the connection.
#[derive(Clone, Debug)]
pub struct Reader {
    path: Arc<PathBuf>,
    /// Goes up when the writer has put another file in the place of the database.
    generation: Arc<AtomicU64>,
    open: Arc<Mutex<Option<(u64, Connection)>>>,
}

impl Reader {
    pub(super) fn new(path: PathBuf, generation: Arc<AtomicU64>) -> Self {
        Self { path: Arc::new(path), generation, open: Arc::default() }
    }

    pub fn saved_workers(&self) -> rusqlite::Result<Vec<SavedWorkerRow>> {
        self.ask(saved_workers)
    }

    /// Everybody who has ever signed in.
    pub fn users(&self) -> rusqlite::Result<Vec<UserRow>> {
        self.ask(users)
    }

    /// How many these are.
    pub fn user_count(&self) -> rusqlite::Result<u64> {
        self.ask(|connection| {
            let select = "SELECT count(*) FROM clerk_users WHERE trim(user_id) <> ''";
            connection.query_row(select, [], |row| count(row, 0))
        })
    }

    /// The newest blocks, with all that are not settled.
    pub fn blocks(&self) -> rusqlite::Result<Vec<BlockLife>> {
        self.ask(blocks)
    }

    pub fn backup_mark(&self, key: &str) -> rusqlite::Result<BackupMark> {
        self.ask(|connection| backup_mark(connection, key))
    }

    /// How often anything that a backup should have has changed.
    pub fn change_counter(&self) -> rusqlite::Result<u64> {
        self.ask(connection::change_counter)
    }

    /// Copies the database as it is now into a file of its own, over a connection of its own: it
    /// takes its time, and questions come in between. The change counter comes back.
    pub fn copy_to(&self, target: &std::path::Path) -> rusqlite::Result<u64> {
        connection::copy(&connection::open_to_read(&self.path)?, target)
    }

    fn ask<T>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let mut open = self.open.lock().expect("no code panics while it holds this");
        let generation = self.generation.load(Ordering::Acquire);
        if open.as_ref().is_none_or(|(of, _)| *of != generation) {
            *open = Some((generation, connection::open_to_read(&self.path)?));
        }
        let (_, connection) = open.as_ref().expect("it has just been put there");
        let answer = question(connection);
        if answer.is_err() {
            // Whatever was wrong with the connection, the next question does not inherit.
            *open = None;
        }
        answer
    }
}
