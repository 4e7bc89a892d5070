//! The configuration: files as written → a checked [`Config`], and one that exists is one the pool
//! can run with. Everything that is wrong is said at once.
//!
//! ```text
//! keys ─▶ reader ─▶ files ─▶ overrides ─▶ check ─▶ Config
//!                     │       ▲
//!                     │     fields, change (the admin panel's form)
//!                     └─▶ rewrite, save (what goes back to the disk: never a flag)
//! ```

pub mod admin;
pub mod change;
mod check;
#[cfg(test)]
mod documentation;
pub mod effective;
pub mod examples;
pub mod fields;
mod files;
pub mod keys;
mod overrides;
mod problem;
mod reader;
mod rewrite;
mod save;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gopool_shards::admission::auto_limits::AcceptKeys;
use gopool_shards::admission::reconnect::ReconnectRules;
use gopool_shards::settings::Settings;
use gopool_shards::work::address::Network;
use gopool_shards::work::job::JobInputs;

use crate::backup::BackupSettings;
use crate::clerk::ClerkSettings;
use crate::cli::Flags;
use crate::log::Levels;
use crate::node::cookie::{Auth, CookieFile};
use crate::node::peers::PeerCleaning;
use crate::node::zmq::Endpoint;
use crate::notices::NoticesSettings;
use crate::outgoing::OutgoingSettings;
use crate::price::PriceSettings;
use crate::shown::Shown;
use crate::status::{Networks, PublicUrl, ReconnectPolicy};
use crate::store::EndedBans;
use change::Edits;
use files::{Files, Legacy};
use keys::{Apply, Entry, File, Key, Origin, Value};
use problem::Problems;
pub use problem::{Paths, Problem, ProblemKind};
pub use rewrite::bring_up_to_date;
pub use save::{SaveError, Saved, save};

/// Everything the pool runs with.
#[derive(Clone, Debug)]
pub struct Config {
    pub network: Network,
    pub data_dir: PathBuf,
    pub stratum_listen: SocketAddr,
    /// None when Stratum over TLS is switched off; so for the next two.
    pub stratum_tls_listen: Option<SocketAddr>,
    pub status_listen: Option<SocketAddr>,
    pub status_tls_listen: Option<SocketAddr>,
    pub public_url: Option<PublicUrl>,
    pub trusted_proxies: Networks,
    pub proxy_protocol: bool,
    /// Whom the list without signing in is for, beside this machine.
    pub local_noauth_from: Networks,
    /// What pages say of the pool.
    pub shown: Arc<Shown>,
    /// The currency that bitcoin's price is shown in, as written.
    pub fiat_currency: String,
    pub outgoing: OutgoingSettings,
    /// None when nobody wants it; so for the next one.
    pub price: Option<PriceSettings>,
    pub clerk: Option<ClerkSettings>,
    pub reconnect: ReconnectPolicy,
    pub notices: NoticesSettings,
    pub rpc_url: String,
    pub rpc_auth: RpcAuth,
    pub zmq: Vec<Endpoint>,
    pub settings: Settings,
    pub accept: AcceptKeys,
    pub reconnects: ReconnectRules,
    pub ended_bans: EndedBans,
    pub backup: BackupSettings,
    /// How often the history is written as a whole.
    pub history_flush_interval: Duration,
    pub job_inputs: JobInputs,
    /// Characters of entropy in the tag of each job.
    pub job_entropy: usize,
    pub peer_cleaning: PeerCleaning,
    /// 0 for one less than there are cores.
    pub shards: usize,
    pub log_levels: Levels,
    /// Every setting, as it is in force and where it comes from.
    pub entries: Vec<Entry>,
    /// What the pool can live with and somebody should mend.
    pub warnings: Vec<String>,
    /// What the files say, without flags: this is what may be written back.
    view: View,
}

impl Config {
    /// As its blocks are recorded with it: letters and digits.
    pub fn payout_address(&self) -> &str {
        &self.job_inputs.payout.pool_address
    }

    /// This configuration for a pool that runs with `before`: what only a restart can change is as
    /// it was.
    pub fn taken_after(mut self, before: &Self) -> Self {
        self.settings.extranonce2_size = before.settings.extranonce2_size;
        self.accept.clone_from(&before.accept);
        self.job_inputs.extranonce2_size = before.job_inputs.extranonce2_size;
        self.job_inputs.pool_entropy.clone_from(&before.job_inputs.pool_entropy);
        let entries = before.entries.iter().zip(self.entries);
        self.entries = entries
            .map(|(old, new)| if new.key.apply == Apply::Restart { old.clone() } else { new })
            .collect();
        self
    }

    /// What must be shown to nobody, wherever it turns up.
    pub fn secrets(&self) -> Vec<String> {
        let is_secret = |key: &Key| key.shown == keys::Shown::Secret && key.name != "rpc_user";
        let texts = self.entries.iter().filter(|entry| is_secret(entry.key));
        let texts = texts.filter_map(|entry| match &entry.value {
            Value::Text(text) if !text.is_empty() => Some(text.to_string()),
            _ => None,
        });
        texts.collect()
    }

    /// A setting as it is in force.
    pub fn entry(&self, key: &Key) -> &Entry {
        let entry = self.entries.iter().find(|entry| entry.key == key);
        entry.expect("there is an entry for each key")
    }

