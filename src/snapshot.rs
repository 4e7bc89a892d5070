//! What the pool looks like at one moment: immutable, rebuilt by control every few seconds and
//! swapped whole. Pages, JSON and metrics read nothing else, so they always agree and never wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use gopool_shards::link::Stages;
use gopool_shards::tally::{Accuracy, LastShareLook, Pace, Times};

use crate::backup::BackupFigures;
use crate::node::peers::PeerCleaning;
use crate::notices::NoticesFigures;
use crate::price::{Price, PriceFigures};
use crate::rings::disconnects::DisconnectEvent;
use crate::rings::events::ErrorEvent;
use crate::rings::histogram::HistogramSnapshot;
use crate::rings::latency::LatencyStatistics;
use crate::shown::Shown;
use crate::store::{BestShareRow, BlockState, StoreFigures};

/// Where control puts the newest [`Snapshot`] and the status server finds it. Cheap to clone.
#[derive(Clone)]
pub struct SnapshotCell(Arc<ArcSwap<Snapshot>>);

impl SnapshotCell {
    pub fn new(first: Snapshot) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(first)))
    }

    pub fn store(&self, snapshot: Snapshot) {
        self.0.store(Arc::new(snapshot));
    }

    pub fn load(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }
}

#[derive(Clone, Debug)]
pub struct Snapshot {
    pub built_at: SystemTime,
    /// Since the process started, as of `built_at`.
    pub uptime: Duration,
    /// The build's version, such as `0.1.0`.
    pub version: &'static str,
    /// The network chosen by `-network`: `mainnet`, `testnet`, `signet` or `regtest`.
    pub network: &'static str,
    /// The settings that are for people.
    pub shown: Arc<Shown>,
    /// Every Stratum listener that is open; empty until the first job exists.
    pub stratum_listeners: Vec<StratumListener>,
    pub pool_fee_percent: f64,
    /// Brand part of the coinbase tag.
    pub pool_tag: String,
    /// `branding.fiat_currency`.
    pub fiat_currency: String,
    /// One that is fresh enough to be shown.
    pub price: Option<Price>,
    pub prices: Arc<PriceFigures>,
    pub rpc: RpcFigures,
    pub node: Arc<NodeFigures>,
    pub peer_cleaning: PeerCleaning,
    pub feed: FeedFigures,
    pub work_source: SourceFigures,
    /// The work miners have now; none until the node has answered once.
    pub job: Option<JobFigures>,
    pub shares: ShareFigures,
    pub connections: ConnectionFigures,
    pub shards: Vec<ShardFigures>,
    /// How many workers are connected.
    pub workers_connected: u64,
    /// Workers with a share in the last half hour that are not banned, the newest share first; at
    /// most fifteen. Full names: shorten them before they are shown in public.
    pub recent_work: Vec<WorkerView>,
    /// At most 25; those in force first, of them those who are connected.
    pub banned: Vec<BannedFigures>,
    /// Most first.
    pub miner_types: Vec<MinerType>,
    /// Best first, at most twelve; names and hashes are shortened.
    pub best_shares: Vec<BestShareRow>,
    /// Newest first, at most 100.
    pub blocks: Vec<BlockFigures>,
    pub blocks_accepted: u64,
    pub blocks_errored: u64,
    /// Found and not settled yet: being submitted or waiting for the node.
    pub blocks_pending: u64,
    /// From a block's being found until the first byte of it left for the node.
    pub block_submits: Times,
    pub parked: ParkedFigures,
    pub store: StoreFigures,
    pub backup: BackupFigures,
    pub notices: NoticesFigures,
    pub recent_hashrate: RecentHashrate,
    /// What has gone wrong in the last hour, oldest first.
    pub error_events: Vec<ErrorEvent>,
    /// When miners were let go because there was no fresh work, oldest first.
    pub disconnects: Vec<DisconnectEvent>,
    /// How often that has happened.
    pub disconnects_count: u64,
    /// How long it took to make snapshots.
    pub snapshot_times: HistogramSnapshot,
    pub process: ProcessFigures,
}

