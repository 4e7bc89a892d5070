//! The difficulty a connection is asked for, and how it is chosen (`stratum.md` §7).

use std::time::Duration;

use crate::limits::PREVIOUS_DIFFICULTY_GRACE;
use crate::settings::{DifficultySettings, Settings};
use crate::wire::reply;

use super::vardiff::Terms;
use super::{Env, FirstWork, Session};

/// What a connection starts with when neither a default nor a minimum is set.
const FALLBACK: f64 = 256.0;
/// A first difficulty is set this much lower, so that the first shares come soon.
const PRIMING: f64 = 0.75;
const PRIMING_FLOOR: f64 = 0.60;

/// What a retarget is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// A share has come, or work is about to go out.
    Now,
    /// Time has passed.
    Idle,
}

/// The difficulty of one connection.
#[derive(Debug)]
pub(super) struct Difficulty {
    current: f64,
    /// The value before the last change, and when that was.
    previous: Option<(f64, Duration)>,
    /// Never less than this, as the miner itself asked for.
    floor: Option<f64>,
    suggested: bool,
    assigned: bool,
    /// A hint that waits for the subscribe.
    pending_hint: Option<f64>,
    /// The last value the miner was told.
    announced: Option<f64>,
}

impl Difficulty {
    pub(super) fn new(settings: &DifficultySettings) -> Self {
        let start = [settings.default, settings.min].into_iter().find(|value| *value > 0.0);
        Self {
            current: start.unwrap_or(FALLBACK),
            previous: None,
            floor: None,
            suggested: false,
            assigned: false,
            pending_hint: None,
            announced: None,
        }
    }

    /// The miner has come back on a new connection: it must be told again.
    pub(super) fn resumed(mut self) -> Self {
        self.announced = None;
        self.assigned = true;
        self
    }

    pub(super) fn current(&self) -> f64 {
        self.current
    }

    /// The difficulty that shares in flight may still meet.
    pub(super) fn previous(&self, now: Duration) -> Option<f64> {
        let (value, changed_at) = self.previous?;
        (now.saturating_sub(changed_at) <= PREVIOUS_DIFFICULTY_GRACE).then_some(value)
    }

    /// The difficulty before the last change, however long ago.
    pub(super) fn before(&self) -> Option<f64> {
        self.previous.map(|(value, _)| value)
    }

    /// The first that asks sets the floor.
    pub(super) fn set_floor(&mut self, floor: f64) {
        self.floor.get_or_insert(floor);
    }

    pub(super) fn hint_after_subscribe(&mut self, hint: f64) {
        self.pending_hint.get_or_insert(hint);
    }

    pub(super) fn take_pending_hint(&mut self) -> Option<f64> {
        self.pending_hint.take()
    }

    fn assign(&mut self, value: f64, settings: &DifficultySettings, now: Duration) {
        self.set(assigned(value, settings, self.floor), now);
    }

    fn set(&mut self, value: f64, now: Duration) {
        if value != self.current {
            self.previous = Some((self.current, now));
            self.current = value;
        }
        self.assigned = true;
    }

    fn primed(&self, value: f64, settings: &DifficultySettings, accepted: u64) -> f64 {
        if settings.lock_suggested || accepted > 0 || value <= 0.0 {
            return value;
        }
        let primed = assigned((PRIMING * value).max(PRIMING_FLOOR * value), settings, self.floor);
        if primed > 0.0 && primed < value { primed } else { value }
    }
}

impl Session {
    /// A miner asks for a difficulty. Only the first time on a connection has an effect.
    pub(super) fn apply_suggestion(&mut self, value: f64, env: &mut Env<'_>) {
        if self.difficulty.suggested {
            return;
        }
        self.difficulty.suggested = true;
        self.assign_primed(value, env);
        if self.is_subscribed() {
            self.announce_difficulty(env);
        }
        self.hurry_first_work(env);
        match self.first_work {
            FirstWork::Due(_) => self.send_first_work(env),
            FirstWork::Sent => self.notify(true, env),
            FirstWork::Waiting => {}
        }
    }

