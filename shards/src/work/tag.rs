//! The pool's tag in the coinbase script (`mining.md` §4.3).

/// The longest brand tag; the entropy after it is added on top.
const BRAND_TAG_BYTES_MAX: usize = 40;
/// The shortest tag push worth its bytes: a length byte and two characters.
const TAG_PUSH_BYTES_MIN: usize = 3;

/// `/goPool/`, or `/<prefix>-goPool/` with the prefix reduced to lower-case letters and digits.
pub fn brand_tag(prefix: &str) -> String {
    let prefix: String = prefix
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|character| character.to_ascii_lowercase())
        .collect();
    let mut tag =
        if prefix.is_empty() { "/goPool/".to_owned() } else { format!("/{prefix}-goPool/") };
    tag.truncate(BRAND_TAG_BYTES_MAX);
    tag
}

/// The tag of one job: the brand, and entropy that makes the job unlike any other pool's.
///
/// Either entropy may be empty; with both empty the brand stands alone, its last slash kept.
pub fn job_tag(brand: &str, pool_entropy: &str, job_entropy: &str) -> String {
    let separator = if pool_entropy.is_empty() || job_entropy.is_empty() { "" } else { "-" };
    if job_entropy.is_empty() {
        return brand.to_owned();
    }
    let slash = if brand.ends_with('/') { "" } else { "/" };
    normalise(&format!("{brand}{slash}{pool_entropy}{separator}{job_entropy}"))
}

/// One leading slash, and none at the end that a suffix has not put there.
fn normalise(tag: &str) -> String {
    let tag = tag.trim();
    let tag = tag.strip_prefix('/').unwrap_or(tag);
    let tag = tag.strip_suffix('/').unwrap_or(tag);
    format!("/{tag}")
}

/// Cuts `tag` so that its push fits into `allowed` bytes; `None` when nothing readable fits.
pub fn clamp(tag: &str, allowed: usize) -> Option<&str> {
    if allowed < TAG_PUSH_BYTES_MIN || tag.is_empty() {
        return None;
    }
    Some(&tag[..tag.len().min(allowed - 1)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brand_carries_the_prefix_in_lower_case() {
        assert_eq!(brand_tag(""), "/goPool/");
        assert_eq!(brand_tag("My-Farm 7!"), "/myfarm7-goPool/");
        assert_eq!(brand_tag(&"x".repeat(60)).len(), 40);
    }

    #[test]
    fn a_job_adds_its_entropy_and_without_it_keeps_the_slash() {
        assert_eq!(job_tag("/goPool/", "ABCD", "1234"), "/goPool/ABCD-1234");
        assert_eq!(job_tag("/goPool/", "", "1234"), "/goPool/1234");
        assert_eq!(job_tag("/goPool/", "ABCD", ""), "/goPool/");
        assert_eq!(job_tag("/cut", "ABCD", "1234"), "/cut/ABCD-1234");
    }

    #[test]
    fn tags_are_normalised_as_listed() {
        for (tag, normal) in [
            ("goPool", "/goPool"),
            ("/my-pool-v2/", "/my-pool-v2"),
            ("//goPool//", "//goPool/"),
            ("/goPool/ABCD-1234", "/goPool/ABCD-1234"),
        ] {
            assert_eq!(normalise(tag), normal);
        }
    }

    #[test]
    fn a_tag_gives_way_to_the_limit() {
        assert_eq!(clamp("/goPool/ABCD-1234", 78), Some("/goPool/ABCD-1234"));
        assert_eq!(clamp("/goPool/ABCD-1234", 18), Some("/goPool/ABCD-1234"));
        assert_eq!(clamp("/goPool/ABCD-1234", 17), Some("/goPool/ABCD-123"));
        assert_eq!(clamp("/goPool/", 3), Some("/g"));
        assert_eq!(clamp("/goPool/", 2), None);
        for allowed in 0..101 {
            let push = clamp("/goPool/ABCD-1234", allowed).map_or(0, |tag| 1 + tag.len());
            assert!(push <= allowed);
        }
    }
}
