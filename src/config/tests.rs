//! Whole configurations, as they lie on disk.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use tempfile::TempDir;

use super::keys::{self, Allowed, File, Key, Shown};
use super::*;
use gopool_shards::settings::Freshness;

pub(super) const PAYOUT: &str =
    "[node]\npayout_address = \"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4\"\n";

/// A data folder with these files below `config`.
pub(super) struct Folder(pub(super) TempDir);

impl Folder {
    pub(super) fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::create_dir(folder.0.path().join("config")).unwrap();
        for (name, text) in files {
            fs::write(folder.0.path().join("config").join(name), text).unwrap();
        }
        folder
    }

    pub(super) fn loader(&self, flags: &[&str]) -> Loader {
        let data_dir = self.0.path().to_str().unwrap();
        let arguments = ["gopool", "-data-dir", data_dir];
        Loader::new(Flags::try_from(arguments.iter().chain(flags)).unwrap())
    }

    pub(super) fn load(&self, flags: &[&str]) -> Result<Config, ConfigError> {
        self.loader(flags).load()
    }

    /// What an operator is told, one line each, with the folder left out.
    fn told(&self, flags: &[&str]) -> Vec<String> {
        let folder = format!("{}/config/", self.0.path().display());
        let problems = match self.load(flags) {
            Ok(config) => config.warnings,
            Err(ConfigError::Problems(problems)) => {
                problems.iter().map(ToString::to_string).collect()
            }
            Err(error) => panic!("{error}"),
        };
        problems.iter().map(|problem| problem.replace(&folder, "")).collect()
    }

    pub(super) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join("config").join(name)).unwrap()
    }
}

fn load(files: &[(&str, &str)], flags: &[&str]) -> Config {
    Folder::with(files).load(flags).unwrap_or_else(|error| panic!("{error}"))
}

