//! The data path of goPool: sockets, sessions, shares and SHA-256d, one executor per core.
//!
//! ```text
//! socket → wire → session → share ─ accepted → tally → link → control
//!                                 └ block ───────────→ link → control
//! control → link → executor → session → outbox → socket       (new work)
//! ```
//!
//! A share is received, parsed, judged, answered and counted on one core. Modules are listed in
//! the order of a miner's bytes; imports run the same way and never back. Control needs only
//! [`executor::spawn`], [`link`], and the values that travel on it.

pub mod limits;
pub mod settings;

pub mod admission;
pub mod executor;
pub mod link;
pub mod session;
pub mod sha256d;
pub mod share;
pub mod tally;
pub mod wire;
pub mod work;
