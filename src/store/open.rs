//! Opening the state database at the start: made when it is not there, brought up to date when it
//! is older, and refused, with what to do about it, when it cannot be used (`state-and-services.md`
//! §1.1, §1.4).

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tracing::info;

use super::change::delete_ended_bans;
use super::connection::{self, is_damage};
use super::file::DatabaseFile;
use super::read::{self, Restored};
use super::schema::{self, SCHEMA_VERSION};
use super::writer::Writer;
use crate::clock::unix_now;
use crate::whole_file;

/// What becomes of bans that are over when the pool starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBans {
    Delete,
    Keep,
}

/// What a database is opened with.
#[derive(Debug)]
pub struct StorePlan<'a> {
    /// Its `state` folder is the database's.
    pub data_dir: &'a Path,
    pub ended_bans: EndedBans,
    /// Where the local backup is, or would be.
    pub backup: PathBuf,
}

/// The database cannot be used; the pool does not start without.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot create the folder {}: {source}", path.display())]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("cannot lock {}: {source}", path.display())]
    Lock { path: PathBuf, source: std::io::Error },
    #[error("another goPool is using {}: stop it first, or give this one a folder of its own with -data-dir", path.display())]
    InUse { path: PathBuf },
    #[error("cannot open the database {}: {source}", path.display())]
    Open { path: PathBuf, source: rusqlite::Error },
    #[error("the database {} is damaged ({what}). {advice}", path.display())]
    Damaged { path: PathBuf, what: String, advice: String },
    #[error(
        "the database {} was written by a newer goPool (its version is {found}, this one knows up \
         to {SCHEMA_VERSION}). Start that goPool again. {advice}", path.display()
    )]
    Newer { path: PathBuf, found: i64, advice: String },
    #[error(
        "the database {} is of an older version and was not changed, because no copy of it could \
         be kept as {}: {source}", path.display(), copy.display()
    )]
    Copy { path: PathBuf, copy: PathBuf, source: rusqlite::Error },
    #[error("cannot start the database's writer: {0}")]
    Writer(#[from] std::io::Error),
}

/// `<data folder>/state/workers.db`.
pub fn database_path(data_dir: &Path) -> PathBuf {
    data_dir.join("state").join("workers.db")
}

/// Opens the database below the data folder, creating it when it is not there, and reads what
/// the last run left. The writer is not running yet.
pub fn open(plan: &StorePlan<'_>) -> Result<(Writer, Restored), StoreError> {
    let path = database_path(plan.data_dir);
    let lock = lock_state(plan.data_dir)?;
    let has_content = fs::metadata(&path).is_ok_and(|metadata| metadata.len() > 0);
    let failed = |source| StoreError::Open { path: path.clone(), source };
    let mut connection =
        connection::open_as_it_is(&path).map_err(|error| refuse(&path, plan, error))?;
    if has_content {
        check(&connection, &path, plan)?;
        keep_copy_before_upgrade(&connection, &path)?;
    }
    let opened = |connection: &mut Connection| -> rusqlite::Result<Restored> {
        connection::set_up(connection)?;
        schema::bring_up_to_date(connection)?;
        if plan.ended_bans == EndedBans::Delete {
            let transaction = connection.transaction()?;
            delete_ended_bans(&transaction, unix_now())?;
            transaction.commit()?;
        }
        read::restored(connection)
    };
    let restored = opened(&mut connection).map_err(failed)?;
    let file = DatabaseFile::new(connection, path, plan.backup.clone());
    Ok((Writer::new(file, lock), restored))
}

/// Makes sure that nobody else uses the state folder, as long as the file that comes back is open.
pub fn lock_state(data_dir: &Path) -> Result<File, StoreError> {
    let folder = data_dir.join("state");
    fs::create_dir_all(&folder)
        .map_err(|source| StoreError::Folder { path: folder.clone(), source })?;
    let path = folder.join("gopool.lock");
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|source| StoreError::Lock { path: path.clone(), source })?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: folder }),
        Err(TryLockError::Error(source)) => Err(StoreError::Lock { path, source }),
    }
}

/// Whether a pool runs on this data folder now. Changes nothing.
pub fn is_in_use(data_dir: &Path) -> bool {
    let lock = File::open(data_dir.join("state/gopool.lock"));
    // Shared, and let go of at once: a pool that starts this very moment is not kept from it for
    // longer than that.
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Whether the file is a sound database that this version can work with.
fn check(connection: &Connection, path: &Path, plan: &StorePlan<'_>) -> Result<(), StoreError> {
    let damaged = connection::damage(connection).map_err(|error| refuse(path, plan, error))?;
    if let Some(what) = damaged {
        let advice = advice(path, plan);
        return Err(StoreError::Damaged { path: path.to_owned(), what, advice });
    }
    let found = schema::version(connection).map_err(|error| refuse(path, plan, error))?;
    if found > SCHEMA_VERSION {
        let advice = advice(path, plan);
        return Err(StoreError::Newer { path: path.to_owned(), found, advice });
    }
    Ok(())
}

fn refuse(path: &Path, plan: &StorePlan<'_>, error: rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    if is_damage(&error) {
        let advice = advice(&path, plan);
        return StoreError::Damaged { path, what: error.to_string(), advice };
    }
    StoreError::Open { path, source: error }
}

/// Which copies there are, and how to put one back.
fn advice(path: &Path, plan: &StorePlan<'_>) -> String {
    let mut copies: Vec<PathBuf> = Vec::new();
    if plan.backup.exists() {
        copies.push(plan.backup.clone());
    }
    let names = path.parent().and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten();
    copies.extend(names.flatten().map(|entry| entry.path()).filter(|kept| {
        let name = kept.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with("workers.db.before-")
    }));
    copies.sort();
    let restore = format!("gopool -data-dir {} -restore", plan.data_dir.display());
    if copies.is_empty() {
        return format!(
            "There is no copy of it here: put a backup of yours back with `{restore} <file>`, or \
             move the file away to start with an empty one."
        );
    }
    let copies: Vec<String> = copies.iter().map(|path| path.display().to_string()).collect();
    format!("Copies: {}. Put one back with `{restore} <copy>`.", copies.join(", "))
}

/// A file that an older version has written is kept as it was.
fn keep_copy_before_upgrade(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::Open { path: path.to_owned(), source };
    if schema::version(connection).map_err(failed)? == SCHEMA_VERSION {
        return Ok(());
    }
    let copy = whole_file::dated(path, &format!("before-v{SCHEMA_VERSION}"));
    connection::copy(connection, &copy).map_err(|source| StoreError::Copy {
        path: path.to_owned(),
        copy: copy.clone(),
        source,
    })?;
    info!(component = "db", copy = %copy.display(), "an older database, of which a copy is kept");
    Ok(())
}
