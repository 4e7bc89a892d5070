//! What an operator may change of a running pool, and what it may be (`web.md` §6.5).
//!
//! ```text
//! fields of a form ─▶ read ─▶ Edits ─▶ Loader::with_edits: files ▶ edits ▶ flags ▶ check ─▶ Config
//!                                └───▶ save: the files
//! ```
//!
//! Nothing is taken before all of it has been found good.

use std::fmt;
use std::sync::LazyLock;

use ureq::http::Uri;

use super::Config;
use super::keys::{self, Allowed, Key, Section, Value};

/// Longest text that a field takes.
const TEXT_CHARS_MAX: usize = 256;
/// What an empty `mempool_address_url` stands for.
const MEMPOOL_ADDRESS_URL: &str = "https://mempool.space/address/";
/// Numbers of accepted connections that are worked out from `max_conns` unless they are set.
const WORKED_OUT: [&str; 3] = [
    "rate_limits.max_accepts_per_second",
    "rate_limits.max_accept_burst",
    "rate_limits.accept_steady_state_rate",
];

/// What has been changed since the files were read. It lives in memory only: SIGUSR2 and a restart
/// forget what has not been saved.
#[derive(Clone, Debug, Default)]
pub struct Edits(Vec<(&'static Key, Value)>);

impl Edits {
    pub fn get(&self, key: &Key) -> Option<&Value> {
        self.0.iter().find(|(edited, _)| *edited == key).map(|(_, value)| value)
    }

    pub fn set(&mut self, key: &'static Key, value: Value) {
        self.unset(key);
        self.0.push((key, value));
    }

    pub fn unset(&mut self, key: &Key) {
        self.0.retain(|(edited, _)| *edited != key);
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'static Key, &Value)> {
        self.0.iter().map(|(key, value)| (*key, value))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A table with what has been changed of it.
    pub(super) fn change<S: Section>(&self, section: &mut S) {
        let mut entries = section.entries().into_iter();
        *section = S::read(&mut |key| {
            let entry = entries.next().expect("as many entries as keys");
            match self.get(key) {
                Some(value) => (value.clone(), keys::Origin::Panel),
                None => (entry.value, entry.origin),
            }
        });
    }
}

/// The parts of the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Branding,
    Limits,
    Difficulty,
    Bans,
    PeerCleaning,
    Shares,
    Runtime,
    /// Switched where the logs are shown.
    Logging,
    Protected,
}

impl Group {
    /// In the order of the form.
    pub const FORM: [Self; 7] = [
        Self::Branding,
        Self::Limits,
        Self::Difficulty,
        Self::Bans,
        Self::PeerCleaning,
        Self::Shares,
        Self::Runtime,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Self::Branding => "Branding and links",
            Self::Limits => "Connections",
            Self::Difficulty => "Difficulty",
            Self::Bans => "Bans",
            Self::PeerCleaning => "Peers of the node",
            Self::Shares => "Shares and coinbase",
            Self::Runtime => "Hashrates and versions",
            Self::Logging => "Logging",
            Self::Protected => "Only in the files",
        }
    }
}

/// What a field takes, where that is less than what its file takes.
#[derive(Clone, Copy, Debug)]
enum Limit {
    /// What the file takes.
    File,
    Within(f64, f64),
    /// 0 switches it off.
    OffOr(f64, f64),
    Url,
    /// A URL that an address is put behind.
    UrlPrefix,
    Currency,
}

/// A setting as a field of the form.
#[derive(Debug)]
pub struct Field {
    pub key: &'static Key,
    pub name: &'static str,
    /// What a person calls it.
    pub label: &'static str,
    pub group: Group,
    limit: Limit,
}

/// A field that cannot be taken, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Empty for what is about none in particular.
    pub name: &'static str,
    pub words: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.words)
    }
}

/// Every setting that may be changed.
pub fn fields() -> &'static [Field] {
    static FIELDS: LazyLock<Vec<Field>> = LazyLock::new(|| made_of(CHANGEABLE));
    &FIELDS
}

/// Those that are shown beside them, and stay as the files have them.
pub fn protected() -> &'static [Field] {
    static FIELDS: LazyLock<Vec<Field>> = LazyLock::new(|| made_of(PROTECTED));
    &FIELDS
}

/// The field of a key, if it has one.
pub fn field_of(key: &Key) -> Option<&'static Field> {
    fields().iter().chain(protected()).find(|field| field.key == key)
}

/// Its key and what it is called on the page.
type Row = (Group, &'static str, &'static str, Limit);

fn made_of(rows: &[Row]) -> Vec<Field> {
    let field = |(group, path, label, limit): &Row| {
        let key = keys::all().find(|key| key.path() == *path).expect("the table names keys");
        let renamed = NAMES.iter().find(|(of, _)| of == path);
        let name = renamed.map_or(key.name, |(_, name)| name);
        Field { key, name, label, group: *group, limit: *limit }
    };
    rows.iter().map(field).collect()
}

