//! Copies of the state database while the pool works (`state-and-services.md` §12): one file that is
//! consistent, safe to take away at any time and replaced whole.

mod copy;
mod schedule;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use tracing::{debug, info, warn};

use crate::clock::unix_now;
use crate::join;
use crate::privacy::Secret;
use crate::store::{BackupMark, Reader, StoreHandle};
use schedule::Schedule;

/// The mark of the last copy: when, and what it covers.
const MARK: &str = "worker_db";
/// The mark of the last attempt.
const ATTEMPT_MARK: &str = "worker_db_attempt";
/// The clock may be set while the next run is waited for.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// `services.toml [backblaze_backup]`, the part of it that is about this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupSettings {
    /// Where the copy is; none when nobody wants one.
    pub path: Option<PathBuf>,
    pub interval: Duration,
    /// A copy each time, also when nothing has changed.
    pub force_every_interval: bool,
    /// None when nothing is uploaded.
    pub b2: Option<B2Settings>,
}

/// The other part: where copies are uploaded to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct B2Settings {
    pub api_url: String,
    pub bucket: String,
    /// What the copy is called there.
    pub object: String,
    pub key_id: Secret,
    pub key: Secret,
}

/// What the service is given.
#[derive(Debug)]
pub struct BackupPlan {
    /// The state folder: a copy is made here before it goes to its place.
    pub state: PathBuf,
    pub settings: BackupSettings,
    /// One right after the start, whatever has changed.
    pub on_boot: bool,
}

/// How the service does (§12.7).
#[derive(Clone, Debug, Default)]
pub struct BackupFigures {
    pub path: Option<PathBuf>,
    pub last_attempt: Option<SystemTime>,
    pub last_copy: Option<SystemTime>,
    /// The change counter that the last copy covers.
    pub version: u64,
    /// What came of the last run that did not fail.
    pub outcome: Option<&'static str>,
    /// Gone after the next success (FIX-35).
    pub error: Option<String>,
    /// Runs in a row that failed.
    pub failures: u32,
}

/// The service, until it is stopped.
#[derive(Debug)]
pub struct Backups {
    stop: Sender<()>,
    figures: Arc<Mutex<BackupFigures>>,
    thread: Option<JoinHandle<()>>,
}

impl Backups {
    pub fn spawn(plan: BackupPlan, reader: Reader, store: StoreHandle) -> io::Result<Self> {
        let figures = Arc::new(Mutex::new(BackupFigures {
            path: plan.settings.path.clone(),
            ..BackupFigures::default()
        }));
        let (stop, stopped) = bounded(0);
        let Some(path) = plan.settings.path.clone() else {
            if plan.on_boot {
                warn!(
                    component = "backup",
                    "-backup-on-boot does nothing: backblaze_backup.keep_local_copy is false and \
                     there is no snapshot_path"
                );
            }
            return Ok(Self { stop, figures, thread: None });
        };
        let mut service = Service {
            path,
            private: plan.state.join("backup.tmp"),
            force_every_interval: plan.settings.force_every_interval,
            interval: plan.settings.interval.as_secs().max(1),
            reader,
            store,
            last: BackupMark::default(),
            figures: Arc::clone(&figures),
        };
        let thread = thread::Builder::new()
            .name("backup".into())
            .spawn(move || service.run(plan.on_boot, &stopped))?;
        Ok(Self { stop, figures, thread: Some(thread) })
    }

    pub fn figures(&self) -> Arc<Mutex<BackupFigures>> {
        Arc::clone(&self.figures)
    }

    /// Lets a copy that is being made come to its end, up to a bound.
    pub fn stop(self, patience: Duration) {
        drop(self.stop);
        let Some(thread) = self.thread else { return };
        if !join::ends_by(&thread, Instant::now() + patience) {
            warn!(component = "backup", "a backup is not finished and is given up");
        }
    }
}

/// What a run has done.
enum Outcome {
    Copied,
    Unchanged,
}

struct Service {
    path: PathBuf,
    private: PathBuf,
    force_every_interval: bool,
    interval: u64,
    reader: Reader,
    store: StoreHandle,
    last: BackupMark,
    figures: Arc<Mutex<BackupFigures>>,
}

impl Service {
    fn run(&mut self, on_boot: bool, stopped: &Receiver<()>) {
        copy::clean(&self.private);
        // A mark that cannot be read means one copy too many.
        self.last = self.reader.backup_mark(MARK).unwrap_or_default();
        let attempt = self.reader.backup_mark(ATTEMPT_MARK).unwrap_or_default();
        let last_attempt = if attempt.at > 0 { attempt.at } else { self.last.at };
        {
            let mut figures = self.figures();
            figures.last_attempt = time(last_attempt);
            figures.last_copy = time(self.last.at);
            figures.version = self.last.version;
        }
        let mut schedule = Schedule::new(self.interval, last_attempt, unix_now());
        if on_boot {
            self.attempt("boot", true, &mut schedule);
        }
        loop {
            let wait = Duration::from_secs(schedule.wait(unix_now()));
            if wait.is_zero() {
                self.attempt("interval", self.force_every_interval, &mut schedule);
                continue;
            }
            match stopped.recv_timeout(wait.min(WAIT_MAX)) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn attempt(&mut self, reason: &'static str, is_forced: bool, schedule: &mut Schedule) {
        let now = unix_now();
        self.store.save_backup_mark(ATTEMPT_MARK, BackupMark { at: now, version: 0 });
        self.figures().last_attempt = time(now);
        let result = self.back_up(reason, is_forced, now);
        match &result {
            Ok(_) => schedule.succeeded(now),
            Err(_) => schedule.failed(now),
        }
        let mut figures = self.figures();
        figures.failures = schedule.failures();
        match result {
            Ok(Outcome::Copied) => {
                figures.last_copy = time(self.last.at);
                figures.version = self.last.version;
                figures.outcome = Some("copied");
                figures.error = None;
            }
            Ok(Outcome::Unchanged) => {
                figures.outcome = Some("unchanged");
                figures.error = None;
            }
            Err(error) => {
                let retry_seconds = schedule.wait(now);
                warn!(component = "backup", %error, retry_seconds, "backup failed");
                figures.error = Some(error);
            }
        }
    }

    fn back_up(
        &mut self,
        reason: &'static str,
        is_forced: bool,
        now: u64,
    ) -> Result<Outcome, String> {
        // A counter that cannot be read may have changed.
        let counter = self.reader.change_counter().ok();
        let has_changed = self.last.version == 0 || counter != Some(self.last.version);
        if !is_forced && !has_changed && self.path.exists() {
            debug!(component = "backup", "nothing has changed since the last backup");
            return Ok(Outcome::Unchanged);
        }
        let started = Instant::now();
        let copied = copy::make(&self.reader, &self.private, &self.path);
        copy::clean(&self.private);
        let copied = copied.map_err(|error| error.to_string())?;
        // Only now: what is recorded is in the file (FIX-32).
        self.last = BackupMark { at: now, version: copied.version };
        self.store.save_backup_mark(MARK, self.last);
        info!(
            component = "backup",
            reason,
            path = %self.path.display(),
            bytes = copied.bytes,
            version = copied.version,
            elapsed_ms = started.elapsed().as_millis() as u64,
            "backup written"
        );
        Ok(Outcome::Copied)
    }

    fn figures(&self) -> std::sync::MutexGuard<'_, BackupFigures> {
        self.figures.lock().expect("no code panics while it holds this")
    }
}

fn time(unix: u64) -> Option<SystemTime> {
    (unix > 0).then(|| UNIX_EPOCH + Duration::from_secs(unix))
}
