//! Solved → block bytes → `submitblock` → record. Nothing found is ever lost
//! (`mining.md` §7.3, §7.5).
//!
//! One thread owns every block that is not settled, those of earlier runs included; a few others
//! make the calls, so that one that hangs keeps no other block waiting. The row in the database
//! and the first call set out together and neither waits for the other, except that the call has a few
//! milliseconds' head start: on a core that both share they would take turns, and only one has a race
//! to win.
//!
//! Shards hand blocks in here directly, not by way of the control loop, which may be busy.

mod confirm;
mod hex;
mod record;
mod submit;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, never, select, unbounded};
use tracing::{error, info, warn};

use gopool_shards::link::Found;
use gopool_shards::tally::Times;
use gopool_shards::work::address::Network;

use crate::clock::unix_now;
use crate::entropy;
use crate::join;
use crate::node::rpc::Rpc;
use crate::store::{
    BlockLife, BlockNotice, BlockState, FoundBlock, PendingBlock, Settled, StoreHandle,
};
pub use confirm::{Follower, Tips};
use hex::BlockHex;
use submit::{Answer, Attempt, Departure, Outcome};

/// Calls that may be under way at the same time, for blocks that have just been found and for those
/// that are tried again: one that hangs among these keeps no new one waiting.
const CALLERS: usize = 4;
/// Settled blocks that are remembered: a miner may find one again, and again.
const SETTLED_MAX: usize = 1024;
/// How long the row waits, at most, for the call to leave: a node that takes nothing does not keep a
/// block from the disk.
const HEAD_START: Duration = Duration::from_millis(5);
/// How long a stopping pool waits for calls under way; the rows carry the rest.
const STOP_WAIT_MAX: Duration = Duration::from_secs(10);

/// Who wants to hear of each block that the node has taken, and the places that they tell of it.
#[derive(Clone, Debug)]
pub struct Herald {
    pub door: Sender<(FoundBlock, BlockNotice)>,
    pub places: Vec<&'static str>,
}

/// What the submitter is told when it starts.
#[derive(Debug)]
pub struct BlocksPlan {
    /// To tell the worker's output from the pool's in a block of an earlier run.
    pub network: Network,
    /// Blocks that the last run did not settle.
    pub restored: Vec<PendingBlock>,
    /// What is known of the blocks of earlier runs.
    pub lives: Vec<BlockLife>,
    /// None when nobody would hear of a block.
    pub herald: Option<Herald>,
}

/// The submitter, which runs until it is stopped or all shards have gone.
#[derive(Debug)]
pub struct Blocks {
    stop: Sender<()>,
    tips: Tips,
    submit_times: Arc<Mutex<Times>>,
    thread: JoinHandle<()>,
}

impl Blocks {
    pub fn spawn(
        plan: BlocksPlan,
        rpc: Arc<Rpc>,
        store: StoreHandle,
        found: Receiver<Found>,
        events: Sender<BlockLife>,
    ) -> io::Result<Self> {
        let (stop, stopped) = bounded(0);
        let (first_tries, first_work) = unbounded();
        let (retries, retry_work) = unbounded();
        let (outcome_sender, outcomes) = bounded(2 * CALLERS);
        for (name, work) in [("submit", first_work), ("retry", retry_work)] {
            for id in 0..CALLERS {
                let (rpc, work, outcomes) =
                    (Arc::clone(&rpc), work.clone(), outcome_sender.clone());
                let make_calls = match (name, id) {
                    ("submit", 0) => submit::make_calls_and_keep_warm,
                    _ => submit::make_calls,
                };
                thread::Builder::new()
                    .name(format!("{name}-{id}"))
                    .spawn(move || make_calls(&rpc, &work, &outcomes))?;
            }
        }
        let node = rpc.label().to_owned();
        let follower =
            Follower::spawn(&plan.lives, Arc::clone(&rpc), store.clone(), events.clone())?;
        let tips = follower.tips();
        let submit_times = Arc::<Mutex<Times>>::default();
        let mut submitter = Submitter {
            node,
            store,
            events,
            follower,
            first_tries,
            retries,
            submit_times: Arc::clone(&submit_times),
            unsettled: HashMap::new(),
            settled: VecDeque::new(),
            herald: plan.herald,
        };
        let BlocksPlan { network, restored, lives, .. } = plan;
        let thread = thread::Builder::new().name("blocks".into()).spawn(move || {
            for row in restored {
                info!(component = "blocks", hash = row.hash_hex, "block of an earlier run");
                let known = lives.iter().find(|life| life.record.hash == row.hash_hex).cloned();
                let life = known.unwrap_or_else(|| BlockLife {
                    state: BlockState::Submitted,
                    ..new_life(record::of_row(&row, network))
                });
                submitter.submit(life, BlockHex::of_row(row.block_hex), None);
            }
            submitter.run(found, stopped, &outcomes);
        })?;
        Ok(Self { stop, tips, submit_times, thread })
    }

