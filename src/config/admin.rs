//! `admin.toml`: who may change settings on the pages. Made at the first start, and kept in order
//! at each (`config.md` §10).

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use toml::Table;
use tracing::{info, warn};

use super::ConfigError;
use super::keys::File;
use super::problem::{Paths, ProblemKind, Problems};
use super::rewrite::{replace, unwritable};
use crate::entropy;

/// Bytes of a password that is made here.
const PASSWORD_ENTROPY_BYTES: usize = 20;
/// Shorter ones are replaced.
const PASSWORD_CHARACTERS_MIN: usize = 16;
const SESSION_SECONDS_DEFAULT: i64 = 900;

const HEADER: &str = "\
# The admin panel at /admin. It is off until enabled is true.
# Choose a username and a password of 16 characters or more first. The password is hashed at the next
# start, and taken out of this file after the first login. Keep this file to yourself.
";

/// What stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Admin {
    enabled: bool,
    username: String,
    password: String,
    /// Lower-case hex of SHA-256 of the password.
    password_sha256: String,
    session_expiration_seconds: i64,
}

/// Makes the file when there is none, and sees to it that password and hash belong together.
pub fn keep_in_order(paths: &Paths) -> Result<(), ConfigError> {
    let path = paths.of(File::Admin);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            write(&path, &Admin::new())?;
            info!(component = "admin", path = %path.display(), "admin.toml made, the panel is off");
            return Ok(());
        }
        Err(error) => return Err(problem(paths, 0, format!("cannot be read: {error}"))),
    };
    let before = Admin::parse(&text, paths)?;
    let after = before.clone().in_order();
    if after == before {
        return Ok(());
    }
    if after.password != before.password {
        let path = path.display();
        warn!(component = "admin", %path, "the password is new: it was missing or too short");
    }
    write(&path, &after)
}

fn problem(paths: &Paths, line: usize, words: String) -> ConfigError {
    let mut problems = Problems::new(paths.clone());
    problems.note(ProblemKind::Error, File::Admin, line, words);
    ConfigError::Problems(problems.into_vec())
}

/// Only the owner may read it, now and after every change.
fn write(path: &Path, admin: &Admin) -> Result<(), ConfigError> {
    replace(path, admin.render().as_bytes(), 0o600).map_err(|source| unwritable(path, source))
}

impl Admin {
    fn new() -> Self {
        let password = new_password();
        Self {
            enabled: false,
            username: "admin".to_owned(),
            password_sha256: hash(&password),
            password,
            session_expiration_seconds: SESSION_SECONDS_DEFAULT,
        }
    }

    fn parse(text: &str, paths: &Paths) -> Result<Self, ConfigError> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            let before = error.span().map_or("", |span| &text[..span.start.min(text.len())]);
            let line = 1 + before.matches('\n').count();
            problem(paths, line, format!("is not valid TOML: {}", error.message()))
        })?;
        let refuse = |key: &str, found: &toml::Value, allowed: &str| {
            let found =
                if key.starts_with("password") { "not shown".into() } else { found.to_string() };
            problem(paths, 0, format!("{key} is {found}, allowed is {allowed}"))
        };
        let text = |key: &str| match table.get(key) {
            None => Ok(String::new()),
            Some(toml::Value::String(text)) => Ok(text.trim().to_owned()),
            Some(found) => Err(refuse(key, found, "a text in quotes")),
        };
        Ok(Self {
            enabled: match table.get("enabled") {
                None => false,
                Some(toml::Value::Boolean(enabled)) => *enabled,
                Some(found) => return Err(refuse("enabled", found, "true or false")),
            },
            username: text("username")?,
            password: text("password")?,
            password_sha256: text("password_sha256")?.to_ascii_lowercase(),
            session_expiration_seconds: match table.get("session_expiration_seconds") {
                None => SESSION_SECONDS_DEFAULT,
                Some(toml::Value::Integer(seconds)) => *seconds,
                Some(found) => {
                    return Err(refuse("session_expiration_seconds", found, "a whole number"));
                }
            },
        })
    }

    /// The state the file must be in before anybody logs in (`config.md` §10.2).
    fn in_order(mut self) -> Self {
        let has_hash = !self.password_sha256.is_empty();
        if self.password.is_empty() && has_hash {
            return self;
        }
        if self.password.len() < PASSWORD_CHARACTERS_MIN {
            self.password = new_password();
        }
        self.password_sha256 = hash(&self.password);
        self
    }

    fn render(&self) -> String {
        let username = if self.username.is_empty() { "admin" } else { &self.username };
        let seconds = match self.session_expiration_seconds {
            ..=0 => SESSION_SECONDS_DEFAULT,
            seconds => seconds,
        };
        let mut table = Table::new();
        table.insert("enabled".into(), self.enabled.into());
        table.insert("username".into(), username.into());
        table.insert("password".into(), self.password.clone().into());
        table.insert("password_sha256".into(), self.password_sha256.clone().into());
        table.insert("session_expiration_seconds".into(), seconds.into());
        format!("{HEADER}\n{table}")
    }
}

