//! Responses to bytes: status line, fields, the security fields every answer carries.

use std::borrow::Cow;
use std::rc::Rc;

use super::encoding::{ENCODED_BYTES_MIN, Encoding, Forms, accepted};
use super::etag::{matching, with_form};
use super::request::Request;

/// Only over HTTPS (`web.md` §1.5): ask for nothing else here, for a year.
const HTTPS_ONLY_FIELD: &str = "Strict-Transport-Security: max-age=31536000\r\n";
/// `web.md` §1.5, on every response. Scripts and styles come from our own files only; everything is
/// sent whole.
const COMMON_FIELDS: &str = concat!(
    "Accept-Ranges: none\r\n",
    "X-Content-Type-Options: nosniff\r\n",
    "X-Frame-Options: DENY\r\n",
    "Referrer-Policy: no-referrer\r\n",
    "Permissions-Policy: camera=(), microphone=(), geolocation=(), payment=(), usb=()\r\n",
    "Cross-Origin-Opener-Policy: same-origin\r\n",
);

/// On every response that has none of its own.
const POLICY_FIELD: &str = concat!(
    "Content-Security-Policy: default-src 'self'; object-src 'none'; base-uri 'none'; ",
    "frame-ancestors 'none'; form-action 'self'\r\n",
);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Ok,
    SeeOther,
    NotModified,
    TemporaryRedirect,
    PermanentRedirect,
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
            Self::TemporaryRedirect => (307, "Temporary Redirect"),
            Self::PermanentRedirect => (308, "Permanent Redirect"),
            Self::BadRequest => (400, "Bad Request"),
            Self::Unauthorized => (401, "Unauthorized"),
            Self::Forbidden => (403, "Forbidden"),
            Self::NotFound => (404, "Not Found"),
            Self::MethodNotAllowed => (405, "Method Not Allowed"),
            Self::RequestTimeout => (408, "Request Timeout"),
            Self::LengthRequired => (411, "Length Required"),
            Self::ContentTooLarge => (413, "Content Too Large"),
            Self::TooManyRequests => (429, "Too Many Requests"),
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
    Shared(Rc<Forms>),
    Encoded(Rc<Forms>, Encoding),
    /// It follows the head, and ends with the connection.
    Endless,
}

impl Body {
    /// A file of ours, compressed at once.
    pub fn of_file(bytes: &'static [u8]) -> Self {
        Self::Shared(Rc::new(Forms::of_file(bytes)))
    }

    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Static(bytes) => bytes,
            Self::Shared(forms) => &forms.plain,
            Self::Encoded(forms, encoding) => forms.get(*encoding).unwrap_or_default(),
            Self::Endless => b"",
        }
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::Shared(Rc::new(Forms::of_page(text.into_bytes())))
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

    /// Look there instead (RFC 9110 §15.4.4), with GET.
    pub fn see_other(location: impl Into<Cow<'static, str>>) -> Self {
        Self::plain(Status::SeeOther).with("Location", location)
    }

    /// Why it is not done, in one line that no page is needed for.
    pub fn refusal(status: Status, words: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", format!("{words}\n"))
            .with("Cache-Control", "no-store")
    }

    /// In the form that the client likes best, or without a body when it has this version already.
    /// Only what has a validator comes in other forms: it was rendered once, and holds nothing that
    /// one client alone may see.
    pub fn for_request(self, request: &Request) -> Self {
        let mut response = self.encoded(request.header("accept-encoding"));
        if response.status != Status::Ok {
            return response;
        }
        let field = request.header("if-none-match");
        let tag = field.zip(response.field("ETag")).and_then(|(field, tag)| matching(field, tag));
        if let Some(tag) = tag.map(str::to_owned) {
            response = response.not_modified();
            response.set("ETag", tag);
        }
        response
    }

    fn encoded(mut self, accept_encoding: Option<&str>) -> Self {
        let (Body::Shared(forms), Some(etag)) = (&self.body, self.field("ETag")) else {
            return self;
        };
        let is_text = self.field("Content-Type").is_some_and(is_text);
        if !is_text || forms.plain.len() < ENCODED_BYTES_MIN {
            return self;
        }
        let encoding = accepted(accept_encoding).find(|form| forms.get(*form).is_some());
        let encoded = encoding
            .map(|form| (form, Body::Encoded(Rc::clone(forms), form), with_form(etag, form)));
        let vary = match self.field("Vary") {
            None => Some("Accept-Encoding".to_owned()),
            Some(vary) if vary.contains("Accept-Encoding") => None,
            Some(vary) => Some(format!("{vary}, Accept-Encoding")),
        };
        if let Some(vary) = vary {
            self.set("Vary", vary);
        }
        if let Some((encoding, body, etag)) = encoded {
            self.body = body;
            self.set("ETag", etag);
            self.set("Content-Encoding", encoding.name().to_owned());
        }
        self
    }

    /// In the place of the field of that name, or after all others.
    fn set(&mut self, name: &'static str, value: String) {
        match self.fields.iter_mut().find(|(this, _)| *this == name) {
            Some((_, old)) => *old = value.into(),
            None => self.fields.push((name, value.into())),
        }
    }

    /// "What you have is still right": the validator and freshness of `self` without its body.
    fn not_modified(mut self) -> Self {
        self.status = Status::NotModified;
        self.body = Body::Static(b"");
        self.fields.retain(|(name, _)| !matches!(*name, "Content-Type" | "Content-Encoding"));
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
    pub fn write_head(&self, out: &mut Vec<u8>, date: &str, keep_alive: bool, https_only: bool) {
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
        let policy = self.field("Content-Security-Policy").map_or(POLICY_FIELD, |_| "");
        line(&[if https_only { HTTPS_ONLY_FIELD } else { "" }, policy, COMMON_FIELDS, "\r\n"]);
    }
}

