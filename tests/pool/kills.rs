//! Whatever moment the pool is killed at, its database is sound, and what it has written down is
//! there when it comes back.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection as Database;
use serde_json::json;
use tempfile::TempDir;

use crate::cores::{Moment, Watch};
use crate::miner::Miner;
use crate::node::{Chain, Node, text};
use crate::poll::until_true;
use crate::pool::Pool;
use crate::settings::{MINER_ADDRESS, Settings};
use crate::stratum::Connection;

const KILLS: u64 = 50;
/// A miner is told that its block is good without waiting for the disk (`mining.md` §7.3); a block
/// that was told of this long before the kill must be there, if the pool's threads had a core when
/// they wanted one.
const WRITE_LIMIT: Duration = Duration::from_millis(200);
/// Bans wait for a report of their shard, ten of which come in a second; the rest is for a machine
/// that is busy with other tests.
const BAN_WRITE_LIMIT: Duration = Duration::from_secs(2);
/// On a machine that is busy with other tests.
const LIMIT: Duration = Duration::from_secs(120);

/// A number that is not the same twice, the same in every run.
fn random(number: u64) -> u64 {
    let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32
}

/// A wallet of its own for each number: a ban is about a wallet.
pub fn wallet(node: &Node, number: u64) -> String {
    let script = format!("0014{number:040x}");
    text(&node.rpc("decodescript", &json!([script]))["address"])
}

/// Settings under which a miner that asks for too much is banned.
pub fn prepared(node: &Node) -> (Settings, TempDir) {
    let settings = Settings::of(node);
    let directory = TempDir::new().expect("a data directory");
    settings.write(directory.path());
    let tuning = directory.path().join("config/tuning.toml");
    let before = fs::read_to_string(&tuning).expect("it has just been written");
    let enforced = "[difficulty]\nenforce_suggested_difficulty_limits = true";
    fs::write(&tuning, before.replace("[difficulty]", enforced)).expect("write tuning.toml");
    (settings, directory)
}

/// Has a worker banned; returns when the pool has said so by closing.
pub fn get_banned(pool: &Pool, worker: &str) {
    let mut connection = Connection::open(pool.stratum()).expect("connect");
    let lines = [
        json!({"id": 1, "method": "mining.subscribe", "params": ["greedy/1"]}),
        json!({"id": 2, "method": "mining.authorize", "params": [worker, "x"]}),
        json!({"id": 3, "method": "mining.suggest_difficulty", "params": [1e9]}),
    ];
    for line in lines {
        connection.send(format!("{line}\n").as_bytes()).expect("the pool listens");
    }
    connection.last_words(LIMIT).expect("the pool closes it");
}

/// Others who keep the pool busy until they are told to stop or it is gone.
fn bustle(pool: &Pool, is_over: &Arc<AtomicBool>) -> Vec<thread::JoinHandle<()>> {
    let address = pool.stratum();
    let busy = |_| {
        let is_over = Arc::clone(is_over);
        thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                let Ok(mut connection) = Connection::open(address) else { return };
                for id in 0..20 {
                    let line = json!({"id": id, "method": "mining.subscribe", "params": []});
                    if connection.send(format!("{line}\n").as_bytes()).is_err() {
                        break;
                    }
                    connection.hear(Duration::from_millis(5));
                }
            }
        })
    };
    (0..2).map(busy).collect()
}

/// Looks at a copy of what the killed pool has left: looking at the files themselves would mend
/// them.
fn check_sound(data_directory: &Path, round: u64) {
    let copy = TempDir::new().expect("a folder");
    for name in ["workers.db", "workers.db-wal"] {
        let file = data_directory.join("state").join(name);
        if file.exists() {
            fs::copy(file, copy.path().join(name)).expect("copy the state");
        }
    }
    let database = Database::open(copy.path().join("workers.db")).expect("open the copy");
    let checked: String =
        database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("check the copy");
    assert_eq!(checked, "ok", "kill {round}");
}

