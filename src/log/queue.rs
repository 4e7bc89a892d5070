//! From the threads that say something to the one that writes it: bounded, and never waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::filter::Threshold;
use super::line::Line;
use super::net::{self, Traffic};

/// Lines that wait for the disk, before the log is opened too.
const LINES_MAX: usize = 4096;
/// Pieces of traffic that wait for the disk. They have a queue of their own: however many there
/// are, they take no line's place.
const TRAFFIC_MAX: usize = 4096;
/// Their bytes, in all.
const TRAFFIC_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The end that every thread has.
#[derive(Debug)]
pub(super) struct Queue {
    /// A [`Threshold`].
    threshold: AtomicU8,
    lines: Sender<Line>,
    traffic: Sender<Traffic>,
    traffic_bytes: AtomicUsize,
    lost: Lost,
    wake: Sender<()>,
    is_stopping: AtomicBool,
}

/// What found its queue full.
#[derive(Debug, Default)]
struct Lost {
    lines: AtomicU64,
    traffic: AtomicU64,
}

/// The end that the writer has.
#[derive(Clone, Debug)]
pub(super) struct Inbox {
    pub(super) lines: Receiver<Line>,
    pub(super) traffic: Receiver<Traffic>,
    /// There is something else to look at than lines.
    pub(super) wake: Receiver<()>,
}

/// Until somebody knows better every line is kept: whether those of DEBUG are wanted is found out
/// when they are written.
pub(super) fn new() -> (Queue, Inbox) {
    let (lines, lines_inbox) = bounded(LINES_MAX);
    let (traffic, traffic_inbox) = bounded(TRAFFIC_MAX);
    let (wake, wake_inbox) = bounded(1);
    let queue = Queue {
        threshold: AtomicU8::new(Threshold::Debug as u8),
        lines,
        traffic,
        traffic_bytes: AtomicUsize::new(0),
        lost: Lost::default(),
        wake,
        is_stopping: AtomicBool::new(false),
    };
    (queue, Inbox { lines: lines_inbox, traffic: traffic_inbox, wake: wake_inbox })
}

impl Queue {
    pub(super) fn threshold(&self) -> Threshold {
        Threshold::of_u8(self.threshold.load(Ordering::Relaxed))
    }

    pub(super) fn set_threshold(&self, threshold: Threshold) {
        self.threshold.store(threshold as u8, Ordering::Relaxed);
        // Every place that says something has been told whether anyone listens.
        tracing::callsite::rebuild_interest_cache();
    }

    pub(super) fn wake(&self) {
        // When it is full the writer has not looked yet since the last time.
        let _ = self.wake.try_send(());
    }

    /// Nothing is taken any more, and the writer ends when it has written what waits.
    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        self.wake();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    fn put_line(&self, line: Line) {
        if self.lines.try_send(line).is_err() {
            self.lost.lines.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn put_traffic(&self, traffic: Traffic) {
        let size = traffic.size();
        let waiting = self.traffic_bytes.fetch_add(size, Ordering::Relaxed);
        if waiting + size > TRAFFIC_BYTES_MAX || self.traffic.try_send(traffic).is_err() {
            self.traffic_bytes.fetch_sub(size, Ordering::Relaxed);
            self.lost.traffic.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The writer has taken a piece of traffic of that many bytes.
    pub(super) fn traffic_taken(&self, size: usize) {
        self.traffic_bytes.fetch_sub(size, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn traffic_is_empty(&self) -> bool {
        self.traffic_bytes.load(Ordering::Relaxed) == 0
    }

    /// Lines and pieces of traffic that found the queue full since this was last asked.
    pub(super) fn take_lost(&self) -> (u64, u64) {
        let Lost { lines, traffic } = &self.lost;
        (lines.swap(0, Ordering::Relaxed), traffic.swap(0, Ordering::Relaxed))
    }
}

/// Puts every event that is wanted into the queue.
pub(super) struct QueueLayer(pub(super) Arc<Queue>);

impl<S: Subscriber> Layer<S> for QueueLayer {
    /// Asked once for each place that says something, and again when the threshold changes.
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.0.threshold().admits(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.0.threshold().admits(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0.threshold().max_level())
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if self.0.is_stopping() {
            return;
        }
        if event.metadata().target() == net::TARGET {
            self.0.put_traffic(Traffic::of_event(event));
        } else {
            self.0.put_line(Line::of_event(event));
        }
    }
}
