//! The command line as people and scripts use it: the built program against a real server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(unix)]
mod agent;
mod carrying;
mod failures;
mod interface;
mod keyring;
mod linking;
mod looking;
mod own;
#[cfg(unix)]
mod play;
#[cfg(unix)]
mod programs;
mod repairing;
mod reporting;
mod scheduled;
mod talking;
mod world;
