//! What is said on Discord (`state-and-services.md` §13.7, §13.9). Names are people's own: nothing in
//! them may look like a mention, a link or Markdown to Discord (FIX-39).

use std::time::Duration;

use crate::notices::{FoundBlock, WorkerName, label};
use crate::privacy;

/// Keeps `@everyone` from being one: Discord looks for it in the raw text, behind a backslash too.
const ZERO_WIDTH_SPACE: char = '\u{200b}';

/// A name as Discord shows it letter by letter. Dots, dashes and commas stay as they are: they mean
/// something only where a line begins, and no name stands there.
pub fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for character in name.chars() {
        match character {
            '@' => text.extend(['@', ZERO_WIDTH_SPACE]),
            '.' | '-' | ',' => text.push(character),
            _ if character.is_ascii_punctuation() => text.extend(['\\', character]),
            _ if character.is_whitespace() || character.is_control() => text.push(' '),
            _ => text.push(character),
        }
    }
    text
}

/// The longest beginning that has at most so many bytes.
pub fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// One user's workers: named where there is one of a kind at most, else counted.
pub fn workers(away: &[WorkerName], back: &[WorkerName], threshold: Duration) -> String {
    let is_named = away.len() <= 1 && back.len() <= 1;
    let group = |words: &str, workers: &[WorkerName]| {
        let which = match workers {
            [] => return None,
            [one] if is_named => escaped(&one.name),
            [_] => "1 worker".to_owned(),
            several => format!("{} workers", several.len()),
        };
        Some(format!("{words} for {}: {which}", label(threshold)))
    };
    let groups = [group("offline", away), group("back online", back)];
    groups.into_iter().flatten().collect::<Vec<_>>().join(" | ")
}

pub fn block(found: &FoundBlock) -> String {
    format!(
        "Block {} found by {} <t:{}:F>, hash {}",
        found.height,
        escaped(&found.worker),
        found.found_at,
        escaped(&privacy::hash(&found.hash_hex)),
    )
}

/// To those who have saved the worker; it stands below [`block`].
pub fn own_block(height: u64) -> String {
    format!("a worker that you have saved has found block {height}")
}

pub fn watching(threshold: Duration) -> String {
    let threshold = label(threshold);
    format!("Notices of saved workers are on: for who is away or back for {threshold}.")
}

pub const NETWORK_DOWN: &str = "The pool cannot reach the network: notices of workers pause.";
pub const NETWORK_UP: &str =
    "The pool reaches the network again. Notices of workers go on in five minutes.";

pub fn burst(affected: usize, limit: usize) -> String {
    format!(
        "Workers of {affected} people went or came at once, more than {limit}: this is no fault of \
         theirs, so nobody is told. Notices of workers go on in five minutes."
    )
}

pub fn dropped(lines: u64) -> String {
    let lines = if lines == 1 { "1 notice".to_owned() } else { format!("{lines} notices") };
    format!("{lines} had no room here and were left out.")
}

/// What a notice begins with.
pub fn tagged(tag: &str, text: &str) -> String {
    format!("[{}] {text}", escaped(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<WorkerName> {
        let name = |name: &&str| WorkerName { hash: String::new(), name: (*name).to_owned() };
        names.iter().map(name).collect()
    }

    #[test]
    fn one_of_a_kind_is_named_and_more_are_counted() {
        let five = Duration::from_secs(300);
        for (away, back, text) in [
            (&["a"][..], &[][..], "offline for 5m: a"),
            (&[], &["b"], "back online for 5m: b"),
            (&["a"], &["b"], "offline for 5m: a | back online for 5m: b"),
            (&["a", "b"], &[], "offline for 5m: 2 workers"),
            (&["a", "b"], &["c"], "offline for 5m: 2 workers | back online for 5m: 1 worker"),
        ] {
            assert_eq!(workers(&names(away), &names(back), five), text);
        }
    }

    #[test]
    fn nothing_in_a_name_means_anything_to_discord() {
        for (name, text) in [
            ("bc1qw508...7kv8f3t4.rig-01", "bc1qw508...7kv8f3t4.rig-01"),
            ("rig_1_", "rig\\_1\\_"),
            ("**b**", "\\*\\*b\\*\\*"),
            ("<@1> <#2> <t:3:F>", "\\<@\u{200b}1\\> \\<\\#2\\> \\<t\\:3\\:F\\>"),
            ("@everyone\n# x", "@\u{200b}everyone \\# x"),
            ("[a](https://b)", "\\[a\\]\\(https\\:\\/\\/b\\)"),
            ("`|| ~\\", "\\`\\|\\| \\~\\\\"),
            ("ü\u{7}", "ü "),
        ] {
            assert_eq!(escaped(name), text);
        }
    }

    #[test]
    fn text_is_cut_where_a_character_ends() {
        for (text, bytes, left) in [("aé", 3, "aé"), ("aé", 2, "a"), ("é", 1, ""), ("ab", 1, "a")]
        {
            assert_eq!(cut(text, bytes), left);
        }
    }

    #[test]
    fn a_block_is_told_in_short() {
        let found = FoundBlock {
            height: 7,
            hash_hex: format!("{}0123456789abcdef", "0".repeat(48)),
            worker: "bc1qw508...7kv8f3t4.a_b".to_owned(),
            found_at: 1_700_000_000,
            savers: Vec::new(),
            notice_id: String::new(),
        };
        assert_eq!(
            tagged("pool", &block(&found)),
            "[pool] Block 7 found by bc1qw508...7kv8f3t4.a\\_b <t:1700000000:F>, hash \
             ...0123456789abcdef"
        );
    }
}
