//! The service with a real database and times that are short.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::channel::TIMEOUT;
use super::words::tests::block as block_event;
use super::*;
use crate::entropy;
use crate::identity::worker_hash_hex;
use crate::ledger::roster::tests::look;
use crate::outgoing::tests::{Served, json, outgoing};
use crate::store::tests::{after, found, running};
use crate::store::{BlockState, WeakStoreHandle};

const LIMIT: Duration = Duration::from_secs(20);
/// Of what is not to come.
const SILENCE: Duration = Duration::from_millis(400);

const SHORT: Timing = Timing {
    warm_up: Duration::from_millis(100),
    check: Duration::from_millis(50),
    probe: Duration::from_millis(20),
};

/// Writes down what it is told.
struct Listening(Sender<Event>);

impl Listener for Listening {
    fn tell(&self, event: &Event) {
        let _ = self.0.send(event.clone());
    }

    fn name(&self) -> &'static str {
        "listening"
    }

    fn figures(&self) -> ChannelFigures {
        ChannelFigures::of(self.name())
    }

    fn close(&self) {}

    fn has_ended(&self) -> bool {
        true
    }
}

/// People on a Discord that may be away, or may have too much to say at once.
#[derive(Clone, Default)]
struct People {
    users: Vec<String>,
    is_away: Arc<AtomicBool>,
    bursts: Arc<AtomicU64>,
}

impl Audience for People {
    fn users(&self) -> Vec<String> {
        self.users.clone()
    }

    fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Relaxed)
    }

    fn bursts(&self) -> u64 {
        self.bursts.load(Ordering::Relaxed)
    }
}

/// A pool of one database, whose service is started and stopped.
struct Bench {
    folder: tempfile::TempDir,
    roster: RosterReader,
    /// Whose workers the listener hears of.
    people: People,
    settings: NoticesSettings,
    blocks: Vec<BlockLife>,
}

/// One run of it.
struct Run {
    notices: Notices,
    heard: Receiver<Event>,
    saved: SavedWorkers,
    store: StoreHandle,
    writer: JoinHandle<()>,
}

impl Bench {
    fn new() -> Self {
        let words = NoticeWords { threshold: Duration::from_secs(1), ..NoticeWords::default() };
        Self {
            folder: tempfile::tempdir().unwrap(),
            roster: RosterReader::default(),
            people: People { users: vec!["user".to_owned()], ..People::default() },
            settings: NoticesSettings { words, ..NoticesSettings::default() },
            blocks: Vec::new(),
        }
    }

    fn run(&self, timing: Timing) -> Run {
        let (teller, heard) = channel();
        Run { heard, ..self.run_with(vec![Arc::new(Listening(teller))], timing) }
    }

    fn run_with(&self, listeners: Vec<Arc<dyn Listener>>, timing: Timing) -> Run {
        let restored = after(self.folder.path(), |_| {});
        let untold = restored.untold;
        let (store, _, writer) = running(self.folder.path());
        let saved = SavedWorkers::new(restored.saved_workers, store.clone());
        let notices = Notices::spawn(NoticesPlan {
            settings: self.settings.clone(),
            words: Arc::new(ArcSwap::from_pointee(self.settings.words.clone())),
            timing,
            outgoing: &outgoing(),
            saved: saved.clone(),
            roster: self.roster.clone(),
            store: store.clone(),
            watched: restored.watched,
            blocks: &self.blocks,
            untold,
            listeners,
            audience: Box::new(self.people.clone()),
        });
        Run { notices: notices.unwrap(), heard: channel().1, saved, store, writer }
    }

    fn comes(&self, worker: &str) {
        self.roster.edit().look(1, look(worker, 1.0, 0));
    }

    fn goes(&self) {
        self.roster.edit().gone(1);
    }
}

impl Run {
    #[track_caller]
    fn hears(&self) -> Event {
        self.heard.recv_timeout(LIMIT).unwrap()
    }

    #[track_caller]
    fn hears_nothing(&self) {
        let heard = self.heard.recv_timeout(SILENCE);
        assert!(heard.is_err(), "{heard:?}");
    }

    /// The node has taken it.
    fn finds(&self, hash: &str) {
        let door = self.notices.blocks().unwrap();
        let notice = BlockNotice { id: entropy::hex_id(), places: self.notices.places() };
        self.store.accept(found(hash), notice.clone());
        door.send((found(hash), notice)).unwrap();
    }

