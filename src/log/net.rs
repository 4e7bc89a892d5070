//! Raw network traffic, for `net-debug.log` (`config.md` §7.6).
//!
//! It travels as events of a target of its own. While nobody listens such an event is one load of
//! an atomic, without looking at a byte.

use std::io::{self, Read};
use std::mem;

use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, trace};

/// Events with this target are traffic: `direction` and `bytes`. The shards say it too.
pub(crate) use gopool_shards::executor::TRAFFIC as TARGET;

/// A piece of traffic longer than the two together is written without its middle: of a template, of
/// which there may be ten megabytes several times a minute, what is neither the first nor the last
/// transactions.
const HEAD_BYTES_MAX: usize = 48 * 1024;
const TAIL_BYTES_MAX: usize = 16 * 1024;

/// Who says it to whom. Stratum's `recv` and `send` are said by the shards.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Direction {
    RpcSend,
    RpcRecv,
    ZmqRecv,
}

impl Direction {
    fn name(self) -> &'static str {
        match self {
            Self::RpcSend => "rpc-send",
            Self::RpcRecv => "rpc-recv",
            Self::ZmqRecv => "zmq-recv",
        }
    }
}

fn is_on() -> bool {
    tracing::enabled!(target: TARGET, Level::TRACE)
}

/// Traces bytes that are there.
pub(crate) fn trace_bytes(direction: Direction, bytes: &[u8]) {
    if is_on() {
        let mut excerpt = Excerpt::default();
        excerpt.push(bytes);
        excerpt.trace(direction);
    }
}

/// Traces a message of ZMQ: its topic, then its other frames in hex.
pub(crate) fn trace_frames(direction: Direction, frames: &[Vec<u8>]) {
    let Some((topic, frames)) = frames.split_first().filter(|_| is_on()) else { return };
    let mut excerpt = Excerpt::default();
    excerpt.push(topic);
    for frame in frames {
        excerpt.push(b" ");
        for piece in frame.chunks(1024) {
            excerpt.push(const_hex::encode(piece).as_bytes());
        }
    }
    excerpt.trace(direction);
}

/// Reads from another and traces what went by, once that is over.
pub(crate) struct Traced<R> {
    inner: R,
    direction: Direction,
    /// None while nobody listens.
    excerpt: Option<Excerpt>,
}

impl<R: Read> Traced<R> {
    pub(crate) fn new(direction: Direction, inner: R) -> Self {
        Self { inner, direction, excerpt: is_on().then(Excerpt::default) }
    }
}

impl<R: Read> Read for Traced<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if let Some(excerpt) = &mut self.excerpt {
            excerpt.push(&buffer[..count]);
        }
        if count == 0 {
            self.trace();
        }
        Ok(count)
    }
}

impl<R> Drop for Traced<R> {
    /// Who knows the length of what it reads does not read on to the end.
    fn drop(&mut self) {
        self.trace();
    }
}

impl<R> Traced<R> {
    fn trace(&mut self) {
        if let Some(excerpt) = self.excerpt.take().filter(|excerpt| excerpt.total > 0) {
            excerpt.trace(self.direction);
        }
    }
}

/// The beginning and the end of bytes that come one after the other.
#[derive(Debug, Default)]
struct Excerpt {
    head: Vec<u8>,
    tail: Vec<u8>,
    total: usize,
}

impl Excerpt {
    fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len();
        let room = HEAD_BYTES_MAX - self.head.len();
        let (head, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend(head);
        self.tail.extend(&rest[rest.len().saturating_sub(TAIL_BYTES_MAX)..]);
        // Not at each push: that would move the tail for every few bytes.
        if self.tail.len() > 4 * TAIL_BYTES_MAX {
            self.trim();
        }
    }

    fn trim(&mut self) {
        let excess = self.tail.len().saturating_sub(TAIL_BYTES_MAX);
        self.tail.drain(..excess);
    }

