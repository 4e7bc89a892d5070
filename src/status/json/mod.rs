//! The public JSON beside `/api/server` (`web.md` §3): an object or list for each path, made from
//! one snapshot. What is not fit for the public never gets into these types: names are shortened,
//! errors redacted, and there is no wallet, worker hash, peer or address of the node in them.

pub mod blocks;
mod node;
mod overview;
mod pool_hashrate;
mod pool_page;

#[cfg(test)]
mod contract;
#[cfg(test)]
pub mod description;

use std::time::{Duration, Instant};

use serde_json::to_string;

pub use self::node::NodePage;
pub use self::overview::Overview;
pub use self::pool_hashrate::{PoolHashrate, subsidy};
pub use self::pool_page::PoolPage;
use super::api::Server;
use crate::history::HistoryReader;
use crate::privacy;
use crate::snapshot::Snapshot;

/// All of the contract's version, so far.
const API_VERSION: &str = "1";
/// Stands for a worker whose name holds nothing that may be shown.
const NAMELESS: &str = "(unnamed)";

/// `/api/openapi.json`: what all of them hold, for programs.
pub const OPENAPI: &str = include_str!("../../../web/openapi.json");

/// What is rendered once for each snapshot. `/api/blocks` is not among them: its limit makes it a
/// hundred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Server,
    Overview,
    PoolPage,
    Node,
    PoolHashrate,
    /// The same with `include_history=2`.
    PoolHashrateHistory,
}

impl Endpoint {
    pub const COUNT: usize = 6;

    pub fn path(self) -> &'static str {
        match self {
            Self::Server => "/api/server",
            Self::Overview => "/api/overview",
            Self::PoolPage => "/api/pool-page",
            Self::Node => "/api/node",
            Self::PoolHashrate | Self::PoolHashrateHistory => "/api/pool-hashrate",
        }
    }

    /// When a client need not ask again before.
    pub fn ttl(self) -> Duration {
        match self {
            Self::PoolHashrate | Self::PoolHashrateHistory => Duration::from_secs(5),
            _ => Duration::from_secs(10),
        }
    }

    /// `server` is of the same snapshot.
    pub fn render(
        self,
        snapshot: &Snapshot,
        server: &Server,
        history: &HistoryReader,
    ) -> serde_json::Result<String> {
        match self {
            Self::Server => to_string(server),
            Self::Overview => {
                let started = Instant::now();
                let mut overview = Overview::new(snapshot);
                overview.render_duration = nanoseconds(started.elapsed());
                to_string(&overview)
            }
            Self::PoolPage => to_string(&PoolPage::new(snapshot)),
            Self::Node => to_string(&NodePage::new(snapshot)),
            Self::PoolHashrate => to_string(&PoolHashrate::new(snapshot)),
            Self::PoolHashrateHistory => {
                to_string(&PoolHashrate::new(snapshot).with_history(snapshot, history))
            }
        }
    }
}

/// A worker as the public sees it; never empty.
fn worker_name(name: &str) -> String {
    match privacy::worker_name(name) {
        shown if shown.is_empty() => NAMELESS.to_owned(),
        shown => shown,
    }
}

/// For keys that are left out when they are 0.
fn positive(value: f64) -> Option<f64> {
    Some(value).filter(|value| value.is_finite() && *value > 0.0)
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// 64 bits of them last 584 years.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The first value of a query's parameter, as it was sent.
pub fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(this, _)| *this == name).map(|(_, value)| value)
}
