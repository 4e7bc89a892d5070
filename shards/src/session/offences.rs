//! What one connection has done wrong: invalid submissions (`stratum.md` §9.2) and messages
//! faster than they may come (§1.11). Small enough to be a part of every session.

use std::sync::Arc;
use std::time::Duration;

use memchr::memmem;

use crate::admission::ban::{Ban, BanRules};
use crate::admission::time_text::short;
use crate::wire::reject::Reject;

/// Parts of the window that are forgotten at a time: the count covers the last nine to ten
/// tenths of it, and never anything older.
const BUCKETS: usize = 10;
/// Largest threshold that is told apart: with the forgiveness that belongs to it, one bucket
/// holds all that has to be counted.
const THRESHOLD_MAX: u32 = 32_767;
const _: () = assert!(THRESHOLD_MAX + THRESHOLD_MAX / 2 < u16::MAX as u32);
const _: () = assert!(THRESHOLD_MAX / 2 <= u16::MAX as u32 / 2, "accepted ones count by half");

/// The reason and the length of a ban for too many messages.
pub(super) const MESSAGE_RATE_REASON: &str = "stratum message rate limit";
pub(super) const MESSAGE_RATE_BAN: Duration = Duration::from_secs(60 * 60);
const MESSAGE_WINDOW_MS: u32 = 60_000;
/// Submissions count half in the first minutes: until its difficulty has settled, a fast miner
/// sends more of them than it ever will again.
const EARLY_SUBMIT_PERIOD: Duration = Duration::from_secs(240);

/// What is held against one connection.
#[derive(Debug, Default)]
pub(super) struct Offences {
    submissions: Submissions,
    messages: Messages,
    ban: Option<Arc<Ban>>,
}

impl Offences {
    /// The ban of this connection, while it is in force: its submissions are refused (row B3 of
    /// §6.1), everything else goes on.
    pub(super) fn ban(&mut self, now_unix: u64) -> Option<&Arc<Ban>> {
        if self.ban.as_ref().is_some_and(|ban| !ban.is_in_force(now_unix)) {
            self.ban = None;
        }
        self.ban.as_ref()
    }

    pub(super) fn set_ban(&mut self, ban: Arc<Ban>) {
        self.ban = Some(ban);
    }

    /// A share or a block has been accepted: every second one makes up for an invalid one.
    pub(super) fn accepted(&mut self, now: Duration, rules: &BanRules) {
        if rules.threshold > 0 {
            let bucket = self.submissions.bucket(now, rules.window);
            bucket.accepted = bucket.accepted.saturating_add(1);
        }
    }

    /// Counts a submission that [`is_offence`]; the reason for a ban, when it is the last one
    /// that is put up with. Counting starts again after it.
    pub(super) fn invalid(&mut self, now: Duration, rules: &BanRules) -> Option<String> {
        if rules.threshold == 0 {
            return None;
        }
        let bucket = self.submissions.bucket(now, rules.window);
        bucket.invalid = bucket.invalid.saturating_add(1);
        let threshold = rules.threshold.min(THRESHOLD_MAX);
        let effective = self.submissions.effective(threshold);
        if effective < threshold {
            return None;
        }
        self.submissions = Submissions::default();
        Some(format!("too many invalid submissions ({effective} in {})", short(rules.window)))
    }

    /// Weighs a line before it is read; whether it is one more than `per_minute` (0 for no limit)
    /// allows. `age` is the connection's.
    ///
    /// The limit is the number configured, not twice that (README, decision 4); windows are fixed
    /// and start with the first line.
    pub(super) fn is_one_too_many(
        &mut self,
        is_submit: impl FnOnce() -> bool,
        now: Duration,
        age: Duration,
        per_minute: u32,
    ) -> bool {
        per_minute > 0 && self.messages.weigh(is_submit, now, age) > 2 * u64::from(per_minute)
    }
}

