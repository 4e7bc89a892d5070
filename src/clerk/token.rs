//! A session token: a JWT (RFC 7519) that Clerk has signed with RS256 (RFC 7518 §3.3), checked here
//! without asking anybody (`state-and-services.md` §14.3).

use std::sync::Once;

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, Validation, decode, decode_header};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde::Deserialize;
use signature::Verifier;

/// Clocks differ a little.
const LEEWAY_SECONDS: u64 = 5;
/// Longer ids are nobody's; they are kept in the database.
const ID_BYTES_MAX: usize = 128;

/// What must be so of a token, beside its signature.
#[derive(Clone, Debug)]
pub struct Rules {
    pub issuer: String,
    pub audience: Option<String>,
}

/// Who a token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub user_id: String,
    /// Clerk's id of it; empty when the token has none.
    pub session_id: String,
    /// Unix seconds.
    pub expires_at: u64,
}

/// Why it speaks for nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("it is no token of RS256")]
    Malformed,
    /// Perhaps a newer one: the keys are worth another look.
    #[error("it is signed with a key that is not known")]
    UnknownKey,
    #[error("it does not hold: {0}")]
    Refused(String),
    #[error("it is for other pages than these")]
    Foreign,
    #[error("its session has been ended here")]
    Ended,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    #[serde(default)]
    sid: String,
    exp: u64,
    /// The origin that it was made for.
    azp: Option<String>,
}

impl Rules {
    /// `key_of` finds a key by its `kid`; `origin` is where our pages are, as `https://pool.example`.
    pub fn check(
        &self,
        token: &str,
        origin: Option<&str>,
        key_of: impl FnOnce(&str) -> Option<DecodingKey>,
    ) -> Result<Session, TokenError> {
        install_rs256();
        let header = decode_header(token).map_err(|_| TokenError::Malformed)?;
        if header.alg != Algorithm::RS256 {
            return Err(TokenError::Malformed);
        }
        let key = header.kid.as_deref().and_then(key_of).ok_or(TokenError::UnknownKey)?;
        let refused = |error: Error| TokenError::Refused(error.to_string());
        let claims: Claims = decode(token, &key, &self.validation()).map_err(refused)?.claims;
        // Pages elsewhere have tokens of the same users, which are not for us.
        if let (Some(azp), Some(origin)) = (&claims.azp, origin)
            && !azp.eq_ignore_ascii_case(origin)
        {
            return Err(TokenError::Foreign);
        }
        let is_id = |id: &str| id.len() <= ID_BYTES_MAX && !id.chars().any(char::is_control);
        let user_id = claims.sub.trim();
        if user_id.is_empty() || !is_id(user_id) || !is_id(&claims.sid) {
            return Err(TokenError::Refused("it names nobody".to_owned()));
        }
        Ok(Session { user_id: user_id.to_owned(), session_id: claims.sid, expires_at: claims.exp })
    }

    fn validation(&self) -> Validation {
        let mut validation = Validation::new(Algorithm::RS256);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        match &self.audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                validation.required_spec_claims.insert("aud".to_owned());
            }
            None => validation.validate_aud = false,
        }
        validation
    }
}

/// The library leaves cryptography to its users. Ours knows one algorithm, and only how to verify.
fn install_rs256() {
    static PROVIDER: CryptoProvider = CryptoProvider {
        signer_factory: |_, _| Err(ErrorKind::InvalidAlgorithm.into()),
        verifier_factory: |algorithm, key| match algorithm {
            Algorithm::RS256 => Ok(Box::new(Rs256(key.clone()))),
            _ => Err(ErrorKind::InvalidAlgorithm.into()),
        },
        key_utils: KeyUtils::new_unimplemented(),
    };
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // Nobody else installs one.
        let _installed = PROVIDER.install_default();
    });
}

struct Rs256(DecodingKey);

impl JwtVerifier for Rs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}

impl Verifier<Vec<u8>> for Rs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let DecodingKeyKind::RsaModulusExponent { n, e } = self.0.kind() else {
            return Err(signature::Error::new());
        };
        let key = RsaPublicKeyComponents { n, e };
        key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            .map_err(|_| signature::Error::new())
    }
}
