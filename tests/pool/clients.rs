//! Miners that share nothing with this project mine on it: a Python script of the standard library
//! alone, and the npm package `stratum-client`.
//!
//! Programs that are missing are installed; what cannot be installed fails the test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;
use std::time::Duration;

use serde_json::Value;

use crate::node::{Chain, Node, text};
use crate::pool::Pool;
use crate::settings::MINER_ADDRESS;
use crate::tls::pool_with_tls;

const ACCEPT_LIMIT: Duration = Duration::from_secs(10);
/// The two clients put their own bounds on every wait; this one is for what they did not think of.
const CLIENT_LIMIT: &str = "120";
const PACKAGE: &str = "stratum-client";
const PACKAGE_VERSION: &str = "1.1.0";

#[derive(Clone, Copy, Debug)]
enum Program {
    Python,
    Npm,
}

impl Program {
    fn command(self) -> Command {
        // `timeout` ends it by its own id.
        let mut command = Command::new("timeout");
        command.arg(CLIENT_LIMIT);
        let scripts = root().join("tests/pool/clients");
        match self {
            Self::Python => {
                need(&["python3"], &["python3"]);
                command.arg("python3").arg(scripts.join("miner.py"));
            }
            Self::Npm => {
                need(&["node", "npm"], &["nodejs", "npm"]);
                command.arg("node").arg(scripts.join("miner.js"));
                command.env("NODE_PATH", package().join("node_modules"));
            }
        }
        command
    }

    /// Lets the program find a `share` or a `block`, and returns the hash it was found with. Its
    /// answer must be `true`.
    #[track_caller]
    fn mine(self, pool: &Pool, over_tls: bool, want: &str) -> String {
        let address = if over_tls { pool.stratum_tls() } else { pool.stratum() };
        let worker = format!("{MINER_ADDRESS}.{self:?}");
        let mut command = self.command();
        command.arg(address.ip().to_string()).arg(address.port().to_string());
        command.args([&worker, want]);
        if over_tls {
            command.arg(pool.certificate_paths().0);
        }
        let what = format!("{self:?}, a {want}, TLS: {over_tls}");
        let output = command.stdin(Stdio::null()).output();
        let output = output.unwrap_or_else(|error| panic!("{what}: {error}"));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{what}: {}: {stderr}", output.status);
        let told: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{what}: {error}: {stderr}"));
        assert_eq!((&told["result"], &told["error"]), (&Value::Bool(true), &Value::Null), "{what}");
        text(&told["hash"])
    }
}

/// Signet asks for 43 thousand hashes, so a share of a wrongly built header is none; what is found
/// on regtest becomes a block of the chain.
#[track_caller]
fn check(program: Program) {
    let node = Node::new(Chain::Signet);
    let pool = pool_with_tls(&node);
    for (count, over_tls) in [(1, false), (2, true)] {
        program.mine(&pool, over_tls, "share");
        pool.await_server("the share is counted", |server| {
            let shards = server["shards"].as_array().expect("shards is a list");
            let accepted = shards.iter().map(|shard| shard["accepted"].as_u64().expect("a count"));
            (accepted.sum::<u64>() == count).then_some(())
        });
    }
    let node = Node::new(Chain::Regtest);
    let pool = pool_with_tls(&node);
    for (height, over_tls) in [(1, false), (2, true)] {
        let hash = program.mine(&pool, over_tls, "block");
        node.await_tip(&hash, ACCEPT_LIMIT);
        assert_eq!(node.height(), height);
        pool.await_found(&hash);
    }
}

#[test]
fn a_python_script_mines() {
    check(Program::Python);
}

#[test]
fn the_npm_package_stratum_client_mines() {
    check(Program::Npm);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn runs(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Makes sure that `programs` run, installing the Debian `packages` when they do not.
#[track_caller]
fn need(programs: &[&str], packages: &[&str]) {
    let missing = || programs.iter().filter(|program| !runs(program)).collect::<Vec<_>>();
    // Two at a time would be in each other's way.
    static INSTALLING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = INSTALLING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if missing().is_empty() {
        return;
    }
    let script = root().join("scripts/packages.sh");
    let status = Command::new(&script).args(packages).stdin(Stdio::null()).status();
    let status = status.unwrap_or_else(|error| panic!("run {}: {error}", script.display()));
    let missing = missing();
    assert!(
        missing.is_empty(),
        "this test needs {missing:?}, and `scripts/packages.sh {}` did not bring them ({status})",
        packages.join(" ")
    );
}

/// The folder that has the npm package, fetched once for all runs.
fn package() -> PathBuf {
    static FETCHED: Once = Once::new();
    let clients = cache().join("clients");
    let home = clients.join(format!("{PACKAGE}-{PACKAGE_VERSION}"));
    FETCHED.call_once(|| {
        fs::create_dir_all(&clients).expect("make the cache");
        // Another run may be fetching it; the lock goes with the file.
        let lock = File::create(clients.join("lock")).expect("a lock file");
        lock.lock().expect("the lock");
        if !home.exists() {
            fetch(&clients, &home);
        }
    });
    assert!(home.exists(), "{PACKAGE} could not be fetched before");
    home
}

fn fetch(clients: &Path, home: &Path) {
    let fresh = tempfile::tempdir_in(clients).expect("a folder in the cache");
    let output = Command::new("timeout")
        .args([CLIENT_LIMIT, "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"])
        .arg("--prefix")
        .arg(fresh.path())
        .arg(format!("{PACKAGE}@{PACKAGE_VERSION}"))
        .stdin(Stdio::null())
        .output()
        .expect("run npm");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "npm install {PACKAGE}: {}: {stderr}", output.status);
    // Whole or not at all.
    fs::rename(fresh.keep(), home).expect("name it");
}

fn cache() -> PathBuf {
    let folder = |name| std::env::var_os(name).map(PathBuf::from);
    folder("GOPOOL_CACHE").unwrap_or_else(|| {
        let caches = folder("XDG_CACHE_HOME");
        caches.unwrap_or_else(|| folder("HOME").expect("HOME is set").join(".cache")).join("gopool")
    })
}
