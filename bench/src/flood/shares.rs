//! `shares`: how many a second, how fast, and at what cost, with so many always waiting.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use clap::Args;

use super::arrival::{AHEAD_MAX, arrive};
use super::check::Job;
use super::fleet::{Against, Fleet, FleetPlan, Player};
use super::histogram::Histogram;
use super::miner::{IN_FLIGHT_MAX, Miner};
use super::report::{Report, progress, progress_end};
use super::setup::{Common, FloodError, Setup, Wishes};
use crate::net::machine;
use crate::node::Node;

const TURN: Duration = Duration::from_millis(20);

/// Shares in a closed loop: each miner keeps so many unanswered, and sends one for each answer.
#[derive(Args, Clone, Debug)]
pub struct SharesArgs {
    #[command(flatten)]
    pub common: Common,
    /// Miners
    #[arg(long, short = 'c', value_name = "COUNT", default_value_t = 100)]
    pub connections: usize,
    /// Shares of each that wait for an answer
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 4)]
    pub in_flight: usize,
    /// Measured after the warm-up
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    pub seconds: f64,
    /// Before anything is counted
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    pub warm_up: f64,
    /// Check the job of a first miner before the load: the coinbase, and the branch against the
    /// stand-in node's transactions
    #[arg(long)]
    pub check: bool,
    /// Sleep while nothing comes. Otherwise this program looks again at once, for a server pays to
    /// wake a client on its own machine, which none of its miners is
    #[arg(long)]
    pub sleep: bool,
    /// Threads of this program, each with a part of the miners
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub threads: usize,
}

const WARMING_UP: u8 = 0;
const MEASURED: u8 = 1;
const OVER: u8 = 2;

/// What the threads and the clock have in common.
struct Shared {
    phase: AtomicU8,
    /// Some miners did not come in: nothing is measured.
    failed: AtomicBool,
    /// Accepted shares, by thread; only its own thread writes.
    accepted: Vec<AtomicU64>,
}

#[derive(Default)]
struct Closed {
    in_flight: usize,
    accepted: u64,
    is_measured: bool,
    times: Histogram,
    refused: BTreeMap<String, u64>,
    ended: BTreeMap<String, u64>,
}

impl Player for Closed {
    #[inline]
    fn on_accepted(&mut self, waited: u64, _now: u64) {
        self.accepted += 1;
        if self.is_measured {
            self.times.add(waited);
        }
    }

    fn on_refused(&mut self, _miner: &Miner, reason: &str, _waited: u64) {
        *self.refused.entry(reason.to_owned()).or_default() += 1;
    }

    #[inline]
    fn in_flight(&mut self, _miner: &Miner) -> usize {
        self.in_flight
    }

    fn on_end(&mut self, _miner: &mut Miner, reason: &str) {
        *self.ended.entry(reason.to_owned()).or_default() += 1;
    }
}

/// Runs the mode.
pub fn run(args: &SharesArgs) -> Result<Report, FloodError> {
    if args.connections == 0 || args.threads == 0 || args.in_flight == 0 {
        return Err(FloodError::Usage(
            "--connections, --in-flight and --threads must be 1 or more",
        ));
    }
    if args.in_flight > IN_FLIGHT_MAX {
        return Err(FloodError::Usage("--in-flight is more than 1024: take more --connections"));
    }
    let setup = Setup::new(&args.common, &Wishes::of(args.connections))?;
    if args.check {
        check_job(args, &setup)?;
    }
    measure(args, &setup)
}

/// A first miner looks at what it is given, and goes.
fn check_job(args: &SharesArgs, setup: &Setup) -> Result<(), FloodError> {
    if setup.against == Against::Yardstick {
        return Err(FloodError::Usage("a yardstick gives no work to check: drop --check"));
    }
    let whole = setup.fleet_plan(&args.common, 1, 1);
    let mut fleet = Fleet::new(FleetPlan { keeps_work: true, first: args.connections, ..whole })?;
    arrive(&mut fleet, &mut Closed::default(), AHEAD_MAX, |_| {})?;
    let miner = &fleet.miners[0];
    let extranonce1 = const_hex::decode(&miner.extranonce1).unwrap_or_default();
    let txids = setup.node.as_ref().map(Node::txids);
    let job = Job::read(&miner.notify)?;
    job.check(&extranonce1, miner.extranonce2_bytes, txids.as_deref())?;
    progress(&format!("job {} is as it should be", job.id));
    fleet.close(0);
    Ok(())
}

