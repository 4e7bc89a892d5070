//! `/api/server` (`web.md` §3.5): what the daemon is and does, as one JSON object. Pages and
//! metrics are rendered from this same object, so the three cannot disagree.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use gopool_shards::link::Stages;
use gopool_shards::tally::Pace;
use serde::Serialize;

use super::format;
use crate::backup::BackupFigures;
use crate::notices::ChannelFigures;
use crate::privacy;
use crate::rings::disconnects::DisconnectEvent;
use crate::rings::events;
use crate::rings::histogram::HistogramSnapshot;
use crate::snapshot::{
    BlockFigures, FeedFigures, JobFigures, MethodFigures, ParkedFigures, ProcessFigures, Snapshot,
    SourceFigures,
};
use crate::store::StoreFigures;

/// Found blocks listed, newest first; polled often, so it stays as short as the overview's table.
const FOUND_MAX: usize = 10;

#[derive(Debug, Serialize)]
pub struct Server {
    pub api_version: &'static str,
    pub build_version: &'static str,
    pub build_time: &'static str,
    pub network: &'static str,
    /// Nanoseconds, as of the snapshot.
    pub uptime: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpc_error: Option<String>,
    pub rpc_healthy: bool,
    pub rpc_disconnects: u64,
    pub rpc_reconnects: u64,
    pub rpc_errors: u64,
    pub rpc_gbt_last_sec: f64,
    pub rpc_gbt_max_sec: f64,
    pub rpc_gbt_count: u64,
    /// Of the last hour; 0 when there was no call.
    pub rpc_gbt_min_1h_sec: f64,
    pub rpc_gbt_avg_1h_sec: f64,
    pub rpc_gbt_max_1h_sec: f64,
    pub rpc_submit_last_sec: f64,
    pub rpc_submit_max_sec: f64,
    pub rpc_submit_count: u64,
    /// Why the database cannot be written, while it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accounting_error: Option<String>,
    pub database: Database,
    pub backup: Backup,
    /// Errors of the last hour, oldest first.
    pub error_history: Vec<ErrorEvent>,
    pub stratum_safeguard_disconnect_count: u64,
    pub stratum_safeguard_disconnects: Vec<Disconnect>,
    pub job_feed: JobFeed,
    /// What miners work on; null until the node has given a first template.
    pub job: Option<Job>,
    pub shares: Shares,
    pub connections: Connections,
    pub blocks: Blocks,
    pub shards: Vec<Shard>,
    #[serde(flatten)]
    pub process: Process,
    #[serde(skip)]
    pub measured: Measured,
}

/// What only the metrics have: distributions, and details for whoever looks into something.
#[derive(Debug)]
pub struct Measured {
    pub share_answers: HistogramSnapshot,
    pub first_notify: HistogramSnapshot,
    pub block_submits: HistogramSnapshot,
    pub rpc_methods: BTreeMap<&'static str, MethodFigures>,
    /// In the clear and over TLS.
    pub stages: [Stages; 2],
    pub job_age: Option<Duration>,
    pub node: SourceFigures,
    pub parked: ParkedFigures,
    pub snapshot_times: HistogramSnapshot,
    pub channels: Vec<ChannelFigures>,
}

impl Measured {
    fn new(snapshot: &Snapshot) -> Self {
        let age = |job: &JobFigures| snapshot.built_at.duration_since(job.built_at);
        Self {
            share_answers: (&snapshot.shares.answers).into(),
            first_notify: (&snapshot.shares.first_told).into(),
            block_submits: (&snapshot.block_submits).into(),
            rpc_methods: snapshot.rpc.methods.clone(),
            stages: snapshot.connections.stages,
            // A clock that was set back shows a job that is new.
            job_age: snapshot.job.as_ref().map(|job| age(job).unwrap_or_default()),
            node: snapshot.work_source,
            parked: snapshot.parked,
            snapshot_times: snapshot.snapshot_times.clone(),
            channels: snapshot.notices.channels.clone(),
        }
    }
}

/// How the writing of the state database goes.
#[derive(Debug, Serialize)]
pub struct Database {
    /// Changes that are not on the disk yet.
    pub waiting: u64,
    pub transactions: u64,
    pub transaction_p99_sec: f64,
    pub failures: u64,
    /// Bans that are in force and could not be kept for the next start.
    pub bans_dropped: u64,
    #[serde(skip)]
    pub transaction_times: HistogramSnapshot,
}

