//! What systemd hears from the pool: a real socket, a real daemon.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::miner::Miner;
use crate::node::{Chain, Node};
use crate::process::Process;
use crate::settings::{MINER_ADDRESS, Settings};
use crate::{http, pool, ports};

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);
const RELOAD_LIMIT: Duration = Duration::from_secs(20);
/// Long enough for a machine that is busy with other tests.
const WATCHDOG: Duration = Duration::from_secs(8);
/// What has been sent is here by then.
const SETTLED: Duration = Duration::from_millis(500);

/// systemd's end of it.
struct Systemd {
    /// Messages as they come, and when.
    heard: Receiver<(Instant, String)>,
    directory: TempDir,
    /// When the loop was last heard of, and the longest silence of it.
    heard_at: Instant,
    silence_max: Duration,
}

impl Systemd {
    fn new() -> Self {
        let directory = TempDir::new().expect("a directory");
        let socket = UnixDatagram::bind(directory.path().join("notify")).expect("a socket");
        let (told, heard) = mpsc::channel();
        // Whatever else the test does meanwhile; it ends with the program that runs the tests.
        thread::spawn(move || {
            let mut message = [0; 4096];
            while let Ok(size) = socket.recv(&mut message) {
                let text = str::from_utf8(&message[..size]).expect("text").to_owned();
                if told.send((Instant::now(), text)).is_err() {
                    return;
                }
            }
        });
        Self { heard, directory, heard_at: Instant::now(), silence_max: Duration::ZERO }
    }

    /// Starts a pool as systemd does with `Type=notify` and `WatchdogSec`.
    fn start(&self, settings: &Settings) -> Process {
        let directory = self.directory.path();
        settings.write(directory);
        let mut command = pool::command(directory, settings);
        command
            .env("NOTIFY_SOCKET", directory.join("notify"))
            .env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Process::spawn(&mut command)
    }

    /// The assignments of the next message, if there is one within `limit`.
    fn next(&mut self, limit: Duration) -> Option<Vec<String>> {
        let (at, message) = self.heard.recv_timeout(limit).ok()?;
        let lines: Vec<String> = message.lines().map(str::to_owned).collect();
        if lines.iter().any(|line| line == "WATCHDOG=1") {
            self.silence_max = self.silence_max.max(at.saturating_duration_since(self.heard_at));
            self.heard_at = at;
        }
        Some(lines)
    }

    /// Waits for a message with an assignment that starts with `start`, and returns it with all
    /// that came with it and before.
    #[track_caller]
    fn await_line(&mut self, start: &str, limit: Duration) -> Vec<String> {
        let deadline = Instant::now() + limit;
        let mut heard = Vec::new();
        while !heard.iter().any(|line: &String| line.starts_with(start)) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {start:?} within {limit:?}: {heard:?}");
            heard.extend(self.next(left).unwrap_or_default());
        }
        heard
    }
}

#[test]
fn a_pool_is_ready_without_its_node_and_says_what_it_waits_for_and_does() {
    let mut node = Node::absent(Chain::Regtest);
    let mut systemd = Systemd::new();
    let mut settings = Settings::of(&node);
    let stratum = ports::loopback(ports::free());
    settings.pool_listen = stratum.to_string();
    let mut pool = systemd.start(&settings);

    let heard = systemd.await_line("READY=1", START_LIMIT);
    systemd.heard_at = Instant::now();
    let waiting = format!("STATUS=waiting for the node at {}", &node.rpc_url()["http://".len()..]);
    assert!(heard.iter().any(|line| line.starts_with(&waiting)), "{heard:?}");
    systemd.await_line("WATCHDOG=1", WATCHDOG);

    node.start();
    systemd.await_line("STATUS=0 miners, tip 0", START_LIMIT);
    let mut miner = Miner::join(stratum, MINER_ADDRESS);
    systemd.await_line("STATUS=1 miner, tip 0", START_LIMIT);
    let hash = miner.mine_block();
    node.await_tip(&hash, START_LIMIT);
    systemd.await_line("STATUS=1 miner, tip 1", START_LIMIT);
    node.crash();
    let waiting = format!("STATUS=1 miner, tip 1, {}", &waiting["STATUS=".len()..]);
    systemd.await_line(&waiting, START_LIMIT);

    pool.terminate();
    let heard = systemd.await_line("STOPPING=1", STOP_LIMIT);
    assert!(!heard.iter().any(|line| line == "READY=1"), "once is enough: {heard:?}");
    assert!(systemd.silence_max < WATCHDOG, "silent for {:?}", systemd.silence_max);
    let status = pool.wait(STOP_LIMIT).expect("it stops");
    assert!(status.success(), "{status}");
    assert_eq!(systemd.next(SETTLED), None, "nothing is told after that");
}

