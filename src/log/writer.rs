//! The one thread that writes.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded, select_biased};
use jiff::Timestamp;
use tracing::Level;

use super::filter::Threshold;
use super::line::Line;
use super::net::Traffic;
use super::queue::{Inbox, Queue};
use super::stdout::Stdout;
use super::stream::Stream;
use super::{Levels, LogPlan};

/// How often it is looked at whether lines have been lost; as often, then, they are reported.
const LOSS_INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    pool: Stream,
    errors: Stream,
    debug: Stream,
    net_debug: Stream,
    stdout: Option<Stdout>,
    queue: Arc<Queue>,
    lost: Lost,
    /// Standard error has heard that a file cannot be written, and not yet that it can again.
    has_complained: bool,
}

/// What was lost on the way to a file.
#[derive(Debug, Default)]
struct Lost {
    /// Found the queue full.
    queue: u64,
    queue_net_debug: u64,
    /// Nobody reads it.
    stdout: u64,
}

impl Writer {
    pub(super) fn new(plan: LogPlan, queue: Arc<Queue>) -> io::Result<Self> {
        let LogPlan { pool, errors, debug, net_debug, stdout, levels: _ } = plan;
        Ok(Self {
            pool: Stream::new("pool", pool),
            errors: Stream::new("errors", errors),
            debug: Stream::new("debug", debug),
            net_debug: Stream::new("net_debug", net_debug),
            stdout: stdout.then(Stdout::start).transpose()?,
            queue,
            lost: Lost::default(),
            has_complained: false,
        })
    }

    /// Opens what will be written at once, so that a mistake in a path is found at the start. The
    /// errors are left for the first of them: a file that is there means that there have been some.
    ///
    /// Errors: everything but a full disk, which passes.
    pub(super) fn open_files(&mut self, levels: Levels) -> io::Result<()> {
        let at = Timestamp::now();
        let threshold = Threshold::from(levels);
        let mut streams = vec![&mut self.pool];
        if threshold >= Threshold::Debug {
            streams.push(&mut self.debug);
        }
        if threshold >= Threshold::Network {
            streams.push(&mut self.net_debug);
        }
        for stream in streams {
            match stream.open(at) {
                Ok(()) => {}
                Err(error) if is_full(&error) => {
                    complain(&mut self.has_complained, stream, &error);
                }
                Err(error) => {
                    let path = stream.template().display();
                    return Err(io::Error::new(error.kind(), format!("log {path}: {error}")));
                }
            }
        }
        Ok(())
    }

    /// Starts to write what comes. The receiver is disconnected when it has ended.
    pub(super) fn spawn(self, inbox: Inbox) -> io::Result<Receiver<()>> {
        let (ends_with_writer, writing) = bounded(0);
        thread::Builder::new().name("log".into()).spawn(move || {
            self.run(&inbox);
            drop(ends_with_writer);
        })?;
        Ok(writing)
    }

