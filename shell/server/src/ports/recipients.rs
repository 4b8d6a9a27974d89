//! What courier and directory need of each other, so that neither knows the other's inside.

use bytes::Bytes;
use halcyon_crypto::VerifyingKey;
use halcyon_types::{AccountId, DeviceId, Handle, PushToken, Timestamp};

/// A device that may connect.
#[derive(Clone)]
pub struct KnownDevice {
    /// Its account.
    pub account: AccountId,
    /// Verifies its connects and requests.
    pub key: VerifyingKey,
    /// Where it is delivered to.
    pub push_token: PushToken,
}

/// Whom a push token stands for.
#[derive(Clone, Copy, Debug)]
pub struct Recipient {
    /// The device.
    pub device: DeviceId,
    /// Its account.
    pub account: AccountId,
    /// The version of the account's device list now.
    pub list_version: u64,
}

/// The directory could not be read; trying again may help.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the directory could not be read: {0}")]
pub struct RecipientsError(pub String);

/// The directory as the courier sees it. Implemented by `server::directory`, cached in memory, never stale after a change returned.
#[async_trait::async_trait]
pub trait Recipients: Send + Sync {
    /// Returns a device that is in its account's list.
    ///
    /// # Errors
    /// [`RecipientsError`]
    async fn device(&self, device: DeviceId) -> Result<Option<KnownDevice>, RecipientsError>;

    /// Returns whom a push token stands for.
    ///
    /// # Errors
    /// [`RecipientsError`]
    async fn recipient(&self, token: &PushToken) -> Result<Option<Recipient>, RecipientsError>;

    /// Returns whether a handle is verified for this account.
    ///
    /// # Errors
    /// [`RecipientsError`]
    async fn owns_handle(&self, account: AccountId, handle: &Handle) -> Result<bool, RecipientsError>;

    /// Returns whose part of a send a session token admits to: true when it was issued to `asker` for `recipient` and lives at `now` (DIR-30).
    fn session_is_valid(&self, token: &[u8], asker: AccountId, recipient: AccountId, now: Timestamp) -> bool;
}

/// The courier as accounts and directory see it.
#[async_trait::async_trait]
pub trait Notifier: Send + Sync {
    /// Puts an encoded `directory.v1.Alert` into the mailbox of each device and delivers it to those connected (DIR-40).
    /// Returns after stable storage. A full mailbox does not fail the others.
    ///
    /// # Errors
    /// [`super::MailboxError`]
    async fn alert(&self, devices: &[DeviceId], alert: Bytes) -> Result<(), super::MailboxError>;

    /// Closes the connection of a device that left its account and empties its mailbox (DIR-5, COU-55).
    ///
    /// # Errors
    /// [`super::MailboxError`]
    async fn revoke(&self, device: DeviceId) -> Result<(), super::MailboxError>;
}
