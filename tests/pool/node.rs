//! A real `bitcoind` with a chain of its own and no peers.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::poll::{until, until_true};
use crate::process::Process;
use crate::{http, ports};

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(60);
const RPC_LIMIT: Duration = Duration::from_secs(30);
/// A port that was free when it was chosen may be taken a moment later; not three times.
const START_ATTEMPTS: usize = 3;

/// Which rules a node plays by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chain {
    /// Every second hash is a block.
    Regtest,
    /// A signet whose blocks anyone may sign: about five million hashes for a block, so that
    /// shares exist which are not blocks.
    Signet,
}

impl Chain {
    pub fn name(self) -> &'static str {
        match self {
            Self::Regtest => "regtest",
            Self::Signet => "signet",
        }
    }
}

pub struct Node {
    chain: Chain,
    directory: TempDir,
    rpc_port: u16,
    zmq_port: u16,
    /// Where other nodes may connect; most have none.
    p2p_port: Option<u16>,
    process: Option<Process>,
}

impl Node {
    /// Starts a node and waits until it answers.
    pub fn new(chain: Chain) -> Self {
        Self::started(|| Self::absent(chain))
    }

    /// The same; it also takes connections of other nodes.
    pub fn reachable(chain: Chain) -> Self {
        Self::started(|| Self { p2p_port: Some(ports::free()), ..Self::absent(chain) })
    }

    fn started(absent: impl Fn() -> Self) -> Self {
        for _ in 0..START_ATTEMPTS {
            let mut node = absent();
            if node.try_start() {
                return node;
            }
        }
        panic!("bitcoind did not start on {START_ATTEMPTS} choices of ports");
    }

    /// A node whose place is known and which has not been started.
    pub fn absent(chain: Chain) -> Self {
        Self {
            chain,
            directory: TempDir::new().expect("a directory for the node"),
            rpc_port: ports::free(),
            zmq_port: ports::free(),
            p2p_port: None,
            process: None,
        }
    }

    /// Starts the node, again after a crash: same directory, same ports, a new cookie.
    pub fn start(&mut self) {
        assert!(self.try_start(), "bitcoind ended while starting: {}", self.log_tail());
    }

    fn try_start(&mut self) -> bool {
        assert!(self.process.is_none(), "the node is already running");
        let zmq = self.zmq_address();
        let mut command = Command::new(bitcoind());
        match self.chain {
            Chain::Regtest => command.arg("-regtest"),
            // The challenge is OP_TRUE: a block needs no signature.
            Chain::Signet => command.args(["-signet", "-signetchallenge=51"]),
        };
        command
            .arg(format!("-datadir={}", self.directory.path().display()))
            .arg(format!("-rpcport={}", self.rpc_port))
            .arg(format!("-zmqpubhashblock={zmq}"))
            .arg(format!("-zmqpubrawblock={zmq}"))
            .args(["-rpcbind=127.0.0.1", "-rpcallowip=127.0.0.1", "-server=1"])
            .args(["-connect=0", "-dnsseed=0", "-natpmp=0"])
            .args(["-dbcache=16", "-printtoconsole=0", "-debuglogfile=debug.log"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        match self.p2p_port {
            Some(port) => command.args(["-listen=1", &format!("-bind=127.0.0.1:{port}")]),
            None => command.arg("-listen=0"),
        };
        let mut process = Process::spawn(&mut command);
        let answered = until("bitcoind answers or ends", START_LIMIT, || {
            if process.exit_status().is_some() {
                return Some(false);
            }
            self.try_rpc("getblockchaininfo", &json!([])).is_ok().then_some(true)
        });
        self.process = answered.then_some(process);
        answered
    }

    pub fn chain(&self) -> Chain {
        self.chain
    }

    pub fn rpc_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.rpc_port)
    }