    /// As [`Self::adjust`], and tells the miner at once.
    pub(super) fn retarget(&mut self, when: When, env: &mut Env<'_>) -> bool {
        let has_changed = self.adjust(when, env);
        if has_changed {
            self.announce_difficulty(env);
        }
        has_changed
    }

    /// Adjusts the difficulty to what the miner does; whether it has changed. Then the miner must
    /// be told, and work that carries it must follow.
    pub(super) fn adjust(&mut self, when: When, env: &mut Env<'_>) -> bool {
        let settings = env.settings;
        let is_locked = settings.difficulty.lock_suggested && self.difficulty.suggested;
        let Some(vardiff) = self.vardiff.as_mut().filter(|_| !is_locked) else {
            return false;
        };
        let floor = self.difficulty.floor;
        let assign = |value| assigned(value, &settings.difficulty, floor);
        let terms = terms(settings, &assign);
        let (current, now) = (self.difficulty.current, env.now.elapsed);
        let adjusted = match when {
            When::Now => vardiff.evaluate(current, &mut self.meter, &terms, now),
            When::Idle => vardiff.evaluate_idle(current, &mut self.meter, &terms, now),
        };
        let Some(adjusted) = adjusted else {
            return false;
        };
        self.difficulty.set(adjusted, now);
        self.has_news = true;
        env.tally.retargeted(adjusted > current);
        true
    }

    /// What it should be, whatever it is; none while it is fixed.
    pub(super) fn ideal_difficulty(&self, env: &Env<'_>) -> Option<f64> {
        let settings = env.settings;
        let vardiff = self.vardiff.as_ref().filter(|_| settings.vardiff.enabled)?;
        let assign = |value| assigned(value, &settings.difficulty, self.difficulty.floor);
        let terms = terms(settings, &assign);
        Some(vardiff.ideal(self.difficulty.current, &self.meter, &terms, env.now.elapsed))
    }

    /// The first difficulty, unless a suggestion has set it; the miner hears it before any work.
    pub(super) fn start_difficulty(&mut self, env: &mut Env<'_>) {
        if !self.difficulty.assigned {
            let start = self.difficulty.current;
            self.assign_primed(start, env);
        }
        self.keep_within_limits(env);
        self.announce_if_changed(env);
    }

    /// Other settings are in force. A difficulty that they do not allow is the nearest that they do,
    /// and the miner is told at once: what it works at is what it is judged by.
    pub fn on_settings(&mut self, env: &mut Env<'_>) {
        if self.first_work == FirstWork::Sent && self.keep_within_limits(env) {
            self.announce_difficulty(env);
            self.notify(true, env);
        }
    }

    /// Whether the difficulty had to change for it.
    fn keep_within_limits(&mut self, env: &Env<'_>) -> bool {
        let (settings, now) = (&env.settings.difficulty, env.now.elapsed);
        let before = self.difficulty.current;
        let is_high = settings.max > 0.0 && before > settings.max.max(settings.min);
        if before >= settings.min && !is_high {
            return false;
        }
        self.difficulty.assign(before, settings, now);
        let after = self.difficulty.current;
        if after == before {
            return false;
        }
        self.has_news = true;
        if let Some(vardiff) = &mut self.vardiff {
            vardiff.on_assigned(before, after, &mut self.meter, now);
        }
        true
    }

    pub(super) fn announce_if_changed(&mut self, env: &mut Env<'_>) {
        if self.difficulty.announced != Some(self.difficulty.current) {
            self.announce_difficulty(env);
        }
    }

    fn assign_primed(&mut self, value: f64, env: &Env<'_>) {
        let (settings, now) = (&env.settings.difficulty, env.now.elapsed);
        let before = self.difficulty.current;
        let primed = self.difficulty.primed(value, settings, self.accepted);
        self.difficulty.assign(primed, settings, now);
        self.has_news = true;
        if let Some(vardiff) = &mut self.vardiff {
            vardiff.on_assigned(before, self.difficulty.current, &mut self.meter, now);
        }
    }

    fn announce_difficulty(&mut self, env: &mut Env<'_>) {
        reply::set_difficulty(env.out, self.difficulty.current);
        self.difficulty.announced = Some(self.difficulty.current);
        env.tally.assigned(self.seat, self.difficulty.current);
    }
}

