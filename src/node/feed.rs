//! Where templates come from: refreshes, on a signal or every thirty seconds, and the long poll
//! (`mining.md` §2). Both run on threads of their own; what they find out goes to control.

use std::io;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, RecvTimeoutError, SendError, Sender, bounded};
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::{debug, warn};

use gopool_shards::work::address::Network;
use gopool_shards::work::header::{display_hex, hash_from_display_hex};
use gopool_shards::work::template::Template;

use super::rpc::{NodeError, Rpc};
use super::template::{RawTemplate, TemplateChecker, TemplateError};
use super::zmq;
use crate::snapshot::TipFigures;

/// How often a template is fetched although nothing has happened: it proves that the node lives.
pub const HEARTBEAT: Duration = Duration::from_secs(30);
/// All attempts of one refresh together.
const REFRESH_BUDGET: Duration = Duration::from_secs(20);
/// A long poll that has not returned by then is asked anew: its connection may be dead.
const LONG_POLL_MAX: Duration = Duration::from_secs(15 * 60);
const SHORT_CALL: Duration = Duration::from_secs(5);
const RETRY_DELAY_FIRST: Duration = Duration::from_secs(5);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(20);
/// While there is no work at all, waiting longer than this serves nobody.
const RETRY_DELAY_WITHOUT_JOB: Duration = Duration::from_secs(1);
/// Signals to refresh that wait for the one running; more would say the same.
const TRIGGER_QUEUE: usize = 4;

/// Why a template is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    NewBlock,
    Refresh,
}

/// What control hears from the node.
#[derive(Debug)]
pub enum NodeEvent {
    /// `getblockchaininfo.chain` and what the node knows of itself.
    Chain(ChainInfo),
    /// A sound template, not older than the one before.
    Template(Box<Template>),
    /// What kept the feed from getting one.
    FeedError(String),
    /// The newest block.
    Tip(TipFigures),
    RawBlock {
        arrived_at: SystemTime,
        bytes: usize,
        tip: Option<TipFigures>,
    },
    Zmq {
        address: String,
        up: bool,
    },
}

/// The part of `getblockchaininfo` that matters here.
#[derive(Clone, Debug, Deserialize)]
pub struct ChainInfo {
    pub chain: String,
    pub blocks: u64,
    pub headers: u64,
    #[serde(rename = "initialblockdownload")]
    pub is_initial_download: bool,
}

impl ChainInfo {
    /// The network its name stands for. Source: `ChainTypeToString` in Core's
    /// `src/util/chaintype.cpp`.
    pub fn network(&self) -> Option<Network> {
        match &*self.chain {
            "main" | "mainnet" | "" => Some(Network::Mainnet),
            "test" | "testnet" | "testnet3" | "testnet4" => Some(Network::Testnet),
            "signet" => Some(Network::Signet),
            "regtest" => Some(Network::Regtest),
            _ => None,
        }
    }
}

/// What the feed is told when it starts.
#[derive(Debug)]
pub struct FeedPlan {
    pub network: Network,
    pub zmq: Vec<zmq::Endpoint>,
}

/// Starts the feed's threads. They end with the process, or when `events` is dropped.
pub fn spawn(plan: FeedPlan, rpc: Arc<Rpc>, events: Sender<NodeEvent>) -> io::Result<()> {
    let (triggers, signals) = bounded(TRIGGER_QUEUE);
    let feed = Arc::new(Feed {
        rpc,
        rules: match plan.network {
            Network::Signet => json!(["segwit", "signet"]),
            _ => json!(["segwit"]),
        },
        gate: Mutex::default(),
        events: events.clone(),
        triggers: triggers.clone(),
    });
    for endpoint in plan.zmq {
        zmq::spawn(endpoint, triggers.clone(), events.clone())?;
    }
    let long_poll = Arc::clone(&feed);
    thread::Builder::new().name("refresh".into()).spawn(move || feed.refresh_loop(&signals))?;
    thread::Builder::new().name("long-poll".into()).spawn(move || long_poll.long_poll_loop())?;
    Ok(())
}

