//! What an operator finds in the logs, and what becomes of mining when they cannot be written.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::miner::Miner;
use crate::node::{Chain, Node};
use crate::poll::{until, until_true};
use crate::process::Process;
use crate::settings::{MINER_ADDRESS, Settings};
use crate::stratum::connect;
use crate::{pool, ports};

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);
const DELIVERY_LIMIT: Duration = Duration::from_secs(40);
/// What was lost is looked at once a second.
const RECOVERY_LIMIT: Duration = Duration::from_secs(20);
/// Lines of a hundred bytes: more than a pipe holds.
const LINES_FOR_A_FULL_PIPE: usize = 1500;

/// A pool whose outputs are files or whatever a test makes of them.
pub struct Running {
    pub directory: TempDir,
    pub process: Process,
    stratum: SocketAddr,
}

/// What is prepared before a pool starts.
pub struct Prepared {
    directory: TempDir,
    pub command: Command,
    stratum: SocketAddr,
}

impl Prepared {
    /// `logging` is that table of `config.toml`.
    pub fn new(node: &Node, logging: &str) -> Self {
        let directory = TempDir::new().expect("a data directory");
        let mut settings = Settings::of(node);
        let stratum = ports::loopback(ports::free());
        settings.pool_listen = stratum.to_string();
        settings.write(directory.path());
        let config = directory.path().join("config/config.toml");
        let text = fs::read_to_string(&config).expect("it has just been written");
        let (before, _) = text.split_once("[logging]").expect("a table");
        fs::write(&config, format!("{before}[logging]\n{logging}")).expect("write config.toml");
        let mut command = pool::command(directory.path(), &settings);
        let output = |name| File::create(directory.path().join(name)).expect("make an output");
        command.stdout(output("stdout")).stderr(output("stderr"));
        Self { directory, command, stratum }
    }

    pub fn folder(&self) -> &Path {
        self.directory.path()
    }

    #[track_caller]
    pub fn start(mut self) -> Running {
        let process = Process::spawn(&mut self.command);
        let running = Running { directory: self.directory, process, stratum: self.stratum };
        until_true("the pool takes miners", START_LIMIT, || {
            TcpStream::connect_timeout(&running.stratum, Duration::from_secs(1)).is_ok()
        });
        running
    }
}

impl Running {
    fn logs(&self) -> PathBuf {
        self.directory.path().join("logs")
    }

    /// A folder of its data as the pool sees it.
    pub fn through_its_eyes(&self, folder: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.process.id()));
        let folder = self.directory.path().join(folder);
        root.join(folder.strip_prefix("/").expect("an absolute path"))
    }

    fn stderr(&self) -> String {
        fs::read_to_string(self.directory.path().join("stderr")).expect("its errors are text")
    }

    /// The lines of a log, of all its days.
    pub fn lines(&self, name: &str) -> Vec<String> {
        lines(&self.logs(), name)
    }

    #[track_caller]
    pub fn miner(&self) -> Miner {
        let mut miner = Miner::join(self.stratum, MINER_ADDRESS);
        miner.job();
        miner
    }

    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.process.terminate();
        let status = self.process.wait(STOP_LIMIT);
        status.unwrap_or_else(|| panic!("the pool is still running {STOP_LIMIT:?} after SIGTERM"))
    }
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("the folder of the logs");
    let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("UTF-8");
    entries.map(|entry| name(entry.expect("an entry"))).collect()
}

fn lines(folder: &Path, name: &str) -> Vec<String> {
    // In the order of the days. What is no date in between belongs to another log.
    let is_of = |found: &String| {
        let date = found.strip_prefix(name).and_then(|rest| rest.strip_suffix(".log"));
        date.is_some_and(|date| date.len() == "-2026-01-31".len())
    };
    let files = names(folder).into_iter().filter(is_of);
    let texts = files.map(|name| fs::read_to_string(folder.join(name)).expect("UTF-8"));
    texts.collect::<String>().lines().map(str::to_owned).collect()
}

/// What comes after the time, which must be one.
#[track_caller]
fn said(line: &str) -> &str {
    let (time, said) = line.split_once(' ').unwrap_or_else(|| panic!("no time in {line:?}"));
    let digits = time.strip_suffix('Z').unwrap_or_else(|| panic!("not UTC: {line:?}"));
    let (seconds, fraction) = digits.split_once('.').unwrap_or((digits, "1"));
    assert_eq!(seconds.len(), "2026-01-31T03:04:05".len(), "{line:?}");
    assert!(!fraction.ends_with('0') && fraction.len() <= 9, "{line:?}");
    said
}

