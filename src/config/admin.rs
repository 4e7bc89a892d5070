//! `admin.toml`: who may change settings on the pages. Made at the first start, and kept in order
//! at each (`config.md` §10).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use tracing::{info, warn};

use super::ConfigError;
use super::keys::{Admin, Entry, File, Section};
use super::problem::{Paths, Problems};
use super::reader::{Reader, Source};
use crate::entropy;
use crate::whole_file::replace;

/// Bytes of a password that is made here.
const PASSWORD_ENTROPY_BYTES: usize = 20;
/// Shorter ones are replaced.
const PASSWORD_CHARACTERS_MIN: usize = 16;

const HEADER: &str = "\
# The admin panel at /admin. It is off until enabled is true.
# Choose a username and a password of 16 characters or more first. The password is hashed at the next
# start, and taken out of this file after the first login. Keep this file to yourself.
";

/// Makes the file when there is none, and sees to it that password and hash belong together. What
/// cannot be used of it is an error, and said as for the other files.
pub fn keep_in_order(paths: &Paths) -> Result<(), ConfigError> {
    let path = paths.of(File::Admin);
    let mut problems = Problems::new(paths.clone());
    let source = Source::read(File::Admin, &mut problems);
    let mut reader = Reader::parse(&source, &mut problems);
    let found: Admin = reader.section(&mut problems);
    if problems.has_errors() {
        return Err(ConfigError::Problems(problems.into_vec()));
    }
    for problem in problems.into_vec() {
        warn!(component = "admin", "{problem}");
    }
    let mut kept = found.clone();
    put_in_order(&mut kept);
    let shown = path.display();
    if !source.exists() {
        info!(component = "admin", path = %shown, "admin.toml made, the panel is off");
    } else if kept.password.value != found.password.value {
        warn!(component = "admin", path = %shown, "the password is new: it was missing or too short");
    } else if kept.password_sha256.value == found.password_sha256.value {
        return Ok(());
    }
    // Only the owner may read it, now and after every change.
    replace(&path, render(&kept).as_bytes(), 0o600)
        .map_err(|source| ConfigError::Unwritable { path, source })
}

/// The state the file must be in before anybody logs in (`config.md` §10.2).
fn put_in_order(admin: &mut Admin) {
    let (password, hashed) = (&mut admin.password.value, &mut admin.password_sha256.value);
    hashed.make_ascii_lowercase();
    if password.is_empty() && !hashed.is_empty() {
        return;
    }
    if password.len() < PASSWORD_CHARACTERS_MIN {
        *password = new_password();
    }
    *hashed = hash(password);
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

fn hash(password: &str) -> String {
    const_hex::encode(Sha256::digest(password.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use toml::Table;

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
