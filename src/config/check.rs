//! What the files say, checked value by value.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gopool_shards::admission::auto_limits::AcceptKeys;
use gopool_shards::admission::ban::BanRules;
use gopool_shards::admission::reconnect::ReconnectRules;
use gopool_shards::limits::{COINBASE_SCRIPT_BYTES_MAX, EXTRANONCE2_BYTES_MAX};
use gopool_shards::session::meter::HashrateSettings;
use gopool_shards::session::vardiff::VarDiffSettings;
use gopool_shards::settings::{DifficultySettings, Freshness, Settings, SharePolicy, TcpBuffers};
use gopool_shards::work::address::{Network, script_for};
use gopool_shards::work::job::JobInputs;
use gopool_shards::work::payout::{Donation, PayoutPolicy};
use gopool_shards::work::tag::brand_tag;

use crate::cli::Flags;
use crate::node::zmq;

use super::raw::{
    RawConfig, RawMining, RawNode, RawPolicy, RawTuning, RawTuningStratum, RawVersionBits,
};
use super::{Config, ConfigError, RpcAuth};
use crate::store::EndedBans;

const DEFAULT_RPC_URL: &str = "http://127.0.0.1:8332";
const DEFAULT_ZMQ_HASHBLOCK: &str = "tcp://127.0.0.1:28334";
const DEFAULT_ZMQ_RAWBLOCK: &str = "tcp://127.0.0.1:28332";
/// What `-network` fills in where both addresses are blank (`config.md` §4.1).
const NETWORK_ZMQ: &str = "tcp://127.0.0.1:28332";
/// Difficulty of `-flood`: any hash is a share.
const FLOOD_DIFFICULTY: f64 = 1e-10;
const JOB_ENTROPY_MAX: i64 = 16;
const POOL_ENTROPY_CHARACTERS: usize = 4;

pub(super) struct Files {
    pub config: RawConfig,
    pub policy: RawPolicy,
    pub tuning: RawTuning,
    pub version_bits: RawVersionBits,
}

pub(super) fn check(files: Files, flags: &Flags) -> Result<Config, ConfigError> {
    let Files { config, mut policy, mut tuning, version_bits } = files;
    if flags.safe_mode.unwrap_or(config.stratum.safe_mode) {
        apply_safe_mode(&mut policy, &mut tuning);
    }
    let network = flags.network();
    let payout_address: String =
        config.node.payout_address.chars().filter(char::is_ascii_alphanumeric).collect();
    let payout = payout_policy(&config.mining, &payout_address, network)?;
    let job_inputs = job_inputs(&config, &policy, &tuning, &version_bits, payout)?;
    let settings = settings(&config, &policy, &tuning, flags, job_inputs.extranonce2_size)?;
    let job_entropy = match tuning.mining.job_entropy {
        _ if tuning.mining.disable_pool_job_entropy => 0,
        count @ 0..=JOB_ENTROPY_MAX => count as usize,
        found => return Err(value("tuning: mining.job_entropy", found, "0 to 16")),
    };
    let stratum_listen =
        flags.listen.as_deref().or(config.server.pool_listen.as_deref()).unwrap_or(":3333");
    let status_listen = match flags.status.as_deref().or(config.server.status_listen.as_deref()) {
        Some("") => None,
        Some(address) => Some(address),
        None => Some(":80"),
    };
    Ok(Config {
        network,
        data_dir: flags.data_dir.clone(),
        stratum_listen: listen_address("server.pool_listen", stratum_listen)?,
        stratum_tls_listen: stratum_tls_listen(&config, flags)?,
        status_listen: status_listen
            .map(|address| listen_address("server.status_listen", address))
            .transpose()?,
        brand_name: config.branding.status_brand_name.trim().to_owned(),
        tagline: config.branding.status_tagline.unwrap_or_else(|| "Solo Mining Pool".into()),
        rpc_url: rpc_url(&config.node, flags)?,
        rpc_auth: rpc_auth(&config.node, flags),
        zmq: zmq_endpoints(&config.node, flags),
        payout_address,
        accept: accept_keys(&tuning, settings.connections_max),
        reconnects: reconnect_rules(&policy)?,
        ended_bans: if policy.bans.clean_expired_on_startup {
            EndedBans::Delete
        } else {
            EndedBans::Keep
        },
        settings,
        job_inputs,
        job_entropy,
        shards: shard_count(&tuning, flags)?,
        debug: config.logging.debug || flags.debug,
        stdout: flags.stdout,
    })
}

