//! One-time codes, by which a Discord user proves to own a sign-in of this pool
//! (`state-and-services.md` §7, with FIX-20 and FIX-21). Pure: the caller brings the time, saves
//! [`Codes::live`] when the pool stops and brings it back by [`Codes::restore`].
//!
//! A code is shown as `<tag>-<word>-<word>-<word>-<word>`. The tag is the pool's and no secret; it
//! keeps codes of one pool from being tried on another, and is not stored.

mod attempts;
mod text;
mod words;

use subtle::{ConditionallySelectable, ConstantTimeEq};

use attempts::Attempts;
use text::{Secret, Tag};
use words::Randomness;

const LIFETIME_SECONDS: u64 = 300;
/// Live codes. The oldest make room, so this many users would have to ask at once to take a code
/// from one who has not used it yet.
const CODES_MAX: usize = 1000;
/// Draws that may hit a code which is already live. At most one in 2^41 does, so a second one
/// means that the randomness is broken.
const DRAWS_MAX: usize = 50;

/// The live codes of all users, and who has tried how often.
pub struct Codes {
    tag: Option<Tag>,
    /// In the order they were made.
    live: Vec<Live>,
    created: Attempts,
    failed: Attempts,
    randomness: Randomness,
}

struct Live {
    user_id: String,
    secret: Secret,
    created_at: u64,
    expires_at: u64,
}

/// A row of the table `one_time_codes`; the code is without its tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCode {
    pub user_id: String,
    pub code: String,
    pub created_at_unix: u64,
    pub expires_at_unix: u64,
}

/// A new code as its user sees it, tag included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedCode {
    pub code: String,
    pub expires_at_unix: u64,
}

/// Why a user gets no code. Only `TooMany` is about the user; the others are the server's.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    #[error("one-time codes need pool_entropy to be four letters and digits")]
    NoTag,
    #[error("too many new codes: try again in {wait_seconds} seconds")]
    TooMany { wait_seconds: u64 },
    #[error("no unused one-time code was found in {DRAWS_MAX} draws")]
    NoneUnused,
    #[error("the kernel gave no randomness for a one-time code")]
    NoRandomness(#[source] getrandom::Error),
}

/// Why a code was not redeemed. Wrong, used and expired codes are told apart for nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedeemError {
    #[error("one-time codes need pool_entropy to be four letters and digits")]
    NoTag,
    #[error("the code is missing")]
    Blank,
    #[error("the code is wrong or has expired")]
    Invalid,
    #[error("too many wrong codes: try again in {wait_seconds} seconds")]
    TooMany { wait_seconds: u64 },
}

impl Codes {
    /// `tag` is `pool_entropy`. One that is not exactly four letters and digits is accepted, and
    /// then no code can be made or redeemed.
    pub fn new(tag: &str) -> Self {
        Self::with_randomness(tag, Box::new(getrandom::fill))
    }

    fn with_randomness(tag: &str, randomness: Randomness) -> Self {
        Self {
            tag: Tag::new(tag),
            live: Vec::new(),
            created: Attempts::default(),
            failed: Attempts::default(),
            randomness,
        }
    }

    /// After a reload of the configuration. Codes shown with another tag cannot be used any more.
    pub fn set_tag(&mut self, tag: &str) {
        self.tag = Tag::new(tag);
    }

    /// Makes a code for the user, whose earlier one is void from then on.
    pub fn create(&mut self, user_id: &str, now: u64) -> Result<IssuedCode, CreateError> {
        self.expire(now);
        let tag = self.tag.clone().ok_or(CreateError::NoTag)?;
        if let Some(wait_seconds) = self.created.wait(user_id, now) {
            return Err(CreateError::TooMany { wait_seconds });
        }
        let secret = self.unused_secret()?;
        self.created.count(user_id, now);
        let issued = IssuedCode {
            code: tag.show(&secret.text()),
            expires_at_unix: now.saturating_add(LIFETIME_SECONDS),
        };
        self.forget_user(user_id);
        while self.live.len() >= CODES_MAX {
            self.forget_oldest();
        }
        self.live.push(Live {
            user_id: user_id.to_owned(),
            secret,
            created_at: now,
            expires_at: issued.expires_at_unix,
        });
        Ok(issued)
    }

