//! The one client for servers elsewhere: a request, its answer, and nothing that lasts longer or is
//! larger than it may. It goes where the configuration says and follows nobody from there; through
//! the proxy of the configuration, and never through one of the environment.

mod roots;
mod tunnel;

#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::io::Read;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::ClientConfig;
use serde::de::DeserializeOwned;
use ureq::http::{self, HeaderMap, Method, Uri};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, AsSendBody, Proxy, SendBody};

use crate::build;
use crate::privacy::without_credentials;
pub use tunnel::Tunnel;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long anybody may ask us to wait: who asks for longer is asked again after this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// `services.toml [outgoing]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutgoingSettings {
    /// A URL of http or socks5.
    pub proxy: Option<String>,
}

/// Why there is no answer. No text tells of URLs, which may hold tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutgoingError {
    #[error("no answer in time")]
    Timeout,
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    #[error("its certificate or TLS is not right: {0}")]
    Tls(String),
    #[error("its answer is longer than {0} bytes")]
    TooLong(u64),
    #[error("its answer cannot be read: {0}")]
    Malformed(String),
}

/// What is asked.
pub struct Call<'a> {
    pub method: Method,
    pub url: &'a str,
    pub headers: Vec<(&'static str, String)>,
    pub body: Payload<'a>,
    /// From the first name that is resolved to the last byte that has come.
    pub timeout: Duration,
    /// A longer answer is none. With 0 nothing is read of it: the status says all.
    pub answer_bytes_max: u64,
}

/// What is sent with it.
pub enum Payload<'a> {
    None,
    Bytes(&'a [u8]),
    /// As many bytes as it says, read while they leave.
    Stream(&'a mut dyn Read, u64),
}

/// What came back, whatever the status.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: HeaderMap,
    pub body: Vec<u8>,
}

/// Shared by all services. Each request has a connection of its own: one that is kept may be closed
/// by the other end just as the next request leaves on it, and then nobody knows whether that was
/// done.
#[derive(Clone)]
pub struct Outgoing {
    agent: Agent,
    tls: Arc<ClientConfig>,
    proxy: Option<Proxy>,
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").field("has_proxy", &self.proxy.is_some()).finish_non_exhaustive()
    }
}

impl<'a> Call<'a> {
    pub fn get(url: &'a str, timeout: Duration, answer_bytes_max: u64) -> Self {
        let (headers, body) = (Vec::new(), Payload::None);
        Self { method: Method::GET, url, headers, body, timeout, answer_bytes_max }
    }

    pub fn post(url: &'a str, body: Payload<'a>, timeout: Duration, answer_bytes_max: u64) -> Self {
        Self { method: Method::POST, body, ..Self::get(url, timeout, answer_bytes_max) }
    }

    /// The last one of a name counts.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name, value.into()));
        self
    }
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// How long we are asked to wait: `Retry-After` in seconds, whole or not, or a time.
    pub fn retry_after(&self) -> Option<Duration> {
        let text = self.header("retry-after")?.trim();
        let wait = match text.parse::<f64>() {
            Ok(seconds) => Duration::try_from_secs_f64(seconds).ok()?,
            Err(_) => {
                let time = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
                SystemTime::from(time).duration_since(SystemTime::now()).unwrap_or_default()
            }
        };
        Some(wait.min(RETRY_AFTER_MAX))
    }

    pub fn json<T: DeserializeOwned>(&self) -> Result<T, OutgoingError> {
        // Where in the text it is, but none of the text, which may be a secret.
        let malformed = |error: serde_json::Error| {
            let kind = if error.is_data() { "it is other JSON" } else { "it is no JSON" };
            OutgoingError::Malformed(format!("{kind} at byte {} of it", error.column()))
        };
        serde_json::from_slice(&self.body).map_err(malformed)
    }
}

impl Outgoing {
    /// The proxy's URL has been checked.
    pub fn new(settings: &OutgoingSettings) -> Self {
        Self::trusting(roots::trusted(), settings)
    }

