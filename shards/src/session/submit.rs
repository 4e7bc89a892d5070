//! `mining.submit`: what is checked before hashing, and what follows from the hash
//! (`stratum.md` §6).

use std::sync::Arc;

use smallvec::SmallVec;
use tracing::info;

use crate::settings::SharePolicy;
use crate::sha256d::Hash;
use crate::share::{self, Candidate, Leaf, Solved, Verdict};
use crate::wire::reject::Reject;
use crate::wire::reply::{self, Failed};
use crate::wire::request::Request;
use crate::wire::submit::Submit;
use crate::work::job::Job;
use crate::work::target::SHARE_TOLERANCE;

use super::difficulty::When;
use super::explain::Low;
use super::fields::{Fields, decode_extranonce2, hex_value};
use super::hint::split_worker_name;
use super::jobs::{Named, Notified};
use super::meter::Outcome;
use super::{Env, Next, Refusal, Session};

/// A share that must be hashed to be judged. It is concluded before anything else happens to its
/// session, so what it is judged by is still there.
#[derive(Debug)]
pub struct Submission {
    /// The request's id, to be echoed.
    id: SmallVec<[u8; 24]>,
    /// Number of the notify that it answers.
    pub(super) sequence: u32,
    extranonce1: [u8; 4],
    pub(super) extranonce2: SmallVec<[u8; 8]>,
    ntime: u32,
    nonce: u32,
    version: u32,
    /// The difficulty before the last change, while shares for it may be in flight.
    previous_difficulty: Option<f64>,
    /// What forbids it unless it is a block.
    policy: Option<Reject>,
    /// Its job takes shares, and remembers them.
    is_remembered: bool,
}

impl Submission {
    /// Appends the coinbase that is hashed for `notified` with the extranonces submitted.
    pub(super) fn write_coinbase(&self, notified: &Notified, out: &mut Vec<u8>) {
        self.write(notified, &self.extranonce2, out);
    }

    /// The same with the bytes of extranonce2 the other way round.
    pub(super) fn write_swapped_coinbase(&self, notified: &Notified, out: &mut Vec<u8>) {
        let swapped: SmallVec<[u8; 8]> = self.extranonce2.iter().rev().copied().collect();
        self.write(notified, &swapped, out);
    }

    fn write(&self, notified: &Notified, extranonce2: &[u8], out: &mut Vec<u8>) {
        let Notified { job, payee, sequence, .. } = notified;
        share::write_coinbase(out, job, &payee.script, *sequence, self.extranonce1, extranonce2);
    }

    /// What is hashed, around a leaf.
    pub fn candidate<'a>(&self, job: &'a Job, leaf: Leaf<'a>) -> Candidate<'a> {
        let Self { version, ntime, nonce, .. } = *self;
        Candidate { job, leaf, version, ntime, nonce }
    }

    fn id(&self) -> &str {
        std::str::from_utf8(&self.id).expect("it was cut from a str")
    }

    fn solved(&self, notified: &Notified, verdict: &Verdict) -> Solved {
        let mut coinbase = Vec::new();
        self.write_coinbase(notified, &mut coinbase);
        let Notified { job, payee, .. } = notified;
        Solved {
            job: Arc::clone(job),
            header: self.candidate(job, Leaf::Coinbase(&coinbase)).header(),
            hash: verdict.hash,
            difficulty: verdict.difficulty,
            worker: Arc::clone(&payee.name),
            split: job.coinbase.split(&job.payout, &payee.script),
            coinbase,
        }
    }
}

impl Session {
    /// Handles a submission of the usual shape: [`Self::on_line`] and [`Self::on_request`] in one.
    pub fn on_submit(&mut self, submit: &Submit<'_>, env: &mut Env<'_>) -> Next {
        if self.is_one_too_many(|| true, env) {
            return self.end_for_message_rate("", env);
        }
        self.last_line_at = env.now.elapsed;
        self.admit(submit.id, Fields::of(submit, &env.settings.shares), env)
    }

    pub(super) fn submit(&mut self, request: &Request<'_>, env: &mut Env<'_>) -> Next {
        let fields = Fields::parse(&request.params, &env.settings.shares);
        self.admit(request.id, fields, env)
    }

    fn admit(&mut self, id: &str, fields: Result<Fields<'_>, Reject>, env: &Env<'_>) -> Next {
        let checked = match fields {
            Ok(fields) => self.check(id, &fields, env).map_err(|reject| (reject, true)),
            Err(reject) => Err((reject, false)),
        };
        match checked {
            Ok(submission) => Next::Judge(submission),
            Err((reject, counts)) => Next::Refuse(Refusal { reject, counts }),
        }
    }

