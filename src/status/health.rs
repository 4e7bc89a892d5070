//! Is the pool giving out work that is worth something? The rule of `web.md` §1.11, as far as the
//! snapshot tells: it decides the notice on the page, its status code and `/readyz`.

use std::time::Duration;

use crate::snapshot::Snapshot;

/// After the start everything may still be on its way: the node, its chain, the first template.
const START_GRACE: Duration = Duration::from_secs(5 * 60);
/// A job this young is worth mining on even while the feed reports errors.
const JOB_AGE_MAX: Duration = Duration::from_secs(5 * 60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Good,
    /// No job yet, and too early to call it a failure.
    Starting,
    /// The text is the contract's, for machines.
    Degraded(&'static str),
}

impl Health {
    pub fn of(snapshot: &Snapshot) -> Self {
        let is_early = snapshot.uptime < START_GRACE;
        let has_error = snapshot.feed.last_error.is_some();
        match &snapshot.job {
            None if is_early => Self::Starting,
            None if has_error => Self::Degraded("node/job feed error"),
            None => Self::Degraded("no job template available"),
            Some(_) if is_early || !has_error => Self::Good,
            Some(job) => {
                // A job from the future comes from a clock that was set back: it counts as new.
                let age = snapshot.built_at.duration_since(job.built_at).unwrap_or_default();
                if age < JOB_AGE_MAX { Self::Good } else { Self::Degraded("node/job feed error") }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::sample;

    #[test]
    fn without_a_job_the_pool_is_starting_and_then_degraded() {
        let mut snapshot = sample::empty();
        assert_eq!(Health::of(&snapshot), Health::Starting);
        snapshot.uptime = START_GRACE;
        assert_eq!(Health::of(&snapshot), Health::Degraded("no job template available"));
        snapshot.feed.last_error = Some("refused".to_owned());
        assert_eq!(Health::of(&snapshot), Health::Degraded("node/job feed error"));
    }

    #[test]
    fn feed_errors_matter_only_once_the_job_is_old() {
        let mut snapshot = sample::busy();
        snapshot.feed.last_error = Some("refused".to_owned());
        assert_eq!(Health::of(&snapshot), Health::Good);
        snapshot.job.as_mut().unwrap().built_at = snapshot.built_at - JOB_AGE_MAX;
        assert_eq!(Health::of(&snapshot), Health::Degraded("node/job feed error"));
        snapshot.feed.last_error = None;
        assert_eq!(Health::of(&snapshot), Health::Good);
    }
}
