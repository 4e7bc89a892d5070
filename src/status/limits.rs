//! How much one address may ask for: open connections, and requests that cost more than others.
//! An IPv6 address counts with its /64, which is what one customer has.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Open connections; more are closed at once. One that waits costs less than 3 KiB, 11 KiB with TLS
/// (`tests/pool/web.rs` measures it).
pub const CONNECTIONS_MAX: u32 = 8192;
/// Of one address: a browser opens six, an office behind one address has some.
pub const CONNECTIONS_PER_ADDRESS_MAX: u32 = 64;
/// Addresses that a rule remembers; the oldest is forgotten for a new one (`web.md` §1.10).
const ADDRESSES_MAX: usize = 4096;
const NETWORK_MASK: u128 = u128::MAX << 64;

/// Those who are counted as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Household(u128);

impl Household {
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.to_ipv6_mapped().to_bits()),
            IpAddr::V6(address) => Self(Ipv6Addr::to_bits(address) & NETWORK_MASK),
        }
    }
}

/// What is counted apart from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// `/user/`, `/users/` and `/stats/` with something after them.
    PathLookup,
    /// `/worker/search`, where those lead to.
    Search,
    /// `/worker/sha256`.
    Worker,
    /// `/login` and `/sign-in`, which lead to others.
    SignIn,
}

impl Class {
    const ALL: [Self; 4] = [Self::PathLookup, Self::Search, Self::Worker, Self::SignIn];

    /// Requests in a window that starts with the first of them (`web.md` §1.10).
    fn rule(self) -> (u32, Duration) {
        match self {
            Self::PathLookup => (10, Duration::from_secs(60)),
            Self::Search | Self::SignIn => (30, Duration::from_secs(60)),
            // A page that is open asks every ten seconds, and one may have some rigs.
            Self::Worker => (60, Duration::from_secs(60)),
        }
    }

    /// The class that requests for a path are of.
    pub fn of(path: &str) -> Option<Self> {
        match path {
            "/worker/search" => Some(Self::Search),
            "/worker/sha256" => Some(Self::Worker),
            "/login" | "/sign-in" => Some(Self::SignIn),
            _ => ["/user/", "/users/", "/stats/"]
                .iter()
                .any(|start| path.strip_prefix(start).is_some_and(|rest| !rest.is_empty()))
                .then_some(Self::PathLookup),
        }
    }
}

/// Fixed windows by class and address. Each call costs the same however many there are.
pub struct Limiter {
    tables: [Table; Class::ALL.len()],
}

struct Table {
    class: Class,
    counts: HashMap<Household, Window>,
    /// By their start, which is by their end too: all windows of a class are equally long.
    order: VecDeque<(Instant, Household)>,
}

struct Window {
    ends_at: Instant,
    count: u32,
}

impl Default for Limiter {
    fn default() -> Self {
        let table = |class| Table { class, counts: HashMap::new(), order: VecDeque::new() };
        Self { tables: Class::ALL.map(table) }
    }
}

impl Limiter {
    /// Counts a request; how long to wait when it is one too many.
    pub fn count(&mut self, class: Class, address: IpAddr, now: Instant) -> Result<(), Duration> {
        self.tables[class as usize].count(Household::of(address), now)
    }
}

impl Table {
    fn count(&mut self, who: Household, now: Instant) -> Result<(), Duration> {
        let (count_max, window) = self.class.rule();
        while self.order.front().is_some_and(|(ends_at, _)| *ends_at <= now) {
            self.forget_oldest();
        }
        let Some(open) = self.counts.get_mut(&who) else {
            if self.counts.len() >= ADDRESSES_MAX {
                self.forget_oldest();
            }
            let ends_at = now + window;
            self.counts.insert(who, Window { ends_at, count: 1 });
            self.order.push_back((ends_at, who));
            return Ok(());
        };
        if open.count >= count_max {
            return Err(open.ends_at.saturating_duration_since(now));
        }
        open.count += 1;
        Ok(())
    }

    fn forget_oldest(&mut self) {
        if let Some((_, who)) = self.order.pop_front() {
            self.counts.remove(&who);
        }
    }
}

/// The open connections.
#[derive(Default)]
pub struct Places {
    taken: Cell<u32>,
    by_address: RefCell<HashMap<Household, u32>>,
}

/// One of them, until it is dropped.
pub struct Place {
    places: Rc<Places>,
    who: Option<Household>,
}

impl Places {
    pub fn taken(&self) -> u32 {
        self.taken.get()
    }

