//! What the pool runs with and the defaults would not say, for whoever looks after it: each setting
//! by one name, with where it comes from. Without secrets (`web.md` §6.10).

use serde_json::{Map, Value as Json, json};

use super::Config;
use super::keys::{self, Entry, Key, Shown, Value};
use crate::privacy::without_credentials;

/// A setting that is not as it would be by itself.
#[derive(Clone, Debug)]
pub struct Effective {
    pub name: String,
    pub key: &'static Key,
    pub value: Json,
    pub default: Json,
    /// `default`, `tuning.toml:12`, `panel`, a flag, `safe mode`.
    pub source: String,
}

/// How a value is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    AsIs,
    /// Seconds, as `12h0m0s`.
    Duration,
    /// Only whether there is one.
    IsSet,
}

/// Names that programs know these settings by. Those that are not here follow under their own.
#[rustfmt::skip]
const NAMES: &[(&str, &str, Form)] = &[
    ("listen_addr", "server.pool_listen", Form::AsIs),
    ("status_addr", "server.status_listen", Form::AsIs),
    ("status_tls_listen", "server.status_tls_listen", Form::AsIs),
    ("status_brand_name", "branding.status_brand_name", Form::AsIs),
    ("status_brand_domain", "branding.status_brand_domain", Form::AsIs),
    ("status_tagline", "branding.status_tagline", Form::AsIs),
    ("status_connect_miner_title_extra", "branding.status_connect_miner_title_extra", Form::AsIs),
    ("status_connect_miner_title_extra_url", "branding.status_connect_miner_title_extra_url", Form::AsIs),
    ("fiat_currency", "branding.fiat_currency", Form::AsIs),
    ("pool_donation_address", "branding.pool_donation_address", Form::AsIs),
    ("discord_url", "discord.discord_url", Form::AsIs),
    ("discord_worker_notify_threshold_seconds", "discord.worker_notify_threshold_seconds", Form::AsIs),
    ("github_url", "status.github_url", Form::AsIs),
    ("server_location", "branding.server_location", Form::AsIs),
    ("stratum_tls_listen", "stratum.stratum_tls_listen", Form::AsIs),
    ("safe_mode", "stratum.safe_mode", Form::AsIs),
    ("ckpool_emulate", "stratum.ckpool_emulate", Form::AsIs),
    ("stratum_tcp_read_buffer_bytes", "stratum.tcp_read_buffer_bytes", Form::AsIs),
    ("stratum_tcp_write_buffer_bytes", "stratum.tcp_write_buffer_bytes", Form::AsIs),
    ("clerk_issuer_url", "auth.clerk_issuer_url", Form::AsIs),
    ("clerk_jwks_url", "auth.clerk_jwks_url", Form::AsIs),
    ("clerk_signin_url", "auth.clerk_signin_url", Form::AsIs),
    ("clerk_callback_path", "auth.clerk_callback_path", Form::AsIs),
    ("clerk_frontend_api_url", "auth.clerk_frontend_api_url", Form::AsIs),
    ("clerk_session_cookie_name", "auth.clerk_session_cookie_name", Form::AsIs),
    ("rpc_url", "node.rpc_url", Form::AsIs),
    ("rpc_user", "rpc_user", Form::AsIs),
    ("rpc_pass_set", "rpc_pass", Form::IsSet),
    ("payout_address", "node.payout_address", Form::AsIs),
    ("pool_fee_percent", "mining.pool_fee_percent", Form::AsIs),
    ("operator_donation_percent", "mining.operator_donation_percent", Form::AsIs),
    ("operator_donation_address", "mining.operator_donation_address", Form::AsIs),
    ("operator_donation_name", "mining.operator_donation_name", Form::AsIs),
    ("operator_donation_url", "mining.operator_donation_url", Form::AsIs),
    ("extranonce2_size", "mining.extranonce2_size", Form::AsIs),
    ("template_extranonce2_size", "mining.template_extra_nonce2_size", Form::AsIs),
    ("job_entropy", "mining.job_entropy", Form::AsIs),
    ("coinbase_scriptsig_max_bytes", "mining.coinbase_scriptsig_max_bytes", Form::AsIs),
    ("zmq_hashblock_addr", "node.zmq_hashblock_addr", Form::AsIs),
    ("zmq_rawblock_addr", "node.zmq_rawblock_addr", Form::AsIs),
    ("backblaze_backup_enabled", "backblaze_backup.enabled", Form::AsIs),
    ("backblaze_bucket", "backblaze_backup.bucket", Form::AsIs),
    ("backblaze_prefix", "backblaze_backup.prefix", Form::AsIs),
    ("backblaze_backup_interval", "backblaze_backup.interval_seconds", Form::Duration),
    ("saved_worker_history_flush_interval", "hashrate.saved_worker_history_flush_interval_seconds", Form::Duration),
    ("backblaze_keep_local_copy", "backblaze_backup.keep_local_copy", Form::AsIs),
    ("backblaze_force_every_interval", "backblaze_backup.force_every_interval", Form::AsIs),
    ("backup_snapshot_path", "backblaze_backup.snapshot_path", Form::AsIs),
    ("max_conns", "rate_limits.max_conns", Form::AsIs),
    ("max_accepts_per_second", "rate_limits.max_accepts_per_second", Form::AsIs),
    ("max_accept_burst", "rate_limits.max_accept_burst", Form::AsIs),
    ("disable_connect_rate_limits", "rate_limits.disable_connect_rate_limits", Form::AsIs),
    ("auto_accept_rate_limits", "rate_limits.auto_accept_rate_limits", Form::AsIs),
    ("accept_reconnect_window", "rate_limits.accept_reconnect_window", Form::AsIs),
    ("accept_burst_window", "rate_limits.accept_burst_window", Form::AsIs),
    ("accept_steady_state_window", "rate_limits.accept_steady_state_window", Form::AsIs),
    ("accept_steady_state_rate", "rate_limits.accept_steady_state_rate", Form::AsIs),
    ("accept_steady_state_reconnect_percent", "rate_limits.accept_steady_state_reconnect_percent", Form::AsIs),
    ("accept_steady_state_reconnect_window", "rate_limits.accept_steady_state_reconnect_window", Form::AsIs),
    ("stratum_messages_per_minute", "rate_limits.stratum_messages_per_minute", Form::AsIs),
    ("connection_timeout", "timeouts.connection_timeout_seconds", Form::Duration),
    ("min_version_bits", "version.min_version_bits", Form::AsIs),
    ("share_allow_out_of_mask_version_bits", "version.share_allow_out_of_mask_version_bits", Form::AsIs),
    ("share_allow_degraded_version_bits", "version.share_allow_degraded_version_bits", Form::AsIs),
    ("bip110_enabled", "version.bip110_enabled", Form::AsIs),
    ("max_difficulty", "difficulty.max_difficulty", Form::AsIs),
    ("min_difficulty", "difficulty.min_difficulty", Form::AsIs),
    ("target_shares_per_min", "difficulty.target_shares_per_min", Form::AsIs),
    ("vardiff_enabled", "difficulty.vardiff_enabled", Form::AsIs),
    ("lock_suggested_difficulty", "difficulty.lock_suggested_difficulty", Form::AsIs),
    ("difficulty_step_granularity", "mining.difficulty_step_granularity", Form::AsIs),
    ("share_job_freshness_mode", "mining.share_job_freshness_mode", Form::AsIs),
    ("share_check_ntime_window", "mining.share_check_ntime_window", Form::AsIs),
    ("share_check_version_rolling", "mining.share_check_version_rolling", Form::AsIs),
    ("share_require_authorized_connection", "mining.share_require_authorized_connection", Form::AsIs),
    ("share_check_param_format", "mining.share_check_param_format", Form::AsIs),
    ("share_require_worker_match", "mining.share_require_worker_match", Form::AsIs),
    ("submit_process_inline", "mining.submit_process_inline", Form::AsIs),
    ("hashrate_ema_tau_seconds", "hashrate.hashrate_ema_tau_seconds", Form::AsIs),
    ("share_ntime_max_forward_seconds", "hashrate.share_ntime_max_forward_seconds", Form::AsIs),
    ("share_check_duplicate", "mining.share_check_duplicate", Form::AsIs),
    ("log_debug", "logging.debug", Form::AsIs),
    ("log_net_debug", "logging.net_debug", Form::AsIs),
    ("clean_expired_bans_on_startup", "bans.clean_expired_on_startup", Form::AsIs),
    ("ban_invalid_submissions_after", "bans.ban_invalid_submissions_after", Form::AsIs),
    ("ban_invalid_submissions_window", "bans.ban_invalid_submissions_window_seconds", Form::Duration),
    ("ban_invalid_submissions_duration", "bans.ban_invalid_submissions_duration_seconds", Form::Duration),
    ("reconnect_ban_threshold", "bans.reconnect_ban_threshold", Form::AsIs),
    ("reconnect_ban_window_seconds", "bans.reconnect_ban_window_seconds", Form::AsIs),
    ("reconnect_ban_duration_seconds", "bans.reconnect_ban_duration_seconds", Form::AsIs),
    ("banned_miner_types", "bans.banned_miner_types", Form::AsIs),
    ("peer_cleanup_enabled", "peer_cleaning.enabled", Form::AsIs),
    ("peer_cleanup_max_ping_ms", "peer_cleaning.max_ping_ms", Form::AsIs),
    ("peer_cleanup_min_peers", "peer_cleaning.min_peers", Form::AsIs),
];

