//! What systemd is told: that the pool is ready, what it is doing, and that its control loop turns.
//!
//! The pool is ready as soon as the loop turns, the pages are up and the shards wait, whether or not
//! the node can be reached: a node may take days to sync, and systemd would end a start that takes
//! longer than `TimeoutStartSec` only to begin again. What is missing stands in `STATUS=` instead,
//! and `/readyz` answers 503 until miners can be served.
//!
//! | told          | when                                                          |
//! |---------------|---------------------------------------------------------------|
//! | `READY=1`     | at the first beat of the control loop, and after a reload     |
//! | `STATUS=…`    | when the line has changed, at most once a beat                |
//! | `WATCHDOG=1`  | by a beat, at least every half of `WATCHDOG_USEC`             |
//! | `RELOADING=1` | when a reload begins, with `MONOTONIC_USEC=`                  |
//! | `STOPPING=1`  | when the loop has ended                                       |
//!
//! Without `NOTIFY_SOCKET` nothing is told. Source: `sd_notify(3)`, `systemd.service(5)`.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tracing::{info, warn};

use crate::snapshot::{RpcFigures, Snapshot};

/// How often the control loop beats while all is well.
const BEAT_INTERVAL: Duration = Duration::from_secs(1);
/// A shorter watchdog bites a machine that is merely busy for a moment.
const WATCHDOG_MIN: Duration = Duration::from_secs(10);
/// Of a status line; an error's text may be any length.
const STATUS_CHARS_MAX: usize = 200;

/// The line to systemd, for control and for whoever reloads.
#[derive(Debug)]
pub struct Supervisor {
    /// None when nobody watches.
    watchdog: Option<Duration>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    is_ready: bool,
    /// What was told last.
    status: String,
    /// When systemd last heard that the loop turns.
    told_at: Option<Instant>,
    has_failed: bool,
}

impl Supervisor {
    /// Looks in the environment whether systemd listens, and how patient its watchdog is.
    pub fn from_env() -> Arc<Self> {
        let watchdog = sd_notify::watchdog_enabled();
        if let Some(limit) = watchdog {
            let limit_ms = limit.as_millis();
            info!(component = "systemd", limit_ms, "the watchdog is on");
            if limit < WATCHDOG_MIN {
                warn!(
                    component = "systemd",
                    limit_ms, "WatchdogSec is short: 30 s is a good value"
                );
            }
        }
        Arc::new(Self { watchdog, state: Mutex::default() })
    }

    /// The control loop has turned, and this is what it sees. To be called every second by that
    /// loop and by nobody else: the watchdog hears from here only, so a loop that hangs is silent.
    pub fn beat(&self, snapshot: &Snapshot) {
        let tip = snapshot.job.as_ref().map(|job| job.height.saturating_sub(1));
        let miners = snapshot.connections.authorized;
        let status = status_line(tip, miners, &snapshot.rpc, snapshot.feed.last_error.as_deref());
        self.tell_beat(Instant::now(), status);
    }

    fn tell_beat(&self, now: Instant, status: String) {
        let mut state = self.state();
        let mut told = Vec::new();
        if !std::mem::replace(&mut state.is_ready, true) {
            told.push(NotifyState::Ready);
        }
        if self.watchdog.is_some_and(|limit| is_due(state.told_at, now, limit)) {
            state.told_at = Some(now);
            told.push(NotifyState::Watchdog);
        }
        if state.status != status {
            told.push(NotifyState::Status(&status));
        }
        state.tell(&told);
        drop(told);
        state.status = status;
    }

    /// A reload begins. It has ended when what is returned is dropped, however it went: carry it
    /// along until the new configuration is in force.
    #[must_use = "dropped at once, it tells that the reload is over"]
    pub fn reloading(self: &Arc<Self>) -> Reloading {
        if let Ok(monotonic) = NotifyState::monotonic_usec_now() {
            // One datagram: the time says to which of systemd's requests this is the answer.
            self.state().tell(&[NotifyState::Reloading, monotonic]);
        }
        Reloading { supervisor: Arc::clone(self) }
    }

    /// The loop has ended; what follows is no hang, however long it takes.
    pub fn stopping(&self) {
        let status = "stopping: miners are let go, blocks and the database are written";
        self.state().tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while it holds this")
    }
}

/// A reload that goes on; systemd waits until this is dropped.
#[derive(Debug)]
pub struct Reloading {
    supervisor: Arc<Supervisor>,
}

impl Drop for Reloading {
    fn drop(&mut self) {
        let mut state = self.supervisor.state();
        // Before the first beat that is still to come.
        if state.is_ready {
            state.tell(&[NotifyState::Ready]);
        }
    }
}

