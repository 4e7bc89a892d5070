//! What an operator changes while the pool runs.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::scope;
use std::time::{Duration, Instant};

use crate::miner::Miner;
use crate::node::{Chain, Node};
use crate::pool::Pool;
use crate::settings::{MINER_ADDRESS, Settings};
use crate::stratum::connect;
use crate::work::{Job, hex};

/// Of 127.0.0.1, all at work.
const MINER_COUNT: usize = 1000;
const THREAD_COUNT: usize = 8;
/// Good configurations, a broken one between any two.
const RELOAD_COUNT: usize = 6;
/// For all of the miners to come and to have work.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(60);
/// Shares and blocks are different things only where hashes count; this one is met by each.
const EVERY_HASH: f64 = 1e-10;

/// Sends SIGUSR2 and waits for the line that ends what it causes.
#[track_caller]
fn reload(pool: &Pool, outcome: &str) {
    let before = pool.log_length();
    pool.signal(libc::SIGUSR2);
    pool.await_log_after(before, outcome, &[]);
}

const RELOADED: &str = "configuration reloaded";
const NOT_RELOADED: &str = "not reloaded: the pool goes on with what it has";

#[test]
fn a_new_configuration_is_taken_and_what_needs_a_restart_is_listed() {
    let node = Node::new(Chain::Signet);
    let mut settings = Settings::of(&node);
    let pool = Pool::start(settings.clone());
    let mut miner = Miner::join(pool.stratum(), MINER_ADDRESS);
    let before = miner.job();
    settings.pooltag_prefix = "renamed";
    settings.fee_percent = 5.0;
    settings.pool_listen = "127.0.0.1:1".to_owned();
    settings.write(pool.folder());
    let length = pool.log_length();
    reload(&pool, RELOADED);
    pool.await_log_after(length, "changed", &["key=mining.pooltag_prefix"]);
    pool.await_log_after(length, "changed, and needs a restart", &["keys=server.pool_listen"]);
    // The miner that was there gets work with the new tag, on the same tip.
    let after = miner.await_another(&before);
    let has_tag = |job: &Job| hex(&job.coinb2).contains(&hex(b"/renamed-goPool/"));
    assert!(has_tag(&after) && !has_tag(&before), "{}", hex(&after.coinb2));
    assert!(pool.get("/", &[]).body.contains("<dd>5.00%</dd>"), "the page shows the new fee");
    // And a block of it is one.
    let hash = miner.mine_block();
    node.await_tip(&hash, ARRIVAL_LIMIT);
}

#[test]
fn a_broken_file_changes_nothing_and_is_explained() {
    let node = Node::new(Chain::Signet);
    let settings = Settings::of(&node);
    let pool = Pool::start(settings.clone());
    let mut miner = Miner::join(pool.stratum(), MINER_ADDRESS);
    let job = miner.job();
    let config = pool.folder().join("config/config.toml");
    let tuning = pool.folder().join("config/tuning.toml");
    let good = fs::read_to_string(&config).expect("the file is there");
    for (path, text, words) in [
        (&config, "[node\n", "config.toml:1"),
        (&tuning, "[mining]\njob_entropy = 99\n", "mining.job_entropy"),
    ] {
        let before = fs::read_to_string(path).expect("the file is there");
        fs::write(path, text).expect("write it");
        let length = pool.log_length();
        reload(&pool, NOT_RELOADED);
        assert!(pool.lines_after(length).iter().any(|line| line.contains(words)), "{words}");
        fs::write(path, before).expect("write it");
    }
    fs::remove_file(&config).expect("remove it");
    let length = pool.log_length();
    pool.signal(libc::SIGUSR2);
    pool.await_log_after(length, "not reloaded: the pool goes on with what it has", &[]);
    let share = miner.find_share(&job);
    assert!(miner.submit(&share).is_true());
    fs::write(&config, good).expect("write it");
    reload(&pool, RELOADED);
    let share = miner.find_share(&job);
    assert!(miner.submit(&share).is_true(), "the job of before still counts");
}