/// 27 characters that nobody guesses.
fn new_password() -> String {
    URL_SAFE_NO_PAD.encode(entropy::bytes::<PASSWORD_ENTROPY_BYTES>())
}

fn hash(password: &str) -> String {
    const_hex::encode(Sha256::digest(password.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// The file after a start that found `text` in it.
    fn after(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths { folder: folder.path().to_owned(), secrets: None };
        fs::write(paths.of(File::Admin), text).unwrap();
        keep_in_order(&paths).unwrap();
        fs::read_to_string(paths.of(File::Admin)).unwrap()
    }

    fn value(text: &str, key: &str) -> String {
        let table: Table = text.parse().unwrap();
        table[key].as_str().unwrap().to_owned()
    }

    #[test]
    fn one_is_made_that_nobody_can_guess_or_read() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths { folder: folder.path().to_owned(), secrets: None };
        keep_in_order(&paths).unwrap();
        let text = fs::read_to_string(paths.of(File::Admin)).unwrap();
        let password = value(&text, "password");
        assert_eq!(password.len(), 27);
        assert_eq!(value(&text, "password_sha256"), hash(&password));
        let mode = fs::metadata(paths.of(File::Admin)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        keep_in_order(&paths).unwrap();
        assert_eq!(fs::read_to_string(paths.of(File::Admin)).unwrap(), text, "and then kept");
    }

    #[test]
    fn a_new_password_gets_its_hash() {
        let text =
            after("password = \"0123456789abcdef\"\npassword_sha256 = \"stale\"\nenabled = true\n");
        assert_eq!(value(&text, "password"), "0123456789abcdef");
        assert_eq!(value(&text, "password_sha256"), hash("0123456789abcdef"));
        assert!(text.contains("enabled = true"));
    }

    #[test]
    fn a_short_password_is_replaced_and_none_is_fine_with_a_hash() {
        assert_eq!(value(&after("password = \"short\"\n"), "password").len(), 27);
        assert_eq!(value(&after(""), "password").len(), 27);
        let logged_in = "password = \"\"\npassword_sha256 = \"ABC\"\n";
        let unchanged = "password_sha256 = \"abc\"\n";
        assert_eq!(after(unchanged), unchanged);
        assert_eq!(value(&after(logged_in), "password"), "");
    }

    #[test]
    fn what_cannot_be_read_is_said_without_the_password() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths { folder: folder.path().to_owned(), secrets: None };
        for (text, words) in [
            ("a = ", "admin.toml:1: is not valid TOML"),
            ("enabled = 1", "enabled is 1, allowed is true or false"),
            ("password = 12345678", "password is not shown, allowed is a text in quotes"),
        ] {
            fs::write(paths.of(File::Admin), text).unwrap();
            let error = keep_in_order(&paths).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
