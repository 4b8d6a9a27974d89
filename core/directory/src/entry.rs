//! One device of an account, as it stands in the list. Spec: 11-directory.md §1 (DIR-1, DIR-2).
//!
//! Owns the checks on an entry and the device's own signature over it.
//! Does not know the other devices, or whether the account wants this one: that is the list's.
//!
//! - A [`DeviceEntry`] satisfies DIR-1, however it was made.
//! - A [`CountersignedEntry`] verified for its account when it was made (DIR-2), and keeps the bytes that were signed.

use bytes::Bytes;
use halcyon_crypto::{CompactKey, KeyError, Label, Signature, SigningKey, VerifyingKey};
use halcyon_types::{AccountId, DeviceId, SuiteId, Timestamp};
use prost::Message;

use crate::{ids::device_id, pair_identity, wire};

/// A name is shown in lists on small screens (DIR-1).
pub const NAME_BYTES_MAX: usize = 64;
/// Far more suites than there will be; a list of 32 devices stays small (DIR-1).
pub const SUITES_MAX: usize = 16;
/// No valid entry is larger: ids and keys 84, name 66, identity 252, suites 82, time 11, rounded up for fields to come.
/// Checked before decoding.
pub const ENTRY_BYTES_MAX: usize = 1024;

/// A device as it describes itself: id, key, name, suites (DIR-1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceEntry {
    id: DeviceId,
    key: VerifyingKey,
    name: String,
    pair_identity: Option<Bytes>,
    suites: Vec<SuiteId>,
    added: Timestamp,
}

/// An entry with the device's own signature over it, verified for one account (DIR-2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountersignedEntry {
    entry: DeviceEntry,
    bytes: Bytes,
    signature: Signature,
}

/// Why an entry is not valid. Whoever made it is at fault, or whoever changed it on the way.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryError {
    /// The bytes are no entry at all.
    #[error("the entry of a device is malformed")]
    Malformed(#[source] prost::DecodeError),
    /// Larger than any valid entry.
    #[error("the entry of a device has {found} bytes; {ENTRY_BYTES_MAX} are allowed")]
    TooLarge {
        /// Bytes that were given.
        found: usize,
    },
    /// DIR-1: the device key is not a point of the curve.
    #[error("the device key is not valid")]
    Key(#[from] KeyError),
    /// DIR-1: the id is not the one that follows from the key.
    #[error("the device id does not belong to the device key")]
    ForeignId,
    /// DIR-1: the name is empty, too long or has control characters.
    #[error("a device name has 1 to {NAME_BYTES_MAX} bytes and no control characters")]
    Name,
    /// DIR-1: the suites are empty, too many, or not strictly rising.
    #[error("a device names 1 to {SUITES_MAX} suites in rising order")]
    Suites,
    /// DIR-1: a `pair` identity is there without suite 1, missing with it, or malformed.
    #[error(
        "the `pair` identity of a device is malformed, or there although the device does not speak `pair`, or missing"
    )]
    PairIdentity,
    /// DIR-2: the counter-signature is not by this device for this account.
    #[error("the device did not sign its own entry for this account")]
    Unsigned,
}

impl DeviceEntry {
    /// Returns the entry of the device that holds `key`.
    ///
    /// `pair_identity` is the suite-1 blob, given exactly when `suites` contains [`SuiteId::PAIR`]. Suites may come in any
    /// order.
    ///
    /// # Errors
    /// [`EntryError`] names the part that breaks DIR-1; the caller chose it.
    pub fn new(
        key: &VerifyingKey,
        name: &str,
        suites: &[SuiteId],
        pair_identity: Option<Bytes>,
        added: Timestamp,
    ) -> Result<Self, EntryError> {
        let mut suites = suites.to_vec();
        suites.sort_unstable();
        suites.dedup();
        let entry = Self {
            id: device_id(key.compact()),
            key: key.clone(),
            name: name.to_owned(),
            pair_identity,
            suites,
            added,
        };
        entry.check()?;
        Ok(entry)
    }

