//! The configuration while the pool runs: who wants another one comes here, one after the other.
//! SIGUSR2 reads the files again; the admin panel changes what they say, and saves it.
//!
//! Whoever only looks is never kept waiting by who changes.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use crossbeam_channel::Sender;

use crate::command::Command;
use crate::config::change::{self, Changed};
use crate::config::fields::{self, Refusal};
use crate::config::{Config, ConfigError, Loader, ProblemKind, SaveError, bring_up_to_date, save};
use crate::supervise::Reloading;

/// What is in force, and the only door to another configuration.
#[derive(Debug)]
pub struct LiveSettings {
    loader: Loader,
    commands: Sender<Command>,
    current: ArcSwap<Config>,
    /// Held by who changes it, so that control hears of changes in their order.
    changing: Mutex<()>,
}

/// What a form has done.
#[derive(Debug)]
pub struct Applied {
    pub changed: Vec<Changed>,
    /// What the pool can live with now, and could not be said before.
    pub warnings: Vec<String>,
}

/// What has gone to the disk.
#[derive(Debug)]
pub struct SavedFiles {
    pub files: Vec<PathBuf>,
    /// What was changed since the files were read, and is written now.
    pub changed: Vec<Changed>,
}

impl LiveSettings {
    /// `config` is what the pool has started with.
    pub fn new(loader: Loader, config: Config, commands: Sender<Command>) -> Arc<Self> {
        let current = ArcSwap::from_pointee(config);
        Arc::new(Self { loader, commands, current, changing: Mutex::default() })
    }

    /// What is in force.
    pub fn current(&self) -> Arc<Config> {
        self.current.load_full()
    }

    /// Reads the files again. What has been changed in the panel and not saved is forgotten.
    pub fn reload(&self, reloading: Reloading) -> Result<Arc<Config>, ConfigError> {
        let _changing = self.changing.lock();
        let config = self.loader.load()?;
        bring_up_to_date(&config, false);
        self.take(config, |config| Command::Reload(config, reloading));
        Ok(self.current())
    }

    /// Changes what a form says. All of it is found good before any of it is taken.
    pub fn apply<'a>(
        &self,
        form: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Applied, Vec<Refusal>> {
        let _changing = self.changing.lock();
        let before = self.current();
        let edits = change::read(&before, form)?;
        let after = self.loader.with_edits(&before, edits).map_err(refusals)?;
        let changed = change::difference(&before, &after);
        let is_new = |warning: &&String| !before.warnings.contains(warning);
        let warnings = after.warnings.iter().filter(is_new).cloned().collect();
        if !changed.is_empty() {
            self.take(after, Command::Configure);
        }
        Ok(Applied { changed, warnings })
    }

    /// Writes what has been changed into the files, and goes on with what they say then. Waits for
    /// the disk.
    pub fn save(&self) -> Result<SavedFiles, SaveError> {
        let _changing = self.changing.lock();
        let before = self.current();
        if before.edits().is_empty() {
            return Ok(SavedFiles { files: Vec::new(), changed: Vec::new() });
        }
        let saved = save(&self.loader, &before)?;
        let changed = change::unsaved(&before);
        self.take(saved.config, Command::Configure);
        Ok(SavedFiles { files: saved.files, changed })
    }

    fn take(&self, config: Config, command: impl FnOnce(Box<Config>) -> Command) {
        let taken = config.clone().taken_after(&self.current());
        self.current.store(Arc::new(taken));
        // A pool that is ending hears of nothing any more.
        let _ = self.commands.send(command(Box::new(config)));
    }
}

/// What is wrong with a configuration, as it is said beside the fields of a form.
fn refusals(error: ConfigError) -> Vec<Refusal> {
    let ConfigError::Problems(problems) = error else {
        return vec![Refusal { name: "", words: error.to_string() }];
    };
    let errors = problems.iter().filter(|problem| problem.kind != ProblemKind::Warning);
    let refusal = errors.map(|problem| Refusal {
        name: problem.key.and_then(fields::field_of).map_or("", |field| field.name),
        words: problem.to_string(),
    });
    refusal.collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crossbeam_channel::{Receiver, unbounded};

    use super::*;
    use crate::cli::Flags;
    use crate::supervise::Supervisor;

    const CONFIG: &str = "[node]\npayout_address = \"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4\"\n\
                          [branding]\nstatus_tagline = \"Old\"\n";

    fn live(flags: &[&str]) -> (tempfile::TempDir, Arc<LiveSettings>, Receiver<Command>) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("config")).unwrap();
        fs::write(folder.path().join("config/config.toml"), CONFIG).unwrap();
        let arguments = ["gopool", "-data-dir", folder.path().to_str().unwrap()];
        let flags = Flags::try_from(arguments.iter().chain(flags)).unwrap();
        let loader = Loader::new(flags);
        let config = loader.load().unwrap();
        let (sender, commands) = unbounded();
        (folder, LiveSettings::new(loader, config, sender), commands)
    }

    #[track_caller]
    fn configured(commands: &Receiver<Command>) -> Config {
        match commands.try_recv() {
            Ok(Command::Configure(config) | Command::Reload(config, _)) => *config,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_form_is_taken_whole_or_not_at_all() {
        let (_folder, live, commands) = live(&[]);
        let form = [("min_difficulty", "512"), ("max_accept_burst", "77")];
        let applied = live.apply(form).unwrap();
        assert_eq!(applied.changed.len(), 2);
        let needs_restart: Vec<_> = applied.changed.iter().map(Changed::needs_restart).collect();
        assert_eq!(needs_restart.iter().filter(|needs| **needs).count(), 1);
        assert_eq!(configured(&commands).settings.difficulty.min, 512.0);
        for form in [
            [("min_difficulty", "1"), ("job_entropy", "99")],
            [("min_difficulty", "1"), ("pool_listen", ":1")],
        ] {
            assert_eq!(live.apply(form).unwrap_err().len(), 1);
        }
        assert!(live.apply([("min_difficulty", "512")]).unwrap().changed.is_empty());
        assert!(commands.is_empty());
        assert_eq!(live.current().settings.difficulty.min, 512.0);
    }

    #[test]
    fn a_warning_is_told_when_it_is_new() {
        let (_folder, live, _commands) = live(&[]);
        let applied = live.apply([("net_debug", "true")]).unwrap();
        assert_eq!(applied.warnings.len(), 1);
        assert!(live.apply([("min_difficulty", "1")]).unwrap().warnings.is_empty());
    }

    #[test]
    fn what_is_saved_is_what_was_in_force_and_a_reload_forgets_the_rest() {
        let (folder, live, commands) = live(&["-flood"]);
        live.apply([("status_tagline", "New"), ("min_difficulty", "5")]).unwrap();
        let in_force = configured(&commands);
        let saved = live.save().unwrap();
        assert_eq!((saved.files.len(), saved.changed.len()), (2, 2));
        let after = configured(&commands);
        for (old, new) in in_force.entries.iter().zip(&after.entries) {
            assert_eq!(old.value, new.value, "{}", old.key.path());
        }
        assert!(live.save().unwrap().files.is_empty() && commands.is_empty());
        let tuning = fs::read_to_string(folder.path().join("config/tuning.toml")).unwrap();
        assert_eq!(tuning, "[difficulty]\nmin_difficulty = 5.0\n");
        live.apply([("status_tagline", "Newer")]).unwrap();
        assert_eq!(configured(&commands).shown.tagline, "Newer");
        live.reload(Supervisor::from_env().reloading()).unwrap();
        assert_eq!(configured(&commands).shown.tagline, "New");
        assert!(live.current().edits().is_empty());
    }
}
