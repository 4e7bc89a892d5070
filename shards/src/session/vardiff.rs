//! Chooses each connection's difficulty, so that it finds about the wanted number of shares a
//! minute (`stratum.md` §7.6 to §7.10). A function of what the [`Meter`] has seen and when.
//!
//! The rules, in the order they are asked; the first that has an answer decides:
//!
//! | rule      | moves when                                                   | goes to            |
//! |-----------|--------------------------------------------------------------|--------------------|
//! | rescue    | quiet since a raise, and soon to be closed as idle (§7.9)    | a step down        |
//! | drought   | so few shares are no chance any more                         | above the target   |
//! | flood     | so many shares are no chance any more, and measure well      | the target         |
//! | trim      | 128 shares or more say it is off by more than chance         | the target         |
//! | retarget  | the smoothed hashrate leaves the noise band (§7.7)           | towards the target |
//!
//! §7.7 alone waits for shares that never come when the start is far too hard, takes a minute to
//! stop a thousandfold flood, and rests anywhere within a third of the target. The rules around
//! it answer that; `documentation/vardiff.md` has the measurements.

mod retarget;

use std::time::Duration;

use crate::limits::PREVIOUS_DIFFICULTY_GRACE;

use super::meter::{HashrateSettings, Measured, Meter, shares_per_minute};
use retarget::{Notes, Standing, View};

/// After a raise to four times or more, §7.7 raises no further for this long.
const LEAP_COOLDOWN: Duration = Duration::from_secs(120);
const LEAP: f64 = 4.0;
/// A raise stands for this long. Only one previous difficulty is remembered, and a miner slow to
/// follow still works at it: the next change would turn its shares into rejects.
const RAISE_STANDS: Duration = PREVIOUS_DIFFICULTY_GRACE;
/// How often a connection is evaluated that nothing else brings here (§7.10).
const IDLE_INTERVAL: Duration = Duration::from_secs(5);

/// A drought needs this much time, for work must reach the miner and shares must come back.
const DROUGHT_TIME_MIN: Duration = Duration::from_secs(20);
/// A flood needs this much time, for a proxy may hand over what it has kept.
const FLOOD_TIME_MIN: Duration = Duration::from_secs(5);
/// Shares that measure a rate to 9 %: enough to land within 20 %.
const SHARES_MEASURED: f64 = 128.0;
/// A rate that brings so many within five minutes is measured before it is lowered.
const RATE_MEASURED_SOON: f64 = SHARES_MEASURED / 5.0;
/// A miner that turns out slower than anything measured is given work this much too easy: too
/// easy is measured in two minutes, too hard is not.
const PROBE: f64 = 4.0;
/// Odds of e^−x that a share rate within 15 % of the target looks like that. Nothing is risked
/// while the miner is new; later, 900 shares an hour ask 900 times.
const SURPRISE_NEW: f64 = 5.0;
const SURPRISE_SETTLED: f64 = 10.0;
const SURPRISE_BAND: f64 = 0.15;
/// Most a drought takes off at once, and how far silence alone may go below the difficulty that
/// last brought a share: a farm that is switched off must not come back as a flood.
const DROUGHT_STEP: f64 = 16.0;
const SILENCE_DEPTH: f64 = 64.0;

/// A move this small, relatively, is none. §7.7 says 1e-6 outright, which is more than the
/// whole difficulty of a miner of 1 kH/s.
const MOVE_MIN: f64 = 1e-6;

/// What operators set.
#[derive(Clone, Debug)]
pub struct VarDiffSettings {
    /// `vardiff_enabled`.
    pub enabled: bool,
    /// `target_shares_per_min`, more than 0.
    pub target_shares_per_min: f64,
    /// `connection_timeout_seconds`: a miner quiet for so long is closed.
    pub idle_timeout: Duration,
}

/// What a connection's difficulty is subject to.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    pub settings: &'a VarDiffSettings,
    pub hashrate: &'a HashrateSettings,
    /// `min_difficulty` and `max_difficulty`; 0 for none.
    pub min: f64,
    pub max: f64,
    /// The assignment rule of §7.2: bounds with the connection's floor, grid, whole numbers.
    pub assign: &'a dyn Fn(f64) -> f64,
}

