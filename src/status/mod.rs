//! The status server: pages, JSON and metrics over HTTP, read from the newest snapshot alone.
//!
//! It has a thread with a glommio executor of its own, so a browser can neither slow down a miner
//! nor wait for one. The way of a request:
//!
//! ```text
//! listener → http/connection → http/request → routes → site → rendered → pages, json, metrics → http/response
//! ```

mod account;
mod admin;
mod api;
mod assets;
pub mod auth;
mod events;
mod exposition;
pub mod format;
mod health;
mod http;
mod json;
mod limits;
mod listener;
mod metrics;
mod pages;
mod redirect;
mod rendered;
mod routes;
#[cfg(test)]
mod sample;
mod sign_in;
mod site;
mod workers;

use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use futures_rustls::TlsAcceptor;
use futures_rustls::rustls::ServerConfig;
use glommio::timer::sleep;
use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};
use gopool_shards::executor::{PREEMPTION, keep_awake};
use tracing::info;

pub use self::account::PeoplePlan;
use self::admin::Admin;
pub use self::admin::AdminPlan;
use self::events::{Events, FIGURES_INTERVAL};
pub use self::http::Networks;
use self::http::{Answer, Port, Request, Stopping};
use self::limits::Places;
use self::listener::Entrance;
pub use self::redirect::PublicUrl;
use self::site::Site;
use self::workers::Workers;
pub use self::workers::{ReconnectPolicy, WorkersPlan};
use crate::history::HistoryReader;
use crate::snapshot::{Snapshot, SnapshotCell};

/// For requests in flight when the server stops (`web.md` §1.1).
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the switch is looked at: a person who turns it does not notice this.
const SWITCH_POLL: Duration = Duration::from_millis(50);
/// How often it is looked whether there is a new snapshot to tell of.
const EVENTS_POLL: Duration = Duration::from_millis(200);
/// Memory that glommio registers with the kernel for file I/O; there is none here.
const IO_MEMORY_BYTES: usize = 64 * 1024;
/// Entries of each submission ring: a batch of reads and accepts, not the connections.
const RING_DEPTH: usize = 128;

/// How others reach the running server.
#[derive(Debug, Default)]
pub struct StatusSwitch {
    stop: AtomicBool,
    reload: AtomicBool,
    public_url: ArcSwapOption<PublicUrl>,
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

    /// `server.status_public_url`, from now on.
    pub fn set_public_url(&self, url: Option<PublicUrl>) {
        self.public_url.store(url.map(Arc::new));
    }
}

/// What the server is given.
pub struct StatusPlan {
    /// Bound and listening, as is the next one. While both are there, this one only redirects.
    pub http: Option<TcpListener>,
    pub https: Option<HttpsPort>,
    pub trusted_proxies: Networks,
    /// They speak the PROXY protocol.
    pub proxy_protocol: bool,
    /// Files that certificate authorities ask for over HTTP.
    pub challenges: PathBuf,
    pub snapshots: SnapshotCell,
    pub history: HistoryReader,
    pub core: Option<usize>,
    /// Pages of the operator's own, over those in the binary.
    pub templates: PathBuf,
    /// Without it there is nothing under `/api/`.
    pub json: bool,
    /// Who may sign in and what is kept of them; none when nobody can.
    pub workers: Option<WorkersPlan>,
    /// What an operator may see and do; none when there is no panel.
    pub admin: Option<AdminPlan>,
}

pub struct HttpsPort {
    pub listener: TcpListener,
    pub tls: Arc<ServerConfig>,
}

/// Serves until it is stopped and for at most five seconds more. An error here means that the
/// executor could not be made.
pub fn spawn(plan: StatusPlan, switch: Arc<StatusSwitch>) -> io::Result<JoinHandle<()>> {
    // glommio accepts over io_uring, which answers EAGAIN at once on a non-blocking socket.
    let https = plan.https.as_ref().map(|port| &port.listener);
    for listener in plan.http.iter().chain(https) {
        listener.set_nonblocking(false)?;
    }
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
        .ring_depth(RING_DEPTH)
        .preempt_timer(PREEMPTION);
    Ok(builder.make()?)
}

