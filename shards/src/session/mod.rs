//! One miner's state machine: requests, jobs, verdicts and time in; replies and decisions out.
//! It reads no clock, touches no socket and never waits, so a conversation can be replayed byte
//! for byte.

mod banning;
pub mod client;
mod difficulty;
pub mod directory;
mod explain;
mod fields;
mod handshake;
mod hint;
mod jobs;
mod last_share;
mod look;
pub mod meter;
pub mod notify;
mod observe;
mod offences;
mod rolling;
mod seen;
mod shown;
mod submit;
pub mod vardiff;

use std::sync::Arc;
use std::time::Duration;

use crate::admission::bans::Bans;
use crate::admission::source::Source;
use crate::admission::violations::Violations;
use crate::limits::FIRST_WORK_DELAY;
use crate::settings::Settings;
use crate::tally::{CloseReason, Seat, Tally};
use crate::wire::reject::{CODE_METHOD_NOT_FOUND, CODE_PARSE_ERROR, Reject};
use crate::wire::reply::{self, Failed};
use crate::wire::request::{Malformed, Request};
use difficulty::{Difficulty, When};
use directory::{Directory, Parked, Place};
use explain::Explainer;
pub use explain::Mistake;
use jobs::NotifiedJobs;
use last_share::LastShare;
pub use look::Peer;
use meter::Meter;
use notify::Work;
use offences::Offences;
use rolling::Rolling;
pub use shown::{ShownWork, Stranger};
pub use submit::Submission;
use vardiff::VarDiff;

/// A reading of both clocks, taken once per event by whoever has a clock.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Since the process started; never steps back.
    pub elapsed: Duration,
    pub unix_seconds: u64,
}

/// What a session may look at and write to while it handles one event.
pub struct Env<'a> {
    pub now: Now,
    pub settings: &'a Settings,
    /// The newest work, when there is any.
    pub work: Option<&'a Arc<Work>>,
    pub directory: &'a Directory,
    pub bans: &'a Bans,
    pub violations: &'a Violations,
    pub tally: &'a mut Tally,
    /// Bytes for this miner, in order.
    pub out: &'a mut Vec<u8>,
}

/// What follows from a request.
#[derive(Debug)]
pub enum Next {
    Continue,
    /// The submission must be hashed; [`Session::on_verdict`] answers it, before anything else
    /// happens to the session.
    Judge(Submission),
    /// The submission is refused without hashing; [`Session::refuse`] answers it, after those
    /// that came before it.
    Refuse(Refusal),
    /// What has been written is still sent.
    Close(CloseReason),
}

/// Why a submission is refused without hashing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Refusal {
    pub reject: Reject,
    /// It names a known job: what is wrong with it may be held against the miner.
    pub counts: bool,
}

/// Who is paid for a connection's shares.
#[derive(Debug)]
pub struct Payee {
    /// The full authorized worker name.
    pub name: Arc<str>,
    /// scriptPubKey of its wallet.
    pub script: Vec<u8>,
}

/// When a connection gets its first work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FirstWork {
    /// Not subscribed and authorized yet.
    Waiting,
    /// Due at this time since the process started.
    Due(Duration),
    Sent,
}

/// One connection's side of the Stratum protocol.
#[derive(Debug)]
pub struct Session {
    /// Process-wide number, given at the first subscribe or authorize.
    sequence: Option<u64>,
    /// Given by the subscribe.
    place: Option<Place>,
    client_id: Arc<str>,
    payee: Option<Arc<Payee>>,
    /// Where the payee's shares are counted.
    seat: Option<Seat>,
    wants_set_extranonce: bool,
    /// It has configured or suggested something, so it does not wait to negotiate more.
    has_negotiated: bool,
    /// A subscribe came with the bytes that are being read: the client does not wait for answers.
    subscribed_in_this_read: bool,
    rolling: Rolling,
    difficulty: Difficulty,
    jobs: NotifiedJobs,
    first_work: FirstWork,
    last_line_at: Duration,
    /// Unix seconds; the meter has it on the other clock.
    connected_at: u64,
    source: Source,
    offences: Offences,
    meter: Meter,
    /// Adjusts the difficulty, once there is work.
    vardiff: Option<VarDiff>,
    accepted: u64,
    /// Boxed, for most connections never submit.
    last_share: Option<Box<LastShare>>,
    /// A submission calls for new work once those judged with it have been answered.
    owes_notify: bool,
    is_observed: bool,
    /// It has changed since the last look at it.
    has_news: bool,
    /// There has been one.
    is_listed: bool,
    explainer: Explainer,
}

impl Session {
    pub fn new(source: Source, settings: &Settings, now: Now) -> Self {
        Self {
            sequence: None,
            place: None,
            client_id: Arc::default(),
            payee: None,
            seat: None,
            wants_set_extranonce: false,
            has_negotiated: false,
            subscribed_in_this_read: false,
            rolling: Rolling::new(settings.min_version_bits),
            difficulty: Difficulty::new(&settings.difficulty),
            jobs: NotifiedJobs::default(),
            first_work: FirstWork::Waiting,
            last_line_at: now.elapsed,
            connected_at: now.unix_seconds,
            source,
            offences: Offences::default(),
            meter: Meter::new(now.elapsed),
            vardiff: None,
            accepted: 0,
            last_share: None,
            owes_notify: false,
            is_observed: false,
            has_news: false,
            is_listed: false,
            explainer: Explainer::default(),
        }
    }

