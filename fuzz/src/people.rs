//! Alice, Bob, their devices and the hour: the fixed world that all targets play in.
//!
//! Owns keys that are the same in every run. The two of the legacy suite are files beside this one, since an RSA key does
//! not follow from a seed; they protect nobody. Signatures differ from run to run: who signs draws randomness of its own.

use std::sync::LazyLock;

use bytes::Bytes;
use halcyon_crypto::{Secret, SigningKey};
use halcyon_directory::{CountersignedEntry, DeviceEntry, SignedList, account_id};
use halcyon_suites::{DeviceKeys, Incoming, Outgoing, PeerDevice, Suite, pair::PairKeys, pq3::AuthData};
use halcyon_types::{AccountId, DeviceId, EnvelopeId, Handle, PushToken, SuiteId, Timestamp};
use rand::{SeedableRng, rngs::StdRng};

/// When everything happens.
pub const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// The server's name.
pub const SERVER: &str = "chat.example.org";

/// Randomness that follows from a number.
#[must_use]
pub fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

/// A secret of one byte, over and over.
#[must_use]
pub fn secret(byte: u8) -> Secret<32> {
    Secret::fill_with(|bytes| *bytes = [byte; 32])
}

/// A device with everything that it knows of itself.
pub struct Device {
    /// Its private keys.
    pub keys: DeviceKeys,
    /// Its entry in the list.
    pub entry: CountersignedEntry,
}

impl Device {
    fn new(account: AccountId, name: &str, pair: Option<&[u8]>, seed: u64) -> Self {
        let pair = pair.map(|stored| PairKeys::from_secret_bytes(stored).unwrap());
        let keys = DeviceKeys { pair, ..DeviceKeys::generate(&mut rng(seed), &[Suite::PairEc, Suite::Pq3], NOW) };
        let ids: Vec<SuiteId> = keys.suites().iter().map(|suite| suite.id()).collect();
        let identity = keys.pair.as_ref().map(|pair| Bytes::copy_from_slice(pair.identity().as_bytes()));
        let entry = DeviceEntry::new(keys.device.verifying_key(), name, &ids, identity, NOW).unwrap();
        let entry = CountersignedEntry::sign(entry, account, &keys.device).unwrap();
        Self { keys, entry }
    }

    /// Returns its id.
    #[must_use]
    pub fn id(&self) -> DeviceId {
        self.entry.entry().id()
    }

    /// Returns where it is delivered to.
    #[must_use]
    pub fn push_token(&self) -> PushToken {
        let mut token = [0; 32];
        token[..16].copy_from_slice(self.id().as_bytes());
        PushToken::from_bytes(token)
    }
}

/// A person: an account key, a phone that speaks everything, a laptop without the legacy suite, and the list of both.
pub struct Person {
    /// Signs the lists.
    pub key: SigningKey,
    /// In the list.
    pub phone: Device,
    /// In the list.
    pub laptop: Device,
    /// Version 2.
    pub list: SignedList,
    /// Where others find the person.
    pub handle: Handle,
}

impl Person {
    fn new(handle: &str, pair: &[u8], seed: u64) -> Self {
        let key = SigningKey::generate_compact(&mut rng(seed));
        let account = account_id(key.verifying_key().compact());
        let phone = Device::new(account, "phone", Some(pair), seed + 1);
        let laptop = Device::new(account, "laptop", None, seed + 2);
        let first = SignedList::first(&key, phone.entry.clone(), NOW).unwrap();
        let list = first.next().with(laptop.entry.clone()).sign(&key, NOW).unwrap();
        Self { key, phone, laptop, list, handle: Handle::parse(handle).unwrap() }
    }

    /// Returns the account.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.list.account()
    }
}

/// Alice.
pub static ALICE: LazyLock<Person> =
    LazyLock::new(|| Person::new("alice@example.org", include_bytes!("people/alice.pair"), 100));

/// Bob.
pub static BOB: LazyLock<Person> =
    LazyLock::new(|| Person::new("tel:+491701234567", include_bytes!("people/bob.pair"), 200));

/// What every message of this world is bound to (PQ3-22).
static AUTH_DATA: LazyLock<AuthData> = LazyLock::new(|| AuthData {
    envelope: EnvelopeId::from_bytes([1; 16]),
    sender: Handle::parse("mailto:alice@example.org").unwrap(),
    recipient: Handle::parse("mailto:bob@example.org").unwrap(),
    sender_push_token: None,
    recipient_push_token: PushToken::from_bytes([2; 32]),
});

/// What a device of `account` binds a message to.
#[must_use]
pub fn outgoing(account: AccountId, now: Timestamp) -> Outgoing<'static> {
    Outgoing { account, auth_data: &AUTH_DATA, now }
}

/// What a device of `account` expects a message to be bound to.
#[must_use]
pub fn incoming(account: AccountId, now: Timestamp) -> Incoming<'static> {
    Incoming { account, envelope: AUTH_DATA.envelope, sender: &AUTH_DATA.sender, push_token: None, now }
}

/// What others know of a person's phone: keys, and the newest prekey of each suite.
#[must_use]
pub fn phone_of(person: &Person) -> PeerDevice {
    let keys = &person.phone.keys;
    let identity = keys.pair.as_ref().map(|pair| pair.identity().clone());
    PeerDevice::new(keys.device.verifying_key().clone(), identity)
        .with_prekey(keys.prekeys.record())
        .unwrap()
        .with_pq3(person.account(), keys.pq3.as_ref().map(|ring| ring.record()))
}
