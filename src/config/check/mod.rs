//! What the files say, weighed: the parts of a [`Config`], each with what is wrong with it.

mod listen;
mod node;
mod services;
mod settings;
mod shown;
mod work;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gopool_shards::admission::auto_limits::AcceptKeys;
use gopool_shards::admission::reconnect::ReconnectRules;

use super::change::Edits;
use super::files::{Files, Legacy};
use super::problem::Problems;
use super::{Config, View};
use crate::backup::BackupSettings;
use crate::cli::Flags;
use crate::log::Levels;
use crate::node::peers::PeerCleaning;
use crate::store::EndedBans;
use settings::seconds;
pub use work::POOL_ENTROPY_CHARACTERS;

/// What peers are left when `min_peers` is 0 (`mining.md` §10).
const PEERS_MIN_OTHERWISE: usize = 20;

/// Checks all of it. None when something cannot be used; what it is has been noted then.
pub fn check(
    files: &Files,
    flags: &Flags,
    drawn_entropy: &str,
    problems: &mut Problems,
) -> Option<Config> {
    let network = flags.network();
    // Each part is checked, whatever is wrong with those before it.
    let listeners = listen::listeners(files, problems);
    let rpc_url = node::rpc_url(&files.node.rpc_url, problems);
    let rpc_auth = node::rpc_auth(files, flags, problems);
    let zmq = node::zmq(&files.node, problems);
    let work = work::work(files, network, drawn_entropy, problems);
    let settings = settings::settings(files, flags, problems);
    let blocked = settings.as_ref().map_or(&[][..], |settings| &settings.banned_clients);
    let shown = shown::shown(files, network, blocked, !flags.no_json, problems);
    let public_url = listen::public_url(&files.server.status_public_url, problems);
    let trusted_proxies = listen::networks(&files.server.trusted_proxies, problems);
    let local_noauth_from = listen::networks(&files.auth.local_noauth_from, problems);
    let (listeners, work) = (listeners?, work?);
    Some(Config {
        network,
        data_dir: flags.data_dir(),
        stratum_listen: listeners.stratum,
        stratum_tls_listen: listeners.stratum_tls,
        status_listen: listeners.status,
        status_tls_listen: listeners.status_tls,
        public_url,
        trusted_proxies: trusted_proxies?,
        local_noauth_from: local_noauth_from?,
        proxy_protocol: files.server.proxy_protocol.value,
        shown: Arc::new(shown),
        fiat_currency: fiat_currency(files),
        outgoing: services::outgoing(files, problems),
        price: services::price(files, problems),
        clerk: services::clerk(files, problems),
        reconnect: services::reconnect(files, problems),
        notices: services::notices(files, &work.job_inputs.brand_tag, problems),
        rpc_url: rpc_url?,
        rpc_auth: rpc_auth?,
        zmq: zmq?,
        settings: settings?,
        accept: accept_keys(files),
        reconnects: reconnect_rules(files),
        ended_bans: match files.bans.clean_expired_on_startup.value {
            true => EndedBans::Delete,
            false => EndedBans::Keep,
        },
        backup: backup(files, &flags.data_dir(), problems),
        history_flush_interval: Duration::from_secs(
            files.hashrate.saved_worker_history_flush_interval_seconds.value.max(0).cast_unsigned(),
        ),
        job_inputs: work.job_inputs,
        job_entropy: work.job_entropy,
        peer_cleaning: peer_cleaning(files),
        shards: files.shards.count.value as usize,
        log_levels: Levels {
            debug: files.logging.debug.value,
            net_debug: files.logging.net_debug.value,
        },
        entries: files.entries(),
        warnings: warnings(files, flags),
        view: View {
            paths: problems.paths().clone(),
            legacy: Legacy::default(),
            files: Box::new(files.clone()),
            entries: Vec::new(),
            edits: Edits::default(),
        },
    })
}

fn fiat_currency(files: &Files) -> String {
    match files.branding.fiat_currency.value.trim() {
        "" => "usd".to_owned(),
        code => code.to_owned(),
    }
}

/// Where copies of the database go, if anywhere (`state-and-services.md` §12.1, §12.2).
fn backup(files: &Files, data_dir: &Path, problems: &mut Problems) -> BackupSettings {
    let raw = &files.backups;
    let snapshot = raw.snapshot_path.value.trim();
    let is_wanted = raw.enabled.value || raw.keep_local_copy.value || !snapshot.is_empty();
    let path = match snapshot {
        "" => data_dir.join("state/workers.db.bak"),
        // An absolute one replaces the folder.
        path => data_dir.join(path),
    };
    BackupSettings {
        path: is_wanted.then_some(path),
        interval: Duration::from_secs(raw.interval_seconds.value.max(1).cast_unsigned()),
        force_every_interval: raw.force_every_interval.value,
        is_upload_wanted: raw.enabled.value,
        bucket: services::bucket(files),
        b2: services::b2(files, problems),
    }
}

