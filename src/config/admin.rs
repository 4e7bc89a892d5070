//! `admin.toml`: who may change settings on the pages. Made at the first start, kept in order at
//! each, and read anew for each request of the panel (`config.md` §10, `web.md` §6.1). Everything in
//! it that is not the pool's own stays as it is, comments included.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use toml_edit::DocumentMut;
use tracing::{info, warn};

use super::ConfigError;
use super::keys::{Admin, Entry, File, Section};
use super::problem::{Paths, Problem, Problems};
use super::reader::{Reader, Source};
use crate::entropy;
use crate::password::{Kept, argon2id, sha256};
use crate::whole_file::replace;

/// Only the owner may read it, now and after every change.
const MODE: u32 = 0o600;
/// Bytes of a password that is made here.
const PASSWORD_ENTROPY_BYTES: usize = 20;
/// Shorter ones are replaced.
const PASSWORD_CHARACTERS_MIN: usize = 16;

const HEADER: &str = "\
# The admin panel at /admin. It is off until enabled is true.
# Choose a username and a password of 16 characters or more first. The password is hashed at the next
# start, and taken out of this file after the first login. To change it later, write a new one here
# and start the pool again. Keep this file to yourself.
";

/// Who may use the panel, as the file says it now.
#[derive(Clone, Debug)]
pub struct Access {
    pub is_enabled: bool,
    pub username: String,
    pub password: Kept,
    /// How long a session lasts while nothing is done.
    pub idle: Duration,
    /// Changes whenever anything does that somebody signs in with.
    pub fingerprint: [u8; 32],
}

/// Reads the file. One that is not there lets nobody in.
pub fn read(paths: &Paths) -> Result<Access, ConfigError> {
    let (_, admin, _) = load(paths)?;
    let [argon2id, sha256, plain] = secrets(&admin);
    let mut fingerprint = Sha256::new();
    for text in [&admin.username.value, argon2id, sha256, plain] {
        // Lengths, so that no two of them can be cut differently.
        fingerprint.update((text.len() as u64).to_le_bytes());
        fingerprint.update(text);
    }
    Ok(Access {
        is_enabled: admin.enabled.value,
        username: admin.username.value.trim().to_owned(),
        password: Kept::of(argon2id, sha256, plain),
        idle: Duration::from_secs(admin.session_expiration_seconds.value.max(1).cast_unsigned()),
        fingerprint: fingerprint.finalize().into(),
    })
}

/// Makes the file when there is none, and sees to it that password and hashes belong together. What
/// cannot be used of it is an error, and said as for the other files.
pub fn keep_in_order(paths: &Paths) -> Result<(), ConfigError> {
    let path = paths.of(File::Admin);
    let (source, found, warnings) = load(paths)?;
    for problem in warnings {
        warn!(component = "admin", "{problem}");
    }
    let mut kept = found.clone();
    put_in_order(&mut kept);
    let shown = path.display();
    if !source.exists() {
        info!(component = "admin", path = %shown, "admin.toml made, the panel is off");
        return write(&path, &render(&kept));
    }
    if kept.password.value != found.password.value {
        warn!(component = "admin", path = %shown, "the password is new: it was missing or too short");
    }
    tighten(&path)?;
    change(&path, source.text(), &found, &kept)
}

/// After somebody has signed in with this password: it is kept as a hash of the best kind, and
/// nowhere as it is. A password that was written into the file since the start and is another one
/// stays there for the next start. Whether anything was changed comes back.
pub fn settle(paths: &Paths, password: &str) -> Result<bool, ConfigError> {
    let (source, found, _) = load(paths)?;
    let mut kept = found.clone();
    if kept.password_argon2id.value.is_empty() {
        kept.password_argon2id.value = argon2id(password);
    }
    kept.password_sha256.value = sha256(password);
    if kept.password.value.trim() == password {
        kept.password.value.clear();
    }
    let is_changed = secrets(&kept) != secrets(&found);
    if is_changed {
        change(&paths.of(File::Admin), source.text(), &found, &kept)?;
    }
    Ok(is_changed)
}

fn load(paths: &Paths) -> Result<(Source, Admin, Vec<Problem>), ConfigError> {
    let mut problems = Problems::new(paths.clone());
    let source = Source::read(File::Admin, &mut problems);
    let mut reader = Reader::parse(&source, &mut problems);
    let admin: Admin = reader.section(&mut problems);
    if problems.has_errors() {
        return Err(ConfigError::Problems(problems.into_vec()));
    }
    Ok((source, admin, problems.into_vec()))
}

