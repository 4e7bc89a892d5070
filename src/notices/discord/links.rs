//! Who of the pool's people is whom on Discord, and whether they want to hear of anything
//! (`state-and-services.md` §13.4). Kept in memory as the database has it: pages and notices read it
//! without asking the disk.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use crate::store::{EditError, LinkRow, StoreHandle};

/// All links. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Links(Arc<Kept>);

/// For a thread that may hang when the pool stops: the database is closed when nobody holds it.
#[derive(Clone, Debug)]
pub struct WeakLinks(Weak<Kept>);

#[derive(Debug)]
struct Kept {
    store: StoreHandle,
    /// By the pool's user; nobody on Discord is there twice.
    list: Mutex<BTreeMap<String, LinkRow>>,
}

impl WeakLinks {
    /// None when the pool has stopped.
    pub fn upgrade(&self) -> Option<Links> {
        self.0.upgrade().map(Links)
    }
}

impl Links {
    pub fn new(stored: Vec<LinkRow>, store: StoreHandle) -> Self {
        let list = stored.into_iter().map(|row| (row.user_id.clone(), row)).collect();
        Self(Arc::new(Kept { store, list: Mutex::new(list) }))
    }

    pub fn downgrade(&self) -> WeakLinks {
        WeakLinks(Arc::downgrade(&self.0))
    }

    /// Links a user with somebody on Discord and switches notices on, as of `now` in Unix seconds.
    /// Whoever that was on Discord before is not any more. Waits for the disk.
    pub fn link(&self, user_id: &str, discord_user_id: &str, now: u64) -> Result<(), EditError> {
        let row = self.0.store.link(user_id, discord_user_id, now)?;
        let mut list = self.lock();
        list.retain(|_, other| other.discord_user_id != discord_user_id);
        list.insert(row.user_id.clone(), row);
        Ok(())
    }

    /// Whether the user is linked at all. Waits for the disk.
    pub fn set_enabled(&self, user_id: &str, enabled: bool, now: u64) -> Result<bool, EditError> {
        let is_linked = self.0.store.enable_link(user_id, enabled, now)?;
        if is_linked && let Some(row) = self.lock().get_mut(user_id) {
            row.enabled = enabled;
            row.updated_at = now;
        }
        Ok(is_linked)
    }

    pub fn get(&self, user_id: &str) -> Option<LinkRow> {
        self.lock().get(user_id).cloned()
    }

    /// Whose account somebody on Discord is.
    pub fn user_of(&self, discord_user_id: &str) -> Option<String> {
        let list = self.lock();
        let row = list.values().find(|row| row.discord_user_id == discord_user_id)?;
        Some(row.user_id.clone())
    }

    /// Where a user wants to hear of things on Discord; none when nowhere.
    pub fn wanted_by(&self, user_id: &str) -> Option<String> {
        let list = self.lock();
        let row = list.get(user_id).filter(|row| row.enabled)?;
        Some(row.discord_user_id.clone())
    }

    /// Links of all who want to hear of things, the newest change first.
    pub fn enabled(&self) -> Vec<LinkRow> {
        let list = self.lock();
        let mut rows: Vec<LinkRow> = list.values().filter(|row| row.enabled).cloned().collect();
        rows.sort_by_key(|row| Reverse(row.updated_at));
        rows
    }

    /// How many there are, and how many of them are switched on.
    pub fn count(&self) -> (usize, usize) {
        let list = self.lock();
        (list.len(), list.values().filter(|row| row.enabled).count())
    }

