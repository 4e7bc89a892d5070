//! The shards' reports added up: totals of the pool and of its workers. Pure; control owns it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use gopool_shards::link::{Gauges, Report};
use gopool_shards::tally::{Sums, WorkerSums};
use gopool_shards::work::target::HASHES_PER_DIFFICULTY;

use crate::snapshot::{ConnectionFigures, ShardFigures, ShareFigures, WorkerFigures};

/// Over which the pool's hashrate is averaged.
const HASHRATE_WINDOW: Duration = Duration::from_secs(600);
const MINUTE: Duration = Duration::from_secs(60);
/// Workers that are not connected any more and still listed; the oldest go first.
const AWAY_WORKERS_MAX: usize = 1000;

/// Everything counted since the process started.
#[derive(Debug)]
pub struct Ledger {
    sums: Sums,
    shards: Vec<ShardFigures>,
    gauges: Vec<Gauges>,
    /// Work accepted, report by report: when, how many shares, of what difficulty together.
    recent: VecDeque<(Duration, u64, f64)>,
}

impl Ledger {
    /// `cores` says where each shard runs.
    pub fn new(cores: &[usize]) -> Self {
        let shard =
            |(id, core): (usize, &usize)| ShardFigures { id, core: *core, ..Default::default() };
        Self {
            sums: Sums::default(),
            shards: cores.iter().enumerate().map(shard).collect(),
            gauges: vec![Gauges::default(); cores.len()],
            recent: VecDeque::new(),
        }
    }

    /// Adds a report that came `elapsed` after the start.
    pub fn add(&mut self, report: Report, elapsed: Duration) {
        let shard = &mut self.shards[report.shard];
        shard.connections = report.gauges.connections;
        shard.accepted += report.sums.accepted;
        shard.rejected += report.sums.rejected.values().sum::<u64>();
        self.gauges[report.shard] = report.gauges;
        if report.sums.accepted > 0 {
            self.recent.push_back((elapsed, report.sums.accepted, report.sums.accepted_difficulty));
        }
        while self
            .recent
            .front()
            .is_some_and(|(at, ..)| elapsed.saturating_sub(*at) > HASHRATE_WINDOW)
        {
            self.recent.pop_front();
        }
        self.sums.add(report.sums);
        self.forget_away_workers();
    }

    pub fn shares(&self, elapsed: Duration) -> ShareFigures {
        let age = |at: &Duration| elapsed.saturating_sub(*at);
        let in_window = self.recent.iter().filter(|(at, ..)| age(at) <= HASHRATE_WINDOW);
        let work: f64 = in_window.map(|(.., difficulty)| difficulty).sum();
        let window = HASHRATE_WINDOW.min(elapsed).as_secs_f64().max(1.0);
        let in_minute = self.recent.iter().filter(|(at, ..)| age(at) <= MINUTE);
        ShareFigures {
            accepted: self.sums.accepted,
            accepted_difficulty: self.sums.accepted_difficulty,
            rejected: self.sums.rejected.clone(),
            mistakes: self.sums.mistakes.clone(),
            vardiff_up: self.sums.vardiff_up,
            vardiff_down: self.sums.vardiff_down,
            best_difficulty: self.sums.best_difficulty,
            hashrate: work * HASHES_PER_DIFFICULTY / window,
            per_minute: in_minute.map(|(_, accepted, _)| *accepted as f64).sum(),
        }
    }

    pub fn connections(&self) -> ConnectionFigures {
        ConnectionFigures {
            open: self.shards.iter().map(|shard| shard.connections).sum(),
            authorized: self.gauges.iter().map(|gauges| gauges.authorized).sum(),
            tls: self.gauges.iter().map(|gauges| gauges.tls).sum(),
            accepted: self.sums.connections_accepted,
            refused: self.sums.connections_refused,
            closed: self.sums.connections_closed.clone(),
        }
    }

