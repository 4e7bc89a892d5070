//! What people want of single connections. To find one all are looked through, so it is a chore:
//! neither a miner nor new work waits for it.

use std::collections::HashSet;
use std::rc::Rc;

use crate::admission::bans::names_of;
use crate::link::{Errand, ErrandReceiver};
use crate::session::Session;
use crate::tally::CloseReason;
use crate::wire::reply;

use super::Shard;

pub(super) async fn run(shard: Rc<Shard>, errands: ErrandReceiver) {
    loop {
        carry_out(&shard, errands.recv().await).await;
    }
}

async fn carry_out(shard: &Rc<Shard>, errand: Errand) {
    match errand {
        Errand::Close { sequences, words } => {
            let sequences: HashSet<u64> = sequences.iter().copied().collect();
            let is_meant =
                |session: &Session| session.number().is_some_and(|one| sequences.contains(&one));
            end_those(shard, words, is_meant).await;
        }
        Errand::CloseWorkers { names, words } => {
            let is_meant = |session: &Session| {
                let worker = session.worker();
                worker.is_some_and(|it| names_of(it).iter().any(|name| names.contains(&**name)))
            };
            end_those(shard, &words, is_meant).await;
        }
        Errand::Show { sequence, answer } => {
            let mut shown = None;
            shard
                .for_each(|connection| {
                    let session = connection.session.borrow();
                    if session.number() == Some(sequence) {
                        shown = session.shown();
                    }
                })
                .await;
            // Whoever asked may have gone.
            let _ = shown.map(|shown| answer.try_send(shown));
        }
    }
}

/// Says something to some miners and lets them go.
async fn end_those(shard: &Rc<Shard>, words: &str, is_meant: impl Fn(&Session) -> bool) {
    shard
        .for_each(|connection| {
            if is_meant(&connection.session.borrow()) {
                let mut goodbye = Vec::new();
                reply::show_message(&mut goodbye, words);
                connection.send(&goodbye, shard);
                connection.close(CloseReason::Requested);
            }
        })
        .await;
}
