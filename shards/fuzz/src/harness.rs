//! What is tried with bytes that a fuzzer makes up. The corpus it has found runs with the tests too
//! (`shards/tests/session/corpus.rs`).

use std::time::Duration;

use gopool_shards::limits::LINE_BYTES_MAX;
use gopool_shards::wire::foreign::Foreign;
use gopool_shards::wire::line::Partial;
use gopool_shards::wire::request::Request;
use serde_json::value::RawValue;

use super::world::{World, profile};

/// Marks of the session's input: what comes between two reads of the miner's bytes. No text has
/// them; the one that is left, 0xff, ends a read and nothing more.
const NEW_JOB: u8 = 0xfe;
const NEW_TIP: u8 = 0xfd;
const TIME: u8 = 0xfc;
const RECONNECT: u8 = 0xfb;
const MOMENT: u8 = 0xfa;
/// The first of the marks that may stand at the beginning.
const PROFILE: u8 = 0xf5;
const PROFILES: u8 = 4;

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
            // Syntax alone: an id such as a lone surrogate is echoed without being understood.
            assert!(malformed.id.is_none_or(|id| serde_json::from_str::<&RawValue>(id).is_ok()));
        }
    }
}

/// A conversation: bytes in reads, and between them jobs, tips, time and new connections. The first
/// byte may say in which installation. Two pools have it, one that judges submissions in batches as
/// they come and one that judges each at once: both say the same.
pub fn session(data: &[u8]) {
    let named = data.split_first().map(|(first, rest)| (first.wrapping_sub(PROFILE), rest));
    let (number, data) = named.filter(|(number, _)| *number < PROFILES).unwrap_or((0, data));
    let batched = converse(World::new(profile(number)), data);
    let at_once = converse(World::new(profile(number)).judging_at_once(), data);
    assert_eq!(batched, at_once);
}

fn converse(mut world: World, data: &[u8]) -> Vec<String> {
    let mut rest = data;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte >= MOMENT).unwrap_or(rest.len());
        let (read, marked) = rest.split_at(end);
        rest = marked.get(1..).unwrap_or_default();
        if world.closed.is_none() && !read.is_empty() {
            world.read(read);
        }
        match marked.first() {
            Some(&NEW_JOB) => world.bring_job(),
            Some(&NEW_TIP) => world.bring_tip(),
            Some(&MOMENT) => world.pass(Duration::from_millis(250)),
            Some(&TIME) => world.pass(Duration::from_secs(20)),
            Some(&RECONNECT) => world.reconnect(),
            _ => {}
        }
    }
    world.reconnect();
    world.ear.said
}
