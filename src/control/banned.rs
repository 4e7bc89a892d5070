//! Who is banned, as pages list them. There may be tens of thousands of bans and this is asked once a
//! second, so the list is walked through only when it has changed.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use gopool_shards::admission::ban::Ban;
use gopool_shards::admission::bans::Bans;

use crate::identity::{NameHash, is_hash_hex};
use crate::ledger::roster::Roster;
use crate::snapshot::BannedFigures;
use crate::store::EndedBans;

/// Banned workers that pages list.
const LISTED: usize = 25;

/// The bans that may be listed: of each name the one that ends last.
pub(super) struct Banned {
    bans: Arc<Bans>,
    /// How often the list had changed when it was read.
    changes: u64,
    longest: Vec<Arc<Ban>>,
    /// Those that have the hash of a name instead of one: of workers that somebody has saved and
    /// that have not been here since the start. Only the hash of such a worker is known.
    by_hash: Vec<(NameHash, Arc<Ban>)>,
}

impl Banned {
    pub(super) fn new(bans: Arc<Bans>) -> Self {
        Self { bans, changes: 0, longest: Vec::new(), by_hash: Vec::new() }
    }

    /// Who is banned, once for each name however many addresses it is banned at: those in force
    /// first, of them those who are connected by their newest share.
    pub(super) fn listed(
        &mut self,
        roster: &Roster,
        ended: EndedBans,
        now_unix: u64,
    ) -> Vec<BannedFigures> {
        self.read_again();
        let is_shown = |ban: &&Arc<Ban>| ended == EndedBans::Keep || ban.is_in_force(now_unix);
        let with_place = self.longest.iter().filter(is_shown).map(|ban| {
            let share_at = roster.last_share_at(&ban.worker);
            ((!ban.is_in_force(now_unix), Reverse(share_at), &*ban.worker), ban)
        });
        let mut shown: Vec<_> = with_place.collect();
        if shown.len() > LISTED {
            shown.select_nth_unstable_by(LISTED, |a, b| a.0.cmp(&b.0));
            shown.truncate(LISTED);
        }
        shown.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let figures = shown.into_iter().map(|((is_over, ..), ban)| BannedFigures {
            worker: Arc::clone(&ban.worker),
            until: (ban.until_unix > 0).then(|| UNIX_EPOCH + Duration::from_secs(ban.until_unix)),
            reason: Arc::clone(&ban.reason),
            is_in_force: !is_over,
            is_automatic: ban.source.is_some(),
        });
        figures.collect()
    }

    /// Connected workers that are banned by their hash and not by their name yet, with that ban.
    pub(super) fn recognised(
        &mut self,
        roster: &Roster,
        now_unix: u64,
    ) -> Vec<(Arc<str>, Arc<Ban>)> {
        self.read_again();
        let in_force: HashMap<NameHash, &Arc<Ban>> = self
            .by_hash
            .iter()
            .filter(|(_, ban)| ban.is_in_force(now_unix))
            .map(|(hash, ban)| (*hash, ban))
            .collect();
        if in_force.is_empty() {
            return Vec::new();
        }
        let hashes: Vec<NameHash> = in_force.keys().copied().collect();
        let known = roster.known_among(&hashes).into_iter();
        let recognised = known.filter_map(|(hash, name, connections)| {
            let remote = roster.connection(*connections.first()?)?.remote;
            let is_banned = self.bans.check(&name, remote.ip().into(), now_unix).is_some();
            (!is_banned).then(|| (name, Arc::clone(in_force[&hash])))
        });
        recognised.collect()
    }

