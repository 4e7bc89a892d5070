//! How long a try may take, where that has an end.

use std::time::{Duration, Instant};

/// Looked at between steps: what the disk is doing cannot be taken back from it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit(Option<Instant>);

/// Why a try has ended without a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it takes longer than it may at the start; the next try may take as long as it needs")]
pub(super) struct TooLate;

impl Limit {
    pub(super) const NONE: Self = Self(None);

    /// From now on.
    pub(super) fn of(duration: Duration) -> Self {
        Self(Some(Instant::now() + duration))
    }

    pub(super) fn check(self) -> Result<(), TooLate> {
        let is_over = self.0.is_some_and(|end| Instant::now() >= end);
        if is_over { Err(TooLate) } else { Ok(()) }
    }

    /// How long something may take that may take `usual` otherwise.
    pub(super) fn left(self, usual: Duration) -> Duration {
        self.0.map_or(usual, |end| usual.min(end.saturating_duration_since(Instant::now())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_shortens_what_is_longer_and_nothing_else() {
        const HOUR: Duration = Duration::from_secs(3600);
        assert_eq!((Limit::NONE.check(), Limit::NONE.left(HOUR)), (Ok(()), HOUR));
        let long = Limit::of(2 * HOUR);
        assert_eq!((long.check(), long.left(HOUR)), (Ok(()), HOUR));
        assert!(long.left(3 * HOUR) <= 2 * HOUR && long.left(3 * HOUR) > HOUR);
        let over = Limit::of(Duration::ZERO);
        assert_eq!((over.check(), over.left(HOUR)), (Err(TooLate), Duration::ZERO));
    }
}
