//! One real shard, with its ring and its sockets, and a control that says what the test wants:
//! for what a node cannot be made to bring about in the time of a test.

#[allow(dead_code)]
#[path = "../session/transcript.rs"]
mod transcript;

mod running;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use gopool_shards::link::Phase;

use running::{ANSWER_LIMIT, Running, line, mine};
use transcript::defaults;

const PAUSED: &str = r#"{"id":null,"method":"client.show_message","params":["Pool paused: node updates degraded. Reconnecting when ready."]}"#;

fn is_closed_without_a_word(mut miner: BufReader<TcpStream>) -> bool {
    let mut rest = Vec::new();
    match miner.read_to_end(&mut rest) {
        Ok(_) => rest.is_empty(),
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn a_pause_tells_every_miner_once_closes_it_and_turns_away_who_comes() {
    let shard = Running::start(defaults());
    let mut miner = mine(&shard);
    // One that has said nothing yet is told too.
    let mut silent = shard.connect();
    while shard.uplink.reports.recv_timeout(ANSWER_LIMIT).expect("reports").gauges.connections < 2 {
    }

    shard.downlink.send_phase(Phase::Paused);
    for connection in [&mut miner, &mut silent] {
        assert_eq!(line(connection), PAUSED);
        assert_eq!(line(connection), "", "the connection is closed");
    }
    assert!(is_closed_without_a_word(shard.connect()));

    shard.downlink.send_phase(Phase::Open);
    // The phase is on its way while the next one comes.
    let deadline = Instant::now() + ANSWER_LIMIT;
    let mut back = loop {
        let mut miner = shard.connect();
        let _ = miner.get_ref().write_all(b"{\"id\":1,\"method\":\"mining.ping\",\"params\":[]}\n");
        let mut answer = String::new();
        if miner.read_line(&mut answer).is_ok_and(|bytes| bytes > 0) {
            break answer;
        }
        assert!(Instant::now() < deadline, "the shard does not open again");
    };
    back.truncate(back.trim_end().len());
    assert_eq!(back, r#"{"id":1,"result":"pong","error":null}"#);
    let _ = mine(&shard);
    shard.stop();
}