    /// Who is told that the chain has a new tip.
    pub fn tips(&self) -> Tips {
        self.tips.clone()
    }

    /// From a block's being found until the first byte of it left for the node, of those of this run.
    pub fn submit_times(&self) -> Times {
        *self.submit_times.lock().expect("no code panics while it holds this")
    }

    /// Takes no more blocks and waits, up to a bound, until the calls under way have had an
    /// answer. What is not settled by then is in the database.
    pub fn stop(self) {
        drop(self.stop);
        if !join::ends_by(&self.thread, Instant::now() + STOP_WAIT_MAX) {
            warn!(component = "blocks", "the node has not answered; the next start goes on");
        }
    }
}

/// A block that the node has not answered for.
struct Submission {
    life: BlockLife,
    block: BlockHex,
    /// Until the first attempt.
    departure: Option<Departure>,
    first_try_at: Instant,
    /// None while a call is under way.
    next_try_at: Option<Instant>,
    tries: u32,
}

struct Submitter {
    /// `host:port`, for the row.
    node: String,
    store: StoreHandle,
    events: Sender<BlockLife>,
    follower: Follower,
    first_tries: Sender<Attempt>,
    retries: Sender<Attempt>,
    submit_times: Arc<Mutex<Times>>,
    /// By block hash in display order.
    unsettled: HashMap<String, Submission>,
    /// Hashes of the last ones that were.
    settled: VecDeque<String>,
    herald: Option<Herald>,
}

impl Submitter {
    fn run(
        &mut self,
        mut found: Receiver<Found>,
        mut stopped: Receiver<()>,
        outcomes: &Receiver<Outcome>,
    ) {
        let mut is_stopping = false;
        loop {
            let wait = self.start_due_attempts();
            if is_stopping && self.unsettled.values().all(|block| block.next_try_at.is_some()) {
                return;
            }
            select! {
                recv(found) -> block => match block {
                    Ok(block) => self.found(&block),
                    Err(_) => {
                        is_stopping = true;
                        found = never();
                    }
                },
                recv(outcomes) -> outcome => {
                    self.concluded(outcome.expect("the callers live as long as this thread"));
                }
                recv(stopped) -> _ => {
                    is_stopping = true;
                    stopped = never();
                    for block in found.try_iter() {
                        self.found(&block);
                    }
                }
                default(wait) => {}
            }
        }
    }

