//! Files that cannot be used, and files that something happens to while the pool runs.

use std::fs;
use std::io::{Seek, SeekFrom, Write};

use super::*;

#[track_caller]
fn refused(data_dir: &Path) -> String {
    open(&plan(data_dir)).expect_err("it cannot be used").to_string()
}

/// Waits until a failure has been counted and nothing is left of it.
#[track_caller]
fn fails_and_works_again(store: &StoreHandle) {
    soon("it is said", || store.figures().failures > 0);
    soon("it works again", || {
        let figures = store.figures();
        figures.waiting == 0 && figures.error.is_none()
    });
}

#[track_caller]
fn names(data_dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(data_dir.join("state"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Overwrites the page that a row of a table is on.
#[track_caller]
fn damage_page_of(data_dir: &Path, table: &str) {
    let connection = sql(data_dir);
    connection.pragma_update(None, "wal_checkpoint", "TRUNCATE").unwrap();
    let query = format!("SELECT rootpage FROM sqlite_master WHERE name = '{table}'");
    let root = number(&connection, &query).cast_unsigned();
    drop(connection);
    let mut file = fs::OpenOptions::new().write(true).open(database_path(data_dir)).unwrap();
    file.seek(SeekFrom::Start((root - 1) * 4096)).unwrap();
    file.write_all(&[0xa5; 4096]).unwrap();
    file.sync_all().unwrap();
}

#[test]
fn a_file_that_is_no_database_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("state")).unwrap();
    fs::write(database_path(folder.path()), "no database at all, but long enough".repeat(40))
        .unwrap();
    let error = refused(folder.path());
    assert!(error.contains("workers.db is damaged"), "{error}");
    assert!(error.contains("There is no copy of it here") && error.contains("-restore"), "{error}");
    fs::write(folder.path().join("state/workers.db.bak"), "").unwrap();
    let error = refused(folder.path());
    assert!(error.contains("workers.db.bak. Put one back with `gopool -data-dir"), "{error}");
    let content = fs::read(database_path(folder.path())).unwrap();
    assert!(content.starts_with(b"no database"), "it is left as it was");
}

#[test]
fn a_damaged_page_is_found_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    after(folder.path(), |store| store.settle(found("aa"), Settled::Submitted, ""));
    damage_page_of(folder.path(), "found_blocks_log");
    let error = refused(folder.path());
    assert!(error.contains("is damaged (") && error.contains("-restore"), "{error}");
}

#[test]
fn a_newer_database_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("state")).unwrap();
    // With a rollback journal, as the reference has it.
    sql(folder.path()).pragma_update(None, "user_version", 99).unwrap();
    let before = fs::read(database_path(folder.path())).unwrap();
    let error = refused(folder.path());
    assert!(fs::read(database_path(folder.path())).unwrap() == before);
    assert!(error.contains("written by a newer goPool (its version is 99"), "{error}");
    let version = schema::version(&sql(folder.path())).unwrap();
    assert_eq!(version, 99);
}

#[test]
fn a_database_that_is_deleted_while_it_is_used_is_written_again_with_everything() {
    let folder = tempfile::tempdir().unwrap();
    let (store, reader, writer) = running(folder.path());
    store.settle(found("aa"), Settled::Submitted, "");
    soon("the first block", || reader.blocks().is_ok_and(|blocks| blocks.len() == 1));
    for name in ["workers.db", "workers.db-wal", "workers.db-shm"] {
        fs::remove_file(folder.path().join("state").join(name)).unwrap();
    }
    store.settle(found("bb"), Settled::Submitted, "");
    soon("both blocks", || reader.blocks().is_ok_and(|blocks| blocks.len() == 2));
    // The whole folder, and nothing to write meanwhile.
    fs::remove_dir_all(folder.path().join("state")).unwrap();
    soon("the file again", || database_path(folder.path()).exists());
    close(store, writer);
    let restored = opened(folder.path()).1;
    assert_eq!(states(&restored), [("aa", BlockState::Accepted), ("bb", BlockState::Accepted)]);
}

#[test]
fn a_file_that_is_put_in_its_place_is_kept_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let (store, reader, writer) = running(folder.path());
    store.settle(found("aa"), Settled::Submitted, "");
    soon("the block", || reader.blocks().is_ok_and(|blocks| blocks.len() == 1));
    let path = database_path(folder.path());
    fs::remove_file(&path).unwrap();
    fs::write(&path, "somebody's own").unwrap();
    store.settle(found("bb"), Settled::Submitted, "");
    soon("both blocks", || reader.blocks().is_ok_and(|blocks| blocks.len() == 2));
    close(store, writer);
    let names = names(folder.path());
    let kept = names.iter().find(|name| name.starts_with("workers.db.replaced-"));
    let kept = kept.unwrap_or_else(|| panic!("only {names:?}"));
    let kept = fs::read(folder.path().join("state").join(kept)).unwrap();
    assert_eq!(kept, b"somebody's own");
    assert_eq!(opened(folder.path()).1.blocks.len(), 2);
}

#[test]
fn a_damaged_database_is_replaced_by_what_can_be_read_of_it_and_of_the_backup() {
    let folder = tempfile::tempdir().unwrap();
    let ban = Ban::new("banned", 0, "why", None);
    after(folder.path(), |store| {
        store.settle(found("aa"), Settled::Submitted, "");
        store.save_ban(&ban);
    });
    let backup = folder.path().join("state/workers.db.bak");
    connection::copy(&sql(folder.path()), &backup).unwrap();
    let (store, _, writer) = running(folder.path());
    store.found(pending("bb"), found("bb"));
    store.save_worker("user", &worker_hash_hex("w"), "w").unwrap();
    damage_page_of(folder.path(), "bans");
    store.save_ban(&Ban::new("banned.too", 0, "why", None));
    store.settle(found("cc"), Settled::Submitted, "");
    fails_and_works_again(&store);
    close(store, writer);
    let restored = opened(folder.path()).1;
    assert_eq!(
        states(&restored),
        [("aa", BlockState::Accepted), ("bb", BlockState::Found), ("cc", BlockState::Accepted)]
    );
    let mut banned: Vec<_> = restored.bans.iter().map(|ban| &*ban.worker).collect();
    banned.sort_unstable();
    assert_eq!(banned, ["banned", "banned.too"], "the first of them from the backup");
    assert_eq!(restored.saved_workers.len(), 1);
    assert_eq!(restored.pending, [pending("bb")]);
    assert!(names(folder.path()).iter().any(|name| name.starts_with("workers.db.damaged-")));
}

#[test]
fn a_locked_database_is_waited_for_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _, writer) = running(folder.path());
    let other = sql(folder.path());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    store.settle(found("aa"), Settled::Submitted, "");
    soon("it is said", || store.figures().error.is_some());
    assert!(store.figures().waiting > 0);
    other.execute_batch("COMMIT").unwrap();
    soon("it works again", || store.figures().error.is_none());
    close(store, writer);
    assert_eq!(opened(folder.path()).1.blocks.len(), 1);
}

#[test]
fn a_connection_that_may_not_write_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _, writer) = running(folder.path());
    store.edit(|transaction| transaction.pragma_update(None, "query_only", "ON")).unwrap();
    store.settle(found("aa"), Settled::Submitted, "");
    fails_and_works_again(&store);
    close(store, writer);
    assert_eq!(opened(folder.path()).1.blocks.len(), 1);
}
