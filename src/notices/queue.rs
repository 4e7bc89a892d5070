//! What waits to be told in one place, and when it is tried (pure: the time comes in).
//!
//! | what waits   | bound            | when it is full            | tried                          |
//! |--------------|------------------|----------------------------|--------------------------------|
//! | found blocks | as many as found | never: none is dropped     | until it is taken              |
//! | the rest     | [`OTHERS_MAX`]   | the new one is dropped     | [`TRIES_MAX`] times            |

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::channel::{Notice, Refusal};
use super::event::Event;
use crate::backoff::Backoff;

/// More than all users of a pool have in a check, and what a person would read.
const OTHERS_MAX: usize = 100;
const TRIES_MAX: u32 = 10;
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(300);

/// What to do now.
#[derive(Debug)]
pub(super) enum Next {
    Deliver(Waiting),
    /// Nothing before then, unless something comes; with nothing, nothing until it does.
    Wait(Option<Instant>),
    /// Nothing more will be done.
    End,
}

/// A notice, and how it has fared.
#[derive(Debug)]
pub(super) struct Waiting {
    pub notice: Arc<Notice>,
    pub tries: u32,
    not_before: Option<Instant>,
    is_last_try: bool,
}

/// What has become of a try.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// And how often it had failed since the last success.
    Delivered {
        failures: u32,
    },
    Retried {
        after: Duration,
    },
    GivenUp,
}

#[derive(Debug)]
pub(super) struct Queue {
    blocks: VecDeque<Waiting>,
    others: VecDeque<Waiting>,
    /// The whole place has failed, or has asked us to wait.
    pause_until: Option<Instant>,
    backoff: Backoff,
    is_closed: bool,
}

impl Waiting {
    fn is_block(&self) -> bool {
        matches!(self.notice.event, Event::Block(_))
    }

    fn is_due(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|at| at <= now)
    }
}

impl Queue {
    pub fn new() -> Self {
        Self {
            blocks: VecDeque::new(),
            others: VecDeque::new(),
            pause_until: None,
            backoff: Backoff::new(RETRY_FIRST, RETRY_MAX),
            is_closed: false,
        }
    }

    /// Whether it has found a place.
    pub fn push(&mut self, notice: Arc<Notice>) -> bool {
        let waiting = Waiting { notice, tries: 0, not_before: None, is_last_try: false };
        if waiting.is_block() {
            self.blocks.push_back(waiting);
            return true;
        }
        let has_place = self.others.len() < OTHERS_MAX;
        if has_place {
            self.others.push_back(waiting);
        }
        has_place
    }

    /// What waits is tried once more, if there is hope, and nothing is waited for.
    pub fn close(&mut self) {
        self.is_closed = true;
    }

    pub fn len(&self) -> usize {
        self.blocks.len() + self.others.len()
    }

    pub fn next(&mut self, now: Instant) -> Next {
        if self.is_closed {
            return self.next_of_last();
        }
        if let Some(until) = self.pause_until.filter(|until| *until > now) {
            return Next::Wait(Some(until));
        }
        // A block that nobody takes must not keep the rest from those who would take that.
        let is_fresh = |block: &Waiting| block.tries < TRIES_MAX && block.is_due(now);
        if let Some(block) = self.take_block(is_fresh) {
            return Next::Deliver(block);
        }
        if let Some(other) = self.others.pop_front() {
            return Next::Deliver(other);
        }
        if let Some(block) = self.take_block(|block| block.is_due(now)) {
            return Next::Deliver(block);
        }
        Next::Wait(self.blocks.iter().filter_map(|block| block.not_before).min())
    }

    fn take_block(&mut self, is_wanted: impl Fn(&Waiting) -> bool) -> Option<Waiting> {
        let at = self.blocks.iter().position(is_wanted)?;
        self.blocks.remove(at)
    }

    /// Each block has one more try, whatever was before; the rest only where nothing is wrong.
    fn next_of_last(&mut self) -> Next {
        if let Some(block) = self.take_block(|block| !block.is_last_try) {
            return Next::Deliver(Waiting { is_last_try: true, ..block });
        }
        match self.others.pop_front() {
            Some(other) if self.backoff.failures() == 0 => Next::Deliver(other),
            _ => Next::End,
        }
    }

    /// What the place has made of what it was given.
    pub fn concluded(
        &mut self,
        mut waiting: Waiting,
        result: &Result<(), Refusal>,
        now: Instant,
    ) -> Outcome {
        waiting.tries = waiting.tries.saturating_add(1);
        match result {
            Ok(()) => {
                let failures = self.backoff.failures();
                self.backoff.succeeded();
                self.pause_until = None;
                Outcome::Delivered { failures }
            }
            Err(Refusal::Later { wait, .. }) => {
                let after = self.backoff.failed().max(wait.unwrap_or_default());
                self.pause_until = Some(now + after);
                if waiting.is_block() {
                    self.blocks.push_front(waiting);
                } else if waiting.tries < TRIES_MAX {
                    self.others.push_front(waiting);
                } else {
                    return Outcome::GivenUp;
                }
                Outcome::Retried { after }
            }
            // Somebody has to mend something first.
            Err(Refusal::Never { .. }) if waiting.is_block() => {
                waiting.not_before = Some(now + RETRY_MAX);
                self.blocks.push_back(waiting);
                Outcome::Retried { after: RETRY_MAX }
            }
            Err(Refusal::Never { .. }) => Outcome::GivenUp,
        }
    }

    /// Found blocks that nobody has been told of.
    pub fn untold_blocks(&self) -> impl Iterator<Item = &Notice> {
        self.blocks.iter().map(|block| &*block.notice)
    }
}

