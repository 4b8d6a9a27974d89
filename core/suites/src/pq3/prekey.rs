//! The prekey bundle: what a device publishes, and the private halves that it keeps. Spec: 43-pq3.md §2 (PQ3-4 to PQ3-8).
//!
//! Owns the bundle's check and the lifetimes. Does not know when it is published.
//!
//! - A [`PrekeyBundle`] that exists was signed by its device, and both of its keys are valid.
//! - A private half outlives its replacement by 31 days and is then wiped; lifetimes are those of `pair-ec`.

use halcyon_crypto::{
    AgreementKey, AgreementPublic, KemPrivate, KemPublic, MlKem1024, Rng, Secret, SecretBytes, Signature, SigningKey,
    VerifyingKey, hash, kem::SEED_BYTES, labels::fixed,
};
use halcyon_types::{Duration, Timestamp};

use super::wire::Bundle;
use crate::{
    pair_ec::{PREKEY_KEEP, PREKEY_ROLL},
    state::{Reader, StateError, Writer},
};

/// The version of bundles that is made and read (PQ3-4).
pub const BUNDLE_VERSION: u32 = 1;
/// Age from which a sender no longer starts with a bundle (PQ3-8).
pub const AGE_MAX: Duration = Duration::from_days(31);
/// How far ahead of a sender's clock a bundle may be dated (PQ3-8).
pub const AHEAD_MAX: Duration = Duration::from_days(1);
/// Private halves that a stored ring may hold; as in `pair-ec`.
pub(super) const RING_MAX: usize = 32;
const STATE_VERSION: u8 = 1;

/// Why a peer's bundle was not accepted. Whoever made or carried it is at fault; look it up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// Not a bundle, a key that is not on the curve, or a KEM key that fails the modulus check.
    #[error("malformed prekey bundle")]
    Malformed,
    /// PQ3-5: a version from the future.
    #[error("prekey bundle has version {0}, which this program does not read")]
    Version(u32),
    /// Not signed by the device that it is said to be of.
    #[error("the prekey bundle is not signed by the device")]
    Unsigned,
}

/// A peer's bundle, verified.
#[derive(Clone, Debug)]
pub struct PrekeyBundle {
    prekey: AgreementPublic,
    kem_key: KemPublic<MlKem1024>,
    time: Timestamp,
    hash: [u8; 48],
}

impl PrekeyBundle {
    /// Reads a bundle and verifies that `device` signed it (PQ3-5).
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn verify(record: &[u8], device: &VerifyingKey) -> Result<Self, BundleError> {
        let bundle = Bundle::decode(record).ok_or(BundleError::Malformed)?;
        if bundle.version != BUNDLE_VERSION {
            return Err(BundleError::Version(bundle.version));
        }
        let signed = |message: &[&[u8]]| device.verify_raw(message, &bundle.signature);
        with_preimage(&bundle, signed).map_err(|_| BundleError::Unsigned)?;
        // PQ3-1, PQ3-2
        let prekey = AgreementPublic::from_compact(&bundle.prekey).map_err(|_| BundleError::Malformed)?;
        let kem_key = KemPublic::from_bytes(&bundle.kem_key).map_err(|_| BundleError::Malformed)?;
        Ok(Self { prekey, kem_key, time: Timestamp::from_millis(bundle.time_ms), hash: prekey_hash(&bundle) })
    }

    /// Returns the P-256 prekey.
    #[must_use]
    pub fn prekey(&self) -> &AgreementPublic {
        &self.prekey
    }

    /// Returns the KEM prekey.
    #[must_use]
    pub fn kem_key(&self) -> &KemPublic<MlKem1024> {
        &self.kem_key
    }

    /// Returns when the device says that it made both.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// Returns preKeyHash (PQ3-6).
    #[must_use]
    pub fn hash(&self) -> &[u8; 48] {
        &self.hash
    }

    /// Says whether a sender whose clock shows `now` may start with it (PQ3-8).
    #[must_use]
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        is_fresh(self.time, now)
    }
}

/// PQ3-8, for a time read from a bundle or from a stored state.
pub(super) fn is_fresh(time: Timestamp, now: Timestamp) -> bool {
    now.since(time) <= AGE_MAX && time.since(now) <= AHEAD_MAX
}

/// A device's own bundles: the current one and those replaced not long ago, newest first.
#[derive(Clone, Debug)]
pub struct PrekeyRing {
    /// Never empty; the first is current.
    prekeys: Vec<OwnPrekey>,
    record: Vec<u8>,
}

/// The private halves of one bundle.
#[derive(Clone, Debug)]
pub(super) struct OwnPrekey {
    key: AgreementKey,
    kem: KemPrivate<MlKem1024>,
    kem_key: KemPublic<MlKem1024>,
    signature: Signature,
    hash: [u8; 48],
    made: Timestamp,
    /// When the next one took its place. Meaningless in the current one.
    replaced: Timestamp,
}

impl PrekeyRing {
    /// Makes a ring with a first bundle, signed by `device` (PQ3-7).
    pub fn generate(rng: &mut dyn Rng, device: &SigningKey, now: Timestamp) -> Self {
        Self::of(vec![OwnPrekey::generate(rng, device, now)])
    }

    fn of(prekeys: Vec<OwnPrekey>) -> Self {
        let record = prekeys[0].bundle().encode();
        Self { prekeys, record }
    }

