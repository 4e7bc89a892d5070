//! A pool that cannot do its work says why, and what to do, and ends with a number for it.

use std::io::{self, Read};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::node::{Chain, Node};
use crate::pool::{self, Pool};
use crate::process::Process;
use crate::settings::{Settings, pool_address};

const EXIT_LIMIT: Duration = Duration::from_secs(60);
/// One message: what was found, what was expected, what to do.
const MESSAGE_LINES_MAX: usize = 12;
/// Less than any ring takes (glommio asks for 512 KiB).
const LITTLE_MEMLOCK_BYTES: u64 = 16 * 1024;

/// The exit codes an operator's scripts may act on.
mod code {
    pub const OTHER: i32 = 1;
    pub const COMMAND_LINE: i32 = 2;
    pub const NO_IO_URING: i32 = 3;
    pub const ANOTHER_CHAIN: i32 = 4;
    pub const PORT_IN_USE: i32 = 5;
    pub const PAYOUT_ADDRESS: i32 = 6;
}

/// How a pool ended that did not start.
struct Refusal {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Refusal {
    #[track_caller]
    fn of(mut command: Command) -> Self {
        let mut process = Process::spawn(&mut command);
        let status = process.wait(EXIT_LIMIT);
        process.kill();
        let (mut stdout, mut stderr) = (String::new(), String::new());
        process.take_stdout().read_to_string(&mut stdout).expect("its output is text");
        process.take_stderr().read_to_string(&mut stderr).expect("its errors are text");
        let status = status.unwrap_or_else(|| {
            panic!("it runs on after {EXIT_LIMIT:?}\nstdout: {stdout}\nstderr: {stderr}")
        });
        Self { code: status.code(), stdout, stderr }
    }

    /// Checks the code, and that the one message on stderr has those words.
    #[track_caller]
    fn check(&self, code: i32, words: &[&str]) {
        let Self { stdout, stderr, .. } = self;
        let shown = format!("stdout: {stdout}\nstderr: {stderr}");
        assert_eq!(self.code, Some(code), "{shown}");
        assert!(!stderr.contains("panicked at"), "a panic is no message\n{shown}");
        let lower = stderr.to_lowercase();
        for word in words {
            assert!(lower.contains(&word.to_lowercase()), "no {word:?} in stderr\n{shown}");
        }
    }

    #[track_caller]
    fn check_brief(&self, code: i32, words: &[&str]) {
        self.check(code, words);
        let lines = self.stderr.lines().count();
        assert!(lines <= MESSAGE_LINES_MAX, "{lines} lines are no message: {}", self.stderr);
    }
}

/// Starts a pool with these settings, its command adjusted.
#[track_caller]
fn refused(settings: &Settings, adjust: impl FnOnce(&mut Command)) -> Refusal {
    let directory = TempDir::new().expect("a data directory");
    settings.write(directory.path());
    let mut command = pool::command(directory.path(), settings);
    adjust(&mut command);
    Refusal::of(command)
}

/// Settings for a node that is not there: what is refused here is refused without asking it.
fn without_node() -> Settings {
    Settings::of(&Node::absent(Chain::Regtest))
}

#[test]
fn a_system_that_forbids_io_uring_is_named() {
    for errno in [libc::EPERM, libc::ENOSYS] {
        let refusal = refused(&without_node(), |command| forbid_io_uring(command, errno));
        refusal.check_brief(code::NO_IO_URING, &["io_uring"]);
    }
}

#[test]
fn a_limit_of_locked_memory_that_is_too_small_is_named() {
    let refusal = refused(&without_node(), little_memlock);
    refusal.check_brief(code::NO_IO_URING, &["io_uring", "memlock"]);
}

#[test]
fn a_node_of_another_chain_is_refused() {
    let node = Node::new(Chain::Signet);
    let mut settings = Settings::of(&node);
    settings.network = "regtest";
    settings.payout_address = pool_address(Chain::Regtest).to_owned();
    let refusal = refused(&settings, |_| {});
    refusal.check_brief(code::ANOTHER_CHAIN, &["signet", "regtest", "-network"]);
}

#[test]
fn a_stratum_port_in_use_is_named() {
    let node = Node::new(Chain::Regtest);
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut settings = Settings::of(&node);
    settings.pool_listen = holder.local_addr().expect("its address").to_string();
    let refusal = refused(&settings, |_| {});
    refusal.check_brief(code::PORT_IN_USE, &[&settings.pool_listen]);
}

/// Shards share a port among themselves; two pools must not share it by the same means.
#[test]
fn a_second_pool_on_the_same_stratum_port_is_refused() {
    let node = Node::new(Chain::Regtest);
    let first = Pool::for_node(&node);
    let mut settings = Settings::of(&node);
    settings.pool_listen = first.stratum().to_string();
    let refusal = refused(&settings, |_| {});
    refusal.check_brief(code::PORT_IN_USE, &[&settings.pool_listen]);
}

#[test]
fn an_http_port_in_use_is_named() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut settings = without_node();
    settings.status_listen = holder.local_addr().expect("its address").to_string();
    let refusal = refused(&settings, |_| {});
    refusal.check_brief(code::PORT_IN_USE, &[&settings.status_listen]);
}

