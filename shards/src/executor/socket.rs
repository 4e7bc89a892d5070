//! Listening sockets that all shards share, and the few calls that need a raw descriptor.

use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use crate::limits::{ACCEPT_BACKLOG, OUTBOX_WAIT_MAX};
use crate::settings::TcpBuffers;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// Time without traffic before the kernel asks whether the miner is still there, and between two
/// such questions.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Binds `count` sockets to one address, none of them listening yet: the kernel will spread
/// connections over those that listen (`SO_REUSEPORT`).
///
/// Errors: `AddrInUse` also when only *another* process has sockets there that would share the
/// port; two pools on one port would each get half the miners.
pub fn bind_shared(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    // A port that can be had alone is nobody's. Listening is what makes the kernel say so.
    let alone = new_socket(address)?;
    alone.set_reuse_address(true)?;
    alone.bind(&address.into())?;
    alone.listen(1)?;
    let address = alone.local_addr()?.as_socket().unwrap_or(address);
    drop(alone);
    (0..count)
        .map(|_| {
            let socket = new_socket(address)?;
            socket.set_reuse_address(true)?;
            socket.set_reuse_port(true)?;
            socket.bind(&address.into())?;
            Ok(socket.into())
        })
        .collect()
}

fn new_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        // All interfaces means IPv4's too.
        socket.set_only_v6(false)?;
    }
    Ok(socket)
}

/// Lets connections queue up at a socket that [`bind_shared`] bound; before that the kernel refuses
/// them.
pub fn listen(listener: &TcpListener) -> io::Result<()> {
    SockRef::from(listener).listen(ACCEPT_BACKLOG)
}

/// The kernel's smoothed estimate of the round trip (`tcpi_rtt` of tcp(7)); none before it has one.
pub(super) fn round_trip(stream: &impl AsFd) -> Option<Duration> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut size = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the descriptor is open for as long as `stream` is borrowed; the kernel writes at most
    // `size` bytes, which is what `info` has.
    let result = unsafe {
        libc::getsockopt(
            stream.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &mut size,
        )
    };
    // SAFETY: all of its fields are integers, for which zeros and what the kernel has written are
    // values.
    let info = unsafe { info.assume_init() };
    (result == 0 && info.tcpi_rtt > 0).then(|| Duration::from_micros(info.tcpi_rtt.into()))
}

/// Options of a miner's socket. A kernel that refuses one still serves the miner.
pub(super) fn prepare(stream: &impl AsFd, buffers: &TcpBuffers) {
    let socket = SockRef::from(stream);
    let _ = socket.set_tcp_nodelay(true);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    let _ = socket.set_tcp_keepalive(&keepalive);
    // What its buffer has taken is not sent yet: megabytes of answers may wait there for somebody whose
    // power is gone, and no write fails.
    let _ = socket.set_tcp_user_timeout(Some(OUTBOX_WAIT_MAX));
    if buffers.read > 0 {
        let _ = socket.set_recv_buffer_size(buffers.read);
    }
    if buffers.write > 0 {
        let _ = socket.set_send_buffer_size(buffers.write);
    }
}
