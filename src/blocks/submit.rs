//! The calls to `submitblock`, and what their answers mean.

use std::io::{self, Read};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, SendError, Sender};
use serde::Deserialize;
use serde_json::json;
use tracing::debug;

use gopool_shards::tally::Times;

use super::hex::{BlockHex, HexReader};
use crate::node::rpc::{NodeError, Rpc};

/// One attempt; the next comes anyway.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(2);
/// At first there is a race to win; then patience is enough; in the end a node that is away for
/// days is not to be disturbed.
const RACE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_millis(100));
const PATIENCE: (Duration, Duration) = (Duration::from_secs(600), Duration::from_secs(1));
pub(super) const DELAY_MAX: Duration = Duration::from_secs(5);

/// `RPC_DESERIALIZATION_ERROR` and `RPC_VERIFY_ERROR` of Core's `src/rpc/protocol.h`.
const CODE_DESERIALIZATION: i64 = -22;
const CODE_VERIFY: i64 = -25;

/// Nothing closes a connection that is used this often.
const WARMING_INTERVAL: Duration = Duration::from_secs(10);

/// A block to submit once.
pub(super) struct Attempt {
    pub(super) hash: String,
    pub(super) block: BlockHex,
    /// With the first attempt.
    pub(super) departure: Option<Departure>,
}

/// A block that has just been found, until it has left.
pub(super) struct Departure {
    pub(super) found_at: Instant,
    /// Where the time until its first byte leaves is counted.
    pub(super) times: Arc<Mutex<Times>>,
    /// Dropped when the last of it has.
    pub(super) signal: Sender<()>,
}

/// What came of it.
pub(super) struct Outcome {
    pub(super) hash: String,
    pub(super) answer: Answer,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The node has the block, whether it is the best one or not.
    Accepted,
    /// The node will never take it, and why.
    Rejected(String),
    /// Nobody knows: try again.
    Unknown(String),
}

/// Makes calls until no more can come.
pub(super) fn make_calls(rpc: &Rpc, attempts: &Receiver<Attempt>, outcomes: &Sender<Outcome>) {
    for attempt in attempts {
        if make_call(rpc, attempt, outcomes).is_err() {
            return;
        }
    }
}

