//! The shard's own ring for miners' sockets. Each socket has one receive armed for as long as it
//! lives (`IORING_RECV_MULTISHOT`); the kernel picks a buffer for what comes from a pool that all
//! sockets share, so that an idle miner owns none, and a share costs no system call to be read.
//!
//! glommio owns the thread and its own rings for everything else. Its sockets cost a task, a
//! buffer and a poll request for each connection, and another system call for each read
//! (`documentation/performance.md` has the comparison). This ring wakes it through an eventfd.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::task::{Poll, Waker};

use glommio::io::BufferedFile;
use io_uring::types::{BufRingEntry, CancelBuilder, Fd};
use io_uring::{IoUring, cqueue, opcode, squeue};
use slab::Slab;

use crate::limits::{RECEIVE_BUFFER_BYTES, RECEIVE_BUFFERS};

/// Requests handed to the kernel at a time, and completions it may be ahead by.
const SUBMISSIONS: u32 = 1024;
const COMPLETIONS: u32 = 8192;
/// The only group of buffers.
const GROUP: u16 = 0;
/// Marks the requests of [`Ring::ready`]; receives carry descriptor and token.
const READY: u64 = 1 << 63;

/// What has happened to a socket.
pub(super) enum Event<'a> {
    /// Bytes have come.
    Received(u32, &'a [u8]),
    /// Nothing will come any more: the peer is done, the socket broke or was shut down. The last
    /// event of a token.
    Ended(u32),
}

/// What [`Ring::take`] has come to.
pub(super) struct Taken {
    pub count: usize,
    /// The kernel has deferred work that it has not done yet.
    pub is_more_left: bool,
}

pub(super) struct Ring {
    inner: RefCell<Inner>,
    /// Rung by the kernel when there is something to take.
    bell: BufferedFile,
    taken: RefCell<Vec<cqueue::Entry>>,
    waiting: RefCell<Slab<Rc<RefCell<Wait>>>>,
    /// Receives that found no buffer.
    starved: Cell<u64>,
    /// Most things that had happened and not been taken yet; each but a few has a buffer.
    peak: Cell<usize>,
}

struct Inner {
    uring: IoUring,
    buffers: Buffers,
}

#[derive(Default)]
struct Wait {
    waker: Option<Waker>,
    is_over: bool,
}

impl Ring {
    /// Sets the ring up, on the thread that will use it: nobody else may.
    ///
    /// Errors: what the kernel says, most likely that it is older than Linux 6.1.
    pub(super) fn new() -> io::Result<Self> {
        let uring: IoUring = IoUring::builder()
            .setup_single_issuer()
            // Nothing interrupts the shard: completions wait until it asks for them.
            .setup_defer_taskrun()
            // And it can see whether the kernel has more to do than it does at once.
            .setup_taskrun_flag()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        let buffers = Buffers::new()?;
        // SAFETY: the entries are page-aligned, RECEIVE_BUFFERS long, and unmapped only after the
        // ring has let go of them (`Drop for Inner`).
        unsafe {
            uring.submitter().register_buf_ring_with_flags(
                buffers.entries.as_ptr() as u64,
                RECEIVE_BUFFERS,
                GROUP,
                0,
            )?;
        }
        // SAFETY: takes no pointer. Blocking on purpose: the read of it is to wait.
        let bell = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if bell < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor has just been made and nobody else owns it.
        let bell = unsafe { BufferedFile::from_raw_fd(bell) };
        uring.submitter().register_eventfd(bell.as_raw_fd())?;
        Ok(Self {
            inner: RefCell::new(Inner { uring, buffers }),
            bell,
            taken: RefCell::default(),
            waiting: RefCell::default(),
            starved: Cell::new(0),
            peak: Cell::new(0),
        })
    }

    /// Has everything that comes on `socket` reported under `token`, until [`Event::Ended`]. The
    /// socket must be blocking: a non-blocking one fails at once instead of waiting. Takes effect
    /// with the next [`Self::submit`] or [`Self::take`].
    pub(super) fn receive(&self, socket: RawFd, token: u32) -> io::Result<()> {
        self.inner.borrow_mut().receive(socket, token)
    }

    /// Hands the kernel what has been asked of it.
    pub(super) fn submit(&self) -> io::Result<()> {
        self.inner.borrow_mut().uring.submit().map(drop).or_else(busy_is_fine)
    }

