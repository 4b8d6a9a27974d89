//! The only crate that names primitive crates.
