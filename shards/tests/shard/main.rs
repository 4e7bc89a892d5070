//! One real shard, with its ring and its sockets, and a control that says what the test wants:
//! for what a node cannot be made to bring about in the time of a test.

#[allow(dead_code)]
#[path = "../session/transcript.rs"]
mod transcript;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gopool_shards::admission::Admission;
use gopool_shards::admission::bans::Bans;
use gopool_shards::admission::reconnect::{ReconnectRules, ReconnectTracker};
use gopool_shards::admission::violations::Violations;
use gopool_shards::executor::{
    Port, ShardHandle, ShardPlan, SharedState, bind_shared, listen, spawn,
};
use gopool_shards::link::{Downlink, Phase, UplinkReceiver, downlink, uplink};
use gopool_shards::session::directory::Directory;
use gopool_shards::work::job::{Job, JobStamp};

use transcript::{WALLET, defaults, job_inputs, template};

/// No answer of a shard takes this long.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
const PAUSED: &str = r#"{"id":null,"method":"client.show_message","params":["Pool paused: node updates degraded. Reconnecting when ready."]}"#;

struct Running {
    downlink: Downlink,
    /// Kept: a shard whose reports nobody takes would be one whose control has gone.
    uplink: UplinkReceiver,
    handle: ShardHandle,
    address: SocketAddr,
}

impl Running {
    fn start() -> Self {
        let started = Instant::now();
        let listener = bind_shared((Ipv4Addr::LOCALHOST, 0).into(), 1).expect("a port").remove(0);
        let address = listener.local_addr().expect("bound");
        listen(&listener).expect("a bound socket listens");
        let (downlink, down) = downlink();
        let (up, uplink) = uplink(1);
        let no_limit = ReconnectRules {
            threshold: u32::MAX,
            window: Duration::from_secs(60),
            duration: Duration::from_secs(60),
        };
        let plan = ShardPlan {
            id: 0,
            core: None,
            ports: vec![Port { listener, tls: None }],
            settings: Arc::new(defaults()),
            shared: SharedState {
                directory: Arc::new(Directory::new(Some([7; 32]))),
                admission: Admission::default(),
                limiter: None,
                reconnects: ReconnectTracker::new(no_limit),
                bans: Arc::new(Bans::default()),
                violations: Violations::new(),
                started,
            },
        };
        let handle = spawn(plan, down, up).expect("a shard starts");
        let stamp = JobStamp { id: 1, built_at: 1_713_571_770, entropy: "Ef12".into() };
        let job = Job::compile(&template(), &job_inputs(), &stamp).expect("a job");
        downlink.send_job(Arc::new(job));
        downlink.send_phase(Phase::Open);
        Self { downlink, uplink, handle, address }
    }

    fn connect(&self) -> BufReader<TcpStream> {
        let stream = TcpStream::connect(self.address).expect("the port listens");
        stream.set_read_timeout(Some(ANSWER_LIMIT)).expect("a timeout");
        BufReader::new(stream)
    }

    fn stop(self) {
        self.downlink.send_phase(Phase::Stopping);
        self.handle.join().expect("the shard ends in order");
        drop(self.uplink);
    }
}

fn line(miner: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    miner.read_line(&mut line).expect("the shard answers");
    line.trim_end().to_owned()
}

/// Comes and waits for its first work.
fn mine(shard: &Running) -> BufReader<TcpStream> {
    let mut miner = shard.connect();
    let hello = format!(
        "{{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}}\n\
         {{\"id\":2,\"method\":\"mining.authorize\",\"params\":[\"{WALLET}.rig1\",\"x\"]}}\n"
    );
    miner.get_ref().write_all(hello.as_bytes()).expect("sent");
    while !line(&mut miner).contains("mining.notify\",\"params\":[\"") {}
    miner
}

fn is_closed_without_a_word(mut miner: BufReader<TcpStream>) -> bool {
    let mut rest = Vec::new();
    match miner.read_to_end(&mut rest) {
        Ok(_) => rest.is_empty(),
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn a_pause_tells_every_miner_once_closes_it_and_turns_away_who_comes() {
    let shard = Running::start();
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