/// What gets shorter: images have been compressed already.
fn is_text(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.starts_with("text/")
        || matches!(
            media_type,
            "application/json" | "application/openmetrics-text" | "image/svg+xml"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Sat, 31 Jan 2026 19:55:02 GMT";

    fn head(response: &Response, keep_alive: bool) -> String {
        let mut out = Vec::new();
        response.write_head(&mut out, DATE, keep_alive, false);
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
             Accept-Ranges: none\r\n\
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
    fn browsers_are_told_to_stay_with_https_only_when_that_is_wanted() {
        let response = Response::plain(Status::Ok);
        let mut out = Vec::new();
        response.write_head(&mut out, DATE, true, true);
        let field = "\r\nStrict-Transport-Security: max-age=31536000\r\n";
        assert!(String::from_utf8(out).unwrap().contains(field));
        assert!(!head(&response, true).contains("Strict-Transport-Security"));
    }

    fn page(headers: &[(&str, &str)], bytes: usize, content_type: &'static str) -> Response {
        Response::new(Status::Ok, content_type, "page ".repeat(bytes / 5))
            .with("ETag", "\"v1\"")
            .with("Vary", "Accept")
            .for_request(&Request::get("/", headers))
    }

    #[test]
    fn a_form_has_its_own_tag_and_length_and_says_what_it_depends_on() {
        for (accept, encoding, etag) in [
            ("gzip", Some("gzip"), "\"v1-gz\""),
            ("br, gzip", Some("br"), "\"v1-br\""),
            ("", None, "\"v1\""),
        ] {
            let response = page(&[("Accept-Encoding", accept)], 5000, "text/html; charset=utf-8");
            assert_eq!(response.field("Content-Encoding"), encoding, "{accept}");
            assert_eq!(response.field("ETag"), Some(etag));
            assert_eq!(response.field("Vary"), Some("Accept, Accept-Encoding"));
            assert_eq!(response.body.as_bytes().len() < 5000, encoding.is_some());
            let length = format!("\r\nContent-Length: {}\r\n", response.body.as_bytes().len());
            assert!(head(&response, true).contains(&length));
        }
    }

    #[test]
    fn small_things_images_and_what_has_no_validator_stay_as_they_are() {
        let gzip = [("Accept-Encoding", "gzip")];
        for response in [page(&gzip, 1000, "text/html"), page(&gzip, 5000, "image/png")] {
            assert_eq!(response.field("Content-Encoding"), None);
            assert_eq!(response.field("Vary"), Some("Accept"));
        }
        let private = Response::new(Status::Ok, "text/html", "page ".repeat(1000));
        let response = private.for_request(&Request::get("/", &gzip));
        assert_eq!(response.field("Content-Encoding"), None);
    }

    #[test]
    fn a_version_is_not_sent_again_in_another_form() {
        for tag in ["\"v1\"", "\"v1-gz\"", "\"v1-br\"", "*"] {
            let headers = [("Accept-Encoding", "gzip"), ("If-None-Match", tag)];
            let response = page(&headers, 5000, "text/html");
            assert_eq!(
                (response.status, response.body.as_bytes()),
                (Status::NotModified, &b""[..])
            );
            let expected = if tag == "*" { "\"v1-gz\"" } else { tag };
            assert_eq!(response.field("ETag"), Some(expected));
            assert_eq!(response.field("Content-Encoding"), None);
        }
        let headers = [("Accept-Encoding", "gzip"), ("If-None-Match", "\"v2-gz\"")];
        assert_eq!(page(&headers, 5000, "text/html").status, Status::Ok);
    }

    #[test]
    fn a_plain_answer_says_its_status() {
        let response = Response::plain(Status::ContentTooLarge);
        assert_eq!(response.body.as_bytes(), b"413 Content Too Large\n");
        let text = head(&response, false);
        assert!(text.contains("\r\nContent-Length: 22\r\nConnection: close\r\n"));
    }
}
