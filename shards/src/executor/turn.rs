//! The loop of a shard: what has come from all sockets, then their answers.

use std::rc::Rc;
use std::time::Duration;

use glommio::timer::sleep;
use tracing::error;

use crate::link::Sent;

use super::ring::{Event, Taken};
use super::slice::Slice;
use super::{Shard, serve};

/// How long a block waits before it tries control's queue again.
const SOLVED_RETRY: Duration = Duration::from_millis(1);
/// How long a ring that fails is left alone.
const RING_RETRY: Duration = Duration::from_millis(100);

/// Things taken before the shard's other tasks get their turn.
const TAKEN_AT_ONCE_MAX: usize = 256;

/// Takes turns until the task is cancelled.
pub(super) async fn run(shard: Rc<Shard>) {
    let mut slice = Slice::begin();
    loop {
        let taken = shard.at_once(|| take(&shard));
        // Before it rests: nobody knows when it will be woken.
        hand_over(&shard).await;
        let rested = match taken {
            Ok(More::MayBeThere) => {
                slice.share().await;
                Ok(())
            }
            Ok(More::IsNot) => {
                let rested = shard.ring.wait().await;
                slice = Slice::begin();
                rested
            }
            Err(error) => Err(error),
        };
        if let Err(error) = rested {
            error!(shard = shard.id, %error, "the ring of the miners' sockets failed");
            sleep(RING_RETRY).await;
        }
    }
}

enum More {
    MayBeThere,
    IsNot,
}

/// One turn: what has come, until nothing has, and the answers to it. Whole batches are judged as
/// soon as they are there, and what is left over at the end.
fn take(shard: &Rc<Shard>) -> std::io::Result<More> {
    let mut left = TAKEN_AT_ONCE_MAX;
    let taken = loop {
        match shard.ring.take(left, |event| on_event(shard, event)) {
            Ok(Taken { count: 0, is_more_left: false }) => break Ok(More::IsNot),
            // Work that nothing comes of counts too: others wait for their turn.
            Ok(Taken { count, .. }) if count.max(1) >= left => break Ok(More::MayBeThere),
            Ok(Taken { count, .. }) => left -= count.max(1),
            Err(error) => break Err(error),
        }
    };
    shard.judge();
    shard.tally.borrow_mut().turned();
    taken
}

fn on_event(shard: &Rc<Shard>, event: Event<'_>) {
    match event {
        Event::Received(token, bytes) => {
            if let Some(connection) = shard.connection(token) {
                serve::on_received(shard, &connection, bytes);
                if shard.judge.borrow().has_enough() {
                    shard.judge();
                }
            }
        }
        Event::Ended(token) => {
            if let Some(connection) = shard.connection(token) {
                serve::on_ended(shard, &connection);
            }
        }
    }
}

/// A block waits for control's queue: nothing found is ever dropped.
async fn hand_over(shard: &Shard) {
    loop {
        let Some(solved) = shard.solved.borrow_mut().pop_front() else { return };
        match shard.up.try_send_solved(solved) {
            Sent::Yes => {}
            Sent::Full(again) => {
                shard.solved.borrow_mut().push_front(again);
                sleep(SOLVED_RETRY).await;
            }
            Sent::ControlGone(lost) => {
                // Nobody is left to submit it; whoever reads this still can.
                let (header, coinbase) =
                    (const_hex::encode(lost.header), const_hex::encode(lost.coinbase));
                error!(height = lost.job.height, header, coinbase, "block found after the end");
            }
        }
    }
}
