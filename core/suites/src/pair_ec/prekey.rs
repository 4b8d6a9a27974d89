//! Prekeys: the signed record that others seal to, and the ring of own private halves. Spec: 41-pair-ec.md §1.
//!
//! Owns when a prekey is made, replaced, refused and wiped. Does not know the directory that carries the records.
//!
//! - A [`SignedPrekey`] that exists was signed by the device that it is for; whether it is fresh is asked at each seal.
//! - A private half is gone 31 days after its replacement.

use halcyon_crypto::{
    AgreementKey, AgreementPublic, CompactKey, Rng, SecretBytes, SigningKey, VerifyingKey, labels::fixed,
};
use halcyon_types::{Duration, Timestamp};

use super::wire::{PrekeyRecord, RECORD_BYTES_MAX};
use crate::state::{Reader, StateError, Writer};

/// Age at which a device makes its next prekey (PEC-2).
pub const PREKEY_ROLL: Duration = Duration::from_days(7);
/// How long a private half is kept after its replacement: 30 days of storing a message, and one for clocks (PEC-4).
pub const PREKEY_KEEP: Duration = Duration::from_days(31);
/// Age from which a sender no longer uses a prekey (PEC-5).
const AGE_MAX_S: f64 = 31.0 * 86_400.0;
/// How far ahead of a sender's clock a prekey may be dated (PEC-5).
const AHEAD_MAX_S: f64 = 86_400.0;
/// Private halves that a stored ring may hold. Weekly rolling leaves at most six; the rest allows for clocks that jump,
/// and a damaged count asks for no more memory than this.
const RING_MAX: usize = 32;
const STATE_VERSION: u8 = 1;

/// Why a peer's prekey record was not accepted. Whoever made or carried it is at fault; look it up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrekeyError {
    /// Not a record, a key that is not on the curve, or a time that is no number.
    #[error("malformed prekey record")]
    Malformed,
    /// Not signed by the device that it is said to be of.
    #[error("the prekey is not signed by the device")]
    Unsigned,
}

/// A peer's prekey, verified to be signed by that peer's device key.
#[derive(Clone, Debug)]
pub struct SignedPrekey {
    device: CompactKey,
    key: AgreementPublic,
    time_s: f64,
}

impl SignedPrekey {
    /// Reads a record and verifies that `device` signed it (PEC-3).
    ///
    /// # Errors
    /// [`PrekeyError`].
    pub fn verify(record: &[u8], device: &VerifyingKey) -> Result<Self, PrekeyError> {
        let record = PrekeyRecord::decode(record).ok_or(PrekeyError::Malformed)?;
        if !record.time_s.is_finite() {
            return Err(PrekeyError::Malformed);
        }
        let key = AgreementPublic::from_compact(&record.prekey).map_err(|_| PrekeyError::Malformed)?;
        let signed = signed_parts(&record.prekey, record.time_s.to_le_bytes());
        device.verify_raw(&[signed.0, &signed.1, &signed.2], &record.signature).map_err(|_| PrekeyError::Unsigned)?;
        Ok(Self { device: *device.compact(), key, time_s: record.time_s })
    }

    /// Returns the device that signed it.
    #[must_use]
    pub fn device(&self) -> &CompactKey {
        &self.device
    }

    /// Returns the key.
    #[must_use]
    pub fn key(&self) -> &AgreementPublic {
        &self.key
    }

    /// Returns the time at which the device says that it made the key, in seconds since the UNIX epoch.
    #[must_use]
    pub fn time_s(&self) -> f64 {
        self.time_s
    }

    /// Says whether a sender whose clock shows `now` may seal to it (PEC-5).
    #[must_use]
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        is_fresh(self.time_s, now)
    }
}

/// PEC-5, for a time read from a record or from a stored state.
pub(super) fn is_fresh(time_s: f64, now: Timestamp) -> bool {
    let now_s = seconds(now);
    now_s - time_s <= AGE_MAX_S && time_s - now_s <= AHEAD_MAX_S
}

/// A device's own prekeys: the current one and those replaced not long ago, newest first.
#[derive(Clone, Debug)]
pub struct PrekeyRing {
    current: OwnPrekey,
    replaced: Vec<OwnPrekey>,
}

