//! Bitcoin's price in the operator's currency (`state-and-services.md` §19.1): asked for in the
//! background, and the last good one is shown with its own time. Nobody waits for it.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use serde::Deserialize;
use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::outgoing::{Call, Outgoing, OutgoingError};

const INTERVAL: Duration = Duration::from_secs(30 * 60);
const RETRY_FIRST: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
/// An older one would mislead.
const AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// `services.toml [price]`, when it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceSettings {
    pub url: String,
}

/// What one bitcoin costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Price {
    /// Above 0.
    pub value: f64,
    /// In lower case.
    pub currency: String,
    /// When it was fetched.
    pub at: SystemTime,
}

/// How the service does; what it says of the price is for [`Prices::price`] to decide.
#[derive(Clone, Debug, Default)]
pub struct PriceFigures {
    /// Somebody wants a price.
    pub is_on: bool,
    pub last: Option<Price>,
    /// Of the last request; gone after the next success.
    pub error: Option<String>,
}

/// The service; its thread ends when this does.
#[derive(Debug)]
pub struct Prices {
    figures: Arc<ArcSwap<PriceFigures>>,
    currencies: Option<Sender<String>>,
}

#[derive(Deserialize)]
struct Quote {
    bitcoin: serde_json::Map<String, serde_json::Value>,
}

impl Prices {
    /// Without settings nothing is asked for, ever.
    pub fn spawn(
        settings: Option<PriceSettings>,
        outgoing: &Outgoing,
        currency: &str,
    ) -> io::Result<Self> {
        let is_on = settings.is_some();
        let first = PriceFigures { is_on, ..PriceFigures::default() };
        let figures = Arc::new(ArcSwap::from_pointee(first));
        let Some(settings) = settings else { return Ok(Self { figures, currencies: None }) };
        let (currencies, wanted) = unbounded();
        let service = Service {
            outgoing: outgoing.clone(),
            url: settings.url,
            currency: currency.to_ascii_lowercase(),
            figures: Arc::clone(&figures),
        };
        thread::Builder::new().name("price".into()).spawn(move || service.run(&wanted))?;
        Ok(Self { figures, currencies: Some(currencies) })
    }

    /// From now on in this one.
    pub fn set_currency(&self, currency: &str) {
        if let Some(currencies) = &self.currencies {
            // The thread outlives this value.
            let _heard = currencies.send(currency.to_ascii_lowercase());
        }
    }

    /// The last one known, in that currency and not too old.
    pub fn price(&self, currency: &str, now: SystemTime) -> Option<Price> {
        let last = self.figures.load().last.clone()?;
        let is_fresh = now.duration_since(last.at).is_ok_and(|age| age <= AGE_MAX);
        (is_fresh && last.currency.eq_ignore_ascii_case(currency)).then_some(last)
    }

    pub fn figures(&self) -> Arc<PriceFigures> {
        self.figures.load_full()
    }
}

struct Service {
    outgoing: Outgoing,
    url: String,
    currency: String,
    figures: Arc<ArcSwap<PriceFigures>>,
}

