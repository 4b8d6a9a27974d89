//! By what a device receives before anybody unlocked its profile, and what becomes of that afterwards. Spec: 70-keychain.md (KEY-10,
//! KEY-12).
//!
//! Owns the receiver's form, and the way of what it received into the profile. Does not know where either is kept, or how one connects by it: that is
//! [`crate::connection::locked`].
//!
//! - A receiver can open nothing and send nothing (COU-22).

use bytes::Bytes;
use halcyon_courier::{Envelope, Grant, link::Delivery};
use halcyon_crypto::{Secret, SecretBytes, SigningKey};
use halcyon_types::{DeviceId, Duration, Timestamp};

use crate::{client::Client, error::ProfileError, receive::Received, server_address::ServerAddress};

/// KEY-10: a day less than the server allows by its clock, which may be behind.
const GRANTED_FOR: Duration = Duration::from_days(59);
/// KEY-10: a kept grant that is older is made anew.
const RENEW_AFTER: Duration = Duration::from_days(1);
/// What the stored form begins with.
const VERSION: u8 = 1;

/// A key that may receive for this device, and where.
pub struct Receiver {
    pub(crate) device: DeviceId,
    pub(crate) key: SigningKey,
    pub(crate) grant: Grant,
    pub(crate) server: ServerAddress,
    /// What else whoever connects has to know of the server: nothing to this crate.
    pub(crate) trust: Vec<u8>,
}

/// What became of a delivery that was received before the profile was unlocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is committed, in whatever way, and need not be kept any more.
    Committed,
    /// The server has to be asked about it first, and does not answer (RCV-2).
    NotNow,
}

impl Client {
    /// Makes a key, and grants it that it receives for this device for 59 days (KEY-10). `trust` is given back by [`Receiver::trust`].
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn grant_receiver(&self, trust: &[u8]) -> Result<Receiver, ProfileError> {
        let inner = &*self.inner;
        let key = SigningKey::generate_compact(inner.rng().as_rng());
        let until = inner.server_now().plus(GRANTED_FOR);
        let state = inner.state();
        let own = state.own()?;
        let grant = Grant::sign(own.device, &own.keys.device, key.verifying_key(), until);
        Ok(Receiver { device: own.device, key, grant, server: inner.server.clone(), trust: trust.to_vec() })
    }

    /// Takes a delivery that was received, and acknowledged, before the profile was unlocked (KEY-12). What was taken before has no
    /// second effect (RCV-4).
    ///
    /// # Errors
    /// [`ProfileError`]; it is to be kept.
    pub async fn take_kept(&self, delivery: &SecretBytes) -> Result<Kept, ProfileError> {
        let bytes = Bytes::copy_from_slice(delivery.expose());
        let envelope = Envelope::decode(bytes.clone());
        let delivery = Delivery { seq: 0, envelope, bytes, from_storage: true, last_from_storage: false };
        Ok(match self.inner.receive(&delivery).await? {
            Received::Committed => Kept::Committed,
            Received::NotNow => Kept::NotNow,
        })
    }
}

impl Receiver {
    /// Says whether it is to be made anew at a time (KEY-10).
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        let granted = self.grant.until().minus(GRANTED_FOR);
        granted.plus(RENEW_AFTER) < now || !self.grant.is_current(now)
    }

    /// Returns the server.
    #[must_use]
    pub fn server(&self) -> &ServerAddress {
        &self.server
    }

    /// Returns what [`Client::grant_receiver`] was given.
    #[must_use]
    pub fn trust(&self) -> &[u8] {
        &self.trust
    }

    /// Returns the stored form: version u8 ‖ device 16 ‖ key 32 ‖ grant 104 ‖ length of the address u16BE ‖ address ‖ trust.
    #[must_use]
    pub fn to_bytes(&self) -> SecretBytes {
        let server = self.server.to_string();
        let mut bytes = Vec::with_capacity(1 + 16 + 32 + Grant::BYTES + 2 + server.len() + self.trust.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(self.device.as_bytes());
        bytes.extend_from_slice(self.key.to_secret().expose());
        bytes.extend_from_slice(&self.grant.to_bytes());
        // A host name has at most 253 bytes.
        bytes.extend_from_slice(&u16::try_from(server.len()).unwrap_or(u16::MAX).to_be_bytes());
        bytes.extend_from_slice(server.as_bytes());
        bytes.extend_from_slice(&self.trust);
        SecretBytes::from_vec(bytes)
    }

    /// Reads the stored form; nothing if it is none.
    #[must_use]
    pub fn from_bytes(bytes: &SecretBytes) -> Option<Self> {
        let (version, rest) = bytes.expose().split_first()?;
        let (device, rest) = rest.split_first_chunk::<16>()?;
        let (key, rest) = rest.split_at_checked(32)?;
        let (grant, rest) = rest.split_at_checked(Grant::BYTES)?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (server, trust) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        if *version != VERSION {
            return None;
        }
        let key = Secret::<32>::try_from(key).ok()?;
        Some(Self {
            device: DeviceId::from_bytes(*device),
            key: SigningKey::from_secret(&key).ok()?,
            grant: Grant::from_bytes(grant)?,
            server: str::from_utf8(server).ok()?.parse().ok()?,
            trust: trust.to_vec(),
        })
    }
}

/// A key is not printed.
impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver").field("device", &self.device).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    const NOON: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn receiver(until: Timestamp) -> Receiver {
        let mut rng = StdRng::seed_from_u64(1);
        let (device_key, key) = (SigningKey::generate_compact(&mut rng), SigningKey::generate_compact(&mut rng));
        let device = DeviceId::from_bytes([1; 16]);
        let grant = Grant::sign(device, &device_key, key.verifying_key(), until);
        let server = "https://example.org:8443".parse().unwrap();
        Receiver { device, key, grant, server, trust: b"certificate".to_vec() }
    }

    /// KEY-10: it comes back as it was kept, and nothing else comes back.
    #[test]
    fn a_receiver_survives_storing() {
        let stored = receiver(NOON).to_bytes();
        let read = Receiver::from_bytes(&stored).unwrap();
        assert!(read.to_bytes().ct_eq(&stored));
        assert_eq!((read.server().port(), read.trust()), (8443, &b"certificate"[..]));
        let header = stored.len() - read.trust().len();
        for length in 0..header {
            assert!(Receiver::from_bytes(&SecretBytes::copy_of(&stored.expose()[..length])).is_none(), "{length}");
        }
        let mut newer = stored.expose().to_vec();
        newer[0] = 2;
        assert!(Receiver::from_bytes(&SecretBytes::from_vec(newer)).is_none());
        assert_eq!(format!("{read:?}").matches("key").count(), 0);
    }

    /// KEY-10: a day after it was made.
    #[test]
    fn a_receiver_is_renewed_after_a_day() {
        let made = receiver(NOON.plus(GRANTED_FOR));
        let day = NOON.plus(RENEW_AFTER);
        assert!(!made.is_due(NOON) && !made.is_due(day));
        assert!(made.is_due(day.plus(Duration::from_millis(1))));
        // A clock that went back does not make a grant that lasts longer than any may.
        assert!(made.is_due(Timestamp::from_millis(NOON.as_millis() - 2 * RENEW_AFTER.as_millis())));
    }
}
