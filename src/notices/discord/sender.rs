//! The thread that says on Discord what waits in the queue.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use tracing::{debug, info, warn};

use super::Shared;
use super::queue::{Outcome, Post};
use super::rest::{Rest, RestError};
use crate::entropy;
use crate::notices::untold::Untold;

/// When the pool stops, no further try is begun after this; the process waits for no longer.
const LAST_TRIES_MAX: Duration = Duration::from_secs(4);
const NONCE_LETTERS: usize = 12;

pub struct Sender {
    shared: Arc<Shared>,
    rest: Rest,
    untold: Untold,
    /// Of this run: numbers of messages begin anew with each.
    nonce: String,
}

impl Sender {
    pub fn new(shared: Arc<Shared>, rest: Rest, untold: Untold) -> Self {
        Self { shared, rest, untold, nonce: entropy::letters_and_digits(NONCE_LETTERS) }
    }

    /// Until the other end of `wake` is gone.
    pub fn run(self, wake: &Receiver<()>) {
        loop {
            self.send_next();
            let wait = self.shared.queue().wait(Instant::now());
            let woken = match wait {
                Some(wait) => wake.recv_timeout(wait),
                None => wake.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            if woken == Err(RecvTimeoutError::Disconnected) {
                break;
            }
        }
        // The next start tells what is not told now, but that may be a while.
        let deadline = Instant::now() + LAST_TRIES_MAX;
        let link = self.shared.words.load().link.clone();
        while Instant::now() < deadline {
            let Some(post) = self.shared.queue().next_of_last(&link) else { break };
            self.send(&post);
        }
        for text in self.shared.queue().untold_blocks() {
            let kind = "discord";
            warn!(
                component = "notices",
                kind, text, "nobody has been told of a found block, the next start tells"
            );
        }
    }

    fn send_next(&self) {
        let link = self.shared.words.load().link.clone();
        let post = self.shared.queue().next(&link, Instant::now());
        if let Some(post) = post {
            self.send(&post);
        }
    }

    fn send(&self, post: &Post) {
        let sent = self.rest.send(post, &format!("{}-{}", self.nonce, post.number));
        let outcome = outcome(&sent);
        self.say(post, &sent, outcome);
        let tag = &self.shared.words.load().tag;
        let told = self.shared.queue().done(post.number, outcome, tag, Instant::now());
        told.iter().for_each(|hash| self.untold.strike(hash));
    }

    fn say(&self, post: &Post, sent: &Result<(), RestError>, outcome: Outcome) {
        let number = post.number;
        let Err(error) = sent else {
            if self.shared.sent_again() {
                info!(component = "discord", "messages are taken again");
            }
            debug!(component = "discord", number, "message sent");
            return;
        };
        // Once, until one is taken.
        let is_new = self.shared.not_sent(&error.to_string());
        let is_refused = matches!(outcome, Outcome::Malformed | Outcome::Forbidden);
        if is_refused {
            warn!(component = "discord", %error, number, "a message is refused");
        } else if is_new {
            warn!(component = "discord", %error, number, "a message is not taken yet");
        } else {
            debug!(component = "discord", %error, number, "a message is not taken yet");
        }
    }
}

fn outcome(sent: &Result<(), RestError>) -> Outcome {
    match sent {
        Ok(()) => Outcome::Sent,
        Err(RestError::Refused { status: 400, .. }) => Outcome::Malformed,
        Err(RestError::Refused { status: 401 | 403 | 404, .. }) => Outcome::Forbidden,
        Err(RestError::Limited(wait)) => Outcome::Later(Some(*wait)),
        Err(_) => Outcome::Later(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outgoing::OutgoingError;

    #[test]
    fn only_what_can_never_go_well_is_given_up_at_once() {
        let refused = |status| Err(RestError::Refused { status, code: 0, message: String::new() });
        let wait = Duration::from_secs(7);
        for (sent, expected) in [
            (Ok(()), Outcome::Sent),
            (refused(400), Outcome::Malformed),
            (refused(401), Outcome::Forbidden),
            (refused(403), Outcome::Forbidden),
            (refused(404), Outcome::Forbidden),
            (refused(405), Outcome::Later(None)),
            (Err(RestError::Limited(wait)), Outcome::Later(Some(wait))),
            (Err(RestError::Failing(502)), Outcome::Later(None)),
            (Err(OutgoingError::Timeout.into()), Outcome::Later(None)),
        ] {
            assert_eq!(outcome(&sent), expected, "{sent:?}");
        }
    }
}
