//! A miner: subscribes, authorizes, follows the work and searches it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::node::text;
use crate::stratum::{ANSWER_LIMIT, Answer, Client, Connection, Notification};
use crate::work::{Job, Target, Wanted, display, hex, search, unhex};

/// Nonces tried with one extranonce2.
const NONCE_COUNT: u32 = 1 << 24;
/// 268 million hashes in all, where the hardest block looked for takes five: no luck is so bad.
const EXTRANONCE2_COUNT: u32 = 16;

pub struct Miner {
    client: Client,
    worker: String,
    pub session_id: String,
    pub extranonce1: String,
    extranonce2_size: usize,
    /// Counts up, so that no two searches of one job look at the same hashes.
    extranonce2: u32,
    difficulty: Option<f64>,
    version_mask: u32,
    jobs: Vec<Received>,
}

/// A job and the difficulty its shares must have.
#[derive(Clone, Debug)]
struct Received {
    job: Job,
    difficulty: f64,
}

/// Work found: what a `mining.submit` says.
#[derive(Clone, Debug)]
pub struct Solution {
    job_id: String,
    extranonce2: String,
    ntime: u32,
    nonce: u32,
    version_bits: Option<u32>,
    /// The hash of the header, as Core writes it.
    pub hash_hex: String,
}

impl Miner {
    /// Subscribes and authorizes; work follows by itself.
    #[track_caller]
    pub fn join(address: SocketAddr, worker: &str) -> Self {
        Self::join_over(Client::open(address), worker, &json!(["harness/1.0"]))
    }

    /// Comes back as who was told `session_id`.
    #[track_caller]
    pub fn come_back(address: SocketAddr, worker: &str, session_id: &str) -> Self {
        Self::join_over(Client::open(address), worker, &json!(["harness/1.0", session_id]))
    }

    /// The same on a connection of the caller's, with these parameters of the subscribe.
    #[track_caller]
    pub fn join_over(mut client: Client, worker: &str, subscribe: &Value) -> Self {
        let subscribed = client.request("mining.subscribe", subscribe);
        assert_eq!(subscribed.error, None, "subscribe");
        let session_id = text(&subscribed.result[0][0][1]);
        let extranonce1 = text(&subscribed.result[1]);
        assert_eq!(extranonce1.len(), 8, "extranonce1 has four bytes");
        let extranonce2_size = subscribed.result[2].as_u64().expect("extranonce2_size");
        let authorized = client.request("mining.authorize", &json!([worker, "x"]));
        assert!(authorized.is_true(), "authorize {worker}: {authorized:?}");
        Self {
            client,
            worker: worker.to_owned(),
            session_id,
            extranonce1,
            extranonce2_size: usize::try_from(extranonce2_size).expect("a size"),
            extranonce2: 0,
            difficulty: None,
            version_mask: 0,
            jobs: Vec::new(),
        }
    }

    /// Asks to roll version bits (BIP-0310) and returns the mask that was granted.
    #[track_caller]
    pub fn roll_version(&mut self) -> u32 {
        let options = json!({"version-rolling.mask": "ffffffff"});
        let answer = self.request("mining.configure", &json!([["version-rolling"], options]));
        assert_eq!(answer.result["version-rolling"], Value::Bool(true), "{answer:?}");
        let mask = text(&answer.result["version-rolling.mask"]);
        self.version_mask = u32::from_str_radix(&mask, 16).expect("a mask of hex digits");
        self.version_mask
    }

    /// Hangs up, and returns when the pool has noticed.
    #[track_caller]
    pub fn leave(self) {
        self.client.leave();
    }

    /// Its connection, for what a miner cannot hear.
    pub fn into_connection(self) -> Connection {
        self.client.into_connection()
    }

    /// The difficulty that was told last.
    pub fn difficulty(&self) -> Option<f64> {
        self.difficulty
    }

    /// For what a well-behaved miner does not say.
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    #[track_caller]
    pub fn request(&mut self, method: &str, params: &Value) -> Answer {
        self.client.request(method, params)
    }

    /// The newest work, waited for when there has been none.
    #[track_caller]
    pub fn job(&mut self) -> Job {
        self.await_job("the first job", ANSWER_LIMIT, |_| true);
        // More may have come behind it.
        self.follow_all();
        self.jobs.last().expect("just received").job.clone()
    }

    /// The first work that builds on the block `hash_hex`.
    #[track_caller]
    pub fn job_on(&mut self, hash_hex: &str) -> Job {
        self.job_on_within(hash_hex, ANSWER_LIMIT)
    }

    /// The same, when the pool itself may have to wait for its node first.
    #[track_caller]
    pub fn job_on_within(&mut self, hash_hex: &str, limit: Duration) -> Job {
        let what = format!("a job on {hash_hex}");
        self.await_job(&what, limit, |job| display(&job.previous_hash) == hash_hex)
    }

