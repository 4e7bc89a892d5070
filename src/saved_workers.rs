//! The workers that people have saved, and the best difficulty of each (`state-and-services.md`
//! §8). Kept in memory as the database has it: pages read it without asking the disk, control looks
//! a worker up for each share report.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::identity::worker_hash_hex;
use crate::privacy;
use crate::store::{
    EditError, SAVED_PER_USER_MAX, Saved, SavedWorkerRow, StoreHandle, WORKER_NAME_BYTES_MAX,
};

/// Why a worker was not saved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SaveError {
    #[error("the worker's name is blank")]
    Blank,
    #[error("the worker's name has {found} bytes, at most {WORKER_NAME_BYTES_MAX} are allowed")]
    TooLong { found: usize },
    #[error("{SAVED_PER_USER_MAX} workers are saved already, which is as many as there may be")]
    ListFull,
    #[error("no such worker is saved")]
    Unknown,
    #[error(transparent)]
    Store(#[from] EditError),
}

/// The list. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SavedWorkers {
    store: StoreHandle,
    list: Arc<Mutex<List>>,
}

#[derive(Debug, Default)]
struct List {
    by_user: BTreeMap<String, Vec<SavedWorkerRow>>,
    /// By worker hash: what a share must beat to be worth writing down.
    best_so_far: HashMap<String, f64>,
    /// Not handed to the writer yet.
    raised: HashMap<String, f64>,
}

impl SavedWorkers {
    pub fn new(stored: Vec<SavedWorkerRow>, store: StoreHandle) -> Self {
        let mut list = List::default();
        for row in stored {
            list.by_user.entry(row.user_id.clone()).or_default().push(row);
        }
        list.track_all();
        Self { store, list: Arc::new(Mutex::new(list)) }
    }

    /// Saves a worker; whether it was not saved before. Waits for the disk.
    pub fn save(&self, user_id: &str, name: &str) -> Result<bool, SaveError> {
        let (user_id, name) = (user_id.trim(), name.trim());
        if user_id.is_empty() || name.is_empty() {
            return Err(SaveError::Blank);
        }
        if name.len() > WORKER_NAME_BYTES_MAX {
            return Err(SaveError::TooLong { found: name.len() });
        }
        let hash = worker_hash_hex(name);
        let display = match privacy::worker_name(name) {
            display if !display.is_empty() => display,
            _ => privacy::worker_name(&hash),
        };
        let saved = self.store.save_worker(user_id, &hash, &display)?;
        let mut list = self.lock();
        match saved {
            Saved::ListFull => return Err(SaveError::ListFull),
            Saved::Already | Saved::New => match list.row(user_id, &hash) {
                Some(row) => row.display = display,
                // New, or it came into the database when nobody waited for that any more.
                None => {
                    let row = SavedWorkerRow {
                        user_id: user_id.to_owned(),
                        worker_hash: hash.clone(),
                        display,
                        notify: true,
                        best_difficulty: 0.0,
                    };
                    list.by_user.entry(user_id.to_owned()).or_default().push(row);
                    list.track(&hash);
                }
            },
        }
        list.order(user_id);
        Ok(saved == Saved::New)
    }

    pub fn remove(&self, user_id: &str, hash: &str) -> Result<(), SaveError> {
        let was_there = self.store.remove_worker(user_id, hash)?;
        let mut list = self.lock();
        if let Some(rows) = list.by_user.get_mut(user_id) {
            rows.retain(|row| row.worker_hash != hash);
        }
        list.by_user.retain(|_, rows| !rows.is_empty());
        list.track(hash);
        if was_there { Ok(()) } else { Err(SaveError::Unknown) }
    }

    pub fn set_notify(&self, user_id: &str, hash: &str, notify: bool) -> Result<(), SaveError> {
        if !self.store.set_notify(user_id, hash, notify)? {
            return Err(SaveError::Unknown);
        }
        if let Some(row) = self.lock().row(user_id, hash) {
            row.notify = notify;
        }
        Ok(())
    }

    /// Removes everything of users, their accounts included, of all or of none; the hashes of what
    /// was saved come back.
    pub fn remove_users(&self, user_ids: &[String]) -> Result<Vec<String>, SaveError> {
        self.store.remove_users(user_ids)?;
        let mut list = self.lock();
        let rows = user_ids.iter().filter_map(|user_id| list.by_user.remove(user_id));
        let rows: Vec<SavedWorkerRow> = rows.flatten().collect();
        let hashes: Vec<String> = rows.into_iter().map(|row| row.worker_hash).collect();
        list.track_these(&hashes.iter().map(String::as_str).collect());
        Ok(hashes)
    }

