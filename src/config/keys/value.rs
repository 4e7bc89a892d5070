//! A value, where it comes from, and which key it is of.

use std::borrow::Cow;
use std::fmt;

use super::{Entry, File, Key};

/// A value of any kind, shown as TOML writes it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(Cow<'static, str>),
    Bool(bool),
    Integer(i64),
    Float(f64),
    Texts(Vec<String>),
}

impl Value {
    /// What a value of this kind looks like.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text in quotes",
            Self::Bool(_) => "true or false",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Texts(_) => "a list of texts in quotes",
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{}", toml::Value::from(text.as_ref())),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Texts(texts) => write!(f, "{}", toml::Value::from(texts.clone())),
        }
    }
}

/// Where a value comes from; later ones win over earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    /// A line of a file, from 1.
    File {
        file: File,
        line: usize,
    },
    /// The admin panel; not on the disk yet.
    Panel,
    /// A flag of the command line, as it is written.
    Flag(&'static str),
    SafeMode,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(f, "default"),
            Self::File { file, line } => write!(f, "{}:{line}", file.name()),
            Self::Panel => write!(f, "panel"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::SafeMode => write!(f, "safe mode"),
        }
    }
}

/// What a key is set to.
#[derive(Clone, Debug)]
pub struct Setting<T> {
    pub value: T,
    pub key: &'static Key,
    pub origin: Origin,
}

/// The types of values.
pub trait Kind: Clone + Into<Value> {
    /// None when the value is of another kind.
    fn from_value(value: Value) -> Option<Self>;
}

impl<T: Kind> Setting<T> {
    /// # Panics
    /// When the value is not of the key's kind.
    pub fn new(key: &'static Key, value: Value, origin: Origin) -> Self {
        let value = T::from_value(value).expect("a key's values are of its kind");
        Self { value, key, origin }
    }

    pub fn entry(&self) -> Entry {
        Entry { key: self.key, value: self.value.clone().into(), origin: self.origin }
    }

    /// Somebody has set it, rather than left it as it is.
    pub fn is_set(&self) -> bool {
        self.origin != Origin::Default
    }

    pub fn set(&mut self, value: impl Into<T>, origin: Origin) {
        self.value = value.into();
        self.origin = origin;
    }

    /// A flag that was given wins over the files.
    pub fn set_by_flag(&mut self, flag: &'static str, value: Option<impl Into<T>>) {
        if let Some(value) = value {
            self.set(value, Origin::Flag(flag));
        }
    }

    pub fn or(self, other: Self) -> Self {
        if self.is_set() { self } else { other }
    }
}

impl Kind for String {
    fn from_value(value: Value) -> Option<Self> {
        if let Value::Text(text) = value { Some(text.into_owned()) } else { None }
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl Kind for bool {
    fn from_value(value: Value) -> Option<Self> {
        if let Value::Bool(value) = value { Some(value) } else { None }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl Kind for i64 {
    fn from_value(value: Value) -> Option<Self> {
        if let Value::Integer(value) = value { Some(value) } else { None }
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl Kind for f64 {
    fn from_value(value: Value) -> Option<Self> {
        if let Value::Float(value) = value { Some(value) } else { None }
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl Kind for Vec<String> {
    fn from_value(value: Value) -> Option<Self> {
        if let Value::Texts(texts) = value { Some(texts) } else { None }
    }
}

impl From<Vec<String>> for Value {
    fn from(texts: Vec<String>) -> Self {
        Self::Texts(texts)
    }
}
