//! A session served as the executor serves it (`executor/serve.rs`), with jobs, tips, time and new
//! connections at will, and an [`Ear`] that checks everything it says.

use std::sync::Arc;
use std::time::Duration;

use gopool_shards::admission::bans::Bans;
use gopool_shards::admission::violations::Violations;
use gopool_shards::limits::{JUDGE_BATCH_MAX, LINE_BYTES_MAX};
use gopool_shards::session::directory::Directory;
use gopool_shards::session::notify::Work;
use gopool_shards::session::{Env, Next, Now, Refusal, Session, Submission};
use gopool_shards::settings::{Freshness, Settings};
use gopool_shards::share::{self, Leaf, Verdict};
use gopool_shards::tally::{CloseReason, Sums, Tally};
use gopool_shards::wire::line::Partial;
use gopool_shards::wire::request::Request;
use gopool_shards::wire::submit::Submit;
use gopool_shards::work::job::{Job, JobStamp};
use gopool_shards::work::target::Target;
use gopool_shards::work::template::Template;
use gopool_shards::work::transactions::Transactions;

use super::ear::Ear;
use super::transcript::{defaults, job_inputs, template};

/// Difficulty at which any hash is a share.
pub const ANY: f64 = 1e-10;

/// Installations that differ in what a conversation can come to.
pub fn profile(number: u8) -> (Settings, Template) {
    let (mut settings, mut template) = (defaults(), template());
    settings.difficulty.min = ANY;
    settings.difficulty.default = ANY;
    settings.bans.threshold = 0;
    match number {
        // Any hash is a block.
        1 => {
            template.target = Target::from_difficulty(ANY);
        }
        // Strict in everything.
        2 => {
            settings.difficulty.min = 0.001;
            settings.difficulty.default = 0.0;
            settings.difficulty.max = 1000.0;
            settings.difficulty.enforce_suggested_limits = true;
            settings.bans.threshold = 5;
            settings.messages_per_minute = 60;
            settings.shares.freshness = Freshness::JobIdAndPrevHash;
            settings.shares.require_worker_match = true;
            settings.banned_clients = vec!["badminer".into()];
        }
        // One hash in four is a share, for good.
        3 => {
            settings.difficulty.min = 1e-9;
            settings.difficulty.default = 1e-9;
            settings.difficulty.max = 1e-9;
            settings.difficulty.lock_suggested = true;
            settings.ckpool_emulate = false;
        }
        _ => {}
    }
    (settings, template)
}

pub struct World {
    settings: Settings,
    template: Template,
    jobs: u64,
    work: Option<Arc<Work>>,
    directory: Directory,
    bans: Bans,
    violations: Arc<Violations>,
    tally: Tally,
    /// What the tally has said so far.
    pub sums: Sums,
    now: Now,
    session: Session,
    partial: Partial,
    pub closed: Option<CloseReason>,
    /// Submissions that wait for their verdict, and how many may.
    waiting: Vec<Submission>,
    batch: usize,
    pub ear: Ear,
}

impl World {
    pub fn new((settings, template): (Settings, Template)) -> Self {
        let now = Now { elapsed: Duration::from_secs(1000), unix_seconds: 1_713_571_770 };
        let session = Session::new(source(), &settings, now);
        let mut world = Self {
            ear: Ear::new(&settings, template.target),
            settings,
            template,
            jobs: 0,
            work: None,
            directory: Directory::new(Some([7; 32])),
            bans: Bans::default(),
            violations: Violations::new(),
            tally: Tally::default(),
            sums: Sums::default(),
            now,
            session,
            partial: Partial::default(),
            closed: None,
            waiting: Vec::new(),
            batch: JUDGE_BATCH_MAX,
        };
        world.build_job();
        world
    }

    /// Every submission is judged before the next line is read.
    pub fn judging_at_once(mut self) -> Self {
        self.batch = 1;
        self
    }

    /// The miner's bytes, as one read brings them.
    pub fn read(&mut self, bytes: &[u8]) {
        assert!(self.closed.is_none(), "who is gone sends nothing");
        let mut partial = std::mem::take(&mut self.partial);
        let framed = partial.feed(bytes, |line| {
            self.on_line(line);
            self.closed.is_none()
        });
        self.partial = partial;
        assert!(self.partial.len() < LINE_BYTES_MAX);
        self.judge();
        if self.closed.is_none() {
            self.with_env(0, |session, env| session.on_input_end(env));
        }
        if framed.is_err() {
            self.with_env(0, |session, env| session.on_violation(env));
            self.closed = self.closed.or(Some(CloseReason::LineTooLong));
        }
        self.ear.on_read_end();
        self.audit();
    }

    /// A job with other transactions on the same tip.
    pub fn bring_job(&mut self) {
        let fewer = self.template.transactions.iter().skip(1).copied().collect();
        self.template.transactions = Transactions::named(fewer);
        self.bring_work();
    }

