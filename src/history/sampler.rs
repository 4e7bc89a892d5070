//! Both resolutions, and what a sample does to them (`state-and-services.md` §9.3, §9.5).

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::compact::{CompactSeries, last_online_at};
use super::encoding::{si16, si16_value};
use super::series::{Resolution, Series, first_of_window};
use super::series_set::SeriesSet;

/// The genesis block's minute. A clock that shows an earlier time has not been set yet; by such a
/// clock nothing is recorded, and above all nothing dropped.
const GENESIS_MINUTE: u32 = 1_231_006_505 / 60;

/// One complete minute, as control has seen it. A minute in which the pool was not yet running must
/// not be made a sample: it would be recorded as downtime of everyone (FIX-24a).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MinuteSample {
    /// Unix minute the figures are about: the last complete one.
    pub minute: u32,
    /// Hashrate of all miners, in H/s.
    pub pool_hashrate: f64,
    /// Best difficulty of all accepted shares of the minute, saved workers or not (FIX-24c); 0 is
    /// none.
    pub pool_best: f64,
    /// Saved workers that were connected, even at 0 H/s.
    pub workers: Vec<WorkerMinute>,
}

/// One worker in such a minute. Several of one hash count as one worker.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkerMinute {
    /// Worker hash (§2.1), 64 hex digits in lower case. What is none is left out.
    pub hash: String,
    /// In H/s.
    pub hashrate: f64,
    /// Best difficulty of the minute, 0 without a share.
    pub best: f64,
}

/// Hashrate and best share of a bucket, as SI codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Codes {
    pub hashrate: u16,
    pub best: u16,
}

/// What was recorded of a minute: enough to record it again, exactly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MinuteRecord {
    pub minute: u32,
    pub pool: Codes,
    /// By worker hash in bytes, in its order.
    pub workers: Vec<([u8; 32], Codes)>,
}

impl MinuteRecord {
    fn of(sample: &MinuteSample) -> Self {
        let mut workers: BTreeMap<[u8; 32], (f64, f64)> = BTreeMap::new();
        for worker in &sample.workers {
            let Ok(hash) = const_hex::decode_to_array(&worker.hash) else { continue };
            let (hashrate, best) = workers.entry(hash).or_default();
            *hashrate += if worker.hashrate > 0.0 { worker.hashrate } else { 0.0 };
            *best = best.max(worker.best);
        }
        let codes = |(hash, (hashrate, best))| {
            // At least 1: the worker was there (FIX-24e).
            (hash, Codes { hashrate: si16(hashrate).max(1), best: si16(best) })
        };
        Self {
            minute: sample.minute,
            pool: Codes { hashrate: si16(sample.pool_hashrate), best: si16(sample.pool_best) },
            workers: workers.into_iter().map(codes).collect(),
        }
    }
}

/// The history of the pool and of the saved workers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    pub(super) minutes: SeriesSet,
    /// Made from the minutes and from nothing else; half hours that are past stay as they are.
    pub(super) half_hours: SeriesSet,
    /// Minute of the latest sample.
    pub(super) sampled: Option<u32>,
}

impl History {
    /// A history from its files. Half hours the minutes know more of are brought up to date: those
    /// of a file that was lost, or that another daemon did not keep.
    pub fn new(minutes: SeriesSet, half_hours: SeriesSet, sampled: Option<u32>) -> Self {
        let mut history = Self { minutes, half_hours, sampled };
        let newest = history.minutes.pool.last();
        let oldest = Resolution::HalfHour
            .bucket(first_of_window(newest))
            .max(history.half_hours.pool.last());
        for half_hour in oldest..=Resolution::HalfHour.bucket(newest) {
            history.fold(half_hour);
        }
        history
    }

    /// Minute of the latest sample.
    pub fn sampled(&self) -> Option<u32> {
        self.sampled
    }

