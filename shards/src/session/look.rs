//! What there is to say of one connection, when something has changed
//! (`state-and-services.md` §17.3).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::sha256d::Hash;
use crate::share::Verdict;
use crate::tally::{LastShareLook, Look};
use crate::wire::reject::Reject;

use super::{Env, Session};

/// What the socket knows of its other end.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    pub remote: SocketAddr,
    pub is_tls: bool,
    /// The kernel's smoothed estimate.
    pub round_trip: Option<Duration>,
}

/// What became of a connection's submissions, but for the number accepted.
#[derive(Debug, Default)]
pub(super) struct Record {
    rejected: u64,
    /// Label of the newest reject.
    last_reject: &'static str,
    newest: Option<LastShareLook>,
}

impl Session {
    /// Whether an authorized miner has changed since the last look: it is another, has submitted
    /// something, or has another difficulty.
    pub fn has_news(&self) -> bool {
        self.has_news && self.is_authorized()
    }

    /// Looks at an authorized miner; the tally takes it from there.
    pub fn look(&mut self, peer: &Peer, env: &mut Env<'_>) {
        let (Some(payee), Some(sequence)) = (&self.payee, self.sequence) else {
            return;
        };
        let (hashrate, now) = (&env.settings.hashrate, env.now.elapsed);
        let (meter, difficulty) = (&self.meter, self.difficulty.current());
        let window = meter.status_window();
        let at = env.now.unix_seconds;
        let window_started_at = match window.started_at {
            Some(_) => at.saturating_sub(window.age(now).as_secs()),
            None => 0,
        };
        let record = self.last_share.as_ref().map(|last| &last.record);
        let look = Look {
            worker: Arc::clone(&payee.name),
            client_id: Arc::clone(&self.client_id),
            remote: peer.remote,
            is_tls: peer.is_tls,
            connected_at: self.connected_at,
            difficulty,
            ideal_difficulty: self.ideal_difficulty(env).unwrap_or(difficulty),
            accepted: self.accepted,
            rejected: record.map_or(0, |record| record.rejected),
            hashrate: meter.displayed_hashrate(hashrate, now),
            at,
            accuracy: meter.accuracy(difficulty, hashrate, now),
            share_rate: meter.share_rate(difficulty, hashrate, now),
            window_started_at,
            window_accepted: window.accepted,
            window_submissions: window.submissions,
            window_credit: window.credit,
            last_share: record.and_then(|record| record.newest),
            last_reject: record.map_or("", |record| record.last_reject),
            round_trip: peer.round_trip,
            first_share_p50: meter.first_share_latency(50),
            first_share_p95: meter.first_share_latency(95),
        };
        self.has_news = false;
        self.is_listed = true;
        env.tally.looked(sequence, look);
    }

    /// The connection has ended: it need not be listed any more.
    pub(super) fn end_list_entry(&mut self, env: &mut Env<'_>) {
        if std::mem::take(&mut self.is_listed)
            && let Some(sequence) = self.sequence
        {
            env.tally.gone(sequence);
        }
    }

    /// A share has been accepted.
    pub(super) fn note_accepted(&mut self, verdict: &Verdict, at: u64) {
        let Verdict { hash, difficulty, .. } = *verdict;
        self.note(LastShareLook { at, difficulty, is_accepted: true, hash });
    }

    /// A submission has not been accepted; without a verdict it has not been hashed either.
    pub(super) fn note_rejected(&mut self, reject: Reject, verdict: Option<&Verdict>, at: u64) {
        // Those of a banned miner are not counted (`stratum.md` §8.1).
        if reject == Reject::Banned {
            return;
        }
        let (difficulty, hash) =
            verdict.map_or((0.0, Hash::default()), |verdict| (verdict.difficulty, verdict.hash));
        let record = self.note(LastShareLook { at, difficulty, is_accepted: false, hash });
        record.rejected += 1;
        record.last_reject = reject.label();
    }

    fn note(&mut self, newest: LastShareLook) -> &mut Record {
        self.has_news = true;
        let record = &mut self.last_share.get_or_insert_default().record;
        record.newest = Some(newest);
        record
    }
}