fn value(key: &'static str, found: impl ToString, allowed: &'static str) -> ConfigError {
    ConfigError::Value { key, found: found.to_string(), allowed }
}

fn payout_policy(
    mining: &RawMining,
    payout_address: &str,
    network: Network,
) -> Result<PayoutPolicy, ConfigError> {
    let script = |key, address: &str| {
        script_for(address, network).map_err(|source| ConfigError::Address {
            key,
            found: format!("{address:?}"),
            network,
            source,
        })
    };
    let fee_percent = mining.pool_fee_percent;
    if !(0.0..100.0).contains(&fee_percent) {
        return Err(value("mining.pool_fee_percent", fee_percent, "0 to less than 100"));
    }
    let percent = mining.operator_donation_percent;
    if !(0.0..=100.0).contains(&percent) {
        return Err(value("mining.operator_donation_percent", percent, "0 to 100"));
    }
    let donation = if percent > 0.0 {
        let address = mining.operator_donation_address.trim();
        let script = script("mining.operator_donation_address", address)?;
        Some(Donation { script, percent })
    } else {
        None
    };
    Ok(PayoutPolicy {
        pool_script: script("node.payout_address", payout_address)?,
        fee_percent,
        donation,
    })
}

fn job_inputs(
    config: &RawConfig,
    policy: &RawPolicy,
    tuning: &RawTuning,
    version_bits: &RawVersionBits,
    payout: PayoutPolicy,
) -> Result<JobInputs, ConfigError> {
    let size = tuning.mining.extranonce2_size;
    let extranonce2_size = usize::try_from(size)
        .ok()
        .filter(|size| (1..=EXTRANONCE2_BYTES_MAX).contains(size))
        .ok_or_else(|| value("tuning: mining.extranonce2_size", size, "1 to 16"))?;
    let room = tuning.mining.template_extra_nonce2_size;
    let room_key = "tuning: mining.template_extra_nonce2_size";
    let template_extranonce2_size = usize::try_from(room.max(0))
        .ok()
        .filter(|room| *room <= 71)
        .ok_or_else(|| value(room_key, room, "up to 71"))?;
    let limit = tuning.mining.coinbase_scriptsig_max_bytes;
    let script_bytes_max = usize::try_from(limit)
        .map_err(|_| value("tuning: mining.coinbase_scriptsig_max_bytes", limit, "0 or more"))?
        .min(COINBASE_SCRIPT_BYTES_MAX);
    let mut overrides = Vec::new();
    for entry in &version_bits.bits {
        match u32::try_from(entry.bit) {
            Ok(bit @ 0..=31) => overrides.push((bit, entry.enabled)),
            _ => return Err(value("version_bits: bits.bit", entry.bit, "0 to 31")),
        }
    }
    Ok(JobInputs {
        payout: Arc::new(payout),
        brand_tag: brand_tag(&config.mining.pooltag_prefix),
        pool_entropy: pool_entropy(config.mining.pool_entropy.as_deref())?,
        script_bytes_max,
        extranonce2_size,
        template_extranonce2_size,
        bip110_enabled: policy.version.bip110_enabled,
        version_bits: overrides,
    })
}

/// As configured, or drawn anew for this run.
fn pool_entropy(configured: Option<&str>) -> Result<String, ConfigError> {
    match configured {
        None | Some("") => Ok(crate::entropy::letters_and_digits(POOL_ENTROPY_CHARACTERS)),
        Some(text)
            if text.len() == POOL_ENTROPY_CHARACTERS
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) =>
        {
            Ok(text.to_owned())
        }
        Some(text) => Err(value("mining.pool_entropy", text, "4 letters or digits")),
    }
}

