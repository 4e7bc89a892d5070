//! What comes down the link → every session.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use glommio::timer::sleep;
use tracing::debug;

use crate::limits::{CLOSE_LINGER, RECONNECT_WAIT_MAX, RECONNECTS_PER_SECOND};
use crate::link::{DownlinkReceiver, News, Phase};
use crate::session::notify::Work;
use crate::tally::CloseReason;
use crate::wire::reply;

use super::connection::Connection;
use super::{Port, Shard, accept};

const GOODBYE: &str = "Pool restarting; please reconnect.";

pub(super) async fn run(shard: Rc<Shard>, down: DownlinkReceiver, ports: Vec<Port>) {
    let mut ports = Some(ports);
    let mut accepting = Vec::new();
    loop {
        match down.recv().await {
            News::Settings(settings) => *shard.settings.borrow_mut() = settings,
            News::Job(job) => {
                *shard.work.borrow_mut() = Some(Arc::new(Work::new(job)));
                broadcast(&shard).await;
            }
            News::Phase(Phase::Open) => {
                for port in ports.take().into_iter().flatten() {
                    let task = accept::run(Rc::clone(&shard), port);
                    accepting.push(
                        glommio::spawn_local_into(task, shard.miners)
                            .expect("the queue lives with the shard"),
                    );
                }
            }
            News::Phase(Phase::Stopping) | News::ControlGone => break,
        }
    }
    // Dropping the tasks closes the listeners.
    accepting.clear();
    say_goodbye(&shard).await;
    debug!(shard = shard.id, "shard ended");
}

/// Every miner hears of new work before anything else is done with it.
async fn broadcast(shard: &Rc<Shard>) {
    for connection in all(shard) {
        connection.on_work(shard);
        glommio::yield_if_needed().await;
    }
}

async fn say_goodbye(shard: &Rc<Shard>) {
    for (number, connection) in all(shard).into_iter().enumerate() {
        let mut goodbye = Vec::new();
        reply::show_message(&mut goodbye, GOODBYE);
        // Not all in the same second: the next pool on this port would drown.
        let wait = (1 + number / RECONNECTS_PER_SECOND) as u64;
        reply::reconnect(&mut goodbye, wait.min(RECONNECT_WAIT_MAX.as_secs()));
        connection.send(&goodbye, shard);
        connection.close(CloseReason::Shutdown);
        glommio::yield_if_needed().await;
    }
    let deadline = Instant::now() + CLOSE_LINGER;
    while !shard.connections.borrow().is_empty() && Instant::now() < deadline {
        sleep(Duration::from_millis(10)).await;
    }
}

fn all(shard: &Shard) -> Vec<Rc<Connection>> {
    shard.connections.borrow().values().cloned().collect()
}
