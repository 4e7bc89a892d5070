//! Connects, carries lines between the pool and the session, and connects again.

use super::console::{Console, hash_rate};
use super::search::{self, Board, Found};
use super::session;
use super::session::{Event, Session, SessionError};
use crossbeam_channel::{Receiver, Sender, bounded, never, select};
use gopool_shards::work::header::display_hex;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Longest line taken from a pool, as it takes no longer ones from miners.
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// Lines and finds on their way to the main thread; whoever fills a queue waits.
const QUEUE_MAX: usize = 64;
/// How often the clock and the stop flag are looked at.
const TICK: Duration = Duration::from_millis(100);
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(5);
const WRITE_WAIT_MAX: Duration = Duration::from_secs(10);
/// From connecting to being authorized.
const HANDSHAKE_WAIT_MAX: Duration = Duration::from_secs(15);
const RATE_INTERVAL: Duration = Duration::from_secs(10);
const BACKOFF_MIN: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(15);

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct Options {
    pub url: String,
    pub user: String,
    pub threads: usize,
    /// Stops by itself after this long.
    pub duration: Option<Duration>,
    /// Of all threads together.
    pub hashes_per_second: Option<u64>,
    pub version_rolling: bool,
}

/// What was done in all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub accepted: u64,
    pub rejected: u64,
}

/// Why the miner gives up.
#[derive(Debug, thiserror::Error)]
pub enum MinerError {
    #[error("{url} is not host:port: {source}")]
    Url { url: String, source: io::Error },
    #[error(
        "{url} is not on this machine. This miner is for trying out a pool of one's own and mines \
         only at a loopback address, such as 127.0.0.1:3333"
    )]
    NotLoopback { url: String },
    #[error("{source}. Check --user: it is <address>.<rig>, with an address of the pool's network")]
    Worker { source: SessionError },
    #[error("could not start a thread: {0}")]
    Thread(io::Error),
}

/// Why one connection ended; another follows.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("{0}")]
    Socket(#[from] io::Error),
    #[error("the pool closed the connection")]
    Closed,
    #[error("the pool sent a line longer than {LINE_BYTES_MAX} bytes")]
    LineTooLong,
    #[error("no answer to the handshake within {} s", HANDSHAKE_WAIT_MAX.as_secs())]
    Handshake,
    #[error("{0}")]
    Session(#[from] SessionError),
}

/// Mines until `stop` is set or the time is up.
pub fn run(options: &Options, stop: &AtomicBool, console: &Console) -> Result<Totals, MinerError> {
    let address = resolve(&options.url)?;
    let board = Board::default();
    thread::scope(|scope| {
        let count = options.threads.max(1) as u64;
        let pace = options.hashes_per_second.map(|limit| limit.div_ceil(count));
        let mut client = Client {
            options,
            address,
            board: &board,
            stop,
            console,
            ends_at: options.duration.map(|duration| Instant::now() + duration),
            totals: Totals::default(),
            was_ready: false,
        };
        let started = (0..count).try_for_each(|index| {
            let name = format!("search-{index}");
            let board = &board;
            let body = move || search::run(board, index, count, pace);
            thread::Builder::new().name(name).spawn_scoped(scope, body).map(|_| ())
        });
        let outcome = started.map_err(MinerError::Thread).and_then(|()| client.mine());
        // On every way out: the scope waits for the threads.
        board.stop();
        outcome.map(|()| client.totals)
    })
}

/// The pool's address, which must be on this machine.
fn resolve(url: &str) -> Result<SocketAddr, MinerError> {
    let host_port = url.strip_prefix("stratum+tcp://").unwrap_or(url);
    let found = host_port.to_socket_addrs();
    let mut addresses = found.map_err(|source| MinerError::Url { url: url.to_owned(), source })?;
    let loopback = addresses.find(|address| address.ip().is_loopback());
    loopback.ok_or_else(|| MinerError::NotLoopback { url: url.to_owned() })
}

struct Client<'a> {
    options: &'a Options,
    address: SocketAddr,
    board: &'a Board,
    stop: &'a AtomicBool,
    console: &'a Console,
    ends_at: Option<Instant>,
    totals: Totals,
    /// Whether the present connection got as far as being authorized.
    was_ready: bool,
}

