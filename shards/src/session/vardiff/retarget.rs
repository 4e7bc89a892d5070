//! The evaluation of `stratum.md` §7.7, steps 3 to 13: from a smoothed hashrate and what it rests
//! on to a step towards the target.

use std::time::Duration;

use super::{Terms, minutes};
use crate::session::meter::shares_per_minute;

const DAMPING: f64 = 0.7;
/// Standard errors of the hashrate that are still chance.
const NOISE: f64 = 4.0;
/// Shares a minute that no move aims to leave, unless the target itself lies outside.
const RATE_MIN: f64 = 2.0;
const RATE_MAX: f64 = 30.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Up,
    Down,
}

/// What evaluations leave behind for the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Notes {
    /// Evaluations in a row that wanted to go the same way.
    pub(super) wanted: Option<(Direction, u8)>,
    /// Evaluations in a row that found first shares late.
    pub(super) late: u8,
}

/// What §7.7 looks at.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub(super) difficulty: f64,
    pub(super) hashrate: f64,
    /// In the retarget window, or in the status window if that has none.
    pub(super) accepted: u32,
    pub(super) stale_ratio: f64,
    pub(super) first_shares_are_late: bool,
    /// Relative standard error of the hashrate.
    pub(super) error: f64,
    /// The control hashrate has not had its first sample.
    pub(super) is_booting: bool,
    /// Since the difficulty changed; while booting, since the window started if that is later.
    pub(super) waited: Duration,
}

/// What the control has done so far, as far as it matters here.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Standing {
    pub(super) notes: Notes,
    /// Changes made.
    pub(super) adjustments: u32,
    /// The last raise was so large that no other may follow yet (step 6).
    pub(super) is_cooling: bool,
}

/// Where to move, if anywhere, and what to remember for the next evaluation.
pub(super) fn retarget(view: &View, standing: Standing, terms: &Terms<'_>) -> (Option<f64>, Notes) {
    let mut notes = standing.notes;
    let View { difficulty, hashrate, .. } = *view;
    let interval = interval(view);
    if view.waited < interval {
        return (None, notes);
    }
    let nominal = shares_per_minute(hashrate, 1.0);
    let bound = |value: f64| {
        let value = value.max(terms.min);
        if terms.max > 0.0 { value.min(terms.max.max(terms.min)) } else { value }
    };
    let mut target = bound(nominal / terms.settings.target_shares_per_min);
    let mut ratio = target / difficulty;
    let accepted = f64::from(view.accepted);
    let band = (2.0 / accepted.sqrt()).clamp(0.2, 0.6);
    // The band is made for 15 shares a minute. With two, an average over minutes is all noise; and
    // an average that is too high by chance has more shares than it should to look sure with.
    let error = view.error * ratio.max(1.0).sqrt();
    let is_noise = ratio.max(1.0 / ratio) <= 1.0 + NOISE * error;
    if (ratio - 1.0).abs() <= band || is_noise {
        notes.wanted = None;
        return (None, notes);
    }
    let direction = if ratio > 1.0 { Direction::Up } else { Direction::Down };
    if direction == Direction::Up && standing.is_cooling {
        return (None, notes);
    }
    let expected = shares_per_minute(hashrate, difficulty) * minutes(interval);
    if direction == Direction::Down {
        if expected < 8.0 && view.accepted < 3 {
            return (None, notes);
        }
        notes.late = if view.first_shares_are_late { notes.late.saturating_add(1) } else { 0 };
        if notes.late >= 3 {
            target = (target * 0.93).max(terms.min);
            ratio = target / difficulty;
        }
    }
    // The same distance in either direction (§7.7 step 9 FIX).
    let distance = ratio.max(1.0 / ratio);
    let seen = match notes.wanted {
        Some((wanted, seen)) if wanted == direction => seen.saturating_add(1),
        _ => 1,
    };
    notes.wanted = Some((direction, seen));
    if seen < confirmations(standing.adjustments, distance, view.is_booting) {
        return (None, notes);
    }
    let damped = difficulty + DAMPING * (target - difficulty);
    let cap = step_cap(standing.adjustments, distance, accepted.min(expected));
    let capped = difficulty * (damped / difficulty).clamp(1.0 / cap, cap);
    let wanted = terms.settings.target_shares_per_min;
    // Widened to hold the target itself (§7.7 step 12 FIX).
    let railed = capped.max(nominal / RATE_MAX.max(wanted)).min(nominal / RATE_MIN.min(wanted));
    (Some(railed), notes)
}

/// How many evaluations in a row must agree (step 9).
fn confirmations(adjustments: u32, distance: f64, is_booting: bool) -> u8 {
    match adjustments {
        0 | 1 => 1,
        _ if is_booting || distance >= 8.0 => 1,
        4.. if distance < 1.25 => 8,
        4.. if distance < 1.35 => 6,
        _ if distance < 1.5 => 4,
        _ if distance < 2.0 => 3,
        _ => 2,
    }
}

/// Most that one move may change, as a factor (step 11). The table of §7.7 fixes how its
/// two limits for poor evidence combine: the lower one holds from a distance of 4.
fn step_cap(adjustments: u32, distance: f64, evidence: f64) -> f64 {
    let cap = match (adjustments < 2, distance) {
        (true, 16.0..) | (false, 64.0..) => 8.0,
        (true, _) | (false, 16.0..) => 4.0,
        _ => 2.0,
    };
    if evidence < 4.0 && distance >= 4.0 { 2.0 } else { cap }
}

