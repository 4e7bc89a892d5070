//! What comes down the link → every session.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use glommio::timer::sleep;
use tracing::debug;

use crate::limits::{CLOSE_LINGER, RECONNECT_WAIT_MAX, RECONNECTS_PER_SECOND};
use crate::link::{Delivery, NewTip, News, Phase, StateReceiver};
use crate::session::notify::Work;
use crate::settings::Settings;
use crate::tally::CloseReason;
use crate::wire::reply;

use super::{Port, Shard, accept};

const PAUSED: &str = "Pool paused: node updates degraded. Reconnecting when ready.";
const GOODBYE: &str = "Pool restarting; please reconnect.";

pub(super) async fn run(shard: Rc<Shard>, down: StateReceiver, ports: Vec<Port>) {
    let mut ports = Some(ports);
    let mut accepting = Vec::new();
    loop {
        match down.recv().await {
            News::Settings(settings) => {
                let before = shard.settings.replace(settings);
                // Nothing else of them is of any use to a miner that is at work: new work need not
                // wait for a look at all miners.
                let limits =
                    |settings: &Settings| (settings.difficulty.min, settings.difficulty.max);
                if limits(&before) != limits(&shard.settings.borrow()) {
                    shard
                        .for_each(|connection| {
                            shard.with_env(connection, |session, env| session.on_settings(env));
                        })
                        .await;
                }
            }
            News::Job(Delivery { job, sent_at, new_tip }) => {
                *shard.work.borrow_mut() = Some(Arc::new(Work::new(job)));
                let has_told = broadcast(&shard, new_tip.as_deref()).await;
                if has_told && new_tip.is_some() {
                    shard.tally.borrow_mut().told_last(sent_at.elapsed());
                }
            }
            News::Phase(Phase::Paused) => {
                shard.is_paused.set(true);
                dismiss(&shard, CloseReason::Paused, |_, goodbye| {
                    reply::show_message(goodbye, PAUSED);
                })
                .await;
            }
            News::Phase(Phase::Open) => {
                shard.is_paused.set(false);
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
    dismiss(&shard, CloseReason::Shutdown, |number, goodbye| {
        reply::show_message(goodbye, GOODBYE);
        // Not all in the same second: the next pool on this port would drown.
        let wait = (1 + number / RECONNECTS_PER_SECOND) as u64;
        reply::reconnect(goodbye, wait.min(RECONNECT_WAIT_MAX.as_secs()));
    })
    .await;
    // A task that is left behind keeps the link to control open: all of them get to their end.
    // And a block that waits for control's queue is not left behind either.
    let is_busy = || !shard.connections.borrow().is_empty() || !shard.solved.borrow().is_empty();
    let deadline = Instant::now() + CLOSE_LINGER + CLOSE_LINGER / 4;
    while is_busy() && Instant::now() < deadline {
        sleep(Duration::from_millis(10)).await;
    }
    debug!(shard = shard.id, "shard ended");
}

/// Every miner hears of new work before anything else is done with it.
/// Whether anybody has. One that has not taken what it was told before is not waited for.
async fn broadcast(shard: &Rc<Shard>, new_tip: Option<&NewTip>) -> bool {
    let mut has_told = false;
    shard
        .for_each(|connection| {
            if connection.on_work(shard)
                && !std::mem::replace(&mut has_told, true)
                && let Some(took) = new_tip.and_then(NewTip::told)
            {
                shard.tally.borrow_mut().told_first(took);
            }
        })
        .await;
    has_told
}

/// Says something to every miner, each by its number, and lets it go.
async fn dismiss(shard: &Rc<Shard>, reason: CloseReason, say: impl Fn(usize, &mut Vec<u8>)) {
    let mut number = 0;
    shard
        .for_each(|connection| {
            let mut goodbye = Vec::new();
            say(number, &mut goodbye);
            number += 1;
            connection.send(&goodbye, shard);
            connection.close(reason);
        })
        .await;
}
