//! What this process and its machine use, read from `/proc` (`state-and-services.md` §16.1).
//! Nothing here fails: a figure that cannot be read is zero, or what it was before.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::snapshot::ProcessFigures;

/// Read of any one file: each of them is a few KiB, except `/proc/stat` on machines with many
/// interrupts, whose first line is all that counts.
const FILE_BYTES_MAX: u64 = 16 * 1024;

/// Reads the figures again and again; it keeps what the next CPU percentage is measured against.
pub struct SystemReader {
    proc: PathBuf,
    page_bytes: u64,
    ticks: Option<Ticks>,
    cpu_percent: f64,
}

#[derive(Clone, Copy)]
struct Ticks {
    process: u64,
    machine: u64,
}

impl Default for SystemReader {
    fn default() -> Self {
        Self::at(Path::new("/proc"))
    }
}

impl SystemReader {
    fn at(proc: &Path) -> Self {
        Self { proc: proc.to_owned(), page_bytes: page_bytes(), ticks: None, cpu_percent: 0.0 }
    }

    pub fn read(&mut self) -> ProcessFigures {
        let status = self.file("self/status");
        let memory = self.file("meminfo");
        let load = self.file("loadavg");
        let (allocated_bytes, mapped_bytes) = heap_bytes();
        let mut loads = load.split_whitespace().map(|n| n.parse().unwrap_or(0.0));
        let mut next_load = || loads.next().filter(|n: &f64| n.is_finite()).unwrap_or(0.0);
        ProcessFigures {
            threads: field(&status, "Threads:").unwrap_or(0),
            rss_bytes: self.rss_bytes(),
            cpu_percent: self.cpu_percent(),
            allocated_bytes,
            mapped_bytes,
            memory_total_bytes: kib(&memory, "MemTotal:").unwrap_or(0),
            memory_available_bytes: kib(&memory, "MemAvailable:")
                .or_else(|| kib(&memory, "MemFree:"))
                .unwrap_or(0),
            load1: next_load(),
            load5: next_load(),
            load15: next_load(),
        }
    }

    fn rss_bytes(&self) -> u64 {
        let statm = self.file("self/statm");
        let pages: Option<u64> = statm.split_whitespace().nth(1).and_then(|n| n.parse().ok());
        pages.unwrap_or(0).saturating_mul(self.page_bytes)
    }

    /// Of the whole machine since the last call: zero the first time, the previous value when
    /// something cannot be read or no tick has passed.
    fn cpu_percent(&mut self) -> f64 {
        let process = process_ticks(&self.file("self/stat"));
        let machine = machine_ticks(&self.file("stat"));
        let (Some(process), Some(machine)) = (process, machine) else { return self.cpu_percent };
        let now = Ticks { process, machine };
        if let Some(then) = self.ticks {
            let passed = now.machine.saturating_sub(then.machine);
            if passed == 0 {
                return self.cpu_percent;
            }
            let used = now.process.saturating_sub(then.process);
            self.cpu_percent = (used as f64 / passed as f64 * 100.0).min(100.0);
        }
        self.ticks = Some(now);
        self.cpu_percent
    }

    /// The file's start; empty when it cannot be read.
    fn file(&self, name: &str) -> String {
        let mut bytes = Vec::new();
        let reading = fs::File::open(self.proc.join(name))
            .and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
        match reading {
            Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(_) => String::new(),
        }
    }
}

/// User and system time, fields 14 and 15. They are counted from the last `)`, because the
/// process name before it may contain anything, spaces and parentheses included.
fn process_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(14 - 3);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

/// Everything on the `cpu` line: used and idle time of all CPUs.
fn machine_ticks(stat: &str) -> Option<u64> {
    let line = stat.lines().find(|line| line.starts_with("cpu "))?;
    let mut sum: u64 = 0;
    for number in line.split_whitespace().skip(1) {
        sum = sum.checked_add(number.parse().ok()?)?;
    }
    Some(sum)
}

/// The number after `name` at a line's start.
fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

fn kib(text: &str, name: &str) -> Option<u64> {
    field(text, name)?.checked_mul(1024)
}

fn page_bytes() -> u64 {
    // SAFETY: `sysconf` takes a plain number and touches no memory of ours.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    // Every architecture we build for has it; 4096 is right on nearly all of them.
    u64::try_from(size).unwrap_or(4096)
}

/// In use, and obtained from the kernel, as glibc's allocator counts them.
#[cfg(target_env = "gnu")]
fn heap_bytes() -> (u64, u64) {
    // SAFETY: `mallinfo2` has no arguments, returns a plain struct and may be called from any
    // thread.
    let info = unsafe { libc::mallinfo2() };
    // Large blocks are mapped one by one (`hblkhd`) and always in use.
    ((info.uordblks + info.hblkhd) as u64, (info.arena + info.hblkhd) as u64)
}

/// Other C libraries do not tell.
#[cfg(not(target_env = "gnu"))]
fn heap_bytes() -> (u64, u64) {
    (0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_this_process_are_plausible() {
        let mut reader = SystemReader::default();
        let first = reader.read();
        assert_eq!(first.cpu_percent, 0.0);
        assert!(first.threads >= 1);
        assert!(first.rss_bytes > 100_000);
        assert!(first.memory_total_bytes >= first.memory_available_bytes);
        assert!(first.memory_available_bytes > 0);
        if cfg!(target_env = "gnu") {
            assert!(first.mapped_bytes >= first.allocated_bytes && first.allocated_bytes > 0);
        }
        assert!((0.0..=100.0).contains(&reader.read().cpu_percent));
    }

    #[test]
    fn a_missing_proc_gives_zeros() {
        let figures = SystemReader::at(Path::new("/nonexistent")).read();
        assert_eq!((figures.threads, figures.rss_bytes, figures.memory_total_bytes), (0, 0, 0));
        assert_eq!((figures.load1, figures.cpu_percent), (0.0, 0.0));
    }

    #[test]
    fn cpu_is_the_difference_of_two_readings_and_survives_a_failed_one() {
        let proc = std::env::temp_dir().join(format!("gopool-proc-{}", std::process::id()));
        fs::create_dir_all(proc.join("self")).unwrap();
        let write = |process: u64, machine: u64| {
            let fields = "0 ".repeat(10);
            let stat = format!("7 (a) b)) S {fields}{process} 5 0 0");
            fs::write(proc.join("self/stat"), stat).unwrap();
            fs::write(proc.join("stat"), format!("cpu  {machine} 0 0 0\ncpu0 1 2 3\n")).unwrap();
        };
        let mut reader = SystemReader::at(&proc);
        write(100, 1000);
        assert_eq!(reader.read().cpu_percent, 0.0);
        write(125, 1100);
        assert_eq!(reader.read().cpu_percent, 25.0);
        assert_eq!(reader.read().cpu_percent, 25.0);
        fs::write(proc.join("self/stat"), "nonsense").unwrap();
        assert_eq!(reader.read().cpu_percent, 25.0);
        fs::remove_dir_all(&proc).unwrap();
    }

    #[test]
    fn odd_files_are_no_figures() {
        assert_eq!(process_ticks("7 (x) S 1 2"), None);
        assert_eq!(process_ticks(""), None);
        assert_eq!(machine_ticks("cpu  1 x 3"), None);
        assert_eq!(machine_ticks("cpu0 1 2 3"), None);
        assert_eq!(kib("MemTotal:  18446744073709551615 kB", "MemTotal:"), None);
        assert_eq!(kib("MemFree: 2 kB", "MemFree:"), Some(2048));
    }
}
