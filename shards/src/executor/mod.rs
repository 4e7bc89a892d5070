//! The only glommio code of the data path: sockets, tasks, timers. One executor per shard.

mod accept;
mod awake;
mod connection;
mod errands;
mod feed;
mod judge;
mod outbox;
mod report;
mod ring;
mod serve;
mod slice;
mod socket;
mod sweep;
mod transport;
mod turn;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::TcpListener;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::bounded;
use glommio::{ExecutorJoinHandle, Latency, LocalExecutorBuilder, Placement, Shares};
use rustls::ServerConfig;
use slab::Slab;
use tracing::error;

use crate::admission::Admission;
use crate::admission::bans::Bans;
use crate::admission::bucket::AcceptLimiter;
use crate::admission::reconnect::ReconnectTracker;
use crate::admission::violations::Violations;
use crate::link::{DownlinkReceiver, Uplink};
use crate::session::directory::Directory;
use crate::session::notify::Work;
use crate::session::{Env, Now};
use crate::settings::Settings;
use crate::share::Solved;
use crate::tally::Tally;
use connection::Connection;
use judge::Judge;
use ring::Ring;
use slice::Slice;

pub use self::awake::{PREEMPTION, keep_awake};
pub use socket::{bind_shared, listen};

/// Target of the events that are raw traffic: `direction` (`recv` or `send`) and `bytes`, a line.
pub const TRAFFIC: &str = "gopool::net";

/// What one shard is told when it starts.
#[derive(Debug)]
pub struct ShardPlan {
    /// From 0.
    pub id: usize,
    /// The CPU it is pinned to; none leaves it to the kernel.
    pub core: Option<usize>,
    pub ports: Vec<Port>,
    pub settings: Arc<Settings>,
    pub shared: SharedState,
}

/// Where miners come in.
#[derive(Debug)]
pub struct Port {
    /// Bound by [`bind_shared`]; the shard accepts from it once control has made it [`listen`] and
    /// the phase is open.
    pub listener: TcpListener,
    /// Speaks TLS with these keys; none speaks in the clear.
    pub tls: Option<Arc<ServerConfig>>,
}

/// What all shards count together; each connection touches it when it comes and when it goes, no
/// share ever does.
#[derive(Clone, Debug)]
pub struct SharedState {
    pub directory: Arc<Directory>,
    pub admission: Admission,
    /// How fast connections are taken; none takes them as they come.
    pub limiter: Option<Arc<AcceptLimiter>>,
    pub reconnects: Arc<ReconnectTracker>,
    pub bans: Arc<Bans>,
    pub violations: Arc<Violations>,
    /// The zero of [`Now::elapsed`].
    pub started: Instant,
}

/// A shard that runs.
pub struct ShardHandle(ExecutorJoinHandle<()>);

impl ShardHandle {
    /// Waits for the shard to end, which it does after `Phase::Stopping`.
    pub fn join(self) -> Result<(), String> {
        self.0.join().map_err(|error| error.to_string())
    }
}

/// Memory of glommio's registered buffers, which miners' sockets do not use.
const IO_MEMORY_BYTES: usize = 64 * 1024;
/// Requests that glommio's own rings take at a time: timers, wake-ups, little else.
const RING_DEPTH: usize = 128;

/// Connections that something is done for before others get their turn: a fraction of a
/// millisecond.
const CONNECTIONS_AT_ONCE: usize = 32;

