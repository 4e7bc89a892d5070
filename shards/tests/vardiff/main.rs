//! Does the difficulty find the wanted share rate, does it then rest, and is no share lost on the
//! way? Simulated: hours pass in milliseconds, and every run is the same.

mod chance;
mod convergence;
mod disturbances;
mod measures;
mod rules;
mod simulation;