/// Names in the form that are not those in the files.
const NAMES: &[(&str, &str)] = &[
    ("peer_cleaning.enabled", "peer_cleanup_enabled"),
    ("peer_cleaning.max_ping_ms", "peer_cleanup_max_ping_ms"),
    ("peer_cleaning.min_peers", "peer_cleanup_min_peers"),
    ("mining.template_extra_nonce2_size", "template_extranonce2_size"),
    ("discord.worker_notify_threshold_seconds", "discord_worker_notify_threshold_seconds"),
    ("mining.pooltag_prefix", "pool_tag_prefix"),
];

#[rustfmt::skip]
const CHANGEABLE: &[Row] = &[
    (Group::Branding, "branding.status_tagline", "Tagline", Limit::File),
    (Group::Branding, "branding.status_connect_miner_title_extra", "Added to the heading of the connect panel", Limit::File),
    (Group::Branding, "branding.status_connect_miner_title_extra_url", "Where that addition leads to", Limit::Url),
    (Group::Branding, "branding.fiat_currency", "Currency", Limit::Currency),
    (Group::Branding, "status.github_url", "Link to the source", Limit::Url),
    (Group::Branding, "discord.discord_url", "Discord invitation", Limit::Url),
    (Group::Branding, "status.mempool_address_url", "Explorer for addresses", Limit::UrlPrefix),
    (Group::Branding, "branding.pool_donation_address", "Donation address", Limit::File),
    (Group::Limits, "rate_limits.max_conns", "Connections at a time", Limit::OffOr(10.0, 1e6)),
    (Group::Limits, "rate_limits.disable_connect_rate_limits", "No limit for new connections", Limit::File),
    (Group::Limits, "rate_limits.auto_accept_rate_limits", "Work out the limits of new connections", Limit::File),
    (Group::Limits, "rate_limits.max_accepts_per_second", "New connections a second", Limit::OffOr(1.0, 1e5)),
    (Group::Limits, "rate_limits.max_accept_burst", "New connections at once", Limit::OffOr(1.0, 5e5)),
    (Group::Limits, "rate_limits.accept_reconnect_window", "Time for all miners to come back, seconds", Limit::File),
    (Group::Limits, "rate_limits.accept_burst_window", "Time that the burst serves, seconds", Limit::File),
    (Group::Limits, "rate_limits.accept_steady_state_window", "Steady rate from then on, seconds", Limit::OffOr(1.0, keys::COUNT_MAX)),
    (Group::Limits, "rate_limits.accept_steady_state_rate", "Steady rate, connections a second", Limit::OffOr(1.0, keys::COUNT_MAX)),
    (Group::Limits, "rate_limits.accept_steady_state_reconnect_percent", "Miners that come back, percent", Limit::File),
    (Group::Limits, "rate_limits.accept_steady_state_reconnect_window", "Time in which they do, seconds", Limit::File),
    (Group::Limits, "rate_limits.stratum_messages_per_minute", "Lines a minute from one miner", Limit::OffOr(10.0, 1e6)),
    (Group::Difficulty, "difficulty.min_difficulty", "Lowest difficulty", Limit::File),
    (Group::Difficulty, "difficulty.max_difficulty", "Highest difficulty", Limit::File),
    (Group::Difficulty, "difficulty.default_difficulty", "Difficulty to start with", Limit::File),
    (Group::Difficulty, "difficulty.target_shares_per_min", "Shares a minute to aim at", Limit::Within(0.1, 120.0)),
    (Group::Difficulty, "difficulty.vardiff_enabled", "Difficulty follows the miner", Limit::File),
    (Group::Difficulty, "difficulty.lock_suggested_difficulty", "Keep the difficulty a miner suggests first", Limit::File),
    (Group::Difficulty, "difficulty.enforce_suggested_difficulty_limits", "Ban for suggestions outside of the limits", Limit::File),
    (Group::Difficulty, "mining.difficulty_step_granularity", "Steps from one power of two to the next", Limit::File),
    (Group::Bans, "bans.clean_expired_on_startup", "Forget bans that have ended", Limit::File),
    (Group::Bans, "bans.ban_invalid_submissions_after", "Invalid shares until a ban", Limit::OffOr(3.0, 10_000.0)),
    (Group::Bans, "bans.ban_invalid_submissions_window_seconds", "Within seconds", Limit::Within(10.0, 86_400.0)),
    (Group::Bans, "bans.ban_invalid_submissions_duration_seconds", "Length of a ban, seconds", Limit::Within(10.0, 604_800.0)),
    (Group::Bans, "bans.reconnect_ban_threshold", "Useless connections until an address is refused", Limit::OffOr(3.0, 10_000.0)),
    (Group::Bans, "bans.reconnect_ban_window_seconds", "Window of useless connections, seconds", Limit::Within(10.0, 86_400.0)),
    (Group::Bans, "bans.reconnect_ban_duration_seconds", "Address is refused for seconds", Limit::Within(10.0, 604_800.0)),
    (Group::PeerCleaning, "peer_cleaning.enabled", "Disconnect the node's slowest peers", Limit::File),
    (Group::PeerCleaning, "peer_cleaning.max_ping_ms", "Slow from, milliseconds", Limit::File),
    (Group::PeerCleaning, "peer_cleaning.min_peers", "Never leave fewer peers", Limit::File),
    (Group::Shares, "timeouts.connection_timeout_seconds", "Silent miners are closed after seconds", Limit::Within(30.0, 86_400.0)),
    (Group::Shares, "mining.share_job_freshness_mode", "Freshness of shares", Limit::File),
    (Group::Shares, "mining.share_check_ntime_window", "Check the time of shares", Limit::File),
    (Group::Shares, "mining.share_check_version_rolling", "Check the version of shares", Limit::File),
    (Group::Shares, "mining.share_require_authorized_connection", "Shares need an authorized miner", Limit::File),
    (Group::Shares, "mining.share_check_param_format", "Check the format of shares", Limit::File),
    (Group::Shares, "mining.share_check_duplicate", "Refuse shares sent twice", Limit::File),
    (Group::Shares, "mining.share_require_worker_match", "Shares need the worker that has authorized", Limit::File),
    (Group::Shares, "mining.submit_process_inline", "Judge shares at once", Limit::File),
    (Group::Shares, "mining.extranonce2_size", "Bytes that miners roll", Limit::Within(1.0, 8.0)),
    (Group::Shares, "mining.template_extra_nonce2_size", "Bytes kept for them in the coinbase", Limit::Within(1.0, 16.0)),
    (Group::Shares, "mining.job_entropy", "Characters of a job's own in the coinbase", Limit::File),
    (Group::Shares, "mining.coinbase_scriptsig_max_bytes", "Bytes of the coinbase's script", Limit::File),
    (Group::Runtime, "discord.worker_notify_threshold_seconds", "Worker notices after seconds", Limit::File),
    (Group::Runtime, "hashrate.hashrate_ema_tau_seconds", "Time constant of hashrates, seconds", Limit::File),
    (Group::Runtime, "hashrate.hashrate_cumulative_enabled", "Blend in the whole connection's average", Limit::File),
    (Group::Runtime, "hashrate.hashrate_recent_cumulative_enabled", "Blend in the last minutes' average", Limit::File),
    (Group::Runtime, "hashrate.share_ntime_max_forward_seconds", "Time of shares may run ahead, seconds", Limit::File),
    (Group::Runtime, "version.min_version_bits", "Version bits offered to miners", Limit::File),
    (Group::Runtime, "version.share_allow_out_of_mask_version_bits", "Take shares with other version bits", Limit::File),
    (Group::Runtime, "version.share_allow_degraded_version_bits", "Take shares with fewer version bits", Limit::File),
    (Group::Runtime, "version.bip110_enabled", "Set version bit 4 (BIP-110)", Limit::File),
    (Group::Logging, "logging.debug", "Debug lines", Limit::File),
    (Group::Logging, "logging.net_debug", "Network trace", Limit::File),
];