#[cfg(test)]
mod tests {
    use super::super::words::tests::{block, notice};
    use super::*;

    /// A queue and its time.
    struct Bench {
        queue: Queue,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            Self { queue: Queue::new(), now: Instant::now() }
        }

        fn push(&mut self, id: &str) -> bool {
            let event = if id.starts_with('b') { block() } else { Event::Watching };
            let notice = Notice { id: id.into(), ..notice(event) };
            self.queue.push(Arc::new(notice))
        }

        /// Delivers what is next, if anything is now, with that result; what it was.
        fn turn(&mut self, result: Result<(), Refusal>) -> Option<(String, Outcome)> {
            let Next::Deliver(waiting) = self.queue.next(self.now) else { return None };
            let id = waiting.notice.id.clone();
            Some((id, self.queue.concluded(waiting, &result, self.now)))
        }

        #[track_caller]
        fn check(&mut self, result: Result<(), Refusal>, id: &str, outcome: Outcome) {
            assert_eq!(self.turn(result), Some((id.to_owned(), outcome)));
        }

        #[track_caller]
        fn waits(&mut self, seconds: u64) {
            let Next::Wait(Some(until)) = self.queue.next(self.now) else { panic!("{self:?}") };
            assert_eq!(until - self.now, Duration::from_secs(seconds));
            self.now = until;
        }
    }

    impl std::fmt::Debug for Bench {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.queue.fmt(f)
        }
    }

    fn later(seconds: Option<u64>) -> Result<(), Refusal> {
        let wait = seconds.map(Duration::from_secs);
        Err(Refusal::Later { reason: String::new(), wait })
    }

    fn never() -> Result<(), Refusal> {
        Err(Refusal::Never { reason: String::new() })
    }

    fn retried(seconds: u64) -> Outcome {
        Outcome::Retried { after: Duration::from_secs(seconds) }
    }

    const DELIVERED: Outcome = Outcome::Delivered { failures: 0 };

    #[test]
    fn blocks_go_first_and_the_rest_in_its_order() {
        let mut bench = Bench::new();
        for id in ["1", "2", "b1", "3", "b2"] {
            assert!(bench.push(id));
        }
        for id in ["b1", "b2", "1", "2", "3"] {
            bench.check(Ok(()), id, DELIVERED);
        }
        assert!(bench.turn(Ok(())).is_none());
        assert!(matches!(bench.queue.next(bench.now), Next::Wait(None)));
    }

    #[test]
    fn a_place_that_is_away_is_tried_again_ever_later_and_the_rest_is_given_up() {
        let mut bench = Bench::new();
        bench.push("1");
        bench.push("2");
        for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256] {
            bench.check(later(None), "1", retried(seconds));
            bench.waits(seconds);
        }
        bench.check(later(None), "1", Outcome::GivenUp);
        bench.waits(300);
        bench.check(Ok(()), "2", Outcome::Delivered { failures: 10 });
        bench.push("3");
        bench.check(later(None), "3", retried(1));
    }

    #[test]
    fn a_block_is_tried_for_ever() {
        let mut bench = Bench::new();
        bench.push("b");
        for _ in 0..1000 {
            assert!(bench.turn(later(None)).is_some());
            bench.now += RETRY_MAX;
        }
        bench.check(Ok(()), "b", Outcome::Delivered { failures: 1000 });
    }

    #[test]
    fn who_asks_for_time_gets_it() {
        let mut bench = Bench::new();
        bench.push("1");
        bench.check(later(Some(77)), "1", retried(77));
        bench.waits(77);
        bench.check(later(Some(0)), "1", retried(2));
    }

    #[test]
    fn what_is_refused_is_not_tried_again_but_a_block_is() {
        let mut bench = Bench::new();
        bench.push("1");
        bench.push("b");
        bench.push("2");
        bench.check(never(), "b", retried(300));
        bench.check(never(), "1", Outcome::GivenUp);
        bench.check(Ok(()), "2", DELIVERED);
        bench.waits(300);
        bench.check(Ok(()), "b", DELIVERED);
    }

    #[test]
    fn a_block_that_nobody_takes_does_not_keep_the_rest() {
        let mut bench = Bench::new();
        bench.push("b");
        for _ in 0..TRIES_MAX {
            assert!(bench.turn(later(None)).is_some());
            bench.now += RETRY_MAX;
        }
        bench.push("1");
        bench.check(Ok(()), "1", Outcome::Delivered { failures: TRIES_MAX });
        bench.check(later(None), "b", retried(1));
    }

    #[test]
    fn a_full_queue_takes_blocks_alone() {
        let mut bench = Bench::new();
        assert!((0..OTHERS_MAX).all(|_| bench.push("1")));
        assert!(!bench.push("1") && bench.push("b"));
        assert_eq!(bench.queue.len(), OTHERS_MAX + 1);
    }

    #[test]
    fn at_the_end_each_block_has_one_more_try_and_nothing_is_waited_for() {
        let mut bench = Bench::new();
        for id in ["1", "b1", "b2"] {
            bench.push(id);
        }
        bench.check(later(Some(500)), "b1", retried(500));
        bench.queue.close();
        bench.check(later(None), "b1", retried(2));
        bench.check(Ok(()), "b2", Outcome::Delivered { failures: 2 });
        bench.check(Ok(()), "1", DELIVERED);
        assert!(matches!(bench.queue.next(bench.now), Next::End));
        assert_eq!(bench.queue.untold_blocks().count(), 1);
        let mut bench = Bench::new();
        bench.push("1");
        bench.check(later(None), "1", retried(1));
        bench.queue.close();
        assert!(matches!(bench.queue.next(bench.now), Next::End), "there is no hope");
    }
}
