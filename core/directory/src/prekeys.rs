//! Prekeys as a server receives and serves them. Spec: 11-directory.md §2 (DIR-10), 41-pair-ec.md (PEC-3), 43-pq3.md
//! (PQ3-5).
//!
//! Owns the shape of an upload, and for each suite that has prekeys the check that the device signed the record.
//! Does not know the private halves, or whether a record is fresh enough to seal to: that is the suite's.
//!
//! A suite joins by one arm in [`check`].

use bytes::Bytes;
use halcyon_crypto::{AgreementPublic, CompactKey, KemPublic, MlKem1024, Signature, VerifyingKey, labels::fixed};
use halcyon_types::SuiteId;
use prost::Message;

use crate::wire;

/// Largest record of any suite; `pq3`'s KEM key has 1,568 bytes. A larger one is refused.
pub const RECORD_BYTES_MAX: usize = 4096;
/// One record a suite, and a device has at most 16 suites (DIR-1).
pub const PREKEYS_MAX: usize = 16;

/// A prekey record in its suite's encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prekey {
    /// Which suite it is for.
    pub suite: SuiteId,
    /// The record, as the device encoded and signed it.
    pub record: Bytes,
}

/// Why prekeys are refused. The device that uploaded them is at fault.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PrekeyError {
    /// Not an upload, or a record that its suite cannot read.
    #[error("the prekeys are malformed")]
    Malformed,
    /// None, too many, or two of one suite.
    #[error("an upload has one prekey a suite, 1 to {PREKEYS_MAX} in all")]
    Count,
    /// A record that no suite needs so much room for.
    #[error("a prekey record has at most {RECORD_BYTES_MAX} bytes")]
    TooLarge,
    /// A suite that has no prekeys, or that this server cannot check.
    #[error("{suite} has no prekeys that this server can check")]
    Suite {
        /// The suite named.
        suite: SuiteId,
    },
    /// DIR-10: the signature is not by the device's key.
    #[error("the prekey is not signed by the device")]
    Unsigned,
}

impl Prekey {
    /// Reads an encoded `PrekeyUpload`: 1 to 16 records, one a suite. Signatures are [`check`]'s.
    ///
    /// # Errors
    /// [`PrekeyError`]
    pub fn decode_upload(bytes: Bytes) -> Result<Vec<Self>, PrekeyError> {
        if bytes.len() > PREKEYS_MAX * (RECORD_BYTES_MAX + 16) {
            return Err(PrekeyError::TooLarge);
        }
        let wire = wire::PrekeyUpload::decode(bytes).map_err(|_| PrekeyError::Malformed)?;
        let prekeys: Vec<Self> = wire.prekeys.into_iter().map(Self::from_wire).collect();
        check_set(&prekeys)?;
        Ok(prekeys)
    }

    /// Returns an encoded `PrekeyUpload`.
    #[must_use]
    pub fn encode_upload(prekeys: &[Self]) -> Bytes {
        wire::PrekeyUpload { prekeys: prekeys.iter().map(Self::to_wire).collect() }.encode_to_vec().into()
    }

    pub(crate) fn from_wire(wire: wire::Prekey) -> Self {
        Self { suite: SuiteId::from_u32(wire.suite), record: wire.record }
    }

    pub(crate) fn to_wire(&self) -> wire::Prekey {
        wire::Prekey { suite: self.suite.as_u32(), record: self.record.clone() }
    }
}

/// Checks that a set has one record a suite and every record is signed by the device (DIR-10).
///
/// # Errors
/// [`PrekeyError`]
pub fn check_all(device_key: &VerifyingKey, prekeys: &[Prekey]) -> Result<(), PrekeyError> {
    check_set(prekeys)?;
    prekeys.iter().try_for_each(|prekey| check(device_key, prekey))
}

