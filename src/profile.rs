//! `-profile`: where the CPU's time goes in the first minute, written to `default.pgo` for pprof
//! (`config.md` §12.1).
//!
//! A timer of the CPU time of the whole process interrupts whichever thread is running, a hundred
//! times a second of work, and its stack is noted: shards, control and the threads of the node
//! alike. A pool that does nothing is not interrupted.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use pprof::protos::Message;
use pprof::{ProfilerGuard, ProfilerGuardBuilder};
use tracing::{info, warn};

/// In the working directory, where Go's tools look for it.
const FILE: &str = "default.pgo";
const DURATION: Duration = Duration::from_secs(60);
/// Not a round number: what happens a hundred times a second is not always seen at the same place.
const SAMPLES_PER_SECOND: i32 = 99;
/// Code that the unwinder must not be started from, for it has no frames that can be trusted. Not
/// the C library: a system call is where a shard's time goes, and must be seen.
const NOT_UNWOUND: [&str; 2] = ["vdso", "libgcc"];

/// A profile that is being taken. Dropping it ends and writes it, if its time is not up yet.
#[derive(Debug)]
pub struct Profile {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts. That it cannot is no reason not to run: it is logged, and there is no profile.
pub fn start() -> Option<Profile> {
    start_for(DURATION, Path::new(FILE))
}

fn start_for(duration: Duration, path: &Path) -> Option<Profile> {
    match try_start(duration, path.to_owned()) {
        Ok(profile) => {
            let (path, seconds) = (path.display(), duration.as_secs());
            info!(component = "profile", %path, seconds, "CPU profile started");
            Some(profile)
        }
        Err(error) => {
            warn!(component = "profile", path = %path.display(), %error, "no CPU profile");
            None
        }
    }
}

fn try_start(duration: Duration, path: PathBuf) -> io::Result<Profile> {
    // First of all, for this is what may fail: made and emptied now, written at the end.
    let file = File::create(&path)?;
    let guard = ProfilerGuardBuilder::default()
        .frequency(SAMPLES_PER_SECOND)
        .blocklist(&NOT_UNWOUND)
        .build()
        .map_err(io::Error::other)?;
    let (stop, stopped) = bounded::<()>(0);
    let thread = thread::Builder::new().name("profile".into()).spawn(move || {
        // It ends when the time is up, or when the other end is dropped.
        let _ = stopped.recv_timeout(duration);
        match write(&guard, file) {
            Ok(samples) => {
                info!(component = "profile", path = %path.display(), samples, "CPU profile written");
            }
            Err(error) => {
                let path = path.display();
                warn!(component = "profile", %path, %error, "CPU profile not written");
            }
        }
    })?;
    Ok(Profile { stop: Some(stop), thread: Some(thread) })
}

/// Writes what has been sampled. Returns how many stacks that are.
fn write(guard: &ProfilerGuard<'_>, mut file: File) -> io::Result<usize> {
    let profile = guard.report().build().and_then(|report| report.pprof());
    let profile = profile.map_err(io::Error::other)?;
    file.write_all(&profile.encode_to_vec())?;
    file.sync_all()?;
    Ok(profile.sample.len())
}

impl Drop for Profile {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::hint::black_box;
    use std::time::Instant;

    use pprof::protos;

    use super::*;
    use crate::join;

    const BUSY_TIME: Duration = Duration::from_secs(2);
    /// Of that, on a machine that others use too.
    const SAMPLES_MIN: i64 = 20;

    #[inline(never)]
    fn count_up_for_a_while(limit: Duration) -> u64 {
        let started = Instant::now();
        let mut sum = 0_u64;
        while started.elapsed() < limit {
            for index in 0..100_000_u64 {
                sum = black_box(sum.wrapping_mul(31).wrapping_add(index));
            }
        }
        sum
    }

    /// How many samples there are, and whose: names of threads and of functions.
    fn read(path: &Path) -> (i64, BTreeSet<String>) {
        let profile = protos::Profile::decode(&*fs::read(path).unwrap()).unwrap();
        let text = |index: i64| profile.string_table[usize::try_from(index).unwrap()].clone();
        let types: Vec<_> = profile.sample_type.iter().map(|kind| text(kind.ty)).collect();
        assert_eq!(types, ["samples", "cpu"]);
        let samples = profile.sample.iter().map(|sample| sample.value[0]).sum();
        let labels = profile.sample.iter().flat_map(|sample| &sample.label);
        let names = labels
            .map(|label| text(label.str))
            .chain(profile.function.iter().map(|function| text(function.name)))
            .collect();
        (samples, names)
    }

    fn has(names: &BTreeSet<String>, part: &str) -> bool {
        names.iter().any(|name| name.contains(part))
    }

    /// One test: there is one profiler in a process.
    #[test]
    fn a_profile_says_which_threads_and_functions_were_busy_and_disturbs_no_shard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("default.pgo");
        let profile = start_for(Duration::from_secs(3600), &path).unwrap();
        assert!(start_for(DURATION, &folder.path().join("second")).is_none());

        let shard = glommio::LocalExecutorBuilder::default()
            .name("shard-under-test")
            .spawn(|| async {
                // Waits in the ring and works, in turn, as a shard does.
                let started = Instant::now();
                let mut turns = 0;
                while started.elapsed() < BUSY_TIME {
                    glommio::timer::sleep(Duration::from_millis(1)).await;
                    black_box(count_up_for_a_while(Duration::from_millis(4)));
                    turns += 1;
                }
                turns
            })
            .unwrap();
        black_box(count_up_for_a_while(BUSY_TIME));
        assert!(shard.join().unwrap() > 10);
        drop(profile);

        let (samples, names) = read(&path);
        assert!(samples >= SAMPLES_MIN, "{samples} samples");
        assert!(has(&names, "count_up_for_a_while"), "{names:?}");
        assert!(has(&names, "shard-under-tes"), "threads have names: {names:?}");

        // Time that is up ends it as well, and another can follow.
        let profile = start_for(Duration::from_millis(200), &path).unwrap();
        black_box(count_up_for_a_while(Duration::from_millis(200)));
        let deadline = Instant::now() + Duration::from_secs(60);
        assert!(join::ends_by(profile.thread.as_ref().unwrap(), deadline), "it does not end");
        read(&path);
    }

    #[test]
    fn a_file_that_cannot_be_made_costs_the_profile_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        assert!(start_for(DURATION, &folder.path().join("missing/default.pgo")).is_none());
    }
}
