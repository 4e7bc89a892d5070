//! What a request gets: a response, the promise of one, or a stream without end.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{TryRecvError, bounded};
use glommio::timer::sleep;

use super::Response;

/// Requests that wait for a server elsewhere, each with a thread.
const ELSEWHERE_MAX: usize = 16;
/// A server elsewhere takes longer than this anyway.
const ELSEWHERE_POLL: Duration = Duration::from_millis(5);

/// Bytes to come, each part shared by all who get it.
pub type NextChunks<'a> = Pin<Box<dyn Future<Output = Vec<Rc<[u8]>>> + 'a>>;

/// Bytes that are written once they are there, until the client goes.
pub trait Chunks {
    /// What comes next; waits until there is something.
    fn next(&mut self) -> NextChunks<'_>;
}

pub enum Answer {
    /// Rendered already, mostly.
    Now(Response),
    /// The executor goes on with other requests meanwhile.
    Later(Pin<Box<dyn Future<Output = Response>>>),
    /// The head, and what follows it for as long as the client listens.
    Stream(Response, Box<dyn Chunks>),
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self::Now(response)
    }
}

impl Answer {
    /// The response, when it is there; of a stream the head.
    pub async fn finish(self) -> Response {
        match self {
            Self::Now(response) => response,
            Self::Later(response) => response.await,
            Self::Stream(head, _) => head,
        }
    }

    /// Runs what may wait on a thread of its own, and makes the response of what it returns.
    pub fn waiting<T: Send + 'static>(
        work: impl FnOnce() -> T + Send + 'static,
        respond: impl FnOnce(T) -> Response + 'static,
    ) -> Self {
        Self::Later(Box::pin(
            async move { respond(glommio::executor().spawn_blocking(work).await) },
        ))
    }

    /// The same for what waits for a server elsewhere, which may hang: on a thread that nobody else
    /// waits for. `respond` gets nothing when too many hang already.
    pub fn elsewhere<T: Send + 'static>(
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
        respond: impl FnOnce(Option<T>) -> Response + 'static,
    ) -> Self {
        static HANGING: AtomicUsize = AtomicUsize::new(0);
        if HANGING.fetch_add(1, Ordering::Relaxed) >= ELSEWHERE_MAX {
            HANGING.fetch_sub(1, Ordering::Relaxed);
            return respond(None).into();
        }
        let (done, result) = bounded(1);
        let run = move || {
            let value = work();
            HANGING.fetch_sub(1, Ordering::Relaxed);
            // Whoever asked may have gone.
            let _heard = done.send(value);
        };
        if thread::Builder::new().name(name.to_owned()).spawn(run).is_err() {
            HANGING.fetch_sub(1, Ordering::Relaxed);
            return respond(None).into();
        }
        Self::Later(Box::pin(async move {
            loop {
                match result.try_recv() {
                    Ok(value) => return respond(Some(value)),
                    Err(TryRecvError::Disconnected) => return respond(None),
                    Err(TryRecvError::Empty) => sleep(ELSEWHERE_POLL).await,
                }
            }
        }))
    }
}