    pub fn shards(&self) -> Vec<ShardFigures> {
        self.shards.clone()
    }

    /// Connected workers, by name.
    pub fn workers(&self) -> Vec<WorkerFigures> {
        let mut connected: Vec<_> =
            self.sums.workers.iter().filter(|(_, sums)| sums.connections > 0).collect();
        connected.sort_unstable_by_key(|(name, _)| *name);
        connected.into_iter().map(|(name, sums)| worker_figures(name, sums)).collect()
    }

    fn forget_away_workers(&mut self) {
        let workers = &mut self.sums.workers;
        let away = workers.values().filter(|sums| sums.connections <= 0).count();
        if away <= AWAY_WORKERS_MAX {
            return;
        }
        let mut by_age: BTreeMap<(u64, Arc<str>), ()> = BTreeMap::new();
        for (name, sums) in workers.iter().filter(|(_, sums)| sums.connections <= 0) {
            by_age.insert((sums.last_share_at, Arc::clone(name)), ());
        }
        // Half of them at once, so that this is not done for every report.
        for (_, name) in by_age.into_keys().take(away - AWAY_WORKERS_MAX / 2) {
            workers.remove(&name);
        }
    }
}

fn worker_figures(name: &str, sums: &WorkerSums) -> WorkerFigures {
    WorkerFigures {
        name: name.to_owned(),
        connections: sums.connections.max(0).cast_unsigned(),
        accepted: sums.accepted,
        rejected: sums.rejected,
        accepted_difficulty: sums.accepted_difficulty,
        best_difficulty: sums.best_difficulty,
        difficulty: sums.difficulty,
        last_share_at: (sums.last_share_at > 0)
            .then(|| UNIX_EPOCH + Duration::from_secs(sums.last_share_at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gopool_shards::tally::Tally;

    fn report(shard: usize, fill: impl FnOnce(&mut Tally)) -> Report {
        let mut tally = Tally::default();
        fill(&mut tally);
        Report {
            shard,
            sums: tally.take(),
            gauges: Gauges { connections: 2, authorized: 1, tls: 0 },
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn reports_of_all_shards_add_up() {
        let mut ledger = Ledger::new(&[1, 2]);
        let worker: Arc<str> = "w".into();
        for shard in 0..2 {
            let report = report(shard, |tally| {
                let seat = tally.join(&worker);
                tally.accept(Some(seat), 4.0, 5.0 + shard as f64, 100);
            });
            ledger.add(report, 60 * SECOND);
        }
        let shares = ledger.shares(60 * SECOND);
        assert_eq!(
            (shares.accepted, shares.accepted_difficulty, shares.best_difficulty),
            (2, 8.0, 6.0)
        );
        assert_eq!(shares.per_minute, 2.0);
        assert_eq!(shares.hashrate, 8.0 * 4_294_967_296.0 / 60.0);
        assert_eq!(ledger.connections().open, 4);
        assert_eq!(ledger.workers()[0].connections, 2);
        // Work that is past the window does not count as hashing any more.
        assert_eq!(ledger.shares(1000 * SECOND).hashrate, 0.0);
        assert_eq!(ledger.shares(1000 * SECOND).per_minute, 0.0);
    }

    #[test]
    fn workers_that_left_are_forgotten_before_they_are_too_many() {
        let mut ledger = Ledger::new(&[0]);
        let stays: Arc<str> = "stays".into();
        let stays = report(0, |tally| {
            tally.join(&stays);
        });
        ledger.add(stays, SECOND);
        for i in 0..5 * AWAY_WORKERS_MAX {
            let name: Arc<str> = format!("w{i}").into();
            let report = report(0, |tally| {
                let seat = tally.join(&name);
                tally.leave(seat);
            });
            ledger.add(report, SECOND);
        }
        assert!(ledger.sums.workers.len() <= AWAY_WORKERS_MAX + 1);
        assert_eq!(ledger.workers().len(), 1);
    }
}
