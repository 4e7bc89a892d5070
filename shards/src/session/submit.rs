//! `mining.submit`: what is checked before hashing, and what follows from the hash
//! (`stratum.md` §6).

use std::sync::Arc;

use smallvec::SmallVec;
use tracing::info;

use crate::limits::{JOB_ID_BYTES_MAX, WORKER_NAME_BYTES_MAX};
use crate::settings::SharePolicy;
use crate::share::{self, Candidate, Solved, Verdict};
use crate::wire::reject::Reject;
use crate::wire::reply::{self, Failed};
use crate::wire::request::{Params, Request};
use crate::work::target::SHARE_TOLERANCE;

use super::difficulty::When;
use super::hint::split_worker_name;
use super::jobs::{Named, Notified};
use super::meter::Outcome;
use super::seen::ShareKey;
use super::{Env, Next, Refusal, Session};

/// A share that must be hashed to be judged. It carries what it is judged by, so nothing that
/// happens meanwhile can change the outcome.
#[derive(Debug)]
pub struct Submission {
    /// The request's id, to be echoed.
    id: SmallVec<[u8; 24]>,
    notified: Notified,
    extranonce1: [u8; 4],
    extranonce2: SmallVec<[u8; 8]>,
    ntime: u32,
    nonce: u32,
    version: u32,
    /// The difficulty before the last change, while shares for it may be in flight.
    previous_difficulty: Option<f64>,
    /// What forbids it unless it is a block.
    policy: Option<Reject>,
    /// Its job cannot take another one: the miner needs the next.
    job_is_full: bool,
}

impl Submission {
    /// Appends the coinbase that was hashed, without witness.
    pub fn write_coinbase(&self, out: &mut Vec<u8>) {
        self.write(&self.notified, &self.extranonce2, out);
    }

    /// What is hashed, around a coinbase that [`Self::write_coinbase`] wrote.
    pub fn candidate<'a>(&'a self, coinbase: &'a [u8]) -> Candidate<'a> {
        Candidate {
            job: &self.notified.job,
            coinbase,
            version: self.version,
            ntime: self.ntime,
            nonce: self.nonce,
        }
    }

    /// The difficulty it must have.
    pub(super) fn difficulty(&self) -> f64 {
        self.notified.difficulty
    }

    /// Appends the coinbase that would be hashed for another job with the same extranonces.
    pub(super) fn write_coinbase_of(&self, other: &Notified, out: &mut Vec<u8>) {
        self.write(other, &self.extranonce2, out);
    }

    /// The same with the bytes of extranonce2 the other way round.
    pub(super) fn write_swapped_coinbase(&self, out: &mut Vec<u8>) {
        let swapped: SmallVec<[u8; 8]> = self.extranonce2.iter().rev().copied().collect();
        self.write(&self.notified, &swapped, out);
    }

    pub(super) fn coinb2_bytes(&self) -> usize {
        let Notified { job, payee, .. } = &self.notified;
        let mut suffix = Vec::new();
        job.coinbase.write_suffix(&mut suffix, &job.payout, &payee.script);
        suffix.len()
    }

    fn write(&self, notified: &Notified, extranonce2: &[u8], out: &mut Vec<u8>) {
        let Notified { job, payee, sequence, .. } = notified;
        share::write_coinbase(out, job, &payee.script, *sequence, self.extranonce1, extranonce2);
    }

    fn id(&self) -> &str {
        std::str::from_utf8(&self.id).expect("it was cut from a str")
    }

    fn solved(&self, verdict: &Verdict) -> Solved {
        let mut coinbase = Vec::new();
        self.write_coinbase(&mut coinbase);
        let Notified { job, payee, .. } = &self.notified;
        Solved {
            job: Arc::clone(job),
            header: self.candidate(&coinbase).header(),
            hash: verdict.hash,
            difficulty: verdict.difficulty,
            worker: Arc::clone(&payee.name),
            split: job.coinbase.split(&job.payout, &payee.script),
            coinbase,
        }
    }
}

