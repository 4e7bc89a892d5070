//! The certificate of the TLS ports: made when there is none, read again when its files change,
//! without anybody who is connected noticing (`config.md` §9).

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tracing::{error, info};

/// How often the files are looked at.
const WATCH_INTERVAL: Duration = Duration::from_secs(60);
/// How long a certificate that the pool makes is valid, and how much of that it has been already:
/// a miner's clock may be behind.
const SELF_SIGNED_VALIDITY: Duration = Duration::from_secs(365 * 24 * 3600);
const SELF_SIGNED_HEAD_START: Duration = Duration::from_secs(3600);

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{} is there and {} is not: restore it, or remove both to have new ones made",
        found.display(), missing.display())]
    OneFileMissing { found: PathBuf, missing: PathBuf },
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("cannot write {}: {source}", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("certificate and key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
    #[error("cannot make a certificate: {0}")]
    Generation(#[from] rcgen::Error),
}

/// The files, and what has been read from them. New handshakes use the newest.
#[derive(Debug)]
pub struct Certificate {
    files: Files,
    current: ArcSwap<CertifiedKey>,
}

#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl Certificate {
    /// Reads the pair below the data folder, making one when there is none.
    pub fn load_or_make(data_dir: &Path) -> Result<Arc<Self>, TlsError> {
        let files =
            Files { certificate: data_dir.join("tls_cert.pem"), key: data_dir.join("tls_key.pem") };
        match (files.certificate.exists(), files.key.exists()) {
            (true, true) => {}
            (false, false) => files.make_self_signed()?,
            (true, false) => return Err(one_missing(&files.certificate, &files.key)),
            (false, true) => return Err(one_missing(&files.key, &files.certificate)),
        }
        let current = ArcSwap::from_pointee(files.read()?);
        Ok(Arc::new(Self { files, current }))
    }

    /// What a TLS port speaks with: this certificate, TLS 1.2 or newer, no client certificates.
    pub fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        Ok(Arc::new(config))
    }

    /// Looks at the files for as long as the process lives. A pair that cannot be used leaves the
    /// one in use as it is.
    pub fn watch(self: &Arc<Self>) -> io::Result<()> {
        let certificate = Arc::clone(self);
        thread::Builder::new().name("certificate".into()).spawn(move || {
            let mut stamp = certificate.files.stamp();
            loop {
                thread::sleep(WATCH_INTERVAL);
                let now = certificate.files.stamp();
                if now != stamp && certificate.reload().is_ok() {
                    stamp = now;
                }
            }
        })?;
        Ok(())
    }

    /// Reads the files again.
    pub fn reload(&self) -> Result<(), TlsError> {
        let path = self.files.certificate.display();
        match self.files.read() {
            Ok(key) => {
                self.current.store(Arc::new(key));
                info!(component = "tls", %path, "certificate reloaded");
                Ok(())
            }
            Err(error) => {
                error!(component = "tls", %path, %error, "certificate not reloaded");
                Err(error)
            }
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn one_missing(found: &Path, missing: &Path) -> TlsError {
    TlsError::OneFileMissing { found: found.to_owned(), missing: missing.to_owned() }
}

impl Files {
    fn read(&self) -> Result<CertifiedKey, TlsError> {
        let unreadable = |path: &Path, reason: &dyn std::fmt::Display| TlsError::Unreadable {
            path: path.to_owned(),
            reason: reason.to_string(),
        };
        let chain = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| unreadable(&self.certificate, &error))?;
        if chain.is_empty() {
            return Err(unreadable(&self.certificate, &"it holds no certificate"));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| unreadable(&self.key, &error))?;
        let key = CertifiedKey::from_der(chain, key, &ring::default_provider())?;
        key.keys_match()?;
        Ok(key)
    }

    /// When the two files were last changed.
    fn stamp(&self) -> [Option<SystemTime>; 2] {
        [&self.certificate, &self.key]
            .map(|path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok())
    }

    fn make_self_signed(&self) -> Result<(), TlsError> {
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "goPool self-signed");
        let now = rcgen::date_time_ymd(1970, 1, 1)
            + SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        params.not_before = now - SELF_SIGNED_HEAD_START;
        params.not_after = params.not_before + SELF_SIGNED_VALIDITY;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        write(&self.key, &key.serialize_pem(), 0o600)?;
        write(&self.certificate, &certificate.pem(), 0o644)?;
        info!(component = "tls", path = %self.certificate.display(), "self-signed certificate made");
        Ok(())
    }
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), TlsError> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|source| TlsError::Unwritable { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let first = Certificate::load_or_make(folder.path()).unwrap();
        let second = Certificate::load_or_make(folder.path()).unwrap();
        assert_eq!(first.current.load().cert, second.current.load().cert);
        first.server_config().unwrap();
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(folder.path().join("tls_key.pem")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_changed_pair_is_taken_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        let certificate = Certificate::load_or_make(folder.path()).unwrap();
        let new = Certificate::load_or_make(other.path()).unwrap();
        for file in ["tls_cert.pem", "tls_key.pem"] {
            fs::copy(other.path().join(file), folder.path().join(file)).unwrap();
        }
        certificate.reload().unwrap();
        assert_eq!(certificate.current.load().cert, new.current.load().cert);
        fs::write(folder.path().join("tls_key.pem"), "nonsense").unwrap();
        certificate.reload().unwrap_err();
        assert_eq!(certificate.current.load().cert, new.current.load().cert);
    }

    #[test]
    fn one_file_without_the_other_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("tls_cert.pem"), "x").unwrap();
        let error = Certificate::load_or_make(folder.path()).unwrap_err().to_string();
        assert!(error.contains("tls_key.pem"), "{error}");
    }
}
