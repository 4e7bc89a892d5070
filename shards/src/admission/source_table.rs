//! What is remembered about source addresses: a table that a flood of them can neither grow nor
//! slow down.
//!
//! It is built like a processor's cache: an address belongs to one set of a few slots, looking it
//! up reads that set and nothing else, and when the set is full the record that matters least
//! makes room. So every operation costs the same however many addresses there are, and nothing
//! is ever swept: a record that has ended *is* a free slot.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::source::Source;

/// Addresses remembered by one table: every connection of a large pool may come from its own, and
/// the table is still a few megabytes, taken when the first address is written down.
pub(super) const SOURCES_MAX: usize = 1 << 16;
/// Slots of a set. With eight, a table half full of records that matter loses hardly any.
const WAYS: usize = 8;
const SETS: usize = SOURCES_MAX / WAYS;
const _: () = assert!(SETS.is_power_of_two(), "a set is chosen by masking a hash");

/// What a [`SourceTable`] holds for one address.
pub(super) trait Record: Copy {
    /// It has nothing left to say: forgetting it changes no decision.
    fn has_ended(&self, now: Duration) -> bool;
    /// When a set is full the lightest record is forgotten.
    fn weight(&self, now: Duration) -> u64;
}

pub(super) struct SourceTable<R> {
    /// Empty until the first address is written down, then [`SOURCES_MAX`] slots.
    slots: Vec<Option<(Source, R)>>,
    /// Keyed at random, so that nobody can choose addresses that share a set.
    hasher: RandomState,
}

impl<R: Record> SourceTable<R> {
    pub(super) fn new() -> Self {
        Self { slots: Vec::new(), hasher: RandomState::new() }
    }

    pub(super) fn get_mut(&mut self, source: Source) -> Option<&mut R> {
        let set = self.set(source)?;
        set.iter_mut().flatten().find(|(known, _)| *known == source).map(|(_, record)| record)
    }

    /// The record of `source`, or `new` written down for it; one that has ended is replaced.
    pub(super) fn get_or_insert(&mut self, source: Source, now: Duration, new: R) -> &mut R {
        if self.slots.is_empty() {
            self.slots = vec![None; SOURCES_MAX];
        }
        let set = self.set(source).expect("the slots have just been made");
        let weight = |slot: &Option<(Source, R)>| match slot {
            Some((_, record)) if !record.has_ended(now) => 1 + record.weight(now),
            _ => 0,
        };
        let found = set.iter().position(|slot| slot.is_some_and(|(known, _)| known == source));
        let index = match found {
            Some(index) if weight(&set[index]) > 0 => index,
            _ => {
                let lightest = || (0..WAYS).min_by_key(|&index| weight(&set[index]));
                let index = found.or_else(lightest).expect("a set has slots");
                // A set is in order of arrival: of equally light records the oldest goes.
                set[index..].rotate_left(1);
                set[WAYS - 1] = Some((source, new));
                WAYS - 1
            }
        };
        let (_, record) = set[index].as_mut().expect("found or written above");
        record
    }

    fn set(&mut self, source: Source) -> Option<&mut [Option<(Source, R)>]> {
        let first = (self.hasher.hash_one(source) as usize & (SETS - 1)) * WAYS;
        self.slots.get_mut(first..first + WAYS)
    }

    #[cfg(test)]
    pub(super) fn len(&self, now: Duration) -> usize {
        self.slots.iter().flatten().filter(|(_, record)| !record.has_ended(now)).count()
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Option<(Source, R)>>()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    /// The `index`-th of many distinct addresses.
    pub(in super::super) fn address(index: u32) -> Source {
        IpAddr::V4(Ipv4Addr::from_bits(index)).into()
    }

    #[derive(Clone, Copy)]
    struct Note {
        ends_at: Duration,
        weight: u64,
    }

    impl Record for Note {
        fn has_ended(&self, now: Duration) -> bool {
            now >= self.ends_at
        }

        fn weight(&self, _: Duration) -> u64 {
            self.weight
        }
    }

    fn note(seconds: u64, weight: u64) -> Note {
        Note { ends_at: Duration::from_secs(seconds), weight }
    }

    #[test]
    fn a_record_is_found_again() {
        let mut table = SourceTable::new();
        assert!(table.get_mut(address(1)).is_none());
        assert_eq!(table.bytes(), 0, "a table without addresses costs nothing");
        let now = Duration::ZERO;
        table.get_or_insert(address(1), now, note(10, 1)).weight = 7;
        assert_eq!(table.get_or_insert(address(1), now, note(10, 1)).weight, 7);
        assert_eq!(table.get_mut(address(1)).map(|note| note.weight), Some(7));
        assert!(table.get_mut(address(2)).is_none());
    }

    #[test]
    fn a_million_addresses_neither_grow_it_nor_push_out_what_matters() {
        let mut table = SourceTable::new();
        let now = Duration::ZERO;
        for index in 0..100 {
            table.get_or_insert(address(index), now, note(10, 1000));
        }
        let bytes = table.bytes();
        for index in 100..1_000_000 {
            table.get_or_insert(address(index), now, note(10, 1));
        }
        assert_eq!(table.bytes(), bytes);
        assert!(bytes <= 4 << 20, "{bytes}");
        assert!(table.len(now) <= SOURCES_MAX);
        for index in 0..100 {
            assert!(table.get_mut(address(index)).is_some(), "{index}");
        }
    }

    #[test]
    fn what_has_ended_makes_room_before_anything_else() {
        let mut table = SourceTable::new();
        for index in 0..1_000_000 {
            table.get_or_insert(address(index), Duration::ZERO, note(10, 1000));
        }
        let later = Duration::from_secs(10);
        assert_eq!(table.len(later), 0);
        for index in 0..1000 {
            table.get_or_insert(address(index), later, note(20, 1));
        }
        assert_eq!(table.len(later), 1000);
    }
}