    fn run(mut self, inbox: &Inbox) {
        let mut next_look = Instant::now() + LOSS_INTERVAL;
        loop {
            let wait = next_look.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                self.report_lost();
                next_look = Instant::now() + LOSS_INTERVAL;
                continue;
            }
            // Lines before traffic, of which there may be too much; and both before a wake-up: what
            // was said before a file is closed is written before it is.
            select_biased! {
                recv(inbox.lines) -> line => line.iter().for_each(|line| self.write_line(line)),
                recv(inbox.traffic) -> traffic => {
                    traffic.iter().for_each(|traffic| self.write_traffic(traffic));
                }
                recv(inbox.wake) -> _ => {
                    if self.queue.is_stopping() {
                        break;
                    }
                    self.follow_threshold();
                }
                default(wait) => {}
            }
        }
        // A line may have come between the last look and the end of all lines.
        inbox.lines.try_iter().for_each(|line| self.write_line(&line));
        inbox.traffic.try_iter().for_each(|traffic| self.write_traffic(&traffic));
        self.report_lost();
        for stream in [&mut self.pool, &mut self.errors, &mut self.debug, &mut self.net_debug] {
            stream.close();
        }
        if let Some(stdout) = self.stdout.take() {
            stdout.finish();
        }
    }

    fn write_line(&mut self, line: &Line) {
        if line.level >= Level::DEBUG {
            // Before the log was opened all were kept.
            if self.queue.threshold() < Threshold::Debug && !self.debug.is_open() {
                return;
            }
            put(&mut self.debug, &mut self.has_complained, line);
        } else {
            put(&mut self.pool, &mut self.has_complained, line);
        }
        if line.level == Level::ERROR {
            put(&mut self.errors, &mut self.has_complained, line);
        }
        self.copy_to_stdout(line);
    }

    fn copy_to_stdout(&mut self, line: &Line) {
        if let Some(stdout) = &self.stdout
            && !stdout.put(line)
        {
            self.lost.stdout += 1;
        }
    }

    fn write_traffic(&mut self, traffic: &Traffic) {
        self.queue.traffic_taken(traffic.size());
        if self.queue.threshold() < Threshold::Network && !self.net_debug.is_open() {
            return;
        }
        if let Err(error) = self.net_debug.put(traffic.at, traffic.to_line().as_bytes()) {
            complain(&mut self.has_complained, &self.net_debug, &error);
        }
    }

    /// Opens and closes what has been turned on and off.
    fn follow_threshold(&mut self) {
        let threshold = self.queue.threshold();
        for (stream, from) in
            [(&mut self.debug, Threshold::Debug), (&mut self.net_debug, Threshold::Network)]
        {
            if threshold < from {
                stream.close();
            } else if let Err(error) = stream.open(Timestamp::now()) {
                complain(&mut self.has_complained, stream, &error);
            }
        }
    }

    /// Says how many lines have been lost, once there is where to say it.
    fn report_lost(&mut self) {
        let (lines, traffic) = self.queue.take_lost();
        self.lost.queue += lines;
        self.lost.queue_net_debug += traffic;
        // Whether the pool's file can be written again is found out by this very line.
        let pool = self.pool.lost();
        let [errors, debug, net_debug] =
            [&self.errors, &self.debug, &self.net_debug].map(Stream::lost_until_recovery);
        let counts = [
            (self.pool.name, pool),
            (self.errors.name, errors),
            (self.debug.name, debug),
            (self.net_debug.name, net_debug),
            ("queue", self.lost.queue),
            ("queue_net_debug", self.lost.queue_net_debug),
            ("stdout", self.lost.stdout),
        ];
        let fields: String = (counts.iter().filter(|(_, count)| *count > 0))
            .map(|(name, count)| format!(" {name}={count}"))
            .collect();
        if fields.is_empty() {
            return;
        }
        let said = format_args!("log lines have been lost component=log{fields}");
        let line = Line::new(Level::WARN, Timestamp::now(), said);
        if self.pool.try_put(line.at, line.text().as_bytes()).is_err() {
            return;
        }
        self.pool.reported(pool);
        self.errors.reported(errors);
        self.debug.reported(debug);
        self.net_debug.reported(net_debug);
        self.lost = Lost::default();
        self.has_complained = false;
        self.copy_to_stdout(&line);
    }
}

fn put(stream: &mut Stream, has_complained: &mut bool, line: &Line) {
    if let Err(error) = stream.put(line.at, line.text().as_bytes()) {
        complain(has_complained, stream, &error);
    }
}

/// Says on standard error that lines are being lost, once until they are not.
fn complain(has_complained: &mut bool, stream: &Stream, error: &io::Error) {
    if !std::mem::replace(has_complained, true) {
        let path = stream.template().display();
        // It may be on the same disk, and then nobody hears it.
        let _ = writeln!(io::stderr(), "gopool: log lines are being lost: {path}: {error}");
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}
