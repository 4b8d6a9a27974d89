//! The courier's public behavior: both halves of the protocol, over bytes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod two_phones;
