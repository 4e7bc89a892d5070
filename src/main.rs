//! The daemon: what is started in which order, and stopped in which.

use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded, unbounded};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tikv_jemallocator::Jemalloc;
use tracing::{info, warn};

use gopool::blocks::{Blocks, BlocksPlan};
use gopool::cli::Flags;
use gopool::config::{self, Config, ConfigError, RpcAuth};
use gopool::control::{self, ControlPlan, Ended, ShardEnd, first_snapshot};
use gopool::node::cookie::{Auth, CookieFile};
use gopool::node::feed::{self, FeedPlan};
use gopool::node::rpc::Rpc;
use gopool::preflight::{NoIoUring, check_io_uring, raise_open_files_limit};
use gopool::snapshot::SnapshotCell;
use gopool::store::{BanRow, StoreError};
use gopool::supervise::Supervisor;
use gopool::tls::{Certificate, TlsError};
use gopool::{entropy, log, status, store};
use gopool_shards::admission::Admission;
use gopool_shards::admission::ban::Ban;
use gopool_shards::admission::bans::Bans;
use gopool_shards::admission::bucket::AcceptLimiter;
use gopool_shards::admission::reconnect::ReconnectTracker;
use gopool_shards::admission::violations::Violations;
use gopool_shards::executor::{self, Port, ShardPlan, SharedState, bind_shared};
use gopool_shards::link::{Uplink, downlink, uplink};
use gopool_shards::session::directory::Directory;
use gopool_shards::work::address::Network;

/// Tens of thousands of miners come and go; what they took must not stay.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// How long the last changes may take to reach the disk.
const STORE_STOP_MAX: Duration = Duration::from_secs(15);

/// Why the daemon did not start, or ended by itself. Each kind has its own exit code.
#[derive(Debug, thiserror::Error)]
enum Fatal {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    NoIoUring(#[from] NoIoUring),
    #[error(
        "the node is on the chain {node:?}, the pool on {}. Start the pool with -network for the \
         node's chain, or set node.rpc_url to a node of {}.", pool.name(), pool.name()
    )]
    WrongChain { node: String, pool: Network },
    #[error("cannot listen on {address} ({what}): {source}. {}", advice(source))]
    Listen { what: &'static str, address: String, source: std::io::Error },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot start: {0}")]
    Start(#[from] std::io::Error),
}

fn advice(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => "Stop what is using it, or choose another port.",
        std::io::ErrorKind::PermissionDenied => {
            "Ports below 1024 need the capability CAP_NET_BIND_SERVICE."
        }
        _ => "Check the address in the configuration.",
    }
}

impl Fatal {
    fn exit_code(&self) -> u8 {
        match self {
            Self::NoIoUring(_) => 3,
            Self::WrongChain { .. } => 4,
            Self::Listen { .. } => 5,
            Self::Config(ConfigError::Address { .. }) => 6,
            Self::Config(_) | Self::Tls(_) | Self::Store(_) | Self::Start(_) => 1,
        }
    }
}

fn main() -> ExitCode {
    let flags = Flags::from_args();
    match run(&flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fatal) => {
            tracing::error!(component = "startup", error = %fatal, "goPool ends");
            eprintln!("gopool: {fatal}");
            ExitCode::from(fatal.exit_code())
        }
    }
}

