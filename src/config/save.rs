//! "Save to disk": what has been changed in the admin panel, and nothing else, goes into the files.
//! A flag never does (`web.md` §6.6).

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, TomlError};

use super::keys::{self, File, Key, PolicyHashrate, Section, Value};
use super::rewrite::{item, table};
use super::{Config, ConfigError, Loader};
use crate::whole_file::{self, NotReplaced, Replacement};

/// Files that are written; the others never are.
const WRITTEN: [File; 4] = [File::Config, File::Services, File::Policy, File::Tuning];
/// Of a file that is made.
const MODE: u32 = 0o644;
/// Of one that holds a password.
const SECRET_MODE: u32 = 0o600;

/// What a save has done.
#[derive(Debug)]
pub struct Saved {
    /// Those that have been written.
    pub files: Vec<PathBuf>,
    /// What the pool reads now.
    pub config: Config,
}

/// Why nothing was saved. The files are as they were, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    #[error("nothing is saved: cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("nothing is saved: {} is not valid TOML: {}", path.display(), error.message())]
    NotToml { path: PathBuf, error: Box<TomlError> },
    /// Somebody has written something into the files that cannot be used.
    #[error("nothing is saved: with the changes the files could not be read again. {0}")]
    Refused(ConfigError),
    #[error(
        "nothing is saved: {} would not be what was changed: something else in the files has the last word",
        .0.path()
    )]
    Overruled(&'static Key),
    #[error("nothing is saved: cannot write {}: {source}", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    #[error(
        "cannot write {}: {source}; {} are new all the same: what they were is in the .bak files",
        path.display(), shown(left)
    )]
    HalfDone { path: PathBuf, source: io::Error, left: Vec<PathBuf> },
}

fn shown(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

impl From<NotReplaced> for SaveError {
    fn from(NotReplaced { path, source, left }: NotReplaced) -> Self {
        match left.is_empty() {
            true => Self::Unwritable { path, source },
            false => Self::HalfDone { path, source, left },
        }
    }
}

/// Writes what has been changed, each file whole, and all of them or none. What else stands in a
/// file stays as it is, whoever wrote it and whenever; the file as it was is kept beside it.
///
/// To be called by one thread at a time.
pub fn save(loader: &Loader, config: &Config) -> Result<Saved, SaveError> {
    let mut documents = Vec::new();
    for file in WRITTEN {
        documents.push(Document::read(file, &config.view.paths.of(file))?);
    }
    // In the order in which the files are described, whatever was changed first.
    let edits = keys::all().filter_map(|key| Some((key, config.edits().get(key)?)));
    for (key, value) in edits {
        place(&mut documents, key).set(key, value);
    }
    documents.retain(|document| document.is_changed);
    let texts: Vec<_> = documents.iter().map(|d| (d.file, d.document.to_string())).collect();
    let after = loader.load_texts(&texts).map_err(SaveError::Refused)?;
    let overruled = config.edits().iter().find(|(key, value)| after.written(key).value != **value);
    if let Some((key, _)) = overruled {
        return Err(SaveError::Overruled(key));
    }
    let backups = documents.iter().filter_map(Document::backup);
    let files = documents.iter().map(Document::replacement);
    whole_file::replace_all(&backups.chain(files).collect::<Vec<_>>())?;
    let files = documents.into_iter().map(|document| document.path).collect();
    Ok(Saved { files, config: after })
}

/// A file that is being changed.
struct Document {
    file: File,
    path: PathBuf,
    /// None when it is not there.
    before: Option<String>,
    mode: u32,
    document: DocumentMut,
    is_changed: bool,
}

impl Document {
    fn read(file: File, path: &Path) -> Result<Self, SaveError> {
        // What a link leads to is replaced, not the link.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let unreadable = |source| SaveError::Unreadable { path: path.clone(), source };
        let before = match fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(unreadable(error)),
        };
        let mode = match before {
            Some(_) => fs::metadata(&path).map_err(unreadable)?.mode() & 0o777,
            None => MODE,
        };
        let document = match before.as_deref().unwrap_or_default().parse::<DocumentMut>() {
            Ok(document) => document,
            Err(error) => return Err(SaveError::NotToml { path, error: Box::new(error) }),
        };
        Ok(Self { file, path, before, mode, document, is_changed: false })
    }

    /// Whether the key stands here, by any of its names.
    fn has(&self, key: &Key) -> bool {
        let table = self.document.get(key.table).and_then(|item| item.as_table_like());
        table.is_some_and(|table| names(key).any(|name| table.contains_key(name)))
    }

    fn set(&mut self, key: &Key, value: &Value) {
        self.is_changed = true;
        let table = table(&mut self.document, key.table);
        let name = names(key).find(|name| table.contains_key(name)).unwrap_or(key.name);
        let mut item = item(value);
        // The comment behind the value stays, and so do the spaces around it.
        if let (Some(new), Some(old)) =
            (item.as_value_mut(), table.get(name).and_then(|item| item.as_value()))
        {
            *new.decor_mut() = old.decor().clone();
        }
        match table.get_mut(name) {
            // So does the comment above the key.
            Some(old) => *old = item,
            None => {
                table.insert(name, item);
            }
        }
    }

    fn mode(&self) -> u32 {
        let stratum = self.document.get("stratum").and_then(|item| item.as_table_like());
        let password = stratum.and_then(|table| table.get("stratum_password"));
        match password.and_then(|item| item.as_str()) {
            Some(password) if !password.trim().is_empty() => SECRET_MODE,
            _ => self.mode,
        }
    }

    fn replacement(&self) -> Replacement {
        let bytes = self.document.to_string().into_bytes();
        Replacement { path: self.path.clone(), bytes, mode: self.mode() }
    }

    fn backup(&self) -> Option<Replacement> {
        let mut path = self.path.as_os_str().to_owned();
        path.push(".bak");
        let bytes = self.before.clone()?.into_bytes();
        Some(Replacement { path: path.into(), bytes, mode: self.mode() })
    }
}