/// The difficulty that is assigned when `wanted` is asked for (`stratum.md` §7.2): clamped, on
/// the grid of 2^(k/n), and whole from 1 upward.
fn assigned(wanted: f64, settings: &DifficultySettings, floor: Option<f64>) -> f64 {
    let bounded = |floor: f64| if settings.max > 0.0 { floor.min(settings.max) } else { floor };
    let low = settings.min.max(floor.map_or(0.0, bounded));
    let high = match settings.max {
        max if max > 0.0 => max.max(low),
        _ => f64::INFINITY,
    };
    let on_grid = snap(wanted.clamp(low, high), low, high, f64::from(settings.step_granularity));
    if on_grid < 1.0 {
        return on_grid;
    }
    let whole = (on_grid + 0.5).floor();
    if whole < low {
        low.ceil()
    } else if whole > high {
        high.floor().max(low)
    } else {
        whole
    }
}

/// The nearest 2^(k/steps) inside the bounds; where none fits, the bound that is in the way.
fn snap(value: f64, low: f64, high: f64, steps: f64) -> f64 {
    if value <= 0.0 {
        return value;
    }
    let grid = |k: f64| f64::exp2(k / steps);
    // Powers of two come out exact, which a ceiling or a floor would miss by the last bit.
    let slack = 1e-9;
    let nearest = grid((value.log2() * steps).round());
    if nearest < low {
        let above = grid((low.log2() * steps - slack).ceil());
        return if above <= high { above } else { low };
    }
    if nearest > high {
        let below = grid((high.log2() * steps + slack).floor());
        return if below >= low && below > 0.0 { below } else { high };
    }
    nearest
}

fn terms<'a>(settings: &'a Settings, assign: &'a dyn Fn(f64) -> f64) -> Terms<'a> {
    Terms {
        settings: &settings.vardiff,
        hashrate: &settings.hashrate,
        min: settings.difficulty.min,
        max: settings.difficulty.max,
        assign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(min: f64, max: f64) -> DifficultySettings {
        DifficultySettings {
            default: 0.0,
            min,
            max,
            step_granularity: 10,
            lock_suggested: false,
            enforce_suggested_limits: false,
        }
    }

    #[test]
    fn the_grid_table_of_the_specification_holds() {
        for (wanted, expected) in [
            (0.3, 0.307_786_103_336_229_1),
            (2.3, 2.0),
            (192.0, 194.0),
            (750.0, 776.0),
            (1000.0, 1024.0),
            (12345.0, 12417.0),
            (5_000_000.0, 5_163_794.0),
        ] {
            let found = assigned(wanted, &settings(0.0, 0.0), None);
            assert!((found / expected - 1.0).abs() < 1e-12, "{wanted}: {found}");
        }
    }

    #[test]
    fn bounds_hold_whatever_the_grid_says() {
        for (wanted, min, max, floor, expected) in [
            (192.0, 256.0, 0.0, None, 256.0),
            (1e9, 256.0, 1000.0, None, 955.0),
            (1.0, 1e-10, 1e-10, None, 1e-10),
            (5.0, 256.0, 0.0, Some(1024.0), 1024.0),
            // A floor the miner asked for never passes the operator's maximum.
            (5.0, 256.0, 512.0, Some(1e6), 512.0),
            (100.0, 300.0, 300.0, None, 300.0),
        ] {
            let found = assigned(wanted, &settings(min, max), floor);
            assert_eq!(found, expected, "{wanted} in {min}..{max}");
        }
    }

    #[test]
    fn the_first_difficulty_is_primed_down_but_not_below_the_minimum() {
        let settings = settings(256.0, 0.0);
        let mut difficulty = Difficulty::new(&settings);
        for (value, primed) in [(256.0, 256.0), (1000.0, 776.0), (4096.0, 3104.0), (2048.0, 1552.0)]
        {
            assert_eq!(difficulty.primed(value, &settings, 0), primed);
        }
        assert_eq!(difficulty.primed(4096.0, &settings, 1), 4096.0);
        difficulty.set_floor(1024.0);
        assert_eq!(difficulty.primed(1024.0, &settings, 0), 1024.0);
    }
}
