//! The only SQLite: the state database and the thread that writes to it
//! (`state-and-services.md` §1).

mod writer;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

pub use writer::{StoreHandle, Writer, worker_hash};

/// Tables whose changes are counted; a backup compares the count with the one it last covered.
const COUNTED_TABLES: [&str; 4] =
    ["bans", "best_shares", "found_blocks_log", "pending_submissions"];
/// Another program that has the file open is waited for this long.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Found blocks that are kept in memory for those who look.
const FOUND_BLOCKS_SHOWN: usize = 100;

/// The database cannot be used; the pool does not start without.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot create the folder {}: {source}", path.display())]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("cannot open the database {}: {source}", path.display())]
    Open { path: PathBuf, source: rusqlite::Error },
    #[error("cannot start the database's writer: {0}")]
    Writer(#[from] std::io::Error),
}

/// A block that has been found and is not settled, as its row has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingBlock {
    /// Block hash in display order.
    pub hash_hex: String,
    pub found_at: u64,
    pub height: u64,
    pub worker: String,
    pub block_hex: String,
    /// Endpoint without credentials.
    pub rpc_url: String,
    pub payout_address: String,
}

/// A line of `found_blocks_log` (`mining.md` §7.4).
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct FoundBlock {
    /// RFC 3339, UTC.
    pub timestamp: String,
    pub height: u64,
    /// Display order.
    pub hash: String,
    pub worker: String,
    pub share_diff: f64,
    pub job_id: String,
    pub payout_address: String,
    pub coinbase_value_sats: u64,
    pub pool_fee_sats: u64,
    pub worker_payout_sats: u64,
    #[serde(default)]
    pub donation_sats: u64,
    pub dual_payout_fallback: bool,
}

impl Eq for FoundBlock {}

/// How a found block ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The node has it.
    Submitted,
    /// The node will never take it.
    Rejected,
}

impl Settled {
    fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Rejected => "rejected",
        }
    }
}

/// What becomes of bans that are over when the pool starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBans {
    Delete,
    Keep,
}

/// What the last run left behind.
#[derive(Debug, Default)]
pub struct Restored {
    pub pending: Vec<PendingBlock>,
    /// Newest first.
    pub found: Vec<FoundBlock>,
    pub bans: Vec<BanRow>,
}

/// A row of `bans`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BanRow {
    pub worker: String,
    /// Unix seconds; 0 for never.
    pub until: u64,
    pub reason: String,
}

/// Opens the database below the data folder, creating it when it is not there, and reads what
/// the last run left. The writer is not running yet.
pub fn open(data_dir: &Path, ended_bans: EndedBans) -> Result<(Writer, Restored), StoreError> {
    let folder = data_dir.join("state");
    fs::create_dir_all(&folder)
        .map_err(|source| StoreError::Folder { path: folder.clone(), source })?;
    let path = folder.join("workers.db");
    let opened = || -> rusqlite::Result<(Connection, Restored)> {
        let connection = connect(&path)?;
        create_schema(&connection)?;
        if ended_bans == EndedBans::Delete {
            let ended = "DELETE FROM bans WHERE until_unix <> 0 AND until_unix <= unixepoch()";
            connection.execute(ended, [])?;
        }
        let restored = Restored {
            pending: read_pending(&connection)?,
            found: read_found(&connection, FOUND_BLOCKS_SHOWN)?,
            bans: read_bans(&connection)?,
        };
        Ok((connection, restored))
    };
    let (connection, restored) =
        opened().map_err(|source| StoreError::Open { path: path.clone(), source })?;
    Ok((Writer::new(connection), restored))
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A found block must be on the disk when its commit returns, not at the next checkpoint.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    Ok(connection)
}

fn create_schema(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(include_str!("schema.sql"))?;
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

/// Rows of an older release may say anything; what is not settled is pending.
fn read_pending(connection: &Connection) -> rusqlite::Result<Vec<PendingBlock>> {
    let mut statement = connection.prepare(
        "SELECT submission_key, timestamp_unix, height, worker, block_hex, rpc_url, payout_addr
         FROM pending_submissions
         WHERE lower(status) NOT IN ('submitted', 'rejected', 'expired') AND trim(block_hex) <> ''",
    )?;
    let text = |row: &rusqlite::Row<'_>, column| {
        row.get::<_, Option<String>>(column).map(Option::unwrap_or_default)
    };
    let rows = statement.query_map([], |row| {
        Ok(PendingBlock {
            hash_hex: text(row, 0)?,
            found_at: row.get::<_, i64>(1)?.max(0).cast_unsigned(),
            height: row.get::<_, i64>(2)?.max(0).cast_unsigned(),
            worker: text(row, 3)?,
            block_hex: text(row, 4)?,
            rpc_url: text(row, 5)?,
            payout_address: text(row, 6)?,
        })
    })?;
    rows.collect()
}

