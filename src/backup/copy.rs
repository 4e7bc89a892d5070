//! One copy: taken in a private folder, looked at, and only then put in its place or uploaded
//! (§12.4, FIX-33).

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::limit::{Limit, TooLate};
use super::uploader::Ready;
use crate::store::{Reader, damage_of, version_of};
use crate::whole_file;

/// Banned workers and blocks stand in it by name.
const MODE: u32 = 0o640;
/// Bytes that go to another disk before the limit is looked at again.
const PIECE_BYTES: u64 = 1024 * 1024;

/// Why there is no new copy; the one before is still there.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("cannot copy the database: {0}")]
    Database(#[from] rusqlite::Error),
    #[error(
        "the copy is damaged ({0}), and so is the database, most likely; the last backup stays"
    )]
    Damaged(String),
    #[error(transparent)]
    TooLate(#[from] TooLate),
}

/// A copy in the private folder, looked at.
#[derive(Debug)]
pub(super) struct Copied {
    pub(super) path: PathBuf,
    /// The change counter of the moment that it shows.
    pub(super) version: u64,
}

pub(super) fn take(reader: &Reader, private: &Path, limit: Limit) -> Result<Copied, CopyError> {
    let made = DirBuilder::new().mode(0o700).recursive(true).create(private);
    made.map_err(failed(private))?;
    let path = private.join("workers.db");
    let version = reader.copy_to(&path)?;
    limit.check()?;
    match damage_of(&path)? {
        Some(what) => Err(CopyError::Damaged(what)),
        None => Ok(Copied { path, version }),
    }
}

/// Puts it in its place; its size comes back.
pub(super) fn place(copied: &Copied, target: &Path, limit: Limit) -> Result<u64, CopyError> {
    put(&copied.path, target, limit).map_err(failed(target))
}

/// A copy of an earlier process, if it is what is known of it: its own counter says so, for a mark
/// may be older than the file, and the file may be somebody else's (FIX-32).
pub(super) fn of_earlier(path: &Path, version: u64) -> Option<Ready> {
    let is_sound = matches!(damage_of(path), Ok(None));
    let is_known = is_sound && version_of(path).is_ok_and(|found| found == version);
    let file = is_known.then(|| File::open(path).ok()).flatten();
    file.map(|file| Ready { file, version, limit: Limit::NONE })
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> CopyError {
    let path = path.to_owned();
    move |source| CopyError::Io { path, source }
}

/// Removes what a run has left, or one that was interrupted.
pub(super) fn clean(private: &Path) {
    // What is not there is clean; what cannot be removed is in the way of the next run, which says so.
    let _ = fs::remove_dir_all(private);
}

/// Its place may be on another disk.
fn put(copy: &Path, target: &Path, limit: Limit) -> io::Result<u64> {
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut name = target.as_os_str().to_owned();
    name.push(".tmp");
    let temporary = PathBuf::from(name);
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(MODE)
            .open(&temporary)?;
        let bytes = pour(&mut File::open(copy)?, &mut file, limit)?;
        file.sync_all()?;
        fs::rename(&temporary, target)?;
        whole_file::sync_folder_of(target)?;
        Ok(bytes)
    })();
    if written.is_err() {
        // It may not have come to be.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn pour(from: &mut File, to: &mut File, limit: Limit) -> io::Result<u64> {
    let mut bytes = 0;
    loop {
        limit.check().map_err(io::Error::other)?;
        match io::copy(&mut Read::take(&mut *from, PIECE_BYTES), to)? {
            0 => return Ok(bytes),
            count => bytes += count,
        }
    }
}
