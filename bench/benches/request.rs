//! What does it cost to read a submission? The floor is the general parser, which reads any
//! request.

use std::hint::black_box;

use clap::Parser;
use gopool_bench::station::{Arguments, Station};
use gopool_shards::wire::request::Request;
use gopool_shards::wire::submit::Submit;

/// As firmware writes them (`stratum.md`, `miners.md`).
const DIALECTS: [(&str, &str); 3] = [
    (
        "Bitaxe",
        r#"{"id": 4, "method": "mining.submit", "params": ["bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4.rig", "1-1", "00000000", "662307b7", "01953508", "1fffe000"]}"#,
    ),
    (
        "cgminer",
        r#"{"params": ["bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4.rig", "1-1", "00000000", "662307b7", "01953508"], "id": 4, "method": "mining.submit"}"#,
    ),
    (
        "compact",
        r#"{"id":4,"method":"mining.submit","params":["bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4.rig","1-1","00000000","662307b7","01953508"]}"#,
    ),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut station = Station::new("request", &Arguments::parse());
    for (name, line) in DIALECTS {
        let line = line.as_bytes();
        station.compare(
            name,
            1,
            || _ = black_box(Request::parse(black_box(line)).expect("a request")),
            || _ = black_box(Submit::scan(black_box(line)).expect("the usual shape")),
        );
    }
    station.finish()?;
    Ok(())
}
