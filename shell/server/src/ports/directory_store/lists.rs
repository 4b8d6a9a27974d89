//! Device lists, push tokens and prekeys.

use bytes::Bytes;
use halcyon_types::{AccountId, DeviceId, Handle, PushToken};

use super::{Aftermath, DirectoryStoreError};

/// A list as it is kept and given out: the signed bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredList {
    /// Its version.
    pub version: u64,
    /// The encoded `SignedDeviceList`.
    pub signed: Bytes,
}

/// A prekey record as it is kept and given out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPrekey {
    /// The suite that it belongs to.
    pub suite: u32,
    /// The record in that suite's encoding.
    pub record: Bytes,
}

/// A device that enters an account.
#[derive(Clone, Debug)]
pub struct NewDevice {
    /// Its id.
    pub device: DeviceId,
    /// Its device key, compact.
    pub key: [u8; 32],
    /// Its fresh push token (IDN-7).
    pub push_token: PushToken,
    /// Its prekeys.
    pub prekeys: Vec<StoredPrekey>,
}

/// A list that replaces the one before it (DIR-4, DIR-5).
#[derive(Clone, Debug)]
pub struct ListChange {
    /// Whose.
    pub account: AccountId,
    /// The new list; the store must hold the version below it.
    pub list: StoredList,
    /// Devices that are in the account and not in the new list: deleted with push token and prekeys.
    pub removed: Vec<DeviceId>,
    /// Alerts and revocations.
    pub aftermath: Vec<Aftermath>,
}

/// What became of a [`ListChange`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListReplaced {
    /// The new list is the newest.
    Replaced,
    /// The store holds another version than the one below.
    Conflict,
}

/// One device as authentication and delivery need it.
#[derive(Clone, Copy, Debug)]
pub struct DeviceRow {
    /// Its id.
    pub device: DeviceId,
    /// Its device key, compact.
    pub key: [u8; 32],
    /// Its push token.
    pub push_token: PushToken,
}

/// An account as one read found it, small enough to be cached.
#[derive(Clone, Debug)]
pub struct AccountSnapshot {
    /// Its id.
    pub account: AccountId,
    /// Its account key, compact.
    pub account_key: [u8; 32],
    /// The newest list.
    pub list: StoredList,
    /// The devices of the list.
    pub devices: Vec<DeviceRow>,
    /// Its verified handles.
    pub handles: Vec<Handle>,
}

/// How an account is asked for.
#[derive(Clone, Copy, Debug)]
pub enum SnapshotOf {
    /// By id.
    Account(AccountId),
    /// By one of its devices.
    Device(DeviceId),
    /// By the push token of one of its devices.
    PushToken(PushToken),
}

/// Where one device is reached (DIR-22).
#[derive(Clone, Debug)]
pub struct DeviceAddress {
    /// The device.
    pub device: DeviceId,
    /// Its push token.
    pub push_token: PushToken,
    /// Its newest prekeys, by suite.
    pub prekeys: Vec<StoredPrekey>,
}

/// An account as a lookup found it.
#[derive(Clone, Debug)]
pub struct FoundAccount {
    /// Its id.
    pub account: AccountId,
    /// The newest list.
    pub list: StoredList,
    /// Its devices, by id.
    pub devices: Vec<DeviceAddress>,
}

/// Durable device lists.
#[async_trait::async_trait]
pub trait ListStore: Send + Sync {
    /// Replaces a list and deletes the devices that it does not have any more, in one commit.
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    async fn replace(&self, change: ListChange) -> Result<ListReplaced, DirectoryStoreError>;

    /// Returns an account with devices and handles.
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    async fn snapshot(&self, of: SnapshotOf) -> Result<Option<AccountSnapshot>, DirectoryStoreError>;

    /// Keeps the newest prekey of each suite (DIR-10). Returns whether the device is still there.
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    async fn put_prekeys(&self, device: DeviceId, prekeys: Vec<StoredPrekey>) -> Result<bool, DirectoryStoreError>;

    /// Returns the accounts of handles, in their order, as of one moment.
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    async fn find_all(&self, handles: Vec<Handle>) -> Result<Vec<Option<FoundAccount>>, DirectoryStoreError>;
}
