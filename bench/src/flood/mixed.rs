//! `mixed`: an ordinary quarter of an hour of a large pool, or as much of it as there is time for.

use std::time::Duration;

use clap::Args;

use super::arrival::{AHEAD_MAX, arrive};
use super::fleet::Fleet;
use super::pace::{IN_FLIGHT, Pace, Paced};
use super::report::{Report, progress, progress_end};
use super::setup::{Common, FloodError, Setup, Wishes};
use crate::net::machine::{self, nanoseconds};

/// A broadcast whose last miner never hears of it ends for the statistics.
const BROADCAST_MAX: u64 = 2_000_000_000;
/// How often it is looked whether a broadcast is over.
const LOOK: u64 = 5_000_000;

/// Miners as they are: shares at random times, coming and going, a new tip now and then.
#[derive(Args, Clone, Debug)]
pub struct MixedArgs {
    #[command(flatten)]
    pub common: Common,
    /// Miners
    #[arg(long, short = 'c', value_name = "COUNT", default_value_t = 5000)]
    pub connections: usize,
    /// For how long
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub seconds: u64,
    /// Of each miner, on average
    #[arg(long, value_name = "COUNT", default_value_t = 15.0)]
    pub shares_per_minute: f64,
    /// How long a miner stays before another takes its place, on average; 0 for ever
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub stay: u64,
    /// From one new tip to the next, when the stand-in node brings them (--spawn)
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub tip_every: u64,
}

/// Runs the mode.
pub fn run(args: &MixedArgs) -> Result<Report, FloodError> {
    let setup = Setup::new(&args.common, &Wishes::of(args.connections))?;
    let mut fleet = Fleet::new(setup.fleet_plan(&args.common, args.connections, IN_FLIGHT))?;
    let stay = (args.stay > 0).then(|| Duration::from_secs(args.stay));
    let pace = Pace { shares_per_minute: args.shares_per_minute, stay };
    let mut paced = Paced::new(pace);
    arrive(&mut fleet, &mut paced, AHEAD_MAX, |_| {})?;
    let resident = || setup.resident_bytes().unwrap_or_default() as f64 / f64::from(1 << 20);
    let cpu = || setup.pid.and_then(|pid| machine::cpu_time(pid).ok()).unwrap_or_default();
    let started = nanoseconds();
    let second = 1_000_000_000;
    let end = started + args.seconds * second;
    let (resident_start, cpu_start) = (resident(), cpu());
    let mut resident_mid = resident_start;
    let mut next_tip = started + args.tip_every.max(1) * second / 2;
    let mut tips = 0u64;
    let mut told = started;
    while nanoseconds() < end {
        let pause = next_tip.min(end).min(told + 5 * second);
        paced.play(&mut fleet, pause)?;
        let now = nanoseconds();
        if now >= told + 5 * second {
            told = now;
            progress(&format!(
                "{} s: {} accepted, {} refused, {} left",
                (now - started) / second,
                paced.accepted,
                paced.refused.values().sum::<u64>(),
                paced.left
            ));
        }
        if (now - started) * 2 < args.seconds * second {
            resident_mid = resident();
        }
        if now >= next_tip && now < end {
            next_tip += args.tip_every.max(1) * second;
            let Some(node) = &setup.node else { continue };
            (paced.class, paced.heard) = (1, 0);
            node.new_tip();
            tips += 1;
            while paced.heard < fleet.ready && nanoseconds() < now + BROADCAST_MAX {
                paced.play(&mut fleet, nanoseconds() + LOOK)?;
            }
            paced.class = 0;
        }
    }
    progress_end();
    let mut report = Report::new("mixed");
    report.set("connections", args.connections);
    report.set("seconds", args.seconds);
    report.set("new_tips", tips);
    report.set("shares_sent", paced.sent);
    report.set("shares_accepted", paced.accepted);
    report.set("miners_left_and_came", paced.left);
    report.set_times("answer_quiet", &paced.times[0]);
    report.set_times("answer_broadcast", &paced.times[1]);
    report.set("answers_broadcast", paced.times[1].count());
    report.set_times("client_late", &paced.late);
    let sent = paced.sent.max(1) as f64;
    let refused: u64 = paced.refused.values().sum();
    report.set_figure("refused_percent", 100.0 * refused as f64 / sent);
    report.set("shares_refused", serde_json::to_value(&paced.refused).unwrap_or_default());
    report.set("connections_ended", serde_json::to_value(&paced.ended).unwrap_or_default());
    if setup.pid.is_some() {
        let cpu = cpu().saturating_sub(cpu_start).as_secs_f64();
        report.set_figure("server_cpu_percent", 100.0 * cpu / args.seconds.max(1) as f64);
        report.set_figure("server_resident_mib_start", resident_start);
        report.set_figure("server_resident_mib_mid", resident_mid);
        report.set_figure("server_resident_mib_end", resident());
    }
    Ok(report)
}
