//! One exchange with bitcoind: a JSON-RPC request over HTTP, and its answer (`mining.md` §1.1, §1.2).

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use ureq::http::Response;
use ureq::{Agent, Body, SendBody};

use super::cookie::Auth;
use crate::log::net::{Direction, Traced, trace_bytes};
use crate::privacy::without_credentials;

/// Largest answer that is read. A template of a full block is about 10 MB of JSON.
pub(super) const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// bitcoind closes idle connections after thirty seconds; ours are given up before.
const IDLE_CONNECTION_MAX: Duration = Duration::from_secs(25);
/// From an answer's head to its end: a long poll may take a quarter of an hour until it speaks, but
/// then it speaks at once.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

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

    pub(super) fn is_connectivity_loss(&self) -> bool {
        self.is_retryable() && !matches!(self, Self::Refused { .. })
    }
}

/// A request's `params`.
pub(super) enum Params<'a> {
    Json(&'a Value),
    /// One text, of that many bytes, written as it is: hex, which needs no escapes. It leaves while
    /// it is being made.
    Text {
        bytes: u64,
        text: &'a mut dyn Read,
    },
}

/// Where bitcoind is and how it is spoken to. The connections of an [`Agent`] are kept between
/// exchanges.
#[derive(Debug)]
pub(super) struct Endpoint {
    url: String,
    auth: Auth,
    next_id: AtomicU64,
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

pub(super) fn new_agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_body(Some(BODY_TIMEOUT))
        .max_idle_age(IDLE_CONNECTION_MAX)
        // The node is where the configuration says, whatever the environment's proxy is for.
        .proxy(None)
        .build()
        .into()
}

impl Endpoint {
    pub(super) fn new(url: &str, auth: Auth) -> Self {
        Self { url: url.to_owned(), auth, next_id: AtomicU64::new(1) }
    }

    /// Asks, and has the body of an answer with status 200 read by `read`, which is told the id
    /// that the answer must have.
    pub(super) fn ask<T>(
        &self,
        agent: &Agent,
        method: &'static str,
        params: Params<'_>,
        timeout: Duration,
        read: impl FnOnce(&mut dyn Read, u64) -> Result<T, NodeError>,
    ) -> Result<T, NodeError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut response = self
            .send(agent, id, method, params, timeout)
            .map_err(|error| unavailable(method, error))?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).reader();
        let mut body = Traced::new(Direction::RpcRecv, body);
        if status == 200 {
            return read(&mut body, id);
        }
        if status == 401 {
            self.auth.refused();
            return Err(NodeError::Unauthorized { method });
        }
        // Core reports its own errors with a status of 404 or 500 and a body as usual.
        let mut text = Vec::new();
        body.read_to_end(&mut text).map_err(|error| unavailable(method, error.into()))?;
        Err(match serde_json::from_slice::<Answer<Value>>(&text) {
            Ok(Answer { error: Some(RpcError { code, message }), .. }) => {
                NodeError::Refused { method, code, message }
            }
            _ => NodeError::Status { method, status },
        })
    }

    fn send(
        &self,
        agent: &Agent,
        id: u64,
        method: &str,
        params: Params<'_>,
        timeout: Duration,
    ) -> Result<Response<Body>, ureq::Error> {
        let mut request = agent
            .post(&self.url)
            .header("Content-Type", "application/json")
            .config()
            .timeout_global(Some(timeout))
            .build();
        if let Some(credentials) = self.auth.credentials() {
            request = request.header("Authorization", basic_auth(&credentials));
        }
        let envelope = |params: &Value| {
            json!({"jsonrpc": "1.0", "id": id, "method": method, "params": params}).to_string()
        };
        match params {
            Params::Json(params) => {
                let body = envelope(params);
                trace_bytes(Direction::RpcSend, body.as_bytes());
                request.send(body)
            }
            Params::Text { bytes, text } => {
                let around = envelope(&json!([""]));
                let (before, after) = around.split_at(around.len() - "\"]}".len());
                let length = around.len() as u64 + bytes;
                let body = before.as_bytes().chain(text).chain(after.as_bytes());
                let mut body = Traced::new(Direction::RpcSend, body);
                // With its length said, the body is not sent in chunks: not every server that
                // stands for a node understands those.
                request
                    .header("Content-Length", length.to_string())
                    .send(SendBody::from_reader(&mut body))
            }
        }
    }
}

/// Reads a whole answer.
pub(super) fn read_result<T: DeserializeOwned>(
    method: &'static str,
    body: &mut dyn Read,
    id: u64,
) -> Result<T, NodeError> {
    let mut text = Vec::new();
    body.read_to_end(&mut text).map_err(|error| cut_short(method, error))?;
    result_of(method, &text, id)
}

/// What an answer to request `id` says.
pub(super) fn result_of<T: DeserializeOwned>(
    method: &'static str,
    text: &[u8],
    id: u64,
) -> Result<T, NodeError> {
    let undecodable =
        |error: serde_json::Error| NodeError::Undecodable { method, reason: error.to_string() };
    let answer: Answer<T> = serde_json::from_slice(text).map_err(undecodable)?;
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

/// An answer that did not come to its end.
pub(super) fn cut_short(method: &'static str, error: io::Error) -> NodeError {
    unavailable(method, error.into())
}

fn unavailable(method: &'static str, error: ureq::Error) -> NodeError {
    match error {
        ureq::Error::Timeout(_) => NodeError::Timeout { method },
        error => NodeError::Unavailable { method, reason: without_credentials(&error.to_string()) },
    }
}

/// `host:port` of an URL, never its user and password.
pub(super) fn endpoint_label(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rsplit_once('@').map_or(authority, |(_, host)| host) {
        "" => "(unknown)".to_owned(),
        label => label.to_owned(),
    }
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
