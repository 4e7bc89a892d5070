//! Connections: let in or turned away, heard out about where they come from, encrypted, and handed
//! to `http`.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::{FromRawFd, IntoRawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_lite::{AsyncRead, AsyncReadExt, AsyncWrite};
use futures_rustls::TlsAcceptor;
use glommio::net::TcpStream;
use glommio::timer::sleep;
use tracing::{debug, warn};

use super::http::proxy_protocol::{self, Parsed};
use super::http::{self, HANDSHAKE_TIMEOUT, Peer, Port, within};
use super::limits::{Place, Places};

/// Before the next accept after one failed, mostly for want of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Between two log lines about connections turned away: a flood must not become a log.
const FULL_WARNING_INTERVAL: Duration = Duration::from_secs(60);
/// One read of a PROXY header.
const HEADER_READ_BYTES: usize = 256;

/// One listening socket and what is behind it.
#[derive(Clone)]
pub struct Entrance {
    pub port: Rc<Port>,
    pub tls: Option<TlsAcceptor>,
    /// Trusted proxies say the client's address before anything else.
    pub proxy_protocol: bool,
    pub places: Rc<Places>,
}

impl Entrance {
    /// One task per connection. Ends only by being cancelled.
    pub async fn accept(self, listener: TcpListener) {
        // SAFETY: the descriptor is a bound, listening TCP socket, and `into_raw_fd` gave up the
        // only ownership of it, so the new listener is the one that closes it.
        let listener = unsafe { glommio::net::TcpListener::from_raw_fd(listener.into_raw_fd()) };
        let mut warned_at: Option<Instant> = None;
        loop {
            let stream = match listener.accept().await {
                Ok(stream) => stream,
                Err(error) => {
                    warn!(component = "status", kind = "accept", %error, "connection not accepted");
                    sleep(ACCEPT_RETRY).await;
                    continue;
                }
            };
            // Fails for a connection that is over already.
            let Ok(remote) = stream.peer_addr() else { continue };
            let Some(place) = self.admit(remote) else {
                if warned_at.is_none_or(|at| at.elapsed() >= FULL_WARNING_INTERVAL) {
                    warn!(component = "status", kind = "full", %remote, "too many connections");
                    warned_at = Some(Instant::now());
                }
                continue;
            };
            let address = remote.ip().to_canonical();
            // Both wait for the other side, and so are tasks of their own. The plain one is the
            // smaller one.
            match &self.tls {
                None => glommio::spawn_local(self.clone().serve(stream, address, place)).detach(),
                Some(_) => {
                    glommio::spawn_local(self.clone().serve_tls(stream, address, place)).detach()
                }
            };
        }
    }

    /// A place, unless there is none left, or none for this address.
    fn admit(&self, remote: SocketAddr) -> Option<Place> {
        let address = remote.ip();
        let mut place = self.places.take()?;
        let may_enter = self.port.proxies.contains(address.to_canonical()) || place.claim(address);
        may_enter.then_some(place)
    }

    async fn serve(self, stream: TcpStream, address: IpAddr, mut place: Place) {
        let Some((stream, address)) = self.origin(stream, address, &mut place).await else {
            return;
        };
        http::serve(stream, Peer { address, is_tls: false }, self.port).await;
        drop(place);
    }

    async fn serve_tls(self, stream: TcpStream, address: IpAddr, mut place: Place) {
        let Some(acceptor) = &self.tls else { return };
        let Some((stream, address)) = self.origin(stream, address, &mut place).await else {
            return;
        };
        let stream = match within(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
            Ok(stream) => stream,
            Err(error) => {
                debug!(component = "status", remote = %address, %error, "no TLS");
                return;
            }
        };
        http::serve(stream, Peer { address, is_tls: true }, self.port).await;
        drop(place);
    }

    /// The stream, and the client's address where a proxy tells it. None when it does not, or when
    /// the client has too many connections.
    async fn origin(
        &self,
        stream: TcpStream,
        address: IpAddr,
        place: &mut Place,
    ) -> Option<(Begun, IpAddr)> {
        // Head and body go out as two writes; Nagle's algorithm would hold back the second.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(component = "status", remote = %address, %error, "no TCP_NODELAY");
        }
        if !self.proxy_protocol || !self.port.proxies.contains(address) {
            return Some((Begun { read: Vec::new(), stream }, address));
        }
        match within(HANDSHAKE_TIMEOUT, read_proxy_header(stream)).await {
            Ok((stream, None)) => Some((stream, address)),
            Ok((stream, Some(source))) => {
                let may_enter = self.port.proxies.contains(source) || place.claim(source);
                may_enter.then_some((stream, source))
            }
            Err(error) => {
                debug!(component = "status", remote = %address, %error, "no PROXY header");
                None
            }
        }
    }
}

async fn read_proxy_header(mut stream: TcpStream) -> io::Result<(Begun, Option<IpAddr>)> {
    let mut read = Vec::new();
    loop {
        let mut scratch = [0; HEADER_READ_BYTES];
        let count = stream.read(&mut scratch).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        read.extend_from_slice(&scratch[..count]);
        match proxy_protocol::parse(&read) {
            Ok(Parsed::Incomplete) => {}
            Ok(Parsed::Whole { bytes, source }) => {
                read.drain(..bytes);
                return Ok((Begun { read, stream }, source));
            }
            Err(proxy_protocol::Malformed) => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// A stream of which something has been read already.
struct Begun {
    read: Vec<u8>,
    stream: TcpStream,
}

impl AsyncRead for Begun {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let count = buffer.len().min(self.read.len());
        buffer[..count].copy_from_slice(&self.read[..count]);
        self.read.drain(..count);
        if self.read.is_empty() {
            self.read = Vec::new();
        }
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Begun {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(context)
    }
}
