//! A miner and a pool's difficulty control in virtual time: shares come as chance has them, and
//! messages take their time in both directions.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use gopool_shards::limits::{PREVIOUS_DIFFICULTY_GRACE, RECENT_JOBS_MAX};
use gopool_shards::session::meter::{
    HASHES_PER_DIFFICULTY, HashrateSettings, Meter, Outcome, shares_per_minute,
};
use gopool_shards::session::vardiff::{Terms, VarDiff, VarDiffSettings};

use crate::chance::Chance;

/// Everything about one run. All times are seconds.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub seed: u64,
    pub hours: f64,
    /// From when on the miner makes how many hashes a second.
    pub hashrate: Vec<(f64, f64)>,
    pub start_difficulty: f64,
    pub target: f64,
    /// New work without a new block, at this interval.
    pub churn: Option<f64>,
    /// Longest time that a message is under way.
    pub latency_max: f64,
    /// How long the firmware goes on at the old difficulty after it has been given another.
    pub slow_to_follow: f64,
    pub min: f64,
}

impl Scenario {
    /// A miner of this hashrate whose start is so many times too hard (or, below 1, too easy).
    pub fn new(hashrate: f64, off: f64) -> Self {
        Self::with_target(hashrate, off, 15.0)
    }

    /// The same, with another target than the default.
    pub fn with_target(hashrate: f64, off: f64, target: f64) -> Self {
        Self {
            seed: 1,
            hours: 2.0,
            hashrate: vec![(0.0, hashrate)],
            start_difficulty: assigned(shares_per_minute(hashrate, target) * off, 0.0),
            target,
            churn: Some(30.0),
            latency_max: 0.2,
            slow_to_follow: 0.0,
            min: 0.0,
        }
    }

    pub fn hashrate_at(&self, seconds: f64) -> f64 {
        self.hashrate.iter().rev().find(|(from, _)| *from <= seconds).map_or(0.0, |(_, h)| *h)
    }
}

/// What happened in a run.
#[derive(Debug, Default)]
pub struct Record {
    /// When the difficulty became what, its first value included.
    pub changes: Vec<(f64, f64)>,
    pub accepted: u64,
    pub rejected: u64,
    /// Shares that met only the difficulty before the last change.
    pub accepted_as_previous: u64,
    /// Shares a minute, by minute.
    pub per_minute: Vec<u32>,
    /// Seconds at which an idle timeout would have closed the connection.
    pub closed_at: Vec<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Job {
    id: u64,
    difficulty: f64,
}

/// In order of time; what happens at once happens in the order it was planned.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// The miner finds a share, unless its work has changed since this was planned.
    Found {
        plan: u64,
    },
    /// The miner's hashrate changes.
    Hashrate,
    /// The pool's work reaches the miner.
    Work(Job),
    /// The miner follows the difficulty of its work at last.
    Follow(f64),
    /// A share for this job, worth at least this difficulty, reaches the pool.
    Share {
        job: Job,
        worth: f64,
    },
    Template,
    Tick,
}

struct Miner {
    job: Job,
    /// What it filters its shares by: its job's difficulty, unless it is slow to follow.
    difficulty: f64,
    plan: u64,
}

struct Pool {
    difficulty: f64,
    previous: Option<(f64, f64)>,
    jobs: VecDeque<Job>,
    meter: Meter,
    vardiff: VarDiff,
    last_line_at: f64,
}

struct Simulation<'a> {
    scenario: &'a Scenario,
    chance: Chance,
    now: f64,
    queue: BinaryHeap<Reverse<(u64, u64, usize)>>,
    events: Vec<Event>,
    free: Vec<usize>,
    planned: u64,
    miner: Miner,
    pool: Pool,
    /// A stream keeps its order: when the last message of each direction arrives.
    to_miner_at: f64,
    to_pool_at: f64,
    record: Record,
    hashrate_settings: HashrateSettings,
}