impl Snapshot {
    /// Of a pool in which nothing has happened yet; what its configuration says is to be filled in.
    pub fn blank(built_at: SystemTime, peer_cleaning: PeerCleaning) -> Self {
        Self {
            built_at,
            uptime: Duration::ZERO,
            version: crate::build::VERSION,
            network: "",
            shown: Default::default(),
            stratum_listeners: Vec::new(),
            pool_fee_percent: 0.0,
            pool_tag: String::new(),
            fiat_currency: String::new(),
            price: None,
            prices: Arc::default(),
            rpc: Default::default(),
            node: Default::default(),
            peer_cleaning,
            feed: Default::default(),
            work_source: Default::default(),
            job: None,
            shares: Default::default(),
            connections: Default::default(),
            shards: Vec::new(),
            workers_connected: 0,
            recent_work: Vec::new(),
            banned: Vec::new(),
            miner_types: Vec::new(),
            best_shares: Vec::new(),
            blocks: Vec::new(),
            blocks_accepted: 0,
            blocks_errored: 0,
            blocks_pending: 0,
            block_submits: Default::default(),
            parked: Default::default(),
            store: Default::default(),
            backup: Default::default(),
            notices: Default::default(),
            recent_hashrate: Default::default(),
            error_events: Vec::new(),
            disconnects: Vec::new(),
            disconnects_count: 0,
            snapshot_times: Default::default(),
            process: Default::default(),
        }
    }
}

/// Who may not mine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BannedFigures {
    /// The full name; shorten it before it is shown in public.
    pub worker: Arc<str>,
    /// None for ever.
    pub until: Option<SystemTime>,
    pub reason: Arc<str>,
    /// Ended ones are listed only while they are kept.
    pub is_in_force: bool,
    /// A broken rule has done it, so the reason is a text of the pool's own.
    pub is_automatic: bool,
}

/// What the node said of itself last; a part it has never said is none.
#[derive(Clone, Debug, Default)]
pub struct NodeFigures {
    pub chain: Option<ChainFigures>,
    pub reach: Option<ReachFigures>,
    pub peers: Option<PeerFigures>,
    /// Display order, as the one below.
    pub genesis_hash: Option<String>,
    pub best_block_hash: Option<String>,
    /// When any part of it was heard last.
    pub updated_at: Option<SystemTime>,
}

#[derive(Clone, Debug)]
pub struct ChainFigures {
    /// The node's own word for its network.
    pub chain: String,
    pub blocks: u64,
    pub headers: u64,
    pub is_initial_download: bool,
    pub is_pruned: bool,
    pub size_on_disk_bytes: u64,
}

#[derive(Clone, Debug)]
pub struct ReachFigures {
    /// The node's software.
    pub subversion: String,
    pub connections: u64,
    /// Of those, inbound and outbound; old nodes do not tell.
    pub split: Option<(u64, u64)>,
}

#[derive(Clone, Debug)]
pub struct PeerFigures {
    pub count: u64,
    pub inbound: u64,
    /// None while nobody has answered a ping.
    pub pings: Option<PingFigures>,
}

