//! Device lists, prekeys and lookup answers: what clients accept and what servers store.

pub mod wire;
