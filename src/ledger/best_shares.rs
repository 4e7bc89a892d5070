//! The best shares there have ever been (`state-and-services.md` §4).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gopool_shards::tally::BestShare;
use gopool_shards::work::header::display_hex;

use crate::privacy;
use crate::store::{BEST_SHARES_MAX, BestShareRow};

/// At most twelve, best first; an equal one is placed before those it equals.
#[derive(Debug)]
pub struct BestShares {
    list: Vec<BestShareRow>,
    has_changed: bool,
}

impl BestShares {
    pub fn new(mut stored: Vec<BestShareRow>) -> Self {
        stored.truncate(BEST_SHARES_MAX);
        Self { list: stored, has_changed: false }
    }

    pub fn offer(&mut self, share: &BestShare) {
        let is_full = self.list.len() >= BEST_SHARES_MAX;
        let worst = self.list.last().map_or(0.0, |last| last.difficulty);
        if share.difficulty <= 0.0 || (is_full && share.difficulty <= worst) {
            return;
        }
        let place = self.list.partition_point(|better| better.difficulty > share.difficulty);
        let row = BestShareRow {
            worker: privacy::worker_name(&share.worker),
            difficulty: share.difficulty,
            at: share.at,
            hash: privacy::hash(&display_hex(&share.hash)),
        };
        self.list.insert(place, row);
        self.list.truncate(BEST_SHARES_MAX);
        self.has_changed = true;
    }

    pub fn list(&self) -> &[BestShareRow] {
        &self.list
    }

    /// The list, when it has changed since this was last asked.
    pub fn take_change(&mut self) -> Option<Vec<BestShareRow>> {
        std::mem::take(&mut self.has_changed).then(|| self.list.clone())
    }
}

/// When a share was found.
pub fn time_of(row: &BestShareRow) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(row.at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(difficulty: f64, at: u64) -> BestShare {
        BestShare { worker: "bc1qexampleaddress00.rig".into(), difficulty, at, hash: [0x11; 32] }
    }

    #[test]
    fn the_twelve_best_are_kept_and_the_newest_of_equals_stands_first() {
        let mut best = BestShares::new(Vec::new());
        for number in 1..=20_u32 {
            best.offer(&share(f64::from(number), number.into()));
        }
        let difficulties: Vec<_> = best.list().iter().map(|row| row.difficulty).collect();
        assert_eq!(difficulties, (9..=20).rev().map(f64::from).collect::<Vec<_>>());
        assert!(best.take_change().is_some() && best.take_change().is_none());
        best.offer(&share(9.0, 100));
        assert!(best.take_change().is_none(), "a full list wants better ones");
        best.offer(&share(15.0, 100));
        let equals: Vec<_> =
            best.list().iter().filter(|row| row.difficulty == 15.0).map(|row| row.at).collect();
        assert_eq!(equals, [100, 15]);
    }

    #[test]
    fn nobody_is_told_whose_share_it_was() {
        let mut best = BestShares::new(Vec::new());
        best.offer(&share(1.0, 1));
        assert_eq!(best.list()[0].worker, "bc1qexam...ddress00.rig");
        assert_eq!(best.list()[0].hash, "...1111111111111111");
    }
}
