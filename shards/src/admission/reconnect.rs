//! Refuses addresses that connect over and over for nothing (`stratum.md` §1.4).
//!
//! A connection is *useless* when it ends without having been authorized, or stays unauthorized
//! for [`AUTHORIZE_WAIT_MAX`]. An address that has had `threshold` useless connections within one
//! window is refused at its next attempt, and then for `duration`. So with the defaults a client
//! that opens and closes in a loop gets 60 connections in a minute; the 61st is closed silently.
//!
//! What mines is never counted. Five thousand miners behind one address may all come back in the
//! same second: each is authorized soon after. While they are there they also vouch for their
//! address, each for [`VOUCHED_PER_MINER`] useless connections in a window, so that a few rigs
//! with a mistyped wallet do not lock the rest of their farm out.
//!
//! Windows are fixed: one starts with the first useless connection, and the count starts again
//! when it is over. Attempts made while refused change nothing. A connection counts when its end
//! has been noticed, and one that the pool itself ends does not count at all.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::source::Source;
use super::source_table::{self, SourceTable};

/// How long a connection may stay unauthorized before it counts as useless although it is open:
/// longer than connecting takes in the rush after a restart, and soon enough that holding
/// connections open is no way around the count.
const AUTHORIZE_WAIT_MAX: Duration = Duration::from_secs(30);
/// Useless connections that a live authorized one makes up for: a rig that is refused comes back
/// about every five seconds, so a farm may have as many broken rigs as working ones.
const VOUCHED_PER_MINER: u32 = 12;

/// `policy.toml [bans] reconnect_ban_*`; any of them at zero switches the tracker off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReconnectRules {
    pub threshold: u32,
    pub window: Duration,
    pub duration: Duration,
}

/// What the whole process knows about addresses that come and go. It is locked when a connection
/// comes, when it is first authorized and when it ends, for one look at a small table.
pub struct ReconnectTracker(Mutex<State>);

struct State {
    rules: ReconnectRules,
    table: SourceTable<Record>,
}

/// One admitted connection. Dropping it is the pool's own doing and counts nothing; a miner that
/// leaves is [`left`](Self::left).
#[derive(Debug)]
pub struct Visit {
    tracker: Arc<ReconnectTracker>,
    source: Source,
    came_at: Duration,
    standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    New,
    CountedUseless,
    Authorized,
}

#[derive(Clone, Copy, Debug, Default)]
struct Record {
    window_ends_at: Duration,
    refused_until: Duration,
    useless: u32,
    /// Live authorized connections.
    miners: u32,
}

impl source_table::Record for Record {
    fn has_ended(&self, now: Duration) -> bool {
        self.miners == 0 && now >= self.window_ends_at && now >= self.refused_until
    }

    /// A refused address stays refused whoever else comes; a farm is not forgotten for a home.
    fn weight(&self, now: Duration) -> u64 {
        let refused = if now < self.refused_until { 1 << 40 } else { 0 };
        refused + u64::from(self.useless) + u64::from(self.miners)
    }
}

impl ReconnectRules {
    fn are_on(&self) -> bool {
        self.threshold > 0 && !self.window.is_zero() && !self.duration.is_zero()
    }
}

impl ReconnectTracker {
    pub fn new(rules: ReconnectRules) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { rules, table: SourceTable::new() })))
    }

    /// From here on these count. Who is refused already stays so, unless nobody is any more.
    pub fn set_rules(&self, rules: ReconnectRules) {
        self.lock().rules = rules;
    }

    /// Lets a connection in, or `None`: it is to be closed without a word.
    pub fn admit(self: &Arc<Self>, source: Source, now: Duration) -> Option<Visit> {
        let is_refused = self.lock().refuses(source, now);
        let visit =
            || Visit { tracker: Arc::clone(self), source, came_at: now, standing: Standing::New };
        (!is_refused).then(visit)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no code panics while it holds this")
    }
}

impl State {
    fn refuses(&mut self, source: Source, now: Duration) -> bool {
        let Self { rules, table } = self;
        let Some(record) = table.get_mut(source).filter(|_| rules.are_on()) else { return false };
        if now < record.refused_until {
            return true;
        }
        let vouched = record.miners.saturating_mul(VOUCHED_PER_MINER);
        let allowed = rules.threshold.saturating_add(vouched);
        if now >= record.window_ends_at || record.useless < allowed {
            return false;
        }
        record.refused_until = now.saturating_add(rules.duration);
        true
    }