/// Checks that a record is well-formed and signed by the device (DIR-10).
///
/// # Errors
/// [`PrekeyError`]
pub fn check(device_key: &VerifyingKey, prekey: &Prekey) -> Result<(), PrekeyError> {
    if prekey.record.len() > RECORD_BYTES_MAX {
        return Err(PrekeyError::TooLarge);
    }
    match prekey.suite {
        SuiteId::PAIR_EC => check_pair_ec(device_key, &prekey.record),
        SuiteId::PQ3 => check_pq3(device_key, &prekey.record),
        suite => Err(PrekeyError::Suite { suite }),
    }
}

fn check_set(prekeys: &[Prekey]) -> Result<(), PrekeyError> {
    let mut suites: Vec<SuiteId> = prekeys.iter().map(|prekey| prekey.suite).collect();
    suites.sort_unstable();
    let one_a_suite = suites.is_sorted_by(|a, b| a < b);
    if prekeys.is_empty() || prekeys.len() > PREKEYS_MAX || !one_a_suite {
        return Err(PrekeyError::Count);
    }
    Ok(())
}

/// PEC-3 as far as a server needs it.
#[derive(Clone, PartialEq, Message)]
struct PairEcRecord {
    #[prost(bytes = "bytes", tag = "1")]
    prekey: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    signature: Bytes,
    #[prost(double, tag = "3")]
    time_s: f64,
}

fn check_pair_ec(device_key: &VerifyingKey, record: &Bytes) -> Result<(), PrekeyError> {
    let record = PairEcRecord::decode(record.clone()).map_err(|_| PrekeyError::Malformed)?;
    let prekey = CompactKey::try_from(&record.prekey[..]).map_err(|_| PrekeyError::Malformed)?;
    AgreementPublic::from_compact(&prekey).map_err(|_| PrekeyError::Malformed)?;
    let signature = Signature::try_from(&record.signature[..]).map_err(|_| PrekeyError::Malformed)?;
    if !record.time_s.is_finite() {
        return Err(PrekeyError::Malformed);
    }
    let message: [&[u8]; 3] = [fixed::PAIR_EC_PREKEY, prekey.as_bytes(), &record.time_s.to_le_bytes()];
    device_key.verify_raw(&message, &signature).map_err(|_| PrekeyError::Unsigned)
}

/// PQ3-4 as far as a server needs it.
#[derive(Clone, PartialEq, Message)]
struct Pq3Bundle {
    #[prost(bytes = "bytes", tag = "1")]
    kem_key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    prekey: Bytes,
    #[prost(uint64, tag = "3")]
    time_ms: u64,
    #[prost(uint32, tag = "4")]
    version: u32,
    #[prost(bytes = "bytes", tag = "5")]
    signature: Bytes,
}

/// The one version that a server can check (PQ3-4).
const PQ3_BUNDLE_VERSION: u32 = 1;

/// PQ3-5
fn check_pq3(device_key: &VerifyingKey, record: &Bytes) -> Result<(), PrekeyError> {
    let bundle = Pq3Bundle::decode(record.clone()).map_err(|_| PrekeyError::Malformed)?;
    let prekey = CompactKey::try_from(&bundle.prekey[..]).map_err(|_| PrekeyError::Malformed)?;
    let signature = Signature::try_from(&bundle.signature[..]).map_err(|_| PrekeyError::Malformed)?;
    if bundle.version != PQ3_BUNDLE_VERSION {
        return Err(PrekeyError::Malformed);
    }
    AgreementPublic::from_compact(&prekey).map_err(|_| PrekeyError::Malformed)?;
    KemPublic::<MlKem1024>::from_bytes(&bundle.kem_key).map_err(|_| PrekeyError::Malformed)?;
    let (time, version) = (bundle.time_ms.to_be_bytes(), bundle.version.to_be_bytes());
    let message: [&[u8]; 5] = [fixed::PQ3_PREKEY, &bundle.kem_key, prekey.as_bytes(), &time, &version];
    device_key.verify_raw(&message, &signature).map_err(|_| PrekeyError::Unsigned)
}

#[cfg(test)]
pub(crate) mod tests {
    use halcyon_crypto::{AgreementKey, KemPrivate, Rng, SigningKey};
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::testing::padded;

