//! Where people go after they have signed in or out: only within our own pages (`web.md` §2.3).

/// What `redirect` names, if it is one of our own places; otherwise `usual`.
pub fn local<'a>(redirect: &'a str, usual: &'a str) -> &'a str {
    let place = redirect.trim();
    let mut bytes = place.bytes();
    let is_ours = bytes.next() == Some(b'/')
        // `//host` and `/\host` are addresses elsewhere; and what a browser decodes may be one too.
        && !matches!(bytes.next(), Some(b'/' | b'\\'))
        && !place.contains('\\')
        && !place.chars().any(char::is_control)
        && !leads_elsewhere_decoded(place);
    if is_ours { place } else { usual }
}

/// `/%2Fhost`, `/%5Chost` and what hides a line end.
fn leads_elsewhere_decoded(place: &str) -> bool {
    let lower = place.to_ascii_lowercase();
    let second = &lower[1..];
    ["%2f", "%5c"].iter().any(|code| second.starts_with(code))
        || ["%0d", "%0a", "%00", "%5c"].iter().any(|code| lower.contains(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_places_are_gone_to() {
        for ours in ["/", "/worker", "/saved-workers?sort=name&x=%2f", "/a/b//c", " /pool "] {
            assert_eq!(local(ours, "/usual"), ours.trim());
        }
        for elsewhere in [
            "",
            "pool",
            "//h",
            "/\\h",
            "/%5Ch",
            "/%5ch",
            "/%2Fh",
            "/%2f/h",
            "https://h",
            "/a\r\nb",
            "/a%0d%0aSet-Cookie",
            "/a\tb",
            "/x\\y",
            "\\\\h",
            "javascript:alert(1)",
            "///h",
        ] {
            assert_eq!(local(elsewhere, "/usual"), "/usual", "{elsewhere:?}");
        }
    }
}
