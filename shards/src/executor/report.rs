//! Hands the shard's tally to control once a second.

use std::rc::Rc;

use glommio::timer::sleep;
use tracing::debug;

use crate::limits::REPORT_INTERVAL;
use crate::link::{Report, Sent};

use super::Shard;

pub(super) async fn run(shard: Rc<Shard>) {
    loop {
        sleep(REPORT_INTERVAL).await;
        let (connections, authorized) = {
            let connections = shard.connections.borrow();
            let authorized =
                connections.values().filter(|c| c.session.borrow().is_authorized()).count();
            (connections.len() as u64, authorized as u64)
        };
        // Taken whole, then sent: no borrow of shard state is alive across an await.
        let sums = shard.tally.borrow_mut().take();
        let report = Report { shard: shard.id, sums, connections, authorized };
        match shard.up.try_send_report(report) {
            Sent::Yes => {}
            // Nothing is lost: what did not fit goes out with the next report.
            Sent::Full(report) => shard.tally.borrow_mut().put_back(report.sums),
            Sent::ControlGone => break,
        }
    }
    debug!(shard = shard.id, "report task ended");
}
