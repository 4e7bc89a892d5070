//! Signals → commands. What takes time (files, names) is done here, on threads of its own, so that
//! the control loop gets something finished and a second SIGTERM is always heard.

use std::io;
use std::process::exit;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Sender, bounded};
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;
use tracing::{error, info, warn};

use crate::command::Command;
use crate::config::{ConfigError, ProblemKind};
use crate::live::LiveSettings;
use crate::status::StatusSwitch;
use crate::supervise::{Reloading, Supervisor};

/// Exit code of a pool that was told twice.
const STOPPED_AT_ONCE: i32 = 1;

/// Listens from now on. The first SIGINT or SIGTERM stops the pool in order, a second one ends it
/// at once; SIGUSR1 reloads the pages, SIGUSR2 the configuration (`config.md` §8).
pub fn listen(
    live: Arc<LiveSettings>,
    status: Arc<StatusSwitch>,
    supervisor: Arc<Supervisor>,
    commands: Sender<Command>,
) -> io::Result<()> {
    // One reload at a time, and one that waits: what it reads is the newest anyway.
    let (reload, reloads) = bounded::<()>(1);
    let pages = Arc::clone(&status);
    thread::Builder::new().name("reload".into()).spawn(move || {
        for () in &reloads {
            reload_files(&live, &pages, supervisor.reloading());
        }
    })?;
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGUSR1, SIGUSR2])?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        let mut is_told = false;
        for signal in signals.forever() {
            match signal {
                SIGUSR1 => {
                    info!(component = "http", "SIGUSR1: pages are loaded again");
                    status.reload();
                }
                SIGUSR2 => {
                    let _ = reload.try_send(());
                }
                _ if is_told => exit(STOPPED_AT_ONCE),
                _ => {
                    is_told = true;
                    let _ = commands.send(Command::Stop);
                }
            }
        }
    })?;
    Ok(())
}

/// Everything is read and checked before anything is applied; what cannot be used changes nothing.
fn reload_files(live: &LiveSettings, pages: &StatusSwitch, reloading: Reloading) {
    info!(component = "config", "SIGUSR2: the configuration is read again");
    match live.reload(reloading) {
        Ok(config) => {
            for warning in &config.warnings {
                warn!(component = "config", "{warning}");
            }
            pages.set_public_url(config.public_url.clone());
        }
        Err(ConfigError::Problems(problems)) => {
            for problem in &problems {
                match problem.kind {
                    ProblemKind::Warning => warn!(component = "config", "{problem}"),
                    _ => error!(component = "config", "{problem}"),
                }
            }
            error!(component = "config", "not reloaded: the pool goes on with what it has");
        }
        Err(error) => {
            error!(component = "config", %error, "not reloaded: the pool goes on with what it has");
        }
    }
}
