//! HTTP/1.1 as far as the status server needs it (RFC 9110, RFC 9112): a parser without I/O, a
//! writer, and the one file that touches a socket. What to answer is decided by `routes`.

mod accept;
mod answer;
mod connection;
mod encoding;
mod etag;
mod host;
mod path;
mod proxies;
pub mod proxy_protocol;
mod request;
mod response;

pub use accept::{Quality, quality};
pub use answer::{Answer, Chunks, NextChunks};
pub use connection::{HANDSHAKE_TIMEOUT, Peer, Port, Stopping, serve, within};
pub use etag::fingerprint;
pub use host::host_name;
pub use proxies::Networks;
pub use request::{Method, Request};
pub use response::{Body, Response, Status};
