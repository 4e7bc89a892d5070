//! Responses to bytes: status line, fields, the security fields every answer carries.

use std::borrow::Cow;
use std::rc::Rc;

/// `web.md` §1.5, on every response. Scripts and styles come from our own files only.
const SECURITY_FIELDS: &str = concat!(
    "Content-Security-Policy: default-src 'self'; object-src 'none'; base-uri 'none'; ",
    "frame-ancestors 'none'; form-action 'self'\r\n",
    "X-Content-Type-Options: nosniff\r\n",
    "X-Frame-Options: DENY\r\n",
    "Referrer-Policy: no-referrer\r\n",
    "Permissions-Policy: camera=(), microphone=(), geolocation=(), payment=(), usb=()\r\n",
    "Cross-Origin-Opener-Policy: same-origin\r\n",
);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Ok,
    SeeOther,
    NotModified,
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    LengthRequired,
    ContentTooLarge,
    TooManyRequests,
    HeadTooLarge,
    InternalError,
    Unavailable,
    VersionNotSupported,
}

impl Status {
    pub fn code(self) -> u16 {
        self.parts().0
    }

    pub fn reason(self) -> &'static str {
        self.parts().1
    }

    fn parts(self) -> (u16, &'static str) {
        match self {
            Self::Ok => (200, "OK"),
            Self::NotModified => (304, "Not Modified"),
            Self::SeeOther => (303, "See Other"),
            Self::BadRequest => (400, "Bad Request"),
            Self::Unauthorized => (401, "Unauthorized"),
            Self::Forbidden => (403, "Forbidden"),
            Self::TooManyRequests => (429, "Too Many Requests"),
            Self::NotFound => (404, "Not Found"),
            Self::MethodNotAllowed => (405, "Method Not Allowed"),
            Self::RequestTimeout => (408, "Request Timeout"),
            Self::LengthRequired => (411, "Length Required"),
            Self::ContentTooLarge => (413, "Content Too Large"),
            Self::HeadTooLarge => (431, "Request Header Fields Too Large"),
            Self::InternalError => (500, "Internal Server Error"),
            Self::Unavailable => (503, "Service Unavailable"),
            Self::VersionNotSupported => (505, "HTTP Version Not Supported"),
        }
    }
}

/// What is sent after the head; shared, because most answers are rendered once for many clients.
#[derive(Clone, Debug)]
pub enum Body {
    Static(&'static [u8]),
    Shared(Rc<[u8]>),
    /// It follows the head, and ends with the connection.
    Endless,
}

impl Body {
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Static(bytes) => bytes,
            Self::Shared(bytes) => bytes,
            Self::Endless => b"",
        }
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::Shared(text.into_bytes().into())
    }
}

#[derive(Clone, Debug)]
pub struct Response {
    pub status: Status,
    pub body: Body,
    fields: Vec<(&'static str, Cow<'static, str>)>,
}

impl Response {
    pub fn new(status: Status, content_type: &'static str, body: impl Into<Body>) -> Self {
        Self { status, body: body.into(), fields: vec![("Content-Type", content_type.into())] }
    }

    /// The status in words, for machines and for people whose request could not be read.
    pub fn plain(status: Status) -> Self {
        let text = format!("{} {}\n", status.code(), status.reason());
        Self::new(status, "text/plain; charset=utf-8", text).with("Cache-Control", "no-store")
    }

    /// "What you have is still right": the validator and freshness of `self` without its body.
    pub fn not_modified(mut self) -> Self {
        self.status = Status::NotModified;
        self.body = Body::Static(b"");
        self.fields.retain(|(name, _)| *name != "Content-Type");
        self
    }

    /// Values are ours or checked before they come here; a line end in one would be a bug.
    pub fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        let value = value.into();
        assert!(!value.contains(['\r', '\n']), "a header value is one line");
        self.fields.push((name, value));
        self
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(this, _)| *this == name).map(|(_, value)| &**value)
    }

    /// Appends status line and fields with their empty line.
    pub fn write_head(&self, out: &mut Vec<u8>, date: &str, keep_alive: bool) {
        let mut line = |text: &[&str]| {
            for part in text {
                out.extend_from_slice(part.as_bytes());
            }
        };
        line(&["HTTP/1.1 ", &self.status.code().to_string(), " ", self.status.reason(), "\r\n"]);
        line(&["Date: ", date, "\r\n"]);
        for (name, value) in &self.fields {
            line(&[name, ": ", value, "\r\n"]);
        }
        // A 304 has no body by definition; a length would describe the one it stands for.
        if self.status != Status::NotModified && !matches!(self.body, Body::Endless) {
            line(&["Content-Length: ", &self.body.as_bytes().len().to_string(), "\r\n"]);
        }
        line(&["Connection: ", if keep_alive { "keep-alive" } else { "close" }, "\r\n"]);
        line(&[SECURITY_FIELDS, "\r\n"]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Sat, 31 Jan 2026 19:55:02 GMT";

    fn head(response: &Response, keep_alive: bool) -> String {
        let mut out = Vec::new();
        response.write_head(&mut out, DATE, keep_alive);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_response_is_written_byte_for_byte() {
        let response =
            Response::new(Status::Ok, "application/json", "{}".to_owned()).with("ETag", "\"abc\"");
        assert_eq!(
            head(&response, true),
            "HTTP/1.1 200 OK\r\n\
             Date: Sat, 31 Jan 2026 19:55:02 GMT\r\n\
             Content-Type: application/json\r\n\
             ETag: \"abc\"\r\n\
             Content-Length: 2\r\n\
             Connection: keep-alive\r\n\
             Content-Security-Policy: default-src 'self'; object-src 'none'; base-uri 'none'; \
             frame-ancestors 'none'; form-action 'self'\r\n\
             X-Content-Type-Options: nosniff\r\n\
             X-Frame-Options: DENY\r\n\
             Referrer-Policy: no-referrer\r\n\
             Permissions-Policy: camera=(), microphone=(), geolocation=(), payment=(), usb=()\r\n\
             Cross-Origin-Opener-Policy: same-origin\r\n\
             \r\n"
        );
    }

    #[test]
    fn a_304_keeps_the_validator_and_has_neither_type_nor_length() {
        let full = Response::new(Status::Ok, "text/html", "x".to_owned()).with("ETag", "\"a\"");
        let text = head(&full.not_modified(), true);
        assert!(text.starts_with("HTTP/1.1 304 Not Modified\r\n"));
        assert!(text.contains("\r\nETag: \"a\"\r\n"));
        assert!(!text.contains("\r\nContent-Type:") && !text.contains("\r\nContent-Length:"));
    }

    #[test]
    fn a_plain_answer_says_its_status() {
        let response = Response::plain(Status::ContentTooLarge);
        assert_eq!(response.body.as_bytes(), b"413 Content Too Large\n");
        let text = head(&response, false);
        assert!(text.contains("\r\nContent-Length: 22\r\nConnection: close\r\n"));
    }
}