    fn into_bytes(mut self) -> Vec<u8> {
        self.trim();
        let left_out = self.total - self.head.len() - self.tail.len();
        let mut bytes = self.head;
        if left_out > 0 {
            bytes.extend(format!(" [{left_out} of {} bytes left out] ", self.total).as_bytes());
        }
        bytes.append(&mut self.tail);
        bytes
    }

    fn trace(self, direction: Direction) {
        let bytes = self.into_bytes();
        trace!(target: TARGET, direction = direction.name(), bytes = bytes.as_slice());
    }
}

/// A piece of traffic on its way to the file.
#[derive(Debug)]
pub(super) struct Traffic {
    pub(super) at: Timestamp,
    direction: String,
    bytes: Vec<u8>,
}

impl Traffic {
    /// Takes the bytes as they are: what they look like as text is the writer's work.
    pub(super) fn of_event(event: &Event<'_>) -> Self {
        let mut traffic =
            Self { at: Timestamp::now(), direction: String::new(), bytes: Vec::new() };
        event.record(&mut traffic);
        traffic
    }

    /// Bytes that it occupies while it waits.
    pub(super) fn size(&self) -> usize {
        mem::size_of::<Self>() + self.direction.len() + self.bytes.len()
    }

    /// `<time> [direction] <text>` and a line feed. What would begin another line, or move the
    /// cursor of who reads it, is escaped; what is no UTF-8 is U+FFFD.
    pub(super) fn to_line(&self) -> String {
        let mut line = format!("{} [{}] ", self.at, self.direction);
        let bytes = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        for chunk in bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_control() && c != '\t' {
                    line.extend(c.escape_default());
                } else {
                    line.push(c);
                }
            }
            if !chunk.invalid().is_empty() {
                line.push(char::REPLACEMENT_CHARACTER);
            }
        }
        line.push('\n');
        line
    }
}

impl Visit for Traffic {
    fn record_str(&mut self, _: &Field, value: &str) {
        value.clone_into(&mut self.direction);
    }

    fn record_bytes(&mut self, _: &Field, value: &[u8]) {
        self.bytes = value.to_vec();
    }

    /// There is no other field.
    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_line(bytes: &[u8], expected: &str) {
        let traffic = Traffic {
            at: "2026-01-31T03:04:05.5Z".parse().unwrap(),
            direction: "recv".into(),
            bytes: bytes.to_vec(),
        };
        assert_eq!(traffic.to_line(), format!("2026-01-31T03:04:05.5Z [recv] {expected}\n"));
    }

    #[test]
    fn a_piece_of_traffic_is_one_line_whatever_is_in_it() {
        check_line(b"{\"id\":1}", "{\"id\":1}");
        check_line(b"{\"id\":1}\n", "{\"id\":1}");
        check_line(b"a\n\n", "a\\n");
        check_line("1\t\u{e9}\r\u{1b}[2J\u{9b}".as_bytes(), "1\t\u{e9}\\r\\u{1b}[2J\\u{9b}");
        check_line(b"\x16\x03\x01\xff\xfe|", "\\u{16}\\u{3}\\u{1}\u{fffd}\u{fffd}|");
        check_line(b"", "");
    }

    #[track_caller]
    fn excerpt(whole: &[u8], piece: usize) -> Vec<u8> {
        let mut excerpt = Excerpt::default();
        whole.chunks(piece).for_each(|piece| excerpt.push(piece));
        excerpt.into_bytes()
    }

    #[test]
    fn the_middle_of_something_long_is_left_out_however_it_comes() {
        const MAX: usize = HEAD_BYTES_MAX + TAIL_BYTES_MAX;
        let whole: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
        for piece in [1, 1000, 70_000, 1_000_000] {
            assert_eq!(excerpt(&whole[..MAX], piece), whole[..MAX]);
            let expected = [
                &whole[..HEAD_BYTES_MAX],
                format!(" [{} of 1000000 bytes left out] ", 1_000_000 - MAX).as_bytes(),
                &whole[1_000_000 - TAIL_BYTES_MAX..],
            ]
            .concat();
            assert!(excerpt(&whole, piece) == expected, "pieces of {piece}");
        }
    }
}
