//! The command line, in the style its operators know: one dash or two, `-flag value` or
//! `-flag=value` (`config.md` §1).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::exit;

use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory, Parser, ValueEnum};

use gopool_shards::work::address::Network;

const NODE: &str = "The node";
const LISTENERS: &str = "Listeners";
const MINERS: &str = "Miners";
const FILES: &str = "Files and logs";
const OTHER: &str = "Everything else";

/// A solo Bitcoin mining pool: a found block pays the miner's own wallet.
///
/// Flags take one dash or two, and their value after a space or an equals sign. They win over the
/// files for this run and are never written to disk.
#[derive(Clone, Debug, Default, Parser)]
#[command(
    name = "gopool",
    version = crate::build::VERSION,
    args_override_self = true,
    max_term_width = 100,
    next_line_help = false,
    disable_help_flag = true,
    disable_version_flag = true
)]
pub struct Flags {
    /// The chain of the node and of the miners' addresses
    #[arg(long, help_heading = NODE, value_enum, value_name = "NETWORK", ignore_case = true)]
    pub network: Option<NetworkName>,
    /// The node's JSON-RPC
    #[arg(long, help_heading = NODE, value_name = "URL")]
    rpc_url: Option<String>,
    /// The node's cookie file, or the folder that holds it
    #[arg(long, help_heading = NODE, value_name = "PATH")]
    rpc_cookie: Option<String>,
    /// Talk to a node that asks for no credentials (for tests)
    #[arg(long, help_heading = NODE)]
    pub allow_public_rpc: bool,
    /// Use rpc_user and rpc_pass of secrets.toml instead of the cookie (deprecated)
    #[arg(long, help_heading = NODE)]
    pub allow_rpc_creds: bool,

    /// The IP address of all listeners; each keeps its port
    #[arg(long, help_heading = LISTENERS, value_name = "ADDRESS", value_parser = ip_address)]
    bind: Option<String>,
    /// Stratum, such as :3333
    #[arg(long, help_heading = LISTENERS, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Stratum over TLS, such as :4333
    #[arg(long, help_heading = LISTENERS, value_name = "HOST:PORT")]
    stratum_tls: Option<String>,
    /// Status pages over HTTP, such as :80
    #[arg(long, help_heading = LISTENERS, value_name = "HOST:PORT")]
    status: Option<String>,
    /// Status pages over HTTPS, such as :443
    #[arg(long, help_heading = LISTENERS, value_name = "HOST:PORT")]
    status_tls: Option<String>,

