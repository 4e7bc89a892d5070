//! Who is signed in: a random token in a cookie, and beside it one that forms must carry.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::super::http::Request;
use crate::entropy;

/// Sessions at a time; the one that ends first makes room. Whoever may sign in is few.
const SESSIONS_MAX: usize = 256;
/// 256 bits: nobody guesses one.
const TOKEN_BYTES: usize = 32;

/// One signed-in person.
#[derive(Clone, Debug)]
struct Session<T> {
    who: T,
    form_token: String,
    ends_at: Instant,
}

/// All of them, by a hash of the cookie: what is looked up with is not what is compared.
#[derive(Debug)]
pub struct Sessions<T> {
    cookie: &'static str,
    lifetime: Duration,
    open: HashMap<[u8; 32], Session<T>>,
}

/// What a request is told of its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed<T> {
    pub who: T,
    /// Forms of the page carry it back.
    pub form_token: String,
}

impl<T: Clone> Sessions<T> {
    /// `cookie` is its name.
    pub fn new(cookie: &'static str, lifetime: Duration) -> Self {
        Self { cookie, lifetime, open: HashMap::new() }
    }

    /// Signs somebody in; the value of `Set-Cookie` comes back.
    pub fn open(&mut self, who: T, is_https: bool, now: Instant) -> String {
        self.open.retain(|_, session| session.ends_at > now);
        if self.open.len() >= SESSIONS_MAX
            && let Some(first) = self.open.iter().min_by_key(|(_, session)| session.ends_at)
        {
            let first = *first.0;
            self.open.remove(&first);
        }
        let (token, form_token) = (random_token(), random_token());
        let session = Session { who, form_token, ends_at: now + self.lifetime };
        self.open.insert(key(&token), session);
        self.set_cookie(&token, self.lifetime, is_https)
    }

    /// Who sent a request, if they are signed in.
    pub fn of(&self, request: &Request, now: Instant) -> Option<Signed<T>> {
        let token = cookie(request, self.cookie)?;
        let session = self.open.get(&key(token)).filter(|session| session.ends_at > now)?;
        Some(Signed { who: session.who.clone(), form_token: session.form_token.clone() })
    }

    /// Signs the sender out; the value of `Set-Cookie` that takes the cookie away comes back.
    pub fn close(&mut self, request: &Request, is_https: bool) -> String {
        if let Some(token) = cookie(request, self.cookie) {
            self.open.remove(&key(token));
        }
        self.set_cookie("", Duration::ZERO, is_https)
    }

    fn set_cookie(&self, value: &str, lifetime: Duration, is_https: bool) -> String {
        let secure = if is_https { "; Secure" } else { "" };
        let (name, seconds) = (self.cookie, lifetime.as_secs());
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn with_cookie(set_cookie: &str) -> Request {
        let pair = set_cookie.split(';').next().unwrap();
        Request::get("/", &[("cookie", &format!("other=1; {pair}; last=2"))])
    }

    #[test]
    fn a_session_is_known_by_its_cookie_until_it_ends() {
        let mut sessions = Sessions::new("s", HOUR);
        let now = Instant::now();
        let set_cookie = sessions.open("admin", true, now);
        assert!(set_cookie.ends_with("; Path=/; Max-Age=3600; HttpOnly; SameSite=Strict; Secure"));
        let request = with_cookie(&set_cookie);
        let signed = sessions.of(&request, now).unwrap();
        assert_eq!(signed.who, "admin");
        assert!(signed.made(&signed.form_token) && !signed.made("") && !signed.made("x"));
        assert!(sessions.of(&request, now + HOUR).is_none());
        assert!(sessions.of(&Request::get("/", &[]), now).is_none());
        assert!(sessions.of(&with_cookie("s=x"), now).is_none());
        let away = sessions.close(&request, false);
        assert_eq!(away, "s=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
        assert!(sessions.of(&request, now).is_none());
    }

    #[test]
    fn sessions_are_bounded_and_the_first_to_end_goes() {
        let mut sessions = Sessions::new("s", HOUR);
        let now = Instant::now();
        let first = with_cookie(&sessions.open(0, false, now));
        for number in 1..=SESSIONS_MAX as u64 {
            sessions.open(number, false, now + Duration::from_secs(number));
        }
        assert_eq!(sessions.open.len(), SESSIONS_MAX);
        assert!(sessions.of(&first, now).is_none());
    }
}
