//! Accounts, their handles and password records.

use bytes::Bytes;
use halcyon_types::{AccountId, Handle, Timestamp};

use super::{Aftermath, DirectoryStoreError, NewDevice, StoredList, VerificationId};

/// An account to be made (ACC-32).
pub struct NewAccount {
    /// Its id.
    pub account: AccountId,
    /// Its account key, compact.
    pub account_key: [u8; 32],
    /// The OPAQUE password record.
    pub password: Bytes,
    /// The verified handle stands in this verification, which is used up.
    pub verification: VerificationId,
    /// The first list.
    pub list: StoredList,
    /// The one device of the list.
    pub device: NewDevice,
    /// Now.
    pub created: Timestamp,
}

/// What became of a [`NewAccount`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// Account, handle, password, list and prekeys are stored.
    Created,
    /// The handle belongs to an account by now.
    HandleTaken,
    /// The account id, or the device id, exists.
    AccountExists,
    /// The verification is not verified, was used, or expired.
    NotVerified,
}

/// What a device may read about its own account (ACC-50).
#[derive(Clone, Debug)]
pub struct AccountProfile {
    /// Its handles and since when.
    pub handles: Vec<(Handle, Timestamp)>,
    /// The newest list.
    pub list: StoredList,
}

/// What became of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandleRemoved {
    /// Gone.
    Removed,
    /// The account does not have it.
    NotFound,
    /// It is the last one (ACC-52).
    Last,
}

/// Durable accounts.
#[async_trait::async_trait]
pub trait AccountStore: Send + Sync {
    /// Makes an account and uses the verification up, in one commit (ACC-32).
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    async fn create(&self, new: NewAccount) -> Result<Created, DirectoryStoreError>;

    /// Returns whose handle this is.
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    async fn find(&self, handle: &Handle) -> Result<Option<AccountId>, DirectoryStoreError>;

    /// Returns the password record of the account that has this handle.
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    async fn password(&self, handle: &Handle) -> Result<Option<(AccountId, Bytes)>, DirectoryStoreError>;

    /// Returns handles and list of an account.
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    async fn profile(&self, account: AccountId) -> Result<Option<AccountProfile>, DirectoryStoreError>;

    /// Removes a handle unless it is the last (ACC-52).
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    async fn remove_handle(
        &self,
        account: AccountId,
        handle: &Handle,
        aftermath: Vec<Aftermath>,
    ) -> Result<HandleRemoved, DirectoryStoreError>;
}
