//! How long after the node's answer do miners have new work, and how long after a share that is a
//! block does its submission leave?
//!
//! The real program on one core, control and a shard together; a stand-in node and a miner on the
//! others. `cargo build --release && cargo run --release --example latency`.
#![allow(clippy::print_stdout)]

mod miner;
mod node;
mod template;

use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use gopool_shards::work::transaction::Transaction;

use miner::Miner;
use node::Node;
use template::{Random, Template};

/// How long anything may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two rounds: what the pool does after the work is out has ended by then.
const PAUSE: Duration = Duration::from_millis(150);

#[derive(Parser)]
struct Flags {
    /// The pool's program
    #[arg(long, default_value = "target/release/gopool")]
    pool: String,
    #[arg(long, default_value_t = 4000)]
    transactions: usize,
    /// New tips, and found blocks, of each scenario
    #[arg(long, default_value_t = 30)]
    rounds: usize,
    /// How long the node takes to make an answer, before its first byte
    #[arg(long, default_value_t = 20)]
    think_ms: u64,
    /// Only the scenario whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// Show the pool's log
    #[arg(long)]
    verbose: bool,
}

/// What the node does when there is a new tip, and how many of the transactions were in the
/// template before.
struct Scenario {
    name: &'static str,
    publishes: bool,
    answers_long_polls: bool,
    known_percent: usize,
}

const SCENARIOS: [Scenario; 4] = [
    Scenario {
        name: "zmq, all transactions new",
        publishes: true,
        answers_long_polls: false,
        known_percent: 0,
    },
    Scenario {
        name: "zmq, 9 in 10 known",
        publishes: true,
        answers_long_polls: false,
        known_percent: 90,
    },
    Scenario {
        name: "long poll, all new",
        publishes: false,
        answers_long_polls: true,
        known_percent: 0,
    },
    Scenario {
        name: "zmq and long poll, all new",
        publishes: true,
        answers_long_polls: true,
        known_percent: 0,
    },
];

fn main() {
    let flags = Flags::parse();
    // Lets the pool have the first core for itself.
    let cores = core_affinity::get_core_ids().expect("the cores are known");
    core_affinity::set_for_current(*cores.last().expect("there is one"));
    println!("milliseconds: median, 99th percentile, worst");
    for scenario in SCENARIOS.iter().filter(|scenario| scenario.name.contains(&flags.only)) {
        measure(scenario, &flags);
    }
}

fn measure(scenario: &Scenario, flags: &Flags) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let fresh = |random: &mut Random, count: usize| -> Vec<Transaction> {
        (0..count).map(|_| template::transaction(random)).collect()
    };
    let mut transactions = fresh(&mut random, flags.transactions);
    let mut height = 101;
    let template = |transactions: &[Transaction], height: u64| {
        Template::new(Template::prev_hash_of(height), height, transactions)
    };
    let first = template(&transactions, height);
    let body_bytes = first.body.len();
    let prev_hash = first.prev_hash;
    let mut block_end = first.transactions_hex.clone();
    let think = Duration::from_millis(flags.think_ms);
    let node = Node::start(first, scenario.answers_long_polls, think);
    let pool = Pool::start(&node, flags);
    let mut miner = Miner::start(pool.stratum);
    let mut work = miner.work_on(&prev_hash, PATIENCE).expect("first work");

    let mut beyond = Vec::new();
    let mut until_asked = Vec::new();
    let mut since_written = Vec::new();
    let mut whole = Vec::new();
    let mut answers = 0;
    for _ in 0..flags.rounds {
        height += 1;
        let new = flags.transactions * (100 - scenario.known_percent) / 100;
        transactions.drain(..new);
        transactions.extend(fresh(&mut random, new));
        let next = template(&transactions, height);
        let prev_hash = next.prev_hash;
        block_end.clone_from(&next.transactions_hex);
        thread::sleep(PAUSE);
        let told_at = node.new_tip(next, scenario.publishes);
        work = miner.work_on(&prev_hash, PATIENCE).expect("work on the new tip");
        thread::sleep(PAUSE);
        let given = node.answers();
        answers += given.len();
        let first = given.first().expect("an answer");
        let node_took = first.written_at - first.asked_at;
        whole.push(work.at - told_at);
        until_asked.push(first.asked_at.saturating_duration_since(told_at));
        since_written.push(work.at.saturating_duration_since(first.written_at));
        beyond.push((work.at - told_at).saturating_sub(node_took));
    }

    let mut first_byte = Vec::new();
    let mut last_byte = Vec::new();
    for _ in 0..flags.rounds {
        thread::sleep(PAUSE);
        let found_at = miner.find_block(&work);
        let submission = wait_for("submitblock", || node.take_submission());
        assert!(submission.block_hex.ends_with(&block_end), "the block has the transactions");
        first_byte.push(submission.first_byte_at - found_at);
        last_byte.push(submission.last_byte_at - found_at);
    }

    println!("\n{}: {} bytes of JSON", scenario.name, body_bytes);
    println!("  tip → notify, whole            {}", spread(whole));
    println!("  tip → notify, beyond the node  {}", spread(beyond));
    println!("    until the node is asked      {}", spread(until_asked));
    println!("    since its answer is written  {}", spread(since_written));
    println!("  share → submit, first byte     {}", spread(first_byte));
    println!("  share → submit, last byte      {}", spread(last_byte));
    println!("  answers fetched for a tip      {:.1}", answers as f64 / flags.rounds as f64);
}

