//! Connections that do what no miner should: one kind each, again and again.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::target::Target;
use super::wallet::worker;
use super::wire::Dialect;
use crate::net::machine::nanoseconds;
use crate::net::socket;
use crate::node::Draw;

/// Between two bursts of one connection.
const PAUSE: u64 = 50_000_000;
/// Before one that was closed comes again.
const RETURN: u64 = 100_000_000;
const TICK: Duration = Duration::from_millis(2);
/// What a slow reader lets the kernel keep for it.
const SLOW_BUFFER_BYTES: i32 = 4096;
const SHARES_PER_BURST: usize = 50;
const PINGS_PER_BURST: usize = 50;
/// The first of their numbers, far from any good miner's.
const FIRST: usize = 2_000_000;

/// What a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Garbage,
    LongLine,
    HalfLine,
    WrongTypes,
    Nested,
    TlsOnPlainPort,
    Http,
    SlowReader,
    InvalidShares,
    Churn,
}

impl Kind {
    pub const ALL: [Self; 10] = [
        Self::Garbage,
        Self::LongLine,
        Self::HalfLine,
        Self::WrongTypes,
        Self::Nested,
        Self::TlsOnPlainPort,
        Self::Http,
        Self::SlowReader,
        Self::InvalidShares,
        Self::Churn,
    ];

    pub fn label(self) -> &'static str {
        match self {
            Self::Garbage => "garbage",
            Self::LongLine => "long_line",
            Self::HalfLine => "half_line",
            Self::WrongTypes => "wrong_types",
            Self::Nested => "nested",
            Self::TlsOnPlainPort => "tls_on_plain_port",
            Self::Http => "http",
            Self::SlowReader => "slow_reader",
            Self::InvalidShares => "invalid_shares",
            Self::Churn => "churn",
        }
    }

    /// What it says at first, and then in each burst.
    fn burst(self, is_first: bool, worker: &str, draw: &mut Draw) -> Vec<u8> {
        let greeting = if is_first { Dialect::Bitaxe.handshake(worker) } else { String::new() };
        match self {
            Self::Garbage => {
                let mut bytes: Vec<u8> = draw.bytes::<2048>().to_vec();
                for byte in bytes.iter_mut().step_by(200) {
                    *byte = b'\n';
                }
                bytes
            }
            Self::LongLine => vec![b'a'; 16 * 1024],
            Self::HalfLine if is_first => b"{\"id\":1,\"method\":\"mining.sub".to_vec(),
            Self::HalfLine => b"s".to_vec(),
            Self::WrongTypes => WRONG_TYPES.concat().into_bytes(),
            Self::Nested => {
                let mut line = b"{\"id\":1,\"method\":\"mining.submit\",\"params\":".to_vec();
                line.extend(std::iter::repeat_n(b'[', 4000));
                line.push(b'\n');
                line
            }
            Self::TlsOnPlainPort => {
                // The head of a handshake record and of a ClientHello, and a random.
                let head = [0x16, 0x03, 0x01, 0x00, 0xc8, 0x01, 0x00, 0x00, 0xc4, 0x03, 0x03];
                [&head[..], &draw.bytes::<194>()].concat()
            }
            Self::Http => b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            Self::SlowReader => {
                let ping = "{\"id\":9,\"method\":\"mining.ping\",\"params\":[]}\n";
                let ids = "{\"id\":8,\"method\":\"mining.get_transactions\",\"params\":[]}\n";
                (greeting + &ping.repeat(PINGS_PER_BURST) + ids).into_bytes()
            }
            Self::InvalidShares => {
                let mut text = greeting;
                for _ in 0..SHARES_PER_BURST {
                    let number = draw.number() as u32;
                    text += &format!(
                        "{{\"id\":7,\"method\":\"mining.submit\",\"params\":[\"{worker}\",\
                         \"zz-zz\",\"{number:08x}\",\"66230000\",\"{number:08x}\"]}}\n"
                    );
                }
                text.into_bytes()
            }
            Self::Churn => greeting.into_bytes(),
        }
    }
}

const WRONG_TYPES: [&str; 12] = [
    "{\"id\":{},\"method\":5,\"params\":\"x\"}\n",
    "{\"id\":1,\"method\":\"mining.subscribe\",\"params\":{\"a\":1}}\n",
    "{\"id\":[1],\"method\":\"mining.authorize\",\"params\":[7,true]}\n",
    "{\"id\":2,\"method\":\"mining.submit\",\"params\":[null,null,null,null,null]}\n",
    "{\"id\":3,\"method\":\"mining.configure\",\"params\":[[1],[2]]}\n",
    "{\"id\":4,\"method\":\"mining.suggest_difficulty\",\"params\":[\"x\"]}\n",
    "{\"id\":5,\"method\":\"mining.suggest_difficulty\",\"params\":[1e999]}\n",
    "{\"id\":-1,\"method\":\"\",\"params\":[]}\n",
    "{\"method\":\"mining.submit\"}\n",
    "[]\n",
    "null\n",
    "\n",
];

