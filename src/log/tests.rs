//! The log as the rest of the pool has it: events in, files out.

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::Command;

use jiff::Timestamp;
use tempfile::TempDir;
use tracing::{debug, error, info, trace, warn};

use super::net::{Direction, TARGET, Traced, trace_bytes, trace_frames};
use super::*;

/// What the queue has room for.
const QUEUE_LINES: usize = 4096;
/// For what another thread does soon.
const PATIENCE: Duration = Duration::from_secs(20);

struct Scene {
    folder: TempDir,
    plan: LogPlan,
}

impl Scene {
    fn new(debug: bool, net_debug: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join("logs").join(name);
        let plan = LogPlan {
            pool: path("pool.log"),
            errors: path("errors.log"),
            debug: path("debug.log"),
            net_debug: path("net-debug.log"),
            stdout: false,
            levels: Levels { debug, net_debug },
        };
        Self { folder, plan }
    }

    /// Logs what `say` says, from the start to the end.
    fn log(&self, say: impl FnOnce(&LevelControl)) {
        let (early, dispatch) = early();
        tracing::dispatcher::with_default(&dispatch, || {
            let log = early.open(self.plan.clone()).unwrap();
            say(&log.levels());
        });
    }

    fn files(&self, name: &str) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.folder.path().join("logs")) else { return Vec::new() };
        let paths = entries.map(|entry| entry.unwrap().path());
        let is_of = |path: &PathBuf| {
            let found = path.file_name().unwrap().to_str().unwrap();
            found.strip_prefix(name).is_some_and(|rest| rest.starts_with("-2"))
        };
        let mut files: Vec<_> = paths.filter(is_of).collect();
        files.sort();
        files
    }

    /// The lines of a log without their times, of all days: a test may run at midnight.
    fn lines(&self, name: &str) -> Vec<String> {
        let texts = self.files(name).into_iter().map(|path| fs::read_to_string(path).unwrap());
        let text = texts.collect::<String>();
        let without_time = |line: &str| {
            let (time, rest) = line.split_once(' ').unwrap();
            time.parse::<Timestamp>().unwrap();
            rest.to_owned()
        };
        text.lines().map(without_time).collect()
    }
}