fn measure(args: &SharesArgs, setup: &Setup) -> Result<Report, FloodError> {
    let threads = args.threads.min(args.connections);
    let shared = Arc::new(Shared {
        phase: AtomicU8::new(WARMING_UP),
        failed: AtomicBool::new(false),
        accepted: (0..threads).map(|_| AtomicU64::new(0)).collect(),
    });
    let all_here = Arc::new(Barrier::new(threads + 1));
    let mut workers = Vec::new();
    let mut first = 0;
    for thread in 0..threads {
        let miners = args.connections / threads + usize::from(thread < args.connections % threads);
        let whole = setup.fleet_plan(&args.common, miners, args.in_flight);
        let plan = FleetPlan { first, ..whole };
        first += miners;
        let (shared, all_here) = (Arc::clone(&shared), Arc::clone(&all_here));
        let patience = if args.sleep { TURN } else { Duration::ZERO };
        let work = move || work(plan, patience, thread, &shared, &all_here);
        workers.push(thread::Builder::new().name(format!("load-{thread}")).spawn(work)?);
    }
    all_here.wait();
    let figures = if shared.failed.load(Ordering::Relaxed) {
        shared.phase.store(OVER, Ordering::Relaxed);
        Window::default()
    } else {
        watch(args, setup, &shared)
    };
    let mut total = Closed::default();
    for worker in workers {
        let outcome = worker.join().map_err(|_| FloodError::Usage("a load thread panicked"))?;
        let part = outcome?;
        total.times.merge(&part.times);
        for (sum, part) in [(&mut total.refused, part.refused), (&mut total.ended, part.ended)] {
            for (reason, count) in part {
                *sum.entry(reason).or_default() += count;
            }
        }
    }
    progress_end();
    let mut report = Report::new("shares");
    report.set("connections", args.connections);
    report.set("in_flight", args.in_flight);
    report.set_figure("seconds", figures.seconds);
    report.set("shares_accepted", figures.accepted);
    report.set_figure("shares_per_second", figures.accepted as f64 / figures.seconds);
    report.set_times("latency", &total.times);
    figures.tell_server(&mut report);
    if args.sleep {
        let client = figures.client_cpu.as_nanos() as f64;
        report.set_figure("client_cpu_us_per_share", client / 1e3 / figures.accepted.max(1) as f64);
    }
    report.set("shares_refused", serde_json::to_value(&total.refused).unwrap_or_default());
    report.set("connections_ended", serde_json::to_value(&total.ended).unwrap_or_default());
    if let Some(bytes) = setup.resident_bytes() {
        report.set_figure("server_resident_mib", bytes as f64 / f64::from(1 << 20));
    }
    Ok(report)
}

/// What happened between the warm-up and the end.
#[derive(Default)]
struct Window {
    seconds: f64,
    accepted: u64,
    server_cpu: Option<Duration>,
    /// Of the server's time, as far as ticks tell.
    user_fraction: Option<f64>,
    /// The server was ready to run, and its CPU was busy with others.
    server_waited: Option<Duration>,
    client_cpu: Duration,
}

impl Window {
    fn tell_server(&self, report: &mut Report) {
        let Some(cpu) = self.server_cpu else { return };
        let per_share = cpu.as_nanos() as f64 / 1e3 / self.accepted.max(1) as f64;
        report.set_figure("server_cpu_us_per_share", per_share);
        report.set_figure("server_cpu_percent", 100.0 * cpu.as_secs_f64() / self.seconds);
        if let Some(waited) = self.server_waited {
            let percent = 100.0 * waited.as_secs_f64() / self.seconds;
            report.set_figure("server_waited_percent", percent);
        }
        if let Some(user) = self.user_fraction {
            report.set_figure("server_cpu_user_us_per_share", per_share * user);
        }
    }
}

/// Opens and closes the measured window, and reads all meters at both ends.
fn watch(args: &SharesArgs, setup: &Setup, shared: &Shared) -> Window {
    let accepted =
        || shared.accepted.iter().map(|count| count.load(Ordering::Relaxed)).sum::<u64>();
    let server_cpu = || setup.pid.and_then(|pid| machine::cpu_time(pid).ok());
    let ticks = || setup.pid.and_then(machine::user_and_system);
    let own_cpu = || machine::cpu_time(std::process::id()).unwrap_or_default();
    let pause =
        |seconds: f64| thread::sleep(Duration::try_from_secs_f64(seconds).unwrap_or_default());
    pause(args.warm_up);
    shared.phase.store(MEASURED, Ordering::Relaxed);
    let waited = || setup.pid.and_then(machine::waited);
    let meters = || (machine::nanoseconds(), accepted(), server_cpu(), own_cpu(), ticks());
    let waited_before = waited();
    let start = meters();
    let mut left = args.seconds;
    while left > 0.0 {
        pause(left.min(1.0));
        left -= 1.0;
        let seconds = (machine::nanoseconds() - start.0) as f64 / 1e9;
        let rate = (accepted() - start.1) as f64 / seconds;
        if left > 0.0 {
            progress(&format!("{seconds:.0} s: {rate:.0} shares/s"));
        }
    }
    let end = meters();
    shared.phase.store(OVER, Ordering::Relaxed);
    let user_fraction = match (start.4, end.4) {
        (Some(start), Some(end)) => {
            let (user, system) = (end.0 - start.0, end.1 - start.1);
            (user + system > 0).then(|| user as f64 / (user + system) as f64)
        }
        _ => None,
    };
    Window {
        seconds: (end.0 - start.0) as f64 / 1e9,
        accepted: end.1 - start.1,
        server_cpu: end.2.zip(start.2).map(|(end, start)| end.saturating_sub(start)),
        user_fraction,
        server_waited: waited().zip(waited_before).map(|(end, start)| end.saturating_sub(start)),
        client_cpu: end.3.saturating_sub(start.3),
    }
}

/// One thread's miners, from the first connection to the end.
fn work(
    plan: FleetPlan,
    patience: Duration,
    thread: usize,
    shared: &Shared,
    all_here: &Barrier,
) -> Result<Closed, FloodError> {
    let mut player = Closed::default();
    let arrived = Fleet::new(plan).map_err(FloodError::from).and_then(|mut fleet| {
        arrive(&mut fleet, &mut player, AHEAD_MAX, |_| {})?;
        Ok(fleet)
    });
    // Nobody is left waiting, whatever went wrong here.
    shared.failed.fetch_or(arrived.is_err(), Ordering::Relaxed);
    all_here.wait();
    let mut fleet = arrived?;
    player.in_flight = plan.in_flight;
    let now = machine::nanoseconds();
    for index in 0..plan.miners {
        fleet.feed(index, plan.in_flight, now)?;
    }
    loop {
        match shared.phase.load(Ordering::Relaxed) {
            WARMING_UP => {}
            MEASURED => player.is_measured = true,
            _ => return Ok(player),
        }
        fleet.turn(&mut player, patience)?;
        shared.accepted[thread].store(player.accepted, Ordering::Relaxed);
    }
}
