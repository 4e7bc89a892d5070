//! Durations counted by size, from any number of threads without a lock: how long does the
//! database take?

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gopool_shards::tally::Times;

/// Upper bounds of the buckets, in microseconds and inclusive; one more bucket has none. A
/// transaction in memory takes less than the first, an `fsync` on a good disk about 1 ms and on
/// a bad one 100 ms; after 10 s it does not matter any more how bad it is.
const BOUNDS_US: [u64; BOUNDS_COUNT] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];
const BOUNDS_COUNT: usize = 15;

/// May be a `static`.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS_COUNT + 1],
    sum_us: AtomicU64,
}

/// What a histogram held at about one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramSnapshot {
    /// Upper bounds, and how many durations were that or less: Prometheus's `le` buckets
    /// without the last, `+Inf`, which is `count`.
    pub cumulative: Vec<(Duration, u64)>,
    pub count: u64,
    pub sum: Duration,
}

impl Default for HistogramSnapshot {
    /// Of nothing; its bounds are those of [`Histogram`].
    fn default() -> Self {
        Histogram::new().snapshot()
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    pub const fn new() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; BOUNDS_COUNT + 1], sum_us: AtomicU64::new(0) }
    }

    /// Counts one duration. The sum is of whole microseconds, rounded to the nearest, and wraps
    /// after 500 000 years.
    pub fn record(&self, duration: Duration) {
        let rounded = duration.saturating_add(Duration::from_nanos(500));
        let us = u64::try_from(rounded.as_micros()).unwrap_or(u64::MAX);
        let index = BOUNDS_US.partition_point(|bound| Duration::from_micros(*bound) < duration);
        // Relaxed: these are counters, nothing is read because of them.
        self.buckets[index].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// The count is the buckets' sum, so the two always agree; the sum may be of a few
    /// durations more or less, which were recorded meanwhile.
    pub fn snapshot(&self) -> HistogramSnapshot {
        let mut count = 0;
        let mut cumulative = Vec::with_capacity(BOUNDS_COUNT);
        for (bucket, bound) in self.buckets.iter().zip(BOUNDS_US) {
            count += bucket.load(Ordering::Relaxed);
            cumulative.push((Duration::from_micros(bound), count));
        }
        count += self.buckets[BOUNDS_COUNT].load(Ordering::Relaxed);
        let sum = Duration::from_micros(self.sum_us.load(Ordering::Relaxed));
        HistogramSnapshot { cumulative, count, sum }
    }
}

impl From<&Times> for HistogramSnapshot {
    /// Of what shards have counted, with their bounds.
    fn from(times: &Times) -> Self {
        Self { cumulative: times.cumulative().collect(), count: times.count(), sum: times.sum() }
    }
}

impl HistogramSnapshot {
    /// The duration that a share of `fraction` (0 to 1) did not exceed, estimated as by
    /// Prometheus's `histogram_quantile`: evenly spread within a bucket, and the highest bound
    /// for all that exceed it. None when nothing was recorded.
    pub fn quantile(&self, fraction: f64) -> Option<Duration> {
        if self.count == 0 {
            return None;
        }
        let rank = fraction.clamp(0.0, 1.0) * self.count as f64;
        let (mut bound_below, mut count_below) = (Duration::ZERO, 0);
        for &(bound, count) in &self.cumulative {
            if count > count_below && rank <= count as f64 {
                let part = (rank - count_below as f64) / (count - count_below) as f64;
                return Some(bound_below + (bound - bound_below).mul_f64(part.max(0.0)));
            }
            (bound_below, count_below) = (bound, count);
        }
        Some(bound_below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Duration = Duration::from_micros(1);

    fn histogram(durations_us: &[u32]) -> HistogramSnapshot {
        let histogram = Histogram::new();
        for us in durations_us {
            histogram.record(*us * US);
        }
        histogram.snapshot()
    }

    #[test]
    fn bounds_go_up_from_a_quarter_millisecond_to_ten_seconds() {
        assert!(BOUNDS_US.is_sorted_by(|a, b| a < b));
        assert_eq!((BOUNDS_US[0], BOUNDS_US[BOUNDS_COUNT - 1]), (250, 10_000_000));
    }

    #[test]
    fn a_bound_belongs_to_its_bucket_and_buckets_are_cumulative() {
        let snapshot = histogram(&[0, 250, 251, 500, 10_000_000, 10_000_001]);
        assert_eq!(snapshot.cumulative[0], (250 * US, 2));
        assert_eq!(snapshot.cumulative[1], (500 * US, 4));
        assert_eq!(snapshot.cumulative[13], (5_000_000 * US, 4));
        assert_eq!(snapshot.cumulative[14], (10_000_000 * US, 5));
        assert_eq!((snapshot.count, snapshot.sum), (6, 20_001_002 * US));
    }

    #[test]
    fn what_exceeds_a_bound_by_a_nanosecond_is_above_it() {
        let histogram = Histogram::default();
        histogram.record(250 * US + Duration::from_nanos(1));
        histogram.record(Duration::MAX);
        let snapshot = histogram.snapshot();
        assert_eq!((snapshot.cumulative[0].1, snapshot.cumulative[1].1), (0, 1));
        assert_eq!(snapshot.count, 2);
    }

    #[test]
    fn what_shards_have_counted_is_read_the_same() {
        let mut times = Times::default();
        times.record(40 * US, 9);
        times.record(Duration::from_secs(3), 1);
        let snapshot = HistogramSnapshot::from(&times);
        assert_eq!(snapshot.cumulative[..2], [(25 * US, 0), (50 * US, 9)]);
        assert_eq!((snapshot.count, snapshot.sum), (10, 3_000_360 * US));
        assert_eq!(snapshot.quantile(0.45), Some(37 * US + US / 2));
    }

    #[test]
    fn a_quantile_is_spread_evenly_within_its_bucket() {
        // Ten up to 1 ms and ten up to 2.5 ms.
        let snapshot = histogram(&[[700; 10], [2000; 10]].concat());
        assert_eq!(snapshot.quantile(0.25), Some(750 * US));
        assert_eq!(snapshot.quantile(0.5), Some(1000 * US));
        assert_eq!(snapshot.quantile(0.75), Some(1750 * US));
        assert_eq!(snapshot.quantile(1.0), Some(2500 * US));
        assert_eq!(snapshot.quantile(0.0), Some(500 * US));
        assert_eq!(snapshot.quantile(-1.0), snapshot.quantile(0.0));
    }

    #[test]
    fn a_quantile_of_nothing_is_none_and_beyond_all_bounds_is_the_highest() {
        assert_eq!(histogram(&[]).quantile(0.5), None);
        assert_eq!(histogram(&[20_000_000]).quantile(0.5), Some(10_000_000 * US));
        assert!(histogram(&[1]).quantile(f64::NAN).is_some());
    }

    #[test]
    fn no_duration_is_lost_between_threads() {
        static HISTOGRAM: Histogram = Histogram::new();
        std::thread::scope(|scope| {
            for us in 1..=4 {
                scope.spawn(move || (0..10_000).for_each(|_| HISTOGRAM.record(us * 200 * US)));
            }
        });
        let snapshot = HISTOGRAM.snapshot();
        assert_eq!((snapshot.count, snapshot.sum), (40_000, 20_000_000 * US));
        assert_eq!(snapshot.cumulative[0].1, 10_000);
    }
}
