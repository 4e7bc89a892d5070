//! A real shard on a port of this machine, and miners for it.

use std::io::{BufRead, BufReader, Write};
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
use gopool_shards::settings::Settings;
use gopool_shards::work::job::{Job, JobStamp};

use crate::transcript::{WALLET, job_inputs, template};

/// No answer of a shard takes this long.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(30);

pub struct Running {
    pub downlink: Downlink,
    /// Kept: a shard whose reports nobody takes would be one whose control has gone.
    pub uplink: UplinkReceiver,
    handle: ShardHandle,
    address: SocketAddr,
}

impl Running {
    pub fn start(settings: Settings) -> Self {
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
            settings: Arc::new(settings),
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
        let handle = spawn(plan, down, up, || Ok(())).expect("a shard starts");
        let stamp = JobStamp { id: 1, built_at: 1_713_571_770, entropy: "Ef12".into() };
        let job = Job::compile(&template(), &job_inputs(), &stamp).expect("a job");
        downlink.send_job(Arc::new(job));
        downlink.send_phase(Phase::Open);
        Self { downlink, uplink, handle, address }
    }

    pub fn connect(&self) -> BufReader<TcpStream> {
        let stream = TcpStream::connect(self.address).expect("the port listens");
        stream.set_read_timeout(Some(ANSWER_LIMIT)).expect("a timeout");
        BufReader::new(stream)
    }

    pub fn stop(self) {
        self.downlink.send_phase(Phase::Stopping);
        self.handle.join().expect("the shard ends in order");
        drop(self.uplink);
    }
}

pub fn line(miner: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    miner.read_line(&mut line).expect("the shard answers");
    line.trim_end().to_owned()
}

/// Comes and waits for its first work.
pub fn mine(shard: &Running) -> BufReader<TcpStream> {
    let mut miner = shard.connect();
    let hello = format!(
        "{{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}}\n\
         {{\"id\":2,\"method\":\"mining.authorize\",\"params\":[\"{WALLET}.rig1\",\"x\"]}}\n"
    );
    miner.get_ref().write_all(hello.as_bytes()).expect("sent");
    while !line(&mut miner).contains("mining.notify\",\"params\":[\"") {}
    miner
}
