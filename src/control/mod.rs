//! The loop: one thread owns the pool's state; one match, each arm one call. Only here a ring
//! closes: node → control → shards → control → node.

mod banned;
mod feed_status;
mod gate;
mod minutes;
mod publish;
mod reload;
mod upkeep;
mod work;

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, RecvTimeoutError, select};
use tracing::{error, info, warn};

use gopool_shards::admission::ban::Ban;
use gopool_shards::admission::reconnect::ReconnectTracker;
use gopool_shards::executor::{ShardHandle, listen};
use gopool_shards::link::{Downlink, Errand, NewTip, Phase, Report};
use gopool_shards::session::directory::Directory;
use gopool_shards::work::address::Network;
use gopool_shards::work::job::Job;

use crate::allocator::Arena;
use crate::backup::BackupFigures;
use crate::blocks::{Blocks, Tips};
use crate::clock::unix_now;
use crate::command::{BanLength, Command};
use crate::config::Config;
use crate::join;
use crate::ledger::rejects::is_error;
use crate::ledger::{Ledger, RosterReader};
use crate::log::LevelControl;
use crate::node::event::{ChainInfo, NodeEvent, Work};
use crate::node::info::NodeInfo;
use crate::node::peers::PeerCleaning;
use crate::node::rpc::Rpc;
use crate::notices::NoticesDesk;
use crate::price::Prices;
use crate::privacy;
use crate::profiles::Profiles;
use crate::rings::disconnects::{DisconnectEvent, Disconnects};
use crate::rings::events::{ErrorEvents, EventType};
use crate::rings::histogram::Histogram;
use crate::snapshot::{BlockFigures, SnapshotCell, SourceFigures, StratumListener};
use crate::store::{BestShareRow, BlockLife, StoreHandle};
use crate::supervise::Supervisor;
use crate::system::SystemReader;
use feed_status::FeedStatus;
use gate::{Facts, Gate, Sync, Turn, Unhealthy};
use publish::block_figures;
pub use publish::first_snapshot;
use upkeep::Upkeep;
pub use upkeep::UpkeepPlan;
use work::WorkBuilder;

/// How often the snapshot is rebuilt.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(1);
/// How long an operator's ban lasts where the rules name no time (`web.md` §6.7).
const BAN_SECONDS_USUAL: u64 = 900;
/// How long stopping shards may take to let their miners go.
const SHARDS_STOP_MAX: Duration = Duration::from_secs(10);

/// Why the loop ended.
#[derive(Debug)]
pub enum Ended {
    /// Somebody asked for it.
    Stopped,
    /// The node is on another chain than the pool: its work would pay nobody.
    WrongChain { node: String, pool: Network },
}

/// A shard as control sees it.
pub struct ShardEnd {
    pub downlink: Downlink,
    pub handle: ShardHandle,
    /// Where its memory is from.
    pub arena: Arena,
}

/// Everything the loop is given.
pub struct ControlPlan {
    pub config: Config,
    pub started: Instant,
    pub rpc: Arc<Rpc>,
    pub node_events: Receiver<NodeEvent>,
    /// What the node says of itself, for pages.
    pub node: NodeInfo,
    pub shards: Vec<ShardEnd>,
    /// The core of each shard.
    pub cores: Vec<usize>,
    pub reports: Receiver<Report>,
    /// Copies of the shards' listeners, bound and not listening, and whether they speak TLS.
    pub listeners: Vec<(TcpListener, bool)>,
    pub directory: Arc<Directory>,
    pub reconnects: Arc<ReconnectTracker>,
    pub blocks: Blocks,
    pub block_events: Receiver<BlockLife>,
    /// Found in earlier runs, newest first.
    pub found: Vec<BlockLife>,
    /// Who is connected, for those who read.
    pub roster: RosterReader,
    /// Best shares of earlier runs.
    pub best_shares: Vec<BestShareRow>,
    pub store: StoreHandle,
    pub upkeep: UpkeepPlan,
    pub backups: Arc<Mutex<BackupFigures>>,
    pub notices: NoticesDesk,
    pub prices: Prices,
    pub snapshots: SnapshotCell,
    /// Where looks at miners go, if somebody wants them.
    pub profiles: Option<Profiles>,
    pub supervisor: Arc<Supervisor>,
    pub levels: LevelControl,
    pub peer_cleaning: Arc<ArcSwap<PeerCleaning>>,
    pub commands: Receiver<Command>,
}

