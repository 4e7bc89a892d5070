//! `growth`: how cost grows with connections, shares in flight and the size of the template, at
//! three sizes each, drawn as plots.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::apart::{Bed, Side};
use super::report::{progress, progress_end};
use super::setup::FloodError;
use crate::plot::{Curve, Plot};

/// How cost grows with connections, shares in flight and the size of the template, drawn as plots.
#[derive(Args, Clone, Debug)]
pub struct GrowthArgs {
    #[command(flatten)]
    bed: Bed,
    /// The measured seconds of each run of shares
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    seconds: f64,
    /// Where the plots go
    #[arg(long, value_name = "FOLDER", default_value = "documentation/plots")]
    plots: PathBuf,
    /// The figures behind them
    #[arg(long, value_name = "FILE", default_value = "bench/records/growth.json")]
    figures: PathBuf,
}

/// One plot: a figure at three sizes.
struct Question {
    name: &'static str,
    title: &'static str,
    across: &'static str,
    up: &'static str,
    sizes: [usize; 3],
    arguments: fn(usize, f64) -> String,
    /// In the report of the run, and what it is multiplied with.
    figure: &'static str,
    scale: f64,
    has_floor: bool,
}

const QUESTIONS: [Question; 5] = [
    Question {
        name: "connections",
        title: "CPU of an accepted share, one in flight each",
        across: "connections",
        up: "µs",
        sizes: [1000, 5000, 15_000],
        arguments: |size, seconds| {
            format!("shares --connections {size} --in-flight 1 --warm-up 1 --seconds {seconds}")
        },
        figure: "server_cpu_us_per_share",
        scale: 1.0,
        has_floor: true,
    },
    Question {
        name: "in-flight",
        title: "CPU of an accepted share, 200 connections",
        across: "shares in flight on each",
        up: "µs",
        sizes: [1, 4, 16],
        arguments: |size, seconds| {
            format!("shares --connections 200 --in-flight {size} --warm-up 1 --seconds {seconds}")
        },
        figure: "server_cpu_us_per_share",
        scale: 1.0,
        has_floor: true,
    },
    Question {
        name: "broadcast",
        title: "New template to the last miner",
        across: "connections",
        up: "ms",
        sizes: [1000, 5000, 10_000],
        arguments: |size, _| format!("broadcast --connections {size} --rounds 3"),
        figure: "answer_to_last_us_median",
        scale: 1e-3,
        has_floor: true,
    },
    Question {
        name: "template",
        title: "New template to the first miner",
        across: "transactions",
        up: "ms",
        sizes: [1000, 2000, 4000],
        arguments: |size, _| {
            format!("broadcast --connections 100 --rounds 5 --transactions {size}")
        },
        figure: "answer_to_first_us_median",
        scale: 1e-3,
        has_floor: false,
    },
    Question {
        name: "block",
        title: "Share that is a block to the first byte of submitblock",
        across: "transactions",
        up: "ms",
        sizes: [1000, 2000, 4000],
        arguments: |size, _| format!("blocks --blocks 50 --transactions {size}"),
        figure: "share_to_submitblock_us_p50",
        scale: 1e-3,
        has_floor: false,
    },
];

/// Measures, draws, and keeps.
pub fn run(args: &GrowthArgs) -> Result<(), FloodError> {
    let failed = |error: Box<dyn std::error::Error>| {
        FloodError::Io(std::io::Error::other(error.to_string()))
    };
    fs::create_dir_all(&args.plots)?;
    let mut figures = serde_json::Map::new();
    for question in &QUESTIONS {
        let mut curves = vec![question.measure(args, Side::Pool)?];
        if question.has_floor {
            curves.push(question.measure(args, Side::Floor)?);
        }
        for curve in &curves {
            let name = format!("{}_{}", question.name, curve.name);
            figures.insert(name, json!(curve.points));
        }
        let Question { title, across, up, .. } = *question;
        let path = args.plots.join(format!("{}.svg", question.name));
        Plot { title, across, up, curves }.draw(&path).map_err(failed)?;
    }
    progress_end();
    fs::write(&args.figures, format!("{:#}\n", serde_json::Value::Object(figures)))?;
    progress(&format!("drawn in {}, figures in {}", args.plots.display(), args.figures.display()));
    progress_end();
    Ok(())
}

impl Question {
    fn measure(&self, args: &GrowthArgs, side: Side) -> Result<Curve, FloodError> {
        let mut points = Vec::new();
        for size in self.sizes {
            progress(&format!("{}, {size}, {side:?}", self.name));
            let arguments = (self.arguments)(size, args.seconds);
            let arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
            let report = args.bed.measure(&arguments, side)?;
            let missing = FloodError::Usage("a run did not report its figure");
            let value = report[self.figure].as_f64().ok_or(missing)?;
            points.push((size as f64, value * self.scale));
        }
        let name = if side == Side::Pool { "pool" } else { "floor" };
        Ok(Curve { name: name.into(), points })
    }
}
