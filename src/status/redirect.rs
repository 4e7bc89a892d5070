//! What the HTTP port says while there is HTTPS: go there (`web.md` §1.2). And what certificate
//! authorities ask it for: the proof that this host is ours.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::http::{Method, Request, Response, Status, host_name};

const HTTPS_PORT: u16 = 443;
const PLAIN: &str = "text/plain; charset=utf-8";
const CHALLENGE_PATH: &str = "/.well-known/acme-challenge/";
/// Tokens have 43 characters, keys with their thumbprint 87.
const TOKEN_BYTES_MAX: usize = 128;
const CHALLENGE_BYTES_MAX: u64 = 4 * 1024;

/// `server.status_public_url`: what people type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    pub is_https: bool,
    /// As a URL has it, with brackets around IPv6.
    pub host: String,
    pub port: Option<u16>,
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// The answer to every request: the same on HTTPS.
pub fn to_https(request: &Request, public: Option<&PublicUrl>, tls_port: u16) -> Response {
    let (host, port) = match (public, request.header("host")) {
        // Its port is that of HTTPS only when it says so.
        (Some(url), _) if url.is_https => (url.host.as_str(), url.port.unwrap_or(HTTPS_PORT)),
        (Some(url), _) => (url.host.as_str(), tls_port),
        (None, Some(field)) => match host_name(field) {
            Some(name) => (name, tls_port),
            None => return Response::plain(Status::BadRequest),
        },
        // HTTP/1.0 need not name a host.
        (None, None) => ("localhost", tls_port),
    };
    let port = if port == HTTPS_PORT { String::new() } else { format!(":{port}") };
    let location = format!("https://{host}{port}{}", request.target());
    Response::plain(Status::TemporaryRedirect).with("Location", location)
}

/// The file that a certificate authority looks for, when it is there.
pub fn challenge(request: &Request, folder: &Path) -> Option<Response> {
    let token = request.path.strip_prefix(CHALLENGE_PATH)?;
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_token = (1..=TOKEN_BYTES_MAX).contains(&token.len()) && token.bytes().all(is_allowed);
    if !is_token || !matches!(request.method, Method::Get | Method::Head) {
        return None;
    }
    let text = read(&folder.join(token)).ok()?;
    Some(Response::new(Status::Ok, PLAIN, text).with("Cache-Control", "no-store"))
}

fn read(path: &Path) -> io::Result<String> {
    // A pipe would be waited for.
    if !path.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut text = String::new();
    File::open(path)?.take(CHALLENGE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > CHALLENGE_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: (bool, &str, Option<u16>)) -> PublicUrl {
        PublicUrl { is_https: text.0, host: text.1.to_owned(), port: text.2 }
    }

    #[track_caller]
    fn check(target: &str, host: &str, public: Option<&PublicUrl>, tls_port: u16, expected: &str) {
        let mut request = Request::get(target, &[]);
        request.set_header("host", host);
        let response = to_https(&request, public, tls_port);
        assert_eq!(response.status, Status::TemporaryRedirect);
        assert_eq!(response.field("Location"), Some(expected), "{target} {host}");
    }

    #[test]
    fn the_host_is_kept_and_the_port_is_that_of_https() {
        check("/", "pool.example", None, 443, "https://pool.example/");
        check("/", "pool.example:8080", None, 443, "https://pool.example/");
        check("/", "pool.example:8080", None, 8443, "https://pool.example:8443/");
        check(
            "/a//b/../c?x=1&y=%2F",
            "[::1]:80",
            None,
            8443,
            "https://[::1]:8443/a//b/../c?x=1&y=%2F",
        );
        check("/%41?%42", "10.0.0.1", None, 443, "https://10.0.0.1/%41?%42");
    }

    #[test]
    fn the_public_url_wins() {
        let public = url((true, "pool.example", None));
        check("/x", "a\"><b>", Some(&public), 8443, "https://pool.example/x");
        let public = url((true, "pool.example", Some(9443)));
        check("/x", "other", Some(&public), 443, "https://pool.example:9443/x");
        // The port of plain HTTP leads nowhere.
        let public = url((false, "pool.example", Some(8080)));
        check("/x", "other", Some(&public), 8443, "https://pool.example:8443/x");
    }

    #[test]
    fn what_is_no_host_is_not_sent_back() {
        for host in ["", "a b", "evil.example/x", "user@host", "a:b", "x\u{e9}"] {
            let mut request = Request::get("/", &[]);
            request.set_header("host", host);
            assert_eq!(to_https(&request, None, 443).status, Status::BadRequest, "{host:?}");
        }
    }

    #[test]
    fn challenges_are_served_from_their_folder_alone() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: usize| {
            std::fs::write(folder.path().join(name), "k".repeat(bytes)).unwrap();
        };
        write("to-KEN_1", 87);
        write("largest", 4096);
        write("large", 4097);
        write("a.b", 1);
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        let ask = |path: &str| {
            challenge(&Request::get(path, &[]), folder.path()).map(|r| r.body.as_bytes().len())
        };
        assert_eq!(ask("/.well-known/acme-challenge/to-KEN_1"), Some(87));
        assert_eq!(ask("/.well-known/acme-challenge/largest"), Some(4096));
        for token in ["large", "a.b", "folder", "none", "", "to-KEN_1/", "folder/x"] {
            assert_eq!(ask(&format!("{CHALLENGE_PATH}{token}")), None, "{token}");
        }
        let mut request = Request::get("/.well-known/acme-challenge/to-KEN_1", &[]);
        request.method = Method::Post;
        assert!(challenge(&request, folder.path()).is_none());
    }
}
