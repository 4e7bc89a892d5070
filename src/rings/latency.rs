//! How long the node has taken to answer in the last hour (`state-and-services.md` §15.3).

use std::time::Duration;

use super::seconds::Seconds;

const WINDOW_SECONDS: usize = 3600;

/// Durations of calls, by the second in which they ended.
#[derive(Clone, Debug)]
pub struct Latency {
    seconds: Seconds<Sums>,
}

#[derive(Clone, Copy, Debug)]
struct Sums {
    count: u32,
    sum: Duration,
    min: Duration,
    max: Duration,
}

/// Of the calls that ended in the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatencyStatistics {
    pub min: Duration,
    pub mean: Duration,
    pub max: Duration,
}

impl Default for Latency {
    fn default() -> Self {
        Self { seconds: Seconds::new(WINDOW_SECONDS) }
    }
}

impl Latency {
    /// Counts a call that ended in this second of a clock that never goes back.
    pub fn add(&mut self, second: u64, duration: Duration) {
        let call = Sums { count: 1, sum: duration, min: duration, max: duration };
        self.seconds.add(second, call, Sums::merge);
    }

    /// Of the hour up to `now`; none when there was no call.
    pub fn statistics(&self, now: u64) -> Option<LatencyStatistics> {
        let all = self.seconds.newest(now).map(|(_, sums)| sums).reduce(Sums::merge)?;
        Some(LatencyStatistics { min: all.min, mean: all.sum / all.count, max: all.max })
    }
}

impl Sums {
    fn merge(self, other: Self) -> Self {
        Self {
            count: self.count.saturating_add(other.count),
            sum: self.sum.saturating_add(other.sum),
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[track_caller]
    fn check(latency: &Latency, now: u64, expected: Option<[u32; 3]>) {
        let expected = expected.map(|[min, mean, max]| LatencyStatistics {
            min: min * MS,
            mean: mean * MS,
            max: max * MS,
        });
        assert_eq!(latency.statistics(now), expected);
    }

    #[test]
    fn the_mean_is_over_calls_and_not_over_seconds() {
        let mut latency = Latency::default();
        for (second, ms) in [(5, 10), (5, 10), (5, 10), (9, 50)] {
            latency.add(second, ms * MS);
        }
        check(&latency, 10, Some([10, 20, 50]));
    }

    #[test]
    fn calls_of_the_last_hour_count_and_older_ones_do_not() {
        let mut latency = Latency::default();
        check(&latency, 0, None);
        latency.add(0, 10 * MS);
        latency.add(1, 30 * MS);
        check(&latency, 3599, Some([10, 20, 30]));
        check(&latency, 3600, Some([30, 30, 30]));
        check(&latency, 3601, None);
        latency.add(3600, 50 * MS);
        check(&latency, 3600, Some([30, 40, 50]));
    }

    #[test]
    fn a_call_that_took_no_time_is_the_minimum() {
        let mut latency = Latency::default();
        latency.add(1, Duration::ZERO);
        check(&latency, 1, Some([0, 0, 0]));
        latency.add(2, 10 * MS);
        check(&latency, 2, Some([0, 5, 10]));
    }
}
