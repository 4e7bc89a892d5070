//! What the public may read of names, hashes and error texts (`web.md` §3.1, §3.3).

use std::fmt;

/// What no log line, page or error may show, `{:?}` of what holds it included.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// For the one who asked for it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Characters kept at each end of a worker name or wallet.
const NAME_ENDS: usize = 8;
/// Characters kept of a hash: its low end, where hashes of blocks differ.
const HASH_END: usize = 16;
/// A rig name longer than this is more likely a wallet in the wrong place.
const RIG_CHARS_MAX: usize = 32;
const ELLIPSIS: &str = "...";

/// Longest error text shown in public, in characters: one line of a page.
const ERROR_CHARS_MAX: usize = 200;
/// Letters and digits in a row from which a word may be a secret, a wallet or a hash.
const SECRET_CHARS_MIN: usize = 24;
/// Takes the place of what is left out of an error text.
const LEFT_OUT: &str = "***";

/// A worker name as the public sees it: the wallet shortened, the rig kept unless it holds a
/// wallet too. Shortening twice changes nothing.
pub fn worker_name(name: &str) -> String {
    let Some((head, tail)) = split_rig(name) else { return shorten(name, NAME_ENDS, NAME_ENDS) };
    let head = shorten(head, NAME_ENDS, NAME_ENDS);
    let tail = clean(tail);
    let tail = if tail.len() > RIG_CHARS_MAX || tail.split('.').any(looks_like_an_address) {
        shorten(&tail, NAME_ENDS, NAME_ENDS)
    } else {
        tail
    };
    if tail.is_empty() { head } else { format!("{head}.{tail}") }
}

/// A block or share hash in display order: `...` and its last sixteen digits.
pub fn hash(hex: &str) -> String {
    shorten(hex, 0, HASH_END)
}

/// A text whose URLs tell nobody how to get in: an error's text may quote the one it failed on.
pub fn without_credentials(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        clean += before;
        let end = after.find(|c: char| c.is_whitespace() || "/?#\"'".contains(c));
        let authority = &after[..end.unwrap_or(after.len())];
        rest = &after[authority.rfind('@').map_or(0, |at| at + 1)..];
    }
    clean + rest
}

/// An error text without what tells where the node is or how to get in: addresses, host names,
/// paths, credentials and long opaque words.
pub fn error_text(text: &str) -> String {
    let mut shown = String::new();
    // Bounded before the work, not after: error texts may carry a whole answer of the node.
    for word in text.split_whitespace().take(ERROR_CHARS_MAX) {
        if !shown.is_empty() {
            shown.push(' ');
        }
        let core = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '/' && c != '@');
        if is_telling(core) {
            // The punctuation around it stays, so the sentence keeps its shape.
            shown.push_str(&word.replacen(core, LEFT_OUT, 1));
        } else {
            shown.push_str(word);
        }
        if let Some((end, _)) = shown.char_indices().nth(ERROR_CHARS_MAX) {
            shown.truncate(end);
            shown.push('…');
            break;
        }
    }
    shown
}

/// The name's parts before and after the dot that ends the wallet. In a name that is shortened
/// already the first dots belong to the ellipsis.
fn split_rig(name: &str) -> Option<(&str, &str)> {
    let first = name.find('.')?;
    let from = if name[first..].starts_with(ELLIPSIS) { first + ELLIPSIS.len() } else { first };
    let dot = from + name[from..].find('.')?;
    Some((&name[..dot], &name[dot + 1..]))
}

fn shorten(text: &str, prefix: usize, suffix: usize) -> String {
    let clean = clean(text);
    if clean.len() <= prefix + suffix + ELLIPSIS.len() {
        return clean;
    }
    // `clean` leaves only ASCII, so every index is a character boundary.
    format!("{}{ELLIPSIS}{}", &clean[..prefix], &clean[clean.len() - suffix..])
}

fn clean(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')).collect()
}

/// By shape alone: an address with a wrong checksum still tells whose it was meant to be.
fn looks_like_an_address(text: &str) -> bool {
    /// From the shortest P2PKH address to the longest base58 one.
    const BASE58_CHARS: std::ops::RangeInclusive<usize> = 26..=35;
    /// The shortest witness program in bech32, with the shortest prefix.
    const BECH32_CHARS_MIN: usize = 14;
    let lower = text.to_ascii_lowercase();
    let is_bech32 = ["bc1", "tb1", "bcrt1"].iter().any(|prefix| lower.starts_with(prefix))
        && lower.len() >= BECH32_CHARS_MIN;
    let is_base58 = text.starts_with(['1', '2', '3', 'm', 'n'])
        && BASE58_CHARS.contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric());
    (is_bech32 && text.bytes().all(|b| b.is_ascii_alphanumeric())) || is_base58
}

