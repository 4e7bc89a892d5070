//! The only door between control and the shards.
//! Down goes state, where only the newest matters; up go events and sums.
//!
//! | message    | direction       | when its queue is full                |
//! |------------|-----------------|---------------------------------------|
//! | `Job`      | control → shard | replaced by the newer one             |
//! | `Settings` | control → shard | replaced by the newer one             |
//! | `Phase`    | control → shard | replaced by the newer one             |
//! | `Errand`   | control → shard | refused: whoever asked may ask again  |
//! | `Solved`   | shard → control | waited for: a block is never dropped  |
//! | `Report`   | shard → control | kept, and merged into the next report |

use std::collections::HashSet;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use atomic_waker::AtomicWaker;
use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, bounded};

use crate::limits::{ERRAND_QUEUE, REPORT_QUEUE, SOLVED_QUEUE};
use crate::session::{ShownWork, Stranger};
use crate::settings::Settings;
use crate::share::Solved;
use crate::tally::Sums;
use crate::work::job::Job;

/// Whether miners are welcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The listeners accept.
    Open,
    /// There is no fresh work and there will not be any soon: miners are let go, and those that
    /// come are closed.
    Paused,
    /// Miners are told to come back, and the shard ends.
    Stopping,
}

/// Something to be done once about connections that may be anywhere: every shard is sent the same,
/// and does what concerns its own.
#[derive(Clone, Debug)]
pub enum Errand {
    /// Says something to these connections, by their numbers, and ends them.
    Close { sequences: Arc<[u64]>, words: &'static str },
    /// The same for all connections of these workers; a bare wallet means every worker of it.
    CloseWorkers { names: Arc<HashSet<String>>, words: Arc<str> },
    /// Tells what the miner of this connection works on. When all shards have let go of `answer`
    /// and none has used it, there is no such miner.
    Show { sequence: u64, answer: Sender<ShownWork> },
    /// Tells of connections that have not authorized, as many as `answer` has room for; complete
    /// when all shards have let go of it.
    Strangers { answer: Sender<Stranger> },
    /// Ends those that have not authorized, by their other ends: most have no number yet.
    CloseStrangers { remotes: Arc<HashSet<SocketAddr>>, words: &'static str },
}

/// What a shard has to say once a second.
#[derive(Clone, Debug)]
pub struct Report {
    pub shard: usize,
    pub sums: Sums,
    pub gauges: Gauges,
}

/// How a shard is at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gauges {
    /// Open connections in the clear.
    pub tcp: Stages,
    /// Open connections over TLS.
    pub tls: Stages,
    /// What miners have not taken yet, of all connections.
    pub outbox_bytes: u64,
    /// Receive buffers that were full at once, at most, since the report before.
    pub receive_buffers_peak: u64,
}

/// How far connections have come; each is counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stages {
    /// Neither subscribed nor authorized.
    pub connected: u64,
    /// Not authorized yet.
    pub subscribed: u64,
    pub authorized: u64,
}

impl Stages {
    pub fn open(&self) -> u64 {
        self.connected + self.subscribed + self.authorized
    }

    pub fn add(&mut self, other: &Self) {
        self.connected += other.connected;
        self.subscribed += other.subscribed;
        self.authorized += other.authorized;
    }
}

impl Gauges {
    pub fn connections(&self) -> u64 {
        self.tcp.open() + self.tls.open()
    }
}

/// A job on its way to a shard.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub job: Arc<Job>,
    /// When it was sent; for one on a new tip that has replaced another, when that was.
    pub sent_at: Instant,
    /// There when miners work for nothing until they have it.
    pub new_tip: Option<Arc<NewTip>>,
}

/// A new tip that all shards are told of: whose miner hears of it first?
#[derive(Debug)]
pub struct NewTip {
    known_since: Instant,
    is_told: AtomicBool,
}

impl NewTip {
    /// Of which the pool could first know then.
    pub fn new(known_since: Instant) -> Arc<Self> {
        Arc::new(Self { known_since, is_told: AtomicBool::new(false) })
    }

    /// A miner has been told: how long that took, if none had been before.
    pub fn told(&self) -> Option<Duration> {
        // Relaxed: nothing else is read because of it.
        let is_first = !self.is_told.swap(true, Ordering::Relaxed);
        is_first.then(|| self.known_since.elapsed())
    }
}

/// Control's end towards one shard.
#[derive(Debug)]
pub struct Downlink {
    jobs: Replacing<Delivery>,
    settings: Replacing<Arc<Settings>>,
    phases: Replacing<Phase>,
    waker: Arc<AtomicWaker>,
    errands: Sender<Errand>,
    errand_waker: Arc<AtomicWaker>,
}

impl Downlink {
    pub fn send_job(&self, job: Arc<Job>) {
        self.deliver(job, None);
    }

