//! Bytes ↔ Stratum messages. It knows nothing of Bitcoin.

pub mod foreign;
pub mod line;
pub mod reject;
pub mod reply;
pub mod request;
pub mod submit;