impl Service {
    fn run(mut self, wanted: &Receiver<String>) {
        let mut backoff = Backoff::new(RETRY_FIRST, INTERVAL);
        let mut due = Instant::now();
        loop {
            match wanted.recv_deadline(due) {
                Ok(currency) if currency == self.currency => continue,
                Ok(currency) => self.currency = currency,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            due = Instant::now() + self.refresh(&mut backoff);
        }
    }

    /// Asks once; how long until the next time.
    fn refresh(&self, backoff: &mut Backoff) -> Duration {
        if !is_currency(&self.currency) {
            return INTERVAL;
        }
        let before = self.figures.load();
        match self.fetch() {
            Ok(value) => {
                if backoff.failures() > 0 {
                    info!(component = "price", "the price is known again");
                }
                backoff.succeeded();
                let last = Price { value, currency: self.currency.clone(), at: SystemTime::now() };
                let figures = PriceFigures { last: Some(last), error: None, ..**before };
                self.figures.store(Arc::new(figures));
                INTERVAL
            }
            Err((error, asked_wait)) => {
                // Once, and not each time that it is tried again.
                if backoff.failures() == 0 {
                    warn!(component = "price", %error, "the price cannot be fetched");
                }
                let figures = PriceFigures { error: Some(error), ..(**before).clone() };
                self.figures.store(Arc::new(figures));
                backoff.failed().max(asked_wait)
            }
        }
    }

    /// The price; or why there is none, and how long we are asked to wait.
    fn fetch(&self) -> Result<f64, (String, Duration)> {
        let failed = |error: OutgoingError| (error.to_string(), Duration::ZERO);
        let currency = &self.currency;
        let url = format!("{}?ids=bitcoin&vs_currencies={currency}", self.url);
        let call = Call::get(&url, TIMEOUT, ANSWER_BYTES_MAX).with("Accept", "application/json");
        let answer = self.outgoing.call(call).map_err(failed)?;
        if answer.status != 200 {
            let error = format!("it answers with HTTP status {}", answer.status);
            return Err((error, answer.retry_after().unwrap_or_default()));
        }
        let quote: Quote = answer.json().map_err(failed)?;
        let value = quote.bitcoin.get(currency).and_then(serde_json::Value::as_f64);
        match value {
            Some(value) if value.is_finite() && value > 0.0 => Ok(value),
            _ => Err((format!("it knows of no price in {currency}"), Duration::ZERO)),
        }
    }
}

/// A code as CoinGecko has them: it stands in a URL, and is somebody's typing.
pub fn is_currency(code: &str) -> bool {
    (3..=5).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::outgoing::tests::{Served, json, outgoing, until};

    fn service(served: &Served) -> Service {
        Service {
            outgoing: outgoing(),
            url: served.url("/price"),
            currency: "eur".to_owned(),
            figures: Arc::default(),
        }
    }

    #[test]
    fn the_price_is_asked_for_in_its_currency_and_shown_with_its_time() {
        let served = Served::text(&json(200, r#"{"bitcoin":{"eur":81234.5,"usd":1}}"#));
        let settings = PriceSettings { url: served.url("/price") };
        let prices = Prices::spawn(Some(settings), &outgoing(), "EUR").unwrap();
        let asked = served.asked();
        assert!(asked.starts_with("GET /price?ids=bitcoin&vs_currencies=eur HTTP/1.1"), "{asked}");
        until(|| prices.price("EUR", SystemTime::now()).is_some());
        let price = prices.price("EUR", SystemTime::now()).unwrap();
        assert_eq!((price.value, &*price.currency), (81234.5, "eur"));
        assert_eq!(prices.price("usd", SystemTime::now()), None, "it is no price in dollars");
        assert!(prices.price("eur", price.at + AGE_MAX).is_some());
        assert!(prices.price("eur", price.at + AGE_MAX + Duration::from_secs(1)).is_none());
        // At once, and not only half an hour later; the same one is no change.
        prices.set_currency("EUR");
        prices.set_currency("usd");
        assert!(served.asked().contains("vs_currencies=usd"));
        prices.set_currency("u$");
        prices.set_currency("gbp");
        assert!(served.asked().contains("vs_currencies=gbp"), "what is none is not asked for");
    }

    #[test]
    fn what_fails_is_tried_again_and_the_last_price_stays() {
        let answers = [
            json(200, r#"{"bitcoin":{"eur":1.5}}"#),
            json(429, "{}").replace("Connection", "Retry-After: 600\r\nConnection"),
            json(500, "{}"),
            json(200, "[]"),
            json(200, r#"{"bitcoin":{"eur":0}}"#),
            json(200, &"x".repeat(ANSWER_BYTES_MAX as usize + 1)),
            "HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{\"bit".to_owned(),
            json(200, r#"{"bitcoin":{"eur":2.5}}"#),
        ];
        let served = Served::with(move |number, stream| {
            let _ = stream.write_all(answers[number].as_bytes());
        });
        let service = service(&served);
        let mut backoff = Backoff::new(RETRY_FIRST, INTERVAL);
        let mut minutes = || service.refresh(&mut backoff).as_secs() / 60;
        assert_eq!(minutes(), 30);
        let waits: Vec<u64> = (0..6).map(|_| minutes()).collect();
        assert_eq!(waits, [10, 2, 4, 8, 16, 30]);
        let figures = service.figures.load_full();
        assert_eq!(figures.last.as_ref().unwrap().value, 1.5);
        assert!(figures.error.is_some());
        assert_eq!(service.refresh(&mut backoff), INTERVAL);
        let figures = service.figures.load_full();
        assert_eq!((figures.last.as_ref().unwrap().value, &figures.error), (2.5, &None));
    }

    #[test]
    fn nobody_is_asked_when_nobody_wants_it() {
        let prices = Prices::spawn(None, &outgoing(), "usd").unwrap();
        prices.set_currency("eur");
        assert_eq!(prices.price("usd", SystemTime::now()), None);
        assert!(!prices.figures().is_on);
    }
}
