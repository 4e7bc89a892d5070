//! How long to wait before something that has failed is tried again.

use std::time::Duration;

/// Doubles from a first wait to a longest one, and begins anew after a success.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    pub const fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, failures: 0 }
    }

    /// How long to wait after one more failure.
    pub fn failed(&mut self) -> Duration {
        let wait = self.first.saturating_mul(1 << self.failures.min(30)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        wait
    }

    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// In a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_doubles_the_wait_up_to_the_longest() {
        let mut backoff = Backoff::new(Duration::from_secs(60), Duration::from_secs(1800));
        let minutes = |backoff: &mut Backoff| backoff.failed().as_secs() / 60;
        let waits: Vec<u64> = (0..7).map(|_| minutes(&mut backoff)).collect();
        assert_eq!((waits, backoff.failures()), (vec![1, 2, 4, 8, 16, 30, 30], 7));
        backoff.succeeded();
        assert_eq!((minutes(&mut backoff), backoff.failures()), (1, 1));
        (0..100).for_each(|_| assert!(backoff.failed() <= Duration::from_secs(1800)));
    }
}
