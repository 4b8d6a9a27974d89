//! RSA-1280 with OAEP-SHA-1: what the suite `pair` carries its keys with, and nothing else.
//!
//! Owns the keys and their two encodings. The raw operation is the backend's, the padding [`oaep`]'s.
//!
//! - Opening never fails. A block that does not decode becomes bytes that only this key could predict, and the
//!   authentication that follows refuses them; nobody outside can tell the two apart.

pub(crate) mod oaep;

use std::fmt;

pub use oaep::MESSAGE_BYTES_MAX;

use crate::{
    backend,
    kdf::hmac_sha256,
    labels::fixed::RSA_REJECTION,
    rng::Rng,
    secret::{Secret, SecretBytes},
};

/// Bytes of a modulus and of a sealed block.
pub const BLOCK_BYTES: usize = 160;
/// Bytes of a PKCS#1 `RSAPublicKey` of this kind.
pub const PUBLIC_DER_BYTES: usize = 172;

/// An RSA-1280 private key.
pub struct RsaPrivateKey {
    raw: backend::RsaPrivate,
    /// Seeds what a refused block turns into, and the portable backend's blinding.
    rejection: Secret<32>,
    public: RsaPublicKey,
}

impl RsaPrivateKey {
    /// Makes a key. Takes tens of milliseconds. On native targets the randomness is the operating system's, since
    /// aws-lc takes no other; `rng` serves the portable backend.
    pub fn generate(rng: &mut dyn Rng) -> Self {
        Self::from_raw(backend::RsaPrivate::generate(rng)).expect("a generated key has a fit modulus")
    }

    /// Reads an unencrypted PKCS#8 key (RFC 5208), DER.
    ///
    /// # Errors
    /// [`RsaKeyError`] if it is not a consistent RSA key of 1280 bits with e = 65537.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, RsaKeyError> {
        Self::from_raw(backend::RsaPrivate::from_pkcs8(der).ok_or(RsaKeyError)?)
    }

    /// Returns the key as PKCS#8, to be stored under protection.
    #[must_use]
    pub fn to_pkcs8(&self) -> SecretBytes {
        self.raw.to_pkcs8()
    }

    /// Returns the public half.
    #[must_use]
    pub fn public(&self) -> &RsaPublicKey {
        &self.public
    }

    /// Opens an OAEP block, empty label. Always returns a message of at most [`MESSAGE_BYTES_MAX`] bytes: of a block
    /// that does not decode, one of [`oaep::REJECTED_BYTES`] pseudorandom bytes, the same each time.
    #[must_use]
    pub fn open_oaep(&self, block: &[u8; BLOCK_BYTES]) -> SecretBytes {
        let rejected = self.rejected_message(block);
        let blinding = hmac_sha256(self.rejection.expose(), &[b"blinding", block]);
        // A block outside the key's range is visible to its sender already, so this branch tells nothing.
        match self.raw.decrypt_block(block, &blinding) {
            Some(padded) => oaep::decode(padded.expose(), &rejected),
            None => SecretBytes::copy_of(rejected.expose()),
        }
    }

    fn from_raw(raw: backend::RsaPrivate) -> Result<Self, RsaKeyError> {
        let public = RsaPublicKey::from_modulus(&raw.modulus())?;
        let rejection = hmac_sha256(RSA_REJECTION, &[raw.to_pkcs8().expose()]);
        Ok(Self { raw, rejection, public })
    }

    /// Made for every block, good or bad, so that the work is the same.
    fn rejected_message(&self, block: &[u8; BLOCK_BYTES]) -> Secret<{ oaep::REJECTED_BYTES }> {
        Secret::fill_with(|out| {
            for (i, chunk) in out.chunks_mut(32).enumerate() {
                let bytes = hmac_sha256(self.rejection.expose(), &[b"message", &[i as u8], block]);
                chunk.copy_from_slice(&bytes.expose()[..chunk.len()]);
            }
        })
    }
}

impl fmt::Debug for RsaPrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RsaPrivateKey(1280 bits)")
    }
}

/// An RSA-1280 public key with e = 65537.
pub struct RsaPublicKey {
    raw: backend::RsaPublic,
    modulus: [u8; BLOCK_BYTES],
}

impl RsaPublicKey {
    /// Reads a PKCS#1 `RSAPublicKey` in DER. There is one encoding of each key, and no other is taken.
    ///
    /// # Errors
    /// [`RsaKeyError`] if it is anything else, or the modulus is shorter than 1280 bits or even.
    pub fn from_der(der: &[u8; PUBLIC_DER_BYTES]) -> Result<Self, RsaKeyError> {
        let rest = der.strip_prefix(&DER_BEFORE_MODULUS).and_then(|rest| rest.strip_suffix(&DER_AFTER_MODULUS));
        let modulus: [u8; BLOCK_BYTES] = rest.and_then(|rest| rest.try_into().ok()).ok_or(RsaKeyError)?;
        Self::from_modulus(&modulus)
    }

    /// Returns the PKCS#1 `RSAPublicKey` in DER.
    #[must_use]
    pub fn to_der(&self) -> [u8; PUBLIC_DER_BYTES] {
        let mut der = [0; PUBLIC_DER_BYTES];
        let (before, rest) = der.split_at_mut(DER_BEFORE_MODULUS.len());
        before.copy_from_slice(&DER_BEFORE_MODULUS);
        rest[..BLOCK_BYTES].copy_from_slice(&self.modulus);
        rest[BLOCK_BYTES..].copy_from_slice(&DER_AFTER_MODULUS);
        der
    }

    /// Seals `message` with OAEP, empty label, its seed drawn from `rng`.
    ///
    /// # Errors
    /// [`RsaMessageTooLong`] above [`MESSAGE_BYTES_MAX`] bytes.
    pub fn seal_oaep(&self, rng: &mut dyn Rng, message: &[u8]) -> Result<[u8; BLOCK_BYTES], RsaMessageTooLong> {
        let padded = oaep::encode(rng, message).ok_or(RsaMessageTooLong)?;
        Ok(self.raw.encrypt_block(padded.expose()).expect("a padded block begins with zero, a modulus does not"))
    }

    fn from_modulus(modulus: &[u8; BLOCK_BYTES]) -> Result<Self, RsaKeyError> {
        let raw = backend::RsaPublic::from_modulus(modulus).ok_or(RsaKeyError)?;
        Ok(Self { raw, modulus: *modulus })
    }
}

impl Clone for RsaPublicKey {
    fn clone(&self) -> Self {
        Self::from_modulus(&self.modulus).expect("the modulus was accepted before")
    }
}

impl PartialEq for RsaPublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.modulus == other.modulus
    }
}

impl Eq for RsaPublicKey {}

impl fmt::Debug for RsaPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RsaPublicKey(1280 bits)")
    }
}

/// Bytes are no RSA-1280 key with e = 65537: whoever made them is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an RSA key of 1280 bits with exponent 65537")]
pub struct RsaKeyError;

/// The caller's message does not fit an OAEP block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("message is longer than an OAEP block holds")]
pub struct RsaMessageTooLong;

/// SEQUENCE of 169 bytes, INTEGER of 161, the zero that keeps it positive.
const DER_BEFORE_MODULUS: [u8; 7] = [0x30, 0x81, 0xa9, 0x02, 0x81, 0xa1, 0x00];
/// INTEGER 65537.
const DER_AFTER_MODULUS: [u8; 5] = [0x02, 0x03, 0x01, 0x00, 0x01];

#[cfg(test)]
mod tests;
