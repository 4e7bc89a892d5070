//! Solved → block bytes → `submitblock` → record. Nothing found is ever lost
//! (`mining.md` §7.3, §7.5).
//!
//! One thread owns every block that is not settled, those of earlier runs included; a few others
//! make the calls, so that one that hangs keeps no other block waiting. The row in the database
//! and the first call set out together and neither waits for the other.

mod record;
mod submit;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, Sender, bounded, never, select, unbounded};
use tracing::{error, info, warn};

use gopool_shards::share::Solved;
use gopool_shards::work::address::Network;
use gopool_shards::work::block;

use crate::node::rpc::Rpc;
use crate::store::{FoundBlock, PendingBlock, Settled, StoreHandle};
use submit::{Answer, Attempt, Outcome};

/// Calls that may be under way at the same time, for blocks that have just been found and for those
/// that are tried again: one that hangs among these keeps no new one waiting.
const CALLERS: usize = 4;
/// Settled blocks that are remembered: a miner may find one again, and again.
const SETTLED_MAX: usize = 1024;
/// How long a stopping pool waits for calls under way; the rows carry the rest.
const STOP_WAIT_MAX: Duration = Duration::from_secs(10);

/// What control hears of a block: found and on its way, or settled.
#[derive(Clone, Debug)]
pub struct BlockEvent {
    pub record: FoundBlock,
    pub settled: Option<Settled>,
}

/// What the submitter is told when it starts.
#[derive(Debug)]
pub struct BlocksPlan {
    pub payout_address: String,
    /// To tell the worker's output from the pool's in a block of an earlier run.
    pub network: Network,
    /// Blocks that the last run did not settle.
    pub restored: Vec<PendingBlock>,
}

/// Where found blocks are handed in.
#[derive(Debug)]
pub struct Blocks {
    inbox: Sender<Solved>,
    thread: JoinHandle<()>,
}

impl Blocks {
    pub fn spawn(
        plan: BlocksPlan,
        rpc: Arc<Rpc>,
        store: StoreHandle,
        events: Sender<BlockEvent>,
    ) -> io::Result<Self> {
        let (inbox, solved) = unbounded();
        let (first_tries, first_work) = unbounded();
        let (retries, retry_work) = unbounded();
        let (outcome_sender, outcomes) = bounded(2 * CALLERS);
        for (name, work) in [("submit", first_work), ("retry", retry_work)] {
            for id in 0..CALLERS {
                let (rpc, work, outcomes) =
                    (Arc::clone(&rpc), work.clone(), outcome_sender.clone());
                thread::Builder::new()
                    .name(format!("{name}-{id}"))
                    .spawn(move || submit::make_calls(&rpc, &work, &outcomes))?;
            }
        }
        let node = rpc.label().to_owned();
        let mut submitter = Submitter {
            payout_address: plan.payout_address,
            node,
            store,
            events,
            first_tries,
            retries,
            unsettled: HashMap::new(),
            settled: VecDeque::new(),
        };
        let (restored, network) = (plan.restored, plan.network);
        let thread = thread::Builder::new().name("blocks".into()).spawn(move || {
            for row in restored {
                info!(component = "blocks", hash = row.hash_hex, "block of an earlier run");
                submitter.submit(record::of_row(&row, network), row.block_hex.into());
            }
            submitter.run(solved, &outcomes);
        })?;
        Ok(Self { inbox, thread })
    }

    /// Hands in a block. Never waits.
    pub fn submit(&self, solved: Solved) {
        if self.inbox.send(solved).is_err() {
            error!(component = "blocks", "the submitter has ended, a block is lost");
        }
    }

    /// Takes no more blocks and waits, up to a bound, until the calls under way have had an
    /// answer. What is not settled by then is in the database.
    pub fn stop(self) {
        drop(self.inbox);
        let deadline = Instant::now() + STOP_WAIT_MAX;
        while !self.thread.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        if !self.thread.is_finished() {
            warn!(component = "blocks", "the node has not answered; the next start goes on");
        }
    }
}

/// A block that the node has not answered for.
struct Submission {
    record: FoundBlock,
    block_hex: Arc<str>,
    first_try_at: Instant,
    /// None while a call is under way.
    next_try_at: Option<Instant>,
    tries: u32,
}

struct Submitter {
    payout_address: String,
    /// `host:port`, for the row.
    node: String,
    store: StoreHandle,
    events: Sender<BlockEvent>,
    first_tries: Sender<Attempt>,
    retries: Sender<Attempt>,
    /// By block hash in display order.
    unsettled: HashMap<String, Submission>,
    /// Hashes of the last ones that were.
    settled: VecDeque<String>,
}

