//! Everything around the pool is away for an hour and comes back: nobody who mines or looks at a page
//! notices, the log stays short, and what there was to say and to keep is there afterwards, once.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use crate::http::{self, Response};
use crate::miner::Miner;
use crate::node::{Chain, Node, text};
use crate::poll::until_true;
use crate::pool::Pool;
use crate::settings::{MINER_ADDRESS, Settings};
use crate::stand_in::StandIn;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(30);
/// After the start, and after the pool was cut off: five minutes in which nobody is missed, and more.
const WARM_UP_LIMIT: Duration = Duration::from_secs(400);
/// Notices are tried every five minutes at the least, Discord's gateway and copies every ten.
const RETURN_LIMIT: Duration = Duration::from_secs(640);
/// The price may have half an hour between two tries.
const PRICE_LIMIT: Duration = Duration::from_secs(1900);
/// Of what is not to come.
const SILENCE: Duration = Duration::from_secs(15);
const USER: &str = "1180000000000000077";
const CHAT: &str = "4711";
const JWKS: &str = "/.well-known/jwks.json";
const OLD_PRICE: u64 = 50_000;
const NEW_PRICE: u64 = 60_000;
const PLACES: [&str; 3] = ["webhook", "ntfy", "telegram"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Away {
    /// Nobody listens: connections are refused, and the pool takes itself for cut off.
    Gone,
    /// Connections are taken, and nothing is ever said.
    Silent,
}

/// A pool that uses everything there is, and somebody who is signed in, linked, and has saved workers.
struct Scene {
    pool: Pool,
    node: Node,
    b2: StandIn,
    clerk: StandIn,
    discord: StandIn,
    inbox: StandIn,
    cookie: String,
}

fn rig(name: &str) -> String {
    format!("{MINER_ADDRESS}.{name}")
}

fn settings(node: &Node, [b2, clerk, discord, inbox]: [&StandIn; 4]) -> Settings {
    let mut settings = Settings::of(node);
    settings.fiat_currency = Some("usd");
    // Some miners only listen.
    settings.idle_seconds = 4 * 3600;
    settings.services = format!(
        "[auth]\nclerk_issuer_url = {:?}\nclerk_jwks_url = {:?}\nclerk_signin_url = {:?}\n\
         clerk_frontend_api_url = {:?}\nclerk_api_url = {:?}\n\
         [backblaze_backup]\nenabled = true\nbucket = {:?}\ninterval_seconds = 300\napi_url = {:?}\n\
         [discord]\ndiscord_server_id = {:?}\ndiscord_notify_channel_id = {:?}\napi_url = {:?}\n\
         worker_notify_threshold_seconds = 2\n\
         [price]\nenabled = true\nurl = \"{}/simple/price\"\n\
         [webhook]\nurl = \"{}/pool\"\n[ntfy]\nurl = \"{}/my-pool\"\n\
         [telegram]\nchat_id = \"{CHAT}\"\napi_url = {:?}\n",
        clerk.shown("issuer"),
        clerk.shown("jwks"),
        clerk.shown("sign_in"),
        clerk.shown("frontend_api"),
        clerk.shown("backend_api"),
        b2.shown("bucket"),
        b2.shown("realm"),
        discord.shown("server_id"),
        discord.shown("channel_id"),
        discord.shown("api"),
        inbox.shown("coingecko"),
        inbox.shown("webhook"),
        inbox.shown("ntfy"),
        inbox.shown("telegram"),
    );
    settings.secrets = format!(
        "clerk_secret_key = {:?}\nclerk_publishable_key = {:?}\nbackblaze_account_id = {:?}\n\
         backblaze_application_key = {:?}\ndiscord_token = {:?}\ntelegram_token = {:?}\n",
        clerk.shown("secret_key"),
        clerk.shown("publishable_key"),
        b2.shown("key_id"),
        b2.shown("key"),
        discord.shown("token"),
        inbox.shown("bot_token"),
    );
    settings
}

impl Scene {
    fn new() -> Self {
        let [b2, clerk, discord, inbox] =
            ["b2.mjs", "clerk.mjs", "discord.mjs", "inbox.mjs"].map(|name| {
                let flags: &[&str] = if name == "inbox.mjs" { &["--chat-id", CHAT] } else { &[] };
                StandIn::start(name, flags)
            });
        inbox.ask("POST", "price", &json!({ "usd": OLD_PRICE }));
        let node = Node::new(Chain::Regtest);
        node.mine_to(MINER_ADDRESS, 1);
        let pool = Pool::start(settings(&node, [&b2, &clerk, &discord, &inbox]));
        pool.await_log("people can sign in", &["component=clerk"], LIMIT);
        pool.await_log("connected to Discord", &["component=discord"], LIMIT);
        let token = clerk.ask("POST", "token", &json!({ "seconds": 4 * 3600 }));
        let cookie = format!("__session={}", text(&token["token"]));
        let scene = Self { pool, node, b2, clerk, discord, inbox, cookie };
        for name in ["stays", "returns", "leaves"] {
            let saved = scene.post("/worker/save", &format!("worker={}", rig(name)));
            assert_eq!(saved.status, 303);
        }
        scene.link();
        scene
    }

    fn services(&self) -> [&StandIn; 4] {
        [&self.b2, &self.clerk, &self.discord, &self.inbox]
    }

    fn post(&self, path: &str, body: &str) -> Response {
        let origin = format!("http://{}", self.pool.http_address());
        let headers = [("Origin", &*origin), ("Cookie", &*self.cookie)];
        let answer = http::exchange(self.pool.http_address(), "POST", path, &headers, body, LIMIT);
        answer.expect("an answer")
    }

    fn link(&self) {
        let made = self.post("/api/saved-workers/one-time-code", "").body;
        let made: Value = serde_json::from_str(&made).expect("a code");
        let asked = json!({ "name": "notify", "options": { "code": made["code"] }, "user": { "id": USER } });
        self.discord.ask("POST", "interaction", &asked);
        until_true("the account is linked", LIMIT, || {
            self.pool.logged("an account is linked", &[]).is_some()
        });
    }

    fn price(&self) -> Option<u64> {
        let overview: Value =
            serde_json::from_str(&self.pool.get("/api/overview", &[]).body).ok()?;
        overview["btc_price_fiat"].as_f64().map(|price| price as u64)
    }

    /// A block is found; its height.
    #[track_caller]
    fn find_block(&self, miner: &mut Miner) -> u64 {
        let job = miner.job_on(&self.node.best_block_hash());
        let hash = miner.mine_block_of(&job);
        self.node.await_tip(&hash, LIMIT);
        self.node.height()
    }

    fn local(&self) -> PathBuf {
        self.pool.folder().join("state/workers.db.bak")
    }

    /// The newest version in the bucket is the copy on this machine.
    fn is_uploaded(&self) -> bool {
        let versions = self.b2.list("files");
        let here = const_hex::encode(Sha1::digest(fs::read(self.local()).unwrap_or_default()));
        versions.last().is_some_and(|newest| newest["sha1"] == here)
    }

    /// What has been said in a place so far, as whole texts.
    fn said(&self, place: &str) -> Vec<String> {
        match place {
            "discord" => {
                self.discord.list("messages").iter().map(|it| text(&it["content"])).collect()
            }
            _ => {
                let taken = self.inbox.list(&format!("inbox?service={place}"));
                taken.iter().map(ToString::to_string).collect()
            }
        }
    }

    /// How often it has been said there.
    fn count(&self, place: &str, words: &[&str]) -> usize {
        let said = self.said(place);
        let lines = said.iter().flat_map(|text| text.split('\n'));
        lines.filter(|line| words.iter().all(|word| line.contains(word))).count()
    }

    /// Everybody is told of these blocks, each once.
    #[track_caller]
    fn await_blocks(&self, heights: &[u64], limit: Duration) {
        for place in PLACES.into_iter().chain(["discord"]) {
            for height in heights {
                let words = match place {
                    "webhook" => format!("\"height\":{height},"),
                    _ => format!("Block {height} found"),
                };
                until_true(&format!("{place}: {words}"), limit, || {
                    self.count(place, &[&words]) > 0
                });
                assert_eq!(self.count(place, &[&words]), 1, "{place}: {:#?}", self.said(place));
            }
        }
    }

    /// What stands in the log of people's names, tokens and keys.
    fn check_secrets(&self) {
        let secrets = [
            self.clerk.shown("secret_key"),
            self.b2.shown("key"),
            self.discord.shown("token"),
            self.inbox.shown("bot_token"),
        ];
        for line in self.pool.lines_after(0) {
            assert!(!secrets.iter().any(|secret| line.contains(secret)), "{line}");
        }
    }

    fn go_away(&self, how: Away, duration: Duration) {
        match how {
            Away::Gone => {
                for service in self.services() {
                    service.ask("POST", "close", &json!({ "seconds": duration.as_secs() }));
                }
            }
            Away::Silent => {
                for service in self.services() {
                    service.fault(&json!({ "match": "/", "kind": "hang" }));
                    service.ask("DELETE", "seen", &Value::Null);
                }
                self.discord.ask("POST", "drop", &json!({}));
            }
        }
    }

    fn come_back(&self, how: Away) {
        if how == Away::Silent {
            self.check_tries();
        }
        for service in self.services() {
            service.mend();
        }
    }

    /// How often each was tried in an hour in which it said nothing.
    fn check_tries(&self) {
        let tries = |service: &StandIn, path: &str| service.seen(path).len();
        let counts = [
            // From one second to five minutes, doubling, and ten seconds for each try.
            ("webhook", tries(&self.inbox, "/webhook"), 15..=25),
            ("ntfy", tries(&self.inbox, "/my-pool"), 15..=25),
            ("telegram", tries(&self.inbox, "/bot"), 15..=25),
            // Every thirty minutes; then a minute, two, four.
            ("price", tries(&self.inbox, "/api/v3/simple/price"), 4..=8),
            // Hourly; then half a minute, one, two.
            ("clerk", tries(&self.clerk, JWKS), 2..=5),
            ("b2", tries(&self.b2, "/b2api"), 10..=25),
            ("discord's gateway", tries(&self.discord, "/api/v10/gateway"), 6..=16),
            // Every ten seconds (§13.8), and ten for each try.
            ("discord's channel", tries(&self.discord, "/api/v10/channels"), 100..=365),
        ];
        eprintln!("tries in an hour: {counts:?}");
        for (name, count, allowed) in counts {
            assert!(allowed.contains(&count), "{name}: {count} tries, expected {allowed:?}");
        }
    }
}

/// How many warnings and errors each part has written.
fn complaints(lines: &[String]) -> Vec<(String, usize)> {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for line in lines.iter().filter(|line| line.contains("[WARN]") || line.contains("[ERROR]")) {
        let part = line.split("component=").nth(1).and_then(|rest| rest.split(' ').next());
        let part = part.unwrap_or("none");
        match counts.iter_mut().find(|(name, _)| name == part) {
            Some((_, count)) => *count += 1,
            None => counts.push((part.to_owned(), 1)),
        }
    }
    counts
}

fn an_hour(how: Away) {
    let scene = Scene::new();
    let stratum = scene.pool.stratum();
    let mut miner = Miner::join(stratum, &rig("stays"));
    let returning = Miner::join(stratum, &rig("returns"));
    let mut leaving = Some(Miner::join(stratum, &rig("leaves")));
    let mut heights = vec![scene.find_block(&mut miner)];
    scene.await_blocks(&heights, LIMIT);
    until_true("the price", LIMIT, || scene.price() == Some(OLD_PRICE));
    until_true("workers are watched", WARM_UP_LIMIT, || {
        scene.count("webhook", &["\"event\":\"watching\""]) == 1
    });
    until_true("the copy is in the bucket", WARM_UP_LIMIT, || scene.is_uploaded());
    // All three have been seen.
    sleep(Duration::from_secs(35));
    let (descriptors, bytes) = (scene.pool.descriptor_count(), scene.pool.resident_bytes());
    let skip = scene.pool.log_length();

    scene.go_away(how, HOUR);
    let began = Instant::now();
    let mut returning = Some(returning);
    let mut slowest = Duration::ZERO;
    for minute in 1..60 {
        sleep((began + minute * MINUTE).saturating_duration_since(Instant::now()));
        match minute {
            // Just after, halfway and just before.
            1 | 30 | 58 => heights.push(scene.find_block(&mut miner)),
            10 => returning.take().expect("it is here").leave(),
            40 => returning = Some(Miner::join(stratum, &rig("returns"))),
            50 => leaving.take().expect("it is here").leave(),
            _ => {}
        }
        let job = miner.job_on(&scene.node.best_block_hash());
        let share = miner.find_share(&job);
        assert!(miner.submit(&share).is_true(), "minute {minute}: a share is refused");
        for path in ["/", "/api/overview", "/server", "/api/saved-workers", "/saved-workers"] {
            let asked = Instant::now();
            let answer = scene.pool.get(path, &[("Cookie", &scene.cookie)]);
            assert_eq!(answer.status, 200, "minute {minute}: {path}");
            slowest = slowest.max(asked.elapsed());
        }
        assert_eq!(scene.price(), Some(OLD_PRICE), "minute {minute}: the last known");
    }
    let lines = scene.pool.lines_after(skip);
    let complaints = complaints(&lines);
    let after = (scene.pool.descriptor_count(), scene.pool.resident_bytes());
    eprintln!("{how:?}: {complaints:?}, {} lines; slowest page {slowest:?}", lines.len());
    eprintln!("{how:?}: descriptors and bytes {:?}, then {after:?}", (descriptors, bytes));
    for (part, count) in &complaints {
        let allowed = match &**part {
            // Each place every ten minutes, and once that all are cut off.
            "notices" => 3 * 6 + 1,
            // It has not been reached, or has broken off.
            "backup" => 2 * 6,
            "discord" => 4,
            "clerk" | "price" => 1,
            _ => 0,
        };
        assert!(*count <= allowed, "{how:?}: {part}: {count} complaints in an hour: {lines:#?}");
    }
    assert!(after.0 <= descriptors + 8, "{how:?}: {descriptors} descriptors, then {}", after.0);
    assert!(after.1 <= bytes + (32 << 20), "{how:?}: {bytes} bytes, then {}", after.1);

    sleep((began + HOUR).saturating_duration_since(Instant::now()));
    scene.inbox.ask("POST", "price", &json!({ "usd": NEW_PRICE }));
    scene.clerk.ask("POST", "rotate", &json!({ "keep": false }));
    scene.come_back(how);
    let back = Instant::now();
    scene.await_blocks(&heights, RETURN_LIMIT);
    eprintln!("{how:?}: blocks told of after {:?}", back.elapsed());
    until_true("the copy is in the bucket", RETURN_LIMIT, || scene.is_uploaded());
    eprintln!("{how:?}: uploaded after {:?}", back.elapsed());
    let versions = scene.b2.list("files");
    let mut sums: Vec<String> = versions.iter().map(|file| text(&file["sha1"])).collect();
    sums.sort_unstable();
    sums.dedup();
    assert_eq!(sums.len(), versions.len(), "the same is there twice: {versions:#?}");
    // A new key has come meanwhile, and the old one is withdrawn.
    let token = scene.clerk.ask("POST", "token", &json!({ "seconds": 4 * 3600 }));
    let cookie = format!("__session={}", text(&token["token"]));
    until_true("the new key is known", RETURN_LIMIT, || {
        scene.pool.get("/api/saved-workers", &[("Cookie", &cookie)]).status == 200
    });
    eprintln!("{how:?}: signed in after {:?}", back.elapsed());
    // Who has left is told of; who was back before anybody looked is not, if nobody did.
    until_true("who has left is told of", RETURN_LIMIT, || {
        scene.count("webhook", &["worker_offline", ".leaves"]) > 0
    });
    until_true("and on Discord", RETURN_LIMIT, || {
        scene.count("discord", &["offline for 2s", ".leaves"]) > 0
    });
    eprintln!("{how:?}: the worker told of after {:?}", back.elapsed());
    until_true("the new price", PRICE_LIMIT, || scene.price() == Some(NEW_PRICE));
    eprintln!("{how:?}: the price after {:?}", back.elapsed());
    scene.check_secrets();

    let check_all = |scene: &Scene| {
        scene.await_blocks(&heights, LIMIT);
        for place in PLACES.into_iter().chain(["discord"]) {
            let (away, back_online) = match place {
                "webhook" => ("worker_offline", "worker_recovered"),
                _ => ("offline", "back online"),
            };
            let came_back = usize::from(how == Away::Silent);
            let counts = [
                scene.count(place, &[away, ".leaves"]),
                scene.count(place, &[away, ".returns"]),
                scene.count(place, &[back_online, ".returns"]),
                scene.count(place, &[away, ".stays"]),
            ];
            eprintln!("{how:?}: {place}: {counts:?}");
            assert_eq!(counts[0], 1, "{place}: {:#?}", scene.said(place));
            assert!(counts[1] <= came_back, "{place}: {:#?}", scene.said(place));
            assert!(counts[2] <= came_back, "{place}: {:#?}", scene.said(place));
            assert_eq!(counts[3], 0, "{place}: {:#?}", scene.said(place));
        }
    };
    check_all(&scene);
    let Scene { mut pool, node, b2, clerk, discord, inbox, cookie } = scene;
    assert!(pool.terminate().success());
    let pool = pool.relaunch();
    pool.stratum();
    pool.await_log("connected to Discord", &["component=discord"], LIMIT);
    sleep(SILENCE);
    check_all(&Scene { pool, node, b2, clerk, discord, inbox, cookie });
}

#[test]
#[ignore = "takes an hour and a half: everybody is away for an hour"]
fn an_hour_without_anybody_costs_nothing_but_the_time() {
    an_hour(Away::Gone);
}

#[test]
#[ignore = "takes an hour and a half: everybody says nothing for an hour"]
fn an_hour_of_silence_costs_nothing_but_the_time() {
    an_hour(Away::Silent);
}
