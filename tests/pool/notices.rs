//! People are told of a found block where they are: once, whatever is wrong on the way to them.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use rusqlite::Connection as Database;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::http;
use crate::miner::Miner;
use crate::node::{Chain, Node, text};
use crate::poll::{until, until_true};
use crate::pool::{Pool, SNAPSHOT_LIMIT};
use crate::ports;
use crate::prometheus::{Format, parse};
use crate::settings::{MINER_ADDRESS, Settings};
use crate::stand_in::StandIn;

const SECRET: &str = "a secret of two";
const CHAT: &str = "4711";
const LIMIT: Duration = Duration::from_secs(20);
const DISK_LIMIT: Duration = Duration::from_secs(5);
/// Of what is not to come: longer than a snapshot, a save and the first retries take.
const SILENCE: Duration = Duration::from_secs(4);
const UNTOLD: &str = "nobody has been told of a found block, the next start tells";
const SERVICES: [&str; 3] = ["webhook", "ntfy", "telegram"];
/// What the paths of their requests begin with.
const PATHS: [&str; 3] = ["/webhook", "/my-pool", "/bot"];

fn start(flags: &[&str]) -> StandIn {
    let usual = ["--ntfy-token", "tk_x", "--chat-id", CHAT];
    StandIn::start("inbox.mjs", &[&usual, flags].concat())
}

/// A pool that tells all three.
fn settings(node: &Node, inbox: &StandIn) -> Settings {
    let mut settings = Settings::of(node);
    settings.services = format!(
        "[webhook]\nurl = \"{}/pool\"\n[ntfy]\nurl = \"{}/my-pool\"\n\
         [telegram]\nchat_id = \"{}\"\napi_url = \"{}\"\n",
        inbox.shown("webhook"),
        inbox.shown("ntfy"),
        CHAT,
        inbox.shown("telegram"),
    );
    if let Some(authority) = inbox.authority() {
        settings.environment.push(("SSL_CERT_FILE", authority));
    }
    settings.secrets = format!(
        "webhook_secret = \"{SECRET}\"\nntfy_token = \"tk_x\"\ntelegram_token = \"{}\"\n",
        inbox.shown("bot_token"),
    );
    settings
}

/// What has been taken so far, by service; waits until there are so many of each.
#[track_caller]
fn inbox_of(
    inbox: &StandIn,
    count_of: impl Fn(&str) -> usize,
) -> BTreeMap<&'static str, Vec<Value>> {
    let of = |service: &'static str| {
        let count = count_of(service);
        let query = format!("inbox?service={service}&count={count}&seconds=25");
        (service, list(&inbox.ask("GET", &query, &Value::Null)))
    };
    SERVICES.map(of).into_iter().collect()
}

#[track_caller]
fn counts(inbox: &StandIn, count_of: impl Fn(&str) -> usize) {
    for (service, taken) in inbox_of(inbox, &count_of) {
        assert_eq!(taken.len(), count_of(service), "{service}: {taken:#?}");
    }
}

/// The block that a webhook tells of.
fn block_of(taken: &Value) -> String {
    text(&taken["body"]["hash"])
}

#[track_caller]
fn check_signature(taken: &Value) {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key");
    mac.update(text(&taken["text"]).as_bytes());
    let expected = format!("sha256={}", const_hex::encode(mac.finalize().into_bytes()));
    assert_eq!(taken["headers"]["x-gopool-signature"], expected);
}

/// Regtest makes a block of nearly anything; the node takes a second to hand out work on it.
#[track_caller]
fn find_block(node: &Node, miner: &mut Miner) -> String {
    let job = miner.job_on(&node.best_block_hash());
    let hash = miner.mine_block_of(&job);
    node.await_tip(&hash, LIMIT);
    hash
}

fn scene() -> Node {
    let node = Node::new(Chain::Regtest);
    node.mine_to(MINER_ADDRESS, 1);
    node
}

