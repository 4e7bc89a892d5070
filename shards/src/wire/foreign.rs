//! What is said to a client that speaks another protocol than the port it has come to: short,
//! correct in its own language, and the end of the connection.

/// What the first bytes of a connection turn out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// A TLS ClientHello (RFC 8446 §5.1: record type 22, legacy version 3.x).
    Tls,
    Http,
    /// Stratum, or any JSON, in the clear.
    Json,
}

const HTTP_METHODS: [&[u8]; 9] = [
    b"GET ",
    b"POST ",
    b"HEAD ",
    b"PUT ",
    b"OPTIONS ",
    b"DELETE ",
    b"PATCH ",
    b"CONNECT ",
    b"PRI * HTTP/2",
];

/// A fatal alert: handshake_failure (RFC 8446 §6), in a record that any version reads.
const TLS_ALERT: &[u8] = &[21, 3, 1, 0, 2, 2, 40];

impl Foreign {
    /// Recognises the first bytes of a connection; `None` for what may become anything.
    pub fn recognise(first: &[u8]) -> Option<Self> {
        if matches!(first, [22, 3, ..]) {
            return Some(Self::Tls);
        }
        if HTTP_METHODS.iter().any(|method| first.starts_with(method)) {
            return Some(Self::Http);
        }
        first.trim_ascii_start().starts_with(b"{").then_some(Self::Json)
    }

    /// The answer on a port that speaks Stratum in the clear; there JSON is not foreign.
    pub fn answer_on_plain_port(self, out: &mut Vec<u8>) {
        match self {
            Self::Tls => out.extend(TLS_ALERT),
            Self::Http => {
                http(out, "This is a Stratum port: point a miner at it, not a browser.\n");
            }
            Self::Json => {}
        }
    }

    /// The answer on a port that speaks Stratum over TLS; there TLS is not foreign.
    pub fn answer_on_tls_port(self, out: &mut Vec<u8>) {
        match self {
            Self::Tls => {}
            Self::Http => http(out, "This is a Stratum port, and it speaks TLS.\n"),
            Self::Json => out.extend(
                b"{\"id\":null,\"result\":null,\
                  \"error\":[20,\"this port speaks TLS: use stratum+ssl\",null]}\n",
            ),
        }
    }
}

fn http(out: &mut Vec<u8>, text: &str) {
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    out.extend(head.as_bytes());
    out.extend(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_known_by_their_first_bytes() {
        for (first, protocol) in [
            (&b"\x16\x03\x01\x02\x00\x01"[..], Some(Foreign::Tls)),
            (b"GET / HTTP/1.1\r\n", Some(Foreign::Http)),
            (b"PRI * HTTP/2.0\r\n", Some(Foreign::Http)),
            (b"{\"id\":1}", Some(Foreign::Json)),
            (b" \r\n{", Some(Foreign::Json)),
            (b"GETTING", None),
            (b"\x16", None),
            (b"", None),
        ] {
            assert_eq!(Foreign::recognise(first), protocol, "{first:?}");
        }
    }

    #[test]
    fn an_http_answer_is_as_long_as_it_says() {
        let mut out = Vec::new();
        Foreign::Http.answer_on_plain_port(&mut out);
        let text = String::from_utf8(out).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    }
}