    /// Uses the code up and tells whose it was; by [`Self::restore`] it can be given back when
    /// nothing came of it. `discord_user_id` is who typed it: every input that is not blank and
    /// fails counts as an attempt to guess.
    pub fn redeem(
        &mut self,
        discord_user_id: &str,
        input: &str,
        now: u64,
    ) -> Result<StoredCode, RedeemError> {
        self.expire(now);
        let tag = self.tag.as_ref().ok_or(RedeemError::NoTag)?;
        if input.trim().is_empty() {
            return Err(RedeemError::Blank);
        }
        // Before the code is looked at: a right guess must not pass either.
        if let Some(wait_seconds) = self.failed.wait(discord_user_id, now) {
            return Err(RedeemError::TooMany { wait_seconds });
        }
        match tag.code_of(input).and_then(|secret| self.find(&secret)) {
            Some(index) => Ok((&self.live.remove(index)).into()),
            None => {
                self.failed.count(discord_user_id, now);
                Err(RedeemError::Invalid)
            }
        }
    }

    /// Removes the user's own code when `input` is that code, tag included. Says whether it did.
    pub fn clear(&mut self, user_id: &str, input: &str, now: u64) -> bool {
        self.expire(now);
        let secret = self.tag.as_ref().and_then(|tag| tag.code_of(input));
        let Some(index) = secret.and_then(|secret| self.find(&secret)) else { return false };
        let is_own = self.live[index].user_id == user_id;
        if is_own {
            self.live.remove(index);
        }
        is_own
    }

    /// For an account that is removed. Without effect when the user has no code.
    pub fn forget_user(&mut self, user_id: &str) {
        self.live.retain(|live| live.user_id != user_id);
    }

    /// Forgets what has run out; due every minute, for those who do not come back.
    pub fn expire(&mut self, now: u64) {
        self.live.retain(|live| now <= live.expires_at);
        self.created.forget_idle(now);
        self.failed.forget_idle(now);
    }

    /// What is to be saved when the pool stops, oldest first; it replaces all rows of the table
    /// in the same transaction (FIX-20).
    pub fn live(&self) -> Vec<StoredCode> {
        let mut rows: Vec<StoredCode> = self.live.iter().map(StoredCode::from).collect();
        rows.sort_by(|a, b| (a.created_at_unix, &a.user_id).cmp(&(b.created_at_unix, &b.user_id)));
        rows
    }

    /// Takes saved codes back when the pool starts, and says how many. Rows that are blank,
    /// expired, or one too many are left out; of too many the newest stay.
    pub fn restore(&mut self, mut rows: Vec<StoredCode>, now: u64) -> usize {
        let before = self.live.len();
        rows.sort_by_key(|row| std::cmp::Reverse(row.created_at_unix));
        for row in rows {
            if self.live.len() >= CODES_MAX {
                break;
            }
            let Some(secret) = Secret::new(&row.code) else { continue };
            let is_expired = now > row.expires_at_unix;
            let is_double = self.live.iter().any(|live| live.user_id == row.user_id);
            if row.user_id.trim().is_empty() || is_expired || is_double || self.has(&secret) {
                continue;
            }
            self.live.push(Live {
                user_id: row.user_id,
                secret,
                created_at: row.created_at_unix,
                // Further away than a new code's only when the clock has been set back since.
                expires_at: row.expires_at_unix.min(now.saturating_add(LIFETIME_SECONDS)),
            });
        }
        self.live.sort_by_key(|live| live.created_at);
        self.live.len() - before
    }

    fn unused_secret(&mut self) -> Result<Secret, CreateError> {
        for _ in 0..DRAWS_MAX {
            let code = words::code(&mut self.randomness).map_err(CreateError::NoRandomness)?;
            // Every code of four words fits, so the draw is lost only when it is already live.
            if let Some(secret) = Secret::new(&code).filter(|secret| !self.has(secret)) {
                return Ok(secret);
            }
        }
        Err(CreateError::NoneUnused)
    }

    fn has(&self, secret: &Secret) -> bool {
        self.find(secret).is_some()
    }

    /// Looks at every code to its end, so that the time tells nothing about how near a guess was.
    fn find(&self, secret: &Secret) -> Option<usize> {
        let none = self.live.len() as u64;
        let mut found = none;
        for (index, live) in self.live.iter().enumerate() {
            found.conditional_assign(&(index as u64), live.secret.is(secret));
        }
        (!bool::from(found.ct_eq(&none))).then_some(found as usize)
    }

    /// Of codes made in the same second the first made is the first to go.
    fn forget_oldest(&mut self) {
        let oldest = self.live.iter().enumerate().min_by_key(|(_, live)| live.created_at);
        if let Some((index, _)) = oldest {
            self.live.remove(index);
        }
    }
}

impl From<&Live> for StoredCode {
    fn from(live: &Live) -> Self {
        Self {
            user_id: live.user_id.clone(),
            code: live.secret.text(),
            created_at_unix: live.created_at,
            expires_at_unix: live.expires_at,
        }
    }
}

#[cfg(test)]
mod tests;
