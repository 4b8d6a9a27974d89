//! Which implementation of the primitives this build uses: chosen by target, not at run time.
//!
//! Both files below offer the same functions and types. [`native`] is aws-lc, [`portable`] is RustCrypto. Tests on a
//! native machine compile both and compare them (`tests.rs`, `differential.rs`). ML-KEM is one library on every target
//! (`ml_kem`).

#[cfg(test)]
mod differential;
mod ml_kem;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod native;
#[cfg(any(test, target_arch = "wasm32"))]
pub(crate) mod portable;
#[cfg(test)]
mod tests;

pub(crate) use ml_kem::*;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::*;
#[cfg(target_arch = "wasm32")]
pub(crate) use portable::*;
