//! One browser or scraper: bytes in, requests answered in order, bytes out, each with a deadline.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::{Duration, Instant, SystemTime};

use futures_lite::{AsyncRead, AsyncWrite, AsyncWriteExt, future};
use glommio::sync::Semaphore;
use glommio::timer::sleep;
use tracing::debug;

use super::answer::{Answer, Chunks};
use super::proxies::Networks;
use super::request::{Method, Request, RequestReader};
use super::response::{Response, Status};
use crate::status::format;

/// From a request's first byte, or from the connection's start, to the end of its head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// From a request's first byte to its last: a slow phone still sends a form in this time.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// For one whole response; what takes longer no longer interests anybody.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Between requests: longer than any page waits before it asks again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// After our last byte, for the client to read it: closing with unread input pending would make
/// the kernel reset the connection and throw the answer away.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);
/// Input read and thrown away meanwhile.
const LINGER_BYTES_MAX: usize = 128 * 1024;
/// Bytes of one read.
const READ_BYTES: usize = 16 * 1024;
/// From the connection's start to the end of the TLS handshake, or of a proxy's first words.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// TCP or TLS.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// What all connections of a port have in common; given from outside, so that nothing here knows a
/// route.
pub struct Port {
    pub answer: Box<dyn Fn(&Request) -> Answer>,
    /// People are meant to come over HTTPS alone.
    pub is_public_https: Box<dyn Fn() -> bool>,
    pub proxies: Rc<Networks>,
    pub stopping: Rc<Stopping>,
}

/// The other end of a connection.
pub struct Peer {
    pub address: IpAddr,
    pub is_tls: bool,
}

/// Tells connections that the server is stopping: idle ones close, busy ones finish and close.
pub struct Stopping(Semaphore);

impl Default for Stopping {
    fn default() -> Self {
        // Nothing is ever released into it: waiting ends only when it is closed.
        Self(Semaphore::new(0))
    }
}

impl Stopping {
    pub fn begin(&self) {
        self.0.close();
    }

    pub fn has_begun(&self) -> bool {
        self.0.try_acquire(1).is_err()
    }

    async fn begun(&self) {
        // Only the closing ends this wait, and it ends it with an error.
        let _closed = self.0.acquire(1).await;
    }
}

