//! What happens to connections because time passes.

use std::rc::Rc;
use std::time::Duration;

use glommio::timer::sleep;

use crate::limits::{FIRST_WORK_DELAY, SWEEP_INTERVAL};
use crate::session::Next;
use crate::tally::CloseReason;

use super::Shard;
use super::connection::Connection;
use super::slice::Slice;

/// Looks at every connection once an interval: one timer for all instead of one for each.
pub(super) async fn run(shard: Rc<Shard>) {
    loop {
        sleep(SWEEP_INTERVAL).await;
        shard.for_each(|connection| look_at(&shard, connection)).await;
        let mut slice = Slice::begin();
        while shard.shared.directory.end_parking(shard.now().elapsed) {
            slice.share().await;
        }
    }
}

fn look_at(shard: &Shard, connection: &Connection) {
    if connection.is_overdue(shard) {
        connection.cut_off(CloseReason::OutboxFull);
        return;
    }
    connection.settle_owed_work(shard);
    connection.look_at_visit(shard);
    tick(shard, connection);
    look(shard, connection);
    observe(shard, connection);
}

/// Has control told of a miner that has changed.
fn look(shard: &Shard, connection: &Connection) {
    if !connection.session.borrow().has_news() {
        return;
    }
    // One whose socket is broken is about to end.
    if let Some(peer) = connection.peer() {
        shard.with_env(connection, |session, env| session.look(&peer, env));
    }
}

/// Looks at a miner for those who want to know what its kind is like; usually nobody does.
pub(super) fn observe(shard: &Shard, connection: &Connection) {
    if !shard.settings.borrow().observes_miners {
        return;
    }
    let observation = shard.with_env(connection, |session, env| session.observe(env));
    if let Some(mut observation) = observation {
        observation.round_trip = connection.round_trip();
        shard.tally.borrow_mut().observed(observation);
    }
}

fn tick(shard: &Shard, connection: &Connection) {
    match shard.with_env(connection, |session, env| session.on_tick(env)) {
        Next::Close(reason) => connection.close(reason),
        Next::Continue | Next::Judge(_) | Next::Refuse(_) => {}
    }
}

/// Gives connections their first work when their pause is over. The pause is the same for all, so
/// the oldest is always the next; an empty queue is looked at again after one pause.
pub(super) async fn run_first_work(shard: Rc<Shard>) {
    let mut slice = Slice::begin();
    loop {
        let now = shard.now().elapsed;
        let next = shard.first_work_due.borrow().front().copied();
        match next {
            Some((due, token)) if due <= now => {
                shard.first_work_due.borrow_mut().pop_front();
                // Somebody else may have the token by now, whom this costs nothing.
                if let Some(connection) = shard.connection(token) {
                    tick(&shard, &connection);
                }
                slice.share().await;
            }
            Some((due, _)) => {
                sleep((due - now).max(Duration::from_millis(1))).await;
                slice = Slice::begin();
            }
            None => {
                sleep(FIRST_WORK_DELAY).await;
                slice = Slice::begin();
            }
        }
    }
}
