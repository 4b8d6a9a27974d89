//! P-256: compact public keys, ECDSA-SHA-256 and ECDH.
//!
//! Owns the meaning of a compact key and the two kinds of key pair. Signing and agreeing are different types, so one
//! key never does both. ECDSA over SHA-1, which only the suite `pair` speaks, is in [`legacy`].
//! Does not know whose key it is, or what is signed beyond the label.
//!
//! - A compact key is an x coordinate, 32 bytes. The point meant is the one whose y is the smaller of y and p - y.
//! - A [`VerifyingKey`] or [`AgreementPublic`] that exists is on the curve. Parsing happens once, here.

pub mod legacy;

use std::{fmt, sync::Arc};

use ::p256::{
    AffinePoint,
    elliptic_curve::{point::DecompressPoint, sec1::ToEncodedPoint},
};

use crate::{
    backend,
    labels::{self, Label},
    rng::Rng,
    secret::Secret,
};

/// The x coordinate of a P-256 public key: how keys are written everywhere outside the suite `pair`.
///
/// Only bytes. That they are on the curve is shown by the type that they are parsed into.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CompactKey([u8; 32]);

impl CompactKey {
    /// Takes the bytes as they are, unchecked.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the big-endian x coordinate.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl TryFrom<&[u8]> for CompactKey {
    type Error = KeyError;

    fn try_from(bytes: &[u8]) -> Result<Self, KeyError> {
        bytes.try_into().map(Self).map_err(|_| KeyError::Length)
    }
}

impl fmt::Display for CompactKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CompactKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CompactKey({self})")
    }
}

/// An ECDSA signature, r ‖ s, each 32 bytes big-endian.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

impl Signature {
    /// Takes r ‖ s as they are; verification judges them.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// Returns r ‖ s.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl TryFrom<&[u8]> for Signature {
    type Error = SignatureError;

    fn try_from(bytes: &[u8]) -> Result<Self, SignatureError> {
        bytes.try_into().map(Self).map_err(|_| SignatureError)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(64 bytes)")
    }
}

/// Bytes are no key of the kind asked for: whoever made them is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A compact key has 32 bytes, an uncompressed point 65.
    #[error("key has the wrong length")]
    Length,
    /// The coordinate is zero, not below the field's prime, or no point of the curve has it.
    #[error("key is not on the curve")]
    NotOnCurve,
    /// A private scalar is zero or not below the group's order.
    #[error("private key is out of range")]
    OutOfRange,
    /// The private key's point has the larger y, so its x would name another point.
    #[error("key has no compact form")]
    NotCompact,
}

/// A signature does not verify: it was made by another key, over other bytes, or it is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("signature does not verify")]
pub struct SignatureError;

/// A P-256 private key that signs, with a compact public key.
#[derive(Clone)]
pub struct SigningKey {
    secret: Secret<32>,
    signer: Arc<backend::P256Signer>,
    /// Signs in its stead, if nonces are to follow from the message.
    rfc6979: Option<Arc<::p256::ecdsa::SigningKey>>,
    verifying: VerifyingKey,
}

impl SigningKey {
    /// Makes a key from `rng`, drawing again until the point has the smaller y (two draws on average).
    pub fn generate_compact(rng: &mut dyn Rng) -> Self {
        loop {
            if let Ok(key) = Self::from_secret(&Secret::random(rng)) {
                return key;
            }
        }
    }

    /// Takes a big-endian scalar.
    ///
    /// # Errors
    /// [`KeyError::OutOfRange`], or [`KeyError::NotCompact`] if the key was not made for compact form.
    pub fn from_secret(secret: &Secret<32>) -> Result<Self, KeyError> {
        let (signer, point) = backend::P256Signer::from_secret(secret).ok_or(KeyError::OutOfRange)?;
        let (x, y) = coordinates(&point);
        if !is_smaller_y(&y) {
            return Err(KeyError::NotCompact);
        }
        let verifier = backend::P256Verifier::from_point(&point).ok_or(KeyError::NotOnCurve)?;
        let verifying = VerifyingKey { compact: CompactKey(x), verifier };
        Ok(Self { secret: secret.clone(), signer: Arc::new(signer), rfc6979: None, verifying })
    }

    /// Returns the key with the nonces of RFC 6979, so that one message has one signature on every target: for test
    /// vectors, whose bytes have to come out the same. Slower than the library's own on native targets.
    ///
    /// # Errors
    /// Never in practice: the scalar was in range when it was parsed.
    pub fn with_deterministic_nonces(self) -> Result<Self, KeyError> {
        let signer = ::p256::ecdsa::SigningKey::from_slice(self.secret.expose()).map_err(|_| KeyError::OutOfRange)?;
        Ok(Self { rfc6979: Some(Arc::new(signer)), ..self })
    }

