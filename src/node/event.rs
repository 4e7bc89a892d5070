//! What is heard from the node: by control, and by the feed between its own threads.

use std::time::{Instant, SystemTime};

use crossbeam_channel::Sender;
use serde::Deserialize;

use gopool_shards::sha256d::Hash;
use gopool_shards::work::address::Network;
use gopool_shards::work::template::Template;

use crate::snapshot::TipFigures;

/// Why a template is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The node has said that this is the newest block; none when it could not be read.
    NewBlock {
        hash: Option<Hash>,
        at: Instant,
    },
    Refresh,
}

/// What control hears from the node.
#[derive(Debug)]
pub enum NodeEvent {
    /// `getblockchaininfo.chain` and what the node knows of itself.
    Chain(ChainInfo),
    Template(Work),
    /// The last template, which came unverified, is what it had been taken for.
    Verified,
    /// It is not: the work before it is better.
    Withdrawn(String),
    /// What kept the feed from getting a template.
    FeedError(String),
    /// The newest block.
    Tip(TipFigures),
    RawBlock {
        arrived_at: SystemTime,
        bytes: usize,
        tip: Option<TipFigures>,
    },
    Zmq {
        address: String,
        up: bool,
    },
}

/// A sound template, not older than the one before.
#[derive(Debug)]
pub struct Work {
    pub template: Box<Template>,
    /// When the pool could first know of it: the node said that there is a new block, or began to
    /// answer.
    pub known_since: Instant,
    /// There when its transactions have not been hashed yet, because miners without work come
    /// first. Whoever hashes them waits until this is dropped; what comes of it follows.
    pub unverified: Option<Sender<()>>,
}

/// The part of `getblockchaininfo` that matters here.
#[derive(Clone, Debug, Deserialize)]
pub struct ChainInfo {
    pub chain: String,
    pub blocks: u64,
    pub headers: u64,
    #[serde(rename = "initialblockdownload")]
    pub is_initial_download: bool,
}

impl ChainInfo {
    /// The network its name stands for. Source: `ChainTypeToString` in Core's
    /// `src/util/chaintype.cpp`.
    pub fn network(&self) -> Option<Network> {
        match &*self.chain {
            "main" | "mainnet" | "" => Some(Network::Mainnet),
            "test" | "testnet" | "testnet3" | "testnet4" => Some(Network::Testnet),
            "signet" => Some(Network::Signet),
            "regtest" => Some(Network::Regtest),
            _ => None,
        }
    }
}