impl Client<'_> {
    /// One connection after another.
    fn mine(&mut self) -> Result<(), MinerError> {
        let mut backoff = BACKOFF_MIN;
        while !self.is_over() {
            self.was_ready = false;
            let outcome = self.connection();
            self.board.clear();
            match outcome {
                Ok(()) => {}
                Err(Lost::Session(source @ SessionError::Unauthorized { .. })) => {
                    return Err(MinerError::Worker { source });
                }
                Err(lost) => {
                    if self.was_ready {
                        backoff = BACKOFF_MIN;
                    }
                    let (pool, seconds) = (self.address, backoff.as_secs_f64());
                    self.console.say(format_args!("{pool}: {lost}; again in {seconds:.1} s"));
                    self.pause(backoff);
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                }
            }
        }
        Ok(())
    }

    /// From connecting to the end of the connection, or of the miner.
    fn connection(&mut self) -> Result<(), Lost> {
        let stream = TcpStream::connect_timeout(&self.address, CONNECT_WAIT_MAX)?;
        // A share is one small write that must not wait for the next one.
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(WRITE_WAIT_MAX))?;
        let input = stream.try_clone()?;
        let (lines, lines_out) = bounded(QUEUE_MAX);
        thread::scope(|scope| {
            scope.spawn(move || read_lines(input, &lines));
            let outcome = self.converse(&stream, &lines_out);
            // The scope waits for the reader, and the reader may be waiting for room or for bytes.
            drop(lines_out);
            // Fails only on a socket that is closed already.
            let _ = stream.shutdown(Shutdown::Both);
            outcome
        })
    }

    fn converse(
        &mut self,
        mut stream: &TcpStream,
        lines: &Receiver<Result<String, Lost>>,
    ) -> Result<(), Lost> {
        let (finds, finds_out) = bounded::<Found>(QUEUE_MAX);
        let (mut session, first) = Session::start(&self.options.user, self.options.version_rolling);
        send(&mut stream, &first)?;
        let connected_at = Instant::now();
        let mut rate = (connected_at, self.board.hashes());
        while !self.is_over() {
            // While the pool owes too many answers the search threads wait, not our memory.
            let no_finds = never();
            let finds_now = if session.has_room() { &finds_out } else { &no_finds };
            select! {
                recv(lines) -> line => {
                    let step = session.on_line(&line.unwrap_or(Err(Lost::Closed))?)?;
                    if let Some(line) = step.send {
                        send(&mut stream, &line)?;
                    }
                    if let Some(event) = step.event {
                        self.on_event(event, &finds);
                    }
                }
                recv(finds_now) -> found => {
                    if let Ok(found) = found {
                        self.tell_block(&found);
                        send(&mut stream, &session.submit(&found, Instant::now()))?;
                    }
                }
                default(TICK) => {}
            }
            let now = Instant::now();
            session.on_time(now)?;
            if !self.was_ready && now - connected_at > HANDSHAKE_WAIT_MAX {
                return Err(Lost::Handshake);
            }
            if now - rate.0 >= RATE_INTERVAL {
                self.tell_rate(&mut rate, now);
            }
        }
        Ok(())
    }

    fn on_event(&mut self, event: Event, finds: &Sender<Found>) {
        let console = self.console;
        match event {
            Event::Ready => {
                self.was_ready = true;
                let user = &self.options.user;
                console.say(format_args!("authorized at {} as {user}", self.address));
            }
            Event::Work(work) => {
                let difficulty = significant(work.share_target.difficulty());
                let network = significant(work.job.block_target.difficulty());
                let (id, branches) = (&work.job.id, work.job.branches.len());
                let clean = if work.job.clean { ", clean" } else { "" };
                console.say(format_args!(
                    "job {id}: difficulty {difficulty}, network {network}, {branches} branches{clean}"
                ));
                self.board.post(work, finds.clone());
            }
            Event::Accepted { difficulty } => {
                self.totals.accepted += 1;
                console.say(format_args!("accepted share of {}", significant(difficulty)));
            }
            Event::Rejected { job_id, reason } => {
                self.totals.rejected += 1;
                console.say(format_args!("rejected share for job {job_id}: {reason}"));
            }
            Event::Message(text) => console.say(format_args!("the pool says: {text}")),
            Event::Ignored(what) => console.say(format_args!("ignored {what}")),
        }
    }

    fn tell_block(&self, found: &Found) {
        if found.work.job.block_target.is_met_by(&found.hash) {
            let hash = display_hex(&found.hash);
            self.console.say(format_args!("BLOCK {hash} on job {}", found.work.job.id));
        }
    }

    fn tell_rate(&self, since: &mut (Instant, u64), now: Instant) {
        let hashes = self.board.hashes();
        let rate = hash_rate(hashes - since.1, (now - since.0).as_secs_f64());
        let Totals { accepted, rejected } = self.totals;
        self.console.say(format_args!("{rate}, {accepted} accepted, {rejected} rejected"));
        *since = (now, hashes);
    }

    fn is_over(&self) -> bool {
        let time_is_up = self.ends_at.is_some_and(|ends_at| Instant::now() >= ends_at);
        time_is_up || self.stop.load(Ordering::Relaxed)
    }

    fn pause(&self, duration: Duration) {
        let until = Instant::now() + duration;
        while !self.is_over() && Instant::now() < until {
            thread::sleep(TICK);
        }
    }
}

/// Hands the pool's lines on until it hangs up or nobody takes them.
fn read_lines(input: TcpStream, lines: &Sender<Result<String, Lost>>) {
    let mut input = BufReader::new(input);
    loop {
        let line = read_line(&mut input);
        let is_last = line.is_err();
        if lines.send(line).is_err() || is_last {
            return;
        }
    }
}

