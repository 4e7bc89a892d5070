//! Signing in with Clerk (`state-and-services.md` §14): whose token a request has, without asking
//! anybody; what only Clerk's back end can do.

mod backend;
mod ended;
mod keys;
mod token;

#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use tracing::{debug, warn};

pub use self::backend::{Backend, BackendError};
use self::ended::Ended;
use self::keys::Keys;
pub use self::keys::REFRESH_DISTANCE;
use self::token::Rules;
pub use self::token::{Session, TokenError};
use crate::clock::unix_now;
use crate::outgoing::Outgoing;
use crate::privacy::Secret;

/// Between two warnings about tokens.
const WARNING_DISTANCE_SECONDS: u64 = 60;

/// `services.toml [auth]` and its keys of `secrets.toml`, when all that Clerk needs is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClerkSettings {
    pub issuer_url: String,
    pub jwks_url: String,
    pub signin_url: String,
    /// Begins with `/`.
    pub callback_path: String,
    pub frontend_api_url: String,
    pub api_url: String,
    pub cookie_name: String,
    pub audience: Option<String>,
    pub secret_key: Secret,
    /// Public: every page where people sign in has it.
    pub publishable_key: String,
}

/// Checks tokens; shared by all who do.
pub struct Clerk {
    pub settings: ClerkSettings,
    pub backend: Backend,
    rules: Rules,
    keys: Keys,
    ended: Ended,
    /// With keys for tests somebody plays; failures are worth less of a word.
    is_test: bool,
    /// Unix seconds of the last word about a token: an open page asks every few seconds.
    warned_at: AtomicU64,
}

/// How signing in does (§14.9).
#[derive(Clone, Debug)]
pub struct ClerkFigures {
    pub keys: usize,
    pub fetched_at: Option<SystemTime>,
    pub error: Option<String>,
}

impl fmt::Debug for Clerk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clerk").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Clerk {
    /// Nobody can sign in before the keys are there, which is tried until it works.
    pub fn spawn(settings: ClerkSettings, outgoing: Outgoing) -> io::Result<Self> {
        let is_test = settings.secret_key.expose().starts_with("sk_test_")
            || settings.publishable_key.starts_with("pk_test_");
        Ok(Self {
            backend: Backend::new(&settings, outgoing.clone()),
            rules: Rules {
                issuer: settings.issuer_url.clone(),
                audience: settings.audience.clone(),
            },
            keys: Keys::spawn(settings.jwks_url.clone(), outgoing)?,
            ended: Ended::default(),
            settings,
            is_test,
            warned_at: AtomicU64::new(0),
        })
    }

    /// There are keys to check tokens with.
    pub fn is_ready(&self) -> bool {
        self.keys.load().count() > 0
    }

    /// Whose a token is; `origin` is where our pages are.
    pub fn check(&self, token: &str, origin: Option<&str>) -> Result<Session, TokenError> {
        let keys = self.keys.load();
        let checked = self.rules.check(token, origin, |kid| keys.find(kid)).and_then(|session| {
            let is_over = self.ended.has(&session.session_id, unix_now());
            if is_over { Err(TokenError::Ended) } else { Ok(session) }
        });
        if let Err(error) = &checked {
            if !self.is_test && self.may_warn() {
                warn!(component = "clerk", %error, "a session's token is not taken");
            } else {
                debug!(component = "clerk", %error, "a session's token is not taken");
            }
        }
        if checked == Err(TokenError::UnknownKey) {
            self.keys.want_newer();
        }
        checked
    }

    /// From here on no token of this session is taken, not even one that is on its way.
    pub fn end(&self, session: &Session) {
        self.ended.add(session, unix_now());
    }

    fn may_warn(&self) -> bool {
        // Two at once say it twice, which is no harm.
        let (now, last) = (unix_now(), self.warned_at.load(Ordering::Relaxed));
        let may = now.saturating_sub(last) >= WARNING_DISTANCE_SECONDS;
        if may {
            self.warned_at.store(now, Ordering::Relaxed);
        }
        may
    }

    pub fn figures(&self) -> ClerkFigures {
        let keys = self.keys.load();
        let (fetched_at, error) = (keys.fetched_at, keys.error.clone());
        ClerkFigures { keys: keys.count(), fetched_at, error }
    }
}
