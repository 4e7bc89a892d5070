//! Puts a copy of the database back, for `gopool -restore <file>`: looked at, brought up to date and
//! counted before it takes the place of what is there, which is kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::connection;
use super::file::{MendError, keep_aside, remove, with_suffix};
use super::open::{StoreError, database_path, lock_state};
use super::schema::{self, SCHEMA_VERSION};
use crate::whole_file;

/// Why a copy was not put back. What is there has not been touched.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The pool runs, or the folder cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot read {}: {what}", path.display())]
    Unreadable { path: PathBuf, what: String },
    #[error("{} is the pool's database itself: give a copy of it", path.display())]
    Itself { path: PathBuf },
    #[error("{} is damaged ({what}) and is not put back", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("{} is no database of goPool: it has no table {missing}", path.display())]
    Foreign { path: PathBuf, missing: &'static str },
    #[error(
        "{} was written by a newer goPool (its version is {found}, this one knows up to \
         {SCHEMA_VERSION})", path.display()
    )]
    Newer { path: PathBuf, found: i64 },
    #[error("cannot put it in its place: {0}")]
    Place(#[from] MendErrorText),
}

/// What went wrong on the way to its place.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct MendErrorText(String);

impl From<MendError> for MendErrorText {
    fn from(error: MendError) -> Self {
        Self(error.to_string())
    }
}

impl From<rusqlite::Error> for MendErrorText {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<io::Error> for MendErrorText {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// What has been put back.
#[derive(Debug, PartialEq, Eq)]
pub struct PutBack {
    pub database: PathBuf,
    /// Where what was there before is kept; None when there was nothing.
    pub kept: Option<PathBuf>,
    /// Tables that people ask for, and their rows.
    pub rows: Vec<(&'static str, u64)>,
}

/// Tables that every release has had.
const NEEDED: [&str; 2] = ["bans", "found_blocks_log"];
/// What is told of the copy.
const COUNTED: [&str; 4] = ["found_blocks_log", "pending_submissions", "bans", "saved_workers"];

/// Checks a copy and puts it in the database's place. The pool must not run.
pub fn restore(data_dir: &Path, copy: &Path) -> Result<PutBack, RestoreError> {
    let _lock = lock_state(data_dir)?;
    let database = database_path(data_dir);
    let source = checked(copy, &database)?;
    let fresh = with_suffix(&database, ".new");
    let rows = prepare(&source, &fresh)?;
    let kept = keep_present(&database)?;
    for suffix in ["-wal", "-shm"] {
        remove(&with_suffix(&database, suffix)).map_err(MendErrorText::from)?;
    }
    fs::rename(&fresh, &database).map_err(MendErrorText::from)?;
    whole_file::sync_folder_of(&database).map_err(MendErrorText::from)?;
    Ok(PutBack { database, kept, rows })
}

fn checked(copy: &Path, database: &Path) -> Result<Connection, RestoreError> {
    let path = copy.to_owned();
    let unreadable = |what: &dyn std::fmt::Display| RestoreError::Unreadable {
        path: path.clone(),
        what: what.to_string(),
    };
    let metadata = fs::metadata(copy).map_err(|error| unreadable(&error))?;
    if !metadata.is_file() || metadata.len() == 0 {
        return Err(unreadable(&"it is not a file with anything in it"));
    }
    if fs::canonicalize(copy).ok().is_some_and(|it| fs::canonicalize(database).ok() == Some(it)) {
        return Err(RestoreError::Itself { path });
    }
    let source = connection::open_to_read(copy).map_err(|error| unreadable(&error))?;
    if let Some(what) = connection::damage(&source).map_err(|error| unreadable(&error))? {
        return Err(RestoreError::Damaged { path, what });
    }
    for missing in NEEDED {
        let is_there = source
            .prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1")
            .and_then(|mut statement| statement.exists([missing]))
            .map_err(|error| unreadable(&error))?;
        if !is_there {
            return Err(RestoreError::Foreign { path, missing });
        }
    }
    let found = schema::version(&source).map_err(|error| unreadable(&error))?;
    if found > SCHEMA_VERSION {
        return Err(RestoreError::Newer { path, found });
    }
    Ok(source)
}

/// The copy as the pool will open it, and what is in it.
fn prepare(source: &Connection, fresh: &Path) -> Result<Vec<(&'static str, u64)>, MendErrorText> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        remove(&with_suffix(fresh, suffix))?;
    }
    connection::copy(source, fresh)?;
    let mut prepared = Connection::open(fresh)?;
    schema::bring_up_to_date(&mut prepared)?;
    let mut rows = Vec::new();
    for table in COUNTED {
        let count = prepared
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0))?;
        rows.push((table, count.cast_unsigned()));
    }
    drop(prepared);
    fs::File::open(fresh)?.sync_all()?;
    Ok(rows)
}

