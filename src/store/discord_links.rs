//! Who of the pool's people is whom on Discord: edits that somebody waits for
//! (`state-and-services.md` §13.4).

use rusqlite::params;

use super::handle::{EditError, StoreHandle};
use super::rows::LinkRow;

impl StoreHandle {
    /// Links a user with somebody on Discord, who is no other user's from then on: one edit, so that
    /// nobody is left without either (FIX-37). The row comes back as it is.
    pub(crate) fn link(
        &self,
        user_id: &str,
        discord_user_id: &str,
        now: u64,
    ) -> Result<LinkRow, EditError> {
        let [user_id, discord_user_id] = [user_id, discord_user_id].map(str::to_owned);
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        self.edit(move |transaction| {
            transaction.execute(
                "DELETE FROM discord_links WHERE discord_user_id = ?2 AND user_id <> ?1",
                params![user_id, discord_user_id],
            )?;
            let linked_at: i64 = transaction.query_row(
                "INSERT INTO discord_links (user_id, discord_user_id, enabled, linked_at, updated_at)
                 VALUES (?1, ?2, 1, ?3, ?3)
                 ON CONFLICT (user_id) DO UPDATE SET discord_user_id = ?2, enabled = 1,
                     updated_at = ?3
                 RETURNING linked_at",
                params![user_id, discord_user_id, now],
                |row| row.get(0),
            )?;
            Ok(LinkRow {
                user_id,
                discord_user_id,
                enabled: true,
                linked_at: linked_at.max(0).cast_unsigned(),
                updated_at: now.cast_unsigned(),
            })
        })
    }

    /// Whether the user has a link.
    pub(crate) fn enable_link(
        &self,
        user_id: &str,
        enabled: bool,
        now: u64,
    ) -> Result<bool, EditError> {
        let (user_id, now) = (user_id.to_owned(), i64::try_from(now).unwrap_or(i64::MAX));
        self.edit(move |transaction| {
            let set = transaction.execute(
                "UPDATE discord_links SET enabled = ?2, updated_at = ?3 WHERE user_id = ?1",
                params![user_id, enabled, now],
            )?;
            Ok(set > 0)
        })
    }
}