    /// The next event is about the workers of the user.
    #[track_caller]
    fn hears_of(&self, gone: &str, returned: &str) {
        let Event::Workers { user_id, away, back } = self.hears() else { panic!("another event") };
        let names = |workers: Vec<WorkerName>| -> Vec<String> {
            workers.into_iter().map(|worker| worker.name).collect()
        };
        let words =
            |text: &str| -> Vec<String> { text.split_whitespace().map(str::to_owned).collect() };
        assert_eq!((&*user_id, names(away), names(back)), ("user", words(gone), words(returned)));
    }

    /// Returns when a look has found that so many workers are watched.
    #[track_caller]
    fn watches(&self, count: usize) {
        self.until(|watch| watch.watched == count);
    }

    #[track_caller]
    fn until(&self, is_so: impl Fn(&WatchFigures) -> bool) {
        let (desk, deadline) = (self.notices.desk(), Instant::now() + LIMIT);
        loop {
            let watch = desk.figures().watch.unwrap();
            if is_so(&watch) {
                return;
            }
            assert!(Instant::now() < deadline, "{watch:?}");
            thread::sleep(LOOK_INTERVAL);
        }
    }

    #[track_caller]
    fn hears_of_block(&self) -> FoundBlock {
        let Event::Block(block) = self.hears() else { panic!("another event") };
        block
    }

    /// What it has told meanwhile comes back.
    #[track_caller]
    fn stop(self) -> Receiver<Event> {
        self.stop_within(LIMIT)
    }

    #[track_caller]
    fn stop_within(self, patience: Duration) -> Receiver<Event> {
        self.notices.stop(patience);
        drop((self.saved, self.store));
        self.writer.join().unwrap();
        self.heard
    }
}

fn sleep(seconds: f64) {
    thread::sleep(Duration::from_secs_f64(seconds));
}

/// Listens on a port that is still free some time after it has been let go: it is below those that
/// the kernel gives to whoever asks for any, and below those of `tests/pool/ports.rs`.
pub(super) fn bind() -> TcpListener {
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 8_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Two runs on one machine start at different places, and in one each port is taken once.
    let start = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap();
    let mut ports = (0..COUNT).map(|_| {
        let next = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        FIRST + (start + next) % COUNT
    });
    ports.find_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()).unwrap()
}

#[test]
fn without_a_place_nothing_runs() {
    let bench = Bench::new();
    let (store, _, writer) = running(bench.folder.path());
    let notices = Notices::spawn(NoticesPlan {
        settings: bench.settings.clone(),
        words: Arc::default(),
        timing: SHORT,
        outgoing: &outgoing(),
        saved: SavedWorkers::new(Vec::new(), store.clone()),
        roster: bench.roster.clone(),
        store,
        watched: Vec::new(),
        blocks: &[],
        untold: Vec::new(),
        listeners: Vec::new(),
        audience: Box::new(Vec::new),
    })
    .unwrap();
    assert!(notices.blocks().is_none() && notices.thread.is_none());
    assert_eq!(notices.desk().figures(), NoticesFigures::default());
    // Nobody keeps the database open.
    writer.join().unwrap();
    notices.stop(LIMIT);
}

#[test]
fn a_worker_that_goes_and_comes_back_is_told_of_and_a_restart_repeats_nothing() {
    let bench = Bench::new();
    let run = bench.run(SHORT);
    // It is there when it is looked at for the first time.
    bench.comes("w.1");
    run.saved.save("user", "w.1").unwrap();
    run.saved.save("stranger", "w.1").unwrap();
    assert_eq!(run.hears(), Event::Watching);
    run.watches(1);
    sleep(1.2);
    bench.goes();
    run.hears_of("w.1", "");
    run.stop();
    let run = bench.run(SHORT);
    assert_eq!(run.hears(), Event::Watching);
    run.hears_nothing();
    bench.comes("w.1");
    run.hears_of("", "w.1");
    run.hears_nothing();
    // Not watched any more: what was known of it is forgotten, in the database too.
    run.saved.set_notify("user", &worker_hash_hex("w.1"), false).unwrap();
    bench.goes();
    run.watches(0);
    run.stop();
    assert!(after(bench.folder.path(), |_| {}).watched.is_empty());
}

