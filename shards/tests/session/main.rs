//! Conformance by transcript: what the pool says to the bytes that miners send.

mod chance;
mod corpus;
mod coverage;
#[path = "../../fuzz/src/ear.rs"]
mod ear;
#[path = "../../fuzz/src/harness.rs"]
mod harness;
mod laws;
mod looks;
mod memory;
mod miners;
mod policing;
mod properties;
mod rules;
mod scenarios;
mod shares;
#[path = "../../fuzz/src/told.rs"]
mod told;
mod transcript;
#[path = "../../fuzz/src/world.rs"]
mod world;
