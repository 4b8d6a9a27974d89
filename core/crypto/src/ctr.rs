//! AES in counter mode: confidentiality only. Whoever calls it authenticates the result by other means.
//!
//! The counter block is a 128-bit big-endian number that wraps. Encrypting and decrypting are the same operation,
//! done in place.

use ::ctr::cipher::{KeyIvInit, StreamCipher};
use aes::{Aes128, Aes256};

use crate::secret::Secret;

/// Applies AES-128-CTR to `buffer` in place, starting at `counter`.
pub fn apply_aes128(key: &Secret<16>, counter: &[u8; 16], buffer: &mut [u8]) {
    ::ctr::Ctr128BE::<Aes128>::new(key.expose().into(), counter.into()).apply_keystream(buffer);
}

/// Applies AES-256-CTR to `buffer` in place, starting at `counter`.
pub fn apply_aes256(key: &Secret<32>, counter: &[u8; 16], buffer: &mut [u8]) {
    ::ctr::Ctr128BE::<Aes256>::new(key.expose().into(), counter.into()).apply_keystream(buffer);
}
