//! The command line of `gopool-flood`.

use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use super::bad::{self, BadArgs};
use super::blocks::{self, BlocksArgs};
use super::broadcast::{self, BroadcastArgs};
use super::connect::{self, ConnectArgs};
use super::growth::{self, GrowthArgs};
use super::idle::{self, IdleArgs};
use super::mixed::{self, MixedArgs};
use super::report::{Report, progress};
use super::setup::{EASY_BITS, FloodError, MAINNET_BITS};
use super::shares::{self, SharesArgs};
use super::table::{self, TableArgs};
use crate::node::{Node, NodePlan};

/// Loads a pool on this machine and says how it bears it.
#[derive(Parser)]
#[command(name = "gopool-flood", version, max_term_width = 100)]
pub struct Flood {
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Subcommand)]
enum Mode {
    Shares(SharesArgs),
    Connect(ConnectArgs),
    Idle(IdleArgs),
    Broadcast(BroadcastArgs),
    Blocks(BlocksArgs),
    Mixed(MixedArgs),
    Bad(BadArgs),
    Table(TableArgs),
    Growth(GrowthArgs),
    Node(NodeArgs),
}

/// A stand-in for a mainnet node, for a pool started by hand.
#[derive(Args, Clone, Debug)]
pub struct NodeArgs {
    /// Where it answers JSON-RPC; a loopback address
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8332")]
    rpc: SocketAddrV4,
    /// Where it publishes `hashblock` over ZMQ; a loopback address
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:28334")]
    zmq: SocketAddrV4,
    /// Transactions of its templates
    #[arg(long, value_name = "COUNT", default_value_t = 4000)]
    transactions: usize,
    /// A new tip after so many seconds, again and again; 0 for none
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    tip_every: u64,
    /// One hash in 65,536 is a block
    #[arg(long)]
    easy_blocks: bool,
    /// `user:password` it asks for [default: everybody is answered]
    #[arg(long, value_name = "CREDENTIALS")]
    credentials: Option<String>,
}

impl Flood {
    /// Runs the mode that was asked for, and shows its figures.
    pub fn run(&self) -> Result<(), FloodError> {
        let (report, json) = match &self.mode {
            Mode::Shares(args) => (shares::run(args)?, &args.common.json),
            Mode::Connect(args) => (connect::run(args)?, &args.common.json),
            Mode::Idle(args) => (idle::run(args)?, &args.common.json),
            Mode::Broadcast(args) => (broadcast::run(args)?, &args.common.json),
            Mode::Blocks(args) => (blocks::run(args)?, &args.common.json),
            Mode::Mixed(args) => (mixed::run(args)?, &args.common.json),
            Mode::Bad(args) => (bad::run(args)?, &args.common.json),
            Mode::Table(args) => return table::run(args),
            Mode::Growth(args) => return growth::run(args),
            Mode::Node(args) => return run_node(args),
        };
        show(&report, json.as_ref())
    }
}

fn show(report: &Report, json: Option<&PathBuf>) -> Result<(), FloodError> {
    report.print();
    match json {
        Some(path) => {
            report.write(path).map_err(|source| FloodError::File { path: path.clone(), source })
        }
        None => Ok(()),
    }
}

/// Runs until the process is ended.
fn run_node(args: &NodeArgs) -> Result<(), FloodError> {
    let node = Node::start(&NodePlan {
        rpc: args.rpc,
        zmq: args.zmq,
        transactions: args.transactions,
        bits: if args.easy_blocks { EASY_BITS } else { MAINNET_BITS },
        credentials: args.credentials.clone(),
    })?;
    progress(&format!("rpc http://{}, zmq {}", node.rpc, node.zmq_url));
    loop {
        if args.tip_every == 0 {
            thread::park();
            continue;
        }
        thread::sleep(Duration::from_secs(args.tip_every));
        progress(&format!("tip {}", node.new_tip()));
    }
}
