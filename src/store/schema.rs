//! The tables, and what older databases need before they have them (`state-and-services.md`
//! §1.3, §1.4).

use std::collections::BTreeMap;

use rusqlite::{Connection, Transaction, params};

use super::rows::SavedWorkerRow;
use crate::identity::{is_hash_hex, worker_hash_hex};
use crate::privacy;

/// Of a file that this version has brought up to date. The reference leaves it at 0 and ignores it.
pub(super) const SCHEMA_VERSION: i64 = 1;

/// Tables whose changes are counted; a backup compares the count with the one it last covered.
pub(super) const COUNTED_TABLES: [&str; 9] = [
    "bans",
    "best_shares",
    "saved_workers",
    "clerk_users",
    "discord_links",
    "discord_worker_state",
    "one_time_codes",
    "found_blocks_log",
    "pending_submissions",
];

/// Columns that came later, in the order in which they are added.
const LATER_COLUMNS: [(&str, &str, &str); 5] = [
    ("saved_workers", "worker_hash", "TEXT"),
    ("saved_workers", "notify_enabled", "INTEGER NOT NULL DEFAULT 1"),
    ("saved_workers", "best_difficulty", "REAL NOT NULL DEFAULT 0"),
    ("saved_workers", "worker_display", "TEXT"),
    ("discord_worker_state", "offline_eligible", "INTEGER NOT NULL DEFAULT 0"),
];

pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Makes the database what this version works with: all of it or, when something fails, nothing.
pub(super) fn bring_up_to_date(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(include_str!("schema.sql"))?;
    for (table, column, definition) in LATER_COLUMNS {
        if !has_column(&transaction, table, column)? {
            transaction
                .execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {column} {definition}"))?;
        }
    }
    // Before the index: an old database may have several rows without a hash for one user (FIX-2).
    normalise_saved_workers(&transaction)?;
    // The second index is our own: best difficulties are written by worker alone, thousands at a
    // time, and would read the whole table for each.
    transaction.execute_batch(
        "CREATE UNIQUE INDEX IF NOT EXISTS saved_workers_hash_idx
             ON saved_workers (user_id, worker_hash);
         CREATE INDEX IF NOT EXISTS saved_workers_worker_idx ON saved_workers (worker_hash);",
    )?;
    create_triggers(&transaction)?;
    adopt_blocks(&transaction)?;
    if version(&transaction)? != SCHEMA_VERSION {
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    }
    transaction.commit()
}

fn create_triggers(connection: &Connection) -> rusqlite::Result<()> {
    for table in COUNTED_TABLES {
        for event in ["insert", "update", "delete"] {
            connection.execute_batch(&format!(
                "CREATE TRIGGER IF NOT EXISTS db_change_{table}_{event} AFTER {event} ON {table}
                 BEGIN
                     UPDATE db_change_state SET version = version + 1 WHERE key = 'worker_db';
                 END"
            ))?;
        }
    }
    Ok(())
}

fn has_column(connection: &Connection, table: &str, column: &str) -> rusqlite::Result<bool> {
    connection
        .prepare("SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2")?
        .exists([table, column])
}

/// Blocks that the reference has written, and those of our own versions before `block_life`. Nobody
/// after this looks for `dummyhash`, a test's record.
fn adopt_blocks(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "INSERT OR IGNORE INTO block_life
             (hash, height, worker, state, found_at_unix, settled_at_unix, changed_at_unix, json)
         SELECT json_extract(json, '$.hash'), ifnull(json_extract(json, '$.height'), 0),
             ifnull(json_extract(json, '$.worker'), ''), 'accepted', created_at_unix,
             created_at_unix, created_at_unix, json
         FROM (SELECT * FROM found_blocks_log WHERE json_valid(json) ORDER BY id)
         WHERE lower(ifnull(json_extract(json, '$.hash'), '')) NOT IN ('', 'dummyhash')",
    )
}

struct StoredWorker {
    rowid: i64,
    user_id: String,
    worker: String,
    worker_hash: String,
    display: String,
    notify: bool,
    best_difficulty: f64,
}

impl StoredWorker {
    /// The row as it should be; none when it says nobody's anything.
    fn normal(&self) -> Option<SavedWorkerRow> {
        let user_id = self.user_id.trim();
        let name = self.worker.trim();
        let stored_hash = self.worker_hash.trim();
        if user_id.is_empty() {
            return None;
        }
        let worker_hash = if is_hash_hex(stored_hash) {
            stored_hash.to_ascii_lowercase()
        } else if name.is_empty() {
            return None;
        } else if is_hash_hex(name) {
            // The current format, whose other column has been lost.
            name.to_ascii_lowercase()
        } else {
            worker_hash_hex(name)
        };
        let display = match self.display.trim() {
            "" => match privacy::worker_name(name) {
                short if !short.is_empty() => short,
                _ => privacy::worker_name(&worker_hash),
            },
            stored => stored.to_owned(),
        };
        Some(SavedWorkerRow {
            user_id: user_id.to_owned(),
            worker_hash,
            display,
            notify: self.notify,
            best_difficulty: self.best_difficulty.max(0.0),
        })
    }

    fn is_normal(&self, normal: &SavedWorkerRow) -> bool {
        self.user_id == normal.user_id
            && self.worker == normal.worker_hash
            && self.worker_hash == normal.worker_hash
            && self.display == normal.display
    }
}

/// Removes raw worker names and merges what then is one worker's (§1.4, step 6). A row that is as
/// it should be is not written, so that no backup is made for nothing (FIX-3).
fn normalise_saved_workers(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare(
        "SELECT rowid, ifnull(user_id, ''), ifnull(worker, ''), ifnull(worker_hash, ''),
             ifnull(worker_display, ''), notify_enabled, best_difficulty
         FROM saved_workers ORDER BY rowid",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(StoredWorker {
            rowid: row.get(0)?,
            user_id: row.get(1)?,
            worker: row.get(2)?,
            worker_hash: row.get(3)?,
            display: row.get(4)?,
            notify: row.get::<_, i64>(5)? != 0,
            best_difficulty: row.get(6)?,
        })
    })?;
    // By user and worker: what it becomes, and the rows that it comes from.
    let mut merged: BTreeMap<(String, String), (SavedWorkerRow, Vec<StoredWorker>)> =
        BTreeMap::new();
    let mut delete = transaction.prepare("DELETE FROM saved_workers WHERE rowid = ?1")?;
    for row in rows {
        let row = row?;
        let Some(normal) = row.normal() else {
            delete.execute([row.rowid])?;
            continue;
        };
        let key = (normal.user_id.clone(), normal.worker_hash.clone());
        let (whole, rows) = merged.entry(key).or_insert_with(|| (normal.clone(), Vec::new()));
        whole.notify |= normal.notify;
        whole.best_difficulty = whole.best_difficulty.max(normal.best_difficulty);
        rows.push(row);
    }
    for (whole, rows) in merged.into_values() {
        if let [only] = &rows[..]
            && only.is_normal(&whole)
        {
            continue;
        }
        for row in &rows {
            delete.execute([row.rowid])?;
        }
        transaction.execute(
            "INSERT INTO saved_workers (user_id, worker, worker_hash, worker_display,
                 notify_enabled, best_difficulty)
             VALUES (?1, ?2, ?2, ?3, ?4, ?5)",
            params![
                whole.user_id,
                whole.worker_hash,
                whole.display,
                whole.notify,
                whole.best_difficulty
            ],
        )?;
    }
    Ok(())
}
