//! Whom the certificates of services must be signed by.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tracing::warn;
use ureq::tls::Certificate;

pub struct Roots {
    pub certificates: Arc<Vec<Certificate<'static>>>,
    store: RootCertStore,
}

/// What the system trusts, or `SSL_CERT_FILE` says, and what Mozilla does: a container may have no
/// list of its own, and a company one that nobody else has.
pub fn trusted() -> Roots {
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        warn!(component = "outgoing", %error, "a certificate that the system trusts cannot be read");
    }
    let bundled = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned();
    Roots::of(system.certs.into_iter().chain(bundled))
}

impl Roots {
    pub fn of(all: impl IntoIterator<Item = CertificateDer<'static>>) -> Self {
        let all: Vec<CertificateDer<'static>> = all.into_iter().collect();
        let mut store = RootCertStore::empty();
        // What rustls cannot use it leaves out, which is as good as not trusting it.
        store.add_parsable_certificates(all.iter().cloned());
        let certificates = all.iter().map(|it| Certificate::from_der(it).to_owned()).collect();
        Self { certificates: Arc::new(certificates), store }
    }

    pub fn client_config(self) -> Arc<ClientConfig> {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has what TLS 1.2 and 1.3 need")
            .with_root_certificates(self.store)
            .with_no_client_auth();
        Arc::new(config)
    }
}
