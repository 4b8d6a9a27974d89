//! The short forms of `cargo xtask crash`: random deaths and bad disks, with the programs as they are shipped.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::print_stderr, reason = "a test that was not run says so")]

mod deaths;
mod disks;
mod programs;