impl Database {
    fn new(store: &StoreFigures) -> Self {
        let times = &store.transactions;
        Self {
            waiting: store.waiting,
            transactions: times.count,
            transaction_p99_sec: times.quantile(0.99).map_or(0.0, |time| time.as_secs_f64()),
            failures: store.failures,
            bans_dropped: store.bans_dropped,
            transaction_times: times.clone(),
        }
    }
}

/// The local copies of the database.
#[derive(Debug, Serialize)]
pub struct Backup {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_attempt_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_copy_at: Option<String>,
    /// `copied` or `unchanged`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Runs in a row that failed.
    pub failures: u32,
    #[serde(skip)]
    pub last_copy_unix: Option<u64>,
    /// What is for the operator alone, and for metrics; none when nothing is uploaded.
    #[serde(skip)]
    pub upload: Option<Upload>,
}

#[derive(Debug)]
pub struct Upload {
    pub last_unix: Option<u64>,
    pub failures: u64,
    pub is_reachable: Option<bool>,
}

impl Backup {
    fn new(backup: &BackupFigures) -> Self {
        let unix = |time: SystemTime| {
            time.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| since.as_secs())
        };
        Self {
            last_attempt_at: time(backup.last_attempt),
            last_copy_at: time(backup.last_copy),
            outcome: backup.outcome,
            error: public_error(backup.error.as_deref()),
            failures: backup.failures,
            last_copy_unix: backup.last_copy.and_then(unix),
            upload: backup.upload.as_ref().map(|upload| Upload {
                last_unix: upload.last_upload.and_then(unix),
                failures: upload.failures_total,
                is_reachable: upload.is_reachable,
            }),
        }
    }
}

#[derive(Debug, Serialize)]
pub struct ErrorEvent {
    /// When it came last.
    pub at: String,
    /// `share`, `rpc`, `zmq`, `submitblock` or `pending_submit`.
    pub r#type: &'static str,
    pub message: String,
    /// How often it came in a row.
    pub count: u64,
}

impl ErrorEvent {
    pub(super) fn new(event: &events::ErrorEvent) -> Self {
        Self {
            at: format::rfc3339(event.at),
            r#type: event.of.name(),
            message: privacy::error_text(&event.message),
            count: event.count,
        }
    }
}

#[derive(Debug, Serialize)]
pub struct Disconnect {
    pub at: String,
    pub disconnected: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl Disconnect {
    pub(super) fn new(event: &DisconnectEvent) -> Self {
        Self {
            at: format::rfc3339(event.at),
            disconnected: event.disconnected,
            reason: event.reason.clone(),
            detail: privacy::error_text(&event.detail),
        }
    }
}

/// Times are RFC 3339; an absent key means that there is no such thing yet.
#[derive(Debug, Serialize)]
pub struct JobFeed {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error_at: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub error_history: Vec<String>,
    pub zmq_healthy: bool,
    pub zmq_disconnects: u64,
    pub zmq_reconnects: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_raw_block_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_raw_block_bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_height: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_bits: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_difficulty: Option<f64>,
}

#[derive(Debug, Serialize)]
pub struct Job {
    pub height: u64,
    pub transactions: usize,
    pub coinbase_value_sats: u64,
    pub network_difficulty: f64,
    pub built_at: String,
}

#[derive(Debug, Serialize)]
pub struct Shares {
    pub accepted: u64,
    pub rejected: BTreeMap<&'static str, u64>,
    pub mistakes: BTreeMap<&'static str, u64>,
    pub vardiff_up: u64,
    pub vardiff_down: u64,
    pub accepted_difficulty: f64,
    pub best_difficulty: f64,
    pub hashrate: f64,
    pub per_minute: f64,
}

#[derive(Debug, Serialize)]
pub struct Connections {
    pub open: u64,
    pub authorized: u64,
    pub tls: u64,
    pub accepted: u64,
    pub refused: u64,
    pub closed: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Serialize)]
pub struct Blocks {
    pub accepted: u64,
    pub errored: u64,
    pub pending: u64,
    pub found: Vec<Block>,
}

