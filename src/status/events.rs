//! `/api/events`: what happens, pushed as server-sent events (WHATWG HTML, "Server-sent events").
//!
//! | event     | when                                   | data                                     |
//! |-----------|----------------------------------------|------------------------------------------|
//! | `figures` | every two seconds                      | the headline figures of the pool         |
//! | `tip`     | the node's chain has a new block       | its height, hash, time and difficulty    |
//! | `block`   | a found block takes a step of its life | the block, as `/api/server` lists it     |
//!
//! Tips and blocks have an id. A client that comes back names the last one it has seen and gets what
//! it has missed, as long as that is remembered. Each event is rendered once for all who listen.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_lite::future;
use glommio::timer::sleep;
use serde::Serialize;

use super::api::Block;
use super::format;
use super::http::{Chunks, NextChunks};
use crate::snapshot::{BlockFigures, Snapshot, TipFigures};

/// Tips and blocks that are remembered for those who come back: hours of them.
const REMEMBERED_MAX: usize = 64;
/// How often the headline figures go out: 200 bytes a second for each who listens.
pub const FIGURES_INTERVAL: Duration = Duration::from_secs(2);
/// After a silence of this length a comment is sent, so that proxies keep the connection.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// A line without meaning.
const COMMENT: &[u8] = b":\n\n";
/// Milliseconds after which a browser comes back by itself.
const RETRY: &str = "retry: 3000\n\n";

/// The headline figures.
#[derive(Debug, PartialEq, Serialize)]
pub struct Figures {
    updated_at: String,
    pool_hashrate: f64,
    shares_per_minute: f64,
    accepted: u64,
    active_miners: u64,
    workers: u64,
    best_difficulty: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    block_height: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_height: Option<u64>,
    blocks_accepted: u64,
    blocks_pending: u64,
    healthy: bool,
}

impl Figures {
    pub fn new(snapshot: &Snapshot) -> Self {
        let finite = |value: f64| if value.is_finite() { value } else { 0.0 };
        Self {
            updated_at: format::rfc3339(snapshot.built_at),
            pool_hashrate: finite(snapshot.shares.hashrate),
            shares_per_minute: finite(snapshot.shares.per_minute),
            accepted: snapshot.shares.accepted,
            active_miners: snapshot.connections.authorized,
            workers: snapshot.workers_connected,
            best_difficulty: finite(snapshot.shares.best_difficulty),
            block_height: snapshot.feed.tip.as_ref().map(|tip| tip.height),
            job_height: snapshot.job.as_ref().map(|job| job.height),
            blocks_accepted: snapshot.blocks_accepted,
            blocks_pending: snapshot.blocks_pending,
            healthy: matches!(
                super::health::Health::of(snapshot),
                super::health::Health::Good | super::health::Health::Starting
            ),
        }
    }
}

#[derive(Debug, Serialize)]
struct Tip {
    height: u64,
    hash: String,
    time: String,
    difficulty: f64,
}

impl Tip {
    fn new(tip: &TipFigures) -> Self {
        Self {
            height: tip.height,
            hash: tip.hash_hex.clone(),
            time: format::rfc3339(tip.time),
            difficulty: tip.difficulty,
        }
    }
}

/// An event that is remembered.
struct Remembered {
    number: u64,
    bytes: Rc<[u8]>,
}

/// Where a listener is: what it has been sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    event: u64,
    figures: u64,
}

/// What happens, and who waits for it.
pub struct Events {
    /// Tells events of this process from those of another.
    process: String,
    next_number: Cell<u64>,
    remembered: RefCell<VecDeque<Remembered>>,
    /// The newest figures, and how many there have been.
    figures: RefCell<Rc<[u8]>>,
    figures_count: Cell<u64>,
    seen: RefCell<Seen>,
    waiting: RefCell<Vec<Waker>>,
}

/// What the last snapshot had, to tell what is new in the next.
#[derive(Default)]
struct Seen {
    is_first_over: bool,
    tip: Option<String>,
    blocks: Vec<BlockFigures>,
}

