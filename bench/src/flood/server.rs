//! The server under load: one that runs already, or one started here and ended here.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddrV4;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::wallet;
use crate::net::machine;
use crate::node::Node;

/// From the start to the open ports; a pool opens them with its first job.
const START_MAX: Duration = Duration::from_secs(30);
const STOP_MAX: Duration = Duration::from_secs(20);
/// The miner number whose wallet is the pool's own.
const POOL_WALLET: usize = 9_999_999;
/// The node's cookie; nobody but the pool that is started here is told.
pub const CREDENTIALS: &str = "__cookie__:flood";
/// Lines of the server's that are shown when it ends too early.
const LINES_SHOWN: usize = 15;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("cannot start {}: {source}. --spawn takes the path of the program", path.display())]
    Start { path: PathBuf, source: io::Error },
    #[error("cannot write the configuration for it: {0}")]
    Files(io::Error),
    #[error("{} did not get ready within {} s. It said:\n{said}", path.display(), START_MAX.as_secs())]
    NotReady { path: PathBuf, said: String },
}

/// How a pool is started.
#[derive(Clone, Copy, Debug)]
pub struct PoolPlan {
    /// The CPU it stays on; none leaves it all of them.
    pub cpu: Option<usize>,
    /// Threads that serve miners.
    pub shards: usize,
    /// Difficulty that every hash meets: the load need not search.
    pub is_flood: bool,
    /// Bans as they are by default; without them nobody is banned.
    pub has_bans: bool,
}

/// A server that was started here. It ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Kept for as long as it runs.
    _folder: Option<TempDir>,
    pub plain: SocketAddrV4,
    pub tls: Option<SocketAddrV4>,
    /// Where a yardstick takes orders.
    pub control: Option<SocketAddrV4>,
}

impl Server {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Starts a pool for `node` and waits for its ports.
    pub fn pool(path: &Path, node: &Node, plan: &PoolPlan) -> Result<Self, ServerError> {
        let folder = TempDir::with_prefix("gopool-flood-").map_err(ServerError::Files)?;
        write_files(folder.path(), node, plan).map_err(ServerError::Files)?;
        // It runs in a folder of its own, from where a relative path leads nowhere.
        let program = fs::canonicalize(path)
            .map_err(|source| ServerError::Start { path: path.to_owned(), source })?;
        let mut command = Command::new(program);
        command.arg("-data-dir").arg(folder.path()).arg("-stdout");
        command.args(["-max-conns", "0", "-shards", &plan.shards.max(1).to_string()]);
        // Whatever it writes beside its data goes away with it; an operator's node is not found.
        command.current_dir(folder.path()).env("HOME", folder.path()).env_remove("BITCOIN_DATADIR");
        let (child, lines) = start(command, path, plan.cpu)?;
        let mut server = Self {
            child,
            _folder: Some(folder),
            plain: SocketAddrV4::new([0, 0, 0, 0].into(), 0),
            tls: None,
            control: None,
        };
        let mut has_plain = false;
        server.await_lines(path, &lines, |server, line| {
            let is_listening = line.contains("] listening ") && line.contains("component=stratum");
            if let (true, Some(address)) = (is_listening, field(line, "addr")) {
                if line.contains("transport=tls") {
                    server.tls = address.parse().ok();
                } else if let Ok(address) = address.parse() {
                    server.plain = address;
                    has_plain = true;
                }
            }
            has_plain && server.tls.is_some()
        })?;
        Ok(server)
    }

    /// Starts a yardstick.
    pub fn yardstick(path: &Path, cpu: Option<usize>) -> Result<Self, ServerError> {
        let mut command = Command::new(path);
        command.args(["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"]);
        let (child, lines) = start(command, path, cpu)?;
        let nowhere = SocketAddrV4::new([0, 0, 0, 0].into(), 0);
        let mut server = Self { child, _folder: None, plain: nowhere, tls: None, control: None };
        server.await_lines(path, &lines, |server, line| {
            let mut words = line.split(' ');
            let (Some("listening"), Some(plain), Some("control"), Some(control)) =
                (words.next(), words.next(), words.next(), words.next())
            else {
                return false;
            };
            server.plain = plain.parse().unwrap_or(nowhere);
            server.control = control.parse().ok();
            true
        })?;
        Ok(server)
    }

