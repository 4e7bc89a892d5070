//! An event as one line of text.

use std::fmt::{self, Write};

use jiff::Timestamp;
use tracing::Event;
use tracing::field::{Field, Visit};

/// `<time> [LEVEL] message key=value …` and a line feed.
pub(super) fn render(event: &Event<'_>) -> String {
    let mut text = Text::default();
    event.record(&mut text);
    let level = event.metadata().level();
    let Text { message, fields } = text;
    format!("{} [{level}] {message}{fields}\n", Timestamp::now())
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
        } else if !field.name().starts_with("log.") {
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
