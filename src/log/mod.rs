//! Log lines: `<time> [LEVEL] message key=value …`, written by a thread of their own to the day's
//! file and, with `-stdout`, to standard output (`config.md` §7).

mod file;
mod line;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use file::DailyFile;

/// Lines that wait for the disk. When it is full lines are lost and counted: no miner waits for a
/// log.
const QUEUE: usize = 4096;
/// How long a stopping pool waits for its last lines.
const FLUSH_WAIT_MAX: Duration = Duration::from_secs(2);

/// Keeps the log open; dropping it writes what waits.
#[derive(Debug)]
pub struct Log {
    stop: Option<Sender<Message>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Message {
    Line(String),
    Stop,
}

/// Where lines go.
#[derive(Debug)]
pub struct LogPlan {
    /// The folder of `pool.log`.
    pub folder: PathBuf,
    pub stdout: bool,
    pub debug: bool,
}

/// Opens the log for the whole process.
///
/// # Panics
/// When it is open already.
pub fn open(plan: LogPlan) -> io::Result<Log> {
    std::fs::create_dir_all(&plan.folder)?;
    let (sender, messages) = bounded(QUEUE);
    let file = DailyFile::new(&plan.folder.join(Path::new("pool.log")));
    let stdout = plan.stdout;
    let thread = thread::Builder::new()
        .name("log".into())
        .spawn(move || write_all(&messages, file, stdout))?;
    let level = if plan.debug { LevelFilter::DEBUG } else { LevelFilter::INFO };
    let layer = LineLayer { sender: sender.clone() };
    let subscriber = tracing_subscriber::registry().with(layer.with_filter(own_events(level)));
    tracing::subscriber::set_global_default(subscriber).expect("the log is opened once");
    Ok(Log { stop: Some(sender), thread: Some(thread) })
}

/// Libraries are heard from WARN upward: what they say below is about themselves.
fn own_events(level: LevelFilter) -> tracing_subscriber::filter::Targets {
    tracing_subscriber::filter::Targets::new()
        .with_target("gopool", level)
        .with_target("gopool_shards", level)
        .with_default(LevelFilter::WARN)
}

struct LineLayer {
    sender: Sender<Message>,
}

impl<S: Subscriber> Layer<S> for LineLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        match self.sender.try_send(Message::Line(line::render(event))) {
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

fn write_all(messages: &Receiver<Message>, mut file: DailyFile, to_stdout: bool) {
    let mut stdout = io::stdout();
    for message in messages {
        let Message::Line(line) = message else { break };
        // A disk that is full costs lines and nothing else.
        let _ = file.write(&line);
        if to_stdout {
            let _ = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush());
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send_timeout(Message::Stop, FLUSH_WAIT_MAX);
        }
        let deadline = Instant::now() + FLUSH_WAIT_MAX;
        if let Some(thread) = self.thread.take() {
            while !thread.is_finished() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
}
