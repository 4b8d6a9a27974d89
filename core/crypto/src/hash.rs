//! Plain hashes over a message given in parts, so that no caller has to concatenate.

use crate::backend;

/// Returns SHA-1 of the parts in order. For the suite `pair` alone, whose format fixes it.
#[must_use]
pub fn sha1(parts: &[&[u8]]) -> [u8; 20] {
    backend::sha1(parts)
}

/// Returns SHA-256 of the parts in order.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    backend::sha256(parts)
}

/// Returns SHA-384 of the parts in order.
#[must_use]
pub fn sha384(parts: &[&[u8]]) -> [u8; 48] {
    backend::sha384(parts)
}
