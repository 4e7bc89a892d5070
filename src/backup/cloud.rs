//! What the service knows of the copy in the bucket: what is to be uploaded, and when it is tried.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use tracing::{info, warn};

use super::b2::Done;
use super::repeats::Repeats;
use super::schedule::Schedule;
use super::uploader::{Ready, Report, Uploader};
use super::{BackupFigures, UploadFigures, time};
use crate::store::{BackupMark, StoreHandle};

/// The mark of the last upload: when, and what it covers.
pub(super) const UPLOAD_MARK: &str = "worker_db_upload";

pub(super) struct Cloud {
    uploader: Uploader,
    bucket: String,
    store: StoreHandle,
    figures: Arc<Mutex<BackupFigures>>,
    /// Of tries, which have a schedule of their own: copies here do not wait for B2.
    schedule: Schedule,
    /// B2 wants to be left alone until then, whatever happens to the clock.
    not_before: Instant,
    /// The newest copy that is not in the bucket.
    ready: Option<Ready>,
    is_busy: bool,
    is_reachable: bool,
    last: BackupMark,
    repeats: Repeats,
    /// Of versions that should have been deleted.
    repeats_of_old: Repeats,
}

impl Cloud {
    pub(super) fn new(
        uploader: Uploader,
        bucket: String,
        interval: u64,
        store: StoreHandle,
        figures: Arc<Mutex<BackupFigures>>,
    ) -> Self {
        Self {
            uploader,
            bucket,
            store,
            figures,
            // Right at the start the bucket is looked for, whatever there is to be uploaded.
            schedule: Schedule::new(interval, 0, 0),
            not_before: Instant::now(),
            ready: None,
            is_busy: false,
            is_reachable: false,
            last: BackupMark::default(),
            repeats: Repeats::default(),
            repeats_of_old: Repeats::default(),
        }
    }

    /// What an earlier process has written down.
    pub(super) fn restore(&mut self, last: BackupMark) {
        self.last = last;
        self.update(|figures| {
            figures.last_upload = time(last.at);
            figures.version = last.version;
        });
    }

    /// The version in the bucket; 0 for none.
    pub(super) fn version(&self) -> u64 {
        self.last.version
    }

    pub(super) fn has_ready(&self) -> bool {
        self.ready.is_some()
    }

    /// A newer copy than the one that waits, if one does.
    pub(super) fn offer(&mut self, ready: Ready, now: u64) {
        self.ready = Some(ready);
        self.schedule.hurry(now);
    }

    pub(super) fn reports(&self) -> &Receiver<Report> {
        self.uploader.reports()
    }

    /// Seconds until [`Cloud::start`] has something to do, if it has.
    pub(super) fn wait(&self, now: u64) -> Option<u64> {
        let has_work = self.ready.is_some() || !self.is_reachable;
        let asked_for = self.not_before.saturating_duration_since(Instant::now());
        // Up to the next whole one.
        let asked_for = asked_for.as_millis().div_ceil(1000) as u64;
        (has_work && !self.is_busy).then(|| self.schedule.wait(now).max(asked_for))
    }

    pub(super) fn start(&mut self) {
        self.is_busy = true;
        self.uploader.start(self.ready.take());
    }

    pub(super) fn on_report(&mut self, report: Report, now: u64) {
        let Report { task, result, not_deleted, is_reachable, elapsed } = report;
        self.is_busy = false;
        self.is_reachable = is_reachable;
        match &result {
            Ok(done) => {
                self.schedule.succeeded(now);
                // It has come while the other one was on its way.
                if self.ready.is_some() {
                    self.schedule.hurry(now);
                }
                if self.repeats.is_over() {
                    info!(component = "backup", bucket = self.bucket, "B2 is reached again");
                }
                if let (Some(ready), Some(done)) = (&task, done) {
                    self.uploaded(ready, done, elapsed, now);
                }
            }
            Err(error) => {
                self.schedule.failed(now);
                self.not_before = Instant::now() + error.wait().unwrap_or_default();
                // Unless there is a newer one.
                self.ready = self.ready.take().or(task.map(Ready::again));
                let text = error.to_string();
                let retry_seconds = self.wait(now).unwrap_or_default();
                if self.repeats.is_news(&text, now) {
                    warn!(component = "backup", error = text, retry_seconds, "backup not uploaded");
                }
            }
        }
        if let Some(error) = not_deleted {
            let text = error.to_string();
            if self.repeats_of_old.is_news(&text, now) {
                warn!(component = "backup", error = text, "older versions stay in the bucket");
            }
        }
        let failures = self.schedule.failures();
        self.update(|figures| {
            figures.is_reachable = Some(is_reachable);
            figures.failures = failures;
            match result {
                Ok(Some(Done { was_there: true, .. })) => figures.outcome = Some("was there"),
                Ok(Some(_)) => figures.outcome = Some("uploaded"),
                Ok(None) => {}
                Err(_) => figures.failures_total += 1,
            }
            figures.error = result.err().map(|error| error.to_string());
        });
    }

    fn uploaded(&mut self, ready: &Ready, done: &Done, elapsed: Duration, now: u64) {
        self.last = BackupMark { at: now, version: ready.version };
        self.store.save_backup_mark(UPLOAD_MARK, self.last);
        let last = self.last;
        self.update(|figures| {
            figures.last_upload = time(last.at);
            figures.version = last.version;
        });
        info!(
            component = "backup",
            bucket = self.bucket,
            bytes = done.bytes,
            version = last.version,
            was_there = done.was_there,
            elapsed_ms = elapsed.as_millis() as u64,
            "backup uploaded"
        );
    }

    fn update(&self, change: impl FnOnce(&mut UploadFigures)) {
        let mut figures = self.figures.lock().expect("no code panics while it holds this");
        if let Some(upload) = &mut figures.upload {
            change(upload);
        }
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::Sender;

    use super::super::limit::{Limit, TooLate};
    use super::super::uploader::tests::alone;
    use super::*;
    use crate::store::tests::Folder;

    fn cloud(store: StoreHandle) -> (Sender<()>, Cloud) {
        let (stop, uploader) = alone();
        (stop, Cloud::new(uploader, "b".into(), 43_200, store, Arc::default()))
    }

    fn ready(limit: Limit) -> Ready {
        Ready { file: tempfile::tempfile().unwrap(), version: 2, limit }
    }

    #[test]
    fn a_copy_that_comes_while_b2_is_asked_does_not_wait_for_another_interval() {
        let (_folder, store, _) = Folder::new();
        let (_stop, mut cloud) = cloud(store);
        cloud.is_busy = true;
        cloud.offer(ready(Limit::NONE), 1000);
        assert_eq!(cloud.wait(1000), None);
        let report = Report {
            task: None,
            result: Ok(None),
            not_deleted: None,
            is_reachable: true,
            elapsed: Duration::ZERO,
        };
        cloud.on_report(report, 1000);
        assert_eq!(cloud.wait(1000), Some(0));
    }

    #[test]
    fn what_does_not_leave_in_its_time_is_tried_again_without_a_limit() {
        let (_folder, store, _) = Folder::new();
        let (_stop, mut cloud) = cloud(store);
        let report = Report {
            task: Some(ready(Limit::of(Duration::ZERO))),
            result: Err(TooLate.into()),
            not_deleted: None,
            is_reachable: true,
            elapsed: Duration::ZERO,
        };
        cloud.on_report(report, 1000);
        assert_eq!(cloud.wait(1000), Some(60));
        assert_eq!(cloud.ready.as_ref().map(|ready| ready.limit.check()), Some(Ok(())));
    }
}
