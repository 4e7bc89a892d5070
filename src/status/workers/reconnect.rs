//! Asking one's own miner to come again, which makes it start afresh.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use tracing::info;

use super::{Asked, DASHBOARD};
use crate::command::Command;
use crate::identity::{NameHash, is_hash_hex};
use crate::status::account::Fields;
use crate::status::http::{Answer, Response, Status};

/// Between two resets of the same worker, whoever asks (`web.md` §2.3).
const RESET_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// Workers that are remembered; more than this in five minutes are refused.
const RESETS_MAX: usize = 4096;
const WORDS: &str = "The owner of this worker has asked it to reconnect.";

/// Who was reset when.
#[derive(Default)]
pub struct Resets(RefCell<HashMap<NameHash, Instant>>);

impl Resets {
    /// Whether it may be done now, in which case it counts.
    fn begin(&self, worker: NameHash, now: Instant) -> bool {
        let mut resets = self.0.borrow_mut();
        resets.retain(|_, at| now.duration_since(*at) < RESET_INTERVAL);
        if resets.contains_key(&worker) || resets.len() >= RESETS_MAX {
            return false;
        }
        resets.insert(worker, now);
        true
    }
}

/// Closes the connections of a saved worker; nobody is banned.
pub fn reconnect(asked: &Asked<'_>) -> Answer {
    let refuse = |status| -> Answer { Response::plain(status).into() };
    let Some(user) = &asked.user else { return refuse(Status::Unauthorized) };
    let fields = Fields::of(asked.request).unwrap_or_default();
    let hash = fields.get("hash").to_ascii_lowercase();
    let people = asked.people;
    let Some(worker) =
        is_hash_hex(&hash).then(|| const_hex::decode_to_array::<_, 32>(&hash).ok()).flatten()
    else {
        return refuse(Status::BadRequest);
    };
    if !people.saved.list(user).iter().any(|row| row.worker_hash == hash) {
        return refuse(Status::Forbidden);
    }
    let sequences = people.roster.read().connections_of(&worker);
    let notice = if sequences.is_empty() {
        "not_connected"
    } else if !asked.workers.resets.begin(worker, Instant::now()) {
        "reset_too_soon"
    } else {
        info!(component = "status", hash, connections = sequences.len(), "asked to reconnect");
        match asked.workers.commands.send(Command::Disconnect { sequences, words: WORDS }) {
            Ok(()) => "reset",
            // The pool is stopping.
            Err(_) => "not_connected",
        }
    };
    Response::see_other(format!("{DASHBOARD}?notice={notice}")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_reset_once_in_five_minutes() {
        let (resets, now) = (Resets::default(), Instant::now());
        let later = |seconds| now + Duration::from_secs(seconds);
        assert!(resets.begin([1; 32], now));
        assert!(!resets.begin([1; 32], later(299)));
        assert!(resets.begin([2; 32], later(299)));
        assert!(resets.begin([1; 32], later(300)));
    }

    #[test]
    fn a_flood_of_resets_is_bounded() {
        let (resets, now) = (Resets::default(), Instant::now());
        for number in 0..RESETS_MAX {
            let mut worker = [0; 32];
            worker[..8].copy_from_slice(&number.to_be_bytes());
            assert!(resets.begin(worker, now));
        }
        assert!(!resets.begin([255; 32], now));
    }
}
