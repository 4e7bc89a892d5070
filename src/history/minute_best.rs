//! The best share of each worker in each of the last minutes (`state-and-services.md` §9.2).

use std::collections::HashMap;

use super::series_set::{POOL_KEY, SERIES_MAX};

/// Minutes that are kept of each worker. The sample of a minute is taken when the next one has
/// begun, so two are needed; the others are room for reports and samples that come late.
const MINUTES_KEPT: u32 = 4;
/// Workers with a share in the minutes kept. As many as have a series and as much again, for shares
/// of workers that nobody saved.
const KEYS_MAX: usize = 2 * SERIES_MAX;

#[derive(Clone, Copy, Debug, Default)]
struct Best {
    minute: u32,
    difficulty: f64,
}

/// Best difficulties by worker hash (or `pool`) and unix minute, between the shares and the sampler.
/// What is past the minutes kept is dropped, long before the 1440 minutes of the specification.
#[derive(Debug, Default)]
pub struct MinuteBest {
    keys: HashMap<String, [Best; MINUTES_KEPT as usize]>,
    /// Minute of the latest share: when another begins, what is old is dropped.
    minute: u32,
}

impl MinuteBest {
    /// Notes the difficulty of a share accepted in `minute`.
    pub fn note(&mut self, key: &str, minute: u32, difficulty: f64) {
        if difficulty.is_nan() || difficulty <= 0.0 {
            return;
        }
        // A late report does not count as another minute, a clock that was set back does.
        if minute > self.minute || self.minute - minute >= MINUTES_KEPT {
            self.minute = minute;
            self.forget_old();
        }
        if !self.keys.contains_key(key) {
            if self.keys.len() >= KEYS_MAX && key != POOL_KEY {
                return;
            }
            self.keys.insert(key.to_owned(), Default::default());
        }
        let Some(bests) = self.keys.get_mut(key) else { return };
        let best = &mut bests[place(minute)];
        if best.minute != minute {
            *best = Best { minute, difficulty: 0.0 };
        }
        best.difficulty = best.difficulty.max(difficulty);
    }

    /// The best difficulty of a minute, 0 if there was no share. It is given out once.
    pub fn take(&mut self, key: &str, minute: u32) -> f64 {
        let Some(bests) = self.keys.get_mut(key) else { return 0.0 };
        let best = &mut bests[place(minute)];
        if best.minute == minute { std::mem::take(&mut best.difficulty) } else { 0.0 }
    }

    fn forget_old(&mut self) {
        let is_near = |best: &Best| best.minute.abs_diff(self.minute) < MINUTES_KEPT;
        self.keys.retain(|_, bests| bests.iter().any(is_near));
    }
}

fn place(minute: u32) -> usize {
    (minute % MINUTES_KEPT) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u32 = 28_333_333;

    #[test]
    fn the_best_of_each_minute_is_taken_once() {
        let mut bests = MinuteBest::default();
        bests.note("a", NOW, 5.0);
        bests.note("a", NOW, 3.0);
        bests.note("a", NOW + 1, 9.0);
        // A report of the minute before that comes late.
        bests.note("a", NOW, 7.0);
        assert_eq!(bests.take("a", NOW), 7.0);
        assert_eq!(bests.take("a", NOW), 0.0);
        assert_eq!(bests.take("a", NOW + 1), 9.0);
        assert_eq!(bests.take("b", NOW), 0.0);
    }

    #[test]
    fn what_is_no_difficulty_is_not_noted() {
        let mut bests = MinuteBest::default();
        for difficulty in [0.0, -1.0, f64::NAN] {
            bests.note("a", NOW, difficulty);
        }
        assert!(bests.keys.is_empty());
    }

    #[test]
    fn a_minute_of_long_ago_is_not_taken_for_the_present_one() {
        let mut bests = MinuteBest::default();
        bests.note("a", NOW, 5.0);
        assert_eq!(bests.take("a", NOW + MINUTES_KEPT), 0.0);
        bests.note("a", NOW + MINUTES_KEPT, 1.0);
        assert_eq!(bests.take("a", NOW + MINUTES_KEPT), 1.0);
    }

    #[test]
    fn workers_without_shares_are_forgotten_and_their_number_is_bounded() {
        let mut bests = MinuteBest::default();
        for number in 0..KEYS_MAX + 5 {
            bests.note(&number.to_string(), NOW, 1.0);
        }
        assert_eq!(bests.keys.len(), KEYS_MAX);
        bests.note(POOL_KEY, NOW, 1.0);
        assert_eq!(bests.take(POOL_KEY, NOW), 1.0);
        bests.note("a", NOW + MINUTES_KEPT, 1.0);
        assert_eq!(bests.keys.len(), 1);
        // A clock that was set back is a minute like any other.
        bests.note("b", NOW - 3000, 1.0);
        assert_eq!(bests.take("b", NOW - 3000), 1.0);
    }
}
