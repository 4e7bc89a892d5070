//! What happens when: copies at their interval, uploads of them as soon as B2 takes them.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, never, select};
use tracing::{debug, info, warn};

use super::cloud::{Cloud, UPLOAD_MARK};
use super::limit::Limit;
use super::schedule::{Earlier, Schedule};
use super::uploader::Ready;
use super::{BackupFigures, copy, time};
use crate::clock::unix_now;
use crate::store::{BackupMark, Reader, StoreHandle};

/// The mark of the last copy: when, and what it covers.
pub(super) const MARK: &str = "worker_db";
/// The mark of the last attempt.
const ATTEMPT_MARK: &str = "worker_db_attempt";
/// How long the copy at the start may take, until it is in its place, and in the bucket (§12.6).
const BOOT_MAX: Duration = Duration::from_secs(600);
/// The clock may be set while the next run is waited for.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What a run is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) reason: &'static str,
    /// A copy is made whatever has changed.
    pub(super) is_forced: bool,
    pub(super) limit: Limit,
}

impl Run {
    pub(super) fn without_limit(reason: &'static str, is_forced: bool) -> Self {
        Self { reason, is_forced, limit: Limit::NONE }
    }

    /// Begins now.
    pub(super) fn at_boot() -> Self {
        Self { reason: "boot", is_forced: true, limit: Limit::of(BOOT_MAX) }
    }
}

/// What a run has done.
pub(super) enum Outcome {
    Copied,
    Unchanged,
}

pub(super) struct Service {
    pub(super) path: PathBuf,
    pub(super) private: PathBuf,
    pub(super) force_every_interval: bool,
    /// Seconds, above 0.
    pub(super) interval: u64,
    pub(super) reader: Reader,
    pub(super) store: StoreHandle,
    pub(super) last: BackupMark,
    pub(super) figures: Arc<Mutex<BackupFigures>>,
    pub(super) cloud: Option<Cloud>,
}

impl Service {
    pub(super) fn run(&mut self, on_boot: bool, stopped: &Receiver<()>) {
        copy::clean(&self.private);
        let mut schedule = self.restore(unix_now());
        if on_boot {
            info!(component = "backup", "-backup-on-boot: a copy is made now");
            self.attempt(Run::at_boot(), &mut schedule, unix_now());
        }
        self.take_up_upload(&mut schedule);
        let no_reports = never();
        loop {
            if schedule.wait(unix_now()) == 0 {
                let run = Run::without_limit("interval", self.force_every_interval);
                self.attempt(run, &mut schedule, unix_now());
                continue;
            }
            let now = unix_now();
            let mut wait = schedule.wait(now);
            let mut reports = no_reports.clone();
            if let Some(cloud) = &mut self.cloud {
                if cloud.wait(now) == Some(0) {
                    cloud.start();
                }
                wait = wait.min(cloud.wait(now).unwrap_or(wait));
                reports = cloud.reports().clone();
            }
            select! {
                recv(stopped) -> _ => return,
                recv(reports) -> report => {
                    // It ends after us.
                    let (Ok(report), Some(cloud)) = (report, &mut self.cloud) else { return };
                    cloud.on_report(report, unix_now());
                }
                default(Duration::from_secs(wait).min(WAIT_MAX)) => {}
            }
        }
    }

    /// What an earlier process has written down, and when the next run is due.
    pub(super) fn restore(&mut self, now: u64) -> Schedule {
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
        if let Some(cloud) = &mut self.cloud {
            cloud.restore(self.reader.backup_mark(UPLOAD_MARK).unwrap_or_default());
        }
        let earlier = Earlier {
            attempt_at: last_attempt,
            copy_at: self.last.at,
            has_changed: self.force_every_interval || self.has_changed(),
            is_copy_there: self.path.exists(),
        };
        Schedule::after(self.interval, earlier, now)
    }

    /// An earlier process has made a copy and not uploaded it.
    fn take_up_upload(&mut self, schedule: &mut Schedule) {
        let Some(cloud) = &mut self.cloud else { return };
        let version = self.last.version;
        if version == 0 || version == cloud.version() || cloud.has_ready() {
            return;
        }
        match copy::of_earlier(&self.path, version) {
            Some(ready) => cloud.offer(ready, unix_now()),
            None => self.attempt(Run::without_limit("upload", true), schedule, unix_now()),
        }
    }

    pub(super) fn attempt(&mut self, run: Run, schedule: &mut Schedule, now: u64) {
        self.store.save_backup_mark(ATTEMPT_MARK, BackupMark { at: now, version: 0 });
        self.figures().last_attempt = time(now);
        let started = Instant::now();
        let result = self.back_up(run, now);
        // A slow disk may have needed minutes to fail.
        let ended = now.saturating_add(started.elapsed().as_secs());
        match &result {
            Ok(_) => schedule.succeeded(now),
            Err(_) => schedule.failed(ended),
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
                let retry_seconds = schedule.wait(ended);
                warn!(component = "backup", %error, retry_seconds, "backup failed");
                figures.error = Some(error);
            }
        }
    }

    pub(super) fn back_up(&mut self, run: Run, now: u64) -> Result<Outcome, String> {
        if !run.is_forced && !self.has_changed() && self.path.exists() {
            debug!(component = "backup", "nothing has changed since the last backup");
            return Ok(Outcome::Unchanged);
        }
        let started = Instant::now();
        let copied = self.copy(run, now);
        copy::clean(&self.private);
        let (bytes, version) = copied.map_err(|error| error.to_string())?;
        // Only now: what is recorded is in the file (FIX-32).
        self.last = BackupMark { at: now, version };
        self.store.save_backup_mark(MARK, self.last);
        info!(
            component = "backup",
            reason = run.reason,
            path = %self.path.display(),
            bytes,
            version,
            elapsed_ms = started.elapsed().as_millis() as u64,
            "backup written"
        );
        Ok(Outcome::Copied)
    }

    /// Whether the database is another than the last copy shows.
    fn has_changed(&self) -> bool {
        // A counter that cannot be read may have changed.
        let counter = self.reader.change_counter().ok();
        self.last.version == 0 || counter != Some(self.last.version)
    }

    /// A new copy in its place; its size and version come back. It is uploaded also when its place
    /// does not take it: the two fail for different reasons.
    fn copy(&mut self, run: Run, now: u64) -> Result<(u64, u64), copy::CopyError> {
        let copied = copy::take(&self.reader, &self.private, run.limit)?;
        let version = copied.version;
        let placed = copy::place(&copied, &self.path, run.limit);
        if let Some(cloud) = &mut self.cloud {
            // Two things say whether an upload is needed. The counter decides here: it counts what
            // a backup is for, while the bytes differ with every copy, for the marks of the backups
            // themselves stand in them. The bytes decide when they are about to leave (`B2::has`):
            // if the bucket has the same ones already, an upload's end has gone unnoticed.
            if run.is_forced || version != cloud.version() {
                let path = if placed.is_ok() { &self.path } else { &copied.path };
                match File::open(path) {
                    Ok(file) => cloud.offer(Ready { file, version, limit: run.limit }, now),
                    Err(error) => warn!(component = "backup", %error, "no copy to be uploaded"),
                }
            }
        }
        Ok((placed?, version))
    }

    fn figures(&self) -> MutexGuard<'_, BackupFigures> {
        self.figures.lock().expect("no code panics while it holds this")
    }
}