/// Which rule moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Rescue,
    Drought,
    Flood,
    Trim,
    Retarget,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Move {
    to: f64,
    rule: Rule,
    /// The hashrate that the move believes in, in hashes per second.
    hashrate: f64,
}

/// The difficulty control of one connection.
#[derive(Clone, Debug)]
pub struct VarDiff {
    changed_at: Duration,
    /// The difficulty before that.
    previous: Option<f64>,
    raised_at: Option<Duration>,
    /// The last raise to four times or more.
    leapt_at: Option<Duration>,
    adjustments: u32,
    notes: Notes,
    /// The last difficulty that shares came in at.
    productive: Option<f64>,
    evaluated_at: Duration,
}

impl VarDiff {
    /// The difficulty that first work is sent with is no change.
    pub fn new(now: Duration) -> Self {
        Self {
            changed_at: now,
            previous: None,
            raised_at: None,
            leapt_at: None,
            adjustments: 0,
            notes: Notes::default(),
            productive: None,
            evaluated_at: now,
        }
    }

    /// Something other than this control has changed the difficulty: a suggestion, an operator.
    pub fn on_assigned(&mut self, from: f64, to: f64, meter: &mut Meter, now: Duration) {
        self.changed_at = now;
        self.previous = Some(from);
        self.notes = Notes::default();
        if to > from {
            self.raised_at = Some(now);
        }
        if to >= LEAP * from {
            self.leapt_at = Some(now);
        }
        meter.restart_window(now);
    }

    /// Changes that this control has made.
    pub fn adjustments(&self) -> u32 {
        self.adjustments
    }

    /// Before every notify and after every accepted share that is no block (§7.6): the value to
    /// assign and announce, if the difficulty is to change.
    pub fn evaluate(
        &mut self,
        difficulty: f64,
        meter: &mut Meter,
        terms: &Terms<'_>,
        now: Duration,
    ) -> Option<f64> {
        // Nothing to decide where both bounds hold the difficulty to one value (`-flood`).
        let is_pinned = terms.min == difficulty && terms.max == difficulty;
        if !terms.settings.enabled || difficulty <= 0.0 || is_pinned {
            return None;
        }
        self.evaluated_at = now;
        if meter.retarget_window().credit > 0.0 {
            self.productive = Some(difficulty);
        }
        let (step, notes) = self.decide(difficulty, meter, terms, now);
        self.notes = notes;
        let step = step?;
        let value = (terms.assign)(step.to);
        if (value - difficulty).abs() < MOVE_MIN * difficulty {
            return None;
        }
        match step.rule {
            Rule::Flood => meter.believe(step.hashrate, now),
            Rule::Drought | Rule::Rescue => meter.disbelieve(now),
            Rule::Retarget => meter.measure_from_window(step.hashrate, now),
            Rule::Trim => {}
        }
        self.on_assigned(difficulty, value, meter, now);
        self.adjustments += 1;
        Some(value)
    }

    /// From time to time (every second or so), for a connection that neither shares nor new work
    /// bring here (§7.10). As [`Self::evaluate`]; most calls cost a comparison.
    pub fn evaluate_idle(
        &mut self,
        difficulty: f64,
        meter: &mut Meter,
        terms: &Terms<'_>,
        now: Duration,
    ) -> Option<f64> {
        if now.saturating_sub(self.evaluated_at) < IDLE_INTERVAL {
            return None;
        }
        self.evaluate(difficulty, meter, terms, now)
    }

    /// The difficulty this connection should have: what people are shown. Changes nothing.
    pub fn ideal(&self, difficulty: f64, meter: &Meter, terms: &Terms<'_>, now: Duration) -> f64 {
        let step = self.decide(difficulty, meter, terms, now).0;
        step.map_or(difficulty, |step| (terms.assign)(step.to))
    }