    /// A user's workers, by display name ignoring case, with what has not been written yet.
    pub fn list(&self, user_id: &str) -> Vec<SavedWorkerRow> {
        let list = self.lock();
        let rows = list.by_user.get(user_id).into_iter().flatten();
        rows.map(|row| list.raised(row)).collect()
    }

    pub fn users(&self) -> Vec<String> {
        self.lock().by_user.keys().cloned().collect()
    }

    /// Users who want to be told of a worker.
    pub fn notified(&self, hash: &str) -> Vec<String> {
        let list = self.lock();
        let rows = list.by_user.values().flatten();
        rows.filter(|row| row.notify && row.worker_hash == hash)
            .map(|row| row.user_id.clone())
            .collect()
    }

    /// Hashes of all workers that somebody has saved.
    pub fn tracked(&self) -> Vec<String> {
        self.lock().best_so_far.keys().cloned().collect()
    }

    /// Takes workers that have had shares accepted, by hash, and the best difficulty of each; those
    /// that somebody has saved come back.
    pub fn note<'a>(&self, shares: impl Iterator<Item = (&'a str, f64)>) -> Vec<(&'a str, f64)> {
        let mut list = self.lock();
        let mut tracked = Vec::new();
        for (hash, difficulty) in shares {
            let Some(best) = list.best_so_far.get_mut(hash) else { continue };
            if difficulty > *best {
                *best = difficulty;
                let raised = list.raised.entry(hash.to_owned()).or_default();
                *raised = raised.max(difficulty);
            }
            tracked.push((hash, difficulty));
        }
        tracked
    }

    pub fn is_empty(&self) -> bool {
        self.lock().best_so_far.is_empty()
    }

    /// Hands what has been raised to the writer.
    pub fn flush(&self) {
        let mut list = self.lock();
        let raised = std::mem::take(&mut list.raised);
        if raised.is_empty() {
            return;
        }
        // One pass: thousands may have been raised, of thousands that are saved.
        for row in list.by_user.values_mut().flatten() {
            if let Some(difficulty) = raised.get(&row.worker_hash) {
                row.best_difficulty = row.best_difficulty.max(*difficulty);
            }
        }
        for (hash, difficulty) in raised {
            self.store.raise_best(&hash, difficulty);
        }
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().expect("no code panics while it holds this")
    }
}

impl List {
    fn row(&mut self, user_id: &str, hash: &str) -> Option<&mut SavedWorkerRow> {
        self.by_user.get_mut(user_id)?.iter_mut().find(|row| row.worker_hash == hash)
    }

    fn order(&mut self, user_id: &str) {
        if let Some(rows) = self.by_user.get_mut(user_id) {
            rows.sort_by_key(|row| row.display.to_ascii_lowercase());
        }
    }

    fn raised(&self, row: &SavedWorkerRow) -> SavedWorkerRow {
        let raised = self.raised.get(&row.worker_hash).copied().unwrap_or(0.0);
        SavedWorkerRow { best_difficulty: row.best_difficulty.max(raised), ..row.clone() }
    }

    /// [`Self::track`] for every worker, in one pass.
    fn track_all(&mut self) {
        for row in self.by_user.values().flatten() {
            let least = self.best_so_far.entry(row.worker_hash.clone()).or_insert(f64::INFINITY);
            *least = least.min(row.best_difficulty);
        }
    }

    fn track(&mut self, hash: &str) {
        self.track_these(&HashSet::from([hash]));
    }

