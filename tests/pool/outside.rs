//! Clerk and the price, from the pool's side: whose sessions are taken, and what the pool does while
//! those whom it asks do wrong.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::http::{self, Response};
use crate::node::{Chain, Node};
use crate::poll::{until, until_true};
use crate::pool::Pool;
use crate::settings::Settings;
use crate::stand_in::StandIn;

/// The keys are asked for again after 30 s and the price after a minute; this machine may be busy.
const RECOVERY_LIMIT: Duration = Duration::from_secs(150);
const LIMIT: Duration = Duration::from_secs(30);
const KEYS: &str = "/.well-known/jwks.json";
const PRICE: &str = "/api/v3/simple/price";

struct Outside {
    clerk: StandIn,
    inbox: StandIn,
}

impl Outside {
    fn new() -> Self {
        Self::with_flags(&[])
    }

    fn with_flags(flags: &[&str]) -> Self {
        let [clerk, inbox] = ["clerk.mjs", "inbox.mjs"].map(|name| StandIn::start(name, flags));
        Self { clerk, inbox }
    }

    /// One that asks for its keys at `keys`, and for the price in `currency`.
    fn pool(&self, node: &Node, keys: &str, currency: &'static str) -> Pool {
        let mut settings = Settings::of(node);
        settings.fiat_currency = Some(currency);
        self.pool_with(settings, keys)
    }

    fn pool_with(&self, mut settings: Settings, keys: &str) -> Pool {
        let clerk = &self.clerk;
        settings.services = format!(
            "[auth]\nclerk_issuer_url = {:?}\nclerk_jwks_url = {keys:?}\nclerk_signin_url = {:?}\n\
             clerk_frontend_api_url = {:?}\nclerk_api_url = {:?}\n\
             [price]\nenabled = true\nurl = \"{}/simple/price\"\n",
            clerk.shown("issuer"),
            clerk.shown("sign_in"),
            clerk.shown("frontend_api"),
            clerk.shown("backend_api"),
            self.inbox.shown("coingecko"),
        );
        settings.secrets = format!(
            "clerk_secret_key = {:?}\nclerk_publishable_key = {:?}\n",
            clerk.shown("secret_key"),
            clerk.shown("publishable_key"),
        );
        Pool::start(settings)
    }

    fn token(&self, of: &Value) -> String {
        let made = self.clerk.ask("POST", "token", of);
        made["token"].as_str().expect("a token").to_owned()
    }
}

fn list(pool: &Pool, token: &str) -> Response {
    pool.get("/api/saved-workers", &[("Cookie", &format!("__session={token}"))])
}

fn price(pool: &Pool) -> Option<f64> {
    let text = pool.get("/api/overview", &[]).body;
    let overview: Value = serde_json::from_str(&text).expect("JSON");
    overview["btc_price_fiat"].as_f64()
}

#[test]
fn a_session_of_clerks_is_somebodys_and_nothing_else_is() {
    let (node, outside) = (Node::new(Chain::Regtest), Outside::new());
    node.mine_to(crate::settings::MINER_ADDRESS, 1);
    // Who is slow is waited for.
    for (stand_in, path) in [(&outside.clerk, KEYS), (&outside.inbox, PRICE)] {
        stand_in.fault(&json!({ "match": path, "kind": "slow", "seconds": 0.5, "times": 1 }));
    }
    let pool = outside.pool(&node, outside.clerk.shown("jwks"), "usd");
    pool.await_log("people can sign in", &["component=clerk", "count=1"], LIMIT);
    let origin = format!("http://{}", pool.http_address());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    for good in [json!({}), json!({ "azp": origin }), json!({ "without": ["sid"] })] {
        assert_eq!(list(&pool, &outside.token(&good)).status, 200, "{good}");
    }
    for bad in [
        json!({ "seconds": -60 }),
        json!({ "azp": "https://elsewhere.example" }),
        json!({ "claims": { "nbf": now + 600 } }),
        json!({ "claims": { "iss": "https://elsewhere.example" } }),
        json!({ "without": ["exp"] }),
        json!({ "without": ["sub"] }),
        json!({ "header": { "kid": "ins_2unknown" } }),
        json!({ "key": "stranger" }),
        json!({ "signature": "bad" }),
        json!({ "signature": "none" }),
        json!({ "alg": "none" }),
        json!({ "alg": "HS256" }),
        json!({ "alg": "RS512" }),
        json!({ "alg": "PS256" }),
    ] {
        assert_eq!(list(&pool, &outside.token(&bad)).status, 401, "{bad}");
    }
    let price = until("the price is shown", LIMIT, || price(&pool));
    assert!(price > 0.0);
    let lines = pool.lines_after(0);
    let complaints = lines.iter().filter(|line| line.contains("cannot be fetched"));
    assert_eq!(complaints.count(), 0, "{lines:#?}");
    assert!(pool.get("/", &[]).body.contains("Bitcoin price"));

    // A new key, and the old one withdrawn: both are noticed without a restart, and soon.
    let old = outside.token(&json!({ "seconds": 600 }));
    outside.clerk.ask("POST", "rotate", &json!({ "keep": false }));
    let new = outside.token(&json!({ "seconds": 600 }));
    until_true("the new key is known", RECOVERY_LIMIT, || list(&pool, &new).status == 200);
    assert_eq!(list(&pool, &old).status, 401);
    assert_eq!(outside.clerk.seen(KEYS).len(), 2, "however often it was asked for");
}

