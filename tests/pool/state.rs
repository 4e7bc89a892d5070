//! What happens to the database while the pool runs, and what can be done about it: the pool goes
//! on, says what is wrong once, and misses nothing when it is mended.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection as Database, OpenFlags};
use tempfile::TempDir;

use crate::kills;
use crate::logs::{Prepared, on_a_disk};
use crate::miner::Miner;
use crate::node::{Chain, Node};
use crate::poll::until_true;
use crate::pool::{Pool, command};
use crate::settings::{MINER_ADDRESS, Settings};

const READ_ONLY_DISK: &str = r#"mount -t tmpfs -o ro,size=1m,mode=755 tmpfs "$0" || exit 9
    exec "$@""#;
const DELIVERY_LIMIT: Duration = Duration::from_secs(40);
const RECOVERY_LIMIT: Duration = Duration::from_secs(30);
const CANNOT: &str = "the database cannot be written";
const CAN: &str = "the database is written again";

/// Blocks that the node has answered for, in the order of the answers.
fn logged(database: &Path) -> Vec<String> {
    hashes(database, "SELECT json_extract(json, '$.hash') FROM found_blocks_log ORDER BY id")
}

/// Blocks that the node has not answered for.
fn pending(database: &Path) -> Vec<String> {
    hashes(database, "SELECT hash FROM pending_submissions WHERE status = 'pending' ORDER BY hash")
}

/// Makes the newest block one whose answer has not come, as a copy has it that is made meanwhile.
fn take_back_an_answer(database: &Path) {
    Database::open(database)
        .and_then(|database| {
            database.execute_batch(
                "UPDATE pending_submissions SET status = 'pending' WHERE hash =
                     (SELECT json_extract(json, '$.hash') FROM found_blocks_log
                      ORDER BY id DESC LIMIT 1);
                 DELETE FROM found_blocks_log WHERE id = (SELECT max(id) FROM found_blocks_log);
                 UPDATE block_life SET state = 'found', settled_at_unix = 0, confirmations = 0
                     WHERE hash IN
                     (SELECT hash FROM pending_submissions WHERE status = 'pending');",
            )
        })
        .expect("take an answer back");
}

fn hashes(database: &Path, query: &str) -> Vec<String> {
    // One that is not there is not made: the pool would take it for somebody's own.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let Ok(database) = Database::open_with_flags(database, flags) else { return Vec::new() };
    let Ok(mut statement) = database.prepare(query) else { return Vec::new() };
    let rows = statement.query_map([], |row| row.get(0));
    rows.and_then(|rows| rows.collect()).unwrap_or_default()
}

fn overwrite_page_of(database: &Path, table: &str) {
    let connection = Database::open(database).expect("open the database");
    // What other connections have in memory is forgotten when somebody else writes.
    connection
        .execute_batch("UPDATE db_change_state SET version = version + 1")
        .expect("write something");
    connection.pragma_update(None, "wal_checkpoint", "TRUNCATE").expect("a checkpoint");
    let page: i64 = connection
        .query_row("SELECT rootpage FROM sqlite_master WHERE name = ?1", [table], |row| row.get(0))
        .expect("the table's page");
    drop(connection);
    let mut file = OpenOptions::new().write(true).open(database).expect("open the file");
    file.seek(SeekFrom::Start((page as u64 - 1) * 4096)).expect("seek");
    file.write_all(&[0xa5; 4096]).expect("overwrite");
    file.sync_all().expect("sync");
}

/// Transactions that failed.
fn failures(pool: &Pool) -> u64 {
    pool.api_server()["database"]["failures"].as_u64().expect("database.failures")
}

/// Counts lines behind the first `skip`.
fn said(pool: &Pool, skip: usize, text: &str) -> usize {
    pool.lines_after(skip).iter().filter(|line| line.contains(text)).count()
}

