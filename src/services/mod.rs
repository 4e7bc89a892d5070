//! What stands around the pool, off the share path and allowed to fail.

pub mod system;