fn run(flags: &Flags) -> Result<(), Fatal> {
    let started = Instant::now();
    // Everything that can be refused is, before anything is started.
    let config = config::load(flags)?;
    check_io_uring()?;
    let open_files = raise_open_files_limit();
    let cores = Cores::plan(config.shards);
    let certificate = match config.stratum_tls_listen {
        Some(_) => Some(Certificate::load_or_make(&config.data_dir)?),
        None => None,
    };
    let stratum = bind_stratum(&config, cores.shards.len(), certificate.as_ref())?;
    let status_listener = match config.status_listen {
        Some(address) => Some(
            TcpListener::bind(address).map_err(|source| listen_error("status", address, source))?,
        ),
        None => None,
    };
    // Threads that are started from here on stay on the control core, until they choose another.
    cores.pin_control();
    // Signals before threads: all of them inherit that they are handled.
    let stop = stop_on_signals()?;
    // Dropped last: it writes what the others have had to say.
    let _log = log::open(log::LogPlan {
        folder: config.data_dir.join("logs"),
        stdout: config.stdout,
        debug: config.debug,
    })?;
    info!(
        component = "startup",
        version = env!("CARGO_PKG_VERSION"),
        network = config.network.name(),
        rpc = config.rpc_url,
        shards = cores.shards.len(),
        sha256d = gopool_shards::sha256d::kernel_name(),
        "goPool starts"
    );
    if let Some(certificate) = &certificate {
        certificate.watch()?;
    }
    let connections_max = config.settings.connections_max as u64;
    if open_files < connections_max {
        warn!(
            component = "startup",
            open_files,
            connections_max,
            "fewer files may be open than connections are allowed: raise LimitNOFILE"
        );
    }
    // The database before whatever could find a block; the page before the node, so that people
    // can watch it come up.
    let (writer, restored) = store::open(&config.data_dir, config.ended_bans)?;
    let (store, store_thread) = writer.spawn()?;
    let snapshots = SnapshotCell::new(first_snapshot(&config));
    let status_stop = Arc::new(AtomicBool::new(false));
    let status_thread = match status_listener {
        Some(listener) => {
            let addr = listener.local_addr()?;
            let stop = Arc::clone(&status_stop);
            let thread = status::spawn(listener, snapshots.clone(), cores.control, stop)?;
            info!(component = "http", %addr, "listening");
            Some(thread)
        }
        None => None,
    };
    let auth = auth(&config);
    auth.watch()?;
    let rpc = Arc::new(Rpc::new(&config.rpc_url, auth));
    let (up, uplink) = uplink(cores.shards.len());
    let (block_sender, block_events) = unbounded();
    let blocks = Blocks::spawn(
        BlocksPlan {
            payout_address: config.payout_address.clone(),
            network: config.network,
            restored: restored.pending,
        },
        Arc::clone(&rpc),
        store.clone(),
        uplink.solved,
        block_sender,
    )?;
    // The shards before the feed: the first job finds them waiting.
    let copy = |port: &Port| Ok((port.listener.try_clone()?, port.tls.is_some()));
    let listeners = stratum.iter().flatten().map(copy).collect::<std::io::Result<_>>()?;
    let shared = shared_state(&config, started, &restored.bans);
    let shards = start_shards(&config, &cores, stratum, &shared, up)?;
    let (node_sender, node_events) = unbounded();
    let feed_plan = FeedPlan { network: config.network, zmq: config.zmq.clone() };
    feed::spawn(feed_plan, Arc::clone(&rpc), node_sender)?;

    let ended = control::run(ControlPlan {
        started,
        rpc,
        node_events,
        shards,
        cores: cores.shards.iter().map(|core| core.unwrap_or_default()).collect(),
        reports: uplink.reports,
        listeners,
        blocks,
        block_events,
        found: restored.found,
        store,
        snapshots,
        supervisor: Supervisor::from_env(),
        stop,
        config,
    });

    // Control has stopped shards and blocks; what they wrote down is on its way to the disk.
    status_stop.store(true, Ordering::Relaxed);
    if let Some(thread) = status_thread {
        let _ = thread.join();
    }
    join_within(store_thread, STORE_STOP_MAX);
    info!(component = "startup", "goPool stopped");
    match ended {
        Ended::Stopped => Ok(()),
        Ended::WrongChain { node, pool } => Err(Fatal::WrongChain { node, pool }),
    }
}

/// A disk that takes nothing must not keep the process from ending.
fn join_within(thread: thread::JoinHandle<()>, limit: Duration) {
    let deadline = Instant::now() + limit;
    while !thread.is_finished() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    if !thread.is_finished() {
        warn!(component = "db", "the database has not been written completely");
    }
}

fn listen_error(
    what: &'static str,
    address: std::net::SocketAddr,
    source: std::io::Error,
) -> Fatal {
    Fatal::Listen { what, address: address.to_string(), source }
}

