//! All series of one resolution: the pool's and those of its workers
//! (`state-and-services.md` §9.1, §9.5).

use std::collections::HashMap;

use super::series::Series;

/// Key of the pool's own series.
pub const POOL_KEY: &str = "pool";
/// Series of one resolution, the pool's included.
pub const SERIES_MAX: usize = 4096;

/// The series of one resolution.
///
/// The pool's series is recorded whenever a sample is taken, and its gaps are never filled: a bucket
/// it has is one the sampler looked at. That makes it the proof of which gaps of a worker were
/// downtime of that worker (FIX-24a, b), it is in the file already, and it outlives the process.
/// (In a file of the reference the pool's downtime is filled with zeros. They count as proof, as they
/// did there; after a day none are left.)
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeriesSet {
    pub(super) pool: Series,
    pub(super) workers: HashMap<String, Series>,
}

impl SeriesSet {
    /// The series of a worker hash or of [`POOL_KEY`], unless nothing is known of it.
    pub fn get(&self, key: &str) -> Option<&Series> {
        if key == POOL_KEY {
            return Some(&self.pool).filter(|pool| pool.last() != 0);
        }
        self.workers.get(key)
    }

    /// All series that have something, by key in byte order.
    pub fn sorted(&self) -> Vec<(&str, &Series)> {
        let workers = self.workers.iter().map(|(key, series)| (key.as_str(), series));
        let pool = std::iter::once((POOL_KEY, &self.pool));
        let mut sorted: Vec<_> = workers.chain(pool).filter(|(_, s)| s.last() != 0).collect();
        sorted.sort_unstable_by_key(|(key, _)| *key);
        sorted
    }

    /// Records a bucket of a worker; the pool's must have been recorded before.
    pub(super) fn record_worker(&mut self, key: &str, bucket: u32, hashrate: u16, best: u16) {
        let covered = |bucket| self.pool.get(bucket).is_some();
        if let Some(series) = self.workers.get_mut(key) {
            series.record(bucket, hashrate, best, covered);
        } else {
            let mut series = Series::default();
            series.record(bucket, hashrate, best, covered);
            self.workers.insert(key.to_owned(), series);
        }
    }

    pub(super) fn record_pool(&mut self, bucket: u32, hashrate: u16, best: u16) {
        self.pool.record(bucket, hashrate, best, |_| false);
    }

    /// The series of a key, made if need be.
    pub(super) fn entry(&mut self, key: String) -> &mut Series {
        if key == POOL_KEY { &mut self.pool } else { self.workers.entry(key).or_default() }
    }

    /// Forgets what is a window or more after `now` (FIX-26).
    pub(super) fn forget_far_future(&mut self, now: u32) {
        self.pool.forget_far_future(now);
        for series in self.workers.values_mut() {
            series.forget_far_future(now);
        }
    }

    /// Drops series that are over at bucket `now`, and the oldest ones of too many. The pool has a
    /// place of its own.
    pub(super) fn prune(&mut self, now: u32) {
        self.forget_far_future(now);
        if self.pool.is_over(now) {
            self.pool = Series::default();
        }
        self.workers.retain(|_, series| !series.is_over(now));
        let excess = self.workers.len().saturating_sub(SERIES_MAX - 1);
        if excess == 0 {
            return;
        }
        // By key where the age is the same, so that it is not others that go each time.
        let mut by_age: Vec<(u32, String)> =
            self.workers.iter().map(|(key, series)| (series.last(), key.clone())).collect();
        by_age.sort_unstable();
        for (_, key) in by_age.into_iter().take(excess) {
            self.workers.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::series::SLOTS;

    const NOW: u32 = 28_333_333;

    fn key(number: usize) -> String {
        format!("{number:064x}")
    }

    #[test]
    fn of_too_many_series_the_oldest_are_dropped_and_never_the_pool() {
        let mut set = SeriesSet::default();
        set.record_pool(NOW - 100, 1, 0);
        for number in 0..SERIES_MAX + 10 {
            // The first ones are the newest.
            set.record_worker(&key(number), NOW - number as u32 / 100, 1, 0);
        }
        set.prune(NOW);
        assert_eq!(set.sorted().len(), SERIES_MAX);
        assert!(set.get(POOL_KEY).is_some());
        let dropped: Vec<usize> =
            (0..SERIES_MAX + 10).filter(|number| set.get(&key(*number)).is_none()).collect();
        // Those of the oldest minute, and the first of the minute before, for they are as old.
        assert_eq!(dropped, (4000..4005).chain(4100..4106).collect::<Vec<_>>());
    }

    #[test]
    fn as_many_series_as_are_allowed_are_kept() {
        let mut set = SeriesSet::default();
        set.record_pool(NOW, 1, 0);
        for number in 0..SERIES_MAX - 1 {
            set.record_worker(&key(number), NOW, 1, 0);
        }
        set.prune(NOW);
        assert_eq!(set.sorted().len(), SERIES_MAX);
    }

    #[test]
    fn a_series_is_dropped_after_a_window() {
        let mut set = SeriesSet::default();
        set.record_pool(NOW, 1, 0);
        set.record_worker(&key(1), NOW, 1, 0);
        set.record_worker(&key(2), NOW + 1, 1, 0);
        set.prune(NOW + SLOTS);
        assert_eq!(set.sorted().iter().map(|(key, _)| *key).collect::<Vec<_>>(), [key(2)]);
    }

    #[test]
    fn a_clock_set_back_by_less_than_a_window_drops_nothing() {
        let mut set = SeriesSet::default();
        set.record_pool(NOW, 1, 0);
        set.record_worker(&key(1), NOW, 1, 0);
        set.prune(NOW - SLOTS + 1);
        assert_eq!(set.sorted().len(), 2);
        set.prune(NOW - SLOTS);
        assert_eq!(set.sorted().len(), 0);
    }

    #[test]
    fn series_come_in_the_order_of_their_keys() {
        let mut set = SeriesSet::default();
        for key in ["q", "f", "0"] {
            set.record_worker(key, NOW, 1, 0);
        }
        set.record_pool(NOW, 1, 0);
        let keys: Vec<&str> = set.sorted().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["0", "f", "pool", "q"]);
    }
}
