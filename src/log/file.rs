//! One file a day: `pool.log` is written as `pool-2026-01-31.log`, by the date in UTC
//! (`config.md` §7.2, §7.3).

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// Days that are kept, today included; 0 keeps all.
const RETENTION_DAYS: i64 = 3;
/// How long a file that could not be opened is left alone: each attempt reads its folder.
const OPEN_RETRY: Duration = Duration::from_secs(1);
const MODE: u32 = 0o644;

/// A file of lines that is opened by its first one.
#[derive(Debug)]
pub(super) struct DailyFile {
    template: PathBuf,
    open: Option<Open>,
    /// When opening has failed, and why.
    failed: Option<(Instant, ErrorKind)>,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// None for what is no regular file: that is written as it is.
    date: Option<Date>,
    /// The last line has been written in part.
    is_torn: bool,
}

impl DailyFile {
    pub(super) fn new(template: PathBuf) -> Self {
        Self { template, open: None, failed: None }
    }

    pub(super) fn template(&self) -> &Path {
        &self.template
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Appends `line`, which ends in a line feed, to the file of the day of `at`.
    pub(super) fn write(&mut self, at: Timestamp, line: &[u8]) -> io::Result<()> {
        let open = self.opened(at)?;
        if open.is_torn {
            open.write(b"\n")?;
            open.is_torn = false;
        }
        open.write(line)
    }

    /// Opens the file of the day of `at`, if that is not done.
    pub(super) fn open(&mut self, at: Timestamp) -> io::Result<()> {
        self.opened(at).map(drop)
    }

    /// Closes the file once it is on the disk.
    pub(super) fn close(&mut self) {
        if let Some(Open { file, date: Some(_), .. }) = self.open.take() {
            // Whoever closes it has no other place to write to.
            let _ = file.sync_all();
        }
    }

    fn opened(&mut self, at: Timestamp) -> io::Result<&mut Open> {
        let today = at.to_zoned(TimeZone::UTC).date();
        let is_todays = self.open.as_ref().is_some_and(|open| open.date.is_none_or(|d| d == today));
        if !is_todays {
            if let Some((at, kind)) = self.failed
                && at.elapsed() < OPEN_RETRY
            {
                return Err(kind.into());
            }
            self.close();
            match open(&self.template, today) {
                Ok(open) => self.open = Some(open),
                Err(error) => {
                    self.failed = Some((Instant::now(), error.kind()));
                    return Err(error);
                }
            }
            self.failed = None;
        }
        Ok(self.open.as_mut().expect("it has just been looked at"))
    }
}

impl Open {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let mut rest = line;
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.is_torn |= rest.len() < line.len();
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

fn open(template: &Path, today: Date) -> io::Result<Open> {
    if fs::metadata(template).is_ok_and(|metadata| !metadata.is_file()) {
        // A pipe that nobody reads is an error, and not waited for.
        let file = OpenOptions::new().append(true).custom_flags(libc::O_NONBLOCK).open(template)?;
        return Ok(Open { file, date: None, is_torn: false });
    }
    fs::create_dir_all(folder(template))?;
    // First, so that there is room when the disk is full.
    remove_old(template, today);
    let path = dated(template, today);
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(MODE).open(path)?;
    let is_torn = ends_within_a_line(&mut file)?;
    Ok(Open { file, date: Some(today), is_torn })
}

/// Whether the last to write it was interrupted in the middle of a line.
fn ends_within_a_line(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// The file of the newest day of this template, if there is one. What is no regular file cannot be
/// read back.
pub(super) fn newest(template: &Path) -> io::Result<Option<(Date, PathBuf)>> {
    if fs::metadata(template).is_ok_and(|metadata| !metadata.is_file()) {
        return Ok(None);
    }
    let entries = match fs::read_dir(folder(template)) {
        Ok(entries) => entries,
        // No line has been written yet.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let dates = entries.flatten().filter_map(|entry| date_of(template, &entry.file_name()));
    Ok(dates.max().map(|date| (date, dated(template, date))))
}

fn folder(template: &Path) -> &Path {
    match template.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn dated(template: &Path, date: Date) -> PathBuf {
    let mut name = template.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{date}"));
    if let Some(extension) = template.extension() {
        name.push(".");
        name.push(extension);
    }
    template.with_file_name(name)
}

/// Removes the files of this template whose days have passed. One that cannot be removed now is
/// tried again tomorrow.
fn remove_old(template: &Path, today: Date) {
    if RETENTION_DAYS <= 0 {
        return;
    }
    let Ok(oldest) = today.checked_sub(Span::new().days(RETENTION_DAYS - 1)) else { return };
    let Ok(entries) = fs::read_dir(folder(template)) else { return };
    for entry in entries.flatten() {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_file && date_of(template, &entry.file_name()).is_some_and(|date| date < oldest) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The day of a file of this template; none if it is another file.
fn date_of(template: &Path, name: &std::ffi::OsStr) -> Option<Date> {
    let stem = template.file_stem()?.as_bytes();
    let rest = name.as_bytes().strip_prefix(stem)?.strip_prefix(b"-")?;
    let text = match template.extension() {
        Some(extension) => rest.strip_suffix(extension.as_bytes())?.strip_suffix(b".")?,
        None => rest,
    };
    let text = std::str::from_utf8(text).ok()?;
    // There are other ways to write a date; the pool does not use them.
    text.parse().ok().filter(|date: &Date| date.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::os::unix::fs::PermissionsExt;

    #[track_caller]
    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[track_caller]
    fn names(folder: &Path) -> BTreeSet<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn the_date_goes_before_the_extension() {
        let date = jiff::civil::date(2026, 1, 31);
        assert_eq!(dated(Path::new("logs/pool.log"), date), Path::new("logs/pool-2026-01-31.log"));
        assert_eq!(dated(Path::new("pool"), date), Path::new("pool-2026-01-31"));
        assert_eq!(dated(Path::new("a.b.log"), date), Path::new("a.b-2026-01-31.log"));
    }

    #[test]
    fn each_day_in_utc_has_a_file_and_lines_are_appended() {
        let folder = tempfile::tempdir().unwrap();
        let template = folder.path().join("new/pool.log");
        let mut file = DailyFile::new(template.clone());
        assert!(!template.parent().unwrap().exists(), "opened by the first line");
        file.write(at("2026-01-31T23:59:59.9Z"), b"a\n").unwrap();
        file.write(at("2026-02-01T00:59:59+01:00"), b"b\n").unwrap();
        file.write(at("2026-02-01T00:00:00Z"), b"c\n").unwrap();
        drop(file);
        DailyFile::new(template.clone()).write(at("2026-02-01T01:00:00Z"), b"d\n").unwrap();
        let path = |date| dated(&template, date);
        let january = path(jiff::civil::date(2026, 1, 31));
        let february = path(jiff::civil::date(2026, 2, 1));
        assert_eq!(fs::read_to_string(&january).unwrap(), "a\nb\n");
        assert_eq!(fs::read_to_string(february).unwrap(), "c\nd\n");
        let mode = fs::metadata(january).unwrap().permissions().mode() & 0o777;
        // The process' umask may take rights away and never adds any.
        assert_eq!((mode & !MODE, mode & 0o600), (0, 0o600), "{mode:o}");
    }

    #[test]
    fn today_and_the_two_days_before_are_kept_and_nothing_else_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let gone = ["pool-2026-02-27.log", "pool-2025-12-31.log", "pool-2024-02-29.log"];
        let kept = [
            "pool-2026-02-28.log",
            "pool-2026-03-01.log",
            "pool-2026-03-03.log",
            // No date, or not quite one.
            "pool-2026-02-30.log",
            "pool-2026-1-001.log",
            "pool-+20260101.log",
            "pool-20260101.log",
            "pool-2026-01-01T00.log",
            "pool.log",
            // Another template's.
            "errors-2020-01-01.log",
            "pool-old-2020-01-01.log",
            "mypool-2020-01-01.log",
            "pool-2020-01-01.log.gz",
            "pool-2020-01-01.txt",
            "pool-2020-01-01",
        ];
        for name in gone.iter().chain(&kept) {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::create_dir(folder.path().join("pool-2020-01-02.log")).unwrap();
        std::os::unix::fs::symlink("pool.log", folder.path().join("pool-2020-01-03.log")).unwrap();
        let mut file = DailyFile::new(folder.path().join("pool.log"));
        file.write(at("2026-03-02T12:00:00Z"), b"a\n").unwrap();
        let mut expected: BTreeSet<String> = kept.iter().map(|&name| name.to_owned()).collect();
        expected.extend(
            ["pool-2026-03-02.log", "pool-2020-01-02.log", "pool-2020-01-03.log"].map(String::from),
        );
        assert_eq!(names(folder.path()), expected);
    }

    #[test]
    fn a_template_without_extension_looks_after_its_own_files() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["pool-2026-02-27", "pool-2026-02-27.log"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        DailyFile::new(folder.path().join("pool")).open(at("2026-03-02T12:00:00Z")).unwrap();
        let expected = ["pool-2026-02-27.log", "pool-2026-03-02"].map(String::from);
        assert_eq!(names(folder.path()), expected.into());
    }

    #[test]
    fn what_is_no_regular_file_is_written_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let null = folder.path().join("null");
        std::os::unix::fs::symlink("/dev/null", &null).unwrap();
        // Would be an old file of that template.
        fs::write(folder.path().join("null-2020-01-01"), "").unwrap();
        let mut file = DailyFile::new(null);
        file.write(at("2026-03-02T12:00:00Z"), b"a\n").unwrap();
        file.write(at("2026-03-05T12:00:00Z"), b"b\n").unwrap();
        file.close();
        assert_eq!(names(folder.path()), ["null", "null-2020-01-01"].map(String::from).into());
    }

    #[test]
    fn a_pipe_without_a_reader_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        let error = DailyFile::new(path).write(at("2026-03-02T12:00:00Z"), b"a\n").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENXIO));
    }

    #[test]
    fn a_line_does_not_go_on_where_one_was_interrupted() {
        let folder = tempfile::tempdir().unwrap();
        let template = folder.path().join("pool.log");
        let path = folder.path().join("pool-2026-03-02.log");
        fs::write(&path, "whole\nhal").unwrap();
        let mut file = DailyFile::new(template);
        file.write(at("2026-03-02T12:00:00Z"), b"a\n").unwrap();
        file.write(at("2026-03-02T12:00:00Z"), b"b\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole\nhal\na\nb\n");
    }

    #[test]
    fn a_file_that_is_full_in_the_middle_of_a_line_goes_on_with_a_new_one() {
        // Takes some bytes and then no more, as a full disk does, until it is read.
        let (mut reader, writer) = io::pipe().unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(writer));
        // SAFETY: the descriptor is open, and the flag needs no pointer.
        let set = unsafe {
            libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&file), libc::F_SETFL, libc::O_NONBLOCK)
        };
        assert_eq!(set, 0);
        let open = Open { file, date: None, is_torn: false };
        let mut log = DailyFile { template: "pipe".into(), open: Some(open), failed: None };
        let now = at("2026-03-02T12:00:00Z");
        let long = [vec![b'x'; 1 << 20], b"\n".to_vec()].concat();
        let error = log.write(now, &long).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        let mut part = vec![0; 1 << 20];
        let count = reader.read(&mut part).unwrap();
        assert!(part[..count].iter().all(|byte| *byte == b'x'));
        log.write(now, b"next\n").unwrap();
        drop(log);
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).unwrap();
        assert!(rest.ends_with(b"\nnext\n"), "{:?}", String::from_utf8_lossy(&rest));
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_tried_again_after_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let parent = folder.path().join("logs");
        fs::write(&parent, "in the way").unwrap();
        let mut file = DailyFile::new(parent.join("pool.log"));
        let now = at("2026-03-02T12:00:00Z");
        assert!(file.write(now, b"a\n").is_err());
        fs::remove_file(&parent).unwrap();
        assert!(file.write(now, b"b\n").is_err(), "not yet");
        file.failed.as_mut().expect("when it failed is known").0 -= OPEN_RETRY;
        file.write(now, b"c\n").unwrap();
        assert_eq!(fs::read_to_string(parent.join("pool-2026-03-02.log")).unwrap(), "c\n");
    }
}
