//! What happens to workers and blocks, told to people where they are: Discord, ntfy, Telegram, a
//! program of their own (`state-and-services.md` §13).
//!
//! ```text
//! roster, saved workers ─▶ watcher ─ Event ─▶ Listener: outbox ─▶ Channel (webhook, ntfy, telegram)
//! blocks ─────────────────▶   ▲                         Discord, which has a queue of its own
//! probe (cut off?) ───────────┘
//! ```
//!
//! Each has a thread of its own. None is started, and nothing is contacted, unless a place is configured.

mod channel;
pub mod discord;
mod event;
mod ntfy;
mod outbox;
mod probe;
mod queue;
mod states;
mod telegram;
#[cfg(test)]
mod tests;
mod untold;
mod watch;
mod watcher;
mod webhook;
mod words;

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use crossbeam_channel::{Sender, bounded, unbounded};
use tracing::{info, warn};

pub use self::event::{Event, FoundBlock, WorkerName};
pub use self::probe::ProbeTarget;
pub use self::words::label;
use crate::clock::unix_now;
use crate::join;
use crate::ledger::RosterReader;
use crate::outgoing::Outgoing;
use crate::privacy::Secret;
use crate::saved_workers::SavedWorkers;
use crate::store::{self, BlockLife, BlockNotice, StoreHandle, UntoldBlock, WatchedRow};
use ntfy::Ntfy;
use outbox::Outbox;
use states::States;
use telegram::Telegram;
use watcher::Watcher;
use webhook::Webhook;

/// Between two looks at whether those who listen have ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Where notices go, if anywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoticesSettings {
    pub discord: Option<DiscordSettings>,
    pub webhook: Option<WebhookSettings>,
    pub ntfy: Option<NtfySettings>,
    pub telegram: Option<TelegramSettings>,
    /// Who is asked for a connection, to see whether the pool is cut off.
    pub probe: Vec<ProbeTarget>,
    /// What may change while the pool runs.
    pub words: NoticeWords,
}

impl NoticesSettings {
    /// Whether any place is told of workers.
    pub fn is_for_somebody(&self) -> bool {
        let Self { discord, webhook, ntfy, telegram, .. } = self;
        discord.is_some() || webhook.is_some() || ntfy.is_some() || telegram.is_some()
    }
}

/// What notices say, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoticeWords {
    /// How long a worker must be away, or back.
    pub threshold: Duration,
    /// What the pool is called, in brackets before each notice (§13.8).
    pub tag: String,
    /// The page of saved workers; empty when the pool has no public name.
    pub link: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscordSettings {
    pub api_url: String,
    pub token: Secret,
    pub server_id: String,
    pub channel_id: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    pub url: String,
    /// HMAC-SHA256 of each body is made with it; none signs nothing.
    pub secret: Option<Secret>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NtfySettings {
    pub url: String,
    pub token: Option<Secret>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelegramSettings {
    pub api_url: String,
    pub token: Secret,
    pub chat_id: String,
}

/// How long things take; [`Timing::default`] is the specification's (§13.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// At the start, and when the pool is not cut off any more, before anybody is missed.
    pub warm_up: Duration,
    /// From one look at the workers to the next, and from one writing down of them to the next.
    pub check: Duration,
    pub probe: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            warm_up: Duration::from_secs(300),
            check: Duration::from_secs(30),
            probe: Duration::from_secs(15),
        }
    }
}

/// Somebody who is told of everything. Nobody waits in here.
pub trait Listener: Send + Sync {
    fn tell(&self, event: &Event);

    /// What the place is called in logs and figures.
    fn name(&self) -> &'static str;

    fn figures(&self) -> ChannelFigures;

    /// The pool stops: what waits is told now, found blocks by the next process, or not at all.
    fn close(&self);

    /// Whether it has, after [`Self::close`].
    fn has_ended(&self) -> bool;
}

/// Users who hear of their own workers.
pub trait Audience: Send {
    /// Those who are linked and want notices, also while nobody can be told: who is not among them
    /// is not watched any more, and what is known of their workers is forgotten. A list that cannot be
    /// read now is the last one that could.
    fn users(&self) -> Vec<String>;

    /// Nobody among them can be told, and has not been for a while (FIX-38 a).
    fn is_away(&self) -> bool {
        false
    }