impl Events {
    /// `process` must be another for each start: its time, for example.
    pub fn new(process: String) -> Self {
        Self {
            process,
            next_number: Cell::new(1),
            remembered: RefCell::default(),
            figures: RefCell::new(Rc::from(&b""[..])),
            figures_count: Cell::new(0),
            seen: RefCell::default(),
            waiting: RefCell::default(),
        }
    }

    /// Looks what is new in a snapshot; `with_figures` when it is time for those.
    pub fn look(&self, snapshot: &Snapshot, with_figures: bool) {
        let mut seen = self.seen.borrow_mut();
        let is_first = !std::mem::replace(&mut seen.is_first_over, true);
        let tip = snapshot.feed.tip.as_ref();
        if let Some(tip) = tip.filter(|tip| seen.tip.as_ref() != Some(&tip.hash_hex)) {
            seen.tip = Some(tip.hash_hex.clone());
            self.remember("tip", &Tip::new(tip));
        }
        if !is_first {
            // Oldest first, as they happened.
            for block in snapshot.blocks.iter().rev() {
                if !seen.blocks.iter().any(|known| is_same_step(known, block)) {
                    self.remember("block", &Block::new(block));
                }
            }
        }
        seen.blocks.clone_from(&snapshot.blocks);
        if with_figures {
            *self.figures.borrow_mut() = rendered("figures", None, &Figures::new(snapshot));
            self.figures_count.set(self.figures_count.get() + 1);
            self.wake();
        }
    }

    fn remember(&self, name: &str, data: &impl Serialize) {
        let number = self.next_number.get();
        self.next_number.set(number + 1);
        let id = format!("{}-{number}", self.process);
        let mut remembered = self.remembered.borrow_mut();
        remembered.push_back(Remembered { number, bytes: rendered(name, Some(&id), data) });
        if remembered.len() > REMEMBERED_MAX {
            remembered.pop_front();
        }
        self.wake();
    }

    /// Where a new listener begins. One that names the last event it has seen goes on behind it; others
    /// begin with the newest tip.
    pub fn begin(&self, last_event_id: Option<&str>) -> Position {
        let newest = self.next_number.get() - 1;
        let known = last_event_id
            .and_then(|id| id.strip_prefix(&*self.process)?.strip_prefix('-')?.parse::<u64>().ok())
            .filter(|number| *number <= newest);
        let tip = || {
            let remembered = self.remembered.borrow();
            let tip = remembered.iter().rev().find(|event| event.bytes.starts_with(b"event: tip"));
            tip.map_or(newest, |event| event.number - 1)
        };
        Position { event: known.unwrap_or_else(tip), figures: 0 }
    }

    /// What has happened behind a position, which moves on; nothing when there is nothing.
    pub fn take(&self, position: &mut Position) -> Vec<Rc<[u8]>> {
        let mut events: Vec<Rc<[u8]>> = Vec::new();
        for event in self.remembered.borrow().iter().filter(|e| e.number > position.event) {
            events.push(Rc::clone(&event.bytes));
        }
        position.event = self.next_number.get() - 1;
        if self.figures_count.get() != position.figures {
            position.figures = self.figures_count.get();
            events.push(Rc::clone(&self.figures.borrow()));
        }
        events
    }

