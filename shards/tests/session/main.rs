//! Conformance by transcript: what the pool says to the bytes that miners send.

mod chance;
mod corpus;
mod coverage;
#[path = "../../fuzz/src/harness.rs"]
mod harness;
mod miners;
mod policing;
mod properties;
mod rules;
mod transcript;
