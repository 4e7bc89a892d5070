//! Which shares have been submitted: exactly, for as long as their job can be named.

use hashbrown::HashSet;

use crate::limits::EXTRANONCE2_BYTES_MAX;

/// What makes a share unlike any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ShareKey {
    /// Of the notify it answers.
    pub(super) sequence: u32,
    pub(super) extranonce2: [u8; EXTRANONCE2_BYTES_MAX],
    pub(super) ntime: u32,
    pub(super) nonce: u32,
    /// The version that was hashed, so that its two spellings collide as they should.
    pub(super) version: u32,
}

impl ShareKey {
    /// # Panics
    /// When the extranonce2 is longer than a job may ask for.
    pub(super) fn new(
        sequence: u32,
        extranonce2: &[u8],
        ntime: u32,
        nonce: u32,
        version: u32,
    ) -> Self {
        let mut padded = [0; EXTRANONCE2_BYTES_MAX];
        padded[..extranonce2.len()].copy_from_slice(extranonce2);
        Self { sequence, extranonce2: padded, ntime, nonce, version }
    }
}

/// The shares of one connection. One set for all its jobs, so that what it has grown to serves the
/// next ones too.
#[derive(Debug, Default)]
pub(super) struct Seen(HashSet<ShareKey>);

impl Seen {
    /// Remembers a share; `false` when it was known.
    pub(super) fn insert(&mut self, key: ShareKey) -> bool {
        self.0.insert(key)
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

/// Shares there is room for without asking whether so many still come.
const ROOM_KEPT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_known_by_all_its_fields() {
        let key = ShareKey { sequence: 1, extranonce2: [0; 16], ntime: 1, nonce: 2, version: 3 };
        let mut seen = Seen::default();
        assert!(seen.insert(key));
        assert!(!seen.insert(key));
        let mut extranonce2 = [0; 16];
        extranonce2[15] = 1;
        for other in [
            ShareKey { sequence: 9, ..key },
            ShareKey { extranonce2, ..key },
            ShareKey { ntime: 9, ..key },
            ShareKey { nonce: 9, ..key },
            ShareKey { version: 9, ..key },
        ] {
            assert!(seen.insert(other));
        }
    }

    #[test]
    fn only_the_shares_of_jobs_that_have_gone_are_forgotten() {
        let key = |sequence, nonce| ShareKey::new(sequence, &[0; 4], 0, nonce, 0);
        let mut seen = Seen::default();
        for nonce in 0..100_000 {
            assert!(seen.insert(key(1 + nonce % 2, nonce)));
        }
        seen.forget_before(2);
        assert_eq!(seen.len(), 50_000);
        assert!(seen.insert(key(1, 0)) && !seen.insert(key(2, 1)));
        seen.forget_before(3);
        assert!(seen.len() == 0 && seen.0.capacity() <= ROOM_KEPT);
    }
}
