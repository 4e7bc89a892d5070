//! `bad`: what good miners notice of bad ones.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use clap::Args;

use super::arrival::{AHEAD_MAX, arrive};
use super::fleet::Fleet;
use super::mischief::{self, Kind};
use super::pace::{IN_FLIGHT, Pace, Paced};
use super::report::{Report, progress, progress_end};
use super::setup::{Common, FloodError, Setup, Wishes};
use crate::net::machine::{self, nanoseconds};

/// Bad input of ten kinds: garbage, endless and half lines, wrong types, deep nesting, TLS and HTTP,
/// slow readers, floods of invalid shares, connections that come and go. Good miners work meanwhile.
#[derive(Args, Clone, Debug)]
pub struct BadArgs {
    #[command(flatten)]
    pub common: Common,
    /// Good miners
    #[arg(long, short = 'c', value_name = "COUNT", default_value_t = 500)]
    pub connections: usize,
    /// Shares of each good miner
    #[arg(long, value_name = "COUNT", default_value_t = 60.0)]
    pub shares_per_minute: f64,
    /// Bad connections of each kind
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    pub each: usize,
    /// First without bad input, then so long again with it
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub seconds: u64,
    /// A pool started here bans nobody, so that bad input never stops
    #[arg(long)]
    pub no_bans: bool,
}

/// Runs the mode.
pub fn run(args: &BadArgs) -> Result<Report, FloodError> {
    if args.common.tls {
        return Err(FloodError::Usage("bad input goes to the plain port: drop --tls"));
    }
    let bad = args.each * Kind::ALL.len();
    let wishes = Wishes { has_bans: !args.no_bans, ..Wishes::of(args.connections + bad) };
    let setup = Setup::new(&args.common, &wishes)?;
    let mut fleet = Fleet::new(setup.fleet_plan(&args.common, args.connections, IN_FLIGHT))?;
    let mut paced = Paced::new(Pace { shares_per_minute: args.shares_per_minute, stay: None });
    arrive(&mut fleet, &mut paced, AHEAD_MAX, |_| {})?;
    let resident = || setup.resident_bytes().unwrap_or_default() as f64 / f64::from(1 << 20);
    let cpu = || setup.pid.and_then(|pid| machine::cpu_time(pid).ok()).unwrap_or_default();
    let span = args.seconds * 1_000_000_000;
    progress("good miners alone");
    let cpu_start = cpu();
    paced.play(&mut fleet, nanoseconds() + span)?;
    let (resident_before, cpu_between) = (resident(), cpu());
    let refused_before = std::mem::take(&mut paced.refused);
    progress("with bad input");
    let stop = Arc::new(AtomicBool::new(false));
    let (target, each, heard) = (setup.target, args.each, Arc::clone(&stop));
    let villains = thread::Builder::new()
        .name("mischief".into())
        .spawn(move || mischief::run(target, each, &heard))?;
    paced.class = 1;
    let played = paced.play(&mut fleet, nanoseconds() + span);
    let (resident_during, cpu_end) = (resident(), cpu());
    stop.store(true, Ordering::Relaxed);
    let outcomes: BTreeMap<_, _> = villains.join().unwrap_or_default();
    played?;
    progress_end();
    let mut report = Report::new("bad");
    report.set("connections", args.connections);
    report.set("bad_connections", bad);
    report.set_times("answer_before", &paced.times[0]);
    report.set_times("answer_during", &paced.times[1]);
    report.set("answers_before", paced.times[0].count());
    report.set("answers_during", paced.times[1].count());
    report.set("shares_refused_before", serde_json::to_value(&refused_before).unwrap_or_default());
    report.set("shares_refused_during", serde_json::to_value(&paced.refused).unwrap_or_default());
    report.set("good_miners_ended", serde_json::to_value(&paced.ended).unwrap_or_default());
    report.set("bad_input", mischief::to_json(&outcomes));
    if setup.pid.is_some() {
        let percent = |from: std::time::Duration, to: std::time::Duration| {
            100.0 * to.saturating_sub(from).as_secs_f64() / args.seconds.max(1) as f64
        };
        report.set_figure("server_cpu_percent_before", percent(cpu_start, cpu_between));
        report.set_figure("server_cpu_percent_during", percent(cpu_between, cpu_end));
        report.set_figure("server_resident_mib_before", resident_before);
        report.set_figure("server_resident_mib_during", resident_during);
    }
    Ok(report)
}
