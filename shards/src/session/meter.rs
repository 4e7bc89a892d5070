//! What one connection has done, in figures: hashrates, share rate, stale ratio, latency
//! (`stratum.md` §8). A function of what happened and when; nothing is allocated per share.

mod accuracy;
mod averages;
mod recent;

use std::time::Duration;

pub use crate::tally::Accuracy;
use accuracy::Evidence;
pub(super) use averages::Measured;
use averages::{BOOT, Ema, Steady, rate};
use recent::{Latencies, StaleRing};

/// Hashes that a share of difficulty 1 stands for, on average.
pub const HASHES_PER_DIFFICULTY: f64 = 4_294_967_296.0;

/// A submission that finds the retarget window older than this starts a new one (§7.8).
const RETARGET_WINDOW_MAX: Duration = Duration::from_secs(120);
/// A silence after which the status window starts anew (§8.4).
const STATUS_SILENCE_MAX: Duration = Duration::from_secs(15 * 60);
/// Shares in a time constant of the steering estimate: a standard error of 1/√78, 11 %.
const CONTROL_SHARES_MIN: f64 = 39.0;

/// How hashrates are averaged and shown.
#[derive(Clone, Debug)]
pub struct HashrateSettings {
    /// Time constant of the displayed hashrate.
    ema_tau: Duration,
    /// Time constant of the one that steers the difficulty.
    control_tau: Duration,
    /// `hashrate_cumulative_enabled`: blend the connection's whole life into what is shown.
    pub cumulative: bool,
    /// `hashrate_recent_cumulative_enabled`: let a better recent rate replace it there.
    pub recent_cumulative: bool,
}

impl HashrateSettings {
    /// From `hashrate_ema_tau_seconds` and `target_shares_per_min`. The steering estimate is
    /// quicker (§8.2), but never rests on fewer shares than at the default of 15 a minute.
    pub fn new(ema_tau: Duration, target_shares_per_min: f64) -> Self {
        let quicker = ema_tau.mul_f64(0.35).max(BOOT).min(ema_tau);
        let enough = CONTROL_SHARES_MIN * 60.0 / target_shares_per_min;
        let control_tau = quicker.max(Duration::from_secs_f64(enough));
        Self { ema_tau, control_tau, cumulative: false, recent_cumulative: false }
    }

    /// What a displayed hashrate fades with while nothing comes.
    pub fn ema_tau(&self) -> Duration {
        self.ema_tau
    }
}

/// What became of a submission.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// Taken, for this much difficulty.
    Accepted { credit: f64 },
    /// Rejected as `stale job`.
    Stale,
    /// Rejected for another reason.
    Rejected,
}

/// Submissions since a moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    pub started_at: Option<Duration>,
    pub submissions: u32,
    pub accepted: u32,
    /// Difficulty credited to work done since the start.
    pub credit: f64,
}

impl Window {
    fn start(now: Duration) -> Self {
        Self { started_at: Some(now), ..Self::default() }
    }

    fn count(&mut self, outcome: Outcome) {
        self.submissions += 1;
        if let Outcome::Accepted { credit } = outcome {
            self.accepted += 1;
            self.credit += credit;
        }
    }

    pub fn age(&self, now: Duration) -> Duration {
        self.started_at.map_or(Duration::ZERO, |start| now.saturating_sub(start))
    }

    /// Hashes per second, when there is anything to compute them from.
    pub fn hashrate(&self, now: Duration) -> Option<f64> {
        rate(self.credit, self.age(now))
    }
}

/// The figures of one connection. About 350 bytes, and 130 more once it has submitted anything.
#[derive(Clone, Debug)]
pub struct Meter {
    connected_at: Duration,
    display: Ema,
    control: Ema,
    retarget: Window,
    status: Window,
    steady: Steady,
    last_submission_at: Option<Duration>,
    lifetime_accepted: u64,
    lifetime_credit: f64,
    stale: StaleRing,
    /// The last notify, until a submission follows.
    notified_at: Option<Duration>,
    /// Allocated with the first sample: many connections never submit.
    latencies: Option<Box<Latencies>>,
}

impl Meter {
    pub fn new(now: Duration) -> Self {
        Self {
            connected_at: now,
            display: Ema::default(),
            control: Ema::default(),
            retarget: Window::default(),
            status: Window::default(),
            steady: Steady::since(now),
            last_submission_at: None,
            lifetime_accepted: 0,
            lifetime_credit: 0.0,
            stale: StaleRing::default(),
            notified_at: None,
            latencies: None,
        }
    }

    /// The miner has been given its first work: from now on it can be measured. (§8.2 starts
    /// with the first share, and so counts that share's work but not its time.)
    pub fn start(&mut self, now: Duration) {
        self.control = Ema::since(now);
        self.restart_window(now);
        self.steady = Steady::since(now);
    }

