//! What holds for any bytes: however they are cut into reads, and whatever they are.

use crate::chance::Chance;
use crate::transcript::{Pool, WALLET, defaults};

/// How a conversation begins. The first work follows at the end of the read that completes it, so
/// whoever submits has read it before.
fn handshake() -> Vec<String> {
    let authorize =
        format!(r#"{{"id":3,"method":"mining.authorize","params":["{WALLET}.rig","x"]}}"#);
    vec![
        r#"{"id":"cfg","method":"mining.configure","params":[["version-rolling"],{}]}"#.to_owned(),
        r#"{"id":2,"method":"mining.subscribe","params":["x/1"]}"#.to_owned(),
        authorize,
    ]
}

/// How it goes on: good shares, bad ones, and whatever else is asked in between.
fn conversation() -> Vec<String> {
    let submit = |id: &str, job: &str, nonce: u32| {
        format!(
            r#"{{"id":{id},"method":"mining.submit","params":["{WALLET}.rig","{job}","00000000","662307b7","{nonce:08x}"]}}"#
        )
    };
    let mut lines = vec![r#"{"id":4.0,"method":"mining.extranonce.subscribe"}"#.to_owned()];
    for nonce in 0..20 {
        lines.push(submit(&format!("{}", 100 + nonce), "1-1", nonce));
        lines.push(submit("\"dup\"", "1-1", nonce));
        lines.push(submit("7", "9-9", nonce));
        lines.push(format!(r#"{{"id":[{nonce}],"method":"mining.ping"}}"#));
    }
    lines
}

/// A miner of whose hashes any is a share, after its handshake.
fn flooding() -> Pool {
    let mut pool = new_flooding();
    pool.receive((handshake().join("\n") + "\n").as_bytes());
    pool.hear();
    pool
}

/// The difficulty stays where it is.
fn new_flooding() -> Pool {
    let mut settings = defaults();
    settings.difficulty.min = 1e-10;
    settings.difficulty.max = 1e-10;
    Pool::new(settings)
}

#[test]
fn the_replies_are_the_same_however_the_bytes_are_cut() {
    let bytes = conversation().iter().map(|line| format!("{line}\r\n")).collect::<String>();
    let bytes = bytes.as_bytes();
    let replies = |cuts: &mut dyn FnMut() -> usize| {
        let mut pool = flooding();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (read, left) = rest.split_at(cuts().clamp(1, rest.len()));
            pool.receive(read);
            rest = left;
        }
        pool.hear()
    };
    let whole = replies(&mut || bytes.len());
    assert!(whole.len() > 80, "{whole:?}");
    for size in 1..=64 {
        assert!(replies(&mut || size) == whole, "reads of {size} bytes");
    }
    let mut chance = Chance::new(1);
    for round in 0..200 {
        assert!(replies(&mut || 1 + chance.below(700)) == whole, "round {round}");
    }
}

#[test]
fn every_request_with_an_id_gets_one_reply_in_its_turn() {
    let mut pool = flooding();
    let lines = conversation();
    pool.receive(lines.join("\n").as_bytes());
    pool.receive(b"\n");
    let id_of = |line: &str| {
        let start = line.find("\"id\":").expect("an id") + 5;
        line[start..].split(",\"").next().expect("a member").to_owned()
    };
    let asked: Vec<String> = lines.iter().map(|line| id_of(line)).collect();
    let heard = pool.hear();
    let answered: Vec<String> =
        heard.iter().filter(|line| line.contains("\"result\":")).map(|line| id_of(line)).collect();
    assert_eq!(answered, asked);
}

#[test]
fn a_share_is_accepted_once() {
    let mut pool = flooding();
    pool.receive(conversation().join("\n").as_bytes());
    pool.receive(b"\n");
    let accepted = pool.hear().iter().filter(|line| line.contains("\"result\":true")).count();
    // The extranonce subscription, and each of twenty shares.
    assert_eq!(accepted, 21);
    assert_eq!(pool.tally.take().accepted, 20);
}

#[test]
fn no_bytes_make_the_session_panic_or_say_more_than_it_may() {
    let lines = handshake().into_iter().chain(conversation());
    let words: Vec<Vec<u8>> = lines.map(String::into_bytes).collect();
    let mut chance = Chance::new(7);
    for round in 0..3000 {
        let mut pool = new_flooding();
        let mut sent = 0;
        for _ in 0..1 + chance.below(8) {
            let mut bytes = words[chance.below(words.len())].clone();
            for _ in 0..chance.below(4) {
                let at = chance.below(bytes.len());
                match chance.below(4) {
                    0 => bytes[at] = chance.below(256) as u8,
                    1 => bytes.truncate(at.max(1)),
                    2 => bytes.insert(at, b"\"{}[],:\\\n\0"[chance.below(10)]),
                    _ => {
                        let piece = words[chance.below(words.len())].clone();
                        bytes.extend(&piece[chance.below(piece.len())..]);
                    }
                }
            }
            bytes.push(b'\n');
            sent += bytes.len();
            pool.receive(&bytes);
            if pool.closed.is_some() {
                break;
            }
        }
        let heard: usize = pool.hear().iter().map(String::len).sum();
        // A ping costs 30 bytes and brings as many; first work and a configure bring most.
        assert!(heard <= 4096 + 8 * sent, "round {round}: {heard} bytes for {sent}");
    }
}

#[test]
fn every_line_the_pool_says_is_json_and_every_difficulty_above_zero() {
    let mut chance = Chance::new(3);
    for _ in 0..300 {
        let mut settings = defaults();
        settings.difficulty.min = [0.0, 1e-9, 0.5, 256.0][chance.below(4)];
        settings.difficulty.max = [0.0, 1e-9, 3.7, 1e6][chance.below(4)];
        let mut pool = Pool::new(settings);
        let suggested = ["1e-300", "1e300", "0.1", "123456.789", "\"0x7f\"", "\"1e999\""];
        let hint = ["d=1e308", "d=0.00001", "x", "d=5"][chance.below(4)];
        pool.receive(
            format!(
                "{{\"id\":1,\"method\":\"mining.suggest_difficulty\",\"params\":[{}]}}\n\
                 {{\"id\":2,\"method\":\"mining.subscribe\"}}\n\
                 {{\"id\":3,\"method\":\"mining.authorize\",\"params\":[\"{WALLET}\",\"{hint}\"]}}\n",
                suggested[chance.below(6)]
            )
            .as_bytes(),
        );
        for line in pool.hear() {
            let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            if value["method"] == "mining.set_difficulty" {
                assert!(value["params"][0].as_f64().is_some_and(|d| d > 0.0), "{line}");
            }
        }
    }
}
