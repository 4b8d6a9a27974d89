//! The signed list of an account's devices. Spec: 11-directory.md §1 (DIR-3).
//!
//! Owns what makes a list valid by itself, and how the next one is made from it.
//! Does not know earlier lists: whether this one may follow is for [`authority`](crate::authority) on a server and for
//! [`resolver`](crate::resolver) on a client.
//!
//! - A [`SignedList`] satisfies DIR-3, however it was made, and keeps the bytes that were signed.

use bytes::Bytes;
use halcyon_crypto::{CompactKey, KeyError, Label, Signature, SigningKey, VerifyingKey};
use halcyon_types::{AccountId, DeviceId, Timestamp};
use prost::Message;

use crate::{
    entry::{CountersignedEntry, EntryError},
    ids::account_id,
    wire,
};

/// Every message is sealed once for each device, so this bounds a sender's work (DIR-3).
pub const DEVICES_MAX: usize = 32;
/// No valid list is larger: 32 entries of 1 KiB with signatures, and the head. Checked before decoding.
pub const LIST_BYTES_MAX: usize = 40 * 1024;

/// What a list says: whose devices, which, and which version this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceList {
    account: AccountId,
    account_key: VerifyingKey,
    version: u64,
    issued: Timestamp,
    devices: Vec<CountersignedEntry>,
}

/// A list with the account key's signature, verified (DIR-3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedList {
    list: DeviceList,
    bytes: Bytes,
    signature: Signature,
}

/// The next version of a list while it is put together.
#[derive(Clone, Debug)]
pub struct NextList {
    list: DeviceList,
}

/// Why a list is not valid. Whoever made it is at fault, or whoever changed it on the way.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListError {
    /// The bytes are no list at all.
    #[error("the device list is malformed")]
    Malformed(#[source] prost::DecodeError),
    /// Larger than any valid list.
    #[error("the device list has {found} bytes; {LIST_BYTES_MAX} are allowed")]
    TooLarge {
        /// Bytes that were given.
        found: usize,
    },
    /// The account key is not a point of the curve.
    #[error("the account key is not valid")]
    Key(#[from] KeyError),
    /// DIR-3: the account id is not the one that follows from the key.
    #[error("the account id does not belong to the account key")]
    ForeignId,
    /// DIR-3: the account key did not sign these bytes.
    #[error("the device list is not signed by the account's key")]
    Unsigned,
    /// DIR-3: versions count from 1.
    #[error("the device list has version 0")]
    Version,
    /// DIR-3: no device, or too many.
    #[error("a device list has 1 to {DEVICES_MAX} devices, not {found}")]
    Count {
        /// Devices in the list.
        found: usize,
    },
    /// DIR-3: devices out of order, or one twice.
    #[error("the devices of the list are not in rising order")]
    Order,
    /// DIR-3: a device's entry is not valid or not counter-signed.
    #[error("device {index} of the list is not valid")]
    Entry {
        /// Place in the list, from 0.
        index: usize,
        /// What is wrong with it.
        #[source]
        source: EntryError,
    },
    /// The version cannot rise any further. Nobody gets here by counting.
    #[error("the device list has the last version that there is")]
    Exhausted,
}

impl DeviceList {
    /// Returns the account.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// Returns the account key, which signs lists.
    #[must_use]
    pub fn account_key(&self) -> &VerifyingKey {
        &self.account_key
    }

    /// Returns the version, from 1.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns when the list was signed, by the signer's clock.
    #[must_use]
    pub fn issued(&self) -> Timestamp {
        self.issued
    }

    /// Returns the devices by rising id, 1 to 32 of them.
    #[must_use]
    pub fn devices(&self) -> &[CountersignedEntry] {
        &self.devices
    }

    /// Returns one device.
    #[must_use]
    pub fn device(&self, id: DeviceId) -> Option<&CountersignedEntry> {
        self.position(id).ok().map(|at| &self.devices[at])
    }

    fn position(&self, id: DeviceId) -> Result<usize, usize> {
        self.devices.binary_search_by_key(&id, |device| device.entry().id())
    }

    fn encode(&self) -> Bytes {
        let wire = wire::DeviceList {
            account_id: Bytes::copy_from_slice(self.account.as_bytes()),
            account_key: Bytes::copy_from_slice(self.account_key.compact().as_bytes()),
            version: self.version,
            issued_ms: self.issued.as_millis(),
            devices: self.devices.iter().map(CountersignedEntry::to_wire).collect(),
        };
        wire.encode_to_vec().into()
    }

    /// DIR-3, all of it but the signature.
    fn decode(bytes: Bytes) -> Result<Self, ListError> {
        let wire = wire::DeviceList::decode(bytes).map_err(ListError::Malformed)?;
        let compact = CompactKey::try_from(&wire.account_key[..])?;
        let account = account_id(&compact);
        if wire.account_id[..] != account.as_bytes()[..] {
            return Err(ListError::ForeignId);
        }
        let account_key = VerifyingKey::from_compact(&compact)?;
        if wire.version == 0 {
            return Err(ListError::Version);
        }
        if !(1..=DEVICES_MAX).contains(&wire.devices.len()) {
            return Err(ListError::Count { found: wire.devices.len() });
        }
        let devices = verify_entries(account, wire.devices)?;
        if !devices.is_sorted_by(|a, b| a.entry().id() < b.entry().id()) {
            return Err(ListError::Order);
        }
        Ok(Self {
            account,
            account_key,
            version: wire.version,
            issued: Timestamp::from_millis(wire.issued_ms),
            devices,
        })
    }
}

impl SignedList {
    /// Signs the first list of a new account: version 1, with its first device.
    ///
    /// # Errors
    /// [`ListError::Entry`] if the entry was counter-signed for another account.
    pub fn first(account_key: &SigningKey, device: CountersignedEntry, issued: Timestamp) -> Result<Self, ListError> {
        let list = DeviceList {
            account: account_id(account_key.verifying_key().compact()),
            account_key: account_key.verifying_key().clone(),
            version: 0,
            issued,
            devices: Vec::new(),
        };
        NextList { list }.with(device).sign(account_key, issued)
    }

    /// Begins the next list, with the same devices and the version one higher.
    #[must_use]
    pub fn next(&self) -> NextList {
        NextList { list: self.list.clone() }
    }

    /// Checks a list and its signature (DIR-3).
    ///
    /// # Errors
    /// [`ListError`].
    pub fn verify(bytes: Bytes, signature: &[u8]) -> Result<Self, ListError> {
        if bytes.len() > LIST_BYTES_MAX {
            return Err(ListError::TooLarge { found: bytes.len() });
        }
        let signature = Signature::try_from(signature).map_err(|_| ListError::Unsigned)?;
        let list = DeviceList::decode(bytes.clone())?;
        list.account_key.verify(Label::DeviceList, &[&bytes], &signature).map_err(|_| ListError::Unsigned)?;
        Ok(Self { list, bytes, signature })
    }

    /// Reads an encoded `SignedDeviceList` and checks it (DIR-3).
    ///
    /// # Errors
    /// [`ListError`].
    pub fn decode(encoded: Bytes) -> Result<Self, ListError> {
        if encoded.len() > LIST_BYTES_MAX + SIGNED_OVERHEAD_BYTES_MAX {
            return Err(ListError::TooLarge { found: encoded.len() });
        }
        Self::from_wire(wire::SignedDeviceList::decode(encoded).map_err(ListError::Malformed)?)
    }

    /// Checks a list that came inside another message (DIR-3).
    ///
    /// # Errors
    /// [`ListError`].
    pub fn from_wire(wire: wire::SignedDeviceList) -> Result<Self, ListError> {
        Self::verify(wire.list, &wire.signature)
    }

    /// Returns the wire form, which holds the bytes that were signed.
    #[must_use]
    pub fn to_wire(&self) -> wire::SignedDeviceList {
        wire::SignedDeviceList {
            list: self.bytes.clone(),
            signature: Bytes::copy_from_slice(self.signature.as_bytes()),
        }
    }

    /// Returns the encoded `SignedDeviceList`.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        self.to_wire().encode_to_vec().into()
    }

    /// Returns what the list says.
    #[must_use]
    pub fn list(&self) -> &DeviceList {
        &self.list
    }

    /// Returns the encoded list as it was signed.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the account.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.list.account
    }

    /// Returns the version, from 1.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.list.version
    }

    /// Returns the devices by rising id.
    #[must_use]
    pub fn devices(&self) -> &[CountersignedEntry] {
        &self.list.devices
    }

    /// Returns one device.
    #[must_use]
    pub fn device(&self, id: DeviceId) -> Option<&CountersignedEntry> {
        self.list.device(id)
    }
}

