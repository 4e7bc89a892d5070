//! Times, counted so that any percentile is right to less than one in a hundred.

use std::time::Duration;

/// Steps between a power of two and the next.
const STEPS: usize = 128;
const STEP_BITS: u32 = STEPS.trailing_zeros();

/// Nanoseconds, sorted into steps that grow with them.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    count: u64,
    sum: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        let steps = (u64::BITS - STEP_BITS + 1) as usize * STEPS;
        Self { counts: vec![0; steps], count: 0, sum: 0, max: 0 }
    }
}

impl Histogram {
    #[inline]
    pub fn add(&mut self, nanoseconds: u64) {
        self.counts[step(nanoseconds)] += 1;
        self.count += 1;
        self.sum = self.sum.wrapping_add(nanoseconds);
        self.max = self.max.max(nanoseconds);
    }

    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
        self.max = self.max.max(other.max);
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }

    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.sum.checked_div(self.count).unwrap_or_default())
    }

    /// The time that `percent` of all stay within; zero when there is none.
    pub fn percentile(&self, percent: f64) -> Duration {
        let wanted = ((percent / 100.0 * self.count as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (step, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_nanos(highest(step).min(self.max));
            }
        }
        Duration::ZERO
    }
}

#[inline]
fn step(value: u64) -> usize {
    let power = (value | 1).ilog2();
    match power.checked_sub(STEP_BITS) {
        // The leading one is what the power says.
        Some(shift) => ((shift as usize + 1) << STEP_BITS) + (value >> shift) as usize - STEPS,
        None => value as usize,
    }
}

/// The largest value of a step.
fn highest(step: usize) -> u64 {
    match (step / STEPS).checked_sub(1) {
        None => step as u64,
        Some(shift) => {
            let next = (STEPS + step % STEPS + 1) as u128;
            ((next << shift) - 1) as u64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_and_its_step_are_less_than_a_hundredth_apart() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift) - 1, (1u64 << shift) + (1 << shift) / 3] {
                let found = highest(step(value));
                assert!(found >= value, "{value}");
                assert!((found - value) as f64 <= value as f64 / 100.0, "{value} {found}");
            }
        }
        assert!(step(u64::MAX) < Histogram::default().counts.len());
    }

    #[test]
    fn percentiles_of_a_known_row() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(50.0), Duration::ZERO);
        for value in 1..=100 {
            histogram.add(value);
        }
        for (percent, nanoseconds) in [(50.0, 50), (90.0, 90), (99.0, 99), (100.0, 100), (0.0, 1)] {
            assert_eq!(histogram.percentile(percent), Duration::from_nanos(nanoseconds));
        }
        assert_eq!(histogram.mean(), Duration::from_nanos(50));
        let mut double = histogram.clone();
        double.merge(&histogram);
        assert_eq!((double.count(), double.percentile(50.0)), (200, Duration::from_nanos(50)));
    }
}
