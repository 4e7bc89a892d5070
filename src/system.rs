//! What this process and its machine use, read from `/proc`, its cgroup and the allocator
//! (`state-and-services.md` §16.1). Nothing here fails: a figure that cannot be read is zero, or
//! what it was before.

use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use crate::allocator::heap_bytes;
use crate::snapshot::ProcessFigures;

/// Read of any one file: each of them is a few KiB, except `/proc/stat` on machines with many
/// interrupts, whose first line is all that counts.
const FILE_BYTES_MAX: u64 = 16 * 1024;
/// Between two samples of the CPU, whoever asks and however often (FIX-49).
const CPU_SAMPLE_INTERVAL: Duration = Duration::from_secs(5);
/// Levels looked at from the process's own cgroup upwards.
const CGROUP_LEVELS_MAX: usize = 32;

/// Reads the figures again and again; it keeps what the next CPU percentage is measured against.
pub struct SystemReader {
    proc: PathBuf,
    cgroup: PathBuf,
    page_bytes: u64,
    sample: Option<CpuSample>,
    cpu_percent: f64,
}

#[derive(Clone, Copy)]
struct CpuSample {
    at: Instant,
    process_ticks: u64,
    machine_ticks: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Memory {
    total: u64,
    available: u64,
}

/// Where one version of cgroups keeps its figures.
struct CgroupFiles {
    /// Folder of the memory controller, below the mount point.
    folder: &'static str,
    limit: &'static str,
    used: &'static str,
    /// In `memory.stat`: what the kernel drops first when memory is short.
    droppable: &'static str,
}

const CGROUP_V2: CgroupFiles = CgroupFiles {
    folder: "",
    limit: "memory.max",
    used: "memory.current",
    droppable: "inactive_file ",
};
const CGROUP_V1: CgroupFiles = CgroupFiles {
    folder: "memory",
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    droppable: "total_inactive_file ",
};

impl Default for SystemReader {
    fn default() -> Self {
        Self::at(Path::new("/proc"), Path::new("/sys/fs/cgroup"))
    }
}

impl SystemReader {
    fn at(proc: &Path, cgroup: &Path) -> Self {
        Self {
            proc: proc.to_owned(),
            cgroup: cgroup.to_owned(),
            page_bytes: page_bytes(),
            sample: None,
            cpu_percent: 0.0,
        }
    }

    pub fn read(&mut self) -> ProcessFigures {
        self.read_at(Instant::now())
    }

    fn read_at(&mut self, now: Instant) -> ProcessFigures {
        let status = self.proc_file("self/status");
        let load = self.proc_file("loadavg");
        let memory = self.memory();
        let (allocated_bytes, mapped_bytes) = heap_bytes();
        let mut loads = load.split_whitespace().map(|n| n.parse().unwrap_or(0.0));
        let mut next_load = || loads.next().filter(|n: &f64| n.is_finite()).unwrap_or(0.0);
        ProcessFigures {
            threads: field(&status, "Threads:").unwrap_or(0),
            rss_bytes: self.rss_bytes(),
            cpu_percent: self.cpu_percent(now),
            allocated_bytes,
            mapped_bytes,
            memory_total_bytes: memory.total,
            memory_available_bytes: memory.available,
            load1: next_load(),
            load5: next_load(),
            load15: next_load(),
        }
    }

    fn rss_bytes(&self) -> u64 {
        let statm = self.proc_file("self/statm");
        let pages: Option<u64> = statm.split_whitespace().nth(1).and_then(|n| n.parse().ok());
        pages.unwrap_or(0).saturating_mul(self.page_bytes)
    }

    /// Of the whole machine between the last two samples: zero after the first one, the previous
    /// value when something cannot be read or no tick has passed.
    fn cpu_percent(&mut self, now: Instant) -> f64 {
        let is_fresh =
            |last: CpuSample| now.saturating_duration_since(last.at) < CPU_SAMPLE_INTERVAL;
        if self.sample.is_some_and(is_fresh) {
            return self.cpu_percent;
        }
        let process = process_ticks(&self.proc_file("self/stat"));
        let machine = machine_ticks(&self.proc_file("stat"));
        let (Some(process_ticks), Some(machine_ticks)) = (process, machine) else {
            return self.cpu_percent;
        };
        if let Some(last) = self.sample {
            let passed = machine_ticks.saturating_sub(last.machine_ticks);
            if passed == 0 {
                return self.cpu_percent;
            }
            let used = process_ticks.saturating_sub(last.process_ticks);
            self.cpu_percent = (used as f64 / passed as f64 * 100.0).min(100.0);
        }
        self.sample = Some(CpuSample { at: now, process_ticks, machine_ticks });
        self.cpu_percent
    }

