//! Discord's REST API, version 10: each call once, within what Discord allows. Whoever calls decides
//! what to do about a failure; the token is in no error and in no log.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};
use ureq::http::Method;

use super::limits::Limits;
use super::queue::Post;
use super::session::Interaction;
use crate::build;
use crate::notices::DiscordSettings;
use crate::outgoing::{Answer, Call, Outgoing, OutgoingError, Payload};
use crate::privacy::{Secret, error_text};

const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Discord waits three seconds for the answer to a command.
const REPLY_TIMEOUT: Duration = Duration::from_secs(3);
/// Of the longest answer: our own commands.
const ANSWER_BYTES_MAX: u64 = 256 * 1024;
/// Only whoever has used a command sees the answer.
const EPHEMERAL: u64 = 64;
/// No preview of the page that is linked to.
const SUPPRESS_EMBEDS: u64 = 4;

/// Why a call has come to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestError {
    #[error("Discord asks us to wait {} s", .0.as_secs_f64().ceil())]
    Limited(Duration),
    /// What it says of it is Discord's own, without anything of ours.
    #[error("Discord refuses: HTTP status {status}, {message} (code {code})")]
    Refused { status: u16, code: i64, message: String },
    #[error("Discord fails: HTTP status {0}")]
    Failing(u16),
    #[error("Discord is not reached: {0}")]
    Away(#[from] OutgoingError),
}

impl RestError {
    /// Whether the same may go well later.
    pub fn is_passing(&self) -> bool {
        !matches!(self, Self::Refused { .. })
    }
}

/// What Discord says of a message that it has taken; nobody else makes ids of them.
#[derive(Debug, Deserialize)]
struct Sent {
    #[serde(rename = "id")]
    _id: String,
}

/// Where a session begins.
#[derive(Debug, Deserialize)]
pub struct GatewayPlace {
    pub url: String,
    pub session_start_limit: SessionStarts,
}

#[derive(Debug, Deserialize)]
pub struct SessionStarts {
    pub remaining: u64,
    /// Milliseconds.
    pub reset_after: u64,
}

/// Cheap to clone; clones heed the same limits.
#[derive(Clone, Debug)]
pub struct Rest {
    outgoing: Outgoing,
    api_url: String,
    token: Secret,
    server_id: String,
    channel_id: String,
    limits: Arc<Mutex<Limits>>,
}

impl Rest {
    pub fn new(settings: &DiscordSettings, outgoing: Outgoing) -> Self {
        Self {
            outgoing,
            api_url: settings.api_url.clone(),
            token: settings.token.clone(),
            server_id: settings.server_id.clone(),
            channel_id: settings.channel_id.clone(),
            limits: Arc::default(),
        }
    }

    /// Where the gateway is, and how often we may still begin there.
    pub fn gateway(&self) -> Result<GatewayPlace, RestError> {
        let answer = self.call("gateway", Method::GET, "/gateway/bot", &Value::Null)?;
        Ok(answer.json()?)
    }

    /// Puts our commands in the place of those that the application has in the server.
    pub fn set_commands(&self, application_id: &str, commands: &Value) -> Result<(), RestError> {
        let path = format!("/applications/{application_id}/guilds/{}/commands", self.server_id);
        self.call("commands", Method::PUT, &path, commands)?.json::<Value>()?;
        Ok(())
    }

    /// Sends a message to the channel. `nonce` is the message's own: Discord takes it once, however
    /// often it is sent because an answer was lost.
    pub fn send(&self, post: &Post, nonce: &str) -> Result<(), RestError> {
        let parse: &[&str] = if post.is_everyone { &["everyone"] } else { &[] };
        let message = json!({
            "content": post.text,
            "nonce": nonce,
            "enforce_nonce": true,
            "flags": SUPPRESS_EMBEDS,
            "allowed_mentions": { "parse": parse, "users": post.users },
        });
        let path = format!("/channels/{}/messages", self.channel_id);
        let answer = self.call("messages", Method::POST, &path, &message)?;
        // Somebody between us and Discord, such as a proxy that wants a password, may have answered.
        answer.json::<Sent>()?;
        Ok(())
    }

    /// Answers a command; nobody else sees it. The interaction's own token is the right to do so, so
    /// ours is not told.
    pub fn reply(&self, interaction: &Interaction, text: &str) -> Result<(), RestError> {
        const MESSAGE: u64 = 4;
        let data =
            json!({ "content": text, "flags": EPHEMERAL, "allowed_mentions": { "parse": [] } });
        let body = json!({ "type": MESSAGE, "data": data }).to_string();
        let (id, token) = (&interaction.id, interaction.token.expose());
        let url = format!("{}/interactions/{id}/{token}/callback", self.api_url);
        let call =
            Call::post(&url, Payload::Bytes(body.as_bytes()), REPLY_TIMEOUT, ANSWER_BYTES_MAX)
                .with("Content-Type", "application/json")
                .with("User-Agent", user_agent());
        understood(self.outgoing.call(call)?).map(drop)
    }

