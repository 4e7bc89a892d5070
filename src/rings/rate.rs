//! Shares accepted in the last minute (`state-and-services.md` §15.2).

use super::seconds::Seconds;

const WINDOW_SECONDS: usize = 60;

/// Fed with the sums of the shards' reports, never by a share itself.
#[derive(Clone, Debug)]
pub struct ShareRate {
    seconds: Seconds<u64>,
}

impl Default for ShareRate {
    fn default() -> Self {
        Self { seconds: Seconds::new(WINDOW_SECONDS) }
    }
}

impl ShareRate {
    /// Counts shares accepted in this second of a clock that never goes back.
    pub fn add(&mut self, second: u64, count: u64) {
        // A second without shares must not be the oldest that has some.
        if count > 0 {
            self.seconds.add(second, count, u64::saturating_add);
        }
    }

    /// Over the time since the oldest second that has shares, so that a rate is right from the
    /// first moment on. Zero when the last minute has none.
    pub fn per_second(&self, now: u64) -> f64 {
        let Some(oldest) = self.seconds.newest(now).map(|(second, _)| second).min() else {
            return 0.0;
        };
        let accepted: u64 = self.seconds.newest(now).map(|(_, count)| count).sum();
        accepted as f64 / (now - oldest + 1) as f64
    }

    pub fn per_minute(&self, now: u64) -> f64 {
        self.per_second(now) * 60.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_over_the_time_since_the_oldest_share_of_the_minute() {
        let mut rate = ShareRate::default();
        assert_eq!(rate.per_second(100), 0.0);
        rate.add(99, 0);
        rate.add(100, 6);
        assert_eq!((rate.per_second(100), rate.per_minute(100)), (6.0, 360.0));
        rate.add(102, 2);
        rate.add(102, 4);
        assert_eq!((rate.per_second(102), rate.per_second(103)), (4.0, 3.0));
        assert_eq!(rate.per_second(159), 0.2);
        // The first second has left the window.
        assert_eq!(rate.per_second(160), 6.0 / 59.0);
        assert_eq!(rate.per_second(161), 0.1);
        assert_eq!(rate.per_second(162), 0.0);
    }

    #[test]
    fn a_steady_rate_is_shown_as_it_is() {
        let mut rate = ShareRate::default();
        for second in 0..200 {
            rate.add(second, 7);
            assert_eq!(rate.per_second(second), 7.0);
        }
    }
}