#[track_caller]
fn find<'a>(lines: &'a [String], wanted: &[&str]) -> &'a str {
    let has_all = |line: &&String| wanted.iter().all(|wanted| line.contains(wanted));
    let found = lines.iter().find(has_all);
    found.unwrap_or_else(|| panic!("no line with {wanted:?} in {} lines", lines.len()))
}

#[test]
fn each_stream_has_what_belongs_to_it() {
    let node = Node::new(Chain::Regtest);
    node.mine_to(MINER_ADDRESS, 1);
    let mut pool = Prepared::new(&node, "debug = true\nnet_debug = true").start();
    let cookie = fs::read_to_string(node.cookie_path()).expect("a cookie");
    let hash = pool.miner().mine_block();
    node.await_tip(&hash, DELIVERY_LIMIT);
    until_true("the pool knows that the node has it", DELIVERY_LIMIT, || {
        pool.lines("pool").iter().any(|line| line.contains("block accepted"))
    });
    until_true("the node has told of it", DELIVERY_LIMIT, || {
        let told = format!("[zmq-recv] hashblock {hash} ");
        pool.lines("net-debug").iter().any(|line| line.contains(&told))
    });
    assert!(pool.stop().success());

    let log = pool.lines("pool");
    for line in &log {
        let said = said(line);
        assert!(["[INFO] ", "[WARN] "].iter().any(|level| said.starts_with(level)), "{line}");
    }
    find(&log, &["[INFO] log outputs ", "pool_log=", "net_debug_enabled=true"]);
    find(&log, &["[INFO] goPool stopped component=startup"]);
    let debug = pool.lines("debug");
    assert!(debug.iter().all(|line| said(line).starts_with("[DEBUG] ")));
    find(&debug, &["connection closed"]);
    assert_eq!(pool.lines("errors"), [""; 0], "there were none");

    let traffic = pool.lines("net-debug");
    assert!(traffic.iter().all(|line| said(line).starts_with('[')));
    find(&traffic, &["[recv] {", "mining.subscribe"]);
    find(&traffic, &["[recv] {", "mining.submit"]);
    find(&traffic, &["[send] {", "mining.notify"]);
    find(&traffic, &["[rpc-send] {", "\"getblocktemplate\""]);
    find(&traffic, &["[rpc-send] {", "\"submitblock\"", "\"params\":[\""]);
    find(&traffic, &["[rpc-recv] {", "\"previousblockhash\""]);
    find(&traffic, &["[zmq-recv] rawblock "]);
    let password = cookie.trim().rsplit(':').next().expect("a password");
    let all = fs::read_dir(pool.logs()).expect("logs").flatten().map(|entry| entry.path());
    for path in all {
        let text = fs::read_to_string(&path).expect("UTF-8");
        assert!(!text.contains("Authorization") && !text.contains(password), "{}", path.display());
    }

    // Standard output has all but the traffic, in the order in which it was said.
    let stdout = fs::read_to_string(pool.directory.path().join("stdout")).expect("UTF-8");
    let shown: Vec<_> = stdout.lines().collect();
    assert_eq!(shown.len(), log.len() + debug.len());
    for (level, lines) in [(" [DEBUG] ", &debug), (" [", &log)] {
        let of_level = shown.iter().filter(|line| line.contains(" [DEBUG] ") == (level != " ["));
        assert!(of_level.eq(lines.iter()), "{level}");
    }
}

