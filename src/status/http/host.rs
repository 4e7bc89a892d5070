//! The `Host` field, which anybody may have written: shown in a page or sent back only when it is
//! the name of a host.

use std::net::Ipv6Addr;

/// Longest host name in DNS.
const NAME_BYTES_MAX: usize = 253;

/// The name without its port; none when it is neither a host name nor an IP literal.
pub fn host_name(host: &str) -> Option<&str> {
    let end = match host.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => host.find(':').unwrap_or(host.len()),
    };
    let (name, port) = host.split_at(end);
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let is_name = match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(is_allowed),
    };
    (is_name && is_port(port)).then_some(name)
}

/// Nothing, or a colon and a number; the number may be left out (RFC 3986 §3.2.3).
fn is_port(text: &str) -> bool {
    let Some(digits) = text.strip_prefix(':') else { return text.is_empty() };
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number && (digits.is_empty() || digits.parse::<u16>().is_ok())
}

/// Whether two of them are one host, whatever default port one of them names.
pub fn is_same_host(one: &str, other: &str) -> bool {
    let bare = |host: &str| {
        let without_port =
            [":80", ":443", ":"].into_iter().find_map(|port| host.strip_suffix(port));
        without_port.unwrap_or(host).to_ascii_lowercase()
    };
    bare(one) == bare(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_hosts_pass() {
        for (field, name) in [
            ("pool.example:8080", Some("pool.example")),
            ("pool.example:", Some("pool.example")),
            ("127.0.0.1", Some("127.0.0.1")),
            ("[::1]:80", Some("[::1]")),
            ("[::1", None),
            ("[::1]x", None),
            ("[::g]", None),
            ("[]", None),
            ("", None),
            (":80", None),
            ("a:b", None),
            ("a:80:80", None),
            ("a:65536", None),
            ("a/b", None),
            ("a b", None),
            ("a\"><b>", None),
            ("user@host", None),
        ] {
            assert_eq!(host_name(field), name, "{field}");
        }
        assert_eq!(host_name(&"a".repeat(254)), None);
    }

    #[test]
    fn a_default_port_makes_no_other_host() {
        assert!(is_same_host("Pool.example:80", "pool.example"));
        assert!(is_same_host("[::1]", "[::1]:443"));
        assert!(!is_same_host("pool.example:8080", "pool.example"));
        assert!(!is_same_host("evil.example", "pool.example"));
    }
}
