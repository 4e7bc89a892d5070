//! What the pool says, as lines in daily files and on standard output (`config.md` §7).
//!
//! ```text
//! any thread ─ event ─▶ filter ─▶ queue ─▶ writer ─┬▶ pool, errors, debug, net-debug
//!                                                  └▶ stdout
//! ```
//!
//! Nobody waits for a log: a queue that is full and a disk that takes nothing cost lines, which are
//! counted. From [`start`] to [`EarlyLog::open`] the queue keeps what is said before anyone knows
//! where to write it.

mod file;
mod filter;
mod journal;
mod line;
pub(crate) mod net;
mod queue;
mod redact;
mod stdout;
mod stream;
pub mod tail;
mod writer;

#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use tracing::{Dispatch, Level, info};
use tracing_subscriber::layer::SubscriberExt;

use filter::Threshold;
use queue::{Inbox, Queue, QueueLayer};
use writer::Writer;

/// How long a stopping pool waits for its last lines to reach the disk.
const FLUSH_WAIT_MAX: Duration = Duration::from_secs(5);

/// Where lines go. A path is a template: `logs/pool.log` is written as `logs/pool-2026-01-31.log`.
#[derive(Clone, Debug)]
pub struct LogPlan {
    /// INFO, WARN and ERROR.
    pub pool: PathBuf,
    /// ERROR once more.
    pub errors: PathBuf,
    /// DEBUG, while that is on.
    pub debug: PathBuf,
    /// Raw network traffic, while that and debug are on.
    pub net_debug: PathBuf,
    /// Copy every line, raw traffic excepted, to standard output.
    pub stdout: bool,
    pub levels: Levels,
}

/// What is said beyond INFO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    pub debug: bool,
    /// Has no effect without `debug`.
    pub net_debug: bool,
}

/// Keeps what is said, up to a bound, until it is known where to write it. Dropped without having
/// been opened, it says warnings and errors on standard error and discards the rest; events after
/// that are discarded too.
#[derive(Debug)]
pub struct EarlyLog {
    queue: Arc<Queue>,
    /// None once somebody else reads it.
    inbox: Option<Inbox>,
}

/// Keeps the log open. Dropping it writes what waits and syncs the files to the disk; events after
/// that are discarded.
#[derive(Debug)]
pub struct Log {
    queue: Arc<Queue>,
    /// Disconnected when the writer has ended.
    writing: Receiver<()>,
}

/// Turns debug lines and the network trace on and off while the pool runs.
#[derive(Clone, Debug)]
pub struct LevelControl {
    queue: Arc<Queue>,
}

/// Listens to every event of the process from here on.
///
/// # Panics
/// When it has been called before.
pub fn start() -> EarlyLog {
    let (early, dispatch) = early();
    tracing::dispatcher::set_global_default(dispatch).expect("the log is started once");
    early
}

/// A log, and what events must be dispatched to for it to hear them.
fn early() -> (EarlyLog, Dispatch) {
    let (queue, inbox) = queue::new();
    let queue = Arc::new(queue);
    let subscriber = tracing_subscriber::registry().with(QueueLayer(Arc::clone(&queue)));
    (EarlyLog { queue, inbox: Some(inbox) }, subscriber.into())
}

impl LogPlan {
    /// Says where lines go, as an operator would look for it.
    ///
    /// `log_dir_override` is what `-log-dir` says.
    pub fn announce(&self, log_dir_override: Option<&Path>) {
        let levels = self.levels;
        info!(
            component = "startup",
            pool_log = %self.pool.display(),
            errors_log = %self.errors.display(),
            debug_log = %self.debug.display(),
            net_debug_log = %self.net_debug.display(),
            log_dir_override = %log_dir_override.unwrap_or(Path::new("")).display(),
            stdout = self.stdout,
            log_debug = levels.debug,
            log_net_debug = levels.net_debug,
            debug_enabled = levels.debug,
            net_debug_enabled = levels.debug && levels.net_debug,
            "log outputs"
        );
    }
}

impl EarlyLog {
    /// Writes what has been kept, and from now on what comes.
    ///
    /// Errors: a folder that cannot be made or a file that cannot be opened. That the disk is full
    /// is none: lines are lost until it is not.
    pub fn open(mut self, plan: LogPlan) -> io::Result<Log> {
        let levels = plan.levels;
        let mut writer = Writer::new(plan, Arc::clone(&self.queue))?;
        writer.open_files(levels)?;
        self.queue.set_threshold(levels.into());
        let inbox = self.inbox.as_ref().expect("only what ends it takes it");
        let writing = writer.spawn(inbox.clone())?;
        // From here on what was kept is the writer's.
        self.inbox = None;
        Ok(Log { queue: Arc::clone(&self.queue), writing })
    }
}

impl Drop for EarlyLog {
    fn drop(&mut self) {
        let Some(inbox) = self.inbox.take() else { return };
        self.queue.set_threshold(Threshold::Off);
        // Nobody is left to tell that this cannot be written either.
        let _ = write_urgent(&inbox, &mut io::stderr());
    }
}

/// Writes what must not be lost even if there is no log.
fn write_urgent(inbox: &Inbox, out: &mut impl Write) -> io::Result<()> {
    let mut lines = inbox.lines.try_iter().filter(|line| line.level <= Level::WARN);
    lines.try_for_each(|line| out.write_all(line.text().as_bytes()))
}

impl Log {
    pub fn levels(&self) -> LevelControl {
        LevelControl { queue: Arc::clone(&self.queue) }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.queue.stop();
        if self.writing.recv_timeout(FLUSH_WAIT_MAX) == Err(RecvTimeoutError::Timeout) {
            let _ = writeln!(io::stderr(), "gopool: the last log lines have not been written");
        }
    }
}

impl LevelControl {
    /// Takes effect for events from here on; the files are opened and closed a moment later. Does
    /// not wait for anything.
    pub fn set(&self, levels: Levels) {
        self.queue.set_threshold(levels.into());
        // The writer closes the files that are not needed any more.
        self.queue.wake();
    }
}
