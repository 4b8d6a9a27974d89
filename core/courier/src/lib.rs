//! Frames and envelopes of the courier, and both halves of its protocol.

pub mod wire;
