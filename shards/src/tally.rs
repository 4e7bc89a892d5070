//! The counters of one shard, added up between two reports. Plain numbers: a share touches one
//! core and nothing else.

mod best;
mod look;
mod sums;
mod times;

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use slab::Slab;

use crate::admission::ban::Ban;
use crate::limits::{BANS_PER_REPORT_MAX, GONE_PER_REPORT_MAX, OBSERVATIONS_PER_REPORT_MAX};
use crate::sha256d::Hash;
use crate::wire::reject::Reject;
pub use best::BestShare;
use best::BestShares;
pub use look::{Accuracy, LastShareLook, Look};
pub use sums::{Pace, Sums, WorkerSums};
pub use times::Times;

/// A look at one miner, for statistics about its kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// As the subscribe named it.
    pub client_id: String,
    pub worker: Arc<str>,
    /// At the first look alone.
    pub starting_difficulty: Option<f64>,
    /// Once its hashrate can be trusted.
    pub settled: Option<Settled>,
    /// The kernel's estimate of the way to the miner and back.
    pub round_trip: Option<Duration>,
}

/// What a miner does when it has settled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settled {
    /// Hashes per second.
    pub hashrate: f64,
    /// As its hashrate and difficulty have it.
    pub shares_per_min: f64,
    pub difficulty: f64,
    pub ideal_difficulty: f64,
    /// Median of the times from new work to the first share for it.
    pub work_start: Option<Duration>,
}

/// Why a connection ended; each reason has its own counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The miner closed it, or it broke.
    Hangup,
    Idle,
    LineTooLong,
    Malformed,
    /// It spoke another protocol than its port.
    Foreign,
    /// Its TLS was broken.
    Tls,
    OutboxFull,
    Refused,
    Banned,
    Paused,
    Shutdown,
    /// Somebody who may has asked for it.
    Requested,
}

impl CloseReason {
    pub fn label(self) -> &'static str {
        match self {
            Self::Hangup => "hangup",
            Self::Idle => "idle",
            Self::LineTooLong => "line_too_long",
            Self::Malformed => "malformed",
            Self::Foreign => "foreign",
            Self::Tls => "tls",
            Self::OutboxFull => "outbox_full",
            Self::Refused => "refused",
            Self::Banned => "banned",
            Self::Paused => "paused",
            Self::Shutdown => "shutdown",
            Self::Requested => "requested",
        }
    }
}

/// A worker's place in a [`Tally`]: each of its connections has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat(u32);

/// The sums that are being added up. Counting a share of a worker that has a seat is adding to a
/// few numbers: no look-up, no allocation.
#[derive(Debug, Default)]
pub struct Tally {
    /// Without the workers and the best shares.
    sums: Sums,
    best_shares: BestShares,
    workers: Slab<Seated>,
    seats: HashMap<Arc<str>, usize>,
    /// Workers that have something to report.
    touched: Vec<usize>,
}

#[derive(Debug)]
struct Seated {
    name: Arc<str>,
    sums: WorkerSums,
    /// Connections that have the seat.
    holders: u32,
    is_touched: bool,
}

impl Tally {
    pub fn accept(&mut self, seat: Option<Seat>, credit: f64, found: f64, at: u64) {
        self.sums.accepted += 1;
        self.sums.accepted_difficulty += credit;
        self.sums.best_difficulty = self.sums.best_difficulty.max(found);
        if let Some(seat) = seat {
            self.worker(seat).accept(credit, found, at);
        }
    }

    /// For work that was made for another worker than the connection's own.
    pub fn accept_for(&mut self, name: &Arc<str>, credit: f64, found: f64, at: u64) {
        self.as_guest(name, |tally, seat| tally.accept(seat, credit, found, at));
    }

    pub fn reject(&mut self, seat: Option<Seat>, reject: Reject, at: u64) {
        *self.sums.rejected.entry(reject.label()).or_default() += 1;
        if let Some(seat) = seat {
            let worker = self.worker(seat);
            worker.rejected += 1;
            worker.last_share_at = at;
        }
    }

