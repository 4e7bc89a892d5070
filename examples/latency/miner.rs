//! A miner on a socket of its own: hears of work with the time it came, and finds blocks.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use gopool_shards::sha256d::{Hash, sha256d};
use gopool_shards::work::header::Header;
use gopool_shards::work::merkle;
use gopool_shards::work::target::Target;

const WORKER: &str = "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn.rig";

/// A `mining.notify`, and when its first bytes were there.
pub struct Notify {
    pub at: Instant,
    params: Value,
}

pub struct Miner {
    stream: TcpStream,
    notifies: Receiver<Notify>,
    extranonce1: Vec<u8>,
    nonce: u32,
}

impl Miner {
    pub fn start(pool: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(pool).expect("the pool listens");
        stream.set_nodelay(true).expect("an open socket");
        let subscribe = json!({"id": 1, "method": "mining.subscribe", "params": ["latency"]});
        let authorize = json!({"id": 2, "method": "mining.authorize", "params": [WORKER, "x"]});
        write!(stream, "{subscribe}\n{authorize}\n").expect("it is open");
        let (sender, notifies) = mpsc::channel();
        let (extranonce_sender, extranonce) = mpsc::channel();
        let reader = stream.try_clone().expect("a descriptor");
        thread::spawn(move || {
            let mut reader = BufReader::new(reader);
            let mut line = String::new();
            while let Ok(1..) = reader.read_line(&mut line) {
                let at = Instant::now();
                let message: Value = serde_json::from_str(&line).expect("JSON");
                if message["method"] == "mining.notify" {
                    let _ = sender.send(Notify { at, params: message["params"].clone() });
                } else if message["id"] == 1 {
                    let text = message["result"][1].as_str().expect("extranonce1");
                    let _ = extranonce_sender.send(const_hex::decode(text).expect("hex"));
                }
                line.clear();
            }
        });
        let extranonce1 = extranonce.recv_timeout(Duration::from_secs(10)).expect("an answer");
        Self { stream, notifies, extranonce1, nonce: 0 }
    }

    /// The first work that builds on `prev_hash`.
    pub fn work_on(&self, prev_hash: &Hash, limit: Duration) -> Result<Notify, RecvTimeoutError> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let notify = self.notifies.recv_timeout(left)?;
            if notify.prev_hash() == *prev_hash {
                return Ok(notify);
            }
        }
    }

    /// Hands in a block of `work`; returns when it went out.
    pub fn find_block(&mut self, work: &Notify) -> Instant {
        let field = |index: usize| work.params[index].as_str().expect("text");
        let bytes = |index: usize| const_hex::decode(field(index)).expect("hex");
        let number = |index: usize| u32::from_str_radix(field(index), 16).expect("a number");
        let extranonce2 = "00000000";
        let coinbase = [
            &bytes(2),
            &self.extranonce1,
            &const_hex::decode(extranonce2).expect("hex"),
            &bytes(3),
        ]
        .map(|part| part.as_slice())
        .concat();
        let branch: Vec<Hash> = work.params[4]
            .as_array()
            .expect("a branch")
            .iter()
            .map(|hash| const_hex::decode_to_array(hash.as_str().expect("text")).expect("hex"))
            .collect();
        let mut header = Header {
            version: number(5),
            prev_hash: work.prev_hash(),
            merkle_root: merkle::fold(sha256d(&coinbase), &branch),
            time: number(7),
            bits: number(6),
            nonce: self.nonce,
        };
        let target = Target::from_bits(header.bits).expect("a target");
        while !target.is_met_by(&sha256d(&header.serialize())) {
            header.nonce += 1;
        }
        self.nonce = header.nonce + 1;
        let nonce = format!("{:08x}", header.nonce);
        let params = json!([WORKER, field(0), extranonce2, field(7), nonce]);
        let submit = format!("{}\n", json!({"id": 4, "method": "mining.submit", "params": params}));
        let at = Instant::now();
        self.stream.write_all(submit.as_bytes()).expect("it is open");
        at
    }
}

impl Notify {
    fn prev_hash(&self) -> Hash {
        let hex = self.params[1].as_str().expect("text");
        let mut hash: Hash = const_hex::decode_to_array(hex).expect("hex");
        for word in hash.chunks_exact_mut(4) {
            word.reverse();
        }
        hash
    }
}
