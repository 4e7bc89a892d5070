//! Bytes to requests, without I/O: `push` what arrived, `next` gives a request when one is whole.
//! What two programs could read differently is refused, so nothing can be smuggled past a proxy.

use std::net::{IpAddr, Ipv4Addr};

use memchr::memmem;

use super::host::is_same_host;
use super::path;
use super::response::Status;

/// Request line and header fields together (`web.md` §1.4); browsers stay below 4 KiB.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// A body, on any route (`web.md` §1.4): the largest form is an admin page of a few KiB.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Header fields in one request; browsers behind proxies send about thirty.
const HEADERS_MAX: usize = 64;
/// Digits of a `Content-Length`: as many as surely fit 64 bits.
const LENGTH_DIGITS_MAX: usize = 19;

const HEAD_END: &[u8] = b"\r\n\r\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Post,
    /// Only ever refused with 405: no route takes it.
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: Method,
    /// Percent-decoded, once; starts with `/`.
    pub path: String,
    /// What followed the `?`; empty without one.
    pub query: String,
    /// The client wants to send another request on this connection.
    pub keep_alive: bool,
    pub body: Vec<u8>,
    /// Who asks, as far as proxies that are trusted can tell.
    pub client: IpAddr,
    /// And whether it was HTTPS on their side.
    pub is_https: bool,
    /// The path as sent.
    raw_path: String,
    headers: Vec<(String, String)>,
}

