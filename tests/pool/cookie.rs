//! The node's cookie comes and goes, and nobody has to tell the pool.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;

use crate::miner::Miner;
use crate::node::{Chain, Node};
use crate::poll::until_true;
use crate::process::Process;
use crate::settings::{MINER_ADDRESS, Settings};
use crate::{pool, ports};

const START_LIMIT: Duration = Duration::from_secs(60);
const DELIVERY_LIMIT: Duration = Duration::from_secs(40);

/// A pool that is told of no cookie; its home is `directory`.
fn launch(node: &Node, directory: &Path) -> (Process, SocketAddr) {
    let stratum = ports::loopback(ports::free());
    let mut settings = Settings::of(node);
    settings.pool_listen = stratum.to_string();
    settings.write(directory);
    let path = directory.join("config/config.toml");
    let config = fs::read_to_string(&path).expect("the configuration");
    let key = format!("rpc_cookie_path = \"{}\"", node.cookie_path().display());
    assert!(config.contains(&key));
    fs::write(&path, config.replace(&key, "rpc_cookie_path = \"\"")).expect("write");
    let mut command = pool::command(directory, &settings);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    (Process::spawn(&mut command), stratum)
}

fn log_of(directory: &Path) -> String {
    let Ok(files) = fs::read_dir(directory.join("logs")) else { return String::new() };
    files.filter_map(|file| fs::read_to_string(file.ok()?.path()).ok()).collect()
}

#[test]
fn a_cookie_is_found_once_the_node_has_written_it_and_followed_when_it_changes() {
    let mut node = Node::absent(Chain::Regtest);
    let directory = TempDir::new().expect("a data directory");
    // Where Core keeps its data, as seen from this home.
    symlink(node.data_directory(), directory.path().join(".bitcoin")).expect("a link");
    let (_pool, stratum) = launch(&node, directory.path());
    until_true("the log lists where a cookie may be", START_LIMIT, || {
        let log = log_of(directory.path());
        let line = log.lines().find(|line| line.contains("there is no cookie yet"));
        line.is_some_and(|line| {
            line.contains("/.bitcoin/regtest/.cookie") && line.contains("/etc/bitcoin/.cookie")
        })
    });

    node.start();
    node.mine_to(MINER_ADDRESS, 1);
    until_true("the Stratum port opens", START_LIMIT, || TcpStream::connect(stratum).is_ok());
    let mut miner = Miner::join(stratum, MINER_ADDRESS);
    // The pool may have asked between the two.
    miner.job_on_within(&node.best_block_hash(), DELIVERY_LIMIT);
    let hash = miner.mine_block();
    node.await_tip(&hash, DELIVERY_LIMIT);

    miner.job_on_within(&hash, DELIVERY_LIMIT);
    // Its operator restarts the node: there is no cookie for a while, and then another one.
    let cookie = fs::read(node.cookie_path()).expect("a cookie");
    node.stop();
    assert!(!node.cookie_path().exists());
    let hash = miner.mine_block();
    node.start();
    assert_ne!(fs::read(node.cookie_path()).expect("a cookie"), cookie);
    node.await_tip(&hash, DELIVERY_LIMIT);
    assert!(miner.job_on_within(&hash, DELIVERY_LIMIT).clean);
    let log = log_of(directory.path());
    for message in ["cookie loaded", "cookie reloaded"] {
        assert_eq!(log.matches(message).count(), 1, "{message}: {log}");
    }
    assert_eq!(log.matches("there is no cookie yet").count(), 1, "{log}");
}
