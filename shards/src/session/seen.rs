//! Which shares of one job have been submitted, for as long as it can be named: by the hash of
//! their header, which is another for every other share.

use crate::limits::SEEN_PER_JOB_MAX;
use crate::sha256d::Hash;

/// The shares of one job, each by 63 bits of its hash. Of 10^14 new ones, one would be taken for
/// another; a block is not, for it is known by all of its hash.
///
/// With thousands of miners no table of one is in the CPU's cache. A hash is as random as a number
/// gets, so it says by itself where it belongs, and looking there is one access to memory; a
/// general table needs two.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// A power of two of them, or none; zero where nothing is.
    slots: Vec<u64>,
    count: usize,
}

/// Slots of the smallest table: one line of the cache.
const SLOTS_MIN: usize = 8;
/// Slots that are kept in a table that is used again, whether so many were needed or not.
const SLOTS_KEPT: usize = 1024;

impl Seen {
    /// Remembers a share by its hash; `false` when it was known.
    pub(super) fn insert(&mut self, hash: &Hash) -> bool {
        if 4 * (self.count + 1) > 3 * self.slots.len() {
            self.grow();
        }
        let is_new = put(&mut self.slots, key(hash));
        self.count += usize::from(is_new);
        is_new
    }

    /// What is where a share belongs. Asked for all of a batch before the first is put there, so
    /// that the memory answers for all at once.
    pub(super) fn glance(&self, hash: &Hash) -> u64 {
        let index = self.slots.len().wrapping_sub(1) & place(key(hash));
        self.slots.get(index).copied().unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    fn grow(&mut self) {
        let mut larger = vec![0; (2 * self.slots.len()).max(SLOTS_MIN)];
        for key in self.slots.iter().filter(|key| **key != 0) {
            put(&mut larger, *key);
        }
        self.slots = larger;
    }

    /// It has all it can hold without forgetting: the job must not take another share.
    pub(super) fn is_full(&self) -> bool {
        self.count >= SEEN_PER_JOB_MAX
    }

    /// Empty, with its room for the next job; after a flood without.
    pub(super) fn emptied(mut self: Box<Self>) -> Option<Box<Self>> {
        let is_worth_keeping = self.slots.len() <= SLOTS_KEPT.max(16 * self.count);
        self.slots.fill(0);
        self.count = 0;
        is_worth_keeping.then_some(self)
    }
}

/// From the end that is not all zeros in a good share; never zero itself.
fn key(hash: &Hash) -> u64 {
    let (words, _) = hash.as_chunks::<8>();
    u64::from_le_bytes(words[0]) | 1
}

/// Where a key belongs in a table without end. The lowest bit is the same in all.
fn place(key: u64) -> usize {
    (key >> 1) as usize
}

/// Puts a key where it belongs, or where the next free slot is; `false` when it is there already.
/// At least one slot is free.
fn put(slots: &mut [u64], key: u64) -> bool {
    let mask = slots.len() - 1;
    let mut index = place(key) & mask;
    loop {
        match slots[index] {
            0 => break,
            found if found == key => return false,
            _ => index = (index + 1) & mask,
        }
    }
    slots[index] = key;
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sha256d::sha256d;

    fn hash(nonce: usize) -> Hash {
        sha256d(&nonce.to_le_bytes())
    }

    #[test]
    fn nothing_is_forgotten_up_to_the_bound() {
        let mut seen = Seen::default();
        for nonce in 0..SEEN_PER_JOB_MAX {
            assert!(!seen.is_full());
            assert!(seen.insert(&hash(nonce)));
        }
        assert!(seen.is_full());
        assert!((0..SEEN_PER_JOB_MAX).all(|nonce| !seen.insert(&hash(nonce))));
    }

    #[test]
    fn a_set_is_used_again_while_it_is_not_far_too_large() {
        let mut seen = Box::<Seen>::default();
        for nonce in 0..5000 {
            seen.insert(&hash(nonce));
        }
        let mut again = seen.emptied().expect("about as much room as was needed");
        assert!(again.len() == 0 && again.slots.len() >= 5000);
        assert!(again.insert(&hash(0)));
        assert!(again.emptied().is_none(), "the flood is over");
    }
}