/// How long a difficulty is left alone (step 3).
fn interval(view: &View) -> Duration {
    let seconds: f64 = match shares_per_minute(view.hashrate, view.difficulty) {
        48.0.. => 30.0,
        24.0.. => 45.0,
        per_minute if per_minute <= 3.0 => 120.0,
        per_minute if per_minute <= 6.0 => 90.0,
        _ => 60.0,
    };
    let slowdown = match view.stale_ratio {
        0.12.. => 2.0,
        0.06.. => 1.6,
        0.03.. => 1.3,
        _ => 1.0,
    };
    let least = if view.is_booting { 45.0 } else { 30.0 };
    Duration::from_secs_f64((seconds * slowdown).clamp(least, 240.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::meter::{HASHES_PER_DIFFICULTY, HashrateSettings};
    use crate::session::vardiff::VarDiffSettings;

    const TERA: f64 = 1e12;

    fn grid(wanted: f64) -> f64 {
        (f64::exp2((wanted.log2() * 10.0).round() / 10.0) + 0.5).floor()
    }

    /// What is seen of a miner long after the last change, measured well.
    fn view(difficulty: f64, hashrate: f64, accepted: u32) -> View {
        View {
            difficulty,
            hashrate,
            accepted,
            stale_ratio: 0.0,
            first_shares_are_late: false,
            error: 0.0,
            is_booting: false,
            waited: Duration::from_secs(3600),
        }
    }

    fn adjusted(adjustments: u32) -> Standing {
        Standing { adjustments, ..Standing::default() }
    }

    /// Evaluates until it moves: where to, and after how many evaluations.
    fn moves(
        mut standing: Standing,
        view: &View,
        (target_shares_per_min, min): (f64, f64),
    ) -> Option<(f64, usize)> {
        let idle_timeout = Duration::from_secs(180);
        let settings = VarDiffSettings { enabled: true, target_shares_per_min, idle_timeout };
        let hashrate = HashrateSettings::new(Duration::from_secs(450), target_shares_per_min);
        let terms =
            Terms { settings: &settings, hashrate: &hashrate, min, max: 0.0, assign: &grid };
        (1..=10).find_map(|count| {
            let (to, notes) = retarget(view, standing, &terms);
            standing.notes = notes;
            to.map(|to| (to, count))
        })
    }

    #[test]
    fn the_worked_values_of_the_specification_hold() {
        for (difficulty, tera, accepted, adjustments, moved, assigned) in [
            (256.0, 1.0, 20, 0, 728.73, 724.0),
            (256.0, 100.0, 200, 0, 46566.1, 46341.0),
            (4096.0, 0.5, 4, 3, 2048.0, 2048.0),
            (8192.0, 0.5, 3, 5, 3492.5, 3566.0),
        ] {
            let view = view(difficulty, tera * TERA, accepted);
            let (to, _) = moves(adjusted(adjustments), &view, (15.0, 256.0)).expect("it moves");
            assert!((to / moved - 1.0).abs() < 2e-5, "{difficulty}: {to}");
            assert_eq!(grid(to), assigned);
        }
        assert_eq!(moves(adjusted(3), &view(1024.0, TERA, 60), (15.0, 256.0)), None);
    }

    #[test]
    fn a_move_is_confirmed_by_its_distance_whichever_way_it_goes() {
        for (distance, adjustments, evaluations) in [
            (3.0, 1, 1),
            (3.0, 2, 2),
            (1.9, 3, 3),
            (1.45, 3, 4),
            (1.45, 4, 4),
            (1.3, 4, 6),
            (9.0, 4, 1),
        ] {
            for ratio in [distance, 1.0 / distance] {
                let view = view(1000.0, 250.0 * ratio * HASHES_PER_DIFFICULTY, 1000);
                let found = moves(adjusted(adjustments), &view, (15.0, 0.0));
                assert_eq!(found.map(|found| found.1), Some(evaluations), "{ratio} {adjustments}");
            }
        }
    }

    #[test]
    fn a_change_of_direction_starts_the_confirmation_again() {
        let standing = |wanted| Standing { notes: Notes { wanted, late: 0 }, ..adjusted(3) };
        let view = view(1000.0, 750.0 * HASHES_PER_DIFFICULTY, 1000);
        for (wanted, evaluations) in
            [(None, 2), (Some((Direction::Up, 1)), 1), (Some((Direction::Down, 1)), 2)]
        {
            let found = moves(standing(wanted), &view, (15.0, 0.0));
            assert_eq!(found.map(|found| found.1), Some(evaluations), "{wanted:?}");
        }
    }

    #[test]
    fn the_rails_make_room_for_the_target() {
        for (target, start) in [(60.0, 10.0), (1.0, 100_000.0)] {
            let ideal = TERA / HASHES_PER_DIFFICULTY * 60.0 / target;
            let mut difficulty = start;
            while let Some((to, _)) =
                moves(adjusted(9), &view(difficulty, TERA, 1000), (target, 0.0))
            {
                difficulty = to;
            }
            assert!((difficulty / ideal - 1.0).abs() <= 0.25, "{target}: {difficulty}");
        }
    }

    #[test]
    fn late_first_shares_lower_the_aim_from_the_third_evaluation() {
        let view = View { first_shares_are_late: true, ..view(3000.0, TERA, 1000) };
        let after = |late| {
            let standing = Standing { notes: Notes { wanted: None, late }, ..adjusted(0) };
            moves(standing, &view, (15.0, 0.0)).expect("it moves").0
        };
        assert!(after(1) > after(2), "{} {}", after(1), after(2));
        assert_eq!(after(2), after(200));
    }

    #[test]
    fn what_is_not_measured_well_is_noise() {
        let view = |error| View { error, ..view(1000.0, 600.0 * HASHES_PER_DIFFICULTY, 1000) };
        assert!(moves(adjusted(0), &view(0.2), (15.0, 0.0)).is_some());
        assert!(moves(adjusted(0), &view(0.4), (15.0, 0.0)).is_none());
    }
}
