//! The gateway's protocol, version 10 in JSON, without the socket: what comes in, what is to be done,
//! and the time passed in. It outlives connections: what a session was told last is what the next
//! connection goes on from, so that nothing is missed and nothing comes twice.
//!
//! Source: Discord's documentation of its gateway, "Connection lifecycle" and "Gateway close codes".

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::privacy::Secret;

/// Guilds: commands reach us without any other.
const INTENTS: u64 = 1;
/// The gateway says hello first.
const HELLO_PATIENCE: Duration = Duration::from_secs(10);
/// From our introduction to its answer.
const READY_PATIENCE: Duration = Duration::from_secs(30);
/// What a heartbeat's interval may be; Discord's is about 41 s.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
const INTERVAL_MAX: Duration = Duration::from_secs(600);
/// Any other code than 1000 and 1001 leaves the session there to be resumed.
const CLOSE_TO_RESUME: u16 = 4000;

/// What a code means with which Discord closes: authentication failed, invalid or required shard,
/// invalid version, invalid or disallowed intents. Trying again changes nothing.
const CLOSED_FOR_GOOD: [u16; 6] = [4004, 4010, 4011, 4012, 4013, 4014];
/// Not authenticated, invalid sequence, timed out: the session is gone.
const CLOSED_WITHOUT_SESSION: [u16; 3] = [4003, 4007, 4009];

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Send(String),
    /// The connection is to be closed with this code.
    Close {
        code: u16,
        why: &'static str,
    },
    /// A new session.
    Ready {
        application_id: String,
    },
    /// The old one goes on.
    Resumed,
    /// Somebody has used a command.
    Interaction(Interaction),
}

/// A command that somebody has used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interaction {
    pub id: String,
    /// For the answer.
    pub token: Secret,
    /// None in a direct message.
    pub server_id: Option<String>,
    /// The member of the server who used it; none in a direct message.
    pub discord_user_id: Option<String>,
    pub name: String,
    /// Its option of that name.
    pub code: String,
}

/// What the next connection is for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Resume {
    session_id: String,
    url: String,
}

/// What is known of the connection that is open.
#[derive(Debug)]
struct Connection {
    opened_at: Instant,
    /// From its hello on.
    interval: Option<Duration>,
    introduced_at: Option<Instant>,
    beat_at: Option<Instant>,
    /// Since the last heartbeat.
    is_acknowledged: bool,
    ready_at: Option<Instant>,
    is_closing: bool,
    /// What Discord wants of us after it has ended.
    wish: Wish,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    None,
    /// Without a pause.
    ComeAgain,
    /// From one to five seconds.
    Pause,
}

#[derive(Debug)]
pub struct Session {
    token: Secret,
    resume: Option<Resume>,
    sequence: Option<u64>,
    connection: Connection,
}

#[derive(Deserialize)]
struct Frame {
    op: u64,
    #[serde(default)]
    d: Value,
    #[serde(default)]
    s: Option<u64>,
    #[serde(default)]
    t: Option<String>,
}

impl Session {
    pub fn new(token: Secret, now: Instant) -> Self {
        Self { token, resume: None, sequence: None, connection: Connection::new(now) }
    }

    /// Where to go on; none for a new session, whose place Discord is asked for.
    pub fn resume_url(&self) -> Option<&str> {
        self.resume.as_ref().map(|resume| resume.url.as_str()).filter(|url| !url.is_empty())
    }

    /// The place to go on at is not there: the next connection asks for one, and goes on.
    pub fn forget_url(&mut self) {
        if let Some(resume) = &mut self.resume {
            resume.url.clear();
        }
    }

    pub fn has_session(&self) -> bool {
        self.resume.is_some()
    }

    /// A connection is there.
    pub fn opened(&mut self, now: Instant) {
        self.connection = Connection::new(now);
    }