pub struct Control {
    config: Config,
    started: Instant,
    rpc: Arc<Rpc>,
    node: NodeInfo,
    shards: Vec<ShardEnd>,
    listeners: Vec<(TcpListener, bool)>,
    open_listeners: Vec<StratumListener>,
    directory: Arc<Directory>,
    reconnects: Arc<ReconnectTracker>,
    blocks: Blocks,
    tips: Tips,
    /// Newest first.
    found: Vec<BlockFigures>,
    blocks_accepted: u64,
    blocks_errored: u64,
    ledger: Ledger,
    feed: FeedStatus,
    work: WorkBuilder,
    system: SystemReader,
    snapshots: SnapshotCell,
    is_wrong_chain: bool,
    gate: Gate,
    /// Why miners would get no fresh work, as of the gate's last turn.
    trouble: Option<&'static str>,
    /// What the node said of itself, and when.
    sync: Option<(Instant, Sync)>,
    store: StoreHandle,
    upkeep: Upkeep,
    backups: Arc<Mutex<BackupFigures>>,
    notices: NoticesDesk,
    prices: Prices,
    error_events: ErrorEvents,
    disconnects: Disconnects,
    snapshot_times: Histogram,
    profiles: Option<Profiles>,
    supervisor: Arc<Supervisor>,
    levels: LevelControl,
    peer_cleaning: Arc<ArcSwap<PeerCleaning>>,
}

/// Runs the pool until it is stopped.
pub fn run(plan: ControlPlan) -> Ended {
    let ControlPlan { node_events, reports, block_events, commands, .. } = plan;
    let tau = plan.config.settings.hashrate.ema_tau();
    let mut control = Control {
        work: WorkBuilder::new(&plan.config),
        config: plan.config,
        started: plan.started,
        rpc: plan.rpc,
        node: plan.node,
        shards: plan.shards,
        listeners: plan.listeners,
        open_listeners: Vec::new(),
        directory: plan.directory,
        reconnects: plan.reconnects,
        tips: plan.blocks.tips(),
        blocks: plan.blocks,
        found: plan.found.iter().map(block_figures).collect(),
        blocks_accepted: 0,
        blocks_errored: 0,
        ledger: Ledger::new(&plan.cores, plan.best_shares, plan.roster, tau),
        upkeep: Upkeep::new(plan.upkeep, unix_now()),
        backups: plan.backups,
        notices: plan.notices,
        prices: plan.prices,
        error_events: ErrorEvents::default(),
        disconnects: Disconnects::default(),
        snapshot_times: Histogram::default(),
        feed: FeedStatus::default(),
        system: SystemReader::default(),
        snapshots: plan.snapshots,
        is_wrong_chain: false,
        gate: Gate::default(),
        trouble: SourceFigures::default().trouble,
        sync: None,
        store: plan.store,
        profiles: plan.profiles,
        supervisor: plan.supervisor,
        levels: plan.levels,
        peer_cleaning: plan.peer_cleaning,
    };
    let ended = control.run(&node_events, &reports, &block_events, &commands);
    control.supervisor.stopping();
    control.stop(&reports);
    ended
}

