//! What can be configured: every key of every file, with its default, what it may be and when a
//! change takes effect. Files are read, examples written, and the documentation is checked by
//! these tables (`config.md` §3).

mod admin;
mod config;
mod policy;
mod services;
mod tuning;
mod value;

use std::fmt;
use std::ops::Bound;

pub use admin::Admin;
pub use config::{Branding, Logging, Mining, Node, Server, Stratum};
pub use policy::{Bans, PolicyHashrate, PolicyStratum, ShareChecks, Timeouts, Version};
pub use services::{
    Auth, BackblazeBackup, Discord, Ntfy, Outgoing, Price, Secrets, Status, Telegram, Webhook,
};
pub use tuning::{
    CoinbaseTuning, Difficulty, HashrateTuning, PeerCleaning, RateLimits, Shards, StratumTuning,
};
pub use value::{Kind, Origin, Setting, Value};

/// The files below `config/` of the data folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum File {
    Config,
    Secrets,
    Services,
    Policy,
    Tuning,
    VersionBits,
    Blacklist,
    Admin,
}

impl File {
    pub const ALL: [Self; 8] = [
        Self::Config,
        Self::Secrets,
        Self::Services,
        Self::Policy,
        Self::Tuning,
        Self::VersionBits,
        Self::Blacklist,
        Self::Admin,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Config => "config.toml",
            Self::Secrets => "secrets.toml",
            Self::Services => "services.toml",
            Self::Policy => "policy.toml",
            Self::Tuning => "tuning.toml",
            Self::VersionBits => "version_bits.toml",
            Self::Blacklist => "miner_blacklist.json",
            Self::Admin => "admin.toml",
        }
    }
}

/// When a change takes effect after SIGUSR2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apply {
    /// At the next start.
    Restart,
    /// At once, for everybody.
    Live,
    /// For miners that connect from then on.
    Connect,
    /// With a new job, which is made at once.
    Job,
}

impl Apply {
    pub fn words(self) -> &'static str {
        match self {
            Self::Restart => "at the next start",
            Self::Live => "at once",
            Self::Connect => "for miners that connect from then on",
            Self::Job => "at once, with a new job",
        }
    }
}

/// What a value may be, beyond being of its kind.
#[derive(Clone, Copy, Debug)]
pub enum Allowed {
    /// Anything; a blank text is as good as none.
    Any,
    /// Any text; a blank one means something by itself.
    Blank,
    /// A number within bounds. What is outside is an error, or the default with a warning.
    Within { min: Bound<f64>, max: Bound<f64>, otherwise: Otherwise },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    Refused,
    Default,
}

pub(crate) const ANY: Allowed = Allowed::Any;
pub(crate) const BLANK: Allowed = Allowed::Blank;
/// What a count must fit into.
pub(crate) const COUNT_MAX: f64 = u32::MAX as f64;

pub(crate) const fn at_least(min: f64) -> Allowed {
    within(Bound::Included(min), Bound::Unbounded)
}

pub(crate) const fn above(min: f64) -> Allowed {
    within(Bound::Excluded(min), Bound::Unbounded)
}

pub(crate) const fn between(min: f64, max: f64) -> Allowed {
    within(Bound::Included(min), Bound::Included(max))
}

pub(crate) const fn from_to_below(min: f64, max: f64) -> Allowed {
    within(Bound::Included(min), Bound::Excluded(max))
}

const fn within(min: Bound<f64>, max: Bound<f64>) -> Allowed {
    Allowed::Within { min, max, otherwise: Otherwise::Refused }
}

impl Allowed {
    pub(crate) const fn or_default(self) -> Self {
        match self {
            Self::Within { min, max, .. } => {
                Self::Within { min, max, otherwise: Otherwise::Default }
            }
            other => other,
        }
    }

    pub fn holds(self, number: f64) -> bool {
        let Self::Within { min, max, .. } = self else { return number.is_finite() };
        number.is_finite() && std::ops::RangeBounds::contains(&(min, max), &number)
    }

    /// `0 or more`; none when anything goes.
    pub fn words(self) -> Option<String> {
        let Self::Within { min, max, .. } = self else { return None };
        Some(match (min, max) {
            (Bound::Included(min), Bound::Included(max)) if max == COUNT_MAX => {
                format!("{min} or more, up to {COUNT_MAX}")
            }
            (Bound::Included(min), Bound::Included(max)) => format!("{min} to {max}"),
            (Bound::Included(min), Bound::Excluded(max)) => format!("{min} to less than {max}"),
            (Bound::Included(min), Bound::Unbounded) => format!("{min} or more"),
            (Bound::Excluded(min), _) => format!("above {min}"),
            (Bound::Unbounded, _) => return None,
        })
    }
}

/// How a key stands in the example of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// With its default.
    Written,
    /// Behind a `#`: that it is set at all means something.
    Commented,
    /// Behind a `#` there, and as dots everywhere else.
    Secret,
}

/// One key of one file.
#[derive(Debug)]
pub struct Key {
    pub file: File,
    /// Empty for keys outside of tables.
    pub table: &'static str,
    pub name: &'static str,
    /// Other names that it has had.
    pub aliases: &'static [&'static str],
    pub default: Value,
    pub allowed: Allowed,
    pub apply: Apply,
    pub shown: Shown,
    /// What it does, in one line.
    pub words: &'static str,
}

/// A key is known by where it stands.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        (self.file, self.table, self.name) == (other.file, other.table, other.name)
    }
}