    fn decide(
        &self,
        difficulty: f64,
        meter: &Meter,
        terms: &Terms<'_>,
        now: Duration,
    ) -> (Option<Move>, Notes) {
        if self.raised_at.is_some_and(|at| now.saturating_sub(at) < RAISE_STANDS) {
            return (None, self.notes);
        }
        let step = self
            .rescue(difficulty, meter, terms, now)
            .or_else(|| self.drought(difficulty, meter, terms, now))
            .or_else(|| self.flood(difficulty, meter, terms, now))
            .or_else(|| self.trim(difficulty, meter, terms, now));
        if step.is_some() {
            return (step, self.notes);
        }
        let Some(view) = self.view(difficulty, meter, terms, now) else {
            return (None, self.notes);
        };
        let is_cooling = self.leapt_at.is_some_and(|at| now.saturating_sub(at) < LEAP_COOLDOWN);
        let standing = Standing { notes: self.notes, adjustments: self.adjustments, is_cooling };
        let (to, notes) = retarget::retarget(&view, standing, terms);
        let step = to.map(|to| Move { to, rule: Rule::Retarget, hashrate: view.hashrate });
        if self.is_settled(meter, now) {
            return (step, notes);
        }
        let target = terms.settings.target_shares_per_min;
        (step.and_then(|step| unsettled(step, &view, target)), notes)
    }

    fn is_settled(&self, meter: &Meter, now: Duration) -> bool {
        meter.steady(now).shares >= SHARES_MEASURED
    }

    fn surprise_needed(&self, meter: &Meter, now: Duration) -> f64 {
        if self.is_settled(meter, now) { SURPRISE_SETTLED } else { SURPRISE_NEW }
    }

    /// The timeout guard of §7.9: a raise must not cost a miner its connection.
    fn rescue(
        &self,
        difficulty: f64,
        meter: &Meter,
        terms: &Terms<'_>,
        now: Duration,
    ) -> Option<Move> {
        let previous = self.previous.filter(|previous| *previous > 0.0)?;
        let is_quiet = meter.last_submission_at().is_none_or(|at| at <= self.changed_at);
        if previous >= difficulty || !is_quiet {
            return None;
        }
        let timeout = terms.settings.idle_timeout;
        let quiet = now.saturating_sub(self.changed_at);
        let latest = timeout.saturating_sub(Duration::from_secs(5));
        if quiet < timeout.mul_f64(0.7).max(Duration::from_secs(20)).min(latest) {
            return None;
        }
        let target = terms.settings.target_shares_per_min;
        let expected = match meter.control_hashrate(terms.hashrate, now) {
            hashrate if hashrate > 0.0 => target.min(shares_per_minute(hashrate, difficulty)),
            _ => target,
        };
        if (-expected * minutes(quiet)).exp() > 0.01 {
            return None;
        }
        let factor = match quiet.div_duration_f64(timeout) {
            0.9.. => 0.5,
            0.8.. => 0.65,
            _ => 0.75,
        };
        let to = (difficulty * factor).min(previous);
        Some(Move { to, rule: Rule::Rescue, hashrate: 0.0 })
    }

    /// Too few shares for chance.
    fn drought(
        &self,
        difficulty: f64,
        meter: &Meter,
        terms: &Terms<'_>,
        now: Duration,
    ) -> Option<Move> {
        let window = meter.retarget_window();
        let elapsed = window.age(now);
        let expected = terms.settings.target_shares_per_min * minutes(elapsed);
        let found = window.credit / difficulty;
        if elapsed < DROUGHT_TIME_MIN || found >= expected {
            return None;
        }
        // With few shares wanted, a miner that never found one would be closed before it may be
        // called slow.
        let is_last_chance =
            meter.accepted() == 0 && elapsed >= terms.settings.idle_timeout / 4 && expected >= 1.0;
        let unlikely = surprise(found, expected * (1.0 - SURPRISE_BAND));
        if unlikely < self.surprise_needed(meter, now) && !is_last_chance {
            return None;
        }
        let factor = ((found + 0.5) / expected / PROBE).clamp(1.0 / DROUGHT_STEP, 1.0);
        let deepest = match self.productive {
            Some(productive) if found <= 0.0 => productive / SILENCE_DEPTH,
            _ => 0.0,
        };
        let to = (difficulty * factor).max(deepest);
        (to < difficulty).then_some(Move { to, rule: Rule::Drought, hashrate: 0.0 })
    }

