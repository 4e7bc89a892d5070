//! What is remembered of the last minute or hour, in rings of fixed size (`state-and-services.md`
//! §15). All but the histogram are plain values that control owns and feeds with sums, so no
//! share waits for a lock (FIX-48); times are passed in.

pub mod disconnects;
pub mod events;
pub mod histogram;
pub mod latency;
pub mod rate;
mod seconds;
