//! What the system must give before anything is started: io_uring, so that its absence is one clear
//! sentence instead of a panic in a thread, and enough open files.

use std::fs;
use std::io;

/// Locked memory that an executor insists on, in bytes (glommio's own check).
const MEMLOCK_BYTES_MIN: u64 = 512 * 1024;
/// The first kernel with all operations that the executors use: receives that stay armed and pick
/// their buffer (6.0), and completions that wait until they are asked for (6.1).
const KERNEL_MIN: (u32, u32) = (6, 1);

/// Why there is no io_uring, and what to do about it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoIoUring {
    #[error(
        "io_uring is not available: this kernel is {found}, {}.{} or newer is needed. Upgrade the \
         kernel.", KERNEL_MIN.0, KERNEL_MIN.1
    )]
    OldKernel { found: String },
    #[error(
        "io_uring is not available: it is switched off by the kernel (kernel.io_uring_disabled is \
         {0}). Run `sysctl kernel.io_uring_disabled=0`."
    )]
    Disabled(String),
    #[error(
        "io_uring is not available: its system calls are blocked ({0}), most likely by a \
         container's seccomp profile. Allow io_uring_setup, io_uring_enter and io_uring_register \
         in it (Docker: --security-opt seccomp=<profile>)."
    )]
    Blocked(io::ErrorKind),
    #[error(
        "io_uring is not available: too little locked memory (memlock limit is {found} bytes, at \
         least {MEMLOCK_BYTES_MIN} are needed). Raise it: LimitMEMLOCK=8M in a systemd unit, \
         --ulimit memlock=8388608 for a container, `ulimit -l 8192` in a shell."
    )]
    LockedMemory { found: u64 },
    #[error("io_uring is not available: {0}")]
    Other(String),
}

/// Sets up a ring and throws it away.
pub fn check_io_uring() -> Result<(), NoIoUring> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel.trim();
    if parse_version(kernel).is_some_and(|version| version < KERNEL_MIN) {
        return Err(NoIoUring::OldKernel { found: kernel.to_owned() });
    }
    let memlock = raise_memlock_limit();
    if memlock < MEMLOCK_BYTES_MIN {
        return Err(NoIoUring::LockedMemory { found: memlock });
    }
    set_up_ring().map_err(|error| explain(&error, memlock))
}

fn explain(error: &io::Error, memlock: u64) -> NoIoUring {
    let disabled = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    match error.raw_os_error() {
        Some(libc::EPERM) if !matches!(disabled.trim(), "" | "0") => {
            NoIoUring::Disabled(disabled.trim().to_owned())
        }
        // A kernel that is new enough and yet does not know the call has been told not to.
        Some(libc::EPERM | libc::EACCES | libc::ENOSYS) => NoIoUring::Blocked(error.kind()),
        Some(libc::ENOMEM) => NoIoUring::LockedMemory { found: memlock },
        _ => NoIoUring::Other(error.to_string()),
    }
}

/// `major.minor` of a release such as `6.1.0-18-amd64`.
fn parse_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Where the flags are in `struct io_uring_params`, and those that the shards' rings have.
const FLAGS_WORD: usize = 2;
const SETUP_SINGLE_ISSUER: u32 = 1 << 12;
const SETUP_DEFER_TASKRUN: u32 = 1 << 13;

fn set_up_ring() -> io::Result<()> {
    // `struct io_uring_params` of linux/io_uring.h: 120 bytes, zero for the defaults.
    let mut params = [0u32; 30];
    params[FLAGS_WORD] = SETUP_SINGLE_ISSUER | SETUP_DEFER_TASKRUN;
    // SAFETY: the call takes a count and a pointer to 120 bytes that it may write; `params` is as
    // large and lives longer than the call.
    let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, 4u32, params.as_mut_ptr()) };
    if ring < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor has just been made and nobody else knows it.
    unsafe { libc::close(ring as libc::c_int) };
    Ok(())
}

/// Raises the number of files that may be open as far as the system allows, and returns it: every
/// miner is one.
pub fn raise_open_files_limit() -> u64 {
    raise_limit(libc::RLIMIT_NOFILE)
}

fn raise_memlock_limit() -> u64 {
    raise_limit(libc::RLIMIT_MEMLOCK)
}

/// Raises the soft limit as far as the hard one allows, and returns it.
fn raise_limit(resource: libc::__rlimit_resource_t) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit for both calls.
    unsafe {
        if libc::getrlimit(resource, &mut limit) != 0 {
            return u64::MAX;
        }
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
        if limit.rlim_cur < limit.rlim_max && libc::setrlimit(resource, &raised) == 0 {
            limit = raised;
        }
    }
    limit.rlim_cur
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read() {
        assert_eq!(parse_version("6.1.0-18-amd64"), Some((6, 1)));
        assert_eq!(parse_version("5.15-generic"), Some((5, 15)));
        assert_eq!(parse_version("?"), None);
        assert!(parse_version("5.15.0-91").unwrap() < KERNEL_MIN);
        assert!(parse_version("6.12").unwrap() > KERNEL_MIN);
    }

    #[test]
    fn an_error_is_explained_by_its_cause() {
        let error = |code| io::Error::from_raw_os_error(code);
        assert!(matches!(explain(&error(libc::ENOSYS), 1), NoIoUring::Blocked(_)));
        assert_eq!(explain(&error(libc::ENOMEM), 7), NoIoUring::LockedMemory { found: 7 });
        assert!(matches!(explain(&error(libc::EINVAL), 1), NoIoUring::Other(_)));
    }
}
