//! Certificates that the pool makes for itself, and how it knows them again (`config.md` §9.2).

use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::pair::Pem;

/// Subject and issuer.
const COMMON_NAME: &str = "goPool self-signed";
/// How long one is valid, and how much of that has passed when it is made: a miner's clock may be
/// behind.
const VALIDITY: Duration = Duration::from_secs(365 * 24 * 3600);
const HEAD_START: Duration = Duration::from_secs(3600);

/// Makes a pair that is valid from about `now` on.
pub(super) fn make(now: SystemTime) -> Result<Pem, rcgen::Error> {
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, COMMON_NAME);
    let now = rcgen::date_time_ymd(1970, 1, 1)
        + now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    params.not_before = now - HEAD_START;
    params.not_after = params.not_before + VALIDITY;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(Pem { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// What a certificate says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// Unix seconds.
    pub(super) ends_at: i64,
    /// The pool has made it: it may make another in its place. Everybody else's is theirs.
    pub(super) is_own: bool,
}

/// None when it is in a form that the library does not know; TLS may still work with it.
pub(super) fn read(certificate: &CertificateDer<'_>) -> Option<Facts> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let mut names = certificate.subject().iter_common_name();
    let is_named =
        names.next().is_some_and(|name| name.as_str().is_ok_and(|name| name == COMMON_NAME))
            && certificate.subject() == certificate.issuer();
    Some(Facts {
        ends_at: certificate.validity().not_after.timestamp(),
        // An authority may call itself so; only the key itself can have signed its certificate.
        is_own: is_named && certificate.verify_signature(None).is_ok(),
    })
}

#[cfg(test)]
mod tests {
    use rcgen::Issuer;
    use rustls::pki_types::pem::PemObject;

    use super::*;

    fn facts(pem: &str) -> Facts {
        read(&CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap()
    }

    fn named(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    }

    #[test]
    fn one_that_was_made_here_is_known_again() {
        let now = SystemTime::now();
        let Facts { ends_at, is_own } = facts(&make(now).unwrap().certificate);
        let made_at = now.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(ends_at, (made_at - HEAD_START + VALIDITY).as_secs() as i64);
        assert!(is_own);
    }

    #[test]
    fn one_of_another_name_or_signed_by_another_key_is_not_ours() {
        let key = KeyPair::generate().unwrap();
        assert!(!facts(&named("pool.example").self_signed(&key).unwrap().pem()).is_own);
        assert!(facts(&named(COMMON_NAME).self_signed(&key).unwrap().pem()).is_own);
        let authority_key = KeyPair::generate().unwrap();
        let authority = Issuer::new(named(COMMON_NAME), authority_key);
        assert!(!facts(&named(COMMON_NAME).signed_by(&key, &authority).unwrap().pem()).is_own);
    }
}
