//! A real Prometheus scrapes the pool for a minute and has nothing to complain of.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::miner::Miner;
use crate::node::{Chain, Node};
use crate::poll::until_true;
use crate::pool::Pool;
use crate::process::Process;
use crate::settings::MINER_ADDRESS;
use crate::{http, ports};

const MINUTE: Duration = Duration::from_secs(60);
const START_LIMIT: Duration = Duration::from_secs(60);

/// Debian's own program, fetched if it is not there.
fn prometheus() -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/tool.sh");
    let output = Command::new(script).arg("prometheus").output().expect("run tool.sh");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a path").trim().to_owned()
}

/// What Prometheus answers to an instant query: the values, by the path that was scraped.
fn ask(address: std::net::SocketAddr, query: &str) -> Vec<(String, f64)> {
    let encoded: String = query
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect();
    let path = format!("/api/v1/query?query={encoded}");
    let Ok(response) = http::get(address, &path, &[]) else { return Vec::new() };
    let answer: Value = serde_json::from_str(&response.body).unwrap_or_default();
    let series = answer["data"]["result"].as_array().cloned().unwrap_or_default();
    let value = |one: &Value| {
        let path = one["metric"]["path"].as_str().unwrap_or_default().to_owned();
        (path, one["value"][1].as_str().and_then(|v| v.parse().ok()).unwrap_or(f64::NAN))
    };
    series.iter().map(value).collect()
}

#[test]
fn prometheus_scrapes_both_endpoints_for_a_minute() {
    let node = Node::new(Chain::Regtest);
    node.mine_to(MINER_ADDRESS, 1);
    let pool = Pool::for_node(&node);
    let folder = TempDir::new().expect("a folder");
    let target = pool.http_address();
    let job = |name: &str, path: &str| {
        format!(
            "  - job_name: {name}\n    scrape_interval: 3s\n    scrape_timeout: 3s\n    \
             metrics_path: {path}\n    static_configs:\n      - targets: ['{target}']\n        \
             labels: {{path: '{path}'}}\n"
        )
    };
    let config = folder.path().join("prometheus.yml");
    let jobs = job("metrics", "/metrics") + &job("server", "/api/server");
    fs::write(&config, format!("scrape_configs:\n{jobs}")).expect("write prometheus.yml");
    let address = ports::loopback(ports::free());
    let log = folder.path().join("log");
    let mut command = Command::new(prometheus());
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
        .arg(format!("--web.listen-address={address}"))
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log).expect("make its log"));
    let _prometheus = Process::spawn(&mut command);
    until_true("both are scraped", START_LIMIT, || {
        let up = ask(address, "up");
        up.len() == 2 && up.iter().all(|(_, value)| *value == 1.0)
    });
    let mut miner = Miner::join(pool.stratum(), MINER_ADDRESS);
    let end = Instant::now() + MINUTE;
    while Instant::now() < end {
        miner.mine_block();
        std::thread::sleep(Duration::from_millis(500));
    }
    let every = |query: &str, holds: &dyn Fn(f64) -> bool| {
        let values = ask(address, query);
        assert_eq!(values.len(), 2, "{query}: {values:?}");
        assert!(values.iter().all(|(_, value)| holds(*value)), "{query}: {values:?}");
    };
    every("min_over_time(up[50s])", &|up| up == 1.0);
    every("count_over_time(up[50s])", &|count| count >= 14.0);
    every("scrape_samples_scraped", &|samples| samples > 50.0);
    every("gopool_blocks_accepted_total", &|blocks| blocks > 10.0);
    every(
        "histogram_quantile(0.99, rate(gopool_database_transaction_seconds_bucket[50s]))",
        &|p99| p99 > 0.0 && p99 < 10.0,
    );
    let said = fs::read_to_string(&log).expect("its log");
    for line in
        said.lines().filter(|line| line.contains("level=warn") || line.contains("level=error"))
    {
        assert!(!line.contains("scrape"), "{line}");
    }
}
