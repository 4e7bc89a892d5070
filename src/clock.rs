//! The time of day, as files and tables have it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix seconds; 0 for a clock that is set before 1970.
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
