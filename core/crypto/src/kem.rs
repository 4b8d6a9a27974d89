//! ML-KEM-768 and ML-KEM-1024 (FIPS 203): key pairs from a seed, encapsulation, decapsulation.
//!
//! Owns the checks that FIPS 203 asks for: the modulus of a public key, the hash inside of an expanded private key, every
//! length. Does not know what the agreed secret is for; it is fed to a key derivation, next to an ECDH secret.
//!
//! - A private key is stored as its seed `d ‖ z`, 64 bytes, and expanded when it is loaded. An expanded key never comes from
//!   outside, but for test vectors ([`MlKem::check_expanded`]).
//! - All randomness is the caller's, so the same bytes give the same keys on every target.
//! - Decapsulation never fails: another key's or an altered encapsulation gives another secret (implicit rejection).

use std::{fmt, marker::PhantomData, sync::Arc};

use crate::{
    backend,
    rng::Rng,
    secret::{Secret, SecretBytes},
};

/// Bytes of a private key's seed, `d ‖ z` (FIPS 203 section 7.1).
pub const SEED_BYTES: usize = 64;
/// Bytes of ML-KEM-768's public key.
pub const ML_KEM_768_PUBLIC_BYTES: usize = 1184;
/// Bytes of ML-KEM-768's encapsulation.
pub const ML_KEM_768_ENCAP_BYTES: usize = 1088;
/// Bytes of ML-KEM-1024's public key.
pub const ML_KEM_1024_PUBLIC_BYTES: usize = 1568;
/// Bytes of ML-KEM-1024's encapsulation.
pub const ML_KEM_1024_ENCAP_BYTES: usize = 1568;

/// A parameter set of FIPS 203, as a type: keys of one do not fit the other.
pub trait MlKem: Copy + 'static {
    /// Bytes of a public key.
    const PUBLIC_BYTES: usize;
    /// Bytes of an encapsulation.
    const ENCAP_BYTES: usize;
    /// Bytes of an expanded private key.
    const EXPANDED_BYTES: usize;
    /// The set's name.
    const NAME: &'static str;

    /// Returns the expanded private key of a seed.
    #[doc(hidden)]
    fn expand(seed: &[u8; SEED_BYTES]) -> SecretBytes;
    /// Judges a public key of the right length (FIPS 203 section 7.2, the modulus check).
    #[doc(hidden)]
    fn is_valid_public(public: &[u8]) -> bool;
    /// Encapsulates to a valid public key with `m`.
    #[doc(hidden)]
    fn encapsulate_to(public: &[u8], m: &[u8; 32]) -> (Vec<u8>, Secret<32>);
    /// Decapsulates with an expanded key of our own; `None` for a wrong length.
    #[doc(hidden)]
    fn decapsulate_with(expanded: &[u8], encap: &[u8]) -> Option<Secret<32>>;

    /// Decapsulates with an expanded private key, as test vectors carry, after its checks: the lengths, and the hash of the
    /// public key inside (FIPS 203 section 7.3).
    ///
    /// # Errors
    /// [`KemError`].
    fn check_expanded(expanded: &[u8], encap: &[u8]) -> Result<Secret<32>, KemError>;
}

/// ML-KEM-768.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MlKem768;

/// ML-KEM-1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MlKem1024;

macro_rules! parameter_set {
    ($set:ident, $name:literal, $module:ident, $public:expr, $encap:expr, $expanded:expr) => {
        impl MlKem for $set {
            const PUBLIC_BYTES: usize = $public;
            const ENCAP_BYTES: usize = $encap;
            const EXPANDED_BYTES: usize = $expanded;
            const NAME: &'static str = $name;

            fn expand(seed: &[u8; SEED_BYTES]) -> SecretBytes {
                SecretBytes::copy_of(backend::$module::expand(seed).expose())
            }

            fn is_valid_public(public: &[u8]) -> bool {
                public.try_into().is_ok_and(backend::$module::is_valid_public)
            }

            fn encapsulate_to(public: &[u8], m: &[u8; 32]) -> (Vec<u8>, Secret<32>) {
                let public = public.try_into().expect("a KemPublic has its set's length");
                let (encap, secret) = backend::$module::encapsulate(public, m);
                (encap.to_vec(), secret)
            }

            fn decapsulate_with(expanded: &[u8], encap: &[u8]) -> Option<Secret<32>> {
                Some(backend::$module::decapsulate(expanded.try_into().ok()?, encap.try_into().ok()?))
            }

            fn check_expanded(expanded: &[u8], encap: &[u8]) -> Result<Secret<32>, KemError> {
                let expanded = expanded.try_into().map_err(|_| KemError::Length)?;
                let encap = encap.try_into().map_err(|_| KemError::Length)?;
                backend::$module::decapsulate_checked(expanded, encap).ok_or(KemError::Hash)
            }
        }
    };
}

