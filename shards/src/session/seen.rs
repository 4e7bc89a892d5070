//! Which shares of one job have been submitted: exactly, for as long as the job can be named.

use hashbrown::HashSet;

use crate::limits::{EXTRANONCE2_BYTES_MAX, SEEN_PER_JOB_MAX};

/// What makes a share of a job unlike any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ShareKey {
    pub(super) extranonce2: [u8; EXTRANONCE2_BYTES_MAX],
    pub(super) ntime: u32,
    pub(super) nonce: u32,
    /// The version that was hashed, so that its two spellings collide as they should.
    pub(super) version: u32,
}

impl ShareKey {
    /// # Panics
    /// When the extranonce2 is longer than a job may ask for.
    pub(super) fn new(extranonce2: &[u8], ntime: u32, nonce: u32, version: u32) -> Self {
        let mut padded = [0; EXTRANONCE2_BYTES_MAX];
        padded[..extranonce2.len()].copy_from_slice(extranonce2);
        Self { extranonce2: padded, ntime, nonce, version }
    }
}

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

    /// It has all it can hold without forgetting: the job must not take another share.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= SEEN_PER_JOB_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_known_by_all_its_fields() {
        let key = ShareKey { extranonce2: [0; 16], ntime: 1, nonce: 2, version: 3 };
        let mut seen = Seen::default();
        assert!(seen.insert(key));
        assert!(!seen.insert(key));
        let mut extranonce2 = [0; 16];
        extranonce2[15] = 1;
        for other in [
            ShareKey { extranonce2, ..key },
            ShareKey { ntime: 9, ..key },
            ShareKey { nonce: 9, ..key },
            ShareKey { version: 9, ..key },
        ] {
            assert!(seen.insert(other));
        }
    }

    #[test]
    fn nothing_is_forgotten_up_to_the_bound() {
        let key = |nonce| ShareKey { extranonce2: [0; 16], ntime: 0, nonce, version: 0 };
        let mut seen = Seen::default();
        for nonce in 0..SEEN_PER_JOB_MAX as u32 {
            assert!(!seen.is_full());
            seen.insert(key(nonce));
        }
        assert!(seen.is_full());
        assert!(!seen.insert(key(0)), "the oldest is still known");
    }
}
