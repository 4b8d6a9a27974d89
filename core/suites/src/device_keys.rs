//! A device's private keys, as one value: what a client makes at registration and stores under protection.
//!
//! Owns which keys a device has. Does not know the account, or where the keys are stored.

use halcyon_crypto::{Rng, SecretBytes, SigningKey};
use halcyon_types::Timestamp;

#[cfg(feature = "pair")]
use crate::pair::PairKeys;
use crate::{
    identity::PairIdentity,
    pair_ec::PrekeyRing,
    pq3,
    state::{Reader, StateError, Writer},
    suite::Suite,
};

/// 1 had no keys for `pq3`; it is still read.
const STATE_VERSION: u8 = 2;
const STATE_VERSION_WITHOUT_PQ3: u8 = 1;
/// Marks whether the keys of a suite follow.
const ABSENT: u32 = 0;
const PRESENT: u32 = 1;

/// A device's private keys.
#[derive(Debug)]
pub struct DeviceKeys {
    /// The device key: signs messages, prekeys, connects and requests (IDN-14).
    pub device: SigningKey,
    /// Keys for the legacy suite, if the device speaks it (PAIR-1, SUI-5).
    #[cfg(feature = "pair")]
    pub pair: Option<PairKeys>,
    /// Own prekeys for `pair-ec`.
    pub prekeys: PrekeyRing,
    /// Own prekeys for `pq3`; none in a profile from before the suite.
    pub pq3: Option<pq3::PrekeyRing>,
}

impl DeviceKeys {
    /// Makes the keys of a new device that speaks `suites`. Takes tens of milliseconds if `pair` is among them.
    pub fn generate(rng: &mut dyn Rng, suites: &[Suite], now: Timestamp) -> Self {
        let device = SigningKey::generate_compact(rng);
        let prekeys = PrekeyRing::generate(rng, &device, now);
        let pq3 = suites.contains(&Suite::Pq3).then(|| pq3::PrekeyRing::generate(rng, &device, now));
        #[cfg(feature = "pair")]
        let pair = suites.contains(&Suite::Pair).then(|| PairKeys::generate(rng));
        Self {
            device,
            #[cfg(feature = "pair")]
            pair,
            prekeys,
            pq3,
        }
    }

    /// Returns the suites that these keys speak, weakest first, for the device's list entry (SUI-2).
    #[must_use]
    pub fn suites(&self) -> Vec<Suite> {
        let has_keys = |suite: &Suite| match suite {
            Suite::Pair => self.pair_identity().is_some(),
            Suite::PairEc => true,
            Suite::Pq3 => self.pq3.is_some(),
        };
        Suite::SPOKEN.into_iter().filter(has_keys).collect()
    }

    /// Returns the public identity for `pair`, if the device speaks it.
    #[must_use]
    pub fn pair_identity(&self) -> Option<&PairIdentity> {
        #[cfg(feature = "pair")]
        return self.pair.as_ref().map(PairKeys::identity);
        #[cfg(not(feature = "pair"))]
        None
    }

    /// Returns the current prekey record of each suite that has some, to be published together (DIR-10).
    #[must_use]
    pub fn prekey_records(&self) -> Vec<(Suite, &[u8])> {
        let pair_ec = cfg!(feature = "pair-ec").then(|| (Suite::PairEc, self.prekeys.record()));
        let pq3 = self.pq3.as_ref().map(|ring| (Suite::Pq3, ring.record()));
        pair_ec.into_iter().chain(pq3).collect()
    }

    /// Returns when the current prekeys were made: all at one time.
    #[must_use]
    pub fn prekeys_made(&self) -> Timestamp {
        self.prekeys.made()
    }

    /// Says whether the current prekeys are to be replaced (PEC-2, PQ3-7).
    #[must_use]
    pub fn prekeys_due(&self, now: Timestamp) -> bool {
        self.prekeys.is_due(now) || self.pq3.as_ref().is_some_and(|ring| ring.is_due(now))
    }

    /// Says whether private prekeys are there that have to be wiped (PEC-4, PQ3-7).
    #[must_use]
    pub fn has_expired_prekeys(&self, now: Timestamp) -> bool {
        self.prekeys.has_expired(now) || self.pq3.as_ref().is_some_and(|ring| ring.has_expired(now))
    }

    /// Returns the keys with a new prekey of each suite in front, and without those whose time is over (PEC-2, PEC-4,
    /// PQ3-7). Store them before the new records are published.
    #[must_use]
    pub fn with_rolled_prekey(self, rng: &mut dyn Rng, now: Timestamp) -> Self {
        let prekeys = self.prekeys.rolled(rng, &self.device, now);
        let pq3 = self.pq3.map(|ring| ring.rolled(rng, &self.device, now));
        Self { prekeys, pq3, ..self }
    }

