//! What Clerk's back end is asked with the secret key (`state-and-services.md` §14.7). Whoever calls
//! this waits for it.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::ClerkSettings;
use crate::outgoing::{Answer, Call, Outgoing, OutgoingError, Payload};

const TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: u64 = 256 * 1024;
/// How long a session of a development instance lasts: its pages have no other way to a new token.
const DEVELOPMENT_SECONDS: u64 = 12 * 3600;

/// Why it was not done. No text holds a token or a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    #[error("Clerk: {0}")]
    Unavailable(#[from] OutgoingError),
    #[error("Clerk answers with HTTP status {0}")]
    Status(u16),
    #[error("nobody is signed in there")]
    NoSession,
    #[error("that is for development instances")]
    NotDevelopment,
}

#[derive(Deserialize)]
struct Client {
    last_active_session_id: Option<String>,
    #[serde(default)]
    sessions: Vec<ClientSession>,
    #[serde(default)]
    session_ids: Vec<String>,
}

#[derive(Deserialize)]
struct ClientSession {
    id: String,
}

#[derive(Deserialize)]
struct Token {
    jwt: String,
}

#[derive(Clone, Debug)]
pub struct Backend {
    outgoing: Outgoing,
    api_url: String,
    authorization: String,
    is_development: bool,
}

impl Backend {
    pub fn new(settings: &ClerkSettings, outgoing: Outgoing) -> Self {
        let key = settings.secret_key.expose();
        Self {
            outgoing,
            api_url: settings.api_url.clone(),
            authorization: format!("Bearer {key}"),
            is_development: key.starts_with("sk_test_"),
        }
    }

    /// Whether [`Self::exchange`] is for this pool.
    pub fn can_exchange(&self) -> bool {
        self.is_development
    }

    /// A session token for a browser of a development instance, which keeps its sessions in a token
    /// of its own: `__clerk_db_jwt`.
    pub fn exchange(&self, browser_token: &str) -> Result<String, BackendError> {
        if !self.is_development {
            return Err(BackendError::NotDevelopment);
        }
        let answer = self.post("/v1/clients/verify", &json!({ "token": browser_token }))?;
        let client: Client = answer.json()?;
        let listed = client.sessions.into_iter().map(|session| session.id);
        let mut sessions =
            client.last_active_session_id.into_iter().chain(listed).chain(client.session_ids);
        let session = sessions.find(|id| is_id(id)).ok_or(BackendError::NoSession)?;
        let wanted = json!({ "expires_in_seconds": DEVELOPMENT_SECONDS });
        let token: Token = self.post(&format!("/v1/sessions/{session}/tokens"), &wanted)?.json()?;
        Ok(token.jwt)
    }

    /// Ends a session at Clerk, so that nobody is signed straight back in.
    pub fn end_session(&self, session_id: &str) -> Result<(), BackendError> {
        if !is_id(session_id) {
            return Err(BackendError::NoSession);
        }
        self.post(&format!("/v1/sessions/{session_id}/revoke"), &json!({})).map(drop)
    }

    fn post(&self, path: &str, body: &Value) -> Result<Answer, BackendError> {
        let (url, body) = (format!("{}{path}", self.api_url), body.to_string());
        let body = Payload::Bytes(body.as_bytes());
        let call = Call::post(&url, body, TIMEOUT, ANSWER_BYTES_MAX)
            .with("Authorization", &self.authorization)
            .with("Content-Type", "application/json");
        let answer = self.outgoing.call(call)?;
        if answer.is_success() { Ok(answer) } else { Err(BackendError::Status(answer.status)) }
    }
}

/// It stands in a URL.
fn is_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::outgoing::tests::{Served, json as answer, outgoing};
    use crate::privacy::Secret;

    fn backend(served: &Served, key: &str) -> Backend {
        let mut settings = super::super::tests::settings();
        settings.api_url = served.url("");
        settings.secret_key = Secret::new(key);
        Backend::new(&settings, outgoing())
    }

    #[test]
    fn a_browser_of_a_development_instance_gets_a_token_of_its_last_session() {
        for (client, session) in [
            (r#"{"last_active_session_id":"sess_2","session_ids":["sess_1"]}"#, Some("sess_2")),
            (r#"{"sessions":[{"id":"sess_1"}],"last_active_session_id":null}"#, Some("sess_1")),
            (r#"{"session_ids":["sess_3"]}"#, Some("sess_3")),
            (r#"{"session_ids":["../x"]}"#, None),
            (r#"{}"#, None),
        ] {
            let answers = [answer(200, client), answer(200, r#"{"jwt":"a.b.c"}"#)];
            let served = Served::with(move |number, stream| {
                let _ = stream.write_all(answers[number].as_bytes());
            });
            let token = backend(&served, "sk_test_hunter2").exchange("dvb_1");
            let asked = served.asked();
            assert!(asked.starts_with("POST /v1/clients/verify "), "{asked}");
            assert!(asked.contains("authorization: Bearer sk_test_hunter2\r\n"), "{asked}");
            assert!(asked.ends_with(r#"{"token":"dvb_1"}"#), "{asked}");
            let Some(session) = session else {
                assert_eq!(token, Err(BackendError::NoSession), "{client}");
                continue;
            };
            assert_eq!(token.as_deref(), Ok("a.b.c"));
            let asked = served.asked();
            assert!(asked.starts_with(&format!("POST /v1/sessions/{session}/tokens ")), "{asked}");
            assert!(asked.ends_with(r#"{"expires_in_seconds":43200}"#), "{asked}");
        }
    }

    #[test]
    fn other_instances_have_no_such_browsers() {
        let served = Served::text(&answer(200, "{}"));
        let live = backend(&served, "sk_live_hunter2");
        assert_eq!(live.exchange("dvb_1"), Err(BackendError::NotDevelopment));
        assert!(!served.was_asked());
        assert_eq!(live.end_session("sess_1"), Ok(()));
        assert!(served.asked().starts_with("POST /v1/sessions/sess_1/revoke "));
        assert_eq!(live.end_session("a/b"), Err(BackendError::NoSession));
        let served = Served::text(&answer(404, "{}"));
        let told = backend(&served, "sk_live_hunter2").end_session("sess_1");
        assert_eq!(told, Err(BackendError::Status(404)));
        assert!(!format!("{told:?}").contains("hunter2"));
    }
}
