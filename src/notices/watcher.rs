//! The thread that looks: at workers that people watch, at found blocks, and at whether the pool is cut
//! off; and tells whoever listens (`state-and-services.md` §13.5, §13.9).

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, never, select};
use tracing::{info, warn};

use super::event::{Event, FoundBlock, WorkerName};
use super::probe::Found;
use super::states::{News, Seen, States};
use super::{Audience, Listener, NoticeWords, Timing, WatchFigures};
use crate::clock::unix_now;
use crate::identity::{NameHash, worker_hash_hex};
use crate::ledger::RosterReader;
use crate::privacy;
use crate::saved_workers::SavedWorkers;
use crate::store::{self, BlockNotice, SavedWorkerRow, StoreHandle, UntoldBlock};

/// A clock that is this far from where it should be has been set, or the machine has slept.
const CLOCK_ERROR_MAX: Duration = Duration::from_secs(5);

pub(super) struct Watcher {
    pub words: Arc<ArcSwap<NoticeWords>>,
    pub timing: Timing,
    pub saved: SavedWorkers,
    pub roster: RosterReader,
    pub store: StoreHandle,
    pub audience: Box<dyn Audience>,
    /// The operator has a place of their own, where everybody's workers are told of.
    pub is_for_all: bool,
    pub listeners: Vec<Arc<dyn Listener>>,
    pub states: States,
    /// Hashes of blocks that nobody is to be told of again.
    pub told_blocks: HashSet<String>,
    pub figures: Arc<Mutex<WatchFigures>>,
}

/// Where the thread stands.
struct Turn {
    next_check: Instant,
    is_warm: bool,
    is_network_up: bool,
    /// Of the audience, as far as something has followed from them.
    bursts: u64,
    /// When checks were suspended, and the states with them.
    paused_at: Option<u64>,
    /// The time of day and the time that passes, at the same moment.
    clock: (u64, Instant),
}

impl Watcher {
    pub fn run(
        mut self,
        untold: Vec<UntoldBlock>,
        mut blocks: Receiver<(store::FoundBlock, BlockNotice)>,
        mut found: Receiver<Found>,
        stopped: &Receiver<()>,
    ) {
        let now = Instant::now();
        let mut turn = Turn {
            next_check: now,
            is_warm: false,
            is_network_up: true,
            bursts: 0,
            paused_at: None,
            clock: (unix_now(), now),
        };
        self.warm_up(&mut turn);
        for UntoldBlock { place, notice_id, record } in untold {
            let block = Event::Block(self.found_block(&record, notice_id));
            for listener in self.listeners.iter().filter(|it| it.name() == place) {
                listener.tell(&block);
            }
        }
        loop {
            let wait = turn.next_check.saturating_duration_since(Instant::now());
            select! {
                recv(blocks) -> block => match block {
                    Ok((block, notice)) => self.tell_block(&block, notice),
                    Err(_) => blocks = never(),
                },
                recv(found) -> news => match news {
                    Ok(news) => self.on_network(news, &mut turn),
                    Err(_) => found = never(),
                },
                recv(stopped) -> _ => break,
                default(wait) => {}
            }
            if Instant::now() >= turn.next_check {
                self.on_time(&mut turn);
            }
        }
        // What was found while the pool stopped.
        for (block, notice) in blocks.try_iter() {
            self.tell_block(&block, notice);
        }
        let now = self.keep_time(&mut turn);
        if let Some(since) = turn.paused_at {
            self.states.shift(now.saturating_sub(since).cast_signed());
        }
        self.states.save_all(&self.store, now);
    }

    /// Miners that were here before have time to come back before anybody is missed.
    fn warm_up(&self, turn: &mut Turn) {
        turn.next_check = Instant::now() + self.timing.warm_up;
        self.figures().watches_from = Some(SystemTime::now() + self.timing.warm_up);
    }

    fn on_time(&mut self, turn: &mut Turn) {
        let now = self.keep_time(turn);
        turn.next_check = Instant::now() + self.timing.check;
        if !turn.is_warm {
            turn.is_warm = true;
            info!(component = "notices", "workers are watched from now on");
            self.tell(&Event::Watching);
        }
        let bursts = self.audience.bursts();
        if bursts > turn.bursts && !self.is_for_all {
            turn.bursts = bursts;
            return self.warm_up(turn);
        }
        // Who hears of nothing else than Discord has nothing from being told while it is away.
        let is_away = !self.is_for_all && self.audience.is_away();
        match (turn.paused_at, turn.is_network_up && !is_away) {
            (None, true) => self.check(now),
            (None, false) => turn.paused_at = Some(now),
            (Some(_), false) => {}
            (Some(_), true) => self.resume(turn, now),
        }
    }

