//! What does a new job cost for each miner, before the kernel has it? The floor copies as many
//! bytes.

use std::hint::black_box;

use clap::Parser;
use gopool_bench::station::{Arguments, Station};
use gopool_bench::workbench::{Workbench, work};

const MINERS: usize = 1000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut station = Station::new("notify", &Arguments::parse());
    for transactions in [0, 400, 4000] {
        let mut bench = Workbench::new(transactions);
        let mut miners: Vec<_> = (0..MINERS).map(|number| bench.miner(number)).collect();
        let tips = [1, 2].map(|tip| work(transactions, tip));
        bench.work = tips[0].clone();
        bench.act(&mut miners[0], |session, env| session.on_work(env));
        let line = bench.out.clone();
        let mut copied = Vec::with_capacity(2 * line.len());
        let mut round = 0;
        station.compare(
            &format!("{transactions} transactions, {} bytes", line.len()),
            MINERS,
            || {
                for _ in 0..MINERS {
                    copied.clear();
                    copied.extend_from_slice(black_box(&line));
                    black_box(&mut copied);
                }
            },
            || {
                round += 1;
                bench.work = tips[round % 2].clone();
                for session in &mut miners {
                    bench.act(session, |session, env| session.on_work(env));
                    black_box(&mut bench.out);
                }
            },
        );
    }
    station.finish()?;
    Ok(())
}