/// Drawn by chance unless somebody sets it: never a difference.
const LEFT_OUT: &str = "mining.pool_entropy";

/// All that differs from the defaults, in the order of [`NAMES`], then of the files.
pub fn effective(config: &Config) -> Vec<Effective> {
    let named = NAMES.iter().map(|(name, path, form)| {
        let key = keys::named(path);
        (key, (*name).to_owned(), *form)
    });
    let others = keys::all()
        .filter(|key| {
            let path = key.path();
            path != LEFT_OUT && !NAMES.iter().any(|(_, named, _)| *named == path)
        })
        .map(|key| match key.shown {
            Shown::Secret => (key, format!("{}_set", key.name), Form::IsSet),
            _ if NAMES.iter().any(|(name, ..)| *name == key.name) || is_ambiguous(key) => {
                (key, key.path().replace('.', "_"), Form::AsIs)
            }
            _ => (key, key.name.to_owned(), Form::AsIs),
        });
    named
        .chain(others)
        .filter_map(|(key, name, form)| {
            let (value, source) = in_force(config, key);
            (value != key.default).then(|| Effective {
                name,
                key,
                value: shown(&value, form),
                default: shown(&key.default, form),
                source,
            })
        })
        .collect()
}

/// The same as one object, with an object of the sources at its end.
pub fn to_json(settings: &[Effective]) -> Json {
    let value = |setting: &Effective| (setting.name.clone(), setting.value.clone());
    let source = |setting: &Effective| (setting.name.clone(), json!(setting.source));
    let mut object: Map<String, Json> = settings.iter().map(value).collect();
    object.insert("sources".to_owned(), Json::Object(settings.iter().map(source).collect()));
    Json::Object(object)
}

