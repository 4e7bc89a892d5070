//! What an operator wants of a running pool.

use crate::config::Config;
use crate::supervise::Reloading;

/// One wish, carried out by the control loop.
#[derive(Debug)]
pub enum Command {
    /// SIGINT, SIGTERM: end in order.
    Stop,
    /// SIGUSR2: go on with this configuration, which has been read and checked.
    Reload(Box<Config>, Reloading),
}
