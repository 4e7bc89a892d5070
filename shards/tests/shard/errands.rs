//! What is asked of a shard about single connections.

use std::sync::Arc;

use crossbeam_channel::{Receiver, bounded};
use gopool_shards::link::Errand;
use gopool_shards::session::ShownWork;
use gopool_shards::work::job::{Job, JobStamp};
use serde_json::Value;

use crate::running::{ANSWER_LIMIT, Running, line, mine};
use crate::transcript::{WALLET, defaults, job_inputs, template};

fn show(shard: &Running, sequence: u64) -> Receiver<ShownWork> {
    let (answer, answers) = bounded(1);
    assert!(shard.downlink.send_errand(Errand::Show { sequence, answer }));
    answers
}

#[test]
fn the_work_that_is_shown_is_what_the_miner_was_told_byte_for_byte() {
    let shard = Running::start(defaults());
    let _other = mine(&shard);
    let mut miner = mine(&shard);
    let stamp = JobStamp { id: 2, built_at: 1_713_571_771, entropy: "Gh34".into() };
    let job = Job::compile(&template(), &job_inputs(), &stamp).expect("a job");
    shard.downlink.send_job(Arc::new(job));
    let notify: Value = serde_json::from_str(&line(&mut miner)).expect("a notify");
    let told = |place: usize| notify["params"][place].as_str().expect("text").to_owned();

    let shown = show(&shard, 2).recv_timeout(ANSWER_LIMIT).expect("a miner");
    assert_eq!(shown.job_id, told(0));
    let (first, second) = shown.halves();
    assert_eq!((const_hex::encode(first), const_hex::encode(second)), (told(2), told(3)));
    // The second connection has the second extranonce1.
    let whole = format!("{}{}{}{}", told(2), "00000002", "00000000", told(3));
    assert_eq!(const_hex::encode(shown.coinbase()), whole);
    assert_eq!(*shown.payee.name, *format!("{WALLET}.rig1"));

    let nobody = show(&shard, 3).recv_timeout(ANSWER_LIMIT);
    assert!(nobody.is_err(), "there is no third");
    shard.stop();
}

#[test]
fn only_the_connections_that_are_meant_are_closed_and_they_are_told_why() {
    let shard = Running::start(defaults());
    let mut miners = [mine(&shard), mine(&shard), mine(&shard)];
    let words = "Please reconnect.";
    let sequences = Arc::new([1, 3, 99]);
    assert!(shard.downlink.send_errand(Errand::Close { sequences, words }));
    for miner in [0, 2] {
        assert!(line(&mut miners[miner]).contains(words));
        assert_eq!(line(&mut miners[miner]), "", "it is closed");
    }
    let reports = &shard.uplink.reports;
    while reports.recv_timeout(ANSWER_LIMIT).expect("reports").gauges.connections() != 1 {}
    show(&shard, 2).recv_timeout(ANSWER_LIMIT).expect("the other one is still there");
    shard.stop();
}

#[test]
fn all_connections_of_a_worker_are_closed_wherever_they_are_and_nobody_elses() {
    let shard = Running::start(defaults());
    let mut miners = [mine(&shard), mine(&shard)];
    let close = |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let errand = Errand::CloseWorkers { names: Arc::new(names), words: "Banned: x".into() };
        assert!(shard.downlink.send_errand(errand));
    };
    close(&["someone.else", &format!("{WALLET}.rig2"), ""]);
    for sequence in [1, 2] {
        show(&shard, sequence).recv_timeout(ANSWER_LIMIT).expect("still there");
    }
    // A bare wallet is every worker of it.
    close(&[WALLET]);
    for miner in &mut miners {
        assert!(line(miner).contains("Banned: x"));
        assert_eq!(line(miner), "", "it is closed");
    }
    shard.stop();
}
