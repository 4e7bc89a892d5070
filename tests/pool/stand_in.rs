//! A stand-in for a service around the pool (`tests/services/README.md`): started, made to fail, and
//! asked what it has seen.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

use crate::http;
use crate::poll::until;
use crate::ports;
use crate::process::Process;

/// Its longest wait for a request, and more.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

pub struct StandIn {
    /// It ends with its standard input, which this holds.
    _process: Process,
    address: SocketAddr,
    /// What it said when it was ready.
    shown: Value,
}

impl StandIn {
    /// `name` is that of its file.
    #[track_caller]
    pub fn start(name: &str, flags: &[&str]) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        install(root);
        let mut command = Command::new("node");
        command
            .arg(root.join("tests/services").join(name))
            // One that closes its port for a while must find it free again, and nobody else in its place.
            .args(["--port", &ports::free().to_string()])
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = Process::spawn(&mut command);
        let mut line = String::new();
        BufReader::new(process.take_stdout()).read_line(&mut line).expect("its first line");
        let shown: Value = serde_json::from_str(&line).expect("a line of JSON");
        let port = shown["port"].as_u64().expect("a port") as u16;
        Self { _process: process, address: ([127, 0, 0, 1], port).into(), shown }
    }

    /// What a client must be given.
    #[track_caller]
    pub fn shown(&self, name: &str) -> &str {
        self.shown[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", self.shown))
    }

    /// The file of whoever has signed its certificate, if it has one.
    pub fn authority(&self) -> Option<String> {
        self.shown["ca"].as_str().map(str::to_owned)
    }

    /// Its control door, which is shut while the service is away.
    #[track_caller]
    pub fn ask(&self, method: &str, what: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let path = format!("/_/{what}");
        let response = until(&format!("{method} {path} is answered"), ANSWER_LIMIT, || {
            http::exchange(self.address, method, &path, &[], &body, ANSWER_LIMIT).ok()
        });
        assert_eq!(response.status, 200, "{method} {path}: {}", response.body);
        serde_json::from_str(&response.body).expect("JSON")
    }

    /// A list behind its door.
    #[track_caller]
    pub fn list(&self, what: &str) -> Vec<Value> {
        let answer = self.ask("GET", what, &Value::Null);
        answer.as_array().unwrap_or_else(|| panic!("{what}: no list: {answer}")).clone()
    }

    /// Requests that come will go wrong.
    #[track_caller]
    pub fn fault(&self, fault: &Value) {
        self.ask("POST", "fault", fault);
    }

    /// All is well from now on.
    #[track_caller]
    pub fn mend(&self) {
        self.ask("DELETE", "fault", &Value::Null);
    }

    /// Requests so far whose paths begin so.
    #[track_caller]
    pub fn seen(&self, path: &str) -> Vec<Value> {
        self.list(&format!("seen?match={path}"))
    }
}

/// The packages that some of them need, once.
fn install(root: &Path) {
    static IS_DONE: OnceLock<()> = OnceLock::new();
    IS_DONE.get_or_init(|| {
        let script = root.join("scripts/node-packages.sh");
        let status = Command::new(&script).arg("tests/services").status();
        let status = status.unwrap_or_else(|error| panic!("run {}: {error}", script.display()));
        assert!(status.success(), "{} failed: {status}", script.display());
    });
}
