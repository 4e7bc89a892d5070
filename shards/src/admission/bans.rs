//! The bans that outlive a connection: one list for all shards, so that a ban is in force at the
//! next authorize anywhere (`stratum.md` §9.3, §9.4, §10.3; `state-and-services.md` §3).
//!
//! | ban              | made by                 | refuses at authorize                     |
//! |------------------|-------------------------|------------------------------------------|
//! | without a source | an admin; a row without | that name from anywhere, and if it is a  |
//! |                  | an address              | bare wallet, every name of it            |
//! | with a source    | a rule that was broken  | every name of its wallet from there      |
//!
//! Worker names are not authenticated: were a broken rule held against the name from anywhere,
//! anyone could get anyone banned. Held against name and address it bans who broke it, and a new
//! rig name is no way out (FIX-9, and §9.4's FIX-SHOULD).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::limits::WORKER_NAME_BYTES_MAX;
use crate::work::address::{one_spelling, wallet_of};

use super::ban::Ban;
use super::source::Source;

/// Bans in the list. Whoever is banned on purpose, again and again under new names, costs a
/// kilobyte each at most; the ban that ends first makes room for the one too many.
pub const BANS_MAX: usize = 1 << 15;
/// The list, shared by all shards: read once per authorize, written when someone is banned.
#[derive(Debug, Default)]
pub struct Bans {
    list: RwLock<List>,
}

#[derive(Debug, Default)]
struct List {
    bans: BTreeMap<Key, Arc<Ban>>,
    /// The same keys, in the order in which they make room: automatic ones first, and of each
    /// kind what ends first.
    leaving: BTreeSet<Leaving>,
    /// How often a ban has come or gone.
    changes: u64,
}

/// Where a ban is found: all those of a wallet at a source stand together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    source: Option<Source>,
    /// Blank without a source: then only the exact name counts.
    wallet: Arc<str>,
    name: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Leaving {
    is_from_anywhere: bool,
    /// Permanent ones never end.
    until_unix: u64,
    key: Key,
}

impl Bans {
    /// Bans, in place of an earlier ban of the same worker (at the same source); the ban comes
    /// back to be held by the connection it is about. A name that nobody can authorize under,
    /// blank or too long, bans only that connection; so does an automatic one that finds the list
    /// full of others.
    pub fn insert(&self, mut ban: Ban) -> Arc<Ban> {
        if ban.worker.is_empty() || ban.worker.len() > WORKER_NAME_BYTES_MAX {
            return Arc::new(ban);
        }
        let key = Key::of(&ban);
        let mut list = self.write();
        if let Some(before) = list.take(&key) {
            ban.is_lifted_with(&before);
        }
        let ban = Arc::new(ban);
        let leaving = Leaving::of(&ban, key.clone());
        while list.bans.len() >= BANS_MAX {
            match list.leaving.first().map(|first| (first.is_from_anywhere, first.key.clone())) {
                Some((true, _)) if !leaving.is_from_anywhere => return ban,
                Some((_, first)) => list.take(&first),
                None => break,
            };
        }
        list.leaving.insert(leaving);
        list.bans.insert(key, Arc::clone(&ban));
        list.changes += 1;
        ban
    }

    /// The ban that keeps `worker` from being authorized at `source`, if any: of its exact name,
    /// of its wallet, or of any name of its wallet there.
    pub fn check(&self, worker: &str, source: Source, now_unix: u64) -> Option<Arc<Ban>> {
        let worker = worker.trim();
        let list = self.read();
        if list.bans.is_empty() {
            return None;
        }
        let names = names_of(worker);
        let at_source = Key { source: Some(source), wallet: (*names[2]).into(), name: "".into() };
        names
            .iter()
            .filter_map(|name| list.bans.get(&Key::from_anywhere(name)))
            .chain(list.of_wallet(&at_source))
            .find(|ban| ban.is_in_force(now_unix))
            .cloned()
    }

    /// Lifts every ban of exactly this worker name, also for the connections that hold it; how
    /// many there were.
    pub fn remove(&self, worker: &str) -> usize {
        let worker = worker.trim();
        self.write().take_where(|ban| *ban.worker == *worker, Ban::lift)
    }

    /// Forgets what has ended by `now_unix`; how many there were. Control calls it when it deletes
    /// the rows too, so with `clean_expired_on_startup` off they stay to be looked at.
    pub fn expire(&self, now_unix: u64) -> usize {
        self.write().take_where(|ban| !ban.is_in_force(now_unix), |_| {})
    }

    /// Every ban in the list, also those that have ended, in no order that means anything.
    pub fn list(&self) -> Vec<Arc<Ban>> {
        self.read().bans.values().cloned().collect()
    }

    /// Another number than before when the list is another one than before; 0 while it is new.
    pub fn changes(&self) -> u64 {
        self.read().changes
    }

