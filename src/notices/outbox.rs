//! One place's notices on a thread of their own: what hangs there keeps nobody else waiting.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use tracing::{debug, info, warn};

use super::channel::{Channel, Notice, Refusal};
use super::event::Event;
use super::queue::{Next, Outcome, Queue, Waiting};
use super::untold::Untold;
use super::{ChannelFigures, Listener, NoticeWords};
use crate::clock::unix_now;
use crate::entropy;
use crate::store::WeakStoreHandle;

/// How often the same failure is logged.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(600);
/// Kinds of failures that are told apart.
const COMPLAINTS_MAX: usize = 16;

/// The queue of a place, for those who have something to tell.
pub(super) struct Outbox {
    shared: Arc<Shared>,
    channel: Arc<dyn Channel>,
}

struct Shared {
    state: Mutex<State>,
    has_work: Condvar,
    words: Arc<ArcSwap<NoticeWords>>,
    untold: Untold,
    has_ended: AtomicBool,
}

struct State {
    queue: Queue,
    figures: ChannelFigures,
    complaints: Complaints,
    /// Since the last time that it was said to be well again.
    has_complained: bool,
}

impl Outbox {
    pub fn spawn(
        channel: impl Channel,
        words: Arc<ArcSwap<NoticeWords>>,
        store: WeakStoreHandle,
    ) -> io::Result<Self> {
        let channel: Arc<dyn Channel> = Arc::new(channel);
        let name = channel.name();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                queue: Queue::new(),
                figures: ChannelFigures::of(name),
                complaints: Complaints::default(),
                has_complained: false,
            }),
            has_work: Condvar::new(),
            words,
            untold: Untold { place: name, store },
            has_ended: AtomicBool::new(false),
        });
        let (its, caller) = (Arc::clone(&shared), Arc::clone(&channel));
        thread::Builder::new().name(name.into()).spawn(move || {
            its.run(&*caller);
            its.has_ended.store(true, Ordering::Release);
        })?;
        Ok(Self { shared, channel })
    }
}

impl Listener for Outbox {
    fn tell(&self, event: &Event) {
        for event in self.channel.parts(event) {
            self.shared.push(event);
        }
    }

    fn name(&self) -> &'static str {
        self.channel.name()
    }

    fn figures(&self) -> ChannelFigures {
        let state = self.shared.lock();
        ChannelFigures { waiting: state.queue.len(), ..state.figures.clone() }
    }

    fn close(&self) {
        self.shared.lock().queue.close();
        self.shared.has_work.notify_one();
    }

    fn has_ended(&self) -> bool {
        self.shared.has_ended.load(Ordering::Acquire)
    }
}

impl Shared {
    fn push(&self, event: Event) {
        let words = self.words.load_full();
        let (id, at) = match &event {
            // The next process would say the same of it.
            Event::Block(block) => (block.notice_id.clone(), block.found_at),
            _ => (entropy::hex_id(), unix_now()),
        };
        let notice = Notice { id, at, event, words };
        let mut state = self.lock();
        if state.queue.push(Arc::new(notice)) {
            self.has_work.notify_one();
            return;
        }
        state.figures.dropped += 1;
        if state.complaints.is_new("full", Instant::now()) {
            let kind = state.figures.name;
            warn!(component = "notices", kind, "too much waits to be told, notices are dropped");
        }
    }

    fn run(&self, channel: &dyn Channel) {
        while let Some(waiting) = self.next() {
            let began = Instant::now();
            let result = channel.deliver(&waiting.notice);
            self.concluded(waiting, &result, began);
        }
        let state = self.lock();
        for notice in state.queue.untold_blocks() {
            if let Event::Block(block) = &notice.event {
                let kind = channel.name();
                let (height, hash) = (block.height, &block.hash_hex);
                warn!(
                    component = "notices",
                    kind,
                    height,
                    hash,
                    "nobody has been told of a found block, the next start tells"
                );
            }
        }
    }

    /// What is to be delivered, waited for; none at the end.
    fn next(&self) -> Option<Waiting> {
        let mut state = self.lock();
        loop {
            let until = match state.queue.next(Instant::now()) {
                Next::Deliver(waiting) => return Some(waiting),
                Next::End => return None,
                Next::Wait(until) => until,
            };
            state = match until {
                None => self.has_work.wait(state).expect(NO_PANIC),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    self.has_work.wait_timeout(state, left).expect(NO_PANIC).0
                }
            };
        }
    }

    fn concluded(&self, waiting: Waiting, result: &Result<(), Refusal>, began: Instant) {
        let now = Instant::now();
        let elapsed_ms = now.duration_since(began).as_millis() as u64;
        let id = waiting.notice.id.clone();
        if let (Ok(()), Event::Block(block)) = (result, &waiting.notice.event) {
            self.untold.strike(&block.hash_hex);
        }
        let mut guard = self.lock();
        let state = &mut *guard;
        let kind = state.figures.name;
        let outcome = state.queue.concluded(waiting, result, now);
        if let Outcome::Delivered { failures } = outcome {
            debug!(component = "notices", kind, id, elapsed_ms, "notice delivered");
            if std::mem::take(&mut state.has_complained) {
                info!(component = "notices", kind, failures, "notices are delivered again");
            }
            state.figures.delivered += 1;
            state.figures.last_success = Some(SystemTime::now());
            state.figures.error = None;
            return;
        }
        let (Err(Refusal::Later { reason, .. }) | Err(Refusal::Never { reason })) = result else {
            return;
        };
        state.figures.failed += 1;
        state.figures.last_failure = Some(SystemTime::now());
        state.figures.error = Some(reason.clone());
        let is_new = state.complaints.is_new(reason, now);
        state.has_complained |= is_new;
        match outcome {
            Outcome::GivenUp => {
                state.figures.dropped += 1;
                if is_new {
                    warn!(component = "notices", kind, id, error = reason, "notice given up");
                }
            }
            Outcome::Retried { after } if is_new => {
                let retry_seconds = after.as_secs();
                warn!(
                    component = "notices",
                    kind,
                    id,
                    error = reason,
                    retry_seconds,
                    "notice not delivered"
                );
            }
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(NO_PANIC)
    }
}