impl Session {
    pub(super) fn submit(&mut self, request: &Request<'_>, env: &mut Env<'_>) -> Next {
        let parsed = Fields::parse(&request.params, &env.settings.shares);
        let checked = match parsed {
            Ok(fields) => self.check(request.id, &fields, env).map_err(|reject| (reject, true)),
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

        let Named { notified, is_stale, mut recent } =
            self.jobs.name(&fields.job_id, rules.freshness).ok_or(Reject::StaleJob)?;
        if is_stale {
            policy.get_or_insert(Reject::StaleJob);
        }
        let job = &notified.job;

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

        let mut job_is_full = false;
        if let Some(recent) = &mut recent {
            // A share seen before was hashed then: had it been a block, it would be known.
            let is_new = recent.insert(ShareKey::new(&extranonce2, ntime, nonce, version));
            if !is_new && rules.check_duplicate {
                return Err(policy.unwrap_or(Reject::Duplicate));
            }
            job_is_full = recent.is_full();
        }
        Ok(Submission {
            id: SmallVec::from_slice(id.as_bytes()),
            extranonce1,
            extranonce2,
            ntime,
            nonce,
            version,
            previous_difficulty: self.difficulty.previous(env.now.elapsed),
            policy,
            job_is_full,
            notified,
        })
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

    pub(super) fn conclude(
        &mut self,
        submission: &Submission,
        verdict: &Verdict,
        env: &mut Env<'_>,
    ) -> Option<Solved> {
        let assigned = submission.notified.difficulty;
        let is_new_block = verdict.is_block && self.jobs.found.remember(verdict.hash);
        let credit = if is_new_block {
            Ok(assigned)
        } else if verdict.is_block {
            Err(Reject::Duplicate)
        } else if let Some(reject) = submission.policy {
            Err(reject)
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
                let worker = &submission.notified.payee.name;
                env.tally.accept(worker, credit, verdict.difficulty, env.now.unix_seconds);
                reply::success(env.out, submission.id());
                self.count(Outcome::Accepted { credit }, env);
            }
            Err(reject @ Reject::LowDifficulty { .. }) => {
                self.refuse_low(submission, reject, verdict, env);
            }
            Err(reject) => self.refuse(submission.id(), reject, true, env),
        }
        // After its answer the share may move the difficulty; with that goes new work.
        let moves = credit.is_ok() && !is_new_block && self.retarget(When::Now, env);
        if moves || submission.job_is_full {
            self.notify(true, env);
        }
        is_new_block.then(|| submission.solved(verdict))
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
        let sequence = submission.notified.sequence;
        let others = self.jobs.recent().filter(|other| other.sequence != sequence);
        let (found, before) = (verdict.difficulty, self.difficulty.before());
        let mistake = self.explainer.explain(submission, found, before, others, env.now.elapsed);
        let Some(mistake) = mistake else {
            return self.refuse(submission.id(), reject, true, env);
        };
        let worker = &submission.notified.payee.name;
        env.tally.reject(Some(worker), reject, env.now.unix_seconds);
        self.meter.on_submission(Outcome::Rejected, &env.settings.hashrate, env.now.elapsed);
        env.tally.mistake(mistake.label());
        info!(%worker, client = self.client_id, reason = mistake.label(), "low shares explained");
        let message = format!("{}: {}", reject.message(), mistake.words());
        reply::failure(env.out, submission.id(), Failed::False, reject.code(), &message);
    }
}

/// The parameters of a submit, by type and length only.
struct Fields<'a> {
    worker: std::borrow::Cow<'a, str>,
    job_id: std::borrow::Cow<'a, str>,
    extranonce2: std::borrow::Cow<'a, str>,
    ntime: std::borrow::Cow<'a, str>,
    nonce: std::borrow::Cow<'a, str>,
    version: Option<u32>,
}

impl<'a> Fields<'a> {
    fn parse(params: &Params<'a>, rules: &SharePolicy) -> Result<Self, Reject> {
        let strict = rules.check_param_format;
        if !matches!(params.len(), 5 | 6) {
            return Err(Reject::InvalidParams);
        }
        let worker = params.string(0).ok_or(Reject::InvalidWorker)?;
        let worker = trimmed(worker);
        if strict && worker.is_empty() {
            return Err(Reject::EmptyWorker);
        }
        if strict && worker.len() > WORKER_NAME_BYTES_MAX {
            return Err(Reject::WorkerTooLong);
        }
        let job_id = trimmed(params.string(1).ok_or(Reject::InvalidJobId)?);
        if job_id.is_empty() {
            return Err(Reject::EmptyJobId);
        }
        if strict && job_id.len() > JOB_ID_BYTES_MAX {
            return Err(Reject::JobIdTooLong);
        }
        let extranonce2 = params.string(2).ok_or(Reject::InvalidExtranonce2)?;
        let ntime = params.string(3).ok_or(Reject::InvalidNtime)?;
        let nonce = params.string(4).ok_or(Reject::InvalidNonce)?;
        let version = match params.len() {
            6 => parse_version(&params.string(5).ok_or(Reject::InvalidVersion)?, strict)?,
            _ => None,
        };
        Ok(Self { worker, job_id, extranonce2, ntime, nonce, version })
    }
}

fn parse_version(text: &str, strict: bool) -> Result<Option<u32>, Reject> {
    match hex_value(text) {
        Some(version) => Ok(Some(version)),
        None if !strict => Ok(None),
        None if text.is_empty() => Err(Reject::EmptyVersion),
        None if text.len() > 8 => Err(Reject::VersionTooLong),
        None => Err(Reject::InvalidVersion),
    }
}

/// A number in 1 to 8 hex digits, read by value: some firmware does not pad (`miners.md`).
fn hex_value(text: &str) -> Option<u32> {
    let digits = (1..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    digits.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

/// Bytes of the coinbase, so their number is fixed whatever policy says.
fn decode_extranonce2(text: &str, size: usize) -> Result<SmallVec<[u8; 8]>, Reject> {
    let mut bytes = SmallVec::from_elem(0, size);
    // The decoder skips `0x`, which no extranonce has.
    if text.len() != 2 * size || text.starts_with("0x") {
        return Err(Reject::InvalidExtranonce2);
    }
    const_hex::decode_to_slice(text, &mut bytes).map_err(|_| Reject::InvalidExtranonce2)?;
    Ok(bytes)
}

fn trimmed(text: std::borrow::Cow<'_, str>) -> std::borrow::Cow<'_, str> {
    use std::borrow::Cow;
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_by_value_in_one_to_eight_digits() {
        for (text, value) in [
            ("01953508", Some(0x0195_3508)),
            ("1953508", Some(0x0195_3508)),
            ("a", Some(10)),
            ("FFFFFFFF", Some(u32::MAX)),
            ("", None),
            ("000000001", None),
            ("0x12", None),
            ("+1", None),
            (" 1", None),
            ("0000000g", None),
        ] {
            assert_eq!(hex_value(text), value, "{text}");
        }
    }

    #[test]
    fn an_extranonce2_has_its_exact_length() {
        assert_eq!(decode_extranonce2("0a0B0c0d", 4).unwrap()[..], [10, 11, 12, 13]);
        for bad in ["", "0a0b0c", "0a0b0c0d0e", "0a0b0c0g", "0x0b0c0d", "  0b0c0d"] {
            assert_eq!(decode_extranonce2(bad, 4), Err(Reject::InvalidExtranonce2), "{bad}");
        }
    }
}