    /// Says whether the current bundle is to be replaced (PQ3-7).
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        let made = self.prekeys[0].made;
        now >= made.plus(PREKEY_ROLL) || now.plus(Duration::from_days(1)) < made
    }

    /// Returns the ring with a new bundle in front of the present one. What had its 31 days is wiped (PQ3-7).
    #[must_use]
    pub fn rolled(mut self, rng: &mut dyn Rng, device: &SigningKey, now: Timestamp) -> Self {
        self.prekeys[0].replaced = now;
        self.prekeys.insert(0, OwnPrekey::generate(rng, device, now));
        self.prekeys.truncate(RING_MAX);
        Self::of(self.prekeys).without_expired(now)
    }

    /// Says whether private halves are here that were replaced 31 days ago or more (PQ3-7).
    #[must_use]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.prekeys.iter().skip(1).any(|prekey| now >= prekey.replaced.plus(PREKEY_KEEP))
    }

    /// Returns the ring without the private halves that were replaced 31 days ago or more (PQ3-7).
    #[must_use]
    pub fn without_expired(mut self, now: Timestamp) -> Self {
        let mut current = true;
        self.prekeys.retain(|prekey| std::mem::take(&mut current) || now < prekey.replaced.plus(PREKEY_KEEP));
        self
    }

    /// Returns the current bundle, to be published.
    #[must_use]
    pub fn record(&self) -> &[u8] {
        &self.record
    }

    /// Returns when the current bundle was made.
    #[must_use]
    pub fn made(&self) -> Timestamp {
        self.prekeys[0].made
    }

    /// Returns how many private halves are kept.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.prekeys.len()
    }

    /// Says whether the private halves of a bundle are still here.
    #[must_use]
    pub fn contains(&self, hash: &[u8; 48]) -> bool {
        self.find(hash).is_some()
    }

    pub(super) fn find(&self, hash: &[u8; 48]) -> Option<&OwnPrekey> {
        self.prekeys.iter().find(|prekey| prekey.hash == *hash)
    }

    /// Returns the ring with its private halves, to be stored under protection.
    #[must_use]
    pub fn to_secret_bytes(&self) -> SecretBytes {
        let each = 32 + SEED_BYTES + 64 + 8 + 8;
        let mut writer = Writer::new(STATE_VERSION, 4 + self.prekeys.len() * each);
        writer.u32(u32::try_from(self.prekeys.len()).expect("a ring is bounded"));
        for prekey in &self.prekeys {
            writer.raw(prekey.key.to_secret().expose());
            writer.raw(prekey.kem.seed().expose());
            writer.raw(prekey.signature.as_bytes());
            writer.u64(prekey.made.as_millis());
            writer.u64(prekey.replaced.as_millis());
        }
        writer.finish()
    }

    /// Reads what [`to_secret_bytes`](Self::to_secret_bytes) wrote.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn from_secret_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let mut reader = Reader::new(bytes, STATE_VERSION)?;
        let count = reader.count(RING_MAX)?;
        let mut prekeys = Vec::with_capacity(count);
        for _ in 0..count {
            let key = AgreementKey::from_secret(reader.secret()?).map_err(|_| StateError::Damaged)?;
            let seed = Secret::try_from(reader.raw(SEED_BYTES)?).map_err(|_| StateError::Damaged)?;
            let signature = Signature::from_bytes(reader.array()?);
            let made = Timestamp::from_millis(reader.u64()?);
            let replaced = Timestamp::from_millis(reader.u64()?);
            prekeys.push(OwnPrekey::new(key, KemPrivate::from_seed(seed), made, replaced, |_| signature));
        }
        reader.end()?;
        if prekeys.is_empty() { Err(StateError::Damaged) } else { Ok(Self::of(prekeys)) }
    }
}

impl OwnPrekey {
    fn generate(rng: &mut dyn Rng, device: &SigningKey, now: Timestamp) -> Self {
        let key = AgreementKey::generate(rng);
        let kem = KemPrivate::generate(rng);
        Self::new(key, kem, now, now, |bundle| with_preimage(bundle, |message| device.sign_raw(message)))
    }

    fn new(
        key: AgreementKey,
        kem: KemPrivate<MlKem1024>,
        made: Timestamp,
        replaced: Timestamp,
        sign: impl FnOnce(&Bundle) -> Signature,
    ) -> Self {
        let kem_key = kem.public();
        let unsigned = Signature::from_bytes([0; 64]);
        let mut prekey = Self { key, kem, kem_key, signature: unsigned, hash: [0; 48], made, replaced };
        prekey.signature = sign(&prekey.bundle());
        prekey.hash = prekey_hash(&prekey.bundle());
        prekey
    }

    fn bundle(&self) -> Bundle {
        Bundle {
            kem_key: self.kem_key.as_bytes().to_vec(),
            prekey: *self.key.compact(),
            time_ms: self.made.as_millis(),
            version: BUNDLE_VERSION,
            signature: self.signature,
        }
    }

    pub(super) fn key(&self) -> &AgreementKey {
        &self.key
    }

    pub(super) fn kem(&self) -> &KemPrivate<MlKem1024> {
        &self.kem
    }

    pub(super) fn kem_key(&self) -> &[u8] {
        self.kem_key.as_bytes()
    }
}

/// PQ3-5: calls `consume` with what a bundle's signature is over.
fn with_preimage<R>(bundle: &Bundle, consume: impl FnOnce(&[&[u8]]) -> R) -> R {
    let (time, version) = (bundle.time_ms.to_be_bytes(), bundle.version.to_be_bytes());
    consume(&[fixed::PQ3_PREKEY, &bundle.kem_key, bundle.prekey.as_bytes(), &time, &version])
}

/// PQ3-6
fn prekey_hash(bundle: &Bundle) -> [u8; 48] {
    hash::sha384(&[bundle.prekey.as_bytes(), &bundle.kem_key, bundle.signature.as_bytes()])
}

#[cfg(test)]
mod tests;