#[test]
fn whatever_was_wrong_with_those_who_are_asked_is_over_when_it_is_over() {
    let (node, outside) = (Node::new(Chain::Regtest), Outside::new());
    let faults = [
        ("usd", json!({ "kind": "refuse" })),
        ("eur", json!({ "kind": "reset" })),
        ("gbp", json!({ "kind": "hang" })),
        ("chf", json!({ "kind": "half" })),
        ("jpy", json!({ "kind": "status", "status": 401 })),
        ("aud", json!({ "kind": "status", "status": 429, "retry_after": 1 })),
        ("cad", json!({ "kind": "status", "status": 500 })),
        ("sek", json!({ "kind": "text" })),
    ];
    for (currency, fault) in &faults {
        outside.inbox.ask("POST", "price", &json!({ *currency: 50_000 }));
        for (stand_in, path) in [
            (&outside.clerk, format!("{KEYS}?pool={currency}")),
            (&outside.inbox, format!("{PRICE}?ids=bitcoin&vs_currencies={currency}")),
        ] {
            let mut fault = fault.clone();
            fault["match"] = path.into();
            stand_in.fault(&fault);
        }
    }
    let jwks = outside.clerk.shown("jwks");
    let pools: Vec<(Pool, &str)> = faults
        .iter()
        .map(|(currency, _)| {
            let pool = outside.pool(&node, &format!("{jwks}?pool={currency}"), currency);
            (pool, *currency)
        })
        .collect();
    let token = outside.token(&json!({ "seconds": 600 }));
    for (pool, currency) in &pools {
        pool.await_log("the keys of tokens cannot be fetched", &["component=clerk"], LIMIT);
        pool.await_log("the price cannot be fetched", &["component=price"], LIMIT);
        assert_eq!(list(pool, &token).status, 401, "{currency}: nobody can be known");
        assert_eq!(pool.get("/sign-in", &[]).status, 503, "{currency}");
        assert_eq!((pool.get("/pool", &[]).status, price(pool)), (200, None), "{currency}");
    }
    outside.clerk.mend();
    outside.inbox.mend();
    for (pool, currency) in &pools {
        let what = |service: &str| format!("{currency}: {service}");
        until_true(&what("keys"), RECOVERY_LIMIT, || list(pool, &token).status == 200);
        until_true(&what("price"), RECOVERY_LIMIT, || price(pool).is_some());
        let lines = pool.lines_after(0);
        for service in ["component=clerk", "component=price"] {
            let said = lines.iter().filter(|line| line.contains("WARN") && line.contains(service));
            assert_eq!(said.count(), 1, "{currency}: one word about each trouble");
        }
        let key = outside.clerk.shown("secret_key");
        assert!(!lines.iter().any(|line| line.contains(key)));
        let keys = outside.clerk.seen(&format!("{KEYS}?pool={currency}")).len();
        let path = format!("{PRICE}?ids=bitcoin&vs_currencies={currency}");
        let prices = outside.inbox.seen(&path).len();
        assert!(keys <= 4 && prices <= 3, "{currency}: {keys} and {prices} requests");
    }
}

