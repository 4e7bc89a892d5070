//! Tokens that are right, and each way of being wrong. Their key (`test_key.pem`) was made for these
//! tests and is good for nothing else.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents};
use serde_json::{Value, json};

use super::token::Rules;
use super::*;
use crate::clock::unix_now;
use crate::outgoing::tests::{Served, json as answer, outgoing, until};

const ISSUER: &str = "https://clerk.pool.example";
pub(crate) const USER: &str = "user_2abc";

static KEY: LazyLock<RsaKeyPair> = LazyLock::new(|| {
    let pem = include_str!("test_key.pem");
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    RsaKeyPair::from_pkcs8(&STANDARD.decode(base64).unwrap()).unwrap()
});

fn public() -> RsaPublicKeyComponents<Vec<u8>> {
    KEY.public().into()
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn sign(header: &Value, claims: &Value) -> String {
    let message = format!("{}.{}", part(header), part(claims));
    let mut signature = vec![0; KEY.public().modulus_len()];
    let random = SystemRandom::new();
    KEY.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn header() -> Value {
    json!({"alg": "RS256", "kid": "one", "typ": "JWT"})
}

fn claims() -> Value {
    let now = unix_now();
    json!({"iss": ISSUER, "sub": USER, "sid": "sess_1", "iat": now, "nbf": now - 10, "exp": now + 60})
}

/// A token like a right one but for these claims; null leaves one out.
pub(crate) fn token(others: &Value) -> String {
    let mut claims = claims();
    for (name, value) in others.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    sign(&header(), &claims)
}

/// What Clerk publishes.
pub(crate) fn document() -> String {
    let RsaPublicKeyComponents { n, e } = public();
    let (n, e) = (URL_SAFE_NO_PAD.encode(n), URL_SAFE_NO_PAD.encode(e));
    json!({"keys": [{"kty": "RSA", "kid": "one", "n": n, "e": e}]}).to_string()
}

pub(crate) fn settings() -> ClerkSettings {
    ClerkSettings {
        issuer_url: ISSUER.to_owned(),
        jwks_url: String::new(),
        signin_url: "https://accounts.pool.example/sign-in".to_owned(),
        callback_path: "/clerk/callback".to_owned(),
        frontend_api_url: "https://clerk.pool.example".to_owned(),
        api_url: String::new(),
        cookie_name: "__session".to_owned(),
        audience: None,
        secret_key: Secret::new("sk_live_x"),
        publishable_key: "pk_live_x".to_owned(),
    }
}

/// A Clerk that answers with its keys, and with `{}` to everything else.
pub(crate) fn clerk(change: impl FnOnce(&mut ClerkSettings)) -> (Clerk, Served) {
    let served = Served::text(&answer(200, &document()));
    let mut settings =
        ClerkSettings { jwks_url: served.url("/jwks"), api_url: served.url(""), ..settings() };
    change(&mut settings);
    let clerk = Clerk::spawn(settings, outgoing()).unwrap();
    served.asked();
    until(|| clerk.is_ready());
    (clerk, served)
}

#[track_caller]
fn check(token: &str, audience: Option<&str>, origin: Option<&str>) -> Result<Session, TokenError> {
    let rules = Rules { issuer: ISSUER.to_owned(), audience: audience.map(str::to_owned) };
    let RsaPublicKeyComponents { n, e } = public();
    let key = DecodingKey::from_rsa_raw_components(&n, &e);
    rules.check(token, origin, |kid| (kid == "one").then_some(key))
}

#[test]
fn a_right_token_names_a_user_a_session_and_its_end() {
    let session = check(&token(&json!({"exp": 4_000_000_000_u64})), None, None).unwrap();
    let expected = Session {
        user_id: USER.to_owned(),
        session_id: "sess_1".to_owned(),
        expires_at: 4_000_000_000,
    };
    assert_eq!(session, expected);
    let now = unix_now();
    for others in [
        json!({"sid": null}),
        json!({"nbf": null}),
        // Clocks differ by up to five seconds.
        json!({"exp": now - 3}),
        json!({"nbf": now + 3}),
        json!({"aud": "anything"}),
        json!({"azp": "https://pool.example"}),
    ] {
        let checked = check(&token(&others), None, Some("https://pool.example"));
        assert!(checked.is_ok(), "{others}: {checked:?}");
    }
    for aud in [json!("miners"), json!(["others", "miners"])] {
        assert!(check(&token(&json!({ "aud": aud })), Some("miners"), None).is_ok(), "{aud}");
    }
}

#[test]
fn a_token_that_is_wrong_in_any_way_names_nobody() {
    let now = unix_now();
    for others in [
        json!({"exp": now - 10}),
        json!({"exp": null}),
        json!({"exp": "soon"}),
        json!({"nbf": now + 60}),
        json!({"iss": "https://clerk.evil.example"}),
        json!({"iss": format!("{ISSUER}/")}),
        json!({"iss": null}),
        json!({"sub": null}),
        json!({"sub": " "}),
        json!({"sub": "x".repeat(129)}),
        json!({"sub": "a\nb"}),
    ] {
        let checked = check(&token(&others), None, None);
        assert!(matches!(checked, Err(TokenError::Refused(_))), "{others}: {checked:?}");
    }
    for aud in [json!("others"), json!([]), Value::Null] {
        assert!(check(&token(&json!({ "aud": aud })), Some("miners"), None).is_err(), "{aud}");
    }
    for azp in ["https://evil.example", "http://pool.example", "https://pool.example:444", ""] {
        let checked = check(&token(&json!({ "azp": azp })), None, Some("https://pool.example"));
        assert_eq!(checked, Err(TokenError::Foreign), "{azp}");
    }
}

#[test]
fn a_token_of_another_algorithm_key_or_signature_names_nobody() {
    let with = |name: &str, value: Value| {
        let mut header = header();
        header[name] = value;
        sign(&header, &claims())
    };
    for alg in ["none", "HS256", "RS384", "PS256", "ES256", "rs256"] {
        assert_eq!(
            check(&with("alg", json!(alg)), None, None),
            Err(TokenError::Malformed),
            "{alg}"
        );
    }
    for kid in [json!("two"), Value::Null] {
        assert_eq!(check(&with("kid", kid), None, None), Err(TokenError::UnknownKey));
    }
    let good = token(&json!({}));
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (head, _) = message.split_once('.').unwrap();
    let other = part(&json!({"iss": ISSUER, "sub": "user_else", "exp": unix_now() + 60}));
    let mut flipped = URL_SAFE_NO_PAD.decode(signature).unwrap();
    flipped[100] ^= 1;
    for bad in [
        format!("{head}.{other}.{signature}"),
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(flipped)),
        format!("{message}."),
        format!("{message}.!"),
    ] {
        assert!(matches!(check(&bad, None, None), Err(TokenError::Refused(_))), "{bad}");
    }
    for bad in ["", "a.b.c", "..", message, &good.replace('.', "")] {
        assert!(check(bad, None, None).is_err(), "{bad}");
    }
}

#[test]
fn an_unknown_key_is_refused_at_once_and_asked_about_later() {
    let (clerk, served) = clerk(|_| {});
    assert!(clerk.check(&token(&json!({})), None).is_ok());
    let mut header = header();
    header["kid"] = json!("two");
    assert_eq!(clerk.check(&sign(&header, &claims()), None), Err(TokenError::UnknownKey));
    assert!(!served.was_asked(), "the keys are newer than {REFRESH_DISTANCE:?}");
    let figures = clerk.figures();
    assert_eq!((figures.keys, figures.error), (1, None));
    assert!(figures.fetched_at.is_some());
    assert!(!format!("{clerk:?}").contains("sk_live"));
}