/// Why no further request comes from a connection.
enum End {
    /// Hung up, idle for too long, or told to stop between requests: nothing to say.
    Quiet,
    /// To be answered with this status before closing.
    Refused(Status),
    Failed(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// Serves one connection until either side ends it.
pub async fn serve<S: Stream>(mut stream: S, peer: Peer, port: Rc<Port>) {
    match converse(&mut stream, &peer, &port).await {
        Ok(()) => linger(&mut stream).await,
        Err(error) => {
            debug!(component = "status", remote = %peer.address, %error, "connection failed");
        }
    }
}

async fn converse<S: Stream>(stream: &mut S, peer: &Peer, port: &Port) -> io::Result<()> {
    let mut reader = RequestReader::default();
    let mut is_first = true;
    loop {
        let mut request = match next_request(stream, &mut reader, &port.stopping, is_first).await {
            Ok(request) => request,
            Err(End::Quiet) => return Ok(()),
            Err(End::Failed(error)) => return Err(error),
            Err(End::Refused(status)) => {
                let (remote, kind) = (peer.address, status.code());
                debug!(component = "status", %remote, kind, "request refused");
                let https_only = peer.is_tls && (port.is_public_https)();
                let how = How { keep_alive: false, is_head: false, https_only };
                return send(stream, &Response::plain(status), how).await;
            }
        };
        is_first = false;
        port.proxies.identify(&mut request, peer.address, peer.is_tls);
        let answer = (port.answer)(&request);
        let mut how = How {
            keep_alive: request.keep_alive,
            is_head: request.method == Method::Head,
            https_only: request.is_https && (port.is_public_https)(),
        };
        drop(request);
        let response = match answer {
            Answer::Now(response) => response,
            Answer::Later(response) => response.await,
            Answer::Stream(head, _) if how.is_head => head,
            Answer::Stream(head, chunks) => {
                send(stream, &head, How { keep_alive: false, ..how }).await?;
                return pour(stream, chunks, &port.stopping).await;
            }
        };
        how.keep_alive &= !port.stopping.has_begun();
        send(stream, &response, how).await?;
        if !how.keep_alive {
            return Ok(());
        }
    }
}

async fn next_request<S: Stream>(
    stream: &mut S,
    reader: &mut RequestReader,
    stop: &Stopping,
    is_first: bool,
) -> Result<Request, End> {
    let waiting_since = Instant::now();
    // Whoever connects means to ask: the first head is due at once, as is one that has begun.
    let mut is_due = is_first || !reader.is_empty();
    let mut begun_at = waiting_since;
    loop {
        match reader.next() {
            Ok(Some(request)) => return Ok(request),
            Ok(None) => {}
            Err(status) => return Err(End::Refused(status)),
        }
        if reader.take_continue() {
            write(stream, &[b"HTTP/1.1 100 Continue\r\n\r\n"]).await?;
        }
        let deadline = match (is_due, reader.has_head()) {
            (false, _) => waiting_since + IDLE_TIMEOUT,
            (true, false) => begun_at + HEAD_TIMEOUT,
            (true, true) => begun_at + REQUEST_TIMEOUT,
        };
        let is_between = reader.is_empty();
        let read = async { Some(read(stream, |bytes| reader.push(bytes)).await) };
        let late = async {
            sleep(deadline.saturating_duration_since(Instant::now())).await;
            None
        };
        // A request on its way may still finish; a connection between requests ends here.
        let stopped = async {
            if is_between {
                stop.begun().await;
            } else {
                future::pending::<()>().await;
            }
            Some(Ok(0))
        };
        // Dropping the read loses nothing: what has been taken from the socket has been pushed.
        match future::or(read, future::or(stopped, late)).await {
            Some(Ok(0)) => return Err(End::Quiet),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error.into()),
            None if is_between => return Err(End::Quiet),
            None => return Err(End::Refused(Status::RequestTimeout)),
        }
        if !is_due {
            is_due = true;
            begun_at = Instant::now();
        }
    }
}

/// Writes what comes until the client goes or the server stops. A client that does not read is let go
/// with the first chunk that takes too long.
async fn pour<S: Stream>(
    stream: &mut S,
    mut chunks: Box<dyn Chunks>,
    stop: &Stopping,
) -> io::Result<()> {
    loop {
        let next = async { Some(chunks.next().await) };
        let gone = async {
            // What a listener says is not listened to.
            while !matches!(read(stream, |_| ()).await, Ok(0) | Err(_)) {}
            None
        };
        let stopped = async {
            stop.begun().await;
            None
        };
        let Some(chunks) = future::or(next, future::or(stopped, gone)).await else { return Ok(()) };
        for chunk in chunks {
            write(stream, &[&chunk]).await?;
        }
    }
}

/// How a response is sent.
#[derive(Clone, Copy)]
struct How {
    keep_alive: bool,
    is_head: bool,
    https_only: bool,
}

async fn send<S: Stream>(stream: &mut S, response: &Response, how: How) -> io::Result<()> {
    let mut head = Vec::with_capacity(1024);
    let date = format::http_date(SystemTime::now());
    response.write_head(&mut head, &date, how.keep_alive, how.https_only);
    let body = if how.is_head { b"" } else { response.body.as_bytes() };
    write(stream, &[&head, body]).await
}

async fn write<S: Stream>(stream: &mut S, parts: &[&[u8]]) -> io::Result<()> {
    let writing = async {
        for part in parts {
            stream.write_all(part).await?;
        }
        // TLS holds back what the socket did not take.
        stream.flush().await
    };
    within(WRITE_TIMEOUT, writing).await
}

/// One read through the thread's scratch: a connection that waits holds no memory for it. Nothing of
/// the scratch is borrowed while it waits, so all connections of the thread can share it.
async fn read<S: Stream>(stream: &mut S, mut take: impl FnMut(&[u8])) -> io::Result<usize> {
    thread_local! {
        static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
    }
    poll_fn(|context| {
        SCRATCH.with_borrow_mut(|scratch| {
            let outcome = ready!(Pin::new(&mut *stream).poll_read(context, scratch));
            if let Ok(count) = outcome {
                take(&scratch[..count]);
            }
            Poll::Ready(outcome)
        })
    })
    .await
}

/// Says that nothing more comes, then reads until the client has closed too. Whatever goes wrong
/// here, the connection was over before.
async fn linger<S: Stream>(stream: &mut S) {
    let reading = async {
        stream.close().await?;
        let mut left = LINGER_BYTES_MAX;
        while left > 0 {
            match read(stream, |_| ()).await? {
                0 => break,
                count => left = left.saturating_sub(count),
            }
        }
        Ok(())
    };
    if let Err(error) = within(LINGER_TIMEOUT, reading).await {
        debug!(component = "status", %error, "closed without waiting further");
    }
}

/// The outcome, or that it took too long.
pub async fn within<T>(
    limit: Duration,
    doing: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let late = async {
        sleep(limit).await;
        Err(io::ErrorKind::TimedOut.into())
    };
    future::or(doing, late).await
}