    pub(crate) fn pair_ec_prekey(device: &SigningKey, rng: &mut dyn Rng) -> Prekey {
        let key = AgreementKey::generate(rng);
        let time_s = 1_700_000_000.0f64;
        let signature = device.sign_raw(&[b"NGMPrekeySignature", key.compact().as_bytes(), &time_s.to_le_bytes()]);
        let record = PairEcRecord {
            prekey: Bytes::copy_from_slice(key.compact().as_bytes()),
            signature: Bytes::copy_from_slice(signature.as_bytes()),
            time_s,
        };
        Prekey { suite: SuiteId::PAIR_EC, record: record.encode_to_vec().into() }
    }

    /// DIR-10: Bob's phone uploads; what Mallory signed, or changed, is not Bob's.
    #[test]
    fn only_the_device_signs_its_prekeys() {
        let mut rng = StdRng::seed_from_u64(1);
        let (bob, mallory) = (SigningKey::generate_compact(&mut rng), SigningKey::generate_compact(&mut rng));
        let prekey = pair_ec_prekey(&bob, &mut rng);
        let read = Prekey::decode_upload(Prekey::encode_upload(std::slice::from_ref(&prekey))).unwrap();
        assert_eq!(read, std::slice::from_ref(&prekey));
        assert_eq!(check_all(bob.verifying_key(), &read), Ok(()));
        assert_eq!(check(mallory.verifying_key(), &prekey), Err(PrekeyError::Unsigned));
        for at in 0..prekey.record.len() {
            let mut altered = prekey.record.to_vec();
            altered[at] ^= 1;
            let altered = Prekey { record: altered.into(), ..prekey.clone() };
            assert!(check(bob.verifying_key(), &altered).is_err(), "byte {at}");
        }
    }

    fn pq3_prekey(device: &SigningKey, kem_key: &[u8], version: u32, rng: &mut dyn Rng) -> Prekey {
        let key = AgreementKey::generate(rng);
        let time_ms = 1_700_000_000_000u64;
        let (time, version_bytes) = (time_ms.to_be_bytes(), version.to_be_bytes());
        let message = [b"halcyon pq3 prekey v1", kem_key, key.compact().as_bytes(), &time, &version_bytes];
        let bundle = Pq3Bundle {
            kem_key: Bytes::copy_from_slice(kem_key),
            prekey: Bytes::copy_from_slice(key.compact().as_bytes()),
            time_ms,
            version,
            signature: Bytes::copy_from_slice(device.sign_raw(&message).as_bytes()),
        };
        Prekey { suite: SuiteId::PQ3, record: bundle.encode_to_vec().into() }
    }

    /// DIR-10, PQ3-5: a bundle of the device's is taken, next to its `pair-ec` prekey; a foreign or altered one is not, nor
    /// one whose KEM key is no key.
    #[test]
    fn only_the_device_signs_its_bundle() {
        let mut rng = StdRng::seed_from_u64(5);
        let (bob, mallory) = (SigningKey::generate_compact(&mut rng), SigningKey::generate_compact(&mut rng));
        let kem_key = KemPrivate::<MlKem1024>::generate(&mut rng).public();
        let bundle = pq3_prekey(&bob, kem_key.as_bytes(), 1, &mut rng);
        let both = [pair_ec_prekey(&bob, &mut rng), bundle.clone()];
        let read = Prekey::decode_upload(Prekey::encode_upload(&both)).unwrap();
        assert_eq!(check_all(bob.verifying_key(), &read), Ok(()));
        assert_eq!(check(mallory.verifying_key(), &bundle), Err(PrekeyError::Unsigned));
        for at in (0..bundle.record.len()).step_by(5) {
            let mut altered = bundle.record.to_vec();
            altered[at] ^= 1;
            assert!(check(bob.verifying_key(), &Prekey { record: altered.into(), ..bundle.clone() }).is_err(), "{at}");
        }
        for (kem_key, version) in [(&[0xff; 1568][..], 1), (&kem_key.as_bytes()[1..], 1), (kem_key.as_bytes(), 2)] {
            let bad = pq3_prekey(&bob, kem_key, version, &mut rng);
            assert_eq!(check(bob.verifying_key(), &bad), Err(PrekeyError::Malformed));
        }
    }