fn spread(mut durations: Vec<Duration>) -> String {
    durations.sort();
    let ms = |index: usize| durations[index.min(durations.len() - 1)].as_secs_f64() * 1000.0;
    let count = durations.len();
    format!("{:7.2} {:7.2} {:7.2}", ms(count / 2), ms(count * 99 / 100), ms(count - 1))
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "no {what} in time");
        thread::sleep(Duration::from_millis(2));
    }
}

/// The program under test, on the first core.
struct Pool {
    process: Child,
    stratum: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Pool {
    fn start(node: &Node, flags: &Flags) -> Self {
        let folder = tempfile::tempdir().expect("a data folder");
        let config = folder.path().join("config");
        std::fs::create_dir_all(&config).expect("a folder");
        let stratum = free_address();
        let zmq = node.zmq;
        std::fs::write(
            config.join("config.toml"),
            format!(
                "[server]\npool_listen = \"{stratum}\"\nstatus_listen = \"\"\n\
                 status_tls_listen = \"\"\n\
                 [stratum]\nstratum_tls_listen = \"\"\n\
                 [node]\nrpc_url = \"http://{}\"\n\
                 payout_address = \"bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080\"\n\
                 zmq_hashblock_addr = \"tcp://{zmq}\"\nzmq_rawblock_addr = \"\"\n\
                 [logging]\ndebug = true\n",
                node.rpc,
            ),
        )
        .expect("a file");
        std::fs::write(
            config.join("tuning.toml"),
            "[difficulty]\ndefault_difficulty = 1e-10\nmin_difficulty = 1e-10\n\
             max_difficulty = 1e-10\nvardiff_enabled = false\n",
        )
        .expect("a file");
        let mut command = Command::new(&flags.pool);
        command
            .args(["-data-dir".as_ref(), folder.path().as_os_str()])
            .args(["-network", "regtest", "-allow-public-rpc", "-shards", "1", "-stdout"])
            .stdin(Stdio::null());
        if !flags.verbose {
            command.stdout(Stdio::null());
        }
        // SAFETY: the closure runs between fork and exec and makes two system calls, no allocation
        // and no lock.
        unsafe { command.pre_exec(alone_on_the_first_core) };
        let process = command.spawn().expect("the pool's program, built before");
        wait_for("open port", || std::net::TcpStream::connect(stratum).ok());
        Self { process, stratum, _folder: folder }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn alone_on_the_first_core() -> std::io::Result<()> {
    // SAFETY: a set of CPUs is plain bits, all of which may be zero; both calls are given memory
    // that lives as long as they do, or plain numbers.
    let results = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(0, &mut set);
        [
            libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set),
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL),
        ]
    };
    if results.contains(&-1) { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound")
}
