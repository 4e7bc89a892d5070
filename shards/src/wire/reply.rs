//! What the pool says, one line a message (`stratum.md` §2.2): members in a fixed order, no
//! insignificant white space, `error` and `result` always there.

use serde::Serialize;

use crate::wire::reject::Reject;

/// Answers `id` with a result of any shape.
pub fn result(out: &mut Vec<u8>, id: &str, result: &impl Serialize) {
    start_response(out, id);
    write_json(out, result);
    out.extend(b",\"error\":null}\n");
}

/// Answers `id` with `true`.
pub fn success(out: &mut Vec<u8>, id: &str) {
    start_response(out, id);
    out.extend(b"true,\"error\":null}\n");
}

/// Answers a submission that is not accepted.
pub fn reject(out: &mut Vec<u8>, id: &str, reject: Reject) {
    failure(out, id, Failed::False, reject.code(), &reject.message());
}

/// What stands as the result of a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    False,
    Null,
}

/// Answers `id` with an error.
pub fn failure(out: &mut Vec<u8>, id: &str, result: Failed, code: i32, message: &str) {
    start_response(out, id);
    out.extend(match result {
        Failed::False => &b"false"[..],
        Failed::Null => b"null",
    });
    out.extend(b",\"error\":");
    write_json(out, &(code, message, ()));
    out.extend(b"}\n");
}

/// Tells `params`, a JSON array, under `method`.
pub fn notification(out: &mut Vec<u8>, method: &str, params: &impl Serialize) {
    out.extend(b"{\"id\":null,\"method\":\"");
    out.extend(method.as_bytes());
    out.extend(b"\",\"params\":");
    write_json(out, params);
    out.extend(b"}\n");
}

/// Whole numbers are written without a point: some firmware reads the difficulty as an integer.
pub fn set_difficulty(out: &mut Vec<u8>, difficulty: f64) {
    // `{}` writes the shortest decimal that reads back the same, never an exponent.
    let line =
        format!("{{\"id\":null,\"method\":\"mining.set_difficulty\",\"params\":[{difficulty}]}}\n");
    out.extend(line.as_bytes());
}

/// Longest `client.show_message` text, in bytes (`stratum.md` §0.2).
const MESSAGE_BYTES_MAX: usize = 512;

/// A text that a miner may show its owner; never empty.
pub fn show_message(out: &mut Vec<u8>, text: &str) {
    let text = text.trim();
    let cut = text.floor_char_boundary(MESSAGE_BYTES_MAX);
    if cut > 0 {
        notification(out, "client.show_message", &[&text[..cut]]);
    }
}

/// Asks the miner to come back to where it is, after a while. Host and port are left open: a miner
/// may refuse to follow a pool to another.
pub fn reconnect(out: &mut Vec<u8>, wait_seconds: u64) {
    notification(out, "client.reconnect", &((), (), wait_seconds));
}

fn start_response(out: &mut Vec<u8>, id: &str) {
    out.extend(b"{\"id\":");
    out.extend(id.as_bytes());
    out.extend(b",\"result\":");
}

fn write_json(out: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(out, value).expect("a Vec takes every byte and the keys are strings");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(write: impl FnOnce(&mut Vec<u8>), line: &str) {
        let mut out = Vec::new();
        write(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!("{line}\n"));
    }

    #[test]
    fn responses_have_all_members_in_order() {
        check(|out| success(out, "7"), r#"{"id":7,"result":true,"error":null}"#);
        check(|out| result(out, "\"v\"", &"pong"), r#"{"id":"v","result":"pong","error":null}"#);
        check(
            |out| failure(out, "null", Failed::Null, -32601, "method not found"),
            r#"{"id":null,"result":null,"error":[-32601,"method not found",null]}"#,
        );
        check(
            |out| reject(out, "9", Reject::Duplicate),
            r#"{"id":9,"result":false,"error":[22,"duplicate share",null]}"#,
        );
    }

    #[test]
    fn whole_difficulties_have_no_point_and_small_ones_no_exponent() {
        for (difficulty, number) in
            [(256.0, "256"), (1e-7, "0.0000001"), (0.5, "0.5"), (1e15, "1000000000000000")]
        {
            let line =
                format!(r#"{{"id":null,"method":"mining.set_difficulty","params":[{number}]}}"#);
            check(|out| set_difficulty(out, difficulty), &line);
        }
    }

    #[test]
    fn a_reconnect_names_a_wait_and_no_other_place() {
        check(
            |out| reconnect(out, 7),
            r#"{"id":null,"method":"client.reconnect","params":[null,null,7]}"#,
        );
    }

    #[test]
    fn messages_are_cut_at_a_character() {
        let mut out = Vec::new();
        show_message(&mut out, &"é".repeat(400));
        let line: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(line["params"][0].as_str().unwrap().len(), 512);
        out.clear();
        show_message(&mut out, "  ");
        assert!(out.is_empty());
    }
}