    /// Records a sample. Returns what was recorded, or `None` if the minute has been sampled already
    /// (the pool was restarted within it) or the clock has not been set.
    ///
    /// A minute before the latest one is not skipped: the clock was set back, and the pool goes on
    /// in the time that it shows now.
    pub fn sample(&mut self, sample: &MinuteSample) -> Option<MinuteRecord> {
        if sample.minute < GENESIS_MINUTE || self.sampled == Some(sample.minute) {
            return None;
        }
        let record = MinuteRecord::of(sample);
        let half_hour = Resolution::HalfHour.bucket(sample.minute);
        // First of all, or it could have the place of what is recorded now.
        self.minutes.forget_far_future(sample.minute);
        self.half_hours.forget_far_future(half_hour);
        self.record(&record);
        self.fold(half_hour);
        self.sampled = Some(sample.minute);
        self.prune(sample.minute.saturating_add(1));
        Some(record)
    }

    /// Records again what a journal has, oldest first. What is in here already does not change, and
    /// what is newer stays.
    pub fn replay<'a>(&mut self, records: impl IntoIterator<Item = &'a MinuteRecord>) {
        let mut half_hour = None;
        for record in records {
            let present = Resolution::HalfHour.bucket(record.minute);
            // Once per half hour, while its minutes are all still there.
            if let Some(complete) = half_hour.replace(present).filter(|before| *before != present) {
                self.fold(complete);
            }
            self.record(record);
            self.sampled = self.sampled.max(Some(record.minute));
        }
        if let Some(half_hour) = half_hour {
            self.fold(half_hour);
        }
    }

    /// Drops what is of no use in minute `now` any more.
    pub fn prune(&mut self, now: u32) {
        if now < GENESIS_MINUTE {
            return;
        }
        self.minutes.prune(now);
        self.half_hours.prune(Resolution::HalfHour.bucket(now));
    }

    /// All series of a resolution.
    pub fn series(&self, resolution: Resolution) -> &SeriesSet {
        match resolution {
            Resolution::Minute => &self.minutes,
            Resolution::HalfHour => &self.half_hours,
        }
    }

    /// The window of a worker hash or of `pool` that ends with minute `now`, as pages get it (§10.4).
    /// `None` if nothing is known of it.
    pub fn compact(&self, resolution: Resolution, key: &str, now: u32) -> Option<CompactSeries> {
        let series = self.series(resolution).get(key)?;
        Some(CompactSeries::of(Some(series), resolution, now)).filter(CompactSeries::is_known)
    }

    /// End of the last minute in which a worker was connected (§11), as far as `now` knows; of
    /// a worker that has been away for more than a day, the end of the half hour.
    pub fn last_online_at(&self, key: &str, now: u32) -> Option<Timestamp> {
        [Resolution::Minute, Resolution::HalfHour].into_iter().find_map(|resolution| {
            last_online_at(self.series(resolution).get(key)?, resolution, now)
        })
    }

    fn record(&mut self, record: &MinuteRecord) {
        // The pool first: it is what tells the workers which minutes are covered.
        self.minutes.record_pool(record.minute, record.pool.hashrate, record.pool.best);
        for (hash, codes) in &record.workers {
            let key = const_hex::encode(hash);
            self.minutes.record_worker(&key, record.minute, codes.hashrate, codes.best);
        }
    }

    /// Makes one half hour from its minutes: the mean hashrate of the minutes that were sampled, and
    /// the best share. Done anew each minute instead of kept as a running sum, it needs no state of
    /// its own that a restart, a crash or a clock could put out of step.
    fn fold(&mut self, half_hour: u32) {
        let length = Resolution::HalfHour.minutes();
        let first = half_hour.saturating_mul(length);
        let minutes = first..first.saturating_add(length);
        let pool = &self.minutes.pool;
        // Then the half hour is long past and was complete before its minutes went.
        if minutes.clone().any(|minute| pool.is_overwritten(minute)) {
            return;
        }
        let covered = minutes.clone().filter(|minute| pool.get(*minute).is_some()).count();
        if let Some(codes) = mean(pool, minutes.clone(), covered) {
            self.half_hours.record_pool(half_hour, codes.hashrate, codes.best);
        }
        for (key, series) in &self.minutes.workers {
            if let Some(codes) = mean(series, minutes.clone(), covered) {
                self.half_hours.record_worker(key, half_hour, codes.hashrate, codes.best);
            }
        }
    }
}

