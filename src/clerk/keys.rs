//! The keys that tokens are signed with: fetched in the background, hourly and when a token names one
//! that is not known (`state-and-services.md` §14.2). Whoever has a token to check waits for nothing.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use serde_json::Value;
use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::outgoing::{Call, Outgoing};

const REFRESH_INTERVAL: Duration = Duration::from_secs(3600);
const RETRY_FIRST: Duration = Duration::from_secs(30);
const RETRY_MAX: Duration = Duration::from_secs(600);
/// However many tokens name a key that is not known: anybody can make one up.
pub const REFRESH_DISTANCE: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(5);
const DOCUMENT_BYTES_MAX: u64 = 1024 * 1024;

/// The keys as of the last fetch that worked.
#[derive(Clone, Default)]
pub struct KeySet {
    keys: HashMap<String, DecodingKey>,
    pub fetched_at: Option<SystemTime>,
    /// Of the last fetch; gone after one that worked.
    pub error: Option<String>,
}

impl KeySet {
    pub fn find(&self, kid: &str) -> Option<DecodingKey> {
        self.keys.get(kid).cloned()
    }

    pub fn count(&self) -> usize {
        self.keys.len()
    }
}

/// Where they are read, and what asks for newer ones. The thread ends when this does.
pub struct Keys {
    set: Arc<ArcSwap<KeySet>>,
    wanted: Sender<()>,
}

impl Keys {
    pub fn spawn(url: String, outgoing: Outgoing) -> io::Result<Self> {
        let set = Arc::<ArcSwap<KeySet>>::default();
        let (wanted, wishes) = bounded(1);
        let fetcher = Fetcher { url, outgoing, set: Arc::clone(&set) };
        thread::Builder::new().name("clerk".into()).spawn(move || fetcher.run(&wishes))?;
        Ok(Self { set, wanted })
    }

    pub fn load(&self) -> Arc<KeySet> {
        self.set.load_full()
    }

    /// A token names a key that is not there.
    pub fn want_newer(&self) {
        // One wish is as good as many.
        let _full = self.wanted.try_send(());
    }
}

struct Fetcher {
    url: String,
    outgoing: Outgoing,
    set: Arc<ArcSwap<KeySet>>,
}

impl Fetcher {
    fn run(&self, wishes: &Receiver<()>) {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
        loop {
            let fetched_at = Instant::now();
            let due = fetched_at + self.refresh(&mut backoff);
            match wishes.recv_deadline(due) {
                Ok(()) => thread::sleep(REFRESH_DISTANCE.saturating_sub(fetched_at.elapsed())),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Fetches once; how long until the next time.
    fn refresh(&self, backoff: &mut Backoff) -> Duration {
        match self.fetch() {
            Ok(keys) => {
                if backoff.failures() > 0 || self.set.load().keys.is_empty() {
                    info!(component = "clerk", count = keys.len(), "people can sign in");
                }
                backoff.succeeded();
                let fetched_at = Some(SystemTime::now());
                self.set.store(Arc::new(KeySet { keys, fetched_at, error: None }));
                REFRESH_INTERVAL
            }
            Err(error) => {
                let before = self.set.load();
                // Once, and not each time that it is tried again.
                if backoff.failures() == 0 {
                    let still = before.keys.len();
                    warn!(component = "clerk", %error, still, "the keys of tokens cannot be fetched");
                }
                // Those that are known stay good.
                self.set.store(Arc::new(KeySet { error: Some(error), ..(**before).clone() }));
                backoff.failed()
            }
        }
    }

    fn fetch(&self) -> Result<HashMap<String, DecodingKey>, String> {
        let call = Call::get(&self.url, TIMEOUT, DOCUMENT_BYTES_MAX);
        let answer = self.outgoing.call(call).map_err(|error| error.to_string())?;
        if answer.status != 200 {
            return Err(format!("it answers with HTTP status {}", answer.status));
        }
        let document: Document = answer.json().map_err(|error| error.to_string())?;
        let keys: HashMap<String, DecodingKey> = document.keys.iter().filter_map(key).collect();
        if keys.is_empty() {
            return Err("its document has no key of RSA".to_owned());
        }
        Ok(keys)
    }
}

/// A JSON Web Key Set (RFC 7517 §5).
#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

/// None for a key of another kind, which is somebody else's business.
fn key(entry: &Value) -> Option<(String, DecodingKey)> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str);
    let kid = text("kid").filter(|kid| !kid.is_empty())?;
    let (modulus, exponent) = (text("n")?, text("e")?);
    let key = DecodingKey::from_rsa_components(modulus, exponent).ok()?;
    (text("kty") == Some("RSA")).then(|| (kid.to_owned(), key))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::outgoing::tests::{Served, json, outgoing, until};

    const GOOD: &str = r#"{"keys":[
        {"kty":"RSA","kid":"one","n":"u1SU","e":"AQAB","alg":"RS256"},
        {"kty":"RSA","kid":"","n":"u1SU","e":"AQAB"},
        {"kty":"RSA","kid":"no modulus","e":"AQAB"},
        {"kty":"RSA","kid":"no base64","n":"!","e":"AQAB"},
        {"kty":"EC","kid":"curve","n":"u1SU","e":"AQAB"},
        7]}"#;

    #[test]
    fn keys_that_are_known_outlive_every_failure() {
        let answers = [
            json(200, GOOD),
            json(500, "{}"),
            json(200, "{\"keys\":[]}"),
            json(200, "<html>"),
            json(200, &GOOD.replace("one", "two")),
        ];
        let served = Served::with(move |number, stream| {
            let _ = stream.write_all(answers[number].as_bytes());
        });
        let fetcher =
            Fetcher { url: served.url("/jwks"), outgoing: outgoing(), set: Arc::default() };
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
        let mut refresh = || {
            let wait = fetcher.refresh(&mut backoff).as_secs();
            (wait, fetcher.set.load_full())
        };
        let (wait, set) = refresh();
        assert_eq!((wait, set.count(), &set.error), (3600, 1, &None));
        for expected in [30, 60, 120] {
            let (wait, set) = refresh();
            assert_eq!((wait, set.error.is_some()), (expected, true));
            assert!(set.find("one").is_some());
        }
        let (wait, set) = refresh();
        assert_eq!((wait, &set.error), (3600, &None));
        assert!(set.find("one").is_none() && set.find("two").is_some());
    }

    #[test]
    fn a_thousand_wishes_are_one_fetch_in_half_a_minute() {
        let served = Served::text(&json(200, GOOD));
        let keys = Keys::spawn(served.url("/jwks"), outgoing()).unwrap();
        assert!(served.asked().starts_with("GET /jwks "));
        (0..1000).for_each(|_| keys.want_newer());
        until(|| keys.load().count() > 0);
        (0..1000).for_each(|_| keys.want_newer());
        assert!(!served.was_asked());
    }
}
