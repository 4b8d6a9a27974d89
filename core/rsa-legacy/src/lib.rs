//! RSA-1280, raw, over aws-lc: the block operations of the suite `pair`.
//!
//! One of the two crates with `unsafe` code (the other is `shell/client-store/vfs`). It exists because the safe bindings refuse keys below 2048 bits and the
//! suite's format fixes 1280. It owns the foreign pointers and nothing else.
//! Does not know padding: OAEP is `halcyon-crypto`'s, in constant time, so that no failure of it shows here.
//!
//! - Every foreign pointer lives in a type that frees it on drop.
//! - Private keys have a 1280-bit modulus, e = 65537, and passed aws-lc's consistency check.
//! - Private operations are blinded and their CRT result is verified; both are aws-lc's defaults, and nothing here
//!   turns them off.

mod ffi;

use std::fmt;

use ffi::{Rsa, RsaPkcs8};
use zeroize::Zeroizing;

/// Bytes of a modulus, and of every block.
pub const BLOCK_BYTES: usize = 160;

/// A private key. The memory behind it is aws-lc's, which wipes it when freed.
pub struct PrivateKey(Rsa);

impl PrivateKey {
    /// Makes a key from the operating system's randomness. Takes tens of milliseconds.
    ///
    /// # Errors
    /// [`RsaError::Backend`] if memory or randomness could not be had.
    pub fn generate() -> Result<Self, RsaError> {
        Rsa::generate().map(Self)
    }

    /// Reads an unencrypted PKCS#8 `PrivateKeyInfo` (RFC 5208), DER, with nothing after it.
    ///
    /// # Errors
    /// [`RsaError::Malformed`] if it is not that, or not a consistent RSA key of 1280 bits with e = 65537.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, RsaError> {
        Rsa::from_pkcs8(der)?.checked_private().map(Self)
    }

    /// Returns the key as PKCS#8, DER. The buffer is wiped when dropped.
    ///
    /// # Errors
    /// [`RsaError::Backend`] if memory could not be had.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, RsaError> {
        RsaPkcs8::of(&self.0).map(|der| Zeroizing::new(der.as_slice().to_vec()))
    }

    /// Returns the modulus, big-endian.
    #[must_use]
    pub fn modulus(&self) -> [u8; BLOCK_BYTES] {
        self.0.modulus()
    }

    /// Raises `block` to the private exponent, blinded. The result is unpadded and secret.
    ///
    /// # Errors
    /// [`RsaError::OutOfRange`] unless 1 < `block` < modulus - 1 (SP 800-56B section 7.1.2, which aws-lc follows). Both
    /// are public, so this failure tells nothing.
    pub fn decrypt_block(&self, block: &[u8; BLOCK_BYTES]) -> Result<Zeroizing<[u8; BLOCK_BYTES]>, RsaError> {
        self.0.decrypt_block(block)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rsa_legacy::PrivateKey(1280 bits)")
    }
}

/// A public key with e = 65537.
pub struct PublicKey(Rsa);

impl PublicKey {
    /// Takes a big-endian modulus.
    ///
    /// # Errors
    /// [`RsaError::Malformed`] if its top bit is clear or it is even.
    pub fn from_modulus(modulus: &[u8; BLOCK_BYTES]) -> Result<Self, RsaError> {
        if modulus[0] & 0x80 == 0 || modulus[BLOCK_BYTES - 1] & 1 == 0 {
            return Err(RsaError::Malformed);
        }
        Rsa::from_modulus(modulus).map(Self)
    }

    /// Raises `block`, which the caller has padded, to the public exponent.
    ///
    /// # Errors
    /// [`RsaError::OutOfRange`] if `block` is not below the modulus.
    pub fn encrypt_block(&self, block: &[u8; BLOCK_BYTES]) -> Result<[u8; BLOCK_BYTES], RsaError> {
        self.0.encrypt_block(block)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rsa_legacy::PublicKey(1280 bits)")
    }
}

