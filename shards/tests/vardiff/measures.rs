//! Figures of one run and of many.

use gopool_shards::session::meter::shares_per_minute;

use crate::simulation::{Record, Scenario, run};

/// Minutes after which a run counts as settled.
pub const SETTLING_SECONDS: f64 = 20.0 * 60.0;

/// A scenario and what happened in it.
pub struct Run {
    pub scenario: Scenario,
    pub record: Record,
}

/// Runs a scenario with this many seeds.
pub fn runs(seeds: u64, scenario: &Scenario) -> Vec<Run> {
    let run = |seed| {
        let scenario = Scenario { seed, ..scenario.clone() };
        Run { record: run(&scenario), scenario }
    };
    (0..seeds).map(run).collect()
}

impl Run {
    /// Expected shares a minute over the wanted ones: what the difficulty is worth, without the
    /// noise of the shares themselves.
    pub fn relative_rate(&self, at: f64) -> f64 {
        let changes = &self.record.changes;
        let index = changes.partition_point(|(from, _)| *from <= at);
        let difficulty = changes[index - 1].1;
        shares_per_minute(self.scenario.hashrate_at(at), difficulty) / self.scenario.target
    }

    fn is_within(&self, at: f64, tolerance: f64) -> bool {
        (self.relative_rate(at) - 1.0).abs() <= tolerance
    }

    /// Seconds from `from` until the rate is within the tolerance.
    pub fn seconds_to(&self, tolerance: f64, from: f64) -> f64 {
        let changes = self.record.changes.iter().map(|(at, _)| *at).filter(|at| *at > from);
        std::iter::once(from)
            .chain(changes)
            .find(|at| self.is_within(*at, tolerance))
            .map_or(f64::INFINITY, |at| at - from)
    }

    /// The part of the settled time that the rate is within the tolerance.
    pub fn part_within(&self, tolerance: f64) -> f64 {
        let ends = self.scenario.hours * 360.0;
        let samples: Vec<_> =
            ((SETTLING_SECONDS / 10.0) as u32..ends as u32).map(|i| f64::from(i) * 10.0).collect();
        let within = samples.iter().filter(|at| self.is_within(**at, tolerance)).count();
        within as f64 / samples.len() as f64
    }

    pub fn changes_after(&self, from: f64) -> usize {
        self.record.changes[1..].iter().filter(|(at, _)| *at > from).count()
    }

    /// Changes an hour once settled.
    pub fn changes_per_hour(&self) -> f64 {
        let hours = self.scenario.hours - SETTLING_SECONDS / 3600.0;
        self.changes_after(SETTLING_SECONDS) as f64 / hours
    }

    /// Settled changes of a fifth or more that undo one of a fifth or more, within half an hour.
    pub fn swings(&self) -> usize {
        let changes = &self.record.changes;
        let step = |i: usize| (changes[i].1 / changes[i - 1].1).log2();
        let large = 1.2_f64.log2();
        (2..changes.len())
            .filter(|i| changes[*i - 1].0 > SETTLING_SECONDS)
            .filter(|i| changes[*i].0 - changes[*i - 1].0 < 1800.0)
            .filter(|i| step(*i) * step(*i - 1) < 0.0)
            .filter(|i| step(*i).abs().min(step(*i - 1).abs()) >= large)
            .count()
    }
}

pub fn mean(figures: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, count) = figures.into_iter().fold((0.0, 0.0), |(s, c), x| (s + x, c + 1.0));
    sum / count
}

/// The median, the 95th percentile and the largest.
pub fn spread(figures: impl IntoIterator<Item = f64>) -> (f64, f64, f64) {
    let mut figures: Vec<_> = figures.into_iter().collect();
    figures.sort_unstable_by(f64::total_cmp);
    let at = |percent| figures[(figures.len() - 1) * percent / 100];
    (at(50), at(95), at(100))
}