#[derive(Clone, Debug)]
pub struct PingFigures {
    /// So many peers have answered one.
    pub peers: u64,
    pub min: Duration,
    pub median: Duration,
    pub max: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StratumListener {
    /// `host:port`.
    pub address: String,
    pub tls: bool,
}

/// What the RPC client counts (`mining.md` §1.4).
#[derive(Clone, Debug, Default)]
pub struct RpcFigures {
    /// `host:port` of the node, never with credentials.
    pub endpoint: String,
    pub healthy: bool,
    pub disconnects: u64,
    pub reconnects: u64,
    pub last_error: Option<String>,
    /// Failed attempts since start; each retry counts.
    pub errors: u64,
    pub gbt_seconds_last: f64,
    pub gbt_seconds_max: f64,
    pub gbt_count: u64,
    /// Of the last hour; none when there was no call.
    pub gbt_hour: Option<LatencyStatistics>,
    pub submit_seconds_last: f64,
    pub submit_seconds_max: f64,
    pub submit_count: u64,
    pub methods: BTreeMap<&'static str, MethodFigures>,
}

/// How the node does one thing.
#[derive(Clone, Debug, Default)]
pub struct MethodFigures {
    /// Failures included, long polls excluded.
    pub times: HistogramSnapshot,
    pub errors: u64,
}

/// What is known of the node beside its answers.
#[derive(Clone, Copy, Debug)]
pub struct SourceFigures {
    /// Why miners would get no fresh work, in the contract's words (`web.md` §1.11); none when they do.
    pub trouble: Option<&'static str>,
    /// Headers whose blocks it does not have yet; none when it has not said so lately.
    pub blocks_behind: Option<u64>,
}

/// Before the first look.
impl Default for SourceFigures {
    fn default() -> Self {
        Self { trouble: Some("no job template available"), blocks_behind: None }
    }
}

/// Places of miners that have gone and may come back.
#[derive(Clone, Copy, Debug, Default)]
pub struct ParkedFigures {
    pub places: usize,
    /// Remembered there.
    pub shares: usize,
}

/// The state of the job feed (`mining.md` §2.7, §2.9).
#[derive(Clone, Debug, Default)]
pub struct FeedFigures {
    pub last_error: Option<String>,
    pub last_error_at: Option<SystemTime>,
    pub last_success_at: Option<SystemTime>,
    /// The last three lines, oldest first; informational ones start with `event:`.
    pub error_history: Vec<String>,
    pub zmq_healthy: bool,
    pub zmq_disconnects: u64,
    pub zmq_reconnects: u64,
    pub last_raw_block_at: Option<SystemTime>,
    pub last_raw_block_bytes: usize,
    /// From when the pool could first know of the last job's template until the job was out.
    pub last_job_delay: Option<Duration>,
    pub tip: Option<TipFigures>,
    /// Header times of the newest blocks of the chain that have been heard of, oldest first; at
    /// most four.
    pub block_times: Vec<SystemTime>,
}

/// The newest block of the node's chain.
#[derive(Clone, Debug)]
pub struct TipFigures {
    /// Display order.
    pub hash_hex: String,
    pub height: u64,
    /// The header's time.
    pub time: SystemTime,
    /// Eight hex digits.
    pub bits_hex: String,
    pub difficulty: f64,
}

#[derive(Clone, Debug)]
pub struct JobFigures {
    pub height: u64,
    pub transactions: usize,
    pub coinbase_value_sats: u64,
    pub network_difficulty: f64,
    pub built_at: SystemTime,
}

#[derive(Clone, Debug, Default)]
pub struct ShareFigures {
    pub accepted: u64,
    /// Sum of the difficulties credited.
    pub accepted_difficulty: f64,
    /// By the reason labels of `stratum.md` §11.2; late and low ones of the first two minutes are
    /// not counted.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Of those, late for their job.
    pub stale: u64,
    /// Of those, not worth their difficulty.
    pub low_difficulty: u64,
    /// Of those, all but the ones refused for who sent them.
    pub errors: u64,
    /// Low shares whose cause was found out, by the cause.
    pub mistakes: BTreeMap<&'static str, u64>,
    /// Difficulties raised, and lowered, because of what a miner did.
    pub vardiff_up: u64,
    pub vardiff_down: u64,
    /// Difficulty of the best share since start.
    pub best_difficulty: f64,
    /// Hashes per second: the sum of what each connection does.
    pub hashrate: f64,
    /// Accepted, over the last minute or what of it has been seen.
    pub per_second: f64,
    pub per_minute: f64,
    /// From the turn that took a submission to the answer.
    pub answers: Times,
    /// From when the pool could know of a new tip to the first miner that was told.
    pub first_told: Times,
}

/// The pool's hashrate over the last six minutes (`state-and-services.md` §18.1).
#[derive(Clone, Debug, Default)]
pub struct RecentHashrate {
    /// 8-bit SI codes of what was sampled every five seconds, oldest first.
    pub codes: Vec<u8>,
    /// Hashes per second and the chain's height, of the newest sample of the last two minutes: shown
    /// while there is nothing.
    pub newest: Option<(f64, Option<u64>)>,
}

#[derive(Clone, Debug, Default)]
pub struct ConnectionFigures {
    pub open: u64,
    pub authorized: u64,
    /// Of the authorized ones, those over TLS.
    pub authorized_tls: u64,
    /// Of the open ones, those over TLS.
    pub tls: u64,
    /// How far the open ones have come, in the clear and over TLS.
    pub stages: [Stages; 2],
    pub accepted: u64,
    pub refused: u64,
    /// Ended, by reason (`hangup`, `idle`, `line_too_long`, …).
    pub closed: BTreeMap<&'static str, u64>,
}

#[derive(Clone, Debug, Default)]
pub struct ShardFigures {
    pub id: usize,
    pub core: usize,
    pub connections: u64,
    pub accepted: u64,
    pub rejected: u64,
    pub pace: Pace,
    /// Taken from the heap by its thread and not given back.
    pub memory_bytes: u64,
    /// Waiting for its miners to take them.
    pub outbox_bytes: u64,
    /// Receive buffers that were full at once, at most, in the last second.
    pub receive_buffers_peak: u64,
}

/// What pages say of a worker.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerView {
    /// The full authorized name; shorten it before it is shown in public.
    pub name: Arc<str>,
    pub client_id: Arc<str>,
    pub connections: u64,
    /// The largest of its connections' numbers.
    pub sequence: u64,
    pub is_tls: bool,
    /// Unix seconds, of the oldest connection.
    pub connected_at: u64,
    pub accepted: u64,
    pub rejected: u64,
    /// Hashes per second.
    pub hashrate: f64,
    /// The worst of its parts (FIX-52).
    pub accuracy: Accuracy,
    /// Accepted shares per minute.
    pub share_rate: f64,
    /// Unix seconds, the earliest; 0 for none (FIX-52).
    pub window_started_at: u64,
    pub window_accepted: u64,
    pub window_submissions: u64,
    pub window_credit: f64,
    /// Of the connection with the newest share, as all that follows.
    pub last_share: Option<LastShareLook>,
    pub last_reject: &'static str,
    pub difficulty: f64,
    pub ideal_difficulty: f64,
    /// The longest.
    pub round_trip: Option<Duration>,
    pub first_share_p50: Option<Duration>,
    pub first_share_p95: Option<Duration>,
}