/// Whatever is reloaded, and however often, nobody's share is refused and nobody is sent away.
#[test]
fn a_thousand_miners_do_not_notice() {
    let node = Node::new(Chain::Signet);
    let mut settings = Settings::of(&node);
    settings.difficulty = EVERY_HASH;
    settings.difficulty_max = EVERY_HASH;
    let pool = Pool::start(settings.clone());
    let address = pool.stratum();
    let (is_over, arrived, accepted) =
        (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    scope(|threads| {
        for thread in 0..THREAD_COUNT {
            let (is_over, arrived, accepted) = (&is_over, &arrived, &accepted);
            threads.spawn(move || {
                let name = |nth| format!("{MINER_ADDRESS}.t{thread}n{nth}");
                let mut miners: Vec<Miner> = (0..MINER_COUNT / THREAD_COUNT)
                    .map(|nth| Miner::join(address, &name(nth)))
                    .collect();
                arrived.fetch_add(miners.len(), Ordering::Relaxed);
                while !is_over.load(Ordering::Relaxed) {
                    for miner in &mut miners {
                        let job = miner.job();
                        let share = miner.find_share(&job);
                        let answer = miner.submit(&share);
                        assert!(answer.is_true(), "{answer:?}");
                        accepted.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let deadline = Instant::now() + ARRIVAL_LIMIT;
        while arrived.load(Ordering::Relaxed) < MINER_COUNT && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        let config = pool.folder().join("config/config.toml");
        for nth in 0..RELOAD_COUNT {
            let at = accepted.load(Ordering::Relaxed);
            settings.pooltag_prefix = ["one", "two"][nth % 2];
            settings.idle_seconds = 180 + u32::try_from(nth).expect("few");
            settings.write(pool.folder());
            reload(&pool, RELOADED);
            let good = fs::read_to_string(&config).expect("the file is there");
            fs::write(&config, "nonsense").expect("write it");
            reload(&pool, NOT_RELOADED);
            fs::write(&config, good).expect("write it");
            // Everybody has had a turn meanwhile.
            let deadline = Instant::now() + ARRIVAL_LIMIT;
            while accepted.load(Ordering::Relaxed) < at + MINER_COUNT && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(accepted.load(Ordering::Relaxed) > RELOAD_COUNT * MINER_COUNT);
    pool.await_server("all shares counted", |server| {
        let shares = &server["shares"];
        let refused: u64 = shares["rejected"]
            .as_object()
            .expect("by reason")
            .values()
            .filter_map(serde_json::Value::as_u64)
            .sum();
        assert_eq!(refused, 0, "{shares}");
        (shares["accepted"].as_u64() == Some(accepted.load(Ordering::Relaxed) as u64)).then_some(())
    });
}

#[test]
fn pages_of_an_operators_own_are_taken_on_sigusr1() {
    let node = Node::absent(Chain::Signet);
    let pool = Pool::launch(Settings::of(&node));
    let templates = pool.folder().join("templates");
    fs::create_dir(&templates).expect("make it");
    fs::write(templates.join("overview.html"), "ours: {{ frame.network }}").expect("write it");
    let length = pool.log_length();
    pool.signal(libc::SIGUSR1);
    pool.await_log_after(length, "pages reloaded", &["component=http"]);
    assert_eq!(pool.get("/", &[]).body, "ours: signet");
    fs::write(templates.join("overview.html"), "{% if %}").expect("write it");
    pool.signal(libc::SIGUSR1);
    pool.await_log_after(length, "pages not reloaded, the old ones stay", &["component=http"]);
    assert_eq!(pool.get("/", &[]).body, "ours: signet");
}

/// `-miner-profile-json`: what kinds of miners there are is in the file when the pool has ended.
#[test]
fn kinds_of_miners_are_written_down() {
    let node = Node::new(Chain::Signet);
    let mut settings = Settings::of(&node);
    settings.flags = &["-miner-profile-json", "profiles.json"];
    let mut pool = Pool::start(settings);
    let mut miner = Miner::join(pool.stratum(), &format!("{MINER_ADDRESS}.rig"));
    let job = miner.job();
    let share = miner.find_share(&job);
    assert!(miner.submit(&share).is_true());
    pool.terminate();
    let text = fs::read_to_string(pool.folder().join("profiles.json")).expect("it was written");
    let document: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    let profile = &document["profiles"][0];
    assert_eq!(profile["miner_type"], "harness/1.0", "{document}");
    assert_eq!((&profile["sessions"], &profile["client_version"]), (&1.into(), &"1.0".into()));
    let short =
        format!("{}...{}.rig", &MINER_ADDRESS[..8], &MINER_ADDRESS[MINER_ADDRESS.len() - 8..]);
    assert_eq!(profile["workers_sample"][0], short, "whose it is, is not told");
    assert_eq!(profile["starting_difficulty"]["count"], 1);
}

/// Debug lines come and go with the key, without a restart.
#[test]
fn how_much_is_logged_can_be_changed() {
    let node = Node::new(Chain::Signet);
    let pool = Pool::start(Settings::of(&node));
    let config = pool.folder().join("config/config.toml");
    let with_debug = fs::read_to_string(&config).expect("it is there");
    let visit = || drop(connect(pool.stratum()).expect("connect"));
    fs::write(&config, with_debug.replace("debug = true", "debug = false")).expect("write it");
    reload(&pool, RELOADED);
    let length = pool.log_length();
    visit();
    // Its end is logged before it is counted.
    pool.await_server("the visit is over", |server| {
        (server["connections"]["closed"]["hangup"] == 1).then_some(())
    });
    let said = pool.lines_after(length);
    assert!(said.iter().all(|line| !line.contains("[DEBUG]")), "{said:?}");
    fs::write(&config, with_debug).expect("write it");
    reload(&pool, RELOADED);
    visit();
    pool.await_log_after(length, "connection closed", &[]);
}