#[test]
fn a_reload_is_told_and_so_is_its_end_however_it_went() {
    let node = Node::new(Chain::Regtest);
    let mut systemd = Systemd::new();
    let settings = Settings::of(&node);
    let mut pool = systemd.start(&settings);
    systemd.await_line("STATUS=0 miners, tip 0", START_LIMIT);
    let config = systemd.directory.path().join("config/config.toml");
    for text in ["this is no TOML", &fs::read_to_string(&config).expect("the configuration")] {
        fs::write(&config, text).expect("write");
        pool.signal(libc::SIGUSR2);
        let together = loop {
            let message = systemd.next(RELOAD_LIMIT).expect("a reload is told");
            if message.iter().any(|line| line == "RELOADING=1") {
                break message;
            }
            assert!(!message.iter().any(|line| line == "READY=1"), "{message:?}");
        };
        // In one message, or systemd would not know to which of its requests it belongs.
        let time = together.iter().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
        assert!(time.is_some_and(|time| time.parse::<u64>().is_ok_and(|time| time > 0)));
        systemd.await_line("READY=1", RELOAD_LIMIT);
    }
    pool.terminate();
    assert!(pool.wait(STOP_LIMIT).expect("it stops").success());
}

#[test]
fn a_control_loop_that_hangs_is_silent() {
    let node = Node::new(Chain::Regtest);
    let mut systemd = Systemd::new();
    let mut settings = Settings::of(&node);
    let status = ports::loopback(ports::free());
    settings.status_listen = status.to_string();
    let mut pool = systemd.start(&settings);
    systemd.await_line("STATUS=0 miners, tip 0", START_LIMIT);

    // The first thread is control's. Everything else goes on.
    let tracee = Tracee::stop(&pool);
    while systemd.next(SETTLED).is_some() {}
    let deadline = Instant::now() + WATCHDOG;
    while let Some(left) = deadline.checked_duration_since(Instant::now()) {
        let heard = systemd.next(left).unwrap_or_default();
        assert!(heard.is_empty(), "{heard:?}");
    }
    assert_eq!(http::get(status, "/", &[]).expect("the pages are up").status, 200);

    drop(tracee);
    systemd.await_line("WATCHDOG=1", WATCHDOG);
    pool.terminate();
    assert!(pool.wait(STOP_LIMIT).expect("it stops").success());
}

/// The first thread of a program, held where it stands by `ptrace` as a debugger would.
struct Tracee {
    id: i32,
}

impl Tracee {
    #[track_caller]
    fn stop(process: &Process) -> Self {
        let id = i32::try_from(process.id()).expect("a process id fits");
        ptrace(libc::PTRACE_SEIZE, id);
        ptrace(libc::PTRACE_INTERRUPT, id);
        let mut status = 0;
        // SAFETY: `waitpid` writes one integer, which outlives the call. The thread is a child of
        // ours that has just been told to stop, so it does not wait for long.
        let waited = unsafe { libc::waitpid(id, &raw mut status, libc::__WALL) };
        assert_eq!(waited, id, "wait: {}", std::io::Error::last_os_error());
        Self { id }
    }
}

impl Drop for Tracee {
    fn drop(&mut self) {
        ptrace(libc::PTRACE_DETACH, self.id);
    }
}

#[track_caller]
fn ptrace(request: libc::c_uint, id: i32) {
    // SAFETY: these requests take no address and no data of ours.
    let result = unsafe { libc::ptrace(request, id, 0_usize, 0_usize) };
    assert_eq!(result, 0, "ptrace {request:#x}: {}", std::io::Error::last_os_error());
}
