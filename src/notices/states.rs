//! Every worker that somebody watches, by user: checked in memory, and what has changed of it goes to
//! the database (FIX-34), so that a restart neither loses a notice nor repeats one.

use std::collections::{BTreeMap, BTreeSet};

use super::event::WorkerName;
use super::watch::Told;
use crate::store::{StoreHandle, WatchedRow, WorkerState};

/// A saved worker as it was just found.
pub(super) struct Seen {
    pub name: WorkerName,
    pub online: bool,
}

/// What there is to tell of one user's workers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    pub away: Vec<WorkerName>,
    pub back: Vec<WorkerName>,
}

#[derive(Debug)]
struct Watched {
    state: WorkerState,
    /// What the database has of it is from then, in Unix seconds.
    written_at: u64,
}

#[derive(Debug, Default)]
pub(super) struct States {
    users: BTreeMap<String, BTreeMap<String, Watched>>,
    /// User and worker: not written, or not deleted, yet.
    changed: BTreeSet<(String, String)>,
}

impl States {
    /// Those of the last run. Since it was last heard of no time has passed for them: the pool's own
    /// absence is nobody else's.
    pub fn restored(rows: Vec<WatchedRow>, now: u64) -> Self {
        // A run that was killed has written no end: then what has changed last was near it. It counts
        // less time than it should, never more.
        let last = rows.iter().map(|row| row.updated_at).max().unwrap_or(now);
        let mut states = Self::default();
        for row in rows {
            let watched = Watched { state: row.state, written_at: row.updated_at };
            states.users.entry(row.user_id).or_default().insert(row.worker_hash, watched);
        }
        // Below zero on a machine without a battery, until somebody tells it the time.
        states.shift(now.cast_signed().saturating_sub(last.cast_signed()));
        states
    }

    /// So many seconds have passed, or the clock has gone so far, and count for nobody.
    pub fn shift(&mut self, seconds: i64) {
        for watched in self.users.values_mut().flat_map(BTreeMap::values_mut) {
            watched.state.since = watched.state.since.saturating_add_signed(seconds);
            watched.written_at = watched.written_at.saturating_add_signed(seconds);
        }
    }

    /// Takes a user's workers as they are now, all of them: others are not watched any more.
    pub fn check(&mut self, user: &str, seen: Vec<Seen>, now: u64, threshold: u64) -> News {
        let mut news = News::default();
        let before = self.users.remove(user).unwrap_or_default();
        let mut after = BTreeMap::new();
        for Seen { name, online } in seen {
            let key = || (user.to_owned(), name.hash.clone());
            let Some(Watched { state, written_at }) = before.get(&name.hash) else {
                self.changed.insert(key());
                let watched = Watched { state: WorkerState::first(online, now), written_at: 0 };
                after.insert(name.hash, watched);
                continue;
            };
            let mut watched = Watched { state: *state, written_at: *written_at };
            let told = watched.state.see(online, now, threshold);
            // Also when it has lasted for the threshold: it is all that a run after a crash need know.
            let lasts = |at: u64| at.saturating_sub(state.since) >= threshold;
            if watched.state != *state || (lasts(now) && !lasts(*written_at)) {
                self.changed.insert(key());
            }
            after.insert(name.hash.clone(), watched);
            match told {
                Some(Told::Away) => news.away.push(name),
                Some(Told::Back) => news.back.push(name),
                None => {}
            }
        }
        let forgotten = before.into_keys().filter(|hash| !after.contains_key(hash));
        self.changed.extend(forgotten.map(|hash| (user.to_owned(), hash)));
        if !after.is_empty() {
            self.users.insert(user.to_owned(), after);
        }
        news
    }

    /// Forgets whom nobody watches for any more.
    pub fn keep_users(&mut self, users: &BTreeSet<String>) {
        let gone: Vec<String> =
            self.users.keys().filter(|user| !users.contains(*user)).cloned().collect();
        for user in gone {
            let workers = self.users.remove(&user).unwrap_or_default();
            self.changed.extend(workers.into_keys().map(|hash| (user.clone(), hash)));
        }
    }

    /// Workers, each once for each user.
    pub fn len(&self) -> usize {
        self.users.values().map(BTreeMap::len).sum()
    }

    /// Hands what has changed to the writer.
    pub fn save(&mut self, store: &StoreHandle, now: u64) {
        for (user_id, worker_hash) in std::mem::take(&mut self.changed) {
            let watched = self.users.get_mut(&user_id).and_then(|of| of.get_mut(&worker_hash));
            let Some(watched) = watched else {
                store.delete_watched(&user_id, &worker_hash);
                continue;
            };
            watched.written_at = now;
            store.save_watched(WatchedRow {
                user_id,
                worker_hash,
                state: watched.state,
                updated_at: now,
            });
        }
    }