    /// Reads an entry and checks all of DIR-1.
    ///
    /// # Errors
    /// [`EntryError`]; the fault is the maker's.
    pub fn decode(bytes: Bytes) -> Result<Self, EntryError> {
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(EntryError::TooLarge { found: bytes.len() });
        }
        let wire = wire::DeviceEntry::decode(bytes).map_err(EntryError::Malformed)?;
        let compact = CompactKey::try_from(&wire.device_key[..])?;
        let id = device_id(&compact);
        // DIR-1: the id is compared before the key is lifted, which costs a square root.
        if wire.device_id[..] != id.as_bytes()[..] {
            return Err(EntryError::ForeignId);
        }
        let entry = Self {
            id,
            key: VerifyingKey::from_compact(&compact)?,
            name: wire.name,
            pair_identity: (!wire.pair_identity.is_empty()).then_some(wire.pair_identity),
            suites: wire.suites.into_iter().map(SuiteId::from_u32).collect(),
            added: Timestamp::from_millis(wire.added_ms),
        };
        entry.check()?;
        Ok(entry)
    }

    /// Returns the encoding, to be signed.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let wire = wire::DeviceEntry {
            device_id: Bytes::copy_from_slice(self.id.as_bytes()),
            device_key: Bytes::copy_from_slice(self.key.compact().as_bytes()),
            name: self.name.clone(),
            pair_identity: self.pair_identity.clone().unwrap_or_default(),
            suites: self.suites.iter().map(|suite| suite.as_u32()).collect(),
            added_ms: self.added.as_millis(),
        };
        wire.encode_to_vec().into()
    }

    /// Returns the entry under another name.
    ///
    /// # Errors
    /// [`EntryError::Name`].
    pub fn renamed(&self, name: &str) -> Result<Self, EntryError> {
        let entry = Self { name: name.to_owned(), ..self.clone() };
        entry.check()?;
        Ok(entry)
    }

    /// Returns the device's id.
    #[must_use]
    pub fn id(&self) -> DeviceId {
        self.id
    }

    /// Returns the device key, which verifies what the device signs.
    #[must_use]
    pub fn key(&self) -> &VerifyingKey {
        &self.key
    }

    /// Returns the name that its owner gave it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the suite-1 identity blob, if the device speaks suite 1.
    #[must_use]
    pub fn pair_identity(&self) -> Option<&Bytes> {
        self.pair_identity.as_ref()
    }

    /// Returns the suites that the device speaks, rising, at least one. Some may be unknown to this version.
    #[must_use]
    pub fn suites(&self) -> &[SuiteId] {
        &self.suites
    }

    /// Returns the strongest of the suites, known or not.
    #[must_use]
    pub fn strongest(&self) -> SuiteId {
        *self.suites.last().expect("check() refuses an entry without suites")
    }

    /// Returns when the device was added, by its own clock.
    #[must_use]
    pub fn added(&self) -> Timestamp {
        self.added
    }

    fn check(&self) -> Result<(), EntryError> {
        check_name(&self.name)?;
        let rising = self.suites.is_sorted_by(|a, b| a < b);
        if self.suites.is_empty() || self.suites.len() > SUITES_MAX || !rising {
            return Err(EntryError::Suites);
        }
        let speaks_pair = self.suites.contains(&SuiteId::PAIR);
        match &self.pair_identity {
            Some(blob) if speaks_pair && pair_identity::is_valid(blob) => Ok(()),
            None if !speaks_pair => Ok(()),
            _ => Err(EntryError::PairIdentity),
        }
    }
}

impl CountersignedEntry {
    /// Signs an entry for an account with the device's own key (DIR-2, IDN-14).
    ///
    /// # Errors
    /// [`EntryError::Unsigned`] if the key is not the entry's.
    pub fn sign(entry: DeviceEntry, account: AccountId, device_key: &SigningKey) -> Result<Self, EntryError> {
        if device_key.verifying_key() != &entry.key {
            return Err(EntryError::Unsigned);
        }
        let bytes = entry.encode();
        let signature = device_key.sign(Label::DeviceEntry, &parts(&account, &bytes));
        Ok(Self { entry, bytes, signature })
    }

    /// Checks an entry and its counter-signature for an account (DIR-1, DIR-2).
    ///
    /// # Errors
    /// [`EntryError`].
    pub fn verify(account: AccountId, bytes: Bytes, signature: &[u8]) -> Result<Self, EntryError> {
        let entry = DeviceEntry::decode(bytes.clone())?;
        let signature = Signature::try_from(signature).map_err(|_| EntryError::Unsigned)?;
        let signed = entry.key.verify(Label::DeviceEntry, &parts(&account, &bytes), &signature);
        signed.map_err(|_| EntryError::Unsigned)?;
        Ok(Self { entry, bytes, signature })
    }

    /// Returns what the device says of itself.
    #[must_use]
    pub fn entry(&self) -> &DeviceEntry {
        &self.entry
    }

    /// Returns the encoded entry as it was signed.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the device's signature.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    pub(crate) fn to_wire(&self) -> wire::CountersignedEntry {
        wire::CountersignedEntry {
            entry: self.bytes.clone(),
            signature: Bytes::copy_from_slice(self.signature.as_bytes()),
        }
    }
}

/// DIR-1: a name that could break a terminal's line is no name.
pub(crate) fn check_name(name: &str) -> Result<(), EntryError> {
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len());
    if fits && !name.chars().any(char::is_control) { Ok(()) } else { Err(EntryError::Name) }
}

/// DIR-2: the account is part of what is signed, so an entry cannot be moved to another account.
fn parts<'a>(account: &'a AccountId, entry: &'a [u8]) -> [&'a [u8]; 2] {
    [account.as_bytes(), entry]
}

#[cfg(test)]
mod tests;
