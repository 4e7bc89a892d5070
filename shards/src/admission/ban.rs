//! One ban, and how the miner is told of it (`stratum.md` §9.1 to §9.3).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::source::Source;
use super::time_text::utc;

/// Longest reason that is kept: it must fit in a message to the miner beside its frame (512
/// bytes, `stratum.md` §2.4).
const REASON_BYTES_MAX: usize = 256;

/// `policy.toml [bans] ban_invalid_submissions_*`: for invalid submissions and for protocol
/// violations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BanRules {
    /// So many in the window are one too many; 0 switches these bans off.
    pub threshold: u32,
    pub window: Duration,
    /// How long a ban lasts.
    pub duration: Duration,
}

/// One ban. Connections may hold the same one as the list: lifting it there reaches them.
#[derive(Clone, Debug)]
pub struct Ban {
    /// The full worker name, trimmed; blank for a connection that had none yet.
    pub worker: Arc<str>,
    /// When it ends; 0 is never.
    pub until_unix: u64,
    /// May be empty.
    pub reason: Arc<str>,
    /// Where it applies, for automatic bans; `None` is everywhere.
    pub source: Option<Source>,
    /// Shared with the ban it replaced, which a connection may still hold.
    lifted: Arc<AtomicBool>,
}

impl Ban {
    pub fn new(worker: &str, until_unix: u64, reason: &str, source: Option<Source>) -> Self {
        let reason = reason.trim();
        let reason = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
        let worker = worker.trim().into();
        Self { worker, until_unix, reason: reason.into(), source, lifted: Arc::default() }
    }

    pub fn is_in_force(&self, now_unix: u64) -> bool {
        let is_over = self.until_unix != 0 && now_unix >= self.until_unix;
        !is_over && !self.lifted.load(Ordering::Relaxed)
    }

    /// Ends it at once, for everyone who holds it.
    pub(super) fn lift(&self) {
        self.lifted.store(true, Ordering::Relaxed);
    }

    /// It replaces `before`: who lifts it means both.
    pub(super) fn is_lifted_with(&mut self, before: &Self) {
        self.lifted = Arc::clone(&before.lifted);
    }

    /// The message of error 24: `banned until <time>: <reason>`, as far as both are known.
    pub fn error_message(&self) -> String {
        let mut message = String::from("banned");
        if self.until_unix != 0 {
            message += " until ";
            message += &utc(self.until_unix);
        }
        if !self.reason.is_empty() {
            message += ": ";
            message += &self.reason;
        }
        message
    }

    /// What `client.show_message` says before the connection is closed (`stratum.md` §4, §9.1).
    pub fn notice(&self) -> String {
        format!("Banned: {}", if self.reason.is_empty() { "banned" } else { &self.reason })
    }

    /// What `client.show_message` says when it stays open (`stratum.md` §9.2).
    pub fn notice_with_end(&self) -> String {
        self.error_message().replacen('b', "B", 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNTIL: u64 = 1_795_324_500;

    #[test]
    fn the_texts_of_the_specification() {
        let ban = |until, reason| Ban::new("w", until, reason, None);
        let reason = "too many invalid submissions (40 in 5m0s)";
        let text = format!("banned until 2026-11-22T05:15:00Z: {reason}");
        assert_eq!(ban(UNTIL, reason).error_message(), text);
        assert_eq!(ban(UNTIL, " ").error_message(), "banned until 2026-11-22T05:15:00Z");
        assert_eq!(ban(0, " admin ban ").error_message(), "banned: admin ban");
        assert_eq!(ban(0, "").error_message(), "banned");
        assert_eq!(ban(UNTIL, "Miner too slow").notice(), "Banned: Miner too slow");
        assert_eq!(ban(UNTIL, "").notice(), "Banned: banned");
        let notice = format!("Banned until 2026-11-22T05:15:00Z: {reason}");
        assert_eq!(ban(UNTIL, reason).notice_with_end(), notice);
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let ban = Ban::new("w", 0, &"ä".repeat(1000), None);
        assert_eq!(ban.reason.len(), REASON_BYTES_MAX);
        assert!(Ban::new("w", 0, &format!("x{}", "ä".repeat(1000)), None).reason.len() < 256);
    }
}
