//! Passwords that were wrong make the next attempt wait: by address, longer each time, so that nobody
//! guesses and nobody locks others out (`web.md` §6.2).

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::super::limits::Household;

/// People mistype.
const FREE_FAILURES: u32 = 5;
const WAIT_MIN: Duration = Duration::from_secs(60);
const WAIT_MAX: Duration = Duration::from_secs(3600);
/// After this without an attempt everything is forgotten.
const MEMORY: Duration = Duration::from_secs(24 * 3600);
/// Addresses that are remembered; the one whose last attempt is longest ago makes room.
const ADDRESSES_MAX: usize = 4096;

/// Who has failed how often.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: HashMap<Household, Failures>,
}

#[derive(Debug)]
struct Failures {
    count: u32,
    last_at: Instant,
}

impl Failures {
    /// Until when nothing more is tried; none while people may mistype.
    fn waits_until(&self) -> Option<Instant> {
        let doublings = self.count.checked_sub(FREE_FAILURES)?;
        let wait = WAIT_MIN.saturating_mul(1 << doublings.min(16)).min(WAIT_MAX);
        Some(self.last_at + wait)
    }
}

impl Backoff {
    /// Whether somebody there may try now, or how long to wait. It counts as a failure until it has
    /// succeeded: many attempts at once are many.
    pub fn begin(&mut self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let who = Household::of(address);
        if let Some(failures) = self.failures.get(&who)
            && let Some(until) = failures.waits_until()
            && until > now
        {
            return Err(until - now);
        }
        if !self.failures.contains_key(&who) {
            self.make_room(now);
        }
        let failures = self.failures.entry(who).or_insert(Failures { count: 0, last_at: now });
        if now.saturating_duration_since(failures.last_at) >= MEMORY {
            failures.count = 0;
        }
        failures.count = failures.count.saturating_add(1);
        failures.last_at = now;
        Ok(())
    }

    pub fn succeeded(&mut self, address: IpAddr) {
        self.failures.remove(&Household::of(address));
    }

    fn make_room(&mut self, now: Instant) {
        if self.failures.len() < ADDRESSES_MAX {
            return;
        }
        self.failures.retain(|_, it| now.saturating_duration_since(it.last_at) < MEMORY);
        while self.failures.len() >= ADDRESSES_MAX {
            let oldest = self.failures.iter().min_by_key(|(_, it)| it.last_at).map(|(who, _)| *who);
            let Some(oldest) = oldest else { return };
            self.failures.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn after_five_failures_each_wait_is_twice_the_one_before_up_to_an_hour() {
        let mut backoff = Backoff::default();
        let mut now = Instant::now();
        for _ in 0..5 {
            assert_eq!(backoff.begin(ip("1.2.3.4"), now), Ok(()));
        }
        let mut waits = Vec::new();
        for _ in 0..9 {
            let wait = backoff.begin(ip("1.2.3.4"), now).unwrap_err();
            assert!(backoff.begin(ip("1.2.3.4"), now + wait - SECOND).is_err(), "and no earlier");
            assert_eq!(backoff.begin(ip("9.9.9.9"), now), Ok(()), "nobody else waits");
            backoff.succeeded(ip("9.9.9.9"));
            now += wait;
            assert_eq!(backoff.begin(ip("1.2.3.4"), now), Ok(()));
            waits.push(wait.as_secs());
        }
        assert_eq!(waits, [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]);
        assert_eq!(backoff.begin(ip("1.2.3.4"), now + MEMORY), Ok(()));
        assert_eq!(backoff.begin(ip("1.2.3.4"), now + MEMORY), Ok(()), "all is forgotten");
    }

    #[test]
    fn who_succeeds_starts_again_and_a_network_is_one() {
        let mut backoff = Backoff::default();
        let now = Instant::now();
        for _ in 0..20 {
            assert_eq!(backoff.begin(ip("1.2.3.4"), now), Ok(()));
            backoff.succeeded(ip("1.2.3.4"));
        }
        for host in 0..5 {
            assert_eq!(backoff.begin(ip(&format!("2001:db8::{host}")), now), Ok(()));
        }
        assert!(backoff.begin(ip("2001:db8::ffff"), now).is_err());
        assert_eq!(backoff.begin(ip("2001:db8:1::1"), now), Ok(()));
    }

    #[test]
    fn many_addresses_are_forgotten_oldest_first() {
        let mut backoff = Backoff::default();
        let start = Instant::now();
        for number in 0..ADDRESSES_MAX as u32 + 10 {
            let at = start + Duration::from_millis(number.into());
            backoff.begin(number.to_be_bytes().into(), at).unwrap();
        }
        assert_eq!(backoff.failures.len(), ADDRESSES_MAX);
        assert!(!backoff.failures.contains_key(&Household::of(9u32.to_be_bytes().into())));
        assert!(backoff.failures.contains_key(&Household::of(10u32.to_be_bytes().into())));
    }
}
