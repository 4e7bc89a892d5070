//! The thread that is connected to Discord's gateway: the socket of [`Session`], which says what to do.

use std::io::ErrorKind;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use tracing::{debug, error, info, warn};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tungstenite::{HandshakeError, Message, WebSocket};
use ureq::http::Uri;

use super::commands::Job;
use super::rest::{Rest, RestError};
use super::retry::{Ended, Retry};
use super::session::{Action, Session};
use super::state::GatewayState;
use crate::entropy;
use crate::outgoing::{Outgoing, OutgoingError, Tunnel, is_private};
use crate::privacy::{Secret, error_text};

/// How long a read waits before it is looked whether the pool stops.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// For the handshake, and for what we send to leave.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);
/// A large server's channels and roles, with room.
const MESSAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
const READ_BUFFER_BYTES: usize = 16 * 1024;
const VERSION: &str = "v=10&encoding=json";

type Socket = WebSocket<Tunnel>;
/// Ends the connection from outside.
pub type Closer = Box<dyn FnOnce() + Send>;

/// Why there is no connection, or no more of it.
#[derive(Debug, thiserror::Error)]
enum GatewayError {
    #[error(transparent)]
    Rest(#[from] RestError),
    #[error("the gateway is not reached: {0}")]
    Away(#[from] OutgoingError),
    #[error("the gateway's address is {0:?}, and only wss is safe")]
    Unsafe(String),
    #[error("no more sessions may begin, for {} s", .0.as_secs())]
    NoStarts(Duration),
    #[error("the gateway has closed with code {code}: {reason}")]
    Closed { code: u16, reason: String },
    #[error("the connection to the gateway is gone: {0}")]
    Gone(String),
    #[error("{0}")]
    Left(&'static str),
}

pub struct Gateway {
    pub rest: Rest,
    pub outgoing: Outgoing,
    pub token: Secret,
    pub jobs: Sender<Job>,
    pub state: Arc<GatewayState>,
    /// What ends the connection that is there now.
    pub closer: Arc<Mutex<Option<Closer>>>,
    /// Disconnected when the pool stops.
    pub stopped: Receiver<()>,
}

impl Gateway {
    pub fn run(self) {
        let mut session = Session::new(self.token.clone(), Instant::now());
        let mut retry = Retry::default();
        loop {
            let result = self.connect(&mut session);
            self.state.disconnected(Instant::now());
            *self.closer.lock().expect("no code panics while it holds this") = None;
            let Err(why) = result else { return };
            let ended = ended(&why, &mut session);
            let wait = retry.wait(ended, chance()).max(asked(&why));
            self.complain(&why, ended, wait);
            match self.stopped.recv_timeout(wait) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// One connection, from its beginning to its end; no error when the pool stops.
    fn connect(&self, session: &mut Session) -> Result<(), GatewayError> {
        session.opened(Instant::now());
        let url = match session.resume_url() {
            Some(url) => url.to_owned(),
            None => self.place(session)?,
        };
        let mut socket = match self.open(&url) {
            Ok(socket) => socket,
            Err(error) => {
                session.forget_url();
                return Err(error);
            }
        };
        let closer: Closer = match socket.get_ref().closer() {
            Ok(closer) => Box::new(closer),
            Err(error) => return Err(GatewayError::Gone(error.to_string())),
        };
        *self.closer.lock().expect("no code panics while it holds this") = Some(closer);
        session.opened(Instant::now());
        self.serve(session, &mut socket)
    }

    fn place(&self, session: &Session) -> Result<String, GatewayError> {
        let place = self.rest.gateway()?;
        let starts = place.session_start_limit;
        if starts.remaining == 0 && !session.has_session() {
            return Err(GatewayError::NoStarts(Duration::from_millis(starts.reset_after)));
        }
        Ok(place.url)
    }

    fn open(&self, url: &str) -> Result<Socket, GatewayError> {
        let place = Place::of(url).ok_or_else(|| GatewayError::Unsafe(error_text(url)))?;
        let tunnel = self.outgoing.tunnel(&place.host, place.port, place.is_tls)?;
        let gone = |error: &dyn ToString| GatewayError::Gone(error.to_string());
        tunnel.wait_at_most(WRITE_PATIENCE).map_err(|error| gone(&error))?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX))
            .read_buffer_size(READ_BUFFER_BYTES);
        match tungstenite::client::client_with_config(place.url, tunnel, Some(config)) {
            Ok((socket, _)) => Ok(socket),
            Err(HandshakeError::Failure(error)) => Err(gone(&error)),
            Err(HandshakeError::Interrupted(_)) => Err(gone(&"no handshake in time")),
        }
    }

    fn serve(&self, session: &mut Session, socket: &mut Socket) -> Result<(), GatewayError> {
        loop {
            if self.stopped.try_recv() == Err(TryRecvError::Disconnected) {
                // A session that says good-bye is over at once.
                say_good_bye(socket, CloseCode::Normal);
                return Ok(());
            }
            let due = session.on_tick(Instant::now());
            self.act(due, socket)?;
            let wait = session.next_at().saturating_duration_since(Instant::now());
            let gone = |error: &dyn ToString| GatewayError::Gone(error.to_string());
            let wait = wait.min(LOOK_INTERVAL);
            socket.get_ref().wait_at_most(wait).map_err(|error| gone(&error))?;
            let message = match socket.read() {
                Ok(message) => message,
                Err(tungstenite::Error::Io(error))
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    continue;
                }
                Err(error) => return Err(gone(&error)),
            };
            match message {
                Message::Text(text) => {
                    let actions = session.on_text(&text, Instant::now(), chance());
                    self.act(actions, socket)?;
                }
                Message::Close(frame) => {
                    let code = frame.as_ref().map(|frame| u16::from(frame.code));
                    let reason = frame.map(|frame| error_text(&frame.reason)).unwrap_or_default();
                    let _ = socket.flush();
                    return Err(GatewayError::Closed { code: code.unwrap_or(1005), reason });
                }
                // tungstenite answers pings itself.
                _ => {}
            }
        }
    }

    fn act(&self, actions: Vec<Action>, socket: &mut Socket) -> Result<(), GatewayError> {
        for action in actions {
            match action {
                Action::Send(text) => {
                    let sent = socket
                        .get_ref()
                        .wait_at_most(WRITE_PATIENCE)
                        .map_err(tungstenite::Error::from)
                        .and_then(|()| socket.send(Message::text(text)));
                    sent.map_err(|error| GatewayError::Gone(error.to_string()))?;
                }
                Action::Close { code, why } => {
                    say_good_bye(socket, CloseCode::from(code));
                    return Err(GatewayError::Left(why));
                }
                Action::Ready { application_id } => {
                    self.works("connected to Discord");
                    self.hand_on(Job::Register { application_id });
                }
                Action::Resumed => self.works("connected to Discord again"),
                Action::Interaction(interaction) => self.hand_on(Job::Answer(interaction)),
            }
        }
        Ok(())
    }

    fn works(&self, words: &str) {
        self.state.connected();
        self.state.works();
        info!(component = "discord", "{words}");
    }

    /// Somebody is slow, or many people are at it: what Discord is not answered in time it forgets.
    fn hand_on(&self, job: Job) {
        if self.jobs.try_send(job).is_err() {
            warn!(component = "discord", "too many commands at once, one is not answered");
        }
    }

    /// Once for each kind of trouble.
    fn complain(&self, why: &GatewayError, ended: Ended, wait: Duration) {
        let (text, retry_seconds) = (why.to_string(), wait.as_secs());
        let is_new = self.state.failed(&text);
        match ended {
            Ended::Hopeless if is_new => {
                error!(
                    component = "discord",
                    error = text,
                    retry_seconds,
                    "Discord lets us not in"
                );
            }
            Ended::Lost { .. } => {
                info!(
                    component = "discord",
                    error = text,
                    retry_seconds,
                    "disconnected from Discord"
                );
            }
            _ if is_new => {
                warn!(
                    component = "discord",
                    error = text,
                    retry_seconds,
                    "Discord cannot be reached"
                );
            }
            _ => debug!(component = "discord", error = text, retry_seconds, "still no Discord"),
        }
    }
}

/// What the end of a connection means for the next.
fn ended(why: &GatewayError, session: &mut Session) -> Ended {
    let is_hopeless = match why {
        GatewayError::Rest(error) => !error.is_passing(),
        GatewayError::Unsafe(_) | GatewayError::NoStarts(_) => true,
        GatewayError::Closed { code, .. } => !session.closed(*code),
        _ => false,
    };
    if is_hopeless {
        return Ended::Hopeless;
    }
    match session.ready_at() {
        None => Ended::Unreached,
        Some(at) => Ended::Lost { good_for: at.elapsed(), soon: session.pause(chance()) },
    }
}

/// How long Discord itself has asked us to wait.
fn asked(why: &GatewayError) -> Duration {
    match why {
        GatewayError::Rest(RestError::Limited(wait)) => *wait,
        _ => Duration::ZERO,
    }
}

fn say_good_bye(socket: &mut Socket, code: CloseCode) {
    // It may be gone already.
    let _ = socket.get_ref().wait_at_most(LOOK_INTERVAL);
    let _ = socket.close(Some(CloseFrame { code, reason: "".into() }));
    let _ = socket.flush();
}

/// From 0 to 1.
fn chance() -> f64 {
    f64::from(u32::from_le_bytes(entropy::bytes())) / f64::from(u32::MAX)
}

/// Where a gateway is.
struct Place {
    url: Uri,
    host: String,
    port: u16,
    is_tls: bool,
}

impl Place {
    /// None for what is no such URL, or would carry our token in the clear to another machine.
    fn of(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let is_tls = match uri.scheme_str()? {
            "wss" => true,
            "ws" => false,
            _ => return None,
        };
        // The same rule as for what is asked over HTTP.
        if !is_private(&url.replacen("ws", "http", 1).parse().ok()?) {
            return None;
        }
        let host = uri.host()?.trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let (scheme, authority, path) = (uri.scheme_str()?, uri.authority()?, uri.path());
        let url = format!("{scheme}://{authority}{path}?{VERSION}").parse().ok()?;
        Some(Self { url, host, port, is_tls })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_where_its_url_says_and_nowhere_unsafe() {
        let place = |url: &str| {
            let place = Place::of(url)?;
            Some((place.url.to_string(), place.host, place.port, place.is_tls))
        };
        let usual = place("wss://gateway.discord.gg");
        let url = "wss://gateway.discord.gg/?v=10&encoding=json".to_owned();
        assert_eq!(usual, Some((url, "gateway.discord.gg".to_owned(), 443, true)));
        let here = place("ws://[::1]:81/resume").unwrap();
        assert_eq!(here.0, "ws://[::1]:81/resume?v=10&encoding=json");
        assert_eq!((&*here.1, here.2, here.3), ("::1", 81, false));
        for url in ["ws://gateway.discord.gg", "https://x", "x", "", "ws:///"] {
            assert_eq!(place(url), None, "{url}");
        }
    }
}
