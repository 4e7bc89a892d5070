//! HTTP/1.1 with connections that stay open, as far as a JSON-RPC client uses it.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use crate::net::machine::nanoseconds;

const HEAD_BYTES_MAX: usize = 16 * 1024;
/// A block of four million weight units in hex, and what stands around it.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
const READ_BYTES: usize = 64 * 1024;

/// One request.
#[derive(Debug)]
pub struct Request {
    pub authorization: Option<String>,
    pub body: Vec<u8>,
    pub first_byte_at: u64,
    pub last_byte_at: u64,
}

/// One client's connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// What has come and was not yet taken.
    input: Vec<u8>,
}

impl Connection {
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, input: Vec::new() })
    }

    /// Waits for the next request; None when the client has gone.
    pub fn request(&mut self) -> io::Result<Option<Request>> {
        let mut first_byte_at = if self.input.is_empty() { 0 } else { nanoseconds() };
        let head_end = loop {
            if let Some(at) = memchr::memmem::find(&self.input, b"\r\n\r\n") {
                break at + 4;
            }
            if self.input.len() > HEAD_BYTES_MAX {
                return Err(invalid("a request head longer than 16 KiB"));
            }
            if self.read()? == 0 {
                return Ok(None);
            }
            if first_byte_at == 0 {
                first_byte_at = nanoseconds();
            }
        };
        let head = String::from_utf8_lossy(&self.input[..head_end]).into_owned();
        let field = |name: &str| {
            head.lines().skip(1).find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let length: usize = field("content-length")
            .and_then(|text| text.parse().ok())
            .filter(|length| *length <= BODY_BYTES_MAX)
            .ok_or_else(|| invalid("no content-length up to 16 MiB"))?;
        if field("expect").is_some() {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        self.input.reserve((head_end + length).saturating_sub(self.input.len()));
        while self.input.len() < head_end + length {
            if self.read()? == 0 {
                return Ok(None);
            }
        }
        let last_byte_at = nanoseconds();
        let body = self.input[head_end..head_end + length].to_vec();
        self.input.drain(..head_end + length);
        let authorization = field("authorization");
        Ok(Some(Request { authorization, body, first_byte_at, last_byte_at }))
    }

    /// Answers it. The parts are the body, one after the other.
    pub fn answer(&mut self, status: &str, parts: &[&[u8]]) -> io::Result<()> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        // Each is written as it is: a template is megabytes, which nobody should have to copy.
        self.stream.write_all(head.as_bytes())?;
        parts.iter().try_for_each(|part| self.stream.write_all(part))
    }

    fn read(&mut self) -> io::Result<usize> {
        let filled = self.input.len();
        self.input.resize(filled + READ_BYTES, 0);
        let outcome = loop {
            match self.stream.read(&mut self.input[filled..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => break outcome,
            }
        };
        self.input.truncate(filled + outcome.as_ref().map_or(0, |count| *count));
        outcome
    }
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
