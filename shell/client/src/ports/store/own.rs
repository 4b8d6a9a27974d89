//! What the store keeps of what the person of this account chose, read and deleted. Spec: 52-own-devices.md.
//!
//! Owns the records and their queries. Does not know what a key or value means, or which of two counts.

use std::fmt;

use halcyon_types::{AccountId, ConversationId, DeviceId, Handle, MessageId, Timestamp};

use super::{
    ScheduledRecord, StoreError,
    record::{MessageRecord, ReceiptKind},
};

/// One thing that was chosen. The key of the record is its `key`.
#[derive(Clone, PartialEq, Eq)]
pub struct OwnRecord {
    /// The spelling of an [`OwnKey`](halcyon_content::OwnKey), or what [`early_read`] returns.
    pub key: String,
    /// What was chosen; empty: nothing.
    pub value: String,
    /// When.
    pub chosen: Timestamp,
    /// On which device.
    pub device: DeviceId,
}

/// Keys hold handles, values names (I9).
impl fmt::Debug for OwnRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnRecord({}, redacted)", self.key.split('/').next().unwrap_or_default())
    }
}

/// That somebody read or played a message of this account. The key is all but handle and time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptRecord {
    /// The message.
    pub message: MessageId,
    /// Who.
    pub account: AccountId,
    /// By which handle that person said so.
    pub handle: Handle,
    /// Read, or played.
    pub kind: ReceiptKind,
    /// When.
    pub at: Timestamp,
}

/// Returns the key of the mark that a message was read which is not here yet. The store takes it over when the message comes.
#[must_use]
pub fn early_read(device: DeviceId, message: MessageId) -> String {
    format!("{EARLY_READ}{}/{}", device.to_hex(), message.to_hex())
}

/// Returns the key of the entry that says whether a message was deleted. One that comes later is deleted when it comes.
#[must_use]
pub fn deletion(device: DeviceId, message: MessageId) -> String {
    format!("deleted/{}/{}", device.to_hex(), message.to_hex())
}

/// What the keys of [`early_read`] begin with.
pub const EARLY_READ: &str = "read/";

/// Queries about what was chosen, read and deleted.
pub trait OwnQueries {
    /// Returns what is kept under a key.
    ///
    /// # Errors
    /// [`StoreError`], as for every query below.
    fn own_entry(&self, key: &str) -> Result<Option<OwnRecord>, StoreError>;

    /// Returns all whose key begins so, in the order of the keys.
    ///
    /// # Errors
    /// [`StoreError`]
    fn own_entries(&self, prefix: &str) -> Result<Vec<OwnRecord>, StoreError>;

    /// Returns how many messages of others in a conversation were not read; deleted ones do not count.
    ///
    /// # Errors
    /// [`StoreError`]
    fn unread(&self, conversation: ConversationId) -> Result<u64, StoreError>;

    /// Returns up to `limit` of them up to a number, oldest first.
    ///
    /// # Errors
    /// [`StoreError`]
    fn unread_messages(
        &self,
        conversation: ConversationId,
        up_to: u64,
        limit: usize,
    ) -> Result<Vec<MessageRecord>, StoreError>;

    /// Returns the messages that were deleted and can be restored, in the order in which they were stored.
    ///
    /// # Errors
    /// [`StoreError`]
    fn deleted(&self) -> Result<Vec<MessageRecord>, StoreError>;

    /// Returns up to `limit` messages that were read since a time, the last ones: device, id.
    ///
    /// # Errors
    /// [`StoreError`]
    fn read_since(&self, time: Timestamp, limit: usize) -> Result<Vec<(DeviceId, MessageId)>, StoreError>;

    /// Returns who read or played a message of this account, in the order in which that became known.
    ///
    /// # Errors
    /// [`StoreError`]
    fn receipts(&self, message: MessageId) -> Result<Vec<ReceiptRecord>, StoreError>;

    /// Returns whether this account wrote a message in a conversation.
    ///
    /// # Errors
    /// [`StoreError`]
    fn has_written(&self, conversation: ConversationId) -> Result<bool, StoreError>;

    /// Returns what waits for its time, what is due first at first.
    ///
    /// # Errors
    /// [`StoreError`]
    fn scheduled(&self) -> Result<Vec<ScheduledRecord>, StoreError>;

    /// Returns the handles that stand for an account, as accepted.
    ///
    /// # Errors
    /// [`StoreError`]
    fn handles_of(&self, account: AccountId) -> Result<Vec<Handle>, StoreError>;
}
