//! `table`: the pool beside the floor, figure by figure, in one run.

mod record;
mod rows;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::apart::{Bed, Side};
use super::broadcast::median;
use super::report::{progress, progress_end};
use super::setup::FloodError;
use record::Record;
use rows::{Load, ROWS, Row};

/// Above this part of the time spent waiting for a CPU, figures say more of the neighbours.
const DISTURBED_PERCENT: f64 = 5.0;

/// All figures of the pool beside those of the yardstick, each the median of several runs, with the
/// bar it must pass and the last one that was recorded.
#[derive(Args, Clone, Debug)]
pub struct TableArgs {
    #[command(flatten)]
    bed: Bed,
    /// Runs of each
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    runs: usize,
    /// The measured seconds of each run of shares
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    seconds: f64,
    /// Only figures whose name holds this
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Where records are, and where --record puts this one
    #[arg(long, value_name = "FOLDER", default_value = "bench/records")]
    records: PathBuf,
    /// Keep the figures as a dated record
    #[arg(long)]
    record: bool,
    /// End with an error when a bar is missed
    #[arg(long)]
    strict: bool,
}

/// All runs of one load against one server: their reports.
type Reports = BTreeMap<(Load, Side), Vec<Value>>;

/// Measures, shows, and keeps.
pub fn run(args: &TableArgs) -> Result<(), FloodError> {
    let rows: Vec<&Row> = ROWS.iter().filter(|row| row.name.contains(&args.only)).collect();
    if rows.is_empty() {
        return Err(FloodError::Usage("no figure has --only in its name"));
    }
    let reports = measure(args, &rows)?;
    progress_end();
    let last = Record::newest(&args.records);
    let mut record = Record::new();
    let mut missed = 0;
    let mut lines = vec![[
        "figure".to_owned(),
        "pool".into(),
        "floor".into(),
        "ratio".into(),
        "bar".into(),
        String::new(),
        "last record".into(),
    ]];
    for row in rows {
        let value = |side| middle(&reports, row, side);
        let (pool, floor) =
            (value(Side::Pool), row.has_floor.then(|| value(Side::Floor)).flatten());
        let Some(pool) = pool else { continue };
        record.add(row.name, pool, floor);
        let passed = row.bar.is_passed(pool, floor);
        missed += usize::from(passed == Some(false));
        lines.push([
            row.title.to_owned(),
            figure(pool),
            floor.map_or("–".into(), figure),
            floor.filter(|floor| *floor > 0.0).map_or("–".into(), |floor| figure(pool / floor)),
            row.bar.to_string(),
            passed.map_or("", |passed| if passed { "ok" } else { "MISSED" }).into(),
            last.as_ref().and_then(|last| last.pool(row.name)).map_or("–".into(), figure),
        ]);
    }
    show(&lines);
    tell_disturbance(&reports);
    if args.record {
        let path = record.write(&args.records)?;
        progress(&format!("recorded in {}", path.display()));
    }
    if args.strict && missed > 0 {
        return Err(FloodError::Usage("a bar was missed"));
    }
    Ok(())
}

/// Pool and floor take turns, so that whatever else the machine does hits both.
fn measure(args: &TableArgs, rows: &[&Row]) -> Result<Reports, FloodError> {
    let mut reports = Reports::new();
    let mut loads: Vec<Load> = Vec::new();
    for row in rows {
        if !loads.contains(&row.load) {
            loads.push(row.load);
        }
    }
    let mut notify_bytes = None;
    for load in loads {
        for number in 1..=args.runs.max(1) {
            for side in [Side::Pool, Side::Floor] {
                let wants_floor = rows.iter().any(|row| row.load == load && row.has_floor);
                if side == Side::Floor && !wants_floor {
                    continue;
                }
                progress(&format!("{load:?}, {side:?}, run {number} of {}", args.runs));
                let mut arguments = load.arguments(args.seconds);
                if let (Load::Broadcast, Side::Floor, Some(bytes)) = (load, side, notify_bytes) {
                    arguments.extend(["--bytes".into(), format!("{bytes}")]);
                }
                let report = args.bed.measure(&arguments, side)?;
                notify_bytes = report["notify_bytes"].as_u64().or(notify_bytes);
                reports.entry((load, side)).or_default().push(report);
            }
        }
    }
    Ok(reports)
}

fn middle(reports: &Reports, row: &Row, side: Side) -> Option<f64> {
    let runs = reports.get(&(row.load, side))?;
    let mut values: Vec<f64> = runs
        .iter()
        .filter_map(|report| report[row.figure].as_f64())
        .map(|v| v * row.scale)
        .collect();
    (!values.is_empty()).then(|| median(&mut values))
}

/// Three digits that mean something, and no more.
fn figure(value: f64) -> String {
    match value.abs() {
        10_000.0.. => {
            let digits = format!("{value:.0}");
            let (head, tail) = digits.split_at(digits.len() - 3);
            format!("{head},{tail}")
        }
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn show(lines: &[[String; 7]]) {
    let width = |column: usize| {
        lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..7).map(width).collect();
    let mut out = io::stdout().lock();
    for line in lines {
        let mut text = format!("{:<1$}", line[0], widths[0]);
        for column in 1..7 {
            text += &match column {
                4 | 5 => format!("  {:<1$}", line[column], widths[column]),
                _ => format!("  {:>1$}", line[column], widths[column]),
            };
        }
        // A reader that went away is no reason to fail.
        let _ = writeln!(out, "{}", text.trim_end());
    }
}

fn tell_disturbance(reports: &Reports) {
    let waited =
        reports.values().flatten().filter_map(|report| report["server_waited_percent"].as_f64());
    let worst = waited.fold(0.0, f64::max);
    if worst > DISTURBED_PERCENT {
        progress(&format!(
            "other programs were on these CPUs: a server waited for its own up to {worst:.0} % of \
             the time. Trust CPU and memory; rates and times, and their ratios, say little.\n"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        for (value, text) in [
            (0.314, "0.31"),
            (2.5, "2.50"),
            (12.34, "12.3"),
            (987.6, "988"),
            (9_876.0, "9876"),
            (220_000.4, "220,000"),
        ] {
            assert_eq!(figure(value), text);
        }
    }
}