    /// Reads what the server says until that is enough; from then on nobody listens.
    fn await_lines(
        &mut self,
        path: &Path,
        lines: &Receiver<String>,
        mut is_enough: impl FnMut(&mut Self, &str) -> bool,
    ) -> Result<(), ServerError> {
        let deadline = Instant::now() + START_MAX;
        let mut said = Vec::new();
        // It ends early when the server does: nothing is left that could speak.
        while let Ok(line) = lines.recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            if is_enough(self, &line) {
                return Ok(());
            }
            said.push(line);
        }
        let said = said.split_off(said.len().saturating_sub(LINES_SHOWN)).join("\n");
        Err(ServerError::NotReady { path: path.to_owned(), said })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        machine::terminate(self.child.id());
        let deadline = Instant::now() + STOP_MAX;
        while Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(None) => thread::sleep(Duration::from_millis(5)),
                _ => return,
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a program on its CPU; both of its outputs come as lines.
fn start(
    mut command: Command,
    path: &Path,
    cpu: Option<usize>,
) -> Result<(Child, Receiver<String>), ServerError> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let prepare = move || {
        machine::end_with_parent()?;
        match cpu {
            Some(cpu) => machine::pin(cpu),
            None => Ok(()),
        }
    };
    // SAFETY: the closure runs between fork and exec and makes two system calls; it allocates
    // nothing and takes no lock.
    unsafe { command.pre_exec(prepare) };
    let failed = |source| ServerError::Start { path: path.to_owned(), source };
    let mut child = command.spawn().map_err(failed)?;
    let (sender, lines) = channel();
    let outputs: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|output| Box::new(output) as _),
        child.stderr.take().map(|output| Box::new(output) as _),
    ];
    for output in outputs.into_iter().flatten() {
        let sender = sender.clone();
        // Read to the end whether somebody listens or not: a full pipe would stop the server.
        let read = move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        };
        thread::Builder::new().name("server-output".into()).spawn(read).map_err(failed)?;
    }
    Ok((child, lines))
}

fn write_files(folder: &Path, node: &Node, plan: &PoolPlan) -> io::Result<()> {
    let config = folder.join("config");
    fs::create_dir_all(&config)?;
    let cookie = folder.join(".cookie");
    fs::write(&cookie, CREDENTIALS)?;
    let text = format!(
        "[server]\npool_listen = \"127.0.0.1:0\"\nstatus_listen = \"127.0.0.1:0\"\n\
         status_tls_listen = \"\"\n\
         [stratum]\nstratum_tls_listen = \"127.0.0.1:0\"\n\
         [node]\nrpc_url = \"http://{}\"\nrpc_cookie_path = \"{}\"\npayout_address = \"{}\"\n\
         zmq_hashblock_addr = \"{}\"\nzmq_rawblock_addr = \"\"\n",
        node.rpc,
        cookie.display(),
        wallet::address(POOL_WALLET),
        node.zmq_url,
    );
    fs::write(config.join("config.toml"), text)?;
    // Idle miners are what is measured, so they are not sent away; and thousands of them come at
    // once.
    let mut policy = String::from("[timeouts]\nconnection_timeout_seconds = 3600\n");
    if !plan.has_bans {
        policy += "[bans]\nban_invalid_submissions_after = 0\nreconnect_ban_threshold = 0\n";
    }
    fs::write(config.join("policy.toml"), policy)?;
    let mut tuning =
        String::from("[rate_limits]\nmax_conns = 0\ndisable_connect_rate_limits = true\n");
    if plan.is_flood {
        tuning += "[difficulty]\nmin_difficulty = 1e-10\nmax_difficulty = 1e-10\n";
    }
    fs::write(config.join("tuning.toml"), tuning)
}

/// The value of `key` in a log line.
fn field<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}
