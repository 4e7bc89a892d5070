//! Waiting for something to become true, and for no longer than agreed.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Time between two attempts: short beside every limit, long beside one attempt.
pub const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Asks until there is an answer; fails the test when there is none within `limit`.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = attempt() {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        sleep(POLL_INTERVAL);
    }
}

/// Waits until `condition` holds.
#[track_caller]
pub fn until_true(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    until(what, limit, || condition().then_some(()));
}