    /// Work has been sent.
    pub fn on_notify(&mut self, now: Duration) {
        self.notified_at = Some(now);
    }

    /// A submission has been answered. Banned ones are not reported here (§8.1).
    pub fn on_submission(
        &mut self,
        outcome: Outcome,
        settings: &HashrateSettings,
        arrived_at: Duration,
    ) {
        let now = arrived_at;
        let silence = self.last_submission_at.map(|last| now.saturating_sub(last));
        // Nobody was there: that is no measure of whoever is there now.
        if silence.is_some_and(|silence| silence > settings.control_tau) {
            self.control = Ema::since(now);
            self.steady = Steady::since(now);
        }
        self.count_in_windows(outcome, silence, now);
        self.last_submission_at = Some(now);
        self.stale.push(outcome == Outcome::Stale);
        if let Some(notified_at) = self.notified_at.take() {
            self.latencies.get_or_insert_default().push(now.saturating_sub(notified_at));
        }
        if let Outcome::Accepted { credit } = outcome
            && credit > 0.0
        {
            self.lifetime_accepted += 1;
            self.lifetime_credit += credit;
            self.display.add(credit, settings.ema_tau, now);
            self.control.add(credit, settings.control_tau, now);
            self.steady.add(credit, now);
        }
    }

    fn count_in_windows(&mut self, outcome: Outcome, silence: Option<Duration>, now: Duration) {
        if silence.is_none_or(|silence| silence > STATUS_SILENCE_MAX) {
            self.status = Window::start(now);
        }
        self.status.count(outcome);
        if self.retarget.started_at.is_none() || self.retarget.age(now) > RETARGET_WINDOW_MAX {
            self.retarget = Window::start(now);
            self.retarget.count(outcome);
            // This share's work was done before the window began.
            self.retarget.credit = 0.0;
        } else {
            self.retarget.count(outcome);
        }
    }

    /// The difficulty has changed (§7.8). Averages and the status window go on.
    pub fn restart_window(&mut self, now: Duration) {
        self.retarget = Window::start(now);
    }

    /// The miner visibly changed, to this hashrate: averages of its past would mislead.
    pub(super) fn believe(&mut self, hashrate: f64, now: Duration) {
        self.control = Ema::of(hashrate, self.retarget.accepted, now);
        self.measure_from_window(hashrate, now);
    }

    /// The miner visibly changed, to a hashrate that nothing measures yet.
    pub(super) fn disbelieve(&mut self, now: Duration) {
        self.control = Ema::since(now);
        self.steady = Steady::since(now);
    }

    /// Restarts the long measurement with the retarget window, unless it agrees with `hashrate`.
    pub(super) fn measure_from_window(&mut self, hashrate: f64, now: Duration) {
        let likely = self.control.error().map_or(0.3, |error| (3.0 * error).max(0.3));
        if (self.steady(now).hashrate - hashrate).abs() > likely * hashrate {
            self.steady = Steady::of(&self.retarget, now);
        }
    }

    /// Hashes per second as last sampled and decayed since; 0 for no estimate. What pages and
    /// pool totals are made of (§8.2, §8.7).
    pub fn hashrate(&self, settings: &HashrateSettings, now: Duration) -> f64 {
        self.display.read(settings.ema_tau, now)
    }

    /// Hashes per second for steering the difficulty; 0 for no estimate.
    pub fn control_hashrate(&self, settings: &HashrateSettings, now: Duration) -> f64 {
        self.control.read(settings.control_tau, now)
    }

    /// Relative standard error of [`Self::control_hashrate`], when that has a value.
    pub(super) fn control_error(&self) -> Option<f64> {
        self.control.error()
    }

    /// The best measured hashrate of the miner as it now is.
    pub(super) fn steady(&self, now: Duration) -> Measured {
        self.steady.read(now)
    }

    /// Submissions since the last difficulty change, of the last two minutes at most (§7.8).
    pub fn retarget_window(&self) -> &Window {
        &self.retarget
    }

    /// Submissions since the last silence of 15 minutes (§8.4).
    pub fn status_window(&self) -> &Window {
        &self.status
    }

    pub fn connected_at(&self) -> Duration {
        self.connected_at
    }

    pub fn last_submission_at(&self) -> Option<Duration> {
        self.last_submission_at
    }

    pub fn accepted(&self) -> u64 {
        self.lifetime_accepted
    }

