//! Leave to receive for a device with another key than its own. Spec: 30-courier.md §2 (COU-20 to COU-22).
//!
//! Owns what is granted, its form, and how long it is good for. Does not know which connections there are, or where the other key is
//! kept: a device whose own key is locked away until somebody types a passphrase keeps this one where it can read it.
//!
//! - Whoever has a granted key can take and acknowledge what comes for the device, and can neither send nor open anything.

use halcyon_crypto::{CompactKey, Label, Signature, SigningKey, VerifyingKey};
use halcyon_types::{DeviceId, Duration, Timestamp};

/// The longest that a grant is good for: twice as long as anything waits for a device (COU-21).
pub const GRANT_MAX: Duration = Duration::from_days(60);

/// A device's leave for a key to receive in its name. Not verified unless it is one's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub(crate) key: CompactKey,
    pub(crate) until: Timestamp,
    pub(crate) signature: Signature,
}

impl Grant {
    /// Lets `key` receive for a device until then, at most [`GRANT_MAX`] from now (COU-20).
    #[must_use]
    pub fn sign(device: DeviceId, device_key: &SigningKey, key: &VerifyingKey, until: Timestamp) -> Self {
        let key = *key.compact();
        let signature = device_key.sign(Label::CourierGrant, &parts(&device, &key, &until.as_millis().to_be_bytes()));
        Self { key, until, signature }
    }

    /// Returns when it ends.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        self.until
    }

    /// Says whether it is good at a time, which is not said of one that is good for longer than any may be (COU-21).
    #[must_use]
    pub fn is_current(&self, now: Timestamp) -> bool {
        now <= self.until && self.until <= now.plus(GRANT_MAX)
    }

    /// Returns the key that may receive, if the device signed this.
    pub(crate) fn verify(&self, device: DeviceId, device_key: &VerifyingKey) -> Option<VerifyingKey> {
        let until = self.until.as_millis().to_be_bytes();
        device_key.verify(Label::CourierGrant, &parts(&device, &self.key, &until), &self.signature).ok()?;
        VerifyingKey::from_compact(&self.key).ok()
    }

    /// Returns its stored form, [`Grant::BYTES`] long: key, end, signature.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..32].copy_from_slice(self.key.as_bytes());
        bytes[32..40].copy_from_slice(&self.until.as_millis().to_be_bytes());
        bytes[40..].copy_from_slice(self.signature.as_bytes());
        bytes
    }

    /// Reads the stored form; nothing if it has another length.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (key, rest) = bytes.split_first_chunk::<32>()?;
        let (until, signature) = rest.split_first_chunk::<8>()?;
        Some(Self {
            key: CompactKey::from_bytes(*key),
            until: Timestamp::from_millis(u64::from_be_bytes(*until)),
            signature: Signature::try_from(signature).ok()?,
        })
    }

    /// Bytes of the stored form.
    pub const BYTES: usize = 32 + 8 + 64;
}

/// COU-20: what is signed.
fn parts<'a>(device: &'a DeviceId, key: &'a CompactKey, until: &'a [u8; 8]) -> [&'a [u8]; 3] {
    [device.as_bytes(), key.as_bytes(), until]
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    const NOON: Timestamp = Timestamp::from_millis(1_700_000_000_000);
    const PHONE: DeviceId = DeviceId::from_bytes([1; 16]);

    fn key(seed: u64) -> SigningKey {
        SigningKey::generate_compact(&mut StdRng::seed_from_u64(seed))
    }

    /// COU-20: it is for one device, by its key, and its stored form is all of it.
    #[test]
    fn a_grant_is_a_devices_own() {
        let grant = Grant::sign(PHONE, &key(1), key(2).verifying_key(), NOON);
        let read = Grant::from_bytes(&grant.to_bytes()).unwrap();
        assert_eq!(read, grant);
        assert_eq!(read.verify(PHONE, key(1).verifying_key()).as_ref(), Some(key(2).verifying_key()));
        assert_eq!(read.verify(PHONE, key(3).verifying_key()), None);
        assert_eq!(read.verify(DeviceId::from_bytes([2; 16]), key(1).verifying_key()), None);
        for at in 0..Grant::BYTES {
            let mut bytes = grant.to_bytes();
            bytes[at] ^= 1;
            let bent = Grant::from_bytes(&bytes).unwrap();
            assert_eq!(bent.verify(PHONE, key(1).verifying_key()), None, "byte {at}");
        }
        assert_eq!(Grant::from_bytes(&grant.to_bytes()[1..]), None);
    }

    /// COU-21: to the last millisecond.
    #[test]
    fn a_grant_ends() {
        let millisecond = Duration::from_millis(1);
        let grant = |until| Grant::sign(PHONE, &key(1), key(2).verifying_key(), until);
        assert!(grant(NOON).is_current(NOON) && !grant(NOON).is_current(NOON.plus(millisecond)));
        let longest = NOON.plus(GRANT_MAX);
        assert!(grant(longest).is_current(NOON) && !grant(longest.plus(millisecond)).is_current(NOON));
    }
}
