//! The shards' reports added up: totals of the pool, who is connected, best shares. Pure; control
//! owns it, and lends the roster to those who read.

pub mod best_shares;
pub mod miner_types;
pub mod rejects;
pub mod roster;
pub mod view;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use gopool_shards::link::{Gauges, Report, Stages};
use gopool_shards::tally::{Sums, WorkerSums};

use crate::rings::rate::ShareRate;
use crate::snapshot::{ConnectionFigures, MinerType, ShardFigures, ShareFigures, WorkerView};
use crate::store::BestShareRow;
use best_shares::BestShares;
use miner_types::miner_types;
use rejects::Rejects;
use roster::{Fading, Roster};

/// Workers whose recent work the snapshot has, and how recent it is.
const RECENT_LISTED: usize = 15;
const RECENT_SECONDS: u64 = 30 * 60;

/// The roster for those who read: pages, mostly. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct RosterReader(Arc<RwLock<Roster>>);

impl RosterReader {
    /// Control waits while this is held: some milliseconds, at most.
    pub fn read(&self) -> RwLockReadGuard<'_, Roster> {
        self.0.read().expect("no code panics while it holds this")
    }

    fn write(&self) -> RwLockWriteGuard<'_, Roster> {
        self.0.write().expect("no code panics while it holds this")
    }

    /// In place of a ledger.
    #[cfg(test)]
    pub(crate) fn edit(&self) -> RwLockWriteGuard<'_, Roster> {
        self.write()
    }
}

/// Everything counted since the process started.
#[derive(Debug)]
pub struct Ledger {
    /// Without what the roster has.
    sums: Sums,
    rejects: Rejects,
    shards: Vec<ShardFigures>,
    gauges: Vec<Gauges>,
    rate: ShareRate,
    best_shares: BestShares,
    roster: RosterReader,
}

/// What a report has said that others want to hear of.
#[derive(Debug, Default)]
pub struct Heard {
    /// Refused shares that count, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Of the best accepted share.
    pub best_difficulty: f64,
    /// Workers that have had shares accepted, and their best.
    pub best_of_workers: Vec<(Arc<str>, f64)>,
}

impl Ledger {
    /// `cores` says where each shard runs; `best_shares` are those of earlier runs.
    pub fn new(
        cores: &[usize],
        best_shares: Vec<BestShareRow>,
        roster: RosterReader,
        tau: Duration,
    ) -> Self {
        let shard =
            |(id, core): (usize, &usize)| ShardFigures { id, core: *core, ..Default::default() };
        let mut ledger = Self {
            sums: Sums::default(),
            rejects: Rejects::default(),
            shards: cores.iter().enumerate().map(shard).collect(),
            gauges: vec![Gauges::default(); cores.len()],
            rate: ShareRate::default(),
            best_shares: BestShares::new(best_shares),
            roster,
        };
        ledger.set_tau(tau);
        ledger
    }

    /// `hashrate_ema_tau_seconds`, from now on.
    pub fn set_tau(&mut self, tau: Duration) {
        self.roster.write().set_tau(tau);
    }

    pub fn roster(&self) -> RosterReader {
        self.roster.clone()
    }

    /// Adds a report that came `elapsed` after the start.
    pub fn add(&mut self, report: Report, elapsed: Duration) -> Heard {
        let Report { shard, mut sums, gauges } = report;
        let rejected = std::mem::take(&mut sums.rejected);
        let figures = &mut self.shards[shard];
        figures.connections = gauges.connections();
        figures.outbox_bytes = gauges.outbox_bytes;
        figures.receive_buffers_peak = gauges.receive_buffers_peak;
        figures.pace.add(&sums.pace);
        figures.accepted += sums.accepted;
        figures.rejected += rejected.values().sum::<u64>();
        self.gauges[shard] = gauges;
        self.rate.add(elapsed.as_secs(), sums.accepted);
        for share in sums.best_shares.drain(..) {
            self.best_shares.offer(&share);
        }
        let mut heard = Heard {
            rejected: self.rejects.add(rejected, elapsed),
            best_difficulty: sums.best_difficulty,
            best_of_workers: Vec::new(),
        };
        self.add_to_roster(&mut sums, &mut heard);
        self.sums.add(sums);
        heard
    }

    fn add_to_roster(&mut self, sums: &mut Sums, heard: &mut Heard) {
        let mut roster = self.roster.write();
        for (name, worker) in std::mem::take(&mut sums.workers) {
            roster.add_sums(&name, &worker);
            if worker.best_difficulty > 0.0 {
                heard.best_of_workers.push((name, worker.best_difficulty));
            }
        }
        for (sequence, look) in std::mem::take(&mut sums.looks) {
            roster.look(sequence, look);
        }
        for sequence in sums.gone.drain(..) {
            roster.gone(sequence);
        }
        roster.forget_away_workers();
    }

