//! Stratum's wire, seen from the miner: lines of JSON, answers matched by their id.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long anything a pool answers by itself may take on a busy machine.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(10);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// A pool that sends a longer line has lost its way.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// What came from the pool within a given time.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    Line(String),
    Silence,
    Closed,
}

/// What carries a conversation: TCP, or TLS over it.
pub trait Stream: Read + Write + Send {
    /// From now on a read that finds nothing ends after `limit`, which is not zero.
    fn wait_at_most(&self, limit: Duration) -> io::Result<()>;
    /// Tells the peer that nothing more will come; it may still be heard.
    fn end_writing(&mut self) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn wait_at_most(&self, limit: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(limit))
    }

    fn end_writing(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// A socket that sends at once what it is given and does not wait for ever.
pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, CONNECT_LIMIT)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(ANSWER_LIMIT))?;
    Ok(stream)
}

/// A connection that may say anything.
pub struct Connection {
    stream: Box<dyn Stream>,
    unread: Vec<u8>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        connect(address).map(Self::over)
    }

    pub fn over(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), unread: Vec::new() }
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next line, or what became of waiting for it.
    pub fn hear(&mut self, limit: Duration) -> Heard {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Heard::Line(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            assert!(self.unread.len() <= LINE_BYTES_MAX, "the pool sends a line without end");
            let left = deadline.saturating_duration_since(Instant::now());
            // Zero would mean "for ever"; and what has arrived is heard even without any time left.
            let wait = left.max(Duration::from_millis(1));
            self.stream.wait_at_most(wait).expect("the wait is not zero");
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Heard::Closed,
                Ok(size) => self.unread.extend_from_slice(&chunk[..size]),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                        if Instant::now() >= deadline {
                            return Heard::Silence;
                        }
                    }
                    io::ErrorKind::Interrupted => {}
                    _ => return Heard::Closed,
                },
            }
        }
    }

    /// Everything said until the pool closed; `None` when it is still open after `limit`.
    pub fn last_words(&mut self, limit: Duration) -> Option<Vec<String>> {
        let deadline = Instant::now() + limit;
        let mut lines = Vec::new();
        loop {
            match self.hear(deadline.saturating_duration_since(Instant::now())) {
                Heard::Line(line) => lines.push(line),
                Heard::Closed => return Some(lines),
                Heard::Silence => return None,
            }
        }
    }

    /// Hangs up and waits until the pool has noticed, so that it knows of the end.
    #[track_caller]
    pub fn leave(mut self) {
        self.stream.end_writing().expect("the connection is open");
        let words = self.last_words(ANSWER_LIMIT);
        assert!(words.is_some(), "the pool keeps a connection that has ended");
    }
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub result: Value,
    pub error: Option<(i64, String)>,
}

impl Answer {
    pub fn is_true(&self) -> bool {
        self.result == Value::Bool(true) && self.error.is_none()
    }

    fn parse(message: &Value) -> Self {
        let error = match &message["error"] {
            Value::Null => None,
            error => Some((
                error[0].as_i64().unwrap_or_else(|| panic!("an error has a code: {message}")),
                error[1].as_str().unwrap_or_else(|| panic!("and a text: {message}")).to_owned(),
            )),
        };
        Self { result: message["result"].clone(), error }
    }
}

/// What the pool says unasked.
#[derive(Clone, Debug)]
pub struct Notification {
    pub method: String,
    pub params: Value,
}

/// A well-behaved client: it asks, waits for the answer and keeps the notifications for later.
pub struct Client {
    connection: Connection,
    next_id: u64,
    notifications: VecDeque<Notification>,
}

impl Client {
    #[track_caller]
    pub fn open(address: SocketAddr) -> Self {
        let connection = Connection::open(address)
            .unwrap_or_else(|error| panic!("connect to Stratum at {address}: {error}"));
        Self::over(connection)
    }

    pub fn over(connection: Connection) -> Self {
        Self { connection, next_id: 1, notifications: VecDeque::new() }
    }

    /// Sends bytes of one's own choice; their answers are read with [`Self::answer`].
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.connection.send(bytes).unwrap_or_else(|error| panic!("send: {error}"));
    }

    /// The next answer, whatever it answers.
    #[track_caller]
    pub fn answer(&mut self) -> Value {
        let deadline = Instant::now() + ANSWER_LIMIT;
        loop {
            match self.connection.hear(deadline.saturating_duration_since(Instant::now())) {
                Heard::Line(line) => {
                    if let Some(message) = self.sort(&line) {
                        return message;
                    }
                }
                other => panic!("no answer: {other:?}"),
            }
        }
    }

    #[track_caller]
    pub fn leave(self) {
        self.connection.leave();
    }

    pub fn into_connection(self) -> Connection {
        self.connection
    }

    #[track_caller]
    pub fn request(&mut self, method: &str, params: &Value) -> Answer {
        let id = self.next_id;
        self.next_id += 1;
        let line = format!("{}\n", json!({"id": id, "method": method, "params": params}));
        self.connection
            .send(line.as_bytes())
            .unwrap_or_else(|error| panic!("send {method}: {error}"));
        let message = self.answer();
        assert_eq!(message["id"], id, "answers come in the order of requests: {method}");
        Answer::parse(&message)
    }

    /// The next notification, the oldest first.
    #[track_caller]
    pub fn notification(&mut self, limit: Duration) -> Option<Notification> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(notification) = self.notifications.pop_front() {
                return Some(notification);
            }
            match self.connection.hear(deadline.saturating_duration_since(Instant::now())) {
                Heard::Line(line) => {
                    let answer = self.sort(&line);
                    assert_eq!(answer, None, "an answer nobody waits for");
                }
                Heard::Silence => return None,
                Heard::Closed => panic!("the pool closed a good connection"),
            }
        }
    }

    /// Puts a notification aside; an answer is returned.
    #[track_caller]
    fn sort(&mut self, line: &str) -> Option<Value> {
        let message: Value = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {line:?}"));
        match message["method"].as_str() {
            Some(method) => {
                assert_eq!(message["id"], Value::Null, "a notification has no id: {line}");
                let method = method.to_owned();
                let params = message["params"].clone();
                self.notifications.push_back(Notification { method, params });
                None
            }
            None => {
                for member in ["id", "result", "error"] {
                    assert!(message.get(member).is_some(), "no {member} in {line}");
                }
                Some(message)
            }
        }
    }
}
