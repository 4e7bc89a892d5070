//! The node: what it knows, what it answers, and how it tells of a new tip.

use std::io;
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use zmq::SocketType;

use super::block;
use super::hash::{Hash, display_hex};
use super::http::{Connection, Request};
use super::stamps::{Stamps, Submitted, TemplateAnswer, Tip};
use super::target::target_of;
use super::template::{Head, TransactionSet, render};
use super::transaction::Draw;
use crate::net::machine::nanoseconds;

/// Sets of transactions that are used in turn. Two would do for a pool that remembers one template.
const SETS: usize = 3;
/// Heads that a block may still build on.
const HEADS_KEPT: usize = 16;
/// How long a client's long poll is kept waiting at most; then it is told what it knows.
const LONG_POLL_MAX: Duration = Duration::from_secs(600);
/// Seconds after which a template is written anew, with the time of then.
const TEMPLATE_AGE_MAX: u64 = 5;
const HEIGHT_FIRST: u64 = 880_000;
/// Connections it serves at a time; the pool needs a handful.
const CLIENTS_MAX: usize = 64;
const CODE_METHOD_NOT_FOUND: i64 = -32601;
const CODE_BLOCK_NOT_FOUND: i64 = -5;

/// What a node is made of.
#[derive(Clone, Debug)]
pub struct NodePlan {
    /// Loopback addresses; port 0 takes a free one.
    pub rpc: SocketAddrV4,
    pub zmq: SocketAddrV4,
    pub transactions: usize,
    /// What a block must meet.
    pub bits: u32,
    /// `user:password`; without one everybody is answered.
    pub credentials: Option<String>,
}

/// Why there is no node.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("{0} is not on this machine; the stand-in node listens at loopback addresses only")]
    NotLoopback(SocketAddrV4),
    #[error("the stand-in node cannot listen at {address}: {source}. Choose another port")]
    Listen { address: SocketAddrV4, source: io::Error },
    #[error("the stand-in node cannot publish at {address}: {source}. Choose another port")]
    Publish { address: SocketAddrV4, source: zmq::Error },
    #[error("bits {0:08x} are no target; mainnet's are such as 17034219")]
    Bits(u32),
    #[error("the stand-in node cannot start: {0}")]
    Start(#[from] io::Error),
}

/// A node that runs until the process ends.
#[derive(Clone)]
pub struct Node {
    state: Arc<State>,
    pub rpc: SocketAddr,
    pub zmq_url: String,
}

struct State {
    chain: Mutex<Chain>,
    tip_changed: Condvar,
    stamps: Stamps,
    publisher: Mutex<zmq::Socket>,
    sets: Vec<Arc<TransactionSet>>,
    authorization: Option<String>,
}

struct Chain {
    draw: Draw,
    /// Newest last.
    heads: Vec<Head>,
    /// The newest head's template, and the time it says it is. Written before the tip is told, so
    /// that how long this takes is not counted as anybody's.
    rendered: Arc<String>,
    rendered_at: u64,
    messages: u32,
}

impl Chain {
    fn head(&self) -> &Head {
        self.heads.last().expect("there is one from the start")
    }
}

impl Node {
    /// Makes the transactions, which takes a moment, and starts to answer.
    pub fn start(plan: &NodePlan) -> Result<Self, NodeError> {
        for address in [plan.rpc, plan.zmq] {
            if !address.ip().is_loopback() {
                return Err(NodeError::NotLoopback(address));
            }
        }
        let target = target_of(plan.bits).ok_or(NodeError::Bits(plan.bits))?;
        let listener = TcpListener::bind(plan.rpc)
            .map_err(|source| NodeError::Listen { address: plan.rpc, source })?;
        let rpc = listener.local_addr()?;
        let (publisher, zmq_url) =
            publish(plan.zmq).map_err(|source| NodeError::Publish { address: plan.zmq, source })?;
        let mut draw = Draw(plan.transactions as u64);
        let sets = TransactionSet::series(SETS, plan.transactions, &mut draw);
        let head = Head {
            prev_hash: block_hash(&mut draw),
            height: HEIGHT_FIRST,
            bits: plan.bits,
            target_hex: const_hex::encode(target),
            tip: 0,
        };
        let now = unix_seconds();
        let rendered = Arc::new(render(&head, &sets[0], now));
        let heads = vec![head];
        let chain = Chain { draw, heads, rendered, rendered_at: now, messages: 0 };
        let state = Arc::new(State {
            chain: Mutex::new(chain),
            tip_changed: Condvar::new(),
            stamps: Stamps::default(),
            publisher: Mutex::new(publisher),
            sets,
            authorization: plan.credentials.as_deref().map(basic_auth),
        });
        let served = Arc::clone(&state);
        thread::Builder::new().name("node".into()).spawn(move || served.listen(&listener))?;
        Ok(Self { state, rpc, zmq_url })
    }

