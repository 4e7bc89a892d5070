//! The database through its own doors: opened, written, and opened again.

mod faults;
mod upgrade;

use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gopool_shards::admission::ban::Ban;
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::identity::worker_hash_hex;
use crate::join;

const WRITER_PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `holds`; what it looks at comes from another thread.
#[track_caller]
fn soon(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + WRITER_PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn plan(data_dir: &Path) -> StorePlan<'_> {
    StorePlan {
        data_dir,
        ended_bans: EndedBans::Delete,
        backup: data_dir.join("state/workers.db.bak"),
    }
}

#[track_caller]
pub(crate) fn opened(data_dir: &Path) -> (Writer, Restored) {
    open(&plan(data_dir)).expect("the database can be used")
}

/// Opened, with its writer at work.
#[track_caller]
pub(crate) fn running(data_dir: &Path) -> (StoreHandle, Reader, JoinHandle<()>) {
    opened(data_dir).0.spawn().expect("a thread can be started")
}

/// A folder whose database is at work. The writer ends with the last handle, and writes until then: so
/// this goes last, and takes the folder with it when nobody writes there any more.
pub(crate) struct Folder {
    writer: Writing,
    folder: TempDir,
}

/// Waited for when it is dropped, which a handle that outlives it makes an error.
struct Writing(Option<JoinHandle<()>>);

impl Drop for Writing {
    fn drop(&mut self) {
        let writer = self.0.take().expect("nobody else takes it");
        let has_ended = join::ends_by(&writer, Instant::now() + WRITER_PATIENCE);
        assert!(
            has_ended || std::thread::panicking(),
            "something still has a handle of the database"
        );
    }
}

impl Folder {
    /// One with a new database.
    pub(crate) fn new() -> (Self, StoreHandle, Reader) {
        let folder = tempfile::tempdir().expect("a folder");
        let (store, reader, writer) = running(folder.path());
        (Self { writer: Writing(Some(writer)), folder }, store, reader)
    }

    /// The database that is there, once more, and what was in it.
    pub(crate) fn again(folder: TempDir) -> (Self, StoreHandle, Restored) {
        let (writer, restored) = opened(folder.path());
        let (store, _, writer) = writer.spawn().expect("a thread can be started");
        (Self { writer: Writing(Some(writer)), folder }, store, restored)
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Everything is written; there is no handle any more.
    pub(crate) fn close(self) -> TempDir {
        let Self { writer, folder } = self;
        drop(writer);
        folder
    }
}

/// Returns when everything has been written.
#[track_caller]
fn close(store: StoreHandle, writer: JoinHandle<()>) {
    drop(store);
    writer.join().expect("the writer does not panic");
}

/// What is there after `write` has been written and the database closed.
#[track_caller]
pub(crate) fn after(data_dir: &Path, write: impl FnOnce(&StoreHandle)) -> Restored {
    let (store, _, writer) = running(data_dir);
    write(&store);
    close(store, writer);
    opened(data_dir).1
}

/// The accounts that are there after `write` has been written.
pub(crate) fn users_after(write: impl FnOnce(&StoreHandle)) -> Vec<UserRow> {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, reader, writer) = running(folder.path());
    write(&store);
    close(store, writer);
    let mut users = reader.users().expect("the accounts can be read");
    users.sort_by(|a, b| a.user_id.cmp(&b.user_id));
    users
}

#[track_caller]
pub(super) fn sql(data_dir: &Path) -> Connection {
    Connection::open(database_path(data_dir)).expect("SQLite opens the database")
}

#[track_caller]
fn counter(data_dir: &Path) -> u64 {
    connection::change_counter(&sql(data_dir)).expect("the database counts its changes")
}

/// The one number that a query answers with.
#[track_caller]
fn number(connection: &Connection, query: &str) -> i64 {
    connection.query_row(query, [], |row| row.get(0)).expect(query)
}

fn pending(hash_hex: &str) -> PendingBlock {
    PendingBlock {
        hash_hex: hash_hex.into(),
        found_at: 1_700_000_000,
        height: 101,
        worker: "w.1".into(),
        block_hex: "00ff".into(),
        rpc_url: "127.0.0.1:8332".into(),
        payout_address: "p".into(),
    }
}

