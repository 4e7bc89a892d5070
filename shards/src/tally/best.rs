//! The best shares there have been (`state-and-services.md` §4).

use std::sync::Arc;

use crate::limits::BEST_SHARES_MAX;
use crate::sha256d::Hash;

/// A share that may be one of the best.
#[derive(Clone, Debug, PartialEq)]
pub struct BestShare {
    /// The full name of whom the work was made for.
    pub worker: Arc<str>,
    /// Of its hash, not the one it was credited with.
    pub difficulty: f64,
    /// Unix seconds.
    pub at: u64,
    pub hash: Hash,
}

/// Puts a share into a list that has the best first, before its equals. A full list takes what is
/// better than its last.
pub(super) fn insert(list: &mut Vec<BestShare>, share: BestShare) {
    if list.len() >= BEST_SHARES_MAX {
        if list.last().is_some_and(|last| share.difficulty <= last.difficulty) {
            return;
        }
        list.truncate(BEST_SHARES_MAX - 1);
    }
    let place = list.partition_point(|better| better.difficulty > share.difficulty);
    list.insert(place, share);
}

/// One shard's best. The bar only rises, so that after a while a share costs a comparison.
#[derive(Debug)]
pub(super) struct BestShares {
    /// The difficulties of the best since the start, best first; 0 where there has been none.
    ever: [f64; BEST_SHARES_MAX],
    /// Those of them that have not been reported. Has its room from the start: a share allocates
    /// nothing.
    new: Vec<BestShare>,
}

impl Default for BestShares {
    fn default() -> Self {
        Self { ever: [0.0; BEST_SHARES_MAX], new: Vec::with_capacity(BEST_SHARES_MAX) }
    }
}

impl BestShares {
    pub(super) fn offer(&mut self, worker: &Arc<str>, difficulty: f64, at: u64, hash: &Hash) {
        if difficulty > self.ever[BEST_SHARES_MAX - 1] {
            self.take(worker, difficulty, at, hash);
        }
    }

    #[cold]
    fn take(&mut self, worker: &Arc<str>, difficulty: f64, at: u64, hash: &Hash) {
        let place = self.ever.partition_point(|better| *better > difficulty);
        self.ever[place..].rotate_right(1);
        self.ever[place] = difficulty;
        insert(
            &mut self.new,
            BestShare { worker: Arc::clone(worker), difficulty, at, hash: *hash },
        );
    }

    /// Hands the new ones over to `list`.
    pub(super) fn move_to(&mut self, list: &mut Vec<BestShare>) {
        // The last first, so that equals keep their order.
        self.new.drain(..).rev().for_each(|share| insert(list, share));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(best: &mut BestShares, difficulty: f64, at: u64) {
        best.offer(&"w".into(), difficulty, at, &[1; 32]);
    }

    fn taken(best: &mut BestShares) -> Vec<(f64, u64)> {
        let mut list = Vec::new();
        best.move_to(&mut list);
        list.iter().map(|share| (share.difficulty, share.at)).collect()
    }

    #[test]
    fn the_best_come_first_and_the_later_of_two_equals_before_the_earlier() {
        let mut best = BestShares::default();
        for (at, difficulty) in [2.0, 3.0, 1.0, 2.0].into_iter().enumerate() {
            offer(&mut best, difficulty, at as u64);
        }
        assert_eq!(taken(&mut best), [(3.0, 1), (2.0, 3), (2.0, 0), (1.0, 2)]);
        assert_eq!(taken(&mut best), []);
    }

    #[test]
    fn a_full_list_takes_only_what_is_better_than_its_last() {
        let mut best = BestShares::default();
        (1..=20).for_each(|number| offer(&mut best, f64::from(number), 0));
        let expected: Vec<_> = (9..=20).rev().map(|number| (f64::from(number), 0)).collect();
        assert_eq!(taken(&mut best), expected);
        offer(&mut best, 9.0, 1);
        assert_eq!(taken(&mut best), []);
        offer(&mut best, 9.5, 1);
        // What has been handed over raises the bar for what comes after it.
        offer(&mut best, 9.2, 1);
        assert_eq!(taken(&mut best), [(9.5, 1)]);
    }

    #[test]
    fn a_share_worth_nothing_is_none_of_the_best() {
        let mut best = BestShares::default();
        offer(&mut best, 0.0, 1);
        assert_eq!(taken(&mut best), []);
    }

    #[test]
    fn there_is_room_for_all_of_them_from_the_start() {
        let mut best = BestShares::default();
        let room = best.new.as_ptr();
        for round in 0..3 {
            (1..=100).for_each(|number| offer(&mut best, f64::from(100 * round + number), 0));
            taken(&mut best);
        }
        assert_eq!(best.new.as_ptr(), room);
    }
}