    /// Connections at a time, 0 for no limit; -1 keeps what is configured
    #[arg(long, help_heading = MINERS, value_name = "COUNT", value_parser = integer,
        allow_negative_numbers = true)]
    max_conns: Option<i64>,
    /// Threads that serve miners, each on a core of its own; 0 for all cores but one
    #[arg(long, help_heading = MINERS, value_name = "COUNT")]
    pub shards: Option<u16>,
    /// No automatic bans and no strict checks, whatever the files say
    #[arg(long, help_heading = MINERS, value_name = "true|false", action = ArgAction::Set,
        value_parser = yes_or_no)]
    pub safe_mode: Option<bool>,
    /// Answer subscribe as ckpool does
    #[arg(long, help_heading = MINERS, value_name = "true|false", action = ArgAction::Set,
        value_parser = yes_or_no)]
    pub ckpool_emulate: Option<bool>,
    /// Receive buffer of a miner's socket, 0 for the system's own
    #[arg(long, help_heading = MINERS, value_name = "BYTES", value_parser = bytes)]
    pub stratum_tcp_read_buffer: Option<u32>,
    /// Send buffer of a miner's socket, 0 for the system's own
    #[arg(long, help_heading = MINERS, value_name = "BYTES", value_parser = bytes)]
    pub stratum_tcp_write_buffer: Option<u32>,
    /// Pin every miner to a difficulty of 0.0000001, for load tests
    #[arg(long, help_heading = MINERS)]
    pub flood: bool,

    /// Where configuration, state and logs are kept; data without it
    #[arg(long, help_heading = FILES, value_name = "FOLDER")]
    data_dir: Option<String>,
    /// Another secrets.toml
    #[arg(long, help_heading = FILES, value_name = "PATH")]
    secrets: Option<String>,
    /// Store derived values, such as the pool's entropy, in config.toml
    #[arg(long, help_heading = FILES)]
    pub rewrite_config: bool,
    /// Copy every log line to standard output
    #[arg(long, help_heading = FILES)]
    pub stdout: bool,
    /// Log at the debug level too
    #[arg(long, help_heading = FILES)]
    pub debug: bool,
    /// Write down all that goes over the wire; needs -debug
    #[arg(long, help_heading = FILES)]
    pub net_debug: bool,
    /// Where pool, debug and net-debug logs are
    #[arg(long, help_heading = FILES, value_name = "FOLDER")]
    log_dir: Option<String>,
    /// The pool log; the date goes before its extension
    #[arg(long, help_heading = FILES, value_name = "PATH")]
    pool_log: Option<String>,
    /// The debug log
    #[arg(long, help_heading = FILES, value_name = "PATH")]
    debug_log: Option<String>,
    /// The log of all that goes over the wire
    #[arg(long, help_heading = FILES, value_name = "PATH")]
    net_debug_log: Option<String>,

    /// Read all files, say what would be done and what the node answers, and end with 0 or 1
    #[arg(long, help_heading = OTHER)]
    pub check: bool,
    /// Check a backup of the database, put it in place and end; the one that is there is kept
    #[arg(long, help_heading = OTHER, value_name = "FILE")]
    pub restore: Option<std::path::PathBuf>,
    /// Without the JSON under /api/
    #[arg(long, help_heading = OTHER)]
    pub no_json: bool,
    /// Make a backup of the database right after the start, whatever has changed
    #[arg(long, help_heading = OTHER)]
    pub backup_on_boot: bool,
    /// Saved workers without signing in: whoever reaches the pages shares one list
    #[arg(long, help_heading = OTHER)]
    pub saved_workers_local_noauth: bool,
    /// Write what is learned about kinds of miners to this file
    #[arg(long, help_heading = OTHER, value_name = "PATH")]
    miner_profile_json: Option<String>,
    /// Write a CPU profile of the first minute to default.pgo, for pprof
    #[arg(long, help_heading = OTHER)]
    pub profile: bool,
    /// Show this
    #[arg(long, short, help_heading = OTHER, action = ArgAction::HelpShort)]
    help: Option<bool>,
    /// Show the version
    #[arg(long, help_heading = OTHER, action = ArgAction::Version)]
    version: Option<bool>,
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
    /// cannot be understood, and with 0 when help was asked for. Both are written to standard error.
    pub fn from_args() -> Self {
        Self::try_from(std::env::args_os()).unwrap_or_else(|error| {
            // Nobody is left to tell when that fails.
            let (text, mut stderr) = (error.render(), std::io::stderr());
            let _ = match stderr.is_terminal() {
                true => write!(stderr, "{}", text.ansi()),
                false => write!(stderr, "{text}"),
            };
            exit(error.exit_code())
        })
    }

    /// Reads the arguments, the program's name first.
    pub fn try_from(
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Result<Self, clap::Error> {
        let arguments = in_clap_s_words(arguments.into_iter().map(Into::into))?;
        Self::try_parse_from(arguments)
    }

    /// Mainnet unless told otherwise.
    pub fn network(&self) -> Network {
        self.network.map_or(Network::Mainnet, Into::into)
    }

    pub fn rpc_url(&self) -> Option<&str> {
        given(&self.rpc_url)
    }

    pub fn rpc_cookie(&self) -> Option<&str> {
        given(&self.rpc_cookie)
    }

    pub fn bind(&self) -> Option<IpAddr> {
        given(&self.bind).and_then(|text| text.parse().ok())
    }

    pub fn listen(&self) -> Option<&str> {
        given(&self.listen)
    }

    pub fn stratum_tls(&self) -> Option<&str> {
        given(&self.stratum_tls)
    }

    pub fn status(&self) -> Option<&str> {
        given(&self.status)
    }

    pub fn status_tls(&self) -> Option<&str> {
        given(&self.status_tls)
    }

    /// Negative numbers keep what is configured.
    pub fn max_conns(&self) -> Option<i64> {
        self.max_conns.filter(|count| *count >= 0)
    }

    pub fn data_dir(&self) -> PathBuf {
        given(&self.data_dir).unwrap_or("data").into()
    }

    pub fn secrets(&self) -> Option<PathBuf> {
        given(&self.secrets).map(Into::into)
    }

    pub fn log_dir(&self) -> Option<PathBuf> {
        given(&self.log_dir).map(Into::into)
    }

    pub fn pool_log(&self) -> Option<PathBuf> {
        given(&self.pool_log).map(Into::into)
    }

    pub fn debug_log(&self) -> Option<PathBuf> {
        given(&self.debug_log).map(Into::into)
    }

    pub fn net_debug_log(&self) -> Option<PathBuf> {
        given(&self.net_debug_log).map(Into::into)
    }

    pub fn miner_profile_json(&self) -> Option<PathBuf> {
        given(&self.miner_profile_json).map(Into::into)
    }
}

/// A flag that was given nothing has not been given.
fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().map(str::trim).filter(|text| !text.is_empty())
}