    fn count_useless(&mut self, source: Source, now: Duration) {
        if !self.rules.are_on() {
            return;
        }
        let record = self.table.get_or_insert(source, now, Record::default());
        if now >= record.window_ends_at {
            record.window_ends_at = now.saturating_add(self.rules.window);
            record.useless = 0;
        }
        record.useless = record.useless.saturating_add(1);
    }
}

impl fmt::Debug for ReconnectTracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReconnectTracker")
            .field("rules", &self.lock().rules)
            .finish_non_exhaustive()
    }
}

impl Visit {
    pub fn source(&self) -> Source {
        self.source
    }

    /// The connection has been authorized; once is enough, more do nothing.
    pub fn authorized(&mut self, now: Duration) {
        if self.standing == Standing::Authorized {
            return;
        }
        self.standing = Standing::Authorized;
        // Whatever the rules are: they may be others while it is there.
        let mut state = self.tracker.lock();
        let record = state.table.get_or_insert(self.source, now, Record::default());
        record.miners = record.miners.saturating_add(1);
    }

    /// Time has passed; without a lock unless the connection has just waited too long.
    pub fn tick(&mut self, now: Duration) {
        if self.standing == Standing::New && now.saturating_sub(self.came_at) >= AUTHORIZE_WAIT_MAX
        {
            self.count_useless(now);
        }
    }

    /// The connection has ended, and not because the pool shuts down, pauses or has no room.
    pub fn left(mut self, now: Duration) {
        if self.standing == Standing::New {
            self.count_useless(now);
        }
    }