    pub fn zmq_address(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.zmq_port)
    }

    /// Where other nodes connect to a reachable one.
    #[track_caller]
    pub fn p2p_address(&self) -> String {
        format!("127.0.0.1:{}", self.p2p_port.expect("a reachable node"))
    }

    pub fn data_directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn cookie_path(&self) -> PathBuf {
        self.directory.path().join(self.chain.name()).join(".cookie")
    }

    /// Calls a method that must succeed.
    #[track_caller]
    pub fn rpc(&self, method: &str, params: &Value) -> Value {
        match self.try_rpc(method, params) {
            Ok(result) => result,
            Err(error) => panic!("{method}: {error}"),
        }
    }

    /// Calls a method of a node that may be away; the error says why there is no result.
    pub fn try_rpc(&self, method: &str, params: &Value) -> Result<Value, String> {
        let cookie = std::fs::read(self.cookie_path()).map_err(|error| error.to_string())?;
        let body = json!({"jsonrpc": "1.0", "id": 1, "method": method, "params": params});
        let authorization = format!("Basic {}", base64(&cookie));
        let response = http::exchange(
            ports::loopback(self.rpc_port),
            "POST",
            "/",
            &[("Authorization", &authorization), ("Content-Type", "application/json")],
            &body.to_string(),
            RPC_LIMIT,
        )
        .map_err(|error| error.to_string())?;
        let mut envelope: Value = serde_json::from_str(&response.body)
            .map_err(|_| format!("status {} without JSON", response.status))?;
        match envelope["error"].take() {
            Value::Null => Ok(envelope["result"].take()),
            error => Err(error.to_string()),
        }
    }

    pub fn best_block_hash(&self) -> String {
        text(&self.rpc("getbestblockhash", &json!([])))
    }

    pub fn height(&self) -> u64 {
        self.rpc("getblockcount", &json!([])).as_u64().expect("a height")
    }

    /// The block with its transactions decoded.
    pub fn block(&self, hash: &str) -> Value {
        self.rpc("getblock", &json!([hash, 2]))
    }

    /// Waits until `hash` is the tip of the best chain.
    #[track_caller]
    pub fn await_tip(&self, hash: &str, limit: Duration) {
        until_true(&format!("{hash} is the node's tip"), limit, || {
            let best = self.try_rpc("getbestblockhash", &json!([]));
            best.is_ok_and(|best| best.as_str() == Some(hash))
        });
    }

    /// Mines `count` blocks of whatever is in the mempool (regtest).
    pub fn mine_to(&self, address: &str, count: usize) {
        self.rpc("generatetoaddress", &json!([count, address]));
    }

    /// Mines one block that leaves the mempool as it is (regtest), and returns its hash.
    pub fn mine_empty(&self, address: &str) -> String {
        text(&self.rpc("generateblock", &json!([address, []]))["hash"])
    }

    /// The node hangs: its sockets stay open and nothing answers.
    pub fn pause(&self) {
        self.process.as_ref().expect("a running node").pause();
    }

    pub fn resume(&self) {
        self.process.as_ref().expect("a running node").resume();
    }

    /// The node is gone from one moment to the next; what it had is on its disk.
    pub fn crash(&mut self) {
        // Core writes its chain out on this call. Without it the restarted node would have
        // forgotten the blocks of the last minutes, which is not what these tests are about.
        self.rpc("gettxoutsetinfo", &json!(["none"]));
        self.process.take().expect("a running node").kill();
    }

    /// The node is stopped as its operator would, and takes its cookie with it.
    pub fn stop(&mut self) {
        self.rpc("stop", &json!([]));
        let mut process = self.process.take().expect("a running node");
        let status = process.wait(STOP_LIMIT);
        assert!(status.is_some_and(|status| status.success()), "bitcoind: {status:?}");
    }

    fn log_tail(&self) -> String {
        let path = self.directory.path().join(self.chain.name()).join("debug.log");
        let log = std::fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// The string a result is.
#[track_caller]
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("expected a string, found {value}")).to_owned()
}

/// An amount of Core's JSON, which is in bitcoin.
#[track_caller]
pub fn sats(value: &Value) -> u64 {
    (value.as_f64().unwrap_or_else(|| panic!("expected an amount, found {value}")) * 1e8).round()
        as u64
}

/// Found, or built once, by the same script an operator may call.
fn bitcoind() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/node.sh");
        let output = Command::new(&script)
            .stderr(Stdio::inherit())
            .output()
            .unwrap_or_else(|error| panic!("run {}: {error}", script.display()));
        assert!(output.status.success(), "{} failed: {}", script.display(), output.status);
        PathBuf::from(String::from_utf8(output.stdout).expect("a path in UTF-8").trim())
    })
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let mut group = [0; 3];
        group[..chunk.len()].copy_from_slice(chunk);
        let group = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for digit in 0..4 {
            if digit <= chunk.len() {
                let index = (group >> (18 - 6 * digit)) & 63;
                out.push(char::from(ALPHABET[index as usize]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

#[test]
fn base64_pads_to_four() {
    // RFC 4648, section 10.
    for (plain, coded) in [("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
        assert_eq!(base64(plain.as_bytes()), coded);
    }
}

#[test]
fn a_crashed_node_comes_back_with_its_chain_and_another_cookie() {
    let mut node = Node::new(Chain::Regtest);
    node.mine_to(crate::settings::MINER_ADDRESS, 3);
    let tip = node.best_block_hash();
    let cookie = std::fs::read(node.cookie_path()).expect("a cookie");
    node.crash();
    assert!(node.try_rpc("getblockcount", &json!([])).is_err());
    node.start();
    assert_eq!(node.best_block_hash(), tip);
    assert_ne!(std::fs::read(node.cookie_path()).expect("a cookie"), cookie);
}

#[test]
fn our_signet_asks_for_about_five_million_hashes() {
    let node = Node::new(Chain::Signet);
    assert_eq!(node.chain(), Chain::Signet);
    let template = node.rpc("getblocktemplate", &json!([{"rules": ["segwit", "signet"]}]));
    assert_eq!(template["bits"], "1e0377ae");
    assert_eq!(template["height"], 1);
}