    /// As [`Self::accept_for`].
    pub fn reject_for(&mut self, name: &Arc<str>, reject: Reject, at: u64) {
        self.as_guest(name, |tally, seat| tally.reject(seat, reject, at));
    }

    /// An accepted share, or a block, whose hash is worth this much.
    pub fn offer_best(&mut self, worker: &Arc<str>, difficulty: f64, at: u64, hash: &Hash) {
        self.best_shares.offer(worker, difficulty, at, hash);
    }

    pub fn mistake(&mut self, label: &'static str) {
        *self.sums.mistakes.entry(label).or_default() += 1;
    }

    pub fn retargeted(&mut self, up: bool) {
        if up {
            self.sums.vardiff_up += 1;
        } else {
            self.sums.vardiff_down += 1;
        }
    }

    pub fn banned(&mut self, ban: Arc<Ban>) {
        if self.sums.bans.len() < BANS_PER_REPORT_MAX {
            self.sums.bans.push(ban);
        }
    }

    pub fn has_bans(&self) -> bool {
        !self.sums.bans.is_empty()
    }

    pub fn observed(&mut self, observation: Observation) {
        if self.sums.observations.len() < OBSERVATIONS_PER_REPORT_MAX {
            self.sums.observations.push(observation);
        }
    }

    /// A connection of a worker has come.
    pub fn join(&mut self, name: &Arc<str>) -> Seat {
        let seat = self.seat(name);
        self.worker(seat).connections += 1;
        seat
    }

    /// The connection has gone.
    pub fn leave(&mut self, seat: Seat) {
        self.worker(seat).connections -= 1;
        self.give_up(seat);
    }

    pub fn assigned(&mut self, seat: Option<Seat>, difficulty: f64) {
        if let Some(seat) = seat {
            self.worker(seat).difficulty = difficulty;
        }
    }

    /// What there is to say of a connection now: nobody needs what was said before.
    pub fn looked(&mut self, sequence: u64, look: Look) {
        self.sums.looks.insert(sequence, look);
    }

    /// A connection that was looked at has ended.
    pub fn gone(&mut self, sequence: u64) {
        self.sums.looks.remove(&sequence);
        if self.sums.gone.len() < GONE_PER_REPORT_MAX {
            self.sums.gone.push(sequence);
        }
    }

    pub fn connection_accepted(&mut self) {
        self.sums.connections_accepted += 1;
    }

    pub fn connection_refused(&mut self) {
        self.sums.connections_refused += 1;
    }

    pub fn connection_closed(&mut self, reason: CloseReason) {
        *self.sums.connections_closed.entry(reason.label()).or_default() += 1;
    }

    /// The shard has taken what had come, and answered it.
    pub fn turned(&mut self) {
        self.sums.pace.turns += 1;
    }