/// What became of the connections of one kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    pub connections: u64,
    pub closed: u64,
    pub refused: u64,
    pub bytes_sent: u64,
}

struct Mischief {
    kind: Kind,
    worker: String,
    source: Ipv4Addr,
    socket: Option<OwnedFd>,
    is_first: bool,
    next_at: u64,
}

/// Sends bad input until `stop`, from so many connections of each kind.
pub fn run(target: Target, each: usize, stop: &AtomicBool) -> BTreeMap<&'static str, Outcome> {
    let mut draw = Draw(5);
    let mut all: Vec<Mischief> = Kind::ALL
        .iter()
        .enumerate()
        .flat_map(|(place, kind)| (0..each).map(move |index| (place, *kind, index)))
        .map(|(place, kind, index)| Mischief {
            kind,
            worker: worker(FIRST + place * each + index),
            // An address for each kind: a ban is one kind's own affair.
            source: Ipv4Addr::new(127, 1, place as u8 + 1, (index / 50 % 254 + 1) as u8),
            socket: None,
            is_first: true,
            // Spread over the pause.
            next_at: nanoseconds() + draw.below(PAUSE),
        })
        .collect();
    let mut outcomes = BTreeMap::new();
    let mut waste = vec![0; 64 * 1024];
    while !stop.load(Ordering::Relaxed) {
        for mischief in &mut all {
            let now = nanoseconds();
            if now < mischief.next_at {
                continue;
            }
            let outcome: &mut Outcome = outcomes.entry(mischief.kind.label()).or_default();
            mischief.next_at = now + PAUSE;
            if mischief.act(target, outcome, &mut draw, &mut waste).is_err() {
                outcome.closed += 1;
                mischief.socket = None;
                mischief.next_at = now + RETURN;
            }
        }
        thread::sleep(TICK);
    }
    outcomes
}

impl Mischief {
    fn act(
        &mut self,
        target: Target,
        outcome: &mut Outcome,
        draw: &mut Draw,
        waste: &mut [u8],
    ) -> io::Result<()> {
        let Some(socket) = &self.socket else {
            let socket = socket::connect(self.source, target.address())
                .inspect_err(|_| outcome.refused += 1)?;
            socket::reset_when_closed(socket.as_raw_fd());
            if self.kind == Kind::SlowReader {
                socket::limit_received(socket.as_raw_fd(), SLOW_BUFFER_BYTES)?;
            }
            outcome.connections += 1;
            (self.socket, self.is_first) = (Some(socket), true);
            return Ok(());
        };
        let socket = socket.as_raw_fd();
        let burst = self.kind.burst(self.is_first, &self.worker, draw);
        match socket::send(socket, &burst) {
            Ok(count) => outcome.bytes_sent += count as u64,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if self.kind == Kind::Churn && !self.is_first {
            self.socket = None;
            return Ok(());
        }
        self.is_first = false;
        if self.kind == Kind::SlowReader {
            // One byte now and then: it lives, and is slow.
            return read(socket, &mut waste[..1]);
        }
        read(socket, waste)
    }
}

fn read(socket: std::os::fd::RawFd, waste: &mut [u8]) -> io::Result<()> {
    match socket::receive(socket, waste) {
        Ok(0) => Err(io::ErrorKind::ConnectionReset.into()),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error),
    }
}

/// For a report.
pub fn to_json(outcomes: &BTreeMap<&'static str, Outcome>) -> Value {
    let members = outcomes.iter().map(|(label, outcome)| {
        let Outcome { connections, closed, refused, bytes_sent } = outcome;
        let kib_sent = bytes_sent / 1024;
        let value = json!({
            "connections": connections, "closed": closed, "refused": refused,
            "kib_sent": kib_sent,
        });
        ((*label).to_owned(), value)
    });
    Value::Object(members.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_something_to_say_and_a_name_of_its_own() {
        let mut draw = Draw(1);
        let mut labels = std::collections::HashSet::new();
        for kind in Kind::ALL {
            assert!(!kind.burst(true, "w.r", &mut draw).is_empty(), "{kind:?}");
            assert!(labels.insert(kind.label()));
        }
    }
}
