//! A worker that goes and comes back, and when that is told (`state-and-services.md` §13.6). Pure:
//! what was seen and the time come in, what is to be told goes out.
//!
//! To be told of, a worker must have been there for the threshold and then away for it; so for the way
//! back. What is shorter is a restart, and nobody wants to be woken for one.

use crate::store::WorkerState;

/// What there is to tell of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Away,
    Back,
}

impl WorkerState {
    /// Seen for the first time; nothing is told of that.
    pub(super) fn first(online: bool, now: u64) -> Self {
        Self {
            online,
            since: now,
            seen_online: online,
            seen_offline: !online,
            offline_eligible: false,
            offline_notified: false,
            recovery_eligible: false,
            recovery_notified: false,
        }
    }

    /// Seen again, at a time in Unix seconds.
    pub(super) fn see(&mut self, online: bool, now: u64, threshold: u64) -> Option<Told> {
        let is_long = now.saturating_sub(self.since) >= threshold;
        if online != self.online {
            self.online = online;
            self.since = now;
            self.seen_online |= online;
            self.seen_offline |= !online;
            self.offline_notified = false;
            self.recovery_notified = false;
            self.offline_eligible = !online && is_long;
            self.recovery_eligible = online && is_long;
            return None;
        }
        if !is_long {
            return None;
        }
        if !online && self.seen_online && self.offline_eligible && !self.offline_notified {
            self.offline_notified = true;
            return Some(Told::Away);
        }
        if online && self.seen_offline && self.recovery_eligible && !self.recovery_notified {
            self.recovery_notified = true;
            self.recovery_eligible = false;
            return Some(Told::Back);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `+` was online and `-` was not, at minutes:seconds, a table of the specification; what is told
    /// comes behind an arrow.
    #[track_caller]
    fn check(threshold: u64, timeline: &str) {
        let mut state: Option<WorkerState> = None;
        for step in timeline.split_whitespace() {
            let (seen, expected) = step.split_once('>').unwrap_or((step, ""));
            let online = seen.starts_with('+');
            let (minutes, seconds) = seen[1..].split_once(':').unwrap();
            let number = |text: &str| text.parse::<u64>().unwrap();
            let now = 1_700_000_000 + number(minutes) * 60 + number(seconds);
            let told = match &mut state {
                Some(state) => state.see(online, now, threshold),
                None => {
                    state = Some(WorkerState::first(online, now));
                    None
                }
            };
            let word = match told {
                Some(Told::Away) => "away",
                Some(Told::Back) => "back",
                None => "",
            };
            assert_eq!(word, expected, "{step} of {timeline}");
        }
    }

    #[test]
    fn the_timelines_of_the_specification() {
        for timeline in [
            "+0:00 -6:00 -10:00 -11:00>away +11:30 +15:30 +16:30>back",
            "+0:00 -6:00 +7:00 +17:00",
            "+0:00 -1:00 -11:00",
            "-0:00 -5:00",
        ] {
            check(300, timeline);
        }
    }

    #[test]
    fn the_same_with_two_seconds() {
        for timeline in [
            "+0:00 -0:03 -0:04 -0:05>away +0:06 +0:07",
            "+0:00 -0:02 -0:04>away +0:04 +0:06>back",
            "+0:00 -0:02 -0:04>away +0:05 +0:06 -0:07 -0:09>away",
            "+0:00 -0:02 +0:03 +0:09",
            "+0:00 -0:01 -0:09",
            "-0:00 -0:09",
        ] {
            check(2, timeline);
        }
    }

    #[test]
    fn each_is_told_once_and_recovery_needs_no_alert_before_it() {
        check(300, "+0:00 -5:00 -10:00>away -11:00 -60:00 +61:00 +66:00>back +67:00 +99:00");
        // Away for long, and nobody looked in between.
        check(300, "+0:00 -5:00 +10:00 +15:00>back");
        // First seen offline: its coming is told, its having been away is not.
        check(300, "-0:00 -9:00 +10:00 +15:00>back");
        // A worker that flaps is never told of.
        check(300, "+0:00 -4:59 +9:58 -14:57 +19:56 -24:55");
        // A clock that is set back is no time at all.
        check(300, "+9:00 -15:00 -0:00 -20:00>away");
    }

    #[test]
    fn another_threshold_counts_from_the_next_look() {
        let mut state = WorkerState::first(true, 1000);
        assert_eq!(state.see(false, 1010, 10), None);
        assert_eq!(state.see(false, 1012, 300), None);
        assert_eq!(state.see(false, 1013, 2), Some(Told::Away));
    }
}
