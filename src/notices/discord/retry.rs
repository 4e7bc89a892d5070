//! When to connect to the gateway again (FIX-36): soon after a connection that was good, and ever later
//! while nothing comes of it. Pure.

use std::time::Duration;

use crate::backoff::Backoff;

const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(600);
/// A connection that was good for so long has nothing to do with failures before it. A shorter one
/// may: each new session is one of the thousand that a bot may have in a day.
const GOOD_AFTER: Duration = Duration::from_secs(60);

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It never was a session.
    Unreached,
    /// It was one for so long; whoever comes back after `soon` does not come too early.
    Lost { good_for: Duration, soon: Duration },
    /// It will not be one until somebody changes the configuration.
    Hopeless,
}

#[derive(Debug)]
pub struct Retry {
    backoff: Backoff,
    /// The one quick attempt after a good connection was made.
    has_hurried: bool,
}

impl Default for Retry {
    fn default() -> Self {
        Self { backoff: Backoff::new(FIRST, LONGEST), has_hurried: false }
    }
}

impl Retry {
    /// How long to wait; `chance` is from 0 to 1, so that not all bots come at the same time.
    pub fn wait(&mut self, ended: Ended, chance: f64) -> Duration {
        match ended {
            Ended::Hopeless => {
                self.backoff.failed();
                return spread(LONGEST, chance);
            }
            Ended::Lost { good_for, soon } => {
                if good_for >= GOOD_AFTER {
                    *self = Self::default();
                }
                if self.backoff.failures() == 0 && !self.has_hurried {
                    self.has_hurried = true;
                    return soon;
                }
            }
            Ended::Unreached => {}
        }
        spread(self.backoff.failed(), chance)
    }
}

/// Up to a fifth less.
fn spread(wait: Duration, chance: f64) -> Duration {
    wait.mul_f64(0.8 + 0.2 * chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(ended: &[Ended]) -> Vec<u64> {
        let mut retry = Retry::default();
        ended.iter().map(|ended| retry.wait(*ended, 1.0).as_secs()).collect()
    }

    /// After which it may come back in three seconds.
    fn lost(seconds: u64) -> Ended {
        Ended::Lost { good_for: Duration::from_secs(seconds), soon: Duration::from_secs(3) }
    }

    #[test]
    fn failures_double_the_wait_up_to_ten_minutes() {
        assert_eq!(waits(&[Ended::Unreached; 9]), [10, 20, 40, 80, 160, 320, 600, 600, 600]);
        let mut retry = Retry::default();
        assert_eq!(retry.wait(Ended::Unreached, 0.0), Duration::from_secs(8));
    }

    #[test]
    fn a_good_connection_is_made_again_soon_and_one_that_keeps_ending_is_not() {
        assert_eq!(waits(&[lost(3600), lost(3600)]), [3, 3]);
        assert_eq!(waits(&[lost(1), lost(1), lost(1), lost(60)]), [3, 10, 20, 3]);
        assert_eq!(waits(&[lost(1), Ended::Unreached, lost(60)]), [3, 10, 3]);
    }

    #[test]
    fn what_is_hopeless_is_tried_seldom() {
        assert_eq!(waits(&[Ended::Hopeless, Ended::Hopeless]), [600, 600]);
        assert_eq!(waits(&[Ended::Hopeless, lost(60)]), [600, 3]);
    }
}