    /// Returns the keys without the private prekeys whose time is over (PEC-4, PQ3-7).
    #[must_use]
    pub fn without_expired_prekeys(self, now: Timestamp) -> Self {
        let prekeys = self.prekeys.without_expired(now);
        let pq3 = self.pq3.map(|ring| ring.without_expired(now));
        Self { prekeys, pq3, ..self }
    }

    /// Returns all private keys, to be stored under protection.
    #[must_use]
    pub fn to_secret_bytes(&self) -> SecretBytes {
        let prekeys = self.prekeys.to_secret_bytes();
        #[cfg(feature = "pair")]
        let pair = self.pair.as_ref().map(PairKeys::to_secret_bytes);
        #[cfg(not(feature = "pair"))]
        let pair: Option<SecretBytes> = None;
        let pq3 = self.pq3.as_ref().map(pq3::PrekeyRing::to_secret_bytes);
        let len = |keys: &Option<SecretBytes>| 4 + keys.as_ref().map_or(0, |keys| 4 + keys.len());
        let mut writer = Writer::new(STATE_VERSION, 32 + 4 + prekeys.len() + len(&pair) + len(&pq3));
        writer.raw(self.device.to_secret().expose());
        writer.sized(prekeys.expose());
        for keys in [pair, pq3] {
            match keys {
                None => writer.u32(ABSENT),
                Some(keys) => {
                    writer.u32(PRESENT);
                    writer.sized(keys.expose());
                }
            }
        }
        writer.finish()
    }

    /// Reads what [`to_secret_bytes`](Self::to_secret_bytes) wrote.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn from_secret_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let version = if bytes.first() == Some(&STATE_VERSION_WITHOUT_PQ3) { 1 } else { STATE_VERSION };
        let mut reader = Reader::new(bytes, version)?;
        let device = SigningKey::from_secret(&reader.secret()?).map_err(|_| StateError::Damaged)?;
        let prekeys = PrekeyRing::from_secret_bytes(reader.sized()?)?;
        let pair = optional(&mut reader)?;
        let pq3 = if version == STATE_VERSION { optional(&mut reader)? } else { None };
        reader.end()?;
        #[cfg(not(feature = "pair"))]
        let _ = pair;
        Ok(Self {
            device,
            #[cfg(feature = "pair")]
            pair: pair.map(PairKeys::from_secret_bytes).transpose()?,
            prekeys,
            pq3: pq3.map(pq3::PrekeyRing::from_secret_bytes).transpose()?,
        })
    }
}

fn optional<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, StateError> {
    match reader.u32()? {
        ABSENT => Ok(None),
        PRESENT => reader.sized().map(Some),
        _ => Err(StateError::Damaged),
    }
}

#[cfg(test)]
mod tests {
    use halcyon_types::Duration;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn day(days: u64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000).plus(Duration::from_days(days))
    }

    /// PEC-2, PEC-4, PQ3-7: the suites' prekeys are made together, but one ring may be older than the other, as in a profile from
    /// before a suite: whichever is due, or has something to wipe, counts.
    #[test]
    fn the_older_ring_decides() {
        let mut rng = StdRng::seed_from_u64(1);
        let suites = [Suite::PairEc, Suite::Pq3];
        let keys = || DeviceKeys::generate(&mut StdRng::seed_from_u64(2), &suites, day(0));
        let mut rolled = |ec: u64, pq3: u64| {
            let DeviceKeys { device, prekeys, pq3: ring, .. } = keys();
            let prekeys = if ec > 0 { prekeys.rolled(&mut rng, &device, day(ec)) } else { prekeys };
            let ring = ring.map(|ring| if pq3 > 0 { ring.rolled(&mut rng, &device, day(pq3)) } else { ring });
            DeviceKeys { prekeys, pq3: ring, ..keys() }
        };
        // From the day on which the younger one was made.
        let due = |keys: &DeviceKeys| (3..20).find(|days| keys.prekeys_due(day(*days)));
        assert_eq!(due(&rolled(0, 0)), Some(7));
        assert_eq!(due(&rolled(3, 0)), Some(7), "that of pq3");
        assert_eq!(due(&rolled(0, 3)), Some(7), "that of pair-ec");
        assert_eq!(due(&rolled(3, 3)), Some(10));
        let expired = |keys: &DeviceKeys| (3..60).find(|days| keys.has_expired_prekeys(day(*days)));
        assert_eq!(expired(&rolled(0, 0)), None, "nothing was replaced");
        assert_eq!(expired(&rolled(3, 0)), Some(34));
        assert_eq!(expired(&rolled(0, 3)), Some(34));
        let without_pq3 = DeviceKeys { pq3: None, ..rolled(0, 0) };
        assert_eq!((due(&without_pq3), expired(&without_pq3)), (Some(7), None));
    }
}
