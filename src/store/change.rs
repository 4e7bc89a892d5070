//! One change of the database, and how it is written.

use gopool_shards::admission::ban::Ban;
use rusqlite::{Transaction, params};

use super::rows::{
    BackupMark, BanRow, BestShareRow, BlockNotice, BlockState, CodeRow, FoundBlock, PendingBlock,
    Settled, WatchedRow,
};
use crate::clock;
use crate::identity::worker_hash_hex;

/// What becomes of a block, step by step. None of these is ever dropped.
#[derive(Clone, Debug)]
pub(super) enum BlockChange {
    /// It has been found; whether the node takes it is not known.
    Found { pending: Box<PendingBlock>, record: Box<FoundBlock> },
    /// The node was asked and has not settled it.
    Sent { hash_hex: String, error: String },
    Settled {
        record: Box<FoundBlock>,
        settled: Settled,
        reason: String,
        notice: Option<BlockNotice>,
    },
    /// What the chain says of it.
    Followed { hash_hex: String, state: BlockState, confirmations: u64 },
    /// There people have been told of it, or nobody is told of anything any more.
    Told { hash_hex: String, place: String },
}

/// Visits of a user that wait to be written. Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Visits {
    pub first: u64,
    pub last: u64,
    pub count: u32,
}

/// A change that a newer one of its kind takes the place of.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Block(BlockChange),
    SaveBan(BanRow),
    LiftBan { worker: String },
    DeleteEndedBans { now: u64 },
    BestShares(Vec<BestShareRow>),
    RaiseBest { worker_hash: String, difficulty: f64 },
    Codes(Vec<CodeRow>),
    Watched(WatchedRow),
    Unwatched { user_id: String, worker_hash: String },
    SeeUser { user_id: String, visits: Visits },
    Backup { key: &'static str, mark: BackupMark },
    DeleteSettledBefore { unix: u64 },
}

impl From<&Ban> for BanRow {
    fn from(ban: &Ban) -> Self {
        Self {
            worker: ban.worker.to_string(),
            until: ban.until_unix,
            reason: ban.reason.to_string(),
            source: ban.source,
        }
    }
}

impl Change {
    pub(super) fn write(&self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        match self {
            Self::Block(change) => change.write(transaction),
            Self::SaveBan(ban) => save_ban(transaction, ban),
            Self::LiftBan { worker } => {
                transaction.execute("DELETE FROM ban_sources WHERE worker = ?1", [worker])?;
                transaction.execute("DELETE FROM bans WHERE worker = ?1", [worker])?;
                Ok(())
            }
            Self::DeleteEndedBans { now } => delete_ended_bans(transaction, *now),
            Self::BestShares(shares) => save_best_shares(transaction, shares),
            Self::RaiseBest { worker_hash, difficulty } => {
                transaction.execute(
                    "UPDATE saved_workers SET best_difficulty = ?2
                     WHERE worker_hash = ?1 AND best_difficulty < ?2",
                    params![worker_hash, difficulty],
                )?;
                Ok(())
            }
            Self::Codes(codes) => save_codes(transaction, codes),
            Self::Watched(row) => save_watched(transaction, row),
            Self::Unwatched { user_id, worker_hash } => {
                transaction.execute(
                    "DELETE FROM discord_worker_state WHERE user_id = ?1 AND worker_hash = ?2",
                    [user_id, worker_hash],
                )?;
                Ok(())
            }
            Self::SeeUser { user_id, visits } => {
                transaction.execute(
                    "INSERT INTO clerk_users (user_id, first_seen_unix, last_seen_unix, seen_count)
                     VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (user_id) DO UPDATE SET
                         last_seen_unix = max(last_seen_unix, ?3), seen_count = seen_count + ?4",
                    params![user_id, signed(visits.first), signed(visits.last), visits.count],
                )?;
                Ok(())
            }
            Self::Backup { key, mark } => {
                transaction.execute(
                    "INSERT INTO backup_state (key, last_backup_unix, data_version, updated_at_unix)
                     VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (key) DO UPDATE SET last_backup_unix = ?2, data_version = ?3,
                         updated_at_unix = ?4",
                    params![key, signed(mark.at), signed(mark.version), unix_now()],
                )?;
                Ok(())
            }
            Self::DeleteSettledBefore { unix } => {
                transaction.execute(
                    "DELETE FROM pending_submissions
                     WHERE lower(status) IN ('submitted', 'rejected', 'expired')
                         AND timestamp_unix < ?1",
                    [signed(*unix)],
                )?;
                Ok(())
            }
        }
    }
}