pub(crate) fn found(hash: &str) -> FoundBlock {
    FoundBlock {
        timestamp: "2026-11-25T00:00:00Z".into(),
        height: 101,
        hash: hash.into(),
        worker: "w.1".into(),
        share_diff: 1.5,
        job_id: "1".into(),
        payout_address: "p".into(),
        coinbase_value_sats: 100,
        pool_fee_sats: 2,
        worker_payout_sats: 98,
        donation_sats: 0,
        dual_payout_fallback: false,
    }
}

fn states(restored: &Restored) -> Vec<(&str, BlockState)> {
    let mut states: Vec<_> =
        restored.blocks.iter().map(|life| (&*life.record.hash, life.state)).collect();
    states.sort_by_key(|(hash, _)| *hash);
    states
}

#[test]
fn a_new_database_has_its_pragmas_and_an_old_one_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let (writer, restored) = opened(folder.path());
        assert!(restored.pending.is_empty() && restored.blocks.is_empty());
        drop(writer);
    }
    let connection = connection::open(&database_path(folder.path())).unwrap();
    let pragma = |name| number(&connection, &format!("PRAGMA {name}"));
    let mode: String =
        connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
    assert_eq!(
        (pragma("busy_timeout"), pragma("foreign_keys"), pragma("synchronous")),
        (5000, 1, 2)
    );
    let triggers = number(
        &connection,
        "SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'db_change_%'",
    );
    assert_eq!(triggers, 27);
}

#[test]
fn two_pools_do_not_use_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    let first = opened(folder.path());
    let error = open(&plan(folder.path())).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("another goPool is using"), "{error}");
    drop(first);
    opened(folder.path());
}

#[test]
fn a_block_is_followed_from_its_finding_to_its_last_confirmation_in_one_row() {
    let folder = tempfile::tempdir().unwrap();
    let restored = after(folder.path(), |store| {
        for hash in ["aa", "bb", "cc", "dd"] {
            store.found(pending(hash), found(hash));
        }
        store.sent("aa", "timeout");
        store.settle(found("bb"), Settled::Submitted, "");
        store.settle(found("bb"), Settled::Submitted, "");
        store.settle(found("cc"), Settled::Rejected, "high-hash");
        store.settle(found("dd"), Settled::Submitted, "");
        store.followed("dd", BlockState::Orphaned, 0);
        store.followed("bb", BlockState::Accepted, 7);
        // Found again after it was settled: it stays settled.
        store.found(pending("bb"), found("bb"));
        store.sent("bb", "timeout");
    });
    assert_eq!(restored.pending.len(), 1);
    assert_eq!(restored.pending[0].hash_hex, "aa");
    assert_eq!(
        states(&restored),
        [
            ("aa", BlockState::Submitted),
            ("bb", BlockState::Accepted),
            ("cc", BlockState::Rejected),
            ("dd", BlockState::Orphaned)
        ]
    );
    let life = |hash| {
        restored.blocks.iter().find(|life| life.record.hash == hash).expect("it has not been lost")
    };
    assert_eq!(life("bb").confirmations, 7);
    assert_eq!(life("cc").reason, "high-hash");
    assert_eq!(life("aa").reason, "timeout");
    assert!(life("bb").settled_at > 0 && life("bb").submitted_at > 0 && life("aa").settled_at == 0);
    // What the reference reads: accepted blocks alone, each once.
    let logged: Vec<String> = sql(folder.path())
        .prepare("SELECT json_extract(json, '$.hash') FROM found_blocks_log ORDER BY id")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(logged, ["bb", "dd"]);
}

#[test]
fn only_what_is_not_settled_is_pending() {
    let folder = tempfile::tempdir().unwrap();
    drop(opened(folder.path()));
    let connection = sql(folder.path());
    for (key, status, hex) in [
        ("a", "pending", "00"),
        ("b", "PENDING", "00"),
        ("c", "submitted", "00"),
        ("d", "Submitted", "00"),
        ("e", "rejected", "00"),
        ("f", "expired", "00"),
        ("g", "whatever", "00"),
        ("h", "pending", " "),
    ] {
        connection
            .execute(
                "INSERT INTO pending_submissions VALUES (?1, 1, 1, ?1, NULL, ?2, '', '', '', ?3)",
                [key, hex, status],
            )
            .unwrap();
    }
    let restored = after(folder.path(), |store| store.delete_settled_before(2));
    let mut keys: Vec<_> = restored.pending.into_iter().map(|row| row.hash_hex).collect();
    keys.sort();
    assert_eq!(keys, ["a", "b", "g"]);
    let left = number(&connection, "SELECT count(*) FROM pending_submissions");
    assert_eq!(left, 4, "with the one that nobody can submit");
}

