//! What the operator's panel has been used for: each login, failure and action, in the log and, the
//! newest of them, on the operator page (`web.md` §6.12).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;

use serde::Serialize;
use tracing::info;

use crate::clock::unix_now;

/// Entries that are kept for the page.
const ENTRIES_MAX: usize = 200;
/// Targets and changes are cut here: a line of the log is for people.
const TEXT_BYTES_MAX: usize = 1024;

/// One thing that was done, or tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Unix seconds; pages write it as a moment.
    #[serde(skip)]
    pub at: u64,
    /// What the session is called; empty before there is one.
    pub session: String,
    pub client: IpAddr,
    pub action: &'static str,
    /// What it was done to: names, numbers, files.
    pub targets: String,
    /// Keys with old and new values.
    pub changes: String,
    /// `done`, or why not.
    pub result: String,
}

/// A setting before and after. The panel changes no secrets, so none can be here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    pub key: String,
    pub old: String,
    pub new: String,
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} → {}", self.key, self.old, self.new)
    }
}

/// Who did what to what, and what came of it.
#[derive(Clone, Debug)]
pub struct Note<'a> {
    pub session: &'a str,
    pub client: IpAddr,
    pub action: &'static str,
    pub targets: &'a str,
    pub changes: &'a [Changed],
    pub result: &'a str,
}

/// The newest entries.
#[derive(Debug, Default)]
pub struct Audit(RefCell<VecDeque<Entry>>);

impl Audit {
    /// Writes it down.
    pub fn note(&self, note: &Note<'_>) {
        let changes: Vec<String> = note.changes.iter().map(Changed::to_string).collect();
        let entry = Entry {
            at: unix_now(),
            session: note.session.to_owned(),
            client: note.client,
            action: note.action,
            targets: cut(note.targets),
            changes: cut(&changes.join(", ")),
            result: cut(note.result),
        };
        let Entry { session, client, action, targets, changes, result, .. } = &entry;
        let remote = client;
        info!(component = "admin", session, %remote, action, targets, changes, result, "admin");
        let mut entries = self.0.borrow_mut();
        if entries.len() >= ENTRIES_MAX {
            entries.pop_back();
        }
        entries.push_front(entry);
    }

    /// The newest first.
    pub fn entries(&self) -> Vec<Entry> {
        self.0.borrow().iter().cloned().collect()
    }
}

fn cut(text: &str) -> String {
    if text.len() <= TEXT_BYTES_MAX {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(TEXT_BYTES_MAX)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_two_hundred_are_kept_and_long_texts_are_cut() {
        let audit = Audit::default();
        for number in 0..250 {
            audit.note(&Note {
                session: "abcd1234",
                client: [127, 0, 0, 1].into(),
                action: "apply",
                targets: &number.to_string(),
                changes: &[
                    Changed { key: "a".into(), old: "1".into(), new: "2".into() },
                    Changed { key: "b".into(), old: "x".into(), new: "y".into() },
                ],
                result: &"ä".repeat(2000),
            });
        }
        let entries = audit.entries();
        assert_eq!((entries.len(), &*entries[0].targets), (200, "249"));
        assert_eq!(entries[0].changes, "a: 1 → 2, b: x → y");
        assert_eq!(entries[0].result.len(), 1024 + "…".len());
    }
}
