//! Bytes to one socket: sent at once when it takes them, else kept, up to a bound, and drained by
//! a task when it does again.

use std::time::Duration;

use crate::limits::{OUTBOX_BYTES_MAX, OUTBOX_WAIT_MAX};

/// What one miner has not taken yet. Without memory of its own while there is nothing.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// Sent already, at the front of `bytes`.
    sent: usize,
    /// When the oldest of them was written.
    since: Option<Duration>,
    /// There is newer work that waits for room.
    owes_work: bool,
}

/// More is waiting than a miner may leave unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutboxFull;

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn push(&mut self, bytes: &[u8], now: Duration) -> Result<(), OutboxFull> {
        if self.waiting_bytes() + bytes.len() > OUTBOX_BYTES_MAX {
            return Err(OutboxFull);
        }
        self.bytes.extend(bytes);
        self.since.get_or_insert(now);
        Ok(())
    }

    /// How much waits.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// What to send next.
    pub(super) fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    pub(super) fn mark_sent(&mut self, count: usize) {
        self.sent += count;
        if self.sent == self.bytes.len() {
            self.bytes = Vec::new();
            self.sent = 0;
            self.since = None;
        }
    }

    /// The oldest byte has waited longer than a miner may let it.
    pub(super) fn is_overdue(&self, now: Duration) -> bool {
        self.since.is_some_and(|since| now.saturating_sub(since) > OUTBOX_WAIT_MAX)
    }

    /// Work that comes while bytes wait is not queued behind them: the newest is sent once they
    /// are gone.
    pub(super) fn owe_work(&mut self) {
        self.owes_work = true;
    }

    pub(super) fn take_owed_work(&mut self) -> bool {
        std::mem::take(&mut self.owes_work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    #[test]
    fn what_is_not_taken_is_bounded_in_bytes_and_in_time() {
        let mut outbox = Outbox::default();
        outbox.push(&vec![1; OUTBOX_BYTES_MAX], NOW).unwrap();
        assert_eq!(outbox.push(&[1], NOW), Err(OutboxFull));
        outbox.mark_sent(10);
        outbox.push(&[2; 10], NOW + Duration::from_secs(30)).unwrap();
        assert!(!outbox.is_overdue(NOW + OUTBOX_WAIT_MAX));
        assert!(outbox.is_overdue(NOW + OUTBOX_WAIT_MAX + Duration::from_secs(1)));
    }

    #[test]
    fn an_outbox_that_has_been_emptied_holds_no_memory() {
        let mut outbox = Outbox::default();
        outbox.push(b"abc", NOW).unwrap();
        outbox.mark_sent(1);
        assert_eq!((outbox.unsent(), outbox.waiting_bytes()), (&b"bc"[..], 2));
        outbox.mark_sent(2);
        assert!(outbox.is_empty());
        assert_eq!(outbox.bytes.capacity(), 0);
        assert!(!outbox.is_overdue(Duration::MAX));
    }
}
