//! Discord: people link their accounts there by a command, and are told in a channel of workers and
//! blocks (`state-and-services.md` §13). Nobody here waits for it: three threads do.
//!
//! ```text
//! gateway ──commands──▶ commands ──▶ links ──▶ store
//!    ▲                     │ answers
//!    ▼                     ▼
//! Discord ◀──────────── rest ◀── sender ◀── queue ◀── tell
//! ```

mod commands;
mod gateway;
mod limits;
mod links;
mod listener;
mod message;
mod queue;
mod rest;
mod retry;
mod sender;
mod session;
mod state;
#[cfg(test)]
mod tests;
mod words;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use crossbeam_channel::{Sender as Door, bounded};
use tracing::warn;

use self::commands::Commands;
use self::gateway::{Closer, Gateway};
pub use self::links::Links;
use self::queue::Queue;
use self::rest::Rest;
use self::sender::Sender;
use self::state::GatewayState;
use super::untold::Untold;
use super::{DiscordSettings, Event, NoticeWords};
use crate::codes::Codes;
use crate::outgoing::Outgoing;
use crate::store::WeakStoreHandle;

/// As one of those who listen.
const NAME: &str = "discord";
/// How long the gateway may take to take its leave; then its connection is cut.
const GOODBYE_MAX: Duration = Duration::from_millis(1500);
/// Commands that wait for their answer. Discord forgets them after three seconds.
const JOBS_MAX: usize = 64;
/// Users whose worker has found a block and who are called by name: as many as Discord lets a message
/// call. All others are called by `@everyone`.
const SAVERS_MAX: usize = 100;

/// What the service is given.
pub struct DiscordPlan {
    pub settings: DiscordSettings,
    pub outgoing: Outgoing,
    pub links: Links,
    pub codes: Arc<Mutex<Codes>>,
    /// What may change while the pool runs.
    pub words: Arc<ArcSwap<NoticeWords>>,
    /// Where blocks stand that nobody has been told of.
    pub store: WeakStoreHandle,
}

/// How the service does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiscordFigures {
    /// None while it is not connected.
    pub connected_at: Option<SystemTime>,
    /// What was wrong last with the gateway, or with sending; gone when it works.
    pub gateway_error: Option<String>,
    pub send_error: Option<String>,
    /// Messages, since the start, and tries that failed.
    pub sent: u64,
    pub failed: u64,
    pub sent_at: Option<SystemTime>,
    pub failed_at: Option<SystemTime>,
    /// Messages that wait now.
    pub waiting: usize,
    /// Lines that had no room or were given up.
    pub dropped: u64,
    /// How often too many people would have been told at once.
    pub bursts: u64,
    pub linked: usize,
    pub enabled: usize,
}

/// The service. Cheap to clone; it ends when [`Self::close`] is called.
#[derive(Clone)]
pub struct Discord {
    shared: Arc<Shared>,
    links: Links,
    running: Arc<Mutex<Option<Running>>>,
    closing: Arc<Mutex<Option<Closing>>>,
}

/// What its threads and its callers have in common.
pub struct Shared {
    queue: Mutex<Queue>,
    words: Arc<ArcSwap<NoticeWords>>,
    gateway: Arc<GatewayState>,
    sending: Mutex<Sending>,
}

/// How sending goes.
#[derive(Debug, Default)]
struct Sending {
    /// Of the last try; gone when it works.
    error: Option<String>,
    /// Tries that failed.
    failed: u64,
    sent_at: Option<SystemTime>,
    failed_at: Option<SystemTime>,
}

/// Threads that have been told to end.
struct Closing {
    since: Instant,
    closer: Arc<Mutex<Option<Closer>>>,
    threads: [JoinHandle<()>; 3],
}

/// What ends the threads when it is dropped, and the threads.
struct Running {
    wake: Door<()>,
    stop: Door<()>,
    closer: Arc<Mutex<Option<Closer>>>,
    gateway: JoinHandle<()>,
    commands: JoinHandle<()>,
    sender: JoinHandle<()>,
}

