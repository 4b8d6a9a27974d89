//! Tickets and links: how a new device joins (21-linking.md).

use bytes::Bytes;
use halcyon_types::{AccountId, DeviceId, LinkId, PushToken, Timestamp};

use super::{Aftermath, DirectoryStoreError, ListChange, StoredPrekey};

/// A link that begins (LNK-1).
#[derive(Clone, Debug)]
pub struct NewLink {
    /// Its name.
    pub id: LinkId,
    /// The account that the device wants to join.
    pub account: AccountId,
    /// The new device.
    pub device: DeviceId,
    /// Its device key, compact.
    pub device_key: [u8; 32],
    /// The encoded `DeviceEntry`.
    pub entry: Bytes,
    /// Its counter-signature.
    pub entry_signature: [u8; 64],
    /// Its prekeys, valid from completion on.
    pub prekeys: Vec<StoredPrekey>,
    /// The new device's ephemeral key, compact.
    pub ephemeral: [u8; 32],
    /// What it committed to.
    pub commitment: [u8; 32],
    /// When it began.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
}

/// What became of a [`NewLink`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkOpened {
    /// It waits.
    Opened,
    /// The ticket is unknown, used, expired, or for another account.
    TicketInvalid,
    /// The account has too many open links.
    TooMany,
    /// The device is in an account already.
    DeviceExists,
}

/// Where a link stands (LNK-3). Expiry is a matter of time and not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// For a trusted device.
    Waiting,
    /// Challenged by a trusted device.
    Challenged,
    /// The new device showed its nonce.
    Revealed {
        /// rN.
        nonce: [u8; 32],
    },
    /// The new device is in the list.
    Approved {
        /// The account key, sealed for the new device.
        sealed: Bytes,
        /// The encoded `SignedDeviceList`.
        list: Bytes,
        /// The new device's push token.
        push_token: PushToken,
    },
    /// A trusted device, or the new one, ended it.
    Rejected,
}

/// A link as it is kept.
#[derive(Clone, Debug)]
pub struct Link {
    /// How it began.
    pub new: NewLink,
    /// Who challenged it, with x(eT) and rT.
    pub challenge: Option<(DeviceId, [u8; 32], [u8; 32])>,
    /// Where it stands.
    pub state: LinkState,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advanced {
    /// Done.
    Advanced,
    /// The link is not in the state that the step needs, or expired.
    WrongState,
}

/// What became of a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completed {
    /// The device is in the account.
    Completed,
    /// The link is not revealed, or expired.
    WrongState,
    /// The store holds another list version.
    Conflict,
}

/// Durable tickets and links.
#[async_trait::async_trait]
pub trait LinkStore: Send + Sync {
    /// Keeps the hash of a ticket (ACC-41).
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    async fn put_ticket(
        &self,
        hash: [u8; 32],
        account: AccountId,
        expires: Timestamp,
    ) -> Result<(), DirectoryStoreError>;

    /// Returns the account of a ticket that lives, without using it up.
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    async fn ticket(&self, hash: [u8; 32], now: Timestamp) -> Result<Option<AccountId>, DirectoryStoreError>;

    /// Uses a ticket up and opens a link, in one commit (LNK-1).
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    async fn open(
        &self,
        new: NewLink,
        ticket_hash: [u8; 32],
        open_max: u32,
        aftermath: Vec<Aftermath>,
    ) -> Result<LinkOpened, DirectoryStoreError>;

    /// Returns a link, also when it expired but was not swept away yet.
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    async fn find(&self, id: LinkId) -> Result<Option<Link>, DirectoryStoreError>;

    /// Returns the links of an account that are neither approved, rejected nor expired, oldest first.
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    async fn open_links(&self, account: AccountId, now: Timestamp) -> Result<Vec<Link>, DirectoryStoreError>;

    /// Waiting → challenged (LNK-2).
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    async fn challenge(
        &self,
        id: LinkId,
        approver: DeviceId,
        ephemeral: [u8; 32],
        nonce: [u8; 32],
        now: Timestamp,
    ) -> Result<Advanced, DirectoryStoreError>;

    /// Challenged → revealed (LNK-4).
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    async fn reveal(&self, id: LinkId, nonce: [u8; 32], now: Timestamp) -> Result<Advanced, DirectoryStoreError>;

    /// Any open state → rejected (LNK-7).
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    async fn reject(&self, id: LinkId, now: Timestamp) -> Result<Advanced, DirectoryStoreError>;

    /// Revealed → approved, with the list change and the new device in the same commit (LNK-8).
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    async fn complete(
        &self,
        id: LinkId,
        change: ListChange,
        sealed: Bytes,
        push_token: PushToken,
        now: Timestamp,
        kept_until: Timestamp,
    ) -> Result<Completed, DirectoryStoreError>;
}