fn read_bans(connection: &Connection) -> rusqlite::Result<Vec<BanRow>> {
    let mut statement = connection.prepare("SELECT worker, until_unix, reason FROM bans")?;
    let rows = statement.query_map([], |row| {
        // Only 0 is permanent; what lies before 1970 has ended.
        let until = match row.get::<_, i64>(1)? {
            until @ 0.. => until.cast_unsigned(),
            _ => 1,
        };
        let reason = row.get::<_, Option<String>>(2)?.unwrap_or_default();
        Ok(BanRow { worker: row.get(0)?, until, reason })
    })?;
    rows.collect()
}

fn read_found(connection: &Connection, limit: usize) -> rusqlite::Result<Vec<FoundBlock>> {
    let mut statement =
        connection.prepare("SELECT json FROM found_blocks_log ORDER BY id DESC LIMIT ?1")?;
    let rows = statement.query_map([limit as i64], |row| row.get::<_, String>(0))?;
    let mut found = Vec::new();
    for json in rows {
        // A line that cannot be read is somebody else's; the others still count.
        found.extend(serde_json::from_str::<FoundBlock>(&json?).ok());
    }
    Ok(found)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn pending(hash_hex: &str) -> PendingBlock {
        PendingBlock {
            hash_hex: hash_hex.into(),
            found_at: 1_700_000_000,
            height: 101,
            worker: "w.1".into(),
            block_hex: "00ff".into(),
            rpc_url: "127.0.0.1:8332".into(),
            payout_address: "p".into(),
        }
    }

    pub(crate) fn found(hash: &str) -> FoundBlock {
        FoundBlock {
            timestamp: "2026-11-25T00:00:00Z".into(),
            height: 101,
            hash: hash.into(),
            worker: "w.1".into(),
            share_diff: 1.5,
            job_id: "1".into(),
            payout_address: "p".into(),
            coinbase_value_sats: 100,
            pool_fee_sats: 2,
            worker_payout_sats: 98,
            donation_sats: 0,
            dual_payout_fallback: false,
        }
    }

    #[test]
    fn a_new_database_is_made_and_an_old_one_kept() {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let (writer, restored) = open(folder.path(), EndedBans::Delete).unwrap();
            assert!(restored.pending.is_empty() && restored.found.is_empty());
            drop(writer);
        }
        let connection = connect(&folder.path().join("state/workers.db")).unwrap();
        let mode: String =
            connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
    }

    #[test]
    fn a_file_that_is_no_database_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("state")).unwrap();
        fs::write(folder.path().join("state/workers.db"), "no database at all, but long enough")
            .unwrap();
        let error = open(folder.path(), EndedBans::Delete).unwrap_err().to_string();
        assert!(error.contains("workers.db"), "{error}");
    }

    #[test]
    fn only_what_is_not_settled_is_pending() {
        let folder = tempfile::tempdir().unwrap();
        let (writer, _) = open(folder.path(), EndedBans::Delete).unwrap();
        drop(writer);
        let connection = connect(&folder.path().join("state/workers.db")).unwrap();
        for (key, status, hex) in [
            ("a", "pending", "00"),
            ("b", "PENDING", "00"),
            ("c", "submitted", "00"),
            ("d", "Submitted", "00"),
            ("e", "rejected", "00"),
            ("f", "expired", "00"),
            ("g", "whatever", "00"),
            ("h", "pending", " "),
        ] {
            connection
                .execute(
                    "INSERT INTO pending_submissions VALUES (?1, 1, 1, ?1, NULL, ?2, '', '', '', ?3)",
                    [key, hex, status],
                )
                .unwrap();
        }
        drop(connection);
        let (_, restored) = open(folder.path(), EndedBans::Delete).unwrap();
        let mut keys: Vec<_> = restored.pending.into_iter().map(|row| row.hash_hex).collect();
        keys.sort();
        assert_eq!(keys, ["a", "b", "g"]);
    }
}
