//! A program this test run started: signalled by its id, and gone when the test is over.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus};
use std::time::{Duration, Instant};

use crate::poll::{POLL_INTERVAL, until_true};

pub struct Process {
    child: Child,
}

impl Process {
    pub fn spawn(command: &mut Command) -> Self {
        // SAFETY: the closure runs between fork and exec and makes one system call, no allocation
        // and no lock.
        unsafe { command.pre_exec(die_with_parent) };
        let program = command.get_program().to_owned();
        let child = command.spawn().unwrap_or_else(|error| panic!("start {program:?}: {error}"));
        Self { child }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn take_stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().expect("stdout is piped and taken once")
    }

    pub fn take_stderr(&mut self) -> ChildStderr {
        self.child.stderr.take().expect("stderr is piped and taken once")
    }

    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the child is ours to wait for")
    }

    /// Waits for the program to end by itself; `None` when it is still running after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            let status = self.exit_status();
            if status.is_some() || Instant::now() >= deadline {
                return status;
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    pub fn terminate(&self) {
        self.signal(libc::SIGTERM);
    }

    /// Stops the program where it stands, and returns once it does.
    pub fn pause(&self) {
        self.signal(libc::SIGSTOP);
        until_true("the process is stopped", Duration::from_secs(5), || {
            self.status_field("State").is_some_and(|state| state.starts_with('T'))
        });
    }

    pub fn resume(&self) {
        self.signal(libc::SIGCONT);
    }

    /// Ends the program without giving it a chance to do anything about it.
    pub fn kill(&mut self) {
        // It may have ended by itself; then there is nothing left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Resident memory, from `/proc/<pid>/status`.
    pub fn resident_bytes(&self) -> u64 {
        let text = self.status_field("VmRSS").expect("a running program has VmRSS");
        let kibibytes = text.trim_end_matches("kB").trim().parse::<u64>().expect("VmRSS in kB");
        kibibytes * 1024
    }

    fn status_field(&self, name: &str) -> Option<String> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    }

    pub fn signal(&self, signal: i32) {
        let id = i32::try_from(self.id()).expect("a process id fits");
        // SAFETY: `kill` takes two integers. The child has not been waited for (that needs `&mut`),
        // so its id cannot belong to another process yet.
        let result = unsafe { libc::kill(id, signal) };
        assert_eq!(result, 0, "signal {signal} to {id}: {}", io::Error::last_os_error());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A test run that is killed takes its programs with it. The kernel watches the thread that
/// started the program, so a test starts its programs on its own thread.
fn die_with_parent() -> io::Result<()> {
    // SAFETY: an option and a signal number; nothing of this process is passed.
    match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
