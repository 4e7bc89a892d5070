//! An event as one line of text (`config.md` §7.5).

use std::fmt::{self, Write};

use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// `<time> [LEVEL] message key=value …` and a line feed.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) level: Level,
    pub(super) at: Timestamp,
    text: String,
    /// Bytes of the time and the space after it.
    time_size: usize,
}

impl Line {
    pub(super) fn of_event(event: &Event<'_>) -> Self {
        let mut text = Text::default();
        event.record(&mut text);
        let Text { message, fields } = text;
        let level = *event.metadata().level();
        Self::new(level, Timestamp::now(), format_args!("{message}{fields}"))
    }

    pub(super) fn new(level: Level, at: Timestamp, said: fmt::Arguments<'_>) -> Self {
        // Zeros at the end of a fraction of a second are left out, and so is a fraction of zero.
        let mut text = format!("{at} ");
        let time_size = text.len();
        let _ = writeln!(text, "[{level}] {said}");
        Self { level, at, text, time_size }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn without_time(&self) -> &str {
        &self.text[self.time_size..]
    }
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Text {
    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value}");
        } else {
            let _ = write!(self.fields, " {}={value}", field.name());
        }
    }
}

/// What a miner or a node has sent may stand in a line, but never start another.
fn on_one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, format_args!("{}", on_one_line(value)));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format_args!("{}", on_one_line(&format!("{value:?}"))));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, format_args!("{value}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(at: &str, expected: &str) {
        let at: Timestamp = at.parse().unwrap();
        let line = Line::new(Level::WARN, at, format_args!("said key=value"));
        assert_eq!(line.text(), format!("{expected} [WARN] said key=value\n"));
        assert_eq!(line.without_time(), "[WARN] said key=value\n");
    }

    #[test]
    fn a_time_has_as_many_digits_as_it_needs() {
        check("2026-01-31T03:04:05.123456789Z", "2026-01-31T03:04:05.123456789Z");
        check("2026-01-31T03:04:05.120000000Z", "2026-01-31T03:04:05.12Z");
        check("2026-01-31T03:04:05.000000000Z", "2026-01-31T03:04:05Z");
        check("2026-01-31T04:04:05.5+01:00", "2026-01-31T03:04:05.5Z");
    }
}
