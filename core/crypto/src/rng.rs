//! Randomness as an argument: the trait that every key generation and every seal asks for.
//!
//! Owns nothing. A caller in production passes the operating system's generator, a simulation passes a seeded one,
//! and what is made from its bytes alone is then the same in every run.

pub use rand_core::{CryptoRng, Error as RngError, RngCore};

/// A random generator fit for keys. Implemented by everything that is both [`RngCore`] and [`CryptoRng`].
///
/// Functions take `&mut dyn Rng`, so no type parameter spreads from here through the rest of the product.
pub trait Rng: RngCore + CryptoRng {}

impl<T: RngCore + CryptoRng + ?Sized> Rng for T {}
