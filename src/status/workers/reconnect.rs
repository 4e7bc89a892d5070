//! Asking one's own miner to come again, which makes it start afresh.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use tracing::info;

use super::{Asked, DASHBOARD};
use crate::command::Command;
use crate::identity::{NameHash, is_hash_hex};
use crate::status::account::Fields;
use crate::status::auth::LOCAL_USER;
use crate::status::http::{Answer, Response, Status};
use crate::status::limits::Household;

/// Between two resets of the same worker, whoever asks (`web.md` §2.3).
const RESET_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// Workers that are remembered; more than this in five minutes are refused.
const RESETS_MAX: usize = 4096;
/// Whose connections somebody who is signed in may end. Anybody can save any worker, so that it is saved
/// proves nothing (`web.md` §2.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReconnectPolicy {
    Off,
    /// Those that come from the network where the visitor is.
    #[default]
    SameNetwork,
    Saved,
}

impl ReconnectPolicy {
    fn allows(self, visitor: IpAddr, remote: IpAddr) -> bool {
        match self {
            Self::Off => false,
            Self::Saved => true,
            // Behind a proxy that does not say whom it speaks for everybody comes from this machine.
            Self::SameNetwork => {
                !remote.to_canonical().is_loopback()
                    && Household::of(visitor) == Household::of(remote)
            }
        }
    }
}

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

/// Closes connections of a saved worker; nobody is banned.
pub fn reconnect(asked: &Asked<'_>) -> Answer {
    let refuse = |status| -> Answer { Response::plain(status).into() };
    let Some(user) = &asked.user else { return asked.people.nobody(asked.request) };
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
    let policy = match asked.workers.reconnect {
        // The one local user is whoever runs the pool.
        ReconnectPolicy::SameNetwork if user == LOCAL_USER => ReconnectPolicy::Saved,
        policy => policy,
    };
    let all = connections_of(asked, &worker);
    let may_end = |(_, remote): &&(u64, IpAddr)| policy.allows(asked.request.client, *remote);
    let sequences: Vec<u64> = all.iter().filter(may_end).map(|(sequence, _)| *sequence).collect();
    let notice = if policy == ReconnectPolicy::Off {
        "reset_off"
    } else if all.is_empty() {
        "not_connected"
    } else if sequences.is_empty() {
        "reset_elsewhere"
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

/// The connections of a worker, and where each comes from.
fn connections_of(asked: &Asked<'_>, worker: &NameHash) -> Vec<(u64, IpAddr)> {
    let roster = asked.people.roster.read();
    let sequences = roster.connections_of(worker).into_iter();
    let remote = |sequence| Some((sequence, roster.connection(sequence)?.remote.ip()));
    sequences.filter_map(remote).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_where_the_miner_is_may_end_its_connection() {
        let may = |policy: ReconnectPolicy, visitor: &str, remote: &str| {
            policy.allows(visitor.parse().unwrap(), remote.parse().unwrap())
        };
        for (visitor, remote, same) in [
            ("203.0.113.7", "203.0.113.7", true),
            ("::ffff:203.0.113.7", "203.0.113.7", true),
            ("203.0.113.7", "203.0.113.8", false),
            ("2001:db8:1:2::7", "2001:db8:1:2:3:4:5:6", true),
            ("2001:db8:1:2::7", "2001:db8:1:3::7", false),
            ("127.0.0.1", "127.0.0.1", false),
            ("::1", "::1", false),
        ] {
            assert_eq!(may(ReconnectPolicy::SameNetwork, visitor, remote), same, "{visitor}");
            assert!(may(ReconnectPolicy::Saved, visitor, remote));
            assert!(!may(ReconnectPolicy::Off, visitor, remote));
        }
    }

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
