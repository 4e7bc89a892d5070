//! One miner: bytes → lines → requests → session → outbox.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::pin::Pin;
use std::rc::Rc;

use futures_lite::{AsyncRead, AsyncWrite, FutureExt};
use glommio::net::TcpStream;
use glommio::timer::sleep;
use socket2::SockRef;
use tracing::debug;

use crate::admission::Admitted;
use crate::limits::CLOSE_LINGER;
use crate::link::Sent;
use crate::session::{Next, Session};
use crate::share::Solved;
use crate::tally::CloseReason;
use crate::wire::line::Partial;
use crate::wire::request::Request;

use super::Shard;
use super::outbox::Outbox;

/// How long a block waits before it tries control's queue again.
const SOLVED_RETRY: std::time::Duration = std::time::Duration::from_millis(1);
/// Bytes a closing connection may still send before it is cut off.
const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// What the tasks of a shard know of one connection.
pub(super) struct Connection {
    pub(super) key: u64,
    pub(super) session: RefCell<Session>,
    stream: RefCell<TcpStream>,
    outbox: RefCell<Outbox>,
    /// The task that sends what waits is running.
    is_draining: Cell<bool>,
    /// Set once, by whoever decides that the connection must end.
    closing: Cell<Option<CloseReason>>,
    /// For itself, so that it can start its own tasks.
    own: std::rc::Weak<Self>,
    _admitted: Admitted,
}

impl Connection {
    pub(super) fn new(
        key: u64,
        stream: TcpStream,
        session: Session,
        admitted: Admitted,
    ) -> Rc<Self> {
        Rc::new_cyclic(|own| Self {
            key,
            session: RefCell::new(session),
            stream: RefCell::new(stream),
            outbox: RefCell::default(),
            is_draining: Cell::new(false),
            closing: Cell::new(None),
            own: own.clone(),
            _admitted: admitted,
        })
    }

