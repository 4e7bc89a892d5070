//! What is sent, held against `web/openapi.json` and against secrets.

use std::sync::Arc;

use serde_json::{Value, json};

use super::description::{faults, openapi};
use super::*;
use crate::snapshot::{ChainFigures, SnapshotCell};
use crate::status::account;
use crate::status::http::{Answer, Method, Request, Response, Status};
use crate::status::routes::{self, paths};
use crate::status::sample;
use crate::status::site::Site;

/// Every path with JSON, and the parameters that change what it holds.
const JSON: [&str; 7] = [
    "/api/overview",
    "/api/pool-page",
    "/api/node",
    "/api/server",
    "/api/pool-hashrate",
    "/api/pool-hashrate?include_history=2",
    "/api/blocks?limit=100",
];

fn get(snapshot: Snapshot, history: HistoryReader, path: &str) -> Response {
    let site = Site::new(SnapshotCell::new(snapshot), history, Default::default(), true, None);
    let Answer::Now(response) = routes::answer(&site, &Request::get(path, &[])) else {
        panic!("{path} is answered at once");
    };
    assert_eq!(response.status, Status::Ok, "{path}");
    response
}

fn text(snapshot: Snapshot, path: &str) -> String {
    let response = get(snapshot, sample::history(), path);
    String::from_utf8(response.body.as_bytes().to_vec()).unwrap()
}

#[track_caller]
fn check(snapshot: &Snapshot, history: &HistoryReader) {
    for path in JSON {
        let response = get(snapshot.clone(), history.clone(), path);
        let faults = faults(Method::Get, path, &response);
        assert!(faults.is_empty(), "{faults:#?}");
    }
}

#[test]
fn every_answer_is_as_described() {
    for snapshot in [sample::empty(), sample::busy(), sample::unhealthy()] {
        check(&snapshot, &HistoryReader::default());
        check(&snapshot, &sample::history());
    }
}

#[test]
#[should_panic(expected = "Additional properties are not allowed")]
fn a_key_that_is_not_described_is_found() {
    let description = openapi();
    let mut schema = description["components"]["schemas"]["Retarget"].clone();
    schema["components"] = description["components"].clone();
    let answer = json!({"height": 1, "blocks_away": 1, "duration_estimate": "", "more": 1});
    if let Err(error) = jsonschema::validate(&schema, &answer) {
        panic!("{error}");
    }
}

/// Calls `visit` with every schema of an object that has properties of its own.
fn for_each_object(value: &Value, visit: &mut impl FnMut(&Value)) {
    match value {
        Value::Object(members) => {
            if value["type"] == "object" {
                visit(value);
            }
            members.values().for_each(|member| for_each_object(member, visit));
        }
        Value::Array(items) => items.iter().for_each(|item| for_each_object(item, visit)),
        _ => {}
    }
}

#[test]
fn no_object_may_hold_more_than_is_described() {
    let description = openapi();
    for_each_object(&description["components"], &mut |schema| {
        let more = &schema["additionalProperties"];
        let is_strict = if schema["properties"].is_object() {
            *more == json!(false)
        } else {
            more["type"] == "integer"
        };
        assert!(is_strict, "{schema}");
    });
}

#[test]
fn every_path_and_every_key_is_documented() {
    let description = openapi();
    let pages = include_str!("../../../documentation/json-apis.md");
    for path in paths() {
        assert!(description["paths"][path].is_object(), "{path}");
    }
    for (path, method) in account::paths().filter(|(path, _)| path.starts_with("/api/")) {
        let operation = &description["paths"][path][method];
        assert_eq!(operation["tags"], json!(["signed in"]), "{method} {path}");
        for refusal in if method == "post" { &["401", "403"][..] } else { &["401"] } {
            assert!(operation["responses"][refusal].is_object(), "{method} {path}");
        }
    }
    for path in description["paths"].as_object().unwrap().keys() {
        assert!(pages.contains(&format!("`{path}`")), "{path}");
    }
    for_each_object(&description["components"]["schemas"], &mut |schema| {
        for key in schema["properties"].as_object().into_iter().flat_map(|it| it.keys()) {
            assert!(pages.contains(&format!("| `{key}` |")), "{key}");
        }
    });
}

/// Texts in every place that text comes from, which must never be sent.
fn with_secrets() -> (Snapshot, Vec<String>) {
    let wallet = "bc1qzzzzsecretzzzzwalletzzzzaddresszzzzxyzzy";
    let name = format!("{wallet}.{wallet}");
    let hash = const_hex::encode(crate::ledger::roster::worker_hash(&name));
    let trouble = format!(
        "post http://rpcuser:hunter2@10.9.8.7:18443/: {wallet} {hash} open /root/.cookie \
         rpcpassword=hunter2 node.secret.lan"
    );
    let mut snapshot = sample::busy();
    snapshot.rpc.endpoint = "10.9.8.7:18443".to_owned();
    snapshot.rpc.last_error = Some(trouble.clone());
    snapshot.feed.last_error = Some(trouble.clone());
    snapshot.feed.error_history = vec![trouble.clone(); 3];
    snapshot.store.error = Some(trouble.clone());
    snapshot.backup.error = Some(trouble.clone());
    for event in &mut snapshot.error_events {
        event.message = trouble.as_str().into();
    }
    for disconnect in &mut snapshot.disconnects {
        disconnect.detail.clone_from(&trouble);
    }
    for view in &mut snapshot.recent_work {
        view.name = name.as_str().into();
        view.client_id = wallet.into();
    }
    for banned in &mut snapshot.banned {
        banned.worker = name.as_str().into();
        banned.reason = trouble.as_str().into();
    }
    // What an operator writes is left out, whatever it is.
    snapshot.banned[1].reason = "asked for by user_42".into();
    for share in &mut snapshot.best_shares {
        share.worker.clone_from(&name);
    }
    for kind in &mut snapshot.miner_types {
        kind.name = format!("miner of {wallet}");
        kind.versions[0].0.clone_from(&hash);
    }
    for block in &mut snapshot.blocks {
        block.worker.clone_from(&name);
        block.reason.clone_from(&trouble);
    }
    Arc::make_mut(&mut snapshot.node).chain = Some(ChainFigures {
        chain: trouble.clone(),
        blocks: 1,
        headers: 1,
        is_initial_download: false,
        is_pruned: false,
        size_on_disk_bytes: 1,
    });
    let secrets =
        [wallet, &hash, "hunter2", "10.9.8.7", "18443", ".cookie", "secret.lan", "user_42"];
    (snapshot, secrets.map(str::to_owned).into())
}

#[test]
fn nothing_private_is_sent() {
    let (snapshot, secrets) = with_secrets();
    for path in JSON.into_iter().chain(["/metrics", "/"]) {
        let text = text(snapshot.clone(), path);
        for secret in &secrets {
            assert!(!text.contains(secret), "{path} tells {secret}: {text}");
        }
    }
}
