//! `broadcast`: a new tip, from the node's message to the last miner's new work.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use super::arrival::{AHEAD_MAX, arrive};
use super::fleet::{Against, Fleet, Player};
use super::histogram::Histogram;
use super::miner::Miner;
use super::report::{Report, progress, progress_end};
use super::setup::{Common, FloodError, Setup, Wishes};
use crate::net::machine;

const TURN: Duration = Duration::from_millis(10);
/// A miner that has no new work by then has been forgotten.
const ROUND_MAX: Duration = Duration::from_secs(20);
/// Rounds that are not counted: memory is touched for the first time.
const ROUNDS_UNCOUNTED: usize = 1;

/// The time from a new tip until the last miner has its work. Needs --spawn.
#[derive(Args, Clone, Debug)]
pub struct BroadcastArgs {
    #[command(flatten)]
    pub common: Common,
    /// Miners
    #[arg(long, short = 'c', value_name = "COUNT", default_value_t = 10_000)]
    pub connections: usize,
    /// New tips that are counted
    #[arg(long, value_name = "COUNT", default_value_t = 7)]
    pub rounds: usize,
    /// From one to the next
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    pub pause: f64,
    /// What a yardstick sends to each; a notify of the pool's with 4,000 transactions is that long
    #[arg(long, value_name = "BYTES", default_value_t = 1355)]
    pub bytes: usize,
}

/// Notes when each miner hears of the tip.
#[derive(Default)]
struct Round {
    heard_at: Vec<u64>,
    line_bytes: usize,
    ended: usize,
}

impl Player for Round {
    #[inline]
    fn on_work(&mut self, _miner: &mut Miner, line: &[u8], is_clean: bool, now: u64) {
        if is_clean {
            self.heard_at.push(now);
            self.line_bytes = line.len() + 1;
        }
    }

    fn on_end(&mut self, _miner: &mut Miner, _reason: &str) {
        self.ended += 1;
    }
}

/// Times of one kind, a round each.
#[derive(Default)]
struct Kinds {
    told_to_first: Vec<f64>,
    answer_to_first: Vec<f64>,
    answer_to_last: Vec<f64>,
    first_to_last: Vec<f64>,
    told_to_last: Vec<f64>,
    node: Vec<f64>,
    /// What it took of the server's CPU, by miner.
    cpu: Vec<f64>,
}

/// Runs the mode.
pub fn run(args: &BroadcastArgs) -> Result<Report, FloodError> {
    if args.common.spawn.is_none() {
        return Err(FloodError::Usage(
            "when a tip comes is known only to who brings it: start the server with --spawn",
        ));
    }
    let setup = Setup::new(&args.common, &Wishes::of(args.connections))?;
    let mut control = setup.control.map(TcpStream::connect).transpose()?;
    let mut fleet = Fleet::new(setup.fleet_plan(&args.common, args.connections, 1))?;
    let mut round = Round::default();
    arrive(&mut fleet, &mut round, AHEAD_MAX, |_| {})?;
    let pause = Duration::try_from_secs_f64(args.pause).unwrap_or_default();
    let cpu = || setup.pid.and_then(|pid| machine::cpu_time(pid).ok()).unwrap_or_default();
    let mut kinds = Kinds::default();
    let mut all = Histogram::default();
    for number in 0..args.rounds + ROUNDS_UNCOUNTED {
        rest(&mut fleet, &mut round, pause)?;
        round.heard_at.clear();
        let (told_at, tip) = match (&setup.node, &mut control) {
            (Some(node), _) => {
                let tip = node.new_tip();
                (node.stamps().told_at(tip).unwrap_or_default(), Some(tip))
            }
            (None, Some(control)) => {
                let order = format!("broadcast {}\n", args.bytes);
                let told_at = machine::nanoseconds();
                control.write_all(order.as_bytes())?;
                (told_at, None)
            }
            (None, None) => return Err(FloodError::Usage("the server takes no orders")),
        };
        let cpu_before = cpu();
        hear(&mut fleet, &mut round, args.connections)?;
        let cpu_spent = cpu().saturating_sub(cpu_before);
        if number < ROUNDS_UNCOUNTED {
            continue;
        }
        // The answer is stamped by the node's own thread, perhaps a moment later.
        thread::sleep(Duration::from_millis(1));
        let answer = match (&setup.node, tip) {
            (Some(node), Some(tip)) => node.stamps().first_answer(tip).map(|a| a.answered_at),
            _ => None,
        };
        // A bare loop has nobody to ask.
        let answered_at = answer.unwrap_or(told_at);
        round.heard_at.sort_unstable();
        let first = round.heard_at.first().copied().unwrap_or_default();
        let last = round.heard_at.last().copied().unwrap_or_default();
        // First work may leave before the node's last byte has been counted as written.
        let us = |from: u64, to: u64| (to as f64 - from as f64) / 1e3;
        kinds.cpu.push(cpu_spent.as_nanos() as f64 / 1e3 / args.connections.max(1) as f64);
        kinds.told_to_first.push(us(told_at, first));
        kinds.answer_to_first.push(us(answered_at, first));
        kinds.answer_to_last.push(us(answered_at, last));
        kinds.first_to_last.push(us(first, last));
        kinds.told_to_last.push(us(told_at, last));
        kinds.node.push(us(told_at, answered_at));
        for heard_at in &round.heard_at {
            all.add(heard_at.saturating_sub(answered_at));
        }
        progress(&format!("round {number}: last after {:.0} us", us(answered_at, last)));
    }
    progress_end();
    let mut report = Report::new("broadcast");
    report.set("connections", args.connections);
    report.set("rounds", args.rounds);
    report.set("notify_bytes", round.line_bytes);
    report.set_figure("told_to_last_us_median", median(&mut kinds.told_to_last));
    report.set_figure("told_to_first_us_median", median(&mut kinds.told_to_first));
    if setup.against == Against::Pool {
        report.set_figure("told_to_node_answer_us_median", median(&mut kinds.node));
        report.set_figure("answer_to_first_us_median", median(&mut kinds.answer_to_first));
    }
    report.set_figure("answer_to_last_us_median", median(&mut kinds.answer_to_last));
    report.set_figure("first_to_last_us_median", median(&mut kinds.first_to_last));
    report.set_figure("server_cpu_us_per_miner_median", median(&mut kinds.cpu));
    report.set_times("answer_to_miner", &all);
    report.set("connections_ended", round.ended);
    Ok(report)
}

fn rest(fleet: &mut Fleet, round: &mut Round, pause: Duration) -> Result<(), FloodError> {
    let until = Instant::now() + pause;
    while Instant::now() < until {
        fleet.turn(round, TURN)?;
    }
    Ok(())
}

/// Waits until all miners have heard.
fn hear(fleet: &mut Fleet, round: &mut Round, wanted: usize) -> Result<(), FloodError> {
    let deadline = Instant::now() + ROUND_MAX;
    while round.heard_at.len() + round.ended < wanted {
        if Instant::now() > deadline {
            let (ready, waited) = (round.heard_at.len(), ROUND_MAX);
            let reason = "nothing, the others just heard of no new tip".to_owned();
            return Err(FloodError::NotReady { ready, wanted, waited, reason });
        }
        // From the first on nobody sleeps: the server would pay to wake a client that its miners are
        // not. Before that the node's threads have the CPU.
        let patience = if round.heard_at.is_empty() { TURN } else { Duration::ZERO };
        fleet.turn(round, patience)?;
    }
    Ok(())
}

/// The one in the middle; of an even number the lower of the two.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_one_of_them() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0]), 1.0);
        assert_eq!(median(&mut []), 0.0);
    }
}
