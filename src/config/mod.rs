//! Raw files → a checked [`Config`]: one that exists is one the pool can run with.

mod check;
mod raw;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use gopool_shards::admission::auto_limits::AcceptKeys;
use gopool_shards::admission::reconnect::ReconnectRules;
use gopool_shards::settings::Settings;
use gopool_shards::work::address::{AddressError, Network};
use gopool_shards::work::job::JobInputs;

use crate::cli::Flags;
use crate::node::zmq::Endpoint;
use crate::store::EndedBans;
use raw::{RawConfig, RawPolicy, RawTuning, RawVersionBits};

const EXAMPLE: &str = include_str!("config.toml.example");

/// Everything the pool runs with.
#[derive(Clone, Debug)]
pub struct Config {
    pub network: Network,
    pub data_dir: PathBuf,
    pub stratum_listen: SocketAddr,
    /// None when Stratum over TLS is switched off.
    pub stratum_tls_listen: Option<SocketAddr>,
    /// None when the status server is switched off.
    pub status_listen: Option<SocketAddr>,
    pub brand_name: String,
    pub tagline: String,
    pub rpc_url: String,
    pub rpc_auth: RpcAuth,
    pub zmq: Vec<Endpoint>,
    pub payout_address: String,
    pub settings: Settings,
    pub accept: AcceptKeys,
    pub reconnects: ReconnectRules,
    pub ended_bans: EndedBans,
    pub job_inputs: JobInputs,
    /// Characters of entropy in the tag of each job.
    pub job_entropy: usize,
    /// 0 for one less than there are cores.
    pub shards: usize,
    pub debug: bool,
    pub stdout: bool,
}

/// How to authenticate with the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RpcAuth {
    None,
    Cookie(PathBuf),
    /// Wherever a node of the network usually keeps its cookie.
    DetectedCookie,
}

/// Why the pool does not start.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error(
        "there is no {}. Copy {} to it, set node.payout_address, and start again.",
        missing.display(), example.display()
    )]
    Missing { missing: PathBuf, example: PathBuf },
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{} is not valid: {source}", path.display())]
    Syntax { path: PathBuf, source: Box<toml::de::Error> },
    #[error("{key} is {found}, allowed is {allowed}")]
    Value { key: &'static str, found: String, allowed: &'static str },
    #[error("{key} is {found}, no address of {}: {source}", network.name())]
    Address { key: &'static str, found: String, network: Network, source: AddressError },
}

/// Reads and checks all files below the data folder; flags win over them.
pub fn load(flags: &Flags) -> Result<Config, ConfigError> {
    let folder = flags.data_dir.join("config");
    let config_path = folder.join("config.toml");
    if !config_path.exists() {
        return Err(ConfigError::Missing {
            example: write_example(&folder)?,
            missing: config_path,
        });
    }
    let mut files = check::Files {
        config: read::<RawConfig>(&config_path)?,
        policy: read::<RawPolicy>(&folder.join("policy.toml"))?,
        tuning: read::<RawTuning>(&folder.join("tuning.toml"))?,
        version_bits: read::<RawVersionBits>(&folder.join("version_bits.toml"))?,
    };
    if let Some(blacklist) = read_blacklist(&folder.join("miner_blacklist.json")) {
        files.policy.bans.banned_miner_types = blacklist;
    }
    check::check(files, flags)
}

/// The list that wins over `banned_miner_types`, unless it is empty; one that cannot be read is
/// reported and left out.
fn read_blacklist(path: &Path) -> Option<Vec<String>> {
    let text = fs::read_to_string(path).ok()?;
    match serde_json::from_str::<Vec<String>>(&text) {
        Ok(list) => Some(list).filter(|list| list.iter().any(|entry| !entry.trim().is_empty())),
        Err(error) => {
            eprintln!("gopool: {} is left out: {error}", path.display());
            None
        }
    }
}

fn read<T: DeserializeOwned + Default>(path: &Path) -> Result<T, ConfigError> {
    match fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text).map_err(|error| ConfigError::Syntax {
            path: path.to_owned(),
            source: Box::new(error),
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(T::default()),
        Err(source) => Err(ConfigError::Unreadable { path: path.to_owned(), source }),
    }
}

fn write_example(folder: &Path) -> Result<PathBuf, ConfigError> {
    let examples = folder.join("examples");
    let path = examples.join("config.toml.example");
    fs::create_dir_all(&examples)
        .and_then(|()| fs::write(&path, EXAMPLE))
        .map_err(|source| ConfigError::Unreadable { path: path.clone(), source })?;
    Ok(path)
}
