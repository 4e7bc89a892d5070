//! What people want of single connections. To find one all are looked through, so it is a chore:
//! neither a miner nor new work waits for it.

use std::collections::HashSet;
use std::rc::Rc;

use crate::admission::bans::names_of;
use crate::link::{Errand, ErrandReceiver};
use crate::session::Stranger;
use crate::tally::CloseReason;
use crate::wire::reply;

use super::Shard;
use super::connection::Connection;

pub(super) async fn run(shard: Rc<Shard>, errands: ErrandReceiver) {
    loop {
        carry_out(&shard, errands.recv().await).await;
    }
}

async fn carry_out(shard: &Rc<Shard>, errand: Errand) {
    match errand {
        Errand::Close { sequences, words } => {
            let sequences: HashSet<u64> = sequences.iter().copied().collect();
            let is_meant = |connection: &Connection| {
                connection.session.borrow().number().is_some_and(|one| sequences.contains(&one))
            };
            end_those(shard, words, is_meant).await;
        }
        Errand::CloseWorkers { names, words } => {
            let is_meant = |connection: &Connection| {
                let session = connection.session.borrow();
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
        Errand::Strangers { answer } => {
            shard
                .for_each(|connection| {
                    // One more than there is room for is not told of.
                    let _ = stranger(connection).map(|stranger| answer.try_send(stranger));
                })
                .await;
        }
        Errand::CloseStrangers { remotes, words } => {
            let is_meant = |connection: &Connection| {
                stranger(connection).is_some_and(|stranger| remotes.contains(&stranger.remote))
            };
            end_those(shard, words, is_meant).await;
        }
    }
}

/// What is known of a connection that has not authorized.
fn stranger(connection: &Connection) -> Option<Stranger> {
    let session = connection.session.borrow();
    // The other end is asked of the kernel: only for those whom it is about.
    let is_stranger = session.worker().is_none();
    let peer = is_stranger.then(|| connection.peer())??;
    session.stranger(peer.remote, peer.is_tls)
}

/// Says something to some miners and lets them go.
async fn end_those(shard: &Rc<Shard>, words: &str, is_meant: impl Fn(&Connection) -> bool) {
    shard
        .for_each(|connection| {
            if is_meant(connection) {
                let mut goodbye = Vec::new();
                reply::show_message(&mut goodbye, words);
                connection.send(&goodbye, shard);
                connection.close(CloseReason::Requested);
            }
        })
        .await;
}
