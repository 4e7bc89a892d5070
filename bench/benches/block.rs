//! What does assembling a found block cost? The floor copies as many bytes. `submitblock` leaves
//! with the head alone; the rest is made while it is sent.

use std::hint::black_box;

use clap::Parser;
use gopool_bench::station::{Arguments, Station};
use gopool_bench::workbench::work;
use gopool_shards::work::block::{head, serialize};
use gopool_shards::work::header::HEADER_BYTES;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut station = Station::new("block", &Arguments::parse());
    let (header, coinbase) = ([7; HEADER_BYTES], [7; 270]);
    for count in [400, 4000] {
        let job = &work(count, 0).job;
        let block = serialize(&header, &coinbase, &job.transactions);
        station.compare(
            &format!("{count} transactions, {} bytes", block.len()),
            1,
            || _ = black_box(black_box(&block).to_vec()),
            || _ = black_box(serialize(black_box(&header), &coinbase, &job.transactions)),
        );
        station.compare(
            &format!("its head alone, of {count}"),
            1,
            || _ = black_box(black_box(&block[..400]).to_vec()),
            || _ = black_box(head(black_box(&header), &coinbase, job.transactions.len())),
        );
    }
    station.finish()?;
    Ok(())
}
