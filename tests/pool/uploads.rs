//! Copies of the database in a bucket: there when something has changed, once, and whatever the
//! service does meanwhile, the copy on this machine is made.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection as Database, OpenFlags};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use crate::admin::Operator;
use crate::miner::Miner;
use crate::node::{Chain, Node};
use crate::poll::{until, until_true};
use crate::pool::Pool;
use crate::prometheus::{self, Format};
use crate::settings::{MINER_ADDRESS, Settings};
use crate::stand_in::StandIn;

const LIMIT: Duration = Duration::from_secs(60);
/// With an upload that hangs.
const STOP_LIMIT: Duration = Duration::from_secs(10);
const UPLOAD: &str = "/b2api/v3/b2_upload_file";
const PLACE: &str = "/b2api/v3/b2_get_upload_url";
const FAILED: &str = "backup not uploaded";
const AGAIN: &str = "B2 is reached again";

/// A pool whose copies go to a stand-in, as often as it can be told.
struct Scene {
    b2: StandIn,
    node: Node,
    pool: Pool,
}

impl Scene {
    /// `more`: further lines of its table.
    fn new(b2: StandIn, more: &str) -> Self {
        Self::with_flags(b2, more, &[])
    }

    fn with_flags(b2: StandIn, more: &str, flags: &'static [&'static str]) -> Self {
        let node = Node::new(Chain::Regtest);
        node.mine_to(MINER_ADDRESS, 1);
        let mut settings = Settings::of(&node);
        if let Some(ca) = b2.authority() {
            settings.environment.push(("SSL_CERT_FILE", ca));
        }
        settings.flags = flags;
        settings.services = format!(
            "[backblaze_backup]\nenabled = true\nbucket = {:?}\nprefix = \"one pool\"\n\
             interval_seconds = 1\napi_url = {:?}\n{more}\n",
            b2.shown("bucket"),
            b2.shown("realm"),
        );
        settings.secrets = format!(
            "backblaze_account_id = {:?}\nbackblaze_application_key = {:?}\n",
            b2.shown("key_id"),
            b2.shown("key"),
        );
        let pool = Pool::start(settings);
        Self { b2, node, pool }
    }

    fn local(&self) -> PathBuf {
        self.pool.folder().join("state/workers.db.bak")
    }

    /// Versions in the bucket with their sums, the oldest first.
    fn versions(&self) -> Vec<Value> {
        let files = self.b2.ask("GET", "files", &Value::Null);
        files.as_array().expect("a list").clone()
    }

    /// Something that is worth a backup; returns when a copy on this machine has it.
    #[track_caller]
    fn change(&self) {
        let before = blocks_in(&self.local());
        Miner::join(self.pool.stratum(), MINER_ADDRESS).mine_block();
        until_true("a copy on this machine", LIMIT, || blocks_in(&self.local()) > before);
    }

    /// Waits until the newest copy here is the newest in the bucket, and the pool knows that.
    #[track_caller]
    fn await_upload(&self) {
        let of_last = |message: &str| {
            let lines = self.pool.lines_after(0);
            let last = lines.iter().rfind(|line| line.contains(message));
            last.and_then(|line| field(line, "version"))
        };
        until_true("what is here is in the bucket", LIMIT, || {
            let versions = self.versions();
            let newest = versions.last().map(|file| file["sha1"].clone());
            newest == Some(json!(sha1_of(&self.local())))
                && of_last("backup uploaded").is_some_and(|uploaded| {
                    // A process that begins with a copy of the one before may write none itself.
                    of_last("backup written").is_none_or(|written| written == uploaded)
                })
        });
        let copy = open(&self.local());
        let checked: String =
            copy.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("check the copy");
        assert_eq!(checked, "ok");
        let versions = self.versions();
        let sums: HashSet<&str> =
            versions.iter().filter_map(|file| file["sha1"].as_str()).collect();
        assert_eq!(sums.len(), versions.len(), "the same is there twice: {versions:#?}");
        assert!(versions.iter().all(|file| file["fileName"] == "one pool/workers.db"));
    }

    /// Waits until nothing has changed for a while.
    #[track_caller]
    fn await_rest(&self) {
        const UNCHANGED: &str = "nothing has changed since the last backup";
        until_true("runs that find nothing new", LIMIT, || {
            let lines = self.pool.lines_after(0);
            let runs = lines.iter().rev().filter(|line| line.contains("component=backup"));
            runs.take_while(|line| line.contains(UNCHANGED)).count() >= 2
        });
    }

    /// This process has sent what it tells of and no more. A copy for which a newer one was there in
    /// time is not sent.
    #[track_caller]
    fn check_sent(&self, before: usize) {
        let sent = self.b2.seen(UPLOAD).len() - before;
        assert_eq!(sent, self.said("was_there=false"));
        assert!(sent <= self.said("backup written"), "each copy once: {sent}");
    }

    fn metric(&self, name: &str) -> Option<f64> {
        let response = self.pool.get("/metrics", &[]);
        let samples = prometheus::parse(&response.body, Format::Text).expect("metrics");
        prometheus::sum(&samples, name)
    }

    fn failures(&self) -> f64 {
        self.metric("gopool_backup_upload_failures_total").expect("uploads are on")
    }

    fn said(&self, message: &str) -> usize {
        let lines = self.pool.lines_after(0);
        lines.iter().filter(|line| line.contains(message)).count()
    }

    /// Nobody reads keys and tokens in the log.
    fn check_secrets(&self) {
        for line in self.pool.lines_after(0) {
            let tells = ["4_account_", "4_upload_", "4_part_", self.b2.shown("key")];
            assert!(!tells.iter().any(|secret| line.contains(secret)), "{line}");
        }
    }
}

