//! Who is connected: connections by their number, workers by name, found by hash and wallet
//! (`state-and-services.md` §17). Control writes it once a second for each shard; pages read it in
//! between, so nothing here takes longer than a few milliseconds with tens of thousands.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gopool_shards::tally::{Accuracy, Look, WorkerSums};

use crate::identity::wallet_hash;
pub use crate::identity::{NameHash, worker_hash};
use crate::snapshot::WorkerView;

/// Workers that are not connected any more and still known; the oldest go first.
const AWAY_WORKERS_MAX: usize = 1000;

/// The first bytes of a hash: enough to leave nearly everyone out, and small.
fn key(hash: &NameHash) -> u64 {
    u64::from_be_bytes(*hash.first_chunk().expect("a hash has 32 bytes"))
}

/// Everyone who is connected, and some who were.
#[derive(Debug, Default)]
pub struct Roster {
    workers: HashMap<Arc<str>, Worker>,
    connections: HashMap<u64, Connection>,
    /// Seconds, `hashrate_ema_tau_seconds`; the ledger sets it before anybody comes.
    tau: f64,
}

#[derive(Debug)]
struct Worker {
    worker_key: u64,
    wallet_key: u64,
    sums: WorkerSums,
    /// Their numbers, oldest first.
    connections: Vec<u64>,
}

/// One connection. Those that have never submitted anything are many and should be small.
#[derive(Debug)]
pub struct Connection {
    pub worker: Arc<str>,
    pub client_id: Arc<str>,
    pub remote: SocketAddr,
    /// Unix seconds.
    pub connected_at: u64,
    pub difficulty: f64,
    pub is_tls: bool,
    /// The whole look, once it has submitted anything.
    pub look: Option<Box<Look>>,
}

impl Connection {
    fn of(look: Look) -> Self {
        let has_submitted = look.last_share.is_some() || look.accepted + look.rejected > 0;
        Self {
            worker: Arc::clone(&look.worker),
            client_id: Arc::clone(&look.client_id),
            remote: look.remote,
            connected_at: look.connected_at,
            difficulty: look.difficulty,
            is_tls: look.is_tls,
            look: has_submitted.then(|| Box::new(look)),
        }
    }

    /// Hashes per second at `now`, in Unix seconds: what was measured last, fading while nothing
    /// comes, so that a miner that is silent is not counted as hashing (FIX-46).
    pub fn hashrate(&self, fading: Fading) -> f64 {
        self.look.as_ref().map_or(0.0, |look| fading.of(look.hashrate, look.at))
    }

    pub fn accuracy(&self) -> Accuracy {
        self.look.as_ref().map_or(Accuracy::Warming, |look| look.accuracy)
    }
}

/// How a hashrate fades: by the time constant that it was averaged with.
#[derive(Clone, Copy, Debug)]
pub struct Fading {
    /// Unix seconds.
    pub now: u64,
    tau: f64,
}

impl Fading {
    fn of(self, hashrate: f64, at: u64) -> f64 {
        let idle = self.now.saturating_sub(at) as f64 / self.tau;
        // After ten time constants 1 / 22,000 would be left, of somebody who is not there.
        if !hashrate.is_finite() || hashrate <= 0.0 || idle > 10.0 {
            0.0
        } else if idle <= 0.0 {
            hashrate
        } else {
            hashrate * (-idle).exp()
        }
    }
}

impl Roster {
    pub(super) fn add_sums(&mut self, name: &Arc<str>, sums: &WorkerSums) {
        self.worker(name).sums.add(sums);
    }

    pub(crate) fn look(&mut self, sequence: u64, look: Look) {
        let name = Arc::clone(&look.worker);
        let connection = Connection::of(look);
        match self.connections.entry(sequence) {
            Entry::Occupied(mut known) => {
                let before = known.insert(connection);
                if before.worker == name {
                    return;
                }
                self.forget_connection_of(&before.worker, sequence);
            }
            Entry::Vacant(place) => {
                place.insert(connection);
            }
        }
        self.worker(&name).connections.push(sequence);
    }

