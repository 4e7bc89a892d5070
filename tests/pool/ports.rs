//! Free loopback ports for programs that must be told one before they start.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Ports are taken from below the range the kernel gives to outgoing connections: a program that
/// is restarted finds its port free again.
const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port nobody listens on, handed out once in this process.
pub fn free() -> u16 {
    let count = LAST - FIRST;
    // Two runs on one machine start at different places.
    let start = u16::try_from(std::process::id() % u32::from(count)).expect("below count");
    for _ in 0..count {
        let offset =
            (u32::from(start) + u32::from(NEXT.fetch_add(1, Ordering::Relaxed))) % u32::from(count);
        let port = FIRST + u16::try_from(offset).expect("below count");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {LAST}");
}

pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
