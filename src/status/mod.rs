//! The status server: pages, JSON and metrics over HTTP, read from the newest snapshot alone.
//!
//! It has a thread with a glommio executor of its own, so a browser can neither slow down a miner
//! nor wait for one. The way of a request:
//!
//! ```text
//! http/connection → http/request → routes → site → page, api, json, metrics → http/response
//! ```

mod api;
mod assets;
mod exposition;
pub mod format;
mod health;
mod http;
mod json;
mod metrics;
mod page;
mod routes;
#[cfg(test)]
mod sample;
mod site;

use std::cell::Cell;
use std::io;
use std::net::TcpListener;
use std::os::fd::{FromRawFd, IntoRawFd};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use glommio::timer::sleep;
use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};
use tracing::{info, warn};

use self::http::{Service, Stopping};
use self::site::Site;
use crate::history::HistoryReader;
use crate::snapshot::SnapshotCell;

/// Open connections; more are closed at once. Each costs a few KiB while idle, 84 KiB at most.
const CONNECTIONS_MAX: u32 = 1024;
/// For requests in flight when the server stops (`web.md` §1.1).
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the switch is looked at: a person who turns it does not notice this.
const SWITCH_POLL: Duration = Duration::from_millis(50);
/// Before the next accept after one failed, mostly for want of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Between two log lines about connections turned away: a flood must not become a log.
const FULL_WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// Memory that glommio registers with the kernel for file I/O; there is none here.
const IO_MEMORY_BYTES: usize = 64 * 1024;
/// Entries of each submission ring: a batch of reads and accepts, not the connections.
const RING_DEPTH: usize = 128;

/// How others reach the running server.
#[derive(Debug, Default)]
pub struct StatusSwitch {
    stop: AtomicBool,
    reload: AtomicBool,
}

impl StatusSwitch {
    // Relaxed everywhere: nothing else is read because of these flags.

    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Loads the pages again; those that cannot be used leave the ones in use as they are.
    pub fn reload(&self) {
        self.reload.store(true, Ordering::Relaxed);
    }
}

/// What the server is given.
pub struct StatusPlan {
    /// Bound and listening.
    pub listener: TcpListener,
    pub snapshots: SnapshotCell,
    pub history: HistoryReader,
    pub core: Option<usize>,
    /// Pages of the operator's own, over those in the binary.
    pub templates: PathBuf,
    /// Without it there is nothing under `/api/`.
    pub json: bool,
}

/// Serves until it is stopped and for at most five seconds more. An error here means that the
/// executor could not be made.
pub fn spawn(plan: StatusPlan, switch: Arc<StatusSwitch>) -> io::Result<JoinHandle<()>> {
    // glommio accepts over io_uring, which answers EAGAIN at once on a non-blocking socket.
    plan.listener.set_nonblocking(false)?;
    let core = plan.core;
    let (made, is_made) = mpsc::sync_channel(1);
    let run = move || match executor(core) {
        Ok(executor) => {
            // The caller waits for this line, so somebody hears it.
            let _heard = made.send(Ok(()));
            executor.run(serve(plan, switch));
        }
        Err(error) => {
            let _heard = made.send(Err(error));
        }
    };
    let handle = thread::Builder::new().name("status".to_owned()).spawn(run)?;
    match is_made.recv() {
        Ok(Ok(())) => Ok(handle),
        Ok(Err(error)) => Err(error),
        Err(mpsc::RecvError) => Err(io::Error::other("the status thread ended at once")),
    }
}

fn executor(core: Option<usize>) -> io::Result<LocalExecutor> {
    let placement = core.map_or(Placement::Unbound, Placement::Fixed);
    let builder = LocalExecutorBuilder::new(placement)
        .name("status")
        .io_memory(IO_MEMORY_BYTES)
        .ring_depth(RING_DEPTH);
    Ok(builder.make()?)
}

async fn serve(plan: StatusPlan, switch: Arc<StatusSwitch>) {
    let StatusPlan { listener, snapshots, history, templates, json, .. } = plan;
    let site = Rc::new(Site::new(snapshots, history, templates, json));
    let answering = Rc::clone(&site);
    let service: Service = Rc::new(move |request| routes::answer(&answering, request));
    let open = Rc::new(Cell::new(0));
    let stopping = Rc::new(Stopping::default());
    let accepting =
        glommio::spawn_local(accept(listener, service, Rc::clone(&open), Rc::clone(&stopping)));

    while !switch.stop.load(Ordering::Relaxed) {
        if switch.reload.swap(false, Ordering::Relaxed) {
            site.reload();
        }
        sleep(SWITCH_POLL).await;
    }
    accepting.cancel().await;
    stopping.begin();
    let deadline = Instant::now() + STOP_TIMEOUT;
    while open.get() > 0 && Instant::now() < deadline {
        sleep(SWITCH_POLL).await;
    }
    info!(component = "status", kind = "stop", unfinished = open.get(), "status server stopped");
}

/// One task per connection. Ends only by being cancelled.
async fn accept(
    listener: TcpListener,
    service: Service,
    open: Rc<Cell<u32>>,
    stopping: Rc<Stopping>,
) {
    // SAFETY: the descriptor is a bound, listening TCP socket, and `into_raw_fd` gave up the only
    // ownership of it, so the new listener is the one that closes it.
    let listener = unsafe { glommio::net::TcpListener::from_raw_fd(listener.into_raw_fd()) };
    let mut warned_at: Option<Instant> = None;
    loop {
        let stream = match listener.accept().await {
            Ok(stream) => stream,
            Err(error) => {
                warn!(component = "status", kind = "accept", %error, "connection not accepted");
                sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        // Fails for a connection that is over already.
        let Ok(remote) = stream.peer_addr() else { continue };
        if open.get() >= CONNECTIONS_MAX {
            if warned_at.is_none_or(|at| at.elapsed() >= FULL_WARNING_INTERVAL) {
                warn!(component = "status", kind = "full", %remote, "too many connections");
                warned_at = Some(Instant::now());
            }
            continue;
        }
        open.set(open.get() + 1);
        let (service, open, stopping) =
            (Rc::clone(&service), Rc::clone(&open), Rc::clone(&stopping));
        glommio::spawn_local(async move {
            http::serve(stream, remote, service, stopping).await;
            open.set(open.get() - 1);
        })
        .detach();
    }
}

#[cfg(test)]
mod tests;
