//! Which extranonce1 a connection gets: unlike that of any other live connection of the process,
//! without asking another shard.

use hashbrown::HashSet;

use crate::limits::EXTRANONCE1_BYTES;

/// A shard's part of the 32-bit space: `first`, `first + step`, `first + 2 × step`, …
#[derive(Debug)]
pub(super) struct Extranonces {
    next: u32,
    first: u32,
    step: u32,
    live: HashSet<u32>,
}

impl Extranonces {
    /// The part of shard `id` of `count`. The first connection of shard 0 gets 1.
    pub(super) fn new(id: usize, count: usize) -> Self {
        let first = 1 + id as u32;
        Self { next: first, first, step: count.max(1) as u32, live: HashSet::new() }
    }

    /// Takes a value that no live connection has. After four billion connections they come round
    /// again, past those still in use.
    pub(super) fn take(&mut self) -> [u8; EXTRANONCE1_BYTES] {
        loop {
            let value = self.next;
            self.next = value.checked_add(self.step).unwrap_or(self.first);
            if self.live.insert(value) {
                return value.to_be_bytes();
            }
        }
    }

    pub(super) fn give_back(&mut self, extranonce1: [u8; EXTRANONCE1_BYTES]) {
        self.live.remove(&u32::from_be_bytes(extranonce1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_never_hand_out_the_same() {
        let mut seen = HashSet::new();
        for id in 0..3 {
            let mut part = Extranonces::new(id, 3);
            assert_eq!(part.first, 1 + id as u32);
            for _ in 0..1000 {
                assert!(seen.insert(part.take()));
            }
        }
        assert!(seen.contains(&[0, 0, 0, 1]));
    }

    #[test]
    fn a_value_in_use_is_passed_over_when_they_come_round() {
        let mut part = Extranonces::new(1, 2);
        assert_eq!(part.take(), [0, 0, 0, 2]);
        part.next = u32::MAX - 1;
        assert_eq!(part.take(), (u32::MAX - 1).to_be_bytes());
        assert_eq!(part.take(), [0, 0, 0, 4], "2 is still live");
        part.give_back([0, 0, 0, 2]);
        part.next = 2;
        assert_eq!(part.take(), [0, 0, 0, 2]);
    }
}
