//! The fuzz targets' functions, with the world that the session tests have.

pub mod harness;
#[allow(dead_code)]
#[path = "../../tests/session/transcript.rs"]
pub mod transcript;