#[test]
fn bans_are_kept_with_where_they_apply_and_lifted() {
    let folder = tempfile::tempdir().unwrap();
    let source: gopool_shards::admission::source::Source = "10.0.0.7".parse().unwrap();
    let ban = |worker: &str, until, source| Ban::new(worker, until, "why", source);
    let far = 4_000_000_000;
    let restored = after(folder.path(), |store| {
        store.save_ban(&ban("from.there", far, Some(source)));
        store.save_ban(&ban("anywhere", far, None));
        store.save_ban(&ban("for ever", 0, None));
        store.save_ban(&ban("ended", 5, Some(source)));
        store.save_ban(&ban("lifted", far, Some(source)));
        store.save_ban(&ban("Lifted", far, None));
    });
    assert_eq!(restored.bans.len(), 5, "what has ended is deleted at the start");
    let restored = after(folder.path(), |store| store.lift_ban(" lifted "));
    let mut bans = restored.bans;
    bans.sort_by(|a, b| a.worker.cmp(&b.worker));
    let shown: Vec<_> = bans.iter().map(|b| (&*b.worker, b.until, b.source)).collect();
    assert_eq!(
        shown,
        [
            ("Lifted", far, None),
            ("anywhere", far, None),
            ("for ever", 0, None),
            ("from.there", far, Some(source))
        ]
    );
}

#[test]
fn bans_that_have_ended_stay_when_they_are_to_be_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    after(folder.path(), |store| store.save_ban(&Ban::new("permanent", 0, "", None)));
    sql(folder.path()).execute("INSERT INTO bans VALUES ('ended', '', 5, NULL, 1)", []).unwrap();
    let keep = StorePlan { ended_bans: EndedBans::Keep, ..plan(folder.path()) };
    let (writer, restored) = open(&keep).unwrap();
    assert_eq!(restored.bans.len(), 2);
    let (store, _, writer) = writer.spawn().unwrap();
    store.delete_ended_bans(5);
    close(store, writer);
    assert_eq!(open(&keep).unwrap().1.bans.len(), 1);
}

#[test]
fn only_best_shares_that_changed_are_written() {
    let share = |difficulty: f64| BestShareRow {
        worker: "bc1qw508...7kv8f3t4.rig1".into(),
        difficulty,
        at: 1_700_000_000,
        hash: "...0123456789abcdef".into(),
    };
    let folder = tempfile::tempdir().unwrap();
    let list = vec![share(9.0), share(7.0), share(5.0)];
    let restored = after(folder.path(), |store| store.save_best_shares(list.clone()));
    assert_eq!(restored.best_shares, list);
    let before = counter(folder.path());
    after(folder.path(), |store| store.save_best_shares(list.clone()));
    assert_eq!(counter(folder.path()), before, "nothing has changed");
    let better = vec![share(9.0), share(8.0), share(5.0)];
    let restored = after(folder.path(), |store| store.save_best_shares(better.clone()));
    assert_eq!((restored.best_shares, counter(folder.path())), (better, before + 1));
    let restored = after(folder.path(), |store| store.save_best_shares(vec![share(1.0)]));
    assert_eq!(restored.best_shares, [share(1.0)]);
}

#[test]
fn watched_workers_are_kept_as_they_were_last_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let row = |hash: &str, since| WatchedRow {
        user_id: "user".into(),
        worker_hash: hash.into(),
        state: WorkerState {
            online: true,
            since,
            seen_online: true,
            seen_offline: false,
            offline_eligible: true,
            offline_notified: false,
            recovery_eligible: true,
            recovery_notified: false,
        },
        updated_at: since + 1,
    };
    let restored = after(folder.path(), |store| {
        store.save_watched(row("a", 1));
        store.save_watched(row("b", 2));
        store.save_watched(row("a", 3));
        store.delete_watched("user", "c");
    });
    assert_eq!(restored.watched, [row("a", 3), row("b", 2)]);
    let before = counter(folder.path());
    let restored = after(folder.path(), |store| {
        store.save_watched(row("b", 5));
        store.delete_watched("user", "a");
    });
    assert_eq!(restored.watched, [row("b", 5)]);
    assert_eq!(counter(folder.path()), before + 2, "a backup has something new");
}

