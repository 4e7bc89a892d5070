//! A measurement in a process of its own: none inherits the memory of another.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use serde_json::Value;

use super::setup::FloodError;

/// What is measured, and where it runs.
#[derive(Args, Clone, Debug)]
pub struct Bed {
    /// The pool
    #[arg(long, value_name = "PROGRAM", default_value = "target/release/gopool")]
    pub pool: PathBuf,
    /// The floor
    #[arg(long, value_name = "PROGRAM", default_value = "target/release/gopool-yardstick")]
    pub yardstick: PathBuf,
    /// The CPU of the servers
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub server_cpu: usize,
    /// The CPU of load and node
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub client_cpu: usize,
    /// Keep other programs off both CPUs during each run, which takes root
    #[arg(long)]
    pub go_first: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Pool,
    Floor,
}

impl Bed {
    /// The report of one run of this program with `arguments` against one side.
    pub fn measure(&self, arguments: &[String], side: Side) -> Result<Value, FloodError> {
        let file = tempfile::NamedTempFile::new()?;
        let server = match side {
            Side::Pool => &self.pool,
            Side::Floor => &self.yardstick,
        };
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments).arg("--spawn").arg(server).arg("--json").arg(file.path());
        command.args(["--server-cpu", &self.server_cpu.to_string()]);
        command.args(["--client-cpu", &self.client_cpu.to_string()]);
        if self.go_first {
            command.arg("--go-first");
        }
        let output = command.stdin(Stdio::null()).stdout(Stdio::null()).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            let what = arguments.join(" ");
            return Err(FloodError::Io(io::Error::other(format!(
                "{what} against {side:?}: {said}"
            ))));
        }
        read(file.path())
    }
}

fn read(path: &Path) -> Result<Value, FloodError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| FloodError::File { path: path.to_owned(), source })?;
    serde_json::from_str(&text).map_err(|error| FloodError::Io(io::Error::other(error)))
}