#[rustfmt::skip]
const PROTECTED: &[Row] = &[
    (Group::Protected, "branding.status_brand_name", "Pool name", Limit::File),
    (Group::Protected, "branding.status_brand_domain", "Public host name", Limit::File),
    (Group::Protected, "branding.server_location", "Server location", Limit::File),
    (Group::Protected, "server.status_public_url", "Public URL", Limit::File),
    (Group::Protected, "node.payout_address", "Payout address", Limit::File),
    (Group::Protected, "mining.pool_fee_percent", "Pool fee, percent", Limit::File),
    (Group::Protected, "mining.operator_donation_percent", "Donated part of the fee, percent", Limit::File),
    (Group::Protected, "mining.operator_donation_name", "Donation goes to", Limit::File),
    (Group::Protected, "mining.operator_donation_url", "Their page", Limit::File),
    (Group::Protected, "mining.pool_entropy", "Pool entropy", Limit::File),
    (Group::Protected, "mining.pooltag_prefix", "Prefix of the pool's tag", Limit::File),
    (Group::Protected, "server.pool_listen", "Stratum listens on", Limit::File),
    (Group::Protected, "server.status_listen", "Pages listen on, HTTP", Limit::File),
    (Group::Protected, "server.status_tls_listen", "Pages listen on, HTTPS", Limit::File),
    (Group::Protected, "stratum.stratum_tls_listen", "Stratum over TLS listens on", Limit::File),
];

