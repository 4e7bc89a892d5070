//! A line of a log as it may be shown on a page: without what would let its reader in elsewhere.

use crate::privacy::without_credentials;

/// Takes the place of what is left out.
const LEFT_OUT: &str = "***";
/// A shorter secret would be found in words that have nothing to do with it.
const SECRET_CHARS_MIN: usize = 4;

/// A line of any log: no password in a URL, no `Authorization`, none of these secrets.
pub(super) fn any(line: &str, secrets: &[String]) -> String {
    let mut line = without_credentials(line);
    if let Some(at) = find_ignoring_case(&line, "authorization:") {
        line.truncate(at + "authorization:".len());
        line.push_str(LEFT_OUT);
    }
    for secret in secrets.iter().filter(|secret| secret.chars().count() >= SECRET_CHARS_MIN) {
        line = line.replace(secret.as_str(), LEFT_OUT);
    }
    line
}

/// A line of traffic: what a miner authorizes with is left out as well. Whatever is in doubt goes: a
/// line with escapes may spell a method in a way of its own.
pub(super) fn traffic(line: &str, secrets: &[String]) -> String {
    let line = any(line, secrets);
    if find_ignoring_case(&line, "authorize").is_none() && !line.contains("\\u") {
        return line;
    }
    without_passwords(&line)
}

/// Where a word in ASCII stands.
fn find_ignoring_case(text: &str, word: &str) -> Option<usize> {
    let windows = text.as_bytes().windows(word.len());
    windows.into_iter().position(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

/// JSON, or what somebody has sent instead of it, without anything but the first in each list
/// (`["worker", "password"]`), and without what is named like a password.
fn without_passwords(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    // Open brackets, from the outside.
    let mut open: Vec<u8> = Vec::new();
    // A name that is a password's has been read, and its value has not.
    let mut is_password = false;
    let start = line.find(['{', '[']).unwrap_or(line.len());
    // The time and the direction are in front of it; `[recv]` is no list.
    let start = line[start..].find("] ").map_or(start, |at| start + at + 2);
    shown.push_str(&line[..start]);
    let mut rest = &line[start..];
    while let Some(first) = rest.chars().next() {
        let taken = match first {
            '"' => {
                let end = end_of_text(rest);
                let text = &rest[..end];
                let is_name = rest[end..].trim_start().starts_with(':');
                if is_password && !is_name {
                    shown.push_str(LEFT_OUT);
                    is_password = false;
                } else {
                    shown.push_str(text);
                    is_password = is_name && find_ignoring_case(text, "pass").is_some();
                }
                end
            }
            ',' if open.last() == Some(&b'[') => {
                let end = end_of_list(rest);
                shown.push(',');
                shown.push_str(LEFT_OUT);
                end
            }
            _ => {
                match first {
                    '[' | '{' => open.push(first as u8),
                    ']' | '}' => {
                        open.pop();
                    }
                    _ => {}
                }
                if matches!(first, ',' | '}') {
                    is_password = false;
                }
                if !is_password || matches!(first, ':' | ' ' | '[' | '{') {
                    shown.push(first);
                }
                first.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    shown
}

/// Of the text that begins here: one that does not end takes all.
fn end_of_text(rest: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Where the list that this is within ends, without its bracket.
fn end_of_list(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while let Some(byte) = rest.as_bytes().get(at) {
        match byte {
            b'"' => {
                at += end_of_text(&rest[at..]);
                continue;
            }
            b'[' => depth += 1,
            b']' if depth == 0 => return at,
            b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2026-01-31T03:04:05.5Z [recv] ";

    #[track_caller]
    fn check(said: &str, expected: &str) {
        let secrets = ["hunter2".to_owned(), "x".to_owned()];
        assert_eq!(traffic(&format!("{TIME}{said}"), &secrets), format!("{TIME}{expected}"));
    }

    #[test]
    fn what_a_miner_authorizes_with_is_left_out() {
        check(
            r#"{"id":1,"method":"mining.authorize","params":["bc1q.rig","x,d=1"]}"#,
            r#"{"id":1,"method":"mining.authorize","params":["bc1q.rig",***]}"#,
        );
        check(
            r#"{"params": ["w" , "a\"],b", ["c"], 1] , "method":"mining.Authorize"}"#,
            r#"{"params": ["w" ,***] , "method":"mining.Authorize"}"#,
        );
        // Cut off in the middle, and in a way of its own.
        check(
            r#"{"method":"mining.authorize","params":["w","sec"#,
            r#"{"method":"mining.authorize","params":["w",***"#,
        );
        check(
            r#"{"method":"mining.\u0061uthorize","params":["w","secret"]}"#,
            r#"{"method":"mining.\u0061uthorize","params":["w",***]}"#,
        );
        check(
            r#"{"method":"mining.authorize","params":{"user":"w","passWord":"secret","a":1}}"#,
            r#"{"method":"mining.authorize","params":{"user":"w","passWord":***,"a":1}}"#,
        );
        check(
            r#"{"method":"mining.authorize","params":{"pass": 1234, "a":1}}"#,
            r#"{"method":"mining.authorize","params":{"pass": , "a":1}}"#,
        );
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        for said in [
            r#"{"id":1,"method":"mining.submit","params":["w","1","2","3","4"]}"#,
            r#"{"id":null,"method":"mining.notify","params":["1","00",[],true]}"#,
            "",
            "rubbish [ \" {",
        ] {
            check(said, said);
        }
    }

    #[test]
    fn ways_in_are_left_out_of_every_log() {
        let secrets = ["hunter2".to_owned(), "abc".to_owned()];
        assert_eq!(
            any("goPool starts rpc=http://u:p@node:8332 word=hunter2 abc", &secrets),
            "goPool starts rpc=http://node:8332 word=*** abc"
        );
        let line = "[rpc-send] POST / HTTP/1.1\\r\\nAuthorization: Basic dXNlcjpw\\r\\n";
        assert_eq!(any(line, &[]), "[rpc-send] POST / HTTP/1.1\\r\\nAuthorization:***");
    }
}