    /// The machine's, or less when the process's cgroup or one above it is limited to less: in a
    /// container the machine's figures say nothing about when the pool is killed.
    fn memory(&self) -> Memory {
        let text = self.proc_file("meminfo");
        let mut memory = Memory {
            total: kib(&text, "MemTotal:").unwrap_or(0),
            available: kib(&text, "MemAvailable:").or_else(|| kib(&text, "MemFree:")).unwrap_or(0),
        };
        let cgroups = self.proc_file("self/cgroup");
        // Both may be mounted while one of them controls memory; the other has no such files.
        for (files, path) in [(CGROUP_V2, v2_path(&cgroups)), (CGROUP_V1, v1_path(&cgroups))] {
            let Some(path) = path else { continue };
            let mount = self.cgroup.join(files.folder);
            let folder = mount.join(inside(path));
            // Inside a container the path may be the one outside, which leads nowhere here: then
            // the mount point itself, the last of these, is the container's cgroup.
            let levels = folder.ancestors().take_while(|level| level.starts_with(&mount));
            for limit in levels.take(CGROUP_LEVELS_MAX).filter_map(|level| files.limit(level)) {
                if limit.total < memory.total {
                    memory.total = limit.total;
                    memory.available = memory.available.min(limit.total);
                }
                memory.available = memory.available.min(limit.available);
            }
        }
        memory
    }

    fn proc_file(&self, name: &str) -> String {
        file(&self.proc.join(name))
    }
}

impl CgroupFiles {
    /// None when this level has no limit: its file is missing, or says `max`.
    fn limit(&self, level: &Path) -> Option<Memory> {
        let number = |name| file(&level.join(name)).trim().parse::<u64>().ok();
        let total = number(self.limit)?;
        let droppable = field(&file(&level.join("memory.stat")), self.droppable).unwrap_or(0);
        let used = number(self.used).unwrap_or(0).saturating_sub(droppable);
        Some(Memory { total, available: total.saturating_sub(used) })
    }
}

/// The path in the line `0::/path`.
fn v2_path(cgroups: &str) -> Option<&str> {
    cgroups.lines().find_map(|line| line.strip_prefix("0::"))
}

/// The path in a line such as `4:cpuset,memory:/path`.
fn v1_path(cgroups: &str) -> Option<&str> {
    cgroups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let is_memory = parts.next()?.split(',').any(|controller| controller == "memory");
        parts.next().filter(|_| is_memory)
    })
}

/// The path relative to the mount point. It contains `..` when the process's cgroup is outside
/// what is mounted here; those parts are left out.
fn inside(path: &str) -> PathBuf {
    let components = Path::new(path).components();
    components.filter(|component| matches!(component, Component::Normal(_))).collect()
}

