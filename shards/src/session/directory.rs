//! What the sessions of all shards share: connection numbers, extranonce1 values, and the places of
//! miners that have gone and may come back. Touched when a miner subscribes and when it leaves,
//! never by a share.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hashbrown::{HashMap, HashSet};

use crate::limits::{EXTRANONCE1_BYTES, PARKED_SESSIONS_MAX, PARKED_SHARES_MAX, PARKING_TIME};
use crate::sha256d::sha256d;
use crate::work::base58;

use super::difficulty::Difficulty;
use super::jobs::NotifiedJobs;

/// Places ended under one lock.
const PARKINGS_ENDED_AT_ONCE: usize = 64;
/// Digits of the part of a session id that cannot be guessed.
const SECRET_DIGITS: usize = 16;

/// Extranonce1 values are unique among live connections of the process, and so are session ids.
#[derive(Debug)]
pub struct Directory {
    sequence: AtomicU64,
    /// Known to this process alone; without it session ids are plain connection ids.
    secret: Option<[u8; 32]>,
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    /// The extranonce1 handed out last; the first connection of a process gets 1.
    last: u32,
    /// Values that a connection has, or that wait for one to come back.
    taken: HashSet<u32>,
    parked: HashMap<String, (Duration, Parked)>,
    /// Shares remembered at all parked places together.
    parked_shares: usize,
    /// Session ids in the order in which their parking ends.
    order: VecDeque<(Duration, String)>,
}

/// A connection's place among all others.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) session_id: String,
    pub(super) extranonce1: [u8; EXTRANONCE1_BYTES],
}

/// What a miner gets back when it returns: its work in hand stays good.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) extranonce1: [u8; EXTRANONCE1_BYTES],
    pub(super) difficulty: Difficulty,
    /// With the shares seen for each.
    pub(super) jobs: NotifiedJobs,
}

impl Directory {
    /// `secret` makes session ids that nobody can guess.
    pub fn new(secret: Option<[u8; 32]>) -> Self {
        Self { sequence: AtomicU64::new(0), secret, places: Mutex::default() }
    }