fn settings(
    config: &RawConfig,
    policy: &RawPolicy,
    tuning: &RawTuning,
    flags: &Flags,
    extranonce2_size: usize,
) -> Result<Settings, ConfigError> {
    let password = config.stratum.stratum_password.trim();
    if config.stratum.stratum_password_enabled && password.is_empty() {
        let allowed = "a password while stratum_password_enabled is true";
        return Err(value("stratum.stratum_password", "empty", allowed));
    }
    let seconds = policy.timeouts.connection_timeout_seconds;
    let idle_timeout = match u64::try_from(seconds) {
        Ok(seconds @ 30..) => Duration::from_secs(seconds),
        _ => {
            let key = "policy: timeouts.connection_timeout_seconds";
            return Err(value(key, seconds, "30 or more"));
        }
    };
    let connections =
        if flags.max_conns >= 0 { flags.max_conns } else { tuning.rate_limits.max_conns };
    let connections_max = usize::try_from(connections)
        .map_err(|_| value("tuning: rate_limits.max_conns", connections, "0 or more"))?;
    let bits = policy.version.min_version_bits;
    let min_version_bits = match u32::try_from(bits.max(1)) {
        Ok(bits @ 1..=16) => bits,
        _ => return Err(value("policy: version.min_version_bits", bits, "0 to 16")),
    };
    Ok(Settings {
        network: flags.network(),
        version: env!("CARGO_PKG_VERSION"),
        ckpool_emulate: flags
            .ckpool_emulate
            .filter(|_| !is_safe(config, flags))
            .unwrap_or(policy.stratum.ckpool_emulate),
        password: config.stratum.stratum_password_enabled.then(|| password.to_owned()),
        extranonce2_size,
        min_version_bits,
        tcp_buffers: tcp_buffers(tuning)?,
        connections_max,
        messages_per_minute: count(
            "tuning: rate_limits.stratum_messages_per_minute",
            tuning.rate_limits.stratum_messages_per_minute,
        )?,
        banned_clients: policy
            .bans
            .banned_miner_types
            .iter()
            .map(|entry| entry.trim().to_ascii_lowercase())
            .filter(|entry| !entry.is_empty())
            .collect(),
        bans: ban_rules(policy)?,
        idle_timeout,
        difficulty: difficulty(tuning, flags)?,
        vardiff: VarDiffSettings {
            enabled: tuning.difficulty.vardiff_enabled,
            target_shares_per_min: target_shares_per_min(tuning)?,
            idle_timeout,
        },
        hashrate: hashrate(tuning)?,
        shares: share_policy(policy)?,
    })
}

fn difficulty(tuning: &RawTuning, flags: &Flags) -> Result<DifficultySettings, ConfigError> {
    let raw = &tuning.difficulty;
    for (key, found) in [
        ("tuning: difficulty.default_difficulty", raw.default_difficulty),
        ("tuning: difficulty.min_difficulty", raw.min_difficulty),
        ("tuning: difficulty.max_difficulty", raw.max_difficulty),
    ] {
        if !found.is_finite() || found < 0.0 {
            return Err(value(key, found, "0 or more"));
        }
    }
    let steps = tuning.mining.difficulty_step_granularity;
    let steps_key = "tuning: mining.difficulty_step_granularity";
    let step_granularity = u32::try_from(steps)
        .ok()
        .filter(|steps| *steps > 0)
        .ok_or_else(|| value(steps_key, steps, "1 or more"))?;
    let (min, max) = if flags.flood {
        (FLOOD_DIFFICULTY, FLOOD_DIFFICULTY)
    } else {
        (raw.min_difficulty, raw.max_difficulty)
    };
    Ok(DifficultySettings {
        default: raw.default_difficulty,
        min,
        max,
        step_granularity,
        lock_suggested: raw.lock_suggested_difficulty,
        enforce_suggested_limits: raw.enforce_suggested_difficulty_limits,
    })
}

fn is_safe(config: &RawConfig, flags: &Flags) -> bool {
    flags.safe_mode.unwrap_or(config.stratum.safe_mode)
}

/// No automatic bans, and no check that an odd miner might fail (`config.md` §5).
fn apply_safe_mode(policy: &mut RawPolicy, tuning: &mut RawTuning) {
    policy.stratum.ckpool_emulate = true;
    policy.mining.share_require_authorized_connection = true;
    policy.mining.share_check_param_format = true;
    policy.mining.share_check_duplicate = true;
    policy.mining.share_check_ntime_window = false;
    policy.mining.share_check_version_rolling = false;
    policy.mining.share_require_worker_match = false;
    policy.bans.ban_invalid_submissions_after = 0;
    policy.bans.reconnect_ban_threshold = 0;
    tuning.stratum = RawTuningStratum::default();
    tuning.rate_limits.disable_connect_rate_limits = true;
}

fn count(key: &'static str, found: i64) -> Result<u32, ConfigError> {
    u32::try_from(found).map_err(|_| value(key, found, "0 or more"))
}

