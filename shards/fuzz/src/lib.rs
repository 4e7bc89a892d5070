//! The fuzz targets' functions, with the world that the session tests have.

pub mod ear;
pub mod harness;
pub mod told;
#[allow(dead_code)]
#[path = "../../tests/session/transcript.rs"]
pub mod transcript;
pub mod world;
