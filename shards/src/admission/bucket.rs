//! How fast connections may come in: one token bucket for the whole process (`stratum.md` §1.3).
//!
//! It closes nothing. Who takes a token is told how long to wait for it, and meanwhile new
//! connections wait in the kernel's backlog.

use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// A wait that rounds to nothing is still a wait: the token is not there yet (`config.md` §6.3).
const WAIT_MIN: Duration = Duration::from_millis(1);

/// How a bucket fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub per_second: NonZeroU32,
    /// Tokens it holds when full.
    pub burst: NonZeroU32,
}

/// The two phases of the limiter: at first everyone reconnects, later hardly anyone does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptRates {
    pub start: Rate,
    /// What applies this long after the listeners start; without it the first rate stays.
    pub steady: Option<(Duration, Rate)>,
}

/// The bucket, shared by every listener of every shard and locked once per connection.
#[derive(Debug)]
pub struct AcceptLimiter {
    start: Rate,
    /// The second phase, and when it begins on the clock of the process.
    steady: Option<(Duration, Rate)>,
    balance: Mutex<Balance>,
}

#[derive(Clone, Copy, Debug)]
struct Balance {
    /// Below zero: so many tokens have been promised to callers that wait for them.
    tokens: f64,
    /// The moment this is true of.
    at: Duration,
}

impl Rate {
    fn tokens_in(self, time: Duration) -> f64 {
        time.as_secs_f64() * f64::from(self.per_second.get())
    }

    fn time_for(self, tokens: f64) -> Duration {
        Duration::from_secs_f64(tokens / f64::from(self.per_second.get()))
    }
}

impl Balance {
    fn fill(&mut self, rate: Rate, until: Duration) {
        let full = f64::from(rate.burst.get());
        // The minimum also cuts what a smaller bucket cannot keep.
        self.tokens = (self.tokens + rate.tokens_in(until - self.at)).min(full);
        self.at = until;
    }
}

impl AcceptLimiter {
    /// A full bucket; `now` is when the listeners start.
    pub fn new(rates: AcceptRates, now: Duration) -> Self {
        let AcceptRates { start, steady } = rates;
        let balance = Balance { tokens: f64::from(start.burst.get()), at: now };
        Self {
            start,
            steady: steady.map(|(after, rate)| (now + after, rate)),
            balance: Mutex::new(balance),
        }
    }

    /// Takes a token and says how long to wait before using it. The token is the caller's: a
    /// second call takes a second one.
    pub fn take(&self, now: Duration) -> Duration {
        let mut balance = self.filled(now);
        balance.tokens -= 1.0;
        if balance.tokens >= 0.0 {
            return Duration::ZERO;
        }
        self.time_for(-balance.tokens, balance.at).max(WAIT_MIN)
    }

    /// Gives back a token that was taken and not used: the wait for it was cut short.
    pub fn put_back(&self, now: Duration) {
        self.filled(now).tokens += 1.0;
    }

