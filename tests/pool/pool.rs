//! The program under test: started, watched by its log and its pages, stopped or killed.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::http::{self, Response};
use crate::node::{Node, text};
use crate::poll::{until, until_true};
use crate::process::Process;
use crate::settings::Settings;

/// From the start to the open ports, with a debug build on a machine busy with other tests.
const START_LIMIT: Duration = Duration::from_secs(60);
/// An orderly stop waits at most 10 s for its connections and its submissions.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// The snapshot behind the pages is rebuilt about once a second.
pub const SNAPSHOT_LIMIT: Duration = Duration::from_secs(10);
/// Lines kept of each output; what comes after is not looked at.
const LOG_LINES_MAX: usize = 50_000;
/// Lines shown when a test fails.
const LOG_LINES_SHOWN: usize = 60;

type Lines = Arc<Mutex<Vec<String>>>;

pub struct Pool {
    settings: Settings,
    directory: TempDir,
    process: Process,
    stdout: Lines,
    stderr: Lines,
    http: SocketAddr,
}

impl Pool {
    /// Starts a pool and waits for both of its ports.
    #[track_caller]
    pub fn start(settings: Settings) -> Self {
        let pool = Self::launch(settings);
        pool.stratum();
        pool
    }

    /// A pool for `node` with nothing unusual.
    #[track_caller]
    pub fn for_node(node: &Node) -> Self {
        Self::start(Settings::of(node))
    }

    /// Starts a pool and waits for its pages only.
    #[track_caller]
    pub fn launch(settings: Settings) -> Self {
        let directory = TempDir::new().expect("a data directory");
        settings.write(directory.path());
        Self::run(settings, directory)
    }

    /// Starts a pool over data that is there already, and waits for both of its ports.
    #[track_caller]
    pub fn start_in(settings: Settings, directory: TempDir) -> Self {
        let pool = Self::run(settings, directory);
        pool.stratum();
        pool
    }

    /// Starts the pool again over the data the last one left.
    #[track_caller]
    pub fn relaunch(mut self) -> Self {
        self.process.kill();
        // The old one keeps an empty directory of its own, to be removed with it.
        let spare = TempDir::new().expect("a spare directory");
        let directory = std::mem::replace(&mut self.directory, spare);
        Self::run(self.settings.clone(), directory)
    }

    #[track_caller]
    fn run(settings: Settings, directory: TempDir) -> Self {
        let mut process = Process::spawn(&mut command(directory.path(), &settings));
        let stdout = collect(process.take_stdout());
        let stderr = collect(process.take_stderr());
        let http = ([127, 0, 0, 1], 0).into();
        let mut pool = Self { settings, directory, process, stdout, stderr, http };
        pool.http = pool.await_listening(&["component=http"]);
        pool
    }

    pub fn http_address(&self) -> SocketAddr {
        self.http
    }

    /// The Stratum port, waited for: it opens with the first job.
    #[track_caller]
    pub fn stratum(&self) -> SocketAddr {
        self.await_listening(&["component=stratum", "transport=tcp"])
    }

    /// The port of Stratum over TLS; `Settings` must have asked for one.
    #[track_caller]
    pub fn stratum_tls(&self) -> SocketAddr {
        self.await_listening(&["component=stratum", "transport=tls"])
    }

    /// Where the pages are served over HTTPS.
    #[track_caller]
    pub fn https(&self) -> SocketAddr {
        self.await_listening(&["component=http", "transport=tls"])
    }

    /// The certificate of the TLS ports, and its key.
    pub fn certificate_paths(&self) -> (PathBuf, PathBuf) {
        let directory = self.directory.path();
        (directory.join("tls_cert.pem"), directory.join("tls_key.pem"))
    }

    #[track_caller]
    fn await_listening(&self, fields: &[&str]) -> SocketAddr {
        let line = self.await_log("listening", fields, START_LIMIT);
        let address = field(&line, "addr").unwrap_or_else(|| panic!("no addr in {line:?}"));
        address.parse().unwrap_or_else(|error| panic!("addr in {line:?}: {error}"))
    }

    /// Waits for a log line with that message and all of those fields.
    #[track_caller]
    pub fn await_log(&self, message: &str, fields: &[&str], limit: Duration) -> String {
        until(&format!("the log says {message:?} with {fields:?}"), limit, || {
            self.logged(message, fields)
        })
    }

    pub fn logged(&self, message: &str, fields: &[&str]) -> Option<String> {
        let lines = self.stdout.lock().expect("no panic while it was held");
        lines.iter().find(|line| is_log_line(line, message, fields)).cloned()
    }

    /// Where the pages are served over HTTP.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    #[track_caller]
    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        http::get(self.http, path, headers).unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// `/api/server` as it is now.
    #[track_caller]
    pub fn api_server(&self) -> Value {
        let response = self.get("/api/server", &[]);
        assert_eq!(response.status, 200, "/api/server: {}", response.body);
        serde_json::from_str(&response.body).expect("/api/server answers JSON")
    }

    /// Reads `/api/server` until it has what `wanted` looks for.
    #[track_caller]
    pub fn await_server<T>(&self, what: &str, mut wanted: impl FnMut(&Value) -> Option<T>) -> T {
        until(what, SNAPSHOT_LIMIT, || wanted(&self.api_server()))
    }

    /// Waits until the found blocks have `hash`, which is public in its short form only.
    #[track_caller]
    pub fn await_found(&self, hash: &str) {
        let short = format!("...{}", &hash[hash.len() - 16..]);
        self.await_server(&format!("{hash} among the found blocks"), |server| {
            let found = server["blocks"]["found"].as_array().expect("blocks.found");
            found.iter().any(|block| text(&block["hash"]) == short).then_some(())
        });
    }

