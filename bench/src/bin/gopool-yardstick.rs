//! The floor under the pool's figures: a server that answers lines and does nothing else.

use std::io::Write;
use std::net::SocketAddrV4;
use std::process::ExitCode;

use clap::Parser;
use gopool_bench::net::machine;
use gopool_bench::yardstick::{Plan, Yardstick};

/// Answers each line as the pool answers an accepted share, on one thread, as fast as the kernel
/// lets it. `gopool-flood --against yardstick` measures it like the pool.
#[derive(Parser)]
#[command(name = "gopool-yardstick", version, max_term_width = 100)]
struct Arguments {
    /// Where to listen; a loopback address. Port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3334")]
    listen: SocketAddrV4,
    /// Where a line `broadcast <bytes>` makes it send so many bytes to all connections
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    control: SocketAddrV4,
    /// The CPU to stay on [default: any]
    #[arg(long, value_name = "NUMBER")]
    cpu: Option<usize>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gopool-yardstick: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    for address in [arguments.listen, arguments.control] {
        if !address.ip().is_loopback() {
            return Err(format!(
                "{address} is not on this machine. It listens at a loopback address only, such as \
                 127.0.0.1:3334"
            ));
        }
    }
    if let Some(cpu) = arguments.cpu {
        machine::pin(cpu).map_err(|error| format!("cannot stay on CPU {cpu}: {error}"))?;
    }
    machine::raise_open_files(0);
    let plan = Plan { listen: arguments.listen, control: arguments.control };
    let mut yardstick = Yardstick::new(&plan).map_err(|error| {
        format!("cannot listen on {}: {error}. Choose another with --listen", plan.listen)
    })?;
    let (listen, control) = yardstick.addresses().map_err(|error| error.to_string())?;
    let mut out = std::io::stdout().lock();
    let said = writeln!(out, "listening {listen} control {control}").and_then(|()| out.flush());
    drop(out);
    // Whoever started it may not want to know.
    let _ = said;
    yardstick.run().map_err(|error| format!("the server ended: {error}"))
}
