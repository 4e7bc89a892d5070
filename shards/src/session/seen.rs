//! Which shares have been submitted, for as long as their job can be named: by the hash of their
//! header, which is another for every other share.

use std::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashSet;

use crate::sha256d::Hash;

/// A share of the notify `sequence`. Half of its hash is enough: no two have that in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ShareKey {
    sequence: u32,
    hash: [u32; 4],
}

impl std::hash::Hash for ShareKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from(self.hash[0]) << 32 | u64::from(self.hash[1]));
    }
}

/// A hash is as random as a number gets: it is its own hash.
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

/// The shares of one connection. One set for all its jobs, so that what it has grown to serves the
/// next ones too.
#[derive(Debug, Default)]
pub(super) struct Seen(HashSet<ShareKey, BuildHasherDefault<OwnHash>>);

/// Shares there is room for without asking whether so many still come.
const ROOM_KEPT: usize = 1024;

impl Seen {
    /// Remembers a share by its hash; `false` when it was known.
    pub(super) fn insert(&mut self, sequence: u32, hash: &Hash) -> bool {
        // The low half: the high end is zeros, the more the better the share.
        let (words, _) = hash.as_chunks::<4>();
        let hash = [0, 1, 2, 3].map(|word| u32::from_le_bytes(words[word]));
        self.0.insert(ShareKey { sequence, hash })
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Forgets the shares of the jobs before `sequence`; after a flood also the room they took.
    pub(super) fn forget_before(&mut self, sequence: u32) {
        self.0.retain(|key| key.sequence >= sequence);
        if self.0.capacity() > ROOM_KEPT && self.0.capacity() > 16 * self.0.len() {
            self.0.shrink_to(2 * self.0.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sha256d::sha256d;

    #[test]
    fn a_share_is_known_by_its_hash_and_its_job() {
        let mut seen = Seen::default();
        let (one, other) = (sha256d(b"one"), sha256d(b"other"));
        assert!(seen.insert(1, &one));
        assert!(!seen.insert(1, &one));
        assert!(seen.insert(2, &one) && seen.insert(1, &other));
    }

    #[test]
    fn only_the_shares_of_jobs_that_have_gone_are_forgotten() {
        let hash = |nonce: u32| sha256d(&nonce.to_le_bytes());
        let mut seen = Seen::default();
        for nonce in 0..100_000 {
            assert!(seen.insert(1 + nonce % 2, &hash(nonce)));
        }
        seen.forget_before(2);
        assert_eq!(seen.len(), 50_000);
        assert!(seen.insert(1, &hash(0)) && !seen.insert(2, &hash(1)));
        seen.forget_before(3);
        assert!(seen.len() == 0 && seen.0.capacity() <= ROOM_KEPT);
    }
}
