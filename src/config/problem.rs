//! What is wrong with a configuration: all of it, a line each.

use std::fmt;
use std::path::PathBuf;

use super::keys::{File, Key, Kind, Origin, Setting, Shown, Value};

/// A value that cannot be used, or a file that cannot be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// `data/config/tuning.toml:12`, or the flag.
    place: String,
    /// What was found there and what is allowed.
    words: String,
    pub kind: ProblemKind,
    /// The key that it is about, if it is about the value of one.
    pub key: Option<&'static Key>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// Nothing can be started with it.
    Error,
    /// The same; an address is not of the network.
    Address,
    /// The pool goes on without it.
    Warning,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.as_str() {
            "" => write!(f, "{}", self.words),
            place => write!(f, "{place}: {}", self.words),
        }
    }
}

/// Where the files are.
#[derive(Clone, Debug)]
pub struct Paths {
    /// `config` in the data folder.
    pub folder: PathBuf,
    /// `-secrets`.
    pub secrets: Option<PathBuf>,
}

impl Paths {
    pub fn of(&self, file: File) -> PathBuf {
        match (file, &self.secrets) {
            (File::Secrets, Some(path)) => path.clone(),
            _ => self.folder.join(file.name()),
        }
    }

    pub fn examples(&self) -> PathBuf {
        self.folder.join("examples")
    }

    pub fn example(&self, file: File) -> PathBuf {
        self.examples().join(format!("{}.example", file.name()))
    }
}

/// All that has been found so far.
#[derive(Debug)]
pub struct Problems {
    paths: Paths,
    found: Vec<Problem>,
}

impl Problems {
    pub fn new(paths: Paths) -> Self {
        Self { paths, found: Vec::new() }
    }

    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    pub fn has_errors(&self) -> bool {
        self.found.iter().any(|problem| problem.kind != ProblemKind::Warning)
    }

    /// In the order of their files and lines.
    pub fn into_vec(mut self) -> Vec<Problem> {
        let place = |problem: &Problem| match problem.place.rsplit_once(':') {
            Some((path, line)) => (path.to_owned(), line.parse().unwrap_or(0)),
            None => (problem.place.clone(), 0usize),
        };
        self.found.sort_by_key(place);
        self.found
    }

    /// A setting that cannot be used.
    pub fn refuse<T: Kind>(&mut self, setting: &Setting<T>, allowed: impl fmt::Display) {
        self.refuse_as(ProblemKind::Error, setting, allowed);
    }

    pub fn refuse_as<T: Kind>(
        &mut self,
        kind: ProblemKind,
        setting: &Setting<T>,
        allowed: impl fmt::Display,
    ) {
        let value = setting.value.clone().into();
        let (place, subject) = match setting.origin {
            Origin::File { file, line } => (self.place(file, line), setting.key.path()),
            Origin::Flag(flag) => (String::new(), flag.to_owned()),
            Origin::Panel => (String::new(), setting.key.path()),
            Origin::Default | Origin::SafeMode => {
                (self.paths.of(setting.key.file).display().to_string(), setting.key.path())
            }
        };
        let found = found(setting.key, &value);
        let words = format!("{subject} is {found}, allowed is {allowed}");
        self.found.push(Problem { place, words, kind, key: Some(setting.key) });
    }

    /// The same, and the pool goes on with `instead`.
    pub fn replace<T: Kind>(&mut self, setting: &Setting<T>, allowed: &str, instead: &str) {
        self.refuse_as(ProblemKind::Warning, setting, format_args!("{allowed}; {instead}"));
    }

    /// Something about a line of a file; 0 for the file as a whole.
    pub fn note(&mut self, kind: ProblemKind, file: File, line: usize, words: String) {
        let place = self.place(file, line);
        self.found.push(Problem { place, words, kind, key: None });
    }

    fn place(&self, file: File, line: usize) -> String {
        let path = self.paths.of(file);
        match line {
            0 => path.display().to_string(),
            line => format!("{}:{line}", path.display()),
        }
    }
}

/// A value as an error may show it.
pub fn found(key: &Key, value: &Value) -> String {
    match value {
        Value::Text(text) if text.is_empty() => "empty".to_owned(),
        _ if key.shown == Shown::Secret => "not shown".to_owned(),
        value => value.to_string(),
    }
}
