//! The thread that owns the history: it alone changes it, and reads and writes its files
//! (`state-and-services.md` §9.6). Control only sends, so a disk that hangs delays pages, not
//! miners.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use tracing::{error, info, warn};

use super::journal::{Journal, JournalRead};
use super::sampler::{History, MinuteSample};
use super::series::Resolution;
use super::snapshot_file::{self, Snapshot, set_aside};

/// `tuning.toml [hashrate] saved_worker_history_flush_interval_seconds` when it is not set.
pub const FLUSH_INTERVAL_DEFAULT: Duration = Duration::from_secs(10_800);
const JOURNAL_FILE: &str = "saved_worker_periods_history.journal";
/// A journal this large is replaced by snapshots before the interval is over, however long that is:
/// it would take longer to replay than the snapshots to write.
const JOURNAL_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// When snapshots that could not be written are tried again.
const RETRY_DELAY: Duration = Duration::from_secs(60);
/// Samples that wait while the disk hangs: a day of them, for older ones are of no use.
const QUEUE_MAX: usize = 1440;

#[derive(Debug)]
enum Message {
    Sample(MinuteSample),
    FlushInterval(Duration),
}

/// Where pages read the history. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct HistoryReader(Arc<RwLock<History>>);

impl From<History> for HistoryReader {
    /// Of a history that does not change.
    fn from(history: History) -> Self {
        Self(Arc::new(RwLock::new(history)))
    }
}

impl HistoryReader {
    /// The history as of the last sample. To be held briefly: the next sample waits for it.
    pub fn read(&self) -> RwLockReadGuard<'_, History> {
        // A panic in the middle of a sample would leave slots unwritten, which they may be anyway.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Control's end of the thread.
#[derive(Debug)]
pub struct HistoryKeeper {
    history: Arc<RwLock<History>>,
    messages: Sender<Message>,
    thread: JoinHandle<()>,
    /// Whether it has been logged that samples are dropped.
    is_behind: bool,
}

impl HistoryKeeper {
    /// Reads the files of a state folder and starts the thread. Files that cannot be read are put
    /// aside and logged; the pool starts without them.
    pub fn open(state_folder: &Path, now_minute: u32) -> io::Result<Self> {
        let (files, history) = Files::open(state_folder, now_minute);
        let history = Arc::new(RwLock::new(history));
        let (messages, received) = bounded(QUEUE_MAX);
        let shared = Arc::clone(&history);
        let thread = thread::Builder::new()
            .name("history".into())
            .spawn(move || keep(files, &shared, &received))?;
        Ok(Self { history, messages, thread, is_behind: false })
    }

    /// Where pages read.
    pub fn reader(&self) -> HistoryReader {
        HistoryReader(Arc::clone(&self.history))
    }

    /// Hands over a complete minute. Never waits.
    pub fn record(&mut self, sample: MinuteSample) {
        match self.messages.try_send(Message::Sample(sample)) {
            Ok(()) => self.is_behind = false,
            Err(TrySendError::Full(_)) if self.is_behind => {}
            Err(TrySendError::Full(_)) => {
                self.is_behind = true;
                error!(component = "history", "the disk hangs, minutes are not recorded");
            }
            Err(TrySendError::Disconnected(_)) => {
                error!(component = "history", "the keeper has ended, a minute is not recorded");
            }
        }
    }

    /// Changes how often the snapshots are rewritten; counted from the last time. Zero is the
    /// default.
    pub fn set_flush_interval(&self, interval: Duration) {
        // If the queue is full there will be another reload before this matters.
        let _ = self.messages.try_send(Message::FlushInterval(interval));
    }