/// Whether a submission refused for this counts toward a ban. Only what was wrong with a share of
/// a known job does: the same words for a parameter that is no string (rows A of §6.1) do not.
pub(super) fn is_offence(reject: Reject) -> bool {
    matches!(
        reject,
        Reject::InvalidExtranonce2
            | Reject::InvalidNtime
            | Reject::InvalidNonce
            | Reject::VersionRollingOff
            | Reject::InvalidVersionMask
    )
}

/// Submissions of the last window. A ring by time: bucket `index % BUCKETS` belongs to the
/// `index`-th tenth of a window since the process started.
#[derive(Debug, Default)]
struct Submissions {
    buckets: [Bucket; BUCKETS],
    /// Index of the newest bucket.
    newest: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    invalid: u16,
    accepted: u16,
}

impl Submissions {
    /// The bucket of `now`, when those that are too old have been emptied. After a change of the
    /// window's length the indices mean something else, and what they say is forgotten.
    fn bucket(&mut self, now: Duration, window: Duration) -> &mut Bucket {
        let width_ms = (milliseconds(window) / BUCKETS as u64).max(1);
        let index = (milliseconds(now) / width_ms) as u32;
        match index.checked_sub(self.newest) {
            Some(passed) if (passed as usize) < BUCKETS => {
                for later in self.newest + 1..=index {
                    self.buckets[later as usize % BUCKETS] = Bucket::default();
                }
            }
            _ => self.buckets = Default::default(),
        }
        self.newest = index;
        &mut self.buckets[index as usize % BUCKETS]
    }

    /// The invalid ones that are not made up for. No more than half the threshold is, and one in
    /// any case.
    fn effective(&self, threshold: u32) -> u32 {
        let sum = |count: fn(&Bucket) -> u16| -> u32 {
            self.buckets.iter().map(|bucket| u32::from(count(bucket))).sum()
        };
        let forgiven = (sum(|bucket| bucket.accepted) / 2).min((threshold / 2).max(1));
        sum(|bucket| bucket.invalid).saturating_sub(forgiven)
    }
}

/// Lines of the current minute.
#[derive(Debug, Default)]
struct Messages {
    /// When the minute began, in milliseconds of a clock that wraps round after 49 days: longer
    /// than a connection may be silent, so differences are right.
    began_at_ms: u32,
    /// What has come since, in half messages; zero before the first line.
    halves: u32,
}

impl Messages {
    /// The weight of the minute so far, this line included.
    fn weigh(&mut self, is_submit: impl FnOnce() -> bool, now: Duration, age: Duration) -> u64 {
        let now_ms = milliseconds(now) as u32;
        if self.halves == 0 || now_ms.wrapping_sub(self.began_at_ms) >= MESSAGE_WINDOW_MS {
            *self = Self { began_at_ms: now_ms, halves: 0 };
        }
        let is_early_submit = age < EARLY_SUBMIT_PERIOD && is_submit();
        let weight = if is_early_submit { 1 } else { 2 };
        self.halves = self.halves.saturating_add(weight);
        u64::from(self.halves)
    }
}

/// Whether a line looks like a submission. It has not been parsed: one that only looks like it
/// gains half a message.
pub(super) fn is_submit(line: &[u8]) -> bool {
    memmem::find(line, b"\"mining.submit\"").is_some()
}