    pub(crate) fn gone(&mut self, sequence: u64) {
        if let Some(connection) = self.connections.remove(&sequence) {
            self.forget_connection_of(&connection.worker, sequence);
        }
    }

    fn forget_connection_of(&mut self, worker: &Arc<str>, sequence: u64) {
        if let Some(worker) = self.workers.get_mut(worker) {
            worker.connections.retain(|known| *known != sequence);
        }
    }

    fn worker(&mut self, name: &Arc<str>) -> &mut Worker {
        self.workers.entry(Arc::clone(name)).or_insert_with(|| Worker {
            worker_key: key(&worker_hash(name)),
            wallet_key: key(&wallet_hash(name)),
            sums: WorkerSums::default(),
            connections: Vec::new(),
        })
    }

    pub(super) fn forget_away_workers(&mut self) {
        let is_away = |worker: &Worker| worker.sums.connections <= 0;
        let away = self.workers.values().filter(|worker| is_away(worker)).count();
        if away <= AWAY_WORKERS_MAX {
            return;
        }
        let mut by_age: BTreeMap<(u64, Arc<str>), ()> = BTreeMap::new();
        for (name, worker) in self.workers.iter().filter(|(_, worker)| is_away(worker)) {
            by_age.insert((worker.sums.last_share_at, Arc::clone(name)), ());
        }
        // Half of them at once, so that this is not done for every report.
        for (_, name) in by_age.into_keys().take(away - AWAY_WORKERS_MAX / 2) {
            self.workers.remove(&name);
        }
    }

    pub(super) fn set_tau(&mut self, tau: Duration) {
        self.tau = tau.as_secs_f64();
    }

    /// How hashrates have faded at that time, in Unix seconds.
    pub fn fading(&self, now: u64) -> Fading {
        Fading { now, tau: self.tau }
    }

    /// The connections, in no order that means anything.
    pub fn connections(&self) -> impl Iterator<Item = (u64, &Connection)> {
        self.connections.iter().map(|(sequence, connection)| (*sequence, connection))
    }

    pub fn connection(&self, sequence: u64) -> Option<&Connection> {
        self.connections.get(&sequence)
    }

    /// Workers that have a connection, with what they have done since the process started.
    pub fn connected(&self) -> impl Iterator<Item = (&Arc<str>, &WorkerSums, &[u64])> {
        self.workers
            .iter()
            .filter(|(_, worker)| !worker.connections.is_empty())
            .map(|(name, worker)| (name, &worker.sums, &*worker.connections))
    }

    /// Unix seconds of a connected worker's newest submission; none of who is not connected.
    pub fn last_share_at(&self, name: &str) -> Option<u64> {
        let worker = self.workers.get(name)?;
        (!worker.connections.is_empty()).then_some(worker.sums.last_share_at)
    }

    #[cfg(test)]
    pub(super) fn known(&self) -> usize {
        self.workers.len()
    }

    /// The worker of that hash, merged over its connections (§17.3).
    pub fn worker_of(&self, hash: &NameHash, fading: Fading) -> Option<WorkerView> {
        let wanted = key(hash);
        let (name, worker) = self
            .workers
            .iter()
            .filter(|(_, worker)| worker.worker_key == wanted && !worker.connections.is_empty())
            .find(|(name, _)| worker_hash(name) == *hash)?;
        self.view(name, &worker.connections, fading)
    }

