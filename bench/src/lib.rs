//! What is measured with, and mined with: clients of the pool that share none of its protocol code.
//!
//! A client built from the pool's own parser or target arithmetic would repeat its mistakes instead
//! of finding them. Only the miner borrows something, the hash kernels, and those are proven against
//! a reference. The stations (`benches/`) are another matter: they measure the pool's own parts.

pub mod flood;
pub mod miner;
pub mod net;
pub mod node;
pub mod plot;
pub mod station;
pub mod workbench;
pub mod yardstick;
