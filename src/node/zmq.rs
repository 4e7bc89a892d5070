//! bitcoind's ZMQ publisher: how the pool hears of a block before anybody asks
//! (`mining.md` §2.6; Core's `doc/zmq.md`).

use std::io;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::Sender;
use tracing::{debug, info, warn};
use zmq::{Context, PollItem, Socket, SocketEvent, SocketType};

use gopool_shards::sha256d::{Hash, sha256d};
use gopool_shards::work::header::HEADER_BYTES;

use super::event::{NodeEvent, Trigger};
use super::rawblock;
use crate::log::net::{Direction, trace_frames};

const RECONNECT_INTERVAL_MS: i32 = 1000;
const RECONNECT_INTERVAL_MAX_MS: i32 = 10_000;
const CONNECT_TIMEOUT_MS: i32 = 5000;
const HEARTBEAT_INTERVAL_MS: i32 = 5000;
const HEARTBEAT_TIMEOUT_MS: i32 = 15_000;
const HEARTBEAT_TTL_MS: i32 = 30_000;
const RECREATE_DELAY_FIRST: Duration = Duration::from_millis(500);
const RECREATE_DELAY_MAX: Duration = Duration::from_secs(10);

/// Which topics to take from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Such as `tcp://127.0.0.1:28332`.
    pub address: String,
    pub topics: Vec<Topic>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    HashBlock,
    RawBlock,
}

impl Topic {
    fn name(self) -> &'static str {
        match self {
            Self::HashBlock => "hashblock",
            Self::RawBlock => "rawblock",
        }
    }
}

/// One connection for each distinct address; a blank address leaves its topic out.
pub fn endpoints(hashblock: &str, rawblock: &str) -> Vec<Endpoint> {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for (address, topic) in [(hashblock, Topic::HashBlock), (rawblock, Topic::RawBlock)] {
        let address = address.trim();
        if address.is_empty() {
            continue;
        }
        match endpoints.iter_mut().find(|endpoint| endpoint.address == address) {
            Some(endpoint) => endpoint.topics.push(topic),
            None => endpoints.push(Endpoint { address: address.to_owned(), topics: vec![topic] }),
        }
    }
    endpoints
}

/// Listens to one endpoint for as long as the process lives.
pub fn spawn(
    endpoint: Endpoint,
    triggers: Sender<Trigger>,
    events: Sender<NodeEvent>,
) -> io::Result<()> {
    thread::Builder::new().name("zmq".into()).spawn(move || {
        let context = Context::new();
        let mut delay = RECREATE_DELAY_FIRST;
        loop {
            let listener = Listener { endpoint: &endpoint, triggers: &triggers, events: &events };
            let Err(error) = listener.listen(&context, &mut delay) else {
                return;
            };
            let _ = events.send(NodeEvent::Zmq { address: endpoint.address.clone(), up: false });
            warn!(component = "zmq", remote = endpoint.address, %error, "socket failed");
            thread::sleep(delay);
            delay = (delay * 2).min(RECREATE_DELAY_MAX);
        }
    })?;
    Ok(())
}

struct Listener<'a> {
    endpoint: &'a Endpoint,
    triggers: &'a Sender<Trigger>,
    events: &'a Sender<NodeEvent>,
}

/// Nobody is left to tell.
struct PoolGone;

