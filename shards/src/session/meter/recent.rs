//! The last few submissions and waiting times, in little memory.

use std::time::Duration;

const LATENCY_SAMPLES: usize = 64;
/// Latency samples that say anything, and the p95 that counts as late (§7.7, step 8).
const LATE_SAMPLES_MIN: usize = 8;
const LATE_MS: u16 = 12_000;

/// The last submissions, one bit each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StaleRing {
    /// The newest is the lowest bit; set for a stale one.
    bits: u128,
    count: u8,
}

impl StaleRing {
    pub(super) fn push(&mut self, is_stale: bool) {
        self.bits = self.bits << 1 | u128::from(is_stale);
        self.count = (self.count + 1).min(128);
    }

    pub(super) fn ratio(&self) -> f64 {
        f64::from(self.bits.count_ones()) / f64::from(self.count.max(1))
    }
}

/// Times from a notify to the next submission, in milliseconds, saturating at 65 s.
#[derive(Clone, Debug)]
pub(super) struct Latencies {
    samples: [u16; LATENCY_SAMPLES],
    count: u8,
    next: u8,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { samples: [0; LATENCY_SAMPLES], count: 0, next: 0 }
    }
}

impl Latencies {
    pub(super) fn push(&mut self, latency: Duration) {
        let ms = u16::try_from(latency.as_millis()).unwrap_or(u16::MAX);
        self.samples[usize::from(self.next)] = ms;
        self.next = (self.next + 1) % LATENCY_SAMPLES as u8;
        self.count = (self.count + 1).min(LATENCY_SAMPLES as u8);
    }

    /// The element at floor((n − 1) × p / 100) of the sorted samples.
    pub(super) fn percentile(&self, percentile: usize) -> Option<Duration> {
        let mut samples = self.samples;
        let samples = &mut samples[..usize::from(self.count)];
        let index = samples.len().checked_sub(1)? * percentile.min(100) / 100;
        let (_, ms, _) = samples.select_nth_unstable(index);
        Some(Duration::from_millis(u64::from(*ms)))
    }

    /// Whether the p95 is 12 s or more, of 8 samples at least. Asked after every share, so it
    /// counts rather than sorts.
    pub(super) fn are_late(&self) -> bool {
        let samples = &self.samples[..usize::from(self.count)];
        let in_time = samples.iter().filter(|ms| **ms < LATE_MS).count();
        samples.len() >= LATE_SAMPLES_MIN && in_time <= (samples.len() - 1) * 95 / 100
    }
}
