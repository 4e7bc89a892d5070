//! Databases of every stage that the specification names, made by hand as they were then
//! (`state-and-services.md` §1.4).

use super::*;

/// The first stage: raw worker names, nothing about Discord's eligibility, no counter, and the
/// table that the move from JSON files has left.
const FIRST: &str = "
    CREATE TABLE bans (worker TEXT PRIMARY KEY, worker_hash TEXT NOT NULL,
        until_unix INTEGER NOT NULL, reason TEXT, updated_at_unix INTEGER NOT NULL);
    CREATE TABLE best_shares (position INTEGER PRIMARY KEY, worker TEXT NOT NULL,
        difficulty REAL NOT NULL, timestamp_unix INTEGER NOT NULL, hash TEXT);
    CREATE TABLE saved_workers (user_id TEXT NOT NULL, worker TEXT NOT NULL,
        PRIMARY KEY (user_id, worker));
    CREATE TABLE discord_worker_state (user_id TEXT NOT NULL, worker_hash TEXT NOT NULL,
        online INTEGER NOT NULL, since INTEGER NOT NULL, seen_online INTEGER NOT NULL,
        seen_offline INTEGER NOT NULL, offline_notified INTEGER NOT NULL,
        recovery_eligible INTEGER NOT NULL, recovery_notified INTEGER NOT NULL,
        updated_at INTEGER NOT NULL, PRIMARY KEY (user_id, worker_hash));
    CREATE TABLE found_blocks_log (id INTEGER PRIMARY KEY AUTOINCREMENT,
        created_at_unix INTEGER NOT NULL, json TEXT NOT NULL);
    CREATE TABLE pending_submissions (submission_key TEXT PRIMARY KEY,
        timestamp_unix INTEGER NOT NULL, height INTEGER NOT NULL, hash TEXT, worker TEXT,
        block_hex TEXT NOT NULL, rpc_error TEXT, rpc_url TEXT, payout_addr TEXT,
        status TEXT NOT NULL);
    CREATE TABLE state_migrations (key TEXT PRIMARY KEY, migrated_at_unix INTEGER NOT NULL);
    INSERT INTO bans VALUES ('w.1', 'hash', 0, NULL, 7);
    INSERT INTO best_shares VALUES (0, 'w...1', 12.5, 1700000000, NULL);
    INSERT INTO saved_workers VALUES ('user_1', 'wallet.rig1');
    INSERT INTO discord_worker_state VALUES ('user_1', 'h', 1, 2, 1, 0, 0, 1, 0, 9);
    INSERT INTO found_blocks_log (created_at_unix, json) VALUES
        (1700000000, '{\"timestamp\":\"2023-11-14T22:13:20.5Z\",\"height\":816000,\"hash\":\"0a\",\"worker\":\"w.1\",\"share_diff\":1.5,\"job_id\":\"j\",\"payout_address\":\"p\",\"coinbase_value_sats\":100,\"pool_fee_sats\":2,\"worker_payout_sats\":98,\"dual_payout_fallback\":false}'),
        (1700000001, '{\"hash\":\"dummyhash\"}'), (1700000002, ''), (1700000003, 'no json');
    INSERT INTO pending_submissions VALUES
        ('0b', 1700000000, 816001, '0b', 'w.1', '00', 'timeout', '', 'p', 'pending');
    INSERT INTO state_migrations VALUES ('bans_json', 5);
";

/// A later stage: the hash is there and may be empty, twice for one user; no index yet.
const WITH_HASHES: &str = "
    CREATE TABLE saved_workers (user_id TEXT NOT NULL, worker TEXT NOT NULL, worker_hash TEXT,
        PRIMARY KEY (user_id, worker));
    INSERT INTO saved_workers VALUES ('user_1', 'wallet.rig1', NULL);
    INSERT INTO saved_workers VALUES ('user_1', 'wallet.rig2', '');
    INSERT INTO saved_workers VALUES ('user_1', 'wallet.rig3', '');
    INSERT INTO saved_workers VALUES ('user_2', 'wallet.rig1', NULL);
    INSERT INTO saved_workers VALUES (' ', 'wallet.rig1', NULL);
    INSERT INTO saved_workers VALUES ('user_2', ' ', '');
";

/// The last stage, of the reference as it is: all tables, no version of ours.
const LAST: &str = include_str!("../schema.sql");

#[track_caller]
fn made(stage: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("state")).unwrap();
    sql(folder.path()).execute_batch(stage).expect("the stage is sound SQL");
    folder
}

/// Every row of a table, as text.
#[track_caller]
fn rows(data_dir: &Path, query: &str) -> Vec<String> {
    let connection = sql(data_dir);
    let mut statement = connection.prepare(query).expect(query);
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| {
        let values: Vec<String> = (0..columns)
            .map(|column| row.get::<_, rusqlite::types::Value>(column).map(|v| format!("{v:?}")))
            .collect::<Result<_, _>>()?;
        Ok(values.join(" "))
    });
    rows.and_then(Iterator::collect).expect(query)
}

