//! Notices to a chat of Telegram, by a bot: `sendMessage` of its API. The token stands in the URL, which
//! is why no error tells one.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::TelegramSettings;
use super::channel::{ANSWER_BYTES_MAX, Channel, Notice, Refusal, TIMEOUT, judge};
use super::words::Words;
use crate::clock::unix_now;
use crate::outgoing::{Answer, Call, Outgoing, OutgoingError, Payload};

/// Longer texts are refused.
const TEXT_CHARS_MAX: usize = 4096;
/// Who asks for longer is asked again after this.
const RETRY_AFTER_MAX: u64 = 3600;

pub(super) struct Telegram {
    pub settings: TelegramSettings,
    pub outgoing: Outgoing,
}

/// The frame of every answer.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    ok: bool,
    description: String,
    parameters: Parameters,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Parameters {
    retry_after: Option<u64>,
}

impl Channel for Telegram {
    fn name(&self) -> &'static str {
        "telegram"
    }

    fn deliver(&self, notice: &Notice) -> Result<(), Refusal> {
        let TelegramSettings { api_url, token, chat_id } = &self.settings;
        let url = format!("{api_url}/bot{}/sendMessage", token.expose());
        let body = json!({
            "chat_id": chat_id,
            // No parse mode: whatever a worker is called, it is text.
            "text": text(notice),
            "link_preview_options": { "is_disabled": true },
        });
        let body = body.to_string();
        let payload = Payload::Bytes(body.as_bytes());
        let call = Call::post(&url, payload, TIMEOUT, ANSWER_BYTES_MAX)
            .with("Content-Type", "application/json");
        let answer = self.outgoing.call(call);
        let said = |answer: &Answer| answer.json::<Said>();
        let asked_wait = answer
            .as_ref()
            .ok()
            .and_then(|answer| said(answer).ok()?.parameters.retry_after)
            .map(|seconds| Duration::from_secs(seconds.min(RETRY_AFTER_MAX)));
        let why = |answer: &Answer| {
            said(answer).ok().map(|said| said.description).filter(|words| !words.is_empty())
        };
        let answer = judge(answer, why).map_err(|refusal| match refusal {
            Refusal::Later { reason, wait } => {
                Refusal::Later { reason, wait: wait.max(asked_wait) }
            }
            never @ Refusal::Never { .. } => never,
        })?;
        let problem = match said(&answer) {
            Ok(Said { ok: true, .. }) => return Ok(()),
            Ok(_) => OutgoingError::Malformed("it says neither yes nor no".to_owned()),
            Err(error) => error,
        };
        Err(Refusal::Later { reason: problem.to_string(), wait: None })
    }
}

fn text(notice: &Notice) -> String {
    let Words { title, text } = Words::of(notice, unix_now());
    let link = &notice.words.link;
    let whole = match &**link {
        "" => format!("{title}\n{text}"),
        link => format!("{title}\n{text}\n{link}"),
    };
    whole.chars().take(TEXT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::super::words::tests::{block, notice, workers};
    use super::*;
    use crate::outgoing::tests::{Served, json as answer, outgoing};
    use crate::privacy::Secret;

    fn telegram(served: &Served) -> Telegram {
        let settings = TelegramSettings {
            api_url: served.url(""),
            token: Secret::new("7:hunter2"),
            chat_id: "-42".to_owned(),
        };
        Telegram { settings, outgoing: outgoing() }
    }

    #[test]
    fn a_message_is_plain_text_to_the_chat() {
        let served = Served::text(&answer(200, r#"{"ok":true,"result":{}}"#));
        assert_eq!(telegram(&served).deliver(&notice(block())), Ok(()));
        let asked = served.asked();
        let (head, body) = asked.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /bot7:hunter2/sendMessage HTTP/1.1"), "{head}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        let text = body["text"].as_str().unwrap();
        assert!(text.starts_with("[goPool] Block 840000 found\nBy bc1qexam"), "{text}");
        assert!(text.ends_with("\nhttps://pool.example/saved-workers"), "{text}");
        assert_eq!((&body["chat_id"], body.get("parse_mode")), (&json!("-42"), None));
    }

    #[test]
    fn what_it_answers_decides_whether_it_is_tried_again_and_tells_no_token() {
        let later = |reason: &str, wait: Option<u64>| Refusal::Later {
            reason: reason.into(),
            wait: wait.map(Duration::from_secs),
        };
        for (answer, expected) in [
            (
                answer(
                    429,
                    r#"{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 7","parameters":{"retry_after":7}}"#,
                ),
                later("it answers with HTTP status 429: Too Many Requests: retry after 7", Some(7)),
            ),
            (
                answer(400, r#"{"ok":false,"description":"Bad Request: chat not found"}"#),
                Refusal::Never {
                    reason: "it answers with HTTP status 400: Bad Request: chat not found".into(),
                },
            ),
            (answer(500, ""), later("it answers with HTTP status 500", None)),
            (
                answer(200, r#"{"ok":false}"#),
                later("its answer cannot be read: it says neither yes nor no", None),
            ),
            (
                answer(200, "<h1>"),
                later("its answer cannot be read: it is no JSON at byte 1 of it", None),
            ),
        ] {
            let served = Served::text(&answer);
            assert_eq!(telegram(&served).deliver(&notice(workers("a", ""))), Err(expected));
        }
        let mut telegram = telegram(&Served::text(""));
        // Nobody listens there.
        telegram.settings.api_url = "http://127.0.0.1:1".to_owned();
        let refusal = telegram.deliver(&notice(block())).unwrap_err();
        assert!(matches!(refusal, Refusal::Later { .. }));
        assert!(!format!("{refusal:?}").contains("hunter2"), "{refusal:?}");
    }
}