    /// Ids of the transactions that the newest template holds.
    pub fn txids(&self) -> Vec<Hash> {
        self.state.set(self.state.chain().head().tip).txids.clone()
    }

    pub fn stamps(&self) -> &Stamps {
        &self.state.stamps
    }

    /// A block has been found by somebody: tells everybody at once, over ZMQ and to those who wait
    /// in a long poll. Returns the number of the tip.
    pub fn new_tip(&self) -> u64 {
        self.state.new_tip()
    }
}

/// A publisher of its own context; the address with the port it got.
fn publish(address: SocketAddrV4) -> zmq::Result<(zmq::Socket, String)> {
    let socket = zmq::Context::new().socket(SocketType::PUB)?;
    socket.set_linger(0)?;
    let port = if address.port() == 0 { "*".to_owned() } else { address.port().to_string() };
    socket.bind(&format!("tcp://{}:{port}", address.ip()))?;
    let endpoint = socket.get_last_endpoint()?.unwrap_or_default();
    Ok((socket, endpoint.trim_end_matches('\0').to_owned()))
}

/// As good as mainnet's: its last bytes are zero.
fn block_hash(draw: &mut Draw) -> [u8; 32] {
    let mut hash: [u8; 32] = draw.bytes();
    hash[22..].fill(0);
    hash
}

/// HTTP's `Basic`, for which base 64 is all that is needed.
fn basic_auth(credentials: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("Basic ");
    for chunk in credentials.as_bytes().chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit)) & 63;
            let is_padding = digit > chunk.len();
            text.push(if is_padding { '=' } else { char::from(DIGITS[value as usize]) });
        }
    }
    text
}

