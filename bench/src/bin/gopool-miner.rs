//! A CPU miner for trying out a pool of one's own: `gopool-miner --user <address>.<rig>`.

use clap::Parser;
use gopool_bench::miner::{Console, Options, run};
use gopool_shards::sha256d;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Mines at a Stratum pool on this machine.
#[derive(Parser)]
#[command(name = "gopool-miner", version, about)]
struct Arguments {
    /// Where the pool listens; a loopback address.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:3333")]
    url: String,
    /// Who is paid, and a name for this miner.
    #[arg(long, value_name = "ADDRESS.RIG")]
    user: String,
    /// Threads that hash [default: one per core].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Stop after so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
    /// Hash no faster than this, all threads together.
    #[arg(long, value_name = "LIMIT", value_parser = clap::value_parser!(u64).range(1..))]
    hashes_per_second: Option<u64>,
    /// Negotiate version rolling (BIP-0310) and use it.
    #[arg(long)]
    version_rolling: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let console = Console::new();
    let stop = match stop_on_signals() {
        Ok(stop) => stop,
        Err(error) => {
            eprintln!("gopool-miner: could not take over Ctrl-C: {error}");
            return ExitCode::FAILURE;
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let options = Options {
        url: arguments.url,
        user: arguments.user,
        threads: arguments.threads.map_or(cores, usize::from),
        duration: arguments.seconds.map(Duration::from_secs),
        hashes_per_second: arguments.hashes_per_second,
        version_rolling: arguments.version_rolling,
    };
    let kernel = sha256d::kernel_name();
    let (url, threads) = (&options.url, options.threads);
    console.say(format_args!("mining at {url} with {threads} threads, kernel {kernel}"));
    match run(&options, &stop, &console) {
        Ok(totals) => {
            let (accepted, rejected) = (totals.accepted, totals.rejected);
            console.say(format_args!("stopped: {accepted} accepted, {rejected} rejected"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("gopool-miner: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The flag that Ctrl-C and `kill` set. The second one ends the process at once.
fn stop_on_signals() -> io::Result<Arc<AtomicBool>> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag unset and sets it.
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}