impl BlockChange {
    pub(super) fn hash_hex(&self) -> &str {
        match self {
            Self::Found { pending, .. } => &pending.hash_hex,
            Self::Sent { hash_hex, .. }
            | Self::Followed { hash_hex, .. }
            | Self::Told { hash_hex, .. } => hash_hex,
            Self::Settled { record, .. } => &record.hash,
        }
    }

    fn write(&self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        match self {
            Self::Found { pending, record } => {
                save_pending(transaction, pending)?;
                begin_life(transaction, record)
            }
            Self::Sent { hash_hex, error } => {
                transaction.execute(
                    "UPDATE pending_submissions SET rpc_error = ?2
                     WHERE submission_key = ?1 AND status = 'pending'",
                    params![hash_hex, error.trim()],
                )?;
                transaction.execute(
                    "UPDATE block_life SET state = 'submitted', reason = ?2, changed_at_unix = ?3,
                         submitted_at_unix = CASE submitted_at_unix WHEN 0 THEN ?3
                             ELSE submitted_at_unix END
                     WHERE hash = ?1 AND state IN ('found', 'submitted')",
                    params![hash_hex, error.trim(), unix_now()],
                )?;
                Ok(())
            }
            Self::Settled { record, settled, reason, notice } => {
                let is_new = settle(transaction, record, *settled, reason.trim())?;
                // One that was recorded before has been told of, or is about to be.
                match notice {
                    Some(notice) if is_new => save_untold(transaction, &record.hash, notice),
                    _ => Ok(()),
                }
            }
            Self::Followed { hash_hex, state, confirmations } => {
                transaction.execute(
                    "UPDATE block_life SET state = ?2, confirmations = ?3, changed_at_unix = ?4
                     WHERE hash = ?1",
                    params![hash_hex, state.as_str(), signed(*confirmations), unix_now()],
                )?;
                Ok(())
            }
            Self::Told { hash_hex, place } => {
                transaction.execute(
                    "DELETE FROM untold_blocks WHERE place = ?1 AND hash = ?2",
                    [place, hash_hex],
                )?;
                Ok(())
            }
        }
    }
}

/// A row that is settled stays so: the same block may be found twice.
fn save_pending(transaction: &Transaction<'_>, block: &PendingBlock) -> rusqlite::Result<()> {
    transaction.execute(
        "INSERT INTO pending_submissions (submission_key, timestamp_unix, height, hash,
             worker, block_hex, rpc_error, rpc_url, payout_addr, status)
         VALUES (?1, ?2, ?3, ?1, ?4, ?5, '', ?6, ?7, 'pending')
         ON CONFLICT (submission_key) DO NOTHING",
        params![
            block.hash_hex,
            signed(block.found_at),
            signed(block.height),
            block.worker.trim(),
            block.block_hex,
            block.rpc_url,
            block.payout_address,
        ],
    )?;
    Ok(())
}

fn begin_life(transaction: &Transaction<'_>, record: &FoundBlock) -> rusqlite::Result<()> {
    let json = serde_json::to_string(record).expect("its fields are plain");
    let found_at = record
        .timestamp
        .parse()
        .map_or_else(|_| unix_now(), |time: jiff::Timestamp| time.as_second());
    transaction.execute(
        "INSERT INTO block_life (hash, height, worker, state, found_at_unix, changed_at_unix, json)
         VALUES (?1, ?2, ?3, 'found', ?4, ?4, ?5)
         ON CONFLICT (hash) DO NOTHING",
        params![record.hash, signed(record.height), record.worker, found_at, json],
    )?;
    Ok(())
}

fn save_untold(
    transaction: &Transaction<'_>,
    hash_hex: &str,
    notice: &BlockNotice,
) -> rusqlite::Result<()> {
    for place in &notice.places {
        transaction.execute(
            "INSERT OR IGNORE INTO untold_blocks (place, hash, notice_id) VALUES (?1, ?2, ?3)",
            [place, hash_hex, &notice.id],
        )?;
    }
    Ok(())
}

