//! A window of a series as pages get it (`state-and-services.md` §10.4), and when it was last alive.

use jiff::Timestamp;
use serde::Serialize;

use super::encoding::{Q8, bit, bitset, si16_value};
use super::series::{Resolution, SLOTS, Series, Slot, first_of_window};

/// The keys are those of the wire; §10.4 calls them by one letter.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CompactSeries {
    /// Length of a bucket in seconds: 60, or 1800 for the month.
    #[serde(rename = "i")]
    pub bucket_seconds: u32,
    /// Unix minute the first bucket begins with, whatever the length of a bucket: bucket *k* begins
    /// at second 60 *s* + *k i*.
    #[serde(rename = "s")]
    pub start_minute: u32,
    /// Number of buckets: 1440.
    #[serde(rename = "n")]
    pub count: u32,
    /// Bits of the buckets something is known of.
    #[serde(rename = "p")]
    pub present: Vec<u8>,
    /// Bits of the buckets in which the worker was connected (FIX-28).
    #[serde(rename = "o")]
    pub online: Vec<u8>,
    /// Smallest hashrate, in H/s.
    #[serde(rename = "h0")]
    pub hashrate_min: f64,
    #[serde(rename = "h1")]
    pub hashrate_max: f64,
    /// Position of each bucket between the two, of 255.
    #[serde(rename = "hq")]
    pub hashrate_steps: Vec<u8>,
    /// Smallest best share, as a difficulty.
    #[serde(rename = "b0")]
    pub best_min: f64,
    #[serde(rename = "b1")]
    pub best_max: f64,
    #[serde(rename = "bq")]
    pub best_steps: Vec<u8>,
    /// Online buckets of those that are known, in percent with two decimals. Left out when none is:
    /// buckets in which the pool itself was down are nobody's downtime.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uptime_percent: Option<f64>,
}

impl CompactSeries {
    /// The window that ends with the bucket of minute `now`; of no series, a window of nothing.
    pub fn of(series: Option<&Series>, resolution: Resolution, now: u32) -> Self {
        let first = first_of_window(resolution.bucket(now));
        let slots: Vec<Option<Slot>> = (first..=first + (SLOTS - 1))
            .map(|bucket| series.and_then(|s| s.get(bucket)))
            .collect();
        let values = |code: fn(Slot) -> u16| -> Vec<Option<f64>> {
            slots.iter().map(|slot| slot.map(|slot| si16_value(code(slot)))).collect()
        };
        let hashrate = Q8::of(&values(|slot| slot.hashrate));
        let best = Q8::of(&values(|slot| slot.best));
        let is_online = |slot: &Option<Slot>| slot.is_some_and(Slot::is_online);
        let known = slots.iter().flatten().count();
        let online = slots.iter().filter(|slot| is_online(slot)).count();
        Self {
            bucket_seconds: resolution.minutes() * 60,
            start_minute: first * resolution.minutes(),
            count: SLOTS,
            present: bitset(slots.iter().map(Option::is_some)),
            online: bitset(slots.iter().map(is_online)),
            hashrate_min: hashrate.min,
            hashrate_max: hashrate.max,
            hashrate_steps: hashrate.steps,
            best_min: best.min,
            best_max: best.max,
            best_steps: best.steps,
            uptime_percent: uptime_percent(online, known),
        }
    }

