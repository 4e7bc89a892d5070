//! The thread that writes: small changes that wait together go into one transaction. Whatever is
//! wrong with the disk is said once, and tried again until it is mended.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::ErrorCode;
use tracing::{error, info, warn};

use super::change::{BlockChange, Change};
use super::connection::is_damage;
use super::figures::WriterFigures;
use super::file::{DatabaseFile, MendError};
use super::handle::StoreHandle;
use super::queue::{Edit, Queue, Work};
use super::read::Reader;

/// How often it is looked whether the file is still in its place.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Pause before a transaction that failed is tried again: a full disk, most likely.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// A database that is open and waits for its thread.
pub struct Writer {
    file: DatabaseFile,
    queue: Arc<Queue>,
    figures: Arc<WriterFigures>,
    /// Blocks that are not settled, so that they survive even a file that cannot be read.
    unsettled: HashMap<String, BlockChange>,
    /// Kept locked as long as the pool runs: two pools on one folder would ruin both.
    _lock: std::fs::File,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("path", &self.file.path()).finish_non_exhaustive()
    }
}

impl Writer {
    pub(super) fn new(file: DatabaseFile, lock: std::fs::File) -> Self {
        Self {
            file,
            queue: Arc::default(),
            figures: Arc::default(),
            unsettled: HashMap::new(),
            _lock: lock,
        }
    }

    /// Starts to write. The thread ends, after its last transaction, when every handle is gone.
    pub fn spawn(self) -> io::Result<(StoreHandle, Reader, JoinHandle<()>)> {
        let handle = StoreHandle::new(Arc::clone(&self.queue), Arc::clone(&self.figures));
        let reader = Reader::new(self.file.path().to_owned(), self.file.generation());
        let thread = thread::Builder::new().name("store".into()).spawn(move || self.run())?;
        Ok((handle, reader, thread))
    }

    fn run(mut self) {
        loop {
            match self.queue.next(LOOK_INTERVAL) {
                Work::Group(group) => self.write(&group),
                Work::Edit(edit) => self.edit(edit),
                Work::Nothing => self.look_after_file(),
                Work::End => break,
            }
        }
        self.look_after_file();
        let checkpoint = self.file.connection().map_err(|error| error.to_string()).and_then(|c| {
            c.pragma_update(None, "wal_checkpoint", "TRUNCATE").map_err(|error| error.to_string())
        });
        if let Err(error) = checkpoint {
            warn!(component = "db", error, "checkpoint failed");
        }
        info!(component = "db", "database closed");
    }

    fn write(&mut self, group: &[Change]) {
        for change in group {
            self.remember(change);
        }
        self.figures.took(group.len());
        self.write_whatever_can_be(group);
        self.figures.took(0);
    }

    /// Writes all changes together; when one of them cannot be written, each by itself, so that the
    /// one keeps no other from the disk. A disk that takes nothing is waited for.
    fn write_whatever_can_be(&mut self, group: &[Change]) {
        while let Err(error) = self.try_to_write(group) {
            match error {
                MendError::Sqlite(error) if !is_damage(&error) && !is_about_the_disk(&error) => {
                    if let [change] = group {
                        error!(component = "db", %error, ?change, "this change cannot be written");
                        return;
                    }
                    for change in group {
                        self.write_whatever_can_be(std::slice::from_ref(change));
                    }
                    return;
                }
                error => self.suffer(&error),
            }
        }
        self.recovered();
    }

    fn try_to_write(&mut self, group: &[Change]) -> Result<(), MendError> {
        if !self.file.is_in_place() {
            self.file.put_back()?;
        }
        let started = Instant::now();
        let transaction = self.file.connection()?.transaction()?;
        for change in group {
            change.write(&transaction)?;
        }
        transaction.commit()?;
        self.figures.committed(started.elapsed());
        Ok(())
    }

    fn edit(&mut self, edit: Edit) {
        self.look_after_file();
        match self.file.connection() {
            Ok(connection) => {
                let started = Instant::now();
                edit(connection);
                self.figures.committed(started.elapsed());
            }
            // Dropped, which tells whoever waits.
            Err(error) => self.failed(&error),
        }
    }

    /// Nothing waits: is the file still there?
    fn look_after_file(&mut self) {
        if self.file.is_in_place() {
            return;
        }
        match self.file.put_back() {
            Ok(()) => self.recovered(),
            Err(error) => self.failed(&error),
        }
    }

    /// Says what is wrong, does about it what can be done, and waits a little.
    fn suffer(&mut self, error: &MendError) {
        self.failed(error);
        let mended = match error {
            MendError::Sqlite(error) if is_damage(error) => self.mend(),
            // A name that is gone is looked after by the next try, which needs the connection.
            _ if !self.file.is_in_place() => Ok(()),
            MendError::Sqlite(error) if is_about_the_connection(error) => self.file.open_again(),
            _ => Ok(()),
        };
        match mended {
            Ok(()) => thread::sleep(RETRY_DELAY),
            Err(error) => {
                self.failed(&error);
                thread::sleep(RETRY_DELAY);
            }
        }
    }

    /// A new file, with the blocks that are in memory too.
    fn mend(&mut self) -> Result<(), MendError> {
        self.file.mend()?;
        let transaction = self.file.connection()?.transaction()?;
        for block in self.unsettled.values() {
            Change::Block(block.clone()).write(&transaction)?;
        }
        transaction.commit()?;
        Ok(())
    }

    fn remember(&mut self, change: &Change) {
        let Change::Block(change) = change else { return };
        match change {
            BlockChange::Found { .. } => {
                self.unsettled.insert(change.hash_hex().to_owned(), change.clone());
            }
            BlockChange::Settled { .. } => {
                self.unsettled.remove(change.hash_hex());
            }
            BlockChange::Sent { .. } | BlockChange::Followed { .. } | BlockChange::Told { .. } => {}
        }
    }

    fn failed(&self, error: &MendError) {
        if self.figures.failed(&error.to_string()) {
            warn!(
                component = "db",
                %error,
                waiting = self.queue.depth(),
                "the database cannot be written; mining goes on, and it is tried again until it can"
            );
        }
    }

    fn recovered(&self) {
        if self.figures.works() {
            info!(component = "db", "the database is written again, with all that had waited");
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
                | ErrorCode::PermissionDenied
                | ErrorCode::OutOfMemory
        )
    )
}

/// Whether a new connection may help.
fn is_about_the_connection(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::ReadOnly)
    )
}
