//! Sessions that people have ended here. A token is good until it is over, whoever has it by then, and
//! a page that is open may bring a newer one at the very moment.

use std::collections::HashMap;
use std::sync::Mutex;

use super::Session;

/// Beyond the token that a session was ended with: how much longer one may last that Clerk made
/// before it heard of the end.
const TOKEN_SECONDS: u64 = 60;
/// Sessions that are remembered; the one that is over first is forgotten for a new one.
const ENDED_MAX: usize = 4096;

/// Until when each is remembered, in Unix seconds.
#[derive(Default)]
pub struct Ended(Mutex<HashMap<String, u64>>);

impl Ended {
    pub fn add(&self, session: &Session, now: u64) {
        if session.session_id.is_empty() {
            return;
        }
        let mut ended = self.0.lock().expect("nobody panics while holding it");
        ended.retain(|_, until| *until > now);
        if ended.len() >= ENDED_MAX
            && let Some(first) = ended.iter().min_by_key(|(_, until)| **until)
        {
            let first = first.0.clone();
            ended.remove(&first);
        }
        ended.insert(session.session_id.clone(), session.expires_at + TOKEN_SECONDS);
    }

    pub fn has(&self, session_id: &str, now: u64) -> bool {
        let ended = self.0.lock().expect("nobody panics while holding it");
        ended.get(session_id).is_some_and(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: &str, expires_at: u64) -> Session {
        Session { user_id: "user_1".to_owned(), session_id: id.to_owned(), expires_at }
    }

    #[test]
    fn a_session_is_remembered_as_long_as_it_may_have_a_token() {
        let ended = Ended::default();
        ended.add(&session("sess_1", 100), 50);
        assert!(ended.has("sess_1", 159));
        assert!(!ended.has("sess_1", 160));
        assert!(!ended.has("sess_2", 50));
        ended.add(&session("", 100), 50);
        assert!(!ended.has("", 50), "a token that names no session is not all of them");
    }

    #[test]
    fn a_flood_of_them_is_bounded() {
        let ended = Ended::default();
        let number = |number: usize| session(&format!("sess_{number}"), 1000 + number as u64);
        (0..=ENDED_MAX).for_each(|one| ended.add(&number(one), 50));
        assert_eq!(ended.0.lock().unwrap().len(), ENDED_MAX);
        assert!(!ended.has("sess_0", 50) && ended.has("sess_1", 50));
        ended.add(&number(0), 10_000);
        assert_eq!(ended.0.lock().unwrap().len(), 1, "those that are over go by themselves");
    }
}
