//! One miner's socket: what is sent to it, and how it ends.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::FutureExt;
use glommio::timer::sleep;
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use tracing::{Level, enabled, trace};

use crate::admission::Admitted;
use crate::admission::reconnect::Visit;
use crate::limits::CLOSE_LINGER;
use crate::session::{Peer, Session};
use crate::tally::CloseReason;
use crate::wire::line::Partial;

use super::outbox::Outbox;
use super::transport::Transport;
use super::{Shard, TRAFFIC};

/// Bytes a closing connection may still send before it is cut off.
const LINGER_BYTES_MAX: usize = 1024 * 1024;
/// How often a closing connection looks whether its last bytes have gone.
const LINGER_POLL: Duration = Duration::from_millis(10);

/// What the tasks of a shard know of one connection.
pub(super) struct Connection {
    /// Its place in the shard's table, and its name on the ring.
    pub(super) token: u32,
    pub(super) session: RefCell<Session>,
    /// The line that has begun and not ended.
    pub(super) partial: RefCell<Partial>,
    transport: RefCell<Transport>,
    stream: TcpStream,
    outbox: RefCell<Outbox>,
    /// Submissions of it wait for their verdict.
    pub(super) is_being_judged: Cell<bool>,
    has_been_read: Cell<bool>,
    /// The task that sends what waits is running.
    is_draining: Cell<bool>,
    /// Set once, by whoever decides that the connection must end.
    closing: Cell<Option<CloseReason>>,
    /// Its session is over.
    is_ending: Cell<bool>,
    /// The ring has nothing more to report of it.
    has_ended: Cell<bool>,
    /// Nothing more can be sent.
    is_cut_off: Cell<bool>,
    /// Bytes that came after the end and were not read.
    discarded: Cell<usize>,
    /// What its address is judged by; given up when the connection ends.
    visit: RefCell<Option<Visit>>,
    _admitted: Admitted,
}

impl Connection {
    pub(super) fn new(
        token: u32,
        stream: TcpStream,
        transport: Transport,
        session: Session,
        visit: Visit,
        admitted: Admitted,
    ) -> Rc<Self> {
        Rc::new(Self {
            token,
            session: RefCell::new(session),
            partial: RefCell::default(),
            transport: RefCell::new(transport),
            stream,
            outbox: RefCell::default(),
            is_being_judged: Cell::new(false),
            has_been_read: Cell::new(false),
            is_draining: Cell::new(false),
            closing: Cell::new(None),
            is_ending: Cell::new(false),
            has_ended: Cell::new(false),
            is_cut_off: Cell::new(false),
            discarded: Cell::new(0),
            visit: RefCell::new(Some(visit)),
            _admitted: admitted,
        })
    }

    pub(super) fn is_tls(&self) -> bool {
        self.transport.borrow().is_tls()
    }

    /// See [`super::socket::round_trip`].
    pub(super) fn round_trip(&self) -> Option<Duration> {
        super::socket::round_trip(&self.stream)
    }

    /// The other end; none once the socket is broken. Asked for rather than kept: most connections
    /// are looked at seldom.
    pub(super) fn peer(&self) -> Option<Peer> {
        let remote = self.stream.peer_addr().ok()?;
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        Some(Peer { remote, is_tls: self.is_tls(), round_trip: self.round_trip() })
    }

    /// The peer does not speak it: it shall not be said goodbye to in it either.
    pub(super) fn give_up_tls(&self) {
        self.transport.replace(Transport::Plain);
    }

    /// Says `text` to the miner.
    pub(super) fn send(&self, text: &[u8], shard: &Shard) {
        if is_traced() && !self.is_cut_off.get() {
            trace_lines("send", text);
        }
        if !self.is_tls() || text.is_empty() {
            self.send_wire(text, shard);
            return;
        }
        let mut wire = Vec::new();
        self.transport.borrow_mut().seal(text, &mut wire);
        self.send_wire(&wire, shard);
    }

    /// Turns received bytes into the miner's text; what TLS answers by itself is sent.
    pub(super) fn open(
        &self,
        received: &[u8],
        text: &mut Vec<u8>,
        shard: &Shard,
    ) -> io::Result<()> {
        let mut wire = Vec::new();
        let opened = self.transport.borrow_mut().open(received, text, &mut wire);
        self.send_wire(&wire, shard);
        opened
    }

    /// Sends `bytes` as they are: at once if nothing waits and the socket takes them, else as soon
    /// as it does.
    pub(super) fn send_wire(&self, bytes: &[u8], shard: &Shard) {
        if bytes.is_empty() || self.is_cut_off.get() {
            return;
        }
        let mut outbox = self.outbox.borrow_mut();
        let mut sent = 0;
        if outbox.is_empty() {
            match self.send_now(bytes) {
                Ok(count) => sent = count,
                Err(_) => return self.cut_off(CloseReason::Hangup),
            }
        }
        if sent == bytes.len() {
            return;
        }
        if outbox.push(&bytes[sent..], shard.now().elapsed).is_err() {
            return self.cut_off(CloseReason::OutboxFull);
        }
        if !self.is_draining.replace(true)
            && let (Some(connection), Some(shard)) =
                (shard.connection(self.token), shard.own.upgrade())
        {
            shard.clone().spawn(async move {
                connection.drain(&shard).await;
                connection.settle_owed_work(&shard);
            });
        }
    }

    /// How many bytes the socket took without waiting.
    fn send_now(&self, bytes: &[u8]) -> io::Result<usize> {
        match send(&self.stream, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Err(Errno::AGAIN) => Ok(0),
            result => result.map_err(io::Error::from),
        }
    }

