//! A device's private keys, as one value: what a client makes at registration and stores under protection.
//!
//! Owns which keys a device has. Does not know the account, or where the keys are stored.

use halcyon_crypto::{Rng, SecretBytes, SigningKey};
use halcyon_types::Timestamp;

use crate::{
    pair::PairKeys,
    pair_ec::PrekeyRing,
    state::{Reader, StateError, Writer},
    suite::Suite,
};

const STATE_VERSION: u8 = 1;
/// Marks whether keys for `pair` follow.
const WITHOUT_PAIR: u32 = 0;
const WITH_PAIR: u32 = 1;

/// A device's private keys.
#[derive(Debug)]
pub struct DeviceKeys {
    /// The device key: signs messages, prekeys, connects and requests (IDN-14).
    pub device: SigningKey,
    /// Keys for the legacy suite, if the device speaks it (PAIR-1, SUI-5).
    pub pair: Option<PairKeys>,
    /// Own prekeys for `pair-ec`.
    pub prekeys: PrekeyRing,
}

impl DeviceKeys {
    /// Makes the keys of a new device that speaks `suites`. Takes tens of milliseconds if `pair` is among them.
    pub fn generate(rng: &mut dyn Rng, suites: &[Suite], now: Timestamp) -> Self {
        let device = SigningKey::generate_compact(rng);
        let prekeys = PrekeyRing::generate(rng, &device, now);
        let pair = suites.contains(&Suite::Pair).then(|| PairKeys::generate(rng));
        Self { device, pair, prekeys }
    }

    /// Returns the suites that these keys speak, weakest first, for the device's list entry (SUI-2).
    #[must_use]
    pub fn suites(&self) -> Vec<Suite> {
        let has_keys = |suite: &Suite| match suite {
            Suite::Pair => self.pair.is_some(),
            Suite::PairEc => true,
            Suite::Pq3 => false,
        };
        Suite::SPOKEN.into_iter().filter(has_keys).collect()
    }

    /// Returns the keys with a new prekey in front, and without those whose time is over (PEC-2, PEC-4). Store them
    /// before the new record is published.
    #[must_use]
    pub fn with_rolled_prekey(self, rng: &mut dyn Rng, now: Timestamp) -> Self {
        let prekeys = self.prekeys.rolled(rng, &self.device, now);
        Self { prekeys, ..self }
    }

    /// Returns all private keys, to be stored under protection.
    #[must_use]
    pub fn to_secret_bytes(&self) -> SecretBytes {
        let prekeys = self.prekeys.to_secret_bytes();
        let pair = self.pair.as_ref().map(PairKeys::to_secret_bytes);
        let size = 32 + 4 + prekeys.len() + 4 + pair.as_ref().map_or(0, |pair| 4 + pair.len());
        let mut writer = Writer::new(STATE_VERSION, size);
        writer.raw(self.device.to_secret().expose());
        writer.sized(prekeys.expose());
        match pair {
            None => writer.u32(WITHOUT_PAIR),
            Some(pair) => {
                writer.u32(WITH_PAIR);
                writer.sized(pair.expose());
            }
        }
        writer.finish()
    }

    /// Reads what [`to_secret_bytes`](Self::to_secret_bytes) wrote.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn from_secret_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let mut reader = Reader::new(bytes, STATE_VERSION)?;
        let device = SigningKey::from_secret(&reader.secret()?).map_err(|_| StateError::Damaged)?;
        let prekeys = PrekeyRing::from_secret_bytes(reader.sized()?)?;
        let pair = match reader.u32()? {
            WITHOUT_PAIR => None,
            WITH_PAIR => Some(PairKeys::from_secret_bytes(reader.sized()?)?),
            _ => return Err(StateError::Damaged),
        };
        reader.end()?;
        Ok(Self { device, pair, prekeys })
    }
}
