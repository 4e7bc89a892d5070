//! Miners as they are: each finds a share now and then, comes, and goes after a while.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use super::fleet::{Fleet, Player};
use super::histogram::Histogram;
use super::miner::{Miner, Stage};
use super::setup::FloodError;
use crate::net::machine::nanoseconds;
use crate::node::Draw;

/// Longest wait for sockets: the clock of the schedule.
const TURN: Duration = Duration::from_millis(5);
/// Answers that a paced miner waits for; one that waits for more finds nothing new meanwhile.
pub const IN_FLIGHT: usize = 8;

/// How often things happen to one miner.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub shares_per_minute: f64,
    /// How long a miner stays, on average; none stay for ever.
    pub stay: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Share,
    Leave,
}

/// A fleet that keeps a pace. Times between shares are exponential, as those of hashing are.
pub struct Paced {
    pace: Pace,
    draw: Draw,
    due: BinaryHeap<Reverse<(u64, usize, Event)>>,
    /// Answer times, of whatever is set apart: before and after, or outside and during.
    pub times: [Histogram; 2],
    pub class: usize,
    /// How late shares were sent, by the schedule: the client's own fault.
    pub late: Histogram,
    /// From one connect to the first work, of those who come while others work.
    pub refused: BTreeMap<String, u64>,
    pub ended: BTreeMap<String, u64>,
    pub sent: u64,
    pub accepted: u64,
    pub left: u64,
    /// Miners that have heard of the newest tip.
    pub heard: usize,
}

impl Paced {
    pub fn new(pace: Pace) -> Self {
        Self {
            pace,
            draw: Draw(1),
            due: BinaryHeap::new(),
            times: Default::default(),
            class: 0,
            late: Histogram::default(),
            refused: BTreeMap::new(),
            ended: BTreeMap::new(),
            sent: 0,
            accepted: 0,
            left: 0,
            heard: 0,
        }
    }

    /// Lets `fleet` go on until `until`.
    pub fn play(&mut self, fleet: &mut Fleet, until: u64) -> Result<(), FloodError> {
        loop {
            let mut now = nanoseconds();
            if now >= until {
                return Ok(());
            }
            while let Some(Reverse((due_at, index, event))) = self.due.peek().copied()
                && due_at <= now
            {
                self.due.pop();
                self.happen(fleet, due_at, index, event, now)?;
                now = nanoseconds();
            }
            let next = self.due.peek().map_or(until, |Reverse((due_at, ..))| *due_at);
            let wait = Duration::from_nanos(next.min(until).saturating_sub(now));
            fleet.turn(self, wait.min(TURN))?;
        }
    }

    fn happen(
        &mut self,
        fleet: &mut Fleet,
        due_at: u64,
        index: usize,
        event: Event,
        now: u64,
    ) -> Result<(), FloodError> {
        let miner = &fleet.miners[index];
        if miner.stage != Stage::Ready {
            // It has been sent away meanwhile; `on_ready` makes it a new plan.
            return Ok(());
        }
        match event {
            Event::Share if miner.due_at == due_at => {
                let wanted = miner.in_flight() + 1;
                match fleet.feed(index, wanted, now) {
                    Ok(sent) => self.sent += sent as u64,
                    Err(_) => fleet.close(index),
                }
                self.late.add(now - due_at);
                self.plan_share(&mut fleet.miners[index], now);
            }
            Event::Leave => {
                self.left += 1;
                fleet.close(index);
                let target = fleet.plan().target.address();
                fleet.connect(index).map_err(|source| FloodError::Connect { target, source })?;
            }
            // Planned for an earlier connection of the same miner.
            Event::Share => {}
        }
        Ok(())
    }

    fn plan_share(&mut self, miner: &mut Miner, now: u64) {
        let mean = 60e9 / self.pace.shares_per_minute.max(1e-3);
        miner.due_at = now + self.exponential(mean);
        self.due.push(Reverse((miner.due_at, miner.index, Event::Share)));
    }

    fn exponential(&mut self, mean: f64) -> u64 {
        // Of (0, 1], so that its logarithm is finite.
        let uniform = ((self.draw.number() >> 11) + 1) as f64 / (1u64 << 53) as f64;
        (-uniform.ln() * mean) as u64
    }
}

impl Player for Paced {
    fn on_ready(&mut self, miner: &mut Miner, now: u64) {
        self.plan_share(miner, now);
        if let Some(stay) = self.pace.stay {
            let leave_at = now + self.exponential(stay.as_nanos() as f64);
            self.due.push(Reverse((leave_at, miner.index, Event::Leave)));
        }
        // Its first work is of the newest tip already.
        self.heard += 1;
    }

    fn on_accepted(&mut self, waited: u64, _now: u64) {
        self.accepted += 1;
        self.times[self.class].add(waited);
    }

    fn on_refused(&mut self, _miner: &Miner, reason: &str, _waited: u64) {
        *self.refused.entry(reason.to_owned()).or_default() += 1;
    }

    fn on_work(&mut self, _miner: &mut Miner, _line: &[u8], is_clean: bool, _now: u64) {
        self.heard += usize::from(is_clean);
    }

    fn on_end(&mut self, _miner: &mut Miner, reason: &str) {
        *self.ended.entry(reason.to_owned()).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_have_the_mean_that_was_asked_for() {
        let mut paced = Paced::new(Pace { shares_per_minute: 15.0, stay: None });
        let sum: u64 = (0..100_000).map(|_| paced.exponential(1e6)).sum();
        let mean = sum as f64 / 1e5;
        assert!((mean - 1e6).abs() < 2e4, "{mean}");
    }
}
