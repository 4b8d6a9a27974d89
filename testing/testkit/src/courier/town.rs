//! A directory in memory, a clock that goes as tokio's does, and randomness that repeats in every run.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use halcyon_crypto::{Secret, SigningKey};
use halcyon_server::ports::{Clock, KnownDevice, Random, Recipient, Recipients, RecipientsError};
use halcyon_types::{AccountId, DeviceId, Handle, PushToken, SessionToken, Timestamp};
use tokio::time::Instant;

/// A directory in memory: who lives here, with which devices.
#[derive(Clone, Default)]
pub struct Town {
    people: Arc<Mutex<People>>,
}

#[derive(Default)]
struct People {
    devices: BTreeMap<DeviceId, TestDevice>,
    list_versions: BTreeMap<AccountId, u64>,
}

/// A device with all that it knows of itself.
#[derive(Clone)]
pub struct TestDevice {
    /// Its id.
    pub device: DeviceId,
    /// Its account, one a person.
    pub account: AccountId,
    /// Where it is delivered to.
    pub push_token: PushToken,
    /// Its own key.
    pub key: SigningKey,
    /// Its person's handle.
    pub handle: Handle,
}

impl Town {
    /// Lets a person, who may live here already, have one more device.
    pub fn device(&self, person: &str, kind: &str) -> TestDevice {
        let seed = |text: &str| {
            let mut bytes = [0x5a_u8; 32];
            text.bytes()
                .enumerate()
                .for_each(|(index, byte)| bytes[index % 32] = bytes[index % 32].wrapping_mul(31) ^ byte);
            bytes
        };
        let (own, persons) = (seed(&format!("{kind} of {person}")), seed(person));
        let first = |bytes: [u8; 32]| -> [u8; 16] { std::array::from_fn(|index| bytes[index] ^ bytes[index + 16]) };
        let device = TestDevice {
            device: DeviceId::from_bytes(first(own)),
            account: AccountId::from_bytes(first(persons)),
            push_token: PushToken::from_bytes(own),
            key: key(own),
            handle: Handle::parse(&format!("{person}@example.org")).unwrap(),
        };
        let mut people = self.people();
        people.devices.insert(device.device, device.clone());
        people.list_versions.entry(device.account).or_insert(1);
        device
    }

    /// Removes a device, as its account's next list does (DIR-5).
    pub fn remove(&self, device: &TestDevice) {
        let mut people = self.people();
        people.devices.remove(&device.device);
        *people.list_versions.entry(device.account).or_insert(1) += 1;
    }

    /// Returns the version of an account's list.
    #[must_use]
    pub fn list_version(&self, account: AccountId) -> u64 {
        self.people().list_versions.get(&account).copied().unwrap_or(1)
    }

    /// Returns what a lookup would give: the right to send to an account until a time.
    #[must_use]
    pub fn session_token(asker: AccountId, recipient: AccountId, expires: Timestamp) -> Bytes {
        let mut token = Vec::with_capacity(SessionToken::LEN);
        token.extend_from_slice(&expires.as_millis().to_be_bytes());
        token.extend_from_slice(asker.as_bytes());
        token.extend_from_slice(recipient.as_bytes());
        token.into()
    }

    fn people(&self) -> MutexGuard<'_, People> {
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first number after `seed` that is a device key: about every second one is.
fn key(mut seed: [u8; 32]) -> SigningKey {
    loop {
        seed[31] = seed[31].wrapping_add(1);
        if let Ok(key) = SigningKey::from_secret(&Secret::fill_with(|bytes| *bytes = seed)) {
            return key;
        }
    }
}

#[async_trait::async_trait]
impl Recipients for Town {
    async fn device(&self, device: DeviceId) -> Result<Option<KnownDevice>, RecipientsError> {
        let known = |device: &TestDevice| KnownDevice {
            account: device.account,
            key: device.key.verifying_key().clone(),
            push_token: device.push_token,
        };
        Ok(self.people().devices.get(&device).map(known))
    }

    async fn recipient(&self, token: &PushToken) -> Result<Option<Recipient>, RecipientsError> {
        let people = self.people();
        let found = people.devices.values().find(|device| device.push_token == *token);
        Ok(found.map(|found| Recipient {
            device: found.device,
            account: found.account,
            list_version: people.list_versions.get(&found.account).copied().unwrap_or(1),
        }))
    }

    async fn owns_handle(&self, account: AccountId, handle: &Handle) -> Result<bool, RecipientsError> {
        Ok(self.people().devices.values().any(|device| device.account == account && device.handle == *handle))
    }

    fn session_is_valid(&self, token: &[u8], asker: AccountId, recipient: AccountId, now: Timestamp) -> bool {
        let Some((expires, _)) = token.split_first_chunk::<8>() else { return false };
        let expires = Timestamp::from_millis(u64::from_be_bytes(*expires));
        now < expires && token == Self::session_token(asker, recipient, expires)
    }
}

/// A clock that goes as tokio's does, and so stands still and jumps with it in a test.
pub struct TokioClock {
    begun: Instant,
}

impl TokioClock {
    /// When every test begins.
    pub const EPOCH: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    /// Starts the clock.
    #[must_use]
    pub fn start() -> Self {
        Self { begun: Instant::now() }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        let since = u64::try_from(self.begun.elapsed().as_millis()).unwrap();
        Self::EPOCH.plus(halcyon_types::Duration::from_millis(since))
    }
}

/// Randomness that never repeats and is the same in every run. Not for keys of anybody real.
#[derive(Default)]
pub struct CountingRandom(AtomicU64);

impl Random for CountingRandom {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let count = self.0.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            chunk.copy_from_slice(&count.to_be_bytes()[..chunk.len()]);
        }
    }
}
