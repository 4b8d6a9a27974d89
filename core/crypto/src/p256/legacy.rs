//! ECDSA over SHA-1 with DER signatures and uncompressed keys: what the suite `pair` signs with, and nothing else.
//!
//! The backend is RustCrypto on every target, because aws-lc-rs has no ECDSA over SHA-1. The suite's identity is an
//! uncompressed point with either y, so these keys are a type of their own and never meet the compact ones.

use std::fmt;

use ::p256::ecdsa::{
    self,
    signature::hazmat::{PrehashSigner, PrehashVerifier},
};

use super::{KeyError, SignatureError};
use crate::{backend, rng::Rng, secret::Secret};

/// A private key of the suite `pair`'s signatures.
#[derive(Clone)]
pub struct LegacySigningKey {
    secret: Secret<32>,
    signer: ecdsa::SigningKey,
}

impl LegacySigningKey {
    /// Makes a key from `rng`.
    pub fn generate(rng: &mut dyn Rng) -> Self {
        loop {
            if let Ok(key) = Self::from_secret(Secret::random(rng)) {
                return key;
            }
        }
    }

    /// Takes a big-endian scalar.
    ///
    /// # Errors
    /// [`KeyError::OutOfRange`].
    pub fn from_secret(secret: Secret<32>) -> Result<Self, KeyError> {
        let signer = ecdsa::SigningKey::from_slice(secret.expose()).map_err(|_| KeyError::OutOfRange)?;
        Ok(Self { secret, signer })
    }

    /// Returns the scalar, to be stored under protection.
    #[must_use]
    pub fn to_secret(&self) -> Secret<32> {
        self.secret.clone()
    }

    /// Returns the public half.
    #[must_use]
    pub fn verifying_key(&self) -> LegacyVerifyingKey {
        LegacyVerifyingKey(*self.signer.verifying_key())
    }

    /// Signs SHA-1 of `message`; the result is DER, 8 to 72 bytes. The nonce is RFC 6979's.
    #[must_use]
    pub fn sign_sha1_der(&self, message: &[u8]) -> Vec<u8> {
        let digest = backend::sha1(&[message]);
        let signature: ecdsa::Signature =
            self.signer.sign_prehash(&digest).expect("a 20-byte digest is signed by any valid key");
        signature.to_der().as_bytes().to_vec()
    }
}

impl fmt::Debug for LegacySigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LegacySigningKey(32 bytes)")
    }
}

/// A public key of the suite `pair`'s signatures, known to be on the curve.
#[derive(Clone, PartialEq, Eq)]
pub struct LegacyVerifyingKey(ecdsa::VerifyingKey);

impl LegacyVerifyingKey {
    /// Parses an uncompressed point, `0x04 ‖ x ‖ y`.
    ///
    /// # Errors
    /// [`KeyError::NotOnCurve`], also for any other form of a point.
    pub fn from_uncompressed(point: &[u8; 65]) -> Result<Self, KeyError> {
        ecdsa::VerifyingKey::from_sec1_bytes(point).map(Self).map_err(|_| KeyError::NotOnCurve)
    }

    /// Returns `0x04 ‖ x ‖ y`.
    #[must_use]
    pub fn to_uncompressed(&self) -> [u8; 65] {
        self.0.to_encoded_point(false).as_bytes().try_into().expect("an uncompressed point has 65 bytes")
    }

    /// Verifies a DER signature over SHA-1 of `message`. DER is read strictly: minimal lengths and integers, nothing
    /// after them.
    ///
    /// # Errors
    /// [`SignatureError`] whatever the difference.
    pub fn verify_sha1_der(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        self.verify_digest_der(&backend::sha1(&[message]), signature)
    }

    /// Apart from the hash, so that published vectors, which have others, go through the same parser and arithmetic.
    pub(crate) fn verify_digest_der(&self, digest: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let signature = ecdsa::Signature::from_der(signature).map_err(|_| SignatureError)?;
        self.0.verify_prehash(digest, &signature).map_err(|_| SignatureError)
    }
}

impl fmt::Debug for LegacyVerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LegacyVerifyingKey(65 bytes)")
    }
}
