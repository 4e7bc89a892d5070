//! What stands in the database, row by row (`state-and-services.md` §1.2).

use gopool_shards::admission::source::Source;

/// A block that has been found and is not settled, as its row has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingBlock {
    /// Block hash in display order.
    pub hash_hex: String,
    pub found_at: u64,
    pub height: u64,
    pub worker: String,
    pub block_hex: String,
    /// Endpoint without credentials.
    pub rpc_url: String,
    pub payout_address: String,
}

/// A line of `found_blocks_log` (§5, `mining.md` §7.4).
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct FoundBlock {
    /// RFC 3339, UTC.
    pub timestamp: String,
    pub height: u64,
    /// Display order.
    pub hash: String,
    pub worker: String,
    pub share_diff: f64,
    pub job_id: String,
    pub payout_address: String,
    pub coinbase_value_sats: u64,
    pub pool_fee_sats: u64,
    pub worker_payout_sats: u64,
    #[serde(default)]
    pub donation_sats: u64,
    pub dual_payout_fallback: bool,
}

impl Eq for FoundBlock {}

/// How a found block ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The node has it.
    Submitted,
    /// The node will never take it.
    Rejected,
}

impl Settled {
    /// As `pending_submissions` says it, which the reference reads too.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Rejected => "rejected",
        }
    }
}

/// Where a block is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockState {
    /// Written down; the node has not been asked, or has not heard.
    Found,
    /// Sent, without an answer that settles it.
    Submitted,
    /// The node has it, in its best chain as far as is known.
    Accepted,
    /// The node will never take it.
    Rejected,
    /// The node has it, and never in its best chain: another block of that height was quicker.
    Stale,
    /// It was in the best chain and is not any more.
    Orphaned,
}

impl BlockState {
    const ALL: [Self; 6] =
        [Self::Found, Self::Submitted, Self::Accepted, Self::Rejected, Self::Stale, Self::Orphaned];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Submitted => "submitted",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Stale => "stale",
            Self::Orphaned => "orphaned",
        }
    }

    pub(super) fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether the node has answered for it.
    pub fn is_settled(self) -> bool {
        !matches!(self, Self::Found | Self::Submitted)
    }
}

/// A row of `block_life`: one block from its finding to its hundredth confirmation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockLife {
    pub record: FoundBlock,
    pub state: BlockState,
    /// Unix seconds; 0 for not yet.
    pub submitted_at: u64,
    pub settled_at: u64,
    pub confirmations: u64,
    /// Why it is not accepted, when it is not.
    pub reason: String,
}

/// What people elsewhere are to be told of an accepted block by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockNotice {
    /// The same in all places, at each try and in each run: 32 hex digits.
    pub id: String,
    pub places: Vec<&'static str>,
}

/// A row of `untold_blocks`, with its block: where nobody has been told of it yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UntoldBlock {
    pub place: String,
    pub notice_id: String,
    pub record: FoundBlock,
}

/// A row of `bans`, with the source of `ban_sources`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BanRow {
    pub worker: String,
    /// Unix seconds; 0 for never.
    pub until: u64,
    pub reason: String,
    /// Where it applies; everywhere without.
    pub source: Option<Source>,
}

/// A row of `best_shares`; its place in the list is its position.
#[derive(Clone, Debug, PartialEq)]
pub struct BestShareRow {
    /// Shortened (§2.4).
    pub worker: String,
    pub difficulty: f64,
    /// Unix seconds.
    pub at: u64,
    /// Shortened; empty when it is not known.
    pub hash: String,
}

/// A row of `saved_workers`.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedWorkerRow {
    pub user_id: String,
    /// 64 hex digits, lower case.
    pub worker_hash: String,
    pub display: String,
    pub notify: bool,
    pub best_difficulty: f64,
}

/// A row of `discord_worker_state`, which is about notices of every kind: a saved worker as one user
/// watches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedRow {
    pub user_id: String,
    /// 64 hex digits, lower case.
    pub worker_hash: String,
    pub state: WorkerState,
    /// Unix seconds.
    pub updated_at: u64,
}

/// Where a worker is in going and coming back (§13.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerState {
    pub online: bool,
    /// Unix seconds.
    pub since: u64,
    pub seen_online: bool,
    pub seen_offline: bool,
    /// It was online for long enough that its being away is worth telling; so for the way back.
    pub offline_eligible: bool,
    pub offline_notified: bool,
    pub recovery_eligible: bool,
    pub recovery_notified: bool,
}

/// A row of `clerk_users`: somebody who has signed in. Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRow {
    pub user_id: String,
    pub first_seen: u64,
    pub last_seen: u64,
    pub visits: u64,
}

/// A row of `discord_links`. Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkRow {
    pub user_id: String,
    /// Discord's number of the user there, as digits.
    pub discord_user_id: String,
    /// Whether the user wants to hear of anything.
    pub enabled: bool,
    pub linked_at: u64,
    pub updated_at: u64,
}

/// A row of `one_time_codes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeRow {
    pub user_id: String,
    /// Without the pool's tag.
    pub code: String,
    pub created_at: u64,
    pub expires_at: u64,
}

/// A row of `backup_state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackupMark {
    /// Unix seconds.
    pub at: u64,
    /// The change counter that it covers.
    pub version: u64,
}
