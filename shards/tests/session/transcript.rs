//! Conversations with the pool, played against a session without sockets or clocks.
//!
//! | line       | meaning                                                        |
//! |------------|----------------------------------------------------------------|
//! | `> text`   | the miner sends a line, in a read of its own                   |
//! | `>> text`  | the miner sends a line in the same read as the one before      |
//! | `< text`   | the pool's next line; `…` stands for anything                  |
//! | `! job`    | control sends a job with other transactions on the same tip    |
//! | `! tip`    | control sends a job on a new tip                               |
//! | `+250ms`   | time passes (`ms` or `s`)                                      |
//! | `closed`   | the pool has ended the connection                              |
//! | `reconnect`| the miner hangs up and comes back on a new connection          |
//!
//! `W` in quotes stands for a wallet, `$S` for a session id: the pool's, wherever it first says one.
//! Everything the pool says must stand in the transcript.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use gopool_shards::admission::ban::BanRules;
use gopool_shards::admission::bans::Bans;
use gopool_shards::admission::source::Source;
use gopool_shards::admission::violations::Violations;
use gopool_shards::session::directory::Directory;
use gopool_shards::session::meter::HashrateSettings;
use gopool_shards::session::notify::Work;
use gopool_shards::session::vardiff::VarDiffSettings;
use gopool_shards::session::{Env, Next, Now, Peer, Refusal, Session};
use gopool_shards::settings::{DifficultySettings, Freshness, Settings, SharePolicy, TcpBuffers};
use gopool_shards::share::{self, Leaf, Solved, Verdict};
use gopool_shards::tally::{CloseReason, Sums, Tally};
use gopool_shards::wire::line::Partial;
use gopool_shards::wire::request::Request;
use gopool_shards::wire::submit::Submit;
use gopool_shards::work::address::{Network, script_for};
use gopool_shards::work::header::hash_from_display_hex;
use gopool_shards::work::job::{Job, JobInputs, JobStamp};
use gopool_shards::work::payout::PayoutPolicy;
use gopool_shards::work::target::Target;
use gopool_shards::work::template::Template;
use gopool_shards::work::transaction::Ids;
use gopool_shards::work::transactions::Transactions;

pub const WALLET: &str = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";

