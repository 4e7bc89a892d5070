//! The certificate of the TLS ports: made when there is none, made anew before it ends, read again
//! when its files change, without anybody who is connected noticing (`config.md` §9).
//!
//! What an operator has put there is never written to: when it ends, the log says so every day.

mod pair;
mod self_signed;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tracing::{error, info, warn};

use pair::{Files, Stamp};

/// How often the files are looked at.
const WATCH_INTERVAL: Duration = Duration::from_secs(60);
/// How often the end is looked at, and files that could not be used are tried again.
const TERM_INTERVAL: Duration = Duration::from_secs(3600);
/// An own certificate is made anew when it has no more than this left: miners that pin one get a
/// month of both, and a disk that takes nothing has as long to be mended.
const RENEWAL_DAYS: i64 = 30;
/// From when on an operator's certificate is worth a warning: certbot renews a month before the end,
/// so by now it has failed for two weeks.
const WARNING_DAYS: i64 = 14;
const WARNING_INTERVAL: Duration = Duration::from_secs(24 * 3600);
const DAY_SECONDS: i64 = 24 * 3600;

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

/// What the watching thread remembers.
#[derive(Debug, Default)]
struct Watch {
    /// The files when they were last read, with or without success.
    stamp: Stamp,
    has_failed: bool,
    looked_at: Option<SystemTime>,
    warned_at: Option<SystemTime>,
}

impl Certificate {
    /// Reads the pair below the data folder, making one when there is none, or when the one that
    /// the pool has made itself is about to end.
    pub fn load_or_make(data_dir: &Path) -> Result<Arc<Self>, TlsError> {
        Self::open(data_dir, SystemTime::now())
    }