    /// What the pool has been given, as of `elapsed` after the start.
    pub fn shares(&self, elapsed: Duration, hashrate: f64) -> ShareFigures {
        let second = elapsed.as_secs();
        ShareFigures {
            accepted: self.sums.accepted,
            accepted_difficulty: self.sums.accepted_difficulty,
            rejected: self.rejects.by_reason().clone(),
            stale: self.rejects.stale(),
            low_difficulty: self.rejects.low_difficulty(),
            errors: self.rejects.errors(),
            mistakes: self.sums.mistakes.clone(),
            vardiff_up: self.sums.vardiff_up,
            vardiff_down: self.sums.vardiff_down,
            best_difficulty: self.sums.best_difficulty,
            hashrate,
            per_second: self.rate.per_second(second),
            per_minute: self.rate.per_minute(second),
            answers: self.sums.pace.answers,
            first_told: self.sums.pace.first_told,
        }
    }

    pub fn connections(&self) -> ConnectionFigures {
        let [mut tcp, mut tls] = [Stages::default(); 2];
        for gauges in &self.gauges {
            tcp.add(&gauges.tcp);
            tls.add(&gauges.tls);
        }
        ConnectionFigures {
            open: tcp.open() + tls.open(),
            authorized: tcp.authorized + tls.authorized,
            authorized_tls: tls.authorized,
            tls: tls.open(),
            stages: [tcp, tls],
            accepted: self.sums.connections_accepted,
            refused: self.sums.connections_refused,
            closed: self.sums.connections_closed.clone(),
        }
    }

    /// Accepted and rejected shares.
    pub fn totals(&self) -> (u64, u64) {
        (self.sums.accepted, self.rejects.total())
    }

    pub fn shards(&self) -> Vec<ShardFigures> {
        self.shards.clone()
    }

    pub fn best_shares(&self) -> &[BestShareRow] {
        self.best_shares.list()
    }

    /// The best shares, when they have changed since this was last asked.
    pub fn take_best_shares(&mut self) -> Option<Vec<BestShareRow>> {
        self.best_shares.take_change()
    }

    /// Who is connected, in figures. `is_banned` judges a worker and where it is connected from.
    pub fn summary(&self, now_unix: u64, is_banned: impl Fn(&str, SocketAddr) -> bool) -> Summary {
        let roster = self.roster.read();
        let fading = roster.fading(now_unix);
        let hashrate = roster.connections().map(|(_, it)| it.hashrate(fading)).sum();
        let connected: Vec<_> = roster.connected().collect();
        let clients = connected.iter().filter_map(|(_, _, sequences)| {
            let newest = sequences.last()?;
            Some(&roster.connection(*newest)?.client_id)
        });
        let miner_types = miner_types(clients);
        let workers = connected.len() as u64;
        let recent = recent_work(&roster, &connected, fading, is_banned);
        Summary { hashrate, workers, recent, miner_types }
    }
}

/// Everyone who is connected, at one moment.
#[derive(Debug)]
pub struct Summary {
    /// Hashes per second: the sum of what each connection does, fading while it is silent.
    pub hashrate: f64,
    pub workers: u64,
    /// The newest share first, at most [`RECENT_LISTED`].
    pub recent: Vec<WorkerView>,
    pub miner_types: Vec<MinerType>,
}

