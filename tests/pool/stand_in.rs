//! A service elsewhere, as `tests/services` has it: started, told what to do wrong, and asked what it
//! has seen.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

use crate::http;
use crate::node::text;
use crate::process::Process;

/// Longer than anything that is waited for at the other end.
const ANSWER_LIMIT: Duration = Duration::from_secs(90);

pub struct StandIn {
    /// Ends it when it is dropped.
    _process: Process,
    /// What it shows when it has started.
    pub shown: Value,
    address: SocketAddr,
}

impl StandIn {
    /// `name` as its file has it.
    #[track_caller]
    pub fn start(name: &str, flags: &[&str]) -> Self {
        let mut command = Command::new("node");
        command
            .arg(folder().join(format!("{name}.mjs")))
            .args(flags)
            // It ends when this does.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = Process::spawn(&mut command);
        let mut line = String::new();
        BufReader::new(process.take_stdout()).read_line(&mut line).expect("its first line");
        let shown: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line:?}: {e}"));
        let port = shown["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        let address = ([127, 0, 0, 1], port.expect("a port")).into();
        Self { _process: process, shown, address }
    }

    /// A member of what it has shown.
    #[track_caller]
    pub fn shows(&self, name: &str) -> String {
        text(&self.shown[name])
    }

    /// Its control door.
    #[track_caller]
    pub fn ask(&self, method: &str, name: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let path = format!("/_/{name}");
        let headers = [("Content-Type", "application/json")];
        let answer = http::exchange(self.address, method, &path, &headers, &body, ANSWER_LIMIT);
        let answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap_or_default()
    }

    #[track_caller]
    pub fn get(&self, name: &str) -> Value {
        self.ask("GET", name, &Value::Null)
    }

    #[track_caller]
    pub fn post(&self, name: &str, body: &Value) -> Value {
        self.ask("POST", name, body)
    }

    /// So many of these requests, waited for.
    #[track_caller]
    pub fn seen(&self, path: &str, count: usize) -> Vec<Value> {
        list(&self.get(&format!("seen?match={path}&count={count}&seconds=60")))
    }
}

/// A list that was answered.
#[track_caller]
pub fn list(answer: &Value) -> Vec<Value> {
    answer.as_array().unwrap_or_else(|| panic!("no list: {answer}")).clone()
}

/// Where they are, with the packages that they need.
fn folder() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let script = root.join("scripts/node-packages.sh");
        let status = Command::new(&script)
            .arg("tests/services")
            .status()
            .unwrap_or_else(|error| panic!("run {}: {error}", script.display()));
        assert!(status.success(), "{} failed: {status}", script.display());
        root.join("tests/services")
    })
}