    /// A job on a new tip.
    pub fn bring_tip(&mut self) {
        self.template.height += 1;
        self.template.prev_hash[0] = self.template.prev_hash[0].wrapping_add(1);
        self.bring_work();
    }

    pub fn pass(&mut self, time: Duration) {
        let before = self.now.elapsed;
        self.now.elapsed += time;
        self.now.unix_seconds += self.now.elapsed.as_secs() - before.as_secs();
        if self.closed.is_none() {
            let next = self.with_env(0, |session, env| session.on_tick(env));
            self.close_if_asked(&next);
        }
    }

    /// The miner hangs up, if it has not been, and comes back.
    pub fn reconnect(&mut self) {
        self.with_env(0, |session, env| session.on_close(env));
        self.ear.on_close();
        self.audit();
        self.session = Session::new(source(), &self.settings, self.now);
        self.partial = Partial::default();
        self.closed = None;
    }

    fn bring_work(&mut self) {
        self.build_job();
        if self.closed.is_none() {
            self.with_env(0, |session, env| session.on_work(env));
        }
    }

    fn build_job(&mut self) {
        let stamp = JobStamp { id: self.jobs, built_at: 1_713_571_770, entropy: "Ef12".into() };
        let job = Job::compile(&self.template, &job_inputs(), &stamp).expect("a job");
        self.jobs += 1;
        self.work = Some(Arc::new(Work::new(Arc::new(job))));
    }

    /// Line for line what `executor/serve.rs` does.
    fn on_line(&mut self, line: &[u8]) {
        if let Some(submit) = Submit::scan(line) {
            self.ear.on_asked(Request::parse(line).as_ref());
            let next = self.with_env(line.len(), |session, env| session.on_submit(&submit, env));
            self.follow(line, next, submit.id);
            return;
        }
        let request = Request::parse(line);
        let is_submit = request.as_ref().is_ok_and(|request| request.method == "mining.submit");
        if !is_submit {
            self.judge();
        }
        let weighed =
            self.with_env(line.len(), |session, env| session.on_line(line, request.as_ref(), env));
        if !matches!(weighed, Next::Continue) {
            self.close_if_asked(&weighed);
            return;
        }
        self.ear.on_asked(request.as_ref());
        let next = self.with_env(line.len(), |session, env| match &request {
            Ok(request) => session.on_request(request, env),
            Err(malformed) => session.on_malformed(malformed, env),
        });
        self.follow(line, next, request.as_ref().map_or("null", |request| request.id));
    }

    fn follow(&mut self, line: &[u8], next: Next, id: &str) {
        self.close_if_asked(&next);
        match next {
            Next::Judge(submission) => {
                self.waiting.push(submission);
                if self.waiting.len() >= self.batch {
                    self.judge();
                }
            }
            Next::Refuse(Refusal { reject, counts }) => {
                self.judge();
                self.with_env(line.len(), |session, env| session.refuse(id, reject, counts, env));
            }
            Next::Continue | Next::Close(_) => {}
        }
    }

    fn judge(&mut self) {
        for submission in std::mem::take(&mut self.waiting) {
            let mut coinbase = Vec::new();
            let (job, root) = self.session.leaf(&submission, &mut coinbase);
            let mut verdict = [Verdict::NONE];
            let leaf = root.map_or(Leaf::Coinbase(&coinbase), Leaf::Root);
            share::judge(&[submission.candidate(job, leaf)], &mut verdict);
            let solved =
                self.with_env(0, |session, env| session.on_verdict(&submission, &verdict[0], env));
            if let Some(solved) = solved {
                self.ear.on_solved(&solved);
            }
        }
        self.with_env(0, |session, env| session.on_verdicts_end(env));
    }

    fn close_if_asked(&mut self, next: &Next) {
        if let Next::Close(reason) = next {
            self.closed = Some(*reason);
        }
    }

    /// `asked` bytes are what the event brought; what is said is bounded by it.
    fn with_env<T>(
        &mut self,
        asked: usize,
        act: impl FnOnce(&mut Session, &mut Env<'_>) -> T,
    ) -> T {
        let mut out = Vec::new();
        let acted = act(
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
        assert!(out.len() <= 8 * 1024 + 8 * asked, "{} bytes for {asked}", out.len());
        self.ear.on_said(&out);
        acted
    }

    /// What is counted is what was said.
    fn audit(&mut self) {
        self.sums.add(self.tally.take());
        assert_eq!(self.sums.accepted, self.ear.accepted, "accepted");
        let rejected: u64 = self.sums.rejected.values().sum();
        assert_eq!(rejected, self.ear.rejected, "rejected");
        let connections: i64 = self.sums.workers.values().map(|sums| sums.connections).sum();
        match self.ear.has_joined() {
            Some(joined) => assert_eq!(connections, i64::from(joined), "connections of workers"),
            None => assert!((0..=1).contains(&connections), "{connections} connections of workers"),
        }
    }
}

fn source() -> gopool_shards::admission::source::Source {
    std::net::IpAddr::from([127, 0, 0, 1]).into()
}
