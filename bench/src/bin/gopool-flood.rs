//! Loads a pool on this machine: `gopool-flood shares --spawn target/release/gopool`.

use std::process::ExitCode;

use clap::Parser;
use gopool_bench::flood::cli::Flood;

fn main() -> ExitCode {
    match Flood::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gopool-flood: {error}");
            ExitCode::FAILURE
        }
    }
}
