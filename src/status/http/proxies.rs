//! Whom a request comes from, when it comes through a proxy: what a proxy says counts only when the
//! operator has named it.

use std::net::{IpAddr, SocketAddr};

use super::request::Request;

/// Bits before those of an IPv4 address that is written as an IPv6 one.
const MAPPED_BITS: u8 = 96;

/// An address, or all of a network: `127.0.0.1`, `10.0.0.0/8`, `fd00::/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: u128,
    mask: u128,
}

impl Network {
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().ok()?;
        let (before, most) = if address.is_ipv4() { (MAPPED_BITS, 32) } else { (0, 128) };
        let bits = match bits.map(str::trim) {
            Some(bits) if !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit()) => {
                bits.parse::<u8>().ok().filter(|bits| *bits <= most)?
            }
            Some(_) => return None,
            None => most,
        };
        let fixed = u32::from(before + bits);
        let mask = u128::MAX.checked_shl(128 - fixed).unwrap_or(0);
        Some(Self { base: number(address) & mask, mask })
    }

    fn contains(self, address: IpAddr) -> bool {
        number(address) & self.mask == self.base
    }
}

/// Both kinds of addresses in one space.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// Some of them: `server.trusted_proxies`, none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

impl Networks {
    /// None when one of them is neither an address nor a network.
    pub fn parse<T: AsRef<str>>(texts: &[T]) -> Option<Self> {
        let networks = texts.iter().map(|text| Network::parse(text.as_ref().trim()));
        networks.collect::<Option<_>>().map(Self)
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// Puts down in `request` who has sent it, and over what. `origin` is the other end of the
    /// connection.
    pub(super) fn identify(&self, request: &mut Request, origin: IpAddr, is_tls: bool) {
        request.client = origin;
        request.is_https = is_tls;
        if !self.contains(origin) {
            return;
        }
        request.client = self.client(request, origin);
        // The nearest proxy has written the last word.
        let scheme = request.headers("x-forwarded-proto").last();
        if let Some(scheme) = scheme.and_then(|value| value.rsplit(',').next()) {
            request.is_https = scheme.trim().eq_ignore_ascii_case("https");
        }
    }

    /// The rightmost address that is not one of ours: what stands before it, anybody could have
    /// written. What is no address ends the search at the proxy that has passed it on.
    fn client(&self, request: &Request, origin: IpAddr) -> IpAddr {
        let fields: Vec<&str> = request.headers("x-forwarded-for").collect();
        let mut client = origin;
        for entry in fields.iter().rev().flat_map(|field| field.rsplit(',')) {
            let Some(address) = address(entry.trim()) else { break };
            client = address;
            if !self.contains(address) {
                break;
            }
        }
        client
    }
}

/// With or without a port, as different proxies write it.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse().ok().map(|a: SocketAddr| a.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_are_read_and_hold_what_is_in_them() {
        for (network, inside, outside) in [
            ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
            ("127.0.0.1", "::ffff:127.0.0.1", "::1"),
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.1.2.3/8", "10.255.0.1", "11.0.0.1"),
            ("0.0.0.0/0", "1.2.3.4", "2001:db8::1"),
            ("fd00::/8", "fd12::1", "fe80::1"),
            ("2001:db8::/64", "2001:db8::ffff:0:0:1", "2001:db8:0:1::1"),
        ] {
            let proxies = Networks::parse(&[network]).unwrap();
            assert!(proxies.contains(ip(inside)), "{inside} in {network}");
            assert!(!proxies.contains(ip(outside)), "{outside} in {network}");
        }
        assert!(Networks::parse(&["::/0"]).unwrap().contains(ip("1.2.3.4")));
        for text in
            ["", "x", "1.2.3", "1.2.3.4/33", "::/129", "1.2.3.4/", "1.2.3.4/-1", "1.2.3.4/+8"]
        {
            assert_eq!(Network::parse(text), None, "{text:?}");
        }
    }

    /// Who asked, and whether over HTTPS, when `origin` sends these fields.
    fn identify(origin: &str, headers: &[(&str, &str)]) -> (String, bool) {
        let proxies = Networks::parse(&["10.0.0.0/8", "::1"]).unwrap();
        let mut request = Request::get("/", headers);
        proxies.identify(&mut request, ip(origin), false);
        (request.client.to_string(), request.is_https)
    }

    #[test]
    fn what_a_stranger_forwards_is_not_believed() {
        let headers = [("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-Proto", "https")];
        assert_eq!(identify("9.9.9.9", &headers), ("9.9.9.9".to_owned(), false));
    }

    #[test]
    fn the_rightmost_address_that_is_not_a_proxy_is_the_client() {
        for (fields, client) in [
            (&["1.1.1.1"][..], "1.1.1.1"),
            (&["6.6.6.6, 1.1.1.1"], "1.1.1.1"),
            (&["6.6.6.6, 1.1.1.1 , 10.0.0.9,::1"], "1.1.1.1"),
            (&["6.6.6.6", "1.1.1.1, 10.0.0.9"], "1.1.1.1"),
            (&["1.1.1.1", "10.0.0.9"], "1.1.1.1"),
            (&["1.1.1.1:4711"], "1.1.1.1"),
            (&["[2001:db8::1]:4711"], "2001:db8::1"),
            (&["[2001:db8::1]"], "2001:db8::1"),
            (&["::ffff:1.1.1.1"], "1.1.1.1"),
            (&["10.0.0.7, 10.0.0.8"], "10.0.0.7"),
            (&["6.6.6.6, unknown"], "10.0.0.1"),
            (&["6.6.6.6, x, 10.0.0.8"], "10.0.0.8"),
            (&[""], "10.0.0.1"),
            (&[], "10.0.0.1"),
        ] {
            let headers: Vec<_> = fields.iter().map(|field| ("X-Forwarded-For", *field)).collect();
            assert_eq!(identify("10.0.0.1", &headers).0, client, "{fields:?}");
        }
    }

    #[test]
    fn the_nearest_proxy_says_what_it_was_asked_over() {
        for (value, is_https) in
            [("https", true), ("HTTPS", true), ("http", false), ("http, https", true), ("x", false)]
        {
            assert_eq!(
                identify("10.0.0.1", &[("X-Forwarded-Proto", value)]).1,
                is_https,
                "{value}"
            );
        }
    }
}
