//! The PROXY protocol, versions 1 and 2: what a load balancer that passes on bytes says about the
//! client before the first of them (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest line of version 1, with its end.
const LINE_BYTES_MAX: usize = 107;
const LINE_START: &[u8] = b"PROXY ";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Of version 2: signature, version and command, family, length.
const FIXED_BYTES: usize = 16;
/// The longest header of version 2 that is taken. Addresses take 36 bytes; the rest are notes, such
/// as the name a client asked for, which are skipped.
pub const HEADER_BYTES_MAX: usize = 2 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    Incomplete,
    /// So many bytes; the source is none when the proxy speaks for itself or knows of no address.
    Whole {
        bytes: usize,
        source: Option<IpAddr>,
    },
}

/// The peer speaks something else: the connection has no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Reads the header at the start of `input`.
pub fn parse(input: &[u8]) -> Result<Parsed, Malformed> {
    if is_start(input, LINE_START) {
        line(input)
    } else if is_start(input, SIGNATURE) {
        binary(input)
    } else {
        Err(Malformed)
    }
}

/// As far as there is something of it.
fn is_start(input: &[u8], start: &[u8]) -> bool {
    let length = input.len().min(start.len());
    input[..length] == start[..length]
}

fn line(input: &[u8]) -> Result<Parsed, Malformed> {
    let seen = &input[..input.len().min(LINE_BYTES_MAX)];
    let Some(end) = memchr::memchr(b'\n', seen) else {
        return if seen.len() < LINE_BYTES_MAX { Ok(Parsed::Incomplete) } else { Err(Malformed) };
    };
    let text = seen[..end].strip_suffix(b"\r").ok_or(Malformed)?;
    let text = std::str::from_utf8(text).map_err(|_| Malformed)?;
    let words: Vec<&str> = text.split(' ').collect();
    let source = match words[..] {
        [_, "UNKNOWN", ..] => None,
        [_, "TCP4", source, target, from, to] => {
            let _: (Ipv4Addr, u16, u16) = (read(target)?, port(from)?, port(to)?);
            Some(IpAddr::V4(read(source)?))
        }
        [_, "TCP6", source, target, from, to] => {
            let _: (Ipv6Addr, u16, u16) = (read(target)?, port(from)?, port(to)?);
            Some(IpAddr::V6(read(source)?).to_canonical())
        }
        _ => return Err(Malformed),
    };
    Ok(Parsed::Whole { bytes: end + 1, source })
}

fn read<T: std::str::FromStr>(text: &str) -> Result<T, Malformed> {
    text.parse().map_err(|_| Malformed)
}

/// `u16` itself would take a sign.
fn port(text: &str) -> Result<u16, Malformed> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { read(text) } else { Err(Malformed) }
}

