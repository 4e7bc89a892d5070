//! The copy of each line on standard output. Whoever reads it may stop reading: the files are
//! written all the same, for this has a thread and a queue of its own.

use std::io::{self, Write};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::journal;
use super::line::Line;

/// Lines that wait for the reader.
const LINES_MAX: usize = 4096;

#[derive(Debug)]
pub(super) struct Stdout {
    lines: Sender<String>,
    for_journal: bool,
    thread: JoinHandle<()>,
}

impl Stdout {
    pub(super) fn start() -> io::Result<Self> {
        let stream = std::env::var("JOURNAL_STREAM").ok();
        let for_journal = journal::is_reader_of(io::stdout(), stream.as_deref());
        let (lines, waiting) = bounded(LINES_MAX);
        let thread =
            thread::Builder::new().name("log-stdout".into()).spawn(move || write_all(&waiting))?;
        Ok(Self { lines, for_journal, thread })
    }

    /// Whether there was room for it.
    pub(super) fn put(&self, line: &Line) -> bool {
        self.lines.try_send(text_of(line, self.for_journal)).is_ok()
    }

    /// Returns when all has been written.
    pub(super) fn finish(self) {
        drop(self.lines);
        // It cannot panic; and if it did, there is nobody to tell.
        let _ = self.thread.join();
    }
}

/// The journal has a clock of its own.
fn text_of(line: &Line, for_journal: bool) -> String {
    if for_journal {
        format!("{}{}", journal::priority(line.level), line.without_time())
    } else {
        line.text().to_owned()
    }
}

fn write_all(lines: &Receiver<String>) {
    let mut stdout = io::stdout();
    for line in lines {
        // A reader that has gone is not missed: the line is in the files.
        let _ = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn the_journal_gets_a_priority_instead_of_a_time() {
        let at = "2026-01-31T03:04:05.5Z".parse().unwrap();
        let line = Line::new(Level::ERROR, at, format_args!("said"));
        assert_eq!(text_of(&line, true), "<3>[ERROR] said\n");
        assert_eq!(text_of(&line, false), "2026-01-31T03:04:05.5Z [ERROR] said\n");
    }
}