/// Long flags with one dash get two. A switch may carry `=true` or `=false`, and the last one counts.
fn in_clap_s_words(
    arguments: impl Iterator<Item = OsString>,
) -> Result<Vec<OsString>, clap::Error> {
    let mut command = Flags::command();
    let switches: Vec<String> = command
        .get_arguments()
        .filter(|argument| matches!(argument.get_action(), ArgAction::SetTrue))
        .filter_map(|argument| argument.get_long().map(str::to_owned))
        .collect();
    let mut is_on = BTreeMap::new();
    let mut words = Vec::new();
    let mut flags_ended = false;
    for argument in arguments {
        flags_ended |= argument == "--";
        let text = argument.to_str().filter(|_| !flags_ended && !words.is_empty());
        let Some(flag) = text.and_then(long_flag) else {
            words.push(argument);
            continue;
        };
        let (name, value) = flag.split_once('=').unwrap_or((flag, "true"));
        if !switches.iter().any(|switch| switch == name) {
            words.push(format!("--{flag}").into());
            continue;
        }
        let value = yes_or_no(value).map_err(|allowed| {
            let message = format!("-{name} is {value:?}, allowed is {allowed}\n");
            command.error(ErrorKind::InvalidValue, message)
        })?;
        is_on.insert(name.to_owned(), value);
    }
    let on = is_on.into_iter().filter(|(_, is_on)| *is_on);
    // Before whatever ends the flags.
    let at = words.len().min(1);
    words.splice(at..at, on.map(|(name, _)| format!("--{name}").into()));
    Ok(words)
}

/// What stands behind the dashes of a long flag.
fn long_flag(argument: &str) -> Option<&str> {
    let flag = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-'))?;
    let is_long = flag.len() > 1 && flag.starts_with(|c: char| c.is_ascii_alphabetic());
    is_long.then_some(flag)
}

fn yes_or_no(text: &str) -> Result<bool, &'static str> {
    match text.trim() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("true or false"),
    }
}

fn ip_address(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    match text.is_empty() || text.parse::<IpAddr>().is_ok() {
        true => Ok(text.to_owned()),
        false => Err("allowed is an IP address, such as 127.0.0.1 or ::1"),
    }
}

/// Decimal, or after `0x`, `0o`, `0b` or a leading zero; `_` between digits.
fn integer(text: &str) -> Result<i64, &'static str> {
    let allowed = "allowed is a whole number";
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        Some(_) if lower.starts_with('0') => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    let digits = digits.replace('_', "");
    let is_number = digits.starts_with(|c: char| c.is_digit(radix));
    let number = i64::from_str_radix(&digits, radix).ok().filter(|_| is_number);
    number.map(|number| sign * number).ok_or(allowed)
}

fn bytes(text: &str) -> Result<u32, &'static str> {
    text.trim().parse().map_err(|_| "allowed is a number of bytes, 0 or more")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Flags, clap::Error> {
        Flags::try_from(std::iter::once("gopool").chain(line.split_whitespace()))
    }

    #[test]
    fn one_dash_or_two_with_or_without_an_equals_sign() {
        for line in
            ["-network regtest -stdout", "-network=regtest --stdout", "--network Regtest -stdout=t"]
        {
            let flags = parse(line).unwrap();
            assert_eq!((flags.network(), flags.stdout), (Network::Regtest, true), "{line}");
        }
        assert_eq!(parse("").unwrap().network(), Network::Mainnet);
        assert_eq!(parse("-listen :1 -listen :2").unwrap().listen(), Some(":2"));
        assert_eq!(parse("-bind ::1").unwrap().bind(), Some("::1".parse().unwrap()));
    }

    #[test]
    fn the_last_switch_counts() {
        assert!(!parse("-stdout -stdout=false").unwrap().stdout);
        assert!(parse("-stdout=0 --stdout=TRUE -debug").unwrap().stdout);
        assert_eq!(parse("-safe-mode=true -safe-mode false").unwrap().safe_mode, Some(false));
    }

    #[test]
    fn numbers_are_written_as_programmers_do() {
        let count = |text: &str| parse(&format!("-max-conns {text}")).unwrap().max_conns();
        assert_eq!(count("-1"), None);
        assert_eq!(count("0x10"), Some(16));
        assert_eq!(count("1_000"), Some(1000));
        assert_eq!(count("017"), Some(15));
        assert_eq!(count("0"), Some(0));
    }

    #[test]
    fn an_empty_value_is_none() {
        let flags = ["gopool", "-listen", "", "-data-dir=", "-bind", ""];
        let flags = Flags::try_from(flags).unwrap();
        assert_eq!((flags.listen(), flags.bind()), (None, None));
        assert_eq!(flags.data_dir(), PathBuf::from("data"));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for line in [
            "-network moonnet",
            "-nonsense",
            "---stdout",
            "-=x",
            "-",
            "stray",
            "-stdout true",
            "-stdout=maybe",
            "-safe-mode",
            "-safe-mode -debug",
            "-max-conns x",
            "-max-conns 0x",
            "-bind nonsense",
            "-stratum-tcp-read-buffer 0x10",
            "-stratum-tcp-write-buffer -1",
            "-- -stdout",
        ] {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn help_is_no_error() {
        for line in ["-h", "-help", "--help"] {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), 0, "{line}");
        }
    }
}
