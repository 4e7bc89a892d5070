//! The answer to a line: the pool's to an accepted share, with the id of the line.

use memchr::memchr;
use memchr::memmem;

const HEAD: &[u8] = b"{\"id\":";
const TAIL: &[u8] = b",\"result\":true,\"error\":null}\n";

/// Appends an answer to each whole line of `input`, and returns how many bytes the lines were.
#[inline]
pub(super) fn answer_lines(input: &[u8], out: &mut Vec<u8>) -> usize {
    let mut start = 0;
    while let Some(length) = memchr(b'\n', &input[start..]) {
        let line = &input[start..start + length];
        out.extend_from_slice(HEAD);
        out.extend_from_slice(id(line));
        out.extend_from_slice(TAIL);
        start += length + 1;
    }
    start
}

/// The digits of the line's id. Most clients write it first; some last.
#[inline]
fn id(line: &[u8]) -> &[u8] {
    let after = match line.strip_prefix(HEAD) {
        Some(after) => after,
        None => match memmem::find(line, &HEAD[1..]) {
            Some(at) => &line[at + HEAD.len() - 1..],
            None => return b"null",
        },
    };
    let digits = after.strip_prefix(b" ").unwrap_or(after);
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    if end == 0 { b"null" } else { &digits[..end] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, ids: &[&str], taken: usize) {
        let mut out = Vec::new();
        assert_eq!(answer_lines(input.as_bytes(), &mut out), taken);
        let answers: String = ids
            .iter()
            .map(|id| format!("{{\"id\":{id},\"result\":true,\"error\":null}}\n"))
            .collect();
        assert_eq!(String::from_utf8(out).unwrap(), answers);
    }

    #[test]
    fn every_whole_line_is_answered_with_its_id() {
        check("{\"id\":17,\"method\":\"x\"}\n", &["17"], 23);
        check("{\"id\": 5, \"method\": \"x\"}\n{\"id\":6}\n{\"id\"", &["5", "6"], 34);
        check("{\"params\": [], \"id\": 4, \"method\": \"x\"}\n", &["4"], 39);
        check("nothing\n", &["null"], 8);
        check("{\"id\":1}", &[], 0);
    }
}