#[track_caller]
fn until(mut condition: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn say_all() {
    debug!(component = "test", "details");
    info!(component = "test", n = 1, share = 0.5, "fine");
    warn!(component = "test", error = %"one\ntwo\u{1b}", "odd");
    error!(component = "test", ok = false, "broken");
    trace!("never");
    debug!(target: "library", "about itself");
    info!(target: "library", "about itself");
    warn!(target: "library", "odd");
}

#[test]
fn each_level_has_its_file() {
    let scene = Scene::new(true, false);
    scene.log(|_| say_all());
    let pool = [
        "[INFO] fine component=test n=1 share=0.5",
        "[WARN] odd component=test error=one two ",
        "[ERROR] broken component=test ok=false",
        "[WARN] odd",
    ];
    assert_eq!(scene.lines("pool"), pool);
    assert_eq!(scene.lines("errors"), [pool[2]]);
    assert_eq!(scene.lines("debug"), ["[DEBUG] details component=test"]);
    assert!(scene.files("net-debug").is_empty());
}

#[test]
fn a_file_without_a_line_is_not_made() {
    let scene = Scene::new(false, true);
    scene.log(|_| {
        info!("fine");
        debug!("details");
        trace_bytes(Direction::RpcSend, b"traffic");
    });
    assert_eq!(scene.lines("pool"), ["[INFO] fine"]);
    for name in ["errors", "debug", "net-debug"] {
        assert!(scene.files(name).is_empty(), "{name}");
    }
}

#[test]
fn what_was_said_before_the_log_was_opened_is_in_it() {
    for with_debug in [false, true] {
        let scene = Scene::new(with_debug, false);
        let (early, dispatch) = early();
        tracing::dispatcher::with_default(&dispatch, || {
            debug!("early details");
            info!("early");
            error!("early error");
            let log = early.open(scene.plan.clone()).unwrap();
            info!("late");
            drop(log);
            error!("too late");
        });
        assert_eq!(scene.lines("pool"), ["[INFO] early", "[ERROR] early error", "[INFO] late"]);
        assert_eq!(scene.lines("errors"), ["[ERROR] early error"]);
        assert_eq!(scene.lines("debug").len(), usize::from(with_debug));
    }
}

#[test]
fn a_log_that_is_never_opened_leaves_its_warnings_and_errors() {
    let (early, dispatch) = early();
    tracing::dispatcher::with_default(&dispatch, || {
        info!("fine");
        warn!("odd");
        error!("broken");
        let mut out = Vec::new();
        write_urgent(early.inbox.as_ref().unwrap(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let said: Vec<_> = text.lines().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!(said, ["[WARN] odd", "[ERROR] broken"]);
        drop(early);
        assert!(!tracing::enabled!(Level::ERROR), "nobody listens any more");
    });
}

#[test]
fn a_path_that_cannot_be_written_is_found_at_the_start() {
    let scene = Scene::new(true, true);
    let blocked = scene.folder.path().join("file");
    fs::write(&blocked, "in the way").unwrap();
    let wrong = blocked.join("x.log");
    let with = |change: fn(&mut LogPlan, PathBuf)| {
        let mut plan = scene.plan.clone();
        change(&mut plan, wrong.clone());
        let error = early().0.open(plan).unwrap_err().to_string();
        assert!(error.contains(&wrong.display().to_string()), "{error}");
    };
    with(|plan, wrong| plan.pool = wrong);
    with(|plan, wrong| plan.debug = wrong);
    with(|plan, wrong| plan.net_debug = wrong);
    // As long as it is not needed it does not matter.
    let mut plan = scene.plan.clone();
    (plan.debug, plan.levels) = (wrong, Levels::default());
    assert!(early().0.open(plan).is_ok());
}

#[test]
fn all_lines_are_written_before_the_log_is_gone() {
    let scene = Scene::new(true, true);
    let (early, dispatch) = early();
    tracing::dispatcher::with_default(&dispatch, || {
        (0..QUEUE_LINES).for_each(|n| info!(n, "line"));
        drop(early.open(scene.plan.clone()).unwrap());
    });
    let expected: Vec<_> = (0..QUEUE_LINES).map(|n| format!("[INFO] line n={n}")).collect();
    assert_eq!(scene.lines("pool"), expected);
}

#[test]
fn lines_that_find_the_queue_full_are_counted() {
    let scene = Scene::new(false, false);
    let (early, dispatch) = early();
    tracing::dispatcher::with_default(&dispatch, || {
        (0..QUEUE_LINES + 7).for_each(|n| info!(n, "line"));
        drop(early.open(scene.plan.clone()).unwrap());
    });
    let lines = scene.lines("pool");
    assert_eq!(lines.len(), QUEUE_LINES + 1);
    let reported = "[WARN] log lines have been lost component=log queue=7";
    assert_eq!(lines.last().unwrap(), reported);
}

#[test]
fn a_flood_of_traffic_is_bounded_in_bytes_and_takes_no_lines_place() {
    let scene = Scene::new(true, true);
    let (early, dispatch) = early();
    tracing::dispatcher::with_default(&dispatch, || {
        // Nobody reads yet.
        early.queue.set_threshold(Threshold::Network);
        let piece = vec![b'x'; 60 * 1024];
        (0..400).for_each(|_| trace_bytes(Direction::RpcRecv, &piece));
        info!("line");
        let log = early.open(scene.plan.clone()).unwrap();
        until(|| log.queue.traffic_is_empty());
        trace_bytes(Direction::RpcRecv, b"the last");
    });
    let traffic = scene.lines("net-debug");
    // 16 MiB, and what each needs beside its bytes.
    assert_eq!(traffic.len(), 272 + 1);
    assert_eq!(traffic.last().unwrap(), "[rpc-recv] the last");
    let reported = "[WARN] log lines have been lost component=log queue_net_debug=128";
    assert_eq!(scene.lines("pool"), ["[INFO] line", reported]);
}

#[test]
fn traffic_is_traced_while_debug_and_net_debug_are_on() {
    let scene = Scene::new(true, true);
    scene.log(|_| {
        trace!(target: TARGET, direction = "recv", bytes = b"{\"id\":1}".as_slice());
        trace_bytes(Direction::RpcSend, b"{}\n");
        trace_frames(Direction::ZmqRecv, &[b"hashblock".to_vec(), vec![0xab, 0x01], vec![7]]);
        let mut body = Traced::new(Direction::RpcRecv, &b"an answer\n"[..]);
        io::copy(&mut body, &mut io::sink()).unwrap();
        info!("after it");
        drop(body);
        let mut body = Traced::new(Direction::RpcRecv, &b"half an answer"[..]);
        body.read_exact(&mut [0; 4]).unwrap();
        drop(body);
        drop(Traced::new(Direction::RpcRecv, io::empty()));
    });
    let expected = [
        "[recv] {\"id\":1}",
        "[rpc-send] {}",
        "[zmq-recv] hashblock ab01 07",
        "[rpc-recv] an answer",
        "[rpc-recv] half",
    ];
    assert_eq!(scene.lines("net-debug"), expected);
    assert_eq!(scene.lines("pool"), ["[INFO] after it"]);
    assert_eq!(scene.files("debug").len(), 1, "it is on");
    assert_eq!(scene.lines("debug"), [""; 0]);
}

#[test]
fn levels_can_be_changed_while_the_pool_runs() {
    let scene = Scene::new(false, false);
    let say = |n: i32| {
        info!(n, "fine");
        debug!(n, "details");
        trace_bytes(Direction::RpcSend, n.to_string().as_bytes());
    };
    let is_open = |name: &str| {
        let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
        let paths: Vec<_> = open.filter_map(|entry| fs::read_link(entry.path()).ok()).collect();
        scene.files(name).iter().any(|file| paths.contains(file))
    };
    scene.log(|levels| {
        say(0);
        levels.set(Levels { debug: true, net_debug: false });
        until(|| is_open("debug"));
        say(1);
        levels.set(Levels { debug: true, net_debug: true });
        until(|| is_open("net-debug"));
        say(2);
        levels.set(Levels { debug: false, net_debug: true });
        until(|| !is_open("debug") && !is_open("net-debug"));
        say(3);
        levels.set(Levels { debug: true, net_debug: true });
        say(4);
    });
    let fine: Vec<_> = (0..5).map(|n| format!("[INFO] fine n={n}")).collect();
    assert_eq!(scene.lines("pool"), fine);
    let details = [1, 2, 4].map(|n| format!("[DEBUG] details n={n}"));
    assert_eq!(scene.lines("debug"), details);
    assert_eq!(scene.lines("net-debug"), ["[rpc-send] 2", "[rpc-send] 4"]);
}

/// A pipe that nobody empties stands for a full disk: it takes nothing until there is room.
#[test]
fn a_full_disk_costs_lines_which_are_counted_and_reported_when_there_is_room() {
    let mut scene = Scene::new(false, false);
    let pipe = scene.folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut reader =
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&pipe).unwrap();
    scene.plan.pool = pipe;
    let mut read = Vec::new();
    let mut said = 0;
    scene.log(|_| {
        // Longer than what a pipe takes as a whole or not at all.
        let long = "x".repeat(10_000);
        // What the pipe takes, and then as much again.
        for _ in 0..20 {
            warn!(n = said, long, "line");
            said += 1;
        }
        // Also written while the other is full.
        error!("broken");
        until(|| !scene.files("errors").is_empty());
        until(|| {
            // Empty, and then nothing: an error, as it is open for writing.
            let _ = reader.read_to_end(&mut read);
            String::from_utf8_lossy(&read).contains("have been lost")
        });
        info!("as usual");
    });
    let _ = reader.read_to_end(&mut read);
    let text = String::from_utf8(read).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let is_whole = |line: &str| line.len() > 10_000 || line.ends_with("[ERROR] broken");
    let written = lines.iter().filter(|line| is_whole(line)).count();
    said += 1;
    assert!(written < said, "the pipe took all {said}");
    let reported = lines.iter().position(|line| line.contains("have been lost")).unwrap();
    let count = lines[reported].rsplit_once(" pool=").unwrap().1.parse::<usize>().unwrap();
    assert_eq!(written + count, said);
    // On a line of its own, although the one before it was interrupted.
    let own = "[WARN] log lines have been lost component=log";
    assert!(lines[reported].split_once(' ').unwrap().1.starts_with(own), "{}", lines[reported]);
    assert!(lines.last().unwrap().ends_with("[INFO] as usual"));
    assert_eq!(lines.iter().filter(|line| line.contains("have been lost")).count(), 1);
    assert_eq!(scene.lines("errors"), ["[ERROR] broken"]);
}
