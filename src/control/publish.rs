//! What the pool looks like, for those who look: made of what control owns.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Control;
use super::gate::SYNC_AGE_MAX;
use crate::clock::unix_now;
use crate::config::Config;
use crate::privacy;
use crate::rings::events::EventType;
use crate::snapshot::{BlockFigures, ParkedFigures, ShardFigures, Snapshot, SourceFigures};
use crate::store::{BLOCKS_SHOWN, BlockLife, BlockState};

impl Control {
    pub(super) fn on_block(&mut self, life: &BlockLife) {
        let hash = &life.record.hash;
        let known = self.found.iter_mut().find(|known| known.hash_hex == *hash);
        let was_settled = known.as_ref().is_some_and(|known| known.state.is_settled());
        if !was_settled {
            self.blocks_accepted += u64::from(life.state == BlockState::Accepted);
            self.blocks_errored += u64::from(life.state == BlockState::Rejected);
        }
        if !life.reason.is_empty() && !life.state.is_settled() || life.state == BlockState::Rejected
        {
            let of = match life.state {
                BlockState::Rejected => EventType::SubmitBlock,
                _ => EventType::PendingSubmit,
            };
            self.error_events.add(of, SystemTime::now(), &privacy::error_text(&life.reason), 1);
        }
        match known {
            Some(known) => *known = block_figures(life),
            None => self.found.insert(0, block_figures(life)),
        }
        // Those that are not settled stay, however many have been found since.
        while self.found.len() > BLOCKS_SHOWN
            && let Some(oldest) = self.found.iter().rposition(|block| block.state.is_settled())
        {
            self.found.remove(oldest);
        }
    }

    pub(super) fn publish(&mut self) {
        let began = Instant::now();
        let elapsed = self.started.elapsed();
        let now_unix = unix_now();
        let is_banned = |worker: &str, remote| self.upkeep.is_banned(worker, remote, now_unix);
        let summary = self.ledger.summary(now_unix, is_banned);
        let banned = self.upkeep.banned(&self.ledger.roster().read(), now_unix);
        let height = self.work.figures().map(|job| job.height.saturating_sub(1));
        self.upkeep.turn(&mut self.ledger, summary.hashrate, height, now_unix);
        for error in self.rpc.take_errors() {
            self.note_error(EventType::Rpc, &error, 1);
        }
        let pending = self.found.iter().filter(|block| !block.state.is_settled()).count();
        // Before the shards: it brings the figures of their arenas up to date.
        let process = self.system.read();
        self.snapshots.store(Snapshot {
            uptime: elapsed,
            stratum_listeners: self.open_listeners.clone(),
            rpc: self.rpc.figures(),
            node: self.node.load(),
            feed: self.feed.figures(),
            work_source: self.source_figures(),
            job: self.work.figures(),
            shares: self.ledger.shares(elapsed, summary.hashrate),
            connections: self.ledger.connections(),
            shards: self.shard_figures(),
            workers_connected: summary.workers,
            recent_work: summary.recent,
            banned,
            miner_types: summary.miner_types,
            best_shares: self.ledger.best_shares().to_vec(),
            store: self.store.figures(),
            backup: self.backups.lock().expect("no code panics while it holds this").clone(),
            notices: self.notices.figures(),
            recent_hashrate: self.upkeep.recent_hashrate(now_unix),
            error_events: self.error_events.recent(SystemTime::now()),
            disconnects: self.disconnects.newest(),
            disconnects_count: self.disconnects.count(),
            blocks: self.found.clone(),
            blocks_accepted: self.blocks_accepted,
            blocks_errored: self.blocks_errored,
            blocks_pending: pending as u64,
            block_submits: self.blocks.submit_times(),
            parked: self.parked_figures(),
            process,
            snapshot_times: self.snapshot_times.snapshot(),
            price: self.prices.price(&self.config.fiat_currency, SystemTime::now()),
            prices: self.prices.figures(),
            ..first_snapshot(&self.config)
        });
        self.snapshot_times.record(began.elapsed());
    }

    fn shard_figures(&self) -> Vec<ShardFigures> {
        let mut shards = self.ledger.shards();
        for (figures, end) in shards.iter_mut().zip(&self.shards) {
            figures.memory_bytes = end.arena.allocated_bytes();
        }
        shards
    }

    fn source_figures(&self) -> SourceFigures {
        let sync = self.sync.filter(|(at, _)| at.elapsed() <= SYNC_AGE_MAX);
        SourceFigures {
            trouble: self.trouble,
            blocks_behind: sync.map(|(_, sync)| sync.headers.saturating_sub(sync.blocks)),
        }
    }

    fn parked_figures(&self) -> ParkedFigures {
        let (places, shares) = self.directory.parked();
        ParkedFigures { places, shares }
    }

    /// Notes an error for the pages, without what the public must not read.
    pub(super) fn note_error(&mut self, of: EventType, text: &str, count: u64) {
        self.error_events.add(of, SystemTime::now(), &privacy::error_text(text), count);
    }
}

/// What there is to show before anything has happened.
pub fn first_snapshot(config: &Config) -> Snapshot {
    Snapshot {
        network: config.network.name(),
        shown: Arc::clone(&config.shown),
        pool_fee_percent: config.job_inputs.payout.fee_percent,
        pool_tag: config.job_inputs.brand_tag.clone(),
        fiat_currency: config.fiat_currency.clone(),
        ..Snapshot::blank(SystemTime::now(), config.peer_cleaning)
    }
}

pub(super) fn block_figures(life: &BlockLife) -> BlockFigures {
    let BlockLife { record, state, submitted_at, settled_at, confirmations, reason } = life;
    let found_at =
        record.timestamp.parse::<jiff::Timestamp>().unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let time = |unix: u64| (unix > 0).then(|| UNIX_EPOCH + Duration::from_secs(unix));
    BlockFigures {
        height: record.height,
        hash_hex: record.hash.clone(),
        worker: record.worker.clone(),
        found_at: found_at.into(),
        share_difficulty: record.share_diff,
        coinbase_value_sats: record.coinbase_value_sats,
        pool_fee_sats: record.pool_fee_sats,
        worker_payout_sats: record.worker_payout_sats,
        state: *state,
        confirmations: *confirmations,
        submitted_at: time(*submitted_at),
        settled_at: time(*settled_at),
        reason: reason.clone(),
    }
}
