//! What the pool writes into the operator's files: derived values and keys under their new names,
//! never a flag. Everything else in a file stays as it is, comments included (`config.md` §4.6).

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use toml_edit::{DocumentMut, Item, Table};
use tracing::{info, warn};

use super::files::MOVED_FROM_BRANDING;
use super::keys::{Auth, BackblazeBackup, Discord, Entry, File, Origin, Section, Value};
use super::{Config, RpcAuth};
use crate::node::cookie::CookieFile;
use crate::whole_file::replace;

/// Keys of `config.toml` that are in `services.toml` now, with their tables.
const MOVED_TABLES: [&str; 2] = [Auth::TABLE, BackblazeBackup::TABLE];

/// Brings the files up to date after a start or a reload. Nothing that fails here keeps the pool
/// from running.
pub fn bring_up_to_date(config: &Config, everything: bool) {
    tighten_secrets(config);
    if let Err(error) = super::examples::write_all(&config.view.paths) {
        warn!(component = "config", %error, "the examples are not written");
    }
    if config.view.legacy.services {
        move_services(config);
    }
    let changes = changes(config, everything);
    if changes.is_empty() && config.view.legacy == Default::default() {
        return;
    }
    let path = config.view.paths.of(File::Config);
    match rewrite(&path, |document| edit(document, config, &changes)) {
        Ok(()) => {
            let keys: Vec<String> =
                changes.iter().map(|(table, name, _)| format!("{table}.{name}")).collect();
            info!(component = "config", path = %path.display(), keys = keys.join(","), "rewritten");
        }
        Err(error) => {
            warn!(component = "config", path = %path.display(), %error, "not rewritten");
        }
    }
}

type Change = (&'static str, &'static str, Value);

/// What the pool has found out and the file should say.
fn changes(config: &Config, everything: bool) -> Vec<Change> {
    let files = &config.view.files;
    let mut changes = Vec::new();
    let entropy = &files.mining.pool_entropy;
    // Written as "" it asks for one that stays.
    if entropy.value.is_empty() && (entropy.is_set() || everything) {
        let drawn = config.job_inputs.pool_entropy.clone();
        changes.push(("mining", "pool_entropy", drawn.into()));
    }
    if config.rpc_auth == RpcAuth::DetectedCookie
        && let Some(path) = CookieFile::detected(config.network).find()
    {
        let path = path.display().to_string();
        info!(component = "rpc", path, "cookie found, and remembered");
        changes.push(("node", "rpc_cookie_path", path.into()));
    }
    let address = &files.node.payout_address;
    if everything && address.value.chars().any(|c| !c.is_ascii_alphanumeric()) {
        changes.push(("node", "payout_address", config.payout_address().to_owned().into()));
    }
    changes
}

fn edit(document: &mut DocumentMut, config: &Config, changes: &[Change]) {
    let legacy = config.view.legacy;
    if legacy.zmq {
        let address = config.view.files.node.zmq_hashblock_addr.value.as_str();
        let node = table(document, "node");
        node.remove("zmq_block_addr");
        node.insert("zmq_hashblock_addr", toml_edit::value(address));
        node.insert("zmq_rawblock_addr", toml_edit::value(address));
    }
    if legacy.services {
        for moved in MOVED_TABLES {
            document.remove(moved);
        }
        let branding = table(document, "branding");
        for moved in MOVED_FROM_BRANDING {
            branding.remove(moved);
        }
    }
    for (name, key, value) in changes {
        table(document, name).insert(key, item(value));
    }
}

pub(super) fn table<'a>(document: &'a mut DocumentMut, name: &str) -> &'a mut Table {
    let item = document.entry(name).or_insert_with(|| Item::Table(Table::new()));
    if !item.is_table() {
        // Written as `name = { … }`, which is the same thing.
        let made = std::mem::take(item).into_table().unwrap_or_default();
        *item = Item::Table(made);
    }
    item.as_table_mut().expect("it has just been made one")
}

pub(super) fn item(value: &Value) -> Item {
    match value {
        Value::Text(text) => toml_edit::value(text.as_ref()),
        Value::Bool(value) => toml_edit::value(*value),
        Value::Integer(value) => toml_edit::value(*value),
        Value::Float(value) => toml_edit::value(*value),
        Value::Texts(texts) => toml_edit::value(texts.iter().collect::<toml_edit::Array>()),
    }
}

/// Keys that earlier versions had in `config.toml` get a file of their own, unless there is one.
fn move_services(config: &Config) {
    let path = config.view.paths.of(File::Services);
    let shown = path.display();
    if path.exists() {
        warn!(component = "config", path = %shown, "old keys of config.toml are removed: this file has them");
        return;
    }
    let mut document = DocumentMut::new();
    let files = &config.view.files;
    let sections: [(&str, Vec<Entry>); 3] = [
        (Auth::TABLE, files.auth.entries()),
        (BackblazeBackup::TABLE, files.backups.entries()),
        (Discord::TABLE, files.discord.entries()),
    ];
    for (name, entries) in sections {
        for entry in entries.iter().filter(|entry| entry.origin != Origin::Default) {
            table(&mut document, name).insert(entry.key.name, item(&entry.value));
        }
    }
    match replace(&path, document.to_string().as_bytes(), 0o644) {
        Ok(()) => warn!(component = "config", path = %shown, "made of old keys of config.toml"),
        Err(error) => warn!(component = "config", path = %shown, %error, "not written"),
    }
}

/// Changes a file in place, keeping what it was beside it.
fn rewrite(path: &Path, edit: impl FnOnce(&mut DocumentMut)) -> Result<(), RewriteError> {
    let before = fs::read_to_string(path)?;
    let mut document: DocumentMut = before.parse()?;
    edit(&mut document);
    let mut backup = path.as_os_str().to_owned();
    backup.push(".bak");
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    replace(Path::new(&backup), before.as_bytes(), mode)?;
    replace(path, document.to_string().as_bytes(), 0o644)?;
    Ok(())
}

#[derive(Debug, thiserror::Error)]
enum RewriteError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Toml(#[from] toml_edit::TomlError),
}

/// Nobody but the owner reads secrets (`config.md` §2.4).
fn tighten_secrets(config: &Config) {
    let path = config.view.paths.of(File::Secrets);
    let shown = path.display();
    let tightened = fs::metadata(&path).and_then(|metadata| {
        let is_open = metadata.is_file() && metadata.permissions().mode() & 0o077 != 0;
        if is_open {
            fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        }
        Ok(is_open)
    });
    match tightened {
        Ok(true) => {
            warn!(component = "config", path = %shown, "others could read it: mode is 0600 now");
        }
        Ok(false) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            warn!(component = "config", path = %shown, %error, "permissions not looked at");
        }
    }
}