    /// Sends `bytes`: at once if nothing waits and the socket takes them, else as soon as it does.
    pub(super) fn send(&self, bytes: &[u8], shard: &Shard) {
        if bytes.is_empty() || self.is_cut_off() {
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
            && let Some(connection) = self.own.upgrade()
        {
            spawn(shard, async move { connection.drain().await });
        }
    }

    /// How many bytes the socket took without waiting.
    fn send_now(&self, bytes: &[u8]) -> std::io::Result<usize> {
        let stream = self.stream.borrow();
        // SAFETY: the descriptor belongs to `stream`, which is borrowed for as long as it is used.
        let descriptor = unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) };
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        match SockRef::from(&descriptor).send_with_flags(bytes, flags) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(0),
            result => result,
        }
    }

    /// Sends what waits until nothing does.
    async fn drain(&self) {
        loop {
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
            if self.outbox.borrow().is_empty() || self.is_cut_off() {
                break;
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
        self.shutdown(Shutdown::Both);
    }

    fn is_cut_off(&self) -> bool {
        matches!(self.closing.get(), Some(CloseReason::Hangup | CloseReason::OutboxFull))
    }

    fn shutdown(&self, how: Shutdown) {
        let stream = self.stream.borrow();
        // SAFETY: the descriptor belongs to `stream`, which is borrowed for as long as it is used.
        let descriptor = unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) };
        let _ = SockRef::from(&descriptor).shutdown(how);
    }

    async fn read(&self, shard: &Shard) -> std::io::Result<usize> {
        poll_fn(|context| {
            let mut buffer = shard.read_buffer.borrow_mut();
            let mut stream = self.stream.borrow_mut();
            Pin::new(&mut *stream).poll_read(context, &mut buffer)
        })
        .await
    }

    /// Lets what waits go out and the miner's last bytes come in: a close with bytes unread is a
    /// reset, which would destroy the answer that explains it.
    async fn linger(&self, shard: &Shard) {
        while self.is_draining.get() {
            sleep(std::time::Duration::from_millis(10)).await;
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

/// Serves a connection until it ends.
pub(super) async fn run(shard: Rc<Shard>, connection: Rc<Connection>) {
    let reason = serve(&shard, &connection).await;
    let reason = connection.closing.replace(Some(reason)).unwrap_or(reason);
    shard.connections.borrow_mut().remove(&connection.key);
    shard.with_env(&connection, |session, env| session.on_close(env));
    shard.tally.borrow_mut().connection_closed(reason);
    if !connection.is_cut_off() {
        let deadline = sleep(CLOSE_LINGER);
        connection.linger(&shard).or(deadline).await;
    }
    connection.shutdown(Shutdown::Both);
    let extranonce1 = connection.session.borrow().extranonce1();
    shard.extranonces.borrow_mut().give_back(extranonce1);
    debug!(shard = shard.id, reason = reason.label(), "connection closed");
}

async fn serve(shard: &Rc<Shard>, connection: &Connection) -> CloseReason {
    let mut partial = Partial::default();
    loop {
        let count = match connection.read(shard).await {
            Ok(0) | Err(_) => return CloseReason::Hangup,
            Ok(count) => count,
        };
        let mut input = Input { shard, connection, solved: Vec::new(), close: None };
        // The buffer is the shard's: it is given back before anything is waited for.
        let framed = {
            let buffer = shard.read_buffer.borrow();
            partial.feed(&buffer[..count], |line| input.on_line(line))
        };
        input.on_end();
        let Input { solved, close, .. } = input;
        for block in solved {
            hand_over(shard, block).await;
        }
        if framed.is_err() {
            return CloseReason::LineTooLong;
        }
        if let Some(reason) = close.or(connection.closing.get()) {
            return reason;
        }
        connection.settle_owed_work(shard);
        schedule_first_work(shard, connection);
        glommio::yield_if_needed().await;
    }
}

/// A block waits for control's queue: nothing found is ever dropped, and nobody else waits.
async fn hand_over(shard: &Shard, mut solved: Solved) {
    while let Sent::Full(again) = shard.up.try_send_solved(solved) {
        solved = again;
        sleep(SOLVED_RETRY).await;
    }
}

fn schedule_first_work(shard: &Shard, connection: &Connection) {
    if let Some(due) = connection.session.borrow().first_work_due() {
        let mut queue = shard.first_work_due.borrow_mut();
        // A connection that talks during its pause is queued once more; the first one counts.
        queue.push_back((due, connection.key));
    }
}

/// The lines of one read, in order.
struct Input<'a> {
    shard: &'a Shard,
    connection: &'a Connection,
    solved: Vec<Solved>,
    close: Option<CloseReason>,
}

impl Input<'_> {
    /// Whether to go on with the next line.
    fn on_line(&mut self, line: &[u8]) -> bool {
        let request = Request::parse(line);
        let is_submit = request.as_ref().is_ok_and(|request| request.method == "mining.submit");
        if !is_submit {
            // Its answer must not overtake those of the submissions before it.
            self.judge();
        }
        let next = self.shard.with_env(self.connection, |session, env| match &request {
            Ok(request) => session.on_request(request, env),
            Err(malformed) => session.on_malformed(malformed, env),
        });
        match next {
            Next::Continue => {}
            Next::Judge(submission) => {
                self.shard.judge.borrow_mut().push(submission);
                if self.shard.judge.borrow().is_full() {
                    self.judge();
                }
            }
            Next::Close(reason) => self.close = Some(reason),
        }
        self.close.is_none() && self.connection.closing.get().is_none()
    }

    fn on_end(&mut self) {
        self.judge();
        if self.close.is_none() {
            self.shard.with_env(self.connection, |session, env| session.on_input_end(env));
        }
    }

    fn judge(&mut self) {
        let mut judge = self.shard.judge.borrow_mut();
        if judge.is_empty() {
            return;
        }
        self.shard.with_env(self.connection, |session, env| {
            judge.conclude(|submission, verdict| {
                self.solved.extend(session.on_verdict(submission, verdict, env));
            });
        });
    }
}

fn spawn(shard: &Shard, task: impl Future<Output = ()> + 'static) {
    glommio::spawn_local_into(task, shard.miners).expect("the queue lives with the shard").detach();
}

/// Starts to serve a connection that has been let in.
pub(super) fn start(shard: &Rc<Shard>, connection: Rc<Connection>) {
    let task = run(Rc::clone(shard), Rc::clone(&connection));
    shard.connections.borrow_mut().insert(connection.key, connection);
    spawn(shard, task);
}
