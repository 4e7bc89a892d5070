//! When the pool sent its miners away because the node's updates were degraded
//! (`state-and-services.md` §15.6).

use std::collections::VecDeque;
use std::time::SystemTime;

const EVENTS_MAX: usize = 8;

/// One time that miners were sent away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisconnectEvent {
    pub at: SystemTime,
    /// Miners, always at least one.
    pub disconnected: u64,
    pub reason: String,
    pub detail: String,
}

/// The newest of these events, and how many there were.
#[derive(Debug, Default)]
pub struct Disconnects {
    newest: VecDeque<DisconnectEvent>,
    count: u64,
}

impl Disconnects {
    /// An event without any miner disconnected is none.
    pub fn add(&mut self, event: DisconnectEvent) {
        if event.disconnected == 0 {
            return;
        }
        self.count += 1;
        if self.newest.len() == EVENTS_MAX {
            self.newest.pop_front();
        }
        self.newest.push_back(event);
    }

    /// Events since the pool started, not miners.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Oldest first, at most eight.
    pub fn newest(&self) -> Vec<DisconnectEvent> {
        self.newest.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(disconnected: u64) -> DisconnectEvent {
        DisconnectEvent {
            at: SystemTime::UNIX_EPOCH,
            disconnected,
            reason: "stale template".to_owned(),
            detail: String::new(),
        }
    }

    #[test]
    fn the_newest_eight_are_kept_and_all_are_counted() {
        let mut disconnects = Disconnects::default();
        for disconnected in 1..=11 {
            disconnects.add(event(disconnected));
        }
        let kept: Vec<u64> = disconnects.newest().iter().map(|event| event.disconnected).collect();
        assert_eq!(kept, [4, 5, 6, 7, 8, 9, 10, 11]);
        assert_eq!(disconnects.count(), 11);
    }

    #[test]
    fn nobody_disconnected_is_no_event() {
        let mut disconnects = Disconnects::default();
        disconnects.add(event(0));
        assert_eq!((disconnects.count(), disconnects.newest().len()), (0, 0));
    }
}
