//! What the chain says of a block that the node has: confirmations up to a hundred, or that another
//! block was quicker (`state-and-services.md` §5, FIX-15). Asked on a thread of its own, once for
//! each new tip.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded, unbounded};
use serde::Deserialize;
use serde_json::json;
use tracing::{info, warn};

use crate::node::rpc::{NodeError, Rpc};
use crate::store::{BlockLife, BlockState, StoreHandle};

/// A coinbase can be spent then; nothing that is asked later is news.
pub const MATURE_CONFIRMATIONS: u64 = 100;
/// Tips for which a block that is not in the best chain is asked for: it may come back.
const LOOKS_AWAY_MAX: u32 = 100;
/// How often it is asked when nobody tells of tips.
const PATIENCE: Duration = Duration::from_secs(60);
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// Counts of confirmations that are worth a line in the log.
const LOGGED: [u64; 3] = [1, 6, MATURE_CONFIRMATIONS];

/// Where the news of a tip goes. Cheap to clone; nobody waits.
#[derive(Clone, Debug)]
pub struct Tips(Sender<()>);

impl Tips {
    pub fn new_tip(&self) {
        match self.0.try_send(()) {
            // One that waits is enough: what is asked is asked of the newest.
            Ok(()) | Err(TrySendError::Full(())) => {}
            // It ends with the pool.
            Err(TrySendError::Disconnected(())) => {}
        }
    }
}

/// Hands blocks over to be followed.
#[derive(Debug)]
pub struct Follower {
    blocks: Sender<BlockLife>,
    tips: Tips,
}

impl Follower {
    /// `lives` are those of earlier runs: what is not mature is followed on.
    pub fn spawn(
        lives: &[BlockLife],
        rpc: Arc<Rpc>,
        store: StoreHandle,
        events: Sender<BlockLife>,
    ) -> io::Result<Self> {
        let (blocks, new_blocks) = unbounded();
        let (tips, new_tips) = bounded(1);
        let followed = lives.iter().filter(|life| is_worth_following(life));
        let followed = followed.cloned().map(Followed::new).collect();
        let mut following = Following { rpc, store, events, followed };
        thread::Builder::new()
            .name("confirm".into())
            .spawn(move || following.run(&new_blocks, &new_tips))?;
        Ok(Self { blocks, tips: Tips(tips) })
    }

    pub fn tips(&self) -> Tips {
        self.tips.clone()
    }

    /// Follows a block that the node has just taken.
    pub fn follow(&self, life: BlockLife) {
        // It ends with the pool.
        let _ = self.blocks.send(life);
        self.tips.new_tip();
    }
}

fn is_worth_following(life: &BlockLife) -> bool {
    matches!(life.state, BlockState::Accepted | BlockState::Stale | BlockState::Orphaned)
        && life.confirmations < MATURE_CONFIRMATIONS
}

struct Followed {
    life: BlockLife,
    /// Tips since it was last seen in the best chain.
    looks_away: u32,
}

impl Followed {
    fn new(life: BlockLife) -> Self {
        Self { life, looks_away: 0 }
    }

    /// Takes what the chain says; whether that is anything new.
    fn take(&mut self, confirmations: i64) -> bool {
        let life = &mut self.life;
        let before = (life.state, life.confirmations);
        match u64::try_from(confirmations) {
            Ok(confirmations @ 1..) => {
                self.looks_away = 0;
                life.state = BlockState::Accepted;
                life.confirmations = confirmations.min(MATURE_CONFIRMATIONS);
            }
            // Core says -1 of a block that is not in the best chain.
            _ => {
                self.looks_away += 1;
                let was_in_chain = life.confirmations > 0 || life.state == BlockState::Orphaned;
                life.state = if was_in_chain { BlockState::Orphaned } else { BlockState::Stale };
                life.confirmations = 0;
            }
        }
        (life.state, life.confirmations) != before
    }

    fn is_done(&self) -> bool {
        self.life.confirmations >= MATURE_CONFIRMATIONS || self.looks_away >= LOOKS_AWAY_MAX
    }
}

