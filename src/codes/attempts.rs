//! How often each user may do a thing within ten minutes (FIX-21).

use std::collections::HashMap;

/// Within which attempts are counted.
const WINDOW_SECONDS: u64 = 600;
/// One user's within the window.
pub(super) const ATTEMPTS_MAX: usize = 5;
/// Users remembered at once. A full table refuses whom it does not know: when that many are at
/// it together it is an attack, and forgetting some of them would give them their guesses back.
pub(super) const USERS_MAX: usize = 4096;

/// Times of the attempts that count; nobody has more than [`ATTEMPTS_MAX`].
#[derive(Debug, Default)]
pub(super) struct Attempts {
    times: HashMap<String, Vec<u64>>,
}

impl Attempts {
    /// Seconds until `user` may try again; none when that is now.
    pub(super) fn wait(&mut self, user: &str, now: u64) -> Option<u64> {
        if let Some(times) = self.times.get_mut(user) {
            times.retain(|at| counts(*at, now));
            if times.len() < ATTEMPTS_MAX {
                return None;
            }
            let oldest = times.iter().min().copied().unwrap_or(now);
            return Some((oldest + WINDOW_SECONDS).saturating_sub(now).max(1));
        }
        if self.times.len() >= USERS_MAX {
            self.forget_idle(now);
        }
        (self.times.len() >= USERS_MAX).then_some(WINDOW_SECONDS)
    }

    /// Counts one attempt of a user whom [`Self::wait`] has just let through.
    pub(super) fn count(&mut self, user: &str, now: u64) {
        match self.times.get_mut(user) {
            Some(times) => times.push(now),
            None => {
                self.times.insert(user.to_owned(), vec![now]);
            }
        }
    }

    pub(super) fn forget_idle(&mut self, now: u64) {
        self.times.retain(|_, times| {
            times.retain(|at| counts(*at, now));
            !times.is_empty()
        });
    }
}

/// A time that is still to come was taken before the clock was set back; it is forgotten, since
/// nobody can say how long ago it was.
fn counts(at: u64, now: u64) -> bool {
    now.checked_sub(at).is_some_and(|age| age < WINDOW_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempts(user: &str, times: &[u64]) -> Attempts {
        let mut attempts = Attempts::default();
        for at in times {
            assert_eq!(attempts.wait(user, *at), None);
            attempts.count(user, *at);
        }
        attempts
    }

    #[test]
    fn five_attempts_in_ten_minutes_are_allowed_to_each() {
        let mut attempts = attempts("a", &[1000, 1010, 1020, 1030, 1040]);
        assert_eq!(attempts.wait("a", 1040), Some(560));
        assert_eq!(attempts.wait("a", 1599), Some(1));
        assert_eq!(attempts.wait("b", 1040), None);
        // The oldest is ten minutes old: one more may follow it, no second one.
        assert_eq!(attempts.wait("a", 1600), None);
        attempts.count("a", 1600);
        assert_eq!(attempts.wait("a", 1600), Some(10));
    }

    #[test]
    fn a_full_table_refuses_those_it_does_not_know_until_others_are_idle() {
        let mut attempts = Attempts::default();
        for i in 0..USERS_MAX {
            attempts.count(&i.to_string(), 1000);
        }
        assert_eq!(attempts.wait("new", 1001), Some(WINDOW_SECONDS));
        assert_eq!(attempts.wait("7", 1001), None);
        assert_eq!(attempts.wait("new", 1600), None);
        assert!(attempts.times.is_empty());
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out() {
        let mut attempts = attempts("a", &[5000; ATTEMPTS_MAX]);
        assert_eq!(attempts.wait("a", 1000), None);
    }
}
