//! The encrypted store from outside: profiles, secrecy, tampering, crashes.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, reason = "a test fails by panicking")]

mod crash;
mod diary;
mod inbox;
mod profile;
mod secrecy;
mod sim_disk;
mod store;
mod tampering;
