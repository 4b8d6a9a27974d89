//! The plaintext message model and its one decoder.

pub mod wire;