    /// The least that anybody has for each: writing only raises rows, so whoever has saved it last
    /// begins at 0 and catches up (FIX-23). One pass: there may be thousands of either.
    fn track_these(&mut self, hashes: &HashSet<&str>) {
        let mut least: HashMap<&str, f64> = HashMap::new();
        for row in self.by_user.values().flatten() {
            if let Some(hash) = hashes.get(&*row.worker_hash) {
                let least = least.entry(hash).or_insert(f64::INFINITY);
                *least = least.min(row.best_difficulty);
            }
        }
        for hash in hashes {
            match least.get(hash) {
                Some(least) => {
                    self.best_so_far.insert((*hash).to_owned(), *least);
                }
                None => {
                    self.best_so_far.remove(*hash);
                    self.raised.remove(*hash);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::Folder;

    /// A list on a real database, which is closed and opened again by `again`.
    struct Bench {
        saved: SavedWorkers,
        folder: Folder,
    }

    impl Bench {
        fn new() -> Self {
            Self::in_folder(tempfile::tempdir().unwrap())
        }

        fn in_folder(folder: tempfile::TempDir) -> Self {
            let (folder, store, restored) = Folder::again(folder);
            Self { saved: SavedWorkers::new(restored.saved_workers, store), folder }
        }

        fn again(self) -> Self {
            let Self { saved, folder } = self;
            saved.flush();
            drop(saved);
            Self::in_folder(folder.close())
        }

        fn share(&self, name: &str, difficulty: f64) {
            self.saved.note([(&*worker_hash_hex(name), difficulty)].into_iter());
        }

        fn best(&self, user: &str) -> f64 {
            self.saved.list(user)[0].best_difficulty
        }
    }

    #[test]
    fn a_worker_is_saved_once_without_its_name_and_only_so_many() {
        let bench = Bench::new();
        let name = "bc1qexampleaddress00000000000000000000000000.workerA";
        assert_eq!(bench.saved.save("user", &format!(" {name} ")), Ok(true));
        assert_eq!(bench.saved.save("user", name), Ok(false));
        let rows = bench.saved.list("user");
        assert_eq!((rows.len(), &*rows[0].display), (1, "bc1qexam...00000000.workerA"));
        assert_eq!(rows[0].worker_hash, worker_hash_hex(name));
        assert_eq!(bench.saved.save("user", " "), Err(SaveError::Blank));
        assert_eq!(bench.saved.save(" ", "w"), Err(SaveError::Blank));
        let long = "w".repeat(257);
        assert_eq!(bench.saved.save("user", &long), Err(SaveError::TooLong { found: 257 }));
        for number in 1..64 {
            assert_eq!(bench.saved.save("user", &format!("w.{number}")), Ok(true));
        }
        assert_eq!(bench.saved.save("user", "one more"), Err(SaveError::ListFull));
        assert_eq!(bench.saved.save("user", name), Ok(false), "though the list is full");
        let bench = bench.again();
        assert_eq!(bench.saved.list("user").len(), 64);
    }

    /// A disk that is slow answers when nobody listens any more.
    #[test]
    fn what_came_into_the_database_late_is_taken_up_by_the_next_press() {
        let bench = Bench::new();
        let hash = worker_hash_hex("w");
        bench.saved.store.save_worker("user", &hash, "w").unwrap();
        assert!(bench.saved.list("user").is_empty());
        assert_eq!(bench.saved.save("user", "w"), Ok(false));
        assert_eq!(bench.saved.list("user").len(), 1);
        bench.saved.store.remove_worker("user", &hash).unwrap();
        assert_eq!(bench.saved.remove("user", &hash), Err(SaveError::Unknown));
        assert!(bench.saved.list("user").is_empty() && bench.saved.tracked().is_empty());
    }

    #[test]
    fn the_list_is_ordered_by_what_is_shown() {
        let bench = Bench::new();
        for name in ["b", "A", "c"] {
            bench.saved.save("user", name).unwrap();
        }
        let shown = |bench: &Bench| -> Vec<String> {
            bench.saved.list("user").into_iter().map(|row| row.display).collect()
        };
        assert_eq!(shown(&bench), ["A", "b", "c"]);
        assert_eq!(shown(&bench.again()), ["A", "b", "c"]);
    }

    #[test]
    fn the_best_difficulty_counts_from_when_a_worker_is_saved() {
        let bench = Bench::new();
        bench.share("w", 100.0);
        bench.saved.save("user", "w").unwrap();
        assert_eq!(bench.best("user"), 0.0);
        bench.share("w", 7.0);
        bench.share("w", 5.0);
        assert_eq!(bench.best("user"), 7.0, "before it is written");
        let bench = bench.again();
        assert_eq!(bench.best("user"), 7.0);
        // Somebody else's record is no obstacle, and no gift.
        bench.saved.save("other", "w").unwrap();
        assert_eq!(bench.best("other"), 0.0);
        bench.share("w", 3.0);
        assert_eq!((bench.best("other"), bench.best("user")), (3.0, 7.0));
        let bench = bench.again();
        assert_eq!((bench.best("other"), bench.best("user")), (3.0, 7.0));
    }

    #[test]
    fn who_removes_a_worker_or_goes_is_not_told_of_it() {
        let bench = Bench::new();
        for user in ["a", "b", "c"] {
            bench.saved.save(user, "w").unwrap();
        }
        let hash = worker_hash_hex("w");
        bench.saved.set_notify("b", &hash, false).unwrap();
        assert_eq!(bench.saved.notified(&hash), ["a", "c"]);
        bench.saved.remove("a", &hash).unwrap();
        assert_eq!(bench.saved.remove("a", &hash), Err(SaveError::Unknown));
        assert_eq!(bench.saved.set_notify("a", &hash, true), Err(SaveError::Unknown));
        assert_eq!(bench.saved.remove_users(&["c".to_owned()]), Ok(vec![hash.clone()]));
        let bench = bench.again();
        assert_eq!((bench.saved.notified(&hash), bench.saved.users()), (vec![], vec!["b".into()]));
        bench.saved.remove("b", &hash).unwrap();
        assert!(bench.saved.is_empty() && bench.saved.tracked().is_empty());
    }
}
