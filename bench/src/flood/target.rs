//! Where the load goes, and where it seems to come from. Both are always this machine.

use std::net::{Ipv4Addr, SocketAddrV4};

/// Why an address is no target.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0} is not on this machine. A load test is aimed at a pool of one's own, at a loopback address \
     such as 127.0.0.1:3333"
)]
pub struct NotLoopback(SocketAddrV4);

/// A server on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target(SocketAddrV4);

impl Target {
    pub fn new(address: SocketAddrV4) -> Result<Self, NotLoopback> {
        if address.ip().is_loopback() { Ok(Self(address)) } else { Err(NotLoopback(address)) }
    }

    pub fn address(self) -> SocketAddrV4 {
        self.0
    }
}

/// The address that the miner of that number comes from, when so many share one: 127.0.1.1 and on.
/// The ports of one address would not do for more than some 28,000 of them.
pub fn source(miner: usize, per_address: usize) -> Ipv4Addr {
    let place = miner / per_address.max(1);
    let last = (place % 254 + 1) as u8;
    let third = (place / 254 % 254 + 1) as u8;
    let second = (place / (254 * 254) % 256) as u8;
    Ipv4Addr::new(127, second, third, last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_this_machine_is_a_target() {
        for (address, is_allowed) in [
            ("127.0.0.1:3333", true),
            ("127.9.9.9:1", true),
            ("0.0.0.0:3333", false),
            ("10.0.0.1:3333", false),
            ("93.184.216.34:3333", false),
        ] {
            assert_eq!(Target::new(address.parse().unwrap()).is_ok(), is_allowed, "{address}");
        }
    }

    #[test]
    fn sources_are_loopback_and_differ() {
        assert_eq!(source(0, 100), Ipv4Addr::new(127, 0, 1, 1));
        assert_eq!(source(99, 100), source(0, 100));
        assert_eq!(source(100, 100), Ipv4Addr::new(127, 0, 1, 2));
        assert_eq!(source(254, 1), Ipv4Addr::new(127, 0, 2, 1));
        let all: std::collections::HashSet<_> =
            (0..300_000).map(|miner| source(miner, 1)).collect();
        assert_eq!(all.len(), 300_000);
        assert!(all.iter().all(Ipv4Addr::is_loopback));
    }
}
