//! How fast connections may come in when nobody says so: worked out from how many there may be
//! (`stratum.md` §1.3, `config.md` §6).

use std::num::NonZeroU32;
use std::time::Duration;

use super::bucket::{AcceptRates, Rate};

const DEFAULT_PER_SECOND: i64 = 500;
const DEFAULT_BURST: i64 = 1000;
const DEFAULT_STEADY_PER_SECOND: i64 = 50;
const DEFAULT_RECONNECT_WINDOW: i64 = 15;
const DEFAULT_BURST_WINDOW: i64 = 5;
const DEFAULT_RECONNECT_PERCENT: f64 = 5.0;
const DEFAULT_STEADY_RECONNECT_WINDOW: i64 = 60;
/// The second phase has a burst of two seconds, and at least of this.
const STEADY_BURST_MIN: i64 = 20;

/// `tuning.toml [rate_limits]`, as far as it is about accepting; windows are in seconds.
///
/// `auto_accept_rate_limits` is not here: a value that is written down counts and one that is not
/// is computed, whatever it says (`config.md` §6.1; README, decision 5).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AcceptKeys {
    /// `max_conns`
    pub connections_max: i64,
    /// `disable_connect_rate_limits`
    pub disabled: bool,
    /// `max_accepts_per_second`, when the file has it; the next two likewise.
    pub per_second: Option<i64>,
    /// `max_accept_burst`
    pub burst: Option<i64>,
    /// `accept_steady_state_rate`
    pub steady_per_second: Option<i64>,
    /// `accept_reconnect_window`: in this time all miners should be back after a restart.
    pub reconnect_window: i64,
    /// `accept_burst_window`: the part of it in which they come out of the burst.
    pub burst_window: i64,
    /// `accept_steady_state_window`: how long after the start the second phase begins.
    pub steady_window: i64,
    /// `accept_steady_state_reconnect_percent`: how many miners reconnect in normal operation …
    pub steady_reconnect_percent: f64,
    /// `accept_steady_state_reconnect_window`: … in this time.
    pub steady_reconnect_window: i64,
}

impl Default for AcceptKeys {
    fn default() -> Self {
        Self {
            connections_max: 50_000,
            disabled: false,
            per_second: None,
            burst: None,
            steady_per_second: None,
            reconnect_window: DEFAULT_RECONNECT_WINDOW,
            burst_window: DEFAULT_BURST_WINDOW,
            steady_window: 100,
            steady_reconnect_percent: DEFAULT_RECONNECT_PERCENT,
            steady_reconnect_window: DEFAULT_STEADY_RECONNECT_WINDOW,
        }
    }
}

/// The three numbers in force, as they are shown and logged; 0 or less switches something off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptNumbers {
    pub per_second: i64,
    pub burst: i64,
    pub steady_per_second: i64,
}

impl AcceptKeys {
    /// What is written down, else what is computed, else the default.
    pub fn numbers(&self) -> AcceptNumbers {
        let otherwise = if self.connections_max > 0 && !self.disabled {
            self.computed()
        } else {
            AcceptNumbers {
                per_second: DEFAULT_PER_SECOND,
                burst: DEFAULT_BURST,
                steady_per_second: DEFAULT_STEADY_PER_SECOND,
            }
        };
        AcceptNumbers {
            per_second: self.per_second.unwrap_or(otherwise.per_second),
            burst: self.burst.unwrap_or(otherwise.burst),
            steady_per_second: self.steady_per_second.unwrap_or(otherwise.steady_per_second),
        }
    }

    /// What the limiter is made with; `None` for no limiter.
    pub fn rates(&self) -> Option<AcceptRates> {
        let numbers = self.numbers();
        let per_second = positive(numbers.per_second).filter(|_| !self.disabled)?;
        let burst = positive(numbers.burst).unwrap_or(per_second);
        let steady = positive(numbers.steady_per_second).and_then(|per_second| {
            let after = Duration::from_secs(u64::try_from(self.steady_window).ok()?);
            let burst = positive((2 * i64::from(per_second.get())).max(STEADY_BURST_MIN))?;
            (!after.is_zero()).then_some((after, Rate { per_second, burst }))
        });
        Some(AcceptRates { start: Rate { per_second, burst }, steady })
    }

    fn computed(&self) -> AcceptNumbers {
        let connections = self.connections_max as f64;
        let window = or_default(self.reconnect_window, DEFAULT_RECONNECT_WINDOW);
        let burst_window = match or_default(self.burst_window, DEFAULT_BURST_WINDOW) {
            seconds if seconds >= window => (window / 2).max(1),
            seconds => seconds,
        };
        let part = burst_window as f64 / window as f64;
        // Casts from floating point cut the fraction, which is what the rule asks for.
        let rest = (connections * (1.0 - part)) as i64;
        let percent = match self.steady_reconnect_percent {
            percent if percent > 0.0 => percent,
            _ => DEFAULT_RECONNECT_PERCENT,
        };
        let spread = or_default(self.steady_reconnect_window, DEFAULT_STEADY_RECONNECT_WINDOW);
        let steady = (connections * (percent / 100.0) / spread as f64) as i64;
        AcceptNumbers {
            per_second: (rest / (window - burst_window).max(1)).clamp(10, 100_000),
            burst: ((connections * part) as i64).clamp(20, 500_000),
            steady_per_second: steady.clamp(5, 1000),
        }
    }
}

fn or_default(seconds: i64, default: i64) -> i64 {
    if seconds > 0 { seconds } else { default }
}