impl State {
    fn tell(&mut self, what: &[NotifyState<'_>]) {
        if what.is_empty() {
            return;
        }
        if let Err(error) = sd_notify::notify(what)
            && !std::mem::replace(&mut self.has_failed, true)
        {
            warn!(component = "systemd", %error, "systemd cannot be told anything");
        }
    }
}

/// Whether the beat after this one would come later than half of `limit`.
fn is_due(told_at: Option<Instant>, now: Instant, limit: Duration) -> bool {
    told_at.is_none_or(|told_at| now.duration_since(told_at) + BEAT_INTERVAL > limit / 2)
}

/// One line for `systemctl status`. `tip` is the block that miners build on, once they have work.
fn status_line(
    tip: Option<u64>,
    miners: u64,
    rpc: &RpcFigures,
    feed_error: Option<&str>,
) -> String {
    let waiting = || format!("waiting for the node at {}", rpc.endpoint);
    let line = match (tip, rpc.last_error.as_deref().or(feed_error)) {
        (None, None) => waiting(),
        (None, Some(error)) => format!("{}: {error}", waiting()),
        (Some(tip), _) => {
            let noun = if miners == 1 { "miner" } else { "miners" };
            let is_away = if rpc.healthy { String::new() } else { format!(", {}", waiting()) };
            format!("{miners} {noun}, tip {tip}{is_away}")
        }
    };
    // A new line would begin another assignment of the protocol.
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(STATUS_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_hears_at_half_its_time_or_sooner() {
        let start = Instant::now();
        for limit in [1, 2, 3, 10, 30, 60].map(Duration::from_secs) {
            let mut told_at = None;
            let mut longest = Duration::ZERO;
            for second in 0..200 {
                let now = start + BEAT_INTERVAL * second;
                if is_due(told_at, now, limit) {
                    longest = longest.max(told_at.map_or(Duration::ZERO, |told_at| now - told_at));
                    told_at = Some(now);
                }
            }
            assert!(longest <= (limit / 2).max(BEAT_INTERVAL), "{longest:?} of {limit:?}");
        }
    }

    /// systemd is found by the environment, which belongs to a whole process: this test starts
    /// itself once more in one of its own.
    #[test]
    fn a_reload_is_told_from_its_beginning_to_its_end() {
        const CHILD: &str = "GOPOOL_TEST_SUPERVISED";
        if std::env::var_os(CHILD).is_some() {
            let supervisor = Supervisor::from_env();
            drop(supervisor.reloading());
            supervisor.tell_beat(Instant::now(), "one".to_owned());
            supervisor.tell_beat(Instant::now(), "one".to_owned());
            let reloading = supervisor.reloading();
            supervisor.tell_beat(Instant::now(), "two".to_owned());
            drop(reloading);
            supervisor.stopping();
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "supervise::tests::a_reload_is_told_from_its_beginning_to_its_end"])
            .env(CHILD, "1")
            .env("NOTIFY_SOCKET", &path)
            .env_remove("WATCHDOG_USEC")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        socket.set_nonblocking(true).unwrap();
        let mut message = [0; 1000];
        let told: Vec<String> = std::iter::from_fn(|| {
            let size = socket.recv(&mut message).ok()?;
            let text = std::str::from_utf8(&message[..size]).unwrap();
            // The time is whatever it is, in digits.
            let lines = text.lines().map(|line| match line.split_once('=') {
                Some(("MONOTONIC_USEC", digits)) if digits.parse::<u64>().is_ok() => "TIME",
                _ => line,
            });
            Some(lines.collect::<Vec<_>>().join(" "))
        })
        .collect();
        let stopping =
            "STOPPING=1 STATUS=stopping: miners are let go, blocks and the database are written";
        assert_eq!(
            told,
            [
                "RELOADING=1 TIME",
                "READY=1 STATUS=one",
                "RELOADING=1 TIME",
                "STATUS=two",
                "READY=1",
                stopping,
            ]
        );
    }

    #[test]
    fn the_status_says_what_is_missing() {
        let mut rpc = RpcFigures { endpoint: "node:8332".to_owned(), ..RpcFigures::default() };
        assert_eq!(status_line(None, 0, &rpc, None), "waiting for the node at node:8332");
        let line = status_line(None, 0, &rpc, Some("refused\nREADY=1"));
        assert_eq!(line, "waiting for the node at node:8332: refused READY=1");
        let line = status_line(Some(900_000), 2, &rpc, None);
        assert_eq!(line, "2 miners, tip 900000, waiting for the node at node:8332");
        rpc.healthy = true;
        assert_eq!(status_line(Some(900_000), 1, &rpc, None), "1 miner, tip 900000");
    }
}