impl Field {
    /// By its name in the form, in its file, or one that it has had.
    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.key.name == name || self.key.aliases.contains(&name)
    }

    /// What stands in the field: a value as a person writes it, with all of its digits.
    pub fn text(value: &Value) -> String {
        match value {
            Value::Text(text) => text.to_string(),
            Value::Float(number) => number.to_string(),
            value => value.to_string(),
        }
    }

    /// `0 (off), or 10 to 1000000`; none when anything goes.
    pub fn allowed(&self) -> Option<String> {
        match self.limit {
            Limit::File => self.key.allowed.words(),
            Limit::Within(min, max) => Some(format!("{min} to {max}")),
            Limit::OffOr(min, max) => Some(format!("0 (off), or {min} to {max}")),
            Limit::Url => Some("a URL of http or https, or nothing".to_owned()),
            Limit::UrlPrefix => {
                Some(format!("a URL of http or https; empty is {MEMPOOL_ADDRESS_URL}"))
            }
            Limit::Currency => Some("three or four letters, such as usd".to_owned()),
        }
    }

    /// The lowest and the highest number, for those who check while somebody types.
    pub fn bounds(&self) -> (Option<f64>, Option<f64>) {
        use std::ops::Bound;
        let of_file = |bound: Bound<f64>| match bound {
            Bound::Included(number) => Some(number),
            // What is next to it is not for a form to know.
            Bound::Excluded(number) => Some(number),
            Bound::Unbounded => None,
        };
        match (self.limit, self.key.allowed) {
            (Limit::Within(min, max), _) => (Some(min), Some(max)),
            (Limit::OffOr(_, max), _) => (Some(0.0), Some(max)),
            (_, Allowed::Within { min, max, .. }) => (of_file(min), of_file(max)),
            _ => (None, None),
        }
    }

    /// A value as it is written into a form. None when the field is left empty and stays as it is.
    fn parse(&self, text: &str) -> Result<Option<Value>, Refusal> {
        let refuse = |allowed: &str| {
            let found: String = text.chars().take(60).collect();
            let found = if found.is_empty() { "empty".to_owned() } else { format!("{found:?}") };
            Err(Refusal {
                name: self.name,
                words: format!("{} is {found}, allowed is {allowed}", self.name),
            })
        };
        let text = text.trim();
        let value = match &self.key.default {
            Value::Text(_) => return self.parse_text(text).map(Some).or_else(|a| refuse(&a)),
            Value::Bool(_) => match &*text.to_ascii_lowercase() {
                "1" | "true" | "on" | "yes" => return Ok(Some(Value::Bool(true))),
                "0" | "false" | "off" | "no" => return Ok(Some(Value::Bool(false))),
                "" => return Ok(None),
                _ => return refuse("true or false"),
            },
            _ if text.is_empty() => return Ok(None),
            Value::Integer(_) => text.parse().ok().map(Value::Integer),
            Value::Float(_) => text.parse().ok().map(Value::Float),
            // No list is among the fields.
            Value::Texts(_) => None,
        };
        let number = match value {
            Some(Value::Integer(number)) => number as f64,
            Some(Value::Float(number)) => number,
            _ if matches!(self.key.default, Value::Integer(_)) => return refuse("a whole number"),
            _ => return refuse("a number"),
        };
        let is_allowed = self.key.allowed.holds(number)
            && match self.limit {
                Limit::Within(min, max) => (min..=max).contains(&number),
                Limit::OffOr(min, max) => number == 0.0 || (min..=max).contains(&number),
                _ => true,
            };
        if !is_allowed {
            return refuse(&self.allowed().unwrap_or_else(|| "a finite number".to_owned()));
        }
        Ok(value)
    }

    /// Errors: what is allowed.
    fn parse_text(&self, text: &str) -> Result<Value, String> {
        let allowed = || Err(self.allowed().unwrap_or_default());
        if text.chars().count() > TEXT_CHARS_MAX || text.chars().any(char::is_control) {
            return Err(format!("one line of up to {TEXT_CHARS_MAX} characters"));
        }
        let text = match self.limit {
            Limit::Url if text.is_empty() || is_url(text) => text.to_owned(),
            Limit::UrlPrefix if text.is_empty() => MEMPOOL_ADDRESS_URL.to_owned(),
            Limit::UrlPrefix if is_url(text) && text.ends_with('/') => text.to_owned(),
            Limit::UrlPrefix if is_url(text) => format!("{text}/"),
            Limit::Currency => match text.to_ascii_lowercase() {
                code if matches!(code.len(), 3 | 4)
                    && code.bytes().all(|b| b.is_ascii_lowercase()) =>
                {
                    code
                }
                _ => return allowed(),
            },
            Limit::Url | Limit::UrlPrefix => return allowed(),
            _ => text.to_owned(),
        };
        // As it will read when it has been in a file: a blank there is as good as none.
        Ok(match (text.is_empty(), self.key.allowed) {
            (true, Allowed::Any) => self.key.default.clone(),
            _ => text.into(),
        })
    }
}

