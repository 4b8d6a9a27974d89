//! AES-256-GCM: what is encrypted for ourselves (stores, wrapped keys, device approval), with a key used for few
//! messages and a nonce that the caller never repeats under it.

use crate::{
    backend,
    secret::{Secret, SecretBytes},
};

/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 12;
/// Bytes that sealing adds.
pub const TAG_BYTES: usize = 16;

/// What was opened does not authenticate under this key, nonce and associated data. Nothing was released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("does not authenticate")]
pub struct Unauthentic;

/// Encrypts `plaintext` and authenticates it with `aad`. Returns ciphertext ‖ 16-byte tag.
///
/// A nonce must never meet the same key twice: two messages under one nonce give away both and the tag key.
#[must_use]
pub fn seal(key: &Secret<32>, nonce: &[u8; NONCE_BYTES], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    backend::gcm_seal(key.expose(), nonce, aad, plaintext)
}

/// Authenticates and decrypts what [`seal`] made.
///
/// # Errors
/// [`Unauthentic`] for any difference in key, nonce, `aad` or a bit of `sealed`, and for fewer than 16 bytes.
pub fn open(
    key: &Secret<32>,
    nonce: &[u8; NONCE_BYTES],
    aad: &[u8],
    sealed: &[u8],
) -> Result<SecretBytes, Unauthentic> {
    backend::gcm_open(key.expose(), nonce, aad, sealed).map(SecretBytes::from_vec).ok_or(Unauthentic)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Secret<32> {
        Secret::fill_with(|b| *b = [byte; 32])
    }

    #[test]
    fn what_was_sealed_opens_and_nothing_near_it_does() {
        let sealed = seal(&key(1), &[2; 12], b"for bob", b"hello");
        assert_eq!(sealed.len(), 5 + TAG_BYTES);
        assert_eq!(open(&key(1), &[2; 12], b"for bob", &sealed).unwrap().expose(), b"hello");
        assert_eq!(open(&key(3), &[2; 12], b"for bob", &sealed).unwrap_err(), Unauthentic);
        assert_eq!(open(&key(1), &[3; 12], b"for bob", &sealed).unwrap_err(), Unauthentic);
        assert_eq!(open(&key(1), &[2; 12], b"for eve", &sealed).unwrap_err(), Unauthentic);
        for bit in 0..8 * sealed.len() {
            let mut bent = sealed.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&key(1), &[2; 12], b"for bob", &bent).unwrap_err(), Unauthentic, "bit {bit}");
        }
        for len in 0..sealed.len() {
            assert_eq!(open(&key(1), &[2; 12], b"for bob", &sealed[..len]).unwrap_err(), Unauthentic);
        }
    }
}