    /// Waits until there is something behind a position.
    pub async fn happened(&self, position: Position) {
        poll_fn(|context| {
            let has_news = self.next_number.get() - 1 != position.event
                || self.figures_count.get() != position.figures;
            if has_news {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn wake(&self) {
        for waker in self.waiting.borrow_mut().drain(..) {
            waker.wake();
        }
    }
}

/// One who listens.
pub struct Listener {
    events: Rc<Events>,
    position: Position,
    is_greeted: bool,
}

impl Listener {
    pub fn new(events: Rc<Events>, last_event_id: Option<&str>) -> Self {
        let position = events.begin(last_event_id);
        Self { events, position, is_greeted: false }
    }
}

impl Chunks for Listener {
    fn next(&mut self) -> NextChunks<'_> {
        Box::pin(async {
            if !std::mem::replace(&mut self.is_greeted, true) {
                let mut chunks = vec![Rc::from(RETRY.as_bytes())];
                chunks.extend(self.events.take(&mut self.position));
                return chunks;
            }
            let happened = async {
                self.events.happened(self.position).await;
                true
            };
            let silence = async {
                sleep(KEEPALIVE).await;
                false
            };
            if future::or(happened, silence).await {
                self.events.take(&mut self.position)
            } else {
                vec![Rc::from(COMMENT)]
            }
        })
    }
}

/// Confirmations alone are no step.
fn is_same_step(one: &BlockFigures, other: &BlockFigures) -> bool {
    one.hash_hex == other.hash_hex && one.state == other.state
}

fn rendered(name: &str, id: Option<&str>, data: &impl Serialize) -> Rc<[u8]> {
    let data = serde_json::to_string(data).expect("its fields are plain");
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    // JSON has no line ends of its own.
    format!("event: {name}\n{id}data: {data}\n\n").into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::sample;
    use crate::store::BlockState;

    fn text(events: &Events, position: &mut Position) -> String {
        let bytes: Vec<u8> = events.take(position).iter().flat_map(|e| e.iter().copied()).collect();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_listener_begins_with_the_tip_and_the_figures() {
        let events = Events::new("p".to_owned());
        events.look(&sample::busy(), true);
        let mut position = events.begin(None);
        let begun = text(&events, &mut position);
        assert!(begun.starts_with("event: tip\nid: p-1\ndata: {\"height\":934217,"), "{begun}");
        assert!(begun.contains("\n\nevent: figures\ndata: {\"updated_at\":"), "{begun}");
        assert_eq!(text(&events, &mut position), "", "nothing twice");
        for secret in ["bc1q", "10.0.0.7", "hunter2"] {
            assert!(!begun.contains(secret), "{secret}");
        }
    }

    #[test]
    fn a_block_is_told_of_at_each_step_and_not_at_each_confirmation() {
        let events = Events::new("p".to_owned());
        let mut snapshot = sample::busy();
        events.look(&snapshot, false);
        let mut position = events.begin(None);
        text(&events, &mut position);
        snapshot.blocks[0].confirmations = 77;
        events.look(&snapshot, false);
        assert_eq!(text(&events, &mut position), "");
        snapshot.blocks[0].state = BlockState::Orphaned;
        events.look(&snapshot, false);
        let told = text(&events, &mut position);
        assert!(
            told.starts_with("event: block\nid: p-2\n") && told.contains("\"orphaned\""),
            "{told}"
        );
    }

    #[test]
    fn who_comes_back_gets_what_was_missed() {
        let events = Events::new("p".to_owned());
        let mut snapshot = sample::busy();
        let mut tip = |height| {
            let tip = snapshot.feed.tip.as_mut().unwrap();
            (tip.height, tip.hash_hex) = (height, format!("{height:064}"));
            events.look(&snapshot, false);
        };
        tip(1);
        tip(2);
        tip(3);
        let mut position = events.begin(Some("p-1"));
        let missed = text(&events, &mut position);
        assert_eq!(missed.matches("event: tip").count(), 2, "{missed}");
        // Another process, the future, or nonsense: the newest tip.
        for id in ["q-1", "p-99", "p-", "", "p-x"] {
            let begun = text(&events, &mut events.begin(Some(id)));
            assert_eq!(begun.matches("event: tip").count(), 1, "{id}");
            assert!(begun.contains("\"height\":3"), "{id}");
        }
        for height in 4..100 {
            tip(height);
        }
        let missed = text(&events, &mut events.begin(Some("p-1")));
        assert_eq!(missed.matches("event: tip").count(), REMEMBERED_MAX);
    }
}
