//! JSON-RPC to bitcoind over HTTP (`mining.md` §1).

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tracing::{debug, info, warn};
use ureq::Agent;

use crate::node::cookie::Auth;
use crate::snapshot::RpcFigures;

/// Largest answer that is read. A template of a full block is about 10 MB of JSON.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// bitcoind closes idle connections after thirty seconds; ours are given up before.
const IDLE_CONNECTION_MAX: Duration = Duration::from_secs(25);
const RETRY_DELAY_FIRST: Duration = Duration::from_millis(100);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(5);

/// `RPC_IN_WARMUP` of Core's `src/rpc/protocol.h`.
const CODE_WARMING_UP: i64 = -28;

/// A failed conversation with bitcoind: the caller branches on the variant, the operator reads
/// the text. No text holds credentials.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NodeError {
    /// No answer in the time it was given.
    #[error("bitcoind did not answer {method} in time")]
    Timeout { method: &'static str },
    /// Away, or answering nothing useful.
    #[error("bitcoind did not answer {method}: {reason}")]
    Unavailable { method: &'static str, reason: String },
    #[error("bitcoind refused the credentials for {method} (HTTP 401)")]
    Unauthorized { method: &'static str },
    #[error("bitcoind answered {method} with HTTP status {status}")]
    Status { method: &'static str, status: u16 },
    /// It answered and refused: asking again changes nothing, unless it is still warming up.
    #[error("bitcoind refused {method}: {message} (code {code})")]
    Refused { method: &'static str, code: i64, message: String },
    #[error("bitcoind's answer to {method} cannot be read: {reason}")]
    Undecodable { method: &'static str, reason: String },
}

impl NodeError {
    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Unavailable { .. } | Self::Unauthorized { .. } => true,
            Self::Status { status, .. } => *status >= 500,
            Self::Refused { code, .. } => *code == CODE_WARMING_UP,
            Self::Undecodable { .. } => false,
        }
    }

    fn is_connectivity_loss(&self) -> bool {
        self.is_retryable() && !matches!(self, Self::Refused { .. })
    }
}

/// A client of one bitcoind. Its calls block; share it between threads.
#[derive(Debug)]
pub struct Rpc {
    agent: Agent,
    url: String,
    label: String,
    auth: Auth,
    next_id: AtomicU64,
    health: Mutex<Health>,
}

#[derive(Debug, Default)]
struct Health {
    connected: bool,
    unhealthy: bool,
    figures: RpcFigures,
}

#[derive(Deserialize)]
struct Answer<T> {
    result: Option<T>,
    error: Option<RpcError>,
    id: Value,
}

#[derive(Deserialize)]
struct RpcError {
    code: i64,
    message: String,
}

impl Rpc {
    pub fn new(url: &str, auth: Auth) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .max_idle_age(IDLE_CONNECTION_MAX)
            // The node is where the configuration says, whatever the environment's proxy is for.
            .proxy(None)
            .build()
            .into();
        let label = endpoint_label(url);
        let health = Health {
            figures: RpcFigures { endpoint: label.clone(), ..RpcFigures::default() },
            ..Health::default()
        };
        Self {
            agent,
            url: url.to_owned(),
            label,
            auth,
            next_id: AtomicU64::new(1),
            health: Mutex::new(health),
        }
    }

    /// `host:port` of the node, for logs and pages.
    pub fn label(&self) -> &str {
        &self.label
    }

    pub fn auth(&self) -> &Auth {
        &self.auth
    }

    pub fn figures(&self) -> RpcFigures {
        let health = self.health();
        RpcFigures { healthy: health.connected && !health.unhealthy, ..health.figures.clone() }
    }

    /// One attempt, within `timeout`.
    pub fn call_once<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
        timeout: Duration,
    ) -> Result<T, NodeError> {
        let started = Instant::now();
        let result = self.exchange(method, params, timeout);
        match &result {
            Ok(_) => self.succeeded(method, Some(started.elapsed())),
            Err(error) => self.failed(error),
        }
        result
    }

    /// One call that the node answers when it has something to say. That it has not said anything
    /// within `patience` is no failure; how long it took says nothing of the node.
    pub fn call_waiting<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
        patience: Duration,
    ) -> Result<Option<T>, NodeError> {
        match self.exchange(method, params, patience) {
            Ok(answer) => {
                self.succeeded(method, None);
                Ok(Some(answer))
            }
            Err(NodeError::Timeout { .. }) => Ok(None),
            Err(error) => {
                self.failed(&error);
                Err(error)
            }
        }
    }

    /// How often the node has been lost: what was known of it before may not hold any more.
    pub fn disconnects(&self) -> u64 {
        self.health().figures.disconnects
    }

    /// Attempts until one succeeds, one fails for good, or `budget` is spent; then the last real
    /// error.
    pub fn call<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: &Value,
        budget: Duration,
    ) -> Result<T, NodeError> {
        let deadline = Instant::now() + budget;
        let mut delay = RETRY_DELAY_FIRST;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let result = self.call_once(method, params.clone(), left.max(RETRY_DELAY_FIRST));
            match result {
                Err(error) if error.is_retryable() && Instant::now() + delay < deadline => {
                    debug!(component = "rpc", method, %error, "retrying");
                    std::thread::sleep(delay);
                    delay = (delay * 2).min(RETRY_DELAY_MAX);
                }
                result => return result,
            }
        }
    }

    fn exchange<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
        timeout: Duration,
    ) -> Result<T, NodeError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let body =
            json!({"jsonrpc": "1.0", "id": id, "method": method, "params": params}).to_string();
        let unavailable = |error: ureq::Error| match error {
            ureq::Error::Timeout(_) => NodeError::Timeout { method },
            error => {
                NodeError::Unavailable { method, reason: without_credentials(&error.to_string()) }
            }
        };
        let mut request = self
            .agent
            .post(&self.url)
            .header("Content-Type", "application/json")
            .config()
            .timeout_global(Some(timeout))
            .build();
        if let Some(credentials) = self.auth.credentials() {
            request = request.header("Authorization", basic_auth(&credentials));
        }
        let mut response = request.send(&body).map_err(unavailable)?;
        let status = response.status().as_u16();
        let answer = response
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_vec()
            .map_err(unavailable)?;
        let undecodable =
            |error: serde_json::Error| NodeError::Undecodable { method, reason: error.to_string() };
        if status == 401 {
            self.auth.refused();
            return Err(NodeError::Unauthorized { method });
        }
        if status != 200 {
            // Core reports its own errors with a status of 404 or 500 and a body as usual.
            return Err(match serde_json::from_slice::<Answer<Value>>(&answer) {
                Ok(Answer { error: Some(RpcError { code, message }), .. }) => {
                    NodeError::Refused { method, code, message }
                }
                _ => NodeError::Status { method, status },
            });
        }
        let answer: Answer<T> = serde_json::from_slice(&answer).map_err(undecodable)?;
        if let Some(RpcError { code, message }) = answer.error {
            return Err(NodeError::Refused { method, code, message });
        }
        if answer.id != id {
            let reason = format!("it has id {}, {id} was asked for", answer.id);
            return Err(NodeError::Undecodable { method, reason });
        }
        match answer.result {
            Some(result) => Ok(result),
            // `null` is a result of its own for types that have one.
            None => serde_json::from_value(Value::Null).map_err(undecodable),
        }
    }

    fn succeeded(&self, method: &'static str, took: Option<Duration>) {
        let mut health = self.health();
        health.figures.last_error = None;
        let was_connected = std::mem::replace(&mut health.connected, true);
        if std::mem::take(&mut health.unhealthy) || !was_connected {
            health.figures.reconnects += u64::from(was_connected);
            let event = if was_connected { "reconnected to node" } else { "connected to node" };
            info!(component = "rpc", remote = self.label, "{event}");
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

    fn failed(&self, error: &NodeError) {
        let mut health = self.health();
        health.figures.errors += 1;
        health.figures.last_error = Some(error.to_string());
        if error.is_connectivity_loss() && !std::mem::replace(&mut health.unhealthy, true) {
            health.figures.disconnects += 1;
            warn!(component = "rpc", remote = self.label, %error, "disconnected from node");
        }
    }

    fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().expect("no code panics while it holds this")
    }
}

