//! How the writer does, for those who watch the pool.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::rings::histogram::{Histogram, HistogramSnapshot};

#[derive(Default)]
pub(super) struct WriterFigures {
    transactions: Histogram,
    failures: AtomicU64,
    /// Taken and not on the disk yet.
    in_hand: AtomicU64,
    /// While something is wrong.
    error: Mutex<Option<String>>,
}

/// The same at one moment.
#[derive(Clone, Debug, Default)]
pub struct StoreFigures {
    /// Changes that are not on the disk yet.
    pub waiting: u64,
    /// Bans that are in force and could not be kept for the next start.
    pub bans_dropped: u64,
    /// Times from a transaction's begin until its commit was on the disk.
    pub transactions: HistogramSnapshot,
    pub failures: u64,
    /// What is wrong now; gone after the next success (FIX-7).
    pub error: Option<String>,
}

impl WriterFigures {
    pub(super) fn took(&self, changes: usize) {
        self.in_hand.store(changes as u64, Ordering::Relaxed);
    }

    pub(super) fn committed(&self, took: Duration) {
        self.transactions.record(took);
    }

    /// Whether it is another error than the last one.
    pub(super) fn failed(&self, text: &str) -> bool {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut error = self.error.lock().expect("no code panics while it holds this");
        let is_new = error.as_deref() != Some(text);
        if is_new {
            *error = Some(text.to_owned());
        }
        is_new
    }

    /// Whether something was wrong before.
    pub(super) fn works(&self) -> bool {
        self.error.lock().expect("no code panics while it holds this").take().is_some()
    }

    pub(super) fn read(&self, queued: usize, bans_dropped: u64) -> StoreFigures {
        StoreFigures {
            waiting: queued as u64 + self.in_hand.load(Ordering::Relaxed),
            bans_dropped,
            transactions: self.transactions.snapshot(),
            failures: self.failures.load(Ordering::Relaxed),
            error: self.error.lock().expect("no code panics while it holds this").clone(),
        }
    }
}