struct Feed {
    rpc: Arc<Rpc>,
    rules: Value,
    /// Templates pass one at a time, so control never sees an older one after a newer.
    gate: Mutex<Gate>,
    events: Sender<NodeEvent>,
    triggers: Sender<Trigger>,
}

#[derive(Default)]
struct Gate {
    checker: TemplateChecker,
    last: Option<Passed>,
    /// How many have passed.
    count: u64,
    /// The node's disconnects when its chain was last asked for.
    chain_known_at: Option<u64>,
}

/// What is remembered of the last template that passed.
struct Passed {
    prev_hash: [u8; 32],
    height: u64,
    curtime: u32,
}

/// Control has gone: the thread ends.
struct PoolGone;

impl<T> From<SendError<T>> for PoolGone {
    fn from(_: SendError<T>) -> Self {
        Self
    }
}

/// Why a template did not pass.
#[derive(Debug, thiserror::Error)]
enum FeedError {
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error("stale template: it builds on {found}, the newest block is {best}")]
    Stale { found: String, best: String },
}

impl Feed {
    fn refresh_loop(&self, signals: &Receiver<Trigger>) {
        let mut retry = RETRY_DELAY_FIRST;
        let mut wait = Duration::ZERO;
        let mut known_tip = None;
        loop {
            match signals.recv_timeout(wait) {
                // What has queued up meanwhile is answered by the same template.
                Ok(_) => while signals.try_recv().is_ok() {},
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let started = Instant::now();
            let done = match self.refresh() {
                Ok(()) => {
                    retry = RETRY_DELAY_FIRST;
                    wait = HEARTBEAT;
                    self.look_around(&mut known_tip)
                }
                Err(error) => {
                    warn!(component = "feed", %error, "no template");
                    let has_job = self.lock().last.is_some();
                    wait = if has_job { retry } else { RETRY_DELAY_WITHOUT_JOB };
                    retry = (retry * 2).min(RETRY_DELAY_MAX);
                    self.events.send(NodeEvent::FeedError(error.to_string())).map_err(Into::into)
                }
            };
            if done.is_err() {
                return;
            }
            debug!(component = "feed", elapsed_ms = started.elapsed().as_millis(), "refreshed");
        }
    }

    /// The chain first, whenever the node may be another than before: work of another chain must
    /// not reach a miner.
    fn refresh(&self) -> Result<(), FeedError> {
        let disconnects = self.rpc.disconnects();
        if self.lock().chain_known_at != Some(disconnects) {
            let info: ChainInfo = self.rpc.call("getblockchaininfo", &json!([]), REFRESH_BUDGET)?;
            let _ = self.events.send(NodeEvent::Chain(info));
            self.lock().chain_known_at = Some(disconnects);
        }
        let asked_after = self.lock().count;
        let request = json!([{"rules": self.rules, "capabilities": ["coinbase/append"]}]);
        let raw = self.rpc.call("getblocktemplate", &request, REFRESH_BUDGET)?;
        self.pass(raw, asked_after)
    }

    /// What is nice to know, once the work is out.
    fn look_around(&self, known_tip: &mut Option<[u8; 32]>) -> Result<(), PoolGone> {
        if let Ok(info) = self.rpc.call_once("getblockchaininfo", json!([]), SHORT_CALL) {
            self.events.send(NodeEvent::Chain(info))?;
        }
        let tip = self.lock().last.as_ref().map(|passed| passed.prev_hash);
        if let Some(hash) = tip
            && *known_tip != tip
            && let Ok(figures) = self.header_figures(&display_hex(&hash))
        {
            *known_tip = tip;
            self.events.send(NodeEvent::Tip(figures))?;
        }
        Ok(())
    }

    fn header_figures(&self, hash: &str) -> Result<TipFigures, NodeError> {
        #[derive(Deserialize)]
        struct Header {
            height: u64,
            time: u64,
            bits: String,
            difficulty: f64,
        }
        let header: Header =
            self.rpc.call_once("getblockheader", json!([hash, true]), SHORT_CALL)?;
        Ok(TipFigures {
            hash_hex: hash.to_owned(),
            height: header.height,
            time: SystemTime::UNIX_EPOCH + Duration::from_secs(header.time),
            bits_hex: header.bits,
            difficulty: header.difficulty,
        })
    }

    fn long_poll_loop(&self) {
        let mut retry = RETRY_DELAY_FIRST;
        let mut long_poll_id = None;
        loop {
            match self.long_poll(&mut long_poll_id) {
                Ok(()) => retry = RETRY_DELAY_FIRST,
                Err(error) => {
                    long_poll_id = None;
                    // The refresh loop sees the same trouble and reports it.
                    debug!(component = "feed", %error, "long poll failed");
                    let stale = matches!(error, FeedError::Stale { .. });
                    if stale && self.triggers.send(Trigger::Refresh).is_err() {
                        return;
                    }
                    thread::sleep(retry);
                    retry = (retry * 2).min(RETRY_DELAY_MAX);
                }
            }
        }
    }

    /// Waits for the node to have something new. The first time it asks for what there is, to
    /// learn the id that stands for it.
    fn long_poll(&self, long_poll_id: &mut Option<String>) -> Result<(), FeedError> {
        let mut request = json!({"rules": self.rules});
        let Some(id) = long_poll_id else {
            // What there is now is the refresh loop's business, which knows the chain.
            let raw: RawTemplate =
                self.rpc.call_once("getblocktemplate", json!([request]), REFRESH_BUDGET)?;
            if raw.longpollid.is_empty() {
                thread::sleep(HEARTBEAT);
            } else {
                *long_poll_id = Some(raw.longpollid);
            }
            return Ok(());
        };
        request["longpollid"] = Value::from(id.as_str());
        let asked_after = self.lock().count;
        let raw: Option<RawTemplate> =
            self.rpc.call_waiting("getblocktemplate", json!([request]), LONG_POLL_MAX)?;
        let Some(raw) = raw else {
            return Ok(());
        };
        *long_poll_id = (!raw.longpollid.is_empty()).then(|| raw.longpollid.clone());
        self.pass(raw, asked_after)
    }

    /// Checks a template and hands it on, unless something newer has passed already. It was asked
    /// for when `asked_after` had.
    fn pass(&self, raw: RawTemplate, asked_after: u64) -> Result<(), FeedError> {
        let mut gate = self.lock();
        let template = gate.checker.check(raw)?;
        if let Some(last) = &gate.last {
            let is_overtaken = gate.count != asked_after;
            if last.prev_hash == template.prev_hash {
                if is_overtaken && template.curtime < last.curtime {
                    return Ok(());
                }
            } else if template.height <= last.height {
                // Not simply the next block: a reorganisation, or an answer that is late.
                match self.confirm_tip(&template) {
                    Err(FeedError::Stale { .. }) if is_overtaken => return Ok(()),
                    confirmed => confirmed?,
                }
            }
        }
        gate.count += 1;
        gate.last = Some(Passed {
            prev_hash: template.prev_hash,
            height: template.height,
            curtime: template.curtime,
        });
        let _ = self.events.send(NodeEvent::Template(Box::new(template)));
        Ok(())
    }

    fn confirm_tip(&self, template: &Template) -> Result<(), FeedError> {
        let best: String = self.rpc.call_once("getbestblockhash", json!([]), SHORT_CALL)?;
        if hash_from_display_hex(&best) == Some(template.prev_hash) {
            return Ok(());
        }
        Err(FeedError::Stale { found: display_hex(&template.prev_hash), best })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Gate> {
        self.gate.lock().expect("no code panics while it holds this")
    }
}
