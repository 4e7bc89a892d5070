//! The configuration files as written: the operators' names, nothing checked yet
//! (`config.md` §3). Keys that are not here belong to features still to come and are ignored.

use serde::Deserialize;

use gopool_shards::admission::auto_limits::AcceptKeys;

/// `config.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RawConfig {
    pub server: RawServer,
    pub branding: RawBranding,
    pub stratum: RawStratum,
    pub node: RawNode,
    pub mining: RawMining,
    pub logging: RawLogging,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RawServer {
    pub pool_listen: Option<String>,
    pub status_listen: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RawBranding {
    pub status_brand_name: String,
    pub status_tagline: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RawStratum {
    pub stratum_tls_listen: Option<String>,
    pub safe_mode: bool,
    pub stratum_password_enabled: bool,
    pub stratum_password: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RawNode {
    pub rpc_url: Option<String>,
    pub rpc_cookie_path: String,
    pub payout_address: String,
    pub zmq_hashblock_addr: Option<String>,
    pub zmq_rawblock_addr: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct RawMining {
    pub pool_fee_percent: f64,
    pub operator_donation_percent: f64,
    pub operator_donation_address: String,
    pub pool_entropy: Option<String>,
    pub pooltag_prefix: String,
}

impl Default for RawMining {
    fn default() -> Self {
        Self {
            pool_fee_percent: 2.0,
            operator_donation_percent: 0.0,
            operator_donation_address: String::new(),
            pool_entropy: None,
            pooltag_prefix: String::new(),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RawLogging {
    pub debug: bool,
}

/// `policy.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RawPolicy {
    pub stratum: RawPolicyStratum,
    pub mining: RawPolicyMining,
    pub hashrate: RawPolicyHashrate,
    pub version: RawPolicyVersion,
    pub timeouts: RawTimeouts,
    pub bans: RawBans,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct RawBans {
    pub clean_expired_on_startup: bool,
    pub ban_invalid_submissions_after: i64,
    pub ban_invalid_submissions_window_seconds: i64,
    pub ban_invalid_submissions_duration_seconds: i64,
    pub reconnect_ban_threshold: i64,
    pub reconnect_ban_window_seconds: i64,
    pub reconnect_ban_duration_seconds: i64,
    pub banned_miner_types: Vec<String>,
}

impl Default for RawBans {
    fn default() -> Self {
        Self {
            clean_expired_on_startup: true,
            ban_invalid_submissions_after: 40,
            ban_invalid_submissions_window_seconds: 300,
            ban_invalid_submissions_duration_seconds: 900,
            reconnect_ban_threshold: 60,
            reconnect_ban_window_seconds: 60,
            reconnect_ban_duration_seconds: 3600,
            banned_miner_types: Vec::new(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct RawPolicyStratum {
    pub ckpool_emulate: bool,
}

impl Default for RawPolicyStratum {
    fn default() -> Self {
        Self { ckpool_emulate: true }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct RawPolicyMining {
    pub share_job_freshness_mode: i64,
    pub share_check_ntime_window: bool,
    pub share_check_version_rolling: bool,
    pub share_require_authorized_connection: bool,
    pub share_check_param_format: bool,
    pub share_require_worker_match: bool,
    pub share_check_duplicate: bool,
}

impl Default for RawPolicyMining {
    fn default() -> Self {
        Self {
            share_job_freshness_mode: 1,
            share_check_ntime_window: true,
            share_check_version_rolling: true,
            share_require_authorized_connection: true,
            share_check_param_format: true,
            share_require_worker_match: false,
            share_check_duplicate: true,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct RawPolicyHashrate {
    pub share_ntime_max_forward_seconds: i64,
}

impl Default for RawPolicyHashrate {
    fn default() -> Self {
        Self { share_ntime_max_forward_seconds: 7000 }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct RawPolicyVersion {
    pub min_version_bits: i64,
    #[serde(alias = "share_allow_version_mask_mismatch")]
    pub share_allow_out_of_mask_version_bits: bool,
    pub bip110_enabled: bool,
}

impl Default for RawPolicyVersion {
    fn default() -> Self {
        Self {
            min_version_bits: 1,
            share_allow_out_of_mask_version_bits: false,
            bip110_enabled: false,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct RawTimeouts {
    pub connection_timeout_seconds: i64,
}

impl Default for RawTimeouts {
    fn default() -> Self {
        Self { connection_timeout_seconds: 180 }
    }
}

/// `tuning.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RawTuning {
    pub rate_limits: RawRateLimits,
    pub stratum: RawTuningStratum,
    pub difficulty: RawDifficulty,
    pub mining: RawTuningMining,
    pub hashrate: RawTuningHashrate,
    pub shards: RawShards,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct RawTuningHashrate {
    pub hashrate_ema_tau_seconds: f64,
    pub hashrate_cumulative_enabled: bool,
    pub hashrate_recent_cumulative_enabled: bool,
}

impl Default for RawTuningHashrate {
    fn default() -> Self {
        Self {
            hashrate_ema_tau_seconds: 450.0,
            hashrate_cumulative_enabled: false,
            hashrate_recent_cumulative_enabled: false,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct RawRateLimits {
    pub max_conns: i64,
    pub disable_connect_rate_limits: bool,
    pub max_accepts_per_second: Option<i64>,
    pub max_accept_burst: Option<i64>,
    pub accept_steady_state_rate: Option<i64>,
    pub accept_reconnect_window: i64,
    pub accept_burst_window: i64,
    pub accept_steady_state_window: i64,
    pub accept_steady_state_reconnect_percent: f64,
    pub accept_steady_state_reconnect_window: i64,
    pub stratum_messages_per_minute: i64,
}

impl Default for RawRateLimits {
    fn default() -> Self {
        let keys = AcceptKeys::default();
        Self {
            max_conns: keys.connections_max,
            disable_connect_rate_limits: false,
            max_accepts_per_second: None,
            max_accept_burst: None,
            accept_steady_state_rate: None,
            accept_reconnect_window: keys.reconnect_window,
            accept_burst_window: keys.burst_window,
            accept_steady_state_window: keys.steady_window,
            accept_steady_state_reconnect_percent: keys.steady_reconnect_percent,
            accept_steady_state_reconnect_window: keys.steady_reconnect_window,
            stratum_messages_per_minute: 0,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RawTuningStratum {
    pub tcp_read_buffer_bytes: i64,
    pub tcp_write_buffer_bytes: i64,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct RawDifficulty {
    pub default_difficulty: f64,
    pub min_difficulty: f64,
    pub max_difficulty: f64,
    pub lock_suggested_difficulty: bool,
    pub enforce_suggested_difficulty_limits: bool,
    pub target_shares_per_min: f64,
    pub vardiff_enabled: bool,
}

impl Default for RawDifficulty {
    fn default() -> Self {
        Self {
            default_difficulty: 0.0,
            min_difficulty: 256.0,
            max_difficulty: 0.0,
            lock_suggested_difficulty: false,
            enforce_suggested_difficulty_limits: false,
            target_shares_per_min: 15.0,
            vardiff_enabled: true,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct RawTuningMining {
    pub extranonce2_size: i64,
    pub template_extra_nonce2_size: i64,
    pub job_entropy: i64,
    pub disable_pool_job_entropy: bool,
    pub coinbase_scriptsig_max_bytes: i64,
    pub difficulty_step_granularity: i64,
}

impl Default for RawTuningMining {
    fn default() -> Self {
        Self {
            extranonce2_size: 4,
            template_extra_nonce2_size: 8,
            job_entropy: 4,
            disable_pool_job_entropy: false,
            coinbase_scriptsig_max_bytes: 100,
            difficulty_step_granularity: 10,
        }
    }
}

/// New: how many threads serve miners.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RawShards {
    pub count: i64,
}

/// `version_bits.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RawVersionBits {
    pub bits: Vec<RawVersionBit>,
}

#[derive(Debug, Deserialize)]
pub struct RawVersionBit {
    pub bit: i64,
    pub enabled: bool,
}
