//! HTTP/1.1 as far as the status server needs it (RFC 9110, RFC 9112): a parser without I/O, a
//! writer, and the one file that touches a socket. What to answer is decided by `routes`.

mod accept;
mod answer;
mod connection;
mod etag;
mod request;
mod response;

pub use accept::{Quality, quality};
pub use answer::{Answer, Chunks, NextChunks};
pub use connection::{Service, Stopping, serve};
pub use etag::{fingerprint, is_current};
pub use request::{Method, Request};
pub use response::{Body, Response, Status};
