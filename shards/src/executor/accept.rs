//! Listener → admission → connection.

use std::net::TcpListener;
use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd};
use std::rc::Rc;
use std::time::Duration;

use glommio::net::AcceptedTcpStream;
use glommio::timer::sleep;
use std::os::fd::AsRawFd;
use tracing::warn;

use crate::session::Session;

use super::connection::{self, Connection};
use super::{Shard, socket};

/// Pause after an accept that failed: out of descriptors, most likely, which only time mends.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Accepts until the task is dropped.
pub(super) async fn run(shard: Rc<Shard>, listener: TcpListener) {
    // SAFETY: the descriptor is owned, open, and given up by `into_raw_fd`.
    let listener = unsafe { glommio::net::TcpListener::from_raw_fd(listener.into_raw_fd()) };
    loop {
        match listener.shared_accept().await {
            Ok(accepted) => admit(&shard, accepted),
            Err(error) => {
                warn!(shard = shard.id, %error, "accept failed");
                sleep(ACCEPT_RETRY).await;
            }
        }
        glommio::yield_if_needed().await;
    }
}

fn admit(shard: &Rc<Shard>, accepted: AcceptedTcpStream) {
    let stream = accepted.bind_to_executor();
    // SAFETY: the descriptor belongs to `stream`, which outlives this use of it.
    socket::prepare(&unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) });
    let settings = shard.settings.borrow().clone();
    let Some(admitted) = shard.shared.admission.admit(settings.connections_max) else {
        shard.tally.borrow_mut().connection_refused();
        return;
    };
    shard.tally.borrow_mut().connection_accepted();
    let key = shard.connection_key.replace(shard.connection_key.get() + 1);
    let extranonce1 = shard.extranonces.borrow_mut().take();
    let session = Session::new(extranonce1, &settings, shard.now());
    connection::start(shard, Connection::new(key, stream, session, admitted));
}