fn field(line: &str, name: &str) -> Option<String> {
    let (_, rest) = line.split_once(&format!(" {name}="))?;
    rest.split(' ').next().map(str::to_owned)
}

fn open(path: &Path) -> Database {
    Database::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("open the copy")
}

fn blocks_in(copy: &Path) -> i64 {
    if !copy.exists() {
        return 0;
    }
    let count = "SELECT (SELECT count(*) FROM found_blocks_log)";
    open(copy).query_row(count, [], |row| row.get(0)).unwrap_or_default()
}

fn sha1_of(path: &Path) -> String {
    const_hex::encode(Sha1::digest(fs::read(path).unwrap_or_default()))
}

#[test]
fn what_has_changed_is_in_the_bucket_and_nothing_else_is_sent() {
    let mut scene = Scene::new(StandIn::start("b2.mjs", &["--tls"]), "keep_versions = 3");
    scene.change();
    scene.await_upload();
    let mut operator = Operator::sign_in(&scene.pool);
    // Nothing changes: runs come and go, and send nothing.
    let uploads = || scene.b2.seen(UPLOAD).len();
    scene.await_rest();
    scene.check_sent(0);
    let sent = uploads();
    for _ in 0..4 {
        scene.change();
        scene.await_upload();
    }
    assert!(uploads() >= sent + 4);
    until_true("old versions are deleted", LIMIT, || scene.versions().len() == 3);
    // What an operator sees.
    assert_eq!(scene.metric("gopool_backup_bucket_reachable"), Some(1.0));
    assert!(scene.metric("gopool_backup_upload_timestamp_seconds").is_some());
    assert_eq!(scene.failures(), 0.0);
    let page = operator.get("/admin/operator").body;
    for text in [scene.b2.shown("bucket"), "one pool/workers.db", ">reachable<", "uploaded"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    scene.check_secrets();
    // The next process knows what is there.
    scene.await_rest();
    assert!(scene.pool.terminate().success());
    let sent = scene.b2.seen(UPLOAD).len();
    scene.pool = scene.pool.relaunch();
    scene.await_rest();
    scene.check_sent(sent);
    assert!(scene.said("backup written") <= 1, "what the stop has changed, at most");
}

#[test]
fn a_backup_at_boot_is_uploaded_whatever_has_changed() {
    let b2 = StandIn::start("b2.mjs", &[]);
    let mut scene = Scene::with_flags(b2, "", &["-backup-on-boot"]);
    scene.await_rest();
    let before = scene.versions().len();
    assert!(scene.pool.terminate().success());
    scene.pool = scene.pool.relaunch();
    scene.await_rest();
    assert_eq!(scene.said("reason=boot"), 1);
    assert_eq!(scene.versions().len(), before + scene.said("backup written"));
}

#[test]
fn a_large_copy_goes_in_parts() {
    let b2 = StandIn::start("b2.mjs", &[]);
    let sizes = json!({ "recommendedPartSize": 40_000, "absoluteMinimumPartSize": 1000 });
    b2.ask("POST", "settings", &sizes);
    let part = json!({ "match": "/b2api/v3/b2_upload_part", "kind": "status", "status": 403 });
    b2.fault(&part);
    let scene = Scene::new(b2, "");
    scene.change();
    until_true("it fails", LIMIT, || scene.failures() >= 2.0);
    scene.b2.mend();
    scene.await_upload();
    let versions = scene.versions();
    assert!(versions.iter().all(|file| file["action"] == "upload"), "{versions:#?}");
    let size = versions[0]["contentLength"].as_u64().expect("a size");
    assert!(size > 2 * 40_000, "{size} bytes");
    assert!(scene.b2.seen(UPLOAD).is_empty());
    scene.check_secrets();
}

#[test]
fn whatever_b2_does_the_copy_here_is_made_and_the_upload_comes_once() {
    let scene = Scene::new(StandIn::start("b2.mjs", &[]), "");
    scene.await_upload();
    // What is mended within one try of the pool's, and what is not.
    let passing = [
        ("a late answer", json!({ "match": UPLOAD, "kind": "slow", "seconds": 2, "times": 1 })),
        (
            "an answer in drops",
            json!({ "match": UPLOAD, "kind": "drip", "seconds": 2, "times": 1 }),
        ),
        ("half an answer", json!({ "match": UPLOAD, "kind": "half", "times": 1 })),
        (
            "no answer, but done",
            json!({ "match": UPLOAD, "kind": "reset", "after_work": true, "times": 1 }),
        ),
        ("cut off", json!({ "match": UPLOAD, "kind": "reset", "after_bytes": 1000, "times": 2 })),
        ("upload tokens", json!({ "match": UPLOAD, "kind": "status", "status": 401, "times": 3 })),
        (
            "a pause",
            json!({ "match": PLACE, "kind": "status", "status": 429, "retry_after": 1, "times": 2 }),
        ),
        (
            "a busy place",
            json!({ "match": UPLOAD, "kind": "status", "status": 503, "retry_after": 1, "times": 1 }),
        ),
        ("broken places", json!({ "match": UPLOAD, "kind": "status", "status": 500, "times": 4 })),
        ("no JSON", json!({ "match": UPLOAD, "kind": "text", "times": 1 })),
    ];
    for (name, fault) in passing {
        eprintln!("{name}");
        let (failures, begun) = (scene.failures(), Instant::now());
        scene.b2.fault(&fault);
        scene.change();
        scene.await_upload();
        assert_eq!(scene.failures(), failures, "{name}");
        let waits = ["slow", "drip"].contains(&fault["kind"].as_str().expect("a kind"));
        let pauses =
            fault["retry_after"].as_u64().unwrap_or(0) * fault["times"].as_u64().unwrap_or(0);
        let least = Duration::from_secs(if waits { 2 } else { pauses });
        assert!(begun.elapsed() >= least, "{name}");
        scene.b2.mend();
    }
    assert_eq!(scene.said(FAILED), 0);
    eprintln!("all tokens have ended");
    scene.b2.ask("POST", "expire", &json!({ "which": "all" }));
    scene.change();
    scene.await_upload();
    assert_eq!(scene.failures(), 0.0);
    // One after the other, until somebody mends it.
    let lasting = [
        ("refused", json!({ "match": "/b2api", "kind": "refuse" })),
        ("half of every answer", json!({ "match": "/b2api", "kind": "half" })),
        ("a wrong key", json!({ "match": "/b2api", "kind": "status", "status": 401 })),
        ("no space", json!({ "match": UPLOAD, "kind": "status", "status": 403 })),
        ("no JSON at all", json!({ "match": "/b2api", "kind": "text" })),
        ("hanging up", json!({ "match": "/b2api", "kind": "hang", "seconds": 1 })),
        (
            "later",
            json!({ "match": "/b2api", "kind": "status", "status": 429, "retry_after": 100 }),
        ),
    ];
    let mut lines = 0;
    for (name, fault) in lasting {
        eprintln!("{name}");
        let failures = scene.failures();
        scene.b2.fault(&fault);
        scene.change();
        let is_asked_again = fault["retry_after"].is_null();
        let more = if is_asked_again { 3.0 } else { 1.0 };
        until_true("uploads fail", LIMIT, || scene.failures() >= failures + more);
        // Who says no is there.
        let is_there = ["no space", "later"].contains(&name);
        let reachable = scene.metric("gopool_backup_bucket_reachable");
        assert_eq!(reachable, Some(f64::from(u8::from(is_there))), "{name}");
        let said = scene.said(FAILED);
        assert!((lines..=lines + 2).contains(&said), "{name}: {said} lines after {lines}");
        lines = said;
        scene.b2.mend();
        if !is_asked_again {
            // B2 has asked for more time than this test has.
            let asked = scene.b2.seen("/b2api").len();
            scene.change();
            assert_eq!(scene.b2.seen("/b2api").len(), asked, "it was asked before its time");
            break;
        }
        scene.await_upload();
        until_true("it is over", LIMIT, || scene.said(AGAIN) > 0);
    }
    scene.check_secrets();
}

#[test]
fn a_certificate_of_somebody_else_gets_nothing() {
    let scene = Scene::new(StandIn::start("b2.mjs", &["--tls-wrong-name"]), "");
    scene.change();
    until_true("it is tried again", LIMIT, || scene.failures() >= 3.0);
    assert_eq!(scene.said(FAILED), 1);
    assert!(scene.said("certificate") >= 1);
    assert!(scene.b2.seen("/b2api").is_empty() && scene.versions().is_empty());
    assert_eq!(scene.metric("gopool_backup_bucket_reachable"), Some(0.0));
}

#[test]
fn b2_may_come_later_and_go_for_a_while() {
    let b2 = StandIn::start("b2.mjs", &[]);
    b2.fault(&json!({ "match": "/", "kind": "refuse" }));
    let scene = Scene::new(b2, "");
    until_true("a copy on this machine", LIMIT, || scene.local().exists());
    until_true("it is tried again", LIMIT, || scene.failures() >= 2.0);
    assert_eq!(scene.said(FAILED), 1);
    scene.b2.mend();
    scene.await_upload();
    until_true("that is said", LIMIT, || scene.said(AGAIN) == 1);
    scene.b2.ask("POST", "close", &json!({ "seconds": 3 }));
    scene.change();
    scene.await_upload();
    // On the way of an upload, and of signing in again: each once.
    assert!(scene.said(FAILED) <= 3);
}

#[test]
fn an_upload_that_hangs_holds_nothing_up() {
    let b2 = StandIn::start("b2.mjs", &[]);
    b2.fault(&json!({ "match": UPLOAD, "kind": "hang" }));
    let mut scene = Scene::new(b2, "");
    until("it hangs", LIMIT, || scene.b2.seen(UPLOAD).first().cloned());
    scene.change();
    scene.change();
    let begun = Instant::now();
    assert!(scene.pool.terminate().success());
    assert!(begun.elapsed() < STOP_LIMIT, "{:?}", begun.elapsed());
    assert_eq!(scene.said("is given up") + scene.said("has not been written completely"), 0);
    // The next process begins with it.
    assert!(scene.versions().is_empty());
    scene.b2.mend();
    scene.pool = scene.pool.relaunch();
    scene.await_upload();
    assert!(blocks_in(&scene.local()) >= 2);
    let blocks = scene.node.rpc("getblockcount", &json!([]));
    assert!(blocks.as_i64() >= Some(3));
}

#[test]
fn the_bucket_gets_what_the_disk_does_not_take() {
    let scene =
        Scene::new(StandIn::start("b2.mjs", &[]), "snapshot_path = \"config/config.toml/copy.db\"");
    until_true("an upload", LIMIT, || !scene.versions().is_empty());
    until_true("it is said", LIMIT, || scene.said("backup failed") > 0);
    assert_eq!(scene.failures(), 0.0);
}
