//! Bytes that are no Stratum, counted by address (`stratum.md` §9.5): every violation ends its
//! connection, so a count that belonged to the connection would never pass one.
//!
//! The count is of one fixed window that starts with the first violation, and not of everything
//! since the last quiet one: many miners share an address, and what they do wrong in a month
//! must not add up.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::ban::BanRules;
use super::source::Source;
use super::source_table::{self, SourceTable};
use super::time_text::short;

/// Counts of the whole process; locked once per connection that ends with a violation.
pub struct Violations {
    table: Mutex<SourceTable<Record>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Record {
    window_ends_at: Duration,
    count: u32,
}

impl source_table::Record for Record {
    fn has_ended(&self, now: Duration) -> bool {
        now >= self.window_ends_at
    }

    fn weight(&self, _: Duration) -> u64 {
        u64::from(self.count)
    }
}

impl Violations {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { table: Mutex::new(SourceTable::new()) })
    }

    /// Counts an oversized line or one that is no request; the reason for a ban, when it is the
    /// last one that is put up with. Counting starts again after it.
    pub fn count(&self, source: Source, now: Duration, rules: &BanRules) -> Option<String> {
        if rules.threshold == 0 {
            return None;
        }
        let mut table = self.table.lock().expect("no code panics while it holds this");
        let record = table.get_or_insert(source, now, Record::default());
        if now >= record.window_ends_at {
            *record = Record { window_ends_at: now.saturating_add(rules.window), count: 0 };
        }
        record.count = record.count.saturating_add(1);
        let count = record.count;
        if count < rules.threshold {
            return None;
        }
        *record = Record::default();
        Some(format!("too many protocol violations ({count} in {})", short(rules.window)))
    }
}

impl fmt::Debug for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Violations").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::source_table::tests::address;
    use super::*;

    fn rules(threshold: u32) -> BanRules {
        let window = Duration::from_secs(300);
        BanRules { threshold, window, duration: Duration::from_secs(900) }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn they_add_up_over_the_connections_of_an_address() {
        let violations = Violations::new();
        for index in 0..39 {
            assert_eq!(violations.count(address(1), at(index), &rules(40)), None);
            assert_eq!(violations.count(address(2), at(index), &rules(40)), None);
        }
        let reason = "too many protocol violations (40 in 5m0s)";
        assert_eq!(violations.count(address(1), at(299), &rules(40)).as_deref(), Some(reason));
        assert_eq!(violations.count(address(1), at(299), &rules(40)), None, "it starts again");
    }

    #[test]
    fn they_do_not_add_up_beyond_a_window() {
        let violations = Violations::new();
        for index in 0..10_000 {
            // 39 in five minutes, for days.
            assert_eq!(violations.count(address(1), at(index * 300 / 39), &rules(40)), None);
        }
    }

    #[test]
    fn one_can_be_enough_and_none_is_ever_too_many() {
        let violations = Violations::new();
        let reason = "too many protocol violations (1 in 5m0s)";
        assert_eq!(violations.count(address(1), at(0), &rules(1)).as_deref(), Some(reason));
        for _ in 0..1000 {
            assert_eq!(violations.count(address(1), at(0), &rules(0)), None);
        }
    }

    #[test]
    fn a_million_addresses_neither_fill_memory_nor_hide_one() {
        let violations = Violations::new();
        let steady = address(2_000_000);
        for _ in 0..38 {
            assert_eq!(violations.count(steady, at(0), &rules(40)), None);
        }
        let bytes = violations.table.lock().expect("no panic").bytes();
        for index in 0..1_000_000 {
            assert_eq!(violations.count(address(index), at(1), &rules(40)), None);
        }
        assert_eq!(violations.table.lock().expect("no panic").bytes(), bytes);
        assert!(bytes <= 4 << 20, "{bytes}");
        assert_eq!(violations.count(steady, at(2), &rules(40)), None);
        assert!(violations.count(steady, at(2), &rules(40)).is_some());
    }
}
