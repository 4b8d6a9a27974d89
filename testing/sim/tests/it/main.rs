//! Worlds that go well, worlds in which one thing is broken on purpose, and worlds that once went wrong.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod broken;
mod once;
mod plaintext;
mod replay;
