//! Commitments: saying now, provably, what will only be shown later.
//!
//! A commitment is the labelled hash of the value and, as its last part, a random 32-byte opening (LNK-1). The
//! opening hides the value; the hash binds it.

use std::fmt;

use subtle::ConstantTimeEq;

use crate::{kdf::labelled_hash, labels::Label, secret::Secret};

/// A commitment to a value, 32 bytes, made to be sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Commitment([u8; 32]);

impl Commitment {
    /// Commits to `value` with `opening`, which stays secret until the reveal and is never used again.
    #[must_use]
    pub fn to(label: Label, value: &[&[u8]], opening: &Secret<32>) -> Self {
        let mut parts: Vec<&[u8]> = Vec::with_capacity(value.len() + 1);
        parts.extend_from_slice(value);
        parts.push(opening.expose());
        Self(labelled_hash(label, &parts))
    }

    /// Says in constant time whether `value` and `opening` are what was committed to.
    #[must_use]
    pub fn opens_with(&self, label: Label, value: &[&[u8]], opening: &Secret<32>) -> bool {
        self.0.ct_eq(&Self::to(label, value, opening).0).into()
    }

    /// Reads a commitment that a peer sent.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes to send.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Commitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Commitment(32 bytes)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_opening_and_value_open() {
        let opening = Secret::<32>::fill_with(|b| *b = [1; 32]);
        let other = Secret::<32>::fill_with(|b| *b = [2; 32]);
        let commitment = Commitment::to(Label::ApprovalCommit, &[b"key"], &opening);
        assert!(commitment.opens_with(Label::ApprovalCommit, &[b"key"], &opening));
        assert!(!commitment.opens_with(Label::ApprovalCommit, &[b"key"], &other));
        assert!(!commitment.opens_with(Label::ApprovalCommit, &[b"kez"], &opening));
        assert!(!commitment.opens_with(Label::ApprovalSas, &[b"key"], &opening));
    }
}
