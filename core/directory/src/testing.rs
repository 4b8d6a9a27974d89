//! People with devices, for this crate's tests. Everything follows from a seed.

use bytes::Bytes;
use halcyon_crypto::{Secret, SigningKey};
use halcyon_types::{AccountId, DeviceId, PushToken, SuiteId, Timestamp};
use rand::{SeedableRng, rngs::StdRng};

use crate::{
    entry::{CountersignedEntry, DeviceEntry},
    ids::account_id,
    list::SignedList,
    lookup::{LookupRequest, ServedAccount, ServedAddress, UnverifiedAccount, encode_response},
    prekeys::{self, Prekey},
    session::SessionKey,
};

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
pub(crate) const BOTH_SUITES: [SuiteId; 2] = [SuiteId::PAIR, SuiteId::PAIR_EC];

pub(crate) fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

/// A key that is the same whatever the random generator.
pub(crate) fn fixed_key(byte: u8) -> SigningKey {
    let key = |byte| SigningKey::from_secret(&Secret::fill_with(|bytes| *bytes = [byte; 32]));
    (byte..).find_map(|byte| key(byte).ok()).unwrap()
}

/// A device that knows its own secrets.
#[derive(Clone)]
pub(crate) struct Device {
    pub(crate) key: SigningKey,
    pub(crate) entry: CountersignedEntry,
}

impl Device {
    pub(crate) fn new(account: AccountId, name: &str, suites: &[SuiteId], rng: &mut StdRng) -> Self {
        let key = SigningKey::generate_compact(rng);
        let identity = suites.contains(&SuiteId::PAIR).then(|| identity(rng));
        Self::speaking(account, name, key, suites, identity)
    }

    pub(crate) fn speaking(
        account: AccountId,
        name: &str,
        key: SigningKey,
        suites: &[SuiteId],
        identity: Option<Bytes>,
    ) -> Self {
        let entry = DeviceEntry::new(key.verifying_key(), name, suites, identity, NOW).unwrap();
        let entry = CountersignedEntry::sign(entry, account, &key).unwrap();
        Self { key, entry }
    }

    pub(crate) fn id(&self) -> DeviceId {
        self.entry.entry().id()
    }
}

pub(crate) fn identity(rng: &mut StdRng) -> Bytes {
    crate::pair_identity::tests::blob(rng).into()
}

/// A person's account with its devices, first one first.
pub(crate) struct Account {
    pub(crate) key: SigningKey,
    pub(crate) devices: Vec<Device>,
    pub(crate) list: SignedList,
}

impl Account {
    pub(crate) fn with(names: &[&str], rng: &mut StdRng) -> Self {
        let key = SigningKey::generate_compact(rng);
        let id = account_id(key.verifying_key().compact());
        let devices: Vec<Device> = names.iter().map(|name| Device::new(id, name, &BOTH_SUITES, rng)).collect();
        let first = SignedList::first(&key, devices[0].entry.clone(), NOW).unwrap();
        let list = devices[1..]
            .iter()
            .fold(first, |list, device| list.next().with(device.entry.clone()).sign(&key, NOW).unwrap());
        Self { key, devices, list }
    }

    pub(crate) fn id(&self) -> AccountId {
        self.list.account()
    }

    /// What an honest server answers about `list` to Alice, who always asks.
    pub(crate) fn served(&self, list: &SignedList, rng: &mut StdRng) -> ServedAccount {
        let addresses = list.devices().iter().map(|device| {
            let id = device.entry().id();
            let key = self.devices.iter().find(|own| own.id() == id).map(|own| own.key.clone());
            ServedAddress {
                device: id,
                push_token: push_token(id),
                prekeys: key.map(|key| prekey(&key, rng)).into_iter().collect(),
            }
        });
        let session = SessionKey::from_secret(Secret::fill_with(|bytes| *bytes = [9; 32]));
        let asker = AccountId::from_bytes([0xa1; 16]);
        ServedAccount {
            list: list.clone(),
            addresses: addresses.collect(),
            session: session.mint(asker, self.id(), NOW),
        }
    }

    pub(crate) fn answer(&self, list: &SignedList) -> UnverifiedAccount {
        answer(self.served(list, &mut rng(99)))
    }
}

/// Makes an encoding exactly `bytes` long by a field that this version does not know, as a later version may.
pub(crate) fn padded(encoded: &[u8], bytes: usize) -> Bytes {
    // Field 1000, length-delimited: two bytes of tag, then a length that is written in four bytes whatever it is.
    let content = bytes - encoded.len() - 6;
    let group = |shift: usize| u8::try_from(content >> shift & 0x7f).unwrap();
    let length = [group(0) | 0x80, group(7) | 0x80, group(14) | 0x80, group(21)];
    [encoded, &[0xc2, 0x3e], &length, &vec![0; content]].concat().into()
}

pub(crate) fn bobs_handle() -> halcyon_types::Handle {
    halcyon_types::Handle::parse("bob@example.org").unwrap()
}

/// Sends an answer over the wire.
pub(crate) fn answer(served: ServedAccount) -> UnverifiedAccount {
    let request = LookupRequest::new(vec![bobs_handle()]).unwrap();
    let response = encode_response(&[(bobs_handle(), Some(served))]);
    request.read_response(response).unwrap().remove(0).account.unwrap()
}

pub(crate) fn push_token(device: DeviceId) -> PushToken {
    let mut token = [0; 32];
    token[..16].copy_from_slice(device.as_bytes());
    PushToken::from_bytes(token)
}

fn prekey(key: &SigningKey, rng: &mut StdRng) -> Prekey {
    prekeys::tests::pair_ec_prekey(key, rng)
}