    fn trusting(roots: roots::Roots, settings: &OutgoingSettings) -> Self {
        // A proxy is there to be seen in our place, by those who resolve names too.
        let url = settings.proxy.as_ref().map(|url| url.replacen("socks5://", "socks5h://", 1));
        let proxy = url.and_then(|url| Proxy::new(&url).ok());
        let certificates = RootCerts::Specific(Arc::clone(&roots.certificates));
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            // Who answers elsewhere is not who the operator has named.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(proxy.clone())
            .user_agent(user_agent())
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .tls_config(TlsConfig::builder().root_certs(certificates).build())
            .build();
        Self { agent: agent.into(), tls: roots.client_config(), proxy }
    }

    /// Asks once.
    pub fn call(&self, call: Call<'_>) -> Result<Answer, OutgoingError> {
        let Call { method, url, headers, body, timeout, answer_bytes_max } = call;
        let request = http::Request::builder().method(method).uri(url);
        let mut request = request.header("connection", "close");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let limits = (timeout, answer_bytes_max);
        match body {
            Payload::None => self.run(request.body(()), limits),
            Payload::Bytes(bytes) => self.run(request.body(bytes), limits),
            Payload::Stream(stream, bytes) => {
                let request = request.header("content-length", bytes);
                self.run(request.body(SendBody::from_reader(stream)), limits)
            }
        }
    }

    fn run(
        &self,
        request: http::Result<http::Request<impl AsSendBody>>,
        (timeout, answer_bytes_max): (Duration, u64),
    ) -> Result<Answer, OutgoingError> {
        let failed = |error| failed(error, answer_bytes_max);
        let request = self.agent.configure_request(request.map_err(|error| failed(error.into()))?);
        let request = request.timeout_global(Some(timeout)).build();
        let mut response = self.agent.run(request).map_err(failed)?;
        let body = match answer_bytes_max {
            0 => Vec::new(),
            limit => {
                let body = response.body_mut().with_config().limit(limit);
                body.read_to_vec().map_err(failed)?
            }
        };
        let (parts, _) = response.into_parts();
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    /// Whether a host takes a connection, the way that everything goes.
    pub fn reaches(&self, host: &str, port: u16, timeout: Duration) -> bool {
        Tunnel::open(host, port, None, self.proxy.as_ref(), timeout).is_ok()
    }

    /// A stream to a host for what is no request and answer, over TLS when `is_tls`.
    pub fn tunnel(&self, host: &str, port: u16, is_tls: bool) -> Result<Tunnel, OutgoingError> {
        let tls = is_tls.then(|| Arc::clone(&self.tls));
        Tunnel::open(host, port, tls, self.proxy.as_ref(), CONNECT_TIMEOUT)
    }
}

/// Whether what is sent to a URL and comes from it is read and changed by nobody on the way.
pub fn is_private(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    uri.scheme_str() == Some("https") || uri.scheme_str() == Some("http") && is_here
}

fn user_agent() -> String {
    format!("goPool/{}", build::VERSION)
}

fn malformed(words: &str) -> OutgoingError {
    OutgoingError::Malformed(words.to_owned())
}

fn failed(error: ureq::Error, answer_bytes_max: u64) -> OutgoingError {
    let text = |error: &dyn fmt::Display| without_credentials(&error.to_string());
    match error {
        ureq::Error::Timeout(_) => OutgoingError::Timeout,
        ureq::Error::BodyExceedsLimit(_) => OutgoingError::TooLong(answer_bytes_max),
        ureq::Error::Tls(words) => OutgoingError::Tls(words.to_owned()),
        ureq::Error::Rustls(error) => OutgoingError::Tls(text(&error)),
        ureq::Error::Io(error) => match error.kind() {
            std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock => OutgoingError::Timeout,
            // What rustls says of a certificate comes wrapped.
            std::io::ErrorKind::InvalidData => OutgoingError::Tls(text(&error)),
            _ => OutgoingError::Unreachable(text(&error)),
        },
        ureq::Error::HostNotFound => OutgoingError::Unreachable("no such host".to_owned()),
        ureq::Error::ConnectionFailed => OutgoingError::Unreachable("no connection".to_owned()),
        ureq::Error::ConnectProxyFailed(_) => {
            OutgoingError::Unreachable("the proxy does not connect to it".to_owned())
        }
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => malformed("the request's URL is none"),
        other => OutgoingError::Malformed(text(&other)),
    }
}
