//! The command line, in the style its operators know: one dash or two, `-flag value` or
//! `-flag=value` (`config.md` §1).

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Parser, ValueEnum};

use gopool_shards::work::address::Network;

/// A solo Bitcoin mining pool: a found block pays the miner's own wallet.
#[derive(Clone, Debug, Parser)]
#[command(name = "gopool", version, args_override_self = true, max_term_width = 100)]
pub struct Flags {
    /// The network that the node and the miners' addresses are of
    #[arg(long, value_enum, value_name = "NETWORK", ignore_case = true)]
    pub network: Option<NetworkName>,
    /// Where configuration, state and logs are kept
    #[arg(long, value_name = "FOLDER", default_value = "data")]
    pub data_dir: PathBuf,
    /// Stratum listener for this run, such as :3333
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Stratum listener over TLS for this run, such as :4333
    #[arg(long, value_name = "ADDRESS")]
    pub stratum_tls: Option<String>,
    /// Status page listener for this run, such as :80
    #[arg(long, value_name = "ADDRESS")]
    pub status: Option<String>,
    /// The node's RPC endpoint for this run
    #[arg(long, value_name = "URL")]
    pub rpc_url: Option<String>,
    /// The node's cookie file, or the folder that holds it, for this run
    #[arg(long, value_name = "PATH")]
    pub rpc_cookie: Option<PathBuf>,
    /// Talk to a node that asks for no credentials (for tests)
    #[arg(long)]
    pub allow_public_rpc: bool,
    /// Connections at a time, 0 for no limit; -1 keeps what is configured
    #[arg(long, value_name = "COUNT", default_value_t = -1, allow_negative_numbers = true)]
    pub max_conns: i64,
    /// Threads that serve miners, each on a core of its own; 0 for all cores but one
    #[arg(long, value_name = "COUNT")]
    pub shards: Option<usize>,
    /// No automatic bans and no strict checks, whatever the files say
    #[arg(long, value_name = "true|false", action = ArgAction::Set)]
    pub safe_mode: Option<bool>,
    /// Answer subscribe as ckpool does
    #[arg(long, value_name = "true|false", action = ArgAction::Set)]
    pub ckpool_emulate: Option<bool>,
    /// Pin every miner to a difficulty that any hash meets, for load tests
    #[arg(long)]
    pub flood: bool,
    /// Copy every log line to standard output
    #[arg(long)]
    pub stdout: bool,
    /// Log at the debug level
    #[arg(long)]
    pub debug: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NetworkName {
    Mainnet,
    Testnet,
    Signet,
    Regtest,
}

impl From<NetworkName> for Network {
    fn from(name: NetworkName) -> Self {
        match name {
            NetworkName::Mainnet => Self::Mainnet,
            NetworkName::Testnet => Self::Testnet,
            NetworkName::Signet => Self::Signet,
            NetworkName::Regtest => Self::Regtest,
        }
    }
}

impl Flags {
    /// Reads the process's arguments. Ends the process with code 2 and one message when they
    /// cannot be understood, and with 0 when help was asked for.
    pub fn from_args() -> Self {
        Self::parse_from(with_two_dashes(std::env::args_os()))
    }

    /// Mainnet unless told otherwise.
    pub fn network(&self) -> Network {
        self.network.map_or(Network::Mainnet, Into::into)
    }
}

/// Long flags with one dash, as their users type them, written with two.
fn with_two_dashes(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut flags_ended = false;
    let rewrite = |argument: OsString| {
        flags_ended |= argument == "--";
        let is_long = argument.to_str().is_some_and(|text| {
            let mut characters = text.chars();
            characters.next() == Some('-')
                && characters.next().is_some_and(|c| c.is_ascii_alphabetic())
                && characters.next().is_some()
        });
        if !is_long || flags_ended {
            return argument;
        }
        let mut two = OsString::from("-");
        two.push(argument);
        two
    };
    arguments.map(rewrite).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Flags, clap::Error> {
        let arguments = std::iter::once("gopool").chain(line.split_whitespace());
        Flags::try_parse_from(with_two_dashes(arguments.map(OsString::from)))
    }

    #[test]
    fn one_dash_or_two_with_or_without_an_equals_sign() {
        for line in
            ["-network regtest -stdout", "-network=regtest --stdout", "--network Regtest -stdout"]
        {
            let flags = parse(line).unwrap();
            assert_eq!((flags.network(), flags.stdout), (Network::Regtest, true), "{line}");
        }
        assert_eq!(parse("").unwrap().network(), Network::Mainnet);
        assert_eq!(parse("-max-conns -1").unwrap().max_conns, -1);
        assert_eq!(parse("-listen :1 -listen :2").unwrap().listen.as_deref(), Some(":2"));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for line in [
            "-network moonnet",
            "-nonsense",
            "stray",
            "-stdout stray",
            "-max-conns x",
            "-- -stdout",
        ] {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
