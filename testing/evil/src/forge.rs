//! Forged device lists: what is changed in them, and with which keys they are signed again. Spec: 11-directory.md §1.
//!
//! Owns the forger's craft. Does not know when a lie is told.

use bytes::Bytes;
use halcyon_crypto::{Label, SigningKey};
use halcyon_directory::{CountersignedEntry, DeviceEntry, device_id, wire};
use halcyon_suites::{pair_ec, pq3};
use halcyon_types::{AccountId, DeviceId, SuiteId, Timestamp};
use prost::Message;
use rand::rngs::OsRng;
use rand::{Rng, RngCore};

/// Which keys the forger has.
#[derive(Clone)]
pub enum Signing {
    /// None: the account's signature over the true list stays where it was.
    Nothing,
    /// The ghost's own: the list is signed by a device instead of the account.
    GhostKey,
    /// A fresh account key, put into the list in the place of the true one.
    FreshAccountKey,
    /// The true account key, stolen, and no device's. Entries of others cannot be counter-signed.
    StolenAccountKey(SigningKey),
    /// The true account key and the key of one device: all that a thief of that device's memory has.
    StolenDevice {
        /// Signs lists.
        account: SigningKey,
        /// Counter-signs this device's entry.
        device: SigningKey,
    },
}

/// A device that belongs to the forger.
#[derive(Clone)]
pub struct Ghost {
    key: SigningKey,
    push_token: [u8; 32],
    prekey: Bytes,
    bundle: Bytes,
}

impl Ghost {
    /// Makes one that would work: with keys, prekeys, and a push token.
    #[must_use]
    pub fn conjure(now: Timestamp) -> Self {
        let key = SigningKey::generate_compact(&mut OsRng);
        let prekey = Bytes::copy_from_slice(pair_ec::PrekeyRing::generate(&mut OsRng, &key, now).record());
        let bundle = Bytes::copy_from_slice(pq3::PrekeyRing::generate(&mut OsRng, &key, now).record());
        Self { key, push_token: OsRng.r#gen(), prekey, bundle }
    }

    /// Returns its device id.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        device_id(self.key.verifying_key().compact())
    }

    /// Returns its entry, counter-signed by itself for an account.
    #[must_use]
    pub fn entry(&self, account: AccountId) -> wire::CountersignedEntry {
        let suites = [SuiteId::PAIR_EC, SuiteId::PQ3];
        let entry = DeviceEntry::new(self.key.verifying_key(), "phone", &suites, None, Timestamp::default());
        let entry = entry.expect("the forger's own entry is well-formed");
        let entry = CountersignedEntry::sign(entry, account, &self.key).expect("it is signed with its own key");
        wire::CountersignedEntry {
            entry: entry.bytes().clone(),
            signature: Bytes::copy_from_slice(entry.signature().as_bytes()),
        }
    }

    /// Returns where it would be delivered to.
    #[must_use]
    pub fn address(&self) -> wire::DeviceAddress {
        wire::DeviceAddress {
            device_id: Bytes::copy_from_slice(self.device().as_bytes()),
            push_token: Bytes::copy_from_slice(&self.push_token),
            prekeys: self.prekeys(),
        }
    }

    /// Returns its prekeys, one for each suite.
    #[must_use]
    pub fn prekeys(&self) -> Vec<wire::Prekey> {
        let prekey = |suite: SuiteId, record: &Bytes| wire::Prekey { suite: suite.as_u32(), record: record.clone() };
        vec![prekey(SuiteId::PAIR_EC, &self.prekey), prekey(SuiteId::PQ3, &self.bundle)]
    }
}

/// A list on the forger's table.
pub(crate) struct Forgery<'a> {
    pub(crate) list: wire::DeviceList,
    signing: &'a Signing,
    ghost: &'a Ghost,
}

impl<'a> Forgery<'a> {
    /// Opens a signed list. `None` if it is none, which an honest server does not give out.
    pub(crate) fn begin(signed: &wire::SignedDeviceList, signing: &'a Signing, ghost: &'a Ghost) -> Option<Self> {
        let list = wire::DeviceList::decode(signed.list.clone()).ok()?;
        Some(Self { list, signing, ghost })
    }

    pub(crate) fn account(&self) -> Option<AccountId> {
        AccountId::try_from(&self.list.account_id[..]).ok()
    }

    pub(crate) fn ghost(&self) -> &Ghost {
        self.ghost
    }

    /// Puts an entry among the others, in the order that a list has.
    pub(crate) fn insert(&mut self, entry: wire::CountersignedEntry) {
        self.list.devices.push(entry);
        self.list.devices.sort_by_key(|entry| id_of(entry).to_vec());
    }

    /// Changes a device's entry, and counter-signs it again if the forger has that device's key.
    pub(crate) fn alter(&mut self, at: usize, change: impl FnOnce(&mut wire::DeviceEntry)) {
        let Some(account) = self.account() else { return };
        let Some(slot) = self.list.devices.get_mut(at) else { return };
        let Ok(mut entry) = wire::DeviceEntry::decode(slot.entry.clone()) else { return };
        change(&mut entry);
        let bytes: Bytes = entry.encode_to_vec().into();
        if let Signing::StolenDevice { device, .. } = self.signing
            && device.verifying_key().compact().as_bytes()[..] == entry.device_key[..]
        {
            let signature = device.sign(Label::DeviceEntry, &[account.as_bytes(), &bytes]);
            slot.signature = Bytes::copy_from_slice(signature.as_bytes());
        }
        slot.entry = bytes;
    }

    /// Signs with what the forger has.
    pub(crate) fn finish(mut self, signed: &mut wire::SignedDeviceList) {
        let key = match self.signing {
            Signing::Nothing => {
                signed.list = self.list.encode_to_vec().into();
                return;
            }
            Signing::GhostKey => self.ghost.key.clone(),
            Signing::FreshAccountKey => {
                let key = SigningKey::generate_compact(&mut OsRng);
                self.list.account_key = Bytes::copy_from_slice(key.verifying_key().compact().as_bytes());
                key
            }
            Signing::StolenAccountKey(key) | Signing::StolenDevice { account: key, .. } => key.clone(),
        };
        signed.list = self.list.encode_to_vec().into();
        let signature = key.sign(Label::DeviceList, &[&signed.list]);
        signed.signature = Bytes::copy_from_slice(signature.as_bytes());
    }
}

/// Returns the device id of an entry as it says, empty if it says nothing.
pub(crate) fn id_of(entry: &wire::CountersignedEntry) -> Bytes {
    wire::DeviceEntry::decode(entry.entry.clone()).map(|entry| entry.device_id).unwrap_or_default()
}

/// Bytes that mean nothing.
pub(crate) fn noise(bytes: usize) -> Bytes {
    let mut noise = vec![0; bytes];
    OsRng.fill_bytes(&mut noise);
    noise.into()
}
