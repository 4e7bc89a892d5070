//! `connect`: everybody comes at once, as after a reboot of the pool or of a farm's line.

use std::thread;
use std::time::Duration;

use clap::Args;

use super::arrival::{AHEAD_MAX, arrive};
use super::fleet::{Fleet, Player};
use super::histogram::Histogram;
use super::miner::Miner;
use super::report::{Report, progress, progress_end};
use super::setup::{Common, FloodError, Setup, Wishes};
use crate::net::machine;

/// What the server does of itself after its start is over by then.
const SETTLE: Duration = Duration::from_millis(500);

/// A connect storm: the time until all miners are connected, subscribed, authorized and at work.
#[derive(Args, Clone, Debug)]
pub struct ConnectArgs {
    #[command(flatten)]
    pub common: Common,
    /// Miners
    #[arg(long, short = 'c', value_name = "COUNT", default_value_t = 15_000)]
    pub connections: usize,
    /// Miners that may be on their way in at a time; more than the server's backlog holds are
    /// dropped by the kernel and come again a second later
    #[arg(long, value_name = "COUNT", default_value_t = AHEAD_MAX)]
    pub ahead: usize,
}

/// Notes when each has its first work.
#[derive(Default)]
struct Storm {
    started_at: u64,
    times: Histogram,
}

impl Player for Storm {
    fn on_ready(&mut self, _miner: &mut Miner, now: u64) {
        self.times.add(now - self.started_at);
    }
}

/// Runs the mode.
pub fn run(args: &ConnectArgs) -> Result<Report, FloodError> {
    let setup = Setup::new(&args.common, &Wishes::of(args.connections))?;
    thread::sleep(SETTLE);
    let mut fleet = Fleet::new(setup.fleet_plan(&args.common, args.connections, 1))?;
    let cpu = || setup.pid.and_then(|pid| machine::cpu_time(pid).ok());
    let cpu_before = cpu();
    let mut storm = Storm { started_at: machine::nanoseconds(), ..Storm::default() };
    let mut told = 0;
    arrive(&mut fleet, &mut storm, args.ahead, |ready| {
        if ready >= told + 5000 {
            told = ready;
            progress(&format!("{ready} miners at work"));
        }
    })?;
    progress_end();
    let seconds = (machine::nanoseconds() - storm.started_at) as f64 / 1e9;
    let mut report = Report::new("connect");
    report.set("connections", args.connections);
    report.set_figure("seconds", seconds);
    report.set_figure("connections_per_second", args.connections as f64 / seconds);
    report.set_times("at_work", &storm.times);
    if let Some((after, before)) = cpu().zip(cpu_before) {
        let microseconds = (after - before).as_nanos() as f64 / 1e3;
        report.set_figure("server_cpu_us_per_connection", microseconds / args.connections as f64);
    }
    Ok(report)
}
