//! The short forms of `cargo xtask crash`: random deaths and bad disks, with the programs as they are shipped.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod deaths;
mod disks;
mod programs;
