//! What is worth telling somebody. Names are short already: what is told may be read by anybody.

/// One thing that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Workers are watched from now on; once per process.
    Watching,
    /// Nobody elsewhere can be reached any more, or somebody can again.
    Network {
        is_up: bool,
    },
    /// Of one user's saved workers, those that have been away or back for the threshold.
    Workers {
        user_id: String,
        away: Vec<WorkerName>,
        back: Vec<WorkerName>,
    },
    Block(FoundBlock),
}

/// A saved worker, as people call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerName {
    /// 64 hex digits.
    pub hash: String,
    /// Short (8, 8); the short hash when it has no name.
    pub name: String,
}

/// A block that the node has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundBlock {
    pub height: u64,
    /// Display order.
    pub hash_hex: String,
    /// Short.
    pub worker: String,
    /// Unix seconds.
    pub found_at: u64,
    /// Users who have saved the worker and want to hear of it.
    pub savers: Vec<String>,
    /// What its notice is called in all places, at each try and in each run: 32 hex digits.
    pub notice_id: String,
}
