//! The plaintext message model and its one decoder.
