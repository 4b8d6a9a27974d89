//! The devices of the bench, the same in both processes, made from their number.

use std::collections::HashMap;

use anyhow::Result;
use halcyon_crypto::{Secret, SigningKey, VerifyingKey};
use halcyon_directory::session::SessionKey;
use halcyon_server::ports::{KnownDevice, Recipient, Recipients, RecipientsError};
use halcyon_types::{AccountId, DeviceId, Handle, PushToken, Timestamp};

/// One device; it has an account of its own.
#[derive(Clone, Copy)]
pub(crate) struct Person {
    pub(crate) device: DeviceId,
    pub(crate) account: AccountId,
    pub(crate) push_token: PushToken,
}

impl Person {
    pub(crate) fn numbered(number: u32) -> Self {
        Self {
            device: DeviceId::from_bytes(spread(number, 1)),
            account: AccountId::from_bytes(spread(number, 2)),
            push_token: PushToken::from_bytes(spread(number, 3)),
        }
    }
}

/// Ids are hashes in a real directory, so these have to look like some.
fn spread<const N: usize>(number: u32, purpose: u64) -> [u8; N] {
    let mut state = u64::from(number) << 8 | purpose;
    std::array::from_fn(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    })
}

/// The device key of them all: the server verifies each connect, and does not care that they are alike.
pub(crate) fn device_key() -> Result<SigningKey> {
    // About every second number has a point of compact form.
    let keys = (1..=64).map(|number| SigningKey::from_secret(&Secret::fill_with(|bytes| *bytes = [number; 32])));
    keys.filter_map(Result::ok).next().ok_or_else(|| anyhow::anyhow!("no device key"))
}

/// The key of the session tokens.
pub(crate) fn session_key() -> SessionKey {
    SessionKey::from_secret(Secret::fill_with(|bytes| *bytes = [9; 32]))
}

/// A list version that all accounts have.
pub(crate) const LIST_VERSION: u64 = 1;

/// The handle that all of them send from.
pub(crate) const HANDLE: &str = "mailto:somebody@example.org";

/// A directory in memory, which looks up and verifies as the real one does.
pub(crate) struct Directory {
    devices: HashMap<DeviceId, Person>,
    tokens: HashMap<PushToken, Person>,
    key: VerifyingKey,
    session: SessionKey,
}

impl Directory {
    pub(crate) fn of(people: u32) -> Result<Self> {
        let people: Vec<Person> = (0..people).map(Person::numbered).collect();
        Ok(Self {
            devices: people.iter().map(|person| (person.device, *person)).collect(),
            tokens: people.iter().map(|person| (person.push_token, *person)).collect(),
            key: device_key()?.verifying_key().clone(),
            session: session_key(),
        })
    }
}

#[async_trait::async_trait]
impl Recipients for Directory {
    async fn device(&self, device: DeviceId) -> Result<Option<KnownDevice>, RecipientsError> {
        let known = |person: &Person| KnownDevice {
            account: person.account,
            key: self.key.clone(),
            push_token: person.push_token,
        };
        Ok(self.devices.get(&device).map(known))
    }

    async fn recipient(&self, token: &PushToken) -> Result<Option<Recipient>, RecipientsError> {
        let recipient =
            |person: &Person| Recipient { device: person.device, account: person.account, list_version: LIST_VERSION };
        Ok(self.tokens.get(token).map(recipient))
    }

    async fn owns_handle(&self, _account: AccountId, handle: &Handle) -> Result<bool, RecipientsError> {
        Ok(handle.as_uri() == HANDLE)
    }

    fn session_is_valid(&self, token: &[u8], asker: AccountId, recipient: AccountId, now: Timestamp) -> bool {
        self.session.check(token, asker, recipient, now).is_ok()
    }
}