#[test]
fn a_database_that_is_locked_deleted_or_damaged_stops_nothing_and_is_mended() {
    let node = Node::new(Chain::Regtest);
    node.mine_to(MINER_ADDRESS, 1);
    let (settings, directory) = kills::prepared(&node);
    let mut pool = Pool::start_in(settings, directory);
    let path = pool.folder().join("state/workers.db");
    let mut miner = Miner::join(pool.stratum(), MINER_ADDRESS);
    let mut mined = Vec::new();
    let mut mine = || {
        let job = miner.job_on_within(&node.best_block_hash(), DELIVERY_LIMIT);
        let hash = miner.mine_block_of(&job);
        node.await_tip(&hash, DELIVERY_LIMIT);
        mined.push(hash);
        mined.clone()
    };
    let in_database = |blocks: &[String]| {
        until_true("all blocks are in the database", RECOVERY_LIMIT, || logged(&path) == blocks);
    };
    in_database(&mine());

    // Locked by another program, for longer than the pool waits.
    let skip = pool.log_length();
    let failed_before = failures(&pool);
    let other = Database::open(&path).expect("open the database");
    other.execute_batch("BEGIN IMMEDIATE").expect("lock it");
    mine();
    until_true("it is said", RECOVERY_LIMIT, || said(&pool, skip, CANNOT) == 1);
    let blocks = mine();
    until_true("it is tried again", RECOVERY_LIMIT, || failures(&pool) >= failed_before + 2);
    assert_eq!(said(&pool, skip, CANNOT), 1, "it was tried again, and said once");
    other.execute_batch("COMMIT").expect("let go");
    drop(other);
    in_database(&blocks);
    until_true("that it is over is said", RECOVERY_LIMIT, || said(&pool, skip, CAN) == 1);

    // Deleted, with all that is beside it.
    let skip = pool.log_length();
    fs::remove_dir_all(pool.folder().join("state")).expect("delete the state");
    in_database(&mine());
    assert_eq!(said(&pool, skip, "the database was deleted"), 1);

    // A page that is not what it was.
    let skip = pool.log_length();
    overwrite_page_of(&path, "bans");
    overwrite_page_of(&path, "best_shares");
    mine();
    let banned = format!("{}.rig", kills::wallet(&node, 1));
    kills::get_banned(&pool, &banned);
    until_true("it is mended", RECOVERY_LIMIT, || {
        said(&pool, skip, "the database was damaged") == 1 && said(&pool, skip, CAN) == 1
    });
    in_database(&mine());
    let known: Option<String> = Database::open(&path)
        .expect("open the database")
        .query_row("SELECT worker FROM bans", [], |row| row.get(0))
        .ok();
    assert_eq!(known, Some(banned));

    let all = mine();
    assert!(pool.terminate().success());
    let pool = pool.relaunch();
    pool.stratum();
    in_database(&all);
}

#[test]
fn a_folder_that_can_only_be_read_is_named_at_the_start() {
    let node = Node::new(Chain::Regtest);
    let mut prepared = Prepared::new(&node, "debug = true");
    let Some(command) = on_a_disk(&prepared, "state", READ_ONLY_DISK) else { return };
    prepared.command = command;
    let status = prepared.command.status().expect("run it");
    assert_eq!(status.code(), Some(1));
    let said = fs::read_to_string(prepared.folder().join("stderr")).expect("what it said");
    assert!(said.contains("state/gopool.lock") && said.contains("Read-only"), "{said}");
}

