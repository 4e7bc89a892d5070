//! The service on a real database.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use gopool_shards::admission::ban::Ban;
use sha2::{Digest, Sha256};

use super::limit::Limit;
use super::service::{MARK, Outcome, Run};
use super::*;
use crate::outgoing::tests::outgoing;
use crate::store::tests::running;
use crate::store::{BackupMark, database_path};

struct Pool {
    folder: tempfile::TempDir,
    store: StoreHandle,
    reader: Reader,
    thread: JoinHandle<()>,
}

impl Pool {
    fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap())
    }

    fn start_in(folder: tempfile::TempDir) -> Self {
        let (store, reader, thread) = running(folder.path());
        Self { folder, store, reader, thread }
    }

    fn stop(self) -> tempfile::TempDir {
        drop((self.store, self.reader));
        self.thread.join().unwrap();
        self.folder
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("state/workers.db.bak")
    }

    fn service(&self, force: bool, on_boot: bool) -> Backups {
        self.service_to(&self.path(), force, on_boot)
    }

    fn service_to(&self, path: &Path, force: bool, on_boot: bool) -> Backups {
        let settings = BackupSettings {
            path: Some(path.to_owned()),
            interval: Duration::from_secs(3600),
            force_every_interval: force,
            is_upload_wanted: false,
            bucket: None,
            b2: None,
        };
        let state = self.folder.path().join("state");
        let plan = BackupPlan { state, settings, on_boot, outgoing: outgoing() };
        Backups::spawn(plan, self.reader.clone(), self.store.clone()).unwrap()
    }

    /// One without a thread.
    fn idle_service(&self) -> Service {
        Service {
            path: self.path(),
            private: self.folder.path().join("state/backup.tmp"),
            force_every_interval: false,
            interval: 3600,
            reader: self.reader.clone(),
            store: self.store.clone(),
            last: BackupMark::default(),
            figures: Arc::default(),
            cloud: None,
        }
    }

    fn ban(&self, worker: &str) {
        self.store.save_ban(&Ban::new(worker, 0, "", None));
        self.written();
    }

    fn written(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.store.figures().waiting > 0 {
            assert!(Instant::now() < deadline);
            thread::sleep(Duration::from_millis(5));
        }
    }
}

