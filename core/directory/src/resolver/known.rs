//! What a client remembers of accounts and handles. Spec: 11-directory.md §1 (DIR-6, DIR-7).
//!
//! Owns the memory and its stored form. Does not know where it is stored; the store keeps it confidential and whole,
//! and the signatures in it are checked again when it is read.
//!
//! - The kept list only goes forward, and the strongest suite of a device only up.

use bytes::Bytes;
use halcyon_crypto::CompactKey;
use halcyon_types::{AccountId, DeviceId, Handle, SuiteId, Timestamp};
use prost::Message;

use super::Refusal;
use crate::{
    entry::DeviceEntry,
    list::{ListError, SignedList},
    lookup::parse_normal,
    wire,
};

/// Devices remembered of one account, the present ones and those that left. A person replaces a device a year; an account
/// that churns through more only makes this client forget its own oldest ones, and never a present one (DIR-6).
pub(crate) const SEEN_DEVICES_MAX: usize = 256;

/// Version of the stored form. A reader refuses any other, rather than misread what its safety rests on.
const STORED_VERSION: u32 = 1;

/// An account as this client accepted it: its newest list, and the strongest that every device ever offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownAccount {
    list: SignedList,
    /// Oldest first; a device of the present list is always here.
    seen: Vec<SeenDevice>,
    first_met: Timestamp,
    accepted: Timestamp,
}

/// What a device was when it was last in an accepted list, and the most that it ever was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SeenDevice {
    pub(super) id: DeviceId,
    pub(super) key: CompactKey,
    pub(super) pair_identity: Option<Bytes>,
    pub(super) strongest: SuiteId,
}

/// The account that a handle first stood for (DIR-7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownHandle {
    handle: Handle,
    account: AccountId,
    first_met: Timestamp,
}

/// Why stored memory cannot be used. It was damaged, or written by a version that is newer than this one.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum KnownError {
    /// Not the stored form.
    #[error("what is stored about an account is damaged")]
    Damaged,
    /// Written by another version.
    #[error("what is stored about an account has version {found}; this program reads version {STORED_VERSION}")]
    Version {
        /// The version found.
        found: u32,
    },
    /// The kept list does not verify any more.
    #[error("the stored device list is damaged")]
    List(#[from] ListError),
}

impl KnownAccount {
    pub(super) fn first(list: SignedList, now: Timestamp) -> Self {
        let mut known = Self { list, seen: Vec::new(), first_met: now, accepted: now };
        known.remember();
        known
    }

    pub(super) fn followed_by(&self, list: SignedList, now: Timestamp) -> Self {
        let mut known = Self { list, accepted: now, ..self.clone() };
        known.remember();
        known
    }

    pub(super) fn seen(&self, device: DeviceId) -> Option<&SeenDevice> {
        self.seen.iter().find(|seen| seen.id == device)
    }

    #[cfg(test)]
    pub(super) fn forge_key(&mut self, device: DeviceId, key: CompactKey) {
        self.seen.iter_mut().filter(|seen| seen.id == device).for_each(|seen| seen.key = key);
    }

    /// Returns the account.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.list.account()
    }

    /// Returns the newest accepted list.
    #[must_use]
    pub fn list(&self) -> &SignedList {
        &self.list
    }

    /// Returns the version of the newest accepted list.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.list.version()
    }

    /// Returns when the account was accepted first.
    #[must_use]
    pub fn first_met(&self) -> Timestamp {
        self.first_met
    }

    /// Returns when the newest answer was accepted.
    #[must_use]
    pub fn accepted(&self) -> Timestamp {
        self.accepted
    }

    /// Returns the strongest suite that a device ever offered, also after it left.
    #[must_use]
    pub fn strongest_seen(&self, device: DeviceId) -> Option<SuiteId> {
        self.seen(device).map(|seen| seen.strongest)
    }

    /// Returns the stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let seen = self.seen.iter().map(|seen| SeenRecord {
            id: Bytes::copy_from_slice(seen.id.as_bytes()),
            key: Bytes::copy_from_slice(seen.key.as_bytes()),
            pair_identity: seen.pair_identity.clone(),
            strongest: seen.strongest.as_u32(),
        });
        let record = AccountRecord {
            version: STORED_VERSION,
            list: Some(self.list.to_wire()),
            seen: seen.collect(),
            first_met_ms: self.first_met.as_millis(),
            accepted_ms: self.accepted.as_millis(),
        };
        record.encode_to_vec()
    }

    /// Reads the stored form and verifies the list in it again.
    ///
    /// # Errors
    /// [`KnownError`]. The account must then not be treated as a stranger's: its owner is to be asked.
    pub fn decode(bytes: &[u8]) -> Result<Self, KnownError> {
        let record = AccountRecord::decode(bytes).map_err(|_| KnownError::Damaged)?;
        if record.version != STORED_VERSION {
            return Err(KnownError::Version { found: record.version });
        }
        let list = SignedList::from_wire(record.list.ok_or(KnownError::Damaged)?)?;
        let seen: Vec<SeenDevice> = record.seen.into_iter().map(SeenDevice::from_record).collect::<Result<_, _>>()?;
        let known = Self {
            list,
            seen,
            first_met: Timestamp::from_millis(record.first_met_ms),
            accepted: Timestamp::from_millis(record.accepted_ms),
        };
        let complete = known.list.devices().iter().all(|device| known.seen(device.entry().id()).is_some());
        if complete { Ok(known) } else { Err(KnownError::Damaged) }
    }

    /// Takes the present list's devices over into what was ever seen.
    fn remember(&mut self) {
        for entry in self.list.devices().iter().map(|device| device.entry()) {
            match self.seen.iter().position(|seen| seen.id == entry.id()) {
                Some(at) => {
                    let mut seen = self.seen.remove(at);
                    seen.learn(entry);
                    self.seen.push(seen);
                }
                None => self.seen.push(SeenDevice::of(entry)),
            }
        }
        // The present devices were just moved to the end, and are fewer than the limit.
        let surplus = self.seen.len().saturating_sub(SEEN_DEVICES_MAX);
        self.seen.drain(..surplus);
    }
}

