//! A small CPU miner: enough Stratum to mine real blocks on a network whose difficulty suits a CPU.
//!
//! ```text
//!   pool ──lines──▶ client ──▶ session ──Work──▶ board ──▶ search threads
//!        ◀─lines──        ◀──           ◀───────Found───────┘
//! ```
//!
//! `session` decides and knows neither socket nor clock; `client` moves the bytes; `search` hashes.

mod client;
mod console;
mod job;
mod search;
mod session;

pub use client::{MinerError, Options, Totals, run};
pub use console::Console;
pub use job::{Job, JobError};
