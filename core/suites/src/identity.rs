//! The identity of a device in the suite `pair`: two public keys in one blob of 249 bytes. Spec: 40-pair.md §1.
//!
//! A [`PairIdentity`] that exists was read strictly, and its keys are parsed once.

use halcyon_crypto::{
    hash,
    p256::legacy::LegacyVerifyingKey,
    rsa::{PUBLIC_DER_BYTES, RsaPublicKey},
};

/// Bytes of an identity blob (PAIR-3).
pub const PAIR_IDENTITY_BYTES: usize = 249;

/// `SEQUENCE` of 246 bytes, then `[1]` of 67.
const HEAD: [u8; 5] = [0x30, 0x81, 0xf6, 0x81, 0x43];
/// Length of the point that follows.
const POINT_LEN: [u8; 2] = [0x00, 0x41];
/// `[2]` of 174 bytes.
const MIDDLE: [u8; 3] = [0x82, 0x81, 0xae];
/// Length of the RSA public key that follows.
const RSA_LEN: [u8; 2] = [0x00, 0xac];

/// Who a device is in the suite `pair`.
#[derive(Clone, PartialEq, Eq)]
pub struct PairIdentity {
    blob: [u8; PAIR_IDENTITY_BYTES],
    hash: [u8; 32],
    pub(crate) signing: LegacyVerifyingKey,
    pub(crate) rsa: RsaPublicKey,
}

impl PairIdentity {
    /// Joins the public halves of a device's two keys.
    #[must_use]
    pub fn new(signing: LegacyVerifyingKey, rsa: RsaPublicKey) -> Self {
        let (point, rsa_der) = (signing.to_uncompressed(), rsa.to_der());
        let mut blob = [0; PAIR_IDENTITY_BYTES];
        let mut at = 0;
        // PAIR-3: the one encoding.
        for part in [&HEAD[..], &POINT_LEN, &point, &MIDDLE, &RSA_LEN, &rsa_der] {
            blob[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        // PAIR-4: the blob without its DER headers.
        let hash = hash::sha256(&[&POINT_LEN, &point, &RSA_LEN, &rsa_der]);
        Self { blob, hash, signing, rsa }
    }

    /// Reads a blob.
    ///
    /// # Errors
    /// [`IdentityError`] for anything but the one encoding of two valid keys (PAIR-2, PAIR-3).
    pub fn from_bytes(blob: &[u8]) -> Result<Self, IdentityError> {
        Self::parse(blob).ok_or(IdentityError)
    }

    /// Returns the blob.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; PAIR_IDENTITY_BYTES] {
        &self.blob
    }

    /// Returns the identity hash (PAIR-4), which binds messages to their two ends.
    #[must_use]
    pub fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    fn parse(blob: &[u8]) -> Option<Self> {
        let rest = blob.strip_prefix(&HEAD)?.strip_prefix(&POINT_LEN)?;
        let (point, rest) = rest.split_first_chunk::<65>()?;
        let rest = rest.strip_prefix(&MIDDLE)?.strip_prefix(&RSA_LEN)?;
        let rsa: &[u8; PUBLIC_DER_BYTES] = rest.try_into().ok()?;
        Some(Self::new(LegacyVerifyingKey::from_uncompressed(point).ok()?, RsaPublicKey::from_der(rsa).ok()?))
    }
}

impl std::fmt::Debug for PairIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, ..] = self.hash;
        write!(f, "PairIdentity({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

/// Bytes are no `pair` identity: whoever published them is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an identity of the suite pair")]
pub struct IdentityError;
