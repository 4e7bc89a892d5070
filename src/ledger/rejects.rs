//! What is counted of refused shares, and what is shown (`state-and-services.md` §15.1).

use std::collections::BTreeMap;
use std::time::Duration;

/// Miners that come back after a restart bring shares of work that nobody knows any more.
const START_GRACE: Duration = Duration::from_secs(120);
const GRACED: [&str; 3] = ["lowdiff", "low difficulty share", "stale job"];
const LOW: [&str; 2] = ["lowdiff", "low difficulty share"];
/// Refused for who sent it and not for what was sent.
const NO_ERRORS: [&str; 2] = ["unauthorized", "unauthorized worker"];

/// Refused shares by reason.
#[derive(Clone, Debug, Default)]
pub struct Rejects {
    by_reason: BTreeMap<&'static str, u64>,
}

impl Rejects {
    /// Counts what happened up to `elapsed` after the start; what counts comes back.
    pub fn add(
        &mut self,
        counts: BTreeMap<&'static str, u64>,
        elapsed: Duration,
    ) -> BTreeMap<&'static str, u64> {
        let mut counted = counts;
        if elapsed < START_GRACE {
            counted.retain(|reason, _| !GRACED.contains(reason));
        }
        for (reason, count) in &counted {
            *self.by_reason.entry(reason).or_default() += count;
        }
        counted
    }

    pub fn by_reason(&self) -> &BTreeMap<&'static str, u64> {
        &self.by_reason
    }

    pub fn total(&self) -> u64 {
        self.by_reason.values().sum()
    }

    /// Late for their job.
    pub fn stale(&self) -> u64 {
        self.sum(|reason| reason.to_ascii_lowercase().starts_with("stale"))
    }

    pub fn low_difficulty(&self) -> u64 {
        self.sum(|reason| LOW.contains(&reason))
    }

    /// `share_errors`: what somebody may want to look into.
    pub fn errors(&self) -> u64 {
        self.sum(is_error)
    }

    fn sum(&self, counts: impl Fn(&str) -> bool) -> u64 {
        self.by_reason.iter().filter(|(reason, _)| counts(reason)).map(|(_, count)| count).sum()
    }
}

/// Whether a reason is worth an event.
pub fn is_error(reason: &str) -> bool {
    !NO_ERRORS.contains(&reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_and_low_shares_do_not_count_in_the_first_two_minutes() {
        let counts = || BTreeMap::from([("stale job", 3), ("low difficulty share", 2), ("x", 1)]);
        let mut rejects = Rejects::default();
        assert_eq!(rejects.add(counts(), Duration::from_secs(119)), BTreeMap::from([("x", 1)]));
        assert_eq!(rejects.total(), 1);
        rejects.add(counts(), Duration::from_secs(120));
        rejects.add(BTreeMap::from([("unauthorized", 5)]), Duration::from_secs(121));
        assert_eq!((rejects.stale(), rejects.low_difficulty()), (3, 2));
        assert_eq!((rejects.total(), rejects.errors()), (12, 7));
    }
}
