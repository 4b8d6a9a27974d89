//! Alice, Bob, and the conformance suites of the ports.
#![allow(clippy::unwrap_used)]

pub mod conformance;
#[cfg(feature = "server")]
pub mod courier;
#[cfg(feature = "server")]
pub mod holds;
#[cfg(feature = "server")]
pub mod mailboxes;
#[cfg(feature = "client")]
pub mod memory_store;
#[cfg(feature = "vectors")]
pub mod vectors;