    fn on_network(&mut self, Found { is_up, is_first }: Found, turn: &mut Turn) {
        let now = self.keep_time(turn);
        turn.is_network_up = is_up;
        self.figures().is_cut_off = !is_up;
        match is_up {
            true if is_first => {}
            true => info!(component = "notices", "others can be reached again"),
            false => {
                warn!(component = "notices", "nobody elsewhere can be reached, notices pause");
            }
        }
        if !is_first {
            self.tell(&Event::Network { is_up });
        }
        match turn.paused_at {
            None if !is_up => turn.paused_at = Some(now),
            Some(_) if is_up => self.resume(turn, now),
            _ => {}
        }
    }

    /// What has passed meanwhile counts for nobody, and all is as it was (FIX-38 a): forgetting the
    /// states would mean that a worker which has gone just before is never told of.
    fn resume(&mut self, turn: &mut Turn, now: u64) {
        if let Some(since) = turn.paused_at.take() {
            self.states.shift(now.saturating_sub(since).cast_signed());
        }
        self.warm_up(turn);
    }

    fn check(&mut self, now: u64) {
        let threshold = self.words.load().threshold.as_secs().max(1);
        let mut users: BTreeSet<String> = self.audience.users().into_iter().collect();
        if self.is_for_all {
            users.extend(self.saved.users());
        }
        let watched: Vec<(&String, Vec<(SavedWorkerRow, NameHash)>)> = users
            .iter()
            .map(|user| {
                let rows = self.saved.list(user).into_iter().filter(|row| row.notify);
                let hashed = rows.filter_map(|row| {
                    let hash = const_hex::decode_to_array(&row.worker_hash).ok()?;
                    Some((row, hash))
                });
                (user, hashed.collect())
            })
            .collect();
        let hashes: Vec<NameHash> =
            watched.iter().flat_map(|(_, rows)| rows.iter().map(|(_, hash)| *hash)).collect();
        // One look for all of them.
        let connected = self.roster.read().connected_among(&hashes);
        let mut events = Vec::new();
        for (user, rows) in watched {
            let seen = rows.into_iter().map(|(row, hash)| Seen {
                name: WorkerName { name: name(&row), hash: row.worker_hash },
                online: connected.contains(&hash),
            });
            let News { away, back } = self.states.check(user, seen.collect(), now, threshold);
            if !away.is_empty() || !back.is_empty() {
                events.push(Event::Workers { user_id: user.clone(), away, back });
            }
        }
        self.states.keep_users(&users);
        for event in &events {
            self.tell(event);
        }
        self.states.save(&self.store, now);
        self.figures().watched = self.states.len();
    }

    fn tell_block(&mut self, block: &store::FoundBlock, notice: BlockNotice) {
        // A miner may find one again after a restart.
        if !self.told_blocks.insert(block.hash.clone()) {
            return;
        }
        self.tell(&Event::Block(self.found_block(block, notice.id)));
    }

    fn found_block(&self, block: &store::FoundBlock, notice_id: String) -> FoundBlock {
        let found_at = block.timestamp.parse().map_or_else(
            |_| unix_now(),
            |at: jiff::Timestamp| at.as_second().max(0).cast_unsigned(),
        );
        FoundBlock {
            height: block.height,
            hash_hex: block.hash.clone(),
            worker: privacy::worker_name(&block.worker),
            found_at,
            savers: self.saved.notified(&worker_hash_hex(&block.worker)),
            notice_id,
        }
    }

    fn tell(&self, event: &Event) {
        for listener in &self.listeners {
            listener.tell(event);
        }
    }

    /// The time of day. When the clock has been set, times are moved with it: a machine without a
    /// battery begins in the past, and nobody has been away for years.
    fn keep_time(&mut self, turn: &mut Turn) -> u64 {
        let (before, at) = turn.clock;
        let (now, elapsed) = (unix_now(), at.elapsed());
        turn.clock = (now, Instant::now());
        let error = i128::from(now) - i128::from(before) - i128::from(elapsed.as_secs());
        if error.unsigned_abs() > u128::from(CLOCK_ERROR_MAX.as_secs()) {
            let seconds = i64::try_from(error).unwrap_or_default();
            self.states.shift(seconds);
            turn.paused_at = turn.paused_at.map(|since| since.saturating_add_signed(seconds));
        }
        now
    }

    fn figures(&self) -> std::sync::MutexGuard<'_, WatchFigures> {
        self.figures.lock().expect("no code panics while it holds this")
    }
}

/// Short; the hash when there is none.
fn name(row: &SavedWorkerRow) -> String {
    match row.display.trim() {
        "" => privacy::worker_name(&row.worker_hash),
        display => privacy::worker_name(display),
    }
}
