//! What does it cost to cut what comes into lines? The floor looks for the line ends and does
//! nothing else.

use std::hint::black_box;

use clap::Parser;
use gopool_bench::station::{Arguments, Station};
use gopool_shards::wire::line::Partial;

const SUBMIT: &str = r#"{"id": 4, "method": "mining.submit", "params": ["bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4.rig", "1-1", "00000000", "662307b7", "01953508"]}"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut station = Station::new("line", &Arguments::parse());
    for count in [1, 16] {
        let bytes = format!("{SUBMIT}\n").repeat(count).into_bytes();
        station.compare(
            &format!("{count} whole lines in one read"),
            count,
            || _ = black_box(memchr::memchr_iter(b'\n', black_box(&bytes)).count()),
            || feed(&mut Partial::default(), &bytes),
        );
    }
    let bytes = format!("{SUBMIT}\n").into_bytes();
    let (head, tail) = bytes.split_at(bytes.len() / 2);
    station.compare(
        "a line in two reads",
        1,
        || _ = black_box(memchr::memchr_iter(b'\n', black_box(&bytes)).count()),
        || {
            let mut partial = Partial::default();
            feed(&mut partial, head);
            feed(&mut partial, tail);
        },
    );
    station.finish()?;
    Ok(())
}

fn feed(partial: &mut Partial, bytes: &[u8]) {
    let fed = partial.feed(black_box(bytes), |line| {
        black_box(line);
        true
    });
    assert!(fed.is_ok());
}
