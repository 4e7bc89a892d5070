//! Who is signed in: a random token in a cookie, and beside it one that forms must carry.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::super::format;
use super::super::http::Request;
use crate::entropy;

/// Sessions at a time; the one that was used longest ago makes room. Whoever may sign in is few.
const SESSIONS_MAX: usize = 256;
/// 256 bits: nobody guesses one.
const TOKEN_BYTES: usize = 32;
/// Bytes of a session's key that it is called by: enough to tell sessions apart, and no way in.
const NAME_BYTES: usize = 4;

/// One signed-in person.
#[derive(Clone, Debug)]
struct Session<T> {
    who: T,
    form_token: String,
    client: IpAddr,
    opened_at: Instant,
    used_at: Instant,
}

/// The cookie that sessions are known by.
#[derive(Clone, Copy, Debug)]
pub struct Cookie {
    pub name: &'static str,
    pub path: &'static str,
}

/// All of them, by a hash of the cookie: what is looked up with is not what is compared.
#[derive(Debug)]
pub struct Sessions<T> {
    cookie: Cookie,
    /// However busy it is, a session ends after this.
    life_max: Duration,
    open: HashMap<[u8; 32], Session<T>>,
}

/// What a request is told of its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed<T> {
    pub who: T,
    /// What the log calls the session.
    pub name: String,
    /// Forms of the page carry it back.
    pub form_token: String,
    /// The value of `Set-Cookie`: as long as the session lasts from now on if nothing is done.
    pub cookie: String,
}

/// One session as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub name: String,
    /// Where it was opened.
    pub client: IpAddr,
    pub age: Duration,
    /// Since its last request.
    pub idle: Duration,
}

impl<T: Clone> Sessions<T> {
    pub fn new(cookie: Cookie, life_max: Duration) -> Self {
        Self { cookie, life_max, open: HashMap::new() }
    }

    /// Signs somebody in. `idle_max` is how long a session lasts while nothing is done.
    pub fn open(
        &mut self,
        who: T,
        client: IpAddr,
        is_https: bool,
        idle_max: Duration,
        now: Instant,
    ) -> Signed<T> {
        self.forget_ended(idle_max, now);
        if self.open.len() >= SESSIONS_MAX
            && let Some((first, _)) = self.open.iter().min_by_key(|(_, session)| session.used_at)
        {
            let first = *first;
            self.open.remove(&first);
        }
        let (token, form_token) = (random_token(), random_token());
        let session = Session { who, form_token, client, opened_at: now, used_at: now };
        let lifetime = self.left(&session, idle_max, now);
        let signed = self.signed(&token, &session, lifetime, is_https);
        self.open.insert(key(&token), session);
        signed
    }

    /// Who sent a request, if they are signed in; their session lasts longer for it.
    pub fn of(
        &mut self,
        request: &Request,
        is_https: bool,
        idle_max: Duration,
        now: Instant,
    ) -> Option<Signed<T>> {
        let token = cookie(request, self.cookie.name)?;
        let key = key(token);
        let session = self.open.get(&key)?;
        if self.left(session, idle_max, now).is_zero() {
            self.open.remove(&key);
            return None;
        }
        let session = self.open.get_mut(&key)?;
        session.used_at = now;
        let session = session.clone();
        let lifetime = self.left(&session, idle_max, now);
        Some(self.signed(token, &session, lifetime, is_https))
    }

    /// Signs the sender out; the value of `Set-Cookie` that takes the cookie away comes back.
    pub fn close(&mut self, request: &Request, is_https: bool) -> String {
        if let Some(token) = cookie(request, self.cookie.name) {
            self.open.remove(&key(token));
        }
        self.set_cookie("", Duration::ZERO, is_https)
    }

    /// Ends the one of that name: whoever had it has signed in anew.
    pub fn end(&mut self, called: &str) {
        self.open.retain(|key, _| name(key) != called);
    }

    /// Ends all that are not to go on; how many there were.
    pub fn keep(&mut self, may_go_on: impl Fn(&T) -> bool) -> usize {
        let before = self.open.len();
        self.open.retain(|_, session| may_go_on(&session.who));
        before - self.open.len()
    }

    /// All that are open, the one that was used last first.
    pub fn list(&mut self, idle_max: Duration, now: Instant) -> Vec<Seen> {
        self.forget_ended(idle_max, now);
        let seen = self.open.iter().map(|(key, session)| Seen {
            name: name(key),
            client: session.client,
            age: now.saturating_duration_since(session.opened_at),
            idle: now.saturating_duration_since(session.used_at),
        });
        let mut seen: Vec<_> = seen.collect();
        seen.sort_by(|a, b| (a.idle, &a.name).cmp(&(b.idle, &b.name)));
        seen
    }

    fn forget_ended(&mut self, idle_max: Duration, now: Instant) {
        let life_max = self.life_max;
        self.open.retain(|_, session| !left(session, life_max, idle_max, now).is_zero());
    }

    fn left(&self, session: &Session<T>, idle_max: Duration, now: Instant) -> Duration {
        left(session, self.life_max, idle_max, now)
    }

    fn signed(
        &self,
        token: &str,
        session: &Session<T>,
        lifetime: Duration,
        is_https: bool,
    ) -> Signed<T> {
        Signed {
            who: session.who.clone(),
            name: name(&key(token)),
            form_token: session.form_token.clone(),
            cookie: self.set_cookie(token, lifetime, is_https),
        }
    }

