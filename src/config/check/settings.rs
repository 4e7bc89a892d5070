//! What the shards obey.

use std::time::Duration;

use gopool_shards::admission::ban::BanRules;
use gopool_shards::session::meter::HashrateSettings;
use gopool_shards::session::vardiff::VarDiffSettings;
use gopool_shards::settings::{DifficultySettings, Freshness, Settings, SharePolicy, TcpBuffers};

use crate::cli::Flags;
use crate::config::files::Files;
use crate::config::keys::Setting;
use crate::config::problem::Problems;

/// The reader has seen to it that each number is within its bounds; what is left is what two keys
/// must have in common.
pub fn settings(files: &Files, flags: &Flags, problems: &mut Problems) -> Option<Settings> {
    let stratum = &files.stratum;
    let password = stratum.stratum_password_enabled.value;
    if password && stratum.stratum_password.value.is_empty() {
        let allowed = "a password while stratum_password_enabled is true";
        problems.refuse(&stratum.stratum_password, allowed);
        return None;
    }
    let idle_timeout = seconds(&files.timeouts.connection_timeout_seconds);
    let target_shares_per_min = files.difficulty.target_shares_per_min.value;
    Some(Settings {
        network: flags.network(),
        version: crate::build::VERSION,
        ckpool_emulate: files.answers.ckpool_emulate.value,
        password: password.then(|| stratum.stratum_password.value.clone()),
        extranonce2_size: files.coinbase.extranonce2_size.value as usize,
        min_version_bits: files.version.min_version_bits.value.max(1) as u32,
        tcp_buffers: TcpBuffers {
            read: files.sockets.tcp_read_buffer_bytes.value as usize,
            write: files.sockets.tcp_write_buffer_bytes.value as usize,
        },
        connections_max: files.rate_limits.max_conns.value as usize,
        messages_per_minute: files.rate_limits.stratum_messages_per_minute.value as u32,
        banned_clients: banned_clients(files),
        bans: BanRules {
            threshold: files.bans.ban_invalid_submissions_after.value as u32,
            window: seconds(&files.bans.ban_invalid_submissions_window_seconds),
            duration: seconds(&files.bans.ban_invalid_submissions_duration_seconds),
        },
        idle_timeout,
        difficulty: difficulty(files),
        vardiff: VarDiffSettings {
            enabled: files.difficulty.vardiff_enabled.value,
            target_shares_per_min,
            idle_timeout,
        },
        hashrate: hashrate(files, target_shares_per_min),
        shares: share_policy(files),
        observes_miners: flags.miner_profile_json().is_some(),
    })
}

/// In lower case, as they are compared.
fn banned_clients(files: &Files) -> Vec<String> {
    let list = files.blacklist.as_ref().unwrap_or(&files.bans.banned_miner_types.value);
    let names = list.iter().map(|name| name.trim().to_ascii_lowercase());
    names.filter(|name| !name.is_empty()).collect()
}

fn difficulty(files: &Files) -> DifficultySettings {
    let raw = &files.difficulty;
    DifficultySettings {
        default: raw.default_difficulty.value,
        min: raw.min_difficulty.value,
        max: raw.max_difficulty.value,
        step_granularity: files.coinbase.difficulty_step_granularity.value as u32,
        lock_suggested: raw.lock_suggested_difficulty.value,
        enforce_suggested_limits: raw.enforce_suggested_difficulty_limits.value,
    }
}

fn hashrate(files: &Files, target_shares_per_min: f64) -> HashrateSettings {
    let raw = &files.hashrate;
    let tau = Duration::try_from_secs_f64(raw.hashrate_ema_tau_seconds.value);
    let mut settings = HashrateSettings::new(tau.unwrap_or(Duration::MAX), target_shares_per_min);
    settings.cumulative = raw.hashrate_cumulative_enabled.value;
    settings.recent_cumulative = raw.hashrate_recent_cumulative_enabled.value;
    settings
}

fn share_policy(files: &Files) -> SharePolicy {
    let raw = &files.shares;
    SharePolicy {
        freshness: match raw.share_job_freshness_mode.value {
            0 => Freshness::Off,
            2 => Freshness::JobIdAndPrevHash,
            _ => Freshness::JobId,
        },
        check_ntime_window: raw.share_check_ntime_window.value,
        ntime_forward_max: seconds(&files.share_time.share_ntime_max_forward_seconds),
        check_version_rolling: raw.share_check_version_rolling.value,
        allow_out_of_mask_version_bits: files.version.share_allow_out_of_mask_version_bits.value,
        require_authorized: raw.share_require_authorized_connection.value,
        require_worker_match: raw.share_require_worker_match.value,
        check_param_format: raw.share_check_param_format.value,
        check_duplicate: raw.share_check_duplicate.value,
    }
}

/// Centuries are as good as any longer time, and can be added to a clock.
pub fn seconds(setting: &Setting<i64>) -> Duration {
    const LONGEST: u64 = 100 * 366 * 24 * 3600;
    Duration::from_secs(u64::try_from(setting.value).unwrap_or(0).min(LONGEST))
}