    /// The checks before hashing, in the order of `stratum.md` §6.1. Policy failures are only
    /// noted: a block is a block whatever policy says.
    fn check(
        &mut self,
        id: &str,
        fields: &Fields<'_>,
        env: &Env<'_>,
    ) -> Result<Submission, Reject> {
        let rules = &env.settings.shares;
        let extranonce1 = self.place.as_ref().map(|place| place.extranonce1).unwrap_or_default();
        let mut policy = self.check_worker(&fields.worker, rules)?;
        if self.offences.ban(env.now.unix_seconds).is_some() {
            policy.get_or_insert(Reject::Banned);
        }

        let Named { notified, is_stale, is_remembered } =
            self.jobs.name(&fields.job_id, rules.freshness).ok_or(Reject::StaleJob)?;
        if is_stale {
            policy.get_or_insert(Reject::StaleJob);
        }
        let (job, sequence) = (&*notified.job, notified.sequence);

        let extranonce2_size = job.coinbase.extranonce2_size();
        let extranonce2 = decode_extranonce2(&fields.extranonce2, extranonce2_size)?;
        let ntime = hex_value(&fields.ntime).ok_or(Reject::InvalidNtime)?;
        let forward_max = rules.ntime_forward_max.as_secs();
        let latest = u64::from(job.ntime_min) + forward_max;
        if rules.check_ntime_window && (ntime < job.ntime_min || u64::from(ntime) > latest) {
            policy.get_or_insert(Reject::InvalidNtime);
        }
        let nonce = hex_value(&fields.nonce).ok_or(Reject::InvalidNonce)?;
        let (version, version_reject) =
            self.rolling.resolve(job.version, job.version_mask, fields.version, rules);
        policy = policy.or(version_reject);

        Ok(Submission {
            id: SmallVec::from_slice(id.as_bytes()),
            sequence,
            extranonce1,
            extranonce2,
            ntime,
            nonce,
            version,
            previous_difficulty: self.difficulty.previous(env.now.elapsed),
            policy,
            is_remembered,
        })
    }

    /// What a submission is judged by: its job, and either the merkle root, if it is remembered,
    /// or the coinbase that is hashed, without witness, which is appended to `out`.
    pub fn leaf(&self, submission: &Submission, out: &mut Vec<u8>) -> (&Arc<Job>, Option<Hash>) {
        let notified = self.notified(submission);
        let root = self.last_share.as_ref().and_then(|last| last.root_of(submission));
        let is_written = root.is_some()
            || self.last_share.as_ref().is_some_and(|last| last.write_coinbase_of(submission, out));
        if !is_written {
            submission.write_coinbase(notified, out);
        }
        (&notified.job, root)
    }

    fn notified(&self, submission: &Submission) -> &Notified {
        let kept = "jobs only go when new work is sent, and that waits for the verdicts";
        self.jobs.get(submission.sequence).expect(kept)
    }

    fn check_worker(&self, worker: &str, rules: &SharePolicy) -> Result<Option<Reject>, Reject> {
        let Some(payee) = &self.payee else {
            return if rules.require_authorized { Err(Reject::Unauthorized) } else { Ok(None) };
        };
        // A difficulty hint in the name is no part of it, here as in the authorize.
        let differs = rules.require_authorized
            && rules.require_worker_match
            && split_worker_name(worker).0 != &*payee.name;
        Ok(differs.then_some(Reject::UnauthorizedWorker))
    }

    /// Brings what [`Self::on_verdict`] is going to look at into the CPU's cache; what it returns
    /// means nothing.
    pub fn glance(&self, submission: &Submission, verdict: &Verdict) -> u64 {
        self.jobs.glance(submission.sequence, &verdict.hash)
    }