/// What Clerk's back end does for whoever comes back from its own page, and for who signs out.
#[test]
fn whatever_clerks_back_end_does_nobody_is_signed_in_by_mistake_or_stays_it() {
    let (node, outside) = (Node::new(Chain::Regtest), Outside::new());
    let pool = outside.pool(&node, outside.clerk.shown("jwks"), "usd");
    pool.await_log("people can sign in", &["component=clerk"], LIMIT);
    let origin = format!("http://{}", pool.http_address());
    let come_back = || {
        let made = outside.clerk.ask("POST", "session", &json!({}));
        let browser = made["db_jwt"].as_str().expect("a token of the browser's");
        pool.get(&format!("/clerk/callback?__clerk_db_jwt={browser}"), &[])
    };
    let sign_out = |token: &str| {
        let cookie = format!("__session={token}");
        let headers = [("Origin", &*origin), ("Cookie", &*cookie)];
        http::exchange(pool.http_address(), "POST", "/logout", &headers, "", LIMIT)
            .expect("an answer")
    };
    for fault in [
        json!({ "kind": "refuse" }),
        json!({ "kind": "reset" }),
        json!({ "kind": "half" }),
        json!({ "kind": "status", "status": 401 }),
        json!({ "kind": "status", "status": 429, "retry_after": 1 }),
        json!({ "kind": "status", "status": 500 }),
        json!({ "kind": "text" }),
    ] {
        let mut fault = fault;
        fault["match"] = "/v1/".into();
        outside.clerk.fault(&fault);
        let answer = come_back();
        assert_eq!((answer.status, answer.header("set-cookie")), (303, None), "{fault}");
        let location = answer.header("location");
        assert_eq!(location, Some("/sign-in?redirect=%2Fsaved-workers"), "{fault}");
        let token = outside.token(&json!({ "seconds": 600 }));
        assert_eq!(list(&pool, &token).status, 200, "{fault}");
        let answer = sign_out(&token);
        let cookie = answer.header("set-cookie").expect("the cookie goes");
        assert!(answer.status == 303 && cookie.starts_with("__session=;"), "{fault}: {cookie}");
        assert_eq!(list(&pool, &token).status, 401, "{fault}: here it is over");
        outside.clerk.mend();
    }
    // Slow is not wrong.
    outside.clerk.fault(&json!({ "match": "/v1/", "kind": "slow", "seconds": 1, "times": 2 }));
    let answer = come_back();
    let cookie = answer.header("set-cookie").expect("a session");
    let token = cookie.split(['=', ';']).nth(1).expect("its token").to_owned();
    assert_eq!(list(&pool, &token).status, 200);
    let ended_at_clerk = || {
        let sessions = outside.clerk.list("sessions");
        sessions.iter().filter(|session| session["status"] != "active").count()
    };
    let before = ended_at_clerk();
    sign_out(&token);
    assert_eq!(list(&pool, &token).status, 401);
    assert_eq!(ended_at_clerk(), before + 1);
    let key = outside.clerk.shown("secret_key");
    assert!(!pool.lines_after(0).iter().any(|line| line.contains(key)));
}

#[test]
fn who_is_not_who_they_say_is_told_and_asked_nothing() {
    let node = Node::new(Chain::Regtest);
    for (flags, is_trusted) in [(["--tls"], true), (["--tls"], false), (["--tls-wrong-name"], true)]
    {
        let outside = Outside::with_flags(&flags);
        let mut settings = Settings::of(&node);
        if is_trusted {
            let ca = outside.clerk.authority().expect("it speaks TLS");
            settings.environment.push(("SSL_CERT_FILE", ca));
        }
        let pool = outside.pool_with(settings, outside.clerk.shown("jwks"));
        let keys = |count| {
            until_true("its requests", LIMIT, || outside.clerk.seen(KEYS).len() == count);
        };
        if flags == ["--tls"] && is_trusted {
            pool.await_log("people can sign in", &["component=clerk"], LIMIT);
            keys(1);
            continue;
        }
        let line = pool.await_log("the keys of tokens cannot be fetched", &[], LIMIT);
        assert!(line.contains("its certificate or TLS is not right"), "{line}");
        let line = pool.await_log("the price cannot be fetched", &[], LIMIT);
        assert!(line.contains("its certificate or TLS is not right"), "{line}");
        keys(0);
        assert_eq!(pool.get("/sign-in", &[]).status, 503);
    }
}