parameter_set!(MlKem768, "ML-KEM-768", ml_kem_768, ML_KEM_768_PUBLIC_BYTES, ML_KEM_768_ENCAP_BYTES, 2400);
parameter_set!(MlKem1024, "ML-KEM-1024", ml_kem_1024, ML_KEM_1024_PUBLIC_BYTES, ML_KEM_1024_ENCAP_BYTES, 3168);

/// Bytes are no key or encapsulation of the parameter set: whoever made them is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KemError {
    /// Every key and encapsulation has its set's exact length.
    #[error("KEM bytes have the wrong length")]
    Length,
    /// A coefficient of the public key is not below 3329 (FIPS 203 section 7.2).
    #[error("KEM public key fails the modulus check")]
    Modulus,
    /// An expanded private key does not hold the hash of its public key (FIPS 203 section 7.3).
    #[error("KEM private key fails the hash check")]
    Hash,
}

/// A public key, known to pass the modulus check.
#[derive(Clone)]
pub struct KemPublic<P> {
    bytes: Box<[u8]>,
    set: PhantomData<P>,
}

impl<P: MlKem> KemPublic<P> {
    /// Parses raw FIPS 203 bytes and checks length and modulus.
    ///
    /// # Errors
    /// [`KemError::Length`], [`KemError::Modulus`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KemError> {
        if bytes.len() != P::PUBLIC_BYTES {
            return Err(KemError::Length);
        }
        if !P::is_valid_public(bytes) {
            return Err(KemError::Modulus);
        }
        Ok(Self { bytes: bytes.into(), set: PhantomData })
    }

    /// Returns the raw FIPS 203 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Draws a secret and encapsulates it: returns the encapsulation, to be sent, and the secret.
    pub fn encapsulate(&self, rng: &mut dyn Rng) -> (Vec<u8>, Secret<32>) {
        self.encapsulate_with(&Secret::random(rng))
    }

    /// Encapsulates with the 32 random bytes `m` of FIPS 203 section 7.2, as test vectors give them. Never twice with
    /// the same.
    #[must_use]
    pub fn encapsulate_with(&self, m: &Secret<32>) -> (Vec<u8>, Secret<32>) {
        P::encapsulate_to(&self.bytes, m.expose())
    }
}

impl<P> PartialEq for KemPublic<P> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl<P> Eq for KemPublic<P> {}

impl<P: MlKem> fmt::Debug for KemPublic<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KemPublic({})", P::NAME)
    }
}

/// A private key. Cloning shares it.
#[derive(Clone)]
pub struct KemPrivate<P> {
    seed: Secret<SEED_BYTES>,
    expanded: Arc<SecretBytes>,
    set: PhantomData<P>,
}

impl<P: MlKem> KemPrivate<P> {
    /// Draws a key.
    pub fn generate(rng: &mut dyn Rng) -> Self {
        Self::from_seed(Secret::random(rng))
    }

    /// Takes a seed `d ‖ z` and expands it, which is the key generation. Every one is a key.
    #[must_use]
    pub fn from_seed(seed: Secret<SEED_BYTES>) -> Self {
        let expanded = Arc::new(P::expand(seed.expose()));
        Self { seed, expanded, set: PhantomData }
    }

    /// Returns the seed, to be stored under protection.
    #[must_use]
    pub fn seed(&self) -> &Secret<SEED_BYTES> {
        &self.seed
    }

    /// Returns the public key, which is a part of the expanded private one: after the secret vector, before two hashes
    /// (FIPS 203 algorithm 16).
    #[must_use]
    pub fn public(&self) -> KemPublic<P> {
        let end = P::EXPANDED_BYTES - 64;
        KemPublic { bytes: self.expanded.expose()[end - P::PUBLIC_BYTES..end].into(), set: PhantomData }
    }

    /// Recovers the secret of an encapsulation. One that was made for another key, or altered, gives a secret that
    /// nobody else has.
    ///
    /// # Errors
    /// [`KemError::Length`].
    pub fn decapsulate(&self, encap: &[u8]) -> Result<Secret<32>, KemError> {
        P::decapsulate_with(self.expanded.expose(), encap).ok_or(KemError::Length)
    }
}

impl<P: MlKem> fmt::Debug for KemPrivate<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KemPrivate({})", P::NAME)
    }
}

#[cfg(test)]
mod acvp;
#[cfg(test)]
mod tests;