/// What is allowed and yet worth a word (`config.md` §2.5, §4).
fn warnings(files: &Files, flags: &Flags) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut warn = |condition: bool, words: &str| {
        if condition {
            warnings.push(words.to_owned());
        }
    };
    let fee = files.mining.pool_fee_percent.value;
    warn(fee <= 0.0, "mining.pool_fee_percent is 0: the operator earns nothing");
    warn(fee > 10.0, "mining.pool_fee_percent is above 10: miners will look elsewhere");
    warn(
        files.node.zmq_hashblock_addr.value.is_empty()
            && files.node.zmq_rawblock_addr.value.is_empty(),
        "node.zmq_hashblock_addr and zmq_rawblock_addr are empty: the pool hears of blocks by long \
         poll alone, which is slower",
    );
    warn(
        files.server.proxy_protocol.value && files.server.trusted_proxies.value.is_empty(),
        "server.proxy_protocol does nothing while server.trusted_proxies is empty",
    );
    warn(
        files.rate_limits.disable_connect_rate_limits.value,
        "rate_limits.disable_connect_rate_limits is true: nothing slows new connections down",
    );
    warn(
        !files.bans.clean_expired_on_startup.value,
        "bans.clean_expired_on_startup is false: bans that have ended are kept",
    );
    warn(
        files.logging.net_debug.value && !files.logging.debug.value,
        "logging.net_debug does nothing while logging.debug is false",
    );
    warn(
        flags.allow_rpc_creds,
        "-allow-rpc-creds is deprecated and less safe than bitcoind's \
         cookie: set node.rpc_cookie_path instead",
    );
    warn(flags.no_json, "-no-json: there is no JSON under /api/");
    warn(
        flags.saved_workers_local_noauth,
        "-saved-workers-local-noauth: whoever reaches the pages shares one list of workers",
    );
    let difficulty = &files.difficulty;
    let (min, max) = (difficulty.min_difficulty.value, difficulty.max_difficulty.value);
    warn(
        max > 0.0 && min > max,
        "difficulty.min_difficulty is above max_difficulty: every miner gets the highest",
    );
    warnings.extend(services::warnings(files));
    warnings
}

fn reconnect_rules(files: &Files) -> ReconnectRules {
    ReconnectRules {
        threshold: files.bans.reconnect_ban_threshold.value as u32,
        window: seconds(&files.bans.reconnect_ban_window_seconds),
        duration: seconds(&files.bans.reconnect_ban_duration_seconds),
    }
}

/// What is written down counts, unless it is also written that it shall not (`config.md` §6.1).
fn accept_keys(files: &Files) -> AcceptKeys {
    let raw = &files.rate_limits;
    let auto = &raw.auto_accept_rate_limits;
    let is_computed_anyway = auto.is_set() && auto.value;
    let written = |setting: &super::keys::Setting<i64>| {
        (setting.is_set() && !is_computed_anyway).then_some(setting.value)
    };
    AcceptKeys {
        connections_max: raw.max_conns.value,
        disabled: raw.disable_connect_rate_limits.value,
        per_second: written(&raw.max_accepts_per_second),
        burst: written(&raw.max_accept_burst),
        steady_per_second: written(&raw.accept_steady_state_rate),
        reconnect_window: raw.accept_reconnect_window.value,
        burst_window: raw.accept_burst_window.value,
        steady_window: raw.accept_steady_state_window.value,
        steady_reconnect_percent: raw.accept_steady_state_reconnect_percent.value,
        steady_reconnect_window: raw.accept_steady_state_reconnect_window.value,
    }
}

fn peer_cleaning(files: &Files) -> PeerCleaning {
    let raw = &files.peer_cleaning;
    let ping_max = std::time::Duration::try_from_secs_f64(raw.max_ping_ms.value / 1000.0).ok();
    PeerCleaning {
        is_enabled: raw.enabled.value,
        ping_max: ping_max.filter(|limit| !limit.is_zero()),
        peers_min: match raw.min_peers.value {
            ..=0 => PEERS_MIN_OTHERWISE,
            count => count as usize,
        },
    }
}