    /// How often too many of them would have been told at once (§13.8): it is the pool that has
    /// trouble, and workers are given time as at a start.
    fn bursts(&self) -> u64 {
        0
    }
}

impl<F: Fn() -> Vec<String> + Send> Audience for F {
    fn users(&self) -> Vec<String> {
        self()
    }
}

/// How it goes in one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelFigures {
    pub name: &'static str,
    pub delivered: u64,
    /// Tries that failed.
    pub failed: u64,
    /// Notices that nobody was told of: given up, refused, or too many.
    pub dropped: u64,
    pub waiting: usize,
    pub last_success: Option<SystemTime>,
    pub last_failure: Option<SystemTime>,
    /// Of that failure; gone after the next success.
    pub error: Option<String>,
}

impl ChannelFigures {
    pub fn of(name: &'static str) -> Self {
        Self { name, ..Self::default() }
    }
}

/// How the watching goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchFigures {
    /// When workers are looked at, or have been from.
    pub watches_from: Option<SystemTime>,
    /// Workers, each once for each of its users.
    pub watched: usize,
    pub is_cut_off: bool,
}

/// All of that, for pages and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoticesFigures {
    /// None while nobody is told anything.
    pub watch: Option<WatchFigures>,
    pub channels: Vec<ChannelFigures>,
}

/// What the service is given.
pub struct NoticesPlan<'a> {
    pub settings: NoticesSettings,
    /// Those of the settings, until others come.
    pub words: Arc<ArcSwap<NoticeWords>>,
    pub timing: Timing,
    pub outgoing: &'a Outgoing,
    pub saved: SavedWorkers,
    pub roster: RosterReader,
    pub store: StoreHandle,
    /// How workers were watched by the last run.
    pub watched: Vec<WatchedRow>,
    /// Blocks of earlier runs: those that the node has answered for are no news.
    pub blocks: &'a [BlockLife],
    /// And those of which it could not tell everybody.
    pub untold: Vec<UntoldBlock>,
    /// Who listens besides the places of the settings.
    pub listeners: Vec<Arc<dyn Listener>>,
    pub audience: Box<dyn Audience>,
}

/// The service, until it is stopped.
pub struct Notices {
    blocks: Option<Sender<(store::FoundBlock, BlockNotice)>>,
    desk: NoticesDesk,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    /// Open until the last places have been told.
    store: Option<StoreHandle>,
}

/// What others may do with it. Cheap to clone.
#[derive(Clone, Default)]
pub struct NoticesDesk {
    words: Arc<ArcSwap<NoticeWords>>,
    watch: Option<Arc<Mutex<WatchFigures>>>,
    listeners: Vec<Arc<dyn Listener>>,
}

impl NoticesDesk {
    /// From now on these.
    pub fn set_words(&self, words: &NoticeWords) {
        self.words.store(Arc::new(words.clone()));
    }

    pub fn figures(&self) -> NoticesFigures {
        let look = |watch: &Arc<Mutex<WatchFigures>>| {
            watch.lock().expect("no code panics while it holds this").clone()
        };
        NoticesFigures {
            watch: self.watch.as_ref().map(look),
            channels: self.listeners.iter().map(|listener| listener.figures()).collect(),
        }
    }
}

