//! `epoll(7)`, edge-triggered.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Something has come.
pub const READ: u32 = libc::EPOLLIN as u32;
/// Something can be sent.
pub const WRITE: u32 = libc::EPOLLOUT as u32;
/// The other side will send no more, or nothing goes either way any more.
pub const END: u32 = (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32;

/// Sockets that are watched, and those of them that were ready when it was last asked.
#[derive(Debug)]
pub struct Epoll {
    descriptor: OwnedFd,
    ready: Vec<libc::epoll_event>,
}

impl Epoll {
    /// Tells of at most `batch` sockets at a time.
    pub fn new(batch: usize) -> io::Result<Self> {
        // SAFETY: takes a flag and returns a descriptor or -1.
        let descriptor = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor has just been made and nobody else knows it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(Self { descriptor, ready: Vec::with_capacity(batch) })
    }

    /// Watches a socket: each time something *changes* about it, `token` is told. What is watched is
    /// forgotten when it is closed.
    pub fn add(&self, socket: RawFd, interest: u32, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, socket, interest, token)
    }

    /// Watches it for something else; what is so already is told at once.
    pub fn change(&self, socket: RawFd, interest: u32, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, socket, interest, token)
    }

    fn control(&self, action: i32, socket: RawFd, interest: u32, token: u64) -> io::Result<()> {
        let events = interest | (libc::EPOLLET | libc::EPOLLRDHUP) as u32;
        let mut event = libc::epoll_event { events, u64: token };
        // SAFETY: `event` lives until the call has returned; a bad descriptor is an error.
        let done =
            unsafe { libc::epoll_ctl(self.descriptor.as_raw_fd(), action, socket, &mut event) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Waits until something is ready, or for `patience`; without one for as long as it takes.
    /// Returns how many are; [`Epoll::ready`] says which.
    pub fn wait(&mut self, patience: Option<Duration>) -> io::Result<usize> {
        // Rounded up: a wait that ends too early would be a loop that spins.
        let milliseconds = patience.map_or(-1, |patience| {
            i32::try_from(patience.as_micros().div_ceil(1000)).unwrap_or(i32::MAX)
        });
        let room = i32::try_from(self.ready.capacity()).unwrap_or(i32::MAX);
        self.ready.clear();
        // SAFETY: the kernel writes at most `room` events, for which the vector has the capacity.
        let count = unsafe {
            libc::epoll_wait(
                self.descriptor.as_raw_fd(),
                self.ready.as_mut_ptr(),
                room,
                milliseconds,
            )
        };
        let Ok(count) = usize::try_from(count) else {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(0) } else { Err(error) };
        };
        // SAFETY: the kernel has just filled in that many.
        unsafe { self.ready.set_len(count) };
        Ok(count)
    }

    /// The token and the state of the socket that is ready at `index`.
    #[inline]
    pub fn ready(&self, index: usize) -> (u64, u32) {
        let event = self.ready[index];
        (event.u64, event.events)
    }
}
