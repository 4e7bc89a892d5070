//! `-check`: what a start would do, and what the node says, without doing it.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use crate::config::keys::File;
use crate::config::{Config, ConfigError, Loader, ProblemKind, RpcAuth, examples};
use crate::cores::Cores;
use crate::node::cookie::CookieFile;
use crate::node::event::ChainInfo;
use crate::node::rpc::{NodeError, Rpc};
use crate::ports;
use crate::preflight::check_io_uring;
use crate::store;

const NODE_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads everything, asks the node, and writes what would be. `Ok(true)` when a start would work.
pub fn check(loader: &Loader, out: &mut impl Write) -> io::Result<bool> {
    write_files(loader, out)?;
    let config = match loader.load() {
        Ok(config) => config,
        Err(ConfigError::Missing(paths)) => {
            writeln!(out, "\nThere is no {}.", paths.of(File::Config).display())?;
            writeln!(out, "Start gopool without -check to have examples written.")?;
            return Ok(false);
        }
        Err(ConfigError::Problems(problems)) => {
            writeln!(out, "\nProblems")?;
            for problem in &problems {
                let kind = if problem.kind == ProblemKind::Warning { "warning" } else { "error" };
                writeln!(out, "  {kind}: {problem}")?;
            }
            writeln!(out, "\nThe pool would not start.")?;
            return Ok(false);
        }
        Err(error) => {
            writeln!(out, "\n{error}")?;
            return Ok(false);
        }
    };
    write_settings(&config, out)?;
    write_plan(&config, out)?;
    let mut obstacles = Vec::new();
    if let Err(error) = check_io_uring() {
        obstacles.push(error.to_string());
    }
    let mut warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    let refused = match store::is_in_use(&config.data_dir) {
        // What it is asked for is whether a reload would go well.
        true => {
            let words = "a pool runs on this data folder and has its ports: they were not tried";
            warnings.push(words.to_owned());
            Vec::new()
        }
        false => ports::try_all(&config),
    };
    for error in refused {
        match error.is_about_permission() {
            // A service is given more than whoever asks.
            true => warnings.push(format!("{error} The unit of deploy/ gives it.")),
            false => obstacles.push(error.to_string()),
        }
    }
    write_node(&config, out, &mut obstacles)?;
    if !warnings.is_empty() {
        writeln!(out, "\nWarnings")?;
    }
    for warning in &warnings {
        writeln!(out, "  {warning}")?;
    }
    writeln!(out)?;
    for obstacle in &obstacles {
        writeln!(out, "error: {obstacle}")?;
    }
    let verdict =
        if obstacles.is_empty() { "The pool would start." } else { "The pool would not start." };
    writeln!(out, "{verdict}")?;
    Ok(obstacles.is_empty())
}

fn write_files(loader: &Loader, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "Files")?;
    for file in File::ALL {
        let path = loader.paths().of(file);
        let state = match path.exists() {
            true => "read",
            false if file == File::Admin => "absent: it is made at the start",
            false => "absent: the defaults hold",
        };
        writeln!(out, "  {:<40} {state}", path.display())?;
    }
    Ok(())
}

/// Every key, as it would be in force.
fn write_settings(config: &Config, out: &mut impl Write) -> io::Result<()> {
    let mut table = None;
    for entry in &config.entries {
        let place = (entry.key.file, entry.key.table);
        if table != Some(place) {
            let (file, name) = place;
            let name = if name.is_empty() { String::new() } else { format!(" [{name}]") };
            writeln!(out, "\n{}{name}", file.name())?;
            table = Some(place);
        }
        let line = format!("{} = {entry}", entry.key.name);
        writeln!(out, "  {line:<56} {}", entry.origin)?;
    }
    let list = config.settings.banned_clients.join(", ");
    if !list.is_empty() {
        writeln!(out, "\nClients that are turned away\n  {list}")?;
    }
    for (bit, enabled) in &config.job_inputs.version_bits {
        writeln!(out, "\n{}\n  bit {bit} = {enabled}", File::VersionBits.name())?;
    }
    Ok(())
}

