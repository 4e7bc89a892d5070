//! A stream to a host, through the proxy if there is one: `CONNECT` of HTTP (RFC 9110 §9.3.6) or
//! SOCKS5 (RFC 1928, RFC 1929). For protocols that are no requests and answers; of those the HTTP
//! client takes care.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use ureq::{Proxy, ProxyProtocol};

use super::OutgoingError;

/// The head of a proxy's answer.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// Bytes in and out. Reads wait for as long as [`Tunnel::wait_at_most`] says.
pub struct Tunnel {
    socket: TcpStream,
    layer: Layer,
}

enum Layer {
    Plain,
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Tunnel {
    pub(super) fn open(
        host: &str,
        port: u16,
        tls: Option<Arc<ClientConfig>>,
        proxy: Option<&Proxy>,
        timeout: Duration,
    ) -> Result<Self, OutgoingError> {
        let connect = || match proxy {
            None => connect(host, port, timeout),
            Some(proxy) => through(proxy, host, port, timeout),
        };
        let socket = connect().map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => OutgoingError::Timeout,
            _ => OutgoingError::Unreachable(error.to_string()),
        })?;
        let broken = |error: io::Error| OutgoingError::Unreachable(error.to_string());
        let Some(config) = tls else { return Ok(Self { socket, layer: Layer::Plain }) };
        let wrong = |error: String| OutgoingError::Tls(error);
        let name =
            ServerName::try_from(host.to_owned()).map_err(|error| wrong(error.to_string()))?;
        let connection =
            ClientConnection::new(config, name).map_err(|error| wrong(error.to_string()))?;
        let mut stream = StreamOwned::new(connection, socket.try_clone().map_err(broken)?);
        // The handshake, while its errors still are about TLS.
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(|error| match error.kind() {
                io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => OutgoingError::Timeout,
                io::ErrorKind::InvalidData => wrong(error.to_string()),
                _ => OutgoingError::Unreachable(error.to_string()),
            })?;
        }
        Ok(Self { socket, layer: Layer::Tls(Box::new(stream)) })
    }

    /// How long a read or a write waits before it says [`io::ErrorKind::WouldBlock`].
    pub fn wait_at_most(&self, limit: Duration) -> io::Result<()> {
        let limit = Some(limit.max(Duration::from_millis(1)));
        self.socket.set_read_timeout(limit)?;
        self.socket.set_write_timeout(limit)
    }

    /// For somebody else to end it while it is being read.
    pub fn closer(&self) -> io::Result<impl FnOnce() + Send + 'static> {
        let socket = self.socket.try_clone()?;
        Ok(move || {
            // It may have been closed already.
            let _ = socket.shutdown(Shutdown::Both);
        })
    }
}

impl Read for Tunnel {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.layer {
            Layer::Plain => self.socket.read(buffer),
            Layer::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Tunnel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.layer {
            Layer::Plain => self.socket.write(bytes),
            Layer::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.layer {
            Layer::Plain => self.socket.flush(),
            Layer::Tls(stream) => stream.flush(),
        }
    }
}

/// The first address of the host that answers, within `timeout` for all of them.
fn connect(host: &str, port: u16, timeout: Duration) -> io::Result<TcpStream> {
    let deadline = Instant::now() + timeout;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no such host");
    for address in (host, port).to_socket_addrs()? {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(socket) => {
                socket.set_nodelay(true)?;
                // Until somebody says otherwise.
                socket.set_read_timeout(Some(timeout))?;
                socket.set_write_timeout(Some(timeout))?;
                return Ok(socket);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn through(proxy: &Proxy, host: &str, port: u16, timeout: Duration) -> io::Result<TcpStream> {
    let mut socket = connect(proxy.host(), proxy.port(), timeout)?;
    let user = proxy.username().map(|user| (user, proxy.password().unwrap_or_default()));
    match proxy.protocol() {
        ProxyProtocol::Http => connect_by_http(&mut socket, host, port, user)?,
        ProxyProtocol::Socks5 | ProxyProtocol::Socks5h => {
            connect_by_socks(&mut socket, host, port, user)?;
        }
        other => return Err(io::Error::other(format!("a proxy of {other:?} cannot be used here"))),
    }
    Ok(socket)
}

fn connect_by_http(
    socket: &mut (impl Read + Write),
    host: &str,
    port: u16,
    user: Option<(&str, &str)>,
) -> io::Result<()> {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let mut head = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
    if let Some((name, password)) = user {
        head += "Proxy-Authorization: Basic ";
        head += &STANDARD.encode(format!("{name}:{password}"));
        head += "\r\n";
    }
    head += "\r\n";
    socket.write_all(head.as_bytes())?;
    let mut answer = Vec::new();
    // Byte by byte: what follows the head is the host's, and there is little of it.
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() == HEAD_BYTES_MAX {
            return Err(io::Error::other("the proxy's answer has no end"));
        }
        let mut byte = [0];
        socket.read_exact(&mut byte)?;
        answer.push(byte[0]);
    }
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(&answer) {
        Ok(_) if response.code == Some(200) => Ok(()),
        Ok(_) => {
            let code = response.code.unwrap_or_default();
            Err(io::Error::other(format!("the proxy answers with HTTP status {code}")))
        }
        Err(error) => Err(io::Error::other(format!("the proxy's answer: {error}"))),
    }
}

/// The proxy resolves the host's name.
fn connect_by_socks(
    socket: &mut (impl Read + Write),
    host: &str,
    port: u16,
    user: Option<(&str, &str)>,
) -> io::Result<()> {
    const VERSION: u8 = 5;
    const NO_PASSWORD: u8 = 0;
    const BY_PASSWORD: u8 = 2;
    const CONNECT: u8 = 1;
    const BY_NAME: u8 = 3;
    let failed = |words: &str| Err(io::Error::other(format!("the proxy {words}")));
    let short = |text: &str| -> io::Result<Vec<u8>> {
        let length = u8::try_from(text.len())
            .map_err(|_| io::Error::other("a name for the proxy is longer than 255 bytes"))?;
        Ok([&[length], text.as_bytes()].concat())
    };
    let method = if user.is_some() { BY_PASSWORD } else { NO_PASSWORD };
    socket.write_all(&[VERSION, 1, method])?;
    let mut chosen = [0; 2];
    socket.read_exact(&mut chosen)?;
    if chosen != [VERSION, method] {
        return failed("does not take our way of signing in");
    }
    if let Some((name, password)) = user {
        socket.write_all(&[&[1][..], &short(name)?, &short(password)?].concat())?;
        let mut status = [0; 2];
        socket.read_exact(&mut status)?;
        if status[1] != 0 {
            return failed("refuses the user and password");
        }
    }
    let name = short(host)?;
    let request = [&[VERSION, CONNECT, 0, BY_NAME], &name[..], &port.to_be_bytes()].concat();
    socket.write_all(&request)?;
    let mut reply = [0; 4];
    socket.read_exact(&mut reply)?;
    if reply[1] != 0 {
        return failed(&format!("does not connect: reply {}", reply[1]));
    }
    let address_bytes = match reply[3] {
        1 => 4,
        4 => 16,
        BY_NAME => {
            let mut length = [0];
            socket.read_exact(&mut length)?;
            usize::from(length[0])
        }
        _ => return failed("answers with no address"),
    };
    socket.read_exact(&mut vec![0; address_bytes + 2])
}