#[test]
fn a_found_block_reaches_everybody_once_and_a_restart_repeats_nothing() {
    let mut node = scene();
    let inbox = start(&["--tls"]);
    let mut pool = Pool::start(settings(&node, &inbox));
    let worker = format!("{MINER_ADDRESS}.rig");
    let mut miner = Miner::join(pool.stratum(), &worker);
    let hash = find_block(&node, &mut miner);
    let height = node.block(&hash)["height"].as_u64().expect("a height");
    let taken = inbox_of(&inbox, |_| 1);
    let webhook = &taken["webhook"][0];
    check_signature(webhook);
    let body = &webhook["body"];
    let shortened = format!("{}...{}.rig", &MINER_ADDRESS[..8], &MINER_ADDRESS[26..]);
    assert_eq!((&body["event"], &body["pool"]), (&json!("block_found"), &json!("goPool")));
    assert_eq!((&body["height"], &body["hash"]), (&json!(height), &json!(hash)));
    assert_eq!(body["worker"], shortened);
    let headers = &webhook["headers"];
    assert_eq!(headers["x-gopool-event"], "block_found");
    assert_eq!(headers["x-gopool-delivery"], body["id"]);
    let title = format!("[goPool] Block {height} found");
    assert_eq!(taken["ntfy"][0]["title"], title);
    assert!(text(&taken["ntfy"][0]["message"]).contains(&shortened));
    assert!(text(&taken["telegram"][0]["text"]).starts_with(&title));

    pool.terminate();
    let mut pool = pool.relaunch();
    pool.stratum();
    std::thread::sleep(SILENCE);
    counts(&inbox, |_| 1);

    // One that the node takes only after the pool has been killed and come back.
    let mut miner = Miner::join(pool.stratum(), &worker);
    miner.job_on(&node.best_block_hash());
    node.crash();
    let hash = miner.mine_block();
    pool.await_on_disk(&hash, DISK_LIMIT);
    pool.kill();
    node.start();
    let pool = pool.relaunch();
    node.await_tip(&hash, Duration::from_secs(40));
    let taken = inbox_of(&inbox, |_| 2);
    assert_eq!(block_of(&taken["webhook"][1]), hash);
    std::thread::sleep(SILENCE);
    counts(&inbox, |_| 2);
    drop(pool);
}

#[test]
fn what_is_said_follows_the_files() {
    let node = scene();
    let inbox = start(&[]);
    let mut settings = settings(&node, &inbox);
    let pool = Pool::start(settings.clone());
    let mut miner = Miner::join(pool.stratum(), MINER_ADDRESS);
    settings.pooltag_prefix = "renamed";
    settings.write(pool.folder());
    let length = pool.log_length();
    pool.signal(libc::SIGUSR2);
    pool.await_log_after(length, "configuration reloaded", &[]);
    find_block(&node, &mut miner);
    let taken = inbox_of(&inbox, |_| 1);
    assert_eq!(taken["webhook"][0]["body"]["pool"], "renamed-goPool");
    assert!(text(&taken["ntfy"][0]["title"]).starts_with("[renamed-goPool] "));
}