    fn read(&self) -> RwLockReadGuard<'_, List> {
        self.list.read().expect("no code panics while it holds this")
    }

    fn write(&self) -> RwLockWriteGuard<'_, List> {
        self.list.write().expect("no code panics while it holds this")
    }
}

/// The names by which a ban from anywhere is about a worker: its own, its wallet as it is written
/// there, and in the one spelling.
pub fn names_of(worker: &str) -> [Cow<'_, str>; 3] {
    let worker = worker.trim();
    let wallet = wallet_of(worker);
    let spelled = one_spelling(&wallet);
    [worker.into(), wallet.into(), spelled.into()]
}

impl List {
    fn of_wallet(&self, first: &Key) -> impl Iterator<Item = &Arc<Ban>> {
        self.bans
            .range(first..)
            .take_while(|(key, _)| key.source == first.source && key.wallet == first.wallet)
            .map(|(_, ban)| ban)
    }

    fn take(&mut self, key: &Key) -> Option<Arc<Ban>> {
        let ban = self.bans.remove(key)?;
        self.changes += 1;
        self.leaving.remove(&Leaving::of(&ban, key.clone()));
        Some(ban)
    }

    fn take_where(&mut self, is_meant: impl Fn(&Ban) -> bool, then: impl Fn(&Ban)) -> usize {
        let meant = self.bans.iter().filter(|(_, ban)| is_meant(ban));
        let keys: Vec<Key> = meant.map(|(key, _)| key.clone()).collect();
        for key in &keys {
            if let Some(ban) = self.take(key) {
                then(&ban);
            }
        }
        keys.len()
    }
}

impl Key {
    fn of(ban: &Ban) -> Self {
        let wallet = match ban.source {
            Some(_) => one_spelling(&wallet_of(&ban.worker)).into(),
            None => "".into(),
        };
        Self { source: ban.source, wallet, name: Arc::clone(&ban.worker) }
    }

    fn from_anywhere(name: &str) -> Self {
        Self { source: None, wallet: "".into(), name: name.into() }
    }
}

impl Leaving {
    fn of(ban: &Ban, key: Key) -> Self {
        let until_unix = if ban.until_unix == 0 { u64::MAX } else { ban.until_unix };
        Self { is_from_anywhere: key.source.is_none(), until_unix, key }
    }
}

#[cfg(test)]
mod tests {
    use super::super::source_table::tests::address;
    use super::*;

    const WALLET: &str = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
    const UNTIL: u64 = 1_795_324_500;
    const BEFORE: u64 = UNTIL - 1;

    fn rig(number: u32) -> String {
        format!("{WALLET}.rig{number}")
    }

    #[track_caller]
    fn check(bans: &Bans, worker: &str, from: u32, banned: bool) {
        assert_eq!(bans.check(worker, address(from), BEFORE).is_some(), banned, "{worker}");
    }

    #[test]
    fn it_ends_at_its_second_and_zero_never_ends() {
        let bans = Bans::default();
        bans.insert(Ban::new("w", UNTIL, "", None));
        assert!(bans.check("w", address(1), UNTIL - 1).is_some());
        assert!(bans.check("w", address(1), UNTIL).is_none());
        bans.insert(Ban::new("w", 0, "", None));
        assert!(bans.check("w", address(1), u64::MAX).is_some());
    }

    #[test]
    fn a_name_is_banned_from_anywhere_and_byte_for_byte() {
        let bans = Bans::default();
        bans.insert(Ban::new(&format!(" {} ", rig(1)), UNTIL, "admin ban", None));
        check(&bans, &rig(1), 1, true);
        check(&bans, &format!(" {}\t", rig(1)), 2, true);
        check(&bans, &rig(2), 1, false);
        check(&bans, &rig(1).to_uppercase(), 1, false);
        check(&bans, WALLET, 1, false);
    }

    #[test]
    fn a_bare_wallet_bans_all_its_names() {
        let bans = Bans::default();
        bans.insert(Ban::new(WALLET, 0, "", None));
        for worker in [WALLET, &rig(1), &rig(2), &WALLET.to_uppercase()] {
            check(&bans, worker, 1, true);
        }
        check(&bans, "bc1qother.rig1", 1, false);
    }

    #[test]
    fn a_broken_rule_bans_the_wallet_where_it_was_broken() {
        let bans = Bans::default();
        bans.insert(Ban::new(&rig(1), UNTIL, "too many", Some(address(1))));
        for worker in [&*rig(1), &rig(2), WALLET, &rig(3).to_uppercase()] {
            check(&bans, worker, 1, true);
            // Nobody can get another banned by using their name.
            check(&bans, worker, 2, false);
        }
        check(&bans, "bc1qother.rig1", 1, false);
        check(&bans, &format!("{WALLET}x.rig1"), 1, false);
    }

