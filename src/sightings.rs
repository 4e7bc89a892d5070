//! Who was here and when, for the operator's list of accounts (`state-and-services.md` §14.4). A page
//! that is open asks every few seconds; that is one visit, and one line for the database (FIX-25).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::store::StoreHandle;

/// A user is written down at most once in so many seconds.
const DISTANCE_SECONDS: u64 = 600;
/// More users at once are written down more often, rather than all remembered.
const USERS_MAX: usize = 10_000;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sightings {
    store: StoreHandle,
    /// When each was written down last, Unix seconds.
    last: Arc<Mutex<HashMap<String, u64>>>,
}

impl Sightings {
    pub fn new(store: StoreHandle) -> Self {
        Self { store, last: Arc::default() }
    }

    /// A request of this user has come.
    pub fn see(&self, user_id: &str, now_unix: u64) {
        let mut last = self.last.lock().expect("no code panics while it holds this");
        let is_recent =
            |at: &u64| *at <= now_unix && now_unix.saturating_sub(*at) < DISTANCE_SECONDS;
        if last.get(user_id).is_some_and(is_recent) {
            return;
        }
        if last.len() >= USERS_MAX {
            last.retain(|_, at| is_recent(at));
            if last.len() >= USERS_MAX {
                last.clear();
            }
        }
        last.insert(user_id.to_owned(), now_unix);
        drop(last);
        self.store.see_user(user_id, now_unix);
    }

    /// Their account is gone; who comes back is somebody new.
    pub fn forget(&self, user_id: &str) {
        self.last.lock().expect("no code panics while it holds this").remove(user_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::UserRow;
    use crate::store::tests::users_after;

    #[test]
    fn a_visit_is_written_down_once_however_many_requests_it_is() {
        let users = users_after(|store| {
            let sightings = Sightings::new(store.clone());
            for now in (1000..1600).chain([1600, 1700, 5000]) {
                sightings.see("user_a", now);
            }
            sightings.see("user_b", 2000);
            // A clock that was set back.
            sightings.see("user_b", 1900);
            sightings.forget("user_b");
            sightings.see("user_b", 2001);
        });
        let row = |user: &str, first_seen, last_seen, visits| UserRow {
            user_id: user.to_owned(),
            first_seen,
            last_seen,
            visits,
        };
        assert_eq!(users, [row("user_a", 1000, 5000, 3), row("user_b", 2000, 2001, 3)]);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        users_after(|store| {
            let sightings = Sightings::new(store.clone());
            for number in 0..3 * USERS_MAX {
                sightings.see(&number.to_string(), 1000);
                assert!(sightings.last.lock().unwrap().len() <= USERS_MAX);
            }
        });
    }
}
