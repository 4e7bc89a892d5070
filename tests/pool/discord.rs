//! People on Discord: they link their accounts, and are told of workers and blocks once, whatever
//! happens on the way.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http;
use crate::miner::Miner;
use crate::node::{Chain, Node, text};
use crate::poll::{until, until_true};
use crate::pool::Pool;
use crate::settings::{MINER_ADDRESS, Settings};
use crate::stand_in::StandIn;

const LIMIT: Duration = Duration::from_secs(10);
/// A message may have to wait for the one before, and for a try that came to nothing.
const SENT_LIMIT: Duration = Duration::from_secs(60);
const SOMEBODY: &str = "1180000000000000077";
const CONNECTED: &str = "connected to Discord";
const AGAIN: &str = "connected to Discord again";
const FIELDS: &[&str] = &["component=discord"];

/// A pool with Discord beside it.
struct Scene {
    // Dropped in this order: the pool says good-bye to those who are there.
    pool: Pool,
    node: Node,
    discord: StandIn,
}

fn settings(node: &Node, discord: &StandIn, token: &str) -> Settings {
    let mut settings = Settings::of(node);
    settings.flags = &["-saved-workers-local-noauth"];
    settings.services = format!(
        "[discord]\ndiscord_server_id = {:?}\ndiscord_notify_channel_id = {:?}\napi_url = {:?}\n\
         worker_notify_threshold_seconds = 7200\n",
        discord.shown("server_id"),
        discord.shown("channel_id"),
        discord.shown("api"),
    );
    settings.secrets = format!("discord_token = {token:?}\n");
    settings
}

impl Scene {
    fn new() -> Self {
        let discord = StandIn::start("discord.mjs", &[]);
        // Discord's own three seconds are short for a machine that is busy with other tests.
        discord.ask("POST", "settings", &json!({ "answer_ms": 30_000 }));
        let node = Node::new(Chain::Regtest);
        node.mine_to(MINER_ADDRESS, 1);
        let pool = Pool::start(settings(&node, &discord, discord.shown("token")));
        pool.await_log(CONNECTED, FIELDS, LIMIT);
        Self { pool, node, discord }
    }

    fn post(&self, path: &str, body: &str) -> http::Response {
        let origin = format!("http://{}", self.pool.http_address());
        let headers = [("Origin", &*origin)];
        http::exchange(self.pool.http_address(), "POST", path, &headers, body, LIMIT)
            .expect("an answer")
    }

    fn code(&self) -> String {
        let made = self.post("/api/saved-workers/one-time-code", "");
        let made: Value = serde_json::from_str(&made.body).expect("a code");
        text(&made["code"])
    }

    /// Uses a command; what Discord is answered comes back.
    #[track_caller]
    fn command(&self, name: &str, code: Option<&str>) -> String {
        let options = code.map_or(json!({}), |code| json!({ "code": code }));
        let asked = json!({ "name": name, "options": options, "user": { "id": SOMEBODY } });
        let id = self.discord.ask("POST", "interaction", &asked)["id"].clone();
        until(&format!("an answer to /{name}"), LIMIT, || {
            let all = self.discord.list("interactions");
            let one = all.into_iter().find(|one| one["id"] == id)?;
            let answer = &one["answer"];
            if answer.is_null() {
                return None;
            }
            assert_eq!((&answer["type"], &answer["data"]["flags"]), (&json!(4), &json!(64)));
            Some(text(&answer["data"]["content"]))
        })
    }

    fn link(&self) {
        let told = self.command("notify", Some(&self.code()));
        assert!(told.starts_with("Linked."), "{told}");
    }

    /// Whether the user is linked, and wants to hear.
    fn flags(&self) -> [bool; 2] {
        let list = self.pool.get("/api/saved-workers", &[]);
        let list: Value = serde_json::from_str(&list.body).expect("JSON");
        ["discord_registered", "discord_notify_enabled"].map(|name| list[name] == true)
    }

    fn messages(&self) -> Vec<Value> {
        self.discord.list("messages")
    }

    /// What stands in the message about a block, once there is one.
    #[track_caller]
    fn await_message(&self, height: u64) -> Value {
        let words = format!("Block {height} found");
        until(&words, SENT_LIMIT, || {
            let messages = self.messages();
            messages.into_iter().find(|it| text(&it["content"]).contains(&words))
        })
    }