const NO_PANIC: &str = "no code panics while it holds this";

/// What has been complained of, and when.
#[derive(Debug, Default)]
struct Complaints(HashMap<String, Instant>);

impl Complaints {
    /// Whether it has not been said lately; now it has.
    fn is_new(&mut self, text: &str, now: Instant) -> bool {
        self.0.retain(|_, said_at| now.duration_since(*said_at) < COMPLAINT_INTERVAL);
        if self.0.contains_key(text) || self.0.len() >= COMPLAINTS_MAX {
            return false;
        }
        self.0.insert(text.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::super::words::tests::{block, workers};
    use super::*;

    /// Takes what it is told to.
    struct Scripted {
        told: Sender<(String, Event)>,
        results: Mutex<Receiver<Result<(), Refusal>>>,
    }

    impl Channel for Scripted {
        fn name(&self) -> &'static str {
            "scripted"
        }

        fn deliver(&self, notice: &Notice) -> Result<(), Refusal> {
            self.told.send((notice.id.clone(), notice.event.clone())).unwrap();
            // A channel that hangs hears of nothing any more.
            self.results.lock().unwrap().recv().unwrap_or(Ok(()))
        }
    }

    type Told = Receiver<(String, Event)>;

    fn scripted() -> (Outbox, Told, Sender<Result<(), Refusal>>) {
        let ((told, heard), (answers, results)) = (channel(), channel());
        let channel = Scripted { told, results: Mutex::new(results) };
        let outbox = Outbox::spawn(channel, Arc::default(), WeakStoreHandle::default());
        (outbox.unwrap(), heard, answers)
    }

    const LIMIT: Duration = Duration::from_secs(10);

    #[track_caller]
    fn ends(outbox: &Outbox) {
        let deadline = Instant::now() + LIMIT;
        while !outbox.has_ended() {
            assert!(Instant::now() < deadline, "it goes on");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn refused() -> Result<(), Refusal> {
        Err(Refusal::Never { reason: "no".into() })
    }

    #[test]
    fn a_retry_is_the_same_notice_and_what_became_of_all_is_counted() {
        let (outbox, heard, answers) = scripted();
        let wait = Some(Duration::ZERO);
        answers.send(Err(Refusal::Later { reason: "away".into(), wait })).unwrap();
        answers.send(Ok(())).unwrap();
        outbox.tell(&block());
        let first = heard.recv_timeout(LIMIT).unwrap();
        assert_eq!(heard.recv_timeout(LIMIT).unwrap(), first);
        answers.send(refused()).unwrap();
        outbox.tell(&workers("a", ""));
        assert_ne!(heard.recv_timeout(LIMIT).unwrap().0, first.0);
        outbox.close();
        ends(&outbox);
        let figures = outbox.figures();
        assert_eq!((figures.delivered, figures.failed, figures.dropped), (1, 2, 1));
        assert_eq!((figures.waiting, figures.error.as_deref()), (0, Some("no")));
        assert!(figures.last_success.is_some() && figures.last_failure.is_some());
    }

    #[test]
    fn one_that_hangs_keeps_nobody_waiting_and_ends_when_it_does() {
        let (outbox, heard, answers) = scripted();
        outbox.tell(&block());
        heard.recv_timeout(LIMIT).unwrap();
        let began = Instant::now();
        (0..1000).for_each(|_| outbox.tell(&workers("a", "")));
        outbox.close();
        assert!(!outbox.has_ended() && began.elapsed() < LIMIT);
        assert!(outbox.figures().dropped > 800);
        drop(answers);
        ends(&outbox);
    }

    #[test]
    fn the_same_is_said_once_in_ten_minutes() {
        let (mut complaints, now) = (Complaints::default(), Instant::now());
        let minutes = |count: u64| now + Duration::from_secs(60 * count);
        let mut said = |text: &str, at| complaints.is_new(text, at);
        assert!(said("a", now) && said("b", now));
        assert!(!said("a", minutes(1)) && !said("b", minutes(9)));
        assert!(said("a", minutes(10)) && !said("a", minutes(19)));
        let said = (0..100).filter(|text| said(&text.to_string(), minutes(30))).count();
        assert_eq!(said, COMPLAINTS_MAX);
    }
}
