//! `idle`: what a miner costs that is only there.

use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use super::arrival::{AHEAD_MAX, arrive};
use super::fleet::{Fleet, FleetPlan, Player};
use super::miner::Miner;
use super::report::{Report, progress, progress_end};
use super::setup::{Common, FloodError, Setup, Wishes};
use crate::net::machine;

const TURN: Duration = Duration::from_millis(50);
/// Miners that are there before memory is read for the first time: what a server takes once, for
/// its first miner, is not what each costs.
const WARM_UP_MINERS: usize = 100;
/// The first miners of the measured fleet have other names than those of the warm-up.
const FIRST: usize = 1_000_000;

/// Memory of miners that are connected, authorized and idle.
#[derive(Args, Clone, Debug)]
pub struct IdleArgs {
    #[command(flatten)]
    pub common: Common,
    /// Miners
    #[arg(long, short = 'c', value_name = "COUNT", default_value_t = 10_000)]
    pub connections: usize,
    /// From the last arrival until memory is read: an allocator gives back late what arriving took
    #[arg(long, value_name = "SECONDS", default_value_t = 12.0)]
    pub settle: f64,
}

/// Nobody may leave.
#[derive(Default)]
struct Idle {
    ended: usize,
    works: u64,
}

impl Player for Idle {
    fn on_work(&mut self, _miner: &mut Miner, _line: &[u8], _is_clean: bool, _now: u64) {
        self.works += 1;
    }

    fn on_end(&mut self, _miner: &mut Miner, _reason: &str) {
        self.ended += 1;
    }
}

/// Runs the mode.
pub fn run(args: &IdleArgs) -> Result<Report, FloodError> {
    let setup = Setup::new(&args.common, &Wishes::of(args.connections + WARM_UP_MINERS))?;
    let pid = setup.pid.ok_or(FloodError::Usage(
        "whose memory is to be read? Name the server with --pid, or start it with --spawn",
    ))?;
    let mut warm_up = Fleet::new(setup.fleet_plan(&args.common, WARM_UP_MINERS, 1))?;
    let mut player = Idle::default();
    arrive(&mut warm_up, &mut player, AHEAD_MAX, |_| {})?;
    thread::sleep(Duration::from_secs(1));
    let before = machine::resident_bytes(pid)?;
    let whole = setup.fleet_plan(&args.common, args.connections, 1);
    let mut fleet = Fleet::new(FleetPlan { first: FIRST, ..whole })?;
    let mut told = 0;
    arrive(&mut fleet, &mut player, AHEAD_MAX, |ready| {
        if ready >= told + 2000 {
            told = ready;
            progress(&format!("{ready} miners idle"));
        }
    })?;
    let at_once = machine::resident_bytes(pid)?;
    let settle = Duration::try_from_secs_f64(args.settle).unwrap_or_default();
    let settled = Instant::now() + settle;
    let cpu_before = machine::cpu_time(pid)?;
    let started = Instant::now();
    while Instant::now() < settled {
        fleet.turn(&mut player, TURN)?;
        warm_up.turn(&mut player, Duration::ZERO)?;
    }
    let cpu = machine::cpu_time(pid)? - cpu_before;
    let waited = started.elapsed().as_secs_f64().max(0.001);
    let after = machine::resident_bytes(pid)?;
    progress_end();
    let mut report = Report::new("idle");
    report.set("connections", args.connections);
    report.set("tls", args.common.tls);
    let kibibytes = |bytes: u64| bytes.saturating_sub(before) as f64 / 1024.0;
    let each = |bytes: u64| kibibytes(bytes) / args.connections.max(1) as f64;
    report.set_figure("server_kib_per_connection", each(after));
    report.set_figure("server_kib_per_connection_at_once", each(at_once));
    report.set_figure("server_resident_mib_before", before as f64 / f64::from(1 << 20));
    report.set_figure("server_resident_mib_after", after as f64 / f64::from(1 << 20));
    report.set_figure("server_cpu_percent_idle", 100.0 * cpu.as_secs_f64() / waited);
    report.set("works_received", player.works);
    report.set("connections_ended", player.ended);
    Ok(report)
}
