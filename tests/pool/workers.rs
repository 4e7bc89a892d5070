//! The pages about workers: what a miner's block would pay, proved by Bitcoin Core itself; and one's own
//! miner asked to come again.

use std::thread;
use std::time::Duration;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::http;
use crate::miner::Miner;
use crate::node::{Chain, Node, sats, text};
use crate::poll::until;
use crate::pool::{Pool, SNAPSHOT_LIMIT};
use crate::settings::{MINER_ADDRESS, Settings, pool_address};

const LIMIT: Duration = Duration::from_secs(10);

fn hash(worker: &str) -> String {
    const_hex::encode(Sha256::digest(worker.as_bytes()))
}

/// What stands in the page behind a text, up to the next tag.
#[track_caller]
fn behind<'a>(html: &'a str, text: &str) -> &'a str {
    let (_, rest) = html.split_once(text).unwrap_or_else(|| panic!("no {text:?} in {html}"));
    rest.split('<').next().expect("the rest")
}

#[test]
fn the_payout_that_a_page_proves_is_the_one_the_node_reads_and_the_miner_was_told() {
    let node = Node::new(Chain::Regtest);
    node.mine_to(MINER_ADDRESS, 1);
    let pool = Pool::for_node(&node);
    let worker = format!("{MINER_ADDRESS}.rig");
    let mut miner = Miner::join(pool.stratum(), &worker);
    let job = miner.job();
    let page = format!("/worker/sha256?hash={}", hash(&worker));
    let full = until("the worker's page with its work", SNAPSHOT_LIMIT, || {
        // One address may not ask for more.
        thread::sleep(Duration::from_millis(500));
        let response = pool.get(&format!("{page}&privacy=off"), &[]);
        response.body.contains("Check it yourself").then_some(response.body)
    });
    let coinbase = behind(&full, "extranonce2 all zeros ");
    assert!(coinbase.is_empty(), "{coinbase}");
    let coinbase = full.split("class=\"hex\">").nth(1).and_then(|rest| rest.split('<').next());
    let coinbase = coinbase.expect("the bytes").to_owned();
    let told = (const_hex::encode(&job.coinb1), const_hex::encode(&job.coinb2));
    assert!(coinbase.starts_with(&told.0) && coinbase.ends_with(&told.1), "what the miner has");
    assert!(full.contains(&told.0) && full.contains(&told.1) && full.contains(&job.id));

    // Without a witness, as it is hashed.
    let decoded = node.rpc("decoderawtransaction", &json!([coinbase, false]));
    for output in decoded["vout"].as_array().expect("outputs") {
        let value = sats(&output["value"]);
        let coins = format!("{}.{:08}", value / 100_000_000, value % 100_000_000);
        assert!(full.contains(&format!(">{coins}<")), "{coins}");
        if let Some(address) = output["scriptPubKey"]["address"].as_str() {
            assert!([MINER_ADDRESS, pool_address(Chain::Regtest)].contains(&address));
            assert!(full.contains(address));
        }
        assert!(full.contains(&text(&output["scriptPubKey"]["hex"])));
    }

    let short = pool.get(&page, &[]);
    assert!(short.status == 200 && short.body.contains("98.0000%"));
    for secret in [MINER_ADDRESS, &coinbase, &told.1] {
        assert!(!short.body.contains(secret), "{secret} is told although nobody has asked for it");
    }
    assert_eq!(pool.get(&format!("/user/{worker}"), &[]).status, 303);
}

#[test]
fn ones_own_miner_is_asked_to_come_again() {
    let node = Node::new(Chain::Regtest);
    node.mine_to(MINER_ADDRESS, 1);
    let mut settings = Settings::of(&node);
    settings.flags = &["-saved-workers-local-noauth"];
    let pool = Pool::start(settings);
    let worker = format!("{MINER_ADDRESS}.rig");
    let _miner = Miner::join(pool.stratum(), &worker);
    let origin = format!("http://{}", pool.http_address());
    let post = |path: &str, body: &str| {
        let headers = [("Origin", &*origin)];
        let response = http::exchange(pool.http_address(), "POST", path, &headers, body, LIMIT);
        let response = response.expect("an answer");
        (response.status, response.header("location").unwrap_or_default().to_owned())
    };
    let body = format!("hash={}", hash(&worker));
    assert_eq!(post("/worker/reconnect", &body).0, 403, "it is not saved");
    let saved = post("/worker/save", &format!("worker={worker}"));
    assert_eq!(saved, (303, "/saved-workers?notice=saved".to_owned()));
    until("it is listed as online", SNAPSHOT_LIMIT, || {
        let page = pool.get("/saved-workers", &[]).body;
        page.contains("action=\"/worker/reconnect\"").then_some(())
    });
    assert!(post("/worker/reconnect", &body).1.ends_with("notice=reset"));
    pool.await_server("its connection is closed", |server| {
        server["connections"]["closed"]["requested"].as_u64().filter(|count| *count == 1)
    });
    let again = post("/worker/reconnect", &body).1;
    assert!(again.ends_with("notice=reset_too_soon") || again.ends_with("notice=not_connected"));
}