    /// The same at the end of a run, from which the next one counts.
    pub fn save_all(&mut self, store: &StoreHandle, now: u64) {
        for (user, workers) in &self.users {
            self.changed.extend(workers.keys().map(|hash| (user.clone(), hash.clone())));
        }
        self.save(store, now);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::store::tests::{Folder, after, running};

    const NOW: u64 = 1_700_000_000;

    pub fn name(of: &str) -> WorkerName {
        WorkerName { hash: of.repeat(64), name: of.to_owned() }
    }

    /// `a+ b-`: a is online and b is not.
    fn seen(text: &str) -> Vec<Seen> {
        let one = |word: &str| Seen { name: name(&word[..1]), online: word.ends_with('+') };
        text.split_whitespace().map(one).collect()
    }

    #[track_caller]
    fn check(states: &mut States, at: u64, workers: &str, away: &str, back: &str) {
        let names = |workers: Vec<WorkerName>| -> String {
            workers.into_iter().map(|worker| worker.name).collect()
        };
        let News { away: gone, back: returned } = states.check("u", seen(workers), NOW + at, 300);
        assert_eq!((&*names(gone), &*names(returned)), (away, back), "at {at}");
    }

    #[test]
    fn a_restart_neither_loses_nor_repeats_and_its_time_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _, writer) = running(folder.path());
        let mut states = States::default();
        check(&mut states, 0, "a+ b+ c+", "", "");
        check(&mut states, 400, "a- b- c+", "", "");
        check(&mut states, 700, "a- b- c+", "ab", "");
        check(&mut states, 730, "a- b+ c-", "", "");
        states.save_all(&store, NOW + 750);
        drop(store);
        writer.join().unwrap();
        // An hour later.
        let restored = after(folder.path(), |_| {});
        let mut states = States::restored(restored.watched, NOW + 750 + 3600);
        let at = |seconds: u64| seconds + 3600;
        check(&mut states, at(760), "a- b+ c-", "", "");
        check(&mut states, at(1029), "a- b+ c-", "", "");
        check(&mut states, at(1030), "a- b+ c-", "c", "b");
        check(&mut states, at(2000), "a- b+ c-", "", "");
    }

    #[test]
    fn only_what_has_changed_is_written_and_what_is_not_watched_is_deleted() {
        let (_folder, store, _) = Folder::new();
        let mut states = States::default();
        let count = |states: &mut States, at| {
            let count = states.changed.len();
            states.save(&store, NOW + at);
            count
        };
        check(&mut states, 0, "a+ b+", "", "");
        assert_eq!(count(&mut states, 0), 2);
        check(&mut states, 30, "a+ b+", "", "");
        assert_eq!(count(&mut states, 30), 0);
        check(&mut states, 60, "a+ b-", "", "");
        assert_eq!(count(&mut states, 60), 1);
        check(&mut states, 300, "a+ b-", "", "");
        assert_eq!(count(&mut states, 300), 1, "it has been online for long enough");
        check(&mut states, 600, "a+", "", "");
        assert_eq!(count(&mut states, 600), 1);
        assert_eq!(states.len(), 1);
        states.keep_users(&BTreeSet::new());
        assert_eq!((count(&mut states, 600), states.len()), (1, 0));
    }

    #[test]
    fn a_run_that_was_killed_counts_from_what_it_wrote_last() {
        let row = |hash: &str, since, updated_at| WatchedRow {
            user_id: "u".into(),
            worker_hash: name(hash).hash,
            state: WorkerState {
                online: true,
                seen_online: true,
                ..WorkerState::first(true, since)
            },
            updated_at,
        };
        let mut states =
            States::restored(vec![row("a", NOW, NOW), row("b", NOW + 10, NOW + 310)], NOW + 9000);
        check(&mut states, 9030, "a- b-", "", "");
        check(&mut states, 9330, "a- b-", "ab", "");
        assert_eq!(States::restored(Vec::new(), NOW).len(), 0);
    }

    #[test]
    fn a_machine_that_begins_in_the_past_forgets_nothing() {
        let state = WorkerState::first(true, NOW - 400);
        let row =
            WatchedRow { user_id: "u".into(), worker_hash: name("a").hash, state, updated_at: NOW };
        let mut states = States::restored(vec![row], 1000);
        // The clock is set.
        states.shift((NOW - 1000).cast_signed());
        check(&mut states, 30, "a-", "", "");
        check(&mut states, 330, "a-", "a", "");
    }

    #[test]
    fn a_clock_that_is_set_changes_nothing() {
        let mut states = States::default();
        check(&mut states, 0, "a+", "", "");
        states.shift(100_000);
        check(&mut states, 100_299, "a-", "", "");
        check(&mut states, 100_900, "a-", "", "");
        states.shift(-100_000);
        check(&mut states, 901, "a+", "", "");
        check(&mut states, 1201, "a+", "", "a");
    }
}
