//! The errors of the last hour, as `error_history` shows them (`state-and-services.md` §15.5).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Kept of each type: many rejected shares never push out what the node said (FIX-47).
const EVENTS_MAX: usize = 16;
const SHOWN_AGE_MAX: Duration = Duration::from_secs(3600);
/// A message keeps its start when it is longer.
const MESSAGE_BYTES_MAX: usize = 512;

/// Where an error came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// A rejected share or a submission that was refused otherwise; the message is the reason.
    Share,
    /// A failed call of the node, and notes on connecting to it.
    Rpc,
    /// Notes on connecting to the node's notifications.
    Zmq,
    /// A block could not be built or submitted.
    SubmitBlock,
    /// A block that waited could not be submitted.
    PendingSubmit,
}

impl EventType {
    const ALL: [Self; 5] =
        [Self::Share, Self::Rpc, Self::Zmq, Self::SubmitBlock, Self::PendingSubmit];

    /// As the JSON says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Share => "share",
            Self::Rpc => "rpc",
            Self::Zmq => "zmq",
            Self::SubmitBlock => "submitblock",
            Self::PendingSubmit => "pending_submit",
        }
    }
}

/// A message, and how often it has come in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorEvent {
    /// When it came last.
    pub at: SystemTime,
    pub of: EventType,
    pub message: Arc<str>,
    pub count: u64,
}

/// The newest errors of each type.
#[derive(Debug, Default)]
pub struct ErrorEvents {
    rings: [VecDeque<ErrorEvent>; EventType::ALL.len()],
}

impl ErrorEvents {
    /// Adds an error that came `count` times. The message is shown in public: the caller has
    /// removed credentials and internal addresses from it.
    pub fn add(&mut self, of: EventType, at: SystemTime, message: &str, count: u64) {
        if count == 0 {
            return;
        }
        let message = shortened(message);
        let ring = &mut self.rings[of as usize];
        if let Some(last) = ring.back_mut().filter(|last| *last.message == *message) {
            last.at = at;
            last.count = last.count.saturating_add(count);
            return;
        }
        if ring.len() == EVENTS_MAX {
            ring.pop_front();
        }
        ring.push_back(ErrorEvent { at, of, message: message.into(), count });
    }

    /// Of all types, those that came within the last hour, oldest first.
    pub fn recent(&self, now: SystemTime) -> Vec<ErrorEvent> {
        // An event that is still to come was noted before the clock was set back: it is new.
        let age = |event: &ErrorEvent| now.duration_since(event.at).unwrap_or_default();
        let all = self.rings.iter().flatten();
        let mut events: Vec<_> = all.filter(|e| age(e) <= SHOWN_AGE_MAX).cloned().collect();
        events.sort_by_key(|event| event.at);
        events
    }
}

fn shortened(message: &str) -> &str {
    let message = message.trim();
    match message.len() {
        0 => "unspecified",
        _ => &message[..message.floor_char_boundary(MESSAGE_BYTES_MAX)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + second)
    }

    /// What is shown at `now`: type, message and count.
    #[track_caller]
    fn check(events: &ErrorEvents, now: u64, expected: &[(&str, &str, u64)]) {
        let recent = events.recent(at(now));
        let shown: Vec<_> = recent.iter().map(|e| (e.of.name(), &*e.message, e.count)).collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn events_of_all_types_are_shown_oldest_first() {
        let mut events = ErrorEvents::default();
        for (second, of) in (0..).zip(EventType::ALL.iter().rev()) {
            events.add(*of, at(second), "x", 1);
        }
        let shown = [
            ("pending_submit", "x", 1),
            ("submitblock", "x", 1),
            ("zmq", "x", 1),
            ("rpc", "x", 1),
            ("share", "x", 1),
        ];
        check(&events, 10, &shown);
    }

    #[test]
    fn a_flood_of_one_type_hides_no_other() {
        let mut events = ErrorEvents::default();
        events.add(EventType::Rpc, at(0), "refused", 1);
        for i in 0..100 {
            events.add(EventType::Share, at(1 + i), &format!("reason {i}"), 1);
        }
        let recent = events.recent(at(200));
        assert_eq!(recent.len(), 1 + EVENTS_MAX);
        assert_eq!((&*recent[0].message, &*recent[1].message), ("refused", "reason 84"));
    }

    #[test]
    fn the_same_message_in_a_row_is_one_event_with_a_count_and_the_newest_time() {
        let mut events = ErrorEvents::default();
        events.add(EventType::Share, at(0), "stale", 2);
        events.add(EventType::Rpc, at(1), "stale", 1);
        events.add(EventType::Share, at(2), " stale ", 3);
        check(&events, 3, &[("rpc", "stale", 1), ("share", "stale", 5)]);
        assert_eq!(events.recent(at(3))[1].at, at(2));
        events.add(EventType::Share, at(3), "low difficulty share", 1);
        events.add(EventType::Share, at(4), "stale", 1);
        events.add(EventType::Share, at(5), "stale", 0);
        let shown = [
            ("rpc", "stale", 1),
            ("share", "stale", 5),
            ("share", "low difficulty share", 1),
            ("share", "stale", 1),
        ];
        check(&events, 5, &shown);
    }

    #[test]
    fn events_are_shown_for_an_hour() {
        let mut events = ErrorEvents::default();
        events.add(EventType::Zmq, at(100), "connected", 1);
        check(&events, 3700, &[("zmq", "connected", 1)]);
        check(&events, 3701, &[]);
        // The clock was set back.
        check(&events, 0, &[("zmq", "connected", 1)]);
    }

    #[test]
    fn a_message_is_never_blank_and_never_long() {
        let mut events = ErrorEvents::default();
        events.add(EventType::Rpc, at(0), " \n", 1);
        check(&events, 0, &[("rpc", "unspecified", 1)]);
        events.add(EventType::Rpc, at(1), &"é".repeat(10_000), 1);
        assert_eq!(events.recent(at(1))[1].message.len(), MESSAGE_BYTES_MAX);
        // Cut before a character that would not fit whole.
        events.add(EventType::Rpc, at(2), &format!("x{}", "é".repeat(10_000)), 1);
        assert_eq!(events.recent(at(2))[2].message.len(), MESSAGE_BYTES_MAX - 1);
    }
}
