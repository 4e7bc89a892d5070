//! What the stations work on: a job of mainnet's size, and sessions of miners that have it.

use std::sync::Arc;
use std::time::Duration;

use gopool_shards::admission::ban::BanRules;
use gopool_shards::admission::bans::Bans;
use gopool_shards::admission::violations::Violations;
use gopool_shards::session::directory::Directory;
use gopool_shards::session::meter::HashrateSettings;
use gopool_shards::session::notify::Work;
use gopool_shards::session::vardiff::VarDiffSettings;
use gopool_shards::session::{Env, Next, Now, Session};
use gopool_shards::settings::{DifficultySettings, Freshness, Settings, SharePolicy, TcpBuffers};
use gopool_shards::sha256d::sha256d;
use gopool_shards::tally::Tally;
use gopool_shards::wire::request::Request;
use gopool_shards::work::address::{Network, script_for};
use gopool_shards::work::job::{Job, JobInputs, JobStamp};
use gopool_shards::work::payout::PayoutPolicy;
use gopool_shards::work::target::Target;
use gopool_shards::work::template::Template;
use gopool_shards::work::transaction::Transaction;

/// A wallet for the miners (BIP-0173's own example).
pub const WALLET: &str = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
/// `nbits` of a mainnet block of 2024.
const BITS: u32 = 0x1703_4219;
const CURTIME: u32 = 1_713_571_767;
/// Bytes of each transaction: what mainnet's are on average.
const TRANSACTION_BYTES: usize = 450;

/// A pool without sockets, and its miners.
pub struct Workbench {
    pub settings: Settings,
    pub work: Arc<Work>,
    pub tally: Tally,
    pub now: Now,
    /// What sessions have said.
    pub out: Vec<u8>,
    directory: Directory,
    bans: Bans,
    violations: Arc<Violations>,
}

impl Workbench {
    /// With a job of so many transactions, and every hash a share.
    pub fn new(transactions: usize) -> Self {
        Self {
            settings: settings(),
            work: work(transactions, 0),
            tally: Tally::default(),
            now: Now { elapsed: Duration::from_secs(1000), unix_seconds: u64::from(CURTIME) },
            out: Vec::new(),
            directory: Directory::new(None),
            bans: Bans::default(),
            violations: Violations::new(),
        }
    }

    /// A miner that is subscribed, authorized and at work.
    pub fn miner(&mut self, number: usize) -> Session {
        let source = std::net::IpAddr::from([127, 0, 0, 1]).into();
        let mut session = Session::new(source, &self.settings, self.now);
        let authorize =
            format!(r#"{{"id":2,"method":"mining.authorize","params":["{WALLET}.{number}","x"]}}"#);
        for line in [r#"{"id":1,"method":"mining.subscribe","params":[]}"#, &authorize] {
            let request = Request::parse(line.as_bytes()).expect("a request");
            let next = self.act(&mut session, |session, env| session.on_request(&request, env));
            assert!(matches!(next, Next::Continue), "{next:?}");
        }
        self.act(&mut session, |session, env| session.on_input_end(env));
        let said = std::str::from_utf8(&self.out).expect("JSON is text");
        assert!(said.contains("\"mining.notify\",\"params\":[\"1-1\""), "{said}");
        session
    }

    /// Lets a session do something; what it says replaces what was said before.
    pub fn act<T>(
        &mut self,
        session: &mut Session,
        act: impl FnOnce(&mut Session, &mut Env<'_>) -> T,
    ) -> T {
        self.out.clear();
        act(
            session,
            &mut Env {
                now: self.now,
                settings: &self.settings,
                work: Some(&self.work),
                directory: &self.directory,
                bans: &self.bans,
                violations: &self.violations,
                tally: &mut self.tally,
                out: &mut self.out,
            },
        )
    }
}

/// A job of so many transactions, on a tip of its own for each `tip`.
pub fn work(transactions: usize, tip: u8) -> Arc<Work> {
    let template = Template {
        height: 840_001 + u64::from(tip),
        version: 0x2000_0000,
        prev_hash: [tip; 32],
        bits: BITS,
        target: Target::from_bits(BITS).expect("valid bits"),
        curtime: CURTIME,
        mintime: CURTIME - 3600,
        coinbase_value: 312_500_000,
        coinbase_flags: vec![],
        witness_commitment: [&[0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed][..], &[7; 32]].concat(),
        transactions: (0..transactions).map(transaction).collect(),
        version_bits_fixed: 0,
    };
    let stamp =
        JobStamp { id: u64::from(tip), built_at: u64::from(CURTIME), entropy: "Ef12".into() };
    let job = Job::compile(&template, &job_inputs(), &stamp).expect("a job");
    Arc::new(Work::new(Arc::new(job)))
}

fn transaction(number: usize) -> Arc<Transaction> {
    let mut data = vec![number as u8; TRANSACTION_BYTES];
    data[..8].copy_from_slice(&number.to_le_bytes());
    let id = sha256d(&data);
    Arc::new(Transaction { data, txid: id, wtxid: id })
}

fn job_inputs() -> JobInputs {
    let pool_script =
        script_for("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", Network::Mainnet).expect("an address");
    JobInputs {
        payout: Arc::new(PayoutPolicy {
            pool_address: String::new(),
            pool_script,
            fee_percent: 2.0,
            donation: None,
        }),
        brand_tag: "/goPool/".into(),
        pool_entropy: "AbCd".into(),
        script_bytes_max: 100,
        extranonce2_size: 4,
        template_extranonce2_size: 8,
        bip110_enabled: false,
        version_bits: vec![],
    }
}

fn settings() -> Settings {
    let minute = Duration::from_secs(60);
    Settings {
        network: Network::Mainnet,
        version: "bench",
        ckpool_emulate: true,
        password: None,
        extranonce2_size: 4,
        min_version_bits: 1,
        connections_max: 0,
        tcp_buffers: TcpBuffers::default(),
        messages_per_minute: 0,
        banned_clients: vec![],
        bans: BanRules { threshold: 60, window: 5 * minute, duration: 15 * minute },
        idle_timeout: 5 * minute,
        difficulty: DifficultySettings {
            default: 1e-10,
            min: 1e-10,
            max: 1e-10,
            step_granularity: 10,
            lock_suggested: false,
            enforce_suggested_limits: false,
        },
        vardiff: VarDiffSettings {
            enabled: true,
            target_shares_per_min: 15.0,
            idle_timeout: 5 * minute,
        },
        hashrate: HashrateSettings::new(Duration::from_secs(450), 15.0),
        observes_miners: false,
        shares: SharePolicy {
            freshness: Freshness::JobId,
            check_ntime_window: true,
            ntime_forward_max: Duration::from_secs(7000),
            check_version_rolling: true,
            allow_out_of_mask_version_bits: false,
            require_authorized: true,
            require_worker_match: false,
            check_param_format: true,
            check_duplicate: true,
        },
    }
}