    /// So many submissions have been judged side by side and answered; the oldest was taken from its
    /// socket this long before.
    pub fn judged(&mut self, count: usize, took: Duration) {
        self.sums.pace.batches += 1;
        self.sums.pace.answers.record(took, u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// The first miner of all has been told of a new tip.
    pub fn told_first(&mut self, took: Duration) {
        self.sums.pace.first_told.record(took, 1);
    }

    /// The last miner of the shard has been told of a new tip.
    pub fn told_last(&mut self, took: Duration) {
        self.sums.pace.last_told.record(took, 1);
    }

    /// Hands the sums over and starts new ones.
    pub fn take(&mut self) -> Sums {
        let mut sums = std::mem::take(&mut self.sums);
        sums.workers.reserve(self.touched.len());
        let mut touched = std::mem::take(&mut self.touched);
        for index in touched.drain(..) {
            let seated = &mut self.workers[index];
            seated.is_touched = false;
            sums.workers.insert(Arc::clone(&seated.name), std::mem::take(&mut seated.sums));
            if seated.holders == 0 {
                let seated = self.workers.remove(index);
                self.seats.remove(&seated.name);
            }
        }
        self.touched = touched;
        self.best_shares.move_to(&mut sums.best_shares);
        sums
    }

    /// Takes sums back that could not be handed over: they go out with the next ones.
    pub fn put_back(&mut self, mut sums: Sums) {
        for (name, earlier) in std::mem::take(&mut sums.workers) {
            self.as_guest(&name, |tally, seat| {
                if let Some(seat) = seat {
                    let worker = tally.worker(seat);
                    let later = std::mem::replace(worker, earlier);
                    worker.add(&later);
                }
            });
        }
        let newer = std::mem::replace(&mut self.sums, sums);
        self.sums.add(newer);
    }

    /// Counts for a worker that may have no connection here.
    fn as_guest(&mut self, name: &Arc<str>, count: impl FnOnce(&mut Self, Option<Seat>)) {
        let seat = self.seat(name);
        count(self, Some(seat));
        self.give_up(seat);
    }

    fn seat(&mut self, name: &Arc<str>) -> Seat {
        let index = match self.seats.get(name) {
            Some(index) => *index,
            None => {
                let index = self.workers.insert(Seated {
                    name: Arc::clone(name),
                    sums: WorkerSums::default(),
                    holders: 0,
                    is_touched: false,
                });
                self.seats.insert(Arc::clone(name), index);
                index
            }
        };
        self.workers[index].holders += 1;
        Seat(u32::try_from(index).expect("fewer workers than sockets"))
    }

    /// The seat itself goes with the next report, which has something to say of it.
    fn give_up(&mut self, seat: Seat) {
        self.workers[seat.0 as usize].holders -= 1;
        self.worker(seat);
    }

    fn worker(&mut self, seat: Seat) -> &mut WorkerSums {
        let index = seat.0 as usize;
        let seated = &mut self.workers[index];
        if !std::mem::replace(&mut seated.is_touched, true) {
            self.touched.push(index);
        }
        &mut seated.sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_back_goes_out_with_the_next() {
        let worker: Arc<str> = "w.1".into();
        let mut tally = Tally::default();
        let seat = Some(tally.join(&worker));
        tally.assigned(seat, 256.0);
        tally.accept(seat, 256.0, 300.0, 10);
        tally.reject(seat, Reject::Duplicate, 11);
        let sums = tally.take();
        tally.accept(seat, 256.0, 1000.0, 20);
        tally.reject(None, Reject::Duplicate, 21);
        tally.put_back(sums);
        let sums = tally.take();
        assert_eq!(
            (sums.accepted, sums.accepted_difficulty, sums.best_difficulty),
            (2, 512.0, 1000.0)
        );
        assert_eq!(sums.rejected["duplicate share"], 2);
        assert_eq!(
            sums.workers[&worker],
            WorkerSums {
                accepted: 2,
                rejected: 1,
                accepted_difficulty: 512.0,
                best_difficulty: 1000.0,
                last_share_at: 20,
                connections: 1,
                difficulty: 256.0,
            }
        );
        assert_eq!(tally.take().accepted, 0);
    }

    #[test]
    fn times_that_are_put_back_are_not_lost_and_not_counted_twice() {
        let mut tally = Tally::default();
        let (short, long) = (Duration::from_micros(30), Duration::from_millis(3));
        tally.turned();
        tally.judged(16, short);
        tally.told_first(short);
        let sums = tally.take();
        tally.turned();
        tally.judged(2, long);
        tally.told_last(long);
        tally.put_back(sums);
        let pace = tally.take().pace;
        assert_eq!((pace.turns, pace.batches, pace.answers.count()), (2, 2, 18));
        assert_eq!(pace.answers.sum(), 16 * short + 2 * long);
        assert_eq!((pace.first_told.sum(), pace.last_told.sum()), (short, long));
        assert_eq!(tally.take().pace, Pace::default());
    }

    fn look(difficulty: f64) -> Look {
        Look {
            worker: "w.1".into(),
            client_id: "".into(),
            remote: ([203, 0, 113, 7], 50_000).into(),
            is_tls: false,
            connected_at: 1,
            difficulty,
            ideal_difficulty: difficulty,
            accepted: 0,
            rejected: 0,
            hashrate: 0.0,
            at: 1,
            accuracy: Accuracy::Warming,
            share_rate: 0.0,
            window_started_at: 0,
            window_accepted: 0,
            window_submissions: 0,
            window_credit: 0.0,
            last_share: None,
            last_reject: "",
            round_trip: None,
            first_share_p50: None,
            first_share_p95: None,
        }
    }

    #[test]
    fn a_later_look_replaces_an_earlier_one_also_when_that_was_put_back() {
        let mut tally = Tally::default();
        tally.looked(1, look(1.0));
        tally.looked(1, look(2.0));
        tally.looked(2, look(3.0));
        let sums = tally.take();
        assert_eq!((sums.looks.len(), &sums.looks[&1]), (2, &look(2.0)));
        assert!(tally.take().looks.is_empty());
        tally.looked(1, look(4.0));
        tally.put_back(sums);
        let sums = tally.take();
        assert_eq!((&sums.looks[&1], &sums.looks[&2]), (&look(4.0), &look(3.0)));
    }

    #[test]
    fn who_is_gone_is_gone_whatever_was_seen_before() {
        let mut tally = Tally::default();
        for sequence in 1..=3 {
            tally.looked(sequence, look(1.0));
        }
        tally.gone(1);
        let sums = tally.take();
        assert!(!sums.looks.contains_key(&1));
        assert_eq!(sums.gone, [1]);
        tally.gone(2);
        tally.put_back(sums);
        let sums = tally.take();
        assert_eq!(sums.gone, [1, 2]);
        assert!(sums.looks.len() == 1 && sums.looks.contains_key(&3));
        assert!(tally.take().gone.is_empty());
    }

    #[test]
    fn the_best_shares_of_two_reports_are_the_best_of_both() {
        let worker: Arc<str> = "w.1".into();
        let mut tally = Tally::default();
        let offer = |tally: &mut Tally, difficulty: f64, at| {
            tally.offer_best(&worker, difficulty, at, &[at as u8; 32]);
        };
        (1..=12).for_each(|number| offer(&mut tally, f64::from(number), 1));
        let sums = tally.take();
        offer(&mut tally, 12.0, 2);
        offer(&mut tally, 20.0, 3);
        // As good as the twelfth.
        offer(&mut tally, 3.0, 4);
        tally.put_back(sums);
        let best = tally.take().best_shares;
        let found: Vec<_> = best.iter().map(|share| (share.difficulty as u64, share.at)).collect();
        assert_eq!(found[..4], [(20, 3), (12, 2), (12, 1), (11, 1)]);
        assert_eq!((found.len(), found[11]), (12, (3, 1)));
        assert_eq!((&best[0].worker, best[0].hash), (&worker, [3; 32]));
        assert!(tally.take().best_shares.is_empty());
    }

    #[test]
    fn a_seat_is_shared_by_the_connections_of_a_worker_and_kept_while_one_has_it() {
        let worker: Arc<str> = "w.1".into();
        let mut tally = Tally::default();
        let (one, other) = (tally.join(&worker), tally.join(&worker));
        assert_eq!(one, other);
        assert_eq!(tally.take().workers[&worker].connections, 2);
        tally.leave(one);
        tally.accept(Some(other), 1.0, 1.0, 5);
        let sums = tally.take();
        assert_eq!((sums.workers[&worker].connections, sums.workers[&worker].accepted), (-1, 1));
        tally.leave(other);
        assert_eq!(tally.take().workers[&worker].connections, -1);
        assert!(tally.workers.is_empty() && tally.seats.is_empty());
        tally.accept_for(&worker, 2.0, 2.0, 6);
        assert_eq!(tally.take().workers[&worker].accepted, 1);
        assert!(tally.workers.is_empty() && tally.take().workers.is_empty());
    }
}
