//! The live knobs that a shard obeys: one immutable value, swapped whole.

use std::time::Duration;

use crate::admission::ban::BanRules;
use crate::session::meter::HashrateSettings;
use crate::session::vardiff::VarDiffSettings;
use crate::work::address::Network;

/// Everything configurable about sessions. Control checks it; a shard only obeys.
#[derive(Clone, Debug)]
pub struct Settings {
    pub network: Network,
    /// What `client.get_version` answers after `goPool/`.
    pub version: &'static str,
    /// Advertise `mining.notify` alone in the subscribe answer (`stratum.md` §3.1).
    pub ckpool_emulate: bool,
    /// The shared password every authorize must carry (`stratum.md` §4.4).
    pub password: Option<String>,
    /// Bytes of extranonce2; fixed until restart.
    pub extranonce2_size: usize,
    /// Bit count advertised in version rolling, at least 1.
    pub min_version_bits: u32,
    pub tcp_buffers: TcpBuffers,
    /// Live connections of the whole process, 0 for no limit.
    pub connections_max: usize,
    /// Lines a connection may send in a minute; 0 for no limit.
    pub messages_per_minute: u32,
    /// Clients that are turned away at subscribe: identifiers or names, in lower case.
    pub banned_clients: Vec<String>,
    /// Invalid submissions and protocol violations that are put up with.
    pub bans: BanRules,
    /// A connection that says nothing for this long is closed.
    pub idle_timeout: Duration,
    pub difficulty: DifficultySettings,
    pub vardiff: VarDiffSettings,
    pub hashrate: HashrateSettings,
    pub shares: SharePolicy,
    /// Somebody wants to know what kinds of miners are like.
    pub observes_miners: bool,
}

/// Sizes of a socket's buffers, in bytes; 0 leaves them to the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpBuffers {
    pub read: usize,
    pub write: usize,
}

/// How difficulties are assigned (`stratum.md` §7.2); 0 disables a bound.
#[derive(Clone, Debug)]
pub struct DifficultySettings {
    pub default: f64,
    pub min: f64,
    pub max: f64,
    /// Steps of the grid 2^(k/n).
    pub step_granularity: u32,
    pub lock_suggested: bool,
    /// Asking for a difficulty outside the bounds ends in a ban.
    pub enforce_suggested_limits: bool,
}

/// Which checks a share must pass (`stratum.md` §6.1). A block passes whatever they say.
#[derive(Clone, Debug)]
pub struct SharePolicy {
    pub freshness: Freshness,
    pub check_ntime_window: bool,
    /// How far a share's time may run ahead of its job's.
    pub ntime_forward_max: Duration,
    pub check_version_rolling: bool,
    pub allow_out_of_mask_version_bits: bool,
    pub require_authorized: bool,
    pub require_worker_match: bool,
    pub check_param_format: bool,
    pub check_duplicate: bool,
}

/// `share_job_freshness_mode` (`stratum.md` §6.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// An unknown job is judged as the last one.
    Off,
    /// The job must be known.
    JobId,
    /// The job must be known and build on the current tip.
    JobIdAndPrevHash,
}