#[track_caller]
fn wait_for(
    service: &Backups,
    what: &str,
    holds: impl Fn(&BackupFigures) -> bool,
) -> BackupFigures {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let figures = service.figures().lock().unwrap().clone();
        if holds(&figures) {
            return figures;
        }
        assert!(Instant::now() < deadline, "{what}: {figures:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn bans_of(copy: &Path) -> i64 {
    rusqlite::Connection::open(copy)
        .unwrap()
        .query_row("SELECT count(*) FROM bans", [], |row| row.get(0))
        .unwrap()
}

/// A hash of what stands in the first rows of `bans`, in all columns.
fn content(database: &Path, rows: i64) -> String {
    let connection = rusqlite::Connection::open(database).unwrap();
    let mut hash = Sha256::new();
    let mut statement = connection.prepare("SELECT * FROM bans ORDER BY worker LIMIT ?1").unwrap();
    let columns = statement.column_count();
    let mut rows = statement.query([rows]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        for column in 0..columns {
            let value: rusqlite::types::Value = row.get(column).unwrap();
            hash.update(format!("{value:?}\n"));
        }
    }
    const_hex::encode(hash.finalize())
}

#[test]
fn the_first_run_copies_and_the_next_process_goes_on_with_its_schedule() {
    let pool = Pool::start();
    pool.ban("w");
    let service = pool.service(false, false);
    let figures = wait_for(&service, "a copy", |figures| figures.outcome.is_some());
    assert_eq!((figures.outcome, figures.error), (Some("copied"), None));
    assert!(figures.version > 1);
    assert_eq!(bans_of(&pool.path()), 1);
    assert_eq!(pool.path().metadata().unwrap().permissions().mode() & 0o777, 0o640);
    assert!(!pool.folder.path().join("state/backup.tmp").exists());
    service.stop(Duration::from_secs(5));
    let pool = Pool::start_in(pool.stop());
    pool.ban("another");
    let service = pool.service(false, false);
    let again = wait_for(&service, "its marks", |figures| figures.last_copy.is_some());
    assert_eq!(again.version, figures.version);
    thread::sleep(Duration::from_millis(300));
    assert_eq!(bans_of(&pool.path()), 1, "the interval is not over");
    service.stop(Duration::from_secs(5));
    pool.stop();
}

#[test]
fn a_copy_at_boot_is_made_whatever_the_schedule_says() {
    let pool = Pool::start();
    let service = pool.service(false, false);
    wait_for(&service, "a copy", |figures| figures.outcome == Some("copied"));
    service.stop(Duration::from_secs(5));
    let before = pool.path().metadata().unwrap().modified().unwrap();
    pool.ban("w");
    let service = pool.service(false, true);
    wait_for(&service, "a copy", |figures| figures.outcome == Some("copied"));
    assert_ne!(pool.path().metadata().unwrap().modified().unwrap(), before);
    assert_eq!(bans_of(&pool.path()), 1);
    service.stop(Duration::from_secs(5));
    pool.stop();
}

#[test]
fn nothing_is_copied_when_nothing_has_changed_unless_it_must_be() {
    let pool = Pool::start();
    let mut service = pool.idle_service();
    let mut run = |forced| match service.back_up(Run::without_limit("test", forced), 1000) {
        Ok(Outcome::Copied) => Some(service.last.version),
        Ok(Outcome::Unchanged) => None,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(run(false), Some(1), "the first");
    assert_eq!(run(false), None);
    assert_eq!(run(true), Some(1), "forced");
    pool.ban("w");
    let version = run(false).expect("something has changed");
    assert!(version > 1);
    assert_eq!(run(false), None);
    std::fs::remove_file(pool.path()).unwrap();
    assert_eq!(run(false), Some(version), "somebody has taken it away");
    drop(service);
    pool.stop();
}

#[test]
fn a_copy_that_cannot_be_put_in_its_place_is_tried_again_and_the_old_one_stays() {
    let pool = Pool::start();
    let place = pool.folder.path().join("place");
    std::fs::write(&place, "a file where a folder should be").unwrap();
    let service = pool.service_to(&place.join("copy.db"), false, false);
    let figures = wait_for(&service, "a failure", |figures| figures.error.is_some());
    assert_eq!((figures.failures, figures.outcome), (1, None));
    assert!(figures.last_copy.is_none() && figures.error.unwrap().contains("copy.db"));
    service.stop(Duration::from_secs(5));
    assert_eq!(pool.reader.backup_mark(MARK).unwrap(), BackupMark::default());
    pool.stop();
}

#[test]
fn a_copy_that_has_failed_is_tried_again_soon_after_the_next_start() {
    let pool = Pool::start();
    let start = |now| {
        let mut service = pool.idle_service();
        let schedule = service.restore(now);
        (service, schedule)
    };
    let run = Run::without_limit("test", false);
    let (mut service, mut schedule) = start(5000);
    assert_eq!(schedule.wait(5000), 0, "the first");
    service.attempt(run, &mut schedule, 5000);
    pool.ban("w");
    assert_eq!(start(5100).1.wait(5100), 3500, "it has not failed");
    // Something is in the way of the next one.
    let obstacle = pool.folder.path().join("state/workers.db.bak.tmp");
    std::fs::create_dir(&obstacle).unwrap();
    service.attempt(run, &mut schedule, 8600);
    pool.written();
    (service, schedule) = start(8700);
    assert_eq!(schedule.wait(8700), 60);
    std::fs::remove_dir(&obstacle).unwrap();
    service.attempt(run, &mut schedule, 8760);
    pool.written();
    assert_eq!(bans_of(&pool.path()), 1);
    assert_eq!(start(8800).1.wait(8800), 3560);
    std::fs::remove_file(pool.path()).unwrap();
    assert_eq!(start(8800).1.wait(8800), 60, "somebody has taken it away");
    drop(service);
    pool.stop();
}

#[test]
fn a_copy_at_boot_is_none_after_ten_minutes_and_the_next_try_has_no_limit() {
    let at_boot = Run::at_boot();
    let limit = at_boot.limit.left(Duration::MAX);
    assert!(limit > Duration::from_secs(590) && limit <= Duration::from_secs(600), "{limit:?}");
    let pool = Pool::start();
    let mut service = pool.idle_service();
    let mut schedule = service.restore(5000);
    let late = Run { limit: Limit::of(Duration::ZERO), ..at_boot };
    service.attempt(late, &mut schedule, 5000);
    let figures = service.figures.lock().unwrap().clone();
    assert!(figures.error.is_some_and(|error| error.contains("longer than it may")));
    assert!(figures.failures == 1 && schedule.wait(5000) >= 60);
    assert_eq!((pool.path().exists(), service.private.exists()), (false, false));
    // It is made in time, and its place is slow.
    let copied = copy::take(&pool.reader, &service.private, Limit::NONE).unwrap();
    copy::place(&copied, &pool.path(), late.limit).unwrap_err();
    assert!(!pool.path().exists());
    service.attempt(Run::without_limit("interval", false), &mut schedule, 5060);
    let figures = service.figures.lock().unwrap().clone();
    assert_eq!((figures.outcome, figures.error), (Some("copied"), None));
    assert!(pool.path().exists());
    drop(service);
    pool.stop();
}

#[test]
fn a_copy_of_an_earlier_process_is_uploaded_only_if_it_is_what_the_marks_say() {
    let pool = Pool::start();
    pool.ban("w");
    let service = pool.service(false, false);
    let version = wait_for(&service, "a copy", |figures| figures.last_copy.is_some()).version;
    service.stop(Duration::from_secs(5));
    let found = |version| copy::of_earlier(&pool.path(), version).map(|ready| ready.version);
    assert_eq!(found(version), Some(version));
    assert_eq!((found(version - 1), found(version + 1)), (None, None));
    std::fs::write(pool.path(), "what is this").unwrap();
    assert_eq!(found(version), None);
    std::fs::remove_file(pool.path()).unwrap();
    assert_eq!(found(version), None);
    pool.stop();
}

#[test]
fn a_copy_taken_under_load_is_the_database_of_one_moment() {
    /// As many bans as the writer has before it all the time.
    const WAITING: i64 = 3000;
    let pool = Pool::start();
    let service = pool.service(false, false);
    wait_for(&service, "the first copy", |figures| figures.outcome.is_some());
    let store = &pool.store;
    let save = |number: i64| store.save_ban(&Ban::new(&format!("w{number:06}"), 0, "", None));
    (0..WAITING).for_each(save);
    let copy = pool.folder.path().join("copy.db");
    let is_copied = AtomicBool::new(false);
    let (version, saved) = thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut saved = WAITING;
            loop {
                // The last one is saved when the copy is there, so that it is surely not in it.
                let is_last = is_copied.load(Ordering::Acquire);
                save(saved);
                saved += 1;
                if is_last {
                    return saved;
                }
                // A full queue would drop what it is given.
                while store.figures().waiting > WAITING.cast_unsigned()
                    && !is_copied.load(Ordering::Acquire)
                {
                    thread::sleep(Duration::from_millis(1));
                }
            }
        });
        let version = pool.reader.copy_to(&copy);
        // Also when there is none: the other thread is waited for.
        is_copied.store(true, Ordering::Release);
        (version.unwrap(), load.join().unwrap())
    });
    pool.written();
    let connection = rusqlite::Connection::open(&copy).unwrap();
    let counter: i64 =
        connection.query_row("SELECT version FROM db_change_state", [], |row| row.get(0)).unwrap();
    assert_eq!(counter.cast_unsigned(), version);
    // Every counted change is a ban here, but for the row that the counter begins with; and bans are
    // written in the order of their names. So the counter says what the database was then.
    let moment = counter - 1;
    assert!(moment < saved, "it knows of what was saved after it");
    assert_eq!(bans_of(&copy), moment);
    let database = database_path(pool.folder.path());
    assert_eq!(bans_of(&database), saved);
    assert_eq!(content(&copy, moment), content(&database, moment));
    assert_ne!(content(&copy, moment), content(&database, moment + 1));
    service.stop(Duration::from_secs(5));
    pool.stop();
}