    /// As it would be without flags and safe mode: what the files say, and what has been changed
    /// since.
    pub fn wanted(&self, key: &Key) -> Entry {
        let entry = self.written(key);
        match self.view.edits.get(key) {
            Some(value) => Entry { value: value.clone(), origin: Origin::Panel, ..entry },
            None => entry,
        }
    }

    /// All of those, in the order of the tables.
    pub fn wanted_entries(&self) -> Vec<Entry> {
        self.view.entries.iter().map(|entry| self.wanted(entry.key)).collect()
    }

    /// What the files say.
    pub fn written(&self, key: &Key) -> Entry {
        let entry = self.view.entries.iter().find(|entry| entry.key == key);
        entry.expect("there is an entry for each key").clone()
    }

    /// What has been changed and not saved.
    pub fn edits(&self) -> &Edits {
        &self.view.edits
    }
}

/// How to authenticate with the node.
#[derive(Clone, PartialEq, Eq)]
pub enum RpcAuth {
    None,
    Cookie(PathBuf),
    /// Wherever a node of the network usually keeps its cookie.
    DetectedCookie,
    /// `user:password` of `secrets.toml`.
    Fixed(String),
}

impl RpcAuth {
    pub fn to_auth(&self, network: Network) -> Auth {
        match self {
            Self::None => Auth::None,
            Self::Fixed(credentials) => Auth::Fixed(credentials.clone()),
            Self::Cookie(path) => Auth::Cookie(CookieFile::at(path)),
            Self::DetectedCookie => Auth::Cookie(CookieFile::detected(network)),
        }
    }
}

impl std::fmt::Debug for RpcAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => write!(f, "None"),
            Self::Cookie(path) => write!(f, "Cookie({})", path.display()),
            Self::DetectedCookie => write!(f, "DetectedCookie"),
            Self::Fixed(_) => write!(f, "Fixed"),
        }
    }
}

/// What a rewrite of the files needs to know of them.
#[derive(Clone, Debug)]
struct View {
    paths: Paths,
    legacy: Legacy,
    files: Box<Files>,
    /// What those say.
    entries: Vec<Entry>,
    edits: Edits,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("there is no {}", .0.of(File::Config).display())]
    Missing(Paths),
    /// All that is wrong, a line each; warnings are among them.
    #[error("{}", lines(.0))]
    Problems(Vec<Problem>),
    #[error("cannot write {}: {source}", path.display())]
    Unwritable { path: PathBuf, source: std::io::Error },
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}

impl ConfigError {
    /// Nothing is wrong but addresses of another network.
    pub fn is_about_addresses(&self) -> bool {
        let Self::Problems(problems) = self else { return false };
        problems.iter().any(|problem| problem.kind == ProblemKind::Address)
            && problems.iter().all(|problem| problem.kind != ProblemKind::Error)
    }
}

/// Reads the files, as often as it is asked to, and puts the command line on top of them.
#[derive(Clone, Debug)]
pub struct Loader {
    flags: Flags,
    paths: Paths,
    /// What this process has instead of a pool entropy that is written down: the same for its whole
    /// life (`config.md` F-08).
    drawn_entropy: String,
}

impl Loader {
    pub fn new(flags: Flags) -> Self {
        let paths = Paths { folder: flags.data_dir().join("config"), secrets: flags.secrets() };
        let drawn_entropy = crate::entropy::letters_and_digits(check::POOL_ENTROPY_CHARACTERS);
        Self { flags, paths, drawn_entropy }
    }

    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Reads and checks everything, and changes nothing.
    pub fn load(&self) -> Result<Config, ConfigError> {
        if !self.paths.of(File::Config).exists() {
            return Err(ConfigError::Missing(self.paths.clone()));
        }
        let mut problems = Problems::new(self.paths.clone());
        let files = Files::read(&mut problems);
        self.checked(files, Edits::default(), problems)
    }

    /// What the files would make if these were their texts.
    pub fn load_texts(&self, texts: &[(File, String)]) -> Result<Config, ConfigError> {
        let mut problems = Problems::new(self.paths.clone());
        let files = Files::read_with(texts, &mut problems);
        self.checked(files, Edits::default(), problems)
    }

    /// What `config` was made of, with other changes than it has.
    pub fn with_edits(&self, config: &Config, edits: Edits) -> Result<Config, ConfigError> {
        let problems = Problems::new(self.paths.clone());
        self.checked((*config.view.files).clone(), edits, problems)
    }

    fn checked(
        &self,
        written: Files,
        edits: Edits,
        mut problems: Problems,
    ) -> Result<Config, ConfigError> {
        let mut files = written.clone().with(&edits);
        overrides::apply(&mut files, &self.flags);
        let config = check::check(&files, &self.flags, &self.drawn_entropy, &mut problems);
        let has_errors = problems.has_errors();
        let problems = problems.into_vec();
        match config {
            Some(mut config) if !has_errors => {
                let warnings = problems.iter().map(Problem::to_string);
                config.warnings.splice(0..0, warnings);
                config.view = View {
                    paths: self.paths.clone(),
                    legacy: written.legacy,
                    entries: written.entries(),
                    files: Box::new(written),
                    edits,
                };
                Ok(config)
            }
            _ => Err(ConfigError::Problems(problems)),
        }
    }
}
