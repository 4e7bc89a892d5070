//! The end of a log, for whoever looks at it on a page (`web.md` §6.11): the file of the newest day,
//! from where somebody has stopped reading if they say where.
//!
//! A cursor is a day and a byte of its file: `2026-01-31:1024`. It stands behind the last whole line
//! that was read; one that does not fit the file any more reads the end of what there is.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::SystemTime;

use jiff::civil::Date;

use super::{LogPlan, file, redact};

/// What is read of a file at most: its end.
pub const BYTES_MAX: u64 = 512 * 1024;
/// Lines that are given at most: the last.
pub const LINES_MAX: usize = 400;
/// What is longer is cut: a template in the net-debug log has tens of thousands.
const LINE_CHARS_MAX: usize = 4096;

/// A log, by what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Pool,
    Errors,
    Debug,
    Net,
}

impl Source {
    pub const ALL: [Self; 4] = [Self::Pool, Self::Errors, Self::Debug, Self::Net];

    /// The pool's log for every name that there is none of.
    pub fn of(name: &str) -> Self {
        Self::ALL.into_iter().find(|source| source.name() == name).unwrap_or(Self::Pool)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Pool => "pool",
            Self::Errors => "errors",
            Self::Debug => "debug",
            Self::Net => "net",
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            Self::Pool => "Pool",
            Self::Errors => "Errors",
            Self::Debug => "Debug",
            Self::Net => "Network trace",
        }
    }
}

/// Lines of this urgency and above; without one, of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

impl Level {
    pub const ALL: [Self; 4] = [Self::Error, Self::Warn, Self::Info, Self::Debug];

    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }

    /// Of a line; none for traffic, which is as urgent as any other.
    fn of_line(line: &str) -> Option<Self> {
        let word = line.split(' ').nth(1)?.strip_prefix('[')?.strip_suffix(']')?;
        Self::of(&word.to_ascii_lowercase())
    }
}

/// Where somebody has stopped reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    date: Date,
    offset: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.date, self.offset)
    }
}

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (date, offset) = text.split_once(':').ok_or(())?;
        Ok(Self { date: date.parse().map_err(drop)?, offset: offset.parse().map_err(drop)? })
    }
}

/// What somebody wants to see.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub source: Source,
    pub level: Option<Level>,
    /// Lines with this in them, whatever the case; empty for all.
    pub search: String,
    pub cursor: Option<Cursor>,
}

/// What there is of it.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    /// Its name without its folder; none when nothing has been written.
    pub file: Option<String>,
    pub modified_at: Option<SystemTime>,
    /// There is more before these lines than what somebody has read already.
    pub is_truncated: bool,
    /// They follow those that were read with the cursor.
    pub is_continued: bool,
    pub lines: Vec<String>,
    /// To read on from.
    pub cursor: Option<Cursor>,
}

/// The logs, where they really are.
#[derive(Clone, Debug)]
pub struct LogFiles {
    pool: PathBuf,
    errors: PathBuf,
    debug: PathBuf,
    net: PathBuf,
}

impl LogFiles {
    pub fn of(plan: &LogPlan) -> Self {
        Self {
            pool: plan.pool.clone(),
            errors: plan.errors.clone(),
            debug: plan.debug.clone(),
            net: plan.net_debug.clone(),
        }
    }

