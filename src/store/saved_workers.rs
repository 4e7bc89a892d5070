//! The workers that people have saved: edits that somebody waits for (`state-and-services.md` §8.2).

use rusqlite::{OptionalExtension, params};

use super::handle::{EditError, StoreHandle};

/// Saved workers of one user.
pub const SAVED_PER_USER_MAX: usize = 64;
/// Longest name that is saved, after trimming.
pub const WORKER_NAME_BYTES_MAX: usize = gopool_shards::limits::WORKER_NAME_BYTES_MAX;

/// What became of a wish to save a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// It is in the list now.
    New,
    /// It was before.
    Already,
    /// The user has as many as there may be.
    ListFull,
}

impl StoreHandle {
    /// Saves a worker for a user. Its best difficulty starts at 0, whatever others have.
    pub(crate) fn save_worker(
        &self,
        user_id: &str,
        worker_hash: &str,
        display: &str,
    ) -> Result<Saved, EditError> {
        let [user_id, worker_hash, display] = [user_id, worker_hash, display].map(str::to_owned);
        self.edit(move |transaction| {
            let known: Option<i64> = transaction
                .query_row(
                    "SELECT 1 FROM saved_workers WHERE user_id = ?1 AND worker_hash = ?2",
                    [&user_id, &worker_hash],
                    |row| row.get(0),
                )
                .optional()?;
            if known.is_some() {
                transaction.execute(
                    "UPDATE saved_workers SET worker = ?2, worker_display = ?3
                     WHERE user_id = ?1 AND worker_hash = ?2
                         AND (worker IS NOT ?2 OR worker_display IS NOT ?3)",
                    params![user_id, worker_hash, display],
                )?;
                return Ok(Saved::Already);
            }
            let count: i64 = transaction.query_row(
                "SELECT count(*) FROM saved_workers WHERE user_id = ?1",
                [&user_id],
                |row| row.get(0),
            )?;
            if count >= SAVED_PER_USER_MAX as i64 {
                return Ok(Saved::ListFull);
            }
            transaction.execute(
                "INSERT INTO saved_workers (user_id, worker, worker_hash, worker_display,
                     notify_enabled, best_difficulty)
                 VALUES (?1, ?2, ?2, ?3, 1, 0)",
                params![user_id, worker_hash, display],
            )?;
            Ok(Saved::New)
        })
    }

    /// Whether there was anything to remove.
    pub(crate) fn remove_worker(
        &self,
        user_id: &str,
        worker_hash: &str,
    ) -> Result<bool, EditError> {
        let [user_id, worker_hash] = [user_id, worker_hash].map(str::to_owned);
        self.edit(move |transaction| {
            let removed = transaction.execute(
                "DELETE FROM saved_workers WHERE user_id = ?1 AND worker_hash = ?2",
                [user_id, worker_hash],
            )?;
            Ok(removed > 0)
        })
    }

    /// Whether the user has such a worker.
    pub(crate) fn set_notify(
        &self,
        user_id: &str,
        worker_hash: &str,
        notify: bool,
    ) -> Result<bool, EditError> {
        let [user_id, worker_hash] = [user_id, worker_hash].map(str::to_owned);
        self.edit(move |transaction| {
            let set = transaction.execute(
                "UPDATE saved_workers SET notify_enabled = ?3
                 WHERE user_id = ?1 AND worker_hash = ?2",
                params![user_id, worker_hash, notify],
            )?;
            Ok(set > 0)
        })
    }

    /// Removes everything of users, of all or of none: the workers, the link to Discord and its
    /// states, the code and the account.
    pub(crate) fn remove_users(&self, user_ids: &[String]) -> Result<(), EditError> {
        let user_ids = user_ids.to_vec();
        self.edit(move |transaction| {
            for table in [
                "saved_workers",
                "discord_links",
                "discord_worker_state",
                "one_time_codes",
                "clerk_users",
            ] {
                let delete = format!("DELETE FROM {table} WHERE user_id = ?1");
                for user_id in &user_ids {
                    transaction.execute(&delete, [user_id])?;
                }
            }
            Ok(())
        })
    }
}
