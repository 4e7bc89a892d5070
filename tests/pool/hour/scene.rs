//! A pool that uses everything there is, those who are around it, and how they go away.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use super::{LIMIT, OLD_PRICE, PLACES};
use crate::http::{self, Response};
use crate::miner::Miner;
use crate::node::{Chain, Node, text};
use crate::poll::until_true;
use crate::pool::Pool;
use crate::settings::{MINER_ADDRESS, Settings};
use crate::stand_in::StandIn;

const USER: &str = "1180000000000000077";
const CHAT: &str = "4711";
const JWKS: &str = "/.well-known/jwks.json";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Away {
    /// Nobody listens: connections are refused, and the pool takes itself for cut off.
    Gone,
    /// Connections are taken, and nothing is ever said.
    Silent,
}

/// A pool that uses everything there is, and somebody who is signed in, linked, and has saved workers.
pub struct Scene {
    pub pool: Pool,
    pub node: Node,
    pub b2: StandIn,
    pub clerk: StandIn,
    pub discord: StandIn,
    pub inbox: StandIn,
    pub cookie: String,
}

pub fn rig(name: &str) -> String {
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
    pub fn new() -> Self {
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

    pub fn price(&self) -> Option<u64> {
        let overview: Value =
            serde_json::from_str(&self.pool.get("/api/overview", &[]).body).ok()?;
        overview["btc_price_fiat"].as_f64().map(|price| price as u64)
    }

    /// A block is found; its height.
    #[track_caller]
    pub fn find_block(&self, miner: &mut Miner) -> u64 {
        let job = miner.job_on(&self.node.best_block_hash());
        let hash = miner.mine_block_of(&job);
        self.node.await_tip(&hash, LIMIT);
        self.node.height()
    }

    fn local(&self) -> PathBuf {
        self.pool.folder().join("state/workers.db.bak")
    }

    /// The newest version in the bucket is the copy on this machine.
    pub fn is_uploaded(&self) -> bool {
        let versions = self.b2.list("files");
        let here = const_hex::encode(Sha1::digest(fs::read(self.local()).unwrap_or_default()));
        versions.last().is_some_and(|newest| newest["sha1"] == here)
    }

    /// What has been said in a place so far, as whole texts.
    pub fn said(&self, place: &str) -> Vec<String> {
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
    pub fn count(&self, place: &str, words: &[&str]) -> usize {
        let said = self.said(place);
        let lines = said.iter().flat_map(|text| text.split('\n'));
        lines.filter(|line| words.iter().all(|word| line.contains(word))).count()
    }

    /// Everybody is told of these blocks, each once.
    #[track_caller]
    pub fn await_blocks(&self, heights: &[u64], limit: Duration) {
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
    pub fn check_secrets(&self) {
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

    pub fn go_away(&self, how: Away, duration: Duration) {
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

    pub fn come_back(&self, how: Away) {
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
