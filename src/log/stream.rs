//! One of the files that lines go to, and what it has cost that it could not be written.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::file::DailyFile;

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) name: &'static str,
    file: DailyFile,
    /// Lines that could not be written and have not been reported.
    lost: u64,
    /// The last attempt to write or open it failed.
    is_failing: bool,
}

impl Stream {
    pub(super) fn new(name: &'static str, template: PathBuf) -> Self {
        Self { name, file: DailyFile::new(template), lost: 0, is_failing: false }
    }

    pub(super) fn template(&self) -> &Path {
        self.file.template()
    }

    /// Appends a line, or counts it as lost.
    pub(super) fn put(&mut self, at: Timestamp, line: &[u8]) -> io::Result<()> {
        let written = self.attempt(|file| file.write(at, line));
        self.lost += u64::from(written.is_err());
        written
    }

    /// Appends a line that is no loss when it cannot be written.
    pub(super) fn try_put(&mut self, at: Timestamp, line: &[u8]) -> io::Result<()> {
        self.attempt(|file| file.write(at, line))
    }

    pub(super) fn open(&mut self, at: Timestamp) -> io::Result<()> {
        self.attempt(|file| file.open(at))
    }

    fn attempt(&mut self, act: impl FnOnce(&mut DailyFile) -> io::Result<()>) -> io::Result<()> {
        let result = act(&mut self.file);
        self.is_failing = result.is_err();
        result
    }

    pub(super) fn is_open(&self) -> bool {
        self.file.is_open()
    }

    /// Closes the file once it is on the disk.
    pub(super) fn close(&mut self) {
        self.file.close();
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Lines that were lost before it could be written again.
    pub(super) fn lost_until_recovery(&self) -> u64 {
        if self.is_failing { 0 } else { self.lost }
    }

    /// `count` of the lost lines have been reported.
    pub(super) fn reported(&mut self, count: u64) {
        self.lost -= count;
    }
}
