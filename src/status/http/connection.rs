//! One browser or scraper: bytes in, requests answered in order, bytes out, each with a deadline.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use futures_lite::{AsyncReadExt, AsyncWriteExt, future};
use glommio::net::TcpStream;
use glommio::sync::Semaphore;
use glommio::timer::{sleep, timeout};
use tracing::debug;

use super::answer::{Answer, Chunks};
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
/// One read: more than nearly every request, and little enough to keep for each connection.
const READ_BYTES: usize = 4 * 1024;

/// What answers requests; given from outside, so that nothing here knows a route.
pub type Service = Rc<dyn Fn(&Request) -> Answer>;

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
pub async fn serve(
    mut stream: TcpStream,
    remote: SocketAddr,
    service: Service,
    stop: Rc<Stopping>,
) {
    // Head and body go out as two writes; Nagle's algorithm would hold back the second.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(component = "status", %remote, %error, "no TCP_NODELAY");
    }
    match converse(&mut stream, remote, &service, &stop).await {
        Ok(()) => linger(&mut stream).await,
        Err(error) => debug!(component = "status", %remote, %error, "connection failed"),
    }
}

async fn converse(
    stream: &mut TcpStream,
    remote: SocketAddr,
    service: &Service,
    stop: &Stopping,
) -> io::Result<()> {
    let mut reader = RequestReader::default();
    let mut is_first = true;
    loop {
        let request = match next_request(stream, &mut reader, stop, is_first).await {
            Ok(request) => request,
            Err(End::Quiet) => return Ok(()),
            Err(End::Failed(error)) => return Err(error),
            Err(End::Refused(status)) => {
                debug!(component = "status", %remote, kind = status.code(), "request refused");
                return send(stream, &Response::plain(status), false, false).await;
            }
        };
        is_first = false;
        let is_head = request.method == Method::Head;
        let response = match service(&request) {
            Answer::Now(response) => response,
            Answer::Later(response) => response.await,
            Answer::Stream(head, _) if is_head => head,
            Answer::Stream(head, chunks) => {
                send(stream, &head, false, false).await?;
                return pour(stream, chunks, stop).await;
            }
        };
        let keep_alive = request.keep_alive && !stop.has_begun();
        send(stream, &response, is_head, keep_alive).await?;
        if !keep_alive {
            return Ok(());
        }
    }
}

async fn next_request(
    stream: &mut TcpStream,
    reader: &mut RequestReader,
    stop: &Stopping,
    is_first: bool,
) -> Result<Request, End> {
    let waiting_since = Instant::now();
    // Whoever connects means to ask: the first head is due at once, as is one that has begun.
    let mut is_due = is_first || !reader.is_empty();
    let mut begun_at = waiting_since;
    let mut scratch = [0; READ_BYTES];
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
        let read = async { Some(stream.read(&mut scratch).await) };
        let late = async {
            sleep(deadline.saturating_duration_since(Instant::now())).await;
            None
        };
        // A request on its way may still finish; a connection between requests ends here.
        let stopped = async {
            if reader.is_empty() {
                stop.begun().await;
            } else {
                future::pending::<()>().await;
            }
            Some(Ok(0))
        };
        // Dropping the read loses nothing: glommio waits for readiness, then copies at once.
        match future::or(read, future::or(stopped, late)).await {
            Some(Ok(0)) => return Err(End::Quiet),
            Some(Ok(count)) => reader.push(&scratch[..count]),
            Some(Err(error)) => return Err(error.into()),
            None if reader.is_empty() => return Err(End::Quiet),
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
async fn pour(
    stream: &mut TcpStream,
    mut chunks: Box<dyn Chunks>,
    stop: &Stopping,
) -> io::Result<()> {
    loop {
        let next = async { Some(chunks.next().await) };
        let gone = async {
            let mut scratch = [0; 64];
            // What a listener says is not listened to.
            while !matches!(stream.read(&mut scratch).await, Ok(0) | Err(_)) {}
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

async fn send(
    stream: &mut TcpStream,
    response: &Response,
    is_head: bool,
    keep_alive: bool,
) -> io::Result<()> {
    let mut head = Vec::with_capacity(1024);
    response.write_head(&mut head, &format::http_date(SystemTime::now()), keep_alive);
    let body = if is_head { b"" } else { response.body.as_bytes() };
    write(stream, &[&head, body]).await
}

async fn write(stream: &mut TcpStream, parts: &[&[u8]]) -> io::Result<()> {
    let writing = async {
        for part in parts {
            stream.write_all(part).await?;
        }
        Ok(())
    };
    Ok(timeout(WRITE_TIMEOUT, writing).await?)
}

/// Says that nothing more comes, then reads until the client has closed too. Whatever goes wrong
/// here, the connection was over before.
async fn linger(stream: &mut TcpStream) {
    let reading = async {
        stream.shutdown(Shutdown::Write).await?;
        let mut scratch = [0; READ_BYTES];
        let mut left = LINGER_BYTES_MAX;
        while left > 0 {
            match stream.read(&mut scratch).await? {
                0 => break,
                count => left = left.saturating_sub(count),
            }
        }
        Ok(())
    };
    if let Err(error) = timeout(LINGER_TIMEOUT, reading).await {
        debug!(component = "status", %error, "closed without waiting further");
    }
}