    fn found(&mut self, Found { solved, at }: &Found) {
        let record = record::of_solved(solved);
        if self.unsettled.contains_key(&record.hash) || self.settled.contains(&record.hash) {
            return;
        }
        let block = BlockHex::of_solved(solved);
        let (signal, departed) = bounded(0);
        let times = Arc::clone(&self.submit_times);
        let departure = Departure { found_at: *at, times, signal };
        self.submit(new_life(record.clone()), block.clone(), Some(departure));
        info!(
            component = "blocks",
            height = record.height,
            hash = record.hash,
            worker = record.worker,
            "block found"
        );
        let _ = departed.recv_timeout(HEAD_START);
        let pending = PendingBlock {
            hash_hex: record.hash.clone(),
            found_at: unix_now(),
            height: record.height,
            worker: record.worker.clone(),
            block_hex: block.to_text(),
            rpc_url: self.node.clone(),
            payout_address: record.payout_address.clone(),
        };
        self.store.found(pending, record.clone());
        for problem in record::check(solved) {
            error!(component = "blocks", hash = record.hash, problem, "found block looks wrong");
        }
    }

    /// Starts the first attempt.
    fn submit(&mut self, life: BlockLife, block: BlockHex, departure: Option<Departure>) {
        let now = Instant::now();
        let submission = Submission {
            block,
            departure,
            first_try_at: now,
            next_try_at: Some(now),
            tries: 0,
            life: life.clone(),
        };
        self.unsettled.insert(life.record.hash.clone(), submission);
        self.start_due_attempts();
        self.tell(life);
    }

    /// Starts what is due; returns how long nothing else is.
    fn start_due_attempts(&mut self) -> Duration {
        let now = Instant::now();
        let mut wait = submit::DELAY_MAX;
        for (hash, block) in &mut self.unsettled {
            match block.next_try_at {
                Some(at) if at <= now => {
                    block.next_try_at = None;
                    let attempt = Attempt {
                        hash: hash.clone(),
                        block: block.block.clone(),
                        departure: block.departure.take(),
                    };
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
                // Once for each kind of trouble: there are ten attempts in a second at first.
                let life = &mut block.life;
                if life.state == BlockState::Found || life.reason != error {
                    warn!(component = "blocks", hash, %error, "block not taken yet, trying again");
                    self.store.sent(&hash, &error);
                    life.state = BlockState::Submitted;
                    life.reason = error;
                    life.submitted_at = unix_now();
                    let life = life.clone();
                    self.tell(life);
                }
                return;
            }
        };
        let mut life = self.unsettled.remove(&hash).expect("it was there").life;
        self.settled.push_back(hash.clone());
        if self.settled.len() > SETTLED_MAX {
            self.settled.pop_front();
        }
        let herald = self.herald.as_ref().filter(|_| settled == Settled::Submitted);
        let told = herald.map(|Herald { door, places }| {
            (door, BlockNotice { id: entropy::hex_id(), places: places.clone() })
        });
        match &told {
            Some((_, notice)) => self.store.accept(life.record.clone(), notice.clone()),
            None => self.store.settle(life.record.clone(), settled, &reason),
        }
        life.settled_at = unix_now();
        if life.submitted_at == 0 {
            life.submitted_at = life.settled_at;
        }
        life.reason = reason;
        let FoundBlock { height, worker, .. } = &life.record;
        match settled {
            Settled::Submitted => {
                life.state = BlockState::Accepted;
                info!(component = "blocks", height, hash, worker, "block accepted");
            }
            Settled::Rejected => {
                life.state = BlockState::Rejected;
                let reason = &life.reason;
                error!(component = "blocks", height, hash, worker, reason, "block rejected");
            }
        }
        self.tell(life.clone());
        if settled == Settled::Submitted {
            if let Some((door, notice)) = told {
                // Who listens may have ended already, and is no part of a block's way.
                let _ = door.send((life.record.clone(), notice));
            }
            self.follower.follow(life);
        }
    }

    /// Control may have ended already; the database knows.
    fn tell(&self, life: BlockLife) {
        let _ = self.events.send(life);
    }
}

/// A block that has just been found.
fn new_life(record: FoundBlock) -> BlockLife {
    BlockLife {
        record,
        state: BlockState::Found,
        submitted_at: 0,
        settled_at: 0,
        confirmations: 0,
        reason: String::new(),
    }
}
