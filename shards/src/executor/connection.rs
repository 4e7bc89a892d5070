//! One miner's socket: what is sent to it, what is read from it, and how it ends.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::time::Duration;

use futures_lite::{AsyncRead, AsyncWrite, FutureExt};
use glommio::net::TcpStream;
use glommio::timer::sleep;
use socket2::SockRef;

use crate::admission::Admitted;
use crate::admission::reconnect::Visit;
use crate::limits::CLOSE_LINGER;
use crate::session::Session;
use crate::tally::CloseReason;

use super::Shard;
use super::outbox::Outbox;
use super::transport::Transport;

/// Bytes a closing connection may still send before it is cut off.
const LINGER_BYTES_MAX: usize = 1024 * 1024;
/// How often a closing connection looks whether its last bytes have gone.
const LINGER_POLL: Duration = Duration::from_millis(10);

/// What the tasks of a shard know of one connection.
pub(super) struct Connection {
    pub(super) key: u64,
    pub(super) session: RefCell<Session>,
    transport: RefCell<Transport>,
    stream: RefCell<TcpStream>,
    outbox: RefCell<Outbox>,
    /// The task that sends what waits is running.
    is_draining: Cell<bool>,
    /// Set once, by whoever decides that the connection must end.
    closing: Cell<Option<CloseReason>>,
    /// Nothing more can be sent.
    is_cut_off: Cell<bool>,
    /// For itself, so that it can start its own tasks.
    own: Weak<Self>,
    /// What its address is judged by; given up when the connection ends.
    visit: RefCell<Option<Visit>>,
    _admitted: Admitted,
}

impl Connection {
    pub(super) fn new(
        key: u64,
        stream: TcpStream,
        transport: Transport,
        session: Session,
        visit: Visit,
        admitted: Admitted,
    ) -> Rc<Self> {
        Rc::new_cyclic(|own| Self {
            key,
            session: RefCell::new(session),
            transport: RefCell::new(transport),
            stream: RefCell::new(stream),
            outbox: RefCell::default(),
            is_draining: Cell::new(false),
            closing: Cell::new(None),
            is_cut_off: Cell::new(false),
            own: own.clone(),
            visit: RefCell::new(Some(visit)),
            _admitted: admitted,
        })
    }

    pub(super) fn is_tls(&self) -> bool {
        self.transport.borrow().is_tls()
    }

    /// The peer does not speak it: it shall not be said goodbye to in it either.
    pub(super) fn give_up_tls(&self) {
        self.transport.replace(Transport::Plain);
    }

    /// Says `text` to the miner.
    pub(super) fn send(&self, text: &[u8], shard: &Shard) {
        if !self.is_tls() {
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
            && let (Some(connection), Some(shard)) = (self.own.upgrade(), shard.own.upgrade())
        {
            shard.clone().spawn(async move {
                connection.drain().await;
                connection.settle_owed_work(&shard);
            });
        }
    }

    /// How many bytes the socket took without waiting.
    fn send_now(&self, bytes: &[u8]) -> io::Result<usize> {
        let stream = self.stream.borrow();
        // SAFETY: the descriptor belongs to `stream`, which is borrowed for as long as it is used.
        let descriptor = unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) };
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        match SockRef::from(&descriptor).send_with_flags(bytes, flags) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            result => result,
        }
    }

    /// Sends what waits until nothing does.
    async fn drain(&self) {
        while !self.outbox.borrow().is_empty() && !self.is_cut_off.get() {
            let written = poll_fn(|context| {
                let outbox = self.outbox.borrow();
                let mut stream = self.stream.borrow_mut();
                Pin::new(&mut *stream).poll_write(context, outbox.unsent())
            })
            .await;
            match written {
                Ok(count) => self.outbox.borrow_mut().mark_sent(count),
                Err(_) => self.cut_off(CloseReason::Hangup),
            }
        }
        self.is_draining.set(false);
    }

    /// New work for this miner; while bytes wait it is owed, so that only the newest is sent.
    pub(super) fn on_work(&self, shard: &Shard) {
        if self.closing.get().is_some() {
            return;
        }
        if !self.outbox.borrow().is_empty() {
            self.outbox.borrow_mut().owe_work();
            return;
        }
        shard.with_env(self, |session, env| session.on_work(env));
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

    /// The connection has ended for `reason`: what the pool does for its own sake is not held
    /// against an address.
    fn end_visit(&self, reason: CloseReason, shard: &Shard) {
        let pools_own = matches!(reason, CloseReason::Shutdown | CloseReason::Paused);
        if let Some(visit) = self.visit.take()
            && !pools_own
        {
            visit.left(shard.now().elapsed);
        }
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

    /// The reader has ended: the first reason that was given stands.
    pub(super) fn settle_reason(&self, reason: CloseReason, shard: &Shard) -> CloseReason {
        let reason = self.closing.get().unwrap_or(reason);
        self.closing.set(Some(reason));
        self.end_visit(reason, shard);
        reason
    }

    fn shutdown(&self, how: Shutdown) {
        let stream = self.stream.borrow();
        // SAFETY: the descriptor belongs to `stream`, which is borrowed for as long as it is used.
        let descriptor = unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) };
        let _ = SockRef::from(&descriptor).shutdown(how);
    }

    /// Reads into the shard's buffer; returns how many bytes.
    pub(super) async fn read(&self, shard: &Shard) -> io::Result<usize> {
        poll_fn(|context| {
            let mut buffer = shard.read_buffer.borrow_mut();
            let mut stream = self.stream.borrow_mut();
            Pin::new(&mut *stream).poll_read(context, &mut buffer)
        })
        .await
    }

    /// Ends the socket: what waits may still go out, for a bounded time.
    pub(super) async fn finish(&self, shard: &Shard) {
        if !self.is_cut_off.get() {
            let mut goodbye = Vec::new();
            self.transport.borrow_mut().close(&mut goodbye);
            self.send_wire(&goodbye, shard);
            self.linger(shard).or(sleep(CLOSE_LINGER)).await;
        }
        self.is_cut_off.set(true);
        self.shutdown(Shutdown::Both);
        // The socket takes nothing any more: its writer ends at once, and is not left behind.
        while self.is_draining.get() {
            sleep(LINGER_POLL).await;
        }
    }

    /// Lets what waits go out and the miner's last bytes come in: a close with bytes unread is a
    /// reset, which would destroy the answer that explains it.
    async fn linger(&self, shard: &Shard) {
        while self.is_draining.get() {
            sleep(LINGER_POLL).await;
        }
        self.shutdown(Shutdown::Write);
        let mut left = LINGER_BYTES_MAX;
        while let Ok(count @ 1..) = self.read(shard).await {
            left = left.saturating_sub(count);
            if left == 0 {
                break;
            }
        }
    }
}
