//! The miner's end of Stratum over TLS: it trusts one certificate and nobody else.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use crate::stratum::{self, ANSWER_LIMIT, Connection, Stream};

pub type TlsStream = StreamOwned<ClientConnection, TcpStream>;

impl Stream for TlsStream {
    fn wait_at_most(&self, limit: Duration) -> io::Result<()> {
        self.sock.set_read_timeout(Some(limit))
    }

    fn end_writing(&mut self) -> io::Result<()> {
        self.conn.send_close_notify();
        self.conn.complete_io(&mut self.sock)?;
        self.sock.end_writing()
    }
}

/// The certificate in a file.
#[track_caller]
pub fn certificate(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).unwrap_or_else(|e| panic!("read {}: {e}", path.display()))
}

pub fn config(
    trusted: CertificateDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("versions of TLS")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// Shakes hands with who has the `trusted` certificate, as `name`.
pub fn handshake(
    address: SocketAddr,
    trusted: CertificateDer<'static>,
    name: &'static str,
    versions: &[&'static SupportedProtocolVersion],
) -> io::Result<TlsStream> {
    let name = ServerName::try_from(name).expect("a name");
    let connection =
        ClientConnection::new(config(trusted, versions), name).map_err(io::Error::other)?;
    let stream = stratum::connect(address)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    let mut tls = StreamOwned::new(connection, stream);
    while tls.conn.is_handshaking() {
        tls.conn.complete_io(&mut tls.sock)?;
    }
    Ok(tls)
}

/// A connection to who has the certificate in the file `trusted`.
#[track_caller]
pub fn open(address: SocketAddr, trusted: &Path) -> Connection {
    let tls = handshake(address, certificate(trusted), "127.0.0.1", rustls::ALL_VERSIONS);
    Connection::over(tls.unwrap_or_else(|error| panic!("TLS with {address}: {error}")))
}
