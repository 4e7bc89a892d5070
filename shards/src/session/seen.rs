//! Which shares of one job have been submitted, for as long as it can be named: by the hash of
//! their header, which is another for every other share.

use std::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashSet;

use crate::limits::SEEN_PER_JOB_MAX;
use crate::sha256d::Hash;

/// A part of a hash is as random as a number gets: it is its own hash.
#[derive(Default)]
struct OwnHash(u64);

impl Hasher for OwnHash {
    fn write(&mut self, _: &[u8]) {
        unreachable!("a share's key is one number");
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The shares of one job, each by 64 bits of its hash. Of 10^14 new ones, one would be taken for
/// another; a block is not, for it is known by all of its hash.
#[derive(Debug, Default)]
pub(super) struct Seen(HashSet<u64, BuildHasherDefault<OwnHash>>);

/// Shares that there is room for in a set that is used again, whether so many came or not.
const ROOM_KEPT: usize = 1024;

impl Seen {
    /// Remembers a share by its hash; `false` when it was known.
    pub(super) fn insert(&mut self, hash: &Hash) -> bool {
        // From the end that is not all zeros in a good share.
        let (words, _) = hash.as_chunks::<8>();
        self.0.insert(u64::from_le_bytes(words[0]))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// It has all it can hold without forgetting: the job must not take another share.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= SEEN_PER_JOB_MAX
    }

    /// Empty, with its room for the next job; after a flood without.
    pub(super) fn emptied(mut self: Box<Self>) -> Option<Box<Self>> {
        let is_worth_keeping = self.0.capacity() <= ROOM_KEPT.max(16 * self.0.len());
        self.0.clear();
        is_worth_keeping.then_some(self)
    }
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
        assert!(again.len() == 0 && again.0.capacity() >= 5000);
        assert!(again.insert(&hash(0)));
        assert!(again.emptied().is_none(), "the flood is over");
    }
}
