//! Reports of messages, for the operator (20-accounts.md §6).

use bytes::Bytes;
use halcyon_types::{AccountId, DeviceId, MessageId, ReportId, Timestamp};

use super::DirectoryStoreError;

/// A report that is to be kept (ACC-62).
#[derive(Clone, Debug)]
pub struct NewReport {
    /// A name for it.
    pub id: ReportId,
    /// Whose it is.
    pub account: AccountId,
    /// The device that signed it.
    pub device: DeviceId,
    /// Its key, compact, so that the signature can be checked when the device is gone.
    pub device_key: [u8; 32],
    /// The message, which with its sender's device is reported once by an account.
    pub message: MessageId,
    /// The device that sent the message.
    pub sender_device: DeviceId,
    /// The encoded `SignedReport`.
    pub signed: Bytes,
    /// When it came.
    pub stored: Timestamp,
    /// When it is to be forgotten.
    pub expires: Timestamp,
}

/// How many reports may be kept at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportRoom {
    /// Of one account.
    pub per_account: u32,
    /// Of all.
    pub in_all: u32,
}

/// What became of a [`NewReport`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportKept {
    /// It is kept, under this name: that of the one before if the account reported this message before.
    Kept(ReportId),
    /// The account has as many as it may have.
    TooMany,
    /// The operator has as many as are kept.
    Full,
}

/// Durable reports. The operator reads and drops them beside the server.
#[async_trait::async_trait]
pub trait ReportStore: Send + Sync {
    /// Keeps a report in place of the account's earlier one of the same message, if there is room (ACC-62).
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    async fn keep(&self, report: NewReport, room: ReportRoom) -> Result<ReportKept, DirectoryStoreError>;
}
