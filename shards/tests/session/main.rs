//! Conformance by transcript: what the pool says to the bytes that miners send.

mod miners;
mod policing;
mod rules;
mod transcript;
