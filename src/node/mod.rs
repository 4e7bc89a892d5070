//! bitcoind: what it says and what is said to it.

pub mod cookie;
pub mod feed;
mod rawblock;
pub mod rpc;
mod template;
pub mod zmq;
