//! What an operator changes in the panel reaches connected miners and, when it is saved, the next run;
//! and what the pool writes down can be read there.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::admin::Operator;
use crate::http::Response;
use crate::miner::Miner;
use crate::node::{Chain, Node};
use crate::poll::until;
use crate::pool::{Pool, SNAPSHOT_LIMIT};
use crate::settings::{MINER_ADDRESS, Settings};
use crate::stratum::{ANSWER_LIMIT, Client};

/// 2^-31: one that miners are really asked for. Below a block's.
const HARDER: f64 = 4.656612873077393e-10;
/// A line is on the disk a moment after it was said.
const LOG_LIMIT: Duration = Duration::from_secs(10);

/// Waits until a miner is told this difficulty.
#[track_caller]
fn await_difficulty(miner: &mut Miner, difficulty: f64) {
    until(&format!("the miner is told {difficulty}"), ANSWER_LIMIT, || {
        let notification = miner.client().notification(Duration::ZERO)?;
        (notification.method == "mining.set_difficulty"
            && notification.params[0].as_f64() == Some(difficulty))
        .then_some(())
    });
}

fn pool(node: &Node) -> Pool {
    let mut settings = Settings::of(node);
    settings.difficulty_max = 1.0;
    settings.flags = &["-max-conns", "50"];
    Pool::start(settings)
}

#[track_caller]
fn json_of(response: &Response) -> Value {
    assert_eq!(response.status, 200, "{}", response.body);
    serde_json::from_str(&response.body).expect("JSON")
}

/// What a page shows as JSON.
#[track_caller]
fn in_force(page: &str) -> &str {
    let (_, rest) = page.split_once("<pre").expect("JSON");
    rest.split_once("</pre>").expect("an end to it").0
}

#[test]
fn a_new_difficulty_reaches_who_is_connected_and_once_saved_the_next_run() {
    let node = Node::new(Chain::Regtest);
    let pool = pool(&node);
    let mut miner = Miner::join(pool.stratum(), MINER_ADDRESS);
    miner.job();
    let mut operator = Operator::sign_in(&pool);
    let config = pool.folder().join("config");
    let read = |name: &str| fs::read_to_string(config.join(name)).expect("a file");
    let before = [read("config.toml"), read("tuning.toml"), read("policy.toml")];

    // Something wrong beside it, and nothing is taken.
    let length = pool.log_length();
    let wrong = "min_difficulty=4.656612873077393e-10&default_difficulty=4.656612873077393e-10&job_entropy=17&password=";
    let refused = operator.post("/admin/apply", &format!("{wrong}{}", operator.password()));
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("job_entropy is &quot;17&quot;, allowed is 0 to 16"));
    assert!(!pool.lines_after(length).iter().any(|line| line.contains("configuration changed")));

    let form = "min_difficulty=4.656612873077393e-10&default_difficulty=4.656612873077393e-10&max_conns=100&status_tagline=Ours";
    operator.act("/admin/apply", form, "settings_applied");
    await_difficulty(&mut miner, HARDER);
    until("the pages have the new words", SNAPSHOT_LIMIT, || {
        pool.get("/", &[]).body.contains("Ours").then_some(())
    });
    assert_eq!([read("config.toml"), read("tuning.toml"), read("policy.toml")], before);
    let config_page = operator.get("/admin/config").body;
    assert!(config_page.contains("&quot;max_conns&quot;: 50"), "the flag has the last word");

    operator.act("/admin/persist", "confirm=SAVE", "saved_to_disk");
    let [old_config, old_tuning, old_policy] = before;
    assert_eq!(read("tuning.toml.bak"), old_tuning);
    assert_eq!(read("policy.toml"), old_policy);
    assert_eq!(
        read("config.toml"),
        format!("{old_config}\n[branding]\nstatus_tagline = \"Ours\"\n")
    );
    let tuning = read("tuning.toml");
    assert!(tuning.contains("min_difficulty = 0.0000000004656612873077393\n"), "{tuning}");
    assert!(tuning.contains("max_conns = 100\n") && !tuning.contains("50"), "{tuning}");
    let entry = pool.await_log("admin", &["action=apply", "result=done"], SNAPSHOT_LIMIT);
    assert!(entry.contains("difficulty.min_difficulty: 1e-10 → 4.656612873077393e-10"), "{entry}");

    let shown = operator.get("/admin/config").body;
    let pool = pool.relaunch();
    let mut miner = Miner::join(pool.stratum(), MINER_ADDRESS);
    miner.job();
    assert_eq!(miner.difficulty(), Some(HARDER));
    let mut operator = operator.come_back(&pool);
    let again = operator.get("/admin/config").body;
    assert_eq!(in_force(&again), in_force(&shown), "the next run is as this one was");
}

