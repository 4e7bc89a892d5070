//! What the pool and its saved workers did: minute by minute for a day, half hour by half hour for
//! a month (`state-and-services.md` §9, §10, §18).
//!
//! Everything but [`HistoryKeeper`] is pure: times come in as unix minutes. Once a minute control
//! hands a [`MinuteSample`] to the keeper; its thread, and nobody else, changes the [`History`]
//! and writes files. Pages read through a [`HistoryReader`].
//!
//! ```text
//! control ── MinuteSample ──→ keeper's thread ──→ History ←── pages
//!                                ├─→ journal     each minute
//!                                └─→ snapshots   every few hours, and when the pool stops
//! ```

mod compact;
mod encoding;
mod journal;
mod keeper;
mod minute_best;
mod sampler;
mod series;
mod series_set;
mod short;
mod snapshot_file;

pub use compact::CompactSeries;
pub use encoding::{Q8, bit, bitset, si8, si8_value, si16, si16_value};
pub use journal::{Journal, JournalError, JournalRead};
pub use keeper::{FLUSH_INTERVAL_DEFAULT, HistoryKeeper, HistoryReader};
pub use minute_best::MinuteBest;
pub use sampler::{Codes, History, MinuteRecord, MinuteSample, WorkerMinute};
pub use series::{Resolution, SLOTS, Series, Slot};
pub use series_set::{POOL_KEY, SERIES_MAX, SeriesSet};
pub use short::{SAMPLE_INTERVAL, ShortHistory, ShortSample};
pub use snapshot_file::{Snapshot, SnapshotError};