impl NextList {
    /// Adds a device, or puts a newer entry in the place of the same device's older one.
    #[must_use]
    pub fn with(mut self, device: CountersignedEntry) -> Self {
        match self.list.position(device.entry().id()) {
            Ok(at) => self.list.devices[at] = device,
            Err(at) => self.list.devices.insert(at, device),
        }
        self
    }

    /// Removes a device; nothing happens if it is not there.
    #[must_use]
    pub fn without(mut self, device: DeviceId) -> Self {
        self.list.devices.retain(|entry| entry.entry().id() != device);
        self
    }

    /// Signs the list as the version after the one it began from.
    ///
    /// # Errors
    /// [`ListError::Unsigned`] for another account's key, [`ListError::Count`] for no device or too many,
    /// [`ListError::Entry`] for an entry that was counter-signed for another account, [`ListError::Exhausted`].
    pub fn sign(self, account_key: &SigningKey, issued: Timestamp) -> Result<SignedList, ListError> {
        if account_key.verifying_key() != &self.list.account_key {
            return Err(ListError::Unsigned);
        }
        let version = self.list.version.checked_add(1).ok_or(ListError::Exhausted)?;
        let bytes = DeviceList { version, issued, ..self.list }.encode();
        let signature = account_key.sign(Label::DeviceList, &[&bytes]);
        // Read back as a stranger reads it, so that what we sign is never what others refuse.
        SignedList::verify(bytes, signature.as_bytes())
    }
}

fn verify_entries(
    account: AccountId,
    entries: Vec<wire::CountersignedEntry>,
) -> Result<Vec<CountersignedEntry>, ListError> {
    let verify = |(index, wire): (usize, wire::CountersignedEntry)| {
        CountersignedEntry::verify(account, wire.entry, &wire.signature)
            .map_err(|source| ListError::Entry { index, source })
    };
    entries.into_iter().enumerate().map(verify).collect()
}

/// Tags, lengths and signature around a list, with room for a field to come.
const SIGNED_OVERHEAD_BYTES_MAX: usize = 1024;

#[cfg(test)]
mod tests;