impl State {
    fn listen(self: &Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { continue };
            // One is here, one in `listener`'s thread, one with the caller.
            if Arc::strong_count(self) > CLIENTS_MAX {
                continue;
            }
            let state = Arc::clone(self);
            let serve = move || {
                // A client that goes ends its thread; there is nobody to tell.
                let _ = state.serve(stream);
            };
            if thread::Builder::new().name("node-client".into()).spawn(serve).is_err() {
                return;
            }
        }
    }

    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let mut connection = Connection::new(stream)?;
        while let Some(request) = connection.request()? {
            let is_welcome =
                self.authorization.is_none() || self.authorization == request.authorization;
            if !is_welcome {
                connection.answer("401 Unauthorized", &[])?;
                continue;
            }
            let Ok(call) = serde_json::from_slice::<Value>(&request.body) else {
                connection.answer("400 Bad Request", &[])?;
                continue;
            };
            match call["method"].as_str() {
                Some("getblocktemplate") => self.template(&mut connection, &request, &call)?,
                method => {
                    let outcome = self.call(method.unwrap_or_default(), &request, &call["params"]);
                    let (status, answer) = match outcome {
                        Ok(result) => {
                            ("200 OK", json!({"result": result, "error": null, "id": call["id"]}))
                        }
                        Err((code, message)) => {
                            let error = json!({"code": code, "message": message});
                            let answer = json!({"result": null, "error": error, "id": call["id"]});
                            ("500 Internal Server Error", answer)
                        }
                    };
                    connection.answer(status, &[answer.to_string().as_bytes()])?;
                }
            }
        }
        Ok(())
    }

    /// Answers at once, or, when the client knows what there is, when that has changed.
    fn template(
        &self,
        connection: &mut Connection,
        request: &Request,
        call: &Value,
    ) -> io::Result<()> {
        let known = call["params"][0]["longpollid"].as_str();
        let (tip, result) = {
            let chain = self.chain();
            let is_known = |chain: &mut Chain| Some(&*chain.head().long_poll_id()) == known;
            let waited = self.tip_changed.wait_timeout_while(chain, LONG_POLL_MAX, is_known);
            let mut chain = waited.expect("no code panics while it holds this").0;
            let now = unix_seconds();
            if now > chain.rendered_at + TEMPLATE_AGE_MAX {
                let rendered = render(chain.head(), self.set(chain.head().tip), now);
                chain.rendered = Arc::new(rendered);
                chain.rendered_at = now;
            }
            (chain.head().tip, Arc::clone(&chain.rendered))
        };
        let tail = format!(",\"error\":null,\"id\":{}}}", call["id"]);
        connection.answer("200 OK", &[b"{\"result\":", result.as_bytes(), tail.as_bytes()])?;
        self.stamps.answer(TemplateAnswer {
            tip,
            is_long_poll: known.is_some(),
            asked_at: request.last_byte_at,
            answered_at: nanoseconds(),
        });
        Ok(())
    }

    fn call(
        &self,
        method: &str,
        request: &Request,
        params: &Value,
    ) -> Result<Value, (i64, String)> {
        let head = self.chain().head().clone();
        match method {
            "getblockchaininfo" => Ok(json!({
                "chain": "main", "blocks": head.height - 1, "headers": head.height - 1,
                "bestblockhash": display_hex(&head.prev_hash), "initialblockdownload": false,
                "verificationprogress": 1.0, "pruned": false, "warnings": [],
            })),
            "getnetworkinfo" => Ok(json!({
                "version": 290_000, "subversion": "/Satoshi:29.0.0/", "connections": 10,
                "connections_in": 0, "connections_out": 10, "networkactive": true,
            })),
            "getmininginfo" => Ok(json!({"blocks": head.height - 1, "chain": "main"})),
            "getpeerinfo" => Ok(json!([])),
            "getbestblockhash" => Ok(json!(display_hex(&head.prev_hash))),
            "getblockheader" => {
                let wanted = params[0].as_str().unwrap_or_default();
                let chain = self.chain();
                let known = chain.heads.iter().find(|head| display_hex(&head.prev_hash) == wanted);
                let known = known.ok_or((CODE_BLOCK_NOT_FOUND, "Block not found".to_owned()))?;
                Ok(json!({
                    "hash": wanted, "height": known.height - 1, "time": unix_seconds() - 60,
                    "bits": format!("{:08x}", known.bits), "difficulty": 1.0,
                    "confirmations": head.height - known.height + 1,
                }))
            }
            "submitblock" => Ok(self.submit(request, params[0].as_str().unwrap_or_default())),
            other => Err((CODE_METHOD_NOT_FOUND, format!("Method not found: {other}"))),
        }
    }

    fn submit(&self, request: &Request, hex: &str) -> Value {
        // It may build on a tip that was the newest a moment ago.
        let prev_hash = hex.get(8..72).and_then(|hex| const_hex::decode_to_array(hex).ok());
        let head = {
            let chain = self.chain();
            chain.heads.iter().find(|head| Some(head.prev_hash) == prev_hash).cloned()
        };
        let judged = match &head {
            Some(head) => block::judge(hex, head, self.set(head.tip)),
            None => Err("prev-blk-not-found"),
        };
        self.stamps.submitted(Submitted {
            first_byte_at: request.first_byte_at,
            last_byte_at: request.last_byte_at,
            hash_hex: judged.map(|hash| display_hex(&hash)).unwrap_or_default(),
            refused: judged.err(),
        });
        judged.err().map_or(Value::Null, Value::from)
    }

    fn new_tip(&self) -> u64 {
        let (tip, told_at) = {
            let mut chain = self.chain();
            let prev_hash = block_hash(&mut chain.draw);
            let last = chain.head();
            let (height, tip) = (last.height + 1, last.tip + 1);
            let head = Head { prev_hash, height, tip, ..last.clone() };
            let now = unix_seconds();
            chain.rendered = Arc::new(render(&head, self.set(tip), now));
            chain.rendered_at = now;
            if chain.heads.len() == HEADS_KEPT {
                chain.heads.remove(0);
            }
            chain.heads.push(head);
            let sequence = chain.messages.to_le_bytes();
            chain.messages = chain.messages.wrapping_add(1);
            drop(chain);
            // Published hashes are in the order people read.
            let mut shown = prev_hash;
            shown.reverse();
            let publisher = self.publisher.lock().expect("no code panics while it holds this");
            let told_at = nanoseconds();
            let frames: [&[u8]; 3] = [b"hashblock", &shown, &sequence];
            // Without a subscriber it goes nowhere, which is no error either.
            let _ = publisher.send_multipart(frames, 0);
            (tip, told_at)
        };
        self.stamps.tip(Tip { tip, told_at });
        self.tip_changed.notify_all();
        tip
    }

    fn set(&self, tip: u64) -> &TransactionSet {
        &self.sets[tip as usize % self.sets.len()]
    }

    fn chain(&self) -> std::sync::MutexGuard<'_, Chain> {
        self.chain.lock().expect("no code panics while it holds this")
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_64_is_as_rfc_4648_says() {
        assert_eq!(basic_auth("foobar"), "Basic Zm9vYmFy");
        assert_eq!(basic_auth("fooba"), "Basic Zm9vYmE=");
        assert_eq!(basic_auth("foob"), "Basic Zm9vYg==");
    }
}
