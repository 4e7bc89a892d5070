//! When the next copy is due. Pure: Unix seconds in and out.

use std::time::Duration;

use crate::backoff::Backoff;

const RETRY_FIRST: Duration = Duration::from_secs(60);
const RETRY_MAX: Duration = Duration::from_secs(3600);

/// What an earlier process has left behind. Times are 0 for what there has not been.
#[derive(Clone, Copy, Debug)]
pub(super) struct Earlier {
    pub(super) attempt_at: u64,
    pub(super) copy_at: u64,
    /// Whether a run would find something that is not in the last copy.
    pub(super) has_changed: bool,
    /// Whether that copy is where it should be.
    pub(super) is_copy_there: bool,
}

impl Earlier {
    /// Whether it would have tried again before an interval is over. A try is written down before it
    /// is made, and its copy with the same time: an attempt that is newer than the copy has failed,
    /// or was interrupted, or had nothing to copy. The last cannot be told from the others once
    /// something has changed, and then has a copy before its time.
    fn owes_a_copy(self) -> bool {
        let has_failed = self.attempt_at > self.copy_at && self.has_changed;
        has_failed || !self.is_copy_there
    }
}

/// Runs are `interval` apart, counted from when each was due and not from when it happened, so that
/// the hour of the day stays; a run that failed is tried again sooner (FIX-30, FIX-31).
#[derive(Debug)]
pub(super) struct Schedule {
    /// Seconds, above 0.
    interval: u64,
    due: u64,
    backoff: Backoff,
}

impl Schedule {
    /// `last_attempt` is that of an earlier process; 0 when there was none.
    pub(super) fn new(interval: u64, last_attempt: u64, now: u64) -> Self {
        let due = match last_attempt {
            0 => now,
            // A clock that was set back does not put it off for longer than an interval.
            last => last.min(now).saturating_add(interval),
        };
        Self { interval, due, backoff: Backoff::new(RETRY_FIRST, RETRY_MAX) }
    }

    /// Goes on where an earlier process was: what it would have tried again soon is tried again soon
    /// after the start (FIX-31).
    pub(super) fn after(interval: u64, earlier: Earlier, now: u64) -> Self {
        let mut schedule = Self::new(interval, earlier.attempt_at, now);
        if earlier.owes_a_copy() {
            schedule.due = schedule.due.min(now.saturating_add(RETRY_FIRST.as_secs()));
        }
        schedule
    }

    /// Seconds until the next run; 0 when it is due.
    pub(super) fn wait(&self, now: u64) -> u64 {
        let wait = self.due.saturating_sub(now);
        // Nothing is due so late: the clock was set back, and would have to come up to it again.
        if wait > self.interval.saturating_mul(2) { 0 } else { wait.min(self.interval) }
    }

    pub(super) fn succeeded(&mut self, now: u64) {
        self.backoff.succeeded();
        let next = self.due.saturating_add(self.interval);
        // Runs that were missed are not made up for, and one that was asked for early counts too.
        let is_next = next > now && next <= now.saturating_add(self.interval);
        self.due = if is_next { next } else { now.saturating_add(self.interval) };
    }

    pub(super) fn failed(&mut self, now: u64) {
        let delay = self.backoff.failed().as_secs();
        self.due = now.saturating_add(delay.min(self.interval));
    }

    /// There is something new: it is due now, if it was not before.
    pub(super) fn hurry(&mut self, now: u64) {
        self.due = self.due.min(now);
    }

    /// Runs in a row that failed.
    pub(super) fn failures(&self) -> u32 {
        self.backoff.failures()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hour_stays_however_late_each_run_is() {
        let mut schedule = Schedule::new(1000, 0, 5000);
        assert_eq!(schedule.wait(5000), 0);
        for run in 0..100 {
            let due = 5000 + 1000 * run;
            assert_eq!(schedule.wait(due), 0, "{run}");
            assert_eq!(schedule.wait(due - 1), 1, "{run}");
            schedule.succeeded(due + 7);
        }
        assert_eq!(schedule.wait(104_990), 10);
    }

    #[test]
    fn it_goes_on_where_the_last_process_was() {
        assert_eq!(Schedule::new(1000, 4500, 5000).wait(5000), 500);
        assert_eq!(Schedule::new(1000, 1, 5000).wait(5000), 0);
        assert_eq!(Schedule::new(1000, 9000, 5000).wait(5000), 1000, "the clock was set back");
    }

    #[test]
    fn what_an_earlier_process_has_not_copied_is_tried_soon_after_the_start() {
        #[track_caller]
        fn check(earlier: Earlier, wait: u64) {
            assert_eq!(Schedule::after(43_200, earlier, 50_000).wait(50_000), wait, "{earlier:?}");
        }
        let copied =
            Earlier { attempt_at: 49_000, copy_at: 49_000, has_changed: true, is_copy_there: true };
        check(copied, 42_200);
        let failed = Earlier { copy_at: 5000, ..copied };
        check(failed, 60);
        check(Earlier { copy_at: 0, ..failed }, 60);
        // It had nothing to copy, and still has not.
        check(Earlier { has_changed: false, ..failed }, 42_200);
        check(Earlier { has_changed: false, is_copy_there: false, ..copied }, 60);
        // Sooner by its hour.
        check(Earlier { attempt_at: 6810, ..failed }, 10);
        check(Earlier { attempt_at: 6000, ..failed }, 0);
        let never = Earlier { attempt_at: 0, copy_at: 0, has_changed: true, is_copy_there: false };
        check(never, 0);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_end_the_runs() {
        let mut schedule = Schedule::new(1000, 0, 500_000);
        schedule.succeeded(500_000);
        assert_eq!(schedule.wait(499_999), 1000, "a little");
        assert_eq!(schedule.wait(7000), 0);
        schedule.succeeded(7000);
        assert_eq!(schedule.wait(7000), 1000);
        schedule.failed(7000);
        assert_eq!(schedule.wait(7), 0);
    }

    #[test]
    fn runs_that_were_missed_are_not_made_up_for() {
        let mut schedule = Schedule::new(1000, 0, 5000);
        schedule.succeeded(20_500);
        assert_eq!(schedule.wait(20_500), 1000);
    }

    #[test]
    fn a_failure_is_tried_again_after_1_2_4_to_60_minutes() {
        let mut schedule = Schedule::new(43_200, 0, 0);
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            schedule.failed(100);
            assert_eq!(schedule.wait(100), minutes * 60);
        }
        assert_eq!(schedule.failures(), 9);
        schedule.succeeded(200);
        assert_eq!((schedule.failures(), schedule.wait(200)), (0, 43_200));
    }
}