#[derive(Debug, Serialize)]
pub struct Block {
    pub height: u64,
    pub hash: String,
    pub worker: String,
    pub timestamp: String,
    pub share_diff: f64,
    pub coinbase_value_sats: u64,
    pub pool_fee_sats: u64,
    pub worker_payout_sats: u64,
    /// `found`, `submitted`, `accepted`, `rejected`, `stale` or `orphaned`.
    pub status: &'static str,
    /// Up to 100; 0 while it is in no block chain that is known.
    pub confirmations: u64,
}

#[derive(Debug, Serialize)]
pub struct Shard {
    pub id: usize,
    pub core: usize,
    pub connections: u64,
    pub accepted: u64,
    pub rejected: u64,
    pub memory_bytes: u64,
    #[serde(skip)]
    pub pace: Pace,
    #[serde(skip)]
    pub outbox_bytes: u64,
    #[serde(skip)]
    pub receive_buffers_peak: u64,
}

/// The names are the contract's: `goroutines` are our threads, `go_mem` is our allocator.
#[derive(Debug, Serialize)]
pub struct Process {
    pub process_goroutines: u64,
    pub process_cpu_percent: f64,
    pub go_mem_alloc_bytes: u64,
    pub go_mem_sys_bytes: u64,
    pub process_rss_bytes: u64,
    pub system_mem_total_bytes: u64,
    pub system_mem_free_bytes: u64,
    pub system_mem_used_bytes: u64,
    pub system_load1: f64,
    pub system_load5: f64,
    pub system_load15: f64,
}

impl Server {
    pub fn new(snapshot: &Snapshot) -> Self {
        let rpc = &snapshot.rpc;
        let hour = rpc.gbt_hour;
        Self {
            api_version: "1",
            build_version: snapshot.version,
            build_time: crate::build::TIME,
            network: snapshot.network,
            // 64 bits of nanoseconds last 584 years.
            uptime: u64::try_from(snapshot.uptime.as_nanos()).unwrap_or(u64::MAX),
            rpc_error: public_error(rpc.last_error.as_deref()),
            rpc_healthy: rpc.healthy,
            rpc_disconnects: rpc.disconnects,
            rpc_reconnects: rpc.reconnects,
            rpc_errors: rpc.errors,
            rpc_gbt_last_sec: finite(rpc.gbt_seconds_last),
            rpc_gbt_max_sec: finite(rpc.gbt_seconds_max),
            rpc_gbt_count: rpc.gbt_count,
            rpc_gbt_min_1h_sec: hour.map_or(0.0, |hour| hour.min.as_secs_f64()),
            rpc_gbt_avg_1h_sec: hour.map_or(0.0, |hour| hour.mean.as_secs_f64()),
            rpc_gbt_max_1h_sec: hour.map_or(0.0, |hour| hour.max.as_secs_f64()),
            rpc_submit_last_sec: finite(rpc.submit_seconds_last),
            rpc_submit_max_sec: finite(rpc.submit_seconds_max),
            rpc_submit_count: rpc.submit_count,
            accounting_error: public_error(snapshot.store.error.as_deref()),
            database: Database::new(&snapshot.store),
            backup: Backup::new(&snapshot.backup),
            error_history: snapshot.error_events.iter().map(ErrorEvent::new).collect(),
            stratum_safeguard_disconnect_count: snapshot.disconnects_count,
            stratum_safeguard_disconnects: snapshot
                .disconnects
                .iter()
                .map(Disconnect::new)
                .collect(),
            job_feed: JobFeed::new(&snapshot.feed),
            job: snapshot.job.as_ref().map(Job::new),
            shares: Shares {
                accepted: snapshot.shares.accepted,
                rejected: snapshot.shares.rejected.clone(),
                mistakes: snapshot.shares.mistakes.clone(),
                vardiff_up: snapshot.shares.vardiff_up,
                vardiff_down: snapshot.shares.vardiff_down,
                accepted_difficulty: finite(snapshot.shares.accepted_difficulty),
                best_difficulty: finite(snapshot.shares.best_difficulty),
                hashrate: finite(snapshot.shares.hashrate),
                per_minute: finite(snapshot.shares.per_minute),
            },
            connections: Connections {
                open: snapshot.connections.open,
                authorized: snapshot.connections.authorized,
                tls: snapshot.connections.tls,
                accepted: snapshot.connections.accepted,
                refused: snapshot.connections.refused,
                closed: snapshot.connections.closed.clone(),
            },
            blocks: Blocks {
                accepted: snapshot.blocks_accepted,
                errored: snapshot.blocks_errored,
                pending: snapshot.blocks_pending,
                found: snapshot.blocks.iter().take(FOUND_MAX).map(Block::new).collect(),
            },
            shards: snapshot
                .shards
                .iter()
                .map(|shard| Shard {
                    id: shard.id,
                    core: shard.core,
                    connections: shard.connections,
                    accepted: shard.accepted,
                    rejected: shard.rejected,
                    memory_bytes: shard.memory_bytes,
                    pace: shard.pace,
                    outbox_bytes: shard.outbox_bytes,
                    receive_buffers_peak: shard.receive_buffers_peak,
                })
                .collect(),
            process: Process::new(&snapshot.process),
            measured: Measured::new(snapshot),
        }
    }
}