fn is_ambiguous(key: &Key) -> bool {
    keys::all().filter(|other| other.name == key.name).count() > 1
}

fn in_force(config: &Config, key: &Key) -> (Value, String) {
    match worked_out(config, key) {
        Some(number) => (Value::Integer(number), "worked out from max_conns".to_owned()),
        None => {
            let Entry { value, origin, .. } = config.entry(key);
            (value.clone(), origin.to_string())
        }
    }
}

/// What the pool has worked out for a limit of new connections that nobody has set.
pub fn worked_out(config: &Config, key: &Key) -> Option<i64> {
    config.accept.rates()?;
    let numbers = config.accept.numbers();
    let number = match &*key.path() {
        "rate_limits.max_accepts_per_second" => numbers.per_second,
        "rate_limits.max_accept_burst" => numbers.burst,
        "rate_limits.accept_steady_state_rate" => numbers.steady_per_second,
        _ => return None,
    };
    (Value::Integer(number) != config.entry(key).value).then_some(number)
}

fn shown(value: &Value, form: Form) -> Json {
    match (value, form) {
        (Value::Text(text), Form::IsSet) => json!(!text.is_empty()),
        (Value::Integer(seconds), Form::Duration) => json!(duration(*seconds)),
        // A text may be a URL, and a URL may hold a password.
        (Value::Text(text), _) => json!(without_credentials(text)),
        (Value::Bool(value), _) => json!(value),
        (Value::Integer(value), _) => json!(value),
        (Value::Float(value), _) => json!(value),
        (Value::Texts(texts), _) => json!(texts),
    }
}