/// `gopool -restore <file>` on a data folder: whether it was done, and what was said.
fn restore(folder: &Path, settings: &Settings, file: &Path) -> (bool, String) {
    let output = command(folder, settings).arg("-restore").arg(file).output().expect("run it");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// The blocks up to one moment, each of them once. The node answers for some before others that were
/// found a little earlier.
fn check_one_moment(kept: &[String], mined: &[String]) {
    const BEFORE_OTHERS_MAX: usize = 32;
    let known: HashSet<&String> = kept.iter().collect();
    assert_eq!(known.len(), kept.len(), "a block is there twice");
    assert!(known.is_subset(&mined.iter().collect()), "a block that nobody has mined");
    let missing = mined.iter().position(|hash| !known.contains(hash)).unwrap_or(mined.len());
    assert!(missing + BEFORE_OTHERS_MAX >= kept.len(), "block {missing} of {} is lost", kept.len());
}

#[test]
fn a_backup_made_while_miners_mine_can_be_put_back() {
    let node = Node::new(Chain::Regtest);
    node.mine_to(MINER_ADDRESS, 1);
    let mut settings = Settings::of(&node);
    settings.flags = &["-backup-on-boot"];
    let directory = TempDir::new().expect("a data directory");
    settings.write(directory.path());
    fs::write(
        directory.path().join("config/services.toml"),
        "[backblaze_backup]\ninterval_seconds = 1\nforce_every_interval = true\n",
    )
    .expect("write services.toml");
    let mut pool = Pool::start_in(settings.clone(), directory);
    let backup = pool.folder().join("state/workers.db.bak");
    until_true("a backup at the start", RECOVERY_LIMIT, || backup.exists());
    let copies = TempDir::new().expect("a folder");
    let mut miner = Miner::join(pool.stratum(), MINER_ADDRESS);
    let mut mined = Vec::new();
    let mut copy_count = 0;
    let end = Instant::now() + Duration::from_secs(8);
    while Instant::now() < end {
        mined.push(miner.mine_block());
        thread::sleep(Duration::from_millis(5));
        // Safe to copy at any time.
        let copy = copies.path().join(format!("{copy_count}"));
        fs::copy(&backup, &copy).expect("copy the backup");
        let database = Database::open(&copy).expect("open the copy");
        let checked: String = database
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .expect("check the copy");
        assert_eq!(checked, "ok");
        copy_count += 1;
    }
    let newest = copies.path().join(format!("{}", copy_count - 1));
    take_back_an_answer(&newest);
    let (kept, on_their_way) = (logged(&newest), pending(&newest));
    assert!(kept.len() > 3, "{} of {} blocks", kept.len(), mined.len());
    check_one_moment(&kept, &mined);
    let (is_done, said) = restore(pool.folder(), &settings, &newest);
    assert!(!is_done && said.contains("another goPool is using"), "{said}");
    assert!(pool.terminate().success());
    let (is_done, said) = restore(pool.folder(), &settings, &newest);
    assert!(is_done && said.contains(&format!("found_blocks_log: {}", kept.len())), "{said}");
    assert!(said.contains("workers.db.before-restore-"), "{said}");
    let pool = pool.relaunch();
    pool.stratum();
    let restored = pool.folder().join("state/workers.db");
    until_true("all are answered for", DELIVERY_LIMIT, || pending(&restored).is_empty());
    let mut all = logged(&restored);
    let mut handed_in = all.split_off(kept.len());
    handed_in.sort();
    assert!(all == kept, "it is what was put back");
    assert_eq!(handed_in, on_their_way, "what was on its way was handed in");
    pool.await_found(kept.last().expect("it has blocks"));
}

#[test]
fn a_pool_does_not_start_with_a_database_that_it_would_ruin() {
    let node = Node::new(Chain::Regtest);
    node.mine_to(MINER_ADDRESS, 1);
    let mut pool = Pool::for_node(&node);
    let path = pool.folder().join("state/workers.db");
    // Another pool on the same folder.
    let settings = Settings::of(&node);
    let second = command(pool.folder(), &settings).output().expect("run it");
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1));
    assert!(said.contains("another goPool is using"), "{said}");
    assert!(pool.terminate().success());
    let mut damaged = fs::read(&path).expect("the database");
    damaged[4096..5 * 4096].fill(0x5a);
    for (bytes, words) in
        [(b"not a database at all".repeat(500), "is damaged"), (damaged, "is damaged")]
    {
        fs::write(&path, &bytes).expect("ruin it");
        let refused = command(pool.folder(), &settings).output().expect("run it");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains(words) && said.contains("-restore"), "{said}");
        assert_eq!(fs::read(&path).expect("the file"), bytes, "it is left as it was");
    }
}