/// A sound one whole in one file, a damaged one with its log as it is.
fn keep_present(database: &Path) -> Result<Option<PathBuf>, MendErrorText> {
    if !fs::metadata(database).is_ok_and(|metadata| metadata.len() > 0) {
        return Ok(None);
    }
    let kept = whole_file::dated(database, "before-restore");
    let sound = connection::open_to_read(database)
        .ok()
        .filter(|present| connection::damage(present).is_ok_and(|damage| damage.is_none()));
    match sound {
        Some(present) => {
            connection::copy(&present, &kept)?;
        }
        None => keep_aside(database, &kept)?,
    }
    Ok(Some(kept))
}

#[cfg(test)]
mod tests {
    use gopool_shards::admission::ban::Ban;

    use super::super::tests::{after, opened, sql};
    use super::*;

    fn banned(data_dir: &Path) -> Vec<String> {
        let mut banned: Vec<String> =
            opened(data_dir).1.bans.into_iter().map(|ban| ban.worker).collect();
        banned.sort();
        banned
    }

    fn refused(data_dir: &Path, copy: &Path) -> String {
        restore(data_dir, copy).unwrap_err().to_string()
    }

    #[test]
    fn a_copy_takes_the_place_of_what_is_there_which_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path();
        after(data_dir, |store| store.save_ban(&Ban::new("first", 0, "", None)));
        let copy = data_dir.join("copy.db");
        connection::copy(&sql(data_dir), &copy).unwrap();
        after(data_dir, |store| store.save_ban(&Ban::new("second", 0, "", None)));
        let put_back = restore(data_dir, &copy).unwrap();
        assert_eq!(banned(data_dir), ["first"]);
        assert_eq!(put_back.rows[2], ("bans", 1));
        // And back again.
        let second = restore(data_dir, &put_back.kept.unwrap()).unwrap();
        assert_eq!(banned(data_dir), ["first", "second"]);
        assert!(second.kept.is_some());
    }

    #[test]
    fn a_damaged_database_is_replaced_and_kept_too() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path();
        after(data_dir, |store| store.save_ban(&Ban::new("first", 0, "", None)));
        let copy = data_dir.join("copy.db");
        connection::copy(&sql(data_dir), &copy).unwrap();
        fs::write(database_path(data_dir), "ruined ".repeat(1000)).unwrap();
        let kept = restore(data_dir, &copy).unwrap().kept.unwrap();
        assert_eq!(banned(data_dir), ["first"]);
        assert!(fs::read(kept).unwrap().starts_with(b"ruined"));
    }

    #[test]
    fn what_cannot_be_used_is_refused_and_nothing_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path();
        after(data_dir, |store| store.save_ban(&Ban::new("first", 0, "", None)));
        let file = data_dir.join("file");
        assert!(refused(data_dir, &file).contains("cannot read"));
        fs::write(&file, "").unwrap();
        assert!(refused(data_dir, &file).contains("not a file with anything in it"));
        fs::write(&file, "no database ".repeat(1000)).unwrap();
        assert!(refused(data_dir, &file).contains("is damaged"));
        fs::remove_file(&file).unwrap();
        Connection::open(&file).unwrap().execute_batch("CREATE TABLE other (x)").unwrap();
        assert!(refused(data_dir, &file).contains("it has no table bans"));
        assert!(refused(data_dir, &database_path(data_dir)).contains("give a copy of it"));
        connection::copy(&sql(data_dir), &file).unwrap();
        Connection::open(&file).unwrap().pragma_update(None, "user_version", 7).unwrap();
        assert!(refused(data_dir, &file).contains("newer goPool (its version is 7"));
        let pool = opened(data_dir);
        Connection::open(&file).unwrap().pragma_update(None, "user_version", 1).unwrap();
        assert!(refused(data_dir, &file).contains("another goPool is using"));
        drop(pool);
        assert_eq!(banned(data_dir), ["first"]);
    }
}
