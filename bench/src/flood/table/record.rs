//! Figures that are kept, with what is needed to understand them later.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::flood::setup::FloodError;
use crate::net::machine;

/// Names of records begin like this and go on with the date, so the last by name is the newest.
const PREFIX: &str = "flood-";
const COMMAND: &str = "gopool-flood table";

/// One run of the table.
#[derive(Clone, Debug)]
pub(super) struct Record(Value);

impl Record {
    pub(super) fn new() -> Self {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self(json!({
            "date": today(),
            "command": COMMAND,
            "commit": commit(),
            "cpu": machine::processor(),
            "cores": std::thread::available_parallelism().map_or(1, usize::from),
            "kernel": kernel.trim(),
            "figures": {},
        }))
    }

    pub(super) fn add(&mut self, name: &str, pool: f64, floor: Option<f64>) {
        let mut figure = Map::new();
        figure.insert("pool".into(), json!(pool));
        if let Some(floor) = floor {
            figure.insert("floor".into(), json!(floor));
        }
        self.0["figures"][name] = Value::Object(figure);
    }

    pub(super) fn pool(&self, name: &str) -> Option<f64> {
        self.0["figures"][name]["pool"].as_f64()
    }

    /// The newest record of a folder.
    pub(super) fn newest(folder: &Path) -> Option<Self> {
        let names = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
        let is_record = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with(PREFIX) && name.ends_with(".json")
        };
        let newest = names.filter(is_record).max()?;
        serde_json::from_str(&fs::read_to_string(newest).ok()?).ok().map(Self)
    }

    /// Writes it; a second one of the same day replaces the first.
    pub(super) fn write(&self, folder: &Path) -> Result<PathBuf, FloodError> {
        let date = self.0["date"].as_str().unwrap_or_default();
        let path = folder.join(format!("{PREFIX}{date}.json"));
        let text = format!("{:#}\n", self.0);
        let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, text));
        written.map_err(|source| FloodError::File { path: path.clone(), source })?;
        Ok(path)
    }
}

/// Of the source that lies here; it need not be what was built.
fn commit() -> String {
    let output = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let text = output.ok().filter(|output| output.status.success());
    text.map_or("unknown".into(), |output| {
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    })
}

fn today() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    date(since.as_secs() / 86_400)
}

/// The date that is so many days after 1970-01-01, counted in years that begin in March.
fn date(days: u64) -> String {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_known_days() {
        for (days, text) in [
            (0, "1970-01-01"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (14_246, "2009-01-02"),
            (20_782, "2026-11-25"),
        ] {
            assert_eq!(date(days), text);
        }
    }

    #[test]
    fn the_newest_record_is_found_and_others_are_not_records() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Record::newest(folder.path()).is_none());
        let mut record = Record::new();
        record.add("rate", 2.0, Some(1.0));
        let path = record.write(folder.path()).unwrap();
        fs::write(folder.path().join("flood-2001-01-01.json"), "{}").unwrap();
        fs::write(folder.path().join("memory.md"), "x").unwrap();
        assert!(path.exists());
        assert_eq!(Record::newest(folder.path()).unwrap().pool("rate"), Some(2.0));
        assert_eq!(record.pool("other"), None);
    }
}
