//! Calls to bitcoind: how often they are tried, and what their failures say of its health
//! (`mining.md` §1.3, §1.4).

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tracing::{debug, info, warn};
use ureq::Agent;

use super::cookie::Auth;
pub use super::exchange::NodeError;
use super::exchange::{Endpoint, Params, endpoint_label, new_agent, read_result};
use crate::rings::histogram::Histogram;
use crate::rings::latency::Latency;
use crate::snapshot::{MethodFigures, RpcFigures};

const RETRY_DELAY_FIRST: Duration = Duration::from_millis(100);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(5);
/// For the call that keeps a connection warm: it is made by a thread that a block may need.
const WARMING_TIMEOUT: Duration = Duration::from_secs(1);

/// A client of one bitcoind. Its calls block; share it between threads.
#[derive(Debug)]
pub struct Rpc {
    endpoint: Endpoint,
    agent: Agent,
    /// Has connections of its own, so that one is free when a block has been found.
    block_agent: Agent,
    label: String,
    started: Instant,
    health: Mutex<Health>,
}

/// Errors that wait to be taken; a node that is away does not fill the memory.
const ERRORS_MAX: usize = 16;

#[derive(Debug, Default)]
struct Health {
    connected: bool,
    unhealthy: bool,
    figures: RpcFigures,
    /// Of `getblocktemplate`, failures included, by the second after the start.
    templates: Latency,
    /// As many as the program has names for.
    methods: BTreeMap<&'static str, Method>,
    /// What has gone wrong since somebody last asked.
    errors: Vec<String>,
}

#[derive(Debug, Default)]
struct Method {
    /// Failures included, long polls excluded.
    times: Histogram,
    errors: u64,
}

impl Rpc {
    pub fn new(url: &str, auth: Auth) -> Self {
        let label = endpoint_label(url);
        let health = Health {
            figures: RpcFigures { endpoint: label.clone(), ..RpcFigures::default() },
            ..Health::default()
        };
        Self {
            endpoint: Endpoint::new(url, auth),
            agent: new_agent(),
            block_agent: new_agent(),
            label,
            started: Instant::now(),
            health: Mutex::new(health),
        }
    }

    /// `host:port` of the node, for logs and pages.
    pub fn label(&self) -> &str {
        &self.label
    }

    pub fn figures(&self) -> RpcFigures {
        let health = self.health();
        RpcFigures {
            healthy: health.connected && !health.unhealthy,
            methods: health
                .methods
                .iter()
                .map(|(name, method)| (*name, method.figures()))
                .collect(),
            gbt_hour: health.templates.statistics(self.started.elapsed().as_secs()),
            ..health.figures.clone()
        }
    }

    /// What has gone wrong, or has changed, since this was last asked; the oldest first.
    pub fn take_errors(&self) -> Vec<String> {
        std::mem::take(&mut self.health().errors)
    }

    /// How often the node has been lost: what was known of it before may not hold any more.
    pub fn disconnects(&self) -> u64 {
        self.health().figures.disconnects
    }

