//! The two files on disk. They are always a pair: what is read is checked to belong together, and
//! what is written survives a crash at any point.
//!
//! A new pair is first written beside the old one, as `….next`, and then put in its place, the
//! certificate before the key. So a start that finds leftovers knows how far it came:
//!
//! | found                                            | what had happened      | so                |
//! |--------------------------------------------------|------------------------|-------------------|
//! | both `.next`, or one that fits no certificate    | nothing was replaced   | they are removed  |
//! | the key's `.next`, and it fits the certificate   | the key was not moved  | it is moved       |

use std::fmt::Display;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use tracing::info;

use super::TlsError;
use crate::whole_file;

const CERTIFICATE_MODE: u32 = 0o644;
const KEY_MODE: u32 = 0o600;

/// Where certificate and key are.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// Date, size and inode of each: one tick of the clock has room for two changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp([Option<(SystemTime, u64, u64)>; 2]);

/// A certificate and its key as text.
#[derive(Debug)]
pub(super) struct Pem {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Files {
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self { certificate: folder.join("tls_cert.pem"), key: folder.join("tls_key.pem") }
    }

    /// Whether there is a pair. One file without the other is an error: whose it was is not known,
    /// so nothing may be put in its place.
    pub(super) fn exist(&self) -> Result<bool, TlsError> {
        let missing = |found: &Path, missing: &Path| TlsError::OneFileMissing {
            found: found.to_owned(),
            missing: missing.to_owned(),
        };
        match (self.certificate.exists(), self.key.exists()) {
            (true, true) => Ok(true),
            (false, false) => Ok(false),
            (true, false) => Err(missing(&self.certificate, &self.key)),
            (false, true) => Err(missing(&self.key, &self.certificate)),
        }
    }

    /// Somebody has them elsewhere and has put a link here, as certbot's users do.
    pub(super) fn are_links(&self) -> bool {
        [&self.certificate, &self.key].into_iter().any(|path| path.is_symlink())
    }

    pub(super) fn read(&self) -> Result<CertifiedKey, TlsError> {
        self.read_with(&self.key)
    }

    fn read_with(&self, key: &Path) -> Result<CertifiedKey, TlsError> {
        let chain = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| unreadable(&self.certificate, &error))?;
        if chain.is_empty() {
            return Err(unreadable(&self.certificate, &"it holds no certificate"));
        }
        let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
        let key = CertifiedKey::from_der(chain, key, &ring::default_provider())?;
        key.keys_match()?;
        Ok(key)
    }

    /// Differs when one of the two has changed.
    pub(super) fn stamp(&self) -> Stamp {
        Stamp([&self.certificate, &self.key].map(|path| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
        }))
    }

    /// Puts a new pair in the place of what is there, if anything.
    pub(super) fn replace(&self, pem: &Pem) -> Result<(), TlsError> {
        let [certificate, key] = self.next();
        write(&key, &pem.key, KEY_MODE)?;
        write(&certificate, &pem.certificate, CERTIFICATE_MODE)?;
        self.sync_folder()?;
        rename(&certificate, &self.certificate)?;
        rename(&key, &self.key)?;
        self.sync_folder()
    }

    /// Ends what a crash has interrupted.
    pub(super) fn recover(&self) -> Result<(), TlsError> {
        let [certificate, key] = self.next();
        if key.exists() && !certificate.exists() && self.read_with(&key).is_ok() {
            rename(&key, &self.key)?;
            let path = self.key.display();
            info!(component = "tls", %path, "an interrupted change of the certificate is completed");
            return self.sync_folder();
        }
        for path in [certificate, key] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(TlsError::Unwritable { path, source: error });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn next(&self) -> [PathBuf; 2] {
        [&self.certificate, &self.key].map(|path| path.with_extension("pem.next"))
    }

    /// Names are as durable as contents only after this.
    fn sync_folder(&self) -> Result<(), TlsError> {
        let folder = self.certificate.parent().unwrap_or(Path::new("."));
        whole_file::sync_folder_of(&self.certificate).map_err(|source| unwritable(folder, source))
    }
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), TlsError> {
    whole_file::make(path, text.as_bytes(), mode).map_err(|source| unwritable(path, source))
}

fn rename(from: &Path, to: &Path) -> Result<(), TlsError> {
    fs::rename(from, to).map_err(|source| unwritable(to, source))
}

fn unreadable(path: &Path, reason: &dyn Display) -> TlsError {
    TlsError::Unreadable { path: path.to_owned(), reason: reason.to_string() }
}

fn unwritable(path: &Path, source: io::Error) -> TlsError {
    TlsError::Unwritable { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::super::self_signed;
    use super::*;

    fn new_pair() -> Pem {
        self_signed::make(SystemTime::now()).unwrap()
    }

    /// What each of the four files holds when the pool is started, what of the pair is there then,
    /// and whether it is usable.
    #[track_caller]
    fn check(found: [Option<&str>; 4], expected: [Option<&str>; 2]) {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::in_folder(folder.path());
        let [certificate_next, key_next] = files.next();
        let paths = [&files.certificate, &files.key, &certificate_next, &key_next];
        for (path, text) in paths.iter().zip(found) {
            if let Some(text) = text {
                fs::write(path, text).unwrap();
            }
        }
        files.recover().unwrap();
        let left = [&files.certificate, &files.key].map(|path| fs::read_to_string(path).ok());
        assert_eq!(left.each_ref().map(Option::as_deref), expected);
        assert!(!certificate_next.exists() && !key_next.exists());
        if files.exist().unwrap() {
            files.read().unwrap();
        }
    }

    #[test]
    fn a_crash_at_any_point_leaves_the_old_pair_or_the_new_one() {
        let (old, new) = (new_pair(), new_pair());
        let [oc, ok] = [&old.certificate, &old.key].map(|text| Some(text.as_str()));
        let [nc, nk] = [&new.certificate, &new.key].map(|text| Some(text.as_str()));
        let torn = Some("-----BEGIN");
        for ([c, k], [before_c, before_k]) in [([oc, ok], [oc, ok]), ([None, None], [None, None])] {
            check([c, k, None, None], [before_c, before_k]);
            check([c, k, None, torn], [before_c, before_k]);
            check([c, k, None, nk], [before_c, before_k]);
            check([c, k, torn, nk], [before_c, before_k]);
            check([c, k, nc, nk], [before_c, before_k]);
            // From the first rename on it is the new one.
            check([nc, k, None, nk], [nc, nk]);
        }
        check([nc, nk, None, None], [nc, nk]);
    }

    #[test]
    fn what_is_written_is_what_is_read_and_the_key_is_the_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let files = Files::in_folder(folder.path());
        for _ in 0..2 {
            files.replace(&new_pair()).unwrap();
            files.read().unwrap();
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&files.key), KEY_MODE);
            assert_eq!(mode(&files.certificate), CERTIFICATE_MODE);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        }
    }

    #[test]
    fn a_certificate_and_anothers_key_are_no_pair() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::in_folder(folder.path());
        files.replace(&new_pair()).unwrap();
        fs::write(&files.key, new_pair().key).unwrap();
        files.read().unwrap_err();
    }
}
