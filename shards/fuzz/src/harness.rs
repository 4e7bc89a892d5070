//! What is tried with bytes that a fuzzer makes up. The corpus it has found runs with the tests too
//! (`shards/tests/session/corpus.rs`).

use gopool_shards::limits::LINE_BYTES_MAX;
use gopool_shards::wire::foreign::Foreign;
use gopool_shards::wire::line::Partial;
use gopool_shards::wire::request::Request;

use super::transcript::{Pool, defaults};

/// Marks of the session's input: what comes between two reads of the miner's bytes.
const READ_END: u8 = 0xff;
const NEW_JOB: u8 = 0xfe;
const NEW_TIP: u8 = 0xfd;
const TIME: u8 = 0xfc;
const RECONNECT: u8 = 0xfb;

/// Lines are the same however their bytes are cut; the first byte says how.
pub fn line(data: &[u8]) {
    let Some((size, bytes)) = data.split_first() else {
        return;
    };
    let collect = |size: usize| {
        let mut partial = Partial::default();
        let mut lines = Vec::new();
        for piece in bytes.chunks(size) {
            let framed = partial.feed(piece, |line| {
                assert!(!line.is_empty() && line == line.trim_ascii());
                lines.push(line.to_vec());
                true
            });
            if framed.is_err() {
                return (lines, None);
            }
            assert!(partial.len() < LINE_BYTES_MAX);
        }
        (lines, Some(partial.len()))
    };
    let whole = collect(bytes.len().max(1));
    assert_eq!(collect(usize::from(*size).max(1)), whole);
}

/// A request is read or it is not; its id is a piece of the line.
pub fn request(data: &[u8]) {
    let _ = Foreign::recognise(data);
    match Request::parse(data) {
        Ok(request) => {
            let id = request.id.as_bytes();
            assert!(!request.has_id() || data.windows(id.len()).any(|window| window == id));
            for index in 0..=request.params.len() {
                let _ = (request.params.string(index), request.params.value(index));
            }
        }
        Err(malformed) => {
            assert!(
                malformed.id.is_none_or(|id| serde_json::from_str::<serde_json::Value>(id).is_ok())
            );
        }
    }
}

/// A conversation: bytes in reads, and between them jobs, tips, time and new connections.
pub fn session(data: &[u8]) {
    let mut settings = defaults();
    settings.difficulty.min = 1e-10;
    settings.messages_per_minute = 600;
    let mut pool = Pool::with_secret_ids(settings);
    let mut sent = 0;
    let mut heard = 0;
    let mut rest = data;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte >= RECONNECT).unwrap_or(rest.len());
        let (read, marked) = rest.split_at(end);
        let mark = marked.first().copied();
        rest = marked.get(1..).unwrap_or_default();
        if pool.closed.is_none() && !read.is_empty() {
            pool.receive(read);
            sent += read.len();
        }
        heard += check_lines(&pool.hear());
        match mark {
            Some(RECONNECT) => pool.play("reconnect"),
            _ if pool.closed.is_some() => {}
            Some(NEW_JOB) => pool.bring_job(),
            Some(NEW_TIP) => pool.bring_tip(),
            Some(TIME) => pool.pass_seconds(1),
            Some(READ_END) | None => {}
            Some(other) => unreachable!("{other} is no mark"),
        }
        heard += check_lines(&pool.hear());
        // First work and each new job bring up to two kilobytes, a byte of input a few.
        assert!(heard <= 4096 * (1 + data.len()) + 8 * sent);
    }
}

/// Everything the pool says is one line of JSON; returns how many bytes that were.
fn check_lines(lines: &[String]) -> usize {
    for line in lines {
        let value: serde_json::Value = serde_json::from_str(line).expect("the pool says JSON");
        if value["method"] == "mining.set_difficulty" {
            assert!(value["params"][0].as_f64().is_some_and(|difficulty| difficulty > 0.0));
        }
    }
    lines.iter().map(String::len).sum()
}