impl Notices {
    /// Starts what is configured; nothing is as good as no service.
    pub fn spawn(plan: NoticesPlan<'_>) -> io::Result<Self> {
        let NoticesPlan { settings, words, timing, outgoing, .. } = plan;
        let own = own_places(&settings, outgoing, &words, &plan.store)?;
        let is_for_all = !own.is_empty();
        let listeners: Vec<Arc<dyn Listener>> = own.into_iter().chain(plan.listeners).collect();
        let places: Vec<&'static str> = listeners.iter().map(|listener| listener.name()).collect();
        let (untold, void): (Vec<UntoldBlock>, Vec<UntoldBlock>) =
            plan.untold.into_iter().partition(|row| places.contains(&&*row.place));
        for UntoldBlock { place, record, .. } in void {
            let (height, hash) = (record.height, &record.hash);
            warn!(
                component = "notices",
                place, height, hash, "nobody is told of a found block: the place is not configured"
            );
            plan.store.told(&place, hash);
        }
        if listeners.is_empty() {
            let desk = NoticesDesk { words, ..NoticesDesk::default() };
            return Ok(Self { blocks: None, desk, stop: None, thread: None, store: None });
        }
        let (stop, stopped) = bounded(0);
        let ((block_sender, blocks), (finder, found)) = (unbounded(), unbounded());
        if !settings.probe.is_empty() {
            let (outgoing, stopped) = (outgoing.clone(), stopped.clone());
            let times = (timing.warm_up, timing.probe);
            thread::Builder::new().name("probe".into()).spawn(move || {
                probe::run(&settings.probe, &outgoing, times, &finder, &stopped);
            })?;
        }
        info!(
            component = "notices",
            places = places.join(","),
            untold_blocks = untold.len(),
            warm_up_seconds = timing.warm_up.as_secs(),
            "found blocks are told of from now on, workers after the warm-up"
        );
        let settled = plan.blocks.iter().filter(|life| life.state.is_settled());
        let known = settled.map(|life| &life.record).chain(untold.iter().map(|row| &row.record));
        let told_blocks: HashSet<String> = known.map(|record| record.hash.clone()).collect();
        let watch = Arc::<Mutex<WatchFigures>>::default();
        let watcher = Watcher {
            words: Arc::clone(&words),
            timing,
            saved: plan.saved,
            roster: plan.roster,
            store: plan.store.clone(),
            audience: plan.audience,
            is_for_all,
            listeners: listeners.clone(),
            states: States::restored(plan.watched, unix_now()),
            told_blocks,
            figures: Arc::clone(&watch),
        };
        let thread = thread::Builder::new()
            .name("watcher".into())
            .spawn(move || watcher.run(untold, blocks, found, &stopped))?;
        Ok(Self {
            blocks: Some(block_sender),
            desk: NoticesDesk { words, watch: Some(watch), listeners },
            stop: Some(stop),
            thread: Some(thread),
            store: Some(plan.store),
        })
    }

    /// Where blocks are handed in that the node has taken; none when nobody would hear of them.
    pub fn blocks(&self) -> Option<Sender<(store::FoundBlock, BlockNotice)>> {
        self.blocks.clone()
    }

    /// All that are told of blocks.
    pub fn places(&self) -> Vec<&'static str> {
        self.desk.listeners.iter().map(|listener| listener.name()).collect()
    }

    pub fn desk(&self) -> NoticesDesk {
        self.desk.clone()
    }

    /// Writes down how workers are watched, and lets what waits be told, up to a bound.
    pub fn stop(self, patience: Duration) {
        let deadline = Instant::now() + patience;
        drop(self.stop);
        if let Some(thread) = self.thread
            && !join::ends_by(&thread, deadline)
        {
            warn!(component = "notices", "the watcher has not ended in time");
        }
        for listener in &self.desk.listeners {
            listener.close();
        }
        for listener in &self.desk.listeners {
            while !listener.has_ended() && Instant::now() < deadline {
                thread::sleep(LOOK_INTERVAL);
            }
            if !listener.has_ended() {
                let (kind, waiting) = (listener.name(), listener.figures().waiting);
                warn!(component = "notices", kind, waiting, "not everything could be told in time");
            }
        }
        drop(self.store);
    }
}

/// The operator's own, each with its thread.
fn own_places(
    settings: &NoticesSettings,
    outgoing: &Outgoing,
    words: &Arc<ArcSwap<NoticeWords>>,
    store: &StoreHandle,
) -> io::Result<Vec<Arc<dyn Listener>>> {
    let outgoing = || outgoing.clone();
    let words = || Arc::clone(words);
    let store = || store.downgrade();
    let mut places: Vec<Arc<dyn Listener>> = Vec::new();
    if let Some(settings) = settings.webhook.clone() {
        let webhook = Webhook { settings, outgoing: outgoing() };
        places.push(Arc::new(Outbox::spawn(webhook, words(), store())?));
    }
    if let Some(settings) = settings.ntfy.clone() {
        let ntfy = Ntfy { settings, outgoing: outgoing() };
        places.push(Arc::new(Outbox::spawn(ntfy, words(), store())?));
    }
    if let Some(settings) = settings.telegram.clone() {
        let telegram = Telegram { settings, outgoing: outgoing() };
        places.push(Arc::new(Outbox::spawn(telegram, words(), store())?));
    }
    Ok(places)
}