    fn set_cookie(&self, value: &str, lifetime: Duration, is_https: bool) -> String {
        let secure = if is_https { "; Secure" } else { "" };
        let Cookie { name, path } = self.cookie;
        let seconds = lifetime.as_secs();
        let end = match seconds {
            0 => SystemTime::UNIX_EPOCH,
            _ => SystemTime::now() + lifetime,
        };
        let expires = format::http_date(end);
        format!(
            "{name}={value}; Path={path}; Expires={expires}; Max-Age={seconds}; HttpOnly; \
             SameSite=Strict{secure}"
        )
    }
}

/// How long it lasts from now on if nothing is done; zero when it is over.
fn left<T>(session: &Session<T>, life_max: Duration, idle_max: Duration, now: Instant) -> Duration {
    let idle = now.saturating_duration_since(session.used_at);
    let age = now.saturating_duration_since(session.opened_at);
    idle_max.saturating_sub(idle).min(life_max.saturating_sub(age))
}

impl<T> Signed<T> {
    /// Whether a form was made for this session.
    pub fn made(&self, form_token: &str) -> bool {
        self.form_token.as_bytes().ct_eq(form_token.as_bytes()).into()
    }
}

/// The value of a cookie.
pub fn cookie<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.header("cookie")?.split(';').find_map(|pair| {
        let (this, value) = pair.trim().split_once('=')?;
        (this == name).then_some(value)
    })
}

fn random_token() -> String {
    URL_SAFE_NO_PAD.encode(entropy::bytes::<TOKEN_BYTES>())
}

fn key(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn name(key: &[u8; 32]) -> String {
    const_hex::encode(&key[..NAME_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);
    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn sessions<T: Clone>() -> Sessions<T> {
        Sessions::new(Cookie { name: "s", path: "/here" }, HOUR)
    }

    fn with_cookie(set_cookie: &str) -> Request {
        let pair = set_cookie.split(';').next().unwrap();
        Request::get("/", &[("cookie", &format!("other=1; {pair}; last=2"))])
    }

    #[test]
    fn a_session_is_known_by_its_cookie_until_it_is_closed() {
        let mut sessions = sessions();
        let now = Instant::now();
        let opened = sessions.open("admin", CLIENT, true, MINUTE, now);
        let (token, attributes) = opened.cookie.split_once("; ").unwrap();
        assert_eq!(token.len(), "s=".len() + 43);
        assert!(attributes.starts_with("Path=/here; Expires="), "{attributes}");
        assert!(attributes.ends_with(" GMT; Max-Age=60; HttpOnly; SameSite=Strict; Secure"));
        let request = with_cookie(&opened.cookie);
        let signed = sessions.of(&request, true, MINUTE, now).unwrap();
        assert_eq!((signed.who, &signed.name), ("admin", &opened.name));
        assert!(signed.made(&signed.form_token) && !signed.made("") && !signed.made("x"));
        assert!(sessions.of(&Request::get("/", &[]), true, MINUTE, now).is_none());
        assert!(sessions.of(&with_cookie("s=x"), true, MINUTE, now).is_none());
        let away = sessions.close(&request, false);
        assert_eq!(
            away,
            "s=; Path=/here; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; HttpOnly; \
             SameSite=Strict"
        );
        assert!(sessions.of(&request, true, MINUTE, now).is_none());
    }

    #[test]
    fn a_session_lasts_while_it_is_used_and_not_longer_than_any_may() {
        let mut sessions = sessions();
        let start = Instant::now();
        let request = with_cookie(&sessions.open((), CLIENT, false, MINUTE, start).cookie);
        let mut now = start;
        for _ in 0..60 {
            now += MINUTE - Duration::from_secs(1);
            assert!(sessions.of(&request, false, MINUTE, now).is_some());
        }
        let last = start + HOUR - Duration::from_secs(20);
        let signed = sessions.of(&request, false, MINUTE, last).unwrap();
        assert!(signed.cookie.contains("; Max-Age=20; "), "{}", signed.cookie);
        assert!(sessions.of(&request, false, MINUTE, start + HOUR).is_none());
        let request = with_cookie(&sessions.open((), CLIENT, false, MINUTE, start).cookie);
        assert!(sessions.of(&request, false, MINUTE, start + MINUTE).is_none());
        assert!(sessions.open.is_empty());
    }

    #[test]
    fn sessions_are_bounded_and_the_one_used_longest_ago_goes() {
        let mut sessions = sessions();
        let now = Instant::now();
        let first = with_cookie(&sessions.open(0, CLIENT, false, HOUR, now).cookie);
        for number in 1..=SESSIONS_MAX as u64 {
            sessions.open(number, CLIENT, false, HOUR, now + Duration::from_secs(number));
        }
        assert_eq!(sessions.open.len(), SESSIONS_MAX);
        assert!(sessions.of(&first, false, HOUR, now).is_none());
        let seen = sessions.list(HOUR, now + 10 * MINUTE);
        assert_eq!(
            (seen.len(), seen[0].idle),
            (SESSIONS_MAX, 10 * MINUTE - Duration::from_secs(256))
        );
        sessions.end(&seen[0].name);
        assert_eq!(sessions.open.len(), SESSIONS_MAX - 1);
        assert_eq!(sessions.keep(|who| *who == 7), SESSIONS_MAX - 2);
    }
}
