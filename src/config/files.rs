//! All files as written: what each key is set to and where, nothing weighed against anything else.

use std::fs;
use std::io::ErrorKind;

use super::change::Edits;
use super::keys::{
    ANY, Apply, Auth, BackblazeBackup, Bans, Branding, CoinbaseTuning, Difficulty, Discord, Entry,
    File, HashrateTuning, Key, Logging, Mining, Node, Ntfy, Origin, Outgoing, PeerCleaning,
    PolicyHashrate, PolicyStratum, Price, RateLimits, Secrets, Section, Server, Setting, Shards,
    ShareChecks, Shown, Status, Stratum, StratumTuning, Telegram, Timeouts, Value, Version,
    Webhook,
};
use super::problem::{ProblemKind, Problems};
use super::reader::{self, Reader, Source};

/// One setting for each key of all files.
#[derive(Clone, Debug)]
pub struct Files {
    pub server: Server,
    pub branding: Branding,
    pub stratum: Stratum,
    pub node: Node,
    pub mining: Mining,
    pub logging: Logging,
    pub secrets: Secrets,
    pub auth: Auth,
    pub backups: BackblazeBackup,
    pub discord: Discord,
    pub status: Status,
    pub price: Price,
    pub webhook: Webhook,
    pub ntfy: Ntfy,
    pub telegram: Telegram,
    pub outgoing: Outgoing,
    pub answers: PolicyStratum,
    pub shares: ShareChecks,
    pub share_time: PolicyHashrate,
    pub version: Version,
    pub bans: Bans,
    pub timeouts: Timeouts,
    pub rate_limits: RateLimits,
    pub difficulty: Difficulty,
    pub coinbase: CoinbaseTuning,
    pub hashrate: HashrateTuning,
    pub sockets: StratumTuning,
    pub peer_cleaning: PeerCleaning,
    pub shards: Shards,
    /// Bits of `version_bits.toml`, in the order of the file.
    pub version_bits: Vec<(u32, bool)>,
    /// Of `miner_blacklist.json`; none when it is not there or says nothing.
    pub blacklist: Option<Vec<String>>,
    /// Keys of earlier versions that stand in `config.toml`.
    pub legacy: Legacy,
}

/// What `config.toml` says in words of earlier versions (`config.md` §2.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Legacy {
    /// `node.zmq_block_addr`.
    pub zmq: bool,
    /// Tables and keys that are in `services.toml` now.
    pub services: bool,
}

const TOML_FILES: [File; 6] =
    [File::Config, File::Secrets, File::Services, File::Policy, File::Tuning, File::VersionBits];

/// Keys that `config.toml` had in `[branding]` and that are in `services.toml [discord]` now.
pub const MOVED_FROM_BRANDING: [&str; 3] =
    ["discord_url", "discord_server_id", "discord_notify_channel_id"];

/// Read and never written.
static ZMQ_BLOCK_ADDR: Key = Key {
    file: File::Config,
    table: "node",
    name: "zmq_block_addr",
    aliases: &[],
    default: Value::Text(std::borrow::Cow::Borrowed("")),
    allowed: ANY,
    apply: Apply::Restart,
    shown: Shown::Commented,
    words: "what zmq_hashblock_addr and zmq_rawblock_addr were in one",
};

impl Files {
    /// Reads all of them. What is wrong is noted, and is the default until somebody mends it.
    pub fn read(problems: &mut Problems) -> Self {
        Self::read_with(&[], problems)
    }

