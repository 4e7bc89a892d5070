//! What a process may and does use of its machine.

use std::fs;
use std::io;
use std::time::Duration;

/// Raises the limit of open files to the hardest that is allowed, and, where this process may do so
/// and `needed` is more, beyond that. Returns what it is now.
pub fn raise_open_files(needed: u64) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one `rlimit`, which is what there is room for.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } < 0 {
        return 0;
    }
    let wanted = limit.rlim_max.max(needed);
    for hardest in [wanted, limit.rlim_max] {
        let raised = libc::rlimit { rlim_cur: hardest, rlim_max: hardest };
        // SAFETY: the kernel reads one `rlimit`.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raised) } == 0 {
            return hardest;
        }
    }
    limit.rlim_cur
}

/// Keeps the calling thread, and those it starts from here on, on one CPU.
pub fn pin(cpu: usize) -> io::Result<()> {
    // SAFETY: all zeros is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: `cpu` is less than the size of the set; the kernel reads one set.
    let done = unsafe {
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set)
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Puts the calling thread, and what it starts from here on, before all ordinary programs of its
/// CPU: those stand still while it computes. Threads of this kind take turns with each other.
pub fn go_first() -> io::Result<()> {
    let lowest = libc::sched_param { sched_priority: 1 };
    // SAFETY: the kernel reads one parameter, which lives until the call has returned.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &lowest) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Asks the kernel to end this process when the thread that started it ends.
pub fn end_with_parent() -> io::Result<()> {
    // SAFETY: an option and a signal number; nothing of this process is passed.
    match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Asks a process to end in order.
pub fn terminate(process: u32) {
    let Ok(process) = i32::try_from(process) else { return };
    // SAFETY: two integers. A process that is gone is an error, which nobody needs to hear of.
    unsafe { libc::kill(process, libc::SIGTERM) };
}

/// The time all threads of a process have computed, those that have ended included, to the
/// nanosecond.
pub fn cpu_time(process: u32) -> io::Result<Duration> {
    let process = i32::try_from(process).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut clock: libc::clockid_t = 0;
    // SAFETY: the kernel's library writes one clock id.
    match unsafe { libc::clock_getcpuclockid(process, &mut clock) } {
        0 => read_clock(clock),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// Nanoseconds of the clock that [`std::time::Instant`] reads too.
#[inline]
pub fn nanoseconds() -> u64 {
    read_clock(libc::CLOCK_MONOTONIC).map_or(0, |time| time.as_nanos() as u64)
}

#[inline]
fn read_clock(clock: libc::clockid_t) -> io::Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one `timespec`, which is what there is room for.
    if unsafe { libc::clock_gettime(clock, &mut time) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// The time the busiest thread of a process was ready to run and did not, because its CPU was busy
/// with something else: how far a measurement was disturbed.
pub fn waited(process: u32) -> Option<Duration> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).ok()?;
    let figures = threads.flatten().filter_map(|thread| {
        // Time on the CPU, time waited for it, and how often (`sched-stats.rst`).
        let schedstat = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        let mut fields = schedstat.split_whitespace().map(str::parse::<u64>);
        Some((fields.next()?.ok()?, fields.next()?.ok()?))
    });
    figures.max().map(|(_, waited)| Duration::from_nanos(waited))
}

/// User and system time of a process, in the ticks of `/proc/<pid>/stat`: coarse, for the split
/// between the two.
pub fn user_and_system(process: u32) -> Option<(u64, u64)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name may hold spaces and brackets; the last bracket ends it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Resident memory of a process.
pub fn resident_bytes(process: u32) -> io::Result<u64> {
    let rollup = format!("/proc/{process}/smaps_rollup");
    let status = format!("/proc/{process}/status");
    let read = |path: &str, name: &str| {
        fs::read_to_string(path).map(|text| kibibytes(&text, name).map(|count| count * 1024))
    };
    // The rollup counts pages anew; the status may be some dozens of them late.
    match read(&rollup, "Rss:") {
        Ok(Some(bytes)) => Ok(bytes),
        _ => read(&status, "VmRSS:")?.ok_or_else(|| io::ErrorKind::InvalidData.into()),
    }
}

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// The processor's name, for records.
pub fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("model name"));
    line.and_then(|line| line.split_once(':')).map_or("unknown", |(_, name)| name.trim()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_has_computed() {
        let own = std::process::id();
        assert!(resident_bytes(own).unwrap() > 100_000);
        assert!(cpu_time(own).unwrap() > Duration::ZERO);
        assert!(user_and_system(own).is_some());
        let before = nanoseconds();
        assert!(nanoseconds() >= before && before > 0);
    }

    #[test]
    fn memory_is_read_in_its_unit() {
        let text = "Name:\tx\nVmRSS:\t    1234 kB\n";
        assert_eq!(kibibytes(text, "VmRSS:"), Some(1234));
        assert_eq!(kibibytes(text, "VmHWM:"), None);
    }
}