    fn count_useless(&mut self, now: Duration) {
        self.standing = Standing::CountedUseless;
        self.tracker.lock().count_useless(self.source, now);
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if self.standing == Standing::Authorized
            // Its record may have made room for another meanwhile.
            && let Some(record) = self.tracker.lock().table.get_mut(self.source)
        {
            record.miners = record.miners.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::source_table::SOURCES_MAX;
    use super::super::source_table::tests::address;
    use super::*;

    const FARM: u32 = 7;

    fn tracker(threshold: u32) -> Arc<ReconnectTracker> {
        ReconnectTracker::new(ReconnectRules {
            threshold,
            window: seconds(60),
            duration: seconds(3600),
        })
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn come(tracker: &Arc<ReconnectTracker>, index: u32, now: Duration) -> Option<Visit> {
        tracker.admit(address(index), now)
    }

    /// Comes and goes; whether it was let in.
    fn come_and_go(tracker: &Arc<ReconnectTracker>, index: u32, now: Duration) -> bool {
        come(tracker, index, now).map(|visit| visit.left(now)).is_some()
    }

    #[test]
    fn of_a_client_that_comes_and_goes_the_61st_connection_is_refused() {
        let tracker = tracker(60);
        for index in 0..60 {
            assert!(come_and_go(&tracker, 1, Duration::from_millis(900 * index)), "{index}");
        }
        assert!(!come_and_go(&tracker, 1, seconds(55)));
        assert!(come_and_go(&tracker, 2, seconds(55)), "another address is another story");
        // For an hour from the refusal, however often it tries.
        for later in 56..55 + 3600 {
            assert!(!come_and_go(&tracker, 1, seconds(later)), "{later}");
        }
        assert!(come_and_go(&tracker, 1, seconds(55 + 3600)));
    }

    #[test]
    fn other_rules_count_from_then_on() {
        let off = ReconnectRules { threshold: 0, window: seconds(60), duration: seconds(3600) };
        let tracker = tracker(0);
        let mut miner = come(&tracker, FARM, seconds(0)).expect("let in");
        miner.authorized(seconds(0));
        assert!((0..1000).all(|_| come_and_go(&tracker, 1, seconds(0))), "nobody is counted");
        tracker.set_rules(ReconnectRules { threshold: 2, ..off });
        let admitted = |index| (0..30).filter(|_| come_and_go(&tracker, index, seconds(1))).count();
        assert_eq!((admitted(1), admitted(FARM)), (2, 2 + 12), "who came before vouches too");
        tracker.set_rules(off);
        assert!(come_and_go(&tracker, 1, seconds(2)), "nobody is refused any more");
    }

    #[test]
    fn the_count_starts_again_with_every_window() {
        let tracker = tracker(60);
        for minute in 0..100 {
            for _ in 0..60 {
                assert!(come_and_go(&tracker, 1, seconds(60 * minute)));
            }
        }
    }

    #[test]
    fn a_farm_behind_one_address_comes_back_at_once() {
        let tracker = tracker(60);
        for restart in 0..3 {
            let now = seconds(restart);
            let mut farm: Vec<Visit> =
                (0..5000).map(|_| come(&tracker, FARM, now).expect("let in")).collect();
            for visit in &mut farm {
                visit.authorized(now + seconds(10));
            }
            for visit in farm {
                visit.left(now + seconds(10));
            }
        }
        assert_eq!(
            tracker.lock().table.get_mut(address(FARM)).map(|record| record.miners),
            Some(0)
        );
    }

    #[test]
    fn broken_rigs_do_not_lock_their_farm_out() {
        let tracker = tracker(60);
        let _working: Vec<Visit> = (0..20)
            .map(|_| {
                let mut visit = come(&tracker, FARM, Duration::ZERO).expect("let in");
                visit.authorized(Duration::ZERO);
                visit
            })
            .collect();
        for tries in 0..720 {
            for _ in 0..20 {
                assert!(come_and_go(&tracker, FARM, seconds(5 * tries)), "{tries}");
            }
        }
        // A loop is a loop, wherever it comes from.
        let churn = (0..1000).filter(|_| come_and_go(&tracker, FARM, seconds(3600))).count();
        assert_eq!(churn, 60 + 20 * 12);
    }

    #[test]
    fn holding_connections_open_is_no_way_around_the_count() {
        let tracker = tracker(60);
        let mut held: Vec<Visit> =
            (0..60).map(|_| come(&tracker, 1, Duration::ZERO).expect("let in")).collect();
        for visit in &mut held {
            visit.tick(seconds(29));
        }
        assert!(come(&tracker, 1, seconds(29)).is_some());
        for visit in &mut held {
            visit.tick(seconds(30));
            visit.tick(seconds(31));
        }
        assert!(come(&tracker, 1, seconds(31)).is_none());
        for visit in held {
            visit.left(seconds(32));
        }
        let count = tracker.lock().table.get_mut(address(1)).map(|record| record.useless);
        assert_eq!(count, Some(60), "each counts once");
    }

    #[test]
    fn one_that_is_authorized_late_still_vouches() {
        let tracker = tracker(1);
        let mut late = come(&tracker, 1, Duration::ZERO).expect("let in");
        late.tick(seconds(40));
        assert!(come(&tracker, 1, seconds(41)).is_none());
        let mut other = come(&tracker, 2, seconds(41)).expect("let in");
        other.tick(seconds(80));
        other.authorized(seconds(81));
        other.authorized(seconds(82));
        assert!(come(&tracker, 2, seconds(83)).is_some());
        assert_eq!(tracker.lock().table.get_mut(address(2)).map(|record| record.miners), Some(1));
        late.authorized(seconds(90));
        assert!(come(&tracker, 1, seconds(91)).is_none(), "refused is refused");
    }

    #[test]
    fn what_the_pool_ends_itself_is_not_held_against_anyone() {
        let tracker = tracker(60);
        for _ in 0..1000 {
            drop(come(&tracker, 1, Duration::ZERO).expect("let in"));
        }
    }

    #[test]
    fn a_zero_anywhere_switches_it_off() {
        let on = ReconnectRules { threshold: 1, window: seconds(60), duration: seconds(60) };
        for rules in [
            ReconnectRules { threshold: 0, ..on },
            ReconnectRules { window: Duration::ZERO, ..on },
            ReconnectRules { duration: Duration::ZERO, ..on },
        ] {
            let tracker = ReconnectTracker::new(rules);
            for _ in 0..10 {
                assert!(come_and_go(&tracker, 1, Duration::ZERO), "{rules:?}");
            }
            assert_eq!(tracker.lock().table.bytes(), 0);
        }
    }

    #[test]
    fn a_million_addresses_neither_fill_memory_nor_free_a_refused_one() {
        let tracker = tracker(60);
        let refused = 2_000_000;
        while come_and_go(&tracker, refused, Duration::ZERO) {}
        let bytes = tracker.lock().table.bytes();
        for index in 0..1_000_000 {
            assert!(come_and_go(&tracker, index, seconds(1)));
        }
        assert_eq!(tracker.lock().table.bytes(), bytes);
        assert!(tracker.lock().table.len(seconds(1)) <= SOURCES_MAX);
        assert!(!come_and_go(&tracker, refused, seconds(2)));
        assert_eq!(tracker.lock().table.len(seconds(62)), 1, "only the refused one has not ended");
        assert_eq!(tracker.lock().table.len(seconds(3601)), 0);
    }

    #[test]
    fn a_connection_pays_little_for_it() {
        assert!(size_of::<Visit>() <= 48);
    }
}