impl Key {
    /// `difficulty.min_difficulty`.
    pub fn path(&self) -> String {
        match self.table {
            "" => self.name.to_owned(),
            table => format!("{table}.{}", self.name),
        }
    }
}

/// A setting of any kind, for those who list them.
#[derive(Clone, Debug)]
pub struct Entry {
    pub key: &'static Key,
    pub value: Value,
    pub origin: Origin,
}

impl Entry {
    /// Stands in one of the optional files; which of its lines counts is worth a line in the log.
    pub fn is_audited(&self) -> bool {
        matches!(self.origin, Origin::File { file, .. } if !matches!(file, File::Config | File::Secrets))
    }
}

/// The value, unless it is a secret.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.key.shown, self.origin) {
            (Shown::Secret, Origin::Default) => write!(f, "not set"),
            (Shown::Secret, _) => write!(f, "set, and not shown"),
            _ => write!(f, "{}", self.value),
        }
    }
}

/// The keys of one table.
pub trait Section: Sized {
    const TABLE: &'static str;
    const KEYS: &'static [Key];

    /// `take` is asked for each key once, in their order.
    fn read(take: &mut dyn FnMut(&'static Key) -> (Value, Origin)) -> Self;

    fn entries(&self) -> Vec<Entry>;

    /// What is set here, then what is set there.
    fn or(self, other: Self) -> Self;
}

/// `pub struct Server in Config "server" { name: Kind(default), allowed, apply, "words"; … }`, with
/// `aka "name"` for an alias, and `commented` or `secret`, before the words.
macro_rules! section {
    (
        $(#[$meta:meta])*
        pub struct $name:ident in $file:ident $table:literal {
            $( $field:ident : $kind:ident ( $default:expr ), $allowed:expr, $apply:ident,
               $([$alias:literal],)? $($shown:ident,)? $words:literal ; )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        pub struct $name {
            $( pub $field: $crate::config::keys::Setting<section!(@type $kind)>, )*
        }

        impl $crate::config::keys::Section for $name {
            const TABLE: &'static str = $table;
            const KEYS: &'static [$crate::config::keys::Key] = &[
                $( $crate::config::keys::Key {
                    file: $crate::config::keys::File::$file,
                    table: $table,
                    name: stringify!($field),
                    aliases: &[$($alias)?],
                    default: section!(@value $kind $default),
                    allowed: $allowed,
                    apply: $crate::config::keys::Apply::$apply,
                    shown: section!(@shown $($shown)?),
                    words: $words,
                }, )*
            ];

            fn read(
                take: &mut dyn FnMut(&'static $crate::config::keys::Key)
                    -> ($crate::config::keys::Value, $crate::config::keys::Origin),
            ) -> Self {
                let mut keys = Self::KEYS.iter();
                $( let $field = {
                    let key = keys.next().expect("as many keys as fields");
                    let (value, origin) = take(key);
                    $crate::config::keys::Setting::new(key, value, origin)
                }; )*
                Self { $($field),* }
            }

            fn entries(&self) -> Vec<$crate::config::keys::Entry> {
                vec![ $( self.$field.entry() ),* ]
            }

            fn or(self, other: Self) -> Self {
                Self { $( $field: self.$field.or(other.$field) ),* }
            }
        }
    };
    (@type Text) => { String };
    (@type Bool) => { bool };
    (@type Integer) => { i64 };
    (@type Float) => { f64 };
    (@type Texts) => { Vec<String> };
    (@value Text $default:expr) => {
        $crate::config::keys::Value::Text(std::borrow::Cow::Borrowed($default))
    };
    (@value Texts $default:expr) => { $crate::config::keys::Value::Texts(Vec::new()) };
    (@value $kind:ident $default:expr) => { $crate::config::keys::Value::$kind($default) };
    (@shown) => { $crate::config::keys::Shown::Written };
    (@shown commented) => { $crate::config::keys::Shown::Commented };
    (@shown secret) => { $crate::config::keys::Shown::Secret };
}
use section;

/// The keys of all tables but `admin.toml`, in the order in which people look for them.
pub fn all() -> impl Iterator<Item = &'static Key> {
    TABLES.iter().flat_map(|keys| keys.iter())
}

/// The key that the code means by a path such as `rate_limits.max_conns`.
///
/// Panics when there is none: the code is wrong then, whatever the files say.
pub fn named(path: &str) -> &'static Key {
    all().find(|key| key.path() == path).unwrap_or_else(|| panic!("no key is called {path}"))
}

const TABLES: &[&[Key]] = &[
    Server::KEYS,
    Branding::KEYS,
    Stratum::KEYS,
    Node::KEYS,
    Mining::KEYS,
    Logging::KEYS,
    Secrets::KEYS,
    Auth::KEYS,
    BackblazeBackup::KEYS,
    Discord::KEYS,
    Status::KEYS,
    Price::KEYS,
    Webhook::KEYS,
    Ntfy::KEYS,
    Telegram::KEYS,
    Outgoing::KEYS,
    PolicyStratum::KEYS,
    ShareChecks::KEYS,
    PolicyHashrate::KEYS,
    Version::KEYS,
    Bans::KEYS,
    Timeouts::KEYS,
    RateLimits::KEYS,
    Difficulty::KEYS,
    CoinbaseTuning::KEYS,
    HashrateTuning::KEYS,
    StratumTuning::KEYS,
    PeerCleaning::KEYS,
    Shards::KEYS,
];