async fn serve(plan: StatusPlan, switch: Arc<StatusSwitch>) {
    let StatusPlan { http, https, challenges, snapshots, history, templates, json, .. } = plan;
    let workers = plan.workers.map(|workers| Workers::new(workers, Arc::clone(&switch)));
    let admin = plan.admin.map(|admin| Admin::new(admin, Arc::clone(&switch)));
    let site = Site::new(snapshots.clone(), history, templates, json, workers).with_admin(admin);
    let site = Rc::new(site);
    glommio::spawn_local(keep_awake()).detach();
    glommio::spawn_local(tell(snapshots, Rc::clone(&site.events))).detach();
    let stopping = Rc::new(Stopping::default());
    let places = Rc::new(Places::default());
    let proxies = Rc::new(plan.trusted_proxies);
    let entrance = |tls, answer: Box<dyn Fn(&Request) -> Answer>| {
        let switch = Arc::clone(&switch);
        let is_https = move || switch.public_url.load().as_ref().is_some_and(|url| url.is_https);
        let (proxies, stopping) = (Rc::clone(&proxies), Rc::clone(&stopping));
        Entrance {
            port: Rc::new(Port { answer, is_public_https: Box::new(is_https), proxies, stopping }),
            tls,
            proxy_protocol: plan.proxy_protocol,
            places: Rc::clone(&places),
        }
    };
    let tls_port = https.as_ref().and_then(|port| port.listener.local_addr().ok());
    let mut accepting = Vec::new();
    if let Some(listener) = http {
        let (site, switch) = (Rc::clone(&site), Arc::clone(&switch));
        let answer = move |request: &Request| {
            let challenge = redirect::challenge(request, &challenges);
            match (challenge, tls_port) {
                (Some(response), _) => response.into(),
                (None, Some(address)) => {
                    let public = switch.public_url.load();
                    redirect::to_https(request, public.as_deref(), address.port()).into()
                }
                (None, None) => routes::answer(&site, request),
            }
        };
        let entrance = entrance(None, Box::new(answer));
        accepting.push(glommio::spawn_local(entrance.accept(listener)));
    }
    if let Some(HttpsPort { listener, tls }) = https {
        let site = Rc::clone(&site);
        let answer = move |request: &Request| routes::answer(&site, request);
        let entrance = entrance(Some(acceptor(&tls)), Box::new(answer));
        accepting.push(glommio::spawn_local(entrance.accept(listener)));
    }

    while !switch.stop.load(Ordering::Relaxed) {
        if switch.reload.swap(false, Ordering::Relaxed) {
            site.reload();
        }
        sleep(SWITCH_POLL).await;
    }
    for task in accepting {
        task.cancel().await;
    }
    stopping.begin();
    let deadline = Instant::now() + STOP_TIMEOUT;
    while places.taken() > 0 && Instant::now() < deadline {
        sleep(SWITCH_POLL).await;
    }
    let unfinished = places.taken();
    info!(component = "status", kind = "stop", unfinished, "status server stopped");
}

/// Looks at each new snapshot for those who listen to events.
async fn tell(snapshots: SnapshotCell, events: Rc<Events>) {
    let mut last: Option<Arc<Snapshot>> = None;
    let mut figures_at = Instant::now();
    loop {
        let snapshot = snapshots.load();
        let is_new = last.as_ref().is_none_or(|last| !Arc::ptr_eq(last, &snapshot));
        let is_time = Instant::now() >= figures_at;
        if is_new || is_time {
            events.look(&snapshot, is_time);
            last = Some(snapshot);
        }
        if is_time {
            figures_at = Instant::now() + FIGURES_INTERVAL;
        }
        sleep(EVENTS_POLL).await;
    }
}

/// Of TLS connections whose clients are told that HTTP/1.1 is what is spoken here.
fn acceptor(tls: &ServerConfig) -> TlsAcceptor {
    let mut tls = tls.clone();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(tls))
}

#[cfg(test)]
mod tests;
