//! The only SQLite: the state database, the thread that writes to it, and a connection of its own
//! for those who read (`state-and-services.md` §1).
//!
//! ```text
//! handle ──changes──▶ queue ──groups──▶ writer ──▶ file (workers.db) ◀── reader ── pages, backups
//! ```

mod change;
mod connection;
mod discord_links;
mod figures;
mod file;
mod handle;
mod open;
mod queue;
mod read;
mod restore;
mod rows;
mod salvage;
mod saved_workers;
mod schema;
#[cfg(test)]
pub(crate) mod tests;
mod writer;

pub use figures::StoreFigures;
pub use handle::{EditError, StoreHandle, WeakStoreHandle};
pub use open::{EndedBans, StoreError, StorePlan, database_path, is_in_use, lock_state, open};
pub use read::{BEST_SHARES_MAX, BLOCKS_SHOWN, Reader, Restored};
pub use restore::{PutBack, RestoreError, restore};
pub use rows::{
    BackupMark, BanRow, BestShareRow, BlockLife, BlockNotice, BlockState, CodeRow, FoundBlock,
    LinkRow, PendingBlock, SavedWorkerRow, Settled, UntoldBlock, UserRow, WatchedRow, WorkerState,
};
pub use saved_workers::{SAVED_PER_USER_MAX, Saved, WORKER_NAME_BYTES_MAX};
pub use writer::Writer;

#[cfg(test)]
pub use crate::identity::worker_hash_hex as worker_hash;

/// What is wrong with a file that should be a database, if anything is.
pub fn damage_of(path: &std::path::Path) -> rusqlite::Result<Option<String>> {
    connection::damage(&connection::open_to_read(path)?)
}

/// The change counter in a file that is a copy of the database.
pub fn version_of(path: &std::path::Path) -> rusqlite::Result<u64> {
    connection::change_counter(&connection::open_to_read(path)?)
}
