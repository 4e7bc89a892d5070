//! A TOML file → its settings, and all that is wrong with them at once.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{self, Allowed, File, Key, Origin, Otherwise, Section, Shown, Value};
use super::problem::{ProblemKind, Problems};

/// Keys that files of the reference may hold and that never meant anything.
const RETIRED: &[&str] = &["fast_decode_enabled", "fast_encode_enabled", "level", "version_mask"];

/// The text of one file.
pub struct Source {
    file: File,
    exists: bool,
    text: String,
}

impl Source {
    /// Reads the file; one that is not there is an empty one.
    pub fn read(file: File, problems: &mut Problems) -> Self {
        let bytes = match fs::read(problems.paths().of(file)) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                problems.note(ProblemKind::Error, file, 0, format!("cannot be read: {error}"));
                None
            }
        };
        let exists = bytes.is_some();
        let text = String::from_utf8(bytes.unwrap_or_default()).unwrap_or_else(|error| {
            let line = line_of(error.as_bytes(), error.utf8_error().valid_up_to());
            problems.note(ProblemKind::Error, file, line, "is not UTF-8".to_owned());
            String::new()
        });
        Self { file, exists, text }
    }

    pub fn of_text(file: File, text: String) -> Self {
        Self { file, exists: true, text }
    }

    pub fn exists(&self) -> bool {
        self.exists
    }

    pub fn text(&self) -> &str {
        &self.text
    }
}

/// One file, parsed.
pub struct Reader<'a> {
    file: File,
    text: &'a str,
    table: DeTable<'a>,
    /// Tables and keys that somebody has asked for.
    asked: BTreeSet<(String, String)>,
    /// Lines about which something has been said.
    broken_lines: BTreeSet<usize>,
}

impl<'a> Reader<'a> {
    /// All syntax errors are noted; what can be understood in spite of them is.
    pub fn parse(source: &'a Source, problems: &mut Problems) -> Self {
        let Source { file, text, .. } = source;
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut broken_lines = BTreeSet::new();
        for error in errors {
            let line = error.span().map_or(0, |span| line_of(text.as_bytes(), span.start));
            let words = format!("is not valid TOML: {}", error.message());
            problems.note(ProblemKind::Error, *file, line, words);
            broken_lines.insert(line);
        }
        let asked = BTreeSet::new();
        Self { file: *file, text, table: table.into_inner(), asked, broken_lines }
    }

    /// The settings of a table, by the keys of another file if need be.
    pub fn section<S: Section>(&mut self, problems: &mut Problems) -> S {
        S::read(&mut |key| self.take(key, problems))
    }

    /// One key: what stands there, if it can be used, or its default.
    pub fn take(&mut self, key: &'static Key, problems: &mut Problems) -> (Value, Origin) {
        self.take_in(key.table, key, problems)
    }

    /// The same, of another table.
    pub fn take_in(
        &mut self,
        table: &str,
        key: &'static Key,
        problems: &mut Problems,
    ) -> (Value, Origin) {
        let default = (key.default.clone(), Origin::Default);
        let mut names = std::iter::once(key.name).chain(key.aliases.iter().copied());
        // Those it has had count as asked for even when the newest is there.
        for name in std::iter::once(key.name).chain(key.aliases.iter().copied()) {
            self.asked.insert((table.to_owned(), name.to_owned()));
        }
        let Some(found) = names.find_map(|name| self.find(table, name)) else { return default };
        let line = self.line_at(found.span().start);
        let origin = Origin::File { file: self.file, line };
        let Some(value) = value(found.get_ref(), &key.default) else {
            if self.broken_lines.contains(&line) {
                return default;
            }
            let found = match key.shown {
                Shown::Secret => "not shown".to_owned(),
                _ => shown(found.get_ref(), &self.text[found.span()]),
            };
            let kind = key.default.kind();
            let words = format!("{} is {found}, allowed is {kind}", key.path());
            problems.note(ProblemKind::Error, self.file, line, words);
            return default;
        };
        let number = match value {
            Value::Integer(number) => number as f64,
            Value::Float(number) => number,
            Value::Text(ref text) if text.is_empty() && !matches!(key.allowed, Allowed::Blank) => {
                return default;
            }
            value => return (value, origin),
        };
        if key.allowed.holds(number) {
            return (value, origin);
        }
        let allowed = key.allowed.words().unwrap_or_else(|| "a finite number".to_owned());
        let words = format!("{} is {value}, allowed is {allowed}", key.path());
        let is_replaced =
            matches!(key.allowed, Allowed::Within { otherwise: Otherwise::Default, .. });
        if is_replaced && number.is_finite() {
            let words = format!("{words}; the default {} is used", key.default);
            problems.note(ProblemKind::Warning, self.file, line, words);
        } else {
            problems.note(ProblemKind::Error, self.file, line, words);
        }
        default
    }