fn milliseconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1000).saturating_add(u64::from(duration.subsec_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: &[u8] = br#"{"id":1,"method":"mining.ping","params":[]}"#;
    const SUBMIT: &[u8] = br#"{"id":1,"method":"mining.submit","params":["w","1","2","3","4"]}"#;

    fn rules(threshold: u32) -> BanRules {
        BanRules { threshold, window: seconds(300), duration: seconds(900) }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn accept(offences: &mut Offences, count: u32, now: u64, rules: &BanRules) {
        for _ in 0..count {
            offences.accepted(seconds(now), rules);
        }
    }

    /// How many invalid submissions in a row it takes, and what is said then.
    fn invalid_until_banned(offences: &mut Offences, rules: &BanRules) -> (u32, String) {
        (1..)
            .find_map(|count| offences.invalid(seconds(0), rules).map(|reason| (count, reason)))
            .expect("the loop has no end")
    }

    #[test]
    fn the_tenth_of_ten_bans() {
        let (count, reason) = invalid_until_banned(&mut Offences::default(), &rules(10));
        assert_eq!((count, &*reason), (10, "too many invalid submissions (10 in 5m0s)"));
        let (count, reason) = invalid_until_banned(&mut Offences::default(), &rules(40));
        assert_eq!((count, &*reason), (40, "too many invalid submissions (40 in 5m0s)"));
    }

    #[test]
    fn accepted_shares_forgive_half_the_threshold_at_most() {
        for (accepted, threshold, banned_at) in
            [(200, 10, 15), (10, 10, 15), (9, 10, 14), (1, 10, 10), (2, 1, 2), (9999, 1, 2)]
        {
            let mut offences = Offences::default();
            accept(&mut offences, accepted, 0, &rules(threshold));
            let (count, _) = invalid_until_banned(&mut offences, &rules(threshold));
            assert_eq!(count, banned_at, "{accepted} accepted, threshold {threshold}");
        }
    }

    #[test]
    fn three_and_one_with_two_accepted_between_are_three_of_four() {
        let (mut offences, rules) = (Offences::default(), rules(4));
        for _ in 0..3 {
            assert_eq!(offences.invalid(seconds(0), &rules), None);
        }
        accept(&mut offences, 2, 1, &rules);
        assert_eq!(offences.invalid(seconds(2), &rules), None);
        let reason = "too many invalid submissions (4 in 5m0s)";
        assert_eq!(offences.invalid(seconds(3), &rules).as_deref(), Some(reason));
    }

    #[test]
    fn threshold_zero_never_bans() {
        let mut offences = Offences::default();
        assert!((0..100_000).all(|_| offences.invalid(seconds(0), &rules(0)).is_none()));
    }

    #[test]
    fn a_healthy_miner_is_never_banned_for_its_lifetime() {
        // One in 30 is invalid, a share every 4 seconds, for a year.
        let (mut offences, rules) = (Offences::default(), rules(40));
        for share in 0..365 * 24 * 900 {
            let now = seconds(4 * share);
            if share % 30 == 0 {
                assert_eq!(offences.invalid(now, &rules), None, "{share}");
            } else {
                offences.accepted(now, &rules);
            }
        }
    }

    /// Against exact counts, whatever the spacing: what is older than the window never counts,
    /// and what is younger than nine tenths of it always does.
    #[test]
    fn the_window_slides() {
        for window_ms in [45_000, 300_000, 1_000, 7] {
            let window = Duration::from_millis(window_ms);
            let mut submissions = Submissions::default();
            let mut times: Vec<u64> = Vec::new();
            let (mut random, mut now) = (1u64, 0);
            for _ in 0..5000 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                now += (random >> 33) % (window_ms / 3);
                times.push(now);
                submissions.bucket(Duration::from_millis(now), window).invalid += 1;
                let counted = submissions.effective(THRESHOLD_MAX) as usize;
                let within = |ms| times.iter().rev().take_while(|at| **at + ms > now).count();
                let width = (window_ms / BUCKETS as u64).max(1);
                assert!(counted <= within(width * BUCKETS as u64), "{window_ms}");
                assert!(counted >= within(width * (BUCKETS as u64 - 1)), "{window_ms}");
                let older = times.len().saturating_sub(100);
                times.drain(..older);
            }
        }
    }

    #[test]
    fn a_changed_window_starts_over() {
        let mut offences = Offences::default();
        let long = BanRules { window: seconds(3600), ..rules(3) };
        for rules in [rules(3), long, rules(3), long] {
            for _ in 0..2 {
                assert_eq!(offences.invalid(seconds(10_000), &rules), None);
            }
        }
    }

    #[test]
    fn counts_neither_overflow_nor_lose_the_largest_threshold() {
        let (mut offences, rules) = (Offences::default(), rules(u32::MAX));
        accept(&mut offences, 200_000, 0, &rules);
        let (count, _) = invalid_until_banned(&mut offences, &rules);
        assert_eq!(count, THRESHOLD_MAX + THRESHOLD_MAX / 2);
    }

    #[test]
    fn a_ban_holds_until_it_ends_or_is_lifted() {
        let mut offences = Offences::default();
        assert!(offences.ban(0).is_none());
        let list = crate::admission::bans::Bans::default();
        offences.set_ban(list.insert(Ban::new("w", 100, "reason", None)));
        assert!(offences.ban(99).is_some());
        assert!(offences.ban(100).is_none());
        offences.set_ban(list.insert(Ban::new("w", 200, "reason", None)));
        assert!(offences.ban(100).is_some());
        list.remove("w");
        assert!(offences.ban(100).is_none());
    }

    #[test]
    fn rejects_that_say_nothing_about_the_miner_do_not_count() {
        let counted = [
            Reject::InvalidExtranonce2,
            Reject::InvalidNtime,
            Reject::InvalidNonce,
            Reject::VersionRollingOff,
            Reject::InvalidVersionMask,
        ];
        assert!(counted.into_iter().all(is_offence));
        let uncounted = [
            Reject::InvalidParams,
            Reject::InvalidVersion,
            Reject::StaleJob,
            Reject::Duplicate,
            Reject::LowDifficulty { found: 1.0, expected: 2.0 },
            Reject::Unauthorized,
            Reject::UnauthorizedWorker,
        ];
        assert!(!uncounted.into_iter().any(is_offence));
    }

    /// How many lines in a row pass from `start` on.
    fn passing(offences: &mut Offences, line: &[u8], start: u64, age: u64, limit: u32) -> usize {
        (0..1000)
            .take_while(|_| {
                !offences.is_one_too_many(|| is_submit(line), seconds(start), seconds(age), limit)
            })
            .count()
    }

    #[test]
    fn the_limit_is_the_number_configured_and_early_submits_count_half() {
        for (line, age, passed) in
            [(PING, 0, 10), (PING, 9999, 10), (SUBMIT, 0, 20), (SUBMIT, 239, 20), (SUBMIT, 240, 10)]
        {
            assert_eq!(passing(&mut Offences::default(), line, 5, age, 10), passed, "{age}");
        }
        assert_eq!(passing(&mut Offences::default(), PING, 0, 0, 0), 1000, "0 is no limit");
    }

    #[test]
    fn a_minute_begins_with_its_first_line() {
        let mut offences = Offences::default();
        for minute in 0..10 {
            let start = 17 + 60 * minute;
            for line in 0..10 {
                let now = seconds(start + 5 * line);
                assert!(!offences.is_one_too_many(|| false, now, now, 10));
            }
        }
        let now = seconds(17 + 540 + 59);
        assert!(offences.is_one_too_many(|| false, now, now, 10));
    }

    #[test]
    fn the_wrapping_clock_of_messages_is_right_across_its_end() {
        let mut offences = Offences::default();
        let end = Duration::from_millis(1 << 32);
        let before = end - seconds(30);
        for _ in 0..10 {
            assert!(!offences.is_one_too_many(|| false, before, before, 10));
        }
        let (within, after) = (end + seconds(29), end + seconds(30));
        assert!(offences.is_one_too_many(|| false, within, within, 10));
        assert!(!offences.is_one_too_many(|| false, after, after, 10));
    }

    #[test]
    fn a_connection_pays_little_for_it() {
        assert!(size_of::<Offences>() <= 64);
    }
}
