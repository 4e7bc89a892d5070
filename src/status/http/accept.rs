//! How much a client wants a media type, from its `Accept` header (RFC 9110 §12.5.1).

use std::cmp::Ordering;

/// Alternatives looked at in one header; Prometheus sends eight, browsers about as many.
const ALTERNATIVES_MAX: usize = 32;

/// The client's wish for one type. Compares by weight, then by how exactly the type was named:
/// `text/plain, */*` asks for text, although `*/*` would take anything with the same weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    weight: f32,
    exactness: u8,
}

impl Quality {
    const UNWANTED: Self = Self { weight: 0.0, exactness: 0 };

    /// Named by the client itself, not only covered by a wildcard.
    pub fn is_named(self) -> bool {
        self.weight > 0.0 && self.exactness > 0
    }
}

impl PartialOrd for Quality {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let by_weight = self.weight.partial_cmp(&other.weight)?;
        Some(by_weight.then(self.exactness.cmp(&other.exactness)))
    }
}

/// The client's wish for `wanted` (such as `text/plain`) in any of the versions `spoken`; a type
/// without a version counts as a spoken one.
pub fn quality(accept: &str, wanted: &str, spoken: &[&str]) -> Quality {
    let family = wanted.split_once('/').map_or("", |(family, _)| family);
    let mut best = Quality::UNWANTED;
    for alternative in accept.split(',').take(ALTERNATIVES_MAX) {
        let mut parts = alternative.split(';').map(str::trim);
        let range = parts.next().unwrap_or_default();
        let exactness = match range.split_once('/') {
            _ if range.eq_ignore_ascii_case(wanted) => 2,
            Some((this, "*")) if this.eq_ignore_ascii_case(family) => 1,
            Some(("*", "*")) => 0,
            _ => continue,
        };
        let mut weight = 1.0;
        let mut is_spoken = true;
        for parameter in parts {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            if name.trim().eq_ignore_ascii_case("q") {
                weight = weight_of(value.trim());
            } else if name.trim().eq_ignore_ascii_case("version") {
                is_spoken = spoken.contains(&value.trim().trim_matches('"'));
            }
        }
        let this = Quality { weight, exactness };
        // The most exact range decides, and the first of equals: `text/plain;q=0, */*` is a no.
        if is_spoken && (best == Quality::UNWANTED || exactness > best.exactness) {
            best = this;
        }
    }
    best
}

/// A weight that cannot be read is a wish that was not made.
fn weight_of(text: &str) -> f32 {
    text.parse::<f32>().ok().filter(|w| (0.0..=1.0).contains(w)).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(accept: &str, weight: f32, exactness: u8) {
        assert_eq!(
            quality(accept, "text/plain", &["0.0.4"]),
            Quality { weight, exactness },
            "{accept}"
        );
    }

    #[test]
    fn the_most_exact_range_gives_the_weight() {
        check("text/plain", 1.0, 2);
        check("TEXT/Plain ; Q=0.5", 0.5, 2);
        check("*/*, text/*;q=0.3", 0.3, 1);
        check("text/plain;q=0, */*", 0.0, 2);
        check("text/html,application/xhtml+xml,*/*;q=0.8", 0.8, 0);
        check("application/json", 0.0, 0);
    }

    #[test]
    fn a_version_that_is_not_spoken_does_not_count() {
        check("text/plain;version=0.0.4;q=0.2", 0.2, 2);
        check("text/plain;version=9;q=0.9, text/plain;q=0.1", 0.1, 2);
    }

    #[test]
    fn nonsense_is_no_wish() {
        for accept in ["", ",,,", ";;", "text", "text/plain;q=x", "text/plain;q=7", "q=1"] {
            assert!(quality(accept, "text/plain", &[]).weight == 0.0, "{accept}");
        }
    }

    #[test]
    fn an_exact_name_wins_against_a_wildcard_of_the_same_weight() {
        let accept = "text/plain, */*";
        assert!(quality(accept, "text/plain", &[]) > quality(accept, "application/json", &[]));
    }
}
