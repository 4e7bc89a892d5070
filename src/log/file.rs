//! One file a day: `pool.log` is written as `pool-2026-01-31.log`, by the date in UTC
//! (`config.md` §7.2).

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

#[derive(Debug)]
pub(super) struct DailyFile {
    template: PathBuf,
    open: Option<(Date, File)>,
}

impl DailyFile {
    pub(super) fn new(template: &Path) -> Self {
        Self { template: template.to_owned(), open: None }
    }

    pub(super) fn write(&mut self, line: &str) -> io::Result<()> {
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        if self.open.as_ref().is_none_or(|(date, _)| *date != today) {
            let path = dated(&self.template, today);
            self.open = Some((today, OpenOptions::new().append(true).create(true).open(path)?));
        }
        match &mut self.open {
            Some((_, file)) => file.write_all(line.as_bytes()),
            None => Ok(()),
        }
    }
}

fn dated(template: &Path, date: Date) -> PathBuf {
    let stem = template.file_stem().unwrap_or_default().to_string_lossy();
    let name = match template.extension() {
        Some(extension) => format!("{stem}-{date}.{}", extension.to_string_lossy()),
        None => format!("{stem}-{date}"),
    };
    template.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_goes_before_the_extension() {
        let date = jiff::civil::date(2026, 1, 31);
        assert_eq!(dated(Path::new("logs/pool.log"), date), Path::new("logs/pool-2026-01-31.log"));
        assert_eq!(dated(Path::new("pool"), date), Path::new("pool-2026-01-31"));
    }

    #[test]
    fn lines_are_appended() {
        let folder = tempfile::tempdir().unwrap();
        for line in ["a\n", "b\n"] {
            DailyFile::new(&folder.path().join("pool.log")).write(line).unwrap();
        }
        let path = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "a\nb\n");
    }
}