/// The same, and keeps the connection to the node warm while there is nothing to do.
pub(super) fn make_calls_and_keep_warm(
    rpc: &Rpc,
    attempts: &Receiver<Attempt>,
    outcomes: &Sender<Outcome>,
) {
    rpc.keep_block_connection();
    loop {
        match attempts.recv_timeout(WARMING_INTERVAL) {
            Ok(attempt) => {
                if make_call(rpc, attempt, outcomes).is_err() {
                    return;
                }
            }
            Err(RecvTimeoutError::Timeout) => rpc.keep_block_connection(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn make_call(
    rpc: &Rpc,
    attempt: Attempt,
    outcomes: &Sender<Outcome>,
) -> Result<(), SendError<Outcome>> {
    let Attempt { hash, block, departure } = attempt;
    let answer = submit(rpc, &hash, &block, departure);
    outcomes.send(Outcome { hash, answer })
}

/// How long to wait after a failure, `since` the first try.
pub(super) fn retry_delay(since: Duration) -> Duration {
    for (until, delay) in [RACE, PATIENCE] {
        if since < until {
            return delay;
        }
    }
    DELAY_MAX
}

fn submit(rpc: &Rpc, hash: &str, block: &BlockHex, departure: Option<Departure>) -> Answer {
    let (start, signal) =
        departure.map(|Departure { found_at, times, signal }| ((found_at, times), signal)).unzip();
    let mut body = Leaving { hex: block.reader(), hash, start, signal };
    let result = rpc.submit_block(block.size(), &mut body, ATTEMPT_TIMEOUT);
    let answer = classify(result);
    match answer {
        // Refused, and yet it may be in the chain: by another way, or from an earlier attempt.
        Answer::Rejected(_) if is_in_best_chain(rpc, hash) => Answer::Accepted,
        answer => answer,
    }
}

/// A block whose first part is asked for when the request's head has left.
struct Leaving<'a> {
    hex: HexReader<'a>,
    hash: &'a str,
    start: Option<(Instant, Arc<Mutex<Times>>)>,
    signal: Option<Sender<()>>,
}

impl Read for Leaving<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if let Some((found_at, times)) = self.start.take() {
            let elapsed = found_at.elapsed();
            times.lock().expect("no code panics while it holds this").record(elapsed, 1);
            let elapsed_ms = elapsed.as_secs_f64() * 1000.0;
            debug!(component = "blocks", hash = self.hash, elapsed_ms, "submission leaves");
        }
        let count = self.hex.read(out)?;
        if count == 0 {
            self.signal = None;
        }
        Ok(count)
    }
}

/// Source: `submitblock` and `BIP22ValidationResult` in Core's `src/rpc/mining.cpp`.
fn classify(result: Result<Option<String>, NodeError>) -> Answer {
    match result {
        Ok(None) => Answer::Accepted,
        Ok(Some(text)) => match &*text {
            "" | "duplicate" => Answer::Accepted,
            // Stored, but not the best block or not connected yet; the chain will decide.
            "inconclusive" | "duplicate-inconclusive" => Answer::Accepted,
            // True now and perhaps not later: the node is catching up, or its clock is behind.
            "prev-blk-not-found" | "time-too-new" => Answer::Unknown(text),
            _ => Answer::Rejected(text),
        },
        Err(NodeError::Refused { code: CODE_DESERIALIZATION | CODE_VERIFY, message, .. }) => {
            Answer::Rejected(message)
        }
        // Whatever else went wrong, the node has not judged the block.
        Err(error) => Answer::Unknown(error.to_string()),
    }
}

fn is_in_best_chain(rpc: &Rpc, hash: &str) -> bool {
    #[derive(Deserialize)]
    struct Header {
        confirmations: i64,
    }
    let header: Result<Header, _> =
        rpc.call_once("getblockheader", &json!([hash, true]), CONFIRM_TIMEOUT);
    header.is_ok_and(|header| header.confirmations >= 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_of_the_node_means_one_thing() {
        let text = |text: &str| classify(Ok(Some(text.into())));
        assert_eq!(classify(Ok(None)), Answer::Accepted);
        for accepted in ["", "duplicate", "inconclusive", "duplicate-inconclusive"] {
            assert_eq!(text(accepted), Answer::Accepted, "{accepted}");
        }
        for later in ["prev-blk-not-found", "time-too-new"] {
            assert_eq!(text(later), Answer::Unknown(later.into()));
        }
        for rejected in ["high-hash", "bad-txnmrklroot", "duplicate-invalid", "stale-prevblk"] {
            assert_eq!(text(rejected), Answer::Rejected(rejected.into()));
        }
        let method = "submitblock";
        let refused =
            |code| classify(Err(NodeError::Refused { method, code, message: "no".into() }));
        assert!(matches!(refused(-22), Answer::Rejected(_)));
        for code in [-28, -9, -1] {
            assert!(matches!(refused(code), Answer::Unknown(_)));
        }
        for status in [403, 404, 413, 429, 500, 503] {
            let answer = classify(Err(NodeError::Status { method, status }));
            assert!(matches!(answer, Answer::Unknown(_)));
        }
        let gone = NodeError::Unavailable { method, reason: "timeout".into() };
        assert!(matches!(classify(Err(gone)), Answer::Unknown(_)));
    }

    #[test]
    fn a_race_becomes_patience() {
        assert_eq!(retry_delay(Duration::ZERO), Duration::from_millis(100));
        assert_eq!(retry_delay(Duration::from_secs(29)), Duration::from_millis(100));
        assert_eq!(retry_delay(Duration::from_secs(30)), Duration::from_secs(1));
        assert_eq!(retry_delay(Duration::from_secs(86_400)), DELAY_MAX);
    }
}
