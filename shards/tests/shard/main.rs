//! One real shard, with its ring and its sockets, and a control that says what the test wants:
//! for what a node cannot be made to bring about in the time of a test.

#[allow(dead_code)]
#[path = "../session/transcript.rs"]
mod transcript;

mod errands;
mod running;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use std::sync::Arc;

use gopool_shards::link::{Gauges, NewTip, Phase};
use gopool_shards::tally::Pace;
use gopool_shards::work::job::{Job, JobStamp};
use gopool_shards::work::target::Target;

use running::{ANSWER_LIMIT, Running, line, mine};
use transcript::{WALLET, defaults, job_inputs, template};

/// Less than a second, after which the shard would look at its miners anyway.
const HAND_OVER_LIMIT: Duration = Duration::from_millis(300);
const HAND_OVERS: u32 = 20;
/// Of them, on a machine that has other things to do. A shard that rests before it hands over is late
/// with nearly every one.
const LATE_MAX: usize = 2;
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
    while shard.uplink.reports.recv_timeout(ANSWER_LIMIT).expect("reports").gauges.connections() < 2
    {
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

#[test]
fn control_hears_of_a_connection_when_it_comes_when_it_submits_and_when_it_goes() {
    let mut settings = defaults();
    // Every hash is a share.
    let difficulty = &mut settings.difficulty;
    (difficulty.default, difficulty.min, difficulty.max) = (1e-10, 1e-10, 1e-10);
    let shard = Running::start(settings);
    let sums = || shard.uplink.reports.recv_timeout(ANSWER_LIMIT).expect("reports").sums;
    let look = || loop {
        if let Some(look) = sums().looks.remove(&1) {
            break look;
        }
    };
    let mut miner = mine(&shard);
    let first = look();
    assert_eq!(first.remote, miner.get_ref().local_addr().expect("connected"));
    assert_eq!(*first.worker, *format!("{WALLET}.rig1"));
    assert!(!first.is_tls && first.round_trip.is_some() && first.last_share.is_none());
    // Without news there is no look.
    for _ in 0..2 {
        assert!(sums().looks.is_empty());
    }

    let submit = format!(
        "{{\"id\":5,\"method\":\"mining.submit\",\"params\":[\"{WALLET}.rig1\",\"2-1\",\
         \"00000000\",\"662307b7\",\"00000001\"]}}\n"
    );
    miner.get_ref().write_all(submit.as_bytes()).expect("sent");
    assert!(line(&mut miner).contains("\"result\":true"));
    let mut best_shares = Vec::new();
    let second = loop {
        let mut sums = sums();
        best_shares.append(&mut sums.best_shares);
        if let Some(look) = sums.looks.remove(&1) {
            break look;
        }
    };
    let share = second.last_share.expect("it has submitted one");
    let [best] = &best_shares[..] else { panic!("{best_shares:?}") };
    assert_eq!((second.accepted, best.hash, best.difficulty), (1, share.hash, share.difficulty));

    drop(miner);
    while sums().gone != [1] {}
    shard.stop();
}

#[test]
fn a_block_reaches_control_although_nothing_else_happens() {
    let shard = Running::start(defaults());
    let mut miner = mine(&shard);
    // On a chain where nearly every hash is a block.
    let mut template = template();
    template.bits = 0x207f_ffff;
    template.target = Target::from_bits(template.bits).expect("regtest's own");
    let mut late = Vec::new();
    for number in 0..HAND_OVERS {
        let id = u64::from(number) + 2;
        template.height += 1;
        let stamp = JobStamp { id, built_at: 1_713_571_770, entropy: "Ef12".into() };
        let job = Job::compile(&template, &job_inputs(), &stamp).expect("a job");
        shard.downlink.send_job(Arc::new(job));
        let notify = line(&mut miner);
        let job_id = notify.split('"').nth(9).expect("a notify names its job");
        for nonce in 0.. {
            let submit = format!(
                "{{\"id\":5,\"method\":\"mining.submit\",\"params\":[\"{WALLET}.rig1\",\"{job_id}\",\
                 \"00000000\",\"662307b7\",\"{nonce:08x}\"]}}\n"
            );
            miner.get_ref().write_all(submit.as_bytes()).expect("sent");
            if line(&mut miner).contains("\"result\":true") {
                break;
            }
        }
        let answered_at = Instant::now();
        let found = shard.uplink.solved.recv_timeout(ANSWER_LIMIT).expect("a block");
        assert_eq!(found.solved.job.id, id);
        let took = found.at.saturating_duration_since(answered_at);
        late.extend((took > HAND_OVER_LIMIT).then_some(took));
    }
    assert!(late.len() <= LATE_MAX, "{late:?}");
    shard.stop();
}

#[test]
fn how_long_answers_and_new_work_take_is_reported() {
    /// Longer than the miner and its reports are waited for here.
    const KNOWN_BEFORE: Duration = Duration::from_secs(3600);
    let shard = Running::start(defaults());
    let came_at = Instant::now();
    let mut miner = mine(&shard);
    let submit = format!(
        "{{\"id\":5,\"method\":\"mining.submit\",\"params\":[\"{WALLET}.rig1\",\"2-1\",\
         \"00000000\",\"662307b7\",\"00000001\"]}}\n"
    );
    miner.get_ref().write_all(submit.as_bytes()).expect("sent");
    assert!(line(&mut miner).contains("\"id\":5"));

    let mut template = template();
    template.height += 1;
    let stamp = JobStamp { id: 2, built_at: 1_713_571_770, entropy: "Ef12".into() };
    let job = Arc::new(Job::compile(&template, &job_inputs(), &stamp).expect("a job"));
    let sent_at = Instant::now();
    shard.downlink.send_job_on_new_tip(job, NewTip::new(sent_at - KNOWN_BEFORE));
    assert!(line(&mut miner).contains("mining.notify"));
    let told_after = came_at.elapsed();

    let mut pace = Pace::default();
    while pace.answers.count() == 0 || pace.last_told.count() == 0 {
        let report = shard.uplink.reports.recv_timeout(ANSWER_LIMIT).expect("reports");
        pace.add(&report.sums.pace);
        let Gauges { tcp, tls, outbox_bytes, .. } = report.gauges;
        assert_eq!((tcp.authorized, tls.open(), outbox_bytes), (1, 0, 0));
    }
    let reported_after = sent_at.elapsed();
    assert_eq!((pace.answers.count(), pace.batches, pace.starved), (1, 1, 0));
    // The turn may have begun before the submission, but not before its miner came, and it was over
    // when there was new work to tell of.
    assert!(pace.turns >= 2 && pace.answers.sum() <= told_after, "{pace:?} {told_after:?}");
    assert_eq!((pace.first_told.count(), pace.last_told.count()), (1, 1));
    assert!(pace.first_told.sum() >= KNOWN_BEFORE);
    // From the link on, not from the node on.
    assert!(pace.last_told.sum() <= reported_after, "{pace:?} {reported_after:?}");
    drop(miner);
    shard.stop();
}
