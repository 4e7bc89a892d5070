//! The settings as fields of the panel's form: which there are, what a person calls them and what
//! they take (`web.md` §6.5).

use std::fmt;
use std::sync::LazyLock;

use ureq::http::Uri;

use super::keys::{self, Allowed, Key, Value};

/// Longest text that a field takes.
const TEXT_CHARS_MAX: usize = 256;

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
        let key = keys::named(path);
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
    pub(super) fn is_called(&self, name: &str) -> bool {
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
                let default = Self::text(&self.key.default);
                Some(format!("a URL of http or https; empty is {default}"))
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
    pub(super) fn parse(&self, text: &str) -> Result<Option<Value>, Refusal> {
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
            Limit::Url | Limit::UrlPrefix if text.is_empty() => String::new(),
            Limit::Url if is_url(text) => text.to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn every_range_is_kept_at_both_of_its_ends() {
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
    }
}
