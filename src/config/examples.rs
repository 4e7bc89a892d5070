//! The examples: every key of every file with its default, made from the tables of keys
//! (`config.md` §2.7).

use std::fmt::Write;
use std::fs;

use super::ConfigError;
use super::keys::{self, File, Key, Shown};
use super::problem::Paths;

/// The one value that an operator must put in place.
pub const PAYOUT_PLACEHOLDER: &str = "PUT-YOUR-ADDRESS-HERE";

const WITH_EXAMPLE: [File; 6] =
    [File::Config, File::Secrets, File::Services, File::Policy, File::Tuning, File::VersionBits];

/// Writes all of them, over those of an earlier version.
pub fn write_all(paths: &Paths) -> Result<(), ConfigError> {
    let folder = paths.examples();
    fs::create_dir_all(&folder)
        .map_err(|source| ConfigError::Unwritable { path: folder, source })?;
    for file in WITH_EXAMPLE {
        let path = paths.example(file);
        fs::write(&path, text(file)).map_err(|source| ConfigError::Unwritable { path, source })?;
    }
    Ok(())
}

/// The example of one file.
pub fn text(file: File) -> String {
    let mut text = format!(
        "# An example, written anew at each start: copy it to ../{} and change the copy.\n# {}\n",
        file.name(),
        about(file)
    );
    if file == File::VersionBits {
        text.push_str(VERSION_BITS);
        return text;
    }
    let mut table = "";
    for key in keys::all().filter(|key| key.file == file) {
        if key.table != table {
            let _ = write!(text, "\n[{}]\n", key.table);
            table = key.table;
        }
        write_key(&mut text, key);
    }
    text
}

fn write_key(text: &mut String, key: &Key) {
    let allowed = key.allowed.words().map(|words| format!(" ({words})")).unwrap_or_default();
    let _ = writeln!(text, "# {}{allowed}", key.words);
    let mark = if key.shown == Shown::Written { "" } else { "# " };
    let _ = match (key.table, key.name) {
        ("node", "payout_address") => {
            writeln!(text, "{mark}{} = \"{PAYOUT_PLACEHOLDER}\"", key.name)
        }
        _ => writeln!(text, "{mark}{} = {}", key.name, key.default),
    };
}

const VERSION_BITS: &str = "
# [[bits]]
# bit = 4            # 0 to 31
# enabled = true     # true sets it, false clears it; of several entries for a bit the last counts
";

fn about(file: File) -> &'static str {
    match file {
        File::Config => "node.payout_address is required; all else may be left out.",
        File::Secrets => "Only you may read it: the pool takes the permissions of others away.",
        File::Services => "What the pool works with besides the node.",
        File::Policy => "Which shares pass, and who is turned away.",
        File::Tuning => "How many, how fast, how hard. The defaults are good ones.",
        File::VersionBits => "Bits of the header's version, over all that the node and others say.",
        File::Blacklist | File::Admin => "",
    }
}