    /// Too many shares for chance, and enough to know the rate by.
    fn flood(
        &self,
        difficulty: f64,
        meter: &Meter,
        terms: &Terms<'_>,
        now: Duration,
    ) -> Option<Move> {
        let window = meter.retarget_window();
        // In work: shares of easier jobs in flight are many, but count for little.
        let found = window.credit / difficulty;
        if found.min(f64::from(window.accepted)) < SHARES_MEASURED
            || window.age(now) < FLOOD_TIME_MIN
        {
            return None;
        }
        let expected = terms.settings.target_shares_per_min * minutes(window.age(now));
        let likely_max = expected * (1.0 + SURPRISE_BAND);
        if found <= likely_max || surprise(found, likely_max) < self.surprise_needed(meter, now) {
            return None;
        }
        let hashrate = window.hashrate(now)?;
        Some(Move { to: difficulty * found / expected, rule: Rule::Flood, hashrate })
    }

    /// Off by more than a tenth and what chance explains, as measured by all work of this
    /// hashrate; but if the quicker estimate says that this was another hashrate, it waits.
    fn trim(
        &self,
        difficulty: f64,
        meter: &Meter,
        terms: &Terms<'_>,
        now: Duration,
    ) -> Option<Move> {
        let Measured { hashrate, shares } = meter.steady(now);
        if shares < SHARES_MEASURED {
            return None;
        }
        let control = meter.control_hashrate(terms.hashrate, now);
        let ratio = shares_per_minute(hashrate, difficulty) / terms.settings.target_shares_per_min;
        let is_off = (ratio - 1.0).abs() > 0.1 + 1.0 / shares.sqrt();
        let agrees = control > 0.0 && (control / hashrate - 1.0).abs() <= 0.3;
        (is_off && agrees).then_some(Move { to: difficulty * ratio, rule: Rule::Trim, hashrate })
    }

    /// What §7.7 needs to know, if it is known.
    fn view(
        &self,
        difficulty: f64,
        meter: &Meter,
        terms: &Terms<'_>,
        now: Duration,
    ) -> Option<View> {
        let window = meter.retarget_window();
        let started_at = window.started_at?;
        let control = meter.control_hashrate(terms.hashrate, now);
        let is_booting = control <= 0.0;
        // The window alone, not the status window: what was before the last change may have been
        // another hashrate.
        let hashrate = if is_booting { window.hashrate(now)? } else { control };
        let accepted = match window.accepted {
            0 => meter.status_window().accepted,
            accepted => accepted,
        };
        let reference = if is_booting { self.changed_at.max(started_at) } else { self.changed_at };
        let unsmoothed = f64::from(window.accepted).sqrt().recip();
        (accepted > 0).then(|| View {
            difficulty,
            hashrate,
            accepted,
            stale_ratio: meter.stale_ratio(),
            first_shares_are_late: meter.first_shares_are_late(),
            error: meter.control_error().unwrap_or(unsmoothed),
            is_booting,
            waited: now.saturating_sub(reference),
        })
    }
}

/// What becomes of a move of §7.7 while the miner is not measured: it would rest on a
/// handful of shares, and the time to find out how wrong it was is longer than the time to
/// measure first.
fn unsettled(step: Move, view: &View, target: f64) -> Option<Move> {
    if step.to < view.difficulty {
        let to = step.to.min(shares_per_minute(view.hashrate, PROBE * target));
        let to = to.max(view.difficulty / DROUGHT_STEP);
        return Some(Move { to, rule: Rule::Drought, ..step });
    }
    let per_minute = shares_per_minute(view.hashrate, view.difficulty);
    (per_minute < RATE_MEASURED_SOON).then_some(step)
}

/// How little chance explains `found` events where `expected` were: e^−x bounds the odds of
/// that many or more, or that few or fewer (Chernoff's bound for Poisson's law).
fn surprise(found: f64, expected: f64) -> f64 {
    if found > 0.0 { found * (found / expected).ln() - found + expected } else { expected }
}

fn minutes(duration: Duration) -> f64 {
    duration.as_secs_f64() / 60.0
}