    /// The same, as if these texts were in place of what is on the disk.
    pub fn read_with(texts: &[(File, String)], problems: &mut Problems) -> Self {
        let sources = TOML_FILES.map(|file| match texts.iter().find(|(of, _)| *of == file) {
            Some((_, text)) => Source::of_text(file, text.clone()),
            None => Source::read(file, problems),
        });
        let [_, _, services, ..] = &sources;
        let has_services = services.exists();
        let readers = sources.each_ref().map(|source| Reader::parse(source, problems));
        let [mut config, mut secrets, mut services, mut policy, mut tuning, mut version_bits] =
            readers;
        let mut files = Self {
            server: config.section(problems),
            branding: config.section(problems),
            stratum: config.section(problems),
            node: config.section(problems),
            mining: config.section(problems),
            logging: config.section(problems),
            secrets: secrets.section(problems),
            auth: services.section(problems),
            backups: services.section(problems),
            discord: services.section(problems),
            status: services.section(problems),
            price: services.section(problems),
            webhook: services.section(problems),
            ntfy: services.section(problems),
            telegram: services.section(problems),
            outgoing: services.section(problems),
            answers: policy.section(problems),
            shares: policy.section(problems),
            share_time: policy.section(problems),
            version: policy.section(problems),
            bans: policy.section(problems),
            timeouts: policy.section(problems),
            rate_limits: tuning.section(problems),
            difficulty: tuning.section(problems),
            coinbase: tuning.section(problems),
            hashrate: tuning.section(problems),
            sockets: tuning.section(problems),
            peer_cleaning: tuning.section(problems),
            shards: tuning.section(problems),
            version_bits: bits(&mut version_bits, problems),
            blacklist: blacklist(problems),
            legacy: Legacy::default(),
        };
        // The documentation of the reference has this key in no file in particular.
        files.share_time = tuning.section::<PolicyHashrate>(problems).or(files.share_time);
        files.take_legacy(&mut config, has_services, problems);
        for reader in [config, secrets, services, policy, tuning, version_bits] {
            reader.finish(problems);
        }
        files
    }

    fn take_legacy(
        &mut self,
        config: &mut Reader<'_>,
        has_services: bool,
        problems: &mut Problems,
    ) {
        let (value, origin) = config.take(&ZMQ_BLOCK_ADDR, problems);
        let both: Setting<String> = Setting::new(&ZMQ_BLOCK_ADDR, value, origin);
        let is_blank = |setting: &Setting<String>| !setting.is_set() || setting.value.is_empty();
        let Node { zmq_hashblock_addr, zmq_rawblock_addr, .. } = &mut self.node;
        if both.is_set() && is_blank(zmq_hashblock_addr) && is_blank(zmq_rawblock_addr) {
            zmq_hashblock_addr.set(both.value.clone(), both.origin);
            zmq_rawblock_addr.set(both.value, both.origin);
            self.legacy.zmq = true;
        }
        let auth = config.section::<Auth>(problems);
        let mut backups = config.section::<BackblazeBackup>(problems);
        let discord = Discord::read(&mut |key| match MOVED_FROM_BRANDING.contains(&key.name) {
            true => config.take_in("branding", key, problems),
            false => (key.default.clone(), Origin::Default),
        });
        let is_set = |entries: Vec<Entry>| entries.iter().any(|e| e.origin != Origin::Default);
        self.legacy.services =
            is_set(auth.entries()) || is_set(backups.entries()) || is_set(discord.entries());
        if has_services {
            // That file decides, even by saying nothing.
            backups.enabled.origin = Origin::Default;
            backups.enabled.value = false;
        }
        self.auth = self.auth.clone().or(auth);
        self.backups = self.backups.clone().or(backups);
        self.discord = self.discord.clone().or(discord);
    }

    /// The same with what an operator has changed since.
    pub fn with(mut self, edits: &Edits) -> Self {
        edits.change(&mut self.server);
        edits.change(&mut self.branding);
        edits.change(&mut self.stratum);
        edits.change(&mut self.node);
        edits.change(&mut self.mining);
        edits.change(&mut self.logging);
        edits.change(&mut self.secrets);
        edits.change(&mut self.auth);
        edits.change(&mut self.backups);
        edits.change(&mut self.discord);
        edits.change(&mut self.status);
        edits.change(&mut self.price);
        edits.change(&mut self.webhook);
        edits.change(&mut self.ntfy);
        edits.change(&mut self.telegram);
        edits.change(&mut self.outgoing);
        edits.change(&mut self.answers);
        edits.change(&mut self.shares);
        edits.change(&mut self.share_time);
        edits.change(&mut self.version);
        edits.change(&mut self.bans);
        edits.change(&mut self.timeouts);
        edits.change(&mut self.rate_limits);
        edits.change(&mut self.difficulty);
        edits.change(&mut self.coinbase);
        edits.change(&mut self.hashrate);
        edits.change(&mut self.sockets);
        edits.change(&mut self.peer_cleaning);
        edits.change(&mut self.shards);
        self
    }

