//! The floor: what the kernel asks of a server on one core, whatever the server does.
//!
//! Every line is answered with as many bytes as the pool's answer to an accepted share has, and
//! nothing else is done: no protocol, no session, no timer. What the pool needs beyond this is what
//! it costs to be a pool.

mod echo;
mod server;

pub use server::{Plan, Yardstick};