    /// Returns the scalar, to be stored under protection.
    #[must_use]
    pub fn to_secret(&self) -> Secret<32> {
        self.secret.clone()
    }

    /// Returns the public half.
    #[must_use]
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.verifying
    }

    /// Signs `parts` for the purpose that `label` names.
    #[must_use]
    pub fn sign(&self, label: Label, parts: &[&[u8]]) -> Signature {
        labels::with_preimage(label, parts, |preimage| self.sign_raw(preimage))
    }

    /// Signs the concatenation of `message`, for formats whose preimage is fixed by others. New structures use
    /// [`sign`](Self::sign).
    ///
    /// On native targets the nonce is the library's own and random, so two signatures of one message differ, even in a
    /// simulation that fixes everything else; their length does not.
    #[must_use]
    pub fn sign_raw(&self, message: &[&[u8]]) -> Signature {
        Signature(match &self.rfc6979 {
            None => self.signer.sign(message),
            Some(signer) => sign_rfc6979(signer, message),
        })
    }
}

/// ECDSA-SHA-256, r ‖ s, with the nonce of RFC 6979 section 3.2.
fn sign_rfc6979(signer: &::p256::ecdsa::SigningKey, message: &[&[u8]]) -> [u8; 64] {
    use ::p256::ecdsa::signature::hazmat::PrehashSigner;
    let signature: ::p256::ecdsa::Signature =
        signer.sign_prehash(&backend::sha256(message)).expect("a 32-byte digest is signed by any valid key");
    signature.to_bytes().into()
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(of {})", self.verifying.compact)
    }
}

/// A P-256 public key that verifies, known to be on the curve.
#[derive(Clone)]
pub struct VerifyingKey {
    compact: CompactKey,
    verifier: backend::P256Verifier,
}

impl VerifyingKey {
    /// Lifts a compact key. Costs a square root: keep the result rather than the bytes.
    ///
    /// # Errors
    /// [`KeyError::NotOnCurve`].
    pub fn from_compact(compact: &CompactKey) -> Result<Self, KeyError> {
        let point = lift(compact)?;
        let verifier = backend::P256Verifier::from_point(&point).ok_or(KeyError::NotOnCurve)?;
        Ok(Self { compact: *compact, verifier })
    }

    /// Returns the compact form.
    #[must_use]
    pub fn compact(&self) -> &CompactKey {
        &self.compact
    }

    /// Verifies that this key signed `parts` for the purpose that `label` names.
    ///
    /// # Errors
    /// [`SignatureError`] whatever the difference.
    pub fn verify(&self, label: Label, parts: &[&[u8]], signature: &Signature) -> Result<(), SignatureError> {
        labels::with_preimage(label, parts, |preimage| self.verify_raw(preimage, signature))
    }

    /// Verifies a signature over the concatenation of `message`, for formats whose preimage is fixed by others.
    ///
    /// # Errors
    /// [`SignatureError`] whatever the difference.
    pub fn verify_raw(&self, message: &[&[u8]], signature: &Signature) -> Result<(), SignatureError> {
        if self.verifier.verify(message, &signature.0) { Ok(()) } else { Err(SignatureError) }
    }
}

impl PartialEq for VerifyingKey {
    fn eq(&self, other: &Self) -> bool {
        self.compact == other.compact
    }
}

impl Eq for VerifyingKey {}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.compact)
    }
}

/// A P-256 private key that agrees on secrets (ECDH).
///
/// Any scalar will do: ECDH returns an x coordinate, which a point and its negative share, so the compact public key
/// is right whichever y the scalar has.
#[derive(Clone)]
pub struct AgreementKey {
    secret: Secret<32>,
    agreement: Arc<backend::P256Agreement>,
    compact: CompactKey,
}

impl AgreementKey {
    /// Makes a key from `rng`.
    pub fn generate(rng: &mut dyn Rng) -> Self {
        loop {
            // One draw, but for a chance of 2^-32 that the number is not below the order.
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
        let (agreement, point) = backend::P256Agreement::from_secret(&secret).ok_or(KeyError::OutOfRange)?;
        let (x, _) = coordinates(&point);
        Ok(Self { secret, agreement: Arc::new(agreement), compact: CompactKey(x) })
    }

    /// Reads an unencrypted PKCS#8 P-256 key (RFC 5208), as the test vectors carry.
    ///
    /// # Errors
    /// [`KeyError::OutOfRange`] if it is not that.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        Self::from_secret(backend::p256_secret_from_pkcs8(der).ok_or(KeyError::OutOfRange)?)
    }

