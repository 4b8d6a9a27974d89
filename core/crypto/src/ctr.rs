//! AES in counter mode: confidentiality only. Whoever calls it authenticates the result by other means.
//!
//! The counter block is a 128-bit big-endian number that wraps. Encrypting and decrypting are the same operation,
//! done in place.

use crate::{backend, secret::Secret};

/// Applies AES-128-CTR to `buffer` in place, starting at `counter`.
pub fn apply_aes128(key: &Secret<16>, counter: &[u8; 16], buffer: &mut [u8]) {
    backend::aes128_ctr(key.expose(), counter, buffer);
}

/// Applies AES-256-CTR to `buffer` in place, starting at `counter`.
pub fn apply_aes256(key: &Secret<32>, counter: &[u8; 16], buffer: &mut [u8]) {
    backend::aes256_ctr(key.expose(), counter, buffer);
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTER: &str = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";
    const PLAIN: &str = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51";

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        hex::decode(hex).unwrap().try_into().unwrap()
    }

    /// NIST SP 800-38A, F.5.1: its counter passes from ...feff to ...ff00.
    #[test]
    fn aes_128_gives_the_published_answer() {
        let key = Secret::try_from(&bytes::<16>("2b7e151628aed2a6abf7158809cf4f3c")[..]).unwrap();
        let mut buffer = bytes::<32>(PLAIN);
        apply_aes128(&key, &bytes(COUNTER), &mut buffer);
        assert_eq!(hex::encode(buffer), "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff");
    }

    /// NIST SP 800-38A, F.5.5.
    #[test]
    fn aes_256_gives_the_published_answer() {
        let key = "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4";
        let key = Secret::try_from(&bytes::<32>(key)[..]).unwrap();
        let mut buffer = bytes::<32>(PLAIN);
        apply_aes256(&key, &bytes(COUNTER), &mut buffer);
        assert_eq!(hex::encode(buffer), "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5");
    }

    /// The counter is one number of 128 bits: it carries through all of them and wraps.
    #[test]
    fn the_counter_carries_through_all_bits() {
        let key = Secret::fill_with(|b| *b = [9; 32]);
        let mut whole = [0; 32];
        apply_aes256(&key, &[0xff; 16], &mut whole);
        let mut second = [0; 16];
        apply_aes256(&key, &[0; 16], &mut second);
        assert_eq!(whole[16..], second);
    }
}