    #[test]
    fn base58_wallets_differ_by_case() {
        let bans = Bans::default();
        bans.insert(Ban::new("1BoatSLRHtKNngkdXEeobR76b53LETtpyT.a", 0, "", Some(address(1))));
        check(&bans, "1BoatSLRHtKNngkdXEeobR76b53LETtpyT.b", 1, true);
        check(&bans, "1BoatSLRHtKNngkdXEeobR76b53LETtpyt.b", 1, false);
    }

    #[test]
    fn an_ended_ban_does_not_hide_one_in_force() {
        let bans = Bans::default();
        bans.insert(Ban::new(&rig(1), 5, "old", None));
        bans.insert(Ban::new(&rig(1), 6, "older", Some(address(1))));
        bans.insert(Ban::new(&rig(2), UNTIL, "new", Some(address(1))));
        let found = bans.check(&rig(1), address(1), BEFORE).expect("banned");
        assert_eq!(&*found.reason, "new");
    }

    #[test]
    fn a_new_ban_replaces_that_of_the_same_worker() {
        let bans = Bans::default();
        bans.insert(Ban::new("w", UNTIL, "first", None));
        bans.insert(Ban::new("w", UNTIL + 9, "second", None));
        assert_eq!(bans.list().len(), 1);
        let found = bans.check("w", address(1), BEFORE).expect("banned");
        assert_eq!((found.until_unix, &*found.reason), (UNTIL + 9, "second"));
    }

    #[test]
    fn lifting_a_ban_reaches_the_connections_that_hold_it() {
        let bans = Bans::default();
        let held: Vec<_> = (0..3)
            .map(|index| bans.insert(Ban::new(&rig(1), UNTIL + index, "", Some(address(1)))))
            .collect();
        let other = bans.insert(Ban::new(&rig(2), UNTIL, "", Some(address(2))));
        bans.insert(Ban::new(&rig(1), UNTIL, "", None));
        assert_eq!(bans.remove(&rig(1)), 2);
        assert!(held.iter().all(|ban| !ban.is_in_force(BEFORE)));
        assert!(other.is_in_force(BEFORE));
        check(&bans, &rig(1), 1, false);
        assert_eq!(bans.remove(&rig(1)), 0);
        // The next ban is a new one.
        assert!(bans.insert(Ban::new(&rig(1), UNTIL, "", None)).is_in_force(BEFORE));
        check(&bans, &rig(1), 1, true);
    }

    #[test]
    fn what_has_ended_stays_in_the_list_until_it_is_cleaned() {
        let bans = Bans::default();
        bans.insert(Ban::new("ended", 10, "", None));
        bans.insert(Ban::new("ended.too", 10, "", Some(address(1))));
        bans.insert(Ban::new("permanent", 0, "", None));
        bans.insert(Ban::new("running", 11, "", None));
        assert_eq!(bans.list().iter().filter(|ban| !ban.is_in_force(10)).count(), 2);
        assert_eq!(bans.expire(10), 2);
        let mut left: Vec<_> = bans.list().iter().map(|ban| ban.worker.to_string()).collect();
        left.sort_unstable();
        assert_eq!(left, ["permanent", "running"]);
    }

    #[test]
    fn a_name_nobody_can_have_is_not_listed() {
        let bans = Bans::default();
        for worker in ["", "  ", &"x".repeat(WORKER_NAME_BYTES_MAX + 1)] {
            assert!(bans.insert(Ban::new(worker, UNTIL, "", None)).is_in_force(BEFORE));
        }
        assert!(bans.list().is_empty());
        bans.insert(Ban::new(&"x".repeat(WORKER_NAME_BYTES_MAX), UNTIL, "", None));
        assert_eq!(bans.list().len(), 1);
    }

    #[test]
    fn the_list_is_bounded_and_what_an_admin_banned_stays() {
        let bans = Bans::default();
        bans.insert(Ban::new("admin", UNTIL, "", None));
        for index in 0..BANS_MAX as u32 + 1000 {
            let until = UNTIL + u64::from(index);
            bans.insert(Ban::new(&format!("w{index}"), until, "", Some(address(index))));
        }
        assert_eq!(bans.list().len(), BANS_MAX);
        assert_eq!(bans.read().leaving.len(), BANS_MAX);
        check(&bans, "admin", 1, true);
        check(&bans, "w0", 0, false);
        let last = BANS_MAX as u32 + 999;
        check(&bans, &format!("w{last}"), last, true);
        for index in 0..BANS_MAX {
            bans.insert(Ban::new(&format!("a{index}"), 0, "", None));
        }
        check(&bans, "admin", 1, false);
        bans.insert(Ban::new("late", UNTIL, "", Some(address(1))));
        check(&bans, "late", 1, false);
        assert_eq!(bans.list().len(), BANS_MAX);
    }
}