/// Trimmed, in the order in which they count.
fn secrets(admin: &Admin) -> [&str; 3] {
    let Admin { password_argon2id, password_sha256, password, .. } = admin;
    [password_argon2id, password_sha256, password].map(|setting| setting.value.trim())
}

/// The state the file must be in before anybody logs in (`config.md` §10.2).
fn put_in_order(admin: &mut Admin) {
    let Admin { password, password_sha256, password_argon2id, .. } = admin;
    let (plain, hashed) = (&mut password.value, &mut password_sha256.value);
    hashed.make_ascii_lowercase();
    let has_hash = !hashed.is_empty() || !password_argon2id.value.is_empty();
    if plain.trim().is_empty() && has_hash {
        return;
    }
    if plain.trim().len() < PASSWORD_CHARACTERS_MIN {
        *plain = new_password();
    }
    let right = sha256(plain.trim());
    // The other one takes its time: it is made when the password is another than at the last start.
    if *hashed != right || password_argon2id.value.is_empty() {
        password_argon2id.value = argon2id(plain.trim());
        *hashed = right;
    }
}

/// Writes what differs, and nothing when nothing does.
fn change(path: &Path, text: &str, found: &Admin, kept: &Admin) -> Result<(), ConfigError> {
    let (before, after) = (found.entries(), kept.entries());
    let changed: Vec<&Entry> = after
        .iter()
        .zip(&before)
        .filter(|(new, old)| new.value != old.value)
        .map(|it| it.0)
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    let mut document: DocumentMut = text.parse().expect("it has been read as TOML already");
    for Entry { key, value, .. } in changed {
        let value = value.to_string().parse::<toml_edit::Value>().expect("a value of our own");
        // Set in place, what is written beside it stays.
        match document.get_mut(key.name).and_then(toml_edit::Item::as_value_mut) {
            Some(place) => {
                let decor = place.decor().clone();
                *place = value;
                *place.decor_mut() = decor;
            }
            None => {
                document.insert(key.name, toml_edit::Item::Value(value));
            }
        }
    }
    write(path, &document.to_string())
}

fn write(path: &Path, text: &str) -> Result<(), ConfigError> {
    replace(path, text.as_bytes(), MODE)
        .map_err(|source| ConfigError::Unwritable { path: path.to_owned(), source })
}

fn tighten(path: &Path) -> Result<(), ConfigError> {
    let unwritable = |source| ConfigError::Unwritable { path: path.to_owned(), source };
    let mode = fs::metadata(path).map_err(unwritable)?.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(MODE)).map_err(unwritable)?;
        let path = path.display();
        warn!(component = "admin", %path, "others could read it: mode is 0600 now");
    }
    Ok(())
}

fn render(admin: &Admin) -> String {
    let lines: String = admin
        .entries()
        .iter()
        .map(|Entry { key, value, .. }| format!("{} = {value}\n", key.name))
        .collect();
    format!("{HEADER}\n{lines}")
}

/// 27 characters that nobody guesses.
fn new_password() -> String {
    URL_SAFE_NO_PAD.encode(entropy::bytes::<PASSWORD_ENTROPY_BYTES>())
}

#[cfg(test)]
mod tests {
    use super::*;

    use toml::Table;

    struct Bench {
        folder: tempfile::TempDir,
        paths: Paths,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let paths = Paths { folder: folder.path().to_owned(), secrets: None };
            Self { folder, paths }
        }

        fn with(text: &str) -> Self {
            let bench = Self::new();
            fs::write(bench.paths.of(File::Admin), text).unwrap();
            bench
        }

        fn text(&self) -> String {
            fs::read_to_string(self.paths.of(File::Admin)).unwrap()
        }

        fn value(&self, key: &str) -> String {
            let table: Table = self.text().parse().unwrap();
            table[key].as_str().unwrap().to_owned()
        }