    /// Whether any bucket is known.
    /// All of them together, in the window of minutes that ends with `now`: hashrates are added up,
    /// best shares compared. None when nothing is known of any.
    pub fn sum<'a>(all: impl Iterator<Item = &'a Self>, now: u32) -> Option<Self> {
        let mut sums: Vec<Option<(f64, f64, bool)>> = vec![None; SLOTS as usize];
        for series in all {
            for (bucket, hashrate, best) in series.points() {
                let place = bucket as usize;
                let (sum, top, online) = sums[place].unwrap_or_default();
                let is_online = online || bit(&series.online, place);
                sums[place] = Some((sum + hashrate, top.max(best), is_online));
            }
        }
        let hashrate = Q8::of(&sums.iter().map(|sum| sum.map(|s| s.0)).collect::<Vec<_>>());
        let best = Q8::of(&sums.iter().map(|sum| sum.map(|s| s.1)).collect::<Vec<_>>());
        let known = sums.iter().flatten().count();
        let online = sums.iter().flatten().filter(|sum| sum.2).count();
        let window = Self::of(None, Resolution::Minute, now);
        let sum = Self {
            uptime_percent: uptime_percent(online, known),
            present: bitset(sums.iter().map(Option::is_some)),
            online: bitset(sums.iter().map(|sum| sum.is_some_and(|s| s.2))),
            hashrate_min: hashrate.min,
            hashrate_max: hashrate.max,
            hashrate_steps: hashrate.steps,
            best_min: best.min,
            best_max: best.max,
            best_steps: best.steps,
            ..window
        };
        Some(sum).filter(Self::is_known)
    }

    /// What is known: the bucket's number, its hashrate and its best share, oldest first.
    pub fn points(&self) -> impl Iterator<Item = (u32, f64, f64)> {
        let value = |min: f64, max: f64, step: u8| min + f64::from(step) / 255.0 * (max - min);
        let known = (0..self.count).filter(|bucket| bit(&self.present, *bucket as usize));
        known.map(move |bucket| {
            let place = bucket as usize;
            let hashrate = value(self.hashrate_min, self.hashrate_max, self.hashrate_steps[place]);
            (bucket, hashrate, value(self.best_min, self.best_max, self.best_steps[place]))
        })
    }

    pub fn is_known(&self) -> bool {
        self.uptime_percent.is_some()
    }
}

/// Of so many known buckets, with two decimals; none of nothing.
fn uptime_percent(online: usize, known: usize) -> Option<f64> {
    let percent = online as f64 / known as f64 * 100.0;
    (known > 0).then(|| (percent * 100.0).round() / 100.0)
}

