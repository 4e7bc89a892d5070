//! What all modes need before they start: a target, and what is known of the server behind it.

use std::io;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::check::CheckError;
use super::fleet::{Against, FleetPlan};
use super::server::{CREDENTIALS, PoolPlan, Server, ServerError};
use super::target::{NotLoopback, Target};
use super::wire::Dialect;
use crate::net::machine;
use crate::node::{Node, NodeError, NodePlan};

/// Descriptors that are no connections: files, pipes, the node's sockets.
const SPARE_FILES: u64 = 200;
/// As hard to meet as mainnet in 2026: no share of a test is a block.
pub const MAINNET_BITS: u32 = 0x1703_4219;
/// One hash in 2^16 is a block.
pub const EASY_BITS: u32 = 0x1f00_ffff;

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum FloodError {
    #[error(transparent)]
    NotLoopback(#[from] NotLoopback),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error(
        "{needed} files must be open and {allowed} may be. Raise the hard limit (`ulimit -Hn \
         {needed}` as root, or LimitNOFILE), or take fewer --connections"
    )]
    OpenFiles { needed: u64, allowed: u64 },
    #[error("cannot stay on CPU {cpu}: {source}. Choose others with --server-cpu and --client-cpu")]
    Pin { cpu: usize, source: io::Error },
    #[error("may not go before other programs: {0}. Be root, or leave --go-first out")]
    GoFirst(io::Error),
    #[error(
        "cannot connect to {target}: {source}. Is it listening there? A pool opens its port with \
         its first job. When no address is left, wait a minute or lower --per-address"
    )]
    Connect { target: SocketAddrV4, source: io::Error },
    #[error(
        "{ready} of {wanted} miners got work in {:.1} s{}. Is a pool or yardstick listening there, \
         and may so many come in?", waited.as_secs_f64(), because(reason)
    )]
    NotReady { ready: usize, wanted: usize, waited: Duration, reason: String },
    #[error("the pool's work is wrong: {0}")]
    Check(#[from] CheckError),
    #[error("{0}")]
    Usage(&'static str),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the measurement failed: {0}")]
    Io(#[from] io::Error),
}

fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!("; the last to fail: {reason}") }
}

/// What every mode takes.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// The server under load; a loopback address
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3333")]
    pub target: SocketAddrV4,
    /// Start this program instead, on a CPU of its own, and end it afterwards: a `gopool` (with a
    /// stand-in node) or a `gopool-yardstick`, told apart by their names
    #[arg(long, value_name = "PROGRAM")]
    pub spawn: Option<PathBuf>,
    /// What answers there: a yardstick gives no work [default: pool, or what --spawn starts]
    #[arg(long, value_enum)]
    pub against: Option<AgainstName>,
    /// The server's process id, when it was not started here: for its CPU time and memory
    #[arg(long, value_name = "ID")]
    pub pid: Option<u32>,
    /// Speak TLS; with --spawn to the pool's TLS port
    #[arg(long)]
    pub tls: bool,
    /// How requests are written
    #[arg(long, value_enum, default_value_t)]
    pub dialect: Dialect,
    /// Miners that come from one address of 127.0.0.0/8
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    pub per_address: usize,
    /// The CPU of a server started here
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub server_cpu: usize,
    /// The CPU of this program and its node, when it starts the server
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub client_cpu: usize,
    /// Threads that serve miners, of a pool started here
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub shards: usize,
    /// Leave it to the kernel where everything runs
    #[arg(long)]
    pub no_pinning: bool,
    /// Keep other programs off both CPUs while it runs, which takes root: for figures from a
    /// machine that is busy with something else
    #[arg(long)]
    pub go_first: bool,
    /// Transactions of the stand-in node's templates
    #[arg(long, value_name = "COUNT", default_value_t = 4000)]
    pub transactions: usize,
    /// Write the figures to this file too
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum AgainstName {
    Pool,
    Yardstick,
}

/// A mode's wishes of a pool that is started here.
#[derive(Clone, Copy, Debug)]
pub struct Wishes {
    pub connections: usize,
    pub bits: u32,
    pub is_flood: bool,
    pub has_bans: bool,
}

impl Wishes {
    pub fn of(connections: usize) -> Self {
        Self { connections, bits: MAINNET_BITS, is_flood: true, has_bans: false }
    }
}

/// Ready to measure.
pub struct Setup {
    pub target: Target,
    pub against: Against,
    pub pid: Option<u32>,
    pub node: Option<Node>,
    /// Where a yardstick takes orders.
    pub control: Option<SocketAddrV4>,
    /// Last, so that it ends when all else has.
    _server: Option<Server>,
}

impl Setup {
    pub fn new(common: &Common, wishes: &Wishes) -> Result<Self, FloodError> {
        let needed = wishes.connections as u64 + SPARE_FILES;
        let allowed = machine::raise_open_files(needed);
        if allowed < needed {
            return Err(FloodError::OpenFiles { needed, allowed });
        }
        let against = match (common.against, &common.spawn) {
            (Some(AgainstName::Yardstick), _) => Against::Yardstick,
            (None, Some(path)) if is_yardstick(path) => Against::Yardstick,
            _ => Against::Pool,
        };
        let Some(path) = &common.spawn else {
            let target = Target::new(common.target)?;
            let (pid, control) = (common.pid, None);
            return Ok(Self { target, against, pid, node: None, control, _server: None });
        };
        let server_cpu = (!common.no_pinning).then_some(common.server_cpu);
        if !common.no_pinning {
            let cpu = common.client_cpu;
            machine::pin(cpu).map_err(|source| FloodError::Pin { cpu, source })?;
        }
        if common.go_first {
            machine::go_first().map_err(FloodError::GoFirst)?;
        }
        let (node, server) = match against {
            Against::Yardstick => (None, Server::yardstick(path, server_cpu)?),
            Against::Pool => {
                let anywhere = SocketAddrV4::new([127, 0, 0, 1].into(), 0);
                let node = Node::start(&NodePlan {
                    rpc: anywhere,
                    zmq: anywhere,
                    transactions: common.transactions,
                    bits: wishes.bits,
                    credentials: Some(CREDENTIALS.to_owned()),
                })?;
                let plan = PoolPlan {
                    cpu: server_cpu,
                    shards: common.shards,
                    is_flood: wishes.is_flood,
                    has_bans: wishes.has_bans,
                };
                let server = Server::pool(path, &node, &plan)?;
                (Some(node), server)
            }
        };
        let address = match (common.tls, server.tls) {
            (false, _) => server.plain,
            (true, Some(address)) => address,
            (true, None) => return Err(FloodError::Usage("a yardstick speaks no TLS: drop --tls")),
        };
        Ok(Self {
            target: Target::new(address)?,
            against,
            pid: Some(server.id()),
            node,
            control: server.control,
            _server: Some(server),
        })
    }

    pub fn fleet_plan(&self, common: &Common, miners: usize, in_flight: usize) -> FleetPlan {
        FleetPlan {
            target: self.target,
            against: self.against,
            is_tls: common.tls,
            dialect: common.dialect,
            first: 0,
            miners,
            per_address: common.per_address,
            in_flight,
            keeps_work: false,
        }
    }

    /// Resident memory of the server, where it is known which it is.
    pub fn resident_bytes(&self) -> Option<u64> {
        self.pid.and_then(|pid| machine::resident_bytes(pid).ok())
    }
}

fn is_yardstick(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().contains("yardstick"))
}