impl Request {
    /// The first field of this name (lower case). Values that are not UTF-8 read as absent.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).next()
    }

    /// All fields of this name, in their order.
    pub fn headers(&self, name: &str) -> impl DoubleEndedIterator<Item = &str> {
        let fields = self.headers.iter();
        fields.filter(move |(this, _)| this == name).map(|(_, value)| value.as_str())
    }

    /// Path and query as sent: in ASCII, without white space.
    pub fn target(&self) -> String {
        with_query(&self.raw_path, &self.query)
    }

    /// The same place without empty segments and dots in its path, when it has such.
    pub fn clean_target(&self) -> Option<String> {
        path::cleaned(&self.raw_path).map(|path| with_query(&path, &self.query))
    }

    #[cfg(test)]
    pub fn set_header(&mut self, name: &str, value: &str) {
        self.headers.retain(|(this, _)| this != name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    #[cfg(test)]
    pub fn get(path: &str, headers: &[(&str, &str)]) -> Self {
        let mut text = format!("GET {path} HTTP/1.1\r\nHost: pool\r\n");
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut reader = RequestReader::default();
        reader.push(text.as_bytes());
        reader.push(b"\r\n");
        reader.next().expect("a well-formed request").expect("a whole request")
    }
}

fn with_query(path: &str, query: &str) -> String {
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// Collects the bytes of one connection. After a refusal its content has no meaning any more: the
/// connection is answered and closed.
#[derive(Debug, Default)]
pub struct RequestReader {
    buffer: Vec<u8>,
    /// Bytes of `buffer` known to hold no end of a head, so that no byte is searched twice.
    searched: usize,
    /// The request line at the start of `buffer` is there, and is one.
    has_request_line: bool,
    /// The head of the request whose body is still arriving.
    head: Option<Head>,
}

#[derive(Debug)]
struct Head {
    request: Request,
    body_bytes: usize,
    wants_continue: bool,
}

impl RequestReader {
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole request, or none until more bytes arrive. Never holds more than a head, a
    /// body and what one read brought after them, if it is called after each `push`.
    pub fn next(&mut self) -> Result<Option<Request>, Status> {
        if self.head.is_none() {
            let Some(head_bytes) = self.find_head()? else { return Ok(None) };
            self.head = Some(parse_head(&self.buffer[..head_bytes])?);
            self.buffer.drain(..head_bytes);
        }
        match self.head.take() {
            Some(mut head) if self.buffer.len() >= head.body_bytes => {
                head.request.body = self.buffer.drain(..head.body_bytes).collect();
                if self.buffer.is_empty() {
                    // An idle connection holds no memory.
                    self.buffer = Vec::new();
                }
                Ok(Some(head.request))
            }
            head => {
                self.head = head;
                Ok(None)
            }
        }
    }

    /// Nothing of a request has arrived.
    pub fn is_empty(&self) -> bool {
        self.head.is_none() && self.buffer.is_empty()
    }

    pub fn has_head(&self) -> bool {
        self.head.is_some()
    }

    /// True once per request whose client waits for `100 Continue` before it sends the body.
    pub fn take_continue(&mut self) -> bool {
        self.head.as_mut().is_some_and(|head| std::mem::take(&mut head.wants_continue))
    }

    /// Length of the head at the start of the buffer, with its empty line.
    fn find_head(&mut self) -> Result<Option<usize>, Status> {
        // Empty lines before a request are skipped (RFC 9112 §2.2).
        while self.buffer.starts_with(b"\r\n") {
            self.buffer.drain(..2);
            self.searched = 0;
        }
        if !self.has_request_line {
            self.has_request_line = find_request_line(&self.buffer)?;
        }
        // The end may have begun in what was searched before.
        let from = self.searched.saturating_sub(HEAD_END.len() - 1);
        let end = memmem::find(&self.buffer[from..], HEAD_END).map(|at| from + at + HEAD_END.len());
        let head = &self.buffer[..end.unwrap_or(self.buffer.len())];
        refuse_bare_line_ends(head, from)?;
        match end {
            Some(end) if end <= HEAD_BYTES_MAX => {
                self.searched = 0;
                self.has_request_line = false;
                Ok(Some(end))
            }
            None if head.len() < HEAD_BYTES_MAX => {
                self.searched = head.len();
                Ok(None)
            }
            _ => Err(Status::HeadTooLarge),
        }
    }
}

/// Whether the request line is there. What cannot become one is refused before the rest is waited
/// for: a client that speaks TLS, Stratum or HTTP/0.9 would wait as well.
fn find_request_line(buffer: &[u8]) -> Result<bool, Status> {
    let is_method = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    // The CR of an empty line may have come alone.
    if buffer.first().is_some_and(|&byte| byte != b'\r' && !is_method(byte)) {
        return Err(Status::BadRequest);
    }
    let Some(end) = memchr::memchr(b'\n', buffer) else { return Ok(false) };
    match memmem::find(&buffer[..end], b" HTTP/") {
        Some(_) => Ok(true),
        None => Err(Status::BadRequest),
    }
}

/// A lone CR or LF ends a line for some programs and not for others.
fn refuse_bare_line_ends(head: &[u8], from: usize) -> Result<(), Status> {
    for at in memchr::memchr2_iter(b'\r', b'\n', &head[from..]) {
        let at = from + at;
        let is_pair = match head[at] {
            // The LF of a CR that came last is still on its way.
            b'\r' => head.get(at + 1).is_none_or(|&next| next == b'\n'),
            _ => at > 0 && head[at - 1] == b'\r',
        };
        if !is_pair {
            return Err(Status::BadRequest);
        }
    }
    Ok(())
}

fn parse_head(bytes: &[u8]) -> Result<Head, Status> {
    let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut fields);
    match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        Ok(_) => return Err(Status::BadRequest),
        Err(httparse::Error::TooManyHeaders) => return Err(Status::HeadTooLarge),
        Err(httparse::Error::Version) => return Err(Status::VersionNotSupported),
        Err(_) => return Err(Status::BadRequest),
    }
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Err(Status::BadRequest);
    };
    let values = |name: &'static str| {
        let fields = parsed.headers.iter();
        fields.filter(move |f| f.name.eq_ignore_ascii_case(name)).map(|f| f.value)
    };
    let has_token = |name, token: &str| {
        values(name)
            .flat_map(|v| v.split(|&b| b == b','))
            .any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    };

    // Two hosts, or none where HTTP/1.1 demands one, are refused (RFC 9112 §3.2).
    let host = match (values("host").count(), values("host").next()) {
        (1, Some(host)) => Some(std::str::from_utf8(host).map_err(|_| Status::BadRequest)?),
        (0, _) if minor == 0 => None,
        _ => return Err(Status::BadRequest),
    };
    let length = content_length(values("content-length"))?;
    if values("transfer-encoding").next().is_some() {
        // Together with a length, or in HTTP/1.0, two readers may disagree where the body ends.
        // Alone it is sound, but nothing we serve needs it, and every client can send a length.
        let is_ambiguous = length.is_some() || minor == 0;
        return Err(if is_ambiguous { Status::BadRequest } else { Status::LengthRequired });
    }
    let body_bytes = length.unwrap_or(0);
    if body_bytes > BODY_BYTES_MAX {
        return Err(Status::ContentTooLarge);
    }

    let Target { authority, path: raw_path, query } = split_target(target)?;
    // The host of a whole URL would win (RFC 9112 §3.2.2), if both programs know that.
    let is_ambiguous = |(named, host): (&str, &str)| !is_same_host(named, host.trim());
    if authority.zip(host).is_some_and(is_ambiguous) {
        return Err(Status::BadRequest);
    }
    let keep_alive =
        !has_token("connection", "close") && (minor == 1 || has_token("connection", "keep-alive"));
    let wants_continue = minor == 1 && body_bytes > 0 && has_token("expect", "100-continue");
    let headers = parsed.headers.iter().filter_map(|field| {
        let value = std::str::from_utf8(field.value).ok()?;
        Some((field.name.to_ascii_lowercase(), value.trim().to_owned()))
    });
    let request = Request {
        method: match method {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            _ => Method::Other,
        },
        path: path::decode(raw_path)?,
        query: query.to_owned(),
        keep_alive,
        body: Vec::new(),
        // Who it is, the connection knows.
        client: Ipv4Addr::UNSPECIFIED.into(),
        is_https: false,
        raw_path: raw_path.to_owned(),
        headers: headers.collect(),
    };
    Ok(Head { request, body_bytes, wants_continue })
}