    /// A job that makes what miners do until they have it worthless.
    pub fn send_job_on_new_tip(&self, job: Arc<Job>, new_tip: Arc<NewTip>) {
        self.deliver(job, Some(new_tip));
    }

    fn deliver(&self, job: Arc<Job>, new_tip: Option<Arc<NewTip>>) {
        let delivery = Delivery { job, sent_at: Instant::now(), new_tip };
        self.jobs.send(delivery, |newer, replaced| {
            // The shard's miners have not heard of the tip yet, and the clock goes on.
            if newer.new_tip.is_none() && replaced.new_tip.is_some() {
                newer.new_tip = replaced.new_tip;
                newer.sent_at = replaced.sent_at;
            }
        });
        self.waker.wake();
    }

    pub fn send_settings(&self, settings: Arc<Settings>) {
        self.settings.send(settings, |_, _| {});
        self.waker.wake();
    }

    pub fn send_phase(&self, phase: Phase) {
        self.phases.send(phase, |_, _| {});
        self.waker.wake();
    }

    /// Whether there was room.
    pub fn send_errand(&self, errand: Errand) -> bool {
        let is_sent = self.errands.try_send(errand).is_ok();
        self.errand_waker.wake();
        is_sent
    }
}

/// What came down, one thing at a time; a job comes after the settings that were sent before it.
#[derive(Debug)]
pub enum News {
    Job(Delivery),
    Settings(Arc<Settings>),
    Phase(Phase),
    /// Control's end is gone.
    ControlGone,
}

/// A shard's ears: one for the state that miners wait for, and one for what may wait for it.
#[derive(Debug)]
pub struct DownlinkReceiver {
    pub state: StateReceiver,
    pub errands: ErrandReceiver,
}

#[derive(Debug)]
pub struct ErrandReceiver {
    errands: Receiver<Errand>,
    waker: Arc<AtomicWaker>,
}