    /// Those of the workers that are connected, in one pass over all: there may be thousands of
    /// either.
    pub fn workers_among(
        &self,
        hashes: &[NameHash],
        fading: Fading,
    ) -> Vec<(NameHash, WorkerView)> {
        let wanted: HashMap<u64, &NameHash> = hashes.iter().map(|hash| (key(hash), hash)).collect();
        let found = self.workers.iter().filter_map(|(name, worker)| {
            let hash = **wanted.get(&worker.worker_key)?;
            if worker.connections.is_empty() || worker_hash(name) != hash {
                return None;
            }
            Some((hash, self.view(name, &worker.connections, fading)?))
        });
        found.collect()
    }

    /// Which of the workers are connected, in one pass over all.
    pub fn connected_among(&self, hashes: &[NameHash]) -> HashSet<NameHash> {
        let wanted: HashMap<u64, &NameHash> = hashes.iter().map(|hash| (key(hash), hash)).collect();
        let connected = self.workers.iter().filter(|(_, worker)| !worker.connections.is_empty());
        let found = connected.filter_map(|(name, worker)| {
            let hash = **wanted.get(&worker.worker_key)?;
            (worker_hash(name) == hash).then_some(hash)
        });
        found.collect()
    }

    /// Those of the workers that are known, with their connections, in one pass over all: also some
    /// that have gone.
    pub fn known_among(&self, hashes: &[NameHash]) -> Vec<(NameHash, Arc<str>, Vec<u64>)> {
        let wanted: HashMap<u64, &NameHash> = hashes.iter().map(|hash| (key(hash), hash)).collect();
        let found = self.workers.iter().filter_map(|(name, worker)| {
            let hash = **wanted.get(&worker.worker_key)?;
            let is_known = worker_hash(name) == hash;
            is_known.then(|| (hash, Arc::clone(name), worker.connections.clone()))
        });
        found.collect()
    }

    /// All workers of the wallet of that hash, the newest share first.
    pub fn workers_of_wallet(&self, hash: &NameHash, fading: Fading) -> Vec<WorkerView> {
        let wanted = key(hash);
        let mut views: Vec<_> = self
            .workers
            .iter()
            .filter(|(name, worker)| worker.wallet_key == wanted && wallet_hash(name) == *hash)
            .filter_map(|(name, worker)| self.view(name, &worker.connections, fading))
            .collect();
        views.sort_by(|a, b| b.last_share_at().cmp(&a.last_share_at()).then(a.name.cmp(&b.name)));
        views
    }

    /// The numbers of a worker's connections, oldest first.
    pub fn connections_of(&self, hash: &NameHash) -> Vec<u64> {
        let wanted = key(hash);
        self.workers
            .iter()
            .filter(|(_, worker)| worker.worker_key == wanted)
            .find(|(name, _)| worker_hash(name) == *hash)
            .map_or_else(Vec::new, |(_, worker)| worker.connections.clone())
    }

