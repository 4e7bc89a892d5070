//! What the list of connections says of one (`state-and-services.md` §17.3, Appendix A).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::sha256d::Hash;

/// What there is to say of one connection, as of now. It stays true until the next look but for what
/// time alone changes: the hashrate fades, which whoever keeps the look can work out from `at`.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// The full authorized name.
    pub worker: Arc<str>,
    /// As the subscribe named it; may be empty.
    pub client_id: Arc<str>,
    /// An IPv4 address is one, whatever socket it came to.
    pub remote: SocketAddr,
    pub is_tls: bool,
    /// Unix seconds.
    pub connected_at: u64,
    /// Now assigned.
    pub difficulty: f64,
    /// What it would be if it were chosen now; the same while it is fixed.
    pub ideal_difficulty: f64,
    /// Submissions of this connection, whoever was authorized.
    pub accepted: u64,
    pub rejected: u64,
    /// Hashes per second as people see them, at `at`.
    pub hashrate: f64,
    /// Unix seconds of this look.
    pub at: u64,
    /// How far `hashrate` can be trusted.
    pub accuracy: Accuracy,
    /// Accepted shares per minute.
    pub share_rate: f64,
    /// Unix seconds at which the status window began; 0 when it has not.
    pub window_started_at: u64,
    pub window_accepted: u32,
    pub window_submissions: u32,
    /// Difficulty credited in the window.
    pub window_credit: f64,
    /// The newest submission.
    pub last_share: Option<LastShareLook>,
    /// [`Reject::label`](crate::wire::reject::Reject::label) of the newest reject; empty for none.
    pub last_reject: &'static str,
    /// The kernel's smoothed estimate of the way to the miner and back.
    pub round_trip: Option<Duration>,
    /// Percentiles of the times from new work to the first share for it.
    pub first_share_p50: Option<Duration>,
    pub first_share_p95: Option<Duration>,
}

/// A submission, as far as a look tells of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LastShareLook {
    /// Unix seconds.
    pub at: u64,
    /// What its hash is worth; 0 when it was refused without hashing.
    pub difficulty: f64,
    pub is_accepted: bool,
    /// Zero when it was refused without hashing.
    pub hash: Hash,
}

/// Trust in a displayed hashrate, lowest first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Accuracy {
    /// Too little is known.
    Warming,
    /// About right.
    Settling,
    /// Within a tenth of what the window and the connection's life say.
    Stable,
    /// Within a twentieth, over twenty minutes at least.
    Precise,
}

impl Accuracy {
    /// What stands before the figure: `~`, `≈` or nothing.
    pub fn marker(self) -> &'static str {
        match self {
            Self::Warming => "~",
            Self::Settling => "≈",
            Self::Stable | Self::Precise => "",
        }
    }
}
