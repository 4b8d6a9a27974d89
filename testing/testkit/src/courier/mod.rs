//! Devices that speak the courier's protocol frame by frame, and a directory in memory that knows them.
//!
//! For tests of the server's half: a [`Phone`] does what it is told, also what no client would do.

mod phone;
mod town;

pub use phone::{Phone, delivered_text};
pub use town::{CountingRandom, TestDevice, TokioClock, Town};
