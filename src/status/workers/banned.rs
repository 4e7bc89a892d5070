//! Who is banned, by the hash of their names: lookups name nobody.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use gopool_shards::admission::ban::Ban;
use gopool_shards::admission::bans::Bans;

use crate::identity::{NameHash, worker_hash};

/// The bans by hash. Names are hashed again only when the list has changed: there may be ten thousand,
/// and anybody may ask.
pub struct BannedByHash {
    bans: Arc<Bans>,
    read: RefCell<Read>,
}

#[derive(Default)]
struct Read {
    /// Of the list when it was read.
    changes: u64,
    by_hash: HashMap<NameHash, Vec<Arc<Ban>>>,
}

impl BannedByHash {
    pub fn new(bans: Arc<Bans>) -> Self {
        Self { bans, read: RefCell::default() }
    }

    /// A ban of the worker with this name that is in force.
    pub fn find(&self, hash: &NameHash, now_unix: u64) -> Option<Arc<Ban>> {
        let mut read = self.read.borrow_mut();
        // Before the list: what comes in between is read once more, not missed.
        let changes = self.bans.changes();
        if changes != read.changes {
            read.by_hash.clear();
            for ban in self.bans.list() {
                read.by_hash.entry(worker_hash(&ban.worker)).or_default().push(ban);
            }
            read.changes = changes;
        }
        read.by_hash.get(hash)?.iter().find(|ban| ban.is_in_force(now_unix)).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_is_found_from_when_it_comes_until_it_goes_or_ends() {
        let bans = Arc::new(Bans::default());
        let banned = BannedByHash::new(Arc::clone(&bans));
        let find = |now| banned.find(&worker_hash("w.1"), now).map(|ban| ban.until_unix);
        assert_eq!(find(100), None);
        bans.insert(Ban::new("w.1", 150, "", Some("10.0.0.7".parse().unwrap())));
        bans.insert(Ban::new("w.2", 0, "", None));
        assert_eq!((find(100), find(150)), (Some(150), None));
        bans.insert(Ban::new("w.1", 200, "", None));
        assert_eq!(find(150), Some(200));
        bans.remove("w.1");
        assert_eq!(find(100), None);
    }
}
