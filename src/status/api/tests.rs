use serde_json::{Value, json};

use super::*;
use crate::status::sample;

fn json_of(snapshot: &Snapshot) -> Value {
    serde_json::to_value(Server::new(snapshot)).unwrap()
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn before_the_first_job_what_does_not_exist_is_absent() {
    let value = json_of(&sample::empty());
    assert_eq!(value["api_version"], "1");
    assert_eq!(value["job"], Value::Null);
    assert_eq!(value["blocks"]["found"], json!([]));
    assert_eq!(keys(&value["job_feed"]), ["zmq_disconnects", "zmq_healthy", "zmq_reconnects"]);
    assert!(value.get("rpc_error").is_none());
    for key in ["process_goroutines", "go_mem_alloc_bytes", "system_mem_used_bytes"] {
        assert_eq!(value[key], 0, "{key}");
    }
}

#[test]
fn every_field_of_the_contract_is_there() {
    let value = json_of(&sample::busy());
    for key in [
        "uptime",
        "rpc_error",
        "rpc_healthy",
        "rpc_disconnects",
        "rpc_reconnects",
        "job_feed",
        "process_goroutines",
        "process_cpu_percent",
        "go_mem_alloc_bytes",
        "go_mem_sys_bytes",
        "process_rss_bytes",
        "system_mem_total_bytes",
        "system_mem_free_bytes",
        "system_mem_used_bytes",
        "system_load1",
        "system_load5",
        "system_load15",
    ] {
        assert!(value.get(key).is_some(), "{key}");
    }
    assert_eq!(
        keys(&value["job_feed"]),
        [
            "block_bits",
            "block_difficulty",
            "block_hash",
            "block_height",
            "block_time",
            "error_history",
            "last_error",
            "last_error_at",
            "last_raw_block_at",
            "last_raw_block_bytes",
            "zmq_disconnects",
            "zmq_healthy",
            "zmq_reconnects",
        ]
    );
    assert_eq!(
        keys(&value["shares"]),
        [
            "accepted",
            "accepted_difficulty",
            "best_difficulty",
            "hashrate",
            "mistakes",
            "per_minute",
            "rejected",
            "vardiff_down",
            "vardiff_up",
        ]
    );
    assert_eq!(value["uptime"], 273_906_000_000_000_u64);
}

#[test]
fn names_hashes_and_errors_are_made_fit_for_the_public() {
    let snapshot = sample::busy();
    let text = serde_json::to_string(&Server::new(&snapshot)).unwrap();
    let block = &json_of(&snapshot)["blocks"]["found"][0];
    assert_eq!(block["worker"], "bc1qw508...7kv8f3t4.garage");
    assert_eq!(block["hash"].as_str().unwrap().len(), 19);
    for secret in ["hunter2", "10.0.0.7", "8332", ".cookie", &snapshot.blocks[0].worker] {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[test]
fn a_figure_that_is_no_number_reads_as_zero() {
    let mut snapshot = sample::empty();
    snapshot.shares.hashrate = f64::NAN;
    snapshot.process.load1 = f64::INFINITY;
    let value = json_of(&snapshot);
    assert_eq!((&value["shares"]["hashrate"], &value["system_load1"]), (&json!(0.0), &json!(0.0)));
}