/// Starts a shard on a thread of its own, once it has its ring. `prepare` runs on that thread before
/// anything of the shard is made: what only the program knows of its threads, such as where their
/// memory comes from.
///
/// Errors: what the executor or the kernel says, most likely that it is older than Linux 6.1 or that
/// too little memory may be locked; and what `prepare` says.
pub fn spawn(
    plan: ShardPlan,
    down: DownlinkReceiver,
    up: Uplink,
    prepare: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<ShardHandle> {
    let placement = plan.core.map_or(Placement::Unbound, Placement::Fixed);
    let (started, has_started) = bounded(1);
    let handle = LocalExecutorBuilder::new(placement)
        .name(&format!("shard-{}", plan.id))
        .io_memory(IO_MEMORY_BYTES)
        .ring_depth(RING_DEPTH)
        .preempt_timer(PREEMPTION)
        .spawn(move || async move {
            // On the thread that will use it.
            let ring = prepare().and_then(|()| Ring::new());
            let _ = started.send(ring.as_ref().map(drop).map_err(|error| error.to_string()));
            if let Ok(ring) = ring {
                run(plan, ring, down, up).await;
            }
        })
        .map_err(|error| io::Error::other(error.to_string()))?;
    let ring = has_started.recv().unwrap_or_else(|_| Err("the shard did not start".into()));
    ring.map_err(io::Error::other)?;
    Ok(ShardHandle(handle))
}

/// Every task of a shard, with its queue. The feed ends the shard.
async fn run(plan: ShardPlan, ring: Ring, down: DownlinkReceiver, up: Uplink) {
    let queue = |name: &str, shares: usize| {
        let latency = Latency::NotImportant;
        glommio::executor().create_task_queue(Shares::Static(shares), latency, name)
    };
    let miners = queue("miners", 1000);
    let news = queue("news", 1000);
    let chores = queue("chores", 50);

    let shard = Rc::new_cyclic(|own| Shard {
        own: own.clone(),
        id: plan.id,
        settings: RefCell::new(plan.settings),
        shared: plan.shared,
        work: RefCell::new(None),
        ring,
        connections: RefCell::default(),
        ending: Cell::new(0),
        first_work_due: RefCell::default(),
        tally: RefCell::default(),
        out: RefCell::default(),
        text: RefCell::default(),
        judge: RefCell::default(),
        solved: RefCell::default(),
        at_once: Cell::new(None),
        is_paused: Cell::new(false),
        miners,
        up,
    });
    let spawn = |queue, task| {
        glommio::spawn_local_into(task, queue).expect("the queue has just been made").detach()
    };
    let reports = spawn(chores, boxed(report::run(Rc::clone(&shard))));
    let sweeps = spawn(chores, boxed(sweep::run(Rc::clone(&shard))));
    let turns = spawn(miners, boxed(turn::run(Rc::clone(&shard))));
    let first_work = spawn(news, boxed(sweep::run_first_work(Rc::clone(&shard))));
    let awake = spawn(news, boxed(keep_awake()));
    let DownlinkReceiver { state, errands } = down;
    let errands = spawn(chores, boxed(errands::run(Rc::clone(&shard), errands)));
    let feed = glommio::spawn_local_into(feed::run(Rc::clone(&shard), state, plan.ports), news)
        .expect("the queue has just been made");
    feed.await;
    report::run_last(&shard).await;
    for task in [reports, sweeps, turns, first_work, awake, errands] {
        task.cancel();
    }
}

type BoxedTask = std::pin::Pin<Box<dyn Future<Output = ()>>>;

fn boxed(task: impl Future<Output = ()> + 'static) -> BoxedTask {
    Box::pin(task)
}

/// The state that all tasks of a shard share. No borrow of it is alive across an await.
struct Shard {
    /// For itself, so that tasks can be given it.
    own: Weak<Self>,
    id: usize,
    settings: RefCell<Arc<Settings>>,
    shared: SharedState,
    work: RefCell<Option<Arc<Work>>>,
    ring: Ring,
    /// By token.
    connections: RefCell<Slab<Rc<Connection>>>,
    /// How many of them only say goodbye any more.
    ending: Cell<usize>,
    /// Connections whose first work waits, in the order in which it is due: the wait is the same
    /// for all.
    first_work_due: RefCell<VecDeque<(Duration, u32)>>,
    tally: RefCell<Tally>,
    /// Where a session writes before the bytes go to an outbox.
    out: RefCell<Vec<u8>>,
    /// Where a TLS miner's text goes once it has been decrypted; one for all.
    text: RefCell<Vec<u8>>,
    judge: RefCell<Judge>,
    /// Blocks on their way to control.
    solved: RefCell<VecDeque<Solved>>,
    /// What the clocks said when that began which happens at once.
    at_once: Cell<Option<Now>>,
    /// Connections are closed as they come.
    is_paused: Cell<bool>,
    miners: glommio::TaskQueueHandle,
    up: Uplink,
}

impl Shard {
    fn now(&self) -> Now {
        if let Some(now) = self.at_once.get() {
            return now;
        }
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { elapsed: self.shared.started.elapsed(), unix_seconds: unix.as_secs() }
    }

    /// Reads the clocks once for all that `act` does; it does not wait for anything.
    fn at_once<T>(&self, act: impl FnOnce() -> T) -> T {
        self.at_once.set(Some(self.now()));
        let result = act();
        self.at_once.set(None);
        result
    }

    /// Does something for every connection that is open when it begins, a few at a time; for one
    /// that comes meanwhile, perhaps.
    async fn for_each(&self, mut act: impl FnMut(&Rc<Connection>)) {
        // By token: to look at all of them first would keep the first one waiting.
        let end = self.connections.borrow().capacity();
        let mut slice = Slice::begin();
        for first in (0..end).step_by(CONNECTIONS_AT_ONCE) {
            self.at_once(|| {
                let some = first..end.min(first + CONNECTIONS_AT_ONCE);
                let some = some.filter_map(|token| self.connection(token as u32));
                some.filter(|connection| !connection.is_ending()).for_each(|one| act(&one));
            });
            slice.share().await;
        }
    }

    /// The connection, unless it has gone.
    fn connection(&self, token: u32) -> Option<Rc<Connection>> {
        self.connections.borrow().get(token as usize).cloned()
    }

    /// Has the submissions judged that have been gathered.
    fn judge(&self) {
        let mut judge = self.judge.borrow_mut();
        if !judge.is_empty() {
            judge.conclude(self);
        }
    }

    /// Hands the kernel what the ring has been asked.
    fn submit(&self) {
        if let Err(error) = self.ring.submit() {
            error!(shard = self.id, %error, "the ring of the miners' sockets failed");
        }
    }

    /// Runs a task among those that serve miners.
    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        glommio::spawn_local_into(task, self.miners)
            .expect("the queue lives with the shard")
            .detach();
    }

    /// Lets `act` use a connection's session, then sends what it has written.
    fn with_env<T>(
        &self,
        connection: &Connection,
        act: impl FnOnce(&mut crate::session::Session, &mut Env<'_>) -> T,
    ) -> T {
        let mut out = self.out.borrow_mut();
        out.clear();
        let settings = self.settings.borrow();
        let work = self.work.borrow();
        let result = act(
            &mut connection.session.borrow_mut(),
            &mut Env {
                now: self.now(),
                settings: &settings,
                work: work.as_ref(),
                directory: &self.shared.directory,
                bans: &self.shared.bans,
                violations: &self.shared.violations,
                tally: &mut self.tally.borrow_mut(),
                out: &mut out,
            },
        );
        connection.send(&out, self);
        result
    }
}
