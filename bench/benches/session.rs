//! What does an accepted share cost beside its hashes? The floor judges the same submissions and
//! does nothing else; what is measured also reads, checks, remembers, counts and answers them.

use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;

use clap::Parser;
use gopool_bench::station::{Arguments, Station};
use gopool_bench::workbench::{WALLET, Workbench};
use gopool_shards::session::{Next, Session, Submission};
use gopool_shards::sha256d::Hash;
use gopool_shards::share::{Candidate, Leaf, Verdict, judge};
use gopool_shards::wire::submit::Submit;

/// Miners whose shares are judged together.
const MINERS: usize = 16;
/// A job takes 16,384 shares; before that the miners start again.
const ROUNDS_MAX: u32 = 16_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut station = Station::new("session", &Arguments::parse());
    for (name, rolls_extranonce2) in
        [("a new extranonce2 each time", true), ("only the nonce rolls", false)]
    {
        let [mut still, mut busy] = [(); 2].map(|()| Shop::new(rolls_extranonce2));
        still.gather();
        station.compare(name, MINERS, || still.judge(), || busy.take_shares());
    }
    station.finish()?;
    Ok(())
}

/// Miners at work, and the shares they have just sent.
struct Shop {
    bench: Workbench,
    miners: Vec<Session>,
    rolls_extranonce2: bool,
    round: u32,
    line: Vec<u8>,
    pending: Vec<Pending>,
    verdicts: [Verdict; MINERS],
}

struct Pending {
    submission: Submission,
    coinbase: Vec<u8>,
    root: Option<Hash>,
}

impl Shop {
    fn new(rolls_extranonce2: bool) -> Self {
        let mut bench = Workbench::new(4000);
        let miners = (0..MINERS).map(|number| bench.miner(number)).collect();
        let mut shop = Self {
            bench,
            miners,
            rolls_extranonce2,
            round: 0,
            line: Vec::new(),
            pending: Vec::new(),
            verdicts: [Verdict::NONE; MINERS],
        };
        // From the second on a root is remembered, if it is going to be.
        shop.take_shares();
        shop
    }

    /// One share of each miner, from its line to its answer.
    fn take_shares(&mut self) {
        self.gather();
        self.judge();
        self.answer();
    }

    fn gather(&mut self) {
        self.round += 1;
        if self.round.is_multiple_of(ROUNDS_MAX) {
            let bench = &mut self.bench;
            self.miners = (0..MINERS).map(|number| bench.miner(number)).collect();
        }
        let extranonce2 = if self.rolls_extranonce2 { self.round } else { 0 };
        self.line.clear();
        write!(
            self.line,
            r#"{{"id":4,"method":"mining.submit","params":["{WALLET}.1","1-1","{extranonce2:08x}","662307b7","{:08x}"]}}"#,
            self.round
        )
        .expect("a Vec takes every byte");
        self.pending.clear();
        for session in &mut self.miners {
            let submit = Submit::scan(black_box(&self.line)).expect("the usual shape");
            let next = self.bench.act(session, |session, env| session.on_submit(&submit, env));
            let Next::Judge(submission) = next else { panic!("{next:?}") };
            let mut coinbase = Vec::new();
            let (_, root) = session.leaf(&submission, &mut coinbase);
            self.pending.push(Pending { submission, coinbase, root });
        }
    }

    fn judge(&mut self) {
        let job = Arc::clone(&self.bench.work.job);
        let candidates: Vec<Candidate<'_>> = self
            .pending
            .iter()
            .map(|Pending { submission, coinbase, root }| {
                submission.candidate(&job, root.map_or(Leaf::Coinbase(coinbase), Leaf::Root))
            })
            .collect();
        judge(black_box(&candidates), &mut self.verdicts);
    }

    fn answer(&mut self) {
        for (number, session) in self.miners.iter_mut().enumerate() {
            let (submission, verdict) = (&self.pending[number].submission, &self.verdicts[number]);
            self.bench.act(session, |session, env| {
                assert!(session.on_verdict(submission, verdict, env).is_none(), "no block");
                session.on_verdicts_end(env);
            });
            assert!(self.bench.out.ends_with(b"\"result\":true,\"error\":null}\n"));
        }
    }
}
