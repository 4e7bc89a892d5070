//! A stand-in for bitcoind that answers at once, so that what is measured is the pool: JSON-RPC over
//! HTTP, the long poll, and the ZMQ publisher.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use gopool_shards::work::header::display_hex;

use crate::template::Template;

/// One `getblocktemplate`: from the whole request to the last byte of the answer.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    pub asked_at: Instant,
    pub written_at: Instant,
}

/// One `submitblock`.
#[derive(Clone, Debug)]
pub struct Submission {
    pub first_byte_at: Instant,
    pub last_byte_at: Instant,
    pub block_hex: String,
}

pub struct Node {
    pub rpc: SocketAddr,
    pub zmq: SocketAddr,
    publisher: zmq::Socket,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Core holds `cs_main` while it makes an answer: one after the other.
    answering: Mutex<()>,
    /// How long making an answer takes.
    think: Duration,
    answers_long_polls: bool,
}

struct State {
    template: Arc<Template>,
    changed_at: Instant,
    answers: Vec<Answer>,
    submissions: Vec<Submission>,
}

impl Node {
    pub fn start(template: Template, answers_long_polls: bool, think: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let rpc = listener.local_addr().expect("it is bound");
        let publisher = zmq::Context::new().socket(zmq::PUB).expect("a socket");
        publisher.bind("tcp://127.0.0.1:*").expect("a free port");
        let endpoint = publisher.get_last_endpoint().expect("bound").expect("text");
        let zmq = endpoint.trim_start_matches("tcp://").parse().expect("an address");
        let state = State {
            template: Arc::new(template),
            changed_at: Instant::now(),
            answers: Vec::new(),
            submissions: Vec::new(),
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
            answering: Mutex::new(()),
            think,
            answers_long_polls,
        });
        let acceptor = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&acceptor);
                thread::spawn(move || Connection { stream, shared }.serve());
            }
        });
        Self { rpc, zmq, publisher, shared }
    }

    /// A block has been found by somebody else; returns when the pool was told.
    pub fn new_tip(&self, template: Template, says_so: bool) -> Instant {
        let hash = display_hex(&template.prev_hash);
        let payload = const_hex::decode(hash).expect("hex");
        let mut state = self.shared.state.lock().expect("no panic");
        state.template = Arc::new(template);
        state.answers.clear();
        let now = Instant::now();
        state.changed_at = now;
        self.shared.changed.notify_all();
        drop(state);
        if says_so {
            let frames: [&[u8]; 3] = [b"hashblock", &payload, &[0; 4]];
            self.publisher.send_multipart(frames, 0).expect("it never waits");
        }
        now
    }

    /// Answers given since the last tip, in the order in which they ended.
    pub fn answers(&self) -> Vec<Answer> {
        self.shared.state.lock().expect("no panic").answers.clone()
    }

    pub fn take_submission(&self) -> Option<Submission> {
        self.shared.state.lock().expect("no panic").submissions.pop()
    }
}

struct Connection {
    stream: TcpStream,
    shared: Arc<Shared>,
}

impl Connection {
    fn serve(mut self) {
        self.stream.set_nodelay(true).expect("an open socket");
        let mut buffer = vec![0; 1 << 16];
        loop {
            let Ok(mut count @ 1..) = self.stream.read(&mut buffer) else { return };
            let first_byte_at = Instant::now();
            let mut request = Vec::new();
            let body_at = loop {
                request.extend(&buffer[..count]);
                if let Some((at, length)) = body_of(&request)
                    && request.len() >= at + length
                {
                    break at;
                }
                match self.stream.read(&mut buffer) {
                    Ok(more @ 1..) => count = more,
                    _ => return,
                }
            };
            let last_byte_at = Instant::now();
            let request: Value = serde_json::from_slice(&request[body_at..]).expect("JSON");
            let (id, params) = (&request["id"], &request["params"]);
            match request["method"].as_str().expect("a method") {
                "getblocktemplate" => self.get_block_template(id, &params[0], last_byte_at),
                "submitblock" => {
                    let block_hex = params[0].as_str().expect("hex").to_owned();
                    let submission = Submission { first_byte_at, last_byte_at, block_hex };
                    self.shared.state.lock().expect("no panic").submissions.push(submission);
                    self.answer(id, &Value::Null);
                }
                "getblockchaininfo" => {
                    let info = json!({"chain": "regtest", "blocks": 1, "headers": 1,
                        "initialblockdownload": false});
                    self.answer(id, &info);
                }
                "getblockheader" => {
                    let header = json!({"height": 1, "time": 1_700_000_000, "bits": "207fffff",
                        "difficulty": 4.6e-10, "confirmations": 1});
                    self.answer(id, &header);
                }
                "getbestblockhash" => {
                    let best = self.template().prev_hash;
                    self.answer(id, &Value::from(display_hex(&best)));
                }
                _ => self.answer(id, &Value::Null),
            }
        }
    }

    fn template(&self) -> Arc<Template> {
        Arc::clone(&self.shared.state.lock().expect("no panic").template)
    }

    fn get_block_template(&mut self, id: &Value, params: &Value, mut asked_at: Instant) {
        if let Some(known) = params["longpollid"].as_str() {
            let mut state = self.shared.state.lock().expect("no panic");
            while known.starts_with(&display_hex(&state.template.prev_hash))
                || !self.shared.answers_long_polls
            {
                state = self.shared.changed.wait(state).expect("no panic");
            }
            // What it was asked is known for long: the answer begins with the change.
            asked_at = state.changed_at;
        }
        let _one_at_a_time = self.shared.answering.lock().expect("no panic");
        thread::sleep(self.shared.think);
        let template = self.template();
        let tail = format!("{id}}}\n");
        let head = head(template.body.len() + tail.len());
        for part in [head.as_bytes(), &template.body, tail.as_bytes()] {
            if self.stream.write_all(part).is_err() {
                return;
            }
        }
        let answer = Answer { asked_at, written_at: Instant::now() };
        self.shared.state.lock().expect("no panic").answers.push(answer);
    }

    fn answer(&mut self, id: &Value, result: &Value) {
        let body = format!("{{\"result\":{result},\"error\":null,\"id\":{id}}}\n");
        let _ = self.stream.write_all((head(body.len()) + &body).as_bytes());
    }
}

fn head(length: usize) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n")
}

/// Where the body of a request starts, and how long it is.
fn body_of(request: &[u8]) -> Option<(usize, usize)> {
    let end = memchr::memmem::find(request, b"\r\n\r\n")?;
    let head = std::str::from_utf8(&request[..end]).expect("text").to_ascii_lowercase();
    let (_, rest) = head.split_once("content-length:").expect("its length is given");
    let length = rest.lines().next()?.trim().parse().expect("a number");
    Some((end + 4, length))
}
