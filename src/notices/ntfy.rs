//! Notices to phones by way of ntfy: a message is posted to its topic.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::NtfySettings;
use super::channel::{ANSWER_BYTES_MAX, Channel, Notice, Refusal, TIMEOUT, judge};
use super::event::Event;
use super::words::Words;
use crate::clock::unix_now;
use crate::outgoing::{Answer, Call, Outgoing, OutgoingError, Payload};

pub(super) struct Ntfy {
    pub settings: NtfySettings,
    pub outgoing: Outgoing,
}

/// What it says of a message that it has taken, and why it has not.
#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    id: String,
    #[serde(default)]
    error: String,
}

impl Channel for Ntfy {
    fn name(&self) -> &'static str {
        "ntfy"
    }

    fn deliver(&self, notice: &Notice) -> Result<(), Refusal> {
        let Words { title, text } = Words::of(notice, unix_now());
        let payload = Payload::Bytes(text.as_bytes());
        let (priority, tags) = looks(&notice.event);
        let mut call = Call::post(&self.settings.url, payload, TIMEOUT, ANSWER_BYTES_MAX)
            .with("Content-Type", "text/plain; charset=utf-8")
            .with("Title", header(&title))
            .with("Priority", priority)
            .with("Tags", tags)
            // A repetition takes the place of what was shown before, where ntfy knows of it.
            .with("X-Sequence-ID", &*notice.id);
        let link = &notice.words.link;
        if !link.is_empty() && link.bytes().all(|byte| byte.is_ascii_graphic()) {
            call = call.with("Click", &**link);
        }
        if let Some(token) = &self.settings.token {
            call = call.with("Authorization", format!("Bearer {}", token.expose()));
        }
        let said = |answer: &Answer| answer.json::<Said>();
        let why =
            |answer: &Answer| said(answer).ok().map(|it| it.error).filter(|it| !it.is_empty());
        let answer = judge(self.outgoing.call(call), why)?;
        // Somebody else may answer in its place, such as a hotel's page to sign in.
        let problem = match said(&answer) {
            Ok(Said { id, .. }) if !id.is_empty() => return Ok(()),
            Ok(_) => OutgoingError::Malformed("it says of no message".to_owned()),
            Err(error) => error,
        };
        Err(Refusal::Later { reason: problem.to_string(), wait: None })
    }
}

/// Priority and tags, which become little pictures. A block may wake somebody.
fn looks(event: &Event) -> (&'static str, &'static str) {
    match event {
        Event::Block(_) => ("urgent", "tada,pick"),
        Event::Workers { away, .. } if !away.is_empty() => ("high", "warning"),
        Event::Workers { .. } => ("default", "white_check_mark"),
        Event::Network { is_up: false } => ("default", "electric_plug"),
        Event::Network { is_up: true } => ("low", "electric_plug"),
        Event::Watching => ("low", "eyes"),
    }
}

/// A text as a header may have it: other letters than ASCII's are encoded as in mail (RFC 2047).
fn header(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    if text.is_ascii() { text } else { format!("=?UTF-8?B?{}?=", STANDARD.encode(text)) }
}

#[cfg(test)]
mod tests {
    use super::super::words::tests::{block, notice, workers};
    use super::*;
    use crate::outgoing::tests::{Served, json, outgoing};
    use crate::privacy::Secret;

    fn ntfy(served: &Served) -> Ntfy {
        let token = Some(Secret::new("tk_hunter2"));
        let settings = NtfySettings { url: served.url("/topic"), token };
        Ntfy { settings, outgoing: outgoing() }
    }

    #[test]
    fn a_message_has_its_heading_and_where_it_leads() {
        let served = Served::text(&json(200, r#"{"id":"x","event":"message"}"#));
        assert_eq!(ntfy(&served).deliver(&notice(block())), Ok(()));
        let asked = served.asked();
        let (head, body) = asked.split_once("\r\n\r\n").unwrap();
        let head = head.to_ascii_lowercase();
        for line in [
            "post /topic http/1.1",
            "title: [gopool] block 840000 found",
            "priority: urgent",
            "tags: tada,pick",
            "click: https://pool.example/saved-workers",
            "authorization: bearer tk_hunter2",
            "x-sequence-id: 0123456789abcdef",
        ] {
            assert!(head.lines().any(|header| header == line), "{line} in {head}");
        }
        assert!(body.starts_with("By bc1qexam...00000000.rig"), "{body}");
    }

    #[test]
    fn what_it_answers_decides_whether_it_is_tried_again() {
        let later = |reason: &str| Refusal::Later { reason: reason.into(), wait: None };
        let never = |reason: &str| Refusal::Never { reason: reason.into() };
        for (answer, expected) in [
            (
                json(403, r#"{"code":40301,"http":403,"error":"forbidden"}"#),
                never("it answers with HTTP status 403: forbidden"),
            ),
            (json(404, "<h1>"), never("it answers with HTTP status 404")),
            (json(502, "<h1>"), later("it answers with HTTP status 502")),
            (
                json(200, "<h1>Sign in</h1>"),
                later("its answer cannot be read: it is no JSON at byte 1 of it"),
            ),
            (json(200, "{}"), later("its answer cannot be read: it says of no message")),
        ] {
            let served = Served::text(&answer);
            assert_eq!(ntfy(&served).deliver(&notice(workers("a", ""))), Err(expected));
        }
    }

    #[test]
    fn a_heading_is_one_line_of_ascii() {
        assert_eq!(header("[goPool] Block\r\nX: y"), "[goPool] BlockX: y");
        assert_eq!(header("[Grüße]"), "=?UTF-8?B?W0dyw7zDn2Vd?=");
    }
}