/// One private prekey with the record that was published for it.
#[derive(Clone, Debug)]
struct OwnPrekey {
    key: AgreementKey,
    record: Vec<u8>,
    made: Timestamp,
    /// When the next one took its place. Meaningless in the current one.
    replaced: Timestamp,
}

impl PrekeyRing {
    /// Makes a ring with a first prekey, signed by `device` (PEC-1).
    pub fn generate(rng: &mut dyn Rng, device: &SigningKey, now: Timestamp) -> Self {
        Self { current: OwnPrekey::generate(rng, device, now), replaced: Vec::new() }
    }

    /// Says whether the current prekey is to be replaced (PEC-2).
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        let made = self.current.made;
        now >= made.plus(PREKEY_ROLL) || now.plus(Duration::from_days(1)) < made
    }

    /// Returns the ring with a new prekey in front of the present one. What had its 31 days is wiped (PEC-4).
    #[must_use]
    pub fn rolled(mut self, rng: &mut dyn Rng, device: &SigningKey, now: Timestamp) -> Self {
        let mut old = std::mem::replace(&mut self.current, OwnPrekey::generate(rng, device, now));
        old.replaced = now;
        self.replaced.insert(0, old);
        self.replaced.truncate(RING_MAX - 1);
        self.without_expired(now)
    }

    /// Says whether private halves are here that were replaced 31 days ago or more (PEC-4).
    #[must_use]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.replaced.iter().any(|prekey| now >= prekey.replaced.plus(PREKEY_KEEP))
    }

    /// Returns the ring without the private halves that were replaced 31 days ago or more (PEC-4).
    #[must_use]
    pub fn without_expired(mut self, now: Timestamp) -> Self {
        self.replaced.retain(|prekey| now < prekey.replaced.plus(PREKEY_KEEP));
        self
    }

    /// Returns the current prekey's record, to be published.
    #[must_use]
    pub fn record(&self) -> &[u8] {
        &self.current.record
    }

    /// Returns when the current prekey was made.
    #[must_use]
    pub fn made(&self) -> Timestamp {
        self.current.made
    }

    /// Says whether the private half of `prekey` is still here.
    #[must_use]
    pub fn contains(&self, prekey: &CompactKey) -> bool {
        self.keys().any(|key| key.compact() == prekey)
    }

    /// Returns the private halves, newest first.
    pub(super) fn keys(&self) -> impl Iterator<Item = &AgreementKey> {
        std::iter::once(&self.current).chain(&self.replaced).map(|prekey| &prekey.key)
    }

    /// Returns the ring of one private prekey without a record, as a test vector gives it.
    #[must_use]
    pub fn of_vector(key: AgreementKey) -> Self {
        let epoch = Timestamp::from_millis(0);
        let current = OwnPrekey { key, record: Vec::new(), made: epoch, replaced: epoch };
        Self { current, replaced: Vec::new() }
    }

    /// Returns the ring with its private halves, to be stored under protection.
    #[must_use]
    pub fn to_secret_bytes(&self) -> SecretBytes {
        let prekeys: Vec<&OwnPrekey> = std::iter::once(&self.current).chain(&self.replaced).collect();
        let size = prekeys.iter().map(|prekey| 52 + prekey.record.len()).sum::<usize>();
        let mut writer = Writer::new(STATE_VERSION, 4 + size);
        writer.u32(u32::try_from(prekeys.len()).expect("a ring is bounded"));
        for prekey in prekeys {
            writer.raw(prekey.key.to_secret().expose());
            writer.u64(prekey.made.as_millis());
            writer.u64(prekey.replaced.as_millis());
            writer.sized(&prekey.record);
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
            let made = Timestamp::from_millis(reader.u64()?);
            let replaced = Timestamp::from_millis(reader.u64()?);
            let record = reader.sized()?;
            if record.len() > RECORD_BYTES_MAX {
                return Err(StateError::Damaged);
            }
            prekeys.push(OwnPrekey { key, record: record.to_vec(), made, replaced });
        }
        reader.end()?;
        if prekeys.is_empty() {
            return Err(StateError::Damaged);
        }
        let current = prekeys.remove(0);
        Ok(Self { current, replaced: prekeys })
    }
}

impl OwnPrekey {
    fn generate(rng: &mut dyn Rng, device: &SigningKey, now: Timestamp) -> Self {
        let key = AgreementKey::generate(rng);
        let time_s = seconds(now);
        let signed = signed_parts(key.compact(), time_s.to_le_bytes());
        let signature = device.sign_raw(&[signed.0, &signed.1, &signed.2]);
        let record = PrekeyRecord { prekey: *key.compact(), signature, time_s }.encode();
        Self { key, record, made: now, replaced: now }
    }
}

