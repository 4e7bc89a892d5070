//! Listener → admission → connection.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use glommio::net::AcceptedTcpStream;
use glommio::timer::sleep;
use rustls::ServerConfig;
use tracing::warn;

use crate::session::Session;

use super::connection::Connection;
use super::transport::Transport;
use super::{Port, Shard, serve, socket};

/// Pause after an accept that failed: out of descriptors, most likely, which only time mends.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Accepts until the task is dropped.
pub(super) async fn run(shard: Rc<Shard>, port: Port) {
    let Port { listener, tls } = port;
    // SAFETY: the descriptor is owned, open, and given up by `into_raw_fd`.
    let listener = unsafe { glommio::net::TcpListener::from_raw_fd(listener.into_raw_fd()) };
    loop {
        match listener.shared_accept().await {
            Ok(accepted) => {
                // The others wait in the backlog meanwhile; one is in hand, per listener.
                if let Some(limiter) = &shard.shared.limiter {
                    let wait = limiter.take(shard.now().elapsed);
                    if !wait.is_zero() {
                        sleep(wait).await;
                    }
                }
                admit(&shard, accepted, tls.as_ref());
            }
            Err(error) => {
                warn!(shard = shard.id, %error, "accept failed");
                sleep(ACCEPT_RETRY).await;
            }
        }
        glommio::yield_if_needed().await;
    }
}

/// What lets a socket in, in the order of `stratum.md` §1.2; one that is not let in is closed
/// without a word.
fn admit(shard: &Rc<Shard>, accepted: AcceptedTcpStream, tls: Option<&Arc<ServerConfig>>) {
    let address = accepted.peer_addr();
    let stream = accepted.bind_to_executor();
    let Ok(address) = address else {
        return;
    };
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
    // SAFETY: the descriptor belongs to `stream`, which outlives this use of it.
    let descriptor = unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) };
    socket::prepare(&descriptor, &settings.tcp_buffers);
    shard.tally.borrow_mut().connection_accepted();
    let key = shard.connection_key.replace(shard.connection_key.get() + 1);
    let session = Session::new(visit.source(), &settings, now);
    let connection = Connection::new(key, stream, transport, session, visit, admitted);
    shard.connections.borrow_mut().insert(key, Rc::clone(&connection));
    shard.spawn(serve::run(Rc::clone(shard), connection));
}