impl Control {
    fn run(
        &mut self,
        node_events: &Receiver<NodeEvent>,
        reports: &Receiver<Report>,
        block_events: &Receiver<BlockLife>,
        commands: &Receiver<Command>,
    ) -> Ended {
        let mut next_snapshot = Instant::now();
        loop {
            select! {
                recv(node_events) -> event => if let Ok(event) = event
                    && let Some(ended) = self.on_node(event)
                {
                    return ended;
                },
                recv(reports) -> report => if let Ok(report) = report {
                    self.on_report(report);
                },
                recv(block_events) -> event => if let Ok(event) = event {
                    self.on_block(&event);
                },
                recv(commands) -> command => match command {
                    Ok(Command::Reload(config, _until_done)) => {
                        self.configure(*config, "configuration reloaded");
                    }
                    Ok(Command::Configure(config)) => {
                        self.configure(*config, "configuration changed");
                    }
                    Ok(Command::Ban { workers, length, reason }) => {
                        self.on_ban(workers, length, &reason);
                    }
                    Ok(Command::LiftBan { worker }) => self.upkeep.lift_ban(&worker),
                    Ok(Command::Disconnect { sequences, words }) => {
                        let sequences = sequences.into();
                        self.send_errand(&Errand::Close { sequences, words });
                    }
                    Ok(Command::DisconnectStrangers { remotes, words }) => {
                        let remotes = Arc::new(remotes);
                        self.send_errand(&Errand::CloseStrangers { remotes, words });
                    }
                    Ok(Command::Strangers { answer }) => {
                        self.send_errand(&Errand::Strangers { answer });
                    }
                    Ok(Command::Settled { done }) => drop(done),
                    Ok(Command::Show { sequence, answer }) => {
                        self.send_errand(&Errand::Show { sequence, answer });
                    }
                    Ok(Command::Stop) | Err(_) => return Ended::Stopped,
                },
                default(next_snapshot.saturating_duration_since(Instant::now())) => {}
            }
            if Instant::now() >= next_snapshot {
                self.turn_gate();
                self.ban_recognised();
                self.publish();
                self.supervisor.beat(&self.snapshots.load());
                next_snapshot = Instant::now() + SNAPSHOT_INTERVAL;
            }
        }
    }

    fn on_node(&mut self, event: NodeEvent) -> Option<Ended> {
        match event {
            NodeEvent::Chain(info) => return self.on_chain(&info),
            NodeEvent::Template(work) => self.on_template(work),
            NodeEvent::Verified => self.work.verified(),
            NodeEvent::Withdrawn(error) => self.on_withdrawn(error),
            NodeEvent::FeedError(text) => self.feed.failed(text),
            NodeEvent::Tip(tip) => {
                self.feed.tip(tip);
                self.tips.new_tip();
            }
            NodeEvent::RawBlock { arrived_at, bytes, tip } => {
                self.feed.raw_block(arrived_at, bytes, tip);
            }
            NodeEvent::Zmq { address, up } => {
                if let Some(event) = self.feed.zmq(&address, up) {
                    self.note_error(EventType::Zmq, &format!("{event} ({address})"), 1);
                }
            }
        }
        None
    }

    fn on_report(&mut self, mut report: Report) {
        for ban in report.sums.bans.drain(..) {
            let Ban { worker, reason, .. } = &*ban;
            info!(component = "stratum", %worker, %reason, until = ban.until_unix, "banned");
            self.store.save_ban(&ban);
        }
        let observations = std::mem::take(&mut report.sums.observations);
        if let Some(profiles) = &self.profiles {
            profiles.add(observations);
        }
        let heard = self.ledger.add(report, self.started.elapsed());
        self.upkeep.note(&heard, unix_now());
        for (reason, count) in heard.rejected.iter().filter(|(reason, _)| is_error(reason)) {
            self.note_error(EventType::Share, reason, *count);
        }
    }

    /// Bans workers and ends what connections they have: whoever authorizes from here on is refused,
    /// and whoever is authorized already is found where they are.
    fn on_ban(&mut self, workers: Vec<String>, length: BanLength, reason: &str) {
        let usual = match self.config.settings.bans.duration.as_secs() {
            0 => BAN_SECONDS_USUAL,
            seconds => seconds,
        };
        let until_unix = length.end(unix_now(), usual);
        for worker in &workers {
            self.upkeep.ban(worker, until_unix, reason);
        }
        self.close_workers(workers, reason);
    }

    /// A worker of which only the hash was known has come: from here on it is banned by its name.
    fn ban_recognised(&mut self) {
        let recognised = self.upkeep.recognised(&self.ledger.roster().read(), unix_now());
        for (worker, ban) in &recognised {
            self.upkeep.ban(worker, ban.until_unix, &ban.reason);
        }
        if let Some((_, ban)) = recognised.first() {
            let workers = recognised.iter().map(|(worker, _)| worker.to_string()).collect();
            self.close_workers(workers, &ban.reason);
        }
    }

