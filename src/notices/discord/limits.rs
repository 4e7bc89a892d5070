//! How often Discord may be asked: what it says in the heads of its answers, by kind of call and for
//! all of them together. Pure.
//!
//! Source: Discord's documentation, "Rate Limits".

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::outgoing::Answer;

/// Asked to wait without a time.
const WAIT_USUAL: Duration = Duration::from_secs(10);
/// Nobody is believed who wants us to wait for longer.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// What is left, by kind of call; there are as many kinds as calls are written in this program.
#[derive(Debug, Default)]
pub struct Limits {
    /// No call at all before.
    all_until: Option<Instant>,
    /// Kinds share a bucket when Discord says so.
    buckets: HashMap<&'static str, String>,
    windows: HashMap<String, Window>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    left: u64,
    until: Instant,
}

impl Limits {
    /// How long to wait before a call of this kind; none when it may be made now.
    pub fn wait(&mut self, kind: &'static str, now: Instant) -> Option<Duration> {
        self.windows.retain(|_, window| window.until > now);
        let all = self.all_until.filter(|until| *until > now);
        let window = self.windows.get(self.bucket(kind)).filter(|window| window.left == 0);
        let until = all.into_iter().chain(window.map(|window| window.until)).max()?;
        Some(until - now)
    }

    /// Reads what an answer says; how long we are to wait when it refuses us for being too quick.
    pub fn note(&mut self, kind: &'static str, answer: &Answer, now: Instant) -> Option<Duration> {
        if let Some(bucket) = answer.header("x-ratelimit-bucket") {
            self.buckets.insert(kind, bucket.to_owned());
        }
        let bucket = self.bucket(kind).to_owned();
        let left = answer.header("x-ratelimit-remaining").and_then(|text| text.parse().ok());
        let seconds = answer.header("x-ratelimit-reset-after").and_then(|text| text.parse().ok());
        if let (Some(left), Some(after)) = (left, seconds.and_then(wait_of)) {
            self.windows.insert(bucket.clone(), Window { left, until: now + after });
        }
        if answer.status != 429 {
            return None;
        }
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let told = body["retry_after"].as_f64().and_then(wait_of);
        let wait = told.or_else(|| answer.retry_after()).unwrap_or(WAIT_USUAL).min(WAIT_MAX);
        let is_for_all = body["global"].as_bool() == Some(true)
            || answer
                .header("x-ratelimit-global")
                .is_some_and(|it| it.eq_ignore_ascii_case("true"));
        if is_for_all {
            self.all_until = self.all_until.max(Some(now + wait));
        } else {
            self.windows.insert(bucket, Window { left: 0, until: now + wait });
        }
        Some(wait)
    }

    fn bucket<'a>(&'a self, kind: &'a str) -> &'a str {
        self.buckets.get(kind).map_or(kind, String::as_str)
    }
}

fn wait_of(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok().map(|wait| wait.min(WAIT_MAX))
}
