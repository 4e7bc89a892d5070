//! A fleet comes in: as fast as the server takes it, and no faster than its backlog bears.

use std::time::Duration;

use super::fleet::{Fleet, Player};
use super::miner::{Miner, Stage};
use super::setup::FloodError;
use crate::net::machine::nanoseconds;

/// Connections that have been begun and have no work yet. More than a server's backlog holds (4096
/// on most systems) would be dropped by the kernel and tried again after a second, which measures
/// the kernel's patience and not the server.
pub const AHEAD_MAX: usize = 1024;
const ARRIVAL_MAX: Duration = Duration::from_secs(120);
const TURN: Duration = Duration::from_millis(10);

/// Notes why miners could not come in, and passes everything on.
struct Doorkeeper<'a, P> {
    player: &'a mut P,
    failed: usize,
    reason: String,
}

impl<P: Player> Player for Doorkeeper<'_, P> {
    fn on_ready(&mut self, miner: &mut Miner, now: u64) {
        self.player.on_ready(miner, now);
    }

    fn on_accepted(&mut self, waited: u64, now: u64) {
        self.player.on_accepted(waited, now);
    }

    fn on_refused(&mut self, miner: &Miner, reason: &str, waited: u64) {
        self.player.on_refused(miner, reason, waited);
    }

    fn on_work(&mut self, miner: &mut Miner, line: &[u8], is_clean: bool, now: u64) {
        self.player.on_work(miner, line, is_clean, now);
    }

    fn on_end(&mut self, miner: &mut Miner, reason: &str) {
        self.failed += 1;
        self.reason = reason.to_owned();
        self.player.on_end(miner, reason);
    }
}

/// Connects all miners of a fleet and waits until each has its first work.
pub fn arrive(
    fleet: &mut Fleet,
    player: &mut impl Player,
    ahead: usize,
    mut told: impl FnMut(usize),
) -> Result<(), FloodError> {
    let wanted = fleet.miners.len();
    let target = fleet.plan().target.address();
    let started = nanoseconds();
    let deadline = started + ARRIVAL_MAX.as_nanos() as u64;
    let mut doorkeeper = Doorkeeper { player, failed: 0, reason: String::new() };
    let mut next = 0;
    let mut patience = Duration::ZERO;
    while fleet.ready < wanted {
        while next < wanted && fleet.greeting < ahead.clamp(1, AHEAD_MAX * 4) {
            fleet.connect(next).map_err(|source| FloodError::Connect { target, source })?;
            next += 1;
            // Those that are there already are not kept waiting.
            if next % 16 == 0 {
                fleet.turn(&mut doorkeeper, Duration::ZERO)?;
            }
        }
        // Looking again at once: a server pays to wake a client on its own machine. One that has
        // nothing to say for a while is left alone.
        let count = fleet.ready;
        fleet.turn(&mut doorkeeper, patience)?;
        patience = if fleet.ready == count { TURN } else { Duration::ZERO };
        told(fleet.ready);
        let Doorkeeper { failed, reason, .. } = &doorkeeper;
        if *failed > 0 || nanoseconds() > deadline {
            let waited = Duration::from_nanos(nanoseconds() - started);
            let (ready, reason) = (fleet.ready, reason.clone());
            return Err(FloodError::NotReady { ready, wanted, waited, reason });
        }
    }
    debug_assert!(fleet.miners.iter().all(|miner| miner.stage == Stage::Ready));
    Ok(())
}