/// An accepted block is recorded unless one of that hash is recorded already; whether it was now.
fn settle(
    transaction: &Transaction<'_>,
    record: &FoundBlock,
    settled: Settled,
    reason: &str,
) -> rusqlite::Result<bool> {
    transaction.execute(
        "UPDATE pending_submissions SET status = ?2, rpc_error = ?3 WHERE submission_key = ?1",
        params![record.hash, settled.as_str(), reason],
    )?;
    begin_life(transaction, record)?;
    let state = match settled {
        Settled::Submitted => BlockState::Accepted,
        Settled::Rejected => BlockState::Rejected,
    };
    transaction.execute(
        "UPDATE block_life SET state = ?2, reason = ?3, settled_at_unix = ?4, changed_at_unix = ?4,
             submitted_at_unix = CASE submitted_at_unix WHEN 0 THEN ?4 ELSE submitted_at_unix END
         WHERE hash = ?1 AND state IN ('found', 'submitted')",
        params![record.hash, state.as_str(), reason, unix_now()],
    )?;
    if settled != Settled::Submitted {
        return Ok(false);
    }
    let json = serde_json::to_string(record).expect("its fields are plain");
    let rows = transaction.execute(
        "INSERT INTO found_blocks_log (created_at_unix, json)
             SELECT ?1, ?2 WHERE NOT EXISTS
                 (SELECT 1 FROM found_blocks_log
                  WHERE CASE WHEN json_valid(json) THEN json_extract(json, '$.hash') END = ?3)",
        params![unix_now(), json, record.hash],
    )?;
    Ok(rows > 0)
}

fn save_ban(transaction: &Transaction<'_>, ban: &BanRow) -> rusqlite::Result<()> {
    let BanRow { worker, until, reason, source } = ban;
    transaction.execute(
        "INSERT INTO bans (worker, worker_hash, until_unix, reason, updated_at_unix)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (worker) DO UPDATE SET until_unix = ?3, reason = ?4, updated_at_unix = ?5",
        params![worker, worker_hash_hex(worker), signed(*until), reason, unix_now()],
    )?;
    match source {
        Some(source) => transaction.execute(
            "INSERT INTO ban_sources (worker, source) VALUES (?1, ?2)
             ON CONFLICT (worker) DO UPDATE SET source = ?2",
            params![worker, source.to_string()],
        )?,
        None => transaction.execute("DELETE FROM ban_sources WHERE worker = ?1", [worker])?,
    };
    Ok(())
}

pub(super) fn delete_ended_bans(transaction: &Transaction<'_>, now: u64) -> rusqlite::Result<()> {
    transaction
        .execute("DELETE FROM bans WHERE until_unix <> 0 AND until_unix <= ?1", [signed(now)])?;
    transaction
        .execute("DELETE FROM ban_sources WHERE worker NOT IN (SELECT worker FROM bans)", [])?;
    Ok(())
}

/// Only positions that have changed are written (FIX-12).
fn save_best_shares(
    transaction: &Transaction<'_>,
    shares: &[BestShareRow],
) -> rusqlite::Result<()> {
    for (position, share) in shares.iter().enumerate() {
        transaction.execute(
            "INSERT INTO best_shares (position, worker, difficulty, timestamp_unix, hash)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (position) DO UPDATE SET worker = ?2, difficulty = ?3,
                 timestamp_unix = ?4, hash = ?5
             WHERE worker IS NOT ?2 OR difficulty IS NOT ?3 OR timestamp_unix IS NOT ?4
                 OR hash IS NOT ?5",
            params![position as i64, share.worker, share.difficulty, signed(share.at), share.hash],
        )?;
    }
    transaction.execute("DELETE FROM best_shares WHERE position >= ?1", [shares.len() as i64])?;
    Ok(())
}

/// What stands there is all there is (FIX-20).
fn save_codes(transaction: &Transaction<'_>, codes: &[CodeRow]) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM one_time_codes", [])?;
    for code in codes {
        transaction.execute(
            "INSERT INTO one_time_codes (user_id, code, created_at_unix, expires_at_unix)
             VALUES (?1, ?2, ?3, ?4)",
            params![code.user_id, code.code, signed(code.created_at), signed(code.expires_at)],
        )?;
    }
    Ok(())
}

fn save_watched(transaction: &Transaction<'_>, row: &WatchedRow) -> rusqlite::Result<()> {
    let WatchedRow { user_id, worker_hash, state, updated_at } = row;
    transaction.execute(
        "INSERT INTO discord_worker_state (user_id, worker_hash, online, since, seen_online,
             seen_offline, offline_eligible, offline_notified, recovery_eligible,
             recovery_notified, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT (user_id, worker_hash) DO UPDATE SET online = ?3, since = ?4,
             seen_online = ?5, seen_offline = ?6, offline_eligible = ?7, offline_notified = ?8,
             recovery_eligible = ?9, recovery_notified = ?10, updated_at = ?11",
        params![
            user_id,
            worker_hash,
            state.online,
            signed(state.since),
            state.seen_online,
            state.seen_offline,
            state.offline_eligible,
            state.offline_notified,
            state.recovery_eligible,
            state.recovery_notified,
            signed(*updated_at),
        ],
    )?;
    Ok(())
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unix_now() -> i64 {
    signed(clock::unix_now())
}