    fn open(data_dir: &Path, now: SystemTime) -> Result<Arc<Self>, TlsError> {
        let files = Files::in_folder(data_dir);
        files.recover()?;
        if !files.exist()? {
            files.replace(&self_signed::make(now)?)?;
            let path = files.certificate.display();
            info!(component = "tls", %path, "self-signed certificate made");
        }
        let current = ArcSwap::from_pointee(files.read()?);
        let certificate = Self { files, current };
        certificate.renew_if_due(now);
        Ok(Arc::new(certificate))
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

    /// Looks at the files, and at the end of what is in them, for as long as the process lives. A
    /// pair that cannot be used leaves the one in use as it is.
    pub fn watch(self: &Arc<Self>) -> io::Result<()> {
        let certificate = Arc::clone(self);
        let mut watch = Watch { stamp: self.files.stamp(), ..Watch::default() };
        info!(
            component = "tls",
            path = %self.files.certificate.display(),
            days_left = self.days_left(SystemTime::now()),
            interval_s = WATCH_INTERVAL.as_secs(),
            "certificate in use, and reloaded when its files change"
        );
        thread::Builder::new().name("certificate".into()).spawn(move || {
            loop {
                certificate.turn(&mut watch, SystemTime::now());
                thread::sleep(WATCH_INTERVAL);
            }
        })?;
        Ok(())
    }

    /// One look.
    fn turn(&self, watch: &mut Watch, now: SystemTime) {
        let stamp = self.files.stamp();
        let is_time = has_passed(watch.looked_at, TERM_INTERVAL, now);
        if stamp != watch.stamp || (watch.has_failed && is_time) {
            watch.has_failed = self.reload().is_err();
            watch.warned_at = None;
        } else if !is_time {
            return;
        }
        // Before the files are read another time: what changes meanwhile is seen at the next look.
        watch.stamp = stamp;
        watch.looked_at = Some(now);
        if self.renew_if_due(now) {
            watch.stamp = self.files.stamp();
        }
        self.warn_if_due(watch, now);
    }

    /// Reads the files again.
    pub fn reload(&self) -> Result<(), TlsError> {
        let path = self.files.certificate.display();
        match self.files.read() {
            Ok(key) => {
                self.current.store(Arc::new(key));
                let days_left = self.days_left(SystemTime::now());
                info!(component = "tls", %path, days_left, "certificate reloaded");
                Ok(())
            }
            Err(error) => {
                error!(component = "tls", %path, %error, "certificate not reloaded");
                Err(error)
            }
        }
    }

    /// Puts a new pair in the place of one that the pool has made and that is about to end. Returns
    /// whether it did.
    fn renew_if_due(&self, now: SystemTime) -> bool {
        // Of the file, not of what is in use: an operator may have put theirs there just now.
        let Ok(pair) = self.files.read() else { return false };
        let Some(facts) = pair.cert.first().and_then(self_signed::read) else { return false };
        let days_left = days_until(facts.ends_at, now);
        // A link is an operator's, whatever it leads to.
        if days_left > RENEWAL_DAYS || !facts.is_own || self.files.are_links() {
            return false;
        }
        let path = self.files.certificate.display();
        let made = self_signed::make(now).map_err(TlsError::from);
        match made.and_then(|pem| self.files.replace(&pem)) {
            Ok(()) => {
                info!(component = "tls", %path, days_left, "self-signed certificate renewed");
                self.reload().is_ok()
            }
            Err(error) => {
                error!(component = "tls", %path, days_left, %error, "certificate not renewed");
                false
            }
        }
    }

    /// Says once a day that the certificate in use has ended or soon will.
    fn warn_if_due(&self, watch: &mut Watch, now: SystemTime) {
        let Some(days_left) = self.days_left(now).filter(|days| *days < WARNING_DAYS) else {
            return;
        };
        if !has_passed(watch.warned_at, WARNING_INTERVAL, now) {
            return;
        }
        watch.warned_at = Some(now);
        let path = self.files.certificate.display();
        if days_left < 0 {
            warn!(component = "tls", %path, days_left, "the certificate has ended: replace its files");
        } else {
            warn!(component = "tls", %path, days_left, "the certificate ends soon: replace its files");
        }
    }

    /// Whole days until the certificate in use ends, negative when it has.
    fn days_left(&self, now: SystemTime) -> Option<i64> {
        let facts = self.current.load().cert.first().and_then(self_signed::read)?;
        Some(days_until(facts.ends_at, now))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn days_until(unix_seconds: i64, now: SystemTime) -> i64 {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
    (unix_seconds - now).div_euclid(DAY_SECONDS)
}

/// A clock that was set back counts as time that has passed.
fn has_passed(since: Option<SystemTime>, interval: Duration, now: SystemTime) -> bool {
    since.is_none_or(|since| now.duration_since(since).map_or(true, |passed| passed >= interval))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const DAY: Duration = Duration::from_secs(DAY_SECONDS as u64);

    fn served(certificate: &Certificate) -> Vec<u8> {
        certificate.current.load().cert[0].to_vec()
    }

    /// An operator's certificate that ends in so many days.
    #[track_caller]
    fn of_an_operator(folder: &Path, days: i32) {
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        params.not_after =
            rcgen::date_time_ymd(1970, 1, 1) + now + Duration::from_secs(60) + DAY * 100;
        params.not_after -= DAY * u32::try_from(100 - days).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        fs::write(folder.join("tls_cert.pem"), certificate.pem()).unwrap();
        fs::write(folder.join("tls_key.pem"), key.serialize_pem()).unwrap();
    }

    #[track_caller]
    fn contents(folder: &Path) -> [Vec<u8>; 2] {
        ["tls_cert.pem", "tls_key.pem"].map(|name| fs::read(folder.join(name)).unwrap())
    }

    #[test]
    fn an_own_certificate_is_renewed_a_month_before_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let made_at = SystemTime::now();
        let certificate = Certificate::open(folder.path(), made_at).unwrap();
        let first = served(&certificate);
        let mut watch = Watch { stamp: certificate.files.stamp(), ..Watch::default() };
        // It is valid for 365 days less one hour: 30 whole days are left after 334.
        certificate.turn(&mut watch, made_at + DAY * 333);
        assert_eq!(served(&certificate), first);
        let late = made_at + DAY * 334;
        certificate.turn(&mut watch, late);
        let second = served(&certificate);
        assert_ne!(second, first, "new handshakes use the new one at once");
        assert_eq!(certificate.days_left(late), Some(364));
        assert_eq!(certificate.files.read().unwrap().cert[0].to_vec(), second);
        assert_eq!(watch.stamp, certificate.files.stamp(), "no change that is still to be read");
        certificate.turn(&mut watch, late + DAY);
        assert_eq!(served(&certificate), second);
    }

    #[test]
    fn the_end_is_looked_at_once_an_hour() {
        let folder = tempfile::tempdir().unwrap();
        let certificate = Certificate::open(folder.path(), SystemTime::now()).unwrap();
        let first = served(&certificate);
        let late = SystemTime::now() + DAY * 400;
        let mut watch =
            Watch { stamp: certificate.files.stamp(), looked_at: Some(late), ..Watch::default() };
        certificate.turn(&mut watch, late + TERM_INTERVAL - Duration::from_secs(1));
        assert_eq!(served(&certificate), first);
        certificate.turn(&mut watch, late + TERM_INTERVAL);
        assert_ne!(served(&certificate), first);
    }

    #[test]
    fn one_that_ends_soon_is_renewed_at_the_start_and_when_it_is_put_there() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::in_folder(folder.path());
        let old = || self_signed::make(SystemTime::now() - DAY * 400).unwrap();
        files.replace(&old()).unwrap();
        let certificate = Certificate::load_or_make(folder.path()).unwrap();
        assert_eq!(certificate.days_left(SystemTime::now()), Some(364));

        let mut watch = Watch { stamp: files.stamp(), ..Watch::default() };
        certificate.turn(&mut watch, SystemTime::now());
        let before = served(&certificate);
        files.replace(&old()).unwrap();
        certificate.turn(&mut watch, SystemTime::now());
        assert_ne!(served(&certificate), before);
        assert_eq!(certificate.days_left(SystemTime::now()), Some(364));
    }

    #[test]
    fn an_operators_certificate_is_left_alone_and_warned_about_once_a_day() {
        let folder = tempfile::tempdir().unwrap();
        of_an_operator(folder.path(), -3);
        let before = contents(folder.path());
        let certificate = Certificate::load_or_make(folder.path()).unwrap();
        let now = SystemTime::now();
        assert_eq!(certificate.days_left(now), Some(-3));
        let mut watch = Watch { stamp: certificate.files.stamp(), ..Watch::default() };
        for (hour, warned_hour) in [(0, 0), (1, 0), (23, 0), (24, 24), (47, 24), (48, 48)] {
            certificate.turn(&mut watch, now + TERM_INTERVAL * hour);
            assert_eq!(watch.warned_at, Some(now + TERM_INTERVAL * warned_hour), "hour {hour}");
        }
        assert_eq!(contents(folder.path()), before);

        // One with weeks to go is nobody's concern.
        of_an_operator(folder.path(), 20);
        certificate.turn(&mut watch, now + TERM_INTERVAL * 100);
        assert_eq!(watch.warned_at, None);
    }

    #[test]
    fn a_link_is_an_operators_whatever_it_leads_to() {
        let [folder, elsewhere] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let files = Files::in_folder(elsewhere.path());
        files.replace(&self_signed::make(SystemTime::now() - DAY * 360).unwrap()).unwrap();
        for name in ["tls_cert.pem", "tls_key.pem"] {
            std::os::unix::fs::symlink(elsewhere.path().join(name), folder.path().join(name))
                .unwrap();
        }
        let before = contents(elsewhere.path());
        let certificate = Certificate::load_or_make(folder.path()).unwrap();
        assert_eq!(contents(elsewhere.path()), before);
        assert!(certificate.files.are_links());
        assert_eq!(certificate.days_left(SystemTime::now()), Some(4));
    }

    #[test]
    fn files_that_cannot_be_used_are_tried_again_when_they_change_and_each_hour() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let certificate = Certificate::open(folder.path(), now).unwrap();
        let first = served(&certificate);
        let mut watch = Watch { stamp: certificate.files.stamp(), ..Watch::default() };
        certificate.turn(&mut watch, now);
        let path = certificate.files.key.clone();
        let key = fs::read(&path).unwrap();
        // Of one size and one date: they cannot be told apart without being read.
        let put = |contents: &[u8]| {
            fs::write(&path, contents).unwrap();
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        };
        put(&vec![b'x'; key.len()]);
        certificate.turn(&mut watch, now);
        assert!(watch.has_failed);
        assert_eq!(served(&certificate), first);
        put(&key);
        certificate.turn(&mut watch, now + WATCH_INTERVAL);
        assert!(watch.has_failed);
        certificate.turn(&mut watch, now + TERM_INTERVAL);
        assert!(!watch.has_failed);
    }

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