    fn call(
        &self,
        kind: &'static str,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Answer, RestError> {
        if let Some(wait) = self.limits().wait(kind, Instant::now()) {
            return Err(RestError::Limited(wait));
        }
        let (url, body) = (format!("{}{path}", self.api_url), body.to_string());
        let mut call = Call::get(&url, CALL_TIMEOUT, ANSWER_BYTES_MAX)
            .with("Authorization", format!("Bot {}", self.token.expose()))
            .with("User-Agent", user_agent());
        if method != Method::GET {
            call = Call { method, body: Payload::Bytes(body.as_bytes()), ..call }
                .with("Content-Type", "application/json");
        }
        let answer = self.outgoing.call(call)?;
        if let Some(wait) = self.limits().note(kind, &answer, Instant::now()) {
            return Err(RestError::Limited(wait));
        }
        understood(answer)
    }

    fn limits(&self) -> std::sync::MutexGuard<'_, Limits> {
        self.limits.lock().expect("no code panics while it holds this")
    }
}

/// As Discord's documentation wants it: who is asking, and where to read of it.
fn user_agent() -> String {
    format!("DiscordBot ({}, {})", env!("CARGO_PKG_REPOSITORY"), build::VERSION)
}

fn understood(answer: Answer) -> Result<Answer, RestError> {
    if answer.is_success() {
        return Ok(answer);
    }
    let status = answer.status;
    // 408 and 429 are about the moment, as all from 500 on are.
    if status >= 500 || status == 408 || status == 429 {
        return Err(RestError::Failing(status));
    }
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let message = match body["message"].as_str() {
        Some(message) => error_text(message),
        None => "without saying why".to_owned(),
    };
    Err(RestError::Refused { status, code: body["code"].as_i64().unwrap_or_default(), message })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::outgoing::tests::{Served, json as response, outgoing};

    const SENT: &str = r#"{"id":"1180000000000000001"}"#;

    fn rest(served: &Served) -> Rest {
        let settings = DiscordSettings {
            api_url: served.url("/api/v10"),
            token: Secret::new("hunter2"),
            server_id: "2".to_owned(),
            channel_id: "3".to_owned(),
        };
        Rest::new(&settings, outgoing())
    }

    fn post(users: &[&str], is_everyone: bool) -> Post {
        let users = users.iter().map(|id| (*id).to_owned()).collect();
        Post { number: 1, text: "hello".to_owned(), users, is_everyone }
    }

    fn with(answer: &str, header: &str) -> String {
        answer.replacen("\r\n", &format!("\r\n{header}\r\n"), 1)
    }

    #[test]
    fn a_message_says_who_may_be_called_by_it() {
        let served = Served::text(&response(200, SENT));
        rest(&served).send(&post(&["7"], false), "n-1").unwrap();
        let asked = served.asked();
        assert!(asked.starts_with("POST /api/v10/channels/3/messages HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("authorization: Bot hunter2\r\n"), "{asked}");
        assert!(asked.contains("user-agent: DiscordBot (https://"), "{asked}");
        assert!(!asked.contains("goPool/"), "{asked}");
        assert!(asked.contains("content-type: application/json\r\n"), "{asked}");
        let body: Value = serde_json::from_str(asked.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        assert_eq!(body["allowed_mentions"], json!({ "parse": [], "users": ["7"] }));
        assert_eq!((&body["nonce"], &body["enforce_nonce"]), (&json!("n-1"), &json!(true)));
        let served = Served::text(&response(200, SENT));
        rest(&served).send(&post(&[], true), "n-1").unwrap();
        assert!(served.asked().contains(r#""allowed_mentions":{"parse":["everyone"],"users":[]}"#));
    }

    #[test]
    fn commands_and_answers_go_where_they_belong() {
        let served = Served::with(|number, stream| {
            let empty = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
            let answer = if number == 0 { response(200, "[]") } else { empty.to_owned() };
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let rest = rest(&served);
        rest.set_commands("8", &json!([{ "name": "x" }])).unwrap();
        let asked = served.asked();
        assert!(asked.starts_with("PUT /api/v10/applications/8/guilds/2/commands HTTP"), "{asked}");
        assert!(asked.ends_with(r#"[{"name":"x"}]"#), "{asked}");
        let interaction = Interaction {
            id: "5".to_owned(),
            token: Secret::new("t0"),
            server_id: None,
            discord_user_id: None,
            name: String::new(),
            code: String::new(),
        };
        rest.reply(&interaction, "hi").unwrap();
        let asked = served.asked();
        assert!(asked.starts_with("POST /api/v10/interactions/5/t0/callback HTTP/1.1"), "{asked}");
        assert!(!asked.contains("hunter2"), "the other token is right enough: {asked}");
        let body =
            r#"{"type":4,"data":{"content":"hi","flags":64,"allowed_mentions":{"parse":[]}}}"#;
        assert!(asked.ends_with(body), "{asked}");
    }

    #[test]
    fn what_is_left_is_heeded_before_anybody_is_refused() {
        let last = with(
            &response(200, SENT),
            "X-RateLimit-Bucket: b\r\nX-RateLimit-Remaining: 0\r\nX-RateLimit-Reset-After: 60.5",
        );
        let served = Served::text(&last);
        let rest = rest(&served);
        rest.send(&post(&[], false), "n").unwrap();
        served.asked();
        let error = rest.send(&post(&[], false), "n").unwrap_err();
        assert!(matches!(error, RestError::Limited(wait) if wait.as_secs() >= 59), "{error:?}");
        assert!(error.is_passing() && !served.was_asked());
        // Another kind of call has a limit of its own, until Discord says otherwise.
        rest.set_commands("8", &json!([])).unwrap();
        assert!(matches!(rest.set_commands("8", &json!([])), Err(RestError::Limited(_))));
    }

    #[test]
    fn who_is_asked_to_wait_waits_for_that_or_for_everything() {
        let slow = response(429, r#"{"message":"slow","retry_after":1.25,"global":false}"#);
        let all = with(&response(429, "{}"), "Retry-After: 30\r\nX-RateLimit-Global: true");
        let bare = response(429, "<html>");
        let answers = [slow, all, bare];
        let served = Served::with(move |number, stream| {
            stream.write_all(answers[number].as_bytes()).unwrap();
        });
        let error = |rest: &Rest| rest.gateway().unwrap_err();
        let first = rest(&served);
        assert_eq!(error(&first), RestError::Limited(Duration::from_millis(1250)));
        assert!(matches!(error(&first), RestError::Limited(wait) if wait.as_millis() <= 1250));
        let sent = first.send(&post(&[], false), "n").unwrap_err();
        assert_eq!(sent, RestError::Limited(Duration::from_secs(30)));
        assert!(matches!(first.set_commands("8", &json!([])), Err(RestError::Limited(_))));
        let fresh = rest(&served);
        assert_eq!(error(&fresh), RestError::Limited(WAIT_WITHOUT_A_WORD));
    }

    const WAIT_WITHOUT_A_WORD: Duration = Duration::from_secs(10);

    #[test]
    fn errors_are_told_apart_and_tell_nothing_of_ours() {
        let text = r#"{"message":"401: Unauthorized","code":0}"#;
        let refused = rest(&Served::text(&response(401, text))).gateway().unwrap_err();
        assert_eq!(
            refused.to_string(),
            "Discord refuses: HTTP status 401, 401: Unauthorized (code 0)"
        );
        assert!(!refused.is_passing());
        let failing = rest(&Served::text(&response(502, "<html>"))).gateway().unwrap_err();
        assert_eq!(failing, RestError::Failing(502));
        let odd = rest(&Served::text(&response(404, "<html>"))).gateway().unwrap_err();
        assert!(odd.to_string().contains("404, without saying why"), "{odd}");
        let other = rest(&Served::text(&response(200, "[]"))).gateway().unwrap_err();
        assert!(matches!(other, RestError::Away(OutgoingError::Malformed(_))), "{other:?}");
        let page = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<h1>Sign in to the hotel</h1>";
        let sent = rest(&Served::text(page)).send(&post(&[], true), "n").unwrap_err();
        assert!(sent.is_passing(), "{sent:?}");
        let place =
            r#"{"url":"wss://g","session_start_limit":{"remaining":3,"reset_after":5,"x":1}}"#;
        let place = rest(&Served::text(&response(200, place))).gateway().unwrap();
        assert_eq!((&*place.url, place.session_start_limit.remaining), ("wss://g", 3));
        let away = RestError::Away(OutgoingError::Timeout);
        assert_eq!(
            (away.to_string(), away.is_passing()),
            ("Discord is not reached: no answer in time".into(), true)
        );
    }
}