/// Each with the one line that is said about it, and whether the pool starts all the same.
#[rustfmt::skip]
const GALLERY: &[(&str, &str, &str)] = &[
    // config.toml
    ("config.toml", "[server]\npool_listen = \"nonsense\"", "config.toml:4: server.pool_listen is \"nonsense\", allowed is host:port, or :port for all interfaces"),
    ("config.toml", "[server]\npool_listen = \":70000\"", "config.toml:4: server.pool_listen is \":70000\", allowed is host:port, or :port for all interfaces"),
    ("config.toml", "[server]\npool_listen = 3333", "config.toml:4: server.pool_listen is 3333, allowed is a text in quotes"),
    ("config.toml", "[server]\nstatus_listen = \"127.0.0.1\"", "config.toml:4: server.status_listen is \"127.0.0.1\", allowed is host:port, or :port for all interfaces"),
    ("config.toml", "[server]\nstatus_tls_listen = \":x\"", "config.toml:4: server.status_tls_listen is \":x\", allowed is host:port, or :port for all interfaces"),
    ("config.toml", "[server]\nstatus_listen = \":3333\"", "config.toml:4: server.status_listen is \":3333\", allowed is another port: server.pool_listen has this one"),
    ("config.toml", "[server]\nstatus_public_url = \"pool.example\"", "config.toml:4: server.status_public_url is \"pool.example\", allowed is a URL such as https://pool.example; it is left out"),
    ("config.toml", "[server]\ntrusted_proxies = [\"10.0.0.0/33\"]", "config.toml:4: server.trusted_proxies is [\"10.0.0.0/33\"], allowed is addresses, or networks such as 10.0.0.0/8"),
    ("config.toml", "[server]\nproxy_protocol = true", "server.proxy_protocol does nothing while server.trusted_proxies is empty"),
    ("config.toml", "[server]\npool_listn = \":1\"", "config.toml:4: server.pool_listn is not known; the nearest is server.pool_listen"),
    ("config.toml", "[branding]\nstatus_brand_name = 1", "config.toml:4: branding.status_brand_name is 1, allowed is a text in quotes"),
    ("config.toml", "[stratum]\nstratum_tls_listen = \"4a\"", "config.toml:4: stratum.stratum_tls_listen is \":4a\", allowed is host:port, or :port for all interfaces"),
    ("config.toml", "[stratum]\nstratum_password_enabled = true", "config.toml: stratum.stratum_password is empty, allowed is a password while stratum_password_enabled is true"),
    ("config.toml", "[stratum]\nstratum_password_enabled = \"true\"", "config.toml:4: stratum.stratum_password_enabled is \"true\", allowed is true or false"),
    ("config.toml", "[stratum]\nckpool_emulate = true", "config.toml:4: stratum.ckpool_emulate is not known; it belongs into policy.toml, in [stratum]"),
    ("config.toml", "rpc_url = \"127.0.0.1:8332\"", "config.toml:3: node.rpc_url is \"127.0.0.1:8332\", allowed is a URL of http or https, such as http://127.0.0.1:8332"),
    ("config.toml", "rpc_url = \"ftp://127.0.0.1\"", "config.toml:3: node.rpc_url is \"ftp://127.0.0.1\", allowed is a URL of http or https, such as http://127.0.0.1:8332"),
    ("config.toml", "zmq_hashblock_addr = \"127.0.0.1:28334\"", "config.toml:3: node.zmq_hashblock_addr is \"127.0.0.1:28334\", allowed is tcp://host:port, or ipc://path, as bitcoind publishes it"),
    ("config.toml", "zmq_rawblock_addr = \"tcp://127.0.0.1\"", "config.toml:3: node.zmq_rawblock_addr is \"tcp://127.0.0.1\", allowed is tcp://host:port, or ipc://path, as bitcoind publishes it"),
    ("config.toml", "payout_addres = \"x\"", "config.toml:3: node.payout_addres is not known; the nearest is node.payout_address"),
    ("config.toml", "payout_address = \"x\"", "config.toml:3: is not valid TOML: duplicate key"),
    ("config.toml", "[mining]\npool_fee_percent = 100", "config.toml:4: mining.pool_fee_percent is 100.0, allowed is 0 to less than 100"),
    ("config.toml", "[mining]\npool_fee_percent = -0.5", "config.toml:4: mining.pool_fee_percent is -0.5, allowed is 0 to less than 100"),
    ("config.toml", "[mining]\npool_fee_percent = nan", "config.toml:4: mining.pool_fee_percent is NaN, allowed is 0 to less than 100"),
    ("config.toml", "[mining]\npool_fee_percent = \"2\"", "config.toml:4: mining.pool_fee_percent is \"2\", allowed is a number"),
    ("config.toml", "[mining]\npool_fee_percent = 12", "mining.pool_fee_percent is above 10: miners will look elsewhere"),
    ("config.toml", "[mining]\noperator_donation_percent = 101", "config.toml:4: mining.operator_donation_percent is 101.0, allowed is 0 to 100"),
    ("config.toml", "[mining]\noperator_donation_percent = 5", "config.toml: mining.operator_donation_address is empty, allowed is an address while operator_donation_percent is above 0"),
    ("config.toml", "[mining]\noperator_donation_percent = 5\noperator_donation_address = \"abc\"", "config.toml:5: mining.operator_donation_address is \"abc\", allowed is an address of mainnet (its checksum is wrong or it is no address at all)"),
    ("config.toml", "[mining]\npool_entropy = \"abc\"", "config.toml:4: mining.pool_entropy is \"abc\", allowed is 4 letters or digits"),
    ("config.toml", "[mining]\npool_entropy = \"ab-3\"", "config.toml:4: mining.pool_entropy is \"ab-3\", allowed is 4 letters or digits"),
    ("config.toml", "[logging]\ndebug = yes", "config.toml:4: is not valid TOML: string values must be quoted, expected literal string"),
    ("config.toml", "[logging]\nlevel = \"info\"", "config.toml:4: logging.level has no meaning any more"),
    ("config.toml", "[logging]\nnet_debug = true", "logging.net_debug does nothing while logging.debug is false"),
    ("config.toml", "[logging", "config.toml:3: is not valid TOML: unclosed table, expected `]`"),
    ("config.toml", "zmq_hashblock_addr = \"\"\nzmq_rawblock_addr = \"\"", "node.zmq_hashblock_addr and zmq_rawblock_addr are empty: the pool hears of blocks by long poll alone, which is slower"),
    // secrets.toml, services.toml
    ("secrets.toml", "rpc_user = 5", "secrets.toml:1: rpc_user is not shown, allowed is a text in quotes"),
    ("secrets.toml", "discord_tokn = \"x\"", "secrets.toml:1: discord_tokn is not known; the nearest is discord_token"),
    ("services.toml", "[backblaze_backup]\ninterval_seconds = 0", "services.toml:2: backblaze_backup.interval_seconds is 0, allowed is above 0; the default 43200 is used"),
    ("services.toml", "[backblaze_backup]\ninterval_seconds = 5.0", "services.toml:2: backblaze_backup.interval_seconds is 5.0, allowed is a whole number"),
    ("services.toml", "[backblaze_backup]\nenabled = 1", "services.toml:2: backblaze_backup.enabled is 1, allowed is true or false"),
    ("services.toml", "[backblaze_backup]\nenabled = true\nbucket = \"b\"", "backblaze_account_id and backblaze_application_key are empty: copies are made on this machine and not uploaded"),
    ("services.toml", "[price]\nenabled = true\nurl = \"price.example\"", "services.toml:3: price.url is \"price.example\", allowed is a URL of https, or of http on this machine; the service is left out"),
    ("services.toml", "[ntfy]\nurl = \"ftp://ntfy.example/x\"", "services.toml:2: ntfy.url is not shown, allowed is a URL of https or http; the service is left out"),
    ("services.toml", "[outgoing]\nproxy = \"proxy.example:3128\"", "services.toml:2: outgoing.proxy is not shown, allowed is a URL of http or socks5, such as http://proxy.example:3128; services are reached without it"),
    ("services.toml", "[ntfy]\nurl = \"https://ntfy.example/x\"\n[outgoing]\nprobe = [\"9.9.9.9\"]", "services.toml:4: outgoing.probe is [\"9.9.9.9\"], allowed is host:port of each, such as [\"9.9.9.9:443\"]; where the notices go is asked"),
    ("services.toml", "[telegram]\nchat_id = \"@x\"", "telegram_token is empty: there are no notices on Telegram"),
    ("secrets.toml", "discord_token = \"x\"", "discord.discord_server_id and discord.discord_notify_channel_id are empty: there are no notices on Discord"),
    // policy.toml
    ("policy.toml", "[mining]\nshare_job_freshness_mode = 3", "policy.toml:2: mining.share_job_freshness_mode is 3, allowed is 0 to 2; the default 1 is used"),
    ("policy.toml", "[hashrate]\nshare_ntime_max_forward_seconds = -1", "policy.toml:2: hashrate.share_ntime_max_forward_seconds is -1, allowed is above 0; the default 7000 is used"),
    ("policy.toml", "[version]\nmin_version_bits = 17", "policy.toml:2: version.min_version_bits is 17, allowed is 0 to 16"),
    ("policy.toml", "[timeouts]\nconnection_timeout_seconds = 29", "policy.toml:2: timeouts.connection_timeout_seconds is 29, allowed is 30 or more"),
    ("policy.toml", "[bans]\nbanned_miner_types = \"cgminer\"", "policy.toml:2: bans.banned_miner_types is \"cgminer\", allowed is a list of texts in quotes"),
    ("policy.toml", "[bans]\nbanned_miner_types = [1]", "policy.toml:2: bans.banned_miner_types is a list, allowed is a list of texts in quotes"),
    ("policy.toml", "[bans]\nban_invalid_submissions_after = -1", "policy.toml:2: bans.ban_invalid_submissions_after is -1, allowed is 0 or more, up to 4294967295; the default 40 is used"),
    ("policy.toml", "[bans]\nclean_expired_on_startup = false", "bans.clean_expired_on_startup is false: bans that have ended are kept"),
    ("policy.toml", "[bans]\nreconnect_ban_threshhold = 1", "policy.toml:2: bans.reconnect_ban_threshhold is not known; the nearest is bans.reconnect_ban_threshold"),
    // tuning.toml
    ("tuning.toml", "[rate_limits]\nmax_conns = -1", "tuning.toml:2: rate_limits.max_conns is -1, allowed is 0 or more, up to 4294967295"),
    ("tuning.toml", "[rate_limits]\nmax_accepts_per_second = -1", "tuning.toml:2: rate_limits.max_accepts_per_second is -1, allowed is 0 or more"),
    ("tuning.toml", "[rate_limits]\nmax_conns = 99999999999999999999", "tuning.toml:2: rate_limits.max_conns is 99999999999999999999, allowed is a whole number"),
    ("tuning.toml", "[rate_limits]\ndisable_connect_rate_limits = true", "rate_limits.disable_connect_rate_limits is true: nothing slows new connections down"),
    ("tuning.toml", "[difficulty]\nmin_difficulty = -1", "tuning.toml:2: difficulty.min_difficulty is -1.0, allowed is 0 or more"),
    ("tuning.toml", "[difficulty]\nmin_difficulty = inf", "tuning.toml:2: difficulty.min_difficulty is inf, allowed is 0 or more"),
    ("tuning.toml", "[difficulty]\nmin_difficulty = 512\nmax_difficulty = 256", "difficulty.min_difficulty is above max_difficulty: every miner gets the highest"),
    ("tuning.toml", "[difficulty]\ntarget_shares_per_min = 0", "tuning.toml:2: difficulty.target_shares_per_min is 0.0, allowed is above 0; the default 15.0 is used"),
    ("tuning.toml", "[mining]\nextranonce2_size = 17", "tuning.toml:2: mining.extranonce2_size is 17, allowed is 1 to 16"),
    ("tuning.toml", "[mining]\njob_entropy = 17", "tuning.toml:2: mining.job_entropy is 17, allowed is 0 to 16"),
    ("tuning.toml", "[shards]\ncount = 9999", "tuning.toml:2: shards.count is 9999, allowed is 0 to 1024"),
    ("tuning.toml", "shards = 2", "tuning.toml:1: shards is not known"),
    // version_bits.toml, miner_blacklist.json
    ("version_bits.toml", "[[bits]]\nbit = 1\n[[bits]]\nbit = 32", "version_bits.toml:4: bits[1].bit is 32, allowed is 0 to 31"),
    ("version_bits.toml", "[[bits]]\nbit = \"1\"", "version_bits.toml:2: bits[0].bit is no whole number, allowed is 0 to 31"),
    ("version_bits.toml", "[[bits]]\nbit = 1\nenabled = 1", "version_bits.toml:3: bits[0].enabled is no switch, allowed is true or false"),
    ("version_bits.toml", "[bits]\nbit = 1", "version_bits.toml:1: bits is not written as [[bits]]"),
    ("miner_blacklist.json", "{}", "miner_blacklist.json: is left out: invalid type: map, expected a sequence at line 1 column 0, allowed is a JSON list of texts"),
];

