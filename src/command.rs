//! What an operator wants of a running pool.

use crossbeam_channel::Sender;
use gopool_shards::session::ShownWork;

use crate::config::Config;
use crate::supervise::Reloading;

/// One wish, carried out by the control loop.
#[derive(Debug)]
pub enum Command {
    /// SIGINT, SIGTERM: end in order.
    Stop,
    /// SIGUSR2: go on with this configuration, which has been read and checked.
    Reload(Box<Config>, Reloading),
    /// Go on with this one, which somebody has made in the admin panel.
    Configure(Box<Config>),
    /// Keeps a worker, or every worker of a wallet, from being authorized until then (0: for good).
    Ban { worker: String, until_unix: u64, reason: String },
    /// Ends every ban of exactly this name.
    LiftBan { worker: String },
    /// Ends connections, by their numbers, after these words.
    Disconnect { sequences: Vec<u64>, words: &'static str },
    /// Tells what the miner of a connection works on; `answer` is let go of when there is none.
    Show { sequence: u64, answer: Sender<ShownWork> },
}