impl JobFeed {
    fn new(feed: &FeedFigures) -> Self {
        let tip = feed.tip.as_ref();
        let last_error = public_error(feed.last_error.as_deref());
        Self {
            last_error_at: last_error.as_ref().and(time(feed.last_error_at)),
            last_error,
            error_history: feed.error_history.iter().map(|e| privacy::error_text(e)).collect(),
            zmq_healthy: feed.zmq_healthy,
            zmq_disconnects: feed.zmq_disconnects,
            zmq_reconnects: feed.zmq_reconnects,
            last_raw_block_at: time(feed.last_raw_block_at),
            last_raw_block_bytes: Some(feed.last_raw_block_bytes).filter(|&bytes| bytes > 0),
            block_hash: tip.map(|tip| tip.hash_hex.clone()).filter(|hash| !hash.is_empty()),
            block_height: tip.map(|tip| tip.height).filter(|&height| height > 0),
            block_time: tip.map(|tip| format::rfc3339(tip.time)),
            block_bits: tip.map(|tip| tip.bits_hex.clone()).filter(|bits| !bits.is_empty()),
            block_difficulty: tip.map(|tip| finite(tip.difficulty)).filter(|&value| value > 0.0),
        }
    }
}

impl Job {
    fn new(job: &JobFigures) -> Self {
        Self {
            height: job.height,
            transactions: job.transactions,
            coinbase_value_sats: job.coinbase_value_sats,
            network_difficulty: finite(job.network_difficulty),
            built_at: format::rfc3339(job.built_at),
        }
    }
}

impl Block {
    pub fn new(block: &BlockFigures) -> Self {
        Self {
            height: block.height,
            hash: privacy::hash(&block.hash_hex),
            worker: privacy::worker_name(&block.worker),
            timestamp: format::rfc3339(block.found_at),
            share_diff: finite(block.share_difficulty),
            coinbase_value_sats: block.coinbase_value_sats,
            pool_fee_sats: block.pool_fee_sats,
            worker_payout_sats: block.worker_payout_sats,
            status: block.state.as_str(),
            confirmations: block.confirmations,
        }
    }
}

impl Process {
    fn new(process: &ProcessFigures) -> Self {
        Self {
            process_goroutines: process.threads,
            process_cpu_percent: finite(process.cpu_percent),
            go_mem_alloc_bytes: process.allocated_bytes,
            go_mem_sys_bytes: process.mapped_bytes,
            process_rss_bytes: process.rss_bytes,
            system_mem_total_bytes: process.memory_total_bytes,
            system_mem_free_bytes: process.memory_available_bytes,
            system_mem_used_bytes: process
                .memory_total_bytes
                .saturating_sub(process.memory_available_bytes),
            system_load1: finite(process.load1),
            system_load5: finite(process.load5),
            system_load15: finite(process.load15),
        }
    }
}

fn public_error(text: Option<&str>) -> Option<String> {
    text.map(privacy::error_text).filter(|text| !text.is_empty())
}

pub(super) fn time(time: Option<SystemTime>) -> Option<String> {
    time.map(format::rfc3339)
}

/// JSON has no NaN, and a reader that expects a number should not find null.
pub(super) fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}

#[cfg(test)]
mod tests;