    /// Every setting, in the order of the tables.
    pub fn entries(&self) -> Vec<Entry> {
        [
            self.server.entries(),
            self.branding.entries(),
            self.stratum.entries(),
            self.node.entries(),
            self.mining.entries(),
            self.logging.entries(),
            self.secrets.entries(),
            self.auth.entries(),
            self.backups.entries(),
            self.discord.entries(),
            self.status.entries(),
            self.price.entries(),
            self.webhook.entries(),
            self.ntfy.entries(),
            self.telegram.entries(),
            self.outgoing.entries(),
            self.answers.entries(),
            self.shares.entries(),
            self.share_time.entries(),
            self.version.entries(),
            self.bans.entries(),
            self.timeouts.entries(),
            self.rate_limits.entries(),
            self.difficulty.entries(),
            self.coinbase.entries(),
            self.hashrate.entries(),
            self.sockets.entries(),
            self.peer_cleaning.entries(),
            self.shards.entries(),
        ]
        .concat()
    }
}

/// `[[bits]]` of `version_bits.toml` (`config.md` §3.7).
fn bits(reader: &mut Reader<'_>, problems: &mut Problems) -> Vec<(u32, bool)> {
    let mut bits = Vec::new();
    for (index, table) in reader.tables("bits", problems).into_iter().enumerate() {
        let mut refuse = |line, words| {
            let words = format!("bits[{index}]{words}");
            problems.note(ProblemKind::Error, File::VersionBits, line, words);
        };
        let mut number = Some(0);
        let mut enabled = Some(false);
        for (name, found) in &table {
            let line = reader.line_at(found.span().start);
            match name.get_ref().as_ref() {
                "bit" => {
                    number = match reader::value(found.get_ref(), &Value::Integer(0)) {
                        Some(Value::Integer(bit @ 0..=31)) => Some(bit as u32),
                        Some(other) => {
                            refuse(line, format!(".bit is {other}, allowed is 0 to 31"));
                            None
                        }
                        None => {
                            refuse(line, ".bit is no whole number, allowed is 0 to 31".to_owned());
                            None
                        }
                    };
                }
                "enabled" => {
                    enabled = found.get_ref().as_bool();
                    if enabled.is_none() {
                        refuse(line, ".enabled is no switch, allowed is true or false".to_owned());
                    }
                }
                other => refuse(line, format!(".{other} is not known; there are bit and enabled")),
            }
        }
        if let (Some(number), Some(enabled)) = (number, enabled) {
            bits.push((number, enabled));
        }
    }
    bits
}

/// The list that wins over `banned_miner_types`, unless it is empty; one that cannot be read is left
/// out (`config.md` §3.8).
fn blacklist(problems: &mut Problems) -> Option<Vec<String>> {
    let path = problems.paths().of(File::Blacklist);
    let words = match fs::read_to_string(&path) {
        Ok(text) => match serde_json::from_str::<Vec<String>>(&text) {
            Ok(list) => return Some(named_once(&list)).filter(|list| !list.is_empty()),
            Err(error) => format!("is left out: {error}, allowed is a JSON list of texts"),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => format!("is left out: {error}"),
    };
    problems.note(ProblemKind::Warning, File::Blacklist, 0, words);
    None
}

/// Trimmed, without blanks and repetitions; the first spelling stays.
fn named_once(list: &[String]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in list.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
        if !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            names.push(name.to_owned());
        }
    }
    names
}
