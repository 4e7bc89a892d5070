//! What a pool under test is told: the files an operator would write.

use std::fs;
use std::path::Path;

use crate::node::{Chain, Node};

/// An address of nobody in particular, good on every test network (`mining.md` §5.3).
pub const MINER_ADDRESS: &str = "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn";

/// The pool's own address: P2WPKH of the private key 1.
pub fn pool_address(chain: Chain) -> &'static str {
    match chain {
        Chain::Regtest => "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
        Chain::Signet => "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",
    }
}

/// A part of the pool's fee that goes to somebody else.
#[derive(Clone)]
pub struct Donation {
    pub percent: f64,
    pub address: String,
}

#[derive(Clone)]
pub struct Settings {
    /// What `-network` says.
    pub network: &'static str,
    rpc_url: String,
    cookie_path: String,
    zmq_address: String,
    pub pool_listen: String,
    pub status_listen: String,
    /// Where the pages are served over HTTPS; nowhere when empty.
    pub status_tls_listen: String,
    /// Where Stratum over TLS is spoken; nowhere when empty.
    pub stratum_tls_listen: &'static str,
    pub payout_address: String,
    pub fee_percent: f64,
    pub donation: Option<Donation>,
    pub pooltag_prefix: &'static str,
    pub difficulty: f64,
    /// The most that a miner may ask for.
    pub difficulty_max: f64,
    pub freshness_mode: u8,
    pub idle_seconds: u32,
    /// What `-shards` says; without it the pool decides.
    pub shards: Option<u32>,
    /// `services.toml` and `secrets.toml`, where there is anything to say in them.
    pub services: String,
    pub secrets: String,
    /// What prices are shown in; nothing is said about it without.
    pub fiat_currency: Option<&'static str>,
    /// What else stands on the command line.
    pub flags: &'static [&'static str],
    /// What else stands in its environment.
    pub environment: Vec<(&'static str, String)>,
}

impl Settings {
    /// A pool for `node`, as the defaults would have it but for the difficulty.
    pub fn of(node: &Node) -> Self {
        let chain = node.chain();
        let difficulty = match chain {
            // Below a regtest block's 4.7e-10: what is no block can still be a share.
            Chain::Regtest => 1e-10,
            // About 43 thousand hashes, a hundredth of a block.
            Chain::Signet => 1e-5,
        };
        Self {
            network: chain.name(),
            rpc_url: node.rpc_url(),
            cookie_path: node.cookie_path().display().to_string(),
            zmq_address: node.zmq_address(),
            pool_listen: "127.0.0.1:0".to_owned(),
            status_listen: "127.0.0.1:0".to_owned(),
            status_tls_listen: String::new(),
            stratum_tls_listen: "",
            payout_address: pool_address(chain).to_owned(),
            fee_percent: 2.0,
            donation: None,
            pooltag_prefix: "",
            difficulty,
            difficulty_max: difficulty,
            freshness_mode: 1,
            idle_seconds: 180,
            shards: None,
            services: String::new(),
            secrets: String::new(),
            fiat_currency: None,
            flags: &[],
            environment: Vec::new(),
        }
    }

    /// The pool has to look for the node's cookie.
    pub fn forget_cookie(&mut self) {
        self.cookie_path.clear();
    }

    /// Writes the files below the data directory.
    pub fn write(&self, data_directory: &Path) {
        let directory = data_directory.join("config");
        fs::create_dir_all(&directory).expect("make the config directory");
        for (name, text) in [
            ("config.toml", self.config()),
            ("tuning.toml", self.tuning()),
            ("policy.toml", self.policy()),
            ("services.toml", self.services.clone()),
            ("secrets.toml", self.secrets.clone()),
        ] {
            if text.is_empty() {
                continue;
            }
            fs::write(directory.join(name), text).unwrap_or_else(|e| panic!("write {name}: {e}"));
        }
    }

    fn config(&self) -> String {
        let (donation_percent, donation_address) = match &self.donation {
            Some(donation) => (donation.percent, donation.address.as_str()),
            None => (0.0, ""),
        };
        let branding = self.fiat_currency.map_or_else(String::new, |currency| {
            format!("[branding]\nfiat_currency = \"{currency}\"\n\n")
        });
        format!(
            r#"[server]
pool_listen = "{pool_listen}"
status_listen = "{status_listen}"
status_tls_listen = "{status_tls_listen}"

[stratum]
stratum_tls_listen = "{stratum_tls_listen}"

[node]
rpc_url = "{rpc_url}"
rpc_cookie_path = "{cookie_path}"
payout_address = "{payout_address}"
zmq_hashblock_addr = "{zmq_address}"
zmq_rawblock_addr = "{zmq_address}"

[mining]
pool_fee_percent = {fee_percent:?}
operator_donation_percent = {donation_percent:?}
operator_donation_address = "{donation_address}"
pooltag_prefix = "{pooltag_prefix}"

{branding}[logging]
debug = true
"#,
            pool_listen = self.pool_listen,
            status_listen = self.status_listen,
            status_tls_listen = self.status_tls_listen,
            stratum_tls_listen = self.stratum_tls_listen,
            rpc_url = self.rpc_url,
            cookie_path = self.cookie_path,
            payout_address = self.payout_address,
            zmq_address = self.zmq_address,
            fee_percent = self.fee_percent,
            pooltag_prefix = self.pooltag_prefix,
        )
    }

    /// One difficulty for everybody who does not ask, and no limit on how fast this one address connects.
    fn tuning(&self) -> String {
        format!(
            r#"[difficulty]
default_difficulty = {difficulty:?}
min_difficulty = {difficulty:?}
max_difficulty = {difficulty_max:?}
vardiff_enabled = false

[rate_limits]
disable_connect_rate_limits = true
"#,
            difficulty = self.difficulty,
            difficulty_max = self.difficulty_max,
        )
    }

    /// All clients come from 127.0.0.1, the bad ones too: no bans by address.
    fn policy(&self) -> String {
        format!(
            r#"[mining]
share_job_freshness_mode = {freshness_mode}

[bans]
reconnect_ban_threshold = 0
ban_invalid_submissions_after = 0

[timeouts]
connection_timeout_seconds = {idle_seconds}
"#,
            freshness_mode = self.freshness_mode,
            idle_seconds = self.idle_seconds,
        )
    }
}
