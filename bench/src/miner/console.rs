//! Lines for whoever watches.

use std::fmt::Arguments;
use std::io::Write;
use std::time::Instant;

/// Standard output, each line with the seconds since the start.
pub struct Console {
    started_at: Instant,
    silent: bool,
}

impl Console {
    pub fn new() -> Self {
        Self { started_at: Instant::now(), silent: false }
    }

    /// For tests, whose runner does not capture what is written past `println!`.
    #[cfg(test)]
    pub fn silent() -> Self {
        Self { silent: true, ..Self::new() }
    }

    /// Writes a line. A reader that went away is no reason to stop mining, as `println!` would.
    pub fn say(&self, line: Arguments<'_>) {
        if self.silent {
            return;
        }
        let seconds = self.started_at.elapsed().as_secs_f64();
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{seconds:8.1} s  {line}").and_then(|()| out.flush());
    }
}

impl Default for Console {
    fn default() -> Self {
        Self::new()
    }
}

/// Hashes per second with a unit people use.
pub fn hash_rate(hashes: u64, seconds: f64) -> String {
    let rate = if seconds > 0.0 { hashes as f64 / seconds } else { 0.0 };
    match rate {
        1e9.. => format!("{:.2} GH/s", rate / 1e9),
        1e6.. => format!("{:.2} MH/s", rate / 1e6),
        1e3.. => format!("{:.1} kH/s", rate / 1e3),
        _ => format!("{rate:.0} H/s"),
    }
}

#[cfg(test)]
mod tests {
    use super::hash_rate;

    #[test]
    fn a_rate_has_the_unit_that_keeps_it_short() {
        assert_eq!(hash_rate(0, 0.0), "0 H/s");
        assert_eq!(hash_rate(5_000_000, 10.0), "500.0 kH/s");
        assert_eq!(hash_rate(81_000_000, 10.0), "8.10 MH/s");
    }
}