#[test]
fn a_pool_without_debug_writes_one_file_and_removes_what_is_old() {
    let node = Node::new(Chain::Regtest);
    let prepared = Prepared::new(&node, "debug = false");
    let logs = prepared.directory.path().join("logs");
    fs::create_dir(&logs).expect("make the folder of the logs");
    let days_ago = |days: u64| {
        let past = Command::new("date").args(["-u", &format!("-d-{days} days"), "+%F"]).output();
        String::from_utf8(past.expect("run date").stdout).expect("UTF-8").trim().to_owned()
    };
    let (gone, kept) = (days_ago(4), days_ago(1));
    let kept = [
        format!("pool-{kept}.log"),
        // Each log removes its own when it is opened, and this one is not.
        format!("errors-{gone}.log"),
        format!("mypool-{gone}.log"),
        format!("pool-{gone}.log.gz"),
        format!("pool-{gone}-a.log"),
    ];
    for name in kept.iter().chain(&[format!("pool-{gone}.log")]) {
        fs::write(logs.join(name), "").expect("write an old log");
    }
    let mut pool = prepared.start();
    pool.miner();
    assert!(pool.stop().success());
    let names = names(&logs);
    let new: Vec<_> = names.iter().filter(|name| !kept.contains(name)).collect();
    assert!(kept.iter().all(|name| names.contains(name)), "{names:?}");
    // Two when the test runs at midnight.
    let is_new = |name: &&&String| name.starts_with("pool-") && !name.contains(&gone);
    assert!(!new.is_empty() && new.iter().all(|name| is_new(&name)), "{new:?}");
    assert!(pool.lines("pool").iter().all(|line| !line.contains("[DEBUG]")));
}

#[test]
fn logs_are_where_the_flags_say() {
    let node = Node::new(Chain::Regtest);
    let mut prepared = Prepared::new(&node, "debug = true");
    let folder = prepared.directory.path().join("elsewhere");
    prepared.command.arg("-log-dir").arg(&folder).arg("-pool-log=/dev/null");
    let mut pool = prepared.start();
    assert!(pool.stop().success());
    assert!(!lines(&folder, "debug").is_empty());
    let others = names(&folder).into_iter().filter(|name| !name.starts_with("debug-"));
    assert_eq!(others.count(), 0, "the pool's log is thrown away");
    let devices = names(Path::new("/dev"));
    assert!(devices.iter().all(|name| !name.starts_with("null-")), "{devices:?}");
    assert!(!pool.logs().exists(), "there was no error");
}

#[test]
fn why_a_pool_ends_is_in_the_log_of_errors_too() {
    let node = Node::new(Chain::Regtest);
    let mut prepared = Prepared::new(&node, "debug = false");
    // The last flag counts.
    prepared.command.args(["-network", "signet"]);
    let config = prepared.directory.path().join("config/config.toml");
    let text = fs::read_to_string(&config).expect("it has been written");
    let address = crate::settings::pool_address;
    let text = text.replace(address(Chain::Regtest), address(Chain::Signet));
    fs::write(&config, text).expect("write config.toml");
    let mut process = Process::spawn(&mut prepared.command);
    let status = process.wait(START_LIMIT).expect("it ends by itself");
    let logs = prepared.directory.path().join("logs");
    let stderr = fs::read_to_string(prepared.directory.path().join("stderr")).expect("UTF-8");
    assert_eq!(status.code(), Some(4), "{stderr}");
    let errors = lines(&logs, "errors");
    assert!(errors.iter().all(|line| said(line).starts_with("[ERROR] ")), "{errors:?}");
    let ends = find(&errors, &["goPool ends", "error=the node is on the chain"]);
    assert_eq!(lines(&logs, "pool").last().map(String::as_str), Some(ends));
    assert!(stderr.contains("the node is on the chain"), "{stderr}");
}

#[test]
fn the_journal_gets_priorities_instead_of_times() {
    let node = Node::new(Chain::Regtest);
    let mut prepared = Prepared::new(&node, "debug = true");
    let stdout = File::create(prepared.directory.path().join("journal")).expect("make a file");
    let metadata = stdout.metadata().expect("an open file has some");
    let stream = format!("{}:{}", metadata.dev(), metadata.ino());
    prepared.command.env("JOURNAL_STREAM", stream).stdout(stdout);
    let mut pool = prepared.start();
    assert!(pool.stop().success());
    let text = fs::read_to_string(pool.directory.path().join("journal")).expect("UTF-8");
    let shown: Vec<_> = text.lines().map(str::to_owned).collect();
    find(&shown, &["<6>[INFO] goPool starts component=startup"]);
    find(&shown, &["<7>[DEBUG] "]);
    assert!(shown.iter().all(|line| line.starts_with('<')), "{text}");
    // The files have their times all the same.
    assert!(pool.lines("pool").iter().all(|line| said(line).starts_with('[')));
}