    fn read_again(&mut self) {
        // Before the list: what comes in between is read once more, not missed.
        let changes = self.bans.changes();
        if changes == self.changes {
            return;
        }
        let end = |ban: &Ban| if ban.until_unix == 0 { u64::MAX } else { ban.until_unix };
        let mut longest: HashMap<Arc<str>, Arc<Ban>> = HashMap::new();
        for ban in self.bans.list() {
            if longest.get(&ban.worker).is_none_or(|known| end(known) < end(&ban)) {
                longest.insert(Arc::clone(&ban.worker), ban);
            }
        }
        self.longest = longest.into_values().collect();
        let from_anywhere = self.longest.iter().filter(|ban| ban.source.is_none());
        let hashed = from_anywhere.filter_map(|ban| {
            let hash = const_hex::decode_to_array::<_, 32>(&*ban.worker).ok()?;
            is_hash_hex(&ban.worker).then(|| (hash, Arc::clone(ban)))
        });
        self.by_hash = hashed.collect();
        self.changes = changes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::worker_hash_hex;
    use crate::ledger::roster::tests::look;

    const NOW: u64 = 1_700_000_000;

    fn names(listed: &[BannedFigures]) -> Vec<&str> {
        listed.iter().map(|banned| &*banned.worker).collect()
    }

    #[test]
    fn banned_workers_are_listed_once_and_those_in_force_first() {
        let bans = Arc::new(Bans::default());
        let mut banned = Banned::new(Arc::clone(&bans));
        let mut listed = |ended| banned.listed(&Roster::default(), ended, NOW);
        assert!(listed(EndedBans::Keep).is_empty());
        let source = |address: &str| Some(address.parse().expect("an address"));
        bans.insert(Ban::new("b", NOW + 60, "short", source("10.0.0.7")));
        bans.insert(Ban::new("b", NOW + 90, "longer", source("10.0.0.8")));
        bans.insert(Ban::new("a", NOW - 1, "over", source("10.0.0.7")));
        bans.insert(Ban::new("c", 0, "for ever", None));
        let found = listed(EndedBans::Delete);
        assert_eq!(names(&found), ["b", "c"]);
        assert_eq!((&*found[0].reason, found[0].is_automatic), ("longer", true));
        assert_eq!((found[1].until, found[1].is_automatic), (None, false));
        let found = listed(EndedBans::Keep);
        assert_eq!(names(&found), ["b", "c", "a"]);
        assert!(!found[2].is_in_force);
        for number in 0..100 {
            bans.insert(Ban::new(&format!("w{number}"), 0, "", None));
        }
        let found = listed(EndedBans::Keep);
        assert_eq!(found.len(), LISTED);
        assert!(found.iter().all(|banned| banned.is_in_force));
    }

    #[test]
    fn every_change_of_the_list_and_every_end_is_seen_at_once() {
        let bans = Arc::new(Bans::default());
        let mut banned = Banned::new(Arc::clone(&bans));
        let mut check = |now, expected: &[&str]| {
            let listed = banned.listed(&Roster::default(), EndedBans::Delete, now);
            assert_eq!(names(&listed), expected);
        };
        bans.insert(Ban::new("a", NOW + 60, "", None));
        bans.insert(Ban::new("b", NOW + 30, "", None));
        check(NOW, &["a", "b"]);
        check(NOW + 30, &["a"]);
        check(NOW, &["a", "b"]);
        bans.insert(Ban::new("b", NOW + 90, "", None));
        check(NOW + 30, &["a", "b"]);
        bans.remove("a");
        check(NOW + 30, &["b"]);
        bans.expire(NOW + 90);
        check(NOW + 30, &[]);
    }

    #[test]
    fn a_worker_that_is_banned_by_its_hash_is_recognised_until_its_name_is_banned_too() {
        let bans = Arc::new(Bans::default());
        let mut banned = Banned::new(Arc::clone(&bans));
        let mut roster = Roster::default();
        for (sequence, worker) in [(1, "w.1"), (2, "w.2")] {
            roster.look(sequence, look(worker, 1.0, NOW));
        }
        let mut found = |now| banned.recognised(&roster, now);
        assert!(found(NOW).is_empty());
        for name in ["w.1", "w.9"] {
            bans.insert(Ban::new(&worker_hash_hex(name), NOW + 60, "why", None));
        }
        let recognised = found(NOW);
        assert_eq!(recognised.len(), 1);
        assert_eq!((&*recognised[0].0, recognised[0].1.until_unix), ("w.1", NOW + 60));
        assert!(found(NOW + 60).is_empty(), "it is over");
        bans.insert(Ban::new("w.1", NOW + 60, "why", None));
        assert!(found(NOW).is_empty());
        bans.remove("w.1");
        assert_eq!(found(NOW).len(), 1);
        bans.remove(&worker_hash_hex("w.1"));
        assert!(found(NOW).is_empty());
    }
}