    /// A text has come. `chance`, from 0 to 1, is when within the interval the first heartbeat is.
    pub fn on_text(&mut self, text: &str, now: Instant, chance: f64) -> Vec<Action> {
        if self.connection.is_closing {
            return Vec::new();
        }
        let Ok(frame) = serde_json::from_str::<Frame>(text) else {
            return self.close("what came is no frame of the gateway");
        };
        match frame.op {
            0 => {
                // Only upwards: what was there is not asked for again.
                self.sequence = self.sequence.max(frame.s);
                self.on_event(frame.t.as_deref().unwrap_or_default(), &frame.d, now)
            }
            1 => vec![self.beat(now)],
            7 => {
                self.connection.wish = Wish::ComeAgain;
                self.close("Discord asks us to connect anew")
            }
            9 => {
                self.connection.wish = Wish::Pause;
                // True when it may be resumed, over another connection.
                if frame.d.as_bool() != Some(true) {
                    self.forget();
                }
                self.close("the session is not valid any more")
            }
            10 => self.on_hello(&frame.d, now, chance),
            11 => {
                self.connection.is_acknowledged = true;
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Whatever is due; to be asked at [`Self::next_at`], or earlier.
    pub fn on_tick(&mut self, now: Instant) -> Vec<Action> {
        let Connection { opened_at, introduced_at, beat_at, ready_at, .. } = self.connection;
        if self.connection.is_closing {
            return Vec::new();
        }
        match (introduced_at, ready_at) {
            (None, _) if now >= opened_at + HELLO_PATIENCE => {
                return self.close("the gateway does not say hello");
            }
            (Some(at), None) if now >= at + READY_PATIENCE => {
                return self.close("the gateway does not answer our introduction");
            }
            _ => {}
        }
        if beat_at.is_none_or(|at| now < at) {
            return Vec::new();
        }
        if !self.connection.is_acknowledged {
            return self.close("the gateway does not answer heartbeats");
        }
        vec![self.beat(now)]
    }

    /// When something is due.
    pub fn next_at(&self) -> Instant {
        let Connection { opened_at, introduced_at, beat_at, ready_at, .. } = self.connection;
        let patience = match (introduced_at, ready_at) {
            (None, _) => Some(opened_at + HELLO_PATIENCE),
            (Some(at), None) => Some(at + READY_PATIENCE),
            (_, Some(_)) => None,
        };
        patience.into_iter().chain(beat_at).min().unwrap_or(opened_at + HELLO_PATIENCE)
    }

    /// The gateway has closed with this code: whether there is any use in another connection.
    pub fn closed(&mut self, code: u16) -> bool {
        if CLOSED_WITHOUT_SESSION.contains(&code) {
            self.forget();
        }
        let is_for_good = CLOSED_FOR_GOOD.contains(&code);
        if is_for_good {
            self.forget();
        }
        !is_for_good
    }

    /// Since when the connection is of use; none when it never was.
    pub fn ready_at(&self) -> Option<Instant> {
        self.connection.ready_at
    }

    /// How soon after a connection that was of use the next may be made; `chance` is from 0 to 1, so
    /// that not all bots come at the same time. Somebody may have used a command meanwhile, and waits
    /// for three seconds.
    pub fn pause(&self, chance: f64) -> Duration {
        Duration::from_secs_f64(match self.connection.wish {
            Wish::ComeAgain => 0.0,
            Wish::None => chance,
            Wish::Pause => 1.0 + 4.0 * chance,
        })
    }

    fn on_hello(&mut self, hello: &Value, now: Instant, chance: f64) -> Vec<Action> {
        let Some(interval) = hello["heartbeat_interval"].as_u64() else {
            return self.close("the gateway's hello has no interval of heartbeats");
        };
        let interval = Duration::from_millis(interval).clamp(INTERVAL_MIN, INTERVAL_MAX);
        let connection = &mut self.connection;
        connection.interval = Some(interval);
        connection.beat_at = Some(now + interval.mul_f64(chance.clamp(0.0, 1.0)));
        connection.is_acknowledged = true;
        if connection.introduced_at.is_some() {
            return Vec::new();
        }
        connection.introduced_at = Some(now);
        let token = self.token.expose();
        let introduction = match (&self.resume, self.sequence) {
            (Some(resume), Some(sequence)) => json!({ "op": 6, "d": {
                "token": token, "session_id": resume.session_id, "seq": sequence,
            } }),
            _ => json!({ "op": 2, "d": {
                "token": token,
                "intents": INTENTS,
                "properties": { "os": "linux", "browser": "goPool", "device": "goPool" },
            } }),
        };
        vec![Action::Send(introduction.to_string())]
    }

    fn on_event(&mut self, name: &str, event: &Value, now: Instant) -> Vec<Action> {
        match name {
            "READY" => {
                let (Some(session_id), Some(url)) =
                    (event["session_id"].as_str(), event["resume_gateway_url"].as_str())
                else {
                    return self.close("the gateway's READY has no session");
                };
                let (session_id, url) = (session_id.to_owned(), url.to_owned());
                self.resume = Some(Resume { session_id, url });
                self.connection.ready_at = Some(now);
                // Applications that are older than their bots have ids of their own.
                let ids = [&event["application"]["id"], &event["user"]["id"]];
                let application_id = ids.iter().find_map(|id| id.as_str()).unwrap_or_default();
                vec![Action::Ready { application_id: application_id.to_owned() }]
            }
            "RESUMED" => {
                self.connection.ready_at = Some(now);
                vec![Action::Resumed]
            }
            "INTERACTION_CREATE" => {
                Interaction::of(event).map(Action::Interaction).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    fn beat(&mut self, now: Instant) -> Action {
        let connection = &mut self.connection;
        connection.is_acknowledged = false;
        connection.beat_at = connection.interval.map(|interval| now + interval);
        Action::Send(json!({ "op": 1, "d": self.sequence }).to_string())
    }

    fn close(&mut self, why: &'static str) -> Vec<Action> {
        self.connection.is_closing = true;
        vec![Action::Close { code: CLOSE_TO_RESUME, why }]
    }

    fn forget(&mut self) {
        self.resume = None;
        self.sequence = None;
    }
}

impl Connection {
    fn new(now: Instant) -> Self {
        Self {
            opened_at: now,
            interval: None,
            introduced_at: None,
            beat_at: None,
            is_acknowledged: true,
            ready_at: None,
            is_closing: false,
            wish: Wish::None,
        }
    }
}

impl Interaction {
    /// None for anything but a command.
    fn of(event: &Value) -> Option<Self> {
        const COMMAND: u64 = 2;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        if event["type"].as_u64() != Some(COMMAND) {
            return None;
        }
        let options = event["data"]["options"].as_array().into_iter().flatten();
        let code =
            options.filter(|option| option["name"] == "code").find_map(|it| text(&it["value"]));
        Some(Self {
            id: text(&event["id"])?,
            token: Secret::new(text(&event["token"])?),
            server_id: text(&event["guild_id"]),
            discord_user_id: text(&event["member"]["user"]["id"]),
            name: text(&event["data"]["name"])?,
            code: code.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests;