#[test]
fn who_stops_reading_the_output_stops_nothing_else() {
    let node = Node::new(Chain::Regtest);
    let mut prepared = Prepared::new(&node, "debug = true");
    prepared.command.stdout(Stdio::piped());
    let mut pool = prepared.start();
    // Open, and never read.
    let _stdout = pool.process.take_stdout();
    for _ in 0..LINES_FOR_A_FULL_PIPE {
        drop(connect(pool.stratum).expect("connect"));
    }
    until_true("all are in the file", RECOVERY_LIMIT, || {
        let closed = |line: &&String| line.contains("connection closed");
        pool.lines("debug").iter().filter(closed).count() >= LINES_FOR_A_FULL_PIPE
    });
    let hash = pool.miner().mine_block();
    node.await_tip(&hash, DELIVERY_LIMIT);
    assert!(pool.stop().success());
    find(&pool.lines("pool"), &["goPool stopped"]);
}

const SMALL_FULL_DISK: &str = r#"mount -t tmpfs -o size=64k,mode=755 tmpfs "$0" || exit 9
    head -c 1M /dev/zero >"$0/filler" 2>/dev/null
    exec "$@""#;

/// The same command, a folder of its data on a disk of its own, which the script mounts; none where
/// that is not permitted.
pub fn on_a_disk(prepared: &Prepared, folder: &str, script: &str) -> Option<Command> {
    let logs = prepared.directory.path().join(folder);
    fs::create_dir(&logs).expect("make the folder");
    let within = |command: &[&std::ffi::OsStr]| {
        let mut outer = Command::new("unshare");
        outer.args(["--mount", "--map-root-user", "sh", "-c", script]).arg(&logs).args(command);
        outer
    };
    let tried = within(&["true".as_ref()]).output();
    if !tried.as_ref().is_ok_and(|tried| tried.status.success()) {
        eprintln!("skipped: no disk may be mounted here: {tried:?}");
        return None;
    }
    let inner = &prepared.command;
    let words: Vec<_> = std::iter::once(inner.get_program()).chain(inner.get_args()).collect();
    let mut command = within(&words);
    command.current_dir(prepared.directory.path()).stdin(Stdio::null());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let output = |name| File::create(prepared.directory.path().join(name)).expect("an output");
    command.stdout(output("stdout")).stderr(output("stderr"));
    Some(command)
}

#[test]
fn a_full_disk_costs_log_lines_and_nothing_else() {
    let node = Node::new(Chain::Regtest);
    node.mine_to(MINER_ADDRESS, 1);
    let mut prepared = Prepared::new(&node, "debug = true");
    let Some(command) = on_a_disk(&prepared, "logs", SMALL_FULL_DISK) else { return };
    prepared.command = command;
    let mut pool = prepared.start();
    // The disk is seen by the pool alone, and by who looks through its eyes.
    let disk = pool.through_its_eyes("logs");
    assert!(disk.join("filler").exists());
    let mut miner = pool.miner();
    let hash = miner.mine_block();
    node.await_tip(&hash, DELIVERY_LIMIT);
    assert!(miner.job_on_within(&hash, DELIVERY_LIMIT).clean);
    assert_eq!(lines(&disk, "pool"), [""; 0], "the disk is full");
    let stderr = pool.stderr();
    let complaints: Vec<_> = stderr.lines().filter(|line| line.contains("log lines")).collect();
    assert!(matches!(&complaints[..], [one] if one.contains("No space left")), "{stderr}");

    fs::remove_file(disk.join("filler")).expect("make room");
    let reported = until("the log goes on", RECOVERY_LIMIT, || {
        lines(&disk, "pool").into_iter().find(|line| line.contains("have been lost"))
    });
    assert!(said(&reported).starts_with("[WARN] log lines have been lost component=log pool="));
    let hash = miner.mine_block();
    node.await_tip(&hash, DELIVERY_LIMIT);
    until_true("the next block is in the log", RECOVERY_LIMIT, || {
        lines(&disk, "pool").iter().any(|line| line.contains(&hash))
    });
    // All that could not be written was said on the output.
    let stdout = fs::read_to_string(pool.directory.path().join("stdout")).expect("UTF-8");
    assert!(stdout.contains("goPool starts"), "{stdout}");
    let mut whole = lines(&disk, "pool");
    whole.extend(lines(&disk, "debug"));
    assert!(whole.iter().all(|line| said(line).starts_with('[')));
    assert!(pool.stop().success());
}