fn column(database: &Database, query: &str) -> Vec<String> {
    let mut statement = database.prepare(query).expect("a query");
    let rows = statement.query_map([], |row| row.get(0)).expect("rows");
    rows.collect::<Result<_, _>>().expect("text")
}

#[test]
fn fifty_kills_lose_no_block_and_no_ban_and_ruin_nothing() {
    let node = Node::new(Chain::Regtest);
    node.mine_to(MINER_ADDRESS, 1);
    let (settings, directory) = prepared(&node);
    let mut pool = Pool::start_in(settings, directory);
    let mut blocks: Vec<String> = Vec::new();
    let mut bans: Vec<String> = Vec::new();
    for round in 0..KILLS {
        // On a block's way from its shard to the disk.
        let watch = Watch::new(pool.process_id(), &["blocks", "store"]);
        let is_over = Arc::new(AtomicBool::new(false));
        let busy = bustle(&pool, &is_over);
        let mut miner = Miner::join(pool.stratum(), MINER_ADDRESS);
        let mut told: Vec<(Moment, String)> = Vec::new();
        let banned = wallet(&node, round);
        let mut banned_at = None;
        let end = Instant::now() + Duration::from_millis(100 + random(round) % 1400);
        // In every fifth round until the ban is to be kept.
        let after = BAN_WRITE_LIMIT + Duration::from_millis(random(round) % 300);
        let is_early =
            |ban: Option<Instant>| round % 5 == 0 && ban.is_none_or(|at| at.elapsed() < after);
        while Instant::now() < end || is_early(banned_at) {
            let hash = miner.mine_block();
            told.push((watch.now(), hash));
            thread::sleep(Duration::from_millis(2));
            if banned_at.is_none() {
                get_banned(&pool, &format!("{banned}.rig"));
                banned_at = Some(Instant::now());
            }
        }
        thread::sleep(Duration::from_millis(random(round + KILLS) % 30));
        let killed_at = watch.now();
        pool.kill();
        is_over.store(true, Ordering::Relaxed);
        let is_due = |at: Moment| killed_at.since(at) >= WRITE_LIMIT;
        blocks.extend(told.into_iter().filter(|(at, _)| is_due(*at)).map(|told| told.1));
        if banned_at.is_some_and(|at| killed_at.at.duration_since(at) >= BAN_WRITE_LIMIT) {
            bans.push(format!("{banned}.rig"));
        }
        for thread in busy {
            thread.join().expect("it only talks");
        }
        check_sound(pool.folder(), round);
        pool = pool.relaunch();
        pool.stratum();
    }
    // Hundreds, unless other programs have had the cores.
    assert!(blocks.len() >= 20, "{} blocks", blocks.len());
    assert!(bans.len() as u64 >= KILLS / 5, "{} bans", bans.len());
    let path = pool.folder().join("state/workers.db");
    // Some are stale: a miner may be quicker than the news of its own last block.
    let query = "SELECT hash FROM block_life WHERE state NOT IN ('found', 'submitted')";
    until_true("all blocks are settled", LIMIT, || {
        let database = Database::open(&path).expect("open the database");
        let known: HashSet<String> = column(&database, query).into_iter().collect();
        blocks.iter().all(|hash| known.contains(hash))
    });
    assert!(pool.terminate().success());
    let database = Database::open(&path).expect("open the database");
    let logged = column(&database, "SELECT json_extract(json, '$.hash') FROM found_blocks_log");
    let known: HashSet<&String> = logged.iter().collect();
    assert_eq!(known.len(), logged.len(), "no block is doubled");
    for hash in &blocks {
        assert!(known.contains(hash), "{hash} is lost");
    }
    let known = column(&database, "SELECT worker FROM bans");
    for worker in &bans {
        assert!(known.contains(worker), "{worker} is not banned any more");
    }
}
