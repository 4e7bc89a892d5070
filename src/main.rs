//! The daemon: what is started in which order, and stopped in which.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use crossbeam_channel::unbounded;
use tikv_jemallocator::Jemalloc;
use tracing::{info, warn};

use gopool::blocks::{Blocks, BlocksPlan, Herald};
use gopool::cli::Flags;
use gopool::clock::unix_now;
use gopool::codes::{Codes, StoredCode};
use gopool::config::{Config, ConfigError, Loader, admin, bring_up_to_date, examples};
use gopool::control::{self, ControlPlan, Ended, UpkeepPlan, first_snapshot};
use gopool::cores::Cores;
use gopool::history::HistoryKeeper;
use gopool::join;
use gopool::launch::{shared_state, start_shards};
use gopool::ledger::RosterReader;
use gopool::live::LiveSettings;
use gopool::log::tail::LogFiles;
use gopool::log::{self, EarlyLog, Log, LogPlan};
use gopool::node::feed::{self, FeedPlan};
use gopool::node::rpc::Rpc;
use gopool::node::{info, peers};
use gopool::notices::Notices;
use gopool::notices::discord::Links;
use gopool::ports::{self, ListenError};
use gopool::preflight::{NoIoUring, check_io_uring, raise_open_files_limit};
use gopool::preview;
use gopool::profiles::Profiles;
use gopool::saved_workers::SavedWorkers;
use gopool::services::{Services, ServicesPlan};
use gopool::sightings::Sightings;
use gopool::signals;
use gopool::snapshot::SnapshotCell;
use gopool::status::{AdminPlan, HttpsPort, PeoplePlan, StatusPlan, StatusSwitch, WorkersPlan};
use gopool::store::{CodeRow, PutBack, StoreError, StoreHandle, StorePlan};
use gopool::supervise::Supervisor;
use gopool::tls::{Certificate, TlsError};
use gopool::{build, panic_log, profile, status, store};
use gopool_shards::executor::Port;
use gopool_shards::link::uplink;
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
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
}

impl Fatal {
    fn exit_code(&self) -> u8 {
        match self {
            Self::NoIoUring(_) => 3,
            Self::WrongChain { .. } => 4,
            Self::Listen(_) => 5,
            Self::Config(error) if error.is_about_addresses() => 6,
            Self::Config(_) | Self::Tls(_) | Self::Store(_) | Self::Start(_) => 1,
        }
    }
}

fn main() -> ExitCode {
    // In the folder it is started in: the data folder is not known yet.
    panic_log::install("panic.log".into());
    let early_log = log::start();
    let flags = Flags::from_args();
    let loader = Loader::new(flags.clone());
    if flags.check {
        return match preview::check(&loader, &mut io::stdout().lock()) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            // Whoever reads it has gone.
            Err(_) => ExitCode::FAILURE,
        };
    }
    if let Some(copy) = &flags.restore {
        return put_back(&flags, copy);
    }
    // Dropped last: it writes what the others have had to say, and why the pool ends.
    let mut log = None;
    match run(&flags, loader, early_log, &mut log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fatal) => {
            tracing::error!(component = "startup", error = %fatal, "goPool ends");
            // The first steps have been said.
            if !matches!(fatal, Fatal::Config(ConfigError::Missing(_))) {
                for line in fatal.to_string().lines() {
                    eprintln!("gopool: {line}");
                }
            }
            ExitCode::from(fatal.exit_code())
        }
    }
}

