//! What can be learned from a miner for those who tune the pool for its kind (`config.md` §12.2).

use std::sync::Arc;

use crate::tally::{Accuracy, Observation, Settled};

use super::meter::shares_per_minute;
use super::{Env, Session};

impl Session {
    /// Looks at an authorized miner; the first time what it started with is part of it, later only
    /// what its hashrate is when that can be trusted. None when there is nothing to say.
    pub fn observe(&mut self, env: &Env<'_>) -> Option<Observation> {
        let payee = self.payee.as_ref().filter(|_| self.place.is_some())?;
        let is_first = !std::mem::replace(&mut self.is_observed, true);
        let settled = self.settled(env);
        if !is_first && settled.is_none() {
            return None;
        }
        Some(Observation {
            client_id: self.client_id.to_string(),
            worker: Arc::clone(&payee.name),
            starting_difficulty: is_first.then(|| self.difficulty.current()),
            settled,
            round_trip: None,
        })
    }

    fn settled(&self, env: &Env<'_>) -> Option<Settled> {
        let (settings, now) = (&env.settings.hashrate, env.now.elapsed);
        let difficulty = self.difficulty.current();
        if self.meter.accuracy(difficulty, settings, now) < Accuracy::Stable {
            return None;
        }
        let ideal_difficulty = self.ideal_difficulty(env)?;
        let hashrate = self.meter.hashrate(settings, now);
        Some(Settled {
            hashrate,
            shares_per_min: shares_per_minute(hashrate, difficulty),
            difficulty,
            ideal_difficulty,
            work_start: self.meter.first_share_latency(50),
        })
    }
}
