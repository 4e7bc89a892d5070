//! How figures read: one set of rules for every page (`web.md` §5, its live column).
//! `web/app.js` follows the same rules, so a refreshed figure looks like the first one.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

/// Stands where there is nothing to show.
pub const NOTHING: &str = "—";

const SATS_PER_BITCOIN: u64 = 100_000_000;

/// `1.23 TH/s`; a dash when nothing is measured yet.
pub fn hashrate(hashes_per_second: f64) -> String {
    const UNITS: [&str; 8] = ["H/s", "KH/s", "MH/s", "GH/s", "TH/s", "PH/s", "EH/s", "ZH/s"];
    /// What two decimals would show as 1000.00 belongs to the next unit.
    const ROUNDS_UP: f64 = 999.995;
    if !is_positive(hashes_per_second) {
        return NOTHING.to_owned();
    }
    let mut value = hashes_per_second;
    let mut unit = 0;
    while value >= ROUNDS_UP && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.2} {}", UNITS[unit])
}

/// A rate such as shares per minute: `0`, `14.2`, `3.1K`.
pub fn rate(value: f64) -> String {
    if !is_positive(value) {
        return "0".to_owned();
    }
    match value {
        v if v >= 1e9 => format!("{:.1}G", v / 1e9),
        v if v >= 1e6 => format!("{:.1}M", v / 1e6),
        v if v >= 1e3 => format!("{:.1}K", v / 1e3),
        v => format!("{v:.1}"),
    }
}

/// A difficulty, from `0.000567` to `125.9T`; a dash when there is none.
pub fn difficulty(value: f64) -> String {
    if !is_positive(value) {
        return NOTHING.to_owned();
    }
    match value {
        v if v < 1.0 => small_difficulty(v),
        v if v < 1e6 => format!("{:.0}", v.round()),
        v if v < 1e9 => format!("{:.1}M", v / 1e6),
        v if v < 1e12 => format!("{:.1}G", v / 1e9),
        v if v < 1e15 => format!("{:.1}T", v / 1e12),
        v => format!("{:.1}P", v / 1e15),
    }
}

/// Truncated, never rounded: a share is not shown as better than it was.
fn small_difficulty(value: f64) -> String {
    let decimals = ((-value.log10()).ceil() + 2.0).clamp(3.0, 8.0) as usize;
    // The shortest digits that name this number, so that 0.3 is not cut down to 0.299.
    let digits = value.to_string();
    let end = digits.len().min("0.".len() + decimals);
    match digits[..end].trim_end_matches('0').trim_end_matches('.') {
        "0" | "" => scientific(value),
        shown => shown.to_owned(),
    }
}

/// Three significant digits, without trailing zeros: `3e-10`, `3.25e-12`.
fn scientific(value: f64) -> String {
    let text = format!("{value:.2e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            format!("{}e{exponent}", mantissa.trim_end_matches('0').trim_end_matches('.'))
        }
        None => text,
    }
}

/// `840,000`: counts and heights.
pub fn integer(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `3.12500000 BTC`: always eight decimals, so that columns line up.
pub fn bitcoin(sats: u64) -> String {
    format!("{}.{:08} BTC", sats / SATS_PER_BITCOIN, sats % SATS_PER_BITCOIN)
}

/// `≈ 203,125.00 EUR`: what so many satoshi cost at a price of one bitcoin.
pub fn fiat(sats: u64, price: f64, currency: &str) -> String {
    let cents = (sats as f64 / SATS_PER_BITCOIN as f64 * price * 100.0).round() as u64;
    format!("≈ {}.{:02} {currency}", integer(cents / 100), cents % 100)
}

/// As a value stands in a query (RFC 3986 §2.1).
pub fn url_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            byte => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

/// `2.00%`.
pub fn percent(value: f64) -> String {
    format!("{:.2}%", if value.is_finite() { value } else { 0.0 })
}

/// `1.50 GiB`.
pub fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut scaled = value as f64;
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{value} B") } else { format!("{scaled:.2} {}", UNITS[unit]) }
}