impl SeenDevice {
    fn of(entry: &DeviceEntry) -> Self {
        Self {
            id: entry.id(),
            key: *entry.key().compact(),
            pair_identity: entry.pair_identity().cloned(),
            strongest: entry.strongest(),
        }
    }

    fn learn(&mut self, entry: &DeviceEntry) {
        self.strongest = self.strongest.max(entry.strongest());
        if self.pair_identity.is_none() {
            self.pair_identity = entry.pair_identity().cloned();
        }
    }

    fn from_record(record: SeenRecord) -> Result<Self, KnownError> {
        Ok(Self {
            id: DeviceId::try_from(&record.id[..]).map_err(|_| KnownError::Damaged)?,
            key: CompactKey::try_from(&record.key[..]).map_err(|_| KnownError::Damaged)?,
            pair_identity: record.pair_identity,
            strongest: SuiteId::from_u32(record.strongest),
        })
    }
}

impl KnownHandle {
    /// Remembers which account a handle stands for.
    ///
    /// Calling it for a handle that is known already is how a user's consent to a new account takes effect (DIR-7).
    #[must_use]
    pub fn first(handle: Handle, account: AccountId, now: Timestamp) -> Self {
        Self { handle, account, first_met: now }
    }

    pub(super) fn check(&self, account: AccountId) -> Result<&Self, Refusal> {
        if self.account == account { Ok(self) } else { Err(Refusal::HandleMoved { was: self.account, now: account }) }
    }

    /// Returns the handle.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Returns the account that it stands for.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// Returns when the handle was met first.
    #[must_use]
    pub fn first_met(&self) -> Timestamp {
        self.first_met
    }

    /// Returns the stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let record = HandleRecord {
            version: STORED_VERSION,
            handle: self.handle.as_uri().to_owned(),
            account: Bytes::copy_from_slice(self.account.as_bytes()),
            first_met_ms: self.first_met.as_millis(),
        };
        record.encode_to_vec()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`KnownError`]
    pub fn decode(bytes: &[u8]) -> Result<Self, KnownError> {
        let record = HandleRecord::decode(bytes).map_err(|_| KnownError::Damaged)?;
        if record.version != STORED_VERSION {
            return Err(KnownError::Version { found: record.version });
        }
        Ok(Self {
            handle: parse_normal(&record.handle).ok_or(KnownError::Damaged)?,
            account: AccountId::try_from(&record.account[..]).map_err(|_| KnownError::Damaged)?,
            first_met: Timestamp::from_millis(record.first_met_ms),
        })
    }
}

/// The stored form of [`KnownAccount`]; local, so it is not in `proto/`.
#[derive(Clone, PartialEq, Message)]
struct AccountRecord {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(message, optional, tag = "2")]
    list: Option<wire::SignedDeviceList>,
    #[prost(message, repeated, tag = "3")]
    seen: Vec<SeenRecord>,
    #[prost(uint64, tag = "4")]
    first_met_ms: u64,
    #[prost(uint64, tag = "5")]
    accepted_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
struct SeenRecord {
    #[prost(bytes = "bytes", tag = "1")]
    id: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    key: Bytes,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pair_identity: Option<Bytes>,
    #[prost(uint32, tag = "4")]
    strongest: u32,
}

#[derive(Clone, PartialEq, Message)]
struct HandleRecord {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(string, tag = "2")]
    handle: String,
    #[prost(bytes = "bytes", tag = "3")]
    account: Bytes,
    #[prost(uint64, tag = "4")]
    first_met_ms: u64,
}