fn read_line(input: &mut impl BufRead) -> Result<String, Lost> {
    let mut line = Vec::new();
    input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    match line.pop() {
        Some(b'\n') => Ok(String::from_utf8_lossy(&line).into_owned()),
        // A last line without its end is a line that was cut off.
        Some(_) if line.len() as u64 + 1 >= LINE_BYTES_MAX => Err(Lost::LineTooLong),
        _ => Err(Lost::Closed),
    }
}

fn send(stream: &mut &TcpStream, line: &str) -> io::Result<()> {
    stream.write_all(format!("{line}\n").as_bytes())
}

/// At most four significant digits: a difficulty may be a millionth or a million.
fn significant(number: f64) -> String {
    let magnitude = number.abs().log10().floor();
    let places =
        if magnitude.is_finite() { (3.0 - magnitude).clamp(0.0, 12.0) as usize } else { 0 };
    let text = format!("{number:.places$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

const _: () = assert!(session::PENDING_MAX > QUEUE_MAX, "the queue holds less than may be pending");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_mined_at() {
        assert!(resolve("127.0.0.1:3333").is_ok());
        assert!(resolve("stratum+tcp://127.0.0.1:3333").is_ok());
        assert!(matches!(resolve("192.0.2.1:3333"), Err(MinerError::NotLoopback { .. })));
        assert!(matches!(resolve("127.0.0.1"), Err(MinerError::Url { .. })));
    }

    #[test]
    fn a_line_ends_with_its_newline_and_nowhere_else() {
        let mut input = &b"one\ntwo\r\nthr"[..];
        assert_eq!(read_line(&mut input).unwrap(), "one");
        assert_eq!(read_line(&mut input).unwrap(), "two\r");
        assert!(matches!(read_line(&mut input), Err(Lost::Closed)));
        let long = vec![b'x'; LINE_BYTES_MAX as usize + 1];
        assert!(matches!(read_line(&mut &long[..]), Err(Lost::LineTooLong)));
    }

    #[test]
    fn difficulties_are_told_in_four_digits() {
        assert_eq!(significant(0.000_123_456), "0.0001235");
        assert_eq!(significant(1_234.56), "1235");
        assert_eq!(significant(0.000_2), "0.0002");
        assert_eq!(significant(10.0), "10");
        assert_eq!(significant(0.0), "0");
    }

    /// Answers one miner until it has handed in a share, then hangs up; returns that line.
    fn fake_pool(listener: &std::net::TcpListener) -> String {
        let (stream, _) = listener.accept().unwrap();
        let mut input = BufReader::new(stream.try_clone().unwrap());
        let answer = |line: &str| send(&mut &stream, line).unwrap();
        loop {
            let line = read_line(&mut input).unwrap();
            if line.contains("mining.subscribe") {
                answer(r#"{"id":2,"result":[[["mining.notify","1"]],"00000001",4],"error":null}"#);
            } else if line.contains("mining.authorize") {
                let params = serde_json::json!(super::super::job::tests::example());
                answer(r#"{"id":3,"result":true,"error":null}"#);
                answer(r#"{"id":null,"method":"mining.set_difficulty","params":[1e-7]}"#);
                answer(&format!(r#"{{"id":null,"method":"mining.notify","params":{params}}}"#));
            } else {
                answer(r#"{"id":4,"result":true,"error":null}"#);
                // Read to the end: closing on unread bytes would reset the connection, and the
                // answer could be lost with it.
                stream.shutdown(Shutdown::Write).unwrap();
                let _ = io::copy(&mut input, &mut io::sink());
                return line;
            }
        }
    }

    #[test]
    fn a_miner_whose_pool_hangs_up_comes_back_and_goes_on() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stop = AtomicBool::new(false);
        let options = Options {
            url: listener.local_addr().unwrap().to_string(),
            user: "wallet.rig".to_owned(),
            threads: 2,
            // Only a bound for a test that fails.
            duration: Some(Duration::from_secs(60)),
            hashes_per_second: Some(200_000),
            version_rolling: false,
        };
        thread::scope(|scope| {
            let mining = scope.spawn(|| run(&options, &stop, &Console::silent()));
            for _ in 0..2 {
                let share = fake_pool(&listener);
                assert!(share.starts_with(r#"{"id":4,"method":"mining.submit""#), "{share}");
            }
            stop.store(true, Ordering::Relaxed);
            let totals = mining.join().unwrap().unwrap();
            assert_eq!((totals.accepted, totals.rejected), (2, 0));
        });
    }

    #[test]
    fn a_pool_that_is_not_there_is_tried_again_until_the_time_is_up() {
        // Bound and dropped: nobody listens there.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let options = Options {
            url: format!("127.0.0.1:{port}"),
            user: "wallet.rig".to_owned(),
            threads: 1,
            duration: Some(Duration::from_millis(700)),
            hashes_per_second: None,
            version_rolling: false,
        };
        let started_at = Instant::now();
        let totals = run(&options, &AtomicBool::new(false), &Console::silent()).unwrap();
        assert_eq!((totals.accepted, totals.rejected), (0, 0));
        assert!(started_at.elapsed() < Duration::from_secs(10));
    }
}