#[test]
fn every_mistake_is_one_line_that_says_what_was_found_and_what_is_allowed() {
    assert!(GALLERY.len() >= 40);
    let mut wrong = Vec::new();
    for (file, text, expected) in GALLERY {
        let config =
            if *file == "config.toml" { format!("{PAYOUT}{text}\n") } else { PAYOUT.into() };
        let mut files = vec![("config.toml", config.as_str())];
        if *file != "config.toml" {
            files.push((file, text));
        }
        let told = Folder::with(&files).told(&[]);
        if told != [*expected] {
            wrong.push(format!("{file}: {text:?}\n  expected {expected}\n  told     {told:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn services_are_there_when_all_that_they_need_is() {
    let config = load(&[("config.toml", PAYOUT)], &[]);
    assert!(config.price.is_none() && config.clerk.is_none() && config.backup.b2.is_none());
    let none = NoticesSettings { words: config.notices.words.clone(), ..Default::default() };
    assert_eq!(config.notices, none, "nothing goes anywhere until somebody says so");
    let (threshold, tag) = (config.notices.words.threshold.as_secs(), &*config.notices.words.tag);
    assert_eq!((threshold, tag), (300, "goPool"));
    let services = "\
        [auth]\nclerk_frontend_api_url = \"https://clerk.example/\"\nclerk_callback_path = \"back\"\n\
        [backblaze_backup]\nenabled = true\nbucket = \"b\"\nprefix = \" /gopool/ \"\nkeep_versions = 3\n\
        [discord]\ndiscord_server_id = \"1\"\ndiscord_notify_channel_id = \" 2 \"\n\
        [price]\nenabled = true\n[webhook]\nurl = \"http://10.0.0.7:8123/hook/?key=a/\"\n\
        [ntfy]\nurl = \"https://ntfy.sh/topic\"\n[telegram]\nchat_id = \"-7\"\n\
        [outgoing]\nproxy = \"socks5://127.0.0.1:9050\"\n";
    let secrets = "clerk_secret_key = \"sk\"\nclerk_publishable_key = \"pk\"\n\
        backblaze_account_id = \"id\"\nbackblaze_application_key = \"hunter2\"\n\
        discord_token = \"hunter2\"\ntelegram_token = \"7:hunter2\"\nwebhook_secret = \"hunter2\"\n";
    let files = [("services.toml", services), ("secrets.toml", secrets)];
    let payout = [("config.toml", PAYOUT)];
    let config = load(&[&payout[..], &files].concat(), &[]);
    let clerk = config.clerk.unwrap();
    assert_eq!(
        (&*clerk.callback_path, &*clerk.frontend_api_url, clerk.audience),
        ("/back", "https://clerk.example", None)
    );
    let b2 = config.backup.b2.unwrap();
    assert_eq!((&*b2.bucket, &*b2.object, b2.keep_versions), ("b", "gopool/workers.db", 3));
    let NoticesSettings { discord, webhook, ntfy, telegram, probe, .. } = config.notices;
    let asked: Vec<String> =
        probe.iter().map(|target| format!("{} {}", target.host, target.port)).collect();
    let places = ["discord.com 443", "10.0.0.7 8123", "ntfy.sh 443", "api.telegram.org 443"];
    assert_eq!(asked, places, "nobody else");
    assert_eq!(discord.as_ref().unwrap().channel_id, "2");
    assert_eq!(
        webhook.as_ref().unwrap().url,
        "http://10.0.0.7:8123/hook/?key=a/",
        "as it is written"
    );
    assert_eq!(config.outgoing.proxy.as_deref(), Some("socks5://127.0.0.1:9050"));
    let told = format!("{b2:?} {discord:?} {webhook:?} {ntfy:?} {telegram:?}");
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn whether_the_pool_is_cut_off_is_asked_of_whom_the_operator_says() {
    let probe = |text: &str| -> Vec<(String, u16)> {
        let services = format!("[outgoing]\nprobe = [\"9.9.9.9:443\", \"[::1]:53\"]\n{text}");
        let config = load(&[("config.toml", PAYOUT), ("services.toml", &services)], &[]);
        config.notices.probe.into_iter().map(|target| (target.host, target.port)).collect()
    };
    assert_eq!(probe(""), [], "while nobody is told anything, nobody is asked");
    let asked = probe("[webhook]\nurl = \"http://10.0.0.7/hook\"\n");
    assert_eq!(asked, [("9.9.9.9".to_owned(), 443), ("::1".to_owned(), 53)]);
}

#[test]
fn all_mistakes_of_all_files_are_told_at_once() {
    let folder = Folder::with(&[
        ("config.toml", "[server]\npool_listen = 1\n[node\nrpc_url = \"x\"\n"),
        ("policy.toml", "[timeouts]\nconnection_timeout_seconds = 1\n"),
        ("tuning.toml", "[mining]\njob_entropy = 99\nextranonce2_size = 0\n"),
    ]);
    let told = folder.told(&[]);
    for place in
        ["config.toml:2", "config.toml:3", "policy.toml:2", "tuning.toml:2", "tuning.toml:3"]
    {
        assert!(told.iter().any(|line| line.starts_with(place)), "{place}: {told:#?}");
    }
}

#[test]
fn flags_are_named_where_they_are_the_mistake() {
    let folder = Folder::with(&[("config.toml", PAYOUT)]);
    let told = folder.told(&["-listen", "nonsense", "-rpc-url", "x"]);
    assert_eq!(
        told,
        [
            "-listen is \"nonsense\", allowed is host:port, or :port for all interfaces",
            "-rpc-url is \"x\", allowed is a URL of http or https, such as http://127.0.0.1:8332",
        ]
    );
    let told = folder.told(&["-allow-rpc-creds"]);
    assert!(told[0].starts_with("secrets.toml: is not there"), "{told:?}");
    let folder = Folder::with(&[("config.toml", PAYOUT), ("secrets.toml", "rpc_user = \"u\"")]);
    let told = folder.told(&["-allow-rpc-creds"]);
    assert_eq!(
        told,
        ["secrets.toml: rpc_pass is empty, allowed is bitcoind's, while -allow-rpc-creds is given"]
    );
}

#[test]
fn an_address_of_another_network_has_an_exit_code_of_its_own() {
    let folder = Folder::with(&[("config.toml", PAYOUT)]);
    let error = folder.load(&["-network", "regtest"]).unwrap_err();
    assert!(error.is_about_addresses(), "{error}");
    assert!(error.to_string().contains("allowed is an address of regtest"), "{error}");
    let error = Folder::with(&[("config.toml", "")]).load(&[]).unwrap_err();
    assert!(!error.is_about_addresses());
    assert!(error.to_string().contains("node.payout_address is empty"), "{error}");
}

/// A value of the key's kind that is allowed and not the default.
fn another(key: &Key) -> Value {
    match (&key.default, key.allowed) {
        (Value::Text(_), _) => Value::Text("another".into()),
        (Value::Bool(value), _) => Value::Bool(!value),
        (Value::Integer(value), allowed) => {
            let other = [value + 1, value - 1].into_iter().find(|v| allowed.holds(*v as f64));
            Value::Integer(other.unwrap_or_else(|| panic!("{}", key.path())))
        }
        (Value::Float(value), allowed) => {
            let other = [value + 0.5, value - 0.5].into_iter().find(|v| allowed.holds(*v));
            Value::Float(other.unwrap_or_else(|| panic!("{}", key.path())))
        }
        (Value::Texts(_), _) => Value::Texts(vec!["another".into()]),
    }
}

fn written(key: &Key, value: &Value) -> String {
    match key.table {
        "" => format!("{} = {value}\n", key.name),
        table => format!("[{table}]\n{} = {value}\n", key.name),
    }
}

fn entry_of(files: &Files, key: &Key) -> Entry {
    files.entries().into_iter().find(|entry| entry.key == key).unwrap()
}

fn read(file: File, text: &str) -> (Files, Vec<Problem>) {
    let folder = Folder::with(&[(file.name(), text)]);
    let mut problems = Problems::new(folder.loader(&[]).paths().clone());
    let files = Files::read(&mut problems);
    (files, problems.into_vec())
}

/// The walk over all keys: what is written is read, what is not is the default, what cannot be is
/// refused or replaced, under the key's own name.
#[test]
fn each_key_is_read_defaulted_and_bounded() {
    let mut paths = BTreeSet::new();
    for key in keys::all() {
        let path = key.path();
        assert!(paths.insert((key.file, path.clone())), "{path} is there twice");
        let (files, problems) = read(key.file, "");
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(entry_of(&files, key).value, key.default, "{path}");
        let other = another(key);
        for name in std::iter::once(&key.name).chain(key.aliases) {
            let text = written(key, &other).replace(key.name, name);
            let (files, problems) = read(key.file, &text);
            assert!(problems.is_empty(), "{path}: {problems:?}");
            let entry = entry_of(&files, key);
            assert_eq!((entry.value, entry.key.path()), (other.clone(), path.clone()));
        }
        if let Value::Float(_) = key.default {
            let (files, _) = read(key.file, &written(key, &Value::Integer(1)));
            assert_eq!(
                entry_of(&files, key).value,
                Value::Float(1.0),
                "{path} takes a whole number"
            );
        }
        let wrong = match key.default {
            Value::Bool(_) => Value::Integer(1),
            _ => Value::Bool(true),
        };
        let (files, problems) = read(key.file, &written(key, &wrong));
        assert_eq!(problems.len(), 1, "{path} is of its kind");
        assert_eq!(entry_of(&files, key).value, key.default);
        if let Allowed::Within { .. } = key.allowed {
            let outside = [-1e9, 1e12].into_iter().find(|number| !key.allowed.holds(*number));
            let outside = outside.unwrap_or_else(|| panic!("{path} has no bound"));
            let value = match key.default {
                Value::Float(_) => Value::Float(outside),
                _ => Value::Integer(outside as i64),
            };
            let (files, problems) = read(key.file, &written(key, &value));
            assert_eq!(problems.len(), 1, "{path} is bounded");
            let words = key.allowed.words().unwrap();
            assert!(problems[0].to_string().contains(&words), "{problems:?}");
            assert_eq!(entry_of(&files, key).value, key.default);
        }
        assert!(!key.words.is_empty());
    }
    assert!(paths.len() > 100, "{}", paths.len());
}

#[test]
fn examples_parse_to_the_defaults() {
    let folder = Folder::with(&[]);
    let loader = folder.loader(&[]);
    examples::write_all(loader.paths()).unwrap();
    for file in File::ALL {
        let example = loader.paths().example(file);
        if example.exists() {
            fs::copy(example, loader.paths().of(file)).unwrap();
        }
    }
    let mut problems = Problems::new(loader.paths().clone());
    let files = Files::read(&mut problems);
    assert_eq!(problems.into_vec(), []);
    for entry in files.entries() {
        let path = entry.key.path();
        match path.as_str() {
            "node.payout_address" => {
                assert_eq!(entry.value, Value::Text(examples::PAYOUT_PLACEHOLDER.into()));
            }
            _ => assert_eq!(entry.value, entry.key.default, "{path}"),
        }
    }
    // What is commented out is there to be read all the same.
    let text: String = File::ALL
        .iter()
        .filter_map(|file| fs::read_to_string(loader.paths().example(*file)).ok())
        .collect();
    for key in keys::all() {
        let mark = if key.shown == Shown::Written { "\n" } else { "\n# " };
        assert!(text.contains(&format!("{mark}{} = ", key.name)), "{}", key.path());
    }
}

/// The annotated files of the specification, and what older ones may hold.
#[test]
fn files_of_the_reference_load_unchanged() {
    let config = format!(
        "[server]\npool_listen = \":3333\"\nstatus_listen = \":80\"\nstatus_tls_listen = \":443\"\n\
         status_public_url = \"\"\n[branding]\nstatus_brand_name = \" My Pool \"\n\
         status_tagline = \"\"\nfiat_currency = \"usd\"\n[stratum]\nstratum_tls_listen = \"4333\"\n\
         stratum_password_enabled = false\nsafe_mode = false\nfast_decode_enabled = true\n{PAYOUT}\
         rpc_url = \"\"\nzmq_hashblock_addr = \"tcp://127.0.0.1:28334\"\nrpc_cookie_path = \"\"\n\
         [mining]\npool_fee_percent = 2\noperator_donation_percent = 0.0\npooltag_prefix = \"My-Pool\"\n\
         [logging]\nlevel = \"info\"\ndebug = false\nnet_debug = false\n"
    );
    let policy = "[version]\nmin_version_bits = 1\nshare_allow_version_mask_mismatch = true\n\
                  share_allow_degraded_version_bits = true\nversion_mask = \"1fffe000\"\n\
                  [bans]\nbanned_miner_types = []\n[mining]\nshare_job_freshness_mode = 2\n\
                  submit_process_inline = false\n";
    let tuning = "[hashrate]\nhashrate_ema_tau_seconds = 450\nshare_ntime_max_forward_seconds = 600\n\
                  [mining]\ndisable_pool_job_entropy = true\njob_entropy = 4\n\
                  [difficulty]\nmin_difficulty = 512\n";
    let config = load(
        &[
            ("config.toml", &config),
            ("policy.toml", policy),
            ("tuning.toml", tuning),
            ("version_bits.toml", "[[bits]]\nbit = 4\nenabled = true\n[[bits]]\nbit = 4\n"),
            ("miner_blacklist.json", "[\"cgminer\", \" Nerd Miner \", \"CGMINER\", \"\"]"),
        ],
        &[],
    );
    assert_eq!(config.shown.brand_name, "My Pool");
    assert_eq!(config.shown.tagline, "Solo Mining Pool");
    assert_eq!(config.stratum_tls_listen.unwrap().port(), 4333);
    assert_eq!(config.rpc_url, "http://127.0.0.1:8332");
    assert_eq!(config.job_inputs.brand_tag, "/mypool-goPool/");
    assert_eq!(config.job_inputs.version_bits, [(4, true), (4, false)]);
    assert_eq!(config.job_entropy, 0);
    assert_eq!(config.settings.banned_clients, ["cgminer", "nerd miner"]);
    assert!(config.settings.shares.allow_out_of_mask_version_bits);
    assert_eq!(config.settings.shares.freshness, Freshness::JobIdAndPrevHash);
    assert_eq!(config.settings.shares.ntime_forward_max, Duration::from_secs(600));
    assert_eq!(config.settings.difficulty.min, 512.0);
    let told: Vec<&str> = config.warnings.iter().filter_map(|w| w.rsplit('/').next()).collect();
    assert_eq!(
        told,
        [
            "config.toml:14: stratum.fast_decode_enabled has no meaning any more",
            "config.toml:25: logging.level has no meaning any more",
            "policy.toml:5: version.version_mask has no meaning any more",
        ]
    );
}

#[test]
fn what_older_versions_kept_in_config_toml_moves() {
    let text = format!(
        "# mine\n{PAYOUT}zmq_hashblock_addr = \"\"\nzmq_rawblock_addr = \"\"\n\
         zmq_block_addr = \"tcp://127.0.0.1:1\"\n[auth]\nclerk_issuer_url = \"https://a\"\n\
         [branding]\ndiscord_url = \"https://d\"\n"
    );
    let folder = Folder::with(&[("config.toml", &text)]);
    let config = folder.load(&[]).unwrap();
    assert_eq!(config.zmq.len(), 1);
    bring_up_to_date(&config, false);
    let (now, services) = (folder.text("config.toml"), folder.text("services.toml"));
    assert!(now.starts_with("# mine\n"), "comments stay: {now}");
    for gone in ["zmq_block_addr", "clerk", "discord", "[auth]"] {
        assert!(!now.contains(gone), "{gone}: {now}");
    }
    assert!(now.contains("zmq_rawblock_addr = \"tcp://127.0.0.1:1\""), "{now}");
    assert!(services.contains("clerk_issuer_url = \"https://a\""), "{services}");
    assert!(services.contains("discord_url = \"https://d\""), "{services}");
    assert_eq!(folder.text("config.toml.bak"), text);
    let again = folder.load(&[]).unwrap();
    assert!(again.view.legacy == Legacy::default() && again.zmq == config.zmq);
}

#[test]
fn no_flag_reaches_the_disk() {
    let text = format!("{PAYOUT}[mining]\npool_entropy = \"\"\n");
    let folder = Folder::with(&[("config.toml", &text)]);
    let flags = [
        "-listen",
        "127.0.0.1:1",
        "-rpc-url",
        "http://10.0.0.1:1",
        "-rpc-cookie",
        "/tmp/x",
        "-bind",
        "127.0.0.1",
        "-flood",
        "-safe-mode",
        "true",
        "-debug",
        "-max-conns",
        "7",
        "-rewrite-config",
    ];
    let loader = folder.loader(&flags);
    let config = loader.load().unwrap();
    bring_up_to_date(&config, true);
    let expected = text.replace(
        "pool_entropy = \"\"",
        &format!("pool_entropy = \"{}\"", config.job_inputs.pool_entropy),
    );
    assert_eq!(folder.text("config.toml"), expected);
    assert!(!folder.0.path().join("config/tuning.toml").exists());
    assert_eq!(loader.load().unwrap().job_inputs.pool_entropy, config.job_inputs.pool_entropy);
}

#[test]
fn secrets_are_for_their_owner_and_shown_to_nobody() {
    use std::os::unix::fs::PermissionsExt;
    let secret = "rpc_user = \"u\"\nrpc_pass = \"hunter2\"\nclerk_secret_key = \"sk\"\n";
    // Addresses that let in whoever knows them.
    let services = "[webhook]\nurl = \"https://h.example/hunter2\"\n[ntfy]\nurl = \"https://n.example/hunter2\"\n\
                    [outgoing]\nproxy = \"http://u:hunter2@p.example:1\"\n";
    let files = [("config.toml", PAYOUT), ("secrets.toml", secret), ("services.toml", services)];
    let folder = Folder::with(&files);
    let path = folder.0.path().join("config/secrets.toml");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let config = folder.load(&["-allow-rpc-creds"]).unwrap();
    bring_up_to_date(&config, false);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(folder.text("secrets.toml"), secret);
    assert_eq!(config.rpc_auth, RpcAuth::Fixed("u:hunter2".into()));
    let shown: String = config.entries.iter().map(ToString::to_string).collect();
    assert_eq!(config.secrets().iter().filter(|text| text.contains("hunter2")).count(), 4);
    assert!(!shown.contains("hunter2") && !format!("{:?}", config.rpc_auth).contains("hunter2"));
}

#[test]
fn combinations_of_flags() {
    let with = |config: &str, flags: &[&str]| {
        load(&[("config.toml", &format!("{PAYOUT}{config}"))], flags)
    };
    let config = with("", &["-bind", "127.0.0.1", "-status", "0.0.0.0:8080"]);
    assert_eq!(config.stratum_listen.to_string(), "127.0.0.1:3333");
    assert_eq!(config.status_listen.unwrap().to_string(), "0.0.0.0:8080");
    assert_eq!(config.status_tls_listen.unwrap().to_string(), "127.0.0.1:443");
    let config = with("[server]\nstatus_tls_listen = \"\"", &["-bind", "::1"]);
    assert_eq!(config.stratum_listen.to_string(), "[::1]:3333");
    assert_eq!(config.status_tls_listen, None);
    let config = with("[server]\nstatus_public_url = \"https://pool.example:8443/x\"", &[]);
    let url = config.public_url.unwrap();
    assert_eq!((url.is_https, &*url.host, url.port), (true, "pool.example", Some(8443)));
    let config = with("", &["-safe-mode", "true", "-ckpool-emulate", "false"]);
    assert!(config.settings.ckpool_emulate);
    assert_eq!(config.settings.bans.threshold, 0);
    let config = with("[stratum]\nsafe_mode = true", &["-safe-mode=false"]);
    assert_eq!(config.settings.bans.threshold, 40);
    let levels = |flags: &[&str]| with("", flags).log_levels;
    assert_eq!(levels(&["-net-debug"]), Levels { debug: false, net_debug: true });
    assert_eq!(levels(&["-debug", "-net-debug"]), Levels { debug: true, net_debug: true });
    let config = with("", &["-flood"]);
    assert_eq!((config.settings.difficulty.min, config.settings.difficulty.max), (1e-7, 1e-7));
    let config =
        with("zmq_hashblock_addr = \"\"\nzmq_rawblock_addr = \"\"", &["-network", "mainnet"]);
    assert_eq!(config.zmq.len(), 1);
    let config = with("rpc_url = \"http://10.0.0.1:1\"", &["-network", "mainnet"]);
    assert_eq!(config.rpc_url, "http://10.0.0.1:1");
}

#[test]
fn explicit_limits_of_new_connections_win_unless_it_is_written_otherwise() {
    let numbers = |tuning: &str| {
        let tuning = format!("[rate_limits]\nmax_conns = 1000\n{tuning}");
        load(&[("config.toml", PAYOUT), ("tuning.toml", &tuning)], &[]).accept.numbers()
    };
    assert_eq!(numbers("").burst, 333);
    assert_eq!(numbers("max_accept_burst = 7").burst, 7);
    assert_eq!(numbers("max_accept_burst = 7\nauto_accept_rate_limits = false").burst, 7);
    assert_eq!(numbers("max_accept_burst = 7\nauto_accept_rate_limits = true").burst, 333);
    let flagged = load(&[("config.toml", PAYOUT)], &["-max-conns", "100"]).accept.numbers();
    assert_eq!(flagged.burst, 33, "flags come before the computation");
}
