//! The load: thousands of miners from one process, with wire code of their own that costs next to
//! nothing, so that what is measured is the server.
//!
//! In the order in which a share comes by: [`wire`] writes it, [`miner`] numbers it, [`transport`]
//! sends it, [`reply`] reads what comes back, [`fleet`] does so for all connections of a thread. Each
//! mode is a file of its own that plays with a fleet.

pub mod cli;

// What a fleet is made of, and what is around it.
pub mod apart;
pub mod arrival;
pub mod check;
pub mod fleet;
pub mod histogram;
pub mod miner;
pub mod mischief;
pub mod pace;
pub mod reply;
pub mod report;
pub mod server;
pub mod setup;
pub mod target;
pub mod transport;
pub mod wallet;
pub mod wire;

// The modes.
pub mod bad;
pub mod blocks;
pub mod broadcast;
pub mod connect;
pub mod growth;
pub mod idle;
pub mod mixed;
pub mod shares;
pub mod table;