    /// The balance at `now`. Shards read their clocks apart, so a reading may be a little older
    /// than the last one: nothing is filled twice.
    fn filled(&self, now: Duration) -> MutexGuard<'_, Balance> {
        let mut balance = self.balance.lock().expect("no code panics while it holds this");
        let now = now.max(balance.at);
        match self.steady {
            Some((from, steady)) if now >= from => {
                if balance.at < from {
                    balance.fill(self.start, from);
                }
                balance.fill(steady, now);
            }
            _ => balance.fill(self.start, now),
        }
        balance
    }

    /// How long from `now` until `deficit` tokens have come in, across the change of phase: a
    /// caller that waits for the first rate while the second fills would come too early.
    fn time_for(&self, deficit: f64, now: Duration) -> Duration {
        let rate = match self.steady {
            Some((from, steady)) if now >= from => steady,
            Some((from, steady)) => {
                let until_then = from - now;
                let before = self.start.tokens_in(until_then);
                if before < deficit {
                    return until_then + steady.time_for(deficit - before);
                }
                self.start
            }
            None => self.start,
        };
        rate.time_for(deficit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_second: u32, burst: u32) -> Rate {
        let positive = |number| NonZeroU32::new(number).expect("positive");
        Rate { per_second: positive(per_second), burst: positive(burst) }
    }

    fn limiter(start: Rate, steady: Option<(u64, Rate)>) -> AcceptLimiter {
        let steady = steady.map(|(after, rate)| (Duration::from_secs(after), rate));
        AcceptLimiter::new(AcceptRates { start, steady }, Duration::ZERO)
    }

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[track_caller]
    fn check_wait(limiter: &AcceptLimiter, now_ms: u64, wait_ms: u64) {
        let wait = limiter.take(at(now_ms));
        let off = wait.abs_diff(at(wait_ms));
        assert!(off < Duration::from_micros(1), "{wait:?}, not {wait_ms} ms");
    }

    #[test]
    fn it_starts_full_and_then_lends_against_time() {
        let limiter = limiter(rate(10, 3), None);
        for wait in [0, 0, 0, 100, 200, 300] {
            check_wait(&limiter, 0, wait);
        }
        check_wait(&limiter, 300, 100);
        // Filled without a pause, and never above its size.
        for wait in [0, 0, 0, 100] {
            check_wait(&limiter, 10_000, wait);
        }
        check_wait(&limiter, 10_050, 150);
    }

    #[test]
    fn a_clock_that_lags_behind_another_fills_nothing() {
        let limiter = limiter(rate(10, 1), None);
        check_wait(&limiter, 1000, 0);
        check_wait(&limiter, 900, 100);
        check_wait(&limiter, 1100, 100);
    }

    #[test]
    fn a_cancelled_wait_gives_its_token_back() {
        let limiter = limiter(rate(10, 1), None);
        check_wait(&limiter, 0, 0);
        check_wait(&limiter, 0, 100);
        limiter.put_back(at(0));
        check_wait(&limiter, 0, 100);
    }

    #[test]
    fn a_wait_is_never_nothing() {
        let limiter = limiter(rate(1_000_000, 1), None);
        assert_eq!(limiter.take(Duration::ZERO), Duration::ZERO);
        assert_eq!(limiter.take(Duration::ZERO), WAIT_MIN);
    }

    #[test]
    fn the_second_phase_cuts_the_balance_and_slows_the_filling() {
        let limiter = limiter(rate(66, 333), Some((100, rate(5, 20))));
        for _ in 0..333 {
            check_wait(&limiter, 90_000, 0);
        }
        // Ten seconds at the first rate are 660 tokens, of which the new bucket holds 20.
        for _ in 0..20 {
            check_wait(&limiter, 100_000, 0);
        }
        check_wait(&limiter, 100_000, 200);
    }

    #[test]
    fn a_wait_across_the_change_of_phase_is_as_long_as_both_rates_say() {
        let limiter = limiter(rate(10, 1), Some((1, rate(2, 4))));
        check_wait(&limiter, 800, 0);
        check_wait(&limiter, 800, 100);
        check_wait(&limiter, 800, 200);
        // Two tokens come in 200 ms at ten a second, the third takes half a second more.
        check_wait(&limiter, 800, 700);
        check_wait(&limiter, 1000, 1000);
    }

    /// Many takers that come as they like and each use their token when its wait is over.
    #[test]
    fn no_window_sees_more_than_the_rate_and_one_burst() {
        let (per_second, burst) = (50, 30);
        let limiter = limiter(rate(per_second, burst), None);
        let mut random = 1u64;
        let mut now = Duration::ZERO;
        let mut used_at = Vec::new();
        for _ in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Crowds with pauses between them: 17 ms apart on average, where 20 are the rate.
            let pause = if random >> 60 == 0 { random >> 46 & 0x1ff } else { random >> 58 & 3 };
            now += at(pause);
            used_at.push(now + limiter.take(now));
        }
        used_at.sort_unstable();
        for window in [1, 100, 1000, 7000, 60_000].map(at) {
            let allowed = window.as_secs_f64() * f64::from(per_second) + f64::from(burst) + 1.0;
            let mut first = 0;
            for last in 0..used_at.len() {
                while used_at[last] - used_at[first] > window {
                    first += 1;
                }
                let used = (last - first + 1) as f64;
                assert!(used <= allowed, "{used} in {window:?}, {allowed} allowed");
            }
        }
        let whole = *used_at.last().expect("some");
        let filled = whole.as_secs_f64() * f64::from(per_second);
        assert!(used_at.len() as f64 > 0.9 * filled, "what is asked for is also given");
    }

    #[test]
    fn shards_share_one_rate() {
        let limiter = limiter(rate(1, 1000), None);
        let taken_at_once: usize = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..500).filter(|_| limiter.take(at(0)).is_zero()).count()))
                .collect();
            takers.into_iter().map(|taker| taker.join().expect("no panic")).sum()
        });
        assert_eq!(taken_at_once, 1000);
    }
}