/// Why a raw RSA operation was not done. No state changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RsaError {
    /// The bytes are not a key of this kind: whoever made them is at fault.
    #[error("not an RSA-1280 key with exponent 65537")]
    Malformed,
    /// The block is not below the modulus, or trivial: whoever sent it is at fault.
    #[error("block is outside the range of the key")]
    OutOfRange,
    /// The machine could not give memory or randomness.
    #[error("the cryptographic library failed for want of resources")]
    Backend,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_public_key_encrypts_the_private_key_decrypts() {
        let private = PrivateKey::generate().unwrap();
        let public = PublicKey::from_modulus(&private.modulus()).unwrap();
        let mut block = [0x5a; BLOCK_BYTES];
        block[0] = 0;
        let sealed = public.encrypt_block(&block).unwrap();
        assert_ne!(sealed, block);
        assert_eq!(*private.decrypt_block(&sealed).unwrap(), block);
    }

    #[test]
    fn a_key_survives_pkcs8() {
        let private = PrivateKey::generate().unwrap();
        let der = private.to_pkcs8().unwrap();
        let again = PrivateKey::from_pkcs8(&der).unwrap();
        assert_eq!(again.modulus(), private.modulus());
        assert_eq!(*again.to_pkcs8().unwrap(), *der);
    }

    #[test]
    fn damaged_keys_are_refused() {
        let der = PrivateKey::generate().unwrap().to_pkcs8().unwrap();
        let refused = |bytes: &[u8]| PrivateKey::from_pkcs8(bytes).map(|_| ()).unwrap_err();
        assert_eq!(refused(&[]), RsaError::Malformed);
        assert_eq!(refused(&der[..der.len() - 1]), RsaError::Malformed);
        assert_eq!(refused(&[&der[..], &[0]].concat()), RsaError::Malformed, "a byte after the key");
        // One bit inside the modulus, which begins 0x02 0x81 0xA1 0x00 after the headers.
        let mut bent = der.to_vec();
        bent[60] ^= 1;
        assert_eq!(refused(&bent), RsaError::Malformed);
    }

    #[test]
    fn a_block_above_the_modulus_is_refused_on_both_sides() {
        let private = PrivateKey::generate().unwrap();
        let public = PublicKey::from_modulus(&private.modulus()).unwrap();
        let above = [0xff; BLOCK_BYTES];
        assert_eq!(public.encrypt_block(&above).unwrap_err(), RsaError::OutOfRange);
        assert_eq!(private.decrypt_block(&above).unwrap_err(), RsaError::OutOfRange);
        assert_eq!(private.decrypt_block(&private.modulus()).unwrap_err(), RsaError::OutOfRange);
        // aws-lc refuses the trivial blocks too, which are their own powers.
        let mut one = [0; BLOCK_BYTES];
        one[BLOCK_BYTES - 1] = 1;
        let mut minus_one = private.modulus();
        minus_one[BLOCK_BYTES - 1] -= 1;
        for trivial in [[0; BLOCK_BYTES], one, minus_one] {
            assert_eq!(private.decrypt_block(&trivial).unwrap_err(), RsaError::OutOfRange);
        }
    }

    #[test]
    fn short_and_even_moduli_are_refused() {
        let modulus = PrivateKey::generate().unwrap().modulus();
        let mut short = modulus;
        short[0] &= 0x7f;
        let mut even = modulus;
        even[BLOCK_BYTES - 1] &= 0xfe;
        for bad in [short, even, [0; BLOCK_BYTES]] {
            assert_eq!(PublicKey::from_modulus(&bad).map(|_| ()).unwrap_err(), RsaError::Malformed);
        }
    }

    /// A key is used from many threads at once; the answers stay right.
    #[test]
    fn threads_share_a_key() {
        let private = PrivateKey::generate().unwrap();
        let public = PublicKey::from_modulus(&private.modulus()).unwrap();
        std::thread::scope(|scope| {
            for i in 1..5u8 {
                let (private, public) = (&private, &public);
                scope.spawn(move || {
                    let mut block = [i; BLOCK_BYTES];
                    block[0] = 0;
                    for _ in 0..20 {
                        let sealed = public.encrypt_block(&block).unwrap();
                        assert_eq!(*private.decrypt_block(&sealed).unwrap(), block);
                    }
                });
            }
        });
    }

    #[test]
    fn debug_shows_no_key() {
        let private = PrivateKey::generate().unwrap();
        assert_eq!(format!("{private:?}"), "rsa_legacy::PrivateKey(1280 bits)");
    }
}
