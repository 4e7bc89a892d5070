//! A damaged database → a sound one with everything that can still be read of it, and the rest from
//! the last backup.

use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, Transaction, params_from_iter};
use tracing::{info, warn};

use super::connection;
use super::schema::{self, COUNTED_TABLES};

/// What cannot be counted from the others.
const OTHER_TABLES: [&str; 4] = ["backup_state", "ban_sources", "block_life", "untold_blocks"];

/// Makes `fresh`, which must not be there, from what `damaged` and `backup` have. Fails only for
/// what is wrong with `fresh`.
pub(super) fn salvage(damaged: &Path, backup: &Path, fresh: &Path) -> rusqlite::Result<()> {
    let mut target = Connection::open(fresh)?;
    schema::bring_up_to_date(&mut target)?;
    let damaged = connection::open_to_read(damaged).ok();
    let backup = connection::open_to_read(backup).ok();
    let transaction = target.transaction()?;
    // The counter only ever grows: whoever compares it sees that much has changed.
    let counters = [&damaged, &backup].map(|source| {
        source.as_ref().and_then(|source| connection::change_counter(source).ok()).unwrap_or(0)
    });
    for table in COUNTED_TABLES.into_iter().chain(OTHER_TABLES) {
        let read = match &damaged {
            Some(damaged) => copy_rows(damaged, &transaction, table)?,
            None => Read { rows: 0, is_whole: false },
        };
        let from_backup = match &backup {
            Some(backup) if !read.is_whole => copy_rows(backup, &transaction, table)?.rows,
            _ => 0,
        };
        if read.is_whole {
            info!(component = "db", table, rows = read.rows, "read completely");
        } else {
            warn!(component = "db", table, rows = read.rows, from_backup, "read in part");
        }
    }
    let counter = counters[0].max(counters[1]).saturating_add(1);
    transaction.execute(
        "UPDATE db_change_state SET version = max(version, ?1) WHERE key = 'worker_db'",
        [i64::try_from(counter).unwrap_or(i64::MAX)],
    )?;
    transaction.commit()
}

struct Read {
    rows: usize,
    /// Every row was readable.
    is_whole: bool,
}

/// From the first row up to what is damaged, then from the last one down to it.
fn copy_rows(source: &Connection, target: &Transaction<'_>, table: &str) -> rusqlite::Result<Read> {
    let columns = match columns_of_both(source, target, table) {
        Ok(columns) if !columns.is_empty() => columns,
        _ => return Ok(Read { rows: 0, is_whole: false }),
    };
    let list = columns.join(", ");
    let places = vec!["?"; columns.len()].join(", ");
    let mut insert =
        target.prepare(&format!("INSERT OR IGNORE INTO {table} ({list}) VALUES ({places})"))?;
    let mut read = Read { rows: 0, is_whole: false };
    for order in ["ASC", "DESC"] {
        let Ok(mut statement) =
            source.prepare(&format!("SELECT {list} FROM {table} ORDER BY rowid {order}"))
        else {
            break;
        };
        let Ok(mut rows) = statement.query([]) else { break };
        loop {
            match rows.next() {
                Ok(Some(row)) => {
                    let values: Result<Vec<Value>, _> =
                        (0..columns.len()).map(|column| row.get(column)).collect();
                    if let Ok(values) = values {
                        read.rows += insert.execute(params_from_iter(values))?;
                    }
                }
                Ok(None) => {
                    read.is_whole = order == "ASC";
                    break;
                }
                Err(_) => break,
            }
        }
        if read.is_whole {
            break;
        }
    }
    Ok(read)
}

fn columns_of_both(
    source: &Connection,
    target: &Connection,
    table: &str,
) -> rusqlite::Result<Vec<String>> {
    let columns = |connection: &Connection| -> rusqlite::Result<Vec<String>> {
        let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
        let names = statement.query_map([table], |row| row.get(0))?;
        names.collect()
    };
    let of_target = columns(target)?;
    Ok(columns(source)?.into_iter().filter(|name| of_target.contains(name)).collect())
}