/// Who has submitted something lately. Most are left out by a number that is at hand.
fn recent_work(
    roster: &Roster,
    connected: &[(&Arc<str>, &WorkerSums, &[u64])],
    fading: Fading,
    is_banned: impl Fn(&str, SocketAddr) -> bool,
) -> Vec<WorkerView> {
    let since = fading.now.saturating_sub(RECENT_SECONDS);
    let mut recent: Vec<_> =
        connected.iter().filter(|(_, sums, _)| sums.last_share_at >= since.max(1)).collect();
    recent.sort_unstable_by(|a, b| {
        b.1.last_share_at.cmp(&a.1.last_share_at).then_with(|| a.0.cmp(b.0))
    });
    let is_free = |(name, _, sequences): &&&(&Arc<str>, &WorkerSums, &[u64])| {
        let mut remotes = sequences.iter().filter_map(|it| Some(roster.connection(*it)?.remote));
        !remotes.any(|remote| is_banned(name, remote))
    };
    recent
        .iter()
        .filter(is_free)
        .filter_map(|(name, _, sequences)| roster.view(name, sequences, fading))
        .take(RECENT_LISTED)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::roster::tests::{NOW, look};
    use super::*;
    use gopool_shards::tally::Tally;

    fn ledger(cores: &[usize]) -> Ledger {
        Ledger::new(cores, Vec::new(), RosterReader::default(), Duration::from_secs(450))
    }

    fn report(shard: usize, fill: impl FnOnce(&mut Tally)) -> Report {
        let mut tally = Tally::default();
        fill(&mut tally);
        Report {
            shard,
            sums: tally.take(),
            gauges: Gauges {
                tcp: Stages { connected: 1, authorized: 1, ..Stages::default() },
                outbox_bytes: 100 * shard as u64,
                ..Gauges::default()
            },
        }
    }

    fn nobody(_: &str, _: SocketAddr) -> bool {
        false
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn reports_of_all_shards_add_up() {
        let mut ledger = ledger(&[1, 2]);
        let worker: Arc<str> = "w".into();
        for shard in 0..2 {
            let report = report(shard, |tally| {
                let seat = tally.join(&worker);
                tally.accept(Some(seat), 4.0, 5.0 + shard as f64, 100);
                tally.offer_best(&worker, 5.0 + shard as f64, 100, &[9; 32]);
                tally.looked(shard as u64 + 1, look("w", 100.0, NOW));
                tally.judged(3 + shard, 40 * SECOND / 1_000_000);
                tally.told_last((1 + shard as u32) * SECOND / 1000);
            });
            let heard = ledger.add(report, 60 * SECOND);
            assert_eq!(heard.best_of_workers, [(Arc::clone(&worker), 5.0 + shard as f64)]);
        }
        let summary = ledger.summary(NOW, nobody);
        assert_eq!((summary.hashrate, summary.workers), (200.0, 1));
        assert_eq!(summary.miner_types[0].name, "cgminer");
        let shares = ledger.shares(60 * SECOND, summary.hashrate);
        assert_eq!(
            (shares.accepted, shares.accepted_difficulty, shares.best_difficulty),
            (2, 8.0, 6.0)
        );
        assert_eq!((shares.per_second, shares.per_minute), (2.0, 120.0), "of the one second seen");
        let connections = ledger.connections();
        assert_eq!((connections.open, connections.authorized, connections.tls), (4, 2, 0));
        assert_eq!((shares.answers.count(), shares.answers.sum()), (7, 280 * SECOND / 1_000_000));
        let [one, two] = &ledger.shards()[..] else { panic!("two shards") };
        assert_eq!((one.pace.answers.count(), two.pace.answers.count()), (3, 4));
        assert_eq!((one.outbox_bytes, two.outbox_bytes), (0, 100));
        let last_told = [one, two].map(|shard| shard.pace.last_told.sum());
        assert_eq!(last_told, [SECOND / 1000, SECOND / 500]);
        assert_eq!(
            ledger.best_shares().iter().map(|s| s.difficulty).collect::<Vec<_>>(),
            [6.0, 5.0]
        );
        assert!(ledger.take_best_shares().is_some());
        // Nobody has said anything for an hour.
        assert_eq!(ledger.summary(NOW + 3600 * 2, nobody).hashrate, 0.0);
        assert_eq!(ledger.shares(1000 * SECOND, 0.0).per_minute, 0.0);
    }

    #[test]
    fn recent_work_is_of_the_last_half_hour_and_of_nobody_who_is_banned() {
        let mut ledger = ledger(&[0]);
        let come = report(0, |tally| {
            for number in 0..40_u32 {
                let worker: Arc<str> = format!("w{number}").into();
                let seat = tally.join(&worker);
                let at = NOW - u64::from(number) * 100;
                tally.accept(Some(seat), 1.0, 1.0, at);
                tally.looked(number.into(), look(&worker, 1.0, at));
            }
        });
        ledger.add(come, SECOND);
        let names = |now, is_banned: fn(&str, SocketAddr) -> bool| -> Vec<String> {
            let recent = ledger.summary(now, is_banned).recent;
            recent.iter().map(|view| view.name.to_string()).collect()
        };
        let recent = names(NOW, nobody);
        assert_eq!((recent.len(), &*recent[0], &*recent[14]), (RECENT_LISTED, "w0", "w14"));
        assert_eq!(names(NOW + 1700, nobody), ["w0", "w1"]);
        assert_eq!(names(NOW, |name, _| name == "w0")[0], "w1");
        assert!(names(NOW, |_, remote| remote.port() == 4000).is_empty());
    }

    #[test]
    fn who_has_gone_is_not_counted() {
        let mut ledger = ledger(&[0]);
        let come = report(0, |tally| {
            for number in 0..300_u32 {
                let worker: Arc<str> = format!("w{number}").into();
                let seat = tally.join(&worker);
                tally.accept(Some(seat), f64::from(number), 1.0, 100);
                tally.looked(number.into(), look(&worker, 1.0, NOW));
            }
        });
        ledger.add(come, SECOND);
        let summary = ledger.summary(NOW, nobody);
        assert_eq!((summary.workers, summary.hashrate), (300, 300.0));
        let leave = report(0, |tally| {
            for number in 0..300 {
                tally.gone(number);
            }
        });
        ledger.add(leave, 2 * SECOND);
        let summary = ledger.summary(NOW, nobody);
        assert_eq!((summary.workers, summary.hashrate), (0, 0.0));
        assert!(summary.miner_types.is_empty());
    }

    #[test]
    fn workers_that_left_are_forgotten_before_they_are_too_many() {
        let mut ledger = ledger(&[0]);
        let stays: Arc<str> = "stays".into();
        let stays = report(0, |tally| {
            tally.join(&stays);
            tally.looked(1, look("stays", 1.0, NOW));
        });
        ledger.add(stays, SECOND);
        for i in 0..5000 {
            let name: Arc<str> = format!("w{i}").into();
            let report = report(0, |tally| {
                let seat = tally.join(&name);
                tally.leave(seat);
            });
            ledger.add(report, SECOND);
        }
        assert!(ledger.roster.read().known() <= 1001);
        assert_eq!(ledger.summary(NOW, nobody).workers, 1);
    }
}