/// PEC-3: what a record's signature is over.
fn signed_parts(prekey: &CompactKey, time: [u8; 8]) -> (&'static [u8], [u8; 32], [u8; 8]) {
    (fixed::PAIR_EC_PREKEY, *prekey.as_bytes(), time)
}

/// Whole seconds: a double holds them exactly, and a prekey's age does not need more.
fn seconds(time: Timestamp) -> f64 {
    time.as_secs() as f64
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn bob() -> (StdRng, SigningKey) {
        let mut rng = StdRng::seed_from_u64(21);
        let device = SigningKey::generate_compact(&mut rng);
        (rng, device)
    }

    /// PEC-3: a stored record has at most the bytes of one that is taken.
    #[test]
    fn a_stored_record_is_bounded() {
        let (mut rng, device) = bob();
        let ring = PrekeyRing::generate(&mut rng, &device, START);
        let with_record = |bytes: usize| {
            let current = OwnPrekey { record: vec![7; bytes], ..ring.current.clone() };
            let stored = PrekeyRing { current, replaced: Vec::new() }.to_secret_bytes();
            PrekeyRing::from_secret_bytes(stored.expose()).map(|ring| ring.record().len())
        };
        assert_eq!(with_record(RECORD_BYTES_MAX - 1), Ok(RECORD_BYTES_MAX - 1));
        assert_eq!(with_record(RECORD_BYTES_MAX), Ok(RECORD_BYTES_MAX));
        for bytes in [RECORD_BYTES_MAX + 1, 2 * RECORD_BYTES_MAX] {
            assert_eq!(with_record(bytes), Err(StateError::Damaged));
        }
    }

    fn days(days: u64) -> Timestamp {
        START.plus(Duration::from_days(days))
    }

    /// PEC-1, PEC-2, PEC-4: Bob's prekey rolls after a week, and its private half is gone 31 days after that.
    #[test]
    fn prekeys_roll_weekly_and_are_wiped_a_month_later() {
        let (mut rng, bob) = bob();
        let ring = PrekeyRing::generate(&mut rng, &bob, START);
        let first = *SignedPrekey::verify(ring.record(), bob.verifying_key()).unwrap().key().compact();
        assert!(!ring.is_due(days(7).minus(Duration::from_millis(1))));
        assert!(ring.is_due(days(7)));
        let ring = ring.rolled(&mut rng, &bob, days(7));
        assert!(!ring.is_due(days(8)) && ring.contains(&first));
        let last_moment = days(7 + 31).minus(Duration::from_millis(1));
        assert!(!ring.has_expired(last_moment) && ring.clone().without_expired(last_moment).contains(&first));
        assert!(ring.has_expired(days(7 + 31)) && !ring.without_expired(days(7 + 31)).contains(&first));
    }

    /// PEC-2: a clock that was wrong by weeks and was set right leaves a prekey from the future; it is replaced.
    #[test]
    fn a_prekey_from_the_future_is_replaced() {
        let (mut rng, bob) = bob();
        let ring = PrekeyRing::generate(&mut rng, &bob, days(20));
        assert!(!ring.is_due(days(19)));
        assert!(ring.is_due(days(19).minus(Duration::from_millis(1))));
    }

    /// PEC-4: a year of weekly rolling keeps a handful.
    #[test]
    fn a_year_of_rolling_stays_small() {
        let (mut rng, bob) = bob();
        let mut ring = PrekeyRing::generate(&mut rng, &bob, START);
        for week in 1..=52 {
            ring = ring.rolled(&mut rng, &bob, days(7 * week));
            assert!(ring.keys().count() <= 6, "week {week}");
        }
        let stored = ring.to_secret_bytes();
        let again = PrekeyRing::from_secret_bytes(stored.expose()).unwrap();
        assert!(again.to_secret_bytes().ct_eq(&stored));
        assert_eq!(again.record(), ring.record());
    }

    /// PEC-5: too old is refused, and so is dated ahead; the bounds themselves pass.
    #[test]
    fn stale_and_post_dated_prekeys_are_refused() {
        let (mut rng, bob) = bob();
        let ring = PrekeyRing::generate(&mut rng, &bob, START);
        let prekey = SignedPrekey::verify(ring.record(), bob.verifying_key()).unwrap();
        let second = Duration::from_secs(1);
        assert!(prekey.is_fresh(days(31)) && !prekey.is_fresh(days(31).plus(second)));
        let a_day_before = START.minus(Duration::from_days(1));
        assert!(prekey.is_fresh(a_day_before) && !prekey.is_fresh(a_day_before.minus(second)));
    }

    /// PEC-3: altered, signed by somebody else, off the curve, all zero, too long, no number: each refused.
    #[test]
    fn bad_records_are_refused() {
        let (mut rng, bob) = bob();
        let eve = SigningKey::generate_compact(&mut rng);
        let good = PrekeyRing::generate(&mut rng, &bob, START).record().to_vec();
        assert!(SignedPrekey::verify(&good, bob.verifying_key()).is_ok());
        assert_eq!(SignedPrekey::verify(&good, eve.verifying_key()).unwrap_err(), PrekeyError::Unsigned);
        for bit in 0..8 * good.len() {
            let mut bent = good.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert!(SignedPrekey::verify(&bent, bob.verifying_key()).is_err(), "bit {bit}");
        }
        for cut in 0..good.len() {
            assert!(SignedPrekey::verify(&good[..cut], bob.verifying_key()).is_err(), "cut to {cut}");
        }
        // Signed as they should be, and still refused.
        let signed = |x: [u8; 32], time_s: f64| {
            let prekey = CompactKey::from_bytes(x);
            let parts = signed_parts(&prekey, time_s.to_le_bytes());
            let signature = bob.sign_raw(&[parts.0, &parts.1, &parts.2]);
            PrekeyRecord { prekey, signature, time_s }.encode()
        };
        let mut off_curve = [0; 32];
        off_curve[31] = (0..=255)
            .find(|x| {
                let mut bytes = [0; 32];
                bytes[31] = *x;
                AgreementPublic::from_compact(&CompactKey::from_bytes(bytes)).is_err()
            })
            .unwrap();
        let x = *PrekeyRing::generate(&mut rng, &bob, START).current.key.compact().as_bytes();
        for (what, record) in [
            ("off the curve", signed(off_curve, 1.0)),
            ("above p", signed([0xff; 32], 1.0)),
            ("all zero", signed([0; 32], 1.0)),
            ("not a number", signed(x, f64::NAN)),
            ("infinite", signed(x, f64::INFINITY)),
            ("too long", [good.as_slice(), &[0x22, 0x80, 0x20], &[0; 4096]].concat()),
            ("empty", Vec::new()),
        ] {
            let refused = SignedPrekey::verify(&record, bob.verifying_key());
            assert_eq!(refused.unwrap_err(), PrekeyError::Malformed, "{what}");
        }
    }

    /// PEC-19: a newer version's bytes, damage, and a count from a liar are errors.
    #[test]
    fn damaged_rings_are_refused() {
        let (mut rng, bob) = bob();
        let stored = PrekeyRing::generate(&mut rng, &bob, START).to_secret_bytes();
        let read = |bytes: &[u8]| PrekeyRing::from_secret_bytes(bytes).map(|_| ()).unwrap_err();
        let mut newer = stored.expose().to_vec();
        newer[0] = 2;
        assert_eq!(read(&newer), StateError::Version(2));
        for cut in 0..stored.len() {
            assert_eq!(read(&stored.expose()[..cut]), StateError::Damaged, "cut to {cut}");
        }
        assert_eq!(read(&[1, 0xff, 0xff, 0xff, 0xff]), StateError::Damaged);
        assert_eq!(read(&[1, 0, 0, 0, 0]), StateError::Damaged, "a ring is never empty");
    }

    #[test]
    fn debug_shows_no_private_half() {
        let (mut rng, bob) = bob();
        let ring = PrekeyRing::generate(&mut rng, &bob, START);
        let secret = halcyon_crypto::CompactKey::from_bytes(*ring.current.key.to_secret().expose());
        assert!(!format!("{ring:?}").contains(&secret.to_string()));
        assert!(format!("{ring:?}").contains("AgreementKey(of "));
    }

    proptest! {
        #[test]
        fn stored_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
            let _ = PrekeyRing::from_secret_bytes(&bytes);
        }
    }
}
