//! Paths of requests: decoded once, and refused where two programs could read them differently.

use super::response::Status;

/// A path as it is meant. Percent-escapes are undone once; none of them may stand for a separator,
/// for a segment of dots or for anything that is no text.
pub fn decode(raw: &str) -> Result<String, Status> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let byte = if byte == b'%' {
            let (digits, after) = after.split_at_checked(2).ok_or(Status::BadRequest)?;
            rest = after;
            escaped(digits).filter(|byte| *byte != b'/').ok_or(Status::BadRequest)?
        } else {
            byte
        };
        if byte.is_ascii_control() || byte == b'\\' {
            return Err(Status::BadRequest);
        }
        bytes.push(byte);
    }
    let path = String::from_utf8(bytes).map_err(|_| Status::BadRequest)?;
    // No separator was made or lost, so the segments are the same ones.
    let hides_dots = |(raw, meant): (&str, &str)| raw != meant && matches!(meant, "." | "..");
    if raw.split('/').zip(path.split('/')).any(hides_dots) {
        return Err(Status::BadRequest);
    }
    Ok(path)
}

fn escaped(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    Some((digit(digits[0])? * 16 + digit(digits[1])?) as u8)
}

/// The path without empty segments and dots, when it has such.
pub fn cleaned(raw: &str) -> Option<String> {
    let segments = || raw.split('/').skip(1);
    let last = segments().count().saturating_sub(1);
    let is_unclean = |(index, segment): (usize, &str)| {
        matches!(segment, "." | "..") || (segment.is_empty() && index < last)
    };
    if !segments().enumerate().any(is_unclean) {
        return None;
    }
    let mut kept: Vec<&str> = Vec::new();
    for segment in segments() {
        match segment {
            "" | "." => {}
            // Above the root there is the root.
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    let is_folder = matches!(segments().last(), Some("" | "." | "..")) && !kept.is_empty();
    Some(format!("/{}{}", kept.join("/"), if is_folder { "/" } else { "" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_once() {
        for (raw, path) in [
            ("/", "/"),
            ("/static/%61pp.css", "/static/app.css"),
            ("/user/a%20b%2Ec", "/user/a b.c"),
            ("/%C3%A9", "/é"),
            ("/%2565", "/%65"),
            ("/%252e%252e/x", "/%2e%2e/x"),
            ("/...", "/..."),
            ("/a%2e.b", "/a..b"),
        ] {
            assert_eq!(decode(raw).as_deref(), Ok(path), "{raw}");
        }
    }

    #[test]
    fn what_has_two_readings_is_refused() {
        for raw in [
            "/%",
            "/%4",
            "/%zz",
            "/%u0041",
            "/%+1",
            "/%00",
            "/a%00.css",
            "/%0a",
            "/%0d%0a",
            "/%7f",
            "/\\",
            "/a\\..\\b",
            "/%5c",
            "/..%5c",
            "/..%2f",
            "/%2F",
            "/a%2fb",
            "/%2e",
            "/%2e%2e",
            "/%2e%2e/x",
            "/.%2e/x",
            "/%2E./x",
            "/x/%2e/y",
            "/%ff",
            "/%c0%ae%c0%ae/",
            "/%c0%af",
            "/%e0%80%af",
        ] {
            assert_eq!(decode(raw), Err(Status::BadRequest), "{raw}");
        }
    }

    #[test]
    fn a_clean_path_is_left_alone_and_another_one_is_cleaned() {
        for raw in ["/", "/a", "/a/", "/a/b", "/...", "/.well-known/x", "/a..b"] {
            assert_eq!(cleaned(raw), None, "{raw}");
        }
        for (raw, clean) in [
            ("//", "/"),
            ("//evil.example/x", "/evil.example/x"),
            ("/a//b", "/a/b"),
            ("/a//", "/a/"),
            ("/./a", "/a"),
            ("/a/.", "/a/"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/icons/../../x", "/x"),
            ("/..", "/"),
            ("/../..//", "/"),
        ] {
            assert_eq!(cleaned(raw).as_deref(), Some(clean), "{raw}");
            assert_eq!(cleaned(clean), None);
        }
    }
}