    /// Ends the thread after it has written everything. Returns when that is done, or when it has
    /// logged what could not be written.
    pub fn finish(self) {
        drop(self.messages);
        if self.thread.join().is_err() {
            error!(component = "history", "the keeper has panicked, the journal is what is left");
        }
    }
}

fn keep(mut files: Files, history: &RwLock<History>, messages: &Receiver<Message>) {
    loop {
        match messages.recv_deadline(files.flush_at) {
            Ok(Message::Sample(sample)) => files.record(history, &sample),
            Ok(Message::FlushInterval(interval)) => files.set_flush_interval(interval),
            Err(RecvTimeoutError::Timeout) => files.flush(history),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    files.finish(history);
}

/// Snapshots and journal of one state folder.
#[derive(Debug)]
struct Files {
    folder: PathBuf,
    journal: Journal,
    journal_health: Health,
    snapshot_health: Health,
    flush_interval: Duration,
    flush_at: Instant,
    flushed_at: Instant,
    /// Whether there is something the snapshots do not have.
    is_changed: bool,
}

impl Files {
    fn open(folder: &Path, now_minute: u32) -> (Self, History) {
        // If it cannot be made, the first record will say so.
        let _ = fs::create_dir_all(folder);
        let minutes = read_snapshot(folder, Resolution::Minute);
        let half_hours = read_snapshot(folder, Resolution::HalfHour);
        let mut history = History::new(minutes.series, half_hours.series, minutes.sampled);
        let (journal, read) = Journal::open(&folder.join(JOURNAL_FILE));
        log_journal(&read, &folder.join(JOURNAL_FILE));
        history.replay(&read.records);
        history.prune(now_minute);
        info!(
            component = "history",
            series = history.series(Resolution::Minute).sorted().len(),
            replayed = read.records.len(),
            "history loaded"
        );
        let now = Instant::now();
        let files = Self {
            folder: folder.to_owned(),
            journal,
            journal_health: Health::new("the history's journal"),
            snapshot_health: Health::new("the history's snapshots"),
            flush_interval: FLUSH_INTERVAL_DEFAULT,
            flush_at: now + FLUSH_INTERVAL_DEFAULT,
            flushed_at: now,
            is_changed: !read.records.is_empty(),
        };
        (files, history)
    }

    /// Records a sample, in memory and in the journal.
    fn record(&mut self, history: &RwLock<History>, sample: &MinuteSample) {
        let record = history.write().unwrap_or_else(PoisonError::into_inner).sample(sample);
        // Nobody waits for the lock while the disk writes.
        let Some(record) = record else { return };
        self.is_changed = true;
        self.journal_health.note(self.journal.append(&record).map_err(|error| error.to_string()));
        if self.journal.size() > JOURNAL_BYTES_MAX || Instant::now() >= self.flush_at {
            self.flush(history);
        }
    }

    fn set_flush_interval(&mut self, interval: Duration) {
        self.flush_interval = if interval.is_zero() { FLUSH_INTERVAL_DEFAULT } else { interval };
        self.flush_at = after(self.flushed_at, self.flush_interval);
    }

    /// Writes the snapshots, if there is something new, and plans the next time.
    fn flush(&mut self, history: &RwLock<History>) {
        let now = Instant::now();
        let written = if self.is_changed { self.write(history) } else { Ok(()) };
        self.flushed_at = now;
        self.flush_at = match &written {
            Ok(()) => after(now, self.flush_interval),
            Err(_) => now + RETRY_DELAY,
        };
        self.snapshot_health.note(written.map_err(|error| error.to_string()));
    }

    /// Writes everything, changed or not, for the last time.
    fn finish(mut self, history: &RwLock<History>) {
        let Err(error) = self.write(history) else {
            info!(component = "history", "history written");
            return;
        };
        let missed = self.journal.missed();
        if missed == 0 {
            warn!(component = "history", %error, "snapshots not written, the journal has it all");
        } else {
            error!(component = "history", %error, missed, "minutes of history are lost");
        }
    }

    /// The half hours go first: those which the minutes no longer cover can be made neither from
    /// the minutes' snapshot nor from a journal that is replayed on it. The journal goes last.
    fn write(&mut self, history: &RwLock<History>) -> io::Result<()> {
        for resolution in [Resolution::HalfHour, Resolution::Minute] {
            let history = history.read().unwrap_or_else(PoisonError::into_inner);
            let series = history.series(resolution);
            let bytes = snapshot_file::encode(resolution, series, history.sampled());
            drop(history);
            snapshot_file::write(&self.folder, resolution, &bytes)?;
        }
        self.journal.reset()?;
        self.is_changed = false;
        Ok(())
    }
}

fn after(at: Instant, interval: Duration) -> Instant {
    // An interval no clock can add is "never", which the default is near enough to.
    at.checked_add(interval).unwrap_or(at + FLUSH_INTERVAL_DEFAULT)
}

fn read_snapshot(folder: &Path, resolution: Resolution) -> Snapshot {
    let path = folder.join(resolution.file_name());
    snapshot_file::read(folder, resolution).unwrap_or_else(|error| {
        log_bad_file(&path, &error.to_string(), &set_aside(&path));
        Snapshot::default()
    })
}

fn log_journal(read: &JournalRead, path: &Path) {
    if let Some((error, aside)) = &read.bad {
        log_bad_file(path, error, aside);
    }
    if read.cut_bytes > 0 {
        let (path, bytes) = (path.display(), read.cut_bytes);
        warn!(component = "history", %path, bytes, "the end of the journal was not whole");
    }
}

fn log_bad_file(path: &Path, error: &str, aside: &io::Result<PathBuf>) {
    let path = path.display();
    match aside {
        Ok(aside) => {
            let aside = aside.display();
            warn!(component = "history", %path, error, %aside, "history not loaded, put aside");
        }
        Err(rename_error) => {
            warn!(component = "history", %path, error, %rename_error, "history not loaded");
        }
    }
}

/// Says once that the disk fails, and once that it works again.
#[derive(Debug)]
struct Health {
    what: &'static str,
    is_failing: bool,
}

/// What is to be said.
#[derive(Debug, PartialEq)]
enum Turn {
    None,
    Failed(String),
    Recovered,
}

impl Health {
    fn new(what: &'static str) -> Self {
        Self { what, is_failing: false }
    }

    fn note(&mut self, outcome: Result<(), String>) {
        match self.turn(outcome) {
            Turn::None => {}
            Turn::Failed(error) => {
                warn!(component = "history", what = self.what, error, "not written, trying again");
            }
            Turn::Recovered => {
                info!(component = "history", what = self.what, "written again");
            }
        }
    }

    fn turn(&mut self, outcome: Result<(), String>) -> Turn {
        let was_failing = std::mem::replace(&mut self.is_failing, outcome.is_err());
        match outcome {
            Err(error) if !was_failing => Turn::Failed(error),
            Ok(()) if was_failing => Turn::Recovered,
            _ => Turn::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{POOL_KEY, WorkerMinute};

    const START: u32 = 28_333_320;

    fn sample(minute: u32) -> MinuteSample {
        let worker = WorkerMinute { hash: "a".repeat(64), hashrate: 1e9, best: 5.0 };
        let workers = if minute.is_multiple_of(5) { vec![] } else { vec![worker] };
        MinuteSample { minute, pool_hashrate: 1e9, pool_best: f64::from(minute % 9), workers }
    }

    struct Folder {
        folder: tempfile::TempDir,
        files: Files,
        history: RwLock<History>,
    }

    impl Folder {
        fn open() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let (files, history) = Files::open(folder.path(), START);
            Self { folder, files, history: RwLock::new(history) }
        }

        fn record(&mut self, minutes: std::ops::Range<u32>) {
            for minute in minutes {
                self.files.record(&self.history, &sample(minute));
            }
        }

        fn history(&self) -> History {
            self.history.read().unwrap().clone()
        }

        /// What the next process finds if this one is killed now.
        #[track_caller]
        fn assert_nothing_is_lost(&self, now: u32) {
            assert_eq!(Files::open(self.folder.path(), now).1, self.history());
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }
    }

    #[test]
    fn a_killed_process_loses_no_recorded_minute() {
        let mut folder = Folder::open();
        for start in 0..8 {
            folder.record(START + start * 17..START + start * 17 + 17);
            folder.assert_nothing_is_lost(START + start * 17 + 17);
            if start == 4 {
                folder.files.flush(&folder.history);
                folder.assert_nothing_is_lost(START + start * 17 + 17);
            }
        }
    }

    #[test]
    fn a_process_killed_between_snapshot_and_journal_loses_nothing_either() {
        let mut folder = Folder::open();
        folder.record(START..START + 3000);
        let journal = fs::read(folder.path(JOURNAL_FILE)).unwrap();
        folder.files.flush(&folder.history);
        fs::write(folder.path(JOURNAL_FILE), &journal).unwrap();
        folder.assert_nothing_is_lost(START + 3000);
        // And between the two snapshots.
        fs::remove_file(folder.path(Resolution::Minute.file_name())).unwrap();
        folder.assert_nothing_is_lost(START + 3000);
    }

    #[test]
    fn snapshots_are_written_when_something_has_changed_and_the_journal_starts_over() {
        let mut folder = Folder::open();
        folder.files.flush(&folder.history);
        assert!(!folder.path(Resolution::Minute.file_name()).exists());
        folder.record(START..START + 3);
        folder.files.flush(&folder.history);
        assert!(folder.path(Resolution::Minute.file_name()).exists());
        assert_eq!(fs::metadata(folder.path(JOURNAL_FILE)).unwrap().len(), 8);
        folder.assert_nothing_is_lost(START + 3);
    }

    #[test]
    fn a_minute_before_and_after_a_restart_is_recorded_once_and_the_gap_stays_absent() {
        let mut folder = Folder::open();
        folder.record(START + 1..START + 4);
        let (files, history) = Files::open(folder.folder.path(), START + 8);
        (folder.files, folder.history) = (files, RwLock::new(history));
        folder.record(START + 3..START + 4);
        folder.record(START + 8..START + 10);
        let history = folder.history();
        for key in ["a".repeat(64).as_str(), POOL_KEY] {
            let series = history.series(Resolution::Minute).get(key).unwrap();
            let minutes: Vec<u32> =
                series.window(START + 10).map(|slot| slot.bucket - START).collect();
            assert_eq!(minutes, [1, 2, 3, 8, 9]);
        }
    }

    #[test]
    fn files_that_cannot_be_read_are_put_aside_and_the_rest_is_used() {
        let mut folder = Folder::open();
        folder.record(START..START + 3);
        folder.files.flush(&folder.history);
        folder.record(START + 3..START + 5);
        let name = Resolution::HalfHour.file_name();
        fs::write(folder.path(name), "damaged").unwrap();
        // The half hours can be made from the minutes.
        folder.assert_nothing_is_lost(START + 5);
        let aside = folder.path(&format!("{name}.bad"));
        assert_eq!(fs::read_to_string(aside).unwrap(), "damaged");
        assert!(!folder.path(name).exists());
    }

    #[test]
    fn a_disk_that_fails_is_tried_again_soon_and_nothing_is_lost() {
        let mut folder = Folder::open();
        // No file can take the place of a folder.
        let blocked = folder.path(Resolution::Minute.file_name());
        fs::create_dir(&blocked).unwrap();
        folder.record(START..START + 3);
        folder.files.flush(&folder.history);
        assert!(folder.files.snapshot_health.is_failing);
        assert!(folder.files.flush_at <= Instant::now() + RETRY_DELAY);
        fs::remove_dir(&blocked).unwrap();
        folder.assert_nothing_is_lost(START + 3);
        folder.files.flush(&folder.history);
        assert!(!folder.files.snapshot_health.is_failing && !folder.files.is_changed);
        folder.assert_nothing_is_lost(START + 3);
    }

    #[test]
    fn a_disk_that_fails_is_told_of_once_and_once_when_it_works_again() {
        let mut health = Health::new("disk");
        let failed = |error: &str| Err(error.to_owned());
        assert_eq!(health.turn(Ok(())), Turn::None);
        assert_eq!(health.turn(failed("full")), Turn::Failed("full".into()));
        assert_eq!(health.turn(failed("full")), Turn::None);
        assert_eq!(health.turn(Ok(())), Turn::Recovered);
        assert_eq!(health.turn(Ok(())), Turn::None);
        assert_eq!(health.turn(failed("gone")), Turn::Failed("gone".into()));
    }

    #[test]
    fn the_interval_counts_from_the_last_flush() {
        let mut folder = Folder::open();
        let start = folder.files.flushed_at;
        assert_eq!(folder.files.flush_at, start + FLUSH_INTERVAL_DEFAULT);
        folder.files.set_flush_interval(Duration::from_secs(7));
        assert_eq!(folder.files.flush_at, start + Duration::from_secs(7));
        folder.files.set_flush_interval(Duration::ZERO);
        assert_eq!(folder.files.flush_at, start + FLUSH_INTERVAL_DEFAULT);
        folder.files.set_flush_interval(Duration::MAX);
        assert_eq!(folder.files.flush_at, start + FLUSH_INTERVAL_DEFAULT);
    }

    #[test]
    fn a_finished_keeper_has_written_what_it_was_given() {
        let folder = tempfile::tempdir().unwrap();
        let mut keeper = HistoryKeeper::open(folder.path(), START).unwrap();
        let reader = keeper.reader();
        for minute in START..START + 40 {
            keeper.record(sample(minute));
        }
        keeper.finish();
        assert_eq!(reader.read().sampled(), Some(START + 39));
        assert_eq!(fs::metadata(folder.path().join(JOURNAL_FILE)).unwrap().len(), 8);
        let again = HistoryKeeper::open(folder.path(), START + 41).unwrap();
        assert_eq!(*again.reader().read(), *reader.read());
        again.finish();
    }

    #[test]
    fn a_shorter_interval_takes_effect_while_the_keeper_runs() {
        let folder = tempfile::tempdir().unwrap();
        let mut keeper = HistoryKeeper::open(folder.path(), START).unwrap();
        keeper.set_flush_interval(Duration::from_millis(5));
        keeper.record(sample(START));
        let path = folder.path().join(Resolution::Minute.file_name());
        let deadline = Instant::now() + Duration::from_secs(10);
        while !path.exists() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        assert!(path.exists());
        keeper.finish();
    }
}