/// One kind of miner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinerType {
    pub name: String,
    pub workers: u64,
    /// By workers, most first; a version that is not told is empty.
    pub versions: Vec<(String, u64)>,
}

#[derive(Clone, Debug)]
pub struct BlockFigures {
    pub height: u64,
    /// Display order.
    pub hash_hex: String,
    /// The full authorized name; shorten it before it is shown in public.
    pub worker: String,
    pub found_at: SystemTime,
    pub share_difficulty: f64,
    pub coinbase_value_sats: u64,
    pub pool_fee_sats: u64,
    pub worker_payout_sats: u64,
    pub state: BlockState,
    /// Up to a hundred; then it is mature and nobody asks any more.
    pub confirmations: u64,
    pub submitted_at: Option<SystemTime>,
    pub settled_at: Option<SystemTime>,
    /// Why it is not accepted, when it is not.
    pub reason: String,
}

/// Read from `/proc`; zero where it could not be.
#[derive(Clone, Debug, Default)]
pub struct ProcessFigures {
    pub threads: u64,
    pub rss_bytes: u64,
    /// Of all CPU capacity, between the last two samples, which are five seconds apart.
    pub cpu_percent: f64,
    pub allocated_bytes: u64,
    pub mapped_bytes: u64,
    pub memory_total_bytes: u64,
    pub memory_available_bytes: u64,
    pub load1: f64,
    pub load5: f64,
    pub load15: f64,
}