    /// Says why, and ends what connections the workers have.
    fn close_workers(&self, workers: Vec<String>, reason: &str) {
        let names = workers.into_iter().map(|name| name.trim().to_owned()).collect();
        let words = Ban::new("", 0, reason, None).notice();
        self.send_errand(&Errand::CloseWorkers { names: Arc::new(names), words: words.into() });
    }

    /// Goes on with another configuration, as far as a running pool can.
    fn configure(&mut self, config: Config, event: &str) {
        let changes = reload::changes(&self.config, &config);
        self.config = config.taken_after(&self.config);
        let settings = Arc::new(self.config.settings.clone());
        for shard in &self.shards {
            shard.downlink.send_settings(Arc::clone(&settings));
        }
        self.reconnects.set_rules(self.config.reconnects);
        self.levels.set(self.config.log_levels);
        self.peer_cleaning.store(Arc::new(self.config.peer_cleaning));
        self.prices.set_currency(&self.config.fiat_currency);
        self.notices.set_words(&self.config.notices.words);
        self.work.configure(&self.config);
        self.ledger.set_tau(self.config.settings.hashrate.ema_tau());
        self.upkeep.set_history_flush_interval(self.config.history_flush_interval);
        if changes.job {
            match self.work.again() {
                Ok(Some(job)) => self.hand_out(&job),
                Ok(None) => {}
                Err(error) => warn!(component = "feed", %error, "template cannot be mined"),
            }
        }
        self.publish();
        reload::report(&changes, &self.config, event);
    }

    /// Lets miners go when there has been no fresh work for them for too long, and welcomes them
    /// when there is again.
    fn turn_gate(&mut self) {
        let facts = Facts {
            network: self.config.network,
            has_job: self.work.has_job(),
            feed_error: self.feed.error(),
            since_success: self.feed.since_success(),
            sync: self.sync.map(|(at, sync)| Sync { age: at.elapsed(), ..sync }),
        };
        let verdict = gate::judge(&facts);
        self.trouble = verdict.as_ref().err().map(|unhealthy| unhealthy.reason);
        let phase = match self.gate.turn(verdict, self.started.elapsed()) {
            None => return,
            Some(Turn::Open) => {
                info!(component = "stratum", "there is fresh work again, miners are welcome");
                Phase::Open
            }
            Some(Turn::Shut(Unhealthy { reason, detail })) => {
                warn!(component = "stratum", reason, detail, "no fresh work, miners are let go");
                self.disconnects.add(DisconnectEvent {
                    at: SystemTime::now(),
                    disconnected: self.ledger.connections().authorized,
                    reason: reason.to_owned(),
                    detail: privacy::error_text(&detail),
                });
                Phase::Paused
            }
        };
        // Before the first job nobody is there and nothing listens.
        if !self.open_listeners.is_empty() {
            for shard in &self.shards {
                shard.downlink.send_phase(phase);
            }
        }
    }

    fn on_chain(&mut self, info: &ChainInfo) -> Option<Ended> {
        let sync = Sync {
            age: Duration::ZERO,
            is_initial_download: info.is_initial_download,
            blocks: info.blocks,
            headers: info.headers,
        };
        self.sync = Some((Instant::now(), sync));
        let network = self.config.network;
        self.is_wrong_chain = info.network() != Some(network);
        if !self.is_wrong_chain {
            return None;
        }
        if !self.work.has_job() {
            return Some(Ended::WrongChain { node: info.chain.clone(), pool: network });
        }
        // Miners have work of the right chain in hand; the node may be put right again.
        let message = "the node has changed to another chain, its work is not handed out";
        error!(component = "feed", chain = info.chain, network = network.name(), "{message}");
        self.feed.failed(format!("{message}: {}", info.chain));
        None
    }