fn is_url(text: &str) -> bool {
    text.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
    })
}

/// What a form says, on top of what has been changed before. Fields that say what is so already,
/// and those that are not there, change nothing.
///
/// Errors: all that is wrong with it.
pub fn read<'a>(
    config: &Config,
    form: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Edits, Vec<Refusal>> {
    let mut edits = config.edits().clone();
    let mut refused = Vec::new();
    let mut changed: Vec<&'static Key> = Vec::new();
    let mut explicit: Vec<(&'static Key, Value)> = Vec::new();
    for (name, text) in form {
        if let Some(field) = protected().iter().find(|field| field.is_called(name)) {
            refused.extend(refuse_protected(config, field, text));
            continue;
        }
        let Some(field) = fields().iter().find(|field| field.is_called(name)) else {
            refused.push(Refusal {
                name: "",
                words: format!("{name} is no setting that can be changed here"),
            });
            continue;
        };
        let (wanted, in_force) = (config.wanted(field.key), config.entry(field.key));
        let is_held = held_by(config, field.key).is_some();
        // First, so that what a file allows and the form does not may stay as it is.
        if says(text, &wanted.value) || (is_held && says(text, &in_force.value)) {
            if WORKED_OUT.contains(&&*field.key.path()) && wanted.origin == keys::Origin::Default {
                explicit.push((field.key, wanted.value));
            }
            continue;
        }
        let value = match field.parse(text) {
            Ok(Some(value)) if value != wanted.value => value,
            Ok(_) => continue,
            Err(refusal) => {
                refused.push(refusal);
                continue;
            }
        };
        changed.push(field.key);
        match config.written(field.key).value == value {
            true => edits.unset(field.key),
            false => edits.set(field.key, value),
        }
    }
    // Who stops the pool from working them out means the numbers that stand beside it.
    let auto = key("rate_limits.auto_accept_rate_limits");
    if changed.contains(&auto) && edits.get(auto) == Some(&Value::Bool(false)) {
        for (key, value) in explicit {
            edits.set(key, value);
        }
    }
    if refused.is_empty() {
        refused = contradictions(config, &edits, &changed);
    }
    if refused.is_empty() { Ok(edits) } else { Err(refused) }
}

/// Whether a text in a form is this value.
fn says(text: &str, value: &Value) -> bool {
    let text = text.trim();
    match value {
        Value::Float(number) => text.parse() == Ok(*number),
        Value::Integer(number) => text.parse() == Ok(*number),
        value => Field::text(value) == text,
    }
}

fn refuse_protected(config: &Config, field: &Field, text: &str) -> Option<Refusal> {
    let text = text.trim();
    let is_port = field.key.name.ends_with("_listen") && !text.is_empty() && !text.contains(':');
    let text = if is_port { format!(":{text}") } else { text.to_owned() };
    let is_unchanged = says(&text, &config.entry(field.key).value)
        || says(&text, &config.written(field.key).value)
        || (text.is_empty() && matches!(field.key.default, Value::Float(_)));
    (!is_unchanged).then(|| Refusal {
        name: field.name,
        words: format!(
            "{} is protected: change it in {} and restart or reload",
            field.name,
            field.key.file.name()
        ),
    })
}

/// What fields must have in common, as far as one of them has been changed.
fn contradictions(config: &Config, edits: &Edits, changed: &[&'static Key]) -> Vec<Refusal> {
    let mut refused = Vec::new();
    let number = |path| {
        let key = key(path);
        match edits.get(key).unwrap_or(&config.written(key).value) {
            Value::Integer(number) => *number as f64,
            Value::Float(number) => *number,
            _ => 0.0,
        }
    };
    let mut check = |paths: &[&'static str], is_good: bool, words: String| {
        let mut of_these = changed.iter().filter(|key| paths.contains(&&*key.path()));
        if let Some(key) = of_these.next().filter(|_| !is_good) {
            let name = field_of(key).map_or("", |field| field.name);
            refused.push(Refusal { name, words });
        }
    };
    let (min_path, max_path) = ("difficulty.min_difficulty", "difficulty.max_difficulty");
    let default_path = "difficulty.default_difficulty";
    let (min, max, default) = (number(min_path), number(max_path), number(default_path));
    check(
        &[min_path, max_path],
        max == 0.0 || min <= max,
        format!("min_difficulty is {min}, allowed is at most max_difficulty, which is {max}"),
    );
    check(
        &[min_path, max_path, default_path],
        default == 0.0 || (default >= min && (max == 0.0 || default <= max)),
        format!("default_difficulty is {default}, allowed is 0, or {}", limits(min, max)),
    );
    let (whole, part) = ("mining.template_extra_nonce2_size", "mining.extranonce2_size");
    let (whole_size, part_size) = (number(whole), number(part));
    check(
        &[whole, part],
        whole_size >= part_size,
        format!(
            "template_extranonce2_size is {whole_size}, allowed is at least extranonce2_size, \
             which is {part_size}"
        ),
    );
    refused
}

fn limits(min: f64, max: f64) -> String {
    if max == 0.0 { format!("{min} or more") } else { format!("{min} to {max}") }
}

fn key(path: &str) -> &'static Key {
    keys::all().find(|key| key.path() == path).expect("the code names keys")
}

/// A setting that is another than before.
#[derive(Clone, Debug)]
pub struct Changed {
    pub key: &'static Key,
    pub before: String,
    pub after: String,
    /// What keeps it from being in force, though it would be written: a flag, or safe mode.
    pub held_by: Option<String>,
}

impl Changed {
    pub fn needs_restart(&self) -> bool {
        self.key.apply == keys::Apply::Restart
    }
}

/// What has been changed since the files were read.
pub fn unsaved(config: &Config) -> Vec<Changed> {
    let changed = |(key, _): (&'static Key, &Value)| Changed {
        key,
        before: config.written(key).to_string(),
        after: config.wanted(key).to_string(),
        held_by: held_by(config, key),
    };
    config.edits().iter().map(changed).collect()
}

/// The flag, or safe mode, that has the last word about a setting.
pub fn held_by(config: &Config, key: &Key) -> Option<String> {
    let origin = config.entry(key).origin;
    matches!(origin, keys::Origin::Flag(_) | keys::Origin::SafeMode).then(|| origin.to_string())
}

/// What is wanted now and was not wanted before.
pub fn difference(before: &Config, after: &Config) -> Vec<Changed> {
    let both = before.wanted_entries().into_iter().zip(after.wanted_entries());
    let is_other = |(old, new): &(keys::Entry, keys::Entry)| {
        // That a number is set at all means something where it is worked out otherwise.
        let was_set = old.origin != keys::Origin::Default;
        let is_set = new.origin != keys::Origin::Default;
        let path = new.key.path();
        old.value != new.value || (WORKED_OUT.contains(&&*path) && was_set != is_set)
    };
    both.filter(is_other)
        .map(|(old, new)| Changed {
            key: new.key,
            before: old.to_string(),
            after: new.to_string(),
            held_by: held_by(after, new.key),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Folder, PAYOUT};
    use super::*;
    use crate::config::keys::Origin;

    fn folder(tuning: &str) -> Folder {
        Folder::with(&[("config.toml", PAYOUT), ("tuning.toml", tuning)])
    }

    /// What a form makes of the configuration, and what it says is new.
    fn changed(
        folder: &Folder,
        flags: &[&str],
        form: &[(&str, &str)],
    ) -> Result<(Config, Vec<String>), Vec<String>> {
        let before = folder.load(flags).unwrap();
        let told =
            |refused: Vec<Refusal>| refused.iter().map(ToString::to_string).collect::<Vec<_>>();
        let edits = read(&before, form.iter().copied()).map_err(told)?;
        let after = folder.loader(flags).with_edits(&before, edits).unwrap();
        let difference = difference(&before, &after);
        let lines = difference.iter().map(|c| format!("{} {} {}", c.key.name, c.before, c.after));
        Ok((after, lines.collect()))
    }

    #[track_caller]
    fn refused(tuning: &str, form: &[(&str, &str)], expected: &[&str]) {
        assert_eq!(changed(&folder(tuning), &[], form).unwrap_err(), expected);
    }

    #[test]
    fn every_row_names_one_key_and_every_name_one_field() {
        let all: Vec<&Field> = fields().iter().chain(protected()).collect();
        assert_eq!(all.len(), CHANGEABLE.len() + PROTECTED.len());
        for field in &all {
            let same = all.iter().filter(|other| other.name == field.name);
            assert_eq!(same.count(), 1, "{}", field.name);
            let path = field.key.path();
            assert_eq!(keys::all().filter(|key| key.path() == path).count(), 1, "{path}");
        }
    }

    #[test]
    fn what_is_changed_is_in_force_and_comes_from_the_panel() {
        let form = [
            ("min_difficulty", "1024.123456789012"),
            ("status_tagline", " Ours "),
            ("fiat_currency", "EUR"),
            ("mempool_address_url", "https://mempool.example/address"),
            ("vardiff_enabled", "false"),
            ("peer_cleanup_min_peers", ""),
            ("share_allow_version_mask_mismatch", "on"),
        ];
        let (config, lines) = changed(&folder(""), &[], &form).unwrap();
        assert_eq!(config.settings.difficulty.min, 1024.123456789012);
        assert_eq!((&*config.shown.tagline, &*config.fiat_currency), ("Ours", "eur"));
        assert_eq!(config.entry(key("difficulty.min_difficulty")).origin, Origin::Panel);
        assert!(!config.settings.vardiff.enabled);
        assert!(config.settings.shares.allow_out_of_mask_version_bits);
        assert_eq!(lines.len(), 6, "{lines:?}");
        assert!(lines.contains(&"min_difficulty 256.0 1024.123456789012".to_owned()), "{lines:?}");
    }

    #[test]
    fn each_field_changes_its_setting() {
        let folder = folder("");
        let before = folder.load(&[]).unwrap();
        for field in fields() {
            let text = match (&field.key.default, field.limit) {
                (Value::Bool(on), _) => (!on).to_string(),
                (Value::Integer(number), _) => (number + 1).to_string(),
                // The limits of difficulties, which must fit the others.
                (Value::Float(0.0), _) => 500.5.to_string(),
                (Value::Float(number), _) => (number + 0.5).to_string(),
                (_, Limit::Currency) => "chf".to_owned(),
                _ => "https://elsewhere.example/".to_owned(),
            };
            // Off, or not so low.
            let text = if field.name == "stratum_messages_per_minute" { "10" } else { &text };
            let edits = read(&before, [(field.name, text)]).unwrap();
            let after = folder.loader(&[]).with_edits(&before, edits).unwrap();
            let entry = after.entry(field.key);
            assert_eq!((Field::text(&entry.value), entry.origin), (text.to_owned(), Origin::Panel));
            assert_eq!(difference(&before, &after).len(), 1, "{}", field.name);
        }
    }

    #[test]
    fn what_is_so_already_is_no_change_and_going_back_is_none_either() {
        // Some of it is more than the form would take.
        let tuning = "[difficulty]\nmin_difficulty = 0.1\ntarget_shares_per_min = 200\n\
                      [rate_limits]\nmax_conns = 3\n";
        let folder = folder(tuning);
        let before = folder.load(&[]).unwrap();
        // The whole form, as it stands there.
        let texts: Vec<(&str, String)> = (fields().iter().chain(protected()))
            .map(|field| (field.name, Field::text(&before.wanted(field.key).value)))
            .collect();
        let form: Vec<_> = texts.iter().map(|(name, text)| (*name, text.as_str())).collect();
        assert!(read(&before, form).unwrap().is_empty());
        let edits = read(&before, [("min_difficulty", "2")]).unwrap();
        let after = folder.loader(&[]).with_edits(&before, edits).unwrap();
        assert!(read(&after, [("min_difficulty", "0.1")]).unwrap().is_empty());
        assert!(!read(&after, [("min_difficulty", "2")]).unwrap().is_empty(), "it is kept");
    }

    #[test]
    fn a_flag_holds_what_the_panel_changes_and_is_no_change_itself() {
        let folder = folder("");
        let flags = ["-max-conns", "7"];
        let (config, _) = changed(&folder, &flags, &[("max_conns", "100")]).unwrap();
        assert_eq!(config.settings.connections_max, 7);
        assert_eq!(config.wanted(key("rate_limits.max_conns")).value, Value::Integer(100));
        let before = folder.load(&flags).unwrap();
        let edits = read(&before, [("max_conns", "100")]).unwrap();
        let after = folder.loader(&flags).with_edits(&before, edits).unwrap();
        assert_eq!(difference(&before, &after)[0].held_by.as_deref(), Some("-max-conns"));
        assert!(read(&before, [("max_conns", "7")]).unwrap().is_empty());
    }

    #[test]
    fn everything_that_is_wrong_is_said_with_its_field() {
        let form = [
            ("min_difficulty", "-1"),
            ("target_shares_per_min", "121"),
            ("max_conns", "9"),
            ("job_entropy", "x"),
            ("fiat_currency", "dollar"),
            ("github_url", "javascript:alert(1)"),
            ("status_tagline", "a\nb"),
            ("vardiff_enabled", "maybe"),
            ("min_dificulty", "3"),
        ];
        let expected = [
            "min_difficulty is \"-1\", allowed is 0 or more",
            "target_shares_per_min is \"121\", allowed is 0.1 to 120",
            "max_conns is \"9\", allowed is 0 (off), or 10 to 1000000",
            "job_entropy is \"x\", allowed is a whole number",
            "fiat_currency is \"dollar\", allowed is three or four letters, such as usd",
            "github_url is \"javascript:alert(1)\", allowed is a URL of http or https, or nothing",
            "status_tagline is \"a\\nb\", allowed is one line of up to 256 characters",
            "vardiff_enabled is \"maybe\", allowed is true or false",
            "min_dificulty is no setting that can be changed here",
        ];
        refused("", &form, &expected);
        for number in ["NaN", "inf", "1e999", "0x10"] {
            changed(&folder(""), &[], &[("hashrate_ema_tau_seconds", number)]).unwrap_err();
        }
    }

    #[test]
    fn every_range_is_kept_at_both_of_its_ends() {
        let folder = folder("");
        let before = folder.load(&[]).unwrap();
        for field in fields() {
            let (min, max) = match field.limit {
                Limit::Within(min, max) | Limit::OffOr(min, max) => (min, max),
                _ => continue,
            };
            let is_off_allowed = matches!(field.limit, Limit::OffOr(..));
            let takes = |number: f64| field.parse(&number.to_string()).is_ok();
            let step = if matches!(field.key.default, Value::Float(_)) { 0.01 } else { 1.0 };
            assert!(takes(min) && takes(max) && !takes(max + step), "{}", field.name);
            assert_eq!(takes(min - step), is_off_allowed && min - step == 0.0, "{}", field.name);
            assert_eq!(takes(0.0), is_off_allowed, "{}", field.name);
            assert!(field.parse("").unwrap().is_none());
        }
        // 0 reads the same when it comes from the file.
        let off = [("ban_invalid_submissions_after", "0"), ("reconnect_ban_threshold", "0")];
        assert_eq!(read(&before, off).unwrap().iter().count(), 2);
    }

    #[test]
    fn limits_that_contradict_each_other_are_refused_by_whichever_field() {
        let told = "min_difficulty is 10, allowed is at most max_difficulty, which is 5";
        refused("", &[("min_difficulty", "10"), ("max_difficulty", "5")], &[told]);
        let tuning = "[difficulty]\nmin_difficulty = 10\ndefault_difficulty = 10\n";
        let told_default = "default_difficulty is 10, allowed is 0, or 10 to 5";
        refused(tuning, &[("max_difficulty", "5")], &[told, told_default]);
        let told = "default_difficulty is 1, allowed is 0, or 10 or more";
        refused(tuning, &[("default_difficulty", "1")], &[told]);
        let told =
            "template_extranonce2_size is 2, allowed is at least extranonce2_size, which is 4";
        refused("", &[("template_extranonce2_size", "2")], &[told]);
        // What is so already keeps nobody from changing something else.
        let tuning = "[difficulty]\nmin_difficulty = 10\nmax_difficulty = 5\n";
        changed(&folder(tuning), &[], &[("job_entropy", "3")]).unwrap();
    }

    #[test]
    fn protected_settings_are_refused_unless_they_stay_as_they_are() {
        let form = [
            ("payout_address", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"),
            ("pool_fee_percent", "2.00"),
            ("pool_listen", "3333"),
            ("status_brand_name", ""),
        ];
        assert!(changed(&folder(""), &[], &form).unwrap().1.is_empty());
        let form = [
            ("payout_address", "bc1qother"),
            ("pool_fee_percent", "3"),
            ("pool_listen", "3334"),
            ("status_brand_name", "Theirs"),
            ("min_difficulty", "1"),
        ];
        let refused = changed(&folder(""), &[], &form).unwrap_err();
        assert_eq!(refused.len(), 4, "{refused:?}");
        let told = "pool_listen is protected: change it in config.toml and restart or reload";
        assert_eq!(refused[2], told);
    }

    #[test]
    fn a_blank_text_is_what_it_will_be_when_it_is_read_from_a_file() {
        let folder = Folder::with(&[(
            "config.toml",
            &format!("[branding]\nstatus_tagline = \"Ours\"\n{PAYOUT}"),
        )]);
        let (config, _) = changed(&folder, &[], &[("status_tagline", "")]).unwrap();
        assert_eq!(config.shown.tagline, "Solo Mining Pool");
        let (config, _) = changed(&folder, &[], &[("mempool_address_url", " ")]).unwrap();
        assert!(config.edits().is_empty());
    }

    #[test]
    fn without_automatic_limits_the_numbers_beside_the_switch_count() {
        let folder = folder("");
        let form = [("auto_accept_rate_limits", "false"), ("max_accept_burst", "1000")];
        let (config, lines) = changed(&folder, &[], &form).unwrap();
        assert_eq!(config.accept.numbers().burst, 1000);
        assert_eq!(lines.len(), 2, "{lines:?}");
        let (config, _) = changed(&folder, &[], &form[1..]).unwrap();
        assert_eq!(config.accept.numbers().burst, 16_666);
    }
}
