//! Is the pool giving out work that is worth something? The gate of the control loop has judged
//! (`web.md` §1.11); this decides the notice on the page, its status code and `/readyz`.

use std::time::Duration;

use crate::snapshot::Snapshot;

/// After the start everything may still be on its way: the node, its chain, the first template.
const START_GRACE: Duration = Duration::from_secs(5 * 60);

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
        match (snapshot.job.is_some(), snapshot.work_source.trouble) {
            (false, _) if is_early => Self::Starting,
            (true, None) => Self::Good,
            (true, Some(_)) if is_early => Self::Good,
            (_, Some(reason)) => Self::Degraded(reason),
            (false, None) => Self::Degraded("no job template available"),
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
        snapshot.work_source.trouble = Some("node/job feed error");
        assert_eq!(Health::of(&snapshot), Health::Degraded("node/job feed error"));
    }

    #[test]
    fn with_a_job_what_the_gate_says_counts_after_the_first_minutes() {
        let mut snapshot = sample::busy();
        assert_eq!(Health::of(&snapshot), Health::Good);
        for reason in ["node/job feed error", "node syncing/indexing"] {
            snapshot.work_source.trouble = Some(reason);
            assert_eq!(Health::of(&snapshot), Health::Degraded(reason));
        }
        snapshot.uptime = START_GRACE - Duration::from_secs(1);
        assert_eq!(Health::of(&snapshot), Health::Good);
    }
}