/// A latency in milliseconds with three decimals; a dash before the first.
pub fn latency(seconds: f64) -> String {
    if is_positive(seconds) { format!("{:.3} ms", seconds * 1e3) } else { NOTHING.to_owned() }
}

/// Of seconds, in the unit that fits: `250 us`, `12 ms`, `3.6 s`, `2.5 min`.
pub fn short_latency(seconds: f64) -> String {
    match seconds {
        seconds if !is_positive(seconds) => NOTHING.to_owned(),
        seconds if seconds < 1e-3 => format!("{:.0} us", (seconds * 1e6).max(1.0)),
        seconds if seconds < 1.0 => format!("{:.0} ms", seconds * 1e3),
        seconds if seconds < 60.0 => format!("{seconds:.1} s"),
        seconds => format!("{:.1} min", seconds / 60.0),
    }
}

/// `3d 4h 5m`, `4h 5m 6s`, `5m 6s` or `6s`.
pub fn uptime(duration: Duration) -> String {
    let (days, hours, minutes, seconds) = split(duration.as_secs());
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {seconds}s"),
        (0, _, _) => format!("{hours}h {minutes}m {seconds}s"),
        _ => format!("{days}d {hours}h {minutes}m"),
    }
}

fn split(seconds: u64) -> (u64, u64, u64, u64) {
    (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

/// How long ago `then` was, as seen at `now`: `just now`, `12 s ago`, `3 d ago`.
pub fn ago(then: SystemTime, now: SystemTime) -> String {
    /// Younger than this, and anything in the future, is "just now".
    const JUST_NOW_SECONDS: u64 = 5;
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let seconds = now.duration_since(then).unwrap_or_default().as_secs();
    match seconds {
        0..JUST_NOW_SECONDS => "just now".to_owned(),
        JUST_NOW_SECONDS..MINUTE => format!("{seconds} s ago"),
        MINUTE..HOUR => format!("{} min ago", seconds / MINUTE),
        HOUR..DAY => format!("{} h ago", seconds / HOUR),
        s if s < 7 * DAY => format!("{} d ago", s / DAY),
        s if s < 30 * DAY => format!("{} wk ago", s / (7 * DAY)),
        s if s < 365 * DAY => format!("{} mo ago", s / (30 * DAY)),
        s => format!("{} yr ago", s / (365 * DAY)),
    }
}

/// How long until `then`, as seen at `now`: `in 12 s`, `in 3 d`; what has passed is now.
pub fn ahead(then: SystemTime, now: SystemTime) -> String {
    match ago(now, then).strip_suffix(" ago") {
        Some(text) => format!("in {text}"),
        None => "now".to_owned(),
    }
}

/// Up to three of the largest units that are not zero: `1h 4m 9s`.
pub fn interval(duration: Duration) -> String {
    let (days, hours, minutes, seconds) = split(duration.as_secs());
    let parts = [(days, 'd'), (hours, 'h'), (minutes, 'm'), (seconds, 's')];
    let parts = parts.iter().filter(|(count, _)| *count > 0).take(3);
    let parts: Vec<String> = parts.map(|(count, unit)| format!("{count}{unit}")).collect();
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

/// How long a chart is: `1d 4h`, `4h 5m`, `5m` or `6s`.
pub fn span(duration: Duration) -> String {
    let (days, hours, minutes, seconds) = split(duration.as_secs());
    let two = |a: u64, unit: char, b: u64, of_b: char| match b {
        0 => format!("{a}{unit}"),
        b => format!("{a}{unit} {b}{of_b}"),
    };
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m"),
        (0, _, _) => two(hours, 'h', minutes, 'm'),
        _ => two(days, 'd', hours, 'h'),
    }
}

/// A chance from 0 to 1: `1 in 1,024`, `1 in 3.2 million`.
pub fn odds(chance: f64) -> String {
    if !is_positive(chance) {
        return "1 in ∞".to_owned();
    }
    let ratio = 1.0 / chance;
    let scales = [(1e12, "trillion"), (1e9, "billion"), (1e6, "million")];
    match scales.iter().find(|(scale, _)| ratio >= *scale) {
        Some((scale, word)) => {
            let scaled = ratio / scale;
            let decimals = if scaled >= 100.0 {
                0
            } else if scaled >= 10.0 {
                1
            } else {
                2
            };
            format!("1 in {} {word}", without_zeros(format!("{scaled:.decimals$}")))
        }
        None => format!("1 in {}", integer((ratio.round() as u64).max(1))),
    }
}

fn without_zeros(text: String) -> String {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// For the axis of a chart: `1.2 TH/s`, `250 GH/s`.
pub fn hashrate_short(hashes_per_second: f64) -> String {
    let text = hashrate(hashes_per_second);
    match text.split_once(' ') {
        Some((number, unit)) => format!("{} {unit}", shortened(number)),
        None => text,
    }
}

/// Three digits are enough on an axis.
fn shortened(number: &str) -> String {
    let value: f64 = number.parse().unwrap_or_default();
    let decimals = if value >= 100.0 { 0 } else { 1 };
    without_zeros(format!("{value:.decimals$}"))
}

/// For the axis of a chart: `512`, `1.50K`, `250M`.
pub fn difficulty_short(value: f64) -> String {
    const UNITS: [(f64, &str); 6] =
        [(1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "K")];
    if value < 1000.0 {
        return difficulty(value);
    }
    let (scale, unit) = UNITS.iter().find(|(scale, _)| value >= *scale).unwrap_or(&(1e3, "K"));
    let scaled = value / scale;
    let decimals = if scaled < 10.0 {
        2
    } else if scaled < 100.0 {
        1
    } else {
        0
    };
    format!("{scaled:.decimals$}{unit}")
}

/// All of a difficulty: eight decimals, without zeros at the end.
pub fn difficulty_exact(value: f64) -> String {
    match value {
        value if value < 1.0 => difficulty(value),
        value => without_zeros(format!("{value:.8}")),
    }
}

/// `2026-01-31T19:55:02Z`: every time in JSON.
pub fn rfc3339(time: SystemTime) -> String {
    timestamp(time).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Of Unix seconds.
pub fn rfc3339_unix(unix: u64) -> String {
    rfc3339(SystemTime::UNIX_EPOCH + Duration::from_secs(unix))
}

/// `2026-01-31 19:55:02 UTC`: times that people read.
pub fn utc(time: SystemTime) -> String {
    timestamp(time).strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// `Sat, 31 Jan 2026 19:55:02 GMT`: the `Date` header (RFC 9110 §5.6.7).
pub fn http_date(time: SystemTime) -> String {
    timestamp(time).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Times outside jiff's range (the years −9999 to 9999) can only come from a broken clock; they
/// read as 1970 instead of failing a page.
fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn is_positive(value: f64) -> bool {
    value.is_finite() && value > 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hashrate_has_two_decimals_and_the_largest_fitting_unit() {
        for (value, text) in [
            (-1.0, NOTHING),
            (0.0, NOTHING),
            (f64::NAN, NOTHING),
            (999.0, "999.00 H/s"),
            (1234e9, "1.23 TH/s"),
            (999.996e9, "1.00 TH/s"),
            (9.5e20, "950.00 EH/s"),
            (1.5e21, "1.50 ZH/s"),
            (5e24, "5000.00 ZH/s"),
        ] {
            assert_eq!(hashrate(value), text, "{value}");
        }
    }

    #[test]
    fn difficulties_follow_the_vectors_of_the_specification() {
        for (value, text) in [
            (-1.0, NOTHING),
            (f64::INFINITY, NOTHING),
            (0.75, "0.75"),
            (0.3, "0.3"),
            (0.999999, "0.999"),
            (0.00056789, "0.000567"),
            (3e-10, "3e-10"),
            (1.5, "2"),
            (999_999.6, "1000000"),
            (2.5e6, "2.5M"),
            (3.2e9, "3.2G"),
            (1.259e14, "125.9T"),
            (2.5e15, "2.5P"),
        ] {
            assert_eq!(difficulty(value), text, "{value}");
        }
    }

    #[test]
    fn rates_counts_and_amounts() {
        assert_eq!(
            [rate(0.0), rate(14.23), rate(3100.0), rate(2.5e6)],
            ["0", "14.2", "3.1K", "2.5M"]
        );
        assert_eq!([integer(0), integer(999), integer(1000)], ["0", "999", "1,000"]);
        assert_eq!(integer(1_234_567), "1,234,567");
        assert_eq!(bitcoin(312_500_000), "3.12500000 BTC");
        assert_eq!(bitcoin(1), "0.00000001 BTC");
        assert_eq!(fiat(312_500_000, 65_000.0, "EUR"), "≈ 203,125.00 EUR");
        assert_eq!(fiat(1, 65_000.0, "EUR"), "≈ 0.00 EUR");
        assert_eq!([bytes(0), bytes(1023), bytes(1536)], ["0 B", "1023 B", "1.50 KiB"]);
        assert_eq!([latency(0.0), latency(0.0123456)], [NOTHING, "12.346 ms"]);
        assert_eq!([percent(2.0), percent(f64::NAN)], ["2.00%", "0.00%"]);
    }

    #[test]
    fn uptime_shows_what_matters_at_its_length() {
        for (seconds, text) in
            [(6, "6s"), (306, "5m 6s"), (14_706, "4h 5m 6s"), (273_906, "3d 4h 5m")]
        {
            assert_eq!(uptime(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn relative_times_change_units_at_the_specified_ages() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        for (age, text) in [
            (4, "just now"),
            (5, "5 s ago"),
            (59, "59 s ago"),
            (60, "1 min ago"),
            (3600, "1 h ago"),
            (86_400, "1 d ago"),
            (7 * 86_400, "1 wk ago"),
            (30 * 86_400, "1 mo ago"),
            (365 * 86_400, "1 yr ago"),
        ] {
            assert_eq!(ago(now - Duration::from_secs(age), now), text);
        }
        assert_eq!(ago(now + Duration::from_secs(60), now), "just now");
    }

    #[test]
    fn latencies_have_the_unit_that_fits() {
        for (seconds, text) in [
            (0.0, "—"),
            (2e-7, "1 us"),
            (2.5e-4, "250 us"),
            (0.012, "12 ms"),
            (3.626, "3.6 s"),
            (150.0, "2.5 min"),
        ] {
            assert_eq!(short_latency(seconds), text);
        }
    }

    #[test]
    fn odds_and_intervals_read_as_people_say_them() {
        for (chance, text) in [
            (0.0, "1 in ∞"),
            (1.0, "1 in 1"),
            (1.0 / 150.0, "1 in 150"),
            (1.0 / 1024.0, "1 in 1,024"),
            (1.0 / 3.2e6, "1 in 3.2 million"),
            (1.0 / 1.5e11, "1 in 150 billion"),
        ] {
            assert_eq!(odds(chance), text);
        }
        let seconds = |s| Duration::from_secs(s);
        assert_eq!(interval(seconds(3849)), "1h 4m 9s");
        assert_eq!(interval(seconds(0)), "0s");
        assert_eq!((span(seconds(86_400)), span(seconds(3_900))), ("1d".into(), "1h 5m".into()));
        let now = SystemTime::UNIX_EPOCH + seconds(1000);
        assert_eq!(ahead(now + seconds(600), now), "in 10 min");
        assert_eq!(ahead(now, now), "now");
        assert_eq!(
            (difficulty_short(1500.0), difficulty_short(2.5e13)),
            ("1.50K".into(), "25.0T".into())
        );
        assert_eq!(
            (hashrate_short(1.5e12), hashrate_short(2.5e11)),
            ("1.5 TH/s".into(), "250 GH/s".into())
        );
        assert_eq!(
            (difficulty_exact(1024.5), difficulty_exact(7.0)),
            ("1024.5".into(), "7".into())
        );
    }

    #[test]
    fn times_are_utc_with_whole_seconds() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_769_889_302_900);
        assert_eq!(rfc3339(time), "2026-01-31T19:55:02Z");
        assert_eq!(utc(time), "2026-01-31 19:55:02 UTC");
        assert_eq!(http_date(time), "Sat, 31 Jan 2026 19:55:02 GMT");
    }
}