    /// DIR-10: one record a suite, of a suite that has prekeys.
    #[test]
    fn odd_uploads_are_refused() {
        let mut rng = StdRng::seed_from_u64(1);
        let bob = SigningKey::generate_compact(&mut rng);
        let prekey = pair_ec_prekey(&bob, &mut rng);
        let upload = |prekeys: &[Prekey]| Prekey::decode_upload(Prekey::encode_upload(prekeys));
        assert_eq!(upload(&[]), Err(PrekeyError::Count));
        assert_eq!(upload(&[prekey.clone(), prekey.clone()]), Err(PrekeyError::Count));
        let foreign = Prekey { suite: SuiteId::PAIR, ..prekey.clone() };
        assert_eq!(check(bob.verifying_key(), &foreign), Err(PrekeyError::Suite { suite: SuiteId::PAIR }));
        let large = Prekey { record: vec![0; RECORD_BYTES_MAX + 1].into(), ..prekey };
        assert_eq!(check(bob.verifying_key(), &large), Err(PrekeyError::TooLarge));
    }

    /// DIR-10: one bad record spoils the set, and so does a second one of its suite.
    #[test]
    fn a_set_is_as_good_as_its_worst_record() {
        let mut rng = StdRng::seed_from_u64(1);
        let (bob, mallory) = (SigningKey::generate_compact(&mut rng), SigningKey::generate_compact(&mut rng));
        let key = bob.verifying_key();
        let (good, foreign) = (pair_ec_prekey(&bob, &mut rng), pair_ec_prekey(&mallory, &mut rng));
        assert_eq!(check_all(key, std::slice::from_ref(&good)), Ok(()));
        assert_eq!(check_all(key, &[foreign]), Err(PrekeyError::Unsigned));
        assert_eq!(check_all(key, &[]), Err(PrekeyError::Count));
        assert_eq!(check_all(key, &[good.clone(), good]), Err(PrekeyError::Count));
    }

    /// DIR-10: the limits are allowed themselves; one more is not.
    #[test]
    fn the_limits_are_exact() {
        let mut rng = StdRng::seed_from_u64(1);
        let bob = SigningKey::generate_compact(&mut rng);
        let good = pair_ec_prekey(&bob, &mut rng);
        let record = |bytes| Prekey { record: padded(&good.record, bytes), ..good.clone() };
        assert_eq!(check(bob.verifying_key(), &record(RECORD_BYTES_MAX)), Ok(()));
        assert_eq!(check(bob.verifying_key(), &record(RECORD_BYTES_MAX + 1)), Err(PrekeyError::TooLarge));

        let of_suite =
            |number: usize| Prekey { suite: SuiteId::from_u32(u32::try_from(number).unwrap()), ..good.clone() };
        let set = |count: usize| (1..=count).rev().map(of_suite).collect::<Vec<_>>();
        let upload = |prekeys: &[Prekey]| Prekey::decode_upload(Prekey::encode_upload(prekeys)).map(|read| read.len());
        assert_eq!(upload(&set(PREKEYS_MAX)), Ok(PREKEYS_MAX));
        assert_eq!(upload(&set(PREKEYS_MAX + 1)), Err(PrekeyError::Count));

        let bytes_max = PREKEYS_MAX * (RECORD_BYTES_MAX + 16);
        let encoded = Prekey::encode_upload(std::slice::from_ref(&good));
        assert_eq!(Prekey::decode_upload(padded(&encoded, bytes_max)), Ok(vec![good.clone()]));
        assert_eq!(Prekey::decode_upload(padded(&encoded, bytes_max + 1)), Err(PrekeyError::TooLarge));
        assert_eq!(bytes_max, 65_792);
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_a_panic(bytes: Vec<u8>) {
            let key = SigningKey::generate_compact(&mut StdRng::seed_from_u64(1));
            let _ = Prekey::decode_upload(bytes.clone().into());
            let _ = check(key.verifying_key(), &Prekey { suite: SuiteId::PAIR_EC, record: bytes.into() });
        }
    }
}
