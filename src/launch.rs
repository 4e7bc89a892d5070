//! The shards: what all of them share, and the threads that they are.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use gopool_shards::admission::Admission;
use gopool_shards::admission::ban::Ban;
use gopool_shards::admission::bans::Bans;
use gopool_shards::admission::bucket::AcceptLimiter;
use gopool_shards::admission::reconnect::ReconnectTracker;
use gopool_shards::admission::violations::Violations;
use gopool_shards::executor::{self, Port, ShardPlan, SharedState};
use gopool_shards::link::{Uplink, downlink};
use gopool_shards::session::directory::Directory;

use crate::allocator::Arena;
use crate::config::Config;
use crate::control::ShardEnd;
use crate::cores::Cores;
use crate::entropy;
use crate::store::BanRow;

/// What all shards share, with the bans of earlier runs.
pub fn shared_state(config: &Config, started: Instant, bans: &[BanRow]) -> SharedState {
    let list = Bans::default();
    for BanRow { worker, until, reason, source } in bans {
        list.insert(Ban::new(worker, *until, reason, *source));
    }
    let limiter = config.accept.rates().map(|rates| AcceptLimiter::new(rates, started.elapsed()));
    SharedState {
        directory: Arc::new(Directory::new(Some(entropy::bytes()))),
        admission: Admission::default(),
        limiter: limiter.map(Arc::new),
        reconnects: ReconnectTracker::new(config.reconnects),
        bans: Arc::new(list),
        violations: Violations::new(),
        started,
    }
}

pub fn start_shards(
    config: &Config,
    cores: &Cores,
    ports: Vec<Vec<Port>>,
    shared: &SharedState,
    up: Uplink,
) -> io::Result<Vec<ShardEnd>> {
    let settings = Arc::new(config.settings.clone());
    let mut shards = Vec::new();
    for (id, (core, ports)) in cores.shards.iter().zip(ports).enumerate() {
        let (downlink, down) = downlink();
        let plan = ShardPlan {
            id,
            core: *core,
            ports,
            settings: Arc::clone(&settings),
            shared: shared.clone(),
        };
        let arena = Arena::new()?;
        let handle = executor::spawn(plan, down, up.clone(), move || arena.serve_this_thread())?;
        shards.push(ShardEnd { downlink, handle, arena });
    }
    // The shards' ends are all there are: when they have gone the other end notices.
    drop(up);
    Ok(shards)
}
