//! Strong validators (RFC 9110 §8.8): the same tag, the same bytes.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::encoding::Encoding;

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

/// The tag in an `If-None-Match` that names the version `etag` names, in whatever form the client
/// has it. `W/` is ignored: this comparison is the weak one (RFC 9110 §13.1.2).
pub fn matching<'a>(if_none_match: &'a str, etag: &'a str) -> Option<&'a str> {
    let candidates = if_none_match.split(',').take(TAGS_MAX).map(str::trim);
    let mut tags = candidates.map(|candidate| candidate.strip_prefix("W/").unwrap_or(candidate));
    tags.find_map(|tag| match tag {
        "*" => Some(etag),
        tag => (version(tag)? == version(etag)?).then_some(tag),
    })
}

/// `"abc"` with its end for the form it is sent in.
pub fn with_form(etag: &str, encoding: Encoding) -> String {
    format!("\"{}{}\"", version(etag).unwrap_or_default(), encoding.suffix())
}

/// What is between the quotes, without the form.
fn version(tag: &str) -> Option<&str> {
    let bare = tag.strip_prefix('"')?.strip_suffix('"')?;
    let mut forms = [Encoding::Brotli, Encoding::Gzip].into_iter();
    Some(forms.find_map(|form| bare.strip_suffix(form.suffix())).unwrap_or(bare))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_the_start_of_the_sha256() {
        assert_eq!(fingerprint(b""), "e3b0c44298fc1c149afbf4c8996fb924");
    }

    #[test]
    fn any_listed_tag_counts_in_any_form() {
        for (header, current) in [
            ("\"a\"", Some("\"a\"")),
            ("\"b\", W/\"a\"", Some("\"a\"")),
            ("\"a-gz\"", Some("\"a-gz\"")),
            ("\"b-br\", \"a-br\"", Some("\"a-br\"")),
            ("*", Some("\"a-br\"")),
            ("\"a-x\"", None),
            ("\"b\"", None),
            ("\"b-br\"", None),
            ("a", None),
            ("\"", None),
            ("", None),
        ] {
            assert_eq!(matching(header, "\"a-br\""), current, "{header}");
        }
        assert_eq!(with_form("\"a\"", Encoding::Gzip), "\"a-gz\"");
    }
}
