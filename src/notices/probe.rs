//! Whether anybody elsewhere can be reached (`state-and-services.md` §13.5). A pool that is cut off sees
//! its miners go, and would tell of each; so it waits until it can be told apart.

use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use crate::outgoing::Outgoing;

/// One target's time to take a connection.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Equal results in a row that are believed.
const RESULTS_MIN: u32 = 4;

/// Somewhere a connection is tried to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeTarget {
    pub host: String,
    pub port: u16,
}

/// What has been found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub is_up: bool,
    /// Nothing was known before.
    pub is_first: bool,
}

/// What is believed, and how many results in a row say otherwise.
#[derive(Debug, Default)]
struct Reach {
    is_up: Option<bool>,
    contrary: u32,
}

impl Reach {
    /// Takes a result; what is new.
    fn note(&mut self, is_up: bool) -> Option<Found> {
        let Some(before) = self.is_up else {
            self.is_up = Some(is_up);
            return Some(Found { is_up, is_first: true });
        };
        self.contrary = if is_up == before { 0 } else { self.contrary + 1 };
        if self.contrary < RESULTS_MIN {
            return None;
        }
        *self = Self { is_up: Some(is_up), contrary: 0 };
        Some(Found { is_up, is_first: false })
    }
}

/// Looks every `interval`, the first time after `warm_up`, until it is stopped. On a thread of its own:
/// a name that nobody resolves takes its time.
pub(super) fn run(
    targets: &[ProbeTarget],
    outgoing: &Outgoing,
    (warm_up, interval): (Duration, Duration),
    found: &Sender<Found>,
    stopped: &Receiver<()>,
) {
    let mut reach = Reach::default();
    let mut wait = warm_up;
    while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
        wait = interval;
        let is_up =
            targets.iter().any(|target| outgoing.reaches(&target.host, target.port, TIMEOUT));
        if let Some(new) = reach.note(is_up)
            && found.send(new).is_err()
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use crossbeam_channel::{bounded, unbounded};

    use super::super::tests::bind;
    use super::*;
    use crate::outgoing::tests::outgoing;

    #[test]
    fn four_results_in_a_row_are_believed_and_the_first_one() {
        let mut reach = Reach::default();
        let mut flips = String::new();
        for result in "+--- ---+---+++- -++-++++ ---- -".bytes().filter(|byte| *byte != b' ') {
            flips.push(match reach.note(result == b'+') {
                Some(Found { is_first: true, .. }) => 'f',
                Some(Found { is_up: true, .. }) => 'U',
                Some(Found { is_up: false, .. }) => 'D',
                None => '.',
            });
        }
        assert_eq!(flips, "f...D...........  ......U...D.".replace(' ', ""));
        assert_eq!(Reach::default().note(false), Some(Found { is_up: false, is_first: true }));
    }

    #[test]
    fn one_target_that_takes_connections_is_enough() {
        let listener = bind();
        let port = listener.local_addr().unwrap().port();
        let target = |port| ProbeTarget { host: "127.0.0.1".to_owned(), port };
        let ((stop, stopped), (finder, found)) = (bounded(0), unbounded());
        let short = Duration::from_millis(10);
        let thread = thread::spawn(move || {
            // Nobody listens on the first one.
            run(&[target(1), target(port)], &outgoing(), (short, short), &finder, &stopped);
        });
        let next = || found.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(next(), Found { is_up: true, is_first: true });
        drop(listener);
        assert_eq!(next(), Found { is_up: false, is_first: false });
        drop(stop);
        thread.join().unwrap();
    }
}
