//! What was measured, for people and for files.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::histogram::Histogram;

/// Percentiles that are told of every histogram.
pub const PERCENTS: [(&str, f64); 4] =
    [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p999", 99.9)];

/// Figures in the order in which they are shown, each with its unit in its name.
#[derive(Clone, Debug, Default)]
pub struct Report(Map<String, Value>);

impl Report {
    pub fn new(mode: &str) -> Self {
        let mut report = Self::default();
        report.0.insert("mode".into(), mode.into());
        report
    }

    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.into(), value.into());
    }

    /// A figure with as many digits as mean something.
    pub fn set_figure(&mut self, name: &str, value: f64) {
        let rounded = match value.abs() {
            1000.0.. => value.round(),
            100.0.. => (value * 10.0).round() / 10.0,
            1.0.. => (value * 100.0).round() / 100.0,
            _ => (value * 10_000.0).round() / 10_000.0,
        };
        self.0.insert(name.into(), json!(rounded));
    }

    /// `<name>_us_p50` and so on.
    pub fn set_times(&mut self, name: &str, times: &Histogram) {
        let microseconds = |time: Duration| time.as_nanos() as f64 / 1e3;
        for (label, percent) in PERCENTS {
            let time = microseconds(times.percentile(percent));
            self.set_figure(&format!("{name}_us_{label}"), time);
        }
        self.set_figure(&format!("{name}_us_max"), microseconds(times.max()));
    }

    pub fn figure(&self, name: &str) -> Option<f64> {
        self.0.get(name)?.as_f64()
    }

    pub fn value(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// Shows it.
    pub fn print(&self) {
        let mut out = io::stdout().lock();
        for (name, value) in &self.0 {
            let shown = match value {
                Value::String(text) => text.clone(),
                Value::Object(members) if members.is_empty() => "none".into(),
                other => other.to_string(),
            };
            // A reader that went away is no reason to fail.
            let _ = writeln!(out, "{name:<38} {shown}");
        }
        let _ = out.flush();
    }

    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(&self.0)?;
        text.push('\n');
        fs::write(path, text)
    }
}

/// One line on standard error: on a terminal the next writes over it.
pub fn progress(text: &str) {
    let mut out = io::stderr().lock();
    let shown = match out.is_terminal() {
        true => write!(out, "\r\x1b[K{text}"),
        false if text.is_empty() => Ok(()),
        false => writeln!(out, "{text}"),
    };
    let _ = shown.and_then(|()| out.flush());
}

/// Takes the line away.
pub fn progress_end() {
    progress("");
}