    /// Hashes per second as people see them (§8.3).
    pub fn displayed_hashrate(&self, settings: &HashrateSettings, now: Duration) -> f64 {
        let base = match self.hashrate(settings, now) {
            decayed if decayed > 0.0 => decayed,
            _ if self.status.age(now) >= BOOT => self.status.hashrate(now).unwrap_or(0.0),
            _ => 0.0,
        };
        if !settings.cumulative {
            return base;
        }
        let age = now.saturating_sub(self.connected_at);
        let lifetime = self.lifetime_hashrate(now);
        let has_recent = self.retarget.accepted >= 8 && self.retarget.age(now) >= BOOT;
        let recent = self.retarget.hashrate(now).filter(|_| has_recent);
        let base = if base > 0.0 { base } else { recent.unwrap_or(lifetime) };
        let recent = recent.filter(|recent| {
            settings.recent_cumulative && (lifetime <= 0.0 || *recent > 1.05 * lifetime)
        });
        let by_shares = (self.lifetime_accepted as f64 / 64.0).min(1.0);
        let by_age = (age.as_secs_f64() / 1200.0).min(1.0);
        let weight = by_shares.max(by_age);
        (1.0 - weight) * base + weight * recent.unwrap_or(lifetime)
    }

    /// Accepted shares per minute as people see them (§8.4), at the difficulty now in force.
    pub fn share_rate(&self, difficulty: f64, settings: &HashrateSettings, now: Duration) -> f64 {
        let modelled = shares_per_minute(self.displayed_hashrate(settings, now), difficulty);
        let age = self.status.age(now);
        let raw = match age.as_secs_f64() {
            seconds if seconds > 0.0 => f64::from(self.status.accepted) * 60.0 / seconds,
            _ => 0.0,
        };
        let blended = if modelled <= 0.0 {
            raw
        } else if raw <= 0.0 {
            modelled
        } else {
            let weight = (f64::from(self.status.accepted) / 16.0).min(1.0);
            weight * raw + (1.0 - weight) * modelled
        };
        blended * age.div_duration_f64(BOOT).min(1.0)
    }

    /// How far [`Self::displayed_hashrate`] can be trusted (§8.6), at the difficulty now in force.
    pub fn accuracy(
        &self,
        difficulty: f64,
        settings: &HashrateSettings,
        now: Duration,
    ) -> Accuracy {
        let hashrate = self.displayed_hashrate(settings, now);
        let evidence = Evidence {
            hashrate,
            lifetime_hashrate: self.lifetime_hashrate(now),
            modelled_rate: shares_per_minute(hashrate, difficulty),
            window_age: self.status.age(now),
            window_accepted: self.status.accepted,
            accepted: self.lifetime_accepted,
            age: now.saturating_sub(self.connected_at),
        };
        evidence.accuracy()
    }

    /// Hashes per second since the connection was made; 0 at first.
    fn lifetime_hashrate(&self, now: Duration) -> f64 {
        rate(self.lifetime_credit, now.saturating_sub(self.connected_at)).unwrap_or(0.0)
    }

    /// The part of the last 128 submissions that was stale, 0 to 1 (§8.5).
    pub fn stale_ratio(&self) -> f64 {
        self.stale.ratio()
    }

    /// Percentile of the last 64 times from a notify to the first submission after it (§8.9).
    pub fn first_share_latency(&self, percentile: usize) -> Option<Duration> {
        self.latencies.as_ref()?.percentile(percentile)
    }

    /// How long the newest notify has been waiting for a submission.
    pub fn waiting_for_first_share(&self, now: Duration) -> Option<Duration> {
        self.notified_at.map(|at| now.saturating_sub(at))
    }

    /// Whether the p95 of those times is so long that work comes late (§7.7, step 8).
    pub(super) fn first_shares_are_late(&self) -> bool {
        self.latencies.as_ref().is_some_and(|latencies| latencies.are_late())
    }
}