/// Windows and durations that make no sense are the default ones (`config.md` §3.5).
fn seconds(found: i64, default: u64) -> Duration {
    Duration::from_secs(u64::try_from(found).ok().filter(|found| *found > 0).unwrap_or(default))
}

fn ban_rules(policy: &RawPolicy) -> Result<BanRules, ConfigError> {
    let raw = &policy.bans;
    let key = "policy: bans.ban_invalid_submissions_after";
    Ok(BanRules {
        threshold: count(key, raw.ban_invalid_submissions_after)?,
        window: seconds(raw.ban_invalid_submissions_window_seconds, 300),
        duration: seconds(raw.ban_invalid_submissions_duration_seconds, 900),
    })
}

fn reconnect_rules(policy: &RawPolicy) -> Result<ReconnectRules, ConfigError> {
    let raw = &policy.bans;
    Ok(ReconnectRules {
        threshold: count("policy: bans.reconnect_ban_threshold", raw.reconnect_ban_threshold)?,
        window: seconds(raw.reconnect_ban_window_seconds, 60),
        duration: seconds(raw.reconnect_ban_duration_seconds, 3600),
    })
}

fn accept_keys(tuning: &RawTuning, connections_max: usize) -> AcceptKeys {
    let raw = &tuning.rate_limits;
    AcceptKeys {
        connections_max: i64::try_from(connections_max).unwrap_or(i64::MAX),
        disabled: raw.disable_connect_rate_limits,
        per_second: raw.max_accepts_per_second,
        burst: raw.max_accept_burst,
        steady_per_second: raw.accept_steady_state_rate,
        reconnect_window: raw.accept_reconnect_window,
        burst_window: raw.accept_burst_window,
        steady_window: raw.accept_steady_state_window,
        steady_reconnect_percent: raw.accept_steady_state_reconnect_percent,
        steady_reconnect_window: raw.accept_steady_state_reconnect_window,
    }
}

fn tcp_buffers(tuning: &RawTuning) -> Result<TcpBuffers, ConfigError> {
    let raw = &tuning.stratum;
    let read = count("tuning: stratum.tcp_read_buffer_bytes", raw.tcp_read_buffer_bytes)?;
    let write = count("tuning: stratum.tcp_write_buffer_bytes", raw.tcp_write_buffer_bytes)?;
    Ok(TcpBuffers { read: read as usize, write: write as usize })
}

fn target_shares_per_min(tuning: &RawTuning) -> Result<f64, ConfigError> {
    let found = tuning.difficulty.target_shares_per_min;
    if !found.is_finite() || found <= 0.0 {
        return Err(value("tuning: difficulty.target_shares_per_min", found, "above 0"));
    }
    Ok(found)
}

fn hashrate(tuning: &RawTuning) -> Result<HashrateSettings, ConfigError> {
    let raw = &tuning.hashrate;
    let found = raw.hashrate_ema_tau_seconds;
    let tau = Duration::try_from_secs_f64(found)
        .ok()
        .filter(|tau| !tau.is_zero())
        .ok_or_else(|| value("tuning: hashrate.hashrate_ema_tau_seconds", found, "above 0"))?;
    let mut settings = HashrateSettings::new(tau, target_shares_per_min(tuning)?);
    settings.cumulative = raw.hashrate_cumulative_enabled;
    settings.recent_cumulative = raw.hashrate_recent_cumulative_enabled;
    Ok(settings)
}

fn share_policy(policy: &RawPolicy) -> Result<SharePolicy, ConfigError> {
    let raw = &policy.mining;
    let freshness = match raw.share_job_freshness_mode {
        0 => Freshness::Off,
        1 => Freshness::JobId,
        2 => Freshness::JobIdAndPrevHash,
        found => {
            return Err(value("policy: mining.share_job_freshness_mode", found, "0, 1 or 2"));
        }
    };
    let forward = policy.hashrate.share_ntime_max_forward_seconds;
    let ntime_forward_max = match u64::try_from(forward) {
        Ok(seconds @ 1..) => Duration::from_secs(seconds),
        _ => {
            let key = "policy: hashrate.share_ntime_max_forward_seconds";
            return Err(value(key, forward, "1 or more"));
        }
    };
    Ok(SharePolicy {
        freshness,
        check_ntime_window: raw.share_check_ntime_window,
        ntime_forward_max,
        check_version_rolling: raw.share_check_version_rolling,
        allow_out_of_mask_version_bits: policy.version.share_allow_out_of_mask_version_bits,
        require_authorized: raw.share_require_authorized_connection,
        require_worker_match: raw.share_require_worker_match,
        check_param_format: raw.share_check_param_format,
        check_duplicate: raw.share_check_duplicate,
    })
}

