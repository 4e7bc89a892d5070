//! What people type, brought into the one form that is stored and compared.

use subtle::{Choice, ConstantTimeEq};

use super::words::CODE_BYTES_MAX;

/// Longer input is not read: a code with its tag and generous white space is much shorter.
const INPUT_BYTES_MAX: usize = 256;
const TAG_BYTES: usize = 4;

/// The pool's `pool_entropy`: four letters and digits, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag(String);

impl Tag {
    /// Anything but exactly four ASCII letters and digits is no tag.
    pub(super) fn new(text: &str) -> Option<Self> {
        let is_tag = text.len() == TAG_BYTES && text.bytes().all(|b| b.is_ascii_alphanumeric());
        is_tag.then(|| Self(text.to_owned()))
    }

    pub(super) fn show(&self, code: &str) -> String {
        format!("{}-{code}", self.0)
    }

    /// The code that stands behind this pool's tag; none when the tag is missing or another's.
    pub(super) fn code_of(&self, input: &str) -> Option<Secret> {
        if input.len() > INPUT_BYTES_MAX {
            return None;
        }
        let (tag, code) = input.trim().split_at_checked(TAG_BYTES)?;
        if !tag.eq_ignore_ascii_case(&self.0) {
            return None;
        }
        Secret::new(code.strip_prefix('-')?)
    }
}

/// The word part of a code in lower case, padded to one length so that comparing two of them
/// takes the same time whatever they are.
#[derive(Clone)]
pub(super) struct Secret {
    bytes: [u8; CODE_BYTES_MAX],
    length: usize,
}

impl Secret {
    /// White space and hyphens, as many as there are, only part the words: `Viper - anvil` is
    /// `viper-anvil`. Hyphens are not counted, since some words contain one themselves.
    ///
    /// None for text without words, and for text too long to be a code.
    pub(super) fn new(text: &str) -> Option<Self> {
        let mut secret = Self { bytes: [0; CODE_BYTES_MAX], length: 0 };
        let parts = text.split(|c: char| c == '-' || c.is_whitespace());
        for part in parts.filter(|part| !part.is_empty()) {
            if secret.length > 0 {
                secret.push(b"-")?;
            }
            secret.push(part.as_bytes())?;
        }
        secret.bytes.make_ascii_lowercase();
        (secret.length > 0).then_some(secret)
    }

    fn push(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.length + bytes.len();
        self.bytes.get_mut(self.length..end)?.copy_from_slice(bytes);
        self.length = end;
        Some(())
    }

    pub(super) fn is(&self, other: &Self) -> Choice {
        // The padding is no character of a code: equal bytes are equal codes.
        self.bytes.ct_eq(&other.bytes)
    }

    pub(super) fn text(&self) -> String {
        // Whole pieces of `str` were put in, so nothing is ever replaced.
        String::from_utf8_lossy(&self.bytes[..self.length]).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, code: Option<&str>) {
        let tag = Tag::new("aB3d").unwrap();
        assert_eq!(tag.code_of(input).map(|secret| secret.text()).as_deref(), code, "{input:?}");
    }

    #[test]
    fn a_tag_is_exactly_four_letters_and_digits() {
        assert_eq!(Tag::new("aB3d").unwrap().show("x-y"), "aB3d-x-y");
        for text in ["", "aB3", "aB3d5", "aB 3", "aB-3", "aéb", "éé", " aB3d"] {
            assert_eq!(Tag::new(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_tag_is_needed_in_any_case() {
        check("aB3d-viper-anvil", Some("viper-anvil"));
        check("Ab3D-viper-anvil", Some("viper-anvil"));
        check("  aB3d-viper-anvil\n", Some("viper-anvil"));
        check("viper-anvil", None);
        check("aB3e-viper-anvil", None);
        check("aB3dviper-anvil", None);
        check("aB3d viper-anvil", None);
        check("aB-3d-viper", None);
    }

    #[test]
    fn words_may_be_in_any_case_with_more_white_space() {
        check("aB3d-VIPER-Anvil", Some("viper-anvil"));
        check("aB3d-  viper \t-\u{a0}anvil ", Some("viper-anvil"));
        check("aB3d- viper anvil", Some("viper-anvil"));
        check("aB3d-drop-down-yo-yo", Some("drop-down-yo-yo"));
    }

    #[test]
    fn input_without_words_is_no_code() {
        for input in ["", " ", "aB3d", "aB3d-", "aB3d- ", "aB3d---", "-", "aB3é", "éééé-x"] {
            check(input, None);
        }
    }

    #[test]
    fn long_input_is_no_code() {
        check(&format!("aB3d-{}", "x".repeat(CODE_BYTES_MAX)), Some(&"x".repeat(CODE_BYTES_MAX)));
        check(&format!("aB3d-{}", "x".repeat(CODE_BYTES_MAX + 1)), None);
        check(&format!("aB3d-{}-y", "x".repeat(CODE_BYTES_MAX)), None);
        check(&format!("aB3d-x{}", " ".repeat(INPUT_BYTES_MAX)), None);
        check(&format!("aB3d-{}", "é".repeat(CODE_BYTES_MAX / 2 + 1)), None);
    }

    #[test]
    fn secrets_are_equal_only_as_a_whole() {
        let is =
            |a: &str, b: &str| bool::from(Secret::new(a).unwrap().is(&Secret::new(b).unwrap()));
        assert!(is("viper-anvil", "Viper  anvil"));
        assert!(!is("viper-anvil", "viper-anvi"));
        assert!(!is("viper-anvil", "viper-anvils"));
        assert!(!is("viper-anvil", "viperanvil"));
    }

    #[test]
    fn fuzz_any_text_is_read_without_a_panic() {
        let tag = Tag::new("aB3d").unwrap();
        let pieces = ["aB3d", "-", " ", "é", "\u{2003}", "x", "aB", "\0", "😀"];
        for a in pieces {
            for b in pieces {
                for c in pieces {
                    for d in pieces {
                        if let Some(secret) = tag.code_of(&format!("{a}{b}{c}{d}")) {
                            assert!(!secret.text().is_empty());
                        }
                    }
                }
            }
        }
    }
}
