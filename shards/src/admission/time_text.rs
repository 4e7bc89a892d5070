//! How moments and windows are written in what a banned miner is told (`stratum.md` §9).

use std::time::Duration;

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;
/// The Gregorian calendar repeats itself after 400 years.
const DAYS_PER_ERA: u64 = 146_097;
/// Days from 0000-03-01, where the first era starts, to 1970-01-01.
const DAYS_BEFORE_1970: u64 = 719_468;

/// A moment as `YYYY-MM-DDTHH:MM:SSZ`.
pub fn utc(unix_seconds: u64) -> String {
    let (year, month, day) = civil_date(unix_seconds / SECONDS_PER_DAY);
    let second = unix_seconds % SECONDS_PER_DAY;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// A length of time as `45s`, `5m0s` or `1h0m0s`: whole seconds, every unit below the largest.
pub fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{second}s"),
        (0, _) => format!("{minutes}m{second}s"),
        _ => format!("{hours}h{minutes}m{second}s"),
    }
}

/// Year, month and day of a day counted from 1970-01-01.
///
/// Years are counted from March, so that the leap day is the last of its year and the months
/// before it have fixed lengths.
/// Source: `civil_from_days` in Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
fn civil_date(days_since_1970: u64) -> (u64, u64, u64) {
    let days = days_since_1970 + DAYS_BEFORE_1970;
    let (era, day_of_era) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    // Takes out the leap days: one in 4 years, none in 100, one in 400.
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // From March the months are 31, 30, 31, 30, 31 days long, and again: 153 days in five.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_read_as_date_prints_them() {
        // From `date -u -d @<seconds> +%FT%TZ`.
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (946_684_799, "1999-12-31T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_208_000, "2024-02-29T12:00:00Z"),
            (1_795_324_500, "2026-11-22T05:15:00Z"),
            (2_147_483_648, "2038-01-19T03:14:08Z"),
            (4_102_444_799, "2099-12-31T23:59:59Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (7_258_118_399, "2199-12-31T23:59:59Z"),
            (7_289_654_399, "2200-12-31T23:59:59Z"),
        ] {
            assert_eq!(utc(seconds), text);
        }
    }

    #[test]
    fn every_day_of_1970_to_2200_follows_the_one_before() {
        let divides = |n: u64, year: u64| year.is_multiple_of(n);
        let is_leap = |year| divides(4, year) && (!divides(100, year) || divides(400, year));
        let mut days = 0;
        for year in 1970..=2200 {
            let february = if is_leap(year) { 29 } else { 28 };
            let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for (month, length) in (1..).zip(lengths) {
                for day in 1..=length {
                    assert_eq!(civil_date(days), (year, month, day));
                    days += 1;
                }
            }
        }
    }

    #[test]
    fn no_moment_is_too_far_away_to_be_written() {
        assert_eq!(utc(253_402_300_800), "10000-01-01T00:00:00Z");
        assert!(utc(u64::MAX).ends_with('Z'));
    }

    #[test]
    fn windows_read_as_operators_know_them() {
        for (seconds, text) in [
            (0, "0s"),
            (45, "45s"),
            (60, "1m0s"),
            (90, "1m30s"),
            (300, "5m0s"),
            (900, "15m0s"),
            (3600, "1h0m0s"),
            (3661, "1h1m1s"),
            (90_000, "25h0m0s"),
        ] {
            assert_eq!(short(Duration::from_secs(seconds)), text);
        }
    }
}
