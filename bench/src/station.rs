//! Two ways to do the same work, measured in turns in one run: what slows one down on a busy
//! machine slows the other down too, so their ratio is worth more than either figure.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use gopool_shards::sha256d::Kernel;
use serde_json::json;

/// How long one way runs before it is the other's turn: shorter than a time slice, so that on a busy
/// machine most turns are not interrupted, and the median is one that was not.
const TURN: Duration = Duration::from_micros(300);

/// What every benchmark takes: `cargo bench -p gopool-bench --bench judge -- --rounds 501`.
#[derive(Debug, Parser)]
pub struct Arguments {
    /// Only this kernel instead of all that the CPU can run
    #[arg(long)]
    pub kernel: Option<String>,
    /// Turns of each way, at least 5; medians are shown
    #[arg(long, default_value_t = 201, value_parser = clap::value_parser!(u32).range(5..))]
    pub rounds: u32,
    /// Write the figures to this file too
    #[arg(long, value_name = "PATH")]
    pub json: Option<PathBuf>,
    /// Cargo says so
    #[arg(long, hide = true)]
    pub bench: bool,
}

impl Arguments {
    /// The kernels to measure.
    ///
    /// # Errors
    /// When one was asked for that the CPU cannot run; says which it can.
    pub fn kernels(&self) -> Result<Vec<Kernel>, String> {
        let all: Vec<Kernel> = Kernel::all().collect();
        let Some(name) = &self.kernel else { return Ok(all) };
        match Kernel::named(name) {
            Some(kernel) => Ok(vec![kernel]),
            None => Err(format!("no kernel {name:?} here, only {all:?}")),
        }
    }
}

/// One table of figures.
#[derive(Debug)]
pub struct Station {
    name: &'static str,
    rounds: u32,
    json: Option<PathBuf>,
    rows: Vec<Row>,
}

/// Nanoseconds that one item takes, ours and the floor it is measured against.
#[derive(Debug)]
struct Row {
    name: String,
    figure_ns: f64,
    floor_ns: f64,
}

impl Station {
    /// Starts a table; its head is printed at once.
    pub fn new(name: &'static str, arguments: &Arguments) -> Self {
        say(&format!("| {name} | figure ns | floor ns | ratio |\n|---|---|---|---|"));
        Self { name, rounds: arguments.rounds, json: arguments.json.clone(), rows: Vec::new() }
    }

    /// Measures `ours` against `floor`, both of which do `items` items at each call, and prints
    /// the row: medians in nanoseconds per item, and how many times as fast ours is.
    pub fn compare(
        &mut self,
        name: &str,
        items: usize,
        mut floor: impl FnMut(),
        mut ours: impl FnMut(),
    ) {
        let (floor_calls, our_calls) = (calls_per_turn(&mut floor), calls_per_turn(&mut ours));
        let (mut floors, mut figures) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            floors.push(turn(&mut floor, floor_calls) / items as f64);
            figures.push(turn(&mut ours, our_calls) / items as f64);
        }
        let row =
            Row { name: name.to_owned(), figure_ns: median(figures), floor_ns: median(floors) };
        let Row { name, figure_ns, floor_ns } = &row;
        say(&format!("| {name} | {figure_ns:.0} | {floor_ns:.0} | {:.2} |", row.ratio()));
        self.rows.push(row);
    }

    /// Writes the file that was asked for, if one was.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(self) -> std::io::Result<()> {
        let Some(path) = &self.json else { return Ok(()) };
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "name": row.name,
                    "figure_ns": row.figure_ns,
                    "floor_ns": row.floor_ns,
                    "ratio": row.ratio(),
                })
            })
            .collect();
        let table = json!({ "station": self.name, "rounds": self.rounds, "rows": rows });
        std::fs::write(path, format!("{table:#}\n"))
    }
}

impl Row {
    fn ratio(&self) -> f64 {
        self.floor_ns / self.figure_ns
    }
}

/// How many calls fill a turn. The calls made to find out also warm the caches.
fn calls_per_turn(work: &mut impl FnMut()) -> u32 {
    let mut calls = 1;
    loop {
        let nanoseconds = turn(work, calls) * f64::from(calls);
        if nanoseconds >= TURN.as_nanos() as f64 / 4.0 {
            let per_call = nanoseconds / f64::from(calls);
            return (TURN.as_nanos() as f64 / per_call).ceil() as u32;
        }
        calls *= 2;
    }
}

/// Nanoseconds of one call, on the average of so many.
fn turn(work: &mut impl FnMut(), calls: u32) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        work();
    }
    start.elapsed().as_nanos() as f64 / f64::from(calls)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let (low, high) = (figures[(figures.len() - 1) / 2], figures[figures.len() / 2]);
    (low + high) / 2.0
}

fn say(line: &str) {
    // Nobody reads any more when this fails; the figures may still go to a file.
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![9.0, 1.0, 2.0, 4.0]), 3.0);
    }

    #[test]
    fn a_ratio_says_how_many_times_as_fast_ours_is() {
        let row = Row { name: String::new(), figure_ns: 2.0, floor_ns: 5.0 };
        assert_eq!(row.ratio(), 2.5);
    }
}
