//! A stand-in for a mainnet node, on loopback: what the pool asks of bitcoind is answered with
//! templates as large as mainnet's, and how long everything takes is written down.
//!
//! It judges nothing but the blocks it is handed; whether the pool is right is tested with a real
//! Bitcoin Core. Here the question is only how fast it is.

mod block;
mod hash;
mod http;
mod rpc;
mod stamps;
mod target;
mod template;
mod transaction;

pub use hash::{Hash, display_hex, merkle_root, sha256d};
pub use rpc::{Node, NodeError, NodePlan};
pub use stamps::{Stamps, Submitted, TemplateAnswer, Tip};
pub use target::target_of;
pub use template::WITNESS_COMMITMENT_HEAD;
pub use transaction::Draw;