    /// After the accounts have been removed from the database.
    pub fn forget_users(&self, user_ids: &[String]) {
        self.lock().retain(|user_id, _| !user_ids.contains(user_id));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, LinkRow>> {
        self.0.list.lock().expect("no code panics while it holds this")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::saved_workers::SavedWorkers;
    use crate::store::tests::Folder;

    /// Links over a real database, which is closed and opened again by `again`.
    pub(crate) struct Bench {
        pub(crate) links: Links,
        pub(crate) store: StoreHandle,
        pub(crate) folder: Folder,
    }

    impl Bench {
        pub(crate) fn new() -> Self {
            Self::in_folder(tempfile::tempdir().unwrap())
        }

        fn in_folder(folder: tempfile::TempDir) -> Self {
            let (folder, store, restored) = Folder::again(folder);
            Self { links: Links::new(restored.links, store.clone()), store, folder }
        }

        fn again(self) -> Self {
            let Self { links, store, folder } = self;
            drop((links, store));
            Self::in_folder(folder.close())
        }

        fn rows(&self) -> Vec<(String, String, bool, u64, u64)> {
            let list = self.links.lock();
            let row = |row: &LinkRow| {
                let (user, discord) = (row.user_id.clone(), row.discord_user_id.clone());
                (user, discord, row.enabled, row.linked_at, row.updated_at)
            };
            list.values().map(row).collect()
        }
    }

    fn row(user: &str, discord: &str, enabled: bool, linked: u64, updated: u64) -> Row {
        (user.to_owned(), discord.to_owned(), enabled, linked, updated)
    }

    type Row = (String, String, bool, u64, u64);

    #[test]
    fn a_link_is_made_moved_and_kept() {
        let bench = Bench::new();
        bench.links.link("a", "1", 100).unwrap();
        bench.links.link("b", "2", 110).unwrap();
        // Again by the same two: when they first met stays.
        bench.links.link("a", "1", 120).unwrap();
        let rows = [row("a", "1", true, 100, 120), row("b", "2", true, 110, 110)];
        assert_eq!(bench.rows(), rows);
        // Who was `a` on Discord is `b` now, and `a` is nobody there.
        bench.links.link("b", "1", 130).unwrap();
        let rows = [row("b", "1", true, 110, 130)];
        assert_eq!(bench.rows(), rows);
        assert_eq!((bench.links.get("a"), bench.links.user_of("1")), (None, Some("b".to_owned())));
        assert_eq!(bench.again().rows(), rows);
    }

    #[test]
    fn notices_are_switched_off_and_on_for_who_is_linked() {
        let bench = Bench::new();
        assert_eq!(bench.links.set_enabled("a", true, 1), Ok(false));
        for (user, discord, at) in [("a", "1", 100), ("b", "2", 110), ("c", "3", 105)] {
            bench.links.link(user, discord, at).unwrap();
        }
        assert_eq!(bench.links.set_enabled("b", false, 120), Ok(true));
        let enabled = |bench: &Bench| -> Vec<String> {
            bench.links.enabled().into_iter().map(|row| row.user_id).collect()
        };
        assert_eq!(enabled(&bench), ["c", "a"], "the newest change first");
        assert_eq!((bench.links.wanted_by("b"), bench.links.count()), (None, (3, 2)));
        let bench = bench.again();
        assert_eq!(enabled(&bench), ["c", "a"]);
        bench.links.set_enabled("b", true, 130).unwrap();
        assert_eq!(bench.links.wanted_by("b"), Some("2".to_owned()));
        // Linking again is wanting to hear again.
        bench.links.set_enabled("a", false, 140).unwrap();
        bench.links.link("a", "1", 150).unwrap();
        assert_eq!(enabled(&bench), ["a", "b", "c"]);
    }

    #[test]
    fn who_goes_takes_the_link_along() {
        let bench = Bench::new();
        bench.links.link("a", "1", 100).unwrap();
        let gone = ["a".to_owned()];
        SavedWorkers::new(Vec::new(), bench.store.clone()).remove_users(&gone).unwrap();
        bench.links.forget_users(&gone);
        assert_eq!((bench.links.count(), bench.links.user_of("1")), ((0, 0), None));
        assert!(bench.again().rows().is_empty());
    }
}