impl Discord {
    /// Starts to connect, and comes back at once.
    pub fn spawn(plan: DiscordPlan) -> io::Result<Self> {
        let DiscordPlan { settings, outgoing, links, codes, words, store } = plan;
        let rest = Rest::new(&settings, outgoing.clone());
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            words: Arc::clone(&words),
            gateway: Arc::new(GatewayState::new(Instant::now())),
            sending: Mutex::default(),
        });
        let (wake, woken) = bounded(1);
        let (stop, stopped) = bounded(0);
        let (jobs, to_do) = bounded(JOBS_MAX);
        let closer = Arc::default();
        let gateway = Gateway {
            rest: rest.clone(),
            outgoing,
            token: settings.token,
            jobs,
            state: Arc::clone(&shared.gateway),
            closer: Arc::clone(&closer),
            stopped: stopped.clone(),
        };
        let commands = Commands {
            rest: rest.clone(),
            codes,
            links: links.downgrade(),
            words,
            server_id: settings.server_id,
            channel_id: settings.channel_id,
            stopped,
        };
        let sender = Sender::new(Arc::clone(&shared), rest, Untold { place: NAME, store });
        let start = |name: &str, run: Box<dyn FnOnce() + Send>| {
            thread::Builder::new().name(name.to_owned()).spawn(run)
        };
        let running = Running {
            wake,
            stop,
            closer,
            gateway: start("discord", Box::new(move || gateway.run()))?,
            commands: start("discord-command", Box::new(move || commands.run(&to_do)))?,
            sender: start("discord-send", Box::new(move || sender.run(&woken)))?,
        };
        let running = Arc::new(Mutex::new(Some(running)));
        Ok(Self { shared, links, running, closing: Arc::default() })
    }

    /// Has an event told to whom it concerns. Never waits for Discord.
    pub fn tell(&self, event: &Event) {
        self.add(event);
        if let Some(running) = &*self.running() {
            // Full: it is awake already.
            let _ = running.wake.try_send(());
        }
    }

    fn add(&self, event: &Event) {
        let words = self.shared.words.load();
        let tagged = |text: &str| words::tagged(&words.tag, text);
        let mut queue = self.shared.queue();
        match event {
            Event::Watching => queue.notice(tagged(&words::watching(words.threshold))),
            Event::Network { is_up } => {
                // What waits is about the time before (§13.5).
                queue.reset();
                let text = if *is_up { words::NETWORK_UP } else { words::NETWORK_DOWN };
                queue.notice(tagged(text));
            }
            Event::Workers { user_id, away, back } => {
                let Some(who) = self.links.wanted_by(user_id) else { return };
                let text = words::workers(away, back, words.threshold);
                if text.is_empty() {
                    return;
                }
                let (_, enabled) = self.links.count();
                if let Err(burst) = queue.user(who, text, enabled, Instant::now()) {
                    let (affected, limit) = (burst.affected, burst.limit);
                    warn!(
                        component = "discord",
                        affected, limit, "too many people at once to tell"
                    );
                    queue.notice(tagged(&words::burst(affected, limit)));
                }
            }
            Event::Block(found) => {
                let mut savers: Vec<String> = Vec::new();
                for who in found.savers.iter().filter_map(|user| self.links.wanted_by(user)) {
                    if savers.len() < SAVERS_MAX && !savers.contains(&who) {
                        savers.push(who);
                    }
                }
                let own = words::own_block(found.height);
                queue.block(&found.hash_hex, tagged(&words::block(found)), &own, &savers);
            }
        }
    }

    /// Since when the gateway has not been there; none while it is.
    pub fn disconnected_since(&self) -> Option<Instant> {
        self.shared.gateway.disconnected_at()
    }

    /// How often too many people would have been told at once: whoever watches workers begins anew
    /// when it has gone up (§13.5).
    pub fn bursts(&self) -> u64 {
        self.shared.queue().figures().bursts
    }

    pub fn figures(&self) -> DiscordFigures {
        let queue = self.shared.queue().figures();
        let (linked, enabled) = self.links.count();
        let sending = self.shared.sending();
        DiscordFigures {
            connected_at: self.shared.gateway.connected_at(),
            gateway_error: self.shared.gateway.error(),
            send_error: sending.error.clone(),
            sent: queue.sent,
            failed: sending.failed,
            sent_at: sending.sent_at,
            failed_at: sending.failed_at,
            waiting: queue.waiting,
            dropped: queue.dropped,
            bursts: queue.bursts,
            linked,
            enabled,
        }
    }

    /// Says good-bye, and what there is to say of blocks. What takes too long is left to the end of the
    /// process.
    pub fn close(&self) {
        let Some(running) = self.running().take() else { return };
        let Running { wake, stop, closer, gateway, commands, sender } = running;
        drop((wake, stop));
        let closing =
            Closing { since: Instant::now(), closer, threads: [gateway, commands, sender] };
        *self.closing() = Some(closing);
    }

    /// Whether nothing of it is left, after [`Self::close`].
    pub fn has_ended(&self) -> bool {
        let closing = self.closing();
        let Some(Closing { since, closer, threads }) = &*closing else { return false };
        let [gateway, ..] = threads;
        if !gateway.is_finished()
            && since.elapsed() > GOODBYE_MAX
            && let Some(close) = closer.lock().expect("no code panics while it holds this").take()
        {
            close();
        }
        threads.iter().all(JoinHandle::is_finished)
    }

    fn closing(&self) -> MutexGuard<'_, Option<Closing>> {
        self.closing.lock().expect("no code panics while it holds this")
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().expect("no code panics while it holds this")
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no code panics while it holds this")
    }

    fn sending(&self) -> MutexGuard<'_, Sending> {
        self.sending.lock().expect("no code panics while it holds this")
    }

    /// Whether it was well until now.
    fn not_sent(&self, error: &str) -> bool {
        let mut sending = self.sending();
        sending.failed += 1;
        sending.failed_at = Some(SystemTime::now());
        sending.error.replace(error.to_owned()).is_none()
    }

    /// Whether it was not.
    fn sent_again(&self) -> bool {
        let mut sending = self.sending();
        sending.sent_at = Some(SystemTime::now());
        sending.error.take().is_some()
    }
}