/// The settings of an installation that has changed none.
pub fn defaults() -> Settings {
    Settings {
        network: Network::Mainnet,
        version: "v1.2.3",
        ckpool_emulate: true,
        password: None,
        extranonce2_size: 4,
        min_version_bits: 1,
        connections_max: 50_000,
        tcp_buffers: TcpBuffers::default(),
        messages_per_minute: 0,
        banned_clients: vec![],
        bans: BanRules {
            threshold: 40,
            window: Duration::from_secs(300),
            duration: Duration::from_secs(900),
        },
        idle_timeout: Duration::from_secs(180),
        difficulty: DifficultySettings {
            default: 0.0,
            min: 256.0,
            max: 0.0,
            step_granularity: 10,
            lock_suggested: false,
            enforce_suggested_limits: false,
        },
        vardiff: VarDiffSettings {
            enabled: true,
            target_shares_per_min: 15.0,
            idle_timeout: Duration::from_secs(180),
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

/// Shares of the specification's example count at this difficulty.
pub fn easy() -> Settings {
    let mut settings = defaults();
    settings.difficulty.min = 0.009;
    settings.difficulty.default = 0.009;
    settings.difficulty.max = 0.009;
    settings
}

/// The template of `stratum.md` §16.4.
pub fn template() -> Template {
    let txid = |hex: &str| hash_from_display_hex(hex).expect("64 digits");
    let transaction = |hex: &str| Ids { txid: txid(hex), wtxid: txid(hex) };
    Template {
        height: 840_001,
        version: 0x2000_0000,
        prev_hash: txid("0000000000000000000320283a032748cef8227873ff4872689bf23f1cda83a5"),
        bits: 0x1703_4219,
        target: Target::from_bits(0x1703_4219).expect("valid bits"),
        curtime: 1_713_571_767,
        mintime: 1_713_570_000,
        coinbase_value: 400_000_000,
        coinbase_flags: vec![],
        witness_commitment: const_hex::decode(
            "6a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf9",
        )
        .expect("hex"),
        transactions: Transactions::named(vec![
            transaction("5a0ab47681e4de128a913e2ce2da5fae7b8ebf00a77a6a9eefc8fd1b7683d9dc"),
            transaction("cf925137514516f2ac2f026517c7ce5f68f4eddeea0c5bf28113052daf7eb1c7"),
        ]),
        version_bits_fixed: 0,
    }
}

pub fn job_inputs() -> JobInputs {
    JobInputs {
        payout: Arc::new(PayoutPolicy {
            pool_address: String::new(),
            pool_script: script_for("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", Network::Mainnet)
                .expect("an address"),
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

/// A session with the world around it.
pub struct Pool {
    pub settings: Settings,
    template: Template,
    jobs: u64,
    work: Option<Arc<Work>>,
    directory: Directory,
    pub bans: Bans,
    violations: Arc<Violations>,
    pub tally: Tally,
    now: Now,
    session: Session,
    partial: Partial,
    said: VecDeque<String>,
    pub closed: Option<CloseReason>,
    /// What `$S` stands for.
    session_id: Option<String>,
    pub solved: Vec<Solved>,
}

impl Pool {
    pub fn new(settings: Settings) -> Self {
        Self::with_template(settings, template())
    }

    /// With session ids as in production, which nobody can guess.
    pub fn with_secret_ids(settings: Settings) -> Self {
        Self::new(settings).secret()
    }

    /// The same for a pool that is there already.
    pub fn secret(mut self) -> Self {
        self.directory = Directory::new(Some([7; 32]));
        self
    }

    pub fn with_template(settings: Settings, template: Template) -> Self {
        let now = Now { elapsed: Duration::from_secs(1000), unix_seconds: 1_713_571_770 };
        let session = Session::new(source(), &settings, now);
        let mut pool = Self {
            settings,
            template,
            jobs: 0,
            work: None,
            directory: Directory::new(None),
            bans: Bans::default(),
            violations: Violations::new(),
            tally: Tally::default(),
            now,
            session,
            partial: Partial::default(),
            said: VecDeque::new(),
            closed: None,
            session_id: None,
            solved: Vec::new(),
        };
        pool.build_job();
        pool
    }

    /// Plays a transcript; see the module's table.
    #[track_caller]
    pub fn play(&mut self, transcript: &str) {
        let mut lines =
            transcript.lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
        while let Some(line) = lines.next() {
            let line = self.with_names(line);
            if let Some(text) = line.strip_prefix("> ") {
                self.expect_silence(&line);
                let mut read = format!("{text}\n");
                while let Some(more) = lines.peek().and_then(|next| next.strip_prefix(">> ")) {
                    read += &self.with_names(more);
                    read.push('\n');
                    lines.next();
                }
                self.read(read.as_bytes());
            } else if let Some(expected) = line.strip_prefix("< ") {
                let Some(said) = self.said.pop_front() else {
                    panic!("the pool says nothing, not {expected}");
                };
                let expected = &self.learn_session_id(expected, &said);
                assert!(matches(expected, &said), "the pool says\n  {said}\nnot\n  {expected}");
            } else if line == "closed" {
                assert!(self.closed.is_some(), "the connection is still open");
            } else if line == "reconnect" {
                self.expect_silence(&line);
                self.reconnect();
            } else if line == "! job" {
                self.expect_silence(&line);
                self.bring_job();
            } else if line == "! tip" {
                self.expect_silence(&line);
                self.bring_tip();
            } else if let Some(time) = line.strip_prefix('+') {
                self.expect_silence(&line);
                self.pass(parse_duration(time));
            } else {
                panic!("no such line in a transcript: {line}");
            }
        }
        self.expect_silence("the end");
    }

    /// Whole lines, as one read brings them.
    pub fn read(&mut self, bytes: &[u8]) {
        self.partial = Partial::default();
        self.receive(bytes);
    }

    /// Any bytes, as one read brings them; a line may go on in the next.
    pub fn receive(&mut self, bytes: &[u8]) {
        let mut lines = Vec::new();
        let framed = self.partial.feed(bytes, |line| {
            lines.push(line.to_vec());
            true
        });
        for line in lines {
            if self.closed.is_some() {
                return;
            }
            let mut submission = None;
            self.with_env(|session, env| {
                let request = Request::parse(&line);
                let next = if let Some(submit) = Submit::scan(&line) {
                    session.on_submit(&submit, env)
                } else {
                    match (session.on_line(&line, request.as_ref(), env), &request) {
                        (Next::Continue, Ok(request)) => session.on_request(request, env),
                        (Next::Continue, Err(malformed)) => session.on_malformed(malformed, env),
                        (too_many, _) => too_many,
                    }
                };
                match next {
                    Next::Refuse(Refusal { reject, counts }) => {
                        session.refuse(request.expect("one").id, reject, counts, env);
                    }
                    Next::Judge(found) => submission = Some(found),
                    Next::Close(reason) => return Some(reason),
                    Next::Continue => {}
                }
                None
            });
            if let Some(submission) = submission {
                let mut coinbase = Vec::new();
                let (job, root) = self.session.leaf(&submission, &mut coinbase);
                let mut verdict = [Verdict::NONE];
                let leaf = root.map_or(Leaf::Coinbase(&coinbase), Leaf::Root);
                share::judge(&[submission.candidate(job, leaf)], &mut verdict);
                let mut solved = None;
                self.with_env(|session, env| {
                    solved = session.on_verdict(&submission, &verdict[0], env);
                    session.on_verdicts_end(env);
                    None
                });
                self.solved.extend(solved);
            }
        }
        if framed.is_err() {
            self.closed = self.closed.or(Some(CloseReason::LineTooLong));
        }
        if self.closed.is_none() {
            self.with_env(|session, env| {
                session.on_input_end(env);
                None
            });
        }
    }

    /// A job with other transactions on the same tip.
    pub fn bring_job(&mut self) {
        let fewer = self.template.transactions.iter().skip(1).copied().collect();
        self.template.transactions = Transactions::named(fewer);
        self.new_work();
    }

    /// A job on a new tip.
    pub fn bring_tip(&mut self) {
        self.template.height += 1;
        self.template.prev_hash[0] ^= 0xff;
        self.new_work();
    }

    /// The settings are others from here on.
    pub fn change_settings(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings);
        self.with_env(|session, env| {
            session.on_settings(env);
            None
        });
    }

    fn reconnect(&mut self) {
        self.with_env(|session, env| {
            session.on_close(env);
            None
        });
        self.session = Session::new(source(), &self.settings, self.now);
        self.closed = None;
    }

    fn with_names(&self, line: &str) -> String {
        let line = line.replace("\"W", &format!("\"{WALLET}"));
        match &self.session_id {
            Some(session_id) => line.replace("$S", session_id),
            None => line,
        }
    }

    fn learn_session_id(&mut self, expected: &str, said: &str) -> String {
        if let Some((before, _)) = expected.split_once("$S")
            && let Some(rest) = said.strip_prefix(before)
            && let Some((session_id, _)) = rest.split_once('"')
        {
            self.session_id = Some(session_id.to_owned());
        }
        self.with_names(expected)
    }

    /// What the pool has said, for a test that looks at it by itself.
    pub fn hear(&mut self) -> Vec<String> {
        self.said.drain(..).collect()
    }

    /// What control is told once a second.
    pub fn report(&mut self) -> Sums {
        self.with_env(|session, env| {
            if session.has_news() {
                session.look(&peer(), env);
            }
            None
        });
        self.tally.take()
    }

    fn pass(&mut self, time: Duration) {
        self.now.elapsed += time;
        self.now.unix_seconds += time.as_secs();
        self.with_env(|session, env| match session.on_tick(env) {
            Next::Close(reason) => Some(reason),
            _ => None,
        });
    }

    fn new_work(&mut self) {
        self.build_job();
        self.with_env(|session, env| {
            session.on_work(env);
            None
        });
    }

    fn build_job(&mut self) {
        let stamp = JobStamp { id: self.jobs, built_at: 1_713_571_770, entropy: "Ef12".into() };
        let job = Job::compile(&self.template, &job_inputs(), &stamp).expect("a job");
        self.jobs += 1;
        self.work = Some(Arc::new(Work::new(Arc::new(job))));
    }

    fn with_env(&mut self, act: impl FnOnce(&mut Session, &mut Env<'_>) -> Option<CloseReason>) {
        let mut out = Vec::new();
        let closed = act(
            &mut self.session,
            &mut Env {
                now: self.now,
                settings: &self.settings,
                work: self.work.as_ref(),
                directory: &self.directory,
                bans: &self.bans,
                violations: &self.violations,
                tally: &mut self.tally,
                out: &mut out,
            },
        );
        self.closed = self.closed.or(closed);
        let text = String::from_utf8(out).expect("the pool says text");
        assert!(text.is_empty() || text.ends_with('\n'), "{text}");
        self.said.extend(text.lines().map(str::to_owned));
    }

    #[track_caller]
    fn expect_silence(&self, before: &str) {
        assert!(self.said.is_empty(), "before {before} the pool also says {:?}", self.said);
    }
}

fn source() -> Source {
    std::net::IpAddr::from([127, 0, 0, 1]).into()
}

/// As the socket would have it.
pub fn peer() -> Peer {
    let round_trip = Some(Duration::from_millis(30));
    Peer { remote: ([203, 0, 113, 7], 50_000).into(), is_tls: true, round_trip }
}

/// Whether `said` is `expected`, in which `…` stands for anything.
fn matches(expected: &str, said: &str) -> bool {
    let Some((first, wildcards)) = expected.split_once('…') else {
        return expected == said;
    };
    let Some(mut rest) = said.strip_prefix(first) else {
        return false;
    };
    let (middle, last) = wildcards.rsplit_once('…').unwrap_or(("", wildcards));
    for part in middle.split('…') {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

fn parse_duration(text: &str) -> Duration {
    if let Some(milliseconds) = text.strip_suffix("ms") {
        return Duration::from_millis(milliseconds.parse().expect("a number"));
    }
    Duration::from_secs(text.strip_suffix('s').and_then(|s| s.parse().ok()).expect("ms or s"))
}