/// End of the last bucket up to minute `now` in which the worker was connected, or `now` itself
/// when that bucket has not ended (§11, FIX-29).
pub(super) fn last_online_at(
    series: &Series,
    resolution: Resolution,
    now: u32,
) -> Option<Timestamp> {
    let slot = series.window(resolution.bucket(now)).rev().find(|slot| slot.is_online())?;
    let end = slot.bucket.saturating_add(1).saturating_mul(resolution.minutes()).min(now);
    Timestamp::from_second(i64::from(end) * 60).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::encoding::{bit, si16};
    use serde_json::{Value, json};

    const NOW: u32 = 28_333_333;

    fn series(slots: &[(u32, f64, f64)]) -> Series {
        let mut series = Series::default();
        for (bucket, hashrate, best) in slots {
            let slot = Slot { bucket: *bucket, hashrate: si16(*hashrate), best: si16(*best) };
            series.restore(slot);
        }
        series
    }

    #[test]
    fn workers_add_up_minute_by_minute() {
        let mut one = CompactSeries::of(None, Resolution::Minute, 2000);
        one.present = bitset((0..SLOTS).map(|bucket| bucket < 2));
        one.online = bitset((0..SLOTS).map(|bucket| bucket == 0));
        (one.hashrate_min, one.hashrate_max) = (10.0, 20.0);
        one.hashrate_steps[1] = 255;
        (one.best_min, one.best_max) = (5.0, 5.0);
        let mut other = one.clone();
        other.present = bitset((0..SLOTS).map(|bucket| bucket == 1));
        (other.best_min, other.best_max) = (7.0, 7.0);
        let sum = CompactSeries::sum([&one, &other].into_iter(), 2000).unwrap();
        assert_eq!(sum.points().collect::<Vec<_>>(), [(0, 10.0, 5.0), (1, 40.0, 7.0)]);
        assert!(bit(&sum.online, 0) && !bit(&sum.online, 1));
        assert_eq!(sum.start_minute, one.start_minute);
        assert!(CompactSeries::sum(std::iter::empty(), 2000).is_none());
    }

    #[test]
    fn a_day_ends_with_the_present_minute_and_has_the_keys_of_the_wire() {
        let series = series(&[
            (NOW - 1440, 9e9, 0.0),
            (NOW - 1439, 1000.0, 1000.0),
            (NOW - 2, 0.0, 0.0),
            (NOW - 1, 1e6, 1e6),
        ]);
        let day = CompactSeries::of(Some(&series), Resolution::Minute, NOW);
        let day = serde_json::to_value(&day).unwrap();
        let keys: Vec<&String> = day.as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            ["i", "s", "n", "p", "o", "h0", "h1", "hq", "b0", "b1", "bq", "uptime_percent"]
        );
        assert_eq!(day["i"], 60);
        assert_eq!(day["s"], NOW - 1439);
        assert_eq!(day["n"], 1440);
        assert_eq!((&day["h0"], &day["h1"]), (&json!(0.0), &json!(1e6)));
        assert_eq!(day["p"].as_array().unwrap().len(), 180);
        assert_eq!(day["hq"].as_array().unwrap().len(), 1440);
        assert_eq!(day["p"][0], 1);
        assert_eq!(day["p"][179], 0b0110_0000);
        assert_eq!(day["o"][179], 0b0100_0000);
        assert_eq!(day["hq"][1438], 255);
        assert_eq!(day["uptime_percent"], 66.67);
    }

    #[test]
    fn the_smallest_hashrate_is_online_though_its_step_is_0() {
        let series = series(&[(NOW - 2, 1000.0, 0.0), (NOW - 1, 2000.0, 0.0)]);
        let day = CompactSeries::of(Some(&series), Resolution::Minute, NOW);
        assert_eq!(day.hashrate_steps[1437], 0);
        assert!(bit(&day.online, 1437));
        assert_eq!(day.uptime_percent, Some(100.0));
    }

    #[test]
    fn a_month_starts_at_a_unix_minute_too() {
        let now = NOW / 30;
        let series = series(&[(now - 1439, 1000.0, 0.0), (now, 1000.0, 0.0)]);
        let month = CompactSeries::of(Some(&series), Resolution::HalfHour, NOW);
        assert_eq!((month.bucket_seconds, month.start_minute), (1800, (now - 1439) * 30));
        assert!(bit(&month.present, 0) && bit(&month.present, 1439));
    }

    #[test]
    fn without_samples_everything_is_zero() {
        let day = CompactSeries::of(None, Resolution::Minute, NOW);
        assert!(!day.is_known());
        let day = serde_json::to_value(&day).unwrap();
        for key in ["p", "o", "hq", "bq"] {
            let array = day[key].as_array().unwrap();
            assert!(!array.is_empty() && array.iter().all(|value| *value == json!(0)), "{key}");
        }
        assert_eq!(day.get("uptime_percent"), None::<&Value>);
    }

    #[test]
    fn a_clock_at_its_beginning_is_no_trouble() {
        let day = CompactSeries::of(None, Resolution::HalfHour, 5);
        assert_eq!((day.start_minute, day.hashrate_steps.len()), (0, 1440));
    }

    #[test]
    fn an_offline_minute_is_not_the_last_online_one() {
        let series = series(&[(NOW - 3, 1.0, 0.0), (NOW - 2, 0.0, 0.0)]);
        let at = last_online_at(&series, Resolution::Minute, NOW).unwrap();
        assert_eq!(at.as_second(), i64::from(NOW - 2) * 60);
        assert_eq!(last_online_at(&series, Resolution::Minute, NOW - 4), None);
    }

    #[test]
    fn a_half_hour_that_has_not_ended_was_online_until_now() {
        let series = series(&[(NOW / 30, 1.0, 0.0)]);
        let at = last_online_at(&series, Resolution::HalfHour, NOW).unwrap();
        assert_eq!(at.as_second(), i64::from(NOW) * 60);
    }
}
