//! What the pool says: the answer to an accepted share in a glance, everything else at leisure.

use serde_json::Value;

const HEAD: &[u8] = b"{\"id\":";
const ACCEPTED: &[u8] = b",\"result\":true,\"error\":null}\n";
const NOTIFY: &[u8] = b"{\"id\":null,\"method\":\"mining.notify\",\"params\":[\"";
/// From the time to the end of the line: `"66230000",true]}` or `false`.
const CLEAN: &[u8] = b",true]}";
const NOT_CLEAN: &[u8] = b",false]}";

/// The id of an accepted request at the start of `bytes`, and the length of its line.
#[inline]
pub fn accepted(bytes: &[u8]) -> Option<(u64, usize)> {
    let digits = bytes.strip_prefix(HEAD)?;
    let mut id = 0u64;
    let mut count = 0;
    while let Some(digit) = digits.get(count).map(|byte| byte.wrapping_sub(b'0'))
        && digit < 10
        && count < 15
    {
        id = 10 * id + u64::from(digit);
        count += 1;
    }
    let is_accepted = count > 0 && digits[count..].starts_with(ACCEPTED);
    is_accepted.then_some((id, HEAD.len() + count + ACCEPTED.len()))
}

/// A line that is no accepted request.
#[derive(Debug, PartialEq)]
pub enum Line<'a> {
    Work(Work<'a>),
    Subscribed {
        id: u64,
        extranonce1: String,
        extranonce2_bytes: usize,
    },
    /// An answer that says no, and why.
    Refused {
        id: Option<u64>,
        reason: String,
    },
    /// An answer with another result.
    Answered {
        id: u64,
    },
    /// A notification of another kind.
    Told {
        method: String,
        params: Value,
    },
    /// No line of Stratum.
    Strange,
}

/// What of `mining.notify` a share needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work<'a> {
    pub job: &'a str,
    pub ntime: &'a str,
    pub is_clean: bool,
}

impl<'a> Work<'a> {
    /// Reads a notify as pools write it: the id first, the time and the flag last.
    #[inline]
    pub fn read(line: &'a [u8]) -> Option<Self> {
        let rest = line.strip_prefix(NOTIFY)?;
        let job = &rest[..memchr::memchr(b'"', rest)?];
        let (rest, is_clean) = match rest.strip_suffix(CLEAN) {
            Some(rest) => (rest, true),
            None => (rest.strip_suffix(NOT_CLEAN)?, false),
        };
        let ntime = rest.strip_suffix(b"\"")?;
        let ntime = &ntime[ntime.len().checked_sub(8)?..];
        let text = |bytes: &'a [u8]| std::str::from_utf8(bytes).ok();
        Some(Self { job: text(job)?, ntime: text(ntime)?, is_clean })
    }
}

impl<'a> Line<'a> {
    /// Reads a line, without its end.
    pub fn read(line: &'a [u8]) -> Self {
        if let Some(work) = Work::read(line) {
            return Self::Work(work);
        }
        let Ok(mut value) = serde_json::from_slice::<Value>(line) else {
            return Self::Strange;
        };
        if let Some(method) = value["method"].as_str() {
            return Self::Told { method: method.to_owned(), params: value["params"].take() };
        }
        let id = value["id"].as_u64();
        if !value["error"].is_null() {
            return Self::Refused { id, reason: reason(&value["error"]) };
        }
        let Some(id) = id else {
            return Self::Strange;
        };
        let result = &value["result"];
        match (result[1].as_str(), result[2].as_u64()) {
            (Some(extranonce1), Some(size @ 1..=64)) => Self::Subscribed {
                id,
                extranonce1: extranonce1.to_owned(),
                extranonce2_bytes: size as usize,
            },
            _ => Self::Answered { id },
        }
    }
}

/// Code and words of an error, without the figures that differ from one to the next.
fn reason(error: &Value) -> String {
    let words = error[1].as_str().or(error["message"].as_str()).unwrap_or("no words");
    let words = words.split(" (").next().unwrap_or(words);
    match error[0].as_i64().or(error["code"].as_i64()) {
        Some(code) => format!("{code} {words}"),
        None => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accepted_share_is_seen_at_a_glance() {
        let line = b"{\"id\":1234567,\"result\":true,\"error\":null}\n{\"id\":2";
        assert_eq!(accepted(line), Some((1_234_567, 42)));
        for other in [
            &b"{\"id\":1234567,\"result\":true,\"error\":null}"[..],
            b"{\"id\":1234567,\"result\":false,\"error\":[21,\"job not found\",null]}\n",
            b"{\"id\":,\"result\":true,\"error\":null}\n",
            b"{\"id\":\"7\",\"result\":true,\"error\":null}\n",
            b"{\"id\":99999999999999999999,\"result\":true,\"error\":null}\n",
            b"{\"id\":12",
            b"{\"i",
            b"",
        ] {
            assert_eq!(accepted(other), None, "{}", String::from_utf8_lossy(other));
        }
    }

    #[test]
    fn new_work_is_read_without_reading_all_of_it() {
        let work = |clean| {
            format!(
                r#"{{"id":null,"method":"mining.notify","params":["z-1","00","01","02",["03"],"20000000","17034219","66230000",{clean}]}}"#
            )
        };
        for is_clean in [true, false] {
            let line = work(is_clean);
            let expected = Work { job: "z-1", ntime: "66230000", is_clean };
            assert_eq!(Line::read(line.as_bytes()), Line::Work(expected));
            for length in 0..line.len() {
                assert_eq!(Work::read(&line.as_bytes()[..length]), None, "{length} bytes");
            }
        }
    }

    #[test]
    fn everything_else_is_told_apart() {
        let subscribed = r#"{"id":1,"result":[[["mining.notify","1"]],"00000001",4],"error":null}"#;
        assert_eq!(
            Line::read(subscribed.as_bytes()),
            Line::Subscribed { id: 1, extranonce1: "00000001".into(), extranonce2_bytes: 4 }
        );
        let refused = |id, reason: &str| Line::Refused { id, reason: reason.into() };
        for (line, expected) in [
            (
                r#"{"id":9,"result":false,"error":[23,"low difficulty share (1 expected 2)",null]}"#,
                refused(Some(9), "23 low difficulty share"),
            ),
            (
                r#"{"id":null,"result":null,"error":[-32700,"parse error",null]}"#,
                refused(None, "-32700 parse error"),
            ),
            (r#"{"id":9,"error":"busy"}"#, refused(Some(9), "no words")),
            (r#"{"id":4,"result":"pong","error":null}"#, Line::Answered { id: 4 }),
            (
                r#"{"id":null,"method":"mining.set_difficulty","params":[1]}"#,
                Line::Told {
                    method: "mining.set_difficulty".into(),
                    params: serde_json::json!([1]),
                },
            ),
            ("hello", Line::Strange),
            ("[]", Line::Strange),
        ] {
            assert_eq!(Line::read(line.as_bytes()), expected, "{line}");
        }
    }
}
