//! Where a connection comes from, as far as admission tells addresses apart.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An IPv4 address, or the /64 network of an IPv6 one: whoever has one IPv6 address has all of
/// its /64, and must not look like 2^64 strangers (`state-and-services.md` §3.3, FIX-9).
///
/// Eight bytes: the network's own for IPv6, and for IPv4 a prefix inside `::/8`, which is
/// reserved (RFC 4291 §2.4) and never the source of a connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(u64);

const IPV4: u64 = 0x0000_ffff_0000_0000;
const IPV4_MASK: u64 = 0xffff_ffff_0000_0000;
const NETWORK_SUFFIX: &str = "/64";

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        // An IPv4 miner on a dual-stack socket is the same miner.
        match address.to_canonical() {
            IpAddr::V4(address) => Self(IPV4 | u64::from(address.to_bits())),
            IpAddr::V6(address) => Self((address.to_bits() >> 64) as u64),
        }
    }
}

/// As it is logged and stored: `203.0.113.7` or `2001:db8:1:2::/64`.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 & IPV4_MASK == IPV4 {
            return write!(f, "{}", Ipv4Addr::from_bits(self.0 as u32));
        }
        write!(f, "{}{NETWORK_SUFFIX}", Ipv6Addr::from_bits(u128::from(self.0) << 64))
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads what `Display` writes, and plain addresses.
impl FromStr for Source {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let address: IpAddr = text.strip_suffix(NETWORK_SUFFIX).unwrap_or(text).parse()?;
        Ok(address.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, text: &str) {
        let source: Source = address.parse().expect("an address");
        assert_eq!(source.to_string(), text);
        assert_eq!(text.parse(), Ok(source));
    }

    #[test]
    fn ipv6_counts_by_network_and_ipv4_by_address() {
        check("203.0.113.7", "203.0.113.7");
        check("::ffff:203.0.113.7", "203.0.113.7");
        check("0.0.0.0", "0.0.0.0");
        check("255.255.255.255", "255.255.255.255");
        check("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64");
        check("fe80::1", "fe80::/64");
        check("::1", "::/64");
        assert!("nobody".parse::<Source>().is_err());
    }
}