pub fn run(scenario: &Scenario) -> Record {
    let start = Job { id: 0, difficulty: scenario.start_difficulty };
    let now = Duration::ZERO;
    let mut meter = Meter::new(now);
    meter.start(now);
    let mut simulation = Simulation {
        scenario,
        chance: Chance::new(scenario.seed),
        now: 0.0,
        queue: BinaryHeap::new(),
        events: Vec::new(),
        free: Vec::new(),
        planned: 0,
        miner: Miner { job: start, difficulty: start.difficulty, plan: 0 },
        pool: Pool {
            difficulty: start.difficulty,
            previous: None,
            jobs: VecDeque::from([start]),
            meter,
            vardiff: VarDiff::new(now),
            last_line_at: 0.0,
        },
        to_miner_at: 0.0,
        to_pool_at: 0.0,
        record: Record { changes: vec![(0.0, start.difficulty)], ..Record::default() },
        hashrate_settings: HashrateSettings::new(Duration::from_secs(450), scenario.target),
    };
    simulation.run();
    simulation.record
}

impl Simulation<'_> {
    fn run(&mut self) {
        for (from, _) in &self.scenario.hashrate {
            self.plan(*from, Event::Hashrate);
        }
        self.plan(0.0, Event::Tick);
        if let Some(churn) = self.scenario.churn {
            self.plan(churn, Event::Template);
        }
        while let Some(Reverse((at, _, index))) = self.queue.pop() {
            self.now = at as f64 / 1e6;
            if self.now > self.scenario.hours * 3600.0 {
                break;
            }
            self.free.push(index);
            self.handle(self.events[index]);
        }
    }

    fn plan(&mut self, at: f64, event: Event) {
        let index = self.free.pop().unwrap_or(self.events.len());
        if index == self.events.len() {
            self.events.push(event);
        } else {
            self.events[index] = event;
        }
        self.planned += 1;
        self.queue.push(Reverse(((at * 1e6) as u64, self.planned, index)));
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Hashrate => self.plan_share(),
            Event::Found { plan } if plan == self.miner.plan => self.find(),
            Event::Found { .. } => {}
            Event::Work(job) => {
                self.miner.job = job;
                self.plan(self.now + self.scenario.slow_to_follow, Event::Follow(job.difficulty));
            }
            Event::Follow(difficulty) => {
                self.miner.difficulty = difficulty;
                self.plan_share();
            }
            Event::Share { job, worth } => self.judge(job, worth),
            Event::Template => {
                self.evaluate();
                self.notify();
                self.plan(self.now + self.scenario.churn.unwrap_or(f64::MAX), Event::Template);
            }
            Event::Tick => {
                self.tick();
                self.plan(self.now + 1.0, Event::Tick);
            }
        }
    }

    /// Finding has no memory, so what was planned before may be planned anew at any time.
    fn plan_share(&mut self) {
        self.miner.plan += 1;
        let hashrate = self.scenario.hashrate_at(self.now);
        if hashrate > 0.0 {
            let seconds = self.miner.difficulty * HASHES_PER_DIFFICULTY / hashrate;
            let at = self.now + seconds * self.chance.exponential();
            self.plan(at, Event::Found { plan: self.miner.plan });
        }
    }

    fn find(&mut self) {
        // A hash below a target is below half of it half the time.
        let worth = self.miner.difficulty / self.chance.unit();
        let delay = self.scenario.latency_max * self.chance.unit();
        self.to_pool_at = self.to_pool_at.max(self.now + delay);
        self.plan(self.to_pool_at, Event::Share { job: self.miner.job, worth });
        self.plan_share();
    }

    /// The rule of `stratum.md` §6.8.
    fn judge(&mut self, job: Job, worth: f64) {
        self.pool.last_line_at = self.now;
        let known = self.pool.jobs.contains(&job);
        let grace = PREVIOUS_DIFFICULTY_GRACE.as_secs_f64();
        let previous = self.pool.previous.filter(|(_, at)| self.now - at <= grace);
        let credit = if !known {
            None
        } else if worth >= job.difficulty * 0.98 {
            Some(job.difficulty)
        } else {
            let met = previous.map(|(previous, _)| previous).filter(|p| worth >= p * 0.98);
            self.record.accepted_as_previous += u64::from(met.is_some());
            met
        };
        let outcome = match (credit, known) {
            (Some(credit), _) => Outcome::Accepted { credit },
            (None, false) => Outcome::Stale,
            (None, true) => Outcome::Rejected,
        };
        let now = Duration::from_secs_f64(self.now);
        self.pool.meter.on_submission(outcome, &self.hashrate_settings, now);
        if credit.is_none() {
            self.record.rejected += 1;
            return;
        }
        self.record.accepted += 1;
        let minute = (self.now / 60.0) as usize;
        let minutes = &mut self.record.per_minute;
        minutes.resize(minutes.len().max(minute + 1), 0);
        minutes[minute] += 1;
        if self.evaluate() {
            self.notify();
        }
    }

    fn tick(&mut self) {
        if self.now - self.pool.last_line_at > IDLE_TIMEOUT.as_secs_f64() {
            self.record.closed_at.push(self.now);
            self.pool.last_line_at = self.now;
        }
        let change = self.control(VarDiff::evaluate_idle);
        if self.changed(change) {
            self.notify();
        }
    }

    fn evaluate(&mut self) -> bool {
        let change = self.control(VarDiff::evaluate);
        self.changed(change)
    }

    fn control(
        &mut self,
        evaluate: impl Fn(&mut VarDiff, f64, &mut Meter, &Terms<'_>, Duration) -> Option<f64>,
    ) -> Option<f64> {
        let settings = VarDiffSettings {
            enabled: true,
            target_shares_per_min: self.scenario.target,
            idle_timeout: IDLE_TIMEOUT,
        };
        let min = self.scenario.min;
        let assign = |wanted| assigned(wanted, min);
        let terms = Terms {
            settings: &settings,
            hashrate: &self.hashrate_settings,
            min,
            max: 0.0,
            assign: &assign,
        };
        let now = Duration::from_secs_f64(self.now);
        let Pool { difficulty, meter, vardiff, .. } = &mut self.pool;
        evaluate(vardiff, *difficulty, meter, &terms, now)
    }

    fn changed(&mut self, change: Option<f64>) -> bool {
        let Some(difficulty) = change else { return false };
        assert!(difficulty.is_finite() && difficulty > 0.0 && difficulty != self.pool.difficulty);
        self.pool.previous = Some((self.pool.difficulty, self.now));
        self.pool.difficulty = difficulty;
        self.record.changes.push((self.now, difficulty));
        true
    }

    fn notify(&mut self) {
        let id = self.pool.jobs.back().map_or(0, |job| job.id + 1);
        let job = Job { id, difficulty: self.pool.difficulty };
        self.pool.jobs.push_back(job);
        if self.pool.jobs.len() > RECENT_JOBS_MAX {
            self.pool.jobs.pop_front();
        }
        self.pool.meter.on_notify(Duration::from_secs_f64(self.now));
        let delay = self.scenario.latency_max * self.chance.unit();
        self.to_miner_at = self.to_miner_at.max(self.now + delay);
        self.plan(self.to_miner_at, Event::Work(job));
    }
}

const IDLE_TIMEOUT: Duration = Duration::from_secs(180);
/// §7.2 with a minimum, no maximum and a grid of 2^(k/10): written apart from the pool's.
pub fn assigned(wanted: f64, min: f64) -> f64 {
    let on_grid = f64::exp2((wanted.max(min).log2() * 10.0).round() / 10.0).max(min);
    if on_grid < 1.0 { on_grid } else { (on_grid + 0.5).floor() }
}
