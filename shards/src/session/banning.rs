//! What follows from an offence: who is told what, and how the connection ends
//! (`stratum.md` §9).

use std::sync::Arc;
use std::time::Duration;

use crate::admission::ban::Ban;
use crate::tally::CloseReason;
use crate::wire::reject::{CODE_UNAUTHORIZED, Reject};
use crate::wire::reply::{self, Failed};
use crate::wire::request::{Malformed, Request};

use super::hint::split_worker_name;
use super::meter::Outcome;
use super::offences::{MESSAGE_RATE_BAN, MESSAGE_RATE_REASON, is_offence, is_submit};
use super::{Env, Next, Session};

/// How long asking for a difficulty outside the limits is held against a miner.
const SUGGESTION_BAN: Duration = Duration::from_secs(60 * 60);

impl Session {
    /// Weighs a line that has come, before anything is done with it. One too many ends the
    /// connection, and its request is not answered.
    pub fn on_line(
        &mut self,
        line: &[u8],
        request: Result<&Request<'_>, &Malformed<'_>>,
        env: &mut Env<'_>,
    ) -> Next {
        if !self.is_one_too_many(|| is_submit(line), env) {
            return Next::Continue;
        }
        let named = request.ok().filter(|request| {
            self.payee.is_none() && matches!(&*request.method, "mining.authorize" | "mining.auth")
        });
        let named = named.and_then(|request| request.params.string(0)).unwrap_or_default();
        self.end_for_message_rate(&named, env)
    }

    pub(super) fn is_one_too_many(
        &mut self,
        is_submit: impl FnOnce() -> bool,
        env: &Env<'_>,
    ) -> bool {
        let age = env.now.elapsed.saturating_sub(self.meter.connected_at());
        let limit = env.settings.messages_per_minute;
        self.offences.is_one_too_many(is_submit, env.now.elapsed, age, limit)
    }

    pub(super) fn end_for_message_rate(&mut self, named: &str, env: &mut Env<'_>) -> Next {
        let ban = self.ban(named, MESSAGE_RATE_REASON, MESSAGE_RATE_BAN, env);
        reply::show_message(env.out, &ban.notice());
        Next::Close(CloseReason::Banned)
    }

    /// A line that is too long or no request counts against where it comes from.
    pub fn on_violation(&mut self, env: &mut Env<'_>) {
        let rules = &env.settings.bans;
        if let Some(reason) = env.violations.count(self.source, env.now.elapsed, rules) {
            let ban = self.ban("", &reason, rules.duration, env);
            reply::show_message(env.out, &ban.notice());
        }
    }

    /// Answers a submission that is refused without hashing. `counts` says whether it may be an
    /// offence: only what is wrong with a share of a known job is.
    pub fn refuse(&mut self, id: &str, reject: Reject, counts: bool, env: &mut Env<'_>) {
        self.note_rejected(reject, None, env.now.unix_seconds);
        self.answer_refused(id, reject, counts, env);
    }

    /// The same for one that has been noted.
    pub(super) fn answer_refused(
        &mut self,
        id: &str,
        reject: Reject,
        counts: bool,
        env: &mut Env<'_>,
    ) {
        if reject == Reject::Banned {
            self.refuse_banned(id, env);
            return;
        }
        env.tally.reject(self.seat, reject, env.now.unix_seconds);
        let stale = reject == Reject::StaleJob;
        self.count(if stale { Outcome::Stale } else { Outcome::Rejected }, env);
        let rules = &env.settings.bans;
        let reason = (counts && is_offence(reject))
            .then(|| self.offences.invalid(env.now.elapsed, rules))
            .flatten();
        let Some(reason) = reason else {
            reply::reject(env.out, id, reject);
            return;
        };
        // The connection stays open: it gets work, and its submissions are refused.
        let ban = self.ban("", &reason, rules.duration, env);
        reply::show_message(env.out, &ban.notice_with_end());
        self.offences.set_ban(ban);
        self.refuse_banned(id, env);
    }

    fn refuse_banned(&mut self, id: &str, env: &mut Env<'_>) {
        let ban = self.offences.ban(env.now.unix_seconds);
        let message = ban.map_or_else(|| "banned".to_owned(), |ban| ban.error_message());
        reply::failure(env.out, id, Failed::False, CODE_UNAUTHORIZED, &message);
    }

    /// A worker that is banned is told so and closed.
    pub(super) fn turn_away_if_banned(
        &mut self,
        id: &str,
        worker: &str,
        env: &mut Env<'_>,
    ) -> Option<Next> {
        let ban = env.bans.check(worker, self.source, env.now.unix_seconds)?;
        reply::show_message(env.out, &ban.notice());
        reply::failure(env.out, id, Failed::False, CODE_UNAUTHORIZED, &ban.error_message());
        Some(Next::Close(CloseReason::Banned))
    }

    /// With the limits enforced, asking for a difficulty outside them ends in a ban (§7.4).
    pub(super) fn turn_away_if_outside_limits(
        &mut self,
        id: &str,
        wanted: f64,
        env: &mut Env<'_>,
    ) -> Option<Next> {
        let limits = &env.settings.difficulty;
        let max = if limits.max > 0.0 { limits.max.max(limits.min) } else { f64::INFINITY };
        let reason = match wanted {
            _ if !limits.enforce_suggested_limits => return None,
            slow if slow < limits.min => "Miner too slow",
            fast if fast > max => "Miner too fast",
            _ => return None,
        };
        let ban = self.ban("", reason, SUGGESTION_BAN, env);
        reply::show_message(env.out, &ban.notice());
        reply::failure(env.out, id, Failed::False, CODE_UNAUTHORIZED, &ban.error_message());
        Some(Next::Close(CloseReason::Banned))
    }

    /// Bans the connection's worker, or the one it has just `named`, for `duration`; the ban goes
    /// into the list of all shards and, when there is a name to it, on its way to the database.
    fn ban(
        &mut self,
        named: &str,
        reason: &str,
        duration: Duration,
        env: &mut Env<'_>,
    ) -> Arc<Ban> {
        let (named, _) = split_worker_name(named);
        let worker = self.payee.as_ref().map_or(named, |payee| &payee.name);
        let until = env.now.unix_seconds + duration.as_secs();
        let ban = env.bans.insert(Ban::new(worker, until, reason, Some(self.source)));
        if !worker.is_empty() {
            env.tally.banned(Arc::clone(&ban));
        }
        ban
    }
}