fn shard_count(tuning: &RawTuning, flags: &Flags) -> Result<usize, ConfigError> {
    match flags.shards {
        Some(count) => Ok(count),
        None => usize::try_from(tuning.shards.count)
            .map_err(|_| value("tuning: shards.count", tuning.shards.count, "0 or more")),
    }
}

/// The default URL follows the network; one that was set stays.
fn rpc_url(node: &RawNode, flags: &Flags) -> Result<String, ConfigError> {
    let configured = node.rpc_url.as_deref().map(str::trim).filter(|url| !url.is_empty());
    let url = match (&flags.rpc_url, configured.unwrap_or(DEFAULT_RPC_URL)) {
        (Some(url), _) => url.trim(),
        (None, DEFAULT_RPC_URL) => match flags.network() {
            Network::Mainnet => DEFAULT_RPC_URL,
            Network::Testnet => "http://127.0.0.1:18332",
            Network::Signet => "http://127.0.0.1:38332",
            Network::Regtest => "http://127.0.0.1:18443",
        },
        (None, url) => url,
    };
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(value("node.rpc_url", format!("{url:?}"), "http://… or https://…"));
    }
    Ok(url.to_owned())
}

fn rpc_auth(node: &RawNode, flags: &Flags) -> RpcAuth {
    let configured = node.rpc_cookie_path.trim();
    match &flags.rpc_cookie {
        Some(path) => RpcAuth::Cookie(path.clone()),
        None if !configured.is_empty() => RpcAuth::Cookie(Path::new(configured).to_owned()),
        None if flags.allow_public_rpc => RpcAuth::None,
        None => RpcAuth::DetectedCookie,
    }
}

/// An absent key is the default, a blank one leaves the topic out; with `-network` two blanks are
/// filled in.
fn zmq_endpoints(node: &RawNode, flags: &Flags) -> Vec<zmq::Endpoint> {
    let hashblock = node.zmq_hashblock_addr.as_deref().unwrap_or(DEFAULT_ZMQ_HASHBLOCK).trim();
    let rawblock = node.zmq_rawblock_addr.as_deref().unwrap_or(DEFAULT_ZMQ_RAWBLOCK).trim();
    if hashblock.is_empty() && rawblock.is_empty() && flags.network.is_some() {
        return zmq::endpoints(NETWORK_ZMQ, NETWORK_ZMQ);
    }
    zmq::endpoints(hashblock, rawblock)
}

/// A bare port is one on all interfaces; blank switches Stratum over TLS off.
fn stratum_tls_listen(
    config: &RawConfig,
    flags: &Flags,
) -> Result<Option<SocketAddr>, ConfigError> {
    let configured = config.stratum.stratum_tls_listen.as_deref();
    let text = flags.stratum_tls.as_deref().or(configured).unwrap_or(":4333").trim();
    let text = match text {
        "" => return Ok(None),
        port if !port.contains(':') => format!(":{port}"),
        address => address.to_owned(),
    };
    listen_address("stratum.stratum_tls_listen", &text).map(Some)
}