impl Submitter {
    fn run(&mut self, mut solved: Receiver<Solved>, outcomes: &Receiver<Outcome>) {
        let mut is_stopping = false;
        loop {
            let wait = self.start_due_attempts();
            if is_stopping && self.unsettled.values().all(|block| block.next_try_at.is_some()) {
                return;
            }
            select! {
                recv(solved) -> block => match block {
                    Ok(block) => self.found(&block),
                    Err(_) => {
                        is_stopping = true;
                        solved = never();
                    }
                },
                recv(outcomes) -> outcome => {
                    self.concluded(outcome.expect("the callers live as long as this thread"));
                }
                default(wait) => {}
            }
        }
    }

    fn found(&mut self, solved: &Solved) {
        let record = record::of_solved(solved, &self.payout_address);
        if self.unsettled.contains_key(&record.hash) || self.settled.contains(&record.hash) {
            return;
        }
        for problem in record::check(solved) {
            error!(component = "blocks", hash = record.hash, problem, "found block looks wrong");
        }
        let block = block::serialize(&solved.header, &solved.coinbase, &solved.job.transactions);
        let block_hex: Arc<str> = const_hex::encode(block).into();
        info!(
            component = "blocks",
            height = record.height,
            hash = record.hash,
            worker = record.worker,
            "block found"
        );
        // The call first: it has a race to win. The row is on its way before the call can end.
        let row = PendingBlock {
            hash_hex: record.hash.clone(),
            found_at: unix_now(),
            height: record.height,
            worker: record.worker.clone(),
            block_hex: block_hex.to_string(),
            rpc_url: self.node.clone(),
            payout_address: self.payout_address.clone(),
        };
        self.submit(record, block_hex);
        self.start_due_attempts();
        self.store.save_pending(row);
    }

    fn submit(&mut self, record: FoundBlock, block_hex: Arc<str>) {
        let now = Instant::now();
        self.tell(&record, None);
        let submission =
            Submission { block_hex, first_try_at: now, next_try_at: Some(now), tries: 0, record };
        self.unsettled.insert(submission.record.hash.clone(), submission);
    }

    /// Starts what is due; returns how long nothing else is.
    fn start_due_attempts(&mut self) -> Duration {
        let now = Instant::now();
        let mut wait = submit::DELAY_MAX;
        for (hash, block) in &mut self.unsettled {
            match block.next_try_at {
                Some(at) if at <= now => {
                    block.next_try_at = None;
                    let attempt =
                        Attempt { hash: hash.clone(), block_hex: Arc::clone(&block.block_hex) };
                    let callers = if block.tries == 0 { &self.first_tries } else { &self.retries };
                    callers.send(attempt).expect("the callers live as long as this thread");
                    block.tries = block.tries.saturating_add(1);
                }
                Some(at) => wait = wait.min(at - now),
                None => {}
            }
        }
        wait
    }

    fn concluded(&mut self, Outcome { hash, answer }: Outcome) {
        let Some(block) = self.unsettled.get_mut(&hash) else {
            return;
        };
        let (settled, reason) = match answer {
            Answer::Accepted => (Settled::Submitted, String::new()),
            Answer::Rejected(reason) => (Settled::Rejected, reason),
            Answer::Unknown(error) => {
                let now = Instant::now();
                let delay = submit::retry_delay(now - block.first_try_at);
                block.next_try_at = Some(now + delay);
                warn!(component = "blocks", hash, %error, "block not taken yet, trying again");
                return;
            }
        };
        let record = self.unsettled.remove(&hash).expect("it was there").record;
        self.settled.push_back(hash.clone());
        if self.settled.len() > SETTLED_MAX {
            self.settled.pop_front();
        }
        self.store.settle(&hash, settled, &reason);
        let FoundBlock { height, worker, .. } = &record;
        match settled {
            Settled::Submitted => {
                info!(component = "blocks", height, hash, worker, "block accepted");
                self.store.record_found(record.clone());
            }
            Settled::Rejected => {
                error!(component = "blocks", height, hash, worker, reason, "block rejected");
            }
        }
        self.tell(&record, Some(settled));
    }

    /// Control may have ended already; the database knows.
    fn tell(&self, record: &FoundBlock, settled: Option<Settled>) {
        let _ = self.events.send(BlockEvent { record: record.clone(), settled });
    }
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