/// Shares of this difficulty that this many hashes per second find in a minute.
pub fn shares_per_minute(hashrate: f64, difficulty: f64) -> f64 {
    hashrate / HASHES_PER_DIFFICULTY * 60.0 / difficulty
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: HashrateSettings = HashrateSettings {
        ema_tau: Duration::from_secs(450),
        control_tau: Duration::from_millis(157_500),
        cumulative: false,
        recent_cumulative: false,
    };
    const SHARE: Outcome = Outcome::Accepted { credit: 1024.0 };
    /// One share of difficulty 1024 every four seconds.
    const HASHRATE: f64 = 1024.0 * HASHES_PER_DIFFICULTY / 4.0;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A meter that has seen a share every four seconds, up to this one.
    fn steady_until(end: u64) -> Meter {
        let mut meter = Meter::new(at(0));
        meter.start(at(0));
        for second in (4..=end).step_by(4) {
            meter.on_submission(SHARE, &SETTINGS, at(second));
        }
        meter
    }

    #[test]
    fn a_meter_is_small() {
        assert!(size_of::<Meter>() <= 400, "{} bytes", size_of::<Meter>());
        assert!(size_of::<Latencies>() <= 136);
    }

    #[test]
    fn no_hashrate_is_shown_for_45_seconds_and_then_the_right_one() {
        assert_eq!(steady_until(44).hashrate(&SETTINGS, at(44)), 0.0);
        assert_eq!(steady_until(44).control_hashrate(&SETTINGS, at(44)), 0.0);
        // Time runs from the first share, whose work counts: 13 shares in 48 s (§8.2).
        let meter = steady_until(52);
        assert!((meter.hashrate(&SETTINGS, at(52)) / HASHRATE - 13.0 / 12.0).abs() < 1e-9);
        assert!((meter.control_hashrate(&SETTINGS, at(52)) / HASHRATE - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_silent_miner_fades_with_the_time_constant() {
        let meter = steady_until(4000);
        let shown = meter.hashrate(&SETTINGS, at(4000 + 450)) / HASHRATE;
        assert!((shown - (-1.0_f64).exp()).abs() < 1e-3, "{shown}");
        let control = meter.control_hashrate(&SETTINGS, at(4000) + Duration::from_millis(157_500));
        assert!((control / HASHRATE - (-1.0_f64).exp()).abs() < 1e-3, "{control}");
    }

    #[test]
    fn the_retarget_window_is_renewed_by_the_first_submission_after_two_minutes() {
        let mut meter = steady_until(120);
        assert_eq!(meter.retarget_window().accepted, 30);
        meter.on_submission(Outcome::Rejected, &SETTINGS, at(121));
        let window = meter.retarget_window();
        assert_eq!((window.submissions, window.accepted), (1, 0));
        assert_eq!(window.started_at, Some(at(121)));
    }

    #[test]
    fn the_status_window_survives_anything_but_a_quarter_of_an_hour_of_silence() {
        let mut meter = steady_until(120);
        meter.restart_window(at(120));
        meter.on_submission(SHARE, &SETTINGS, at(120 + 900));
        assert_eq!(meter.status_window().accepted, 31);
        meter.on_submission(SHARE, &SETTINGS, at(120 + 900 + 901));
        assert_eq!(meter.status_window().accepted, 1);
    }

    #[test]
    fn the_share_rate_shown_is_the_one_counted() {
        let rate = steady_until(1200).share_rate(1024.0, &SETTINGS, at(1200));
        assert!((rate - 15.0).abs() < 0.2, "{rate}");
    }

    #[test]
    fn a_hashrate_shown_is_marked_until_it_is_sure() {
        let accuracy = |end| steady_until(end).accuracy(1024.0, &SETTINGS, at(end));
        assert_eq!(accuracy(40), Accuracy::Warming);
        // The first sample counts a share too many (§8.2), which takes minutes to fade.
        assert_eq!(accuracy(60), Accuracy::Settling);
        assert_eq!(accuracy(1800), Accuracy::Precise);
    }

    #[test]
    fn the_stale_ratio_is_of_the_last_128_submissions() {
        let mut meter = Meter::new(at(0));
        assert_eq!(meter.stale_ratio(), 0.0);
        meter.on_submission(Outcome::Stale, &SETTINGS, at(1));
        meter.on_submission(SHARE, &SETTINGS, at(1));
        assert_eq!(meter.stale_ratio(), 0.5);
        for _ in 0..126 {
            meter.on_submission(SHARE, &SETTINGS, at(2));
        }
        assert_eq!(meter.stale_ratio(), 1.0 / 128.0);
        meter.on_submission(Outcome::Rejected, &SETTINGS, at(3));
        assert_eq!(meter.stale_ratio(), 0.0);
    }

    #[test]
    fn latency_is_from_a_notify_to_the_next_submission() {
        let mut meter = Meter::new(at(0));
        for ms in (1..=100).map(|i| 130 * i) {
            let notified = at(100 * ms);
            meter.on_notify(notified);
            meter.on_submission(SHARE, &SETTINGS, notified + Duration::from_millis(ms));
            meter.on_submission(SHARE, &SETTINGS, notified + at(50));
        }
        // The last 64 are 37 to 100 times 130 ms.
        let ms = |percentile| meter.first_share_latency(percentile).map(|p| p.as_millis());
        assert_eq!((ms(0), ms(50), ms(95)), (Some(37 * 130), Some(68 * 130), Some(96 * 130)));
        assert!(meter.first_shares_are_late());
        assert_eq!(meter.waiting_for_first_share(at(1)), None);
    }

    #[test]
    fn a_whole_life_can_be_blended_into_the_hashrate_shown() {
        let settings = HashrateSettings { cumulative: true, ..SETTINGS };
        // Twice as long silent as mining: after 64 shares the average of its life is shown.
        let shown = steady_until(1200).displayed_hashrate(&settings, at(3600));
        assert!((shown / HASHRATE - 1.0 / 3.0).abs() < 0.01, "{shown}");
    }
}