    /// Returns the scalar, to be stored under protection.
    #[must_use]
    pub fn to_secret(&self) -> Secret<32> {
        self.secret.clone()
    }

    /// Returns the public half's compact form.
    #[must_use]
    pub fn compact(&self) -> &CompactKey {
        &self.compact
    }

    /// Agrees with `peer`: returns the x coordinate of the common point. Feed it to a key derivation; it is no key.
    #[must_use]
    pub fn agree(&self, peer: &AgreementPublic) -> Secret<32> {
        self.agreement.agree(&peer.agreement)
    }
}

impl fmt::Debug for AgreementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgreementKey(of {})", self.compact)
    }
}

/// A peer's P-256 public key to agree with, known to be on the curve.
#[derive(Clone)]
pub struct AgreementPublic {
    compact: CompactKey,
    agreement: backend::P256AgreementPublic,
}

impl AgreementPublic {
    /// Parses a compact key.
    ///
    /// # Errors
    /// [`KeyError::NotOnCurve`].
    pub fn from_compact(compact: &CompactKey) -> Result<Self, KeyError> {
        refuse_zero(compact)?;
        let agreement = backend::P256AgreementPublic::from_x(&compact.0).ok_or(KeyError::NotOnCurve)?;
        Ok(Self { compact: *compact, agreement })
    }

    /// Parses an uncompressed point, `0x04 ‖ x ‖ y`, of either y.
    ///
    /// # Errors
    /// [`KeyError::NotOnCurve`].
    pub fn from_uncompressed(point: &[u8; 65]) -> Result<Self, KeyError> {
        let agreement = backend::P256AgreementPublic::from_point(point).ok_or(KeyError::NotOnCurve)?;
        let (x, _) = coordinates(point);
        Ok(Self { compact: CompactKey(x), agreement })
    }

    /// Returns the compact form.
    #[must_use]
    pub fn compact(&self) -> &CompactKey {
        &self.compact
    }

    /// Returns `0x04 ‖ x ‖ y` with the smaller y.
    ///
    /// # Errors
    /// Never in practice: the key was on the curve when it was parsed.
    pub fn to_uncompressed(&self) -> Result<[u8; 65], KeyError> {
        lift(&self.compact)
    }
}

impl PartialEq for AgreementPublic {
    fn eq(&self, other: &Self) -> bool {
        self.compact == other.compact
    }
}

impl Eq for AgreementPublic {}

impl fmt::Debug for AgreementPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgreementPublic({})", self.compact)
    }
}

/// Returns the uncompressed point that a compact key means (IDN-10).
fn lift(compact: &CompactKey) -> Result<[u8; 65], KeyError> {
    refuse_zero(compact)?;
    let even: Option<AffinePoint> = AffinePoint::decompress(&compact.0.into(), 0.into()).into();
    let even = even.ok_or(KeyError::NotOnCurve)?;
    let uncompressed = |point: AffinePoint| -> Result<[u8; 65], KeyError> {
        point.to_encoded_point(false).as_bytes().try_into().map_err(|_| KeyError::NotOnCurve)
    };
    let point = uncompressed(even)?;
    // IDN-10: of the two points with this x, the one with the smaller y.
    if is_smaller_y(&coordinates(&point).1) { Ok(point) } else { uncompressed(-even) }
}

/// IDN-10: x = 0 happens to be on P-256, but nobody has the private key; 32 zeros are memory that was never filled.
fn refuse_zero(compact: &CompactKey) -> Result<(), KeyError> {
    if compact.0 == [0; 32] { Err(KeyError::NotOnCurve) } else { Ok(()) }
}

/// Splits `0x04 ‖ x ‖ y`.
fn coordinates(point: &[u8; 65]) -> ([u8; 32], [u8; 32]) {
    let (mut x, mut y) = ([0; 32], [0; 32]);
    x.copy_from_slice(&point[1..33]);
    y.copy_from_slice(&point[33..]);
    (x, y)
}

/// Says whether y is the smaller of y and p - y. Big-endian arrays compare like numbers; y is public.
fn is_smaller_y(y: &[u8; 32]) -> bool {
    *y <= HALF_PRIME
}

/// (p - 1) / 2 of the field of P-256, big-endian.
const HALF_PRIME: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0x80, 0x00, 0x00, 0x00, 0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
];

#[cfg(test)]
mod tests;