    /// The tables of an array of tables. Anything else is a problem.
    pub fn tables(&mut self, name: &'static str, problems: &mut Problems) -> Vec<DeTable<'a>> {
        self.asked.insert((name.to_owned(), String::new()));
        let Some(found) = self.table.get(name) else { return Vec::new() };
        let line = self.line_at(found.span().start);
        let DeValue::Array(array) = found.get_ref() else {
            let words = format!("{name} is not written as [[{name}]]");
            problems.note(ProblemKind::Error, self.file, line, words);
            return Vec::new();
        };
        let mut tables = Vec::new();
        for entry in array {
            match entry.get_ref() {
                DeValue::Table(table) => tables.push(table.clone()),
                _ => {
                    let line = self.line_at(entry.span().start);
                    let words = format!("{name} holds something that is not a table");
                    problems.note(ProblemKind::Error, self.file, line, words);
                }
            }
        }
        tables
    }

    pub fn line_at(&self, byte: usize) -> usize {
        line_of(self.text.as_bytes(), byte)
    }

    /// Everything that nobody has asked for is a mistake of somebody: says what it may have been.
    pub fn finish(self, problems: &mut Problems) {
        for (name, found) in &self.table {
            let name = name.get_ref().as_ref();
            let line = self.line_at(found.span().start);
            match found.get_ref() {
                // One that has been asked for by itself.
                _ if self.asked.contains(&(name.to_owned(), String::new())) => {}
                DeValue::Table(table) => {
                    for (key, found) in table {
                        let line = self.line_at(found.span().start);
                        self.complain_unless_asked(name, key.get_ref(), line, problems);
                    }
                }
                _ => self.complain_unless_asked("", name, line, problems),
            }
        }
    }

    fn complain_unless_asked(&self, table: &str, name: &str, line: usize, problems: &mut Problems) {
        if self.asked.contains(&(table.to_owned(), name.to_owned())) {
            return;
        }
        let path = if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") };
        let advice = if RETIRED.contains(&name) {
            "has no meaning any more".to_owned()
        } else {
            format!("is not known{}", self.advice(table, name))
        };
        problems.note(ProblemKind::Warning, self.file, line, format!("{path} {advice}"));
    }

    /// Where the key belongs, or which one is spelled nearly like it.
    fn advice(&self, table: &str, name: &str) -> String {
        let elsewhere = keys::all()
            .filter(|key| key.name == name)
            .min_by_key(|key| (key.table != table, key.file != self.file));
        if let Some(key) = elsewhere {
            let table = match key.table {
                "" => "outside of tables".to_owned(),
                table => format!("in [{table}]"),
            };
            return format!("; it belongs into {}, {table}", key.file.name());
        }
        let nearest = keys::all()
            .map(|key| (strsim::damerau_levenshtein(name, key.name), key.file != self.file, key))
            .min_by_key(|(distance, elsewhere, _)| (*distance, *elsewhere));
        match nearest {
            Some((distance, elsewhere, key)) if distance <= 3.max(name.len() / 3) => {
                let file =
                    if elsewhere { format!(" of {}", key.file.name()) } else { String::new() };
                format!("; the nearest is {}{file}", key.path())
            }
            _ => String::new(),
        }
    }

    fn find(&self, table: &str, name: &str) -> Option<&Spanned<DeValue<'a>>> {
        if table.is_empty() {
            return self.table.get(name);
        }
        self.table.get(table)?.get_ref().as_table()?.get(name)
    }
}

/// A value of the same kind as `like`; a whole number is a number too.
pub fn value(found: &DeValue<'_>, like: &Value) -> Option<Value> {
    Some(match (like, found) {
        (Value::Text(_), DeValue::String(text)) => Value::Text(Cow::Owned(text.trim().to_owned())),
        (Value::Bool(_), DeValue::Boolean(value)) => Value::Bool(*value),
        (Value::Integer(_), DeValue::Integer(integer)) => {
            Value::Integer(i64::from_str_radix(integer.as_str(), integer.radix()).ok()?)
        }
        (Value::Float(_), DeValue::Float(float)) => Value::Float(float.as_str().parse().ok()?),
        (Value::Float(_), DeValue::Integer(integer)) => {
            Value::Float(i64::from_str_radix(integer.as_str(), integer.radix()).ok()? as f64)
        }
        (Value::Texts(_), DeValue::Array(array)) => {
            let text = |entry: &Spanned<DeValue<'_>>| entry.get_ref().as_str().map(str::to_owned);
            Value::Texts(array.iter().map(text).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

/// What was found instead of a value that can be used, never longer than it is worth reading.
fn shown(found: &DeValue<'_>, text: &str) -> String {
    match found {
        DeValue::Table(_) => "a table".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        _ => text.chars().take(60).collect(),
    }
}

/// From 1.
fn line_of(text: &[u8], byte: usize) -> usize {
    1 + memchr::memchr_iter(b'\n', &text[..byte.min(text.len())]).count()
}
