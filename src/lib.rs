//! The control core of goPool: it talks to the node, makes the work, keeps what must survive and
//! shows it. Miners are served by `gopool-shards`.
//!
//! ```text
//! node ──templates──▶ control ──jobs──▶ shards
//!   ▲                 │  ▲ └─snapshot─▶ status
//!   └─blocks──────────┘  └──solved, reports── shards
//! ```

pub mod build;
pub mod cli;
pub mod command;
pub mod config;
pub mod cores;
pub mod live;
pub mod log;
pub mod panic_log;
pub mod ports;
pub mod preflight;
pub mod preview;
pub mod profile;
pub mod signals;
pub mod supervise;

pub mod allocator;
pub mod backup;
pub mod blocks;
pub mod clerk;
pub mod control;
pub mod launch;
pub mod ledger;
pub mod node;
pub mod notices;
pub mod outgoing;
pub mod price;
pub mod profiles;
pub mod rings;
pub mod saved_workers;
pub mod services;
pub mod shown;
pub mod sightings;
pub mod snapshot;
pub mod status;
pub mod store;
pub mod system;
pub mod tls;

pub mod backoff;
pub mod clock;
pub mod codes;
pub mod entropy;
pub mod history;
pub mod identity;
pub mod join;
pub mod password;
pub mod privacy;
pub mod whole_file;

/// The one of the sessions' tests.
#[cfg(test)]
#[path = "../shards/tests/session/chance.rs"]
mod chance;
