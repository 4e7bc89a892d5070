//! What an operator changes of a running pool (`web.md` §6.5).
//!
//! ```text
//! fields of a form ─▶ read ─▶ Edits ─▶ Loader::with_edits: files ▶ edits ▶ flags ▶ check ─▶ Config
//!                                └───▶ save: the files
//! ```
//!
//! Nothing is taken before all of it has been found good.

use super::Config;
use super::fields::{Field, Refusal, field_of, fields, protected};
use super::keys::{self, Key, Section, Value};

/// Numbers of accepted connections that are worked out from `max_conns` unless they are set.
const WORKED_OUT: [&str; 3] = [
    "rate_limits.max_accepts_per_second",
    "rate_limits.max_accept_burst",
    "rate_limits.accept_steady_state_rate",
];

/// What has been changed since the files were read. It lives in memory only: SIGUSR2 and a restart
/// forget what has not been saved.
#[derive(Clone, Debug, Default)]
pub struct Edits(Vec<(&'static Key, Value)>);

impl Edits {
    pub fn get(&self, key: &Key) -> Option<&Value> {
        self.0.iter().find(|(edited, _)| *edited == key).map(|(_, value)| value)
    }

    pub fn set(&mut self, key: &'static Key, value: Value) {
        self.unset(key);
        self.0.push((key, value));
    }

    pub fn unset(&mut self, key: &Key) {
        self.0.retain(|(edited, _)| *edited != key);
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'static Key, &Value)> {
        self.0.iter().map(|(key, value)| (*key, value))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A table with what has been changed of it.
    pub(super) fn change<S: Section>(&self, section: &mut S) {
        let mut entries = section.entries().into_iter();
        *section = S::read(&mut |key| {
            let entry = entries.next().expect("as many entries as keys");
            match self.get(key) {
                Some(value) => (value.clone(), keys::Origin::Panel),
                None => (entry.value, entry.origin),
            }
        });
    }
}

/// What a form says, on top of what has been changed before. Fields that say what is so already,
/// and those that are not there, change nothing.
///
/// Errors: all that is wrong with it.
pub fn read<'a>(
    config: &Config,
    form: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Edits, Vec<Refusal>> {
    let mut edits = config.edits().clone();
    let mut refused = Vec::new();
    let mut changed: Vec<&'static Key> = Vec::new();
    let mut explicit: Vec<(&'static Key, Value)> = Vec::new();
    for (name, text) in form {
        if let Some(field) = protected().iter().find(|field| field.is_called(name)) {
            refused.extend(refuse_protected(config, field, text));
            continue;
        }
        let Some(field) = fields().iter().find(|field| field.is_called(name)) else {
            refused.push(Refusal {
                name: "",
                words: format!("{name} is no setting that can be changed here"),
            });
            continue;
        };
        let (wanted, in_force) = (config.wanted(field.key), config.entry(field.key));
        let is_held = held_by(config, field.key).is_some();
        // First, so that what a file allows and the form does not may stay as it is.
        if says(text, &wanted.value) || (is_held && says(text, &in_force.value)) {
            if WORKED_OUT.contains(&&*field.key.path()) && wanted.origin == keys::Origin::Default {
                explicit.push((field.key, wanted.value));
            }
            continue;
        }
        let value = match field.parse(text) {
            Ok(Some(value)) if value != wanted.value => value,
            Ok(_) => continue,
            Err(refusal) => {
                refused.push(refusal);
                continue;
            }
        };
        changed.push(field.key);
        match config.written(field.key).value == value {
            true => edits.unset(field.key),
            false => edits.set(field.key, value),
        }
    }
    // Who stops the pool from working them out means the numbers that stand beside it.
    let auto = keys::named("rate_limits.auto_accept_rate_limits");
    if changed.contains(&auto) && edits.get(auto) == Some(&Value::Bool(false)) {
        for (key, value) in explicit {
            edits.set(key, value);
        }
    }
    if refused.is_empty() {
        refused = contradictions(config, &edits, &changed);
    }
    if refused.is_empty() { Ok(edits) } else { Err(refused) }
}

/// Whether a text in a form is this value.
fn says(text: &str, value: &Value) -> bool {
    let text = text.trim();
    match value {
        Value::Float(number) => text.parse() == Ok(*number),
        Value::Integer(number) => text.parse() == Ok(*number),
        value => Field::text(value) == text,
    }
}

fn refuse_protected(config: &Config, field: &Field, text: &str) -> Option<Refusal> {
    let text = text.trim();
    let is_port = field.key.name.ends_with("_listen") && !text.is_empty() && !text.contains(':');
    let text = if is_port { format!(":{text}") } else { text.to_owned() };
    let is_unchanged = says(&text, &config.entry(field.key).value)
        || says(&text, &config.written(field.key).value)
        || (text.is_empty() && matches!(field.key.default, Value::Float(_)));
    (!is_unchanged).then(|| Refusal {
        name: field.name,
        words: format!(
            "{} is protected: change it in {} and restart or reload",
            field.name,
            field.key.file.name()
        ),
    })
}

/// What fields must have in common, as far as one of them has been changed.
fn contradictions(config: &Config, edits: &Edits, changed: &[&'static Key]) -> Vec<Refusal> {
    let mut refused = Vec::new();
    let number = |path| {
        let key = keys::named(path);
        match edits.get(key).unwrap_or(&config.written(key).value) {
            Value::Integer(number) => *number as f64,
            Value::Float(number) => *number,
            _ => 0.0,
        }
    };
    let mut check = |paths: &[&'static str], is_good: bool, words: String| {
        let mut of_these = changed.iter().filter(|key| paths.contains(&&*key.path()));
        if let Some(key) = of_these.next().filter(|_| !is_good) {
            let name = field_of(key).map_or("", |field| field.name);
            refused.push(Refusal { name, words });
        }
    };
    let (min_path, max_path) = ("difficulty.min_difficulty", "difficulty.max_difficulty");
    let default_path = "difficulty.default_difficulty";
    let (min, max, default) = (number(min_path), number(max_path), number(default_path));
    check(
        &[min_path, max_path],
        max == 0.0 || min <= max,
        format!("min_difficulty is {min}, allowed is at most max_difficulty, which is {max}"),
    );
    check(
        &[min_path, max_path, default_path],
        default == 0.0 || (default >= min && (max == 0.0 || default <= max)),
        format!("default_difficulty is {default}, allowed is 0, or {}", limits(min, max)),
    );
    let (whole, part) = ("mining.template_extra_nonce2_size", "mining.extranonce2_size");
    let (whole_size, part_size) = (number(whole), number(part));
    check(
        &[whole, part],
        whole_size >= part_size,
        format!(
            "template_extranonce2_size is {whole_size}, allowed is at least extranonce2_size, \
             which is {part_size}"
        ),
    );
    refused
}

fn limits(min: f64, max: f64) -> String {
    if max == 0.0 { format!("{min} or more") } else { format!("{min} to {max}") }
}

/// A setting that is another than before.
#[derive(Clone, Debug)]
pub struct Changed {
    pub key: &'static Key,
    pub before: String,
    pub after: String,
    /// What keeps it from being in force, though it would be written: a flag, or safe mode.
    pub held_by: Option<String>,
}

impl Changed {
    pub fn needs_restart(&self) -> bool {
        self.key.apply == keys::Apply::Restart
    }
}

/// What has been changed since the files were read.
pub fn unsaved(config: &Config) -> Vec<Changed> {
    let changed = |(key, _): (&'static Key, &Value)| Changed {
        key,
        before: config.written(key).to_string(),
        after: config.wanted(key).to_string(),
        held_by: held_by(config, key),
    };
    config.edits().iter().map(changed).collect()
}

/// The flag, or safe mode, that has the last word about a setting.
pub fn held_by(config: &Config, key: &Key) -> Option<String> {
    let origin = config.entry(key).origin;
    matches!(origin, keys::Origin::Flag(_) | keys::Origin::SafeMode).then(|| origin.to_string())
}

/// What is wanted now and was not wanted before.
pub fn difference(before: &Config, after: &Config) -> Vec<Changed> {
    let both = before.wanted_entries().into_iter().zip(after.wanted_entries());
    let is_other = |(old, new): &(keys::Entry, keys::Entry)| {
        // That a number is set at all means something where it is worked out otherwise.
        let was_set = old.origin != keys::Origin::Default;
        let is_set = new.origin != keys::Origin::Default;
        let path = new.key.path();
        old.value != new.value || (WORKED_OUT.contains(&&*path) && was_set != is_set)
    };
    both.filter(is_other)
        .map(|(old, new)| Changed {
            key: new.key,
            before: old.to_string(),
            after: new.to_string(),
            held_by: held_by(after, new.key),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Folder, PAYOUT};
    use super::*;
    use crate::config::keys::Origin;

    fn folder(tuning: &str) -> Folder {
        Folder::with(&[("config.toml", PAYOUT), ("tuning.toml", tuning)])
    }

    /// What a form makes of the configuration, and what it says is new.
    fn changed(
        folder: &Folder,
        flags: &[&str],
        form: &[(&str, &str)],
    ) -> Result<(Config, Vec<String>), Vec<String>> {
        let before = folder.load(flags).unwrap();
        let told =
            |refused: Vec<Refusal>| refused.iter().map(ToString::to_string).collect::<Vec<_>>();
        let edits = read(&before, form.iter().copied()).map_err(told)?;
        let after = folder.loader(flags).with_edits(&before, edits).unwrap();
        let difference = difference(&before, &after);
        let lines = difference.iter().map(|c| format!("{} {} {}", c.key.name, c.before, c.after));
        Ok((after, lines.collect()))
    }

    #[track_caller]
    fn refused(tuning: &str, form: &[(&str, &str)], expected: &[&str]) {
        assert_eq!(changed(&folder(tuning), &[], form).unwrap_err(), expected);
    }

    #[test]
    fn what_is_changed_is_in_force_and_comes_from_the_panel() {
        let form = [
            ("min_difficulty", "1024.123456789012"),
            ("status_tagline", " Ours "),
            ("fiat_currency", "EUR"),
            ("mempool_address_url", "https://mempool.example/address"),
            ("vardiff_enabled", "false"),
            ("peer_cleanup_min_peers", ""),
            ("share_allow_version_mask_mismatch", "on"),
        ];
        let (config, lines) = changed(&folder(""), &[], &form).unwrap();
        assert_eq!(config.settings.difficulty.min, 1024.123456789012);
        assert_eq!((&*config.shown.tagline, &*config.fiat_currency), ("Ours", "eur"));
        assert_eq!(config.entry(keys::named("difficulty.min_difficulty")).origin, Origin::Panel);
        assert!(!config.settings.vardiff.enabled);
        assert!(config.settings.shares.allow_out_of_mask_version_bits);
        assert_eq!(lines.len(), 6, "{lines:?}");
        assert!(lines.contains(&"min_difficulty 256.0 1024.123456789012".to_owned()), "{lines:?}");
    }

    #[test]
    fn each_field_changes_its_setting() {
        let folder = folder("");
        let before = folder.load(&[]).unwrap();
        for field in fields() {
            let text = match &field.key.default {
                Value::Bool(on) => (!on).to_string(),
                Value::Integer(number) => (number + 1).to_string(),
                // The limits of difficulties, which must fit the others.
                Value::Float(0.0) => 500.5.to_string(),
                Value::Float(number) => (number + 0.5).to_string(),
                _ if field.name == "fiat_currency" => "chf".to_owned(),
                _ => "https://elsewhere.example/".to_owned(),
            };
            // Off, or not so low.
            let text = if field.name == "stratum_messages_per_minute" { "10" } else { &text };
            let edits = read(&before, [(field.name, text)]).unwrap();
            let after = folder.loader(&[]).with_edits(&before, edits).unwrap();
            let entry = after.entry(field.key);
            assert_eq!((Field::text(&entry.value), entry.origin), (text.to_owned(), Origin::Panel));
            assert_eq!(difference(&before, &after).len(), 1, "{}", field.name);
        }
    }

    #[test]
    fn what_is_so_already_is_no_change_and_going_back_is_none_either() {
        // Some of it is more than the form would take.
        let tuning = "[difficulty]\nmin_difficulty = 0.1\ntarget_shares_per_min = 200\n\
                      [rate_limits]\nmax_conns = 3\n";
        let folder = folder(tuning);
        let before = folder.load(&[]).unwrap();
        // The whole form, as it stands there.
        let texts: Vec<(&str, String)> = (fields().iter().chain(protected()))
            .map(|field| (field.name, Field::text(&before.wanted(field.key).value)))
            .collect();
        let form: Vec<_> = texts.iter().map(|(name, text)| (*name, text.as_str())).collect();
        assert!(read(&before, form).unwrap().is_empty());
        let edits = read(&before, [("min_difficulty", "2")]).unwrap();
        let after = folder.loader(&[]).with_edits(&before, edits).unwrap();
        assert!(read(&after, [("min_difficulty", "0.1")]).unwrap().is_empty());
        assert!(!read(&after, [("min_difficulty", "2")]).unwrap().is_empty(), "it is kept");
    }

    #[test]
    fn a_flag_holds_what_the_panel_changes_and_is_no_change_itself() {
        let folder = folder("");
        let flags = ["-max-conns", "7"];
        let (config, _) = changed(&folder, &flags, &[("max_conns", "100")]).unwrap();
        assert_eq!(config.settings.connections_max, 7);
        assert_eq!(config.wanted(keys::named("rate_limits.max_conns")).value, Value::Integer(100));
        let before = folder.load(&flags).unwrap();
        let edits = read(&before, [("max_conns", "100")]).unwrap();
        let after = folder.loader(&flags).with_edits(&before, edits).unwrap();
        assert_eq!(difference(&before, &after)[0].held_by.as_deref(), Some("-max-conns"));
        assert!(read(&before, [("max_conns", "7")]).unwrap().is_empty());
    }

    #[test]
    fn everything_that_is_wrong_is_said_with_its_field() {
        let form = [
            ("min_difficulty", "-1"),
            ("target_shares_per_min", "121"),
            ("max_conns", "9"),
            ("job_entropy", "x"),
            ("fiat_currency", "dollar"),
            ("github_url", "javascript:alert(1)"),
            ("status_tagline", "a\nb"),
            ("vardiff_enabled", "maybe"),
            ("min_dificulty", "3"),
        ];
        let expected = [
            "min_difficulty is \"-1\", allowed is 0 or more",
            "target_shares_per_min is \"121\", allowed is 0.1 to 120",
            "max_conns is \"9\", allowed is 0 (off), or 10 to 1000000",
            "job_entropy is \"x\", allowed is a whole number",
            "fiat_currency is \"dollar\", allowed is three or four letters, such as usd",
            "github_url is \"javascript:alert(1)\", allowed is a URL of http or https, or nothing",
            "status_tagline is \"a\\nb\", allowed is one line of up to 256 characters",
            "vardiff_enabled is \"maybe\", allowed is true or false",
            "min_dificulty is no setting that can be changed here",
        ];
        refused("", &form, &expected);
        for number in ["NaN", "inf", "1e999", "0x10"] {
            changed(&folder(""), &[], &[("hashrate_ema_tau_seconds", number)]).unwrap_err();
        }
    }

    #[test]
    fn what_switches_a_limit_off_is_a_change() {
        let folder = folder("");
        let before = folder.load(&[]).unwrap();
        // 0 reads the same when it comes from the file.
        let off = [("ban_invalid_submissions_after", "0"), ("reconnect_ban_threshold", "0")];
        assert_eq!(read(&before, off).unwrap().iter().count(), 2);
    }

    #[test]
    fn limits_that_contradict_each_other_are_refused_by_whichever_field() {
        let told = "min_difficulty is 10, allowed is at most max_difficulty, which is 5";
        refused("", &[("min_difficulty", "10"), ("max_difficulty", "5")], &[told]);
        let tuning = "[difficulty]\nmin_difficulty = 10\ndefault_difficulty = 10\n";
        let told_default = "default_difficulty is 10, allowed is 0, or 10 to 5";
        refused(tuning, &[("max_difficulty", "5")], &[told, told_default]);
        let told = "default_difficulty is 1, allowed is 0, or 10 or more";
        refused(tuning, &[("default_difficulty", "1")], &[told]);
        let told =
            "template_extranonce2_size is 2, allowed is at least extranonce2_size, which is 4";
        refused("", &[("template_extranonce2_size", "2")], &[told]);
        // What is so already keeps nobody from changing something else.
        let tuning = "[difficulty]\nmin_difficulty = 10\nmax_difficulty = 5\n";
        changed(&folder(tuning), &[], &[("job_entropy", "3")]).unwrap();
    }

    #[test]
    fn protected_settings_are_refused_unless_they_stay_as_they_are() {
        let form = [
            ("payout_address", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"),
            ("pool_fee_percent", "2.00"),
            ("pool_listen", "3333"),
            ("status_brand_name", ""),
        ];
        assert!(changed(&folder(""), &[], &form).unwrap().1.is_empty());
        let form = [
            ("payout_address", "bc1qother"),
            ("pool_fee_percent", "3"),
            ("pool_listen", "3334"),
            ("status_brand_name", "Theirs"),
            ("min_difficulty", "1"),
        ];
        let refused = changed(&folder(""), &[], &form).unwrap_err();
        assert_eq!(refused.len(), 4, "{refused:?}");
        let told = "pool_listen is protected: change it in config.toml and restart or reload";
        assert_eq!(refused[2], told);
    }

    #[test]
    fn a_blank_text_is_what_it_will_be_when_it_is_read_from_a_file() {
        let folder = Folder::with(&[(
            "config.toml",
            &format!("[branding]\nstatus_tagline = \"Ours\"\n{PAYOUT}"),
        )]);
        let (config, _) = changed(&folder, &[], &[("status_tagline", "")]).unwrap();
        assert_eq!(config.shown.tagline, "Solo Mining Pool");
        let (config, _) = changed(&folder, &[], &[("mempool_address_url", " ")]).unwrap();
        assert!(config.edits().is_empty());
    }

    #[test]
    fn without_automatic_limits_the_numbers_beside_the_switch_count() {
        let folder = folder("");
        let form = [("auto_accept_rate_limits", "false"), ("max_accept_burst", "1000")];
        let (config, lines) = changed(&folder, &[], &form).unwrap();
        assert_eq!(config.accept.numbers().burst, 1000);
        assert_eq!(lines.len(), 2, "{lines:?}");
        let (config, _) = changed(&folder, &[], &form[1..]).unwrap();
        assert_eq!(config.accept.numbers().burst, 16_666);
    }
}