/// The file's start; empty when it cannot be read.
fn file(path: &Path) -> String {
    let mut bytes = Vec::new();
    let reading =
        fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
    match reading {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOWHERE: &str = "/nonexistent";

    /// A folder with these files in it.
    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        write(&folder, files);
        folder
    }

    fn write(folder: &tempfile::TempDir, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    #[test]
    fn the_figures_of_this_process_are_plausible() {
        let mut reader = SystemReader::default();
        let first = reader.read();
        assert_eq!(first.cpu_percent, 0.0);
        assert!(first.threads >= 1);
        assert!(first.rss_bytes > 100_000);
        assert!(first.memory_total_bytes >= first.memory_available_bytes);
        assert!(first.memory_available_bytes > 0);
        assert!(first.mapped_bytes >= first.allocated_bytes);
        let later = Instant::now() + CPU_SAMPLE_INTERVAL;
        assert!((0.0..=100.0).contains(&reader.read_at(later).cpu_percent));
    }

    #[test]
    fn a_missing_proc_gives_zeros() {
        let figures = SystemReader::at(Path::new(NOWHERE), Path::new(NOWHERE)).read();
        assert_eq!((figures.threads, figures.rss_bytes, figures.memory_total_bytes), (0, 0, 0));
        assert_eq!((figures.memory_available_bytes, figures.load1), (0, 0.0));
        assert_eq!(figures.cpu_percent, 0.0);
    }

    #[test]
    fn cpu_is_the_difference_of_two_samples_at_least_five_seconds_apart() {
        let proc = tree(&[]);
        let ticks = |process: u64, machine: u64| {
            let fields = "0 ".repeat(10);
            let stat = format!("7 (a) b)) S {fields}{process} 5 0 0");
            let machine = format!("cpu  {machine} 0 0 0\ncpu0 1 2 3\n");
            write(&proc, &[("self/stat", &stat), ("stat", &machine)]);
        };
        let mut reader = SystemReader::at(proc.path(), Path::new(NOWHERE));
        let start = Instant::now();
        let mut read = |second| reader.read_at(start + Duration::from_secs(second)).cpu_percent;
        ticks(100, 1000);
        assert_eq!(read(0), 0.0);
        ticks(125, 1100);
        assert_eq!(read(1), 0.0);
        assert_eq!(read(4), 0.0);
        assert_eq!(read(5), 25.0);
        // Whoever reads in between changes neither the value nor when the next sample is due.
        ticks(175, 1200);
        assert_eq!(read(7), 25.0);
        assert_eq!(read(9), 25.0);
        assert_eq!(read(10), 50.0);
    }

    #[test]
    fn cpu_stays_what_it_was_when_a_sample_fails_or_no_tick_has_passed() {
        let stat = |process: u64| format!("7 (a) S {}{process} 0", "0 ".repeat(10));
        let proc = tree(&[("self/stat", &stat(0)), ("stat", "cpu  1000\n")]);
        let mut reader = SystemReader::at(proc.path(), Path::new(NOWHERE));
        let start = Instant::now();
        let mut read = |second| reader.read_at(start + Duration::from_secs(second)).cpu_percent;
        assert_eq!(read(0), 0.0);
        write(&proc, &[("self/stat", &stat(50)), ("stat", "cpu  1100\n")]);
        assert_eq!(read(5), 50.0);
        assert_eq!(read(10), 50.0);
        write(&proc, &[("self/stat", "nonsense"), ("stat", "cpu  1200\n")]);
        assert_eq!(read(15), 50.0);
        // Measured against the last sample that succeeded.
        write(&proc, &[("self/stat", &stat(80)), ("stat", "cpu  1400\n")]);
        assert_eq!(read(16), 10.0);
    }

    /// Of a machine with 1000 KiB, of which 900 are available.
    #[track_caller]
    fn check_memory(cgroups: &str, files: &[(&str, &str)], total: u64, available: u64) {
        let meminfo = "MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 900 kB\n";
        let proc = tree(&[("meminfo", meminfo), ("self/cgroup", cgroups)]);
        let cgroup = tree(files);
        let memory = SystemReader::at(proc.path(), cgroup.path()).memory();
        assert_eq!(memory, Memory { total, available });
    }

    #[test]
    fn without_a_limit_memory_is_the_machines() {
        check_memory("", &[], 1000 << 10, 900 << 10);
        check_memory("0::/a\n", &[("a/memory.max", "max\n")], 1000 << 10, 900 << 10);
        check_memory("0::/a\n", &[("a/memory.max", "nonsense")], 1000 << 10, 900 << 10);
        let unlimited = ("memory/a/memory.limit_in_bytes", "9223372036854771712\n");
        check_memory("4:memory:/a\n", &[unlimited], 1000 << 10, 900 << 10);
    }

    #[test]
    fn a_lower_limit_of_the_cgroup_is_the_total() {
        let used = ("a/memory.current", "60000\n");
        check_memory("0::/a\n", &[("a/memory.max", "100000\n"), used], 100_000, 40_000);
        // Used beyond the limit, for a moment.
        check_memory("0::/a\n", &[("a/memory.max", "50000\n"), used], 50_000, 0);
    }

    #[test]
    fn cached_files_are_available_memory() {
        let files = [
            ("a/memory.max", "100000"),
            ("a/memory.current", "60000"),
            ("a/memory.stat", "anon 1\ninactive_file 25000\nactive_file 2\n"),
        ];
        check_memory("0::/a\n", &files, 100_000, 65_000);
    }

    #[test]
    fn a_limit_above_the_own_cgroup_counts_too() {
        let files = [
            ("memory.max", "300000"),
            ("memory.current", "290000"),
            ("a/memory.max", "200000"),
            ("a/memory.current", "50000"),
            ("a/b/memory.max", "max"),
        ];
        check_memory("0::/a/b/c\n", &files, 200_000, 10_000);
    }

    #[test]
    fn in_a_container_the_mount_point_is_the_own_cgroup() {
        let files = [("memory.max", "100000"), ("memory.current", "1")];
        check_memory("0::/\n", &files, 100_000, 99_999);
        check_memory("0::/../outside\n", &files, 100_000, 99_999);
        let files = [
            ("memory/memory.limit_in_bytes", "100000"),
            ("memory/memory.usage_in_bytes", "60000"),
            ("memory/memory.stat", "inactive_file 7\ntotal_inactive_file 20000\n"),
        ];
        check_memory("5:cpu:/x\n4:cpuset,memory:/docker/abc\n0::/\n", &files, 100_000, 60_000);
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