    /// Answers a submission that has been hashed. A block is handed back to be sent to the node.
    /// After the last of those that were judged together comes [`Self::on_verdicts_end`].
    pub fn on_verdict(
        &mut self,
        submission: &Submission,
        verdict: &Verdict,
        env: &mut Env<'_>,
    ) -> Option<Solved> {
        self.remember(submission, verdict);
        let notified = self.notified(submission);
        let assigned = notified.difficulty;
        let is_own = self.payee.as_ref().is_some_and(|own| Arc::ptr_eq(own, &notified.payee));
        let other = (!is_own).then(|| Arc::clone(&notified.payee));
        let is_new_block = verdict.is_block && self.jobs.found.remember(verdict.hash);
        let (is_new, job_is_full) = match submission.is_remembered {
            true => self.jobs.remember(submission.sequence, &verdict.hash),
            false => (true, false),
        };
        let is_duplicate = !is_new && env.settings.shares.check_duplicate;
        let credit = if is_new_block {
            Ok(assigned)
        } else if let Some(reject) = submission.policy.filter(|_| !verdict.is_block || is_duplicate)
        {
            Err(reject)
        } else if verdict.is_block || is_duplicate {
            Err(Reject::Duplicate)
        } else if verdict.difficulty >= assigned * SHARE_TOLERANCE {
            Ok(assigned)
        } else {
            // In flight while the difficulty changed: worth what was asked for before.
            let previous = submission.previous_difficulty;
            previous
                .filter(|previous| verdict.difficulty >= previous * SHARE_TOLERANCE)
                .ok_or(Reject::LowDifficulty { found: verdict.difficulty, expected: assigned })
        };
        match credit {
            Ok(credit) => {
                self.accepted += 1;
                self.offences.accepted(env.now.elapsed, &env.settings.bans);
                let (found, at) = (verdict.difficulty, env.now.unix_seconds);
                match &other {
                    // Work of before another worker was authorized pays whom it was made for.
                    Some(other) => env.tally.accept_for(&other.name, credit, found, at),
                    None => env.tally.accept(self.seat, credit, found, at),
                }
                if let Some(payee) = other.as_ref().or(self.payee.as_ref()) {
                    env.tally.offer_best(&payee.name, found, at, &verdict.hash);
                }
                self.note_accepted(verdict, at);
                reply::success(env.out, submission.id());
                self.count(Outcome::Accepted { credit }, env);
            }
            Err(reject) => {
                self.note_rejected(reject, Some(verdict), env.now.unix_seconds);
                match reject {
                    Reject::LowDifficulty { .. } => {
                        self.refuse_low(submission, reject, verdict, env);
                    }
                    _ => self.answer_refused(submission.id(), reject, true, env),
                }
            }
        }
        // After its answer the share may move the difficulty; new work goes with that.
        if credit.is_ok() && !is_new_block && self.adjust(When::Now, env) {
            self.owes_notify = true;
        }
        self.owes_notify |= job_is_full;
        is_new_block.then(|| submission.solved(self.notified(submission), verdict))
    }

    fn remember(&mut self, submission: &Submission, verdict: &Verdict) {
        let mut last = self.last_share.take().unwrap_or_default();
        last.remember(submission, self.notified(submission), verdict);
        self.last_share = Some(last);
    }

    /// All submissions that were judged together have been answered: work that they call for
    /// follows.
    pub fn on_verdicts_end(&mut self, env: &mut Env<'_>) {
        if std::mem::take(&mut self.owes_notify) {
            self.announce_if_changed(env);
            self.notify(true, env);
        }
    }

    /// Counts a submission for the hashrate and the difficulty.
    pub(super) fn count(&mut self, outcome: Outcome, env: &Env<'_>) {
        self.meter.on_submission(outcome, &env.settings.hashrate, env.now.elapsed);
    }

    /// A share that is worth too little, with the reason if one is known.
    fn refuse_low(
        &mut self,
        submission: &Submission,
        reject: Reject,
        verdict: &Verdict,
        env: &mut Env<'_>,
    ) {
        let notified = self.notified(submission).clone();
        let others = self.jobs.recent().filter(|other| other.sequence != notified.sequence);
        let low = Low {
            submission,
            notified: &notified,
            found: verdict.difficulty,
            earlier: self.difficulty.before(),
        };
        let mistake = self.explainer.explain(&low, others, env.now.elapsed);
        let Some(mistake) = mistake else {
            return self.answer_refused(submission.id(), reject, true, env);
        };
        let worker = &notified.payee.name;
        env.tally.reject_for(worker, reject, env.now.unix_seconds);
        self.meter.on_submission(Outcome::Rejected, &env.settings.hashrate, env.now.elapsed);
        env.tally.mistake(mistake.label());
        info!(%worker, client = &*self.client_id, reason = mistake.label(), "low shares explained");
        let message = format!("{}: {}", reject.message(), mistake.words());
        reply::failure(env.out, submission.id(), Failed::False, reject.code(), &message);
    }
}
