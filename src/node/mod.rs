//! bitcoind: what it says and what is said to it.

pub mod event;
pub mod feed;
mod gate;
mod receive;
mod scan;
mod template;
mod transactions;

pub mod cookie;
mod exchange;
pub mod rpc;

pub mod info;
pub mod peers;

mod rawblock;
pub mod zmq;
