//! What an operator wants of a running pool.

use std::collections::HashSet;
use std::net::SocketAddr;

use crossbeam_channel::Sender;
use gopool_shards::session::{ShownWork, Stranger};

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
    /// Keeps workers, or every worker of a wallet, from being authorized, and ends the connections
    /// that they have.
    Ban { workers: Vec<String>, length: BanLength, reason: String },
    /// Ends every ban of exactly this name.
    LiftBan { worker: String },
    /// Ends connections, by their numbers, after these words.
    Disconnect { sequences: Vec<u64>, words: &'static str },
    /// Lets go of `done` when everything that was wanted before has been carried out.
    Settled { done: Sender<()> },
    /// Ends connections that have not authorized, by their other ends, after these words.
    DisconnectStrangers { remotes: HashSet<SocketAddr>, words: &'static str },
    /// Tells who has not authorized, as many as `answer` has room for; it is let go of when all
    /// have been told.
    Strangers { answer: Sender<Stranger> },
    /// Tells what the miner of a connection works on; `answer` is let go of when there is none.
    Show { sequence: u64, answer: Sender<ShownWork> },
}

/// How long a ban lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BanLength {
    /// As long as one for invalid submissions.
    Usual,
    Seconds(u64),
    Endless,
}

impl BanLength {
    /// Unix seconds of its end; 0 for never.
    pub fn end(self, now_unix: u64, usual_seconds: u64) -> u64 {
        match self {
            Self::Usual => now_unix.saturating_add(usual_seconds),
            Self::Seconds(seconds) => now_unix.saturating_add(seconds),
            Self::Endless => 0,
        }
    }
}
