//! OAEP (RFC 8017 section 7.1) with SHA-1, MGF1-SHA-1 and an empty label, for blocks of 160 bytes.
//!
//! Decoding is constant-time: which check failed, and whether one did, shows neither in the result's shape nor in
//! the time. Manger's attack (CRYPTO 2001) needs only the first bit of that knowledge.

use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::BLOCK_BYTES;
use crate::{
    backend,
    rng::Rng,
    secret::{Secret, SecretBytes},
};

/// Bytes of a SHA-1 digest, and of the seed.
const HASH_BYTES: usize = 20;
/// Bytes of the data block: label hash, zeros, 0x01, message.
const DATA_BYTES: usize = BLOCK_BYTES - 1 - HASH_BYTES;
/// Longest message: 118 bytes.
pub const MESSAGE_BYTES_MAX: usize = DATA_BYTES - HASH_BYTES - 1;
/// Length of the message that stands in for a block that does not decode: as long as `pair`'s own ordinarily are.
pub(crate) const REJECTED_BYTES: usize = 116;

/// SHA-1 of the empty label.
const EMPTY_LABEL_HASH: [u8; HASH_BYTES] = [
    0xda, 0x39, 0xa3, 0xee, 0x5e, 0x6b, 0x4b, 0x0d, 0x32, 0x55, 0xbf, 0xef, 0x95, 0x60, 0x18, 0x90, 0xaf, 0xd8, 0x07,
    0x09,
];

/// Pads `message` to a block that begins with zero. `None` if it is too long.
pub(super) fn encode(rng: &mut dyn Rng, message: &[u8]) -> Option<Secret<BLOCK_BYTES>> {
    if message.len() > MESSAGE_BYTES_MAX {
        return None;
    }
    Some(Secret::fill_with(|block| {
        let (seed, data) = block[1..].split_at_mut(HASH_BYTES);
        rng.fill_bytes(seed);
        data[..HASH_BYTES].copy_from_slice(&EMPTY_LABEL_HASH);
        data[DATA_BYTES - message.len() - 1] = 1;
        data[DATA_BYTES - message.len()..].copy_from_slice(message);
        mask(data, seed);
        mask(seed, data);
    }))
}

/// Unpads a decrypted block of a whole modulus, or returns `rejected` in its place, without showing which. Ours have
/// [`BLOCK_BYTES`]; published vectors have longer ones.
pub(crate) fn decode(block: &[u8], rejected: &Secret<REJECTED_BYTES>) -> SecretBytes {
    let mut block = SecretBytes::copy_of(block);
    let (seed, data) = block.expose_mut()[1..].split_at_mut(HASH_BYTES);
    mask(seed, data);
    mask(data, seed);
    let (first, data) = (block.expose()[0], &block.expose()[1 + HASH_BYTES..]);

    let mut good = first.ct_eq(&0) & data[..HASH_BYTES].ct_eq(&EMPTY_LABEL_HASH);
    // Find the first byte that is not zero, looking at all of them; it has to be 1.
    let mut looking = Choice::from(1);
    let mut start = 0u32;
    for (i, byte) in data.iter().enumerate().skip(HASH_BYTES) {
        let is_zero = byte.ct_eq(&0);
        let is_one = byte.ct_eq(&1);
        start.conditional_assign(&(i as u32 + 1), looking & is_one);
        good &= !looking | is_zero | is_one;
        looking &= is_zero;
    }
    good &= !looking;

    // Both outcomes are laid out right-aligned in the same buffer; the length is selected beside it. That length
    // becomes visible, and tells at most how long an authentic sender's message was: a rejected one always has the
    // same, and nobody can make a decodable block of another's without knowing what is in it.
    let mut chosen = data.to_vec();
    let offset = data.len() - REJECTED_BYTES;
    for (byte, stand_in) in chosen[offset..].iter_mut().zip(rejected.expose()) {
        *byte = u8::conditional_select(stand_in, byte, good);
    }
    let start = u32::conditional_select(&(offset as u32), &start, good) as usize;
    let message = SecretBytes::copy_of(&chosen[start..]);
    drop(SecretBytes::from_vec(chosen));
    message
}

/// XORs MGF1-SHA-1 of `seed` over `target` (RFC 8017 appendix B.2.1).
fn mask(target: &mut [u8], seed: &[u8]) {
    for (i, chunk) in target.chunks_mut(HASH_BYTES).enumerate() {
        let keystream = backend::sha1(&[seed, &(i as u32).to_be_bytes()]);
        for (byte, key) in chunk.iter_mut().zip(keystream) {
            *byte ^= key;
        }
    }
}
