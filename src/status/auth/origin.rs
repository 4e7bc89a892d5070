//! Whether a request that changes something comes from our own pages (`web.md` §3.8).

use std::fmt;

use super::super::http::Request;

/// Where the pool's pages are, as browsers see them: `https://pool.example:8443`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// Of `status_public_url`, or of the request itself when none is set. None when the request does
    /// not say which host it means.
    pub fn canonical(public_url: Option<&str>, request: &Request, is_https: bool) -> Option<Self> {
        match public_url {
            Some(url) => Self::of_url(url),
            None => {
                let host = request.header("host")?;
                Self::of_url(&format!("{}://{host}", if is_https { "https" } else { "http" }))
            }
        }
    }

    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }

    /// Scheme, host and port, the usual port left out; none when it is no such URL.
    pub fn of_url(url: &str) -> Option<Self> {
        let (scheme, rest) = url.trim().split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let usual_port = match &*scheme {
            "http" => ":80",
            "https" => ":443",
            _ => return None,
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let authority = rest[..end].to_ascii_lowercase();
        let host = authority.strip_suffix(usual_port).unwrap_or(&authority);
        let is_sound = !host.is_empty() && !host.contains(['@', '\\', ' ']);
        is_sound.then(|| Self(format!("{scheme}://{host}")))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a browser sent it from one of our own pages. It must say so: every browser that is in use
/// sends `Origin` with a POST, and other programs can.
pub fn is_ours(request: &Request, ours: &Origin) -> bool {
    match request.header("sec-fetch-site") {
        None | Some("same-origin") => {}
        Some(_) => return false,
    }
    match (request.header("origin"), request.header("referer")) {
        // `null` is no URL.
        (Some(origin), _) => Origin::of_url(origin).as_ref() == Some(ours),
        (None, Some(referer)) => {
            Origin::of_url(referer).as_ref() == Some(ours)
                && request.header("sec-fetch-site").is_some()
        }
        (None, None) => request.header("sec-fetch-site").is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        for (url, origin) in [
            ("https://Pool.Example/path", Some("https://pool.example")),
            ("https://pool.example:443", Some("https://pool.example")),
            ("http://pool.example:443", Some("http://pool.example:443")),
            ("http://[::1]:8080/?x", Some("http://[::1]:8080")),
            ("null", None),
            ("ftp://pool.example", None),
            ("https://", None),
            ("https://us@pool.example", None),
        ] {
            assert_eq!(Origin::of_url(url).map(|it| it.0).as_deref(), origin, "{url}");
        }
    }

    #[test]
    fn only_our_own_pages_may_change_anything() {
        let ours = Origin::of_url("https://pool.example").unwrap();
        for (headers, expected) in [
            (&[("origin", "https://pool.example")][..], true),
            (&[("origin", "https://pool.example:443")], true),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "same-origin"), ("referer", "https://pool.example/x")], true),
            (&[], false),
            (&[("origin", "null")], false),
            (&[("origin", "http://pool.example")], false),
            (&[("origin", "https://pool.example.evil")], false),
            (&[("origin", "https://pool.example"), ("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "same-origin"), ("referer", "https://evil/x")], false),
            (&[("referer", "https://pool.example/x")], false),
        ] {
            assert_eq!(is_ours(&Request::get("/", headers), &ours), expected, "{headers:?}");
        }
    }

    #[test]
    fn the_public_url_wins_over_what_a_request_calls_us() {
        let request = Request::get("/", &[]);
        let of = |public: Option<&str>, https| Origin::canonical(public, &request, https);
        assert_eq!(of(Some("https://a.b"), false), Origin::of_url("https://a.b"));
        assert_eq!(of(None, true), Origin::of_url("https://pool"));
        assert_eq!(of(None, false), Origin::of_url("http://pool"));
    }
}
