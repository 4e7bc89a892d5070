//! Two ways to average a hashrate: one that forgets with time, and one that does not.

use std::time::Duration;

use super::{HASHES_PER_DIFFICULTY, Window};

/// An estimate shows itself after this long (`stratum.md` §8.2).
pub(super) const BOOT: Duration = Duration::from_secs(45);
/// A span is full when it has both: with two of them, hashrates are known to 6 % or better, and
/// one that holds still is looked at afresh only a few times an hour.
const SPAN_SHARES_MAX: f64 = 256.0;
const SPAN_TIME_MAX: Duration = Duration::from_secs(15 * 60);
/// Shares from which two spans are compared, and by how many standard errors they then differ.
const SPAN_SHARES_MIN: f64 = 64.0;
const SPANS_DIFFER: f64 = 4.5;

/// An average that weighs the past by its age.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ema {
    /// Hashes per second; 0 while there is no estimate.
    value: f64,
    /// Square of its standard error, from the shares it rests on.
    variance: f64,
    /// End of the last sample, and the credit since.
    sampled_at: Option<Duration>,
    credit: f64,
    credit_squared: f64,
}

impl Ema {
    pub(super) fn since(now: Duration) -> Self {
        Self { sampled_at: Some(now), ..Self::default() }
    }

    /// As if this many shares had just shown this hashrate.
    pub(super) fn of(hashrate: f64, shares: u32, now: Duration) -> Self {
        let variance = hashrate * hashrate / f64::from(shares.max(1));
        Self { value: hashrate, variance, ..Self::since(now) }
    }

    pub(super) fn add(&mut self, credit: f64, tau: Duration, now: Duration) {
        self.credit += credit;
        self.credit_squared += credit * credit;
        let Some(sampled_at) = self.sampled_at else {
            self.sampled_at = Some(now);
            return;
        };
        let elapsed = now.saturating_sub(sampled_at);
        if elapsed.is_zero() || (self.value <= 0.0 && elapsed < BOOT) {
            return;
        }
        let kept = match self.value {
            value if value > 0.0 => (-elapsed.div_duration_f64(tau)).exp(),
            _ => 0.0,
        };
        let taken = (1.0 - kept) * HASHES_PER_DIFFICULTY / elapsed.as_secs_f64();
        self.value = kept * self.value + taken * self.credit;
        self.variance = kept * kept * self.variance + taken * taken * self.credit_squared;
        self.sampled_at = Some(now);
        self.credit = 0.0;
        self.credit_squared = 0.0;
    }

    pub(super) fn read(&self, tau: Duration, now: Duration) -> f64 {
        let silence = self.sampled_at.map_or(Duration::ZERO, |at| now.saturating_sub(at));
        self.value * (-silence.div_duration_f64(tau)).exp()
    }

    /// Relative standard error, when there is an estimate.
    pub(super) fn error(&self) -> Option<f64> {
        (self.value > 0.0).then(|| self.variance.sqrt() / self.value)
    }
}

/// The best measured hashrate: all work since the miner last visibly changed, at whatever
/// difficulties. Two spans of it, so that the older can be forgotten, or found to be of another
/// hashrate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Steady {
    older: Span,
    newer: Span,
    newer_since: Duration,
}

/// Work done in a row. Its error follows from the number of equal shares that it amounts to.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    elapsed: Duration,
    credit: f64,
    credit_squared: f64,
}

impl Span {
    fn shares(&self) -> f64 {
        if self.credit > 0.0 { self.credit * self.credit / self.credit_squared } else { 0.0 }
    }

    fn hashrate(&self) -> f64 {
        rate(self.credit, self.elapsed).unwrap_or(0.0)
    }
}

impl Steady {
    pub(super) fn since(now: Duration) -> Self {
        Self { older: Span::default(), newer: Span::default(), newer_since: now }
    }

    /// As if it had begun with this window.
    pub(super) fn of(window: &Window, now: Duration) -> Self {
        let Window { started_at, accepted, credit, .. } = *window;
        let credit_squared = credit * credit / f64::from(accepted.max(1));
        let newer = Span { elapsed: Duration::ZERO, credit, credit_squared };
        Self { older: Span::default(), newer, newer_since: started_at.unwrap_or(now) }
    }

    pub(super) fn add(&mut self, credit: f64, now: Duration) {
        let newer = &mut self.newer;
        newer.credit += credit;
        newer.credit_squared += credit * credit;
        newer.elapsed = now.saturating_sub(self.newer_since);
        let (new, old) = (newer.shares(), self.older.shares());
        if new >= SPAN_SHARES_MAX && newer.elapsed >= SPAN_TIME_MAX {
            *self = Self { older: *newer, ..Self::since(now) };
        } else if new >= SPAN_SHARES_MIN && old > 0.0 {
            let change = newer.hashrate() / self.older.hashrate() - 1.0;
            if change.abs() > SPANS_DIFFER * (1.0 / new + 1.0 / old).sqrt() {
                self.older = Span::default();
            }
        }
    }

    pub(super) fn read(&self, now: Duration) -> Measured {
        let Self { older, newer, newer_since } = self;
        let whole = Span {
            elapsed: older.elapsed + now.saturating_sub(*newer_since),
            credit: older.credit + newer.credit,
            credit_squared: older.credit_squared + newer.credit_squared,
        };
        Measured { hashrate: whole.hashrate(), shares: whole.shares() }
    }
}

/// A hashrate and how many shares measured it.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::session) struct Measured {
    /// Hashes per second.
    pub(in crate::session) hashrate: f64,
    pub(in crate::session) shares: f64,
}

/// Hashes per second behind this much credited difficulty.
pub(super) fn rate(credit: f64, elapsed: Duration) -> Option<f64> {
    let seconds = elapsed.as_secs_f64();
    (credit > 0.0 && seconds > 0.0).then(|| credit * HASHES_PER_DIFFICULTY / seconds)
}
