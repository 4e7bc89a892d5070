//! Threads that are waited for, but not for ever.

use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Between two looks: a stop that takes so much longer is not noticed.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Waits for a thread's end, until the deadline at most; whether it has ended.
pub fn ends_by<T>(thread: &JoinHandle<T>, deadline: Instant) -> bool {
    while !thread.is_finished() && Instant::now() < deadline {
        thread::sleep(LOOK_INTERVAL);
    }
    thread.is_finished()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_waited_for_until_it_ends_or_the_deadline() {
        let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
        let thread = thread::spawn(move || stopped.recv().is_err());
        assert!(!ends_by(&thread, Instant::now()), "it cannot have ended");
        drop(stop);
        assert!(ends_by(&thread, Instant::now() + Duration::from_secs(60)));
    }
}
