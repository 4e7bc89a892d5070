//! Miners that slow down, speed up, stop and return, on connections of every quality.

use crate::measures::{mean, runs, spread};
use crate::simulation::Scenario;

const HASHRATE: f64 = 2e14;
/// When the hashrate changes: long settled.
const CHANGE: f64 = 3600.0;

/// A settled miner that goes on with these parts of its hashrate, from these times.
fn changing(parts: &[(f64, f64)], churn: Option<f64>) -> Scenario {
    let mut scenario = Scenario { hours: 4.0, churn, ..Scenario::new(HASHRATE, 1.0) };
    scenario.hashrate.extend(parts.iter().map(|(at, part)| (*at, part * HASHRATE)));
    scenario
}

/// How long after `from` the rate is within a fifth of the target again, at most.
#[track_caller]
fn recovers(parts: &[(f64, f64)], from: f64, median_max: f64, longest: f64) {
    for churn in [Some(30.0), None] {
        let runs = runs(20, &changing(parts, churn));
        let (median, _, max) = spread(runs.iter().map(|run| run.seconds_to(0.2, from)));
        assert!(median <= median_max && max <= longest, "{parts:?} {churn:?}: {median} {max}");
        let end = mean(runs.iter().map(|run| run.relative_rate(4.0 * 3600.0)));
        assert!((end - 1.0).abs() < 0.15, "{parts:?} {churn:?}: ends at {end}");
        assert!(runs.iter().all(|run| run.record.rejected == 0));
        let changes = mean(runs.iter().map(|run| run.changes_after(from) as f64));
        assert!(changes <= 9.0, "{parts:?} {churn:?}: {changes} changes");
    }
}

#[test]
fn a_drop_to_a_tenth_is_followed_and_costs_no_connection() {
    recovers(&[(CHANGE, 0.1)], CHANGE, 480.0, 1500.0);
    let runs = runs(20, &changing(&[(CHANGE, 0.1)], None));
    assert!(runs.iter().filter(|run| !run.record.closed_at.is_empty()).count() <= 1);
}

#[test]
fn ten_times_the_hashrate_is_followed() {
    recovers(&[(CHANGE, 10.0)], CHANGE, 540.0, 1500.0);
}

#[test]
fn half_and_twice_the_hashrate_are_followed() {
    recovers(&[(CHANGE, 0.5)], CHANGE, 1200.0, 3600.0);
    recovers(&[(CHANGE, 2.0)], CHANGE, 1200.0, 3600.0);
}

#[test]
fn a_burst_of_five_minutes_leaves_nothing_behind() {
    recovers(&[(CHANGE, 10.0), (CHANGE + 300.0, 1.0)], CHANGE + 300.0, 540.0, 1800.0);
}

#[test]
fn a_miner_that_stops_and_returns_is_not_stuck() {
    for silence in [60.0, 170.0, 900.0, 3600.0] {
        let returns = CHANGE + silence;
        recovers(&[(CHANGE, 0.0), (returns, 1.0)], returns, 60.0, 1800.0);
        // Or with one machine of ten.
        recovers(&[(CHANGE, 0.0), (returns, 0.1)], returns, 480.0, 1800.0);
    }
}

#[test]
fn a_miner_that_returns_from_silence_is_no_flood() {
    let parts = [(CHANGE, 0.0), (CHANGE + 3600.0, 1.0)];
    for run in runs(20, &changing(&parts, None)) {
        let most = run.record.per_minute[60..].iter().max().expect("hours of minutes");
        assert!(*most <= 250, "{most} shares in a minute");
    }
}

#[test]
fn no_honest_share_is_rejected_however_slow_the_network_and_the_firmware() {
    let mut as_previous = 0;
    for off in [0.001, 0.1, 1.0, 10.0, 1000.0] {
        for slow_to_follow in [0.0, 15.0, 50.0] {
            let base = Scenario {
                latency_max: 3.0,
                slow_to_follow,
                hours: 3.0,
                ..Scenario::new(HASHRATE, off)
            };
            let mut scenario = base;
            let burst =
                [(3600.0, 10.0), (4500.0, 1.0), (6000.0, 0.1), (7500.0, 3.0), (8000.0, 9.0)];
            scenario.hashrate.extend(burst.map(|(at, part)| (at, part * HASHRATE)));
            for run in runs(6, &scenario) {
                assert_eq!(run.record.rejected, 0, "{:?}", run.scenario);
                assert!(run.record.accepted > 1000);
                as_previous += run.record.accepted_as_previous;
            }
        }
    }
    assert!(as_previous > 1000, "the grace was put to the test: {as_previous}");
}

#[test]
fn a_miner_below_the_minimum_stays_there_in_peace() {
    let base = Scenario::new(1e9, 1.0);
    let scenario = Scenario { min: 256.0, start_difficulty: 256.0, ..base };
    for run in runs(10, &scenario) {
        assert_eq!(run.record.changes.len(), 1, "{:?}", run.record.changes);
    }
}

#[test]
fn a_new_asic_at_the_default_minimum_is_at_its_rate_in_seconds() {
    let base = Scenario::new(HASHRATE, 1.0);
    let scenario = Scenario { min: 256.0, start_difficulty: 256.0, ..base };
    for run in runs(10, &scenario) {
        let seconds = run.seconds_to(0.2, 0.0);
        assert!(seconds <= 10.0, "{seconds}");
        assert!(run.record.per_minute[0] < 2500, "{} shares", run.record.per_minute[0]);
    }
}
