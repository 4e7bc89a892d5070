//! Conformance by transcript: what the pool says to the bytes that miners send.

mod miners;
mod rules;
mod transcript;
