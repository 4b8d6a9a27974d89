//! Bytes that must not be seen, copied by accident, or left behind.
//!
//! Owns the memory of a secret from the moment it exists to the moment it is wiped.
//! Does not know what the bytes are for.
//!
//! - The bytes live in one heap allocation, so moving a secret moves a pointer and leaves no copy on the stack.
//! - Dropping wipes them. `Debug` prints the length. There is no `Copy`, `Deref`, `==` or serialization.
//! - The one way to the bytes is `expose`, which a reviewer can search for.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::rng::Rng;

/// A secret of exactly `N` bytes.
#[derive(Clone)]
pub struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Makes a secret by letting `fill` write its bytes where they will stay.
    pub fn fill_with(fill: impl FnOnce(&mut [u8; N])) -> Self {
        let mut secret = Self(Box::new([0; N]));
        fill(&mut secret.0);
        secret
    }

    /// Makes a secret by letting `fill` write its bytes; an error wipes what was written and is passed on.
    ///
    /// # Errors
    /// Whatever `fill` returns.
    pub fn try_fill_with<E>(fill: impl FnOnce(&mut [u8; N]) -> Result<(), E>) -> Result<Self, E> {
        let mut secret = Self(Box::new([0; N]));
        fill(&mut secret.0)?;
        Ok(secret)
    }

    /// Makes a fresh secret from `rng`.
    pub fn random(rng: &mut dyn Rng) -> Self {
        Self::fill_with(|bytes| rng.fill_bytes(bytes))
    }

    /// Returns the bytes. Each caller answers for what it does with them.
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }

    /// Compares in constant time.
    #[must_use]
    pub fn ct_eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl<const N: usize> TryFrom<&[u8]> for Secret<N> {
    type Error = LengthError;

    fn try_from(bytes: &[u8]) -> Result<Self, LengthError> {
        if bytes.len() != N {
            return Err(LengthError { expected: N, actual: bytes.len() });
        }
        Ok(Self::fill_with(|secret| secret.copy_from_slice(bytes)))
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({N} bytes)")
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}

/// A secret whose length is not fixed: a plaintext, a passphrase, an encoded private key.
#[derive(Clone)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Takes the bytes over without copying them. A vector that grew may have left copies behind: make it with
    /// its final capacity.
    #[must_use]
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Copies the bytes; the caller still owns, and must wipe, the original.
    #[must_use]
    pub fn copy_of(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// Returns the bytes. Each caller answers for what it does with them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Returns the bytes, to be worked on where they are.
    pub(crate) fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// Returns the number of bytes, which is not secret.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Says whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compares in constant time for equal lengths; the length itself is not hidden.
    #[must_use]
    pub fn ct_eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({} bytes)", self.0.len())
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The bytes given for a secret have another length: the caller's data is damaged or of another kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} bytes, got {actual}")]
pub struct LengthError {
    /// Bytes that the secret has.
    pub expected: usize,
    /// Bytes that were given.
    pub actual: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_only_the_length() {
        let secret = Secret::<4>::fill_with(|bytes| *bytes = [0xde, 0xad, 0xbe, 0xef]);
        insta::assert_snapshot!(format!("{secret:?}"), @"Secret(4 bytes)");
        let bytes = SecretBytes::copy_of(b"attack at dawn");
        insta::assert_snapshot!(format!("{bytes:?}"), @"SecretBytes(14 bytes)");
    }

    #[test]
    fn nothing_is_empty() {
        assert!(SecretBytes::copy_of(b"").is_empty());
        assert!(!SecretBytes::copy_of(b"a").is_empty());
    }

    #[test]
    fn a_wrong_length_is_refused() {
        let refused = Secret::<32>::try_from([0u8; 31].as_slice());
        assert_eq!(refused.map(|_| ()), Err(LengthError { expected: 32, actual: 31 }));
    }

    #[test]
    fn comparison_sees_every_byte() {
        let base = Secret::<32>::fill_with(|b| *b = [7; 32]);
        for i in 0..32 {
            let other = Secret::<32>::fill_with(|b| {
                *b = [7; 32];
                b[i] ^= 1;
            });
            assert!(!base.ct_eq(&other), "byte {i}");
        }
        assert!(base.ct_eq(&base.clone()));
        assert!(!SecretBytes::copy_of(b"ab").ct_eq(&SecretBytes::copy_of(b"abc")));
    }

    /// A failed fill must not hand out half a secret.
    #[test]
    fn a_failed_fill_is_an_error() {
        let failed = Secret::<8>::try_fill_with(|bytes| {
            bytes[0] = 1;
            Err("no entropy")
        });
        assert_eq!(failed.map(|_| ()), Err("no entropy"));
    }
}
