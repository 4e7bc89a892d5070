//! Somewhere notices go: what it is given, and what it makes of it.

use std::sync::Arc;
use std::time::Duration;

use super::NoticeWords;
use super::event::Event;
use crate::outgoing::{Answer, OutgoingError};

/// Longest answer that is read: of those who have something to say beside yes and no.
pub(super) const ANSWER_BYTES_MAX: u64 = 256 * 1024;
/// Of one try, from the name that is resolved to the last byte of the answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// Of what somebody answers, the characters that are logged.
const ANSWER_CHARS_MAX: usize = 120;

/// Something to tell, the same at each try.
#[derive(Debug)]
pub(super) struct Notice {
    /// 32 hex digits: who is told twice can see that it is the same.
    pub id: String,
    /// Unix seconds.
    pub at: u64,
    pub event: Event,
    /// As they were then.
    pub words: Arc<NoticeWords>,
}

/// Why it was not taken. No text tells a token or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It may be taken later, after so long if they say.
    Later { reason: String, wait: Option<Duration> },
    /// As it is, it never will be.
    Never { reason: String },
}

/// One place. Its thread calls it, which may wait for [`TIMEOUT`].
pub(super) trait Channel: Send + Sync + 'static {
    /// For logs, metrics and the operator's page.
    fn name(&self) -> &'static str;

    fn deliver(&self, notice: &Notice) -> Result<(), Refusal>;

    /// An event as it is told here: one, or several.
    fn parts(&self, event: &Event) -> Vec<Event> {
        vec![event.clone()]
    }
}

/// What an answer means that a service gives with HTTP's own words. `why` finds what else it says.
pub(super) fn judge(
    answer: Result<Answer, OutgoingError>,
    why: impl Fn(&Answer) -> Option<String>,
) -> Result<Answer, Refusal> {
    let answer = match answer {
        Ok(answer) if answer.is_success() => return Ok(answer),
        Ok(answer) => answer,
        // Whether it has heard us nobody knows: twice is better than not at all.
        Err(error) => return Err(Refusal::Later { reason: error.to_string(), wait: None }),
    };
    let reason = match why(&answer) {
        Some(why) => format!("it answers with HTTP status {}: {}", answer.status, cut(&why)),
        None => format!("it answers with HTTP status {}", answer.status),
    };
    match answer.status {
        // Request Timeout, Too Early, Too Many Requests, and whatever is wrong on its side.
        408 | 425 | 429 | 500.. => Err(Refusal::Later { reason, wait: answer.retry_after() }),
        _ => Err(Refusal::Never { reason }),
    }
}

/// Somebody else's words, in a line of a log.
pub(super) fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(ANSWER_CHARS_MAX).collect()
}
