//! How the job feed is doing, for those who look (`mining.md` §2.6, §2.7, §2.9).

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use tracing::info;

use crate::snapshot::{FeedFigures, TipFigures};

/// Lines of history that are kept.
const HISTORY_LINES: usize = 3;
/// Blocks whose times are kept.
const BLOCK_TIMES: usize = 4;

#[derive(Default)]
pub(super) struct FeedStatus {
    figures: FeedFigures,
    succeeded_at: Option<Instant>,
    /// ZMQ endpoints that are connected.
    up: BTreeSet<String>,
}

impl FeedStatus {
    pub(super) fn figures(&self) -> FeedFigures {
        self.figures.clone()
    }

    pub(super) fn error(&self) -> Option<String> {
        self.figures.last_error.clone()
    }

    pub(super) fn since_success(&self) -> Option<Duration> {
        self.succeeded_at.map(|at| at.elapsed())
    }

    pub(super) fn failed(&mut self, error: String) {
        self.remember(error.trim().to_owned());
        self.figures.last_error = Some(error);
        self.figures.last_error_at = Some(SystemTime::now());
    }

    pub(super) fn succeeded(&mut self, node: &str) {
        self.figures.last_success_at = Some(SystemTime::now());
        self.succeeded_at = Some(Instant::now());
        self.figures.last_error_at = None;
        if self.figures.last_error.take().is_some() {
            info!(component = "feed", remote = node, "job feed recovered");
            self.remember(format!("event: job feed recovered (rpc {node})"));
        }
    }

    /// Miners have a new job, `after` the pool could first know of it.
    pub(super) fn new_work(&mut self, after: Duration) {
        self.figures.last_job_delay = Some(after);
    }

    pub(super) fn tip(&mut self, tip: TipFigures) {
        let before = self.figures.tip.as_ref();
        if before.is_none_or(|before| before.hash_hex != tip.hash_hex) {
            self.note_time(before.map_or(0, |before| before.height), &tip);
        }
        self.figures.tip = Some(tip);
    }

    /// A block's time, after those of the blocks below it: others of its height and above are in no
    /// chain any more.
    fn note_time(&mut self, height_before: u64, tip: &TipFigures) {
        let times = &mut self.figures.block_times;
        match tip.height.checked_sub(height_before + 1) {
            Some(0) => {}
            // Blocks in between have not been heard of.
            Some(_) => times.clear(),
            None => {
                let gone = usize::try_from(height_before + 1 - tip.height).unwrap_or(usize::MAX);
                times.truncate(times.len().saturating_sub(gone));
            }
        }
        times.push(tip.time);
        if times.len() > BLOCK_TIMES {
            times.remove(0);
        }
    }

    pub(super) fn raw_block(&mut self, at: SystemTime, bytes: usize, tip: Option<TipFigures>) {
        self.figures.last_raw_block_at = Some(at);
        self.figures.last_raw_block_bytes = bytes;
        if let Some(tip) = tip {
            self.tip(tip);
        }
    }

    /// A connection is up or down; what that means for the whole comes back.
    pub(super) fn zmq(&mut self, address: &str, up: bool) -> Option<&'static str> {
        let was_healthy = !self.up.is_empty();
        if up {
            self.up.insert(address.to_owned());
        } else {
            self.up.remove(address);
        }
        self.figures.zmq_healthy = !self.up.is_empty();
        match (was_healthy, self.figures.zmq_healthy) {
            (false, true) => {
                let again = self.figures.zmq_disconnects > 0;
                let event = if again { "zmq reconnected" } else { "zmq connected" };
                self.figures.zmq_reconnects += 1;
                info!(component = "zmq", remote = address, "{event}");
                self.remember(format!("event: {event} ({address})"));
                Some(event)
            }
            (true, false) => {
                self.figures.zmq_disconnects += 1;
                info!(component = "zmq", remote = address, "zmq disconnected");
                Some("zmq disconnected")
            }
            _ => None,
        }
    }

    fn remember(&mut self, line: String) {
        let history = &mut self.figures.error_history;
        history.push(line);
        if history.len() > HISTORY_LINES {
            history.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zmq_counts_transitions_of_the_whole() {
        let mut status = FeedStatus::default();
        let counts = |status: &FeedStatus| {
            let FeedFigures { zmq_healthy, zmq_reconnects, zmq_disconnects, .. } = status.figures();
            (zmq_healthy, zmq_reconnects, zmq_disconnects)
        };
        status.zmq("a", true);
        assert_eq!(counts(&status), (true, 1, 0));
        status.zmq("b", true);
        status.zmq("a", true);
        assert_eq!(counts(&status), (true, 1, 0));
        status.zmq("a", false);
        assert_eq!(counts(&status), (true, 1, 0));
        status.zmq("b", false);
        assert_eq!(counts(&status), (false, 1, 1));
        status.zmq("b", true);
        assert_eq!(counts(&status), (true, 2, 1));
        assert_eq!(status.figures().error_history.last().unwrap(), "event: zmq reconnected (b)");
    }

    #[test]
    fn the_times_of_the_last_blocks_follow_the_chain() {
        let time = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let mut status = FeedStatus::default();
        let mut tip = |height, seconds| {
            status.tip(TipFigures {
                hash_hex: format!("{height}-{seconds}"),
                height,
                time: time(seconds),
                bits_hex: String::new(),
                difficulty: 1.0,
            });
            let times = &status.figures().block_times;
            times.iter().map(|at| at.duration_since(time(0)).unwrap().as_secs()).collect::<Vec<_>>()
        };
        assert_eq!(tip(10, 1), [1]);
        assert_eq!(tip(10, 1), [1], "once");
        assert_eq!(tip(11, 2), [1, 2]);
        assert_eq!(tip(11, 3), [1, 3], "another block of that height");
        tip(12, 4);
        assert_eq!(tip(13, 5), [1, 3, 4, 5]);
        assert_eq!(tip(14, 6), [3, 4, 5, 6]);
        assert_eq!(tip(12, 7), [3, 7], "a chain of fewer blocks");
        assert_eq!(tip(20, 8), [8], "after blocks that were not heard of");
        assert_eq!(tip(2, 9), [9]);
    }

    #[test]
    fn a_success_ends_an_error_and_the_history_is_short() {
        let mut status = FeedStatus::default();
        for error in ["one", "two", "three"] {
            status.failed(error.into());
        }
        status.succeeded("node:1");
        let figures = status.figures();
        assert_eq!(figures.last_error, None);
        assert_eq!(
            figures.error_history,
            ["two", "three", "event: job feed recovered (rpc node:1)"]
        );
        status.succeeded("node:1");
        assert_eq!(status.figures().error_history.len(), 3, "nothing new to say");
    }
}