/// `host:port`; `:port` means all interfaces, of both IPs where the system has both.
fn listen_address(key: &'static str, text: &str) -> Result<SocketAddr, ConfigError> {
    let text = text.trim();
    let bad = || value(key, format!("{text:?}"), "host:port, or :port for all interfaces");
    if let Some(port) = text.strip_prefix(':') {
        let port = port.parse().map_err(|_| bad())?;
        let has_ipv6 = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok();
        let any: IpAddr = if has_ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { [0, 0, 0, 0].into() };
        return Ok(SocketAddr::new(any, port));
    }
    text.to_socket_addrs().ok().and_then(|mut found| found.next()).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn load(
        config: &str,
        policy: &str,
        tuning: &str,
        flags: &[&str],
    ) -> Result<Config, ConfigError> {
        let parse = |text: &str| toml::from_str::<toml::Table>(text).unwrap();
        let files = Files {
            config: parse(config).try_into().unwrap(),
            policy: parse(policy).try_into().unwrap(),
            tuning: parse(tuning).try_into().unwrap(),
            version_bits: RawVersionBits::default(),
        };
        let arguments = std::iter::once("gopool").chain(flags.iter().copied());
        check(files, &Flags::parse_from(arguments))
    }

    const PAYOUT: &str =
        "[node]\npayout_address = \"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4\"\n";

    #[track_caller]
    fn refused(config: &str, policy: &str, tuning: &str, words: &str) {
        let config = format!("{PAYOUT}{config}");
        let error = load(&config, policy, tuning, &[]).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }

    #[test]
    fn a_payout_address_is_all_it_takes() {
        let config = load(PAYOUT, "", "", &[]).unwrap();
        assert_eq!(config.network, Network::Mainnet);
        assert_eq!(config.stratum_listen.port(), 3333);
        assert_eq!(config.status_listen.unwrap().port(), 80);
        assert_eq!(config.rpc_url, "http://127.0.0.1:8332");
        assert_eq!(config.settings.difficulty.min, 256.0);
        assert_eq!(config.job_inputs.brand_tag, "/goPool/");
        assert_eq!(config.job_inputs.pool_entropy.len(), 4);
        assert_eq!(config.zmq.len(), 2);
    }

    #[test]
    fn an_address_of_another_network_is_refused_by_name() {
        let error = load(PAYOUT, "", "", &["--network", "regtest"]).unwrap_err();
        assert!(
            matches!(&error, ConfigError::Address { key: "node.payout_address", .. }),
            "{error}"
        );
        assert!(error.to_string().contains("no address of regtest"), "{error}");
        let error = load("", "", "", &[]).unwrap_err().to_string();
        assert!(error.contains("node.payout_address"), "{error}");
    }

    #[test]
    fn values_out_of_range_say_what_is_allowed() {
        refused("[mining]\npool_fee_percent = 100", "", "", "0 to less than 100");
        refused("[mining]\noperator_donation_percent = 5", "", "", "operator_donation_address");
        refused("[mining]\npool_entropy = \"a\"", "", "", "4 letters or digits");
        refused("[stratum]\nstratum_password_enabled = true", "", "", "a password");
        refused("[server]\npool_listen = \"nonsense\"", "", "", "host:port");
        refused("", "[mining]\nshare_job_freshness_mode = 3", "", "0, 1 or 2");
        refused("", "[timeouts]\nconnection_timeout_seconds = 29", "", "30 or more");
        refused("", "", "[mining]\nextranonce2_size = 17", "1 to 16");
        refused("", "", "[mining]\njob_entropy = 17", "0 to 16");
        refused("", "", "[difficulty]\nmin_difficulty = -1", "0 or more");
        refused("", "", "[difficulty]\nmin_difficulty = nan", "0 or more");
    }

    #[test]
    fn the_network_moves_the_defaults_and_nothing_that_was_set() {
        let signet = "[node]\npayout_address = \"tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx\"\n";
        let flags = &["--network", "signet"];
        assert_eq!(load(signet, "", "", flags).unwrap().rpc_url, "http://127.0.0.1:38332");
        let set = format!("{signet}rpc_url = \"http://10.0.0.1:1\"");
        assert_eq!(load(&set, "", "", flags).unwrap().rpc_url, "http://10.0.0.1:1");
        let blank = format!("{signet}zmq_hashblock_addr = \"\"\nzmq_rawblock_addr = \"\"");
        assert_eq!(
            load(&blank, "", "", flags).unwrap().zmq,
            zmq::endpoints(NETWORK_ZMQ, NETWORK_ZMQ)
        );
        let blank = format!("{PAYOUT}zmq_hashblock_addr = \"\"\nzmq_rawblock_addr = \"\"");
        assert!(load(&blank, "", "", &[]).unwrap().zmq.is_empty());
    }

    #[test]
    fn flood_pins_both_bounds_and_the_entropy_switch_wins() {
        let config = load(
            PAYOUT,
            "",
            "[mining]\njob_entropy = 8\ndisable_pool_job_entropy = true",
            &["--flood"],
        )
        .unwrap();
        assert_eq!(
            (config.settings.difficulty.min, config.settings.difficulty.max),
            (1e-10, 1e-10)
        );
        assert_eq!(config.job_entropy, 0);
    }
}