    /// Waits until the state on disk has the block `hash`.
    ///
    /// A miner is told `true` without waiting for the disk (`mining.md` §7.3): a test that kills
    /// the pool must first see that the row was written. SQLite keeps text as it is, so the hash
    /// can be looked for in its files.
    #[track_caller]
    pub fn await_on_disk(&self, hash: &str, limit: Duration) {
        let state = self.directory.path().join("state");
        until_true(&format!("{hash} in a file of {}", state.display()), limit, || {
            files(&state).iter().any(|path| {
                std::fs::read(path).is_ok_and(|bytes| {
                    bytes.windows(hash.len()).any(|window| window == hash.as_bytes())
                })
            })
        });
    }

    /// Its data folder.
    pub fn folder(&self) -> &Path {
        self.directory.path()
    }

    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    pub fn signal(&self, signal: i32) {
        self.process.signal(signal);
    }

    /// Lines of the log so far: what comes later is looked for behind them.
    pub fn log_length(&self) -> usize {
        self.stdout.lock().expect("no panic while it was held").len()
    }

    pub fn lines_after(&self, skip: usize) -> Vec<String> {
        self.stdout.lock().expect("no panic while it was held")[skip..].to_vec()
    }

    /// Waits for a line behind the first `skip`.
    #[track_caller]
    pub fn await_log_after(&self, skip: usize, message: &str, fields: &[&str]) -> String {
        until(&format!("the log goes on with {message:?} and {fields:?}"), START_LIMIT, || {
            let lines = self.stdout.lock().expect("no panic while it was held");
            lines.iter().skip(skip).find(|line| is_log_line(line, message, fields)).cloned()
        })
    }

    pub fn resident_bytes(&self) -> u64 {
        self.process.resident_bytes()
    }

    /// How many files and sockets the pool has open.
    pub fn descriptor_count(&self) -> usize {
        let path = format!("/proc/{}/fd", self.process.id());
        std::fs::read_dir(path).expect("a running program has descriptors").count()
    }

    /// Asks the pool to stop; it does so meanwhile.
    pub fn ask_to_stop(&self) {
        self.process.terminate();
    }

    /// How the pool ended, or `None` when it still runs after `limit`.
    pub fn ended(&mut self, limit: Duration) -> Option<ExitStatus> {
        self.process.wait(limit)
    }

    /// Asks the pool to stop and returns how it ended.
    #[track_caller]
    pub fn terminate(&mut self) -> ExitStatus {
        self.process.terminate();
        let status = self.process.wait(STOP_LIMIT);
        let stderr = self.stderr.lock().expect("no panic while it was held").join("\n");
        assert!(!stderr.contains("panicked at"), "the pool panicked: {stderr}");
        status.unwrap_or_else(|| panic!("the pool is still running {STOP_LIMIT:?} after SIGTERM"))
    }

    /// Ends the pool without giving it a chance to do anything about it.
    pub fn kill(&mut self) {
        self.process.kill();
    }
}

impl Drop for Pool {
    /// Shows what the pool said, when the test is failing.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        self.process.kill();
        for (name, lines) in [("log", &self.stdout), ("stderr", &self.stderr)] {
            let Ok(lines) = lines.lock() else { continue };
            eprintln!("--- the pool's {name}, last of {} lines", lines.len());
            for line in &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..] {
                eprintln!("{line}");
            }
        }
    }
}

/// The program as an operator starts it, its outputs piped.
pub fn command(data_directory: &Path, settings: &Settings) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gopool"));
    command
        .arg("-data-dir")
        .arg(data_directory)
        .args(["-network", settings.network, "-stdout"])
        // Whatever it writes beside its data goes away with the test.
        .current_dir(data_directory)
        // An operator's own node must not be found instead of the test's.
        .env_remove("BITCOIN_DATADIR")
        .env("HOME", data_directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.args(settings.flags);
    command.envs(settings.environment.iter().map(|(name, value)| (name, value)));
    if let Some(shards) = settings.shards {
        command.args(["-shards", &shards.to_string()]);
    }
    command
}

/// Reads an output to its end on a thread of its own, so that the program never waits for us.
fn collect(output: impl Read + Send + 'static) -> Lines {
    let lines = Lines::default();
    let collected = Arc::clone(&lines);
    std::thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n') {
            let Ok(line) = line else { break };
            let mut lines = collected.lock().expect("no panic while it was held");
            if lines.len() < LOG_LINES_MAX {
                lines.push(String::from_utf8_lossy(&line).into_owned());
            }
        }
    });
    lines
}

/// `<time> [LEVEL] message key=value key=value`
fn is_log_line(line: &str, message: &str, fields: &[&str]) -> bool {
    let Some((_, rest)) = line.split_once("] ") else { return false };
    let Some(tail) = rest.strip_prefix(message) else { return false };
    (tail.is_empty() || tail.starts_with(' '))
        && fields.iter().all(|field| tail.split(' ').any(|word| word == *field))
}

/// The value of `key` in a log line.
fn field<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()).collect()
}

#[test]
fn log_lines_are_told_apart_by_message_and_fields() {
    let line =
        "2026-01-02T03:04:05Z [INFO] listening component=stratum transport=tcp addr=127.0.0.1:3333";
    assert!(is_log_line(line, "listening", &["component=stratum", "transport=tcp"]));
    assert!(!is_log_line(line, "listening", &["component=http"]));
    assert!(!is_log_line(line, "listen", &[]));
    assert_eq!(field(line, "addr"), Some("127.0.0.1:3333"));
    assert_eq!(field(line, "hash"), None);
}
