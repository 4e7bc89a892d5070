//! Everything around the pool is away for an hour and comes back: nobody who mines or looks at a page
//! notices, the log stays short, and what there was to say and to keep is there afterwards, once.

mod scene;

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;

use self::scene::{Away, Scene, rig};
use crate::miner::Miner;
use crate::node::text;
use crate::poll::until_true;
use crate::pool::Pool;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(30);
/// After the start, and after the pool was cut off: five minutes in which nobody is missed, and more.
const WARM_UP_LIMIT: Duration = Duration::from_secs(400);
/// Notices are tried every five minutes at the least, Discord's gateway and copies every ten.
const RETURN_LIMIT: Duration = Duration::from_secs(640);
/// The price may have half an hour between two tries.
const PRICE_LIMIT: Duration = Duration::from_secs(1900);
/// Of what is not to come.
const SILENCE: Duration = Duration::from_secs(15);
const OLD_PRICE: u64 = 50_000;
const NEW_PRICE: u64 = 60_000;
const PLACES: [&str; 3] = ["webhook", "ntfy", "telegram"];

/// How many warnings and errors each part has written.
fn complaints(lines: &[String]) -> Vec<(String, usize)> {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for line in lines.iter().filter(|line| line.contains("[WARN]") || line.contains("[ERROR]")) {
        let part = line.split("component=").nth(1).and_then(|rest| rest.split(' ').next());
        let part = part.unwrap_or("none");
        match counts.iter_mut().find(|(name, _)| name == part) {
            Some((_, count)) => *count += 1,
            None => counts.push((part.to_owned(), 1)),
        }
    }
    counts
}

/// The workers that somebody has saved.
struct Rigs {
    stays: Miner,
    returns: Option<Miner>,
    leaves: Option<Miner>,
}

fn an_hour(how: Away) {
    let scene = Scene::new();
    let join = |name: &str| Miner::join(scene.pool.stratum(), &rig(name));
    let (returns, leaves) = (Some(join("returns")), Some(join("leaves")));
    let mut rigs = Rigs { stays: join("stays"), returns, leaves };
    let mut heights = vec![scene.find_block(&mut rigs.stays)];
    scene.await_blocks(&heights, LIMIT);
    until_true("the price", LIMIT, || scene.price() == Some(OLD_PRICE));
    until_true("workers are watched", WARM_UP_LIMIT, || {
        scene.count("webhook", &["\"event\":\"watching\""]) == 1
    });
    until_true("the copy is in the bucket", WARM_UP_LIMIT, || scene.is_uploaded());
    // All three have been seen.
    sleep(Duration::from_secs(35));
    let used = |pool: &Pool| (pool.descriptor_count(), pool.resident_bytes());
    let (before, skip) = (used(&scene.pool), scene.pool.log_length());

    scene.go_away(how, HOUR);
    let began = Instant::now();
    meanwhile(how, &scene, &mut rigs, &mut heights);
    check_log(how, &scene.pool.lines_after(skip));
    let after = used(&scene.pool);
    eprintln!("{how:?}: descriptors and bytes {before:?}, then {after:?}");
    assert!(after.0 <= before.0 + 8 && after.1 <= before.1 + (32 << 20), "{how:?}");
    sleep((began + HOUR).saturating_duration_since(Instant::now()));

    afterwards(how, &scene, &heights);
    check_said(how, &scene, &heights);
    let Scene { mut pool, node, b2, clerk, discord, inbox, cookie } = scene;
    assert!(pool.terminate().success());
    let pool = pool.relaunch();
    pool.stratum();
    pool.await_log("connected to Discord", &["component=discord"], LIMIT);
    sleep(SILENCE);
    let scene = Scene { pool, node, b2, clerk, discord, inbox, cookie };
    check_said(how, &scene, &heights);
}