fn write_plan(config: &Config, out: &mut impl Write) -> io::Result<()> {
    let listener = |address: Option<std::net::SocketAddr>| {
        address.map_or("off".to_owned(), |address| address.to_string())
    };
    let payout = &config.job_inputs.payout;
    let numbers = config.accept.rates().map(|_| config.accept.numbers());
    let accept = numbers.map_or("without limit".to_owned(), |numbers| {
        format!(
            "{} at once, {} a second, later {} a second",
            numbers.burst, numbers.per_second, numbers.steady_per_second
        )
    });
    let leads_to = match (config.status_listen, config.status_tls_listen) {
        (Some(_), Some(_)) => ", which leads to HTTPS",
        _ => "",
    };
    let status_over_http = listener(config.status_listen) + leads_to;
    let lines = [
        ("network", config.network.name().to_owned()),
        ("payout", format!("{}, fee {} %", config.payout_address(), payout.fee_percent)),
        ("coinbase tag", config.job_inputs.brand_tag.clone()),
        ("Stratum", config.stratum_listen.to_string()),
        ("Stratum over TLS", listener(config.stratum_tls_listen)),
        ("status over HTTP", status_over_http),
        ("status over HTTPS", listener(config.status_tls_listen)),
        ("shards", Cores::plan(config.shards).to_string()),
        ("new connections", accept),
        ("database", config.data_dir.join("state/workers.db").display().to_string()),
    ];
    writeln!(out, "\nThe pool would use")?;
    for (name, value) in lines {
        writeln!(out, "  {name:<18} {value}")?;
    }
    Ok(())
}

/// A node that is away is no obstacle: the pool waits for it. One that says no is.
fn write_node(
    config: &Config,
    out: &mut impl Write,
    obstacles: &mut Vec<String>,
) -> io::Result<()> {
    writeln!(out, "\nThe node")?;
    writeln!(out, "  {:<18} {}", "address", config.rpc_url)?;
    writeln!(out, "  {:<18} {}", "credentials", credentials(config))?;
    let zmq: Vec<&str> = config.zmq.iter().map(|endpoint| endpoint.address.as_str()).collect();
    let zmq = if zmq.is_empty() { "none: long poll alone".to_owned() } else { zmq.join(", ") };
    writeln!(out, "  {:<18} {zmq}", "ZMQ")?;
    let rpc = Rpc::new(&config.rpc_url, config.rpc_auth.to_auth(config.network));
    let info: ChainInfo = match rpc.call_once("getblockchaininfo", &json!([]), NODE_TIMEOUT) {
        Ok(info) => info,
        Err(error) => {
            writeln!(out, "  {:<18} {error}", "says")?;
            let is_refused = matches!(error, NodeError::Unauthorized { .. });
            match error.is_retryable() && !is_refused {
                true => writeln!(out, "  {:<18} the pool would start, and wait for it", "")?,
                false => obstacles.push(error.to_string()),
            }
            return Ok(());
        }
    };
    let download = if info.is_initial_download { ", still downloading the chain" } else { "" };
    let says =
        format!("chain {}, {} of {} blocks{download}", info.chain, info.blocks, info.headers);
    writeln!(out, "  {:<18} {says}", "says")?;
    if let Ok(network) = rpc.call_once::<Value>("getnetworkinfo", &json!([]), NODE_TIMEOUT) {
        let version = network["subversion"].as_str().unwrap_or("unknown");
        writeln!(out, "  {:<18} {version}, {} peers", "is", network["connections"])?;
    }
    if info.network() != Some(config.network) {
        obstacles.push(format!(
            "the node is on the chain {:?}, the pool on {}",
            info.chain,
            config.network.name()
        ));
    }
    Ok(())
}

fn credentials(config: &Config) -> String {
    match &config.rpc_auth {
        RpcAuth::None => "none".to_owned(),
        RpcAuth::Fixed(_) => "rpc_user and rpc_pass of secrets.toml".to_owned(),
        RpcAuth::Cookie(path) => format!("cookie {}", path.display()),
        RpcAuth::DetectedCookie => match CookieFile::detected(config.network).find() {
            Some(path) => format!("cookie {}", path.display()),
            None => "cookie, which is in none of the usual places yet".to_owned(),
        },
    }
}

/// What a first start says: the three steps that are left.
pub fn write_first_steps(loader: &Loader, out: &mut impl Write) -> io::Result<()> {
    let (config, example) = (loader.paths().of(File::Config), loader.paths().example(File::Config));
    writeln!(
        out,
        "There is no {config} yet. Examples of all files are in {examples}. Next:\n\n  \
         1. cp {example} {config}\n  \
         2. edit {config}: put your address in the place of {placeholder} (node.payout_address),\n     \
         and see that node.rpc_url is your node's\n  \
         3. start gopool again; gopool -check says beforehand what it would do",
        config = config.display(),
        example = example.display(),
        examples = loader.paths().examples().display(),
        placeholder = examples::PAYOUT_PLACEHOLDER,
    )
}