    fn mine(&self) -> u64 {
        let mut miner = Miner::join(self.pool.stratum(), &format!("{MINER_ADDRESS}.rig_1"));
        let hash = miner.mine_block();
        self.pool.await_found(&hash);
        self.node.await_tip(&hash, LIMIT);
        self.node.height()
    }
}

/// So many requests whose paths begin so, waited for.
#[track_caller]
fn requests(discord: &StandIn, path: &str, count: usize) -> Vec<Value> {
    discord.list(&format!("seen?match={path}&count={count}&seconds=25"))
}

#[test]
fn somebody_links_with_a_code_and_is_told_no_more_after_stop() {
    let scene = Scene::new();
    let identify = scene.discord.list("frames?op=2&count=1");
    assert_eq!((identify.len(), &identify[0]["d"]["intents"]), (1, &json!(1)));
    let names = until("the commands", LIMIT, || {
        let commands = scene.discord.list("commands");
        let names: Vec<String> = commands.iter().map(|one| text(&one["name"])).collect();
        (!names.is_empty()).then_some(names)
    });
    assert_eq!(names, ["notify", "notify-stop"]);
    assert_eq!(scene.flags(), [false, false]);
    assert_eq!(scene.post("/api/discord/notify-enabled", "enabled=1").status, 404);
    assert!(
        scene.command("notify", Some("ABCD-no-such-code-here")).contains("wrong or has expired")
    );
    let code = scene.code();
    let told = scene.command("notify", Some(&code));
    assert!(told.starts_with("Linked.") && told.contains("offline for 2h"), "{told}");
    assert_eq!(scene.flags(), [true, true]);
    assert!(scene.command("notify", Some(&code)).contains("wrong or has expired"));
    assert!(scene.command("notify-stop", None).contains("not told"));
    assert_eq!(scene.flags(), [true, false]);
    assert_eq!(scene.post("/api/discord/notify-enabled", "enabled=on").status, 200);
    assert_eq!(scene.flags(), [true, true]);
    // Commands of another server, and of nobody's, are not answered.
    for server in [json!("1180000000000000999"), Value::Null] {
        let asked =
            json!({ "name": "notify-stop", "guild_id": server, "user": { "id": SOMEBODY } });
        scene.discord.ask("POST", "interaction", &asked);
    }
    assert!(scene.command("notify-stop", None).contains("not told"));
    let all = scene.discord.list("interactions");
    let unanswered = all.iter().filter(|one| one["answer"].is_null()).count();
    assert_eq!(unanswered, 2);
    // Linked is linked, after the pool was killed too.
    let Scene { pool, node: _node, discord } = scene;
    let pool = pool.relaunch();
    pool.await_log(CONNECTED, FIELDS, LIMIT);
    let list = pool.get("/api/saved-workers", &[]).body;
    assert!(list.contains(r#""discord_registered":true,"discord_notify_enabled":false"#), "{list}");
    drop(discord);
}

#[test]
fn a_found_block_is_announced_once_though_an_answer_is_lost_and_the_pool_starts_again() {
    let scene = Scene::new();
    scene.link();
    scene.post("/worker/save", &format!("worker={MINER_ADDRESS}.rig_1"));
    let path = "/api/v10/channels";
    let lost = json!({ "match": path, "kind": "reset", "after_work": true, "times": 1 });
    scene.discord.fault(&lost);
    let height = scene.mine();
    let message = scene.await_message(height);
    let content = text(&message["content"]);
    assert!(content.starts_with("@everyone [") && content.contains(".rig\\_1 <t:"), "{content}");
    assert!(content.contains(&format!("<@{SOMEBODY}> ")), "{content}");
    assert_eq!(message["mention_everyone"], true);
    assert_eq!(message["mentions"][0]["id"], SOMEBODY);
    // It is sent again, and taken once.
    assert_eq!(requests(&scene.discord, path, 2).len(), 2);
    assert_eq!(scene.messages().len(), 1);
    let Scene { pool, node, discord } = scene;
    let mut pool = pool;
    pool.terminate();
    let pool = pool.relaunch();
    pool.stratum();
    pool.await_log(CONNECTED, FIELDS, LIMIT);
    let scene = Scene { pool, node, discord };
    let next = scene.mine();
    scene.await_message(next);
    assert_eq!(scene.messages().len(), 2, "the old one is not told again");
}

#[test]
fn nothing_is_lost_while_the_gateway_is_away() {
    let scene = Scene::new();
    scene.link();
    // Cut off, and a command is used before anybody is back.
    scene.discord.ask("POST", "drop", &json!({}));
    assert!(scene.command("notify-stop", None).contains("not told"));
    let resumed = scene.discord.list("frames?op=6&count=1");
    assert_eq!((resumed.len(), text(&resumed[0]["path"])), (1, "/resume".to_owned()));
    assert_eq!(scene.discord.list("frames?op=2").len(), 1, "no new session");
    scene.pool.await_log(AGAIN, FIELDS, LIMIT);
    // All of Discord is away, while a block is found.
    scene.discord.ask("POST", "close", &json!({ "seconds": 8 }));
    let skip = scene.pool.log_length();
    let height = scene.mine();
    scene.await_message(height);
    assert_eq!(scene.messages().len(), 1);
    scene.pool.await_log_after(skip, AGAIN, FIELDS);
    assert!(scene.command("notify-stop", None).contains("not told"));
}

#[test]
fn a_gateway_that_answers_no_heartbeat_is_left_and_one_that_knows_us_no_more_begins_anew() {
    let discord = StandIn::start("discord.mjs", &[]);
    discord.ask("POST", "settings", &json!({ "heartbeat_ms": 1000 }));
    let node = Node::new(Chain::Regtest);
    let pool = Pool::start(settings(&node, &discord, discord.shown("token")));
    let beats = discord.list("frames?op=1&count=6&seconds=30");
    let at = |index: usize| beats[index]["at_ms"].as_f64().expect("a time");
    // Four waits, whatever the way of one of them took.
    assert!(at(5) - at(1) >= 3200.0, "{beats:?}");
    discord.ask("POST", "settings", &json!({ "acks": false }));
    assert_eq!(discord.list("frames?op=6&count=1&seconds=30").len(), 1);
    discord.ask("POST", "settings", &json!({ "acks": true }));
    pool.await_log(AGAIN, FIELDS, LIMIT);
    discord.ask("POST", "invalidate", &json!({ "resumable": false }));
    let begun = discord.list("frames?op=2&count=2&seconds=30");
    assert_eq!(begun.len(), 2, "a new session");
}

#[test]
fn all_of_it_goes_over_tls_with_whom_we_trust() {
    let discord = StandIn::start("discord.mjs", &["--tls"]);
    let node = Node::new(Chain::Regtest);
    let mut settings = settings(&node, &discord, discord.shown("token"));
    let stranger = Pool::start(settings.clone());
    let line = stranger.await_log("Discord cannot be reached", FIELDS, LIMIT);
    assert!(line.contains("certificate"), "{line}");
    drop(stranger);
    settings.environment.push(("SSL_CERT_FILE", discord.authority().expect("it has one")));
    let pool = Pool::start(settings);
    pool.await_log(CONNECTED, FIELDS, LIMIT);
    let scene = Scene { pool, node, discord };
    scene.link();
    let height = scene.mine();
    scene.await_message(height);
}

#[test]
fn who_asks_us_to_wait_is_not_asked_before() {
    let scene = Scene::new();
    let path = "/api/v10/channels";
    let slow =
        json!({ "match": path, "kind": "status", "status": 429, "retry_after": 13, "times": 1 });
    scene.discord.fault(&slow);
    let height = scene.mine();
    scene.await_message(height);
    let seen = requests(&scene.discord, path, 2);
    let at = |index: usize| seen[index]["at_ms"].as_f64().expect("a time");
    assert!(at(1) - at(0) >= 12_900.0, "{} ms", at(1) - at(0));
    assert_eq!((seen.len(), &seen[0]["status"], &seen[1]["status"]), (2, &json!(429), &json!(200)));
}

#[test]
fn a_wrong_token_is_said_once_and_the_pool_mines_on() {
    let discord = StandIn::start("discord.mjs", &[]);
    let node = Node::new(Chain::Regtest);
    let wrong = "a.very-secret.token";
    let mut pool = Pool::start(settings(&node, &discord, wrong));
    let line = pool.await_log("Discord lets us not in", FIELDS, LIMIT);
    assert!(line.contains("401"), "{line}");
    let hash = Miner::join(pool.stratum(), MINER_ADDRESS).mine_block();
    pool.await_found(&hash);
    assert_eq!(requests(&discord, "/api/v10/gateway", 1).len(), 1, "it is not tried again soon");
    pool.terminate();
    let said = pool.lines_after(0).join("\n");
    assert!(!said.contains(wrong), "{said}");
    assert_eq!(said.matches("Discord lets us not in").count(), 1);
}

/// What happens to the first question where the gateway is, and to the first message.
const FAULTS: [&str; 7] = [
    r#"{"kind":"refuse"}"#,
    r#"{"kind":"reset"}"#,
    r#"{"kind":"half"}"#,
    r#"{"kind":"status","status":500}"#,
    r#"{"kind":"text"}"#,
    r#"{"kind":"slow","seconds":2}"#,
    r#"{"kind":"drip","seconds":2}"#,
];

#[test]
fn whatever_goes_wrong_on_the_way_a_block_is_announced_once() {
    let node = Node::new(Chain::Regtest);
    node.mine_to(MINER_ADDRESS, 1);
    let channel = "/api/v10/channels";
    let scenes = FAULTS.map(|fault| {
        let discord = StandIn::start("discord.mjs", &[]);
        for path in ["/api/v10/gateway", channel] {
            let mut fault: Value = serde_json::from_str(fault).expect("JSON");
            (fault["match"], fault["times"]) = (json!(path), json!(1));
            discord.fault(&fault);
        }
        (Pool::start(settings(&node, &discord, discord.shown("token"))), discord, fault)
    });
    let heights = scenes.each_ref().map(|(pool, ..)| {
        pool.await_log(CONNECTED, FIELDS, SENT_LIMIT);
        let mut miner = Miner::join(pool.stratum(), MINER_ADDRESS);
        let job = miner.job_on(&node.best_block_hash());
        let hash = miner.mine_block_of(&job);
        node.await_tip(&hash, LIMIT);
        node.height()
    });
    for ((pool, discord, fault), height) in scenes.iter().zip(heights) {
        let words = format!("Block {height} found");
        let is_told = |message: &Value| text(&message["content"]).contains(&words);
        until_true(fault, SENT_LIMIT, || discord.list("messages").iter().any(is_told));
        let is_late = fault.contains("seconds");
        let tries = if is_late { 1 } else { 2 };
        assert_eq!(requests(discord, channel, tries).len(), tries, "{fault}");
        assert_eq!(discord.list("messages").len(), 1, "{fault}");
        let lines = pool.lines_after(0);
        for complaint in ["Discord cannot be reached", "a message is not taken yet"] {
            let said =
                lines.iter().filter(|line| line.contains("WARN") && line.contains(complaint));
            assert_eq!(said.count(), usize::from(!is_late), "{fault}: {complaint}");
        }
    }
}

#[test]
fn a_discord_that_hangs_holds_nobody_up() {
    let discord = StandIn::start("discord.mjs", &[]);
    discord.fault(&json!({ "match": "/api", "kind": "hang" }));
    let node = Node::new(Chain::Regtest);
    let mut pool = Pool::start(settings(&node, &discord, discord.shown("token")));
    let hash = Miner::join(pool.stratum(), MINER_ADDRESS).mine_block();
    pool.await_found(&hash);
    let stopping = Instant::now();
    assert!(pool.terminate().success());
    assert!(stopping.elapsed() < Duration::from_secs(15), "{:?}", stopping.elapsed());
    // What it could not tell the next process does, once.
    discord.mend();
    for untold in ["untold_blocks=1", "untold_blocks=0"] {
        pool = pool.relaunch();
        pool.await_log("found blocks are told of", &[untold], LIMIT);
        until_true("it is told", SENT_LIMIT, || discord.list("messages").len() == 1);
        pool.terminate();
    }
    assert!(text(&discord.list("messages")[0]["content"]).contains("Block 1 found"));
}
