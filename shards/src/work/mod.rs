//! The Bitcoin side of the data path, pure: templates, jobs, coinbases, merkle branches, headers,
//! targets, payouts. It knows nothing of JSON, sockets or clocks.

pub mod address;
pub mod base58;
pub mod block;
pub mod coinbase;
pub mod header;
pub mod job;
pub mod merkle;
pub mod payout;
pub mod reader;
pub mod script;
pub mod tag;
pub mod target;
pub mod template;
pub mod transaction;
pub mod transactions;
