//! The rules one by one, on miners as regular as clockwork.

use std::time::Duration;

use gopool_shards::session::meter::{HashrateSettings, Meter, Outcome};
use gopool_shards::session::vardiff::{Terms, VarDiff, VarDiffSettings};

use crate::simulation::assigned;

fn at(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// One connection, its difficulty and the time.
struct Connection {
    meter: Meter,
    vardiff: VarDiff,
    settings: VarDiffSettings,
    difficulty: f64,
    now: f64,
}

impl Connection {
    fn new(difficulty: f64) -> Self {
        let mut meter = Meter::new(at(0.0));
        meter.start(at(0.0));
        let idle_timeout = Duration::from_secs(180);
        let settings = VarDiffSettings { enabled: true, target_shares_per_min: 15.0, idle_timeout };
        Self { meter, vardiff: VarDiff::new(at(0.0)), settings, difficulty, now: 0.0 }
    }

    fn with_terms<T>(&mut self, f: impl FnOnce(&mut Self, &Terms<'_>) -> T) -> T {
        let settings = self.settings.clone();
        let hashrate = HashrateSettings::new(Duration::from_secs(450), 15.0);
        let assign = |wanted| assigned(wanted, 0.0);
        let terms =
            Terms { settings: &settings, hashrate: &hashrate, min: 0.0, max: 0.0, assign: &assign };
        f(self, &terms)
    }

    /// Finds a share every `interval` seconds, ticking in between, until the difficulty changes
    /// or the time is up; says how long that took.
    fn mine(&mut self, interval: f64, seconds: f64) -> Option<f64> {
        let start = self.now;
        let mut next = start + interval;
        while self.now < start + seconds {
            self.now = next.min(self.now + 1.0);
            let is_share = self.now == next;
            let change = self.with_terms(|this, terms| {
                let Self { meter, vardiff, difficulty, now, .. } = this;
                if is_share {
                    let share = Outcome::Accepted { credit: *difficulty };
                    meter.on_submission(share, terms.hashrate, at(*now));
                    vardiff.evaluate(*difficulty, meter, terms, at(*now))
                } else {
                    vardiff.evaluate_idle(*difficulty, meter, terms, at(*now))
                }
            });
            if is_share {
                next += interval;
            }
            if let Some(difficulty) = change {
                self.difficulty = difficulty;
                return Some(self.now - start);
            }
        }
        None
    }

    /// Another part of the pool changes the difficulty.
    fn assign(&mut self, difficulty: f64) {
        let Self { meter, vardiff, now, .. } = self;
        vardiff.on_assigned(self.difficulty, difficulty, meter, at(*now));
        self.difficulty = difficulty;
    }

    /// The first evaluation after this time.
    fn evaluated_after(mut self, seconds: f64) -> Option<f64> {
        let now = at(self.now + seconds);
        self.with_terms(|this, terms| {
            this.vardiff.evaluate(this.difficulty, &mut this.meter, terms, now)
        })
    }
}

#[test]
fn the_control_of_a_connection_is_small() {
    assert!(size_of::<Meter>() <= 400, "{} bytes", size_of::<Meter>());
    assert!(size_of::<VarDiff>() <= 160, "{} bytes", size_of::<VarDiff>());
}

#[test]
fn a_flood_is_answered_after_five_seconds_with_the_right_difficulty() {
    let mut miner = Connection::new(256.0);
    let seconds = miner.mine(0.004, 60.0).expect("it is raised");
    assert!((4.9..5.1).contains(&seconds), "{seconds}");
    assert_eq!(miner.difficulty, assigned(256_000.0, 0.0));
}

#[test]
fn two_raises_are_a_minute_apart_whoever_makes_them() {
    let mut miner = Connection::new(256.0);
    miner.mine(0.004, 60.0).expect("it is raised");
    let seconds = miner.mine(0.04, 300.0).expect("it is raised again");
    assert!((59.9..61.0).contains(&seconds), "{seconds}");
    let mut miner = Connection::new(256.0);
    miner.assign(1024.0);
    let seconds = miner.mine(0.04, 300.0).expect("it is raised again");
    assert!((59.9..61.0).contains(&seconds), "{seconds}");
}

#[test]
fn a_miner_that_never_finds_a_share_is_given_easier_work_three_times_before_it_is_closed() {
    let mut miner = Connection::new(1e9);
    for _ in 0..3 {
        let before = miner.difficulty;
        let seconds = miner.mine(f64::INFINITY, 180.0).expect("it is lowered");
        assert!(seconds <= 30.0 && miner.difficulty < before / 15.0, "{seconds}");
    }
}

#[test]
fn a_miner_that_falls_silent_keeps_a_difficulty_it_can_return_to() {
    let mut miner = Connection::new(65536.0);
    assert_eq!(miner.mine(4.0, 1200.0), None);
    while miner.mine(f64::INFINITY, 40_000.0).is_some() {}
    assert_eq!(miner.difficulty, 1024.0);
}

#[test]
fn a_miner_at_its_target_is_left_alone() {
    let mut miner = Connection::new(65536.0);
    assert_eq!(miner.mine(4.0, 100_000.0), None);
    assert_eq!(miner.vardiff.adjustments(), 0);
}

/// `stratum.md` §7.9, with an idle timeout of 180 s.
#[test]
fn a_raise_that_silences_a_miner_is_taken_back_before_it_is_closed() {
    for (previous, quiet, lowered) in
        [(100.0, 126.0, 100.0), (900.0, 130.0, 750.0), (900.0, 150.0, 650.0), (900.0, 170.0, 500.0)]
    {
        let mut miner = Connection::new(previous);
        miner.assign(1000.0);
        let found = miner.evaluated_after(quiet);
        assert_eq!(found, Some(assigned(lowered, 0.0)), "{previous} {quiet}");
    }
}

#[test]
fn what_people_are_shown_changes_nothing() {
    let mut miner = Connection::new(1000.0);
    assert_eq!(miner.mine(7.0, 55.0), None);
    let before = format!("{:?} {:?}", miner.vardiff, miner.meter);
    miner.with_terms(|miner, terms| {
        let ideals = [(); 50].map(|()| miner.vardiff.ideal(1000.0, &miner.meter, terms, at(90.0)));
        assert!(ideals.iter().all(|ideal| *ideal == ideals[0]), "{ideals:?}");
    });
    assert_eq!(format!("{:?} {:?}", miner.vardiff, miner.meter), before);
}

#[test]
fn a_control_that_is_off_does_nothing() {
    let mut miner = Connection::new(1e9);
    miner.settings.enabled = false;
    assert_eq!(miner.mine(f64::INFINITY, 1000.0), None);
    assert_eq!(miner.mine(0.01, 10.0), None);
}