/// The ports of each shard: every one has a socket of its own for every address.
fn bind_stratum(
    config: &Config,
    shards: usize,
    certificate: Option<&Arc<Certificate>>,
) -> Result<Vec<Vec<Port>>, Fatal> {
    let bind = |what, address| {
        bind_shared(address, shards).map_err(|source| listen_error(what, address, source))
    };
    let plain = bind("stratum", config.stratum_listen)?;
    let mut ports: Vec<Vec<Port>> =
        plain.into_iter().map(|listener| vec![Port { listener, tls: None }]).collect();
    if let (Some(address), Some(certificate)) = (config.stratum_tls_listen, certificate) {
        let listeners = bind("stratum over TLS", address)?;
        let tls = certificate.server_config()?;
        for (ports, listener) in ports.iter_mut().zip(listeners) {
            ports.push(Port { listener, tls: Some(Arc::clone(&tls)) });
        }
    }
    Ok(ports)
}

fn auth(config: &Config) -> Auth {
    match &config.rpc_auth {
        RpcAuth::None => Auth::None,
        RpcAuth::Cookie(path) => Auth::Cookie(CookieFile::at(path)),
        RpcAuth::DetectedCookie => Auth::Cookie(CookieFile::detected(config.network)),
    }
}

/// What all shards share, with the bans of earlier runs.
fn shared_state(config: &Config, started: Instant, bans: &[BanRow]) -> SharedState {
    let list = Bans::default();
    for BanRow { worker, until, reason } in bans {
        list.insert(Ban::new(worker, *until, reason, None));
    }
    let limiter = config.accept.rates().map(|rates| AcceptLimiter::new(rates, started.elapsed()));
    SharedState {
        directory: Arc::new(Directory::new(Some(entropy::secret()))),
        admission: Admission::default(),
        limiter: limiter.map(Arc::new),
        reconnects: ReconnectTracker::new(config.reconnects),
        bans: Arc::new(list),
        violations: Violations::new(),
        started,
    }
}

fn start_shards(
    config: &Config,
    cores: &Cores,
    ports: Vec<Vec<Port>>,
    shared: &SharedState,
    up: Uplink,
) -> std::io::Result<Vec<ShardEnd>> {
    let settings = Arc::new(config.settings.clone());
    let mut shards = Vec::new();
    for (id, (core, ports)) in cores.shards.iter().zip(ports).enumerate() {
        let (downlink, down) = downlink();
        let plan = ShardPlan {
            id,
            core: *core,
            ports,
            settings: Arc::clone(&settings),
            shared: shared.clone(),
        };
        let handle = executor::spawn(plan, down, up.clone())?;
        shards.push(ShardEnd { downlink, handle });
    }
    // The shards' ends are all there are: when they have gone the other end notices.
    drop(up);
    Ok(shards)
}

/// Which thread runs where. None leaves a thread to the kernel.
struct Cores {
    control: Option<usize>,
    shards: Vec<Option<usize>>,
}

impl Cores {
    /// The first core is control's, the others the shards'; when there are more shards than that
    /// they come round to the first, and a single core is shared.
    fn plan(configured: usize) -> Self {
        let cores: Vec<usize> = core_affinity::get_core_ids()
            .unwrap_or_default()
            .into_iter()
            .map(|core| core.id)
            .collect();
        let count = match configured {
            0 => cores.len().saturating_sub(1).max(1),
            count => count,
        };
        let shards = (0..count)
            .map(|shard| (!cores.is_empty()).then(|| cores[(shard + 1) % cores.len()]))
            .collect();
        Self { control: cores.first().copied(), shards }
    }

    fn pin_control(&self) {
        if let Some(id) = self.control {
            core_affinity::set_for_current(core_affinity::CoreId { id });
        }
    }
}

/// The first SIGINT or SIGTERM stops the pool in order; a second one ends it at once.
fn stop_on_signals() -> std::io::Result<Receiver<()>> {
    let (sender, stop) = bounded(1);
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        for _ in signals.forever() {
            if sender.try_send(()).is_err() {
                std::process::exit(1);
            }
        }
    })?;
    Ok(stop)
}
