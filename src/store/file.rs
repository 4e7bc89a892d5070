//! The database's file, which may be deleted, replaced or damaged while the pool runs. Whatever
//! happens to it, nothing that the pool knows is lost as long as one disk can be written.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;
use tracing::{error, warn};

use super::connection;
use super::salvage::salvage;
use crate::whole_file;

/// The file that stands for a path: another one has another number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

fn identity(path: &Path) -> Option<Identity> {
    let metadata = fs::metadata(path).ok()?;
    Some(Identity { device: metadata.dev(), inode: metadata.ino() })
}

/// Why the database could not be put right. It is tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum MendError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// An open database and where it is.
pub(super) struct DatabaseFile {
    path: PathBuf,
    /// Where the local backup is, should it be needed.
    backup: PathBuf,
    /// None only while a damaged one is being mended.
    connection: Option<Connection>,
    identity: Option<Identity>,
    generation: Arc<AtomicU64>,
}

impl DatabaseFile {
    pub(super) fn new(connection: Connection, path: PathBuf, backup: PathBuf) -> Self {
        let identity = identity(&path);
        Self { path, backup, connection: Some(connection), identity, generation: Arc::default() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Goes up when another file has taken the place of the one before.
    pub(super) fn generation(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.generation)
    }

    pub(super) fn connection(&mut self) -> Result<&mut Connection, MendError> {
        if self.connection.is_none() {
            self.open_again()?;
        }
        Ok(self.connection.as_mut().expect("it has just been opened"))
    }

    /// Whether the path still names the file that is open.
    pub(super) fn is_in_place(&self) -> bool {
        identity(&self.path) == self.identity
    }

    /// The open file has lost its name: all of it is copied to where it belongs. A file that has
    /// taken its place is kept beside it.
    pub(super) fn put_back(&mut self) -> Result<(), MendError> {
        let connection = match &self.connection {
            Some(connection) => connection,
            None => return self.open_again(),
        };
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder).map_err(|source| io_error(folder, source))?;
        }
        let copy = beside(&self.path, "new");
        connection::copy(connection, &copy)?;
        // Closed before the new one is there: SQLite deletes a log by its name.
        self.connection = None;
        if self.path.exists() {
            let kept = whole_file::dated(&self.path, "replaced");
            keep_aside(&self.path, &kept)?;
            error!(
                component = "db",
                kept = %kept.display(),
                "another file was put in the place of the database while it was in use; the pool \
                 goes on with its own. Stop the pool before putting one back with -restore"
            );
        } else {
            warn!(component = "db", path = %self.path.display(), "the database was deleted while \
                it was in use, and is written again");
        }
        self.take_place(&copy)
    }

    /// Takes what can be read of a damaged file, and of the last backup, into a new one. The
    /// damaged one is kept beside it.
    pub(super) fn mend(&mut self) -> Result<(), MendError> {
        self.connection = None;
        let fresh = beside(&self.path, "new");
        for file in [fresh.clone(), with_suffix(&fresh, "-wal"), with_suffix(&fresh, "-shm")] {
            remove(&file)?;
        }
        salvage(&self.path, &self.backup, &fresh)?;
        let kept = whole_file::dated(&self.path, "damaged");
        keep_aside(&self.path, &kept)?;
        self.take_place(&fresh)?;
        error!(
            component = "db",
            kept = %kept.display(),
            "the database was damaged; what could be read of it and of the last backup is in a new \
             one. Look at the disk"
        );
        Ok(())
    }

    /// Closes and opens it, which cures what was wrong with the connection alone.
    pub(super) fn open_again(&mut self) -> Result<(), MendError> {
        self.connection = None;
        self.connection = Some(connection::open(&self.path)?);
        self.identity = identity(&self.path);
        self.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }

    fn take_place(&mut self, file: &Path) -> Result<(), MendError> {
        for suffix in ["-wal", "-shm"] {
            remove(&with_suffix(&self.path, suffix))?;
        }
        fs::rename(file, &self.path).map_err(|source| io_error(&self.path, source))?;
        self.open_again()
    }
}

/// A second name for a file, and a copy of its log, without which it says less.
pub(super) fn keep_aside(path: &Path, kept: &Path) -> Result<(), MendError> {
    let log = with_suffix(path, "-wal");
    if log.exists() {
        let kept_log = with_suffix(kept, "-wal");
        fs::copy(&log, &kept_log).map_err(|source| io_error(&kept_log, source))?;
    }
    match fs::hard_link(path, kept) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(kept, error)),
        _ => Ok(()),
    }
}

pub(super) fn remove(path: &Path) -> Result<(), MendError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(path, error)),
        _ => Ok(()),
    }
}

fn io_error(path: &Path, source: io::Error) -> MendError {
    MendError::Io { path: path.to_owned(), source }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    with_suffix(path, &format!(".{suffix}"))
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
