//! The pool's hashrate of the last minutes, for the short chart (`state-and-services.md` §18.1).
//!
//! A timer samples, not those who ask (FIX-53). Times are unix seconds.

use std::collections::VecDeque;

use super::encoding::si8;

/// Seconds between two samples, and length of a bucket of the chart.
pub const SAMPLE_INTERVAL: u64 = 5;
/// How far back the chart goes.
const WINDOW_SECONDS: u64 = 6 * 60;
const BUCKETS: u64 = WINDOW_SECONDS / SAMPLE_INTERVAL;
/// A sample this old is still shown when there is nothing newer.
const FALLBACK_SECONDS: u64 = 2 * 60;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShortSample {
    /// Unix seconds.
    pub at: u64,
    /// In H/s, above 0.
    pub hashrate: f64,
    /// Tip's height when the sample was taken, if it was known.
    pub height: Option<u64>,
}

/// Samples of the last six minutes, oldest first.
#[derive(Clone, Debug, Default)]
pub struct ShortHistory {
    samples: VecDeque<ShortSample>,
}

impl ShortHistory {
    /// Adds a sample, unless nothing is hashing. What is too old goes, and what lies in the future:
    /// the clock was set back.
    pub fn add(&mut self, sample: ShortSample) {
        self.samples.retain(|old| is_within(old.at, sample.at, WINDOW_SECONDS));
        if sample.hashrate > 0.0 && sample.hashrate.is_finite() {
            self.samples.push_back(sample);
        }
        // A timer does not sample more often than that, whatever else may.
        while self.samples.len() as u64 > 2 * BUCKETS {
            self.samples.pop_front();
        }
    }

    /// What is shown at `now` when the pool has no hashrate: the newest sample of two minutes.
    pub fn fallback(&self, now: u64) -> Option<ShortSample> {
        let newest = self.samples.back().copied();
        newest.filter(|sample| is_within(sample.at, now, FALLBACK_SECONDS))
    }

    /// The chart `phh`: 8-bit SI codes of the buckets that have a sample, oldest first. Buckets
    /// without one are skipped, so the array has no time axis.
    pub fn codes(&self, now: u64) -> Vec<u8> {
        let end = now - now % SAMPLE_INTERVAL;
        let start = end.saturating_sub(WINDOW_SECONDS - SAMPLE_INTERVAL);
        let mut buckets = [None; BUCKETS as usize];
        for sample in self.samples.iter().filter(|sample| (start..=end).contains(&sample.at)) {
            // The latest one of a bucket stays.
            buckets[((sample.at - start) / SAMPLE_INTERVAL) as usize] = Some(si8(sample.hashrate));
        }
        buckets.into_iter().flatten().collect()
    }
}

fn is_within(at: u64, now: u64, seconds: u64) -> bool {
    now.checked_sub(at).is_some_and(|age| age <= seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_003;

    fn history(samples: &[(u64, f64)]) -> ShortHistory {
        let mut history = ShortHistory::default();
        for (age, hashrate) in samples {
            let (at, height) = (NOW - age, Some(840_000 + age));
            history.add(ShortSample { at, hashrate: *hashrate, height });
        }
        history
    }

    #[test]
    fn samples_come_in_their_order_until_they_are_too_old() {
        let mut history = history(&[(420, 1e3), (300, 1e6), (60, 1e9)]);
        history.add(ShortSample { at: NOW, hashrate: 0.0, height: None });
        assert_eq!(history.samples.len(), 2);
        assert_eq!(history.codes(NOW), [si8(1e6), si8(1e9)]);
        assert_eq!(history.codes(NOW + 200), [si8(1e9)]);
        assert!(history.codes(NOW + 360).is_empty());
    }

    #[test]
    fn the_fallback_is_the_newest_sample_of_two_minutes() {
        let history = history(&[(300, 1e6), (60, 1e9)]);
        let fallback = history.fallback(NOW).unwrap();
        assert_eq!((fallback.hashrate, fallback.height), (1e9, Some(840_060)));
        assert!(history.fallback(NOW + 60).is_some());
        assert!(history.fallback(NOW + 61).is_none());
        assert!(ShortHistory::default().fallback(NOW).is_none());
    }

    #[test]
    fn a_pool_that_does_not_hash_adds_nothing_and_still_forgets() {
        let mut history = history(&[(300, 1e6), (200, 0.0), (100, f64::NAN), (50, f64::INFINITY)]);
        assert_eq!(history.codes(NOW), [si8(1e6)]);
        history.add(ShortSample { at: NOW + 100, hashrate: 0.0, height: None });
        assert!(history.samples.is_empty());
    }

    #[test]
    fn the_latest_sample_of_a_bucket_wins_and_what_is_past_the_last_bucket_waits() {
        let end = NOW - 3;
        let history = history(&[(8, 1e3), (7, 1e6), (3, 1e9), (2, 1e12)]);
        assert_eq!(history.codes(NOW), [si8(1e6), si8(1e9)]);
        assert_eq!(history.codes(end + 5), [si8(1e6), si8(1e12)]);
    }

    #[test]
    fn a_full_window_has_72_buckets() {
        let mut history = ShortHistory::default();
        for at in (NOW - 1000..=NOW).filter(|at| at % 5 == 0) {
            history.add(ShortSample { at, hashrate: 1e9, height: None });
        }
        assert_eq!(history.codes(NOW).len(), 72);
        assert!(history.samples.len() <= 73);
    }

    #[test]
    fn a_clock_set_back_starts_anew() {
        let mut history = history(&[(0, 1e9)]);
        history.add(ShortSample { at: NOW - 1000, hashrate: 1e6, height: None });
        assert_eq!(history.codes(NOW - 995), [si8(1e6)]);
        for _ in 0..1000 {
            history.add(ShortSample { at: NOW, hashrate: 1e6, height: None });
        }
        assert_eq!(history.samples.len() as u64, 2 * BUCKETS);
    }
}