#[test]
fn codes_are_written_as_a_whole() {
    let code = |user: &str| CodeRow {
        user_id: user.into(),
        code: "a-b-c-d".into(),
        created_at: 1,
        expires_at: 2,
    };
    let folder = tempfile::tempdir().unwrap();
    let restored = after(folder.path(), |store| store.save_codes(vec![code("a"), code("b")]));
    assert_eq!(restored.codes, [code("a"), code("b")]);
    let restored = after(folder.path(), |store| store.save_codes(vec![code("c")]));
    assert_eq!(restored.codes, [code("c")]);
}

#[test]
fn edits_of_saved_workers_are_answered_and_read_beside_the_writer() {
    let folder = tempfile::tempdir().unwrap();
    let (store, reader, writer) = running(folder.path());
    let hash = worker_hash_hex("w.1");
    assert_eq!(store.save_worker("user", &hash, "w.1"), Ok(Saved::New));
    assert_eq!(store.save_worker("user", &hash, "w.1"), Ok(Saved::Already));
    assert_eq!(store.save_worker("other", &hash, "w.1"), Ok(Saved::New));
    for number in 1..SAVED_PER_USER_MAX {
        assert_eq!(
            store.save_worker("user", &worker_hash_hex(&number.to_string()), "x"),
            Ok(Saved::New)
        );
    }
    assert_eq!(store.save_worker("user", &worker_hash_hex("one more"), "x"), Ok(Saved::ListFull));
    assert_eq!(store.save_worker("user", &hash, "w.1"), Ok(Saved::Already), "even when it is full");
    assert_eq!(store.set_notify("user", &hash, false), Ok(true));
    assert_eq!(store.set_notify("nobody", &hash, false), Ok(false));
    store.raise_best(&hash, 12.5);
    store.raise_best(&hash, 3.0);
    assert_eq!(store.remove_worker("user", &worker_hash_hex("1")), Ok(true));
    assert_eq!(store.remove_worker("user", &worker_hash_hex("1")), Ok(false));
    let saved = reader.saved_workers().unwrap();
    assert_eq!(saved.len(), SAVED_PER_USER_MAX);
    let of = |user: &str| {
        let row = saved.iter().find(|row| row.user_id == user && row.worker_hash == hash);
        row.expect("both have saved it")
    };
    assert_eq!((of("user").notify, of("other").notify), (false, true));
    // An edit, for which somebody waits, may be done before what nobody waits for.
    soon("the better of the two is kept", || {
        let saved = reader.saved_workers().unwrap();
        saved.iter().all(|row| row.worker_hash != hash || row.best_difficulty == 12.5)
    });
    store.remove_users(&["user".to_owned()]).unwrap();
    let saved = reader.saved_workers().unwrap();
    assert_eq!(saved.len(), 1);
    assert_eq!(saved[0].best_difficulty, 12.5);
    let raw = number(
        &sql(folder.path()),
        "SELECT count(*) FROM saved_workers WHERE worker <> worker_hash",
    );
    assert_eq!(raw, 0);
    close(store, writer);
}

#[test]
fn a_change_that_cannot_be_written_is_skipped_and_the_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    drop(opened(folder.path()));
    sql(folder.path())
        .execute_batch(
            "CREATE TRIGGER refuse BEFORE INSERT ON pending_submissions
             WHEN new.submission_key = 'bad' BEGIN SELECT RAISE(ABORT, 'refused'); END;
             INSERT INTO found_blocks_log (created_at_unix, json) VALUES (1, 'no json')",
        )
        .unwrap();
    let restored = after(folder.path(), |store| {
        for hash in ["aa", "bad", "cc"] {
            store.found(pending(hash), found(hash));
        }
        store.settle(found("aa"), Settled::Submitted, "");
    });
    assert_eq!(restored.pending, [pending("cc")]);
    assert_eq!(states(&restored), [("aa", BlockState::Accepted), ("cc", BlockState::Found)]);
}

#[test]
fn how_it_does_can_be_seen() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _, writer) = running(folder.path());
    store.save_worker("user", &worker_hash_hex("w"), "w").unwrap();
    let figures = store.figures();
    assert_eq!((figures.waiting, figures.failures, figures.error), (0, 0, None));
    close(store, writer);
}
