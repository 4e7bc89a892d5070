//! Durations counted by size, in plain numbers: they belong to one shard, and are added to those of
//! others when they have been handed over.

use std::time::Duration;

/// Upper bounds of the buckets, in microseconds and inclusive; one more bucket has none. A share is
/// answered within some tens of microseconds, all miners of a shard are told of new work within some
/// milliseconds, and after a second it does not matter any more how bad it is.
const BOUNDS_US: [u64; BOUNDS_COUNT] = [
    25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000,
];
const BOUNDS_COUNT: usize = 15;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    buckets: [u64; BOUNDS_COUNT + 1],
    sum: Duration,
}

impl Times {
    /// Counts `count` things that took so long each.
    pub fn record(&mut self, took: Duration, count: u32) {
        let index = BOUNDS_US.partition_point(|bound| Duration::from_micros(*bound) < took);
        self.buckets[index] += u64::from(count);
        self.sum = self.sum.saturating_add(took.saturating_mul(count));
    }

    pub fn add(&mut self, other: &Self) {
        for (bucket, more) in self.buckets.iter_mut().zip(other.buckets) {
            *bucket += more;
        }
        self.sum = self.sum.saturating_add(other.sum);
    }

    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// Each bound, and how many took that long or less.
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let mut count = 0;
        BOUNDS_US.iter().zip(self.buckets).map(move |(bound, more)| {
            count += more;
            (Duration::from_micros(*bound), count)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Duration = Duration::from_micros(1);

    #[test]
    fn bounds_go_up_from_25_microseconds_to_a_second() {
        assert!(BOUNDS_US.is_sorted_by(|a, b| a < b));
        assert_eq!((BOUNDS_US[0], BOUNDS_US[BOUNDS_COUNT - 1]), (25, 1_000_000));
    }

    #[test]
    fn a_bound_belongs_to_its_bucket_and_all_of_a_batch_take_as_long() {
        let mut times = Times::default();
        times.record(25 * US, 16);
        times.record(25 * US + Duration::from_nanos(1), 2);
        times.record(Duration::from_secs(5), 1);
        let cumulative: Vec<_> = times.cumulative().collect();
        assert_eq!(cumulative[..2], [(25 * US, 16), (50 * US, 18)]);
        assert_eq!(cumulative[BOUNDS_COUNT - 1], (Duration::from_secs(1), 18));
        assert_eq!((times.count(), cumulative.len()), (19, BOUNDS_COUNT));
        let sum = 18 * 25 * US + Duration::from_nanos(2) + Duration::from_secs(5);
        assert_eq!(times.sum(), sum);
    }

    #[test]
    fn times_of_two_shards_are_those_of_both_in_any_order() {
        let (mut one, mut other, mut both) = (Times::default(), Times::default(), Times::default());
        for (us, count) in [(10, 3), (700, 1), (2_000_000, 2)] {
            one.record(us * US, count);
            other.record(2 * us * US, 1);
            both.record(us * US, count);
            both.record(2 * us * US, 1);
        }
        let earlier = one;
        one.add(&other);
        other.add(&earlier);
        assert_eq!((one, other), (both, both));
        one.add(&Times::default());
        assert_eq!(one, both);
    }

    #[test]
    fn no_duration_is_too_long() {
        let mut times = Times::default();
        times.record(Duration::MAX, u32::MAX);
        times.record(Duration::MAX, 1);
        assert_eq!((times.count(), times.sum()), (1 << 32, Duration::MAX));
    }
}
