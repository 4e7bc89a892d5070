//! Where templates come from: refreshes, on a signal or every thirty seconds, and the long poll
//! (`mining.md` §2). Both run on threads of their own; what they find out goes to control.
//!
//! A new block makes both speak at about the same time: the node publishes its hash, on which a
//! template is asked for at once, and it answers the long poll. Which is first is not known before,
//! and work that is late costs more than a second answer, so neither waits for the node to answer the
//! other: the first that is there is read and handed out, the second is read after it and finds its
//! transactions known. Nothing is asked for when the long poll's answer is coming in already, or when
//! the tip that was published is the one that miners work on.

use std::io::{self, Read};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, RecvTimeoutError, SendError, Sender, bounded};
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::{debug, warn};

use gopool_shards::sha256d::Hash;
use gopool_shards::work::address::Network;
use gopool_shards::work::header::display_hex;

use super::event::{ChainInfo, NodeEvent, Trigger};
use super::gate::{FeedError, Gate};
use super::receive::{Received, Turn, Turns};
use super::rpc::{NodeError, Rpc};
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
        rules: match plan.network {
            Network::Signet => json!(["segwit", "signet"]),
            _ => json!(["segwit"]),
        },
        gate: Gate::new(Arc::clone(&rpc), events.clone()),
        turns: Turns::default(),
        rpc,
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
    gate: Gate,
    turns: Turns,
    events: Sender<NodeEvent>,
    triggers: Sender<Trigger>,
}

/// Control has gone: the thread ends.
struct PoolGone;

impl<T> From<SendError<T>> for PoolGone {
    fn from(_: SendError<T>) -> Self {
        Self
    }
}

/// What the refresh loop remembers from turn to turn.
#[derive(Default)]
struct Memory {
    /// The node's disconnects when its chain was last asked for.
    chain_known_at: Option<u64>,
    /// The block whose header has been looked at.
    known_tip: Option<Hash>,
}

impl Feed {
    fn refresh_loop(&self, signals: &Receiver<Trigger>) {
        let mut retry = RETRY_DELAY_FIRST;
        let mut wait = Duration::ZERO;
        let mut memory = Memory::default();
        loop {
            let told_at = match signals.recv_timeout(wait) {
                Ok(first) => {
                    // What has queued up meanwhile is answered by the same template.
                    let triggers: Vec<Trigger> =
                        std::iter::once(first).chain(signals.try_iter()).collect();
                    // One that is being read now may be the answer.
                    drop(self.turns.take());
                    if self.have_answered(&triggers) {
                        debug!(component = "feed", "the new tip is known already");
                        if memory.known_tip != self.gate.tip()
                            && self.look_around(&mut memory).is_err()
                        {
                            return;
                        }
                        continue;
                    }
                    match first {
                        Trigger::NewBlock { at, .. } => Some(at),
                        Trigger::Refresh => None,
                    }
                }
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let started = Instant::now();
            let done = match self.refresh(told_at, &mut memory) {
                Ok(()) => {
                    retry = RETRY_DELAY_FIRST;
                    wait = HEARTBEAT;
                    self.look_around(&mut memory)
                }
                Err(error) => {
                    warn!(component = "feed", %error, "no template");
                    let has_job = self.gate.tip().is_some();
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

    /// Whether miners work on every block that `triggers` tell of.
    fn have_answered(&self, triggers: &[Trigger]) -> bool {
        let tip = self.gate.tip();
        triggers.iter().all(|trigger| match trigger {
            Trigger::NewBlock { hash, .. } => hash.is_some() && *hash == tip,
            Trigger::Refresh => false,
        })
    }

    /// The chain first, whenever the node may be another than before: work of another chain must
    /// not reach a miner.
    fn refresh(&self, told_at: Option<Instant>, memory: &mut Memory) -> Result<(), FeedError> {
        let disconnects = self.rpc.disconnects();
        if memory.chain_known_at != Some(disconnects) {
            let info: ChainInfo = self.rpc.call("getblockchaininfo", &json!([]), REFRESH_BUDGET)?;
            let _ = self.events.send(NodeEvent::Chain(info));
            memory.chain_known_at = Some(disconnects);
        }
        let asked = self.gate.asked(told_at);
        let request = json!([{"rules": self.rules, "capabilities": ["coinbase/append"]}]);
        let read = |body: &mut dyn Read, id| self.receive(body, id);
        let (received, turn) =
            self.rpc.call_reading("getblocktemplate", &request, REFRESH_BUDGET, read)?;
        self.gate.pass(received, turn.answer(), asked)
    }

    /// Reads an answer when it is its turn, which lasts until it has passed.
    fn receive(&self, body: &mut dyn Read, id: u64) -> Result<(Received, Turn<'_>), NodeError> {
        let mut turn = self.turns.take();
        let received = turn.read(body, id)?;
        Ok((received, turn))
    }

    /// What is nice to know, once the work is out.
    fn look_around(&self, memory: &mut Memory) -> Result<(), PoolGone> {
        if let Ok(info) = self.rpc.call_once("getblockchaininfo", &json!([]), SHORT_CALL) {
            self.events.send(NodeEvent::Chain(info))?;
        }
        let tip = self.gate.tip();
        if let Some(hash) = tip
            && memory.known_tip != tip
            && let Ok(figures) = self.header_figures(&display_hex(&hash))
        {
            memory.known_tip = tip;
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
            self.rpc.call_once("getblockheader", &json!([hash, true]), SHORT_CALL)?;
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
            let read = |body: &mut dyn Read, id| self.receive(body, id);
            let request = json!([request]);
            let (received, _) =
                self.rpc.call_reading("getblocktemplate", &request, REFRESH_BUDGET, read)?;
            let id = received.raw.longpollid;
            if id.is_empty() {
                thread::sleep(HEARTBEAT);
            } else {
                *long_poll_id = Some(id);
            }
            return Ok(());
        };
        request["longpollid"] = Value::from(id.as_str());
        let asked = self.gate.asked(None);
        let read = |body: &mut dyn Read, id| self.receive(body, id);
        let answer =
            self.rpc.wait_reading("getblocktemplate", &json!([request]), LONG_POLL_MAX, read)?;
        let Some((received, turn)) = answer else {
            return Ok(());
        };
        let id = &received.raw.longpollid;
        *long_poll_id = (!id.is_empty()).then(|| id.clone());
        self.gate.pass(received, turn.answer(), asked)
    }
}