/// A number that is used at all; what is too large is as good as no limit.
fn positive(number: i64) -> Option<NonZeroU32> {
    NonZeroU32::new(u32::try_from(number.max(0)).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(connections_max: i64) -> AcceptKeys {
        AcceptKeys { connections_max, ..AcceptKeys::default() }
    }

    fn rate(per_second: u32, burst: u32) -> Rate {
        let positive = |number| NonZeroU32::new(number).expect("positive");
        Rate { per_second: positive(per_second), burst: positive(burst) }
    }

    #[test]
    fn the_table_of_the_stratum_specification_holds() {
        for (connections, burst, per_second, steady, steady_burst) in [
            (50_000, 16_666, 3333, 41, 82),
            (10_000, 3333, 666, 8, 20),
            (1000, 333, 66, 5, 20),
            (100, 33, 10, 5, 20),
        ] {
            let rates = keys(connections).rates().expect("a limiter");
            assert_eq!(rates.start, rate(per_second, burst), "{connections}");
            let phase = (Duration::from_secs(100), rate(steady, steady_burst));
            assert_eq!(rates.steady, Some(phase), "{connections}");
        }
    }

    #[test]
    fn the_check_values_of_the_configuration_specification_hold() {
        for (connections, window, burst_window, burst, per_second) in [
            (50, 15, 5, 20, 10),
            (100, 15, 5, 33, 10),
            (1000, 15, 5, 333, 66),
            (5000, 15, 5, 1666, 333),
            (10_000, 15, 5, 3333, 666),
            (50_000, 15, 5, 16_666, 3333),
            (1_500_000, 15, 5, 500_000, 100_000),
            (1000, 30, 10, 333, 33),
            (1000, 5, 2, 400, 200),
        ] {
            let keys = AcceptKeys { reconnect_window: window, burst_window, ..keys(connections) };
            let numbers = keys.numbers();
            assert_eq!((numbers.burst, numbers.per_second), (burst, per_second), "{keys:?}");
        }
        for (connections, percent, window, steady) in [
            (100, 5.0, 60, 5),
            (10_000, 5.0, 60, 8),
            (50_000, 5.0, 60, 41),
            (200_000, 5.0, 60, 166),
            (10_000, 10.0, 60, 16),
            (10_000, 5.0, 30, 16),
            (500_000, 10.0, 30, 1000),
        ] {
            let keys = AcceptKeys {
                steady_reconnect_percent: percent,
                steady_reconnect_window: window,
                ..keys(connections)
            };
            assert_eq!(keys.numbers().steady_per_second, steady, "{keys:?}");
        }
    }

    #[test]
    fn what_makes_no_sense_acts_as_the_default() {
        let odd = AcceptKeys {
            reconnect_window: 0,
            burst_window: -1,
            steady_reconnect_percent: f64::NAN,
            steady_reconnect_window: 0,
            ..keys(50_000)
        };
        assert_eq!(odd.numbers(), keys(50_000).numbers());
        // A burst that lasts as long as everything is halved: 1000 in 4 s, of which 2.
        let all = AcceptKeys { reconnect_window: 4, burst_window: 9, ..keys(1000) };
        assert_eq!((all.numbers().burst, all.numbers().per_second), (500, 250));
        let shortest = AcceptKeys { reconnect_window: 1, burst_window: 1, ..keys(1000) };
        assert_eq!((shortest.numbers().burst, shortest.numbers().per_second), (1000, 10));
    }

    #[test]
    fn an_explicit_key_wins_by_itself() {
        let written = AcceptKeys { burst: Some(7), ..keys(50_000) };
        let numbers = AcceptNumbers { burst: 7, ..keys(50_000).numbers() };
        assert_eq!(written.numbers(), numbers);
        assert_eq!(written.rates().expect("a limiter").start, rate(3333, 7));
        let written =
            AcceptKeys { per_second: Some(500), steady_per_second: Some(50), ..keys(1000) };
        let rates = written.rates().expect("a limiter");
        assert_eq!(rates.start, rate(500, 333));
        assert_eq!(rates.steady.map(|(_, rate)| rate), Some(rate(50, 100)));
    }

    #[test]
    fn without_a_number_of_connections_the_defaults_stand() {
        let rates = keys(0).rates().expect("a limiter");
        assert_eq!(rates.start, rate(500, 1000));
        assert_eq!(rates.steady, Some((Duration::from_secs(100), rate(50, 100))));
    }

    #[test]
    fn zero_switches_off_what_it_names() {
        assert_eq!(AcceptKeys { disabled: true, ..keys(50_000) }.rates(), None);
        assert_eq!(AcceptKeys { per_second: Some(0), ..keys(50_000) }.rates(), None);
        let no_burst = AcceptKeys { per_second: Some(9), burst: Some(0), ..keys(1) };
        assert_eq!(no_burst.rates().expect("a limiter").start, rate(9, 9));
        for one_phase in [
            AcceptKeys { steady_per_second: Some(0), ..keys(1) },
            AcceptKeys { steady_window: 0, ..keys(1) },
            AcceptKeys { steady_window: -5, ..keys(1) },
        ] {
            assert_eq!(one_phase.rates().expect("a limiter").steady, None);
        }
    }

    #[test]
    fn no_number_is_too_large() {
        let keys = AcceptKeys {
            per_second: Some(i64::MAX),
            burst: Some(i64::MAX),
            steady_per_second: Some(i64::MAX),
            reconnect_window: i64::MAX,
            burst_window: i64::MAX,
            steady_window: i64::MAX,
            steady_reconnect_percent: f64::INFINITY,
            ..keys(i64::MAX)
        };
        assert_eq!(keys.rates().expect("a limiter").start, rate(u32::MAX, u32::MAX));
        let computed = AcceptKeys { per_second: None, burst: None, ..keys };
        assert!(computed.rates().is_some());
    }
}
