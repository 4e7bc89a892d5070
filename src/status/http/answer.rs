//! What a request gets: a response, the promise of one, or a stream without end.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use super::Response;

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
}
