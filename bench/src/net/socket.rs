//! Sockets that never wait.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Starts to connect from `source`, at a port that the kernel chooses. It is chosen late
/// (`IP_BIND_ADDRESS_NO_PORT`), so one port serves several connections to different places.
pub fn connect(source: Ipv4Addr, target: SocketAddrV4) -> io::Result<OwnedFd> {
    let socket = stream()?;
    option(&socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)?;
    option(&socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    let source = raw_address(SocketAddrV4::new(source, 0));
    // SAFETY: the address is a whole `sockaddr_in` and lives until the call has returned.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const source).cast(), SIZE) };
    if bound < 0 {
        return Err(io::Error::last_os_error());
    }
    let target = raw_address(target);
    // SAFETY: likewise.
    let begun = unsafe { libc::connect(socket.as_raw_fd(), (&raw const target).cast(), SIZE) };
    match begun {
        0 => Ok(socket),
        _ => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(socket),
            error => Err(error),
        },
    }
}

/// Listens at `address` with room for as many waiting connections as the kernel allows. What it
/// accepts inherits `TCP_NODELAY`.
pub fn listen(address: SocketAddrV4) -> io::Result<OwnedFd> {
    let socket = stream()?;
    option(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    option(&socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    let address = raw_address(address);
    // SAFETY: the address is a whole `sockaddr_in` and lives until the call has returned.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), SIZE) };
    // SAFETY: takes a descriptor and a number.
    if bound < 0 || unsafe { libc::listen(socket.as_raw_fd(), i32::from(u16::MAX)) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(socket)
}

/// The address at which a socket of ours listens.
pub fn local_address(socket: RawFd) -> io::Result<SocketAddrV4> {
    let mut address = raw_address(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
    let mut size = SIZE;
    // SAFETY: the kernel writes at most `size` bytes, which is how many there are.
    let told = unsafe { libc::getsockname(socket, (&raw mut address).cast(), &mut size) };
    if told < 0 {
        return Err(io::Error::last_os_error());
    }
    let ip = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
    Ok(SocketAddrV4::new(ip, u16::from_be(address.sin_port)))
}

/// The next connection that has come in; it never waits. None when there is none.
pub fn accept(listener: RawFd) -> io::Result<Option<OwnedFd>> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no address is asked for; returns a descriptor or -1.
    let accepted =
        unsafe { libc::accept4(listener, std::ptr::null_mut(), std::ptr::null_mut(), flags) };
    if accepted < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
    }
    // SAFETY: the descriptor has just been made and nobody else knows it.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(accepted) }))
}

/// What has come, up to the size of `buffer`; 0 when the other side will send no more.
#[inline]
pub fn receive(socket: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most as many bytes as the buffer has.
    let count = unsafe { libc::recv(socket, buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Sends as much as there is room for. A connection that is gone is an error, not a signal.
#[inline]
pub fn send(socket: RawFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the kernel reads as many bytes as there are.
    let count =
        unsafe { libc::send(socket, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// What has become of a connection that was begun, or of one that failed.
pub fn take_error(socket: RawFd) -> Option<io::Error> {
    let mut code: i32 = 0;
    let mut size = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the kernel writes one integer, which is what there is room for.
    let told = unsafe {
        let code = (&raw mut code).cast();
        libc::getsockopt(socket, libc::SOL_SOCKET, libc::SO_ERROR, code, &mut size)
    };
    match (told, code) {
        (0, 0) => None,
        (0, code) => Some(io::Error::from_raw_os_error(code)),
        _ => Some(io::Error::last_os_error()),
    }
}

/// Makes closing it a reset: thousands of connections of one run would otherwise keep their ports
/// for a minute (`TIME_WAIT`), and the next run would find none.
pub fn reset_when_closed(socket: RawFd) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let size = size_of::<libc::linger>() as libc::socklen_t;
    // SAFETY: the option is a whole `linger` and lives until the call has returned. That it fails
    // is no harm: the port is kept for a while.
    unsafe {
        let linger = (&raw const linger).cast();
        libc::setsockopt(socket, libc::SOL_SOCKET, libc::SO_LINGER, linger, size);
    }
}

/// Lets the kernel keep no more than about so many received bytes: a reader that is slow is so at
/// once.
pub fn limit_received(socket: RawFd, bytes: i32) -> io::Result<()> {
    option_of(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, bytes)
}

const SIZE: libc::socklen_t = size_of::<libc::sockaddr_in>() as libc::socklen_t;

fn raw_address(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
        sin_zero: [0; 8],
    }
}

fn stream() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: takes numbers and returns a descriptor or -1.
    let socket = unsafe { libc::socket(libc::AF_INET, kind, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor has just been made and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(socket) })
}

fn option(socket: &OwnedFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    option_of(socket.as_raw_fd(), level, name, value)
}

fn option_of(socket: RawFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    let size = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the option is one integer and lives until the call has returned.
    let set = unsafe { libc::setsockopt(socket, level, name, (&raw const value).cast(), size) };
    if set < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