    /// The next connection number. They start at 1: the connection id is base-58 of number − 1.
    pub(super) fn next_sequence(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Lets go of the first places whose time is over; whether there are more. For somebody who
    /// calls it now and then: nobody may come or leave for hours, and a place keeps its jobs, which
    /// are megabytes, from being freed.
    pub fn end_parking(&self, now: Duration) -> bool {
        self.lock().end_parking(now)
    }

    /// Places that are kept for those who may come back, and the shares remembered there.
    pub fn parked(&self) -> (usize, usize) {
        let places = self.lock();
        (places.parked.len(), places.parked_shares)
    }

    /// A place for connection `sequence`, whose client has brought a session id or not: the one it
    /// had, if it was its own and nobody has it now, with what was kept there; else a new one.
    pub(super) fn enter(
        &self,
        sequence: u64,
        brought: Option<&str>,
        now: Duration,
    ) -> (Place, Option<Parked>) {
        let mut places = self.lock();
        places.end_parking(now);
        if let Some(session_id) = brought
            && let Some(parked) = places.unpark(session_id)
        {
            let extranonce1 = parked.extranonce1;
            return (Place { session_id: session_id.to_owned(), extranonce1 }, Some(parked));
        }
        let session_id = match brought {
            // Not of our making, so nothing of ours: it is only ever echoed.
            Some(foreign) if !self.is_own(foreign) => foreign.to_owned(),
            _ => self.session_id(sequence),
        };
        (Place { session_id, extranonce1: places.take() }, None)
    }

    /// The connection at `place` has ended. What is `parked` waits for a while.
    pub(super) fn leave(&self, place: Place, parked: Option<Parked>, now: Duration) {
        let mut places = self.lock();
        places.end_parking(now);
        match parked {
            Some(parked) if self.is_own(&place.session_id) => {
                let until = now + PARKING_TIME;
                places.order.push_back((until, place.session_id.clone()));
                places.parked_shares += parked.jobs.shares_seen();
                places.parked.insert(place.session_id, (until, parked));
                while places.parked.len() > PARKED_SESSIONS_MAX
                    || places.parked_shares > PARKED_SHARES_MAX
                {
                    places.end_oldest();
                }
            }
            _ => places.give_back(place.extranonce1),
        }
    }

    fn session_id(&self, sequence: u64) -> String {
        let connection_id = base58::counter(sequence - 1);
        match &self.secret {
            None => connection_id,
            Some(secret) => {
                let hash = sha256d(&[&secret[..], &sequence.to_le_bytes()].concat());
                format!("{connection_id}-{}", const_hex::encode(&hash[..SECRET_DIGITS / 2]))
            }
        }
    }

    /// Whether a session id is one that this pool, in this run or an earlier one, has given out.
    fn is_own(&self, session_id: &str) -> bool {
        self.secret.is_some()
            && session_id.split_once('-').is_some_and(|(_, secret)| {
                secret.len() == SECRET_DIGITS && secret.bytes().all(|b| b.is_ascii_hexdigit())
            })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Places> {
        self.places.lock().expect("no code panics while it holds this")
    }
}

impl Places {
    /// A value that nobody has. After four billion they come round, past those still taken.
    fn take(&mut self) -> [u8; EXTRANONCE1_BYTES] {
        loop {
            self.last = self.last.checked_add(1).unwrap_or(1);
            if self.taken.insert(self.last) {
                return self.last.to_be_bytes();
            }
        }
    }

    fn give_back(&mut self, extranonce1: [u8; EXTRANONCE1_BYTES]) {
        self.taken.remove(&u32::from_be_bytes(extranonce1));
    }

    /// Whether there are more. One call takes no longer than others can wait for the lock.
    fn end_parking(&mut self, now: Duration) -> bool {
        let is_over = |(until, _): &(Duration, String)| *until <= now;
        for _ in 0..PARKINGS_ENDED_AT_ONCE {
            if !self.order.front().is_some_and(is_over) {
                break;
            }
            self.end_oldest();
        }
        self.shrink();
        self.order.front().is_some_and(is_over)
    }

    /// A farm that was away for an hour does not cost its memory for the rest of the year.
    fn shrink(&mut self) {
        let needed = 2 * self.order.len() + PARKINGS_ENDED_AT_ONCE;
        if self.order.capacity() > 4 * needed {
            self.order.shrink_to(needed);
            self.parked.shrink_to(needed);
        }
    }

    fn end_oldest(&mut self) {
        let Some((until, session_id)) = self.order.pop_front() else {
            return;
        };
        // It may have come back, and even been parked again, since this was noted.
        if self.parked.get(&session_id).is_some_and(|(parked_until, _)| *parked_until == until)
            && let Some(parked) = self.unpark(&session_id)
        {
            self.give_back(parked.extranonce1);
        }
    }

    fn unpark(&mut self, session_id: &str) -> Option<Parked> {
        let (_, parked) = self.parked.remove(session_id)?;
        self.parked_shares -= parked.jobs.shares_seen();
        Some(parked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::DifficultySettings;

    const SECOND: Duration = Duration::from_secs(1);

    fn parked(extranonce1: [u8; 4]) -> Parked {
        let settings = DifficultySettings {
            default: 1.0,
            min: 1.0,
            max: 0.0,
            step_granularity: 10,
            lock_suggested: false,
            enforce_suggested_limits: false,
        };
        Parked {
            extranonce1,
            difficulty: Difficulty::new(&settings),
            jobs: NotifiedJobs::default(),
        }
    }

    fn enter(directory: &Directory, brought: Option<&str>, now: Duration) -> (Place, bool) {
        let (place, parked) = directory.enter(directory.next_sequence(), brought, now);
        (place, parked.is_some())
    }

    #[test]
    fn who_comes_back_with_its_session_id_gets_its_place_back_once() {
        let directory = Directory::new(Some([7; 32]));
        let (place, _) = enter(&directory, None, SECOND);
        let (session_id, extranonce1) = (place.session_id.clone(), place.extranonce1);
        // Somebody who knows the id while it is in use gets a place of its own.
        let (other, returned) = enter(&directory, Some(&session_id), SECOND);
        assert!(!returned && other.extranonce1 != extranonce1 && other.session_id != session_id);
        directory.leave(place, Some(parked(extranonce1)), SECOND);
        let (place, returned) = enter(&directory, Some(&session_id), 2 * SECOND);
        assert!(returned);
        assert_eq!((&*place.session_id, place.extranonce1), (&*session_id, extranonce1));
        let (_, returned) = enter(&directory, Some(&session_id), 2 * SECOND);
        assert!(!returned, "a place is given back once");
    }

    #[test]
    fn a_place_is_kept_for_its_time_and_its_extranonce_is_nobody_elses() {
        let directory = Directory::new(Some([7; 32]));
        let (place, _) = enter(&directory, None, SECOND);
        let (session_id, extranonce1) = (place.session_id.clone(), place.extranonce1);
        directory.leave(place, Some(parked(extranonce1)), SECOND);
        directory.lock().last = 0;
        assert_ne!(enter(&directory, None, SECOND).0.extranonce1, extranonce1);
        let (_, returned) = enter(&directory, Some(&session_id), SECOND + PARKING_TIME);
        assert!(!returned);
        assert!(directory.lock().parked.is_empty());
    }

    #[test]
    fn places_end_by_themselves_a_few_at_a_time_and_give_their_memory_back() {
        let directory = Directory::new(Some([7; 32]));
        for _ in 0..10 * PARKINGS_ENDED_AT_ONCE {
            let (place, _) = enter(&directory, None, SECOND);
            let extranonce1 = place.extranonce1;
            directory.leave(place, Some(parked(extranonce1)), SECOND);
        }
        assert!(!directory.end_parking(PARKING_TIME));
        let mut passes = 1;
        while directory.end_parking(SECOND + PARKING_TIME) {
            passes += 1;
        }
        assert_eq!(passes, 10);
        let places = directory.lock();
        assert!(places.parked.is_empty() && places.order.is_empty() && places.taken.is_empty());
        assert!(places.order.capacity() <= 4 * PARKINGS_ENDED_AT_ONCE);
        assert!(places.parked.capacity() <= 8 * PARKINGS_ENDED_AT_ONCE);
    }

    #[test]
    fn parked_places_are_bounded_and_the_oldest_goes_first() {
        let directory = Directory::new(Some([7; 32]));
        for _ in 0..PARKED_SESSIONS_MAX + 10 {
            let (place, _) = enter(&directory, None, SECOND);
            let extranonce1 = place.extranonce1;
            directory.leave(place, Some(parked(extranonce1)), SECOND);
        }
        assert_eq!(directory.parked(), (PARKED_SESSIONS_MAX, 0));
        let places = directory.lock();
        assert_eq!(places.taken.len(), PARKED_SESSIONS_MAX);
        assert!(!places.taken.contains(&1) && places.taken.contains(&11));
    }

    #[test]
    fn session_ids_cannot_be_guessed_and_foreign_ones_are_echoed() {
        let directory = Directory::new(Some([7; 32]));
        let (one, _) = enter(&directory, None, SECOND);
        let (two, _) = enter(&directory, None, SECOND);
        let secret = |place: &Place| place.session_id.split_once('-').unwrap().1.to_owned();
        assert_eq!(secret(&one).len(), SECRET_DIGITS);
        assert_ne!(secret(&one), secret(&two));
        let (foreign, _) = enter(&directory, Some("abc123"), SECOND);
        assert_eq!(foreign.session_id, "abc123");
        let extranonce1 = foreign.extranonce1;
        directory.leave(foreign, Some(parked(extranonce1)), SECOND);
        assert!(!enter(&directory, Some("abc123"), SECOND).1, "nothing is kept under it");
        // Given out by an earlier run: a new one, which can be resumed.
        let (new, _) = enter(&directory, Some("1-0123456789abcdef"), SECOND);
        assert!(directory.is_own(&new.session_id) && new.session_id != "1-0123456789abcdef");
    }

    #[test]
    fn values_come_round_past_those_still_taken() {
        let mut places = Places { last: u32::MAX - 1, ..Places::default() };
        places.taken.insert(1);
        assert_eq!(places.take(), u32::MAX.to_be_bytes());
        assert_eq!(places.take(), [0, 0, 0, 2]);
        places.give_back([0, 0, 0, 1]);
        places.last = 0;
        assert_eq!(places.take(), [0, 0, 0, 1]);
    }
}
