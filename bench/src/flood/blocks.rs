//! `blocks`: from a share that is a block to the first byte of `submitblock` at the node.

use std::io;
use std::time::{Duration, Instant};

use clap::Args;

use super::arrival::{AHEAD_MAX, arrive};
use super::check::Job;
use super::fleet::{Fleet, FleetPlan, Player};
use super::histogram::Histogram;
use super::miner::Miner;
use super::report::{Report, progress, progress_end};
use super::setup::{Common, EASY_BITS, FloodError, Setup, Wishes};
use crate::net::machine::nanoseconds;
use crate::node::{Node, Submitted};

const TURN: Duration = Duration::from_millis(2);
/// A block that is not at the node by then is lost.
const BLOCK_MAX: Duration = Duration::from_secs(10);
/// A thousand times as many as are needed on average.
const TRIES_MAX: u32 = 1 << 26;
/// Blocks that are not counted: connections to the node are made for the first time.
const UNCOUNTED: usize = 3;

/// The time from a share that is a block to the first byte of `submitblock` at the stand-in node,
/// whose target is easy for once. Needs --spawn with a pool.
#[derive(Args, Clone, Debug)]
pub struct BlocksArgs {
    #[command(flatten)]
    pub common: Common,
    /// Blocks
    #[arg(long, value_name = "COUNT", default_value_t = 200)]
    pub blocks: usize,
    /// From one to the next, at least
    #[arg(long, value_name = "SECONDS", default_value_t = 0.05)]
    pub pause: f64,
}

#[derive(Default)]
struct Finder {
    accepted_at: Option<u64>,
    refused: Option<String>,
}

impl Player for Finder {
    fn on_accepted(&mut self, _waited: u64, now: u64) {
        self.accepted_at = Some(now);
    }

    fn on_refused(&mut self, _miner: &Miner, reason: &str, _waited: u64) {
        self.refused = Some(reason.to_owned());
    }
}

/// Runs the mode.
pub fn run(args: &BlocksArgs) -> Result<Report, FloodError> {
    let wishes = Wishes { bits: EASY_BITS, ..Wishes::of(1) };
    let setup = Setup::new(&args.common, &wishes)?;
    let Some(node) = &setup.node else {
        return Err(FloodError::Usage("blocks need the stand-in node: start a pool with --spawn"));
    };
    let whole = setup.fleet_plan(&args.common, 1, 1);
    let mut fleet = Fleet::new(FleetPlan { keeps_work: true, ..whole })?;
    let mut finder = Finder::default();
    arrive(&mut fleet, &mut finder, AHEAD_MAX, |_| {})?;
    let pause = Duration::try_from_secs_f64(args.pause).unwrap_or_default();
    let mut from_share = Histogram::default();
    let mut from_answer = Histogram::default();
    let mut refused = 0;
    for number in 0..args.blocks + UNCOUNTED {
        let resume = Instant::now() + pause;
        let line = find(&fleet.miners[0], number as u32)?;
        while Instant::now() < resume {
            fleet.turn(&mut finder, TURN)?;
        }
        let known = node.stamps().all_submitted().len();
        (finder.accepted_at, finder.refused) = (None, None);
        let sent_at = nanoseconds();
        fleet.say_share(0, &line, sent_at)?;
        let (block, accepted_at) = await_block(&mut fleet, &mut finder, node, known)?;
        if block.refused.is_some() {
            refused += 1;
        }
        if number >= UNCOUNTED {
            from_share.add(block.first_byte_at.saturating_sub(sent_at));
            from_answer.add(block.first_byte_at.saturating_sub(accepted_at));
        }
        if number % 50 == 0 {
            progress(&format!("block {number}"));
        }
    }
    progress_end();
    let mut report = Report::new("blocks");
    report.set("blocks", args.blocks);
    report.set("transactions", args.common.transactions);
    report.set_times("share_to_submitblock", &from_share);
    report.set_times("answer_to_submitblock", &from_answer);
    report.set("blocks_refused_by_node", refused);
    Ok(report)
}

/// The line of a share that is a block; each has an extranonce2 of its own.
fn find(miner: &Miner, number: u32) -> Result<Vec<u8>, FloodError> {
    let unusable = |error| FloodError::Io(io::Error::other(error));
    let job = Job::read(&miner.notify).map_err(|error| unusable(error.to_string()))?;
    let extranonce1 = const_hex::decode(&miner.extranonce1)
        .map_err(|error| unusable(format!("extranonce1: {error}")))?;
    let mut extranonce2 = vec![0; miner.extranonce2_bytes];
    let digits = miner.extranonce2_bytes.min(4);
    extranonce2[..digits].copy_from_slice(&number.to_be_bytes()[4 - digits..]);
    let header = job.header(&extranonce1, &extranonce2);
    let nonce = job.find_block(header, 0, TRIES_MAX);
    let nonce = nonce.ok_or_else(|| unusable("no block in 2^26 hashes".to_owned()))?;
    let mut line = Vec::new();
    miner.line.write(&mut line, miner.next_id(), number, nonce);
    Ok(line)
}

/// Waits until the node has the block and the miner its answer.
fn await_block(
    fleet: &mut Fleet,
    finder: &mut Finder,
    node: &Node,
    known: usize,
) -> Result<(Submitted, u64), FloodError> {
    let deadline = Instant::now() + BLOCK_MAX;
    loop {
        fleet.turn(finder, TURN)?;
        if let Some(reason) = &finder.refused {
            let text = format!("the pool refused a block: {reason}");
            return Err(FloodError::Io(io::Error::other(text)));
        }
        if let Some(accepted_at) = finder.accepted_at
            && let Some(block) = node.stamps().all_submitted().get(known)
        {
            return Ok((block.clone(), accepted_at));
        }
        if Instant::now() > deadline {
            let text = "a block did not reach the node within 10 s";
            return Err(FloodError::Io(io::Error::new(io::ErrorKind::TimedOut, text)));
        }
    }
}