/// One field, digits only: a list, a sign or a second field is refused even when they agree.
fn content_length<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Result<Option<usize>, Status> {
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() || value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Status::BadRequest);
    }
    if value.len() > LENGTH_DIGITS_MAX {
        return Err(Status::ContentTooLarge);
    }
    let digits = std::str::from_utf8(value).map_err(|_| Status::BadRequest)?;
    digits.parse().map(Some).map_err(|_| Status::ContentTooLarge)
}

struct Target<'a> {
    /// Of the absolute form.
    authority: Option<&'a str>,
    path: &'a str,
    query: &'a str,
}

/// A target in origin form, or in the absolute form that proxies send (RFC 9112 §3.2).
fn split_target(target: &str) -> Result<Target<'_>, Status> {
    // A fragment is never sent, and what is not ASCII must be escaped.
    if !target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(Status::BadRequest);
    }
    let (authority, local) = if target.starts_with('/') {
        (None, target)
    } else {
        let (scheme, rest) = target.split_once("://").ok_or(Status::BadRequest)?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return Err(Status::BadRequest);
        }
        let (authority, local) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.is_empty() || authority.contains('@') {
            return Err(Status::BadRequest);
        }
        (Some(authority), local)
    };
    let (path, query) = local.split_once('?').unwrap_or((local, ""));
    Ok(Target { authority, path: if path.is_empty() { "/" } else { path }, query })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;

    fn read_all(input: &[u8], cut: usize) -> Result<Vec<Request>, Status> {
        let mut reader = RequestReader::default();
        let mut requests = Vec::new();
        for part in [&input[..cut], &input[cut..]] {
            reader.push(part);
            while let Some(request) = reader.next()? {
                requests.push(request);
            }
        }
        Ok(requests)
    }

    /// The outcome is the same wherever the input is cut, and byte by byte.
    #[track_caller]
    fn check(input: &[u8], expected: &Result<Vec<&str>, Status>) {
        let paths = |outcome: Result<Vec<Request>, Status>| {
            outcome.map(|all| all.into_iter().map(|r| r.path).collect::<Vec<_>>())
        };
        let expected = expected
            .as_ref()
            .map(|all| all.iter().map(|p| (*p).to_owned()).collect())
            .map_err(|s| *s);
        for cut in 0..=input.len() {
            assert_eq!(paths(read_all(input, cut)), expected, "cut at {cut}");
        }
        let mut reader = RequestReader::default();
        let mut outcome = Ok(Vec::new());
        for byte in input {
            reader.push(&[*byte]);
            match (reader.next(), &mut outcome) {
                (Ok(Some(request)), Ok(all)) => all.push(request),
                (Err(status), Ok(_)) => outcome = Err(status),
                _ => {}
            }
        }
        assert_eq!(paths(outcome), expected, "byte by byte");
    }

    #[test]
    fn requests_are_the_same_at_every_split() {
        check(
            b"\r\n\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n\
              POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello\
              HEAD http://x:80/c?q HTTP/1.1\r\nHost: x\r\n\r\n",
            &Ok(vec!["/a", "/b", "/c"]),
        );
    }

    #[test]
    fn the_parts_of_a_request() {
        let input =
            b"POST /b?x=1?y HTTP/1.1\r\nHost: x\r\nX-Odd:  a b \r\nContent-Length: 5\r\n\r\nhello";
        let request = &read_all(input, 7).unwrap()[0];
        assert_eq!(
            (request.method, &*request.path, &*request.query),
            (Method::Post, "/b", "x=1?y")
        );
        assert_eq!((request.header("x-odd"), request.header("nope")), (Some("a b"), None));
        assert_eq!((&*request.body, request.keep_alive), (&b"hello"[..], true));
    }

    #[test]
    fn the_path_is_decoded_and_the_target_is_as_sent() {
        for (target, path, sent) in [
            ("/a%62?c%64", "/ab", "/a%62?c%64"),
            ("http://pool", "/", "/"),
            ("http://pool?a/b", "/", "/?a/b"),
            ("HTTP://POOL:80//x", "//x", "//x"),
            ("/?", "/", "/"),
        ] {
            let request = Request::get(target, &[]);
            assert_eq!((&*request.path, &*request.target()), (path, sent), "{target}");
        }
        assert_eq!(Request::get("/a/./b?c", &[]).clean_target().as_deref(), Some("/a/b?c"));
        assert_eq!(Request::get("/a/b?c=./d", &[]).clean_target(), None);
    }

    #[test]
    fn connections_stay_open_as_the_version_says() {
        for (input, keep_alive) in [
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nHost: x\r\nConnection: foo, Close\r\n\r\n", false),
            ("GET / HTTP/1.0\r\n\r\n", false),
            ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true),
        ] {
            assert_eq!(read_all(input.as_bytes(), 0).unwrap()[0].keep_alive, keep_alive, "{input}");
        }
    }

    #[test]
    fn malformed_requests_are_refused_at_every_split() {
        for input in [
            // Two ways to find the end of the body.
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
            // Two ways to find the end of a line or a field.
            "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n",
            "GET / HTTP/1.1\nHost: x\n\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA: b\n\r\n",
            "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n",
            // Two hosts, or none.
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
            // Not a request.
            "GET\r\n\r\n",
            "GET /\r\n\r\n",
            "GET / HTTP/1.1 x\r\nHost: x\r\n\r\n",
            "G(T / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET x HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET http://@x/ HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET http://y/ HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET http:/// HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /%2e%2e/ HTTP/1.1\r\nHost: x\r\n\r\n",
            "\0\0\0\0\r\n\r\n",
            "{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n",
        ] {
            check(input.as_bytes(), &Err(Status::BadRequest));
        }
        check(b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", &Err(Status::VersionNotSupported));
        check(
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
            &Err(Status::LengthRequired),
        );
    }

    #[test]
    fn a_body_is_refused_by_its_length_before_it_arrives() {
        for length in ["65537", "99999999999999999999999999"] {
            let input = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
            check(input.as_bytes(), &Err(Status::ContentTooLarge));
        }
        let mut input = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 65536\r\n\r\n".to_vec();
        input.extend([b'.'; BODY_BYTES_MAX]);
        assert_eq!(read_all(&input, 100).unwrap()[0].body.len(), BODY_BYTES_MAX);
    }

    #[test]
    fn a_head_is_refused_when_it_is_too_long_or_has_too_many_fields() {
        let endless = format!("GET /{} HTTP/1.1\r\n", "a".repeat(HEAD_BYTES_MAX));
        assert_eq!(read_all(endless.as_bytes(), 9000), Err(Status::HeadTooLarge));
        let mut many = "GET / HTTP/1.1\r\nHost: x\r\n".to_owned();
        many.push_str(&"A: b\r\n".repeat(HEADERS_MAX));
        many.push_str("\r\n");
        assert_eq!(read_all(many.as_bytes(), 9), Err(Status::HeadTooLarge));
    }

    #[test]
    fn a_client_that_waits_is_told_once_to_go_on() {
        let mut reader = RequestReader::default();
        reader.push(
            b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
        );
        assert_eq!(reader.next(), Ok(None));
        assert!(reader.has_head());
        assert!(reader.take_continue());
        assert!(!reader.take_continue());
        reader.push(b"ok");
        assert!(reader.next().unwrap().is_some());
        assert!(reader.is_empty());
    }

    #[test]
    fn fuzz_no_input_panics_or_is_read_differently_in_pieces() {
        let mut chance = Chance::new(1);
        let seed = b"POST /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nA: b\r\n\r\nabcGET / HTTP/1.1\r\n";
        for _ in 0..20_000 {
            let mut input = seed.to_vec();
            for _ in 0..=chance.below(4) {
                let at = chance.below(input.len());
                match chance.below(3) {
                    0 => input[at] = b"\r\n :\0,5/\xff"[chance.below(9)],
                    1 => drop(input.remove(at)),
                    _ => input.insert(at, b"\r\n :\0,5/\xff"[chance.below(9)]),
                }
            }
            let (a, b) = (chance.below(input.len()), chance.below(input.len()));
            assert_eq!(read_all(&input, a), read_all(&input, b), "{:?}", input.escape_ascii());
        }
    }
}
