//! Fuzz targets: every decoder and every state machine that meets bytes of somebody else, each with what must hold.
//!
//! Owns the targets, their seeds and the table of both. Does not know who makes the inputs: libFuzzer does through
//! `fuzz_targets/`, the ordinary tests do from `corpus/` and `regressions/`.
//!
//! - A target gets any bytes and returns; a broken promise is a panic that says which.
//! - The same bytes do the same thing each time: keys, time and randomness are fixed in [`people`].
//! - A target looks at public interfaces alone, so what it finds, a peer can do.
//!
//! Next: [`TARGETS`], and README.md in this folder for how to run them.

#![allow(clippy::unwrap_used, reason = "a broken promise is a panic here; that is how a fuzzer sees it")]

pub mod courier;
pub mod directory;
pub mod frames;
pub mod http;
pub mod input;
pub mod linking;
pub mod parts;
pub mod people;
pub mod sealed;
pub mod session;
pub mod store;
pub mod texts;

/// One target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which is that of its binary and of its folders.
    pub name: &'static str,
    /// Takes any bytes, and panics when a promise is broken.
    pub run: fn(&[u8]),
    /// Returns inputs to begin with, made by our own encoders.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "courier", run: courier::target, seeds: courier::seeds },
    Target { name: "frames", run: frames::target, seeds: frames::seeds },
    Target { name: "directory", run: directory::target, seeds: directory::seeds },
    Target { name: "http", run: http::target, seeds: http::seeds },
    Target { name: "linking", run: linking::target, seeds: linking::seeds },
    Target { name: "parts", run: parts::target, seeds: parts::seeds },
    Target { name: "sealed", run: sealed::target, seeds: sealed::seeds },
    Target { name: "session", run: session::target, seeds: session::seeds },
    Target { name: "store", run: store::target, seeds: store::seeds },
    Target { name: "texts", run: texts::target, seeds: texts::seeds },
];