#[test]
fn the_threshold_is_the_one_in_force() {
    let mut bench = Bench::new();
    bench.settings.words.threshold = Duration::from_secs(3600);
    let run = bench.run(SHORT);
    bench.comes("w.1");
    run.saved.save("user", "w.1").unwrap();
    assert_eq!(run.hears(), Event::Watching);
    run.watches(1);
    sleep(1.2);
    let words = NoticeWords { threshold: Duration::from_secs(1), ..bench.settings.words.clone() };
    run.notices.desk().set_words(&words);
    bench.goes();
    run.hears_of("w.1", "");
    run.stop();
}

#[test]
fn a_block_is_told_of_once_and_those_of_earlier_runs_are_not() {
    let mut bench = Bench::new();
    let life = |hash: &str, state| BlockLife {
        record: found(hash),
        state,
        submitted_at: 0,
        settled_at: 0,
        confirmations: 0,
        reason: String::new(),
    };
    bench.blocks = vec![life("old", BlockState::Accepted), life("pending", BlockState::Submitted)];
    let hour = Timing { warm_up: Duration::from_secs(3600), ..SHORT };
    let run = bench.run(hour);
    run.saved.save("user", "w.1").unwrap();
    run.saved.save("silent", "w.1").unwrap();
    run.saved.set_notify("silent", &worker_hash_hex("w.1"), false).unwrap();
    for hash in ["old", "new", "new", "pending"] {
        run.finds(hash);
    }
    for hash in ["new", "pending"] {
        let block = run.hears_of_block();
        assert_eq!(block.notice_id.len(), 32);
        let expected = FoundBlock {
            height: 101,
            hash_hex: hash.to_owned(),
            worker: "w.1".to_owned(),
            found_at: 1_795_564_800,
            savers: vec!["user".to_owned()],
            notice_id: block.notice_id.clone(),
        };
        assert_eq!(block, expected, "before the warm-up is over");
    }
    run.hears_nothing();
    // While the pool stops too.
    run.finds("last");
    let heard = run.stop();
    assert!(matches!(heard.try_recv(), Ok(Event::Block(block)) if block.hash_hex == "last"));
}

/// The listener takes nothing by itself, as a place that is away.
#[test]
fn a_block_that_was_not_told_is_told_by_the_next_run_under_the_same_number() {
    let bench = Bench::new();
    let hour = Timing { warm_up: Duration::from_secs(3600), ..SHORT };
    let run = bench.run(hour);
    for hash in ["a", "b"] {
        run.finds(hash);
    }
    let [_, second] = [run.hears_of_block(), run.hears_of_block()];
    run.store.told("listening", "a");
    run.stop();
    let run = bench.run(hour);
    assert_eq!(run.hears_of_block(), second);
    // The node may say once more that it has it.
    run.finds("b");
    run.hears_nothing();
    run.stop();
    let untold = after(bench.folder.path(), |_| {}).untold;
    let rows: Vec<_> = untold.iter().map(|row| (&*row.record.hash, &*row.notice_id)).collect();
    assert_eq!(rows, [("b", &*second.notice_id)]);
    // A place that is not configured any more.
    bench.run_with(Vec::new(), hour).stop();
    assert!(after(bench.folder.path(), |_| {}).untold.is_empty());
}

#[test]
fn a_place_that_has_taken_a_block_owes_it_to_nobody() {
    let mut bench = Bench::new();
    let refused_once = Served::with(|number, stream| {
        let answer = json(if number == 0 { 500 } else { 200 }, "{}");
        stream.write_all(answer.as_bytes()).unwrap();
    });
    bench.settings.webhook = Some(WebhookSettings { url: refused_once.url("/"), secret: None });
    let run = bench.run(Timing { warm_up: Duration::from_secs(3600), ..SHORT });
    run.finds("a");
    refused_once.asked();
    refused_once.asked();
    run.stop();
    let places = after(bench.folder.path(), |_| {}).untold.into_iter().map(|row| row.place);
    assert_eq!(places.collect::<Vec<_>>(), ["listening"]);
}

