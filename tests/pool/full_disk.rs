//! A disk that is full keeps no block from the node, and gets what it has missed.

use std::fs::{self, File};
use std::io::Write;
use std::time::Duration;

use crate::logs::{Prepared, Running, on_a_disk};
use crate::node::{Chain, Node};
use crate::poll::until_true;
use crate::settings::MINER_ADDRESS;

const DISK: &str = r#"mount -t tmpfs -o size=4m,mode=755 tmpfs "$0" || exit 9
    exec "$@""#;
const DELIVERY_LIMIT: Duration = Duration::from_secs(40);
/// A write that failed is tried again each second.
const RECOVERY_LIMIT: Duration = Duration::from_secs(20);

#[test]
fn a_database_without_room_is_waited_for_and_mining_is_not() {
    let node = Node::new(Chain::Regtest);
    node.mine_to(MINER_ADDRESS, 1);
    let mut prepared = Prepared::new(&node, "debug = true");
    let Some(command) = on_a_disk(&prepared, "state", DISK) else { return };
    prepared.command = command;
    let mut pool = prepared.start();
    let disk = pool.through_its_eyes("state");
    let mut miner = pool.miner();
    let mut filler = File::create(disk.join("filler")).expect("the disk has room");
    while filler.write_all(&[0; 4096]).is_ok() {}
    let hash = miner.mine_block();
    node.await_tip(&hash, DELIVERY_LIMIT);
    until_true("the log says that the database takes nothing", RECOVERY_LIMIT, || said(&pool) > 0);
    // Miners go on, and blocks with them.
    let job = miner.job_on_within(&hash, DELIVERY_LIMIT);
    let next = miner.mine_block_of(&job);
    node.await_tip(&next, DELIVERY_LIMIT);
    let is_on_disk = |hash: &str| {
        let files = fs::read_dir(&disk).expect("the folder of the database");
        files.map(|entry| entry.expect("an entry").path()).any(|path| {
            let bytes = fs::read(path).unwrap_or_default();
            bytes.windows(hash.len()).any(|window| window == hash.as_bytes())
        })
    };
    assert!(!is_on_disk(&next), "there is no room");
    drop(filler);
    fs::remove_file(disk.join("filler")).expect("make room");
    until_true("both blocks are in the database", RECOVERY_LIMIT, || {
        is_on_disk(&hash) && is_on_disk(&next)
    });
    // It was tried each second, and said once.
    assert_eq!(said(&pool), 1);
    until_true("the log says that it is over", RECOVERY_LIMIT, || {
        pool.lines("pool").iter().any(|line| line.contains("the database is written again"))
    });
    assert!(pool.stop().success());
}

fn said(pool: &Running) -> usize {
    let lines = pool.lines("pool");
    lines.iter().filter(|line| line.contains("the database cannot be written")).count()
}