    /// Waits until `socket` can be read (`POLLIN`) or written (`POLLOUT`), or is broken.
    pub(super) async fn ready(&self, socket: RawFd, events: libc::c_short) -> io::Result<()> {
        let wait = Rc::new(RefCell::new(Wait::default()));
        let slot = self.waiting.borrow_mut().insert(Rc::clone(&wait));
        let poll = opcode::PollAdd::new(Fd(socket), events as u32).build();
        let poll = poll.user_data(READY | slot as u64);
        self.inner.borrow_mut().push(&poll)?;
        self.submit()?;
        poll_fn(|context| {
            let mut wait = wait.borrow_mut();
            if wait.is_over {
                return Poll::Ready(Ok(()));
            }
            wait.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Takes what has happened, in the order in which it did, at most so much. `on_event` may use
    /// the ring, but not take from it.
    ///
    /// The kernel does a part of what it has deferred, 20 things since Linux 6.13, whether anything
    /// comes of them or not; and while it has not done all, the bell is not rung for what is new. So
    /// nobody may [`Self::wait`] before nothing has been taken and nothing is left.
    pub(super) fn take(
        &self,
        count_max: usize,
        mut on_event: impl FnMut(Event<'_>),
    ) -> io::Result<Taken> {
        let mut taken = self.taken.take();
        let (is_more_left, ready) = self.inner.borrow_mut().take(count_max, &mut taken)?;
        self.peak.set(self.peak.get().max(ready));
        let count = taken.len();
        for entry in taken.drain(..) {
            if entry.user_data() & READY == READY {
                self.end_wait(&entry);
            } else {
                self.report(&entry, &mut on_event)?;
            }
        }
        self.taken.replace(taken);
        Ok(Taken { count, is_more_left })
    }

    /// How many receives have found all buffers full since this was last asked.
    pub(super) fn take_starved(&self) -> u64 {
        self.starved.take()
    }

    /// Buffers that were full at once, at most, since [`Self::forget_peak`].
    pub(super) fn peak(&self) -> u64 {
        self.peak.get().min(RECEIVE_BUFFERS.into()) as u64
    }

    pub(super) fn forget_peak(&self) {
        self.peak.set(0);
    }

    /// Waits until there is something to take.
    pub(super) async fn wait(&self) -> io::Result<()> {
        // The counter: it has been rung so often since it was last read.
        self.bell.read_at(0, size_of::<u64>()).await.map(drop).map_err(io::Error::from)
    }

    fn end_wait(&self, entry: &cqueue::Entry) {
        let slot = (entry.user_data() & !READY) as usize;
        let wait = self.waiting.borrow_mut().remove(slot);
        let mut wait = wait.borrow_mut();
        wait.is_over = true;
        if let Some(waker) = wait.waker.take() {
            waker.wake();
        }
    }

    fn report(
        &self,
        entry: &cqueue::Entry,
        on_event: &mut impl FnMut(Event<'_>),
    ) -> io::Result<()> {
        let (socket, token) = ((entry.user_data() >> 32) as RawFd, entry.user_data() as u32);
        let goes_on = cqueue::more(entry.flags());
        match usize::try_from(entry.result()) {
            Ok(length @ 1..) => {
                let index = cqueue::buffer_select(entry.flags())
                    .expect("the kernel says which buffer it has chosen");
                let bytes = self.inner.borrow().buffers.filled(index, length);
                // SAFETY: the kernel has filled these bytes and lets them be until the buffer is
                // given back below; the memory lives as long as the ring.
                on_event(Event::Received(token, unsafe { bytes.as_ref() }));
                self.inner.borrow_mut().buffers.give_back(index);
                if !goes_on {
                    self.receive(socket, token)?;
                }
            }
            // The pool was empty: there is room again once this has been taken.
            Err(_) if entry.result() == -libc::ENOBUFS => {
                self.starved.set(self.starved.get() + 1);
                self.receive(socket, token)?;
            }
            _ => on_event(Event::Ended(token)),
        }
        Ok(())
    }
}

impl Inner {
    fn receive(&mut self, socket: RawFd, token: u32) -> io::Result<()> {
        let receive = opcode::RecvMulti::new(Fd(socket), GROUP).build();
        self.push(&receive.user_data((socket as u64) << 32 | u64::from(token)))
    }

    fn push(&mut self, request: &squeue::Entry) -> io::Result<()> {
        loop {
            // SAFETY: receives fill only buffers of the pool and polls touch no memory, so there
            // is nothing that must outlive the request but the pool, which does.
            if unsafe { self.uring.submission().push(request) }.is_ok() {
                return Ok(());
            }
            self.uring.submit()?;
        }
    }

    /// Whether the kernel has more to do, and how much had happened.
    fn take(
        &mut self,
        count_max: usize,
        taken: &mut Vec<cqueue::Entry>,
    ) -> io::Result<(bool, usize)> {
        let to_submit = self.uring.submission().len() as u32;
        // SAFETY: the call gets no argument beyond its flags.
        let entered = unsafe { self.uring.submitter().enter::<()>(to_submit, 0, GET_EVENTS, None) };
        entered.map(drop).or_else(busy_is_fine)?;
        let completions = self.uring.completion();
        let ready = completions.len();
        taken.extend(completions.take(count_max));
        Ok((self.uring.submission().taskrun(), ready))
    }
}

/// `IORING_ENTER_GETEVENTS`: run what the kernel has deferred, and do not wait.
const GET_EVENTS: u32 = 1;

/// Completions first, then it takes requests again; and a signal is nothing.
fn busy_is_fine(error: io::Error) -> io::Result<()> {
    match error.raw_os_error() {
        Some(libc::EBUSY | libc::EAGAIN | libc::EINTR) => Ok(()),
        _ => Err(error),
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The buffers are unmapped next: nothing may be on its way into them.
        let _ = self.uring.submitter().register_sync_cancel(None, CancelBuilder::any());
        let _ = self.uring.submitter().unregister_buf_ring(GROUP);
    }
}

/// The buffers that receives are given, and the ring through which the kernel gets them.
struct Buffers {
    entries: NonNull<BufRingEntry>,
    bytes: NonNull<u8>,
    tail: u16,
}

const ENTRIES_BYTES: usize = RECEIVE_BUFFERS as usize * size_of::<BufRingEntry>();
const POOL_BYTES: usize = RECEIVE_BUFFERS as usize * RECEIVE_BUFFER_BYTES;
const _: () = assert!(RECEIVE_BUFFERS.is_power_of_two(), "the kernel wants it so");

impl Buffers {
    fn new() -> io::Result<Self> {
        let entries = map(ENTRIES_BYTES)?.cast();
        let bytes = map(POOL_BYTES)?;
        let mut buffers = Self { entries, bytes, tail: 0 };
        for index in 0..RECEIVE_BUFFERS {
            buffers.give_back(index);
        }
        Ok(buffers)
    }

    fn filled(&self, index: u16, length: usize) -> NonNull<[u8]> {
        assert!(index < RECEIVE_BUFFERS && length <= RECEIVE_BUFFER_BYTES);
        // SAFETY: the index is one of the pool's, so the result lies inside its memory.
        let start = unsafe { self.bytes.add(usize::from(index) * RECEIVE_BUFFER_BYTES) };
        NonNull::slice_from_raw_parts(start, length)
    }

    fn give_back(&mut self, index: u16) {
        let place = usize::from(self.tail & (RECEIVE_BUFFERS - 1));
        let start = self.filled(index, RECEIVE_BUFFER_BYTES).cast::<u8>();
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: `place` is inside the entries; the kernel reads an entry only once the tail has
        // passed it, which the store below says with all that was written before it.
        unsafe {
            let entry = &mut *self.entries.add(place).as_ptr();
            entry.set_addr(start.as_ptr() as u64);
            entry.set_len(RECEIVE_BUFFER_BYTES as u32);
            entry.set_bid(index);
            let tail = BufRingEntry::tail(self.entries.as_ptr()).cast::<AtomicU16>();
            (*tail).store(self.tail, Ordering::Release);
        }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: both were mapped with these sizes, and nobody uses them any more.
        unsafe {
            libc::munmap(self.entries.as_ptr().cast(), ENTRIES_BYTES);
            libc::munmap(self.bytes.as_ptr().cast(), POOL_BYTES);
        }
    }
}

/// Zeroed pages of their own.
fn map(bytes: usize) -> io::Result<NonNull<u8>> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: asks for new memory, at no particular place.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, kind, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(NonNull::new(start.cast()).expect("a mapping is not at zero"))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use glommio::LocalExecutorBuilder;

    use super::*;

    /// More than the kernel does at once.
    const QUIET_COUNT: usize = 100;

    /// What a shard does before it rests: takes until nothing is there and nothing is left.
    fn take_all(ring: &Ring) -> Vec<(u32, Vec<u8>)> {
        let mut received = Vec::new();
        loop {
            let taken = ring.take(usize::MAX, |event| {
                if let Event::Received(token, bytes) = event {
                    received.push((token, bytes.to_vec()));
                }
            });
            let Taken { count, is_more_left } = taken.unwrap();
            if count == 0 && !is_more_left {
                return received;
            }
        }
    }

    /// Deferred work that nothing comes of hides no work behind it: each of many sockets wakes its
    /// receive and has nothing to read any more, and the last one has.
    #[test]
    fn work_that_nothing_comes_of_is_not_quiet() {
        LocalExecutorBuilder::default()
            .spawn(|| async {
                let ring = Ring::new().unwrap();
                let pairs: Vec<(UnixStream, UnixStream)> =
                    (0..=QUIET_COUNT).map(|_| UnixStream::pair().unwrap()).collect();
                for (token, (ours, _)) in pairs.iter().enumerate() {
                    ring.receive(ours.as_raw_fd(), token as u32).unwrap();
                }
                assert_eq!(take_all(&ring), [], "all are armed");
                let (last, quiet) = pairs.split_last().unwrap();
                for (ours, theirs) in quiet {
                    let (mut ours, mut theirs) = (ours, theirs);
                    theirs.write_all(b"x").unwrap();
                    // Before the kernel gets to it.
                    ours.read_exact(&mut [0]).unwrap();
                }
                (&last.1).write_all(b"y").unwrap();
                assert_eq!(take_all(&ring), [(QUIET_COUNT as u32, b"y".to_vec())]);
            })
            .unwrap()
            .join()
            .unwrap();
    }
}