    /// One attempt, within `timeout`.
    pub fn call_once<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: &Value,
        timeout: Duration,
    ) -> Result<T, NodeError> {
        let read = |body: &mut dyn Read, id| read_result(method, body, id);
        self.attempt(&self.agent, method, Params::Json(params), timeout, read)
    }

    /// Attempts until one succeeds, one fails for good, or `budget` is spent; then the last real
    /// error.
    pub fn call<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: &Value,
        budget: Duration,
    ) -> Result<T, NodeError> {
        let read = |body: &mut dyn Read, id| read_result(method, body, id);
        self.call_reading(method, params, budget, read)
    }

    /// Like [`Self::call`]; `read` takes the answer from the wire, and is told the id that it must
    /// have.
    pub(super) fn call_reading<T>(
        &self,
        method: &'static str,
        params: &Value,
        budget: Duration,
        read: impl Fn(&mut dyn Read, u64) -> Result<T, NodeError>,
    ) -> Result<T, NodeError> {
        let deadline = Instant::now() + budget;
        let mut delay = RETRY_DELAY_FIRST;
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).max(RETRY_DELAY_FIRST);
            match self.attempt(&self.agent, method, Params::Json(params), left, &read) {
                Err(error) if error.is_retryable() && Instant::now() + delay < deadline => {
                    debug!(component = "rpc", method, %error, "retrying");
                    std::thread::sleep(delay);
                    delay = (delay * 2).min(RETRY_DELAY_MAX);
                }
                result => return result,
            }
        }
    }

    /// One call that the node answers when it has something to say. That it has not said anything
    /// within `patience` is no failure; how long it took says nothing of the node.
    pub(super) fn wait_reading<T>(
        &self,
        method: &'static str,
        params: &Value,
        patience: Duration,
        read: impl FnOnce(&mut dyn Read, u64) -> Result<T, NodeError>,
    ) -> Result<Option<T>, NodeError> {
        match self.endpoint.ask(&self.agent, method, Params::Json(params), patience, read) {
            Ok(answer) => {
                self.succeeded(method, None);
                Ok(Some(answer))
            }
            Err(NodeError::Timeout { .. }) => Ok(None),
            Err(error) => {
                self.failed(method, &error);
                Err(error)
            }
        }
    }

    /// One attempt to hand in a block, whose `bytes` of hex leave as `hex` makes them.
    pub fn submit_block(
        &self,
        bytes: u64,
        hex: &mut dyn Read,
        timeout: Duration,
    ) -> Result<Option<String>, NodeError> {
        let method = "submitblock";
        let read = |body: &mut dyn Read, id| read_result(method, body, id);
        let params = Params::Text { bytes, text: hex };
        self.attempt(&self.block_agent, method, params, timeout, read)
    }

    /// Uses the connection on which blocks are handed in, or opens it: bitcoind closes one that has
    /// been silent for thirty seconds, and opening one takes a round trip that a block should not
    /// wait for. What comes of it is of no interest: the other calls see how the node is.
    pub fn keep_block_connection(&self) {
        let method = "uptime";
        let read = |body: &mut dyn Read, id| read_result::<u64>(method, body, id);
        let params = json!([]);
        let params = Params::Json(&params);
        let kept = self.endpoint.ask(&self.block_agent, method, params, WARMING_TIMEOUT, read);
        if let Err(error) = kept {
            debug!(component = "rpc", %error, "no connection for blocks");
        }
    }

    fn attempt<T>(
        &self,
        agent: &Agent,
        method: &'static str,
        params: Params<'_>,
        timeout: Duration,
        read: impl FnOnce(&mut dyn Read, u64) -> Result<T, NodeError>,
    ) -> Result<T, NodeError> {
        let started = Instant::now();
        let result = self.endpoint.ask(agent, method, params, timeout, read);
        let took = started.elapsed();
        {
            let mut health = self.health();
            health.methods.entry(method).or_default().times.record(took);
            if method == "getblocktemplate" {
                health.templates.add(self.started.elapsed().as_secs(), took);
            }
        }
        match &result {
            Ok(_) => self.succeeded(method, Some(took)),
            Err(error) => self.failed(method, error),
        }
        result
    }

    fn succeeded(&self, method: &'static str, took: Option<Duration>) {
        let mut health = self.health();
        health.figures.last_error = None;
        let was_connected = std::mem::replace(&mut health.connected, true);
        if std::mem::take(&mut health.unhealthy) || !was_connected {
            health.figures.reconnects += u64::from(was_connected);
            let event = if was_connected { "reconnected to node" } else { "connected to node" };
            info!(component = "rpc", remote = self.label, "{event}");
            health.note(event.to_owned());
        }
        let Some(seconds) = took.map(|took| took.as_secs_f64()) else {
            return;
        };
        let figures = &mut health.figures;
        match method {
            "getblocktemplate" => {
                figures.gbt_seconds_last = seconds;
                figures.gbt_seconds_max = figures.gbt_seconds_max.max(seconds);
                figures.gbt_count += 1;
            }
            "submitblock" => {
                figures.submit_seconds_last = seconds;
                figures.submit_seconds_max = figures.submit_seconds_max.max(seconds);
                figures.submit_count += 1;
            }
            _ => {}
        }
    }

    fn failed(&self, method: &'static str, error: &NodeError) {
        let mut health = self.health();
        health.methods.entry(method).or_default().errors += 1;
        health.figures.errors += 1;
        health.figures.last_error = Some(error.to_string());
        health.note(error.to_string());
        if error.is_connectivity_loss() && !std::mem::replace(&mut health.unhealthy, true) {
            health.figures.disconnects += 1;
            warn!(component = "rpc", remote = self.label, %error, "disconnected from node");
        }
    }

    fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().expect("no code panics while it holds this")
    }
}