    /// Sends what waits until nothing does.
    async fn drain(&self, shard: &Shard) {
        while !self.outbox.borrow().is_empty() && !self.is_cut_off.get() {
            let ready = shard.ring.ready(self.stream.as_raw_fd(), libc::POLLOUT).await;
            let sent = ready.and_then(|()| self.send_now(self.outbox.borrow().unsent()));
            match sent {
                Ok(count) => self.outbox.borrow_mut().mark_sent(count),
                Err(_) => self.cut_off(CloseReason::Hangup),
            }
        }
        self.is_draining.set(false);
    }

    /// New work for this miner; while bytes wait it is owed, so that only the newest is sent.
    /// Whether it has been told.
    pub(super) fn on_work(&self, shard: &Shard) -> bool {
        if self.closing.get().is_some() {
            return false;
        }
        if !self.outbox.borrow().is_empty() {
            self.outbox.borrow_mut().owe_work();
            return false;
        }
        shard.with_env(self, |session, env| {
            session.on_work(env);
            !env.out.is_empty()
        })
    }

    /// Work that was owed, once there is room.
    pub(super) fn settle_owed_work(&self, shard: &Shard) {
        let is_due = {
            let mut outbox = self.outbox.borrow_mut();
            outbox.is_empty() && outbox.take_owed_work()
        };
        if is_due {
            self.on_work(shard);
        }
    }

    /// Time has passed, or the miner has been authorized: its address hears of it.
    pub(super) fn look_at_visit(&self, shard: &Shard) {
        let now = shard.now().elapsed;
        if let Some(visit) = &mut *self.visit.borrow_mut() {
            if self.session.borrow().is_authorized() {
                visit.authorized(now);
            } else {
                visit.tick(now);
            }
        }
    }

    /// The connection has ended for `reason`: what the pool does by itself is not held against an
    /// address.
    fn end_visit(&self, reason: CloseReason, shard: &Shard) {
        let pools_own =
            matches!(reason, CloseReason::Shutdown | CloseReason::Paused | CloseReason::Requested);
        if let Some(visit) = self.visit.take()
            && !pools_own
        {
            visit.left(shard.now().elapsed);
        }
    }

    /// What the miner has not taken yet.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.outbox.borrow().waiting_bytes()
    }

    pub(super) fn is_overdue(&self, shard: &Shard) -> bool {
        self.outbox.borrow().is_overdue(shard.now().elapsed)
    }

    /// Ends the connection after what waits has been sent.
    pub(super) fn close(&self, reason: CloseReason) {
        if self.closing.get().is_none() {
            self.closing.set(Some(reason));
            // Its reader sees an end of stream and takes it from there.
            self.shutdown(Shutdown::Read);
        }
    }

    /// Ends the connection now.
    pub(super) fn cut_off(&self, reason: CloseReason) {
        if self.closing.get().is_none() {
            self.closing.set(Some(reason));
        }
        self.is_cut_off.set(true);
        self.shutdown(Shutdown::Both);
    }

    pub(super) fn closing(&self) -> Option<CloseReason> {
        self.closing.get()
    }

    /// Whether this is the first read; asked once for each.
    pub(super) fn is_first_read(&self) -> bool {
        !self.has_been_read.replace(true)
    }

    /// The session is over: the first reason that was given stands.
    pub(super) fn begin_end(&self, reason: CloseReason, shard: &Shard) -> CloseReason {
        let reason = self.closing.get().unwrap_or(reason);
        self.closing.set(Some(reason));
        self.is_ending.set(true);
        self.end_visit(reason, shard);
        reason
    }

    pub(super) fn is_ending(&self) -> bool {
        self.is_ending.get()
    }

    /// The ring has reported the end of what comes.
    pub(super) fn has_ended(&self) {
        self.has_ended.set(true);
    }

    /// The peer is gone and nothing waits for it: there is nothing to [`Self::finish`].
    pub(super) fn is_finished(&self) -> bool {
        self.has_ended.get() && !self.is_draining.get() && !self.is_tls()
    }

    /// What comes after the end is not looked at.
    pub(super) fn discard(&self, bytes: &[u8]) {
        self.discarded.set(self.discarded.get().saturating_add(bytes.len()));
    }

    fn shutdown(&self, how: Shutdown) {
        let _ = self.stream.shutdown(how);
    }

    /// Ends the socket: what waits may still go out, for a bounded time.
    pub(super) async fn finish(&self, shard: &Shard) {
        if !self.is_cut_off.get() {
            let mut goodbye = Vec::new();
            self.transport.borrow_mut().close(&mut goodbye);
            self.send_wire(&goodbye, shard);
            self.linger().or(sleep(CLOSE_LINGER)).await;
        }
        self.is_cut_off.set(true);
        self.shutdown(Shutdown::Both);
        // The socket takes and gives nothing any more: its writer and the ring are done with it
        // at once.
        while self.is_draining.get() || !self.has_ended.get() {
            sleep(LINGER_POLL).await;
        }
    }

    /// Lets what waits go out and the miner's last bytes come in: a close with bytes unread is a
    /// reset, which would destroy the answer that explains it.
    async fn linger(&self) {
        while self.is_draining.get() {
            sleep(LINGER_POLL).await;
        }
        self.shutdown(Shutdown::Write);
        while !self.has_ended.get() && self.discarded.get() < LINGER_BYTES_MAX {
            sleep(LINGER_POLL).await;
        }
    }
}

/// Whether anyone wants to know what is said. Usually not, and then it costs one load.
pub(super) fn is_traced() -> bool {
    enabled!(target: TRAFFIC, Level::TRACE)
}

/// Tells of the lines in `text`: `recv` what a miner says, `send` what it is told. What was not
/// cut into lines, because it never ended, is not told of.
#[cold]
pub(super) fn trace_lines(direction: &'static str, text: &[u8]) {
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        trace!(target: TRAFFIC, direction, bytes = line);
    }
}