    fn on_template(&mut self, work: Work) {
        if self.is_wrong_chain {
            return;
        }
        let Work { template, known_since, unverified } = work;
        let before = self.work.job();
        let updated = self.work.update(*template, unverified.is_none());
        if let Ok(Some(job)) = &updated {
            if before.is_some_and(|before| !before.is_same_tip_as(job)) {
                self.hand_out_on_new_tip(job, known_since);
            } else {
                self.hand_out(job);
            }
        }
        let elapsed = known_since.elapsed();
        // Whoever waits for the miners to have their work may go on.
        drop(unverified);
        self.feed.succeeded(self.rpc.label());
        match updated {
            Ok(Some(job)) => {
                self.feed.new_work(elapsed);
                self.open_listeners();
                info!(
                    component = "feed",
                    job = job.id,
                    height = job.height,
                    transactions = job.transactions.len(),
                    elapsed_ms = milliseconds(elapsed),
                    "new job"
                );
            }
            Ok(None) => {}
            Err(error) => {
                warn!(component = "feed", %error, "template cannot be mined");
                self.feed.failed(error.to_string());
            }
        }
    }

    /// The node's own words about a transaction were wrong, so that no block could be made of the
    /// last job: miners get what they had before.
    fn on_withdrawn(&mut self, error: String) {
        error!(component = "feed", error, "the newest work is withdrawn");
        self.feed.failed(error);
        match self.work.withdraw() {
            Ok(Some(job)) => self.hand_out(&job),
            Ok(None) => {}
            Err(error) => warn!(component = "feed", %error, "template cannot be mined"),
        }
    }

    fn hand_out(&self, job: &Arc<Job>) {
        for shard in &self.shards {
            shard.downlink.send_job(Arc::clone(job));
        }
    }

    /// Which shard a connection is at, only that shard knows.
    fn send_errand(&self, errand: &Errand) {
        for (id, shard) in self.shards.iter().enumerate() {
            if !shard.downlink.send_errand(errand.clone()) {
                warn!(
                    component = "control",
                    shard = id,
                    "too many errands at once, one is refused"
                );
            }
        }
    }

    fn hand_out_on_new_tip(&self, job: &Arc<Job>, known_since: Instant) {
        let new_tip = NewTip::new(known_since);
        for shard in &self.shards {
            shard.downlink.send_job_on_new_tip(Arc::clone(job), Arc::clone(&new_tip));
        }
    }

    /// With the first job miners are welcome; until then connecting is refused by the kernel.
    fn open_listeners(&mut self) {
        if !self.open_listeners.is_empty() {
            return;
        }
        for (listener, tls) in self.listeners.drain(..) {
            match listen(&listener).and_then(|()| listener.local_addr()) {
                Ok(address) => {
                    let open = StratumListener { address: address.to_string(), tls };
                    if !self.open_listeners.contains(&open) {
                        self.open_listeners.push(open);
                    }
                }
                Err(error) => error!(component = "stratum", %error, "cannot listen"),
            }
        }
        for shard in &self.shards {
            shard.downlink.send_phase(Phase::Open);
        }
        for StratumListener { address: addr, tls } in &self.open_listeners {
            let transport = if *tls { "tls" } else { "tcp" };
            info!(component = "stratum", transport, addr, "listening");
        }
    }

    /// Producers first: when the shards have ended nothing more can be found; then the blocks.
    fn stop(mut self, reports: &Receiver<Report>) {
        info!(component = "control", "stopping");
        // A listener that control still holds would keep the port open.
        self.listeners.clear();
        for shard in &self.shards {
            shard.downlink.send_phase(Phase::Stopping);
        }
        let deadline = Instant::now() + SHARDS_STOP_MAX;
        loop {
            match reports.recv_deadline(deadline) {
                Ok(report) => self.on_report(report),
                // All shards have gone.
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    warn!(component = "control", "the shards have not ended in time");
                    break;
                }
            }
        }
        self.blocks.stop();
        // Nothing more can come in.
        self.upkeep.finish(&mut self.ledger, unix_now());
        if let Some(profiles) = self.profiles.take() {
            profiles.finish();
        }
        for (id, shard) in self.shards.into_iter().enumerate() {
            let ended = thread::spawn(move || shard.handle.join());
            if join::ends_by(&ended, deadline)
                && let Ok(Err(error)) = ended.join()
            {
                error!(component = "control", shard = id, error, "shard failed");
            }
        }
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.2}", duration.as_secs_f64() * 1000.0)
}