#[test]
fn an_https_port_in_use_is_named() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut settings = without_node();
    settings.status_tls_listen = holder.local_addr().expect("its address").to_string();
    let refusal = refused(&settings, |_| {});
    refusal.check_brief(code::PORT_IN_USE, &[&settings.status_tls_listen, "HTTPS"]);
}

#[test]
fn a_payout_address_of_another_network_is_refused() {
    for address in [
        pool_address(Chain::Signet),
        "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
        "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt081",
    ] {
        let mut settings = without_node();
        settings.payout_address = address.to_owned();
        let refusal = refused(&settings, |_| {});
        refusal.check_brief(code::PAYOUT_ADDRESS, &[address, "regtest", "payout_address"]);
    }
}

#[test]
fn a_flag_that_does_not_exist_is_named_with_the_usage() {
    let refusal = refused(&without_node(), |command| {
        command.arg("-no-such-flag");
    });
    refusal.check(code::COMMAND_LINE, &["no-such-flag", "-data-dir", "-network"]);
}

#[test]
fn an_unknown_network_is_refused_with_the_four_that_exist() {
    let mut settings = without_node();
    settings.network = "testnet5";
    let refusal = refused(&settings, |_| {});
    let known = ["mainnet", "testnet", "signet", "regtest"];
    refusal.check(code::COMMAND_LINE, &[&["testnet5"], &known[..]].concat());
}

#[test]
fn without_a_config_file_examples_are_written_and_the_way_on_is_told() {
    let directory = TempDir::new().expect("a data directory");
    let refusal = Refusal::of(pool::command(directory.path(), &without_node()));
    assert_eq!(refusal.code, Some(code::OTHER), "{}", refusal.stderr);
    let told = refusal.stdout + &refusal.stderr;
    let config = directory.path().join("config/config.toml");
    let example = directory.path().join("config/examples/config.toml.example");
    for part in [&config.display().to_string(), &example.display().to_string(), "payout_address"] {
        assert!(told.contains(part), "no {part:?} in {told:?}");
    }
    let text = std::fs::read_to_string(&example).expect("the example was written");
    assert!(!text.trim().is_empty(), "{} is empty", example.display());
    assert!(!config.exists(), "the operator's file is the operator's");
}

#[test]
fn a_config_file_that_is_no_toml_is_named() {
    let settings = without_node();
    let directory = TempDir::new().expect("a data directory");
    settings.write(directory.path());
    std::fs::write(directory.path().join("config/config.toml"), "[node\n").expect("write it");
    let refusal = Refusal::of(pool::command(directory.path(), &settings));
    refusal.check_brief(code::OTHER, &["config.toml"]);
}

/// Lets the program start in a world where `io_uring_setup` fails with `errno`.
fn forbid_io_uring(command: &mut Command, errno: i32) {
    let statement = |code: u32, jt, jf, k| libc::sock_filter {
        code: u16::try_from(code).expect("a BPF code"),
        jt,
        jf,
        k,
    };
    let call = u32::try_from(libc::SYS_io_uring_setup).expect("a system call number");
    let answer = libc::SECCOMP_RET_ERRNO | u32::try_from(errno).expect("an error number");
    let filter = [
        // The number of the system call stands first in what a filter sees.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, call),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, answer),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let install = move || {
        let program = libc::sock_fprog {
            len: u16::try_from(filter.len()).expect("four"),
            filter: filter.as_ptr().cast_mut(),
        };
        // A filter may be set without privileges by who can no longer gain any.
        // SAFETY: integers only.
        check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
        // SAFETY: `program` and the `filter` it points to live until the call returns, and the
        // kernel copies them.
        check(unsafe {
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
        })
    };
    // SAFETY: between fork and exec the closure makes two system calls and allocates nothing.
    unsafe { command.pre_exec(install) };
}

/// Lets the program start with little memory to lock and no privilege to lock more.
fn little_memlock(command: &mut Command) {
    const CAP_IPC_LOCK: libc::c_ulong = 14;
    const CAP_SYS_RESOURCE: libc::c_ulong = 24;
    let limit = libc::rlimit { rlim_cur: LITTLE_MEMLOCK_BYTES, rlim_max: LITTLE_MEMLOCK_BYTES };
    let install = move || {
        for capability in [CAP_IPC_LOCK, CAP_SYS_RESOURCE] {
            // Fails for who has no privileges, and then there is nothing to drop.
            // SAFETY: integers only.
            unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        }
        // SAFETY: `limit` lives until the call returns.
        check(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) })
    };
    // SAFETY: between fork and exec the closure makes three system calls and allocates nothing.
    unsafe { command.pre_exec(install) };
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