struct Following {
    rpc: Arc<Rpc>,
    store: StoreHandle,
    events: Sender<BlockLife>,
    followed: Vec<Followed>,
}

impl Following {
    fn run(&mut self, new_blocks: &Receiver<BlockLife>, tips: &Receiver<()>) {
        loop {
            match tips.recv_timeout(PATIENCE) {
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.followed.extend(new_blocks.try_iter().map(Followed::new));
            self.ask();
            self.followed.retain(|block| !block.is_done());
        }
    }

    fn ask(&mut self) {
        for block in &mut self.followed {
            let hash = &block.life.record.hash;
            match confirmations(&self.rpc, hash) {
                Ok(Some(confirmations)) => {
                    if block.take(confirmations) {
                        log(&block.life);
                        let BlockLife { record, state, confirmations, .. } = &block.life;
                        self.store.followed(&record.hash, *state, *confirmations);
                        // Control may have ended.
                        let _ = self.events.send(block.life.clone());
                    }
                }
                // Another node than the one that took it, or one that has pruned it.
                Ok(None) => {}
                // It is asked again with the next tip, which a node that is away does not have.
                Err(_) => return,
            }
        }
    }
}

fn log(life: &BlockLife) {
    let BlockLife { record, state, confirmations, .. } = life;
    let (height, hash) = (record.height, &record.hash);
    match state {
        BlockState::Orphaned => {
            warn!(
                component = "blocks",
                height, hash, "block orphaned: the chain has gone another way"
            );
        }
        BlockState::Stale => {
            warn!(component = "blocks", height, hash, "block stale: another one was quicker");
        }
        _ if LOGGED.contains(confirmations) => {
            info!(component = "blocks", height, hash, confirmations, "block confirmed");
        }
        _ => {}
    }
}

/// None when the node does not know the block.
fn confirmations(rpc: &Rpc, hash: &str) -> Result<Option<i64>, NodeError> {
    /// `RPC_INVALID_ADDRESS_OR_KEY` of Core's `src/rpc/protocol.h`: "Block not found".
    const CODE_NOT_FOUND: i64 = -5;
    #[derive(Deserialize)]
    struct Header {
        confirmations: i64,
    }
    match rpc.call_once::<Header>("getblockheader", &json!([hash, true]), CALL_TIMEOUT) {
        Ok(header) => Ok(Some(header.confirmations)),
        Err(NodeError::Refused { code: CODE_NOT_FOUND, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::new_life;
    use crate::store::tests::found;

    fn followed() -> Followed {
        Followed::new(BlockLife { state: BlockState::Accepted, ..new_life(found("aa")) })
    }

    #[track_caller]
    fn check(block: &mut Followed, confirmations: i64, state: BlockState, shown: u64) {
        block.take(confirmations);
        assert_eq!((block.life.state, block.life.confirmations), (state, shown));
    }

    #[test]
    fn a_block_matures_with_a_hundred_confirmations() {
        let mut block = followed();
        for confirmations in 1..100 {
            check(&mut block, confirmations, BlockState::Accepted, confirmations.cast_unsigned());
            assert!(!block.is_done());
        }
        check(&mut block, 100, BlockState::Accepted, 100);
        assert!(block.is_done() && !is_worth_following(&block.life));
    }

    #[test]
    fn one_that_was_never_in_the_chain_is_stale_and_one_that_was_is_orphaned() {
        let mut block = followed();
        check(&mut block, -1, BlockState::Stale, 0);
        assert!(!block.take(-1), "nothing new");
        check(&mut block, 1, BlockState::Accepted, 1);
        check(&mut block, -1, BlockState::Orphaned, 0);
        check(&mut block, -1, BlockState::Orphaned, 0);
        check(&mut block, 7, BlockState::Accepted, 7);
    }

    #[test]
    fn one_that_does_not_come_back_is_given_up() {
        let mut block = followed();
        for _ in 0..LOOKS_AWAY_MAX {
            assert!(!block.is_done());
            block.take(-1);
        }
        assert!(block.is_done());
    }
}
