//! The table of all keys in `documentation/operations.md`, which a test keeps as it must be.

use std::fmt::Write;

use super::keys::{self, File, Key, Shown};

const BEGIN: &str = "<!-- keys: made by the tables in src/config/keys -->\n";
const END: &str = "<!-- end of keys -->";

/// The page with its table made anew; none when the page has no place for it.
fn with_table(page: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{}{END}{after}", table()))
}

fn table() -> String {
    let mut text = String::new();
    let mut place: Option<(File, &str)> = None;
    for key in keys::all() {
        if place != Some((key.file, key.table)) {
            let table =
                if key.table.is_empty() { String::new() } else { format!(" `[{}]`", key.table) };
            let _ = write!(
                text,
                "\n**{}**{table}\n\n| key | default | allowed | a change applies | what it does |\n\
                 |---|---|---|---|---|\n",
                key.file.name()
            );
            place = Some((key.file, key.table));
        }
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} |",
            key.name,
            default(key),
            key.allowed.words().unwrap_or_else(|| key.default.kind().to_owned()),
            key.apply.words(),
            key.words.replace('|', "\\|").replace('<', "&lt;")
        );
    }
    text.push('\n');
    text
}

fn default(key: &Key) -> String {
    match key.shown {
        Shown::Secret => "none".to_owned(),
        _ => format!("`{}`", key.default),
    }
}

#[test]
fn the_documentation_has_every_key_as_it_is() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/documentation/operations.md");
    let page = std::fs::read_to_string(path).unwrap();
    let made = with_table(&page).expect("the page has a place for the table");
    if std::env::var_os("GOPOOL_WRITE_DOCUMENTATION").is_some() {
        std::fs::write(path, &made).unwrap();
    } else {
        assert!(
            page == made,
            "documentation/operations.md is old: run the test with GOPOOL_WRITE_DOCUMENTATION=1"
        );
    }
}