    /// One worker's connections, merged; none when it has none.
    pub fn view(&self, name: &Arc<str>, sequences: &[u64], fading: Fading) -> Option<WorkerView> {
        let mut connections = sequences
            .iter()
            .filter_map(|sequence| Some((*sequence, self.connections.get(sequence)?)));
        let (sequence, first) = connections.next()?;
        let mut view = WorkerView::of(Arc::clone(name), sequence, first, fading);
        for (sequence, connection) in connections {
            view.merge(&WorkerView::of(Arc::clone(name), sequence, connection, fading));
        }
        Some(view)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use gopool_shards::tally::LastShareLook;

    use super::*;

    pub(in super::super) const NOW: u64 = 1_700_000_000;
    pub(in super::super) const FADING: Fading = Fading { now: NOW, tau: 450.0 };

    pub(crate) fn look(worker: &str, hashrate: f64, at: u64) -> Look {
        Look {
            worker: worker.into(),
            client_id: "cgminer/4.12.1".into(),
            remote: "10.0.0.7:4000".parse().unwrap(),
            is_tls: false,
            connected_at: NOW - 1000,
            difficulty: 1024.0,
            ideal_difficulty: 2048.0,
            accepted: 10,
            rejected: 1,
            hashrate,
            at,
            accuracy: Accuracy::Stable,
            share_rate: 15.0,
            window_started_at: NOW - 500,
            window_accepted: 9,
            window_submissions: 10,
            window_credit: 9216.0,
            last_share: Some(LastShareLook {
                at,
                difficulty: 2000.0,
                is_accepted: true,
                hash: [7; 32],
            }),
            last_reject: "",
            round_trip: Some(Duration::from_millis(20)),
            first_share_p50: None,
            first_share_p95: None,
        }
    }

    fn idle(worker: &str) -> Look {
        Look { accepted: 0, rejected: 0, last_share: None, ..look(worker, 0.0, NOW) }
    }

    #[test]
    fn a_connection_is_found_under_its_worker_and_wallet_until_it_goes() {
        let mut roster = Roster::default();
        let (worker, wallet) = (worker_hash("bc1qx.rig1"), wallet_hash("BC1QX"));
        roster.look(1, look("bc1qx.rig1", 100.0, NOW));
        roster.look(2, look("bc1qx.rig1", 50.0, NOW));
        roster.look(3, look("BC1QX.rig2", 25.0, NOW - 5));
        let view = roster.worker_of(&worker, FADING).unwrap();
        assert_eq!((view.hashrate, view.connections, view.accepted), (150.0, 2, 20));
        let rigs: Vec<_> =
            roster.workers_of_wallet(&wallet, FADING).iter().map(|v| v.name.to_string()).collect();
        assert_eq!(rigs, ["bc1qx.rig1", "BC1QX.rig2"], "the newest share first");
        assert_eq!(roster.connections_of(&worker), [1, 2]);
        let among = roster.workers_among(&[worker, wallet, worker_hash("nobody")], FADING);
        assert_eq!(among.len(), 1);
        assert_eq!((among[0].0, among[0].1.hashrate), (worker, 150.0));
        let connected = roster.connected_among(&[worker, wallet, worker_hash("nobody")]);
        assert_eq!(connected.into_iter().collect::<Vec<_>>(), [worker]);
        roster.gone(1);
        assert_eq!(roster.worker_of(&worker, FADING).unwrap().hashrate, 50.0);
        roster.gone(2);
        roster.gone(2);
        roster.gone(99);
        assert!(roster.worker_of(&worker, FADING).is_none());
        assert!(roster.connected_among(&[worker]).is_empty());
        roster.gone(3);
        assert!(roster.workers_of_wallet(&wallet, FADING).is_empty());
        assert_eq!(roster.connections().count(), 0);
    }

    #[test]
    fn a_connection_that_changes_its_worker_moves() {
        let mut roster = Roster::default();
        roster.look(1, look("w.a", 100.0, NOW));
        roster.look(1, look("w.b", 100.0, NOW));
        assert!(roster.worker_of(&worker_hash("w.a"), FADING).is_none());
        assert_eq!(roster.connections_of(&worker_hash("w.b")), [1]);
        roster.look(1, look("w.b", 70.0, NOW));
        assert_eq!(roster.connections_of(&worker_hash("w.b")), [1], "once");
    }

    #[test]
    fn who_is_silent_fades_and_who_never_submitted_is_not_hashing() {
        let connection = Connection::of(look("w", 100.0, NOW - 450));
        assert!((connection.hashrate(FADING) - 100.0 * (-1.0_f64).exp()).abs() < 1e-9);
        assert_eq!(Connection::of(look("w", 100.0, NOW - 4501)).hashrate(FADING), 0.0);
        assert_eq!(Connection::of(look("w", 100.0, NOW + 5)).hashrate(FADING), 100.0);
        let idle = Connection::of(idle("w"));
        assert!(idle.look.is_none());
        assert_eq!((idle.hashrate(FADING), idle.accuracy()), (0.0, Accuracy::Warming));
        assert!(size_of::<Connection>() <= 96, "{}", size_of::<Connection>());
    }
}