fn is_telling(word: &str) -> bool {
    let is_place = word.contains(['/', '\\', '@']);
    let is_setting = word.split_once('=').is_some_and(|(_, value)| !value.is_empty());
    let has_port = word.rsplit_once(':').is_some_and(|(_, port)| {
        !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit() || b == b']')
    });
    let is_ipv6 = word.matches(':').count() >= 2;
    let is_opaque =
        word.split(|c: char| !c.is_ascii_alphanumeric()).any(|run| run.len() >= SECRET_CHARS_MIN);
    is_place || is_setting || has_port || is_ipv6 || is_opaque || is_dotted_name(word)
}

/// `node.lan`, `bitcoin.conf` and `10.0.0.7`, but not `0.5` or `v28.1`.
fn is_dotted_name(word: &str) -> bool {
    let labels: Vec<&str> = word.split('.').collect();
    let last_is_word = labels
        .last()
        .is_some_and(|label| label.len() >= 2 && label.bytes().all(|b| b.is_ascii_alphabetic()));
    let is_ipv4 = labels.len() == 4
        && labels.iter().all(|l| !l.is_empty() && l.bytes().all(|b| b.is_ascii_digit()));
    (labels.len() >= 2 && last_is_word) || is_ipv4
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALLET: &str = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";

    #[test]
    fn an_url_is_shown_without_its_password() {
        assert_eq!(
            without_credentials("failed: http://u:p@host/x and https://a@b"),
            "failed: http://host/x and https://b"
        );
        assert_eq!(without_credentials("connection refused"), "connection refused");
    }

    #[test]
    fn worker_names_follow_the_vectors_of_the_specification() {
        for (name, shown) in [
            (&*format!("{WALLET}.rig-01"), "bc1qw508...7kv8f3t4.rig-01"),
            (WALLET, "bc1qw508...7kv8f3t4"),
            ("0123456789abcdefghi", "0123456789abcdefghi"),
            ("0123456789abcdefghij", "01234567...cdefghij"),
            (".rig", ".rig"),
            ("a b<c>.x y", "abc.xy"),
            ("bc1qexampleaddress00000000000000000000000000.workerA", "bc1qexam...00000000.workerA"),
            ("bc1qshort.rig 1", "bc1qshort.rig1"),
            ("αβγ123", "123"),
            ("wallet.", "wallet"),
            ("", ""),
        ] {
            assert_eq!(worker_name(name), shown, "{name}");
        }
    }

    #[test]
    fn a_wallet_after_the_dot_is_shortened_too() {
        assert_eq!(worker_name(&format!("rig.{WALLET}")), "rig.bc1qw508...7kv8f3t4");
        assert_eq!(
            worker_name("rig.x.1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
            "rig.x.1A1zP1...v7DivfNa"
        );
        assert_eq!(
            worker_name(&format!("rig.{}", "r".repeat(33))),
            format!("rig.{}...{}", "r".repeat(8), "r".repeat(8))
        );
    }

    #[test]
    fn shortening_twice_changes_nothing() {
        for name in [
            format!("{WALLET}.rig-01"),
            format!("{WALLET}.{}", "r".repeat(32)),
            format!("{WALLET}.{WALLET}"),
            format!("{WALLET}.{WALLET}.{WALLET}"),
            "a...b.c".to_owned(),
            "...".to_owned(),
            "x....y".to_owned(),
        ] {
            let once = worker_name(&name);
            assert_eq!(worker_name(&once), once, "{name}");
        }
    }

    #[test]
    fn a_hash_keeps_its_low_end() {
        let hex = format!("{}0123456789abcdef", "0".repeat(48));
        assert_eq!(hash(&hex), "...0123456789abcdef");
        assert_eq!(hash(&hash(&hex)), "...0123456789abcdef");
    }

    #[test]
    fn error_texts_lose_places_and_secrets_and_keep_the_sentence() {
        for (text, shown) in [
            (
                "post http://user:pass@10.0.0.7:8332/: connection refused",
                "post ***: connection refused",
            ),
            (
                "event: job feed recovered (rpc 127.0.0.1:8332)",
                "event: job feed recovered (rpc ***)",
            ),
            (
                "event: job feed recovered (rpc [::1]:8332)",
                "event: job feed recovered (rpc [::***)",
            ),
            ("open /root/.bitcoin/.cookie: no such file", "open ***: no such file"),
            ("lookup node.lan: not found", "lookup ***: not found"),
            ("rpcpassword=hunter2 rejected", "*** rejected"),
            ("token 0123456789abcdef0123456789abcdef", "token ***"),
            ("Loading block index (code -28)", "Loading block index (code -28)"),
            ("took 0.5 s on v28.1", "took 0.5 s on v28.1"),
            ("", ""),
        ] {
            assert_eq!(error_text(text), shown);
        }
    }

    #[test]
    fn error_texts_are_bounded() {
        let shown = error_text(&"word ".repeat(100_000));
        assert_eq!(shown.chars().count(), ERROR_CHARS_MAX + 1);
    }
}