/// What goes wrong, and whether the same notice may be there twice then: whoever has taken it and could
/// not say so is told again, with the same number.
const FAULTS: &[(&str, bool)] = &[
    (r#"{"kind":"refuse","times":3}"#, false),
    (r#"{"kind":"reset","times":3}"#, false),
    (r#"{"kind":"status","status":500,"times":6}"#, false),
    (r#"{"kind":"status","status":429,"retry_after":2,"times":3}"#, false),
    (r#"{"kind":"slow","seconds":2,"times":3}"#, false),
    (r#"{"kind":"drip","seconds":2,"times":3}"#, false),
    (r#"{"kind":"half","times":3}"#, true),
    (r#"{"kind":"reset","after_work":true,"times":3}"#, true),
];

#[test]
fn whatever_goes_wrong_on_the_way_everybody_is_told() {
    let node = scene();
    let inbox = start(&[]);
    let mut pool = Pool::start(settings(&node, &inbox));
    let mut miner = Miner::join(pool.stratum(), MINER_ADDRESS);
    for (fault, may_repeat) in FAULTS {
        afresh(&inbox);
        // Each of the three meets it as often.
        let fault: Value = serde_json::from_str(fault).expect("JSON");
        for prefix in PATHS {
            let mut one = fault.clone();
            one["match"] = json!(prefix);
            one["times"] = json!(fault["times"].as_u64().expect("times") / 3);
            inbox.fault(&one);
        }
        let hash = find_block(&node, &mut miner);
        let copies = if *may_repeat { 2 } else { 1 };
        // Of a webhook's answer the head is enough.
        let copies_of = |service: &str| {
            if (service, &fault["kind"]) == ("webhook", &json!("half")) { 1 } else { copies }
        };
        let taken = inbox_of(&inbox, copies_of);
        let mut ids: Vec<String> =
            taken["webhook"].iter().map(|one| text(&one["body"]["id"])).collect();
        ids.dedup();
        assert_eq!(ids.len(), 1, "{fault}: one number for all tries");
        for one in &taken["webhook"] {
            assert_eq!(block_of(one), hash, "{fault}");
            check_signature(one);
        }
        if fault["status"] == 429 {
            for (first, second) in PATHS.map(|path| tries(&inbox, path)) {
                assert!(second - first >= 1990, "asked to wait two seconds: {first} {second}");
            }
        }
        std::thread::sleep(Duration::from_millis(1500));
        counts(&inbox, copies_of);
    }
    // What answers is not the service, such as a hotel's page to sign in; a webhook cannot know.
    afresh(&inbox);
    for prefix in ["/my-pool", "/bot"] {
        inbox.fault(&json!({"match": prefix, "kind": "text", "times": 1}));
    }
    find_block(&node, &mut miner);
    counts(&inbox, |_| 1);
    // Gone, and back.
    afresh(&inbox);
    inbox.ask("POST", "close", &json!({"seconds": 3}));
    find_block(&node, &mut miner);
    counts(&inbox, |_| 1);
    // Silence: a try ends by itself.
    afresh(&inbox);
    for prefix in PATHS {
        inbox.fault(&json!({"match": prefix, "kind": "hang", "times": 1}));
    }
    find_block(&node, &mut miner);
    counts(&inbox, |_| 1);

    let blocks = FAULTS.len() as f64 + 3.0;
    for (channel, result, value) in [
        ("webhook", "delivered", blocks),
        ("ntfy", "delivered", blocks),
        ("telegram", "delivered", blocks),
        ("webhook", "dropped", 0.0),
    ] {
        until_true(&format!("{channel} {result}: {value}"), SNAPSHOT_LIMIT, || {
            metric(&pool, channel, result) == Some(value)
        });
    }
    // One line for each kind of failure, however often it happened, and none tells a secret.
    let said = pool.lines_after(0);
    for service in SERVICES {
        let kind = format!("kind={service}");
        let complaints: Vec<&String> = said
            .iter()
            .filter(|line| line.contains("notice not delivered") && line.contains(&kind))
            .collect();
        let mut reasons: Vec<&str> =
            complaints.iter().filter_map(|line| line.split("error=").nth(1)).collect();
        reasons.sort_unstable();
        let count = reasons.len();
        reasons.dedup();
        assert_eq!(reasons.len(), count, "{complaints:#?}");
        assert!((4..=10).contains(&count), "{complaints:#?}");
    }
    assert!(said.iter().any(|line| line.contains("notices are delivered again")));
    let token = inbox.shown("bot_token");
    assert!(!said.iter().any(|line| line.contains(token) || line.contains(SECRET)));
    let began = Instant::now();
    assert!(pool.terminate().success());
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

/// Somebody has to mend something first: it is not tried again at once, and a pool that stops tries
/// once more.
#[test]
fn a_block_that_is_refused_is_not_lost() {
    let node = scene();
    let inbox = start(&[]);
    let mut pool = Pool::start(settings(&node, &inbox));
    let mut miner = Miner::join(pool.stratum(), MINER_ADDRESS);
    for prefix in PATHS {
        inbox.fault(&json!({"match": prefix, "kind": "status", "status": 401, "times": 1}));
    }
    find_block(&node, &mut miner);
    for service in SERVICES {
        let kind = format!("kind={service}");
        let line = pool.await_log("notice not delivered", &[&kind], LIMIT);
        assert!(line.contains("401") && line.contains("retry_seconds=300"), "{line}");
    }
    std::thread::sleep(SILENCE);
    counts(&inbox, |_| 0);
    pool.terminate();
    counts(&inbox, |_| 1);
}

/// Killed while nobody takes it, and stopped in order: the next process tells, once, and with the same number.
#[test]
fn what_one_process_cannot_tell_the_next_one_does() {
    let node = scene();
    let inbox = start(&[]);
    let mut pool = Pool::start(settings(&node, &inbox));
    for is_killed in [true, false] {
        afresh(&inbox);
        for prefix in PATHS {
            inbox.fault(&json!({"match": prefix, "kind": "status", "status": 503}));
        }
        let mut miner = Miner::join(pool.stratum(), MINER_ADDRESS);
        let hash = find_block(&node, &mut miner);
        for path in PATHS {
            tries(&inbox, path);
        }
        let id = text(&inbox.seen(PATHS[0])[0]["headers"]["x-gopool-delivery"]);
        if is_killed {
            pool.await_on_disk(&id, DISK_LIMIT);
            pool.kill();
        } else {
            pool.terminate();
            for service in SERVICES {
                pool.await_log(UNTOLD, &[&format!("kind={service}")], LIMIT);
            }
        }
        inbox.mend();
        pool = pool.relaunch();
        pool.await_log("found blocks are told of", &["untold_blocks=3"], LIMIT);
        let taken = inbox_of(&inbox, |_| 1);
        let webhook = &taken["webhook"][0];
        assert_eq!((block_of(webhook), text(&webhook["body"]["id"])), (hash, id));
        // And is not told again by the one after it.
        pool.terminate();
        pool = pool.relaunch();
        pool.await_log("found blocks are told of", &["untold_blocks=0"], LIMIT);
    }
    std::thread::sleep(SILENCE);
    counts(&inbox, |_| 1);
}

/// Nobody has signed its certificate whom the machine trusts; somebody else's port; and a name that is
/// none. Mining goes on, the pool stops in time.
#[test]
fn a_place_that_cannot_be_trusted_or_reached_is_told_nothing() {
    let node = scene();
    let inbox = start(&["--tls"]);
    let mut settings = settings(&node, &inbox);
    settings.environment.clear();
    settings.services = format!(
        "[webhook]\nurl = \"{}/pool\"\n[ntfy]\nurl = \"http://127.0.0.1:{}/x\"\n\
         [telegram]\nchat_id = \"1\"\napi_url = \"http://localhost:1\"\n",
        inbox.shown("webhook"),
        ports::free(),
    );
    let mut pool = Pool::start(settings);
    let mut miner = Miner::join(pool.stratum(), MINER_ADDRESS);
    let hash = find_block(&node, &mut miner);
    let line = pool.await_log("notice not delivered", &["kind=webhook"], LIMIT);
    assert!(line.contains("certificate"), "{line}");
    for kind in ["kind=ntfy", "kind=telegram"] {
        pool.await_log("notice not delivered", &[kind], LIMIT);
    }
    counts(&inbox, |_| 0);
    assert_eq!(inbox.seen("/webhook").len(), 0);
    find_block(&node, &mut miner);
    let began = Instant::now();
    assert!(pool.terminate().success());
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let hash = format!("hash={hash}");
    pool.await_log(UNTOLD, &["kind=webhook", &hash], LIMIT);
}

/// Each step waits for two looks of the watcher, half a minute apart.
#[test]
#[ignore = "takes eight minutes: nobody is missed in the first five"]
fn a_worker_that_goes_and_comes_back_is_told_of() {
    const WATCHING: Duration = Duration::from_secs(330);
    let node = scene();
    let inbox = start(&[]);
    let mut settings = settings(&node, &inbox);
    settings.services += "[discord]\nworker_notify_threshold_seconds = 2\n";
    settings.flags = &["-saved-workers-local-noauth"];
    // The miner says nothing meanwhile.
    settings.idle_seconds = 3600;
    let mut pool = Pool::start(settings);
    let worker = format!("{MINER_ADDRESS}.rig");
    let miner = Miner::join(pool.stratum(), &worker);
    let origin = format!("http://{}", pool.http_address());
    let (headers, body) = ([("Origin", &*origin)], format!("worker={worker}"));
    let saved = http::exchange(pool.http_address(), "POST", "/worker/save", &headers, &body, LIMIT);
    assert_eq!(saved.expect("an answer").status, 303);
    let hears = |count: usize, limit: Duration| -> Value {
        until(&format!("{count} webhooks"), limit, || {
            let taken = list(&inbox.ask("GET", "inbox?service=webhook", &Value::Null));
            assert!(taken.len() <= count, "{taken:#?}");
            (taken.len() == count).then(|| taken[count - 1]["body"].clone())
        })
    };
    assert_eq!(hears(1, WATCHING)["event"], "watching");
    std::thread::sleep(Duration::from_secs(35));
    miner.leave();
    let away = hears(2, Duration::from_secs(90));
    assert_eq!((&away["event"], &away["threshold_seconds"]), (&json!("worker_offline"), &json!(2)));
    assert!(text(&away["workers"][0]["name"]).ends_with(".rig"), "{away}");
    let _miner = Miner::join(pool.stratum(), &worker);
    assert_eq!(hears(3, Duration::from_secs(90))["event"], "worker_recovered");
    counts(&inbox, |_| 3);
    pool.terminate();
    let database = Database::open(pool.folder().join("state/workers.db")).expect("it is there");
    let row: (String, bool, bool) = database
        .query_row(
            "SELECT user_id, online, recovery_notified FROM discord_worker_state",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .expect("one row");
    assert_eq!(row, ("local-noauth".to_owned(), true, true));
}

/// Without a place nothing runs that could send anything.
#[test]
fn nobody_is_told_anything_unless_somebody_says_where() {
    let node = scene();
    let pool = Pool::for_node(&node);
    let mut miner = Miner::join(pool.stratum(), MINER_ADDRESS);
    find_block(&node, &mut miner);
    let folder = format!("/proc/{}/task", pool.process_id());
    let tasks = fs::read_dir(folder).expect("its threads").flatten();
    let names: Vec<String> = tasks
        .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .collect();
    for name in ["watcher", "probe", "webhook", "ntfy", "telegram"] {
        assert!(!names.iter().any(|running| running == name), "{names:?}");
    }
    assert_eq!(metric(&pool, "webhook", "delivered"), None);
}

#[track_caller]
fn list(answer: &Value) -> Vec<Value> {
    answer.as_array().unwrap_or_else(|| panic!("no list: {answer}")).clone()
}

fn afresh(inbox: &StandIn) {
    for name in ["inbox", "seen", "fault"] {
        inbox.ask("DELETE", name, &Value::Null);
    }
}

/// When the first two requests came, in milliseconds.
#[track_caller]
fn tries(inbox: &StandIn, path: &str) -> (i64, i64) {
    let query = format!("seen?match={path}&count=2&seconds=20");
    let seen = list(&inbox.ask("GET", &query, &Value::Null));
    let at = |number: usize| seen[number]["at_ms"].as_i64().expect("a time");
    (at(0), at(1))
}

fn metric(pool: &Pool, channel: &str, result: &str) -> Option<f64> {
    let response = pool.get("/metrics", &[]);
    let samples = parse(&response.body, Format::Text).expect("metrics");
    let of_channel = samples.into_iter().filter(|sample| sample.name == "gopool_notices_total");
    let mut wanted = of_channel
        .filter(|sample| sample.labels["channel"] == channel && sample.labels["result"] == result);
    wanted.next().map(|sample| sample.value)
}