        fn mode(&self) -> u32 {
            fs::metadata(self.paths.of(File::Admin)).unwrap().permissions().mode() & 0o777
        }
    }

    /// The file after a start that found `text` in it.
    fn after(text: &str) -> Bench {
        let bench = Bench::with(text);
        keep_in_order(&bench.paths).unwrap();
        bench
    }

    const PASSWORD: &str = "0123456789abcdef";

    #[test]
    fn one_is_made_that_nobody_can_guess_or_read() {
        let bench = Bench::new();
        keep_in_order(&bench.paths).unwrap();
        let password = bench.value("password");
        assert_eq!(password.len(), 27);
        assert_eq!(bench.value("password_sha256"), sha256(&password));
        assert!(read(&bench.paths).unwrap().password.is(&password));
        assert!(!read(&bench.paths).unwrap().is_enabled);
        assert_eq!(bench.mode(), 0o600);
        let text = bench.text();
        keep_in_order(&bench.paths).unwrap();
        assert_eq!(bench.text(), text, "and then kept");
        assert_eq!(fs::read_dir(bench.folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_new_password_gets_its_hashes_and_the_rest_stays_as_it_is() {
        let stale = argon2id("another password");
        let bench = after(&format!(
            "# mine\nenabled = true # yes\n\npassword = \"{PASSWORD}\"\nmy_own = [1, 2]\n\
             password_sha256 = \"stale\" # old\npassword_argon2id = \"{stale}\"\n"
        ));
        assert_eq!(bench.value("password"), PASSWORD);
        assert_eq!(bench.value("password_sha256"), sha256(PASSWORD));
        assert!(read(&bench.paths).unwrap().password.is(PASSWORD));
        for kept in ["# mine\nenabled = true # yes\n\n", "my_own = [1, 2]\n", "\" # old\n"] {
            assert!(bench.text().contains(kept), "{}", bench.text());
        }
        assert_eq!(bench.mode(), 0o600);
    }

    #[test]
    fn a_short_password_is_replaced_and_none_is_fine_with_a_hash() {
        assert_eq!(after("password = \"short\"\n").value("password").len(), 27);
        assert_eq!(after("").value("password").len(), 27);
        let unchanged = "password_sha256 = \"abc\"\n";
        assert_eq!(after(unchanged).text(), unchanged);
        let bench = after("password = \"\"\npassword_sha256 = \"ABC\" # kept\n");
        assert_eq!(bench.text(), "password = \"\"\npassword_sha256 = \"abc\" # kept\n");
        let bench = after(unchanged);
        assert_eq!(bench.mode(), 0o600, "though nothing was to be written");
    }

    #[test]
    fn after_a_login_the_password_is_there_as_hashes_only() {
        let bench = Bench::with(&format!(
            "# mine\nusername = \" me \"\npassword = \"{PASSWORD}\" # gone soon\n\
             password_sha256 = \"{}\"\nmy_own = 1\n",
            sha256(PASSWORD)
        ));
        let before = read(&bench.paths).unwrap();
        assert_eq!((&*before.username, before.idle), ("me", Duration::from_secs(900)));
        assert!(settle(&bench.paths, PASSWORD).unwrap());
        assert_eq!(bench.value("password"), "");
        assert!(bench.value("password_argon2id").starts_with("$argon2id$"));
        assert!(bench.text().contains("# mine") && bench.text().contains("my_own = 1"));
        assert_eq!(bench.mode(), 0o600);
        let after = read(&bench.paths).unwrap();
        assert!(matches!(after.password, Kept::Argon2id(_)) && after.password.is(PASSWORD));
        assert_ne!(before.fingerprint, after.fingerprint);
        let text = bench.text();
        assert!(!settle(&bench.paths, PASSWORD).unwrap());
        assert_eq!(bench.text(), text);
    }

    #[test]
    fn a_password_that_waits_for_the_next_start_is_not_lost() {
        let next = "the next one's 16+";
        let bench = Bench::with(&format!(
            "password = \"{next}\"\npassword_sha256 = \"{}\"\n",
            sha256(PASSWORD)
        ));
        settle(&bench.paths, PASSWORD).unwrap();
        assert_eq!(bench.value("password"), next);
        keep_in_order(&bench.paths).unwrap();
        let access = read(&bench.paths).unwrap();
        assert!(access.password.is(next) && !access.password.is(PASSWORD));
    }

    #[test]
    fn sessions_of_no_sensible_length_get_the_usual_one() {
        for seconds in ["0", "-5"] {
            let bench = Bench::with(&format!("session_expiration_seconds = {seconds}\n"));
            assert_eq!(read(&bench.paths).unwrap().idle, Duration::from_secs(900));
        }
    }

    #[test]
    fn what_cannot_be_read_is_said_without_the_password() {
        for (text, words) in [
            ("a = ", "admin.toml:1: is not valid TOML"),
            ("enabled = 1", "enabled is 1, allowed is true or false"),
            ("password = 12345678", "password is not shown, allowed is a text in quotes"),
        ] {
            let bench = Bench::with(text);
            for error in [keep_in_order(&bench.paths).unwrap_err(), read(&bench.paths).unwrap_err()]
            {
                assert!(error.to_string().contains(words), "{error}");
            }
        }
    }
}
