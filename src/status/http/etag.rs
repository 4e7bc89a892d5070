//! Strong validators (RFC 9110 §8.8): the same tag, the same bytes.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// Bytes of the hash that go into a tag: no two versions of a page will ever share 128 bits.
const TAG_BYTES: usize = 16;
/// Tags looked at in one `If-None-Match`; a client holds one version of a page, seldom two.
const TAGS_MAX: usize = 16;

/// Lower-case hex, fit for a tag and for a URL.
pub fn fingerprint(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash[..TAG_BYTES].iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a string does not fail");
        hex
    })
}

/// Whether the client's copy is the version `etag` names. `W/` is ignored: this comparison is the
/// weak one (RFC 9110 §13.1.2).
pub fn is_current(if_none_match: &str, etag: &str) -> bool {
    if_none_match.split(',').take(TAGS_MAX).map(str::trim).any(|candidate| {
        candidate == "*" || candidate.strip_prefix("W/").unwrap_or(candidate) == etag
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_the_start_of_the_sha256() {
        assert_eq!(fingerprint(b""), "e3b0c44298fc1c149afbf4c8996fb924");
    }

    #[test]
    fn any_listed_tag_counts() {
        for (header, current) in [
            ("\"a\"", true),
            ("\"b\", W/\"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("a", false),
            ("", false),
        ] {
            assert_eq!(is_current(header, "\"a\""), current, "{header}");
        }
    }
}
