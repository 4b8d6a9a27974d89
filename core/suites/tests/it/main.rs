//! The suites from outside: Alice's phone, Bob's phone, and Eve who wants to be either.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod attacks;
mod domains;
mod downgrade;
mod people;
mod pq3;
mod sessions;
mod states;