#[test]
fn sigusr2_forgets_what_was_not_saved() {
    let node = Node::new(Chain::Regtest);
    let pool = pool(&node);
    let mut miner = Miner::join(pool.stratum(), MINER_ADDRESS);
    miner.job();
    let mut operator = Operator::sign_in(&pool);
    let form = "min_difficulty=4.656612873077393e-10&default_difficulty=0";
    operator.act("/admin/apply", form, "settings_applied");
    await_difficulty(&mut miner, HARDER);
    assert!(operator.get("/admin").body.contains("<b>Not saved:</b> the files say 0.0000000001."));
    let length = pool.log_length();
    pool.signal(libc::SIGUSR2);
    pool.await_log_after(length, "configuration reloaded", &["changed=2"]);
    assert!(!operator.get("/admin").body.contains("<b>Not saved:</b>"));
}

#[test]
fn the_logs_are_followed_in_the_panel_without_what_miners_authorize_with() {
    let node = Node::new(Chain::Regtest);
    let pool = pool(&node);
    let mut operator = Operator::sign_in(&pool);
    let mut tail = |query: &str| json_of(&operator.get(&format!("/admin/logs/tail?{query}")));
    let first = tail("source=pool");
    assert!(first["file"].as_str().expect("a name").starts_with("pool-"));
    let said = |tail: &Value, words: &str| {
        let lines = tail["lines"].as_array().expect("lines");
        lines.iter().any(|line| line.as_str().is_some_and(|line| line.contains(words)))
    };
    assert!(said(&first, "goPool starts"));
    let mut cursor = first["cursor"].as_str().expect("a cursor").to_owned();

    let length = pool.log_length();
    pool.signal(libc::SIGUSR1);
    pool.await_log_after(length, "SIGUSR1: pages are loaded again", &[]);
    until("the new line is there, and no other of before", LOG_LIMIT, || {
        let next = tail(&format!("source=pool&cursor={cursor}"));
        assert_eq!(next["continued"], true);
        assert!(!said(&next, "goPool starts"));
        cursor = next["cursor"].as_str().expect("a cursor").to_owned();
        said(&next, "SIGUSR1").then_some(())
    });
    assert_eq!(tail("source=net")["lines"], json!([]));

    let form = "debug=true&net_debug=true&source=net";
    operator.act("/admin/logs/switch", form, "log_flags_changed");
    let mut client = Client::open(pool.stratum());
    client.request("mining.subscribe", &json!([]));
    client.request("mining.authorize", &json!([MINER_ADDRESS, "swordfish"]));
    until("the trace has it", LOG_LIMIT, || {
        let page = operator.get("/admin/logs?source=net&search=mining.authorize").body;
        assert!(!page.contains("swordfish"));
        page.contains(&format!("[&quot;{MINER_ADDRESS}&quot;,***]")).then_some(())
    });
    // It is in the file, which is the operator's own.
    let logs = fs::read_dir(pool.folder().join("logs")).expect("logs").flatten();
    let trace = logs.filter(|entry| entry.file_name().to_string_lossy().starts_with("net-debug-"));
    let text: String = trace.map(|it| fs::read_to_string(it.path()).expect("UTF-8")).collect();
    assert!(text.contains("swordfish"));

    let form = format!("net_debug=false&password={}", operator.password());
    let answer = json_of(&operator.post("/admin/logs/flags", &form));
    let expected =
        json!({"ok": true, "debug": true, "net_debug": false, "net_debug_supported": true});
    assert_eq!(answer, expected);
    pool.await_log("changed", &["key=logging.net_debug", "value=false"], SNAPSHOT_LIMIT);
}
