//! The ports of miners and of pages. They are bound before anything is started, so that one that
//! cannot be had is a clear sentence.

use std::io;
use std::net::{SocketAddr, TcpListener};

use gopool_shards::executor::bind_shared;

use crate::config::Config;

/// What each of them is for, in words.
pub const STRATUM: &str = "stratum";
pub const STRATUM_TLS: &str = "stratum over TLS";
pub const STATUS: &str = "status";
pub const STATUS_TLS: &str = "status over HTTPS";

/// Why a port cannot be had, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({what}): {source}. {}", advice(source))]
pub struct ListenError {
    what: &'static str,
    address: SocketAddr,
    source: io::Error,
}

impl ListenError {
    /// Somebody else might have it, such as a service whose unit gives it the capability.
    pub fn is_about_permission(&self) -> bool {
        self.source.kind() == io::ErrorKind::PermissionDenied
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "Stop what is using it, or choose another port.",
        io::ErrorKind::PermissionDenied => {
            "Ports below 1024 need the capability CAP_NET_BIND_SERVICE."
        }
        _ => "Check the address in the configuration.",
    }
}

/// A port of miners, with a socket for each shard; none of them listens yet.
pub fn bind_stratum(
    what: &'static str,
    address: SocketAddr,
    shards: usize,
) -> Result<Vec<TcpListener>, ListenError> {
    bind_shared(address, shards).map_err(|source| ListenError { what, address, source })
}

/// A port of the pages.
pub fn bind_status(what: &'static str, address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).map_err(|source| ListenError { what, address, source })
}

/// Binds all that `config` wants and gives them back. What comes out are those that cannot be had.
pub fn try_all(config: &Config) -> Vec<ListenError> {
    // Held to the end, as a start would.
    let (mut held, mut refused) = (Vec::new(), Vec::new());
    let mut note = |bound: Result<Vec<TcpListener>, ListenError>| match bound {
        Ok(listeners) => held.extend(listeners),
        Err(error) => refused.push(error),
    };
    note(bind_stratum(STRATUM, config.stratum_listen, 1));
    if let Some(address) = config.stratum_tls_listen {
        note(bind_stratum(STRATUM_TLS, address, 1));
    }
    for (what, address) in [(STATUS, config.status_listen), (STATUS_TLS, config.status_tls_listen)]
    {
        if let Some(address) = address {
            note(bind_status(what, address).map(|listener| vec![listener]));
        }
    }
    refused
}