/// Mean hashrate over the `covered` minutes, those without a slot counting as 0, and the best share;
/// `None` if no minute has a slot.
fn mean(series: &Series, minutes: std::ops::Range<u32>, covered: usize) -> Option<Codes> {
    let (mut sum, mut best, mut known) = (0.0, 0, 0);
    for slot in minutes.filter_map(|minute| series.get(minute)) {
        sum += si16_value(slot.hashrate);
        best = best.max(slot.best);
        known += 1;
    }
    (known > 0).then(|| Codes { hashrate: si16(sum / covered.max(known) as f64), best })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::POOL_KEY;
    use crate::history::series::{SLOTS, Slot};

    /// The first minute of a half hour.
    const START: u32 = 28_333_320;

    fn hash(digit: char) -> String {
        digit.to_string().repeat(64)
    }

    fn sample(minute: u32, workers: &[(char, f64, f64)]) -> MinuteSample {
        let worker = |(digit, hashrate, best): &(char, f64, f64)| WorkerMinute {
            hash: hash(*digit),
            hashrate: *hashrate,
            best: *best,
        };
        MinuteSample {
            minute,
            pool_hashrate: workers.iter().map(|(_, hashrate, _)| hashrate).sum(),
            pool_best: workers.iter().fold(0.0, |best, worker| worker.2.max(best)),
            workers: workers.iter().map(worker).collect(),
        }
    }

    fn minute(history: &History, key: &str, minute: u32) -> Option<(f64, f64)> {
        let slot = history.minutes.get(key)?.get(minute)?;
        Some((si16_value(slot.hashrate), si16_value(slot.best)))
    }

    #[track_caller]
    fn assert_near(figures: Option<(f64, f64)>, hashrate: f64, best: f64) {
        let (h, b) = figures.expect("recorded");
        assert!((h - hashrate).abs() <= hashrate * 0.001, "{h} H/s are not {hashrate}");
        assert!((b - best).abs() <= best * 0.001, "{b} is not {best}");
    }

    #[test]
    fn the_pool_is_recorded_with_all_its_hashrate_and_the_best_of_all_shares() {
        let mut history = History::default();
        history.sample(&MinuteSample {
            minute: START,
            pool_hashrate: 1500.0 + 2500.0,
            ..MinuteSample::default()
        });
        assert_near(minute(&history, POOL_KEY, START), 4000.0, 0.0);
        // An unsaved worker had 9900.
        let mut with_best = sample(START + 1, &[('a', 1500.0, 1200.0), ('b', 2500.0, 3400.0)]);
        with_best.pool_best = 9900.0;
        history.sample(&with_best);
        assert_near(minute(&history, POOL_KEY, START + 1), 4000.0, 9900.0);
        assert_near(minute(&history, &hash('a'), START + 1), 1500.0, 1200.0);
        assert_near(minute(&history, &hash('b'), START + 1), 2500.0, 3400.0);
    }

    #[test]
    fn connections_of_one_worker_add_up() {
        let mut history = History::default();
        history.sample(&sample(START, &[('a', 1500.0, 3400.0), ('a', 2500.0, 1200.0)]));
        assert_near(minute(&history, &hash('a'), START), 4000.0, 3400.0);
    }

    #[test]
    fn a_connected_worker_at_0_is_not_offline() {
        let mut history = History::default();
        history.sample(&sample(START, &[('a', 0.0, 0.0), ('b', f64::NAN, f64::NAN)]));
        for digit in ['a', 'b'] {
            let slot = Slot { bucket: START, hashrate: 1, best: 0 };
            assert_eq!(history.minutes.get(&hash(digit)).unwrap().get(START), Some(slot));
        }
        assert_eq!(minute(&history, POOL_KEY, START), Some((0.0, 0.0)));
    }

    #[test]
    fn what_is_no_worker_hash_is_left_out() {
        let mut history = History::default();
        let mut odd = sample(START, &[]);
        for hash in ["", POOL_KEY, "abc", &"g".repeat(64)] {
            odd.workers.push(WorkerMinute { hash: hash.to_owned(), hashrate: 1.0, best: 1.0 });
        }
        history.sample(&odd);
        assert!(history.minutes.workers.is_empty());
    }

    #[test]
    fn a_worker_that_returns_was_offline_in_the_minutes_between() {
        let mut history = History::default();
        history.sample(&sample(START, &[('a', 1000.0, 50.0)]));
        for gone in 1..=3 {
            history.sample(&sample(START + gone, &[]));
            assert_eq!(history.minutes.get(&hash('a')).unwrap().last(), START);
        }
        history.sample(&sample(START + 4, &[('a', 2000.0, 0.0)]));
        assert_near(minute(&history, &hash('a'), START), 1000.0, 50.0);
        for gone in 1..=3 {
            assert_eq!(minute(&history, &hash('a'), START + gone), Some((0.0, 0.0)));
        }
    }

    #[test]
    fn minutes_that_were_not_sampled_stay_absent() {
        let mut history = History::default();
        history.sample(&sample(START, &[('a', 1000.0, 0.0)]));
        history.sample(&sample(START + 1, &[]));
        // The pool was down, or the clock jumped, until START + 10.
        history.sample(&sample(START + 10, &[]));
        history.sample(&sample(START + 11, &[('a', 1000.0, 0.0)]));
        let known: Vec<u32> = (START..START + 12)
            .filter(|m| minute(&history, &hash('a'), *m).is_some())
            .map(|minute| minute - START)
            .collect();
        assert_eq!(known, [0, 1, 10, 11]);
        let known = (START..START + 12).filter(|m| minute(&history, POOL_KEY, *m).is_some());
        assert_eq!(known.count(), 4);
    }

    #[test]
    fn a_minute_is_sampled_once() {
        let mut history = History::default();
        assert!(history.sample(&sample(START, &[('a', 1000.0, 0.0)])).is_some());
        assert!(history.sample(&sample(START, &[])).is_none());
        assert_near(minute(&history, POOL_KEY, START), 1000.0, 0.0);
    }

    #[test]
    fn a_clock_set_back_keeps_what_is_there_and_goes_on() {
        let mut history = History::default();
        for minute in START..START + 120 {
            history.sample(&sample(minute, &[('a', 1000.0, 0.0)]));
        }
        let back = START + 30;
        history.sample(&sample(back, &[('a', 5000.0, 0.0)]));
        assert_near(minute(&history, &hash('a'), back), 5000.0, 0.0);
        assert_near(minute(&history, &hash('a'), START + 119), 1000.0, 0.0);
        // And forward again.
        history.sample(&sample(START + 120, &[('a', 1000.0, 0.0)]));
        let series = history.minutes.get(&hash('a')).unwrap();
        assert_eq!(series.window(START + 120).count(), 121);
    }

    #[test]
    fn a_clock_that_was_years_ahead_for_a_minute_costs_no_connected_worker_its_history() {
        let mut history = History::default();
        for minute in START..START + 10 {
            history.sample(&sample(minute, &[('a', 1000.0, 0.0)]));
        }
        history.sample(&sample(START + 10_000_001, &[('a', 1000.0, 0.0)]));
        history.sample(&sample(START + 10, &[('a', 1000.0, 0.0)]));
        let series = history.minutes.get(&hash('a')).unwrap();
        assert_eq!((series.last(), series.window(START + 10).count()), (START + 10, 11));
        assert_eq!(history.half_hours.pool.last(), START / 30);
    }

    #[test]
    fn by_a_clock_that_was_never_set_nothing_happens() {
        let mut history = History::default();
        history.sample(&sample(START, &[('a', 1000.0, 0.0)]));
        let before = history.clone();
        assert!(history.sample(&sample(5, &[])).is_none());
        history.prune(5);
        assert_eq!(history, before);
    }

    #[test]
    fn a_worker_is_forgotten_after_a_day_and_its_half_hours_after_30() {
        let mut history = History::default();
        history.sample(&sample(START, &[('a', 1000.0, 0.0)]));
        history.prune(START + SLOTS);
        assert!(history.minutes.get(&hash('a')).is_none());
        assert!(history.half_hours.get(&hash('a')).is_some());
        history.prune(START + SLOTS * 30);
        assert!(history.half_hours.get(&hash('a')).is_none());
    }

    fn half_hour(history: &History, key: &str, bucket: u32) -> Option<(f64, f64)> {
        let slot = history.half_hours.get(key)?.get(bucket)?;
        Some((si16_value(slot.hashrate), si16_value(slot.best)))
    }

    #[test]
    fn a_half_hour_has_the_mean_of_its_sampled_minutes_and_their_best_share() {
        let mut history = History::default();
        let key = hash('a');
        history.sample(&sample(START, &[('a', 1000.0, 70.0)]));
        history.sample(&sample(START + 1, &[('a', 3000.0, 50.0)]));
        assert_near(half_hour(&history, &key, START / 30), 2000.0, 70.0);
        // Gone for two minutes: half of the time, so half of the rate.
        history.sample(&sample(START + 5, &[]));
        history.sample(&sample(START + 6, &[]));
        assert_near(half_hour(&history, &key, START / 30), 1000.0, 70.0);
        assert_near(half_hour(&history, POOL_KEY, START / 30), 1000.0, 70.0);
        history.sample(&sample(START + 30, &[('a', 500.0, 0.0)]));
        assert_near(half_hour(&history, &key, START / 30), 1000.0, 70.0);
        assert_near(half_hour(&history, &key, START / 30 + 1), 500.0, 0.0);
    }

    #[test]
    fn half_hours_without_the_worker_are_offline_and_those_without_the_pool_absent() {
        let mut history = History::default();
        history.sample(&sample(START, &[('a', 1000.0, 0.0)]));
        history.sample(&sample(START + 30, &[]));
        history.sample(&sample(START + 90, &[('a', 1000.0, 0.0)]));
        let half_hours = (0..4)
            .map(|step| half_hour(&history, &hash('a'), START / 30 + step).map(|f| f.0 > 0.0));
        assert!(half_hours.eq([Some(true), Some(false), None, Some(true)]));
    }

    #[test]
    fn lost_half_hours_are_made_from_the_minutes() {
        let mut history = History::default();
        for minute in START..START + 200 {
            let online = [('a', f64::from(minute % 77), 1.0)];
            history.sample(&sample(minute, if minute % 50 < 25 { &online } else { &[] }));
        }
        let again = History::new(history.minutes.clone(), SeriesSet::default(), history.sampled);
        assert_eq!(again, history);
    }

    /// A life of two days with a worker that comes and goes.
    fn two_days() -> (History, Vec<MinuteRecord>) {
        let mut history = History::default();
        let mut records = Vec::new();
        for minute in (START..START + 2 * SLOTS).filter(|minute| minute % 997 > 20) {
            let workers =
                [('a', f64::from(minute % 1000), 2.0), ('b', 5e9, f64::from(minute % 13))];
            let present = if minute % 100 < 70 { 2 } else { usize::from(minute % 7 < 5) };
            records.extend(history.sample(&sample(minute, &workers[..present])));
        }
        (history, records)
    }

    #[test]
    fn a_replay_yields_what_was_sampled() {
        let (history, records) = two_days();
        let mut replayed = History::default();
        replayed.replay(&records);
        replayed.prune(START + 2 * SLOTS);
        assert_eq!(replayed, history);
    }

    #[test]
    fn a_replay_of_what_is_there_changes_nothing() {
        let (history, records) = two_days();
        for from in [0, 100, records.len() - 5] {
            let mut replayed = history.clone();
            replayed.replay(&records[from..]);
            assert_eq!(replayed, history);
        }
    }

    #[test]
    fn last_online_is_the_end_of_the_last_minute_connected() {
        let mut history = History::default();
        history.sample(&sample(START, &[('a', 0.0, 0.0)]));
        history.sample(&sample(START + 1, &[('a', 0.0, 0.0)]));
        history.sample(&sample(START + 2, &[]));
        let at = |now| history.last_online_at(&hash('a'), now).map(|at| at.to_string());
        assert_eq!(at(START + 3).as_deref(), Some("2023-11-14T22:02:00Z"));
        // From the half hours, which end later.
        assert_eq!(at(START + 3000).as_deref(), Some("2023-11-14T22:30:00Z"));
        assert_eq!(at(START - 1), None);
        assert_eq!(history.last_online_at(&hash('b'), START + 3), None);
    }
}
