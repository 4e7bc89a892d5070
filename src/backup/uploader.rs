//! The thread that talks to B2. A server that hangs can hold it for minutes, so it has nothing that
//! others wait for: copies are made meanwhile, and the process ends without it.

use std::fs::File;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::b2::{B2, B2Error, Done};

/// A copy that is to be in the bucket. It stays what it is when another one takes its place here.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) file: File,
    /// The change counter in it (FIX-32).
    pub(super) version: u64,
}

/// What is to be done; a copy to be uploaded, or none when only the bucket is looked for.
type Task = Option<Ready>;

#[derive(Debug)]
pub(super) struct Report {
    pub(super) task: Task,
    /// None when nothing was to be uploaded.
    pub(super) result: Result<Option<Done>, B2Error>,
    /// Why older versions are still there.
    pub(super) not_deleted: Option<B2Error>,
    pub(super) is_reachable: bool,
    pub(super) elapsed: Duration,
}

/// One task at a time.
#[derive(Debug)]
pub(super) struct Uploader {
    tasks: Sender<Task>,
    reports: Receiver<Report>,
}

impl Uploader {
    pub(super) fn spawn(mut b2: B2, keep_versions: usize) -> io::Result<Self> {
        let (tasks, received) = bounded::<Task>(1);
        let (sender, reports) = bounded(1);
        thread::Builder::new().name("upload".into()).spawn(move || {
            for task in received {
                if sender.send(run(&mut b2, task, keep_versions)).is_err() {
                    // The pool has stopped meanwhile.
                    return;
                }
            }
        })?;
        Ok(Self { tasks, reports })
    }

    /// The one before has been reported.
    pub(super) fn start(&self, task: Task) {
        // The thread ends when this does, and no sooner.
        let _ = self.tasks.send(task);
    }

    pub(super) fn reports(&self) -> &Receiver<Report> {
        &self.reports
    }
}

fn run(b2: &mut B2, mut task: Task, keep_versions: usize) -> Report {
    let started = Instant::now();
    let mut is_reachable = false;
    let result = b2.connect().and_then(|()| {
        is_reachable = true;
        task.as_mut().map(|ready| b2.upload(&mut ready.file)).transpose()
    });
    let elapsed = started.elapsed();
    let mut not_deleted = None;
    match &result {
        Ok(Some(_)) if keep_versions > 0 => not_deleted = b2.delete_older(keep_versions).err(),
        Ok(_) => {}
        Err(error) => {
            is_reachable &= error.is_answer();
            b2.disconnect();
        }
    }
    Report { task, result, not_deleted, is_reachable, elapsed }
}