/// The newest name first.
fn names(key: &Key) -> impl Iterator<Item = &'static str> {
    std::iter::once(key.name).chain(key.aliases.iter().copied())
}

/// The file that a key belongs into: for one that may stand in two, where it stands.
fn place<'a>(documents: &'a mut [Document], key: &Key) -> &'a mut Document {
    let tuning = documents.iter().position(|d| d.file == File::Tuning && d.has(key));
    let own = documents.iter().position(|d| d.file == key.file);
    let may_stand_in_two = (key.file, key.table) == (File::Policy, PolicyHashrate::TABLE);
    let index = if may_stand_in_two { tuning.or(own) } else { own };
    &mut documents[index.expect("what can be changed is in a file that is written")]
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown};

    use super::super::tests::{Folder, PAYOUT};
    use super::super::{change, fields};
    use super::*;

    /// The pool's configuration after a form.
    fn changed(folder: &Folder, flags: &[&str], form: &[(&str, &str)]) -> Config {
        let before = folder.load(flags).unwrap();
        let edits = change::read(&before, form.iter().copied()).unwrap();
        folder.loader(flags).with_edits(&before, edits).unwrap()
    }

    fn names(folder: &Folder) -> Vec<String> {
        let entries = fs::read_dir(folder.0.path().join("config")).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string();
        let mut names: Vec<_> = entries.map(|entry| name(entry).unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_was_changed_is_in_the_files_and_nothing_else_of_them_has() {
        let config_toml = format!(
            "# mine\n{PAYOUT}\n[branding]\n# above\nstatus_tagline   =  \"Old\" # behind\nodd = 1\n"
        );
        let policy = "[version]\nshare_allow_version_mask_mismatch = false\n";
        let folder = Folder::with(&[
            ("config.toml", &config_toml),
            ("policy.toml", policy),
            ("tuning.toml", "[hashrate]\nshare_ntime_max_forward_seconds = 5 # here\n"),
        ]);
        let flags = ["-flood", "-max-conns", "7", "-listen", ":1"];
        let form = [
            ("status_tagline", "New \"one\""),
            ("min_difficulty", "0.30000000000000004"),
            ("max_conns", "100"),
            ("share_allow_out_of_mask_version_bits", "true"),
            ("share_ntime_max_forward_seconds", "6"),
            ("discord_url", "https://discord.example/x"),
            ("debug", "true"),
        ];
        let live = changed(&folder, &flags, &form);
        let saved = save(&folder.loader(&flags), &live).unwrap();
        assert_eq!(saved.files.len(), 4);
        let edited = config_toml.replace("\"Old\"", "'New \"one\"'");
        assert_eq!(folder.text("config.toml"), format!("{edited}\n[logging]\ndebug = true\n"));
        assert_eq!(folder.text("config.toml.bak"), config_toml);
        assert_eq!(folder.text("policy.toml"), policy.replace("false", "true"));
        assert_eq!(
            folder.text("tuning.toml"),
            "[hashrate]\nshare_ntime_max_forward_seconds = 6 # here\n\n[rate_limits]\n\
             max_conns = 100\n\n[difficulty]\nmin_difficulty = 0.30000000000000004\n"
        );
        let expected = "[discord]\ndiscord_url = \"https://discord.example/x\"\n";
        assert_eq!(folder.text("services.toml"), expected);
        // Read again, by a pool with the flags and by one without, it is what it was.
        let again = folder.load(&flags).unwrap();
        for (old, new) in live.entries.iter().zip(&again.entries) {
            assert_eq!(old.value, new.value, "{}", old.key.path());
        }
        let without = folder.load(&[]).unwrap();
        for (old, new) in live.wanted_entries().iter().zip(&without.entries) {
            assert_eq!(old.value, new.value, "{}", old.key.path());
        }
        assert!(saved.config.edits().is_empty());
        assert!(save(&folder.loader(&flags), &saved.config).unwrap().files.is_empty());
    }

    #[test]
    fn a_file_may_be_written_in_any_way_that_toml_has() {
        for tuning in [
            "difficulty.min_difficulty = 5\n",
            "difficulty = { min_difficulty = 5, max_difficulty = 100 }\nrate_limits = {}\n",
            "[difficulty]\r\nmin_difficulty=5\r\n\r\n[rate_limits] # none\r\n",
            "[\"difficulty\"]\n'min_difficulty' = 5.0\n[odd.table]\nx = [[1], {}]\n",
        ] {
            let folder = Folder::with(&[("config.toml", PAYOUT), ("tuning.toml", tuning)]);
            let form = [("min_difficulty", "6"), ("default_difficulty", "7"), ("max_conns", "100")];
            let live = changed(&folder, &[], &form);
            let saved = save(&folder.loader(&[]), &live).unwrap_or_else(|e| panic!("{tuning}{e}"));
            let difficulty = saved.config.settings.difficulty;
            assert_eq!((difficulty.min, difficulty.default), (6.0, 7.0), "{tuning}");
            assert_eq!(saved.config.settings.connections_max, 100);
        }
    }

    #[test]
    fn a_file_keeps_its_mode_and_one_with_a_password_is_its_owners_alone() {
        let password = "[stratum]\nstratum_password = \"hunter2\"\n";
        for (text, mode, expected) in
            [("", 0o664, 0o664), ("", 0o600, 0o600), (password, 0o644, 0o600)]
        {
            let folder = Folder::with(&[("config.toml", &format!("{PAYOUT}{text}"))]);
            let path = folder.0.path().join("config/config.toml");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let live = changed(&folder, &[], &[("status_tagline", "x")]);
            save(&folder.loader(&[]), &live).unwrap();
            for name in ["config.toml", "config.toml.bak"] {
                let path = folder.0.path().join("config").join(name);
                assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, expected, "{name}");
            }
        }
    }

    #[test]
    fn what_cannot_be_written_leaves_all_files_as_they_were() {
        let folder = Folder::with(&[("config.toml", PAYOUT), ("tuning.toml", "")]);
        let form = [("status_tagline", "x"), ("max_conns", "100"), ("job_entropy", "3")];
        let live = changed(&folder, &[], &form);
        // Something is in the way of the last of them.
        fs::create_dir(folder.0.path().join("config/tuning.toml.new")).unwrap();
        let before = names(&folder);
        let error = save(&folder.loader(&[]), &live).unwrap_err().to_string();
        assert!(error.starts_with("nothing is saved: cannot write "), "{error}");
        assert!(error.contains("tuning.toml: "), "{error}");
        assert_eq!((folder.text("config.toml"), names(&folder)), (PAYOUT.to_owned(), before));
    }

    #[test]
    fn a_folder_that_is_read_only_is_one_clear_error() {
        let folder = Folder::with(&[("config.toml", PAYOUT)]);
        let live = changed(&folder, &[], &[("status_tagline", "x")]);
        let path = folder.0.path().join("config");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o555)).unwrap();
        let saved = as_somebody_else(&folder, || save(&folder.loader(&[]), &live));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let error = saved.unwrap_err().to_string();
        assert!(error.contains("config.toml.bak: Permission denied"), "{error}");
        assert_eq!((folder.text("config.toml"), names(&folder).len()), (PAYOUT.to_owned(), 1));
    }

    /// To root nothing is read-only: for the files that this thread touches, root becomes `nobody`,
    /// who owns the folder. Everybody else stays who they are.
    fn as_somebody_else<T>(folder: &Folder, work: impl FnOnce() -> T) -> T {
        const NOBODY: u32 = 65534;
        if chown(folder.0.path(), Some(NOBODY), None).is_err() {
            return work();
        }
        // SAFETY: it sets a number of the calling thread and asks for nothing.
        let touch_files_as = |user| unsafe { libc::setfsuid(user) };
        let before = touch_files_as(NOBODY);
        let done = work();
        touch_files_as(before as u32);
        done
    }

    #[test]
    fn files_that_somebody_has_broken_meanwhile_are_not_written() {
        let folder = Folder::with(&[("config.toml", PAYOUT)]);
        let live = changed(&folder, &[], &[("status_tagline", "x"), ("job_entropy", "3")]);
        let write = |name, text| {
            fs::write(folder.0.path().join("config").join(name), text).unwrap();
        };
        write("policy.toml", "[timeouts\n");
        let error = save(&folder.loader(&[]), &live).unwrap_err().to_string();
        assert!(error.contains("policy.toml is not valid TOML"), "{error}");
        write("policy.toml", "[timeouts]\nconnection_timeout_seconds = 1\n");
        let error = save(&folder.loader(&[]), &live).unwrap_err().to_string();
        assert!(error.contains("connection_timeout_seconds is 1"), "{error}");
        assert_eq!(folder.text("config.toml"), PAYOUT);
        // What they have added and can be used stays.
        write("policy.toml", "[timeouts]\nconnection_timeout_seconds = 60\n");
        write("config.toml", &format!("# new\n{PAYOUT}"));
        let saved = save(&folder.loader(&[]), &live).unwrap();
        assert!(folder.text("config.toml").starts_with("# new\n"));
        assert_eq!(saved.config.settings.idle_timeout.as_secs(), 60);
    }

    #[test]
    fn what_is_not_the_panels_is_never_touched() {
        let others = ["secrets.toml", "version_bits.toml", "admin.toml", "miner_blacklist.json"];
        let mut files: Vec<(&str, &str)> = others.iter().map(|name| (*name, "")).collect();
        files.push(("config.toml", PAYOUT));
        let folder = Folder::with(&files);
        let form: Vec<_> = (fields::fields().iter())
            .filter(|field| matches!(field.key.default, Value::Bool(_)))
            .map(|field| {
                (field.name, if field.key.default == Value::Bool(true) { "0" } else { "1" })
            })
            .collect();
        let live = changed(&folder, &[], &form);
        save(&folder.loader(&[]), &live).unwrap();
        for name in others {
            assert_eq!(folder.text(name), "");
            assert!(!names(&folder).contains(&format!("{name}.bak")));
        }
    }
}
