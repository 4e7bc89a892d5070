//! What the pool shows of itself: one set of figures in three forms.

use serde_json::Value;

use crate::miner::Miner;
use crate::node::{Chain, Node, text};
use crate::poll::until;
use crate::pool::{Pool, SNAPSHOT_LIMIT};
use crate::prometheus::{self, Format, Sample};
use crate::settings::MINER_ADDRESS;

const SHARE_COUNT: u64 = 3;

/// A member's name, and whether a value is of its type.
type Member = (&'static str, fn(&Value) -> bool);

/// The members `/api/server` always has (`web.md` §3.5), and what they are.
const SERVER_MEMBERS: [Member; 17] = [
    ("api_version", Value::is_string),
    ("uptime", is_integer),
    ("rpc_healthy", Value::is_boolean),
    ("rpc_disconnects", is_integer),
    ("rpc_reconnects", is_integer),
    ("job_feed", Value::is_object),
    ("process_goroutines", is_integer),
    ("process_cpu_percent", Value::is_number),
    ("go_mem_alloc_bytes", is_integer),
    ("go_mem_sys_bytes", is_integer),
    ("process_rss_bytes", is_integer),
    ("system_mem_total_bytes", is_integer),
    ("system_mem_free_bytes", is_integer),
    ("system_mem_used_bytes", is_integer),
    ("system_load1", Value::is_number),
    ("system_load5", Value::is_number),
    ("system_load15", Value::is_number),
];

/// The members `job_feed` always has.
const JOB_FEED_MEMBERS: [Member; 3] = [
    ("zmq_healthy", Value::is_boolean),
    ("zmq_disconnects", is_integer),
    ("zmq_reconnects", is_integer),
];

/// Figures of `/metrics`, summed over their labels, and where `/api/server` has the same.
const SAME_FIGURES: [(&str, &str); 8] = [
    ("gopool_shares_accepted_total", "/shares/accepted"),
    ("gopool_shares_rejected_total", "/shares/rejected"),
    ("gopool_connections_open", "/connections/open"),
    ("gopool_connections_authorized", "/connections/authorized"),
    ("gopool_blocks_accepted_total", "/blocks/accepted"),
    ("gopool_blocks_errored_total", "/blocks/errored"),
    ("gopool_blocks_pending", "/blocks/pending"),
    ("gopool_job_height", "/job/height"),
];

fn is_integer(value: &Value) -> bool {
    value.is_u64() || value.is_i64()
}

/// A pool that has seen some shares, a rejected one, and a block; its miner stays.
fn scene() -> (Node, Pool, Miner) {
    let node = Node::new(Chain::Regtest);
    node.mine_to(MINER_ADDRESS, 2);
    let pool = Pool::for_node(&node);
    let mut miner = Miner::join(pool.stratum(), &format!("{MINER_ADDRESS}.rig"));
    let job = miner.job();
    let mut last = None;
    for _ in 0..SHARE_COUNT {
        let share = miner.find_share(&job);
        assert!(miner.submit(&share).is_true());
        last = Some(share);
    }
    let again = miner.submit(&last.expect("at least one share"));
    assert_eq!(again.error.map(|(code, _)| code), Some(22), "the same share again");
    let hash = miner.mine_block_of(&job);
    node.await_tip(&hash, SNAPSHOT_LIMIT);
    miner.job_on(&hash);
    pool.await_found(&hash);
    (node, pool, miner)
}

#[test]
fn the_overview_is_a_page() {
    let (_node, pool, _miner) = scene();
    let page = pool.get("/", &[("Accept", "text/html")]);
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let start = page.body.trim_start().to_lowercase();
    assert!(start.starts_with("<!doctype html>"), "{}", &start[..start.len().min(80)]);
    assert!(start.trim_end().ends_with("</html>"), "the page is cut short");
}

#[test]
fn the_server_figures_have_every_member_they_promise() {
    let (node, pool, _miner) = scene();
    let response = pool.get("/api/server", &[]);
    let content_type = response.header("content-type").expect("a type");
    assert!(content_type.starts_with("application/json"), "{content_type}");

    let server = pool.await_server("the tip and the figures of the scene", |server| {
        let tip = server["job_feed"]["block_hash"] == node.best_block_hash().as_str();
        let shares = server["shares"]["accepted"] == SHARE_COUNT + 1;
        (tip && shares).then(|| server.clone())
    });
    check_members(&server, &SERVER_MEMBERS);
    check_members(&server["job_feed"], &JOB_FEED_MEMBERS);
    assert_eq!(server["api_version"], "1");
    assert_eq!(server["rpc_healthy"], true);
    // Omitted when empty, and nothing has gone wrong.
    for member in ["/rpc_error", "/accounting_error", "/job_feed/last_error"] {
        assert_eq!(server.pointer(member), None);
    }
    assert_eq!(server["job_feed"]["zmq_healthy"], true);
    assert_eq!(server["job_feed"]["block_height"], node.height());
    assert_eq!(server["job_feed"]["block_bits"], "207fffff");
    assert!(server["uptime"].as_u64() > Some(0));
    assert!(server["process_rss_bytes"].as_u64() > Some(1_000_000), "a program is larger");
}

#[test]
fn the_public_json_tells_the_scene() {
    let (node, pool, _miner) = scene();
    let json = |path: &str| -> Value {
        let response = pool.get(path, &[]);
        assert_eq!(response.status, 200, "{path}");
        serde_json::from_str(&response.body).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let genesis = text(&node.rpc("getblockhash", &serde_json::json!([0])));
    let told = until("the node was asked", SNAPSHOT_LIMIT, || {
        let told = json("/api/node");
        told.get("best_block_hash").is_some().then_some(told)
    });
    assert_eq!((&told["node_network"], &told["genesis_match"]), (&"regtest".into(), &true.into()));
    assert_eq!(told["genesis_hash"], genesis.as_str());
    assert!(text(&told["node_subversion"]).starts_with("/Satoshi:"));
    let overview = until("the worker and its shares are told", SNAPSHOT_LIMIT, || {
        let overview = json("/api/overview");
        let is_told = overview["workers"][0]["accepted"] == SHARE_COUNT + 1;
        is_told.then_some(overview)
    });
    let shown =
        format!("{}...{}.rig", &MINER_ADDRESS[..8], &MINER_ADDRESS[MINER_ADDRESS.len() - 8..]);
    assert_eq!(overview["workers"][0]["name"], shown);
    assert_eq!(overview["active_miners"], 1);
    assert_eq!(overview["best_shares"][0]["worker"], shown);
    assert_eq!(overview["miner_types"][0]["total_workers"], 1);
    let blocks = json("/api/blocks");
    assert_eq!(blocks[0]["block_hash"], node.best_block_hash());
    assert_eq!(blocks[0]["result"], "possible");
    until("the node's answer is counted", SNAPSHOT_LIMIT, || {
        (json("/api/pool-page")["blocks_accepted"] == 1).then_some(())
    });
    let hashrate = until("the tip is told", SNAPSHOT_LIMIT, || {
        let hashrate = json("/api/pool-hashrate?include_history=2");
        (hashrate["block_height"] == node.height()).then_some(hashrate)
    });
    assert_eq!(hashrate["block_timer_active"], true);
    assert_eq!(hashrate["template_tx_fees_sats"], 0);
    assert!(!hashrate["recent_block_times"].as_array().expect("a list").is_empty());
    assert_eq!(json("/api/openapi.json")["openapi"], "3.1.0");
}

#[track_caller]
fn check_members(object: &Value, members: &[Member]) {
    for (name, is_right) in members {
        let value = object.get(name).unwrap_or_else(|| panic!("no {name} in {object}"));
        assert!(is_right(value), "{name} is {value}");
    }
}

#[test]
fn the_server_figures_count_what_happened() {
    let (node, pool, _miner) = scene();
    let server = pool.await_server("the shares are counted, and the block is settled", |server| {
        let is_counted = server["shares"]["accepted"] == SHARE_COUNT + 1;
        let is_settled = server["blocks"]["accepted"] == 1 && server["blocks"]["pending"] == 0;
        let is_followed = server["job"]["height"] == node.height() + 1;
        (is_counted && is_settled && is_followed).then(|| server.clone())
    });
    let rejected = server["shares"]["rejected"].as_object().expect("rejected by reason");
    let counts: Vec<_> = rejected.values().filter_map(Value::as_u64).filter(|n| *n > 0).collect();
    assert_eq!(counts, [1], "one reason, once: {rejected:?}");
    assert_eq!(server["connections"]["open"], 1);
    assert_eq!(server["connections"]["authorized"], 1);
    assert!(server["connections"]["closed"].is_object());
    assert_eq!(server["blocks"]["errored"], 0);
    let found = &server["blocks"]["found"][0];
    let best = node.best_block_hash();
    assert_eq!(text(&found["hash"]), format!("...{}", &best[best.len() - 16..]));
    assert_eq!(found["height"], node.height());
    assert_eq!(server["job"]["transactions"], 0);
    let shards = server["shards"].as_array().expect("shards");
    let accepted: u64 = shards.iter().filter_map(|shard| shard["accepted"].as_u64()).sum();
    assert_eq!(accepted, SHARE_COUNT + 1, "the shards' sums are the pool's");
    for shard in shards {
        for member in ["id", "core", "connections", "accepted", "rejected"] {
            assert!(is_integer(&shard[member]), "{member} of {shard}");
        }
    }
}

#[test]
fn the_metrics_agree_with_the_server_figures() {
    let (_node, pool, _miner) = scene();
    // The snapshot may be rebuilt between the two requests; nothing else changes any more.
    until("/metrics and /api/server show the same", SNAPSHOT_LIMIT, || {
        let server = pool.api_server();
        let (_, samples) = metrics(&pool, "/metrics", "*/*");
        let differ = SAME_FIGURES.iter().any(|(name, pointer)| {
            // A counter by reason has no sample before its first.
            let value = prometheus::sum(&samples, name).unwrap_or(0.0);
            value != total(server.pointer(pointer).unwrap_or_else(|| panic!("no {pointer}")))
        });
        let counted = server["shares"]["accepted"] == SHARE_COUNT + 1;
        (counted && !differ).then_some(())
    });
}

#[test]
fn the_metrics_say_how_long_it_all_took() {
    let (_node, pool, _miner) = scene();
    // A submission that was hashed and refused has been answered too.
    let expected = [
        ("gopool_share_answer_seconds_count", SHARE_COUNT as f64 + 2.0),
        ("gopool_shard_submissions_judged_total", SHARE_COUNT as f64 + 2.0),
        ("gopool_block_submit_seconds_count", 1.0),
        // One miner, told by its shard of the block it found.
        ("gopool_work_first_notify_seconds_count", 1.0),
        ("gopool_work_last_miner_seconds_count", 1.0),
        ("gopool_connections", 1.0),
        ("gopool_node_healthy", 1.0),
        ("gopool_node_blocks_behind", 0.0),
    ];
    until("everything is counted", SNAPSHOT_LIMIT, || {
        let (_, samples) = metrics(&pool, "/metrics", "*/*");
        let sum = |name: &str| prometheus::sum(&samples, name).unwrap_or(0.0);
        let counted = expected.map(|(name, _)| (name, sum(name)));
        for name in ["gopool_share_answer_seconds_sum", "gopool_work_last_miner_seconds_sum"] {
            assert!(sum(name) < 1.0, "{name} is {}", sum(name));
        }
        let is_submit = |sample: &&Sample| {
            sample.name == "gopool_rpc_seconds_count"
                && sample.labels.get("method").is_some_and(|method| method == "submitblock")
        };
        let submits = samples.iter().find(is_submit).map(|sample| sample.value);
        (counted == expected && submits == Some(1.0)).then_some(())
    });
}

/// A figure, or the sum of the figures of an object.
fn total(value: &Value) -> f64 {
    match value {
        Value::Object(members) => members.values().map(total).sum(),
        value => value.as_f64().unwrap_or_else(|| panic!("not a number: {value}")),
    }
}

#[track_caller]
fn metrics(pool: &Pool, path: &str, accept: &str) -> (Format, Vec<Sample>) {
    let response = pool.get(path, &[("Accept", accept)]);
    assert_eq!(response.status, 200, "{path}");
    let content_type = response.header("content-type").expect("a type");
    let format = Format::of(content_type).unwrap_or_else(|| panic!("{path}: {content_type}"));
    let samples = prometheus::parse(&response.body, format);
    (format, samples.unwrap_or_else(|error| panic!("{path}: {error}")))
}

#[test]
fn a_scraper_may_ask_the_server_figures_for_metrics() {
    let (_node, pool, _miner) = scene();
    for (accept, expected) in
        [("text/plain", Format::Text), ("application/openmetrics-text", Format::OpenMetrics)]
    {
        for path in ["/api/server", "/metrics"] {
            let (format, samples) = metrics(&pool, path, accept);
            assert_eq!(format, expected, "{path} for {accept}");
            assert!(prometheus::sum(&samples, "gopool_shares_accepted_total").is_some());
        }
    }
    // What a browser asks for is not that.
    let accept = "text/html,application/json;q=0.9,*/*;q=0.8";
    let response = pool.get("/api/server", &[("Accept", accept)]);
    serde_json::from_str::<Value>(&response.body).expect("JSON");
}