impl Method {
    fn figures(&self) -> MethodFigures {
        MethodFigures { times: self.times.snapshot(), errors: self.errors }
    }
}

impl Health {
    fn note(&mut self, text: String) {
        if self.errors.len() == ERRORS_MAX {
            self.errors.remove(0);
        }
        self.errors.push(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    /// Head and body of the next request.
    fn request(stream: &mut BufReader<TcpStream>) -> (String, String) {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(stream.read_line(&mut head).unwrap(), 0, "{head}");
        }
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).unwrap();
        (head, String::from_utf8(body).unwrap())
    }

    fn answer(stream: &mut BufReader<TcpStream>, id: u64) {
        let body = format!(r#"{{"result":null,"error":null,"id":{id}}}"#);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.get_mut().write_all((head + &body).as_bytes()).unwrap();
    }

    #[test]
    fn a_block_leaves_as_it_is_made_on_the_connection_that_was_kept_warm() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let hex = "0a".repeat(1 << 20);
        let expected =
            format!(r#"{{"jsonrpc":"1.0","id":2,"method":"submitblock","params":["{hex}"]}}"#);
        let node = thread::spawn(move || {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            let (_, warming) = request(&mut stream);
            assert!(warming.contains("uptime"));
            answer(&mut stream, 1);
            let (head, body) = request(&mut stream);
            assert!(!head.contains("chunked"), "{head}");
            assert!(body == expected, "{} bytes", body.len());
            answer(&mut stream, 2);
        });
        let rpc = Rpc::new(&url, Auth::None);
        rpc.keep_block_connection();
        let taken = rpc.submit_block(hex.len() as u64, &mut hex.as_bytes(), Duration::from_secs(5));
        assert_eq!(taken.unwrap(), None);
        node.join().unwrap();
        let figures = rpc.figures();
        assert_eq!((figures.submit_count, figures.errors), (1, 0));
        let method = &figures.methods["submitblock"];
        assert_eq!((method.times.count, method.errors), (1, 0));
        assert_eq!(figures.methods.len(), 1, "what keeps the connection warm says nothing");
    }

    #[test]
    fn failures_count_for_their_method_and_those_of_a_long_poll_take_no_time() {
        // Nobody listens there.
        let rpc = Rpc::new("http://127.0.0.1:1", Auth::None);
        let (nothing, second) = (json!([]), Duration::from_secs(1));
        rpc.call_once::<Value>("getpeerinfo", &nothing, second).unwrap_err();
        let read = |_: &mut dyn Read, _| Ok(());
        rpc.wait_reading("getblocktemplate", &nothing, second, read).unwrap_err();
        let figures = rpc.figures();
        let counts = figures.methods.iter().map(|(name, m)| (*name, m.times.count, m.errors));
        let expected = [("getblocktemplate", 0, 1), ("getpeerinfo", 1, 1)];
        assert_eq!(counts.collect::<Vec<_>>(), expected);
        assert_eq!(figures.errors, 2);
    }
}