    /// Handles one request. Its answer, if it needs no hashing, is in `env.out` afterwards.
    pub fn on_request(&mut self, request: &Request<'_>, env: &mut Env<'_>) -> Next {
        self.last_line_at = env.now.elapsed;
        let id = request.id;
        match &*request.method {
            "mining.submit" => return self.submit(request, env),
            "mining.subscribe" => return self.subscribe(request, env),
            "mining.authorize" | "mining.auth" => return self.authorize(request, env),
            "mining.configure" => return self.configure(request, env),
            "mining.extranonce.subscribe" => self.extranonce_subscribe(request, env),
            // The second of each is a pool's message that proxies send the wrong way.
            "mining.suggest_difficulty" | "mining.set_difficulty" => {
                return self.suggest_difficulty(request, env);
            }
            "mining.suggest_target" | "mining.set_target" => {
                return self.suggest_target(request, env);
            }
            "mining.get_transactions" => self.get_transactions(request, env),
            "mining.ping" | "client.ping" => reply::result(env.out, id, &"pong"),
            "client.get_version" => {
                reply::result(env.out, id, &format!("goPool/{}", env.settings.version));
            }
            "mining.capabilities" | "client.show_message" | "client.reconnect" => {
                reply::success(env.out, id);
            }
            _ if request.has_id() => {
                let message = "method not found";
                reply::failure(env.out, id, Failed::Null, CODE_METHOD_NOT_FOUND, message);
            }
            _ => {}
        }
        Next::Continue
    }

    /// Answers a line that is no request, if it can be answered; the connection always ends.
    pub fn on_malformed(&mut self, malformed: &Malformed<'_>, env: &mut Env<'_>) -> Next {
        self.last_line_at = env.now.elapsed;
        if let Some(id) = malformed.id {
            reply::failure(env.out, id, Failed::Null, CODE_PARSE_ERROR, "parse error");
        }
        self.on_violation(env);
        Next::Close(CloseReason::Malformed)
    }

    /// All lines that came together have been handled: work that is due goes out with their
    /// answers.
    pub fn on_input_end(&mut self, env: &mut Env<'_>) {
        self.subscribed_in_this_read = false;
        self.send_first_work_if_due(env);
    }

    /// There is new work in `env`, unless the miner has it already.
    pub fn on_work(&mut self, env: &mut Env<'_>) {
        match self.first_work {
            FirstWork::Waiting => {}
            FirstWork::Due(_) => self.send_first_work(env),
            FirstWork::Sent if self.has(env.work) => {}
            FirstWork::Sent => self.notify(false, env),
        }
    }

    /// Whether this work is what the miner was last sent.
    fn has(&self, work: Option<&Arc<Work>>) -> bool {
        let (Some(last), Some(work)) = (self.jobs.last(), work) else { return false };
        Arc::ptr_eq(&last.job, &work.job)
    }

    /// Time has passed.
    pub fn on_tick(&mut self, env: &mut Env<'_>) -> Next {
        if env.now.elapsed.saturating_sub(self.last_line_at) > env.settings.idle_timeout {
            return Next::Close(CloseReason::Idle);
        }
        self.send_first_work_if_due(env);
        if self.retarget(When::Idle, env) {
            self.notify(true, env);
        }
        Next::Continue
    }

    /// When [`Self::on_tick`] has something to do before the next sweep.
    pub fn first_work_due(&self) -> Option<Duration> {
        match self.first_work {
            FirstWork::Due(at) => Some(at),
            _ => None,
        }
    }

    /// The connection has ended. A miner that had work may come back to it.
    pub fn on_close(&mut self, env: &mut Env<'_>) {
        let payee = self.payee.take();
        if let Some(seat) = self.seat.take() {
            env.tally.leave(seat);
        }
        self.end_list_entry(env);
        let Some(place) = self.place.take() else {
            return;
        };
        let parked = (payee.is_some() && self.jobs.last().is_some()).then(|| Parked {
            extranonce1: place.extranonce1,
            difficulty: std::mem::replace(
                &mut self.difficulty,
                Difficulty::new(&env.settings.difficulty),
            ),
            jobs: std::mem::take(&mut self.jobs),
        });
        env.directory.leave(place, parked, env.now.elapsed);
    }

    pub fn is_authorized(&self) -> bool {
        self.payee.is_some()
    }

    pub fn is_subscribed(&self) -> bool {
        self.place.is_some()
    }

    fn is_ready(&self) -> bool {
        self.is_subscribed() && self.payee.is_some()
    }

    /// Subscribed and authorized: decides when the first work goes out. A client that has said
    /// what it wants, or that does not wait for answers, gets it with this answer; another may
    /// still be about to configure (`miners.md`, what follows 1).
    fn schedule_first_work(&mut self, env: &Env<'_>) {
        if !self.is_ready() || self.first_work != FirstWork::Waiting {
            return;
        }
        let waits = !self.has_negotiated && !self.subscribed_in_this_read;
        let delay = if waits { FIRST_WORK_DELAY } else { Duration::ZERO };
        self.first_work = FirstWork::Due(env.now.elapsed + delay);
    }

    /// Negotiation is over: work that waits for it waits no longer.
    fn hurry_first_work(&mut self, env: &Env<'_>) {
        self.has_negotiated = true;
        if let FirstWork::Due(at) = &mut self.first_work {
            *at = env.now.elapsed;
        }
    }

    fn send_first_work_if_due(&mut self, env: &mut Env<'_>) {
        if let FirstWork::Due(at) = self.first_work
            && at <= env.now.elapsed
        {
            self.send_first_work(env);
        }
    }

    fn send_first_work(&mut self, env: &mut Env<'_>) {
        self.first_work = FirstWork::Sent;
        self.start_difficulty(env);
        self.vardiff = Some(VarDiff::new(env.now.elapsed));
        self.meter.start(env.now.elapsed);
        self.notify(true, env);
    }
}
