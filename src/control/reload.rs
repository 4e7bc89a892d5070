//! A new configuration for a running pool: what it changes, and who hears of it.

use tracing::{info, warn};

use crate::config::Config;
use crate::config::keys::{Apply, Key};

/// What is different, by when it takes effect.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub applied: Vec<&'static Key>,
    pub restart: Vec<&'static Key>,
    /// Something that is part of a job.
    pub job: bool,
    /// Which clients are turned away, by whichever file.
    pub clients: bool,
}

/// Compares what is in force with what shall be.
pub(super) fn changes(before: &Config, after: &Config) -> Changes {
    let mut changes = Changes::default();
    for (old, new) in before.entries.iter().zip(&after.entries) {
        if old.value == new.value {
            continue;
        }
        match new.key.apply {
            Apply::Restart => changes.restart.push(new.key),
            apply => {
                changes.applied.push(new.key);
                changes.job |= apply == Apply::Job;
            }
        }
    }
    changes.clients = before.settings.banned_clients != after.settings.banned_clients;
    changes.job |= before.job_inputs.version_bits != after.job_inputs.version_bits;
    changes
}

/// One line for each key that has changed, and one for those that wait.
pub(super) fn report(changes: &Changes, after: &Config, event: &str) {
    for key in &changes.applied {
        let entry = after.entries.iter().find(|entry| entry.key == *key);
        let value = entry.map(ToString::to_string).unwrap_or_default();
        info!(component = "config", key = key.path(), value, apply = key.apply.words(), "changed");
    }
    if changes.clients {
        let count = after.settings.banned_clients.len();
        info!(component = "config", count, "other clients are turned away");
    }
    if !changes.restart.is_empty() {
        let keys: Vec<String> = changes.restart.iter().map(|key| key.path()).collect();
        warn!(component = "config", keys = keys.join(","), "changed, and needs a restart");
    }
    info!(
        component = "config",
        changed = changes.applied.len(),
        need_restart = changes.restart.len(),
        "{event}"
    );
}
