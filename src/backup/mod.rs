//! Copies of the state database while the pool works (`state-and-services.md` §12): one file that is
//! consistent, safe to take away at any time and replaced whole; and the same in a bucket, if one is
//! configured.

mod b2;
mod cloud;
mod copy;
mod limit;
mod repeats;
mod schedule;
mod service;
#[cfg(test)]
mod tests;
mod uploader;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Sender, bounded};
use tracing::warn;

use crate::cores;
use crate::join;
use crate::outgoing::Outgoing;
use crate::privacy::Secret;
use crate::store::{Reader, StoreHandle};
use b2::{B2, Patience};
use cloud::Cloud;
use service::Service;
use uploader::Uploader;

/// `services.toml [backblaze_backup]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupSettings {
    /// Where the copy is; none when nobody wants one.
    pub path: Option<PathBuf>,
    pub interval: Duration,
    /// A copy each time, also when nothing has changed.
    pub force_every_interval: bool,
    /// Whether somebody wants uploads, possible or not.
    pub is_upload_wanted: bool,
    /// The bucket's name, if there is one.
    pub bucket: Option<String>,
    /// None when nothing is uploaded.
    pub b2: Option<B2Settings>,
}

/// Where copies are uploaded to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct B2Settings {
    pub api_url: String,
    pub bucket: String,
    /// What the copy is called there.
    pub object: String,
    pub key_id: Secret,
    pub key: Secret,
    /// Versions kept after an upload; 0 for all.
    pub keep_versions: usize,
}

/// What the service is given.
#[derive(Debug)]
pub struct BackupPlan {
    /// The state folder: a copy is made here before it goes to its place.
    pub state: PathBuf,
    pub settings: BackupSettings,
    /// One right after the start, whatever has changed, if it can be made in ten minutes.
    pub on_boot: bool,
    pub outgoing: Outgoing,
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
    /// None when nothing is uploaded.
    pub upload: Option<UploadFigures>,
}

/// How uploads do.
#[derive(Clone, Debug, Default)]
pub struct UploadFigures {
    /// Whether the bucket was there when it was asked for last; none before the first answer.
    pub is_reachable: Option<bool>,
    pub last_upload: Option<SystemTime>,
    /// The change counter that the newest copy in the bucket covers.
    pub version: u64,
    /// What came of the last upload that did not fail.
    pub outcome: Option<&'static str>,
    /// Gone after the next success.
    pub error: Option<String>,
    /// Tries in a row that failed.
    pub failures: u32,
    /// All of them, since the start.
    pub failures_total: u64,
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
        Self::spawn_with(plan, reader, store, Patience::default())
    }

    fn spawn_with(
        plan: BackupPlan,
        reader: Reader,
        store: StoreHandle,
        patience: Patience,
    ) -> io::Result<Self> {
        let BackupPlan { state, settings, on_boot, outgoing } = plan;
        let figures = Arc::new(Mutex::new(BackupFigures {
            path: settings.path.clone(),
            upload: settings.b2.is_some().then(UploadFigures::default),
            ..BackupFigures::default()
        }));
        let (stop, stopped) = bounded(0);
        let Some(path) = settings.path else {
            if on_boot {
                warn!(
                    component = "backup",
                    "-backup-on-boot does nothing: backblaze_backup.keep_local_copy is false and \
                     there is no snapshot_path"
                );
            }
            return Ok(Self { stop, figures, thread: None });
        };
        let interval = settings.interval.as_secs().max(1);
        let cloud = |b2: B2Settings| -> io::Result<Cloud> {
            let (bucket, keep_versions) = (b2.bucket.clone(), b2.keep_versions);
            let b2 = B2::new(outgoing, b2, patience, stopped.clone());
            let uploader = Uploader::spawn(b2, keep_versions)?;
            Ok(Cloud::new(uploader, bucket, interval, store.clone(), Arc::clone(&figures)))
        };
        let cloud = settings.b2.map(cloud).transpose()?;
        let mut service = Service {
            path,
            private: state.join("backup.tmp"),
            force_every_interval: settings.force_every_interval,
            interval,
            reader,
            store,
            last: Default::default(),
            figures: Arc::clone(&figures),
            cloud,
        };
        let thread = thread::Builder::new().name("backup".into()).spawn(move || {
            // A copy takes as long as the database is large, and whoever waits for a page or hands in
            // a block is on the same core.
            cores::let_others_go_first();
            service.run(on_boot, &stopped);
        })?;
        Ok(Self { stop, figures, thread: Some(thread) })
    }

    pub fn figures(&self) -> Arc<Mutex<BackupFigures>> {
        Arc::clone(&self.figures)
    }

    /// Lets a copy that is being made come to its end, up to a bound. An upload is left alone: B2
    /// keeps nothing of one that breaks off, and the next process begins with it.
    pub fn stop(self, patience: Duration) {
        drop(self.stop);
        let Some(thread) = self.thread else { return };
        if !join::ends_by(&thread, Instant::now() + patience) {
            warn!(component = "backup", "a backup is not finished and is given up");
        }
    }
}

fn time(unix: u64) -> Option<SystemTime> {
    (unix > 0).then(|| UNIX_EPOCH + Duration::from_secs(unix))
}
