//! Hands the shard's tally to control once a second.

use std::rc::Rc;

use glommio::timer::sleep;
use tracing::debug;

use crate::limits::REPORT_INTERVAL;
use crate::link::{Gauges, Report, Sent};

use super::Shard;
use super::connection::Connection;

pub(super) async fn run(shard: Rc<Shard>) {
    loop {
        sleep(REPORT_INTERVAL).await;
        // Taken whole, then sent: no borrow of shard state is alive across an await.
        let sums = shard.tally.borrow_mut().take();
        let report = Report { shard: shard.id, sums, gauges: gauges(&shard) };
        match shard.up.try_send_report(report) {
            Sent::Yes => {}
            // Nothing is lost: what did not fit goes out with the next report.
            Sent::Full(report) => shard.tally.borrow_mut().put_back(report.sums),
            Sent::ControlGone(_) => break,
        }
    }
    debug!(shard = shard.id, "report task ended");
}

fn gauges(shard: &Shard) -> Gauges {
    let connections = shard.connections.borrow();
    let count = |is_counted: fn(&Connection) -> bool| {
        let open = connections.iter().filter(|(_, connection)| !connection.is_ending());
        open.filter(|(_, connection)| is_counted(connection)).count() as u64
    };
    Gauges {
        connections: (connections.len() - shard.ending.get()) as u64,
        authorized: count(|connection| connection.session.borrow().is_authorized()),
        tls: count(Connection::is_tls),
    }
}
