//! Listener → admission → connection.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use glommio::timer::sleep;
use rustls::ServerConfig;
use socket2::SockRef;
use tracing::warn;

use crate::session::Session;

use super::connection::Connection;
use super::slice::Slice;
use super::transport::Transport;
use super::{Port, Shard, socket};

/// Pause after an accept that failed: out of descriptors, most likely, which only time mends.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Accepts until the task is dropped.
pub(super) async fn run(shard: Rc<Shard>, port: Port) {
    let Port { listener, tls } = port;
    let listener = Listening(listener);
    if let Err(error) = listener.0.set_nonblocking(true) {
        warn!(shard = shard.id, %error, "listener");
    }
    let mut slice = Slice::begin();
    loop {
        match listener.0.accept() {
            Ok((stream, address)) => {
                // The others wait in the backlog meanwhile; one is in hand, per listener.
                if let Some(limiter) = &shard.shared.limiter {
                    let wait = limiter.take(shard.now().elapsed);
                    if !wait.is_zero() {
                        shard.submit();
                        sleep(wait).await;
                    }
                }
                admit(&shard, stream, address, tls.as_ref());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // Takes those along that have just been let in.
                let ready = shard.ring.ready(listener.0.as_raw_fd(), libc::POLLIN).await;
                if let Err(error) = ready {
                    warn!(shard = shard.id, %error, "listener");
                    sleep(ACCEPT_RETRY).await;
                }
                slice = Slice::begin();
            }
            // It was gone before it was taken.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                warn!(shard = shard.id, %error, "accept failed");
                shard.submit();
                sleep(ACCEPT_RETRY).await;
            }
        }
        slice.share().await;
    }
}

/// A listener that stops listening when it is dropped, although the ring may still wait for it.
struct Listening(TcpListener);

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = SockRef::from(&self.0).shutdown(Shutdown::Both);
    }
}

/// What lets a socket in, in the order of `stratum.md` §1.2; one that is not let in is closed
/// without a word.
fn admit(
    shard: &Rc<Shard>,
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<&Arc<ServerConfig>>,
) {
    let now = shard.now();
    let settings = shard.settings.borrow().clone();
    let refuse = || shard.tally.borrow_mut().connection_refused();
    if shard.is_paused.get() {
        return refuse();
    }
    let Some(visit) = shard.shared.reconnects.admit(address.ip().into(), now.elapsed) else {
        return refuse();
    };
    let Some(admitted) = shard.shared.admission.admit(settings.connections_max) else {
        return refuse();
    };
    let transport = match tls.map(|config| Transport::tls(Arc::clone(config))).transpose() {
        Ok(transport) => transport.unwrap_or(Transport::Plain),
        Err(error) => return warn!(shard = shard.id, %error, "TLS cannot be spoken"),
    };
    socket::prepare(&stream, &settings.tcp_buffers);
    shard.tally.borrow_mut().connection_accepted();
    let session = Session::new(visit.source(), &settings, now);
    let mut connections = shard.connections.borrow_mut();
    let entry = connections.vacant_entry();
    let token = u32::try_from(entry.key()).expect("fewer sockets than descriptors");
    let descriptor = stream.as_raw_fd();
    entry.insert(Connection::new(token, stream, transport, session, visit, admitted));
    if let Err(error) = shard.ring.receive(descriptor, token) {
        warn!(shard = shard.id, %error, "a new connection cannot be read");
        connections.remove(token as usize);
    }
}