impl Listener<'_> {
    /// Returns when the pool has ended; a socket that fails is an error.
    fn listen(&self, context: &Context, delay: &mut Duration) -> zmq::Result<()> {
        let socket = self.open(context)?;
        let monitor_address = format!("inproc://monitor-{}", self.endpoint.address);
        let watched = SocketEvent::CONNECTED as i32 | SocketEvent::DISCONNECTED as i32;
        socket.monitor(&monitor_address, watched)?;
        let monitor = context.socket(SocketType::PAIR)?;
        monitor.connect(&monitor_address)?;
        socket.connect(&self.endpoint.address)?;
        info!(component = "zmq", remote = self.endpoint.address, "subscribing");
        loop {
            let mut items = [socket.as_poll_item(zmq::POLLIN), monitor.as_poll_item(zmq::POLLIN)];
            match zmq::poll(&mut items, -1) {
                // A signal of this process; the connection is as good as before.
                Err(zmq::Error::EINTR) => continue,
                polled => polled?,
            };
            let [has_message, has_event] = items.map(|item: PollItem<'_>| item.is_readable());
            let told = if has_event {
                self.on_monitor(&monitor.recv_multipart(0)?, delay)
            } else if has_message {
                let frames = socket.recv_multipart(0)?;
                let told = self.on_message(&frames);
                // Afterwards: a trace may take its time with a block.
                trace_frames(Direction::ZmqRecv, &frames);
                told
            } else {
                Ok(())
            };
            if told.is_err() {
                return Ok(());
            }
        }
    }

    fn open(&self, context: &Context) -> zmq::Result<Socket> {
        let socket = context.socket(SocketType::SUB)?;
        socket.set_linger(0)?;
        socket.set_connect_timeout(CONNECT_TIMEOUT_MS)?;
        socket.set_reconnect_ivl(RECONNECT_INTERVAL_MS)?;
        socket.set_reconnect_ivl_max(RECONNECT_INTERVAL_MAX_MS)?;
        socket.set_heartbeat_ivl(HEARTBEAT_INTERVAL_MS)?;
        socket.set_heartbeat_timeout(HEARTBEAT_TIMEOUT_MS)?;
        socket.set_heartbeat_ttl(HEARTBEAT_TTL_MS)?;
        for topic in &self.endpoint.topics {
            socket.set_subscribe(topic.name().as_bytes())?;
        }
        Ok(socket)
    }

    /// The event is two bytes of kind and four of value (`zmq_socket_monitor(3)`).
    fn on_monitor(&self, frames: &[Vec<u8>], delay: &mut Duration) -> Result<(), PoolGone> {
        let Some(kind) = frames.first().and_then(|frame| frame.first_chunk()) else {
            return Ok(());
        };
        let up = u16::from_ne_bytes(*kind) == SocketEvent::CONNECTED as u16;
        let address = self.endpoint.address.clone();
        self.events.send(NodeEvent::Zmq { address, up }).map_err(|_| PoolGone)?;
        if up {
            *delay = RECREATE_DELAY_FIRST;
            // Blocks may have been missed while nobody listened.
            self.trigger(Trigger::Refresh)?;
        }
        Ok(())
    }

    fn on_message(&self, frames: &[Vec<u8>]) -> Result<(), PoolGone> {
        let [topic, payload, ..] = frames else {
            warn!(
                component = "zmq",
                remote = self.endpoint.address,
                "message of one frame ignored"
            );
            return Ok(());
        };
        let arrived_at = SystemTime::now();
        // Work first; telemetry can wait for it.
        let hash = new_block(topic, payload);
        self.trigger(Trigger::NewBlock { hash, at: Instant::now() })?;
        if topic == b"rawblock" {
            let tip = rawblock::tip_of(payload);
            if tip.is_none() {
                debug!(component = "zmq", bytes = payload.len(), "raw block not understood");
            }
            let event = NodeEvent::RawBlock { arrived_at, bytes: payload.len(), tip };
            self.events.send(event).map_err(|_| PoolGone)?;
        }
        Ok(())
    }

    /// A trigger that finds the queue full is one of several that say the same.
    fn trigger(&self, trigger: Trigger) -> Result<(), PoolGone> {
        match self.triggers.try_send(trigger) {
            Err(crossbeam_channel::TrySendError::Disconnected(_)) => Err(PoolGone),
            _ => Ok(()),
        }
    }
}

/// The hash of the block that a message tells of.
fn new_block(topic: &[u8], payload: &[u8]) -> Option<Hash> {
    match topic {
        b"hashblock" => {
            // In the order people read.
            let mut hash: Hash = payload.try_into().ok()?;
            hash.reverse();
            Some(hash)
        }
        b"rawblock" => payload.first_chunk::<HEADER_BYTES>().map(|header| sha256d(header)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_topics_name_the_same_block() {
        let block =
            const_hex::decode(include_str!("../../shards/tests/vectors/example_a.hex").trim());
        let block = block.unwrap();
        let hash_hex = "6627dad31cafe77c8ece5ca0e1359591ae4f8d05412c1dd8d4ed8fd6454c0ffa";
        let named = new_block(b"hashblock", &const_hex::decode(hash_hex).unwrap());
        assert!(named.is_some());
        assert_eq!(new_block(b"rawblock", &block), named);
        assert_eq!(new_block(b"rawblock", &block[..79]), None);
        assert_eq!(new_block(b"hashblock", &[0; 31]), None);
        assert_eq!(new_block(b"hashtx", &[0; 32]), None);
    }

    #[test]
    fn equal_addresses_share_a_connection_and_blank_ones_have_none() {
        let endpoint = |address: &str, topics: &[Topic]| Endpoint {
            address: address.into(),
            topics: topics.into(),
        };
        assert_eq!(
            endpoints("tcp://a:1", " tcp://a:1 "),
            [endpoint("tcp://a:1", &[Topic::HashBlock, Topic::RawBlock])]
        );
        assert_eq!(
            endpoints("tcp://a:1", "tcp://a:2"),
            [endpoint("tcp://a:1", &[Topic::HashBlock]), endpoint("tcp://a:2", &[Topic::RawBlock])]
        );
        assert_eq!(endpoints("", "tcp://a:2"), [endpoint("tcp://a:2", &[Topic::RawBlock])]);
        assert_eq!(endpoints(" ", ""), []);
    }
}