fn binary(input: &[u8]) -> Result<Parsed, Malformed> {
    let Some((fixed, rest)) = input.split_at_checked(FIXED_BYTES) else {
        // The version is known to be wrong before the rest is there.
        let is_sound = input.get(SIGNATURE.len()).is_none_or(|byte| byte >> 4 == 2);
        return if is_sound { Ok(Parsed::Incomplete) } else { Err(Malformed) };
    };
    let [command, family] = [fixed[12], fixed[13]];
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    let bytes = FIXED_BYTES + length;
    if command >> 4 != 2 || bytes > HEADER_BYTES_MAX {
        return Err(Malformed);
    }
    let is_local = match command & 0x0f {
        0 => true,
        1 => false,
        _ => return Err(Malformed),
    };
    // Source and target address, then two ports.
    let addresses = match family {
        0x11 => 12,
        0x21 => 36,
        // Not said, datagrams, and sockets of one machine: no address that we could use.
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => 0,
        _ => return Err(Malformed),
    };
    if !is_local && length < addresses {
        return Err(Malformed);
    }
    let Some(body) = rest.get(..length) else { return Ok(Parsed::Incomplete) };
    let source = match (is_local, family) {
        (false, 0x11) => body.first_chunk::<4>().map(|bytes| IpAddr::from(*bytes)),
        (false, 0x21) => body.first_chunk::<16>().map(|bytes| IpAddr::from(*bytes).to_canonical()),
        _ => None,
    };
    Ok(Parsed::Whole { bytes, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;

    /// The outcome for the whole input, and that no shorter one gives another.
    #[track_caller]
    fn check(input: &[u8], expected: Result<Option<&str>, Malformed>) {
        let expected = expected.map(|source| Parsed::Whole {
            bytes: input.len(),
            source: source.map(|text| text.parse().unwrap()),
        });
        assert_eq!(parse(input), expected, "{}", input.escape_ascii());
        for length in 0..input.len() {
            let outcome = parse(&input[..length]);
            let may_be = outcome == Ok(Parsed::Incomplete) || outcome == expected;
            assert!(may_be, "{outcome:?} after {length} bytes of {}", input.escape_ascii());
        }
        if expected.is_ok() {
            assert_eq!(parse(&[input, b"GET / HTTP/1.1\r\n\r\n"].concat()), expected);
        }
    }

    fn version_2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, body].concat()
    }

    #[test]
    fn both_versions_name_the_source() {
        check(b"PROXY TCP4 1.2.3.4 10.0.0.1 4711 80\r\n", Ok(Some("1.2.3.4")));
        check(b"PROXY TCP6 2001:db8::1 ::1 4711 80\r\n", Ok(Some("2001:db8::1")));
        check(b"PROXY TCP6 ::ffff:1.2.3.4 ::1 4711 80\r\n", Ok(Some("1.2.3.4")));
        check(b"PROXY UNKNOWN\r\n", Ok(None));
        check(b"PROXY UNKNOWN ffff::1 whatever 1 2 3\r\n", Ok(None));
        let body = [1, 2, 3, 4, 10, 0, 0, 1, 0x12, 0x34, 0, 80];
        check(&version_2(0x21, 0x11, &body), Ok(Some("1.2.3.4")));
        check(&version_2(0x20, 0x11, &body), Ok(None));
        check(&version_2(0x20, 0x00, &[]), Ok(None));
        check(&version_2(0x21, 0x00, &[1, 2, 3]), Ok(None));
        check(&version_2(0x21, 0x31, &[0; 216]), Ok(None));
        // Notes after the addresses are skipped.
        check(&version_2(0x21, 0x11, &[&body[..], &[4, 0, 1, 0]].concat()), Ok(Some("1.2.3.4")));
        let mut body = [0; 36];
        body[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        body[15] = 1;
        check(&version_2(0x21, 0x21, &body), Ok(Some("2001:db8::1")));
    }

    #[test]
    fn everything_else_is_malformed() {
        for line in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"proxy TCP4 1.2.3.4 10.0.0.1 4711 80\r\n",
            b"PROXY\r\n",
            b"PROXY \r\n",
            b"PROXY TCP4\r\n",
            b"PROXY TCP5 1.2.3.4 10.0.0.1 4711 80\r\n",
            b"PROXY TCP4 1.2.3.4 10.0.0.1 4711\r\n",
            b"PROXY TCP4 1.2.3.4 10.0.0.1 4711 80 90\r\n",
            b"PROXY TCP4  1.2.3.4 10.0.0.1 4711 80\r\n",
            b"PROXY TCP4 1.2.3.4 10.0.0.1 4711 80\n",
            b"PROXY TCP4 1.2.3.4 10.0.0.1 4711 65536\r\n",
            b"PROXY TCP4 1.2.3.4 10.0.0.1 +4711 80\r\n",
            b"PROXY TCP4 1.2.3.4 10.0.0.1  80\r\n",
            b"PROXY TCP4 ::1 ::1 4711 80\r\n",
            b"PROXY TCP6 1.2.3.4 10.0.0.1 4711 80\r\n",
            b"PROXY TCP4 1.2.3.256 10.0.0.1 4711 80\r\n",
            b"PROXY TCP4 1.2.3.4 x 4711 80\r\n",
            b"PROXY \xff\xff\r\n",
            b"\r\n\r\n\0\r\nQUIX\n!\x11\0\0",
        ] {
            check(line, Err(Malformed));
        }
        let endless = [LINE_START, &[b'x'; 200]].concat();
        assert_eq!(parse(&endless[..LINE_BYTES_MAX - 1]), Ok(Parsed::Incomplete));
        assert_eq!(parse(&endless), Err(Malformed));
        for (command, family, body) in [
            (0x11, 0x11, &[0; 12][..]),
            (0x31, 0x11, &[0; 12]),
            (0x22, 0x11, &[0; 12]),
            (0x21, 0x11, &[0; 11]),
            (0x21, 0x21, &[0; 35]),
            (0x21, 0x13, &[0; 12]),
            (0x21, 0x41, &[0; 12]),
            (0x21, 0x11, &[0; HEADER_BYTES_MAX]),
        ] {
            let input = version_2(command, family, body);
            assert_eq!(parse(&input), Err(Malformed), "{command:x} {family:x} {}", body.len());
        }
    }

    #[test]
    fn fuzz_no_input_panics() {
        let mut chance = Chance::new(1);
        let seeds = [
            b"PROXY TCP4 1.2.3.4 10.0.0.1 4711 80\r\n".to_vec(),
            version_2(0x21, 0x21, &[7; 36]),
            version_2(0x21, 0x11, &[7; 12]),
        ];
        for turn in 0..30_000 {
            let mut input = seeds[turn % seeds.len()].clone();
            for _ in 0..=chance.below(4) {
                let at = chance.below(input.len());
                input[at] = chance.below(256) as u8;
            }
            input.truncate(chance.below(input.len() + 1));
            let _ = parse(&input);
        }
    }
}