#[test]
fn the_first_stage_is_upgraded_and_keeps_every_row() {
    let folder = made(FIRST);
    let kept = [
        "SELECT * FROM bans",
        "SELECT * FROM best_shares",
        "SELECT * FROM found_blocks_log",
        "SELECT * FROM pending_submissions",
        "SELECT * FROM state_migrations",
        "SELECT user_id, worker_hash, online, since, seen_online, seen_offline, offline_notified,
             recovery_eligible, recovery_notified, updated_at FROM discord_worker_state",
    ];
    let before = kept.map(|query| rows(folder.path(), query));
    let (writer, restored) = opened(folder.path());
    drop(writer);
    assert_eq!(kept.map(|query| rows(folder.path(), query)), before);
    let hash = worker_hash_hex("wallet.rig1");
    assert_eq!(
        restored.saved_workers,
        [SavedWorkerRow {
            user_id: "user_1".into(),
            worker_hash: hash,
            display: "wallet.rig1".into(),
            notify: true,
            best_difficulty: 0.0,
        }]
    );
    assert_eq!(
        rows(folder.path(), "SELECT offline_eligible FROM discord_worker_state"),
        ["Integer(0)"]
    );
    assert_eq!(
        (restored.bans.len(), restored.best_shares.len(), restored.pending.len()),
        (1, 1, 1)
    );
    assert_eq!(states(&restored), [("0a", BlockState::Accepted)]);
}

#[test]
fn a_copy_of_an_older_database_is_kept_as_it_was_and_only_once() {
    let folder = made(FIRST);
    drop(opened(folder.path()));
    drop(opened(folder.path()));
    let copies: Vec<_> = std::fs::read_dir(folder.path().join("state"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("before-v1"))
        .collect();
    assert_eq!(copies.len(), 1, "{copies:?}");
    let copy = Connection::open(&copies[0]).unwrap();
    let worker: String =
        copy.query_row("SELECT worker FROM saved_workers", [], |row| row.get(0)).unwrap();
    assert_eq!(worker, "wallet.rig1");
}

#[test]
fn rows_without_a_hash_are_no_obstacle_and_nobody_elses_are_lost() {
    let folder = made(WITH_HASHES);
    let (_, restored) = opened(folder.path());
    let mut saved: Vec<_> =
        restored.saved_workers.iter().map(|row| (&*row.user_id, &*row.display)).collect();
    saved.sort_unstable();
    assert_eq!(
        saved,
        [
            ("user_1", "wallet.rig1"),
            ("user_1", "wallet.rig2"),
            ("user_1", "wallet.rig3"),
            ("user_2", "wallet.rig1")
        ]
    );
}

#[test]
fn what_is_one_worker_becomes_one_row_and_no_name_stays() {
    let folder = made(LAST);
    let name = "wallet.rig1";
    let hash = worker_hash_hex(name);
    let connection = sql(folder.path());
    let insert = "INSERT INTO saved_workers (user_id, worker, worker_hash, worker_display,
        notify_enabled, best_difficulty) VALUES ('user_1', ?1, ?2, ?3, ?4, ?5)";
    connection.execute(insert, rusqlite::params![name, "", "", 0, 5.0]).unwrap();
    connection.execute(insert, rusqlite::params![hash, hash, "shown", 1, 12.5]).unwrap();
    let upper = hash.to_uppercase();
    connection.execute(insert, rusqlite::params!["other", upper, "", 0, 1.0]).unwrap();
    let (_, restored) = opened(folder.path());
    assert_eq!(restored.saved_workers.len(), 1);
    let row = &restored.saved_workers[0];
    assert_eq!((row.notify, row.best_difficulty, &row.worker_hash), (true, 12.5, &hash));
    assert_eq!(row.display, "wallet.rig1", "the first that is not blank");
    assert_eq!(
        rows(folder.path(), "SELECT worker FROM saved_workers"),
        [format!("Text({hash:?})")]
    );
}

#[test]
fn a_start_that_changes_nothing_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    after(folder.path(), |store| {
        store.save_worker("user", &worker_hash_hex("w"), "w").unwrap();
        store.settle(found("aa"), Settled::Submitted, "");
    });
    let before = counter(folder.path());
    drop(opened(folder.path()));
    assert_eq!(counter(folder.path()), before, "a backup would be made for nothing (FIX-3)");
}

#[test]
fn the_counter_counts_every_row_of_the_nine_tables() {
    let folder = tempfile::tempdir().unwrap();
    drop(opened(folder.path()));
    assert_eq!(counter(folder.path()), 1);
    let connection = sql(folder.path());
    connection
        .execute_batch(
            "INSERT INTO clerk_users VALUES ('a', 1, 1, 1), ('b', 1, 1, 1);
             UPDATE clerk_users SET seen_count = 2;
             DELETE FROM clerk_users WHERE user_id = 'a';
             INSERT INTO backup_state VALUES ('worker_db', 1, 1, 1);",
        )
        .unwrap();
    assert_eq!(counter(folder.path()), 6);
}
