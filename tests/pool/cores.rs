//! Times of which what threads of the pool have waited for a core is not a part: other programs of
//! this machine have had it.

use std::fs;
use std::time::{Duration, Instant};

/// Looks at those threads of a process whose names begin with one of these.
pub struct Watch {
    process_id: u32,
    threads: &'static [&'static str],
}

#[derive(Clone, Copy)]
pub struct Moment {
    pub at: Instant,
    waited: Duration,
}

impl Watch {
    pub fn new(process_id: u32, threads: &'static [&'static str]) -> Self {
        Self { process_id, threads }
    }

    pub fn now(&self) -> Moment {
        Moment { at: Instant::now(), waited: self.waited() }
    }

    /// How long they have been ready and had no core, since the start, all in all. Source:
    /// `proc_pid_schedstat(5)`.
    fn waited(&self) -> Duration {
        let folder = format!("/proc/{}/task", self.process_id);
        let tasks = fs::read_dir(folder).into_iter().flatten().flatten();
        let waits = tasks.filter_map(|task| {
            let name = fs::read_to_string(task.path().join("comm")).ok()?;
            let is_meant = self.threads.iter().any(|start| name.starts_with(start));
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split(' ').nth(1)?.parse::<u64>().ok().filter(|_| is_meant)
        });
        Duration::from_nanos(waits.sum())
    }
}

impl Moment {
    pub fn since(self, earlier: Self) -> Duration {
        let waited = self.waited.saturating_sub(earlier.waited);
        self.at.duration_since(earlier.at).saturating_sub(waited)
    }
}
