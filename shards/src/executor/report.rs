//! Hands the shard's tally to control once a second, sooner when somebody was banned, and at the end.

use std::rc::Rc;
use std::time::{Duration, Instant};

use glommio::timer::sleep;
use tracing::debug;

use crate::limits::{BAN_REPORT_INTERVAL, REPORT_INTERVAL};
use crate::link::{Gauges, Report, Sent, Stages};

use super::Shard;

/// How long the last report waits for room in the queue; control empties it while it stops.
const LAST_WAIT_MAX: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_millis(10);

pub(super) async fn run(shard: Rc<Shard>) {
    let mut handed_at = Instant::now();
    loop {
        sleep(BAN_REPORT_INTERVAL).await;
        // A ban is to be on the disk soon: who is banned may wait for the pool to be killed.
        let is_due = handed_at.elapsed() >= REPORT_INTERVAL || shard.tally.borrow().has_bans();
        if !is_due {
            continue;
        }
        handed_at = Instant::now();
        if let Handed::ControlGone = hand_in(&shard) {
            break;
        }
    }
    debug!(shard = shard.id, "report task ended");
}

/// What happened since the report before: shares, and bans that are to outlive the process.
pub(super) async fn run_last(shard: &Shard) {
    let deadline = Instant::now() + LAST_WAIT_MAX;
    while let Handed::NotYet = hand_in(shard)
        && Instant::now() < deadline
    {
        sleep(LAST_RETRY).await;
    }
}

enum Handed {
    Yes,
    /// Nothing is lost: what did not fit goes out with the next report.
    NotYet,
    ControlGone,
}

fn hand_in(shard: &Shard) -> Handed {
    // Taken whole, then sent: no borrow of shard state is alive across an await.
    let mut sums = shard.tally.borrow_mut().take();
    sums.pace.starved += shard.ring.take_starved();
    let report = Report { shard: shard.id, sums, gauges: gauges(shard) };
    match shard.up.try_send_report(report) {
        Sent::Yes => {
            shard.ring.forget_peak();
            Handed::Yes
        }
        Sent::Full(report) => {
            shard.tally.borrow_mut().put_back(report.sums);
            Handed::NotYet
        }
        Sent::ControlGone(_) => Handed::ControlGone,
    }
}

/// One look at each connection, for all there is to know of it.
fn gauges(shard: &Shard) -> Gauges {
    let mut gauges = Gauges { receive_buffers_peak: shard.ring.peak(), ..Gauges::default() };
    for (_, connection) in &*shard.connections.borrow() {
        gauges.outbox_bytes += connection.waiting_bytes() as u64;
        if connection.is_ending() {
            continue;
        }
        let Stages { connected, subscribed, authorized } =
            if connection.is_tls() { &mut gauges.tls } else { &mut gauges.tcp };
        let session = connection.session.borrow();
        *match (session.is_authorized(), session.is_subscribed()) {
            (true, _) => authorized,
            (false, true) => subscribed,
            (false, false) => connected,
        } += 1;
    }
    gauges
}