/// Who mines and who looks at pages does so, up to a minute before the end.
fn meanwhile(how: Away, scene: &Scene, rigs: &mut Rigs, heights: &mut Vec<u64>) {
    let (began, mut slowest) = (Instant::now(), Duration::ZERO);
    for minute in 1..60 {
        sleep((began + minute * MINUTE).saturating_duration_since(Instant::now()));
        match minute {
            // Just after, halfway and just before.
            1 | 30 | 58 => heights.push(scene.find_block(&mut rigs.stays)),
            10 => rigs.returns.take().expect("it is here").leave(),
            40 => rigs.returns = Some(Miner::join(scene.pool.stratum(), &rig("returns"))),
            50 => rigs.leaves.take().expect("it is here").leave(),
            _ => {}
        }
        let miner = &mut rigs.stays;
        let job = miner.job_on(&scene.node.best_block_hash());
        let share = miner.find_share(&job);
        assert!(miner.submit(&share).is_true(), "minute {minute}: a share is refused");
        for path in ["/", "/api/overview", "/server", "/api/saved-workers", "/saved-workers"] {
            let asked = Instant::now();
            let answer = scene.pool.get(path, &[("Cookie", &scene.cookie)]);
            assert_eq!(answer.status, 200, "minute {minute}: {path}");
            slowest = slowest.max(asked.elapsed());
        }
        assert_eq!(scene.price(), Some(OLD_PRICE), "minute {minute}: the last known");
    }
    eprintln!("{how:?}: slowest page {slowest:?}");
}

fn check_log(how: Away, lines: &[String]) {
    let complaints = complaints(lines);
    eprintln!("{how:?}: {complaints:?}, {} lines", lines.len());
    for (part, count) in &complaints {
        let allowed = match &**part {
            // Each place every ten minutes, and once that all are cut off.
            "notices" => 3 * 6 + 1,
            // It has not been reached, or has broken off.
            "backup" => 2 * 6,
            "discord" => 4,
            "clerk" | "price" => 1,
            _ => 0,
        };
        assert!(*count <= allowed, "{how:?}: {part}: {count} complaints in an hour: {lines:#?}");
    }
}

/// What was kept for those who are back reaches them.
fn afterwards(how: Away, scene: &Scene, heights: &[u64]) {
    scene.inbox.ask("POST", "price", &json!({ "usd": NEW_PRICE }));
    scene.clerk.ask("POST", "rotate", &json!({ "keep": false }));
    scene.come_back(how);
    let back = Instant::now();
    let reached = |what: &str| eprintln!("{how:?}: {what} after {:?}", back.elapsed());
    scene.await_blocks(heights, RETURN_LIMIT);
    reached("blocks told of");
    until_true("the copy is in the bucket", RETURN_LIMIT, || scene.is_uploaded());
    reached("uploaded");
    let versions = scene.b2.list("files");
    let mut sums: Vec<String> = versions.iter().map(|file| text(&file["sha1"])).collect();
    sums.sort_unstable();
    sums.dedup();
    assert_eq!(sums.len(), versions.len(), "the same is there twice: {versions:#?}");
    // A new key has come meanwhile, and the old one is withdrawn.
    let token = scene.clerk.ask("POST", "token", &json!({ "seconds": 4 * 3600 }));
    let cookie = format!("__session={}", text(&token["token"]));
    until_true("the new key is known", RETURN_LIMIT, || {
        scene.pool.get("/api/saved-workers", &[("Cookie", &cookie)]).status == 200
    });
    reached("signed in");
    until_true("who has left is told of", RETURN_LIMIT, || {
        scene.count("webhook", &["worker_offline", ".leaves"]) > 0
    });
    until_true("and on Discord", RETURN_LIMIT, || {
        scene.count("discord", &["offline for 2s", ".leaves"]) > 0
    });
    reached("the worker told of");
    until_true("the new price", PRICE_LIMIT, || scene.price() == Some(NEW_PRICE));
    reached("the price");
    scene.check_secrets();
}

/// Everything once. Of who was back before anybody looked nothing is said where nobody did.
fn check_said(how: Away, scene: &Scene, heights: &[u64]) {
    scene.await_blocks(heights, LIMIT);
    let came_back = usize::from(how == Away::Silent);
    for place in PLACES.into_iter().chain(["discord"]) {
        let (away, back_online) = match place {
            "webhook" => ("worker_offline", "worker_recovered"),
            _ => ("offline", "back online"),
        };
        let counts = [
            scene.count(place, &[away, ".leaves"]),
            scene.count(place, &[away, ".returns"]),
            scene.count(place, &[back_online, ".returns"]),
            scene.count(place, &[away, ".stays"]),
        ];
        let expected = [1, came_back, came_back, 0];
        assert_eq!(counts, expected, "{how:?}: {place}: {:#?}", scene.said(place));
    }
}

#[test]
#[ignore = "takes an hour and a half: everybody is away for an hour"]
fn an_hour_without_anybody_costs_nothing_but_the_time() {
    an_hour(Away::Gone);
}

#[test]
#[ignore = "takes an hour and a half: everybody says nothing for an hour"]
fn an_hour_of_silence_costs_nothing_but_the_time() {
    an_hour(Away::Silent);
}