    /// None when all are taken.
    pub fn take(self: &Rc<Self>) -> Option<Place> {
        if self.taken.get() >= CONNECTIONS_MAX {
            return None;
        }
        self.taken.set(self.taken.get() + 1);
        Some(Place { places: Rc::clone(self), who: None })
    }
}

impl Place {
    /// Whose it is; false when they have too many already.
    pub fn claim(&mut self, address: IpAddr) -> bool {
        let who = Household::of(address);
        let mut by_address = self.places.by_address.borrow_mut();
        let count = by_address.entry(who).or_insert(0);
        if *count >= CONNECTIONS_PER_ADDRESS_MAX {
            return false;
        }
        *count += 1;
        self.who = Some(who);
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.set(self.places.taken.get() - 1);
        let Some(who) = self.who else { return };
        let mut by_address = self.places.by_address.borrow_mut();
        if let Some(count) = by_address.get_mut(&who) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_eleventh_in_a_minute_is_one_too_many() {
        let mut limiter = Limiter::default();
        let start = Instant::now();
        let at = |second: u32| start + SECOND * second;
        let mut count = |second, class| limiter.count(class, ip("1.2.3.4"), at(second));
        for second in 0..10 {
            assert_eq!(count(second, Class::PathLookup), Ok(()));
        }
        assert_eq!(count(10, Class::PathLookup), Err(SECOND * 50));
        assert_eq!(count(59, Class::PathLookup), Err(SECOND), "refusals do not make it longer");
        assert_eq!(count(59, Class::Worker), Ok(()), "classes are apart");
        assert_eq!(count(60, Class::PathLookup), Ok(()));
    }

    #[test]
    fn an_ipv6_network_is_one_and_an_ipv4_address_is_itself_in_both_spellings() {
        for (one, other, is_same) in [
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("1.2.3.4", "::ffff:1.2.3.4", true),
            ("1.2.3.4", "1.2.3.5", false),
        ] {
            assert_eq!(
                Household::of(ip(one)) == Household::of(ip(other)),
                is_same,
                "{one} {other}"
            );
        }
    }

    #[test]
    fn many_addresses_are_forgotten_oldest_first() {
        let mut limiter = Limiter::default();
        let now = Instant::now();
        let address = |n: u32| IpAddr::from(n.to_be_bytes());
        for _ in 0..10 {
            limiter.count(Class::PathLookup, address(0), now).unwrap();
        }
        for n in 1..ADDRESSES_MAX as u32 {
            limiter.count(Class::PathLookup, address(n), now).unwrap();
        }
        assert!(limiter.count(Class::PathLookup, address(0), now).is_err());
        limiter.count(Class::PathLookup, address(70_000), now).unwrap();
        let table = &limiter.tables[Class::PathLookup as usize];
        assert_eq!((table.counts.len(), table.order.len()), (ADDRESSES_MAX, ADDRESSES_MAX));
        assert!(limiter.count(Class::PathLookup, address(0), now).is_ok());
        limiter.count(Class::PathLookup, address(1), now + SECOND * 61).unwrap();
        assert_eq!(limiter.tables[Class::PathLookup as usize].counts.len(), 1);
    }

    #[test]
    fn paths_have_classes() {
        for (path, class) in [
            ("/user/x", Some(Class::PathLookup)),
            ("/users/x", Some(Class::PathLookup)),
            ("/stats/x", Some(Class::PathLookup)),
            // The dashboard.
            ("/stats/", None),
            ("/stats", None),
            ("/worker/search", Some(Class::Search)),
            ("/worker/sha256", Some(Class::Worker)),
            ("/worker", None),
            ("/", None),
        ] {
            assert_eq!(Class::of(path), class, "{path}");
        }
    }

    #[test]
    fn places_come_back() {
        let places = Rc::new(Places::default());
        let take = |address: &str| {
            let mut place = places.take().unwrap();
            let is_claimed = place.claim(ip(address));
            (place, is_claimed)
        };
        let held: Vec<_> = (0..CONNECTIONS_PER_ADDRESS_MAX).map(|_| take("2001:db8::1")).collect();
        assert!(held.iter().all(|(_, is_claimed)| *is_claimed));
        assert!(!take("2001:db8::2").1);
        assert!(take("2001:db8:1::2").1);
        assert_eq!(places.taken(), CONNECTIONS_PER_ADDRESS_MAX);
        drop(held);
        assert_eq!((places.taken(), places.by_address.borrow().len()), (0, 0));
        let all: Vec<_> = (0..CONNECTIONS_MAX).map(|_| places.take().unwrap()).collect();
        assert!(places.take().is_none());
        drop(all);
        assert!(places.take().is_some());
    }
}