    /// Reads the end of a log. `secrets` are left out wherever they stand, and so are the passwords
    /// of miners.
    pub fn tail(&self, wanted: &Wanted, secrets: &[String]) -> io::Result<Tail> {
        let template = match wanted.source {
            Source::Pool => &self.pool,
            Source::Errors => &self.errors,
            Source::Debug => &self.debug,
            Source::Net => &self.net,
        };
        let Some((date, path)) = file::newest(template)? else { return Ok(Tail::default()) };
        let mut file = match File::open(&path) {
            Ok(file) => file,
            // Old ones are removed.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Tail::default()),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        let size = metadata.len();
        let cursor = wanted.cursor.filter(|c| c.date == date && c.offset <= size);
        let from = cursor.map_or(0, |cursor| cursor.offset);
        let window = Window::read(&mut file, from, size)?;
        let mut is_truncated = window.is_cut;
        let mut lines: Vec<String> = window
            .lines()
            .map(|line| {
                let line = String::from_utf8_lossy(line);
                match wanted.source {
                    Source::Net => redact::traffic(&line, secrets),
                    _ => redact::any(&line, secrets),
                }
            })
            .filter(|line| wanted.has(line))
            .collect();
        if lines.len() > LINES_MAX {
            is_truncated = true;
            lines.drain(..lines.len() - LINES_MAX);
        }
        for line in &mut lines {
            shorten(line);
        }
        Ok(Tail {
            file: path.file_name().map(|name| name.to_string_lossy().into_owned()),
            modified_at: metadata.modified().ok(),
            is_truncated,
            is_continued: cursor.is_some(),
            lines,
            cursor: Some(Cursor { date, offset: window.end }),
        })
    }
}

impl Wanted {
    fn has(&self, line: &str) -> bool {
        let is_urgent = match (self.level, Level::of_line(line)) {
            (Some(wanted), Some(level)) => level <= wanted,
            _ => true,
        };
        let has_word = || line.to_lowercase().contains(&self.search.to_lowercase());
        is_urgent && (self.search.is_empty() || has_word())
    }
}

/// Whole lines, as they lie in a file.
struct Window {
    bytes: Vec<u8>,
    /// Lines before these have not been read.
    is_cut: bool,
    /// Behind the last of them.
    end: u64,
}

impl Window {
    /// From `from`, or less of it when that is too much, to the last line that has an end.
    fn read(file: &mut File, from: u64, size: u64) -> io::Result<Self> {
        let begin = from.max(size.saturating_sub(BYTES_MAX));
        // One byte more: it tells whether a line begins here.
        let before = u64::from(begin > 0);
        file.seek(SeekFrom::Start(begin - before))?;
        let mut bytes = Vec::new();
        file.take(before + size - begin).read_to_end(&mut bytes)?;
        let end = memchr::memrchr(b'\n', &bytes).map_or(0, |at| at + 1);
        let end_offset = if end == 0 { begin } else { begin - before + end as u64 };
        bytes.truncate(end);
        if before > 0 {
            // What is left of a line is none: it would hide what the line was about, and from whom.
            let first = memchr::memchr(b'\n', &bytes).map_or(bytes.len(), |at| at + 1);
            bytes.drain(..first);
        }
        Ok(Self { bytes, is_cut: begin > from, end: end_offset })
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let whole = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        let lines = whole.split(|byte| *byte == b'\n');
        lines.filter(|line| !line.is_empty())
    }
}

fn shorten(line: &mut String) {
    if let Some((end, _)) = line.char_indices().nth(LINE_CHARS_MAX) {
        let left_out = line.len() - end;
        line.truncate(end);
        line.push_str(&format!(" [{left_out} bytes left out]"));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::log::Levels;

    struct Logs {
        folder: tempfile::TempDir,
        files: LogFiles,
    }

    impl Logs {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = |name: &str| folder.path().join(name);
            let files = LogFiles::of(&LogPlan {
                pool: path("pool.log"),
                errors: path("other/errors.log"),
                debug: path("debug"),
                net_debug: path("net-debug.log"),
                stdout: false,
                levels: Levels::default(),
            });
            Self { folder, files }
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.folder.path().join(name), text).unwrap();
        }

        fn tail(&self, source: Source) -> Tail {
            self.tail_with(source, |_| ())
        }

        fn tail_with(&self, source: Source, change: impl FnOnce(&mut Wanted)) -> Tail {
            let mut wanted = Wanted { source, level: None, search: String::new(), cursor: None };
            change(&mut wanted);
            self.files.tail(&wanted, &["hunter2".to_owned()]).unwrap()
        }
    }

    #[test]
    fn the_newest_day_counts_and_no_file_is_nothing() {
        let logs = Logs::new();
        for source in Source::ALL {
            let tail = logs.tail(source);
            assert!(tail.file.is_none() && tail.lines.is_empty() && tail.cursor.is_none());
        }
        logs.write("pool-2026-01-30.log", "old\n");
        logs.write("pool-2026-01-31.log", "new\n");
        logs.write("pool-2026-02-31.log", "no day\n");
        logs.write("pool-2026-02-01.log.gz", "another\n");
        logs.write("debug-2026-01-01", "debug\n");
        let tail = logs.tail(Source::Pool);
        assert_eq!(
            (tail.file.as_deref(), tail.lines),
            (Some("pool-2026-01-31.log"), vec!["new".into()])
        );
        assert!(!tail.is_truncated && !tail.is_continued && tail.modified_at.is_some());
        assert_eq!(logs.tail(Source::Debug).lines, ["debug"]);
        assert_eq!(Source::of("errors"), Source::Errors);
        assert_eq!(Source::of("../../etc/passwd"), Source::Pool);
    }

    #[test]
    fn a_log_that_is_thrown_away_is_nothing() {
        let mut logs = Logs::new();
        logs.files.pool = "/dev/null".into();
        assert!(logs.tail(Source::Pool).file.is_none());
    }