/// `12h0m0s`, `3m0s`, `45s`.
fn duration(seconds: i64) -> String {
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m{rest}s"),
        _ => format!("{hours}h{minutes}m{rest}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Folder, PAYOUT};
    use super::*;

    fn json_of(files: &[(&str, &str)], flags: &[&str]) -> Json {
        to_json(&effective(&Folder::with(files).load(flags).unwrap()))
    }

    #[test]
    fn every_key_has_one_name_and_every_name_one_key() {
        for (_, named, _) in NAMES {
            assert_eq!(keys::all().filter(|key| key.path() == *named).count(), 1, "{named}");
        }
        let mut names: Vec<&str> = NAMES.iter().map(|(name, ..)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), NAMES.len());
    }

    #[test]
    fn only_what_differs_is_there_with_where_it_comes_from() {
        let files = [
            ("config.toml", PAYOUT),
            ("tuning.toml", "[rate_limits]\nmax_conns = 100\n[difficulty]\nmin_difficulty = 0\n"),
            ("policy.toml", "[timeouts]\nconnection_timeout_seconds = 3723\n"),
            ("services.toml", "[status]\ngithub_url = \"https://a:b@git.example/x\"\n"),
        ];
        let json = json_of(&files, &["-status", ":8080"]);
        let expected = json!({
            "status_addr": ":8080",
            "github_url": "https://git.example/x",
            "payout_address": "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
            "max_conns": 100,
            "max_accepts_per_second": 10,
            "max_accept_burst": 33,
            "accept_steady_state_rate": 5,
            "connection_timeout": "1h2m3s",
            // Not empty, zero and false because it is the default, but because somebody said so.
            "min_difficulty": 0.0,
            "sources": {
                "status_addr": "-status",
                "github_url": "services.toml:2",
                "payout_address": "config.toml:2",
                "max_conns": "tuning.toml:2",
                "max_accepts_per_second": "worked out from max_conns",
                "max_accept_burst": "worked out from max_conns",
                "accept_steady_state_rate": "worked out from max_conns",
                "connection_timeout": "policy.toml:2",
                "min_difficulty": "tuning.toml:4",
            },
        });
        assert_eq!(json, expected, "{json:#}");
    }

    #[test]
    fn no_secret_is_shown_whichever_file_it_is_in() {
        let secrets: String = keys::all()
            .filter(|key| key.file == keys::File::Secrets)
            .map(|key| format!("{} = \"hunter2\"\n", key.name))
            .collect();
        let config = format!(
            "{PAYOUT}rpc_url = \"http://me:hunter2@node.example:8332\"\n\
             [stratum]\nstratum_password = \"hunter2\"\n"
        );
        let secrets = secrets.replace("rpc_user = \"hunter2\"", "rpc_user = \"me\"");
        let json = json_of(&[("config.toml", &config), ("secrets.toml", &secrets)], &[]);
        assert!(!json.to_string().contains("hunter2"), "{json:#}");
        assert_eq!(json["rpc_url"], "http://node.example:8332");
        assert_eq!((&json["rpc_user"], &json["rpc_pass_set"]), (&json!("me"), &json!(true)));
        for name in ["stratum_password_set", "discord_token_set", "backblaze_account_id_set"] {
            assert_eq!(json[name], true, "{name}");
        }
    }
}