#[test]
fn a_pool_that_is_cut_off_misses_nobody_and_forgets_nothing() {
    let mut bench = Bench::new();
    let listener = bind();
    let address = listener.local_addr().unwrap();
    bench.settings.probe =
        vec![ProbeTarget { host: address.ip().to_string(), port: address.port() }];
    let run = bench.run(SHORT);
    bench.comes("w.1");
    run.saved.save("user", "w.1").unwrap();
    assert_eq!(run.hears(), Event::Watching);
    run.watches(1);
    sleep(1.2);
    drop(listener);
    assert_eq!(run.hears(), Event::Network { is_up: false });
    assert!(run.notices.desk().figures().watch.unwrap().is_cut_off);
    bench.goes();
    let heard = run.heard.recv_timeout(Duration::from_millis(1500));
    assert!(heard.is_err(), "it has been away for long enough: {heard:?}");
    let _listener = TcpListener::bind(address).unwrap();
    assert_eq!(run.hears(), Event::Network { is_up: true });
    // It was there for long enough before; that has not been forgotten.
    run.hears_of("w.1", "");
    run.stop();
}

#[test]
fn workers_wait_for_a_discord_that_is_away_and_for_one_with_too_much_to_say() {
    let bench = Bench::new();
    let run = bench.run(SHORT);
    bench.comes("w.1");
    run.saved.save("user", "w.1").unwrap();
    assert_eq!(run.hears(), Event::Watching);
    run.watches(1);
    sleep(1.2);
    bench.people.is_away.store(true, Ordering::Relaxed);
    bench.goes();
    let heard = run.heard.recv_timeout(Duration::from_millis(1500));
    assert!(heard.is_err(), "{heard:?}");
    bench.people.is_away.store(false, Ordering::Relaxed);
    run.hears_of("w.1", "");
    // As after a start: there is time to come back.
    let before = run.notices.desk().figures().watch.unwrap().watches_from;
    bench.people.bursts.store(1, Ordering::Relaxed);
    run.until(|watch| watch.watches_from > before);
    run.hears_nothing();
    run.stop();
}

#[test]
fn every_place_is_told_and_one_that_hangs_delays_nothing() {
    let mut bench = Bench::new();
    let ntfy = Served::text(&json(200, r#"{"id":"x"}"#));
    let telegram = Served::text(&json(200, r#"{"ok":true}"#));
    let (hold, held) = channel::<()>();
    let hanging = Served::with(move |_, stream| {
        let _ = held.recv();
        let _ = stream.write_all(b"");
    });
    bench.settings.webhook = Some(WebhookSettings { url: hanging.url("/hook"), secret: None });
    bench.settings.ntfy = Some(NtfySettings { url: ntfy.url("/topic"), token: None });
    bench.settings.telegram = Some(TelegramSettings {
        api_url: telegram.url(""),
        token: Secret::new("7:x"),
        chat_id: "1".to_owned(),
    });
    let run = bench.run(Timing { warm_up: Duration::from_secs(3600), ..SHORT });
    // The one that hangs is asked after this: whoever waits for it does so for longer than its time.
    let began = Instant::now();
    run.finds("new");
    assert!(hanging.asked().contains("block_found"));
    assert!(ntfy.asked().contains("Block 101 found"));
    assert!(telegram.asked().contains("Block 101 found"));
    let figures = run.notices.desk().figures();
    let names: Vec<_> = figures.channels.iter().map(|channel| channel.name).collect();
    assert_eq!(names, ["webhook", "ntfy", "telegram", "listening"]);
    run.stop_within(Duration::from_millis(300));
    assert!(began.elapsed() < TIMEOUT, "{:?}", began.elapsed());
    assert!(!ntfy.was_asked() && !telegram.was_asked(), "once");
    drop(hold);
}

/// What the last try of a stopping pool is for.
#[test]
fn a_block_that_waits_for_its_next_try_has_one_more_when_the_pool_stops() {
    let served = Served::with(|number, stream| {
        let answer = json(if number == 0 { 500 } else { 200 }, "{}");
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let settings = WebhookSettings { url: served.url("/"), secret: None };
    let webhook = Webhook { settings, outgoing: outgoing() };
    let outbox = Outbox::spawn(webhook, Arc::default(), WeakStoreHandle::default()).unwrap();
    outbox.tell(&block_event());
    let first = served.asked();
    outbox.close();
    assert_eq!(served.asked(), first, "to the byte");
    while !outbox.has_ended() {
        thread::sleep(LOOK_INTERVAL);
    }
    let figures = outbox.figures();
    assert_eq!((figures.delivered, figures.failed, figures.waiting), (1, 1, 0));
}
