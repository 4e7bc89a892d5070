//! How the job feed is doing, for those who look (`mining.md` §2.6, §2.7, §2.9).

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use tracing::info;

use crate::snapshot::{FeedFigures, TipFigures};

/// Lines of history that are kept.
const HISTORY_LINES: usize = 3;

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
        self.figures.tip = Some(tip);
    }

    pub(super) fn raw_block(&mut self, at: SystemTime, bytes: usize, tip: Option<TipFigures>) {
        self.figures.last_raw_block_at = Some(at);
        self.figures.last_raw_block_bytes = bytes;
        if tip.is_some() {
            self.figures.tip = tip;
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
