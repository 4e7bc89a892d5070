//! How long from a bad start to the wanted rate, and how often it changes afterwards.

use crate::measures::{Run, SETTLING_SECONDS, mean, runs, spread};
use crate::simulation::Scenario;

/// A home-made miner, a USB stick, an old ASIC, a new one, a container and a nation.
const HASHRATES: [f64; 6] = [1e4, 1e10, 1e12, 2e14, 1e16, 1e18];
const SEEDS: u64 = 20;

fn scenarios(off: f64) -> impl Iterator<Item = Scenario> {
    HASHRATES.into_iter().flat_map(move |hashrate| {
        [Some(30.0), None].map(|churn| Scenario { churn, ..Scenario::new(hashrate, off) })
    })
}

#[test]
fn from_a_thousand_times_too_easy_it_takes_seconds() {
    let seconds = scenarios(0.001).flat_map(|scenario| runs(SEEDS, &scenario));
    let (median, p95, max) = spread(seconds.map(|run| run.seconds_to(0.2, 0.0)));
    assert!(median <= 8.0 && p95 <= 10.0 && max <= 20.0, "{median} {p95} {max}");
}

#[test]
fn from_a_thousand_times_too_hard_it_takes_minutes_and_no_connection_is_closed() {
    let runs: Vec<_> = scenarios(1000.0).flat_map(|scenario| runs(SEEDS, &scenario)).collect();
    let (median, p95, max) = spread(runs.iter().map(|run| run.seconds_to(0.2, 0.0)));
    // One run in hundreds rests between 20 and 30 % off until a second measurement.
    assert!(median <= 300.0 && p95 <= 480.0 && max <= 2700.0, "{median} {p95} {max}");
    assert!(runs.iter().all(|run| run.record.closed_at.is_empty()));
}

#[test]
fn from_any_start_the_rate_is_within_half_of_the_target_in_ten_minutes() {
    for off in [0.001, 0.01, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 10.0, 100.0, 1000.0] {
        for churn in [Some(30.0), None] {
            let scenario = Scenario { churn, ..Scenario::new(2e14, off) };
            for run in runs(SEEDS, &scenario) {
                let seconds = run.seconds_to(0.5, 0.0);
                assert!(seconds <= 600.0, "{seconds} s from {off}, seed {}", run.scenario.seed);
                let late = (600..7200).step_by(10).map(f64::from);
                let off_later = late.filter(|at| (run.relative_rate(*at) - 1.0).abs() > 0.5);
                assert!(off_later.count() < 20, "leaves it again: {:?}", run.record.changes);
            }
        }
    }
}

#[test]
fn once_settled_it_stays_within_a_fifth_and_changes_less_than_once_an_hour() {
    for off in [0.001, 1.0, 1000.0] {
        for hashrate in HASHRATES {
            let scenario = Scenario { hours: 8.0, ..Scenario::new(hashrate, off) };
            let runs = runs(6, &scenario);
            let within = mean(runs.iter().map(|run| run.part_within(0.2)));
            let (_, _, most) = spread(runs.iter().map(Run::changes_per_hour));
            let changes = mean(runs.iter().map(Run::changes_per_hour));
            let case = format!("{hashrate:e} H/s from {off}: {within} {changes} {most}");
            assert!(within >= 0.97 && changes <= 0.8 && most <= 1.5, "{case}");
        }
    }
}

#[test]
fn a_settled_difficulty_does_not_swing() {
    let scenario = Scenario { hours: 24.0, ..Scenario::new(2e14, 1.0) };
    let swings: Vec<_> = runs(20, &scenario).iter().map(Run::swings).collect();
    assert!(swings.iter().sum::<usize>() <= 24, "in 480 hours: {swings:?}");
}

#[test]
fn a_right_start_is_left_alone() {
    let early = runs(60, &Scenario::new(2e14, 1.0));
    let changes = |run: &Run| run.changes_after(0.0) - run.changes_after(SETTLING_SECONDS);
    let changes = mean(early.iter().map(|run| changes(run) as f64));
    assert!(changes <= 0.5, "{changes} changes in the first 20 minutes");
}

#[test]
fn other_targets_are_met_as_well() {
    for (target, median_max, within_min) in
        [(2.0, 3600.0, 0.75), (6.0, 1200.0, 0.9), (60.0, 180.0, 0.97)]
    {
        for off in [0.001, 0.1, 10.0, 1000.0] {
            let scenario = Scenario { hours: 4.0, ..Scenario::with_target(2e14, off, target) };
            let runs = runs(10, &scenario);
            let (median, ..) = spread(runs.iter().map(|run| run.seconds_to(0.2, 0.0)));
            let within = mean(runs.iter().map(|run| run.part_within(0.2)));
            let changes = mean(runs.iter().map(Run::changes_per_hour));
            let case = format!("{target} a minute from {off}: {median} {within} {changes}");
            assert!(median <= median_max && within >= within_min && changes <= 1.0, "{case}");
        }
    }
}

#[test]
#[ignore = "prints the table of documentation/vardiff.md"]
fn report() {
    let default = |hashrate, off| (Scenario::new(hashrate, off), off);
    let starts = HASHRATES.into_iter().flat_map(|h| [default(h, 0.001), default(h, 1000.0)]);
    let nearer = [0.01, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 10.0, 100.0].map(|off| default(2e14, off));
    let targets = [2.0, 6.0, 60.0].into_iter().flat_map(|target| {
        [0.001, 1.0, 1000.0].map(|off| (Scenario::with_target(2e14, off, target), off))
    });
    for (scenario, off) in starts.chain(nearer).chain(targets) {
        let churns = [Some(30.0), None].into_iter();
        let runs: Vec<_> = churns
            .flat_map(|churn| runs(50, &Scenario { hours: 6.0, churn, ..scenario.clone() }))
            .collect();
        let (median, p95, max) = spread(runs.iter().map(|run| run.seconds_to(0.2, 0.0)));
        let (_, _, half) = spread(runs.iter().map(|run| run.seconds_to(0.5, 0.0)));
        let within = 100.0 * mean(runs.iter().map(|run| run.part_within(0.2)));
        let changes = mean(runs.iter().map(Run::changes_per_hour));
        println!(
            "| {:.0e} H/s | {} | ×{off} | {median:.0} s | {p95:.0} s | {max:.0} s | {half:.0} s \
             | {within:.1} % | {changes:.2} |",
            scenario.hashrate_at(0.0),
            scenario.target,
        );
    }
}
