//! The thread that talks to B2. A server that hangs can hold it for minutes, so it has nothing that
//! others wait for: copies are made meanwhile, and the process ends without it.

use std::fs::File;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::b2::{B2, B2Error, Done};
use super::limit::Limit;
use crate::cores;

/// A copy that is to be in the bucket. It stays what it is when another one takes its place here.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) file: File,
    /// The change counter in it (FIX-32).
    pub(super) version: u64,
    /// Of the try that it belongs to.
    pub(super) limit: Limit,
}

impl Ready {
    /// For a further try, which is no part of the start any more.
    pub(super) fn again(self) -> Self {
        Self { limit: Limit::NONE, ..self }
    }
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
            // An upload sums up and encrypts as many bytes as the database has, and whoever waits
            // for a page or hands in a block is on the same core.
            cores::let_others_go_first();
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
    b2.limit_to(task.as_ref().map_or(Limit::NONE, |ready| ready.limit));
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

#[cfg(test)]
pub(super) mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::B2Settings;
    use super::super::b2::Patience;
    use super::*;
    use crate::outgoing::tests::{outgoing, until};
    use crate::privacy::Secret;

    /// One that nobody answers; the pool stops with the other value.
    pub(in crate::backup) fn alone() -> (Sender<()>, Uploader) {
        let settings = B2Settings {
            api_url: "http://127.0.0.1:1".to_owned(),
            bucket: "b".to_owned(),
            object: "o".to_owned(),
            key_id: Secret::new("id"),
            key: Secret::new("key"),
            keep_versions: 0,
        };
        let (stop, stopped) = bounded(0);
        let b2 = B2::new(outgoing(), settings, Patience::default(), stopped);
        (stop, Uploader::spawn(b2, 0).unwrap())
    }

    /// A thread's nice value, if it is still there: the 19th field of its `stat`
    /// (`proc_pid_stat(5)`), where the third follows its name.
    fn nice_value(thread: &Path) -> Option<i32> {
        let stat = fs::read_to_string(thread.join("stat")).ok()?;
        let (_, fields) = stat.rsplit_once(") ")?;
        fields.split(' ').nth(19 - 3)?.parse().ok()
    }

    #[test]
    fn the_thread_lets_others_go_first() {
        const NICEST: i32 = 19;
        let ours = nice_value(Path::new("/proc/thread-self")).unwrap();
        let _alone = alone();
        // Those of other tests have the same name, and behave in the same way.
        let stands_back = |thread: &Path| {
            let name = fs::read_to_string(thread.join("comm")).unwrap_or_default();
            let nice = nice_value(thread);
            name == "upload\n" && nice.is_some_and(|nice| nice > ours || nice == NICEST)
        };
        until(|| {
            let threads = fs::read_dir("/proc/self/task").unwrap();
            threads.flatten().any(|thread| stands_back(&thread.path()))
        });
    }
}