/// `-restore`: needs no configuration, and the pool must not run.
fn put_back(flags: &Flags, copy: &Path) -> ExitCode {
    match store::restore(&flags.data_dir(), copy) {
        Ok(put_back) => {
            let written = write_put_back(&put_back, copy, &mut io::stdout().lock());
            // It is done, whether anybody reads of it or not.
            written.map_or(ExitCode::SUCCESS, |()| ExitCode::SUCCESS)
        }
        Err(error) => {
            eprintln!("gopool: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write_put_back(put_back: &PutBack, copy: &Path, out: &mut impl io::Write) -> io::Result<()> {
    writeln!(out, "{} is in place as {}.", copy.display(), put_back.database.display())?;
    for (table, rows) in &put_back.rows {
        writeln!(out, "  {table}: {rows}")?;
    }
    match &put_back.kept {
        Some(kept) => writeln!(out, "What was there before is kept as {}.", kept.display()),
        None => writeln!(out, "There was no database before."),
    }
}

/// Reads the configuration. Without one the examples are written, and what to do with them is said.
fn configure(loader: &Loader) -> Result<Config, Fatal> {
    match loader.load() {
        Ok(config) => Ok(config),
        Err(ConfigError::Missing(paths)) => {
            examples::write_all(&paths)?;
            preview::write_first_steps(loader, &mut io::stdout().lock())?;
            Err(ConfigError::Missing(paths).into())
        }
        Err(error) => {
            if let Err(error) = examples::write_all(loader.paths()) {
                eprintln!("gopool: {error}");
            }
            Err(error.into())
        }
    }
}

fn run(
    flags: &Flags,
    loader: Loader,
    early_log: EarlyLog,
    log: &mut Option<Log>,
) -> Result<(), Fatal> {
    let started = Instant::now();
    // Everything that can be refused is, before anything is started.
    let config = configure(&loader)?;
    check_io_uring()?;
    let open_files = raise_open_files_limit();
    let cores = Cores::plan(config.shards);
    let certificate = match config.stratum_tls_listen.or(config.status_tls_listen) {
        Some(_) => Some(Certificate::load_or_make(&config.data_dir)?),
        None => None,
    };
    let stratum = bind_stratum(&config, cores.shards.len(), certificate.as_ref())?;
    let status_ports = bind_status(&config, certificate.as_ref())?;
    // Threads that are started from here on stay on the control core, until they choose another.
    cores.pin_control();
    // Signals before threads: all of them inherit that they are handled.
    let supervisor = Supervisor::from_env();
    let switch = Arc::new(StatusSwitch::default());
    switch.set_public_url(config.public_url.clone());
    let (commander, commands) = unbounded();
    let live = LiveSettings::new(loader.clone(), config.clone(), commander.clone());
    signals::listen(
        Arc::clone(&live),
        Arc::clone(&switch),
        Arc::clone(&supervisor),
        commander.clone(),
    )?;
    let log_plan = log_plan(flags, &config);
    log_plan.announce(flags.log_dir().as_deref());
    let logs = LogFiles::of(&log_plan);
    let levels = log.insert(early_log.open(log_plan)?).levels();
    announce(&config, &cores, open_files);
    bring_up_to_date(&config, flags.rewrite_config);
    admin::keep_in_order(loader.paths())?;
    if let Some(certificate) = &certificate {
        certificate.watch()?;
    }
    // Ends and is written when this function does, at the latest.
    let _profile = if flags.profile { profile::start() } else { None };
    // The database before whatever could find a block; the page before the node, so that people
    // can watch it come up.
    let (writer, restored) = store::open(&StorePlan {
        data_dir: &config.data_dir,
        ended_bans: config.ended_bans,
        backup: backup_path(&config),
    })?;
    let (store, reader, store_thread) = writer.spawn()?;
    let saved = SavedWorkers::new(restored.saved_workers, store.clone());
    let links = Links::new(restored.links, store.clone());
    let codes = Arc::new(Mutex::new(restore_codes(&config, restored.codes, &store)));
    let roster = RosterReader::default();
    let shared = shared_state(&config, started, &restored.bans);
    let state = config.data_dir.join("state");
    let history = HistoryKeeper::open(&state, (unix_now() / 60) as u32)?;
    history.set_flush_interval(config.history_flush_interval);
    // Before the blocks: there is none that nobody would hear of.
    let Services { clerk, discord, prices, running } = Services::spawn(ServicesPlan {
        config: &config,
        state,
        backup_on_boot: flags.backup_on_boot,
        store: store.clone(),
        reader: reader.clone(),
        saved: saved.clone(),
        links: links.clone(),
        codes: Arc::clone(&codes),
        roster: roster.clone(),
        watched: restored.watched,
        blocks: &restored.blocks,
        untold: restored.untold,
    })?;
    let snapshots = SnapshotCell::new(first_snapshot(&config));
    let status_thread = match status_ports {
        // Whoever holds them keeps the database from being closed.
        (None, None) => {
            drop((links, discord));
            None
        }
        (http, https) => {
            let sightings = Sightings::new(store.clone());
            let plan = StatusPlan {
                http,
                https,
                trusted_proxies: config.trusted_proxies.clone(),
                proxy_protocol: config.proxy_protocol,
                challenges: config.data_dir.join("www/.well-known/acme-challenge"),
                snapshots: snapshots.clone(),
                history: history.reader(),
                core: cores.control,
                templates: config.data_dir.join("templates"),
                json: !flags.no_json,
                workers: Some(WorkersPlan {
                    people: PeoplePlan {
                        saved: saved.clone(),
                        roster: roster.clone(),
                        history: history.reader(),
                        codes: Arc::clone(&codes),
                        links: links.clone(),
                        has_discord: config.notices.discord.is_some(),
                        has_notices: config.notices.is_for_somebody(),
                        sightings: sightings.clone(),
                        clerk: clerk.clone(),
                        local: flags
                            .saved_workers_local_noauth
                            .then(|| config.local_noauth_from.clone()),
                    },
                    bans: Arc::clone(&shared.bans),
                    network: config.network,
                    commands: commander.clone(),
                    reconnect: config.reconnect,
                }),
                admin: Some(AdminPlan {
                    paths: loader.paths().clone(),
                    commands: commander,
                    live,
                    logs,
                    roster: roster.clone(),
                    bans: Arc::clone(&shared.bans),
                    saved: saved.clone(),
                    codes: Arc::clone(&codes),
                    links,
                    discord,
                    sightings,
                    clerk,
                    reader: reader.clone(),
                    backup: config.backup.clone(),
                }),
            };
            Some(start_status(plan, &switch)?)
        }
    };
    let auth = config.rpc_auth.to_auth(config.network);
    auth.watch()?;
    let rpc = Arc::new(Rpc::new(&config.rpc_url, auth));
    let peer_cleaning = Arc::new(ArcSwap::from_pointee(config.peer_cleaning));
    peers::spawn(Arc::clone(&rpc), Arc::clone(&peer_cleaning))?;
    let node = info::spawn(Arc::clone(&rpc))?;
    let (up, uplink) = uplink(cores.shards.len());
    let (block_sender, block_events) = unbounded();
    let blocks = Blocks::spawn(
        BlocksPlan {
            network: config.network,
            restored: restored.pending,
            lives: restored.blocks.clone(),
            herald: herald(&running.notices),
        },
        Arc::clone(&rpc),
        store.clone(),
        uplink.solved,
        block_sender,
    )?;
    // The shards before the feed: the first job finds them waiting.
    let copy = |port: &Port| Ok((port.listener.try_clone()?, port.tls.is_some()));
    let listeners = stratum.iter().flatten().map(copy).collect::<io::Result<_>>()?;
    let shards = start_shards(&config, &cores, stratum, &shared, up)?;
    let (node_sender, node_events) = unbounded();
    let feed_plan = FeedPlan { network: config.network, zmq: config.zmq.clone() };
    feed::spawn(feed_plan, Arc::clone(&rpc), node_sender)?;

    let ended = control::run(ControlPlan {
        started,
        rpc,
        node_events,
        node,
        shards,
        cores: cores.shards.iter().map(|core| core.unwrap_or_default()).collect(),
        reports: uplink.reports,
        listeners,
        directory: Arc::clone(&shared.directory),
        reconnects: Arc::clone(&shared.reconnects),
        blocks,
        block_events,
        found: restored.blocks,
        roster,
        best_shares: restored.best_shares,
        upkeep: UpkeepPlan {
            store: store.clone(),
            bans: Arc::clone(&shared.bans),
            ended_bans: config.ended_bans,
            saved,
            codes,
            history,
        },
        backups: running.backups.figures(),
        notices: running.notices.desk(),
        prices,
        store,
        snapshots,
        supervisor,
        levels,
        peer_cleaning,
        profiles: flags.miner_profile_json().map(Profiles::spawn).transpose()?,
        commands,
        config,
    });

    // Control has stopped shards and blocks; what they wrote down is on its way to the disk.
    running.stop();
    switch.stop();
    if let Some(thread) = status_thread {
        let _ = thread.join();
    }
    // A disk that takes nothing must not keep the process from ending.
    if !join::ends_by(&store_thread, Instant::now() + STORE_STOP_MAX) {
        warn!(component = "db", "the database has not been written completely");
    }
    info!(component = "startup", "goPool stopped");
    match ended {
        Ended::Stopped => Ok(()),
        Ended::WrongChain { node, pool } => Err(Fatal::WrongChain { node, pool }),
    }
}

/// The errors are always below the data folder.
fn log_plan(flags: &Flags, config: &Config) -> LogPlan {
    let logs = config.data_dir.join("logs");
    let folder = flags.log_dir().unwrap_or_else(|| logs.clone());
    LogPlan {
        pool: flags.pool_log().unwrap_or_else(|| folder.join("pool.log")),
        errors: logs.join("errors.log"),
        debug: flags.debug_log().unwrap_or_else(|| folder.join("debug.log")),
        net_debug: flags.net_debug_log().unwrap_or_else(|| folder.join("net-debug.log")),
        stdout: flags.stdout,
        levels: config.log_levels,
    }
}

/// What starts, with what it was told.
fn announce(config: &Config, cores: &Cores, open_files: u64) {
    info!(
        component = "startup",
        version = build::VERSION,
        built = build::TIME,
        network = config.network.name(),
        rpc = config.rpc_url,
        shards = cores.shards.len(),
        sha256d = gopool_shards::sha256d::kernel_name(),
        "goPool starts"
    );
    for warning in &config.warnings {
        warn!(component = "config", "{warning}");
    }
    audit(config);
    let connections_max = config.settings.connections_max as u64;
    if open_files < connections_max {
        warn!(
            component = "startup",
            open_files,
            connections_max,
            "fewer files may be open than connections are allowed: raise LimitNOFILE"
        );
    }
}

/// Who is to hear of found blocks.
fn herald(notices: &Notices) -> Option<Herald> {
    notices.blocks().map(|door| Herald { door, places: notices.places() })
}

fn start_status(plan: StatusPlan, switch: &Arc<StatusSwitch>) -> io::Result<JoinHandle<()>> {
    let addr = |listener: &TcpListener| listener.local_addr();
    let http = plan.http.as_ref().map(addr).transpose()?;
    let https = plan.https.as_ref().map(|port| addr(&port.listener)).transpose()?;
    let thread = status::spawn(plan, Arc::clone(switch))?;
    if let Some(addr) = http {
        info!(component = "http", transport = "tcp", %addr, "listening");
    }
    if let Some(addr) = https {
        info!(component = "http", transport = "tls", %addr, "listening");
    }
    Ok(thread)
}

/// The ports of the pages: HTTP and HTTPS, as far as they are switched on.
fn bind_status(
    config: &Config,
    certificate: Option<&Arc<Certificate>>,
) -> Result<(Option<TcpListener>, Option<HttpsPort>), Fatal> {
    let bind = |what, address: Option<SocketAddr>| {
        address.map(|address| ports::bind_status(what, address)).transpose()
    };
    let http = bind(ports::STATUS, config.status_listen)?;
    let listener = bind(ports::STATUS_TLS, config.status_tls_listen)?;
    let https = match listener.zip(certificate) {
        Some((listener, certificate)) => {
            Some(HttpsPort { listener, tls: certificate.server_config()? })
        }
        None => None,
    };
    Ok((http, https))
}

/// One line for each key that is set in an optional file, so that the log says what is in force
/// (`config.md` D-06).
fn audit(config: &Config) {
    for entry in config.entries.iter().filter(|entry| entry.is_audited()) {
        info!(component = "config", key = entry.key.path(), value = entry.to_string(), "set");
    }
    for (bit, enabled) in &config.job_inputs.version_bits {
        info!(component = "config", key = "bits", bit, enabled, "set");
    }
    let count = config.settings.banned_clients.len();
    if count > 0 {
        info!(component = "config", count, "clients that are turned away");
    }
    if config.accept.rates().is_some() {
        let numbers = config.accept.numbers();
        info!(
            component = "config",
            max_accept_burst = numbers.burst,
            max_accepts_per_second = numbers.per_second,
            accept_steady_state_rate = numbers.steady_per_second,
            max_conns = config.settings.connections_max,
            "limits of new connections"
        );
    }
}

/// Where the local copy of the database is, or would be if it were wanted.
fn backup_path(config: &Config) -> PathBuf {
    let usual = || config.data_dir.join("state/workers.db.bak");
    config.backup.path.clone().unwrap_or_else(usual)
}

/// The codes that were alive when the last run ended. They are in memory from now on: a crash loses
/// them, which costs whoever has one another click.
fn restore_codes(config: &Config, rows: Vec<CodeRow>, store: &StoreHandle) -> Codes {
    let mut codes = Codes::new(&config.job_inputs.pool_entropy);
    let rows = rows.into_iter().map(|row| StoredCode {
        user_id: row.user_id,
        code: row.code,
        created_at_unix: row.created_at,
        expires_at_unix: row.expires_at,
    });
    codes.restore(rows.collect(), unix_now());
    store.save_codes(Vec::new());
    codes
}

/// The ports of each shard: every one has a socket of its own for every address.
fn bind_stratum(
    config: &Config,
    shards: usize,
    certificate: Option<&Arc<Certificate>>,
) -> Result<Vec<Vec<Port>>, Fatal> {
    let plain = ports::bind_stratum(ports::STRATUM, config.stratum_listen, shards)?;
    let mut ports: Vec<Vec<Port>> =
        plain.into_iter().map(|listener| vec![Port { listener, tls: None }]).collect();
    if let (Some(address), Some(certificate)) = (config.stratum_tls_listen, certificate) {
        let listeners = ports::bind_stratum(ports::STRATUM_TLS, address, shards)?;
        let tls = certificate.server_config()?;
        for (ports, listener) in ports.iter_mut().zip(listeners) {
            ports.push(Port { listener, tls: Some(Arc::clone(&tls)) });
        }
    }
    Ok(ports)
}