/// `host:port` of an URL, never its user and password.
fn endpoint_label(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rsplit_once('@').map_or(authority, |(_, host)| host) {
        "" => "(unknown)".to_owned(),
        label => label.to_owned(),
    }
}

/// An error's text may quote the URL it failed on.
fn without_credentials(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        clean += before;
        let end = after.find(|c: char| c.is_whitespace() || "/?#\"'".contains(c));
        let authority = &after[..end.unwrap_or(after.len())];
        rest = &after[authority.rfind('@').map_or(0, |at| at + 1)..];
    }
    clean + rest
}

fn basic_auth(credentials: &str) -> String {
    use base64::Engine;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(credentials))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_never_shows_credentials() {
        for (url, label) in [
            ("http://127.0.0.1:8332", "127.0.0.1:8332"),
            ("http://user:pass@node:8332/wallet", "node:8332"),
            ("http://u:p@ss@[::1]:8332", "[::1]:8332"),
            ("", "(unknown)"),
        ] {
            assert_eq!(endpoint_label(url), label);
        }
        assert_eq!(
            without_credentials("failed: http://u:p@host/x and https://a@b"),
            "failed: http://host/x and https://b"
        );
        assert_eq!(without_credentials("connection refused"), "connection refused");
    }

    #[test]
    fn only_what_may_pass_is_retried() {
        let method = "getblocktemplate";
        let refused = |code| NodeError::Refused { method, code, message: String::new() };
        assert!(refused(-28).is_retryable());
        assert!(!refused(-28).is_connectivity_loss());
        assert!(!refused(-10).is_retryable());
        assert!(NodeError::Status { method, status: 503 }.is_connectivity_loss());
        assert!(!NodeError::Status { method, status: 403 }.is_retryable());
        assert!(NodeError::Unauthorized { method }.is_retryable());
    }
}