impl ErrandReceiver {
    /// Waits for the next; for ever once control's end is gone, for the state tells of that.
    pub async fn recv(&self) -> Errand {
        poll_fn(|context| {
            self.waker.register(context.waker());
            self.errands.try_recv().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

#[derive(Debug)]
pub struct StateReceiver {
    jobs: Receiver<Delivery>,
    settings: Receiver<Arc<Settings>>,
    phases: Receiver<Phase>,
    waker: Arc<AtomicWaker>,
}

impl StateReceiver {
    /// Waits for whatever comes next.
    pub async fn recv(&self) -> News {
        poll_fn(|context| {
            if let Some(news) = self.try_recv() {
                return Poll::Ready(news);
            }
            // Registered before the second look, so nothing can come between unnoticed.
            self.waker.register(context.waker());
            self.try_recv().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    fn try_recv(&self) -> Option<News> {
        if let Ok(phase) = self.phases.try_recv() {
            return Some(News::Phase(phase));
        }
        match self.settings.try_recv() {
            Ok(settings) => return Some(News::Settings(settings)),
            Err(TryRecvError::Empty) => {}
            // All three senders live and end together.
            Err(TryRecvError::Disconnected) => return Some(News::ControlGone),
        }
        self.jobs.try_recv().ok().map(News::Job)
    }
}

/// A queue of one in which the newer takes the older's place. Only its one sender sends.
#[derive(Debug)]
struct Replacing<T> {
    sender: Sender<T>,
    /// The sender's own hold on what has not been taken yet.
    receiver: Receiver<T>,
}

impl<T> Replacing<T> {
    fn pair() -> (Self, Receiver<T>) {
        let (sender, receiver) = bounded(1);
        (Self { sender, receiver: receiver.clone() }, receiver)
    }

    /// `inherit` is given what is replaced.
    fn send(&self, mut value: T, inherit: impl Fn(&mut T, T)) {
        // Ends at the second turn at the latest unless the shard takes one in between.
        while let Err(TrySendError::Full(again)) = self.sender.try_send(value) {
            value = again;
            if let Ok(replaced) = self.receiver.try_recv() {
                inherit(&mut value, replaced);
            }
        }
    }
}

/// A block on its way, and when its shard sent it.
#[derive(Clone, Debug)]
pub struct Found {
    pub solved: Solved,
    pub at: Instant,
}

/// A shard's voice.
#[derive(Clone, Debug)]
pub struct Uplink {
    solved: Sender<Found>,
    reports: Sender<Report>,
}

/// What became of a message.
#[derive(Debug)]
pub enum Sent<T> {
    Yes,
    Full(T),
    /// There is no control any more; the message comes back.
    ControlGone(T),
}

impl Uplink {
    pub fn try_send_solved(&self, solved: Solved) -> Sent<Solved> {
        match self.solved.try_send(Found { solved, at: Instant::now() }) {
            Ok(()) => Sent::Yes,
            Err(TrySendError::Full(found)) => Sent::Full(found.solved),
            Err(TrySendError::Disconnected(found)) => Sent::ControlGone(found.solved),
        }
    }

    pub fn try_send_report(&self, report: Report) -> Sent<Report> {
        match self.reports.try_send(report) {
            Ok(()) => Sent::Yes,
            Err(TrySendError::Full(report)) => Sent::Full(report),
            Err(TrySendError::Disconnected(message)) => Sent::ControlGone(message),
        }
    }
}

/// Control's ears: all shards speak into the same two queues. The blocks have a thread of their own
/// at the other end, so that one never waits for what the control loop is doing.
#[derive(Debug)]
pub struct UplinkReceiver {
    pub solved: Receiver<Found>,
    pub reports: Receiver<Report>,
}

/// The link of one shard, both directions: what control keeps and what the shard gets.
pub fn downlink() -> (Downlink, DownlinkReceiver) {
    let (job_sender, jobs) = Replacing::pair();
    let (settings_sender, settings) = Replacing::pair();
    let (phase_sender, phases) = Replacing::pair();
    let (errand_sender, errands) = bounded(ERRAND_QUEUE);
    let waker = Arc::new(AtomicWaker::new());
    let errand_waker = Arc::new(AtomicWaker::new());
    (
        Downlink {
            jobs: job_sender,
            settings: settings_sender,
            phases: phase_sender,
            waker: Arc::clone(&waker),
            errands: errand_sender,
            errand_waker: Arc::clone(&errand_waker),
        },
        DownlinkReceiver {
            state: StateReceiver { jobs, settings, phases, waker },
            errands: ErrandReceiver { errands, waker: errand_waker },
        },
    )
}

/// The shared way up, for `shards` shards.
pub fn uplink(shards: usize) -> (Uplink, UplinkReceiver) {
    let (solved_sender, solved) = bounded(SOLVED_QUEUE);
    let (report_sender, reports) = bounded(REPORT_QUEUE * shards.max(1));
    (Uplink { solved: solved_sender, reports: report_sender }, UplinkReceiver { solved, reports })
}

#[cfg(test)]
mod tests {
    use futures_lite::future::block_on;

    use super::*;
    use crate::session::notify::tests::job;

    #[test]
    fn only_the_newest_state_is_kept() {
        let (downlink, receiver) = downlink();
        downlink.send_phase(Phase::Open);
        downlink.send_phase(Phase::Stopping);
        assert!(matches!(receiver.state.try_recv(), Some(News::Phase(Phase::Stopping))));
        assert!(receiver.state.try_recv().is_none());
        drop(downlink);
        assert!(matches!(receiver.state.try_recv(), Some(News::ControlGone)));
    }

    #[test]
    fn a_new_tip_that_nobody_has_been_told_of_goes_on_with_the_newer_job() {
        let (downlink, receiver) = downlink();
        let take = || match receiver.state.try_recv() {
            Some(News::Job(delivery)) => delivery,
            other => panic!("{other:?}"),
        };
        let [one, two, three] = [1, 2, 3].map(|id| job(id, 7));
        let new_tip = NewTip::new(Instant::now());
        downlink.send_job_on_new_tip(one, Arc::clone(&new_tip));
        let sent_by = Instant::now();
        downlink.send_job(Arc::clone(&two));
        let delivery = take();
        assert!(Arc::ptr_eq(&delivery.job, &two) && delivery.sent_at <= sent_by);
        assert!(Arc::ptr_eq(delivery.new_tip.as_ref().unwrap(), &new_tip));
        downlink.send_job(three);
        assert!(take().new_tip.is_none());
        assert!(new_tip.told().is_some());
        assert!(new_tip.told().is_none(), "only one is the first");
    }

    #[test]
    fn errands_stand_in_a_queue_of_their_own_that_refuses_when_it_is_full() {
        let (downlink, receiver) = downlink();
        let close = || Errand::Close { sequences: Arc::new([1]), words: "" };
        for _ in 0..ERRAND_QUEUE {
            assert!(downlink.send_errand(close()));
        }
        assert!(!downlink.send_errand(close()));
        downlink.send_job(job(1, 7));
        assert!(matches!(receiver.state.try_recv(), Some(News::Job(_))));
        assert!(receiver.state.try_recv().is_none());
        assert!(matches!(block_on(receiver.errands.recv()), Errand::Close { .. }));
        assert!(downlink.send_errand(close()));
    }

    #[test]
    fn a_full_queue_gives_the_report_back() {
        let (uplink, receiver) = uplink(1);
        let report = || Report { shard: 0, sums: Sums::default(), gauges: Gauges::default() };
        for _ in 0..REPORT_QUEUE {
            assert!(matches!(uplink.try_send_report(report()), Sent::Yes));
        }
        assert!(matches!(uplink.try_send_report(report()), Sent::Full(_)));
        drop(receiver);
        assert!(matches!(uplink.try_send_report(report()), Sent::ControlGone(_)));
    }
}