    /// The first work after `job`.
    #[track_caller]
    pub fn await_another(&mut self, job: &Job) -> Job {
        let known: Vec<String> = self.jobs.iter().map(|known| known.job.id.clone()).collect();
        let what = format!("work after {}", job.id);
        self.await_job(&what, ANSWER_LIMIT, |other| !known.contains(&other.id))
    }

    #[track_caller]
    fn await_job(&mut self, what: &str, limit: Duration, wanted: impl Fn(&Job) -> bool) -> Job {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(received) = self.jobs.iter().find(|received| wanted(&received.job)) {
                return received.job.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let notification = self.client.notification(left);
            let notification =
                notification.unwrap_or_else(|| panic!("not within {limit:?}: {what}"));
            self.follow(&notification);
        }
    }

    /// Takes in what has arrived, without waiting.
    #[track_caller]
    fn follow_all(&mut self) {
        while let Some(notification) = self.client.notification(Duration::ZERO) {
            self.follow(&notification);
        }
    }

    #[track_caller]
    fn follow(&mut self, notification: &Notification) {
        let params = &notification.params;
        match notification.method.as_str() {
            "mining.set_difficulty" => {
                self.difficulty = Some(params[0].as_f64().expect("a difficulty is a number"));
            }
            "mining.notify" => {
                let job = Job::parse(params);
                let known = self.jobs.iter().any(|received| received.job.id == job.id);
                assert!(!known, "two notifications with job id {}", job.id);
                let difficulty = self.difficulty.expect("difficulty is told before the first work");
                self.jobs.push(Received { job, difficulty });
            }
            "mining.set_version_mask" => {
                let mask = text(&params[0]);
                self.version_mask = u32::from_str_radix(&mask, 16).expect("a mask");
            }
            other => panic!("the pool said {other} {params}"),
        }
    }

    /// Searches `job` for a block.
    #[track_caller]
    pub fn find_block(&mut self, job: &Job) -> Solution {
        let at_most = Target::from_bits(job.nbits);
        self.find(job, &Wanted { at_most, above: None })
    }

    /// Searches `job` for a share that is no block.
    #[track_caller]
    pub fn find_share(&mut self, job: &Job) -> Solution {
        let received = self.jobs.iter().find(|received| received.job.id == job.id);
        let difficulty = received.expect("a job of this connection").difficulty;
        let at_most = Target::from_difficulty(difficulty);
        let block = Target::from_bits(job.nbits);
        assert!(at_most > block, "every share of difficulty {difficulty} is a block");
        self.find(job, &Wanted { at_most, above: Some(block) })
    }

    #[track_caller]
    fn find(&mut self, job: &Job, wanted: &Wanted) -> Solution {
        // One bit of the mask shows that rolling works; which one does not matter.
        let bits = self.version_mask & self.version_mask.wrapping_neg();
        let version = (job.version & !self.version_mask) | bits;
        for _ in 0..EXTRANONCE2_COUNT {
            self.extranonce2 += 1;
            let extranonce2 =
                format!("{:0width$x}", self.extranonce2, width = self.extranonce2_size * 2);
            let header = job.header(&unhex(&self.extranonce1), &unhex(&extranonce2), version);
            if let Some((nonce, hash)) = search(&header, NONCE_COUNT, wanted) {
                return Solution {
                    job_id: job.id.clone(),
                    extranonce2,
                    ntime: job.ntime,
                    nonce,
                    version_bits: (self.version_mask != 0).then_some(bits),
                    hash_hex: display(&hash),
                };
            }
        }
        panic!("no {wanted:?} in job {} ({})", job.id, hex(&job.coinb1));
    }

    #[track_caller]
    pub fn submit(&mut self, solution: &Solution) -> Answer {
        let params = self.submit_params(solution);
        self.client.request("mining.submit", &params)
    }

    /// What `mining.submit` says of a solution.
    pub fn submit_params(&self, solution: &Solution) -> Value {
        let mut params = vec![
            json!(self.worker),
            json!(solution.job_id),
            json!(solution.extranonce2),
            json!(format!("{:08x}", solution.ntime)),
            json!(format!("{:08x}", solution.nonce)),
        ];
        if let Some(bits) = solution.version_bits {
            params.push(json!(format!("{bits:08x}")));
        }
        Value::Array(params)
    }

    /// Finds a block in the newest work, hands it in and returns its hash.
    #[track_caller]
    pub fn mine_block(&mut self) -> String {
        let job = self.job();
        self.mine_block_of(&job)
    }

    /// Finds a block in `job`, hands it in and returns its hash.
    #[track_caller]
    pub fn mine_block_of(&mut self, job: &Job) -> String {
        let solution = self.find_block(job);
        let answer = self.submit(&solution);
        assert!(answer.is_true(), "a block was refused: {answer:?}");
        solution.hash_hex
    }
}
