//! Connections to the database, with the pragmas that they are supposed to have (FIX-1).

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use tracing::error;

/// Another program that has the file open is waited for this long.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Pages that a copy takes at once: one mebibyte of usual pages, some milliseconds.
const COPY_STEP_PAGES: i32 = 256;
/// Between two steps, so that whoever writes finds the disk free.
const COPY_PAUSE: Duration = Duration::from_millis(2);
/// A copy is read by its owner and, with the pool's group, by who looks after backups.
const COPY_MODE: u32 = 0o640;

/// The connection that writes.
pub(super) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = open_as_it_is(path)?;
    set_up(&connection)?;
    Ok(connection)
}

/// The same before anything of the file is changed: it may have to be refused.
pub(super) fn open_as_it_is(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// From here on the file has a write-ahead log.
pub(super) fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        error!(component = "db", mode, "the database has no write-ahead log");
    }
    // A found block must be on the disk when its commit returns, not at the next checkpoint.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    Ok(())
}

/// A connection that cannot change anything. It sees what was committed before each of its
/// questions and neither waits for who writes nor lets them wait.
pub(super) fn open_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "query_only", "ON")?;
    Ok(connection)
}

/// What is wrong with the file, if anything is. Errors are those of the disk.
pub(super) fn damage(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let checked =
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0));
    match checked {
        Ok(text) if text == "ok" => Ok(None),
        Ok(text) => Ok(Some(text)),
        Err(error) if is_damage(&error) => Ok(Some(error.to_string())),
        Err(error) => Err(error),
    }
}

pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// The change counter; 1 when the database has none (§12.3, step 4).
pub(super) fn change_counter(connection: &Connection) -> rusqlite::Result<u64> {
    let has_counter = connection
        .prepare("SELECT 1 FROM sqlite_master WHERE name = 'db_change_state'")?
        .exists([])?;
    if !has_counter {
        return Ok(1);
    }
    let counter = connection.query_row(
        "SELECT version FROM db_change_state WHERE key = 'worker_db'",
        [],
        |row| row.get::<_, i64>(0),
    );
    match counter {
        Ok(version) => Ok(version.max(1).cast_unsigned()),
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok(1),
        Err(error) => Err(error),
    }
}

/// Copies the database as it is at one moment into a new file, without keeping its writer waiting;
/// the change counter of that moment comes back. What is there under the name is replaced.
pub(super) fn copy(source: &Connection, target: &Path) -> rusqlite::Result<u64> {
    // SQLite would make it readable by everyone.
    let made =
        OpenOptions::new().write(true).create(true).truncate(true).mode(COPY_MODE).open(target);
    made.map_err(|error| {
        rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN),
            Some(format!("cannot make {}: {error}", target.display())),
        )
    })?;
    let mut copy = Connection::open(target)?;
    // One snapshot for the counter and every page: what is written meanwhile is not in it.
    let reading = source.unchecked_transaction()?;
    let version = change_counter(source)?;
    {
        let backup = Backup::new(source, &mut copy)?;
        while backup.step(COPY_STEP_PAGES)? != StepResult::Done {
            thread::sleep(COPY_PAUSE);
        }
    }
    drop(reading);
    // A file that is whole by itself, without a log beside it.
    copy.pragma_update(None, "journal_mode", "DELETE")?;
    Ok(version)
}
