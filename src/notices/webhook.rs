//! Notices to a program of the operator's own: JSON, signed (`documentation/notices.md`).

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::Sha256;

use super::WebhookSettings;
use super::channel::{Channel, Notice, Refusal, TIMEOUT, judge};
use super::event::{Event, WorkerName};
use crate::outgoing::{Call, Outgoing, Payload};

pub(super) struct Webhook {
    pub settings: WebhookSettings,
    pub outgoing: Outgoing,
}

impl Channel for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn deliver(&self, notice: &Notice) -> Result<(), Refusal> {
        let body = body(notice).to_string();
        let payload = Payload::Bytes(body.as_bytes());
        // What it answers beside that it has taken it is nobody's business.
        let mut call = Call::post(&self.settings.url, payload, TIMEOUT, 0)
            .with("Content-Type", "application/json")
            .with("X-GoPool-Event", kind(&notice.event))
            .with("X-GoPool-Delivery", &*notice.id);
        if let Some(secret) = &self.settings.secret {
            call = call.with("X-GoPool-Signature", signature(secret.expose(), body.as_bytes()));
        }
        judge(self.outgoing.call(call), |_| None).map(drop)
    }

    /// A program wants to branch on what has happened: workers that went and workers that came are
    /// two things.
    fn parts(&self, event: &Event) -> Vec<Event> {
        let Event::Workers { user_id, away, back } = event else { return vec![event.clone()] };
        let part = |away: &[WorkerName], back: &[WorkerName]| Event::Workers {
            user_id: user_id.clone(),
            away: away.to_vec(),
            back: back.to_vec(),
        };
        let mut parts = Vec::new();
        if !away.is_empty() {
            parts.push(part(away, &[]));
        }
        if !back.is_empty() {
            parts.push(part(&[], back));
        }
        parts
    }
}

fn kind(event: &Event) -> &'static str {
    match event {
        Event::Watching => "watching",
        Event::Network { is_up: false } => "network_offline",
        Event::Network { is_up: true } => "network_online",
        Event::Workers { back, .. } if back.is_empty() => "worker_offline",
        Event::Workers { .. } => "worker_recovered",
        Event::Block(_) => "block_found",
    }
}

/// The same bytes at each try: the receiver may compare them.
fn body(notice: &Notice) -> Value {
    let mut body = json!({
        "event": kind(&notice.event),
        "id": notice.id,
        "at": time(notice.at),
        "pool": notice.words.tag,
    });
    let threshold_seconds = notice.words.threshold.as_secs();
    let more = match &notice.event {
        Event::Watching => json!({ "threshold_seconds": threshold_seconds }),
        Event::Network { .. } => json!({}),
        Event::Workers { user_id, away, back } => {
            let worker = |worker: &WorkerName| json!({ "name": worker.name, "hash": worker.hash });
            let workers: Vec<Value> = away.iter().chain(back).map(worker).collect();
            json!({ "user": user_id, "workers": workers, "threshold_seconds": threshold_seconds })
        }
        Event::Block(block) => json!({
            "height": block.height,
            "hash": block.hash_hex,
            "worker": block.worker,
            "found_at": time(block.found_at),
        }),
    };
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    body
}

fn time(unix: u64) -> String {
    Timestamp::from_second(unix.cast_signed()).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length");
    mac.update(body);
    format!("sha256={}", const_hex::encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::super::words::tests::{block, notice, workers};
    use super::*;
    use crate::outgoing::tests::{Served, json as answer, outgoing};
    use crate::privacy::Secret;

    #[test]
    fn each_event_has_its_fields() {
        let hash = "a".repeat(64);
        for (event, expected) in [
            (Event::Watching, json!({ "event": "watching", "threshold_seconds": 300 })),
            (Event::Network { is_up: false }, json!({ "event": "network_offline" })),
            (Event::Network { is_up: true }, json!({ "event": "network_online" })),
            (
                workers("a", ""),
                json!({
                    "event": "worker_offline", "user": "user", "threshold_seconds": 300,
                    "workers": [{ "name": "a", "hash": hash }],
                }),
            ),
            (
                workers("", "a"),
                json!({
                    "event": "worker_recovered", "user": "user", "threshold_seconds": 300,
                    "workers": [{ "name": "a", "hash": hash }],
                }),
            ),
            (
                block(),
                json!({
                    "event": "block_found", "height": 840_000,
                    "hash": format!("{}0123456789abcdef", "0".repeat(48)),
                    "worker": "bc1qexam...00000000.rig", "found_at": "2023-11-14T22:13:17Z",
                }),
            ),
        ] {
            let mut body = body(&notice(event));
            for (key, value) in
                [("id", "0123456789abcdef"), ("at", "2023-11-14T22:13:20Z"), ("pool", "goPool")]
            {
                assert_eq!(body.as_object_mut().unwrap().shift_remove(key).unwrap(), value);
            }
            assert_eq!(body, expected);
        }
    }

    #[test]
    fn workers_that_went_and_that_came_are_told_apart() {
        let webhook = Webhook {
            settings: WebhookSettings { url: String::new(), secret: None },
            outgoing: outgoing(),
        };
        let parts = |event: &Event| -> Vec<&'static str> {
            webhook.parts(event).iter().map(kind).collect()
        };
        assert_eq!(parts(&workers("a", "b")), ["worker_offline", "worker_recovered"]);
        assert_eq!(parts(&workers("a", "")), ["worker_offline"]);
        assert_eq!(parts(&block()), ["block_found"]);
    }

    /// The first and the second case of RFC 4231 with text, and what OpenSSL makes of ours.
    #[test]
    fn the_signature_is_hmac_sha256() {
        assert_eq!(
            signature("Jefe", b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn what_is_sent_is_what_was_signed_and_the_same_at_each_try() {
        let served = Served::text(&answer(200, "{}"));
        let settings =
            WebhookSettings { url: served.url("/hook?a=b"), secret: Some(Secret::new("hunter2")) };
        let webhook = Webhook { settings, outgoing: outgoing() };
        let notice = notice(block());
        assert_eq!(webhook.deliver(&notice), Ok(()));
        let asked = served.asked();
        let (head, body) = asked.split_once("\r\n\r\n").unwrap();
        let head = head.to_ascii_lowercase();
        assert!(head.starts_with("post /hook?a=b http/1.1\r\n"), "{head}");
        for header in [
            "content-type: application/json".to_owned(),
            "x-gopool-event: block_found".to_owned(),
            "x-gopool-delivery: 0123456789abcdef".to_owned(),
            format!("x-gopool-signature: {}", signature("hunter2", body.as_bytes())),
        ] {
            assert!(head.contains(&header), "{header} in {head}");
        }
        assert_eq!(webhook.deliver(&notice), Ok(()));
        assert_eq!(served.asked(), asked);
    }
}