    #[test]
    fn who_comes_back_gets_what_is_new() {
        let logs = Logs::new();
        logs.write("pool-2026-01-31.log", "a\nb\nhalf a li");
        let first = logs.tail(Source::Pool);
        assert_eq!(first.lines, ["a", "b"]);
        let again = |cursor| logs.tail_with(Source::Pool, |wanted| wanted.cursor = cursor);
        assert!(again(first.cursor).lines.is_empty());
        logs.write("pool-2026-01-31.log", "a\nb\nhalf a line\nc\n");
        let second = again(first.cursor);
        assert!(second.is_continued && !second.is_truncated);
        assert_eq!(second.lines, ["half a line", "c"]);
        // Another day, a file that was cut, and what is no place between lines.
        logs.write("pool-2026-02-01.log", "d\n");
        let next_day = again(second.cursor);
        assert_eq!((next_day.is_continued, next_day.lines), (false, vec!["d".to_owned()]));
        let far = Cursor { offset: 100, ..next_day.cursor.unwrap() };
        assert!(!again(Some(far)).is_continued);
        let within = Cursor { offset: 1, ..far };
        assert!(again(Some(within)).lines.is_empty());
        let text = second.cursor.unwrap().to_string();
        assert_eq!(text.parse(), Ok(second.cursor.unwrap()));
        for text in ["", "2026-01-31", "2026-01-31:-1", "x:1", "2026-01-32:1"] {
            assert_eq!(text.parse::<Cursor>(), Err(()), "{text}");
        }
    }

    #[test]
    fn no_more_is_read_and_given_than_anybody_can_look_at() {
        let logs = Logs::new();
        let lines: Vec<String> = (0..100_000).map(|n| format!("line {n}")).collect();
        logs.write("pool-2026-01-31.log", &(lines.join("\n") + "\n"));
        let tail = logs.tail(Source::Pool);
        assert!(tail.is_truncated);
        assert_eq!(tail.lines, lines[lines.len() - LINES_MAX..]);
        // Within what is read, and not before it.
        let find = |text: &str| {
            logs.tail_with(Source::Pool, |wanted| wanted.search = text.to_owned()).lines
        };
        assert_eq!(find("LINE 99998"), ["line 99998"]);
        assert!(find("line 1000").iter().all(|line| !line.ends_with("1000")));
    }

    #[test]
    fn a_line_longer_than_all_that_is_read_takes_only_itself() {
        let logs = Logs::new();
        let long = "x".repeat(2 * 1024 * 1024);
        logs.write("pool-2026-01-31.log", &format!("a\n{long}\n"));
        let tail = logs.tail(Source::Pool);
        assert!(tail.is_truncated && tail.lines.is_empty());
        logs.write("pool-2026-01-31.log", &format!("a\n{long}\nb\n"));
        assert_eq!(logs.tail(Source::Pool).lines, ["b"]);
        let cursor = tail.cursor;
        assert_eq!(logs.tail_with(Source::Pool, |w| w.cursor = cursor).lines, ["b"]);
        logs.write("pool-2026-01-31.log", &format!("a\n{}ä\nb\n", "ä".repeat(100_000)));
        let tail = logs.tail(Source::Pool);
        assert_eq!(tail.lines.len(), 3);
        assert_eq!(tail.lines[1].chars().filter(|c| *c == 'ä').count(), LINE_CHARS_MAX);
        assert!(tail.lines[1].ends_with(" [191810 bytes left out]"), "{}", &tail.lines[1][8180..]);
    }

    #[test]
    fn levels_and_words_choose_lines() {
        let logs = Logs::new();
        let text = "t [INFO] one\nt [WARN] two\nt [ERROR] Three\nt [INFO] three\n";
        logs.write("pool-2026-01-31.log", text);
        let of =
            |level| logs.tail_with(Source::Pool, |wanted| wanted.level = Level::of(level)).lines;
        assert_eq!(of("warn"), ["t [WARN] two", "t [ERROR] Three"]);
        assert_eq!((of("error").len(), of("debug").len(), of("").len()), (1, 4, 4));
        let found = logs.tail_with(Source::Pool, |wanted| {
            wanted.level = Some(Level::Error);
            wanted.search = "three".to_owned();
        });
        assert_eq!(found.lines, ["t [ERROR] Three"]);
    }

    #[test]
    fn passwords_are_shown_from_no_log_and_cannot_be_searched_for() {
        let logs = Logs::new();
        let line = r#"t [recv] {"method":"mining.authorize","params":["w","swordfish"]}"#;
        logs.write("net-debug-2026-01-31.log", &format!("{line}\n"));
        logs.write("pool-2026-01-31.log", "t [INFO] said hunter2\n");
        assert!(logs.tail(Source::Net).lines[0].ends_with(r#""params":["w",***]}"#));
        assert_eq!(logs.tail(Source::Pool).lines, ["t [INFO] said ***"]);
        for (source, word) in [(Source::Net, "swordfish"), (Source::Pool, "hunter2")] {
            let found = logs.tail_with(source, |wanted| wanted.search = word.to_owned());
            assert!(found.lines.is_empty());
        }
        // Nor by asking for the second half of a line.
        let cursor = Some("2026-01-31:50".parse().unwrap());
        assert!(logs.tail_with(Source::Net, |wanted| wanted.cursor = cursor).lines.is_empty());
    }
}
