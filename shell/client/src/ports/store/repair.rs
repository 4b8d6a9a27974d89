//! What the store keeps so that nothing stays missing. Spec: 61-repair.md.
//!
//! Owns the records and queries of numbers, gaps, what may be asked for again, and counters.

use std::{fmt, ops::Range};

use bytes::Bytes;
use halcyon_types::{AccountId, ConversationId, DeviceId, EnvelopeId, Handle, MessageId, Timestamp};

use super::{
    StoreError,
    record::{Delivery, MessageRecord, StreamPlace},
};

/// How much this device sealed for another in one conversation (REP-1). The key is all but the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SentEnd {
    /// For which device.
    pub device: DeviceId,
    /// In which conversation.
    pub conversation: ConversationId,
    /// In which of this device's streams.
    pub stream: u64,
    /// The last number that was given.
    pub last: u64,
}

/// What came of another device's stream in one conversation, and what did not (REP-10). The key is device, conversation, stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The device that numbers.
    pub device: DeviceId,
    /// Its account.
    pub account: AccountId,
    /// In which conversation.
    pub conversation: ConversationId,
    /// The stream.
    pub stream: u64,
    /// The handle that it sends from.
    pub handle: Handle,
    /// The highest number that is known of.
    pub high: u64,
    /// Numbers up to it that did not come yet, first and last, in order.
    pub missing: Vec<(u64, u64)>,
    /// Numbers up to it that never will, first and last, in order.
    pub lost: Vec<(u64, u64)>,
    /// Since when something is missing.
    pub since: Timestamp,
}

/// A device with which something is to be repaired, and when the next word is due (REP-11). The key is the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepairRecord {
    /// The device.
    pub device: DeviceId,
    /// Its account.
    pub account: AccountId,
    /// A handle of it.
    pub handle: Handle,
    /// Since when.
    pub since: Timestamp,
    /// When the next word is due.
    pub due: Timestamp,
    /// When the last one was committed.
    pub asked: Option<Timestamp>,
    /// How many were.
    pub attempts: u32,
    /// The last one, which may wait in the outbox.
    pub job: Option<MessageId>,
    /// Whether this device lost what it knew, and asks for all counts (REP-23).
    pub counts_wanted: bool,
    /// From an own device: since when everything is to be forwarded (REP-24).
    pub forward_since: Option<Timestamp>,
    /// The own handle that the device wrote to, where there is no conversation that says so.
    pub wrote_to: Option<Handle>,
}

/// What is known of a delivery that did not open, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnopenedHead {
    /// Its envelope id.
    pub id: EnvelopeId,
    /// The device that it is from.
    pub device: Option<DeviceId>,
    /// The name of the cause.
    pub cause: String,
    /// When it came.
    pub at: Timestamp,
    /// Whether its sender said that it cannot send it again (REP-14).
    pub gone: bool,
}

/// An envelope that the server accepted, kept until its device has it, so that it can be sent again (REP-12).
#[derive(Clone, PartialEq, Eq)]
pub struct SentEnvelope {
    /// Its id.
    pub id: EnvelopeId,
    /// The device that it was for.
    pub device: DeviceId,
    /// The message in it.
    pub message: MessageId,
    /// The encoded content of one that is not in the history; none for a message.
    pub content: Option<Bytes>,
    /// The handle that it was from.
    pub sender: Handle,
    /// When it was accepted.
    pub at: Timestamp,
}

impl fmt::Debug for SentEnvelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SentEnvelope({} to {})", self.id, self.device)
    }
}

/// The queries of repairs. Errors: [`StoreError`].
pub trait RepairQueries {
    /// Returns the last number that was given in a stream for a device; 0 if none.
    ///
    /// # Errors
    /// [`StoreError`]
    fn sent_end(&self, device: DeviceId, conversation: ConversationId, stream: u64) -> Result<u64, StoreError>;

    /// Returns how much was sealed for a device, conversation by conversation.
    ///
    /// # Errors
    /// [`StoreError`]
    fn sent_ends(&self, device: DeviceId) -> Result<Vec<SentEnd>, StoreError>;

    /// Returns how far a message to one device came.
    ///
    /// # Errors
    /// [`StoreError`]
    fn delivery(&self, message: MessageId, device: DeviceId) -> Result<Option<Delivery>, StoreError>;

    /// Returns the message that a device has, or should have, at a place of a conversation.
    ///
    /// # Errors
    /// [`StoreError`]
    fn delivery_at(
        &self,
        device: DeviceId,
        conversation: ConversationId,
        place: StreamPlace,
    ) -> Result<Option<Delivery>, StoreError>;

    /// Returns the ends of those streams in which the server accepted something for a device at a time in `when`, and the device has
    /// not said that it has it (REP-13).
    ///
    /// # Errors
    /// [`StoreError`]
    fn unconfirmed(&self, device: DeviceId, when: Range<Timestamp>) -> Result<Vec<SentEnd>, StoreError>;

    /// Returns when the oldest of what a device has not confirmed was accepted, of what was at a time or later (REP-13).
    ///
    /// # Errors
    /// [`StoreError`]
    fn oldest_unconfirmed(&self, device: DeviceId, since: Timestamp) -> Result<Option<Timestamp>, StoreError>;

    /// Returns what was accepted for a device in a stream up to a number, and not confirmed.
    ///
    /// # Errors
    /// [`StoreError`]
    fn unconfirmed_up_to(&self, end: &SentEnd) -> Result<Vec<Delivery>, StoreError>;

    /// Returns an envelope that may be sent again.
    ///
    /// # Errors
    /// [`StoreError`]
    fn sent_envelope(&self, id: EnvelopeId) -> Result<Option<SentEnvelope>, StoreError>;

    /// Returns what came of the streams of a device, in the order of conversation and stream.
    ///
    /// # Errors
    /// [`StoreError`]
    fn heard(&self, device: DeviceId) -> Result<Vec<Heard>, StoreError>;

    /// Returns what came of one stream.
    ///
    /// # Errors
    /// [`StoreError`]
    fn heard_in(
        &self,
        device: DeviceId,
        conversation: ConversationId,
        stream: u64,
    ) -> Result<Option<Heard>, StoreError>;

    /// Returns every stream of which something is missing or lost.
    ///
    /// # Errors
    /// [`StoreError`]
    fn gaps(&self) -> Result<Vec<Heard>, StoreError>;

    /// Returns the highest epoch that a device showed; 0 if none (REP-22).
    ///
    /// # Errors
    /// [`StoreError`]
    fn epoch_seen(&self, device: DeviceId) -> Result<u64, StoreError>;

    /// Returns what did not open of a device, oldest first.
    ///
    /// # Errors
    /// [`StoreError`]
    fn unopened_of(&self, device: DeviceId) -> Result<Vec<UnopenedHead>, StoreError>;

    /// Returns what is known of one that did not open.
    ///
    /// # Errors
    /// [`StoreError`]
    fn unopened_head(&self, envelope: EnvelopeId) -> Result<Option<UnopenedHead>, StoreError>;

    /// Returns the devices with which something is to be repaired, those that are due first.
    ///
    /// # Errors
    /// [`StoreError`]
    fn repairs(&self) -> Result<Vec<RepairRecord>, StoreError>;

    /// Returns what is to be repaired with one device.
    ///
    /// # Errors
    /// [`StoreError`]
    fn repair(&self, device: DeviceId) -> Result<Option<RepairRecord>, StoreError>;

    /// Returns the devices with which there is a session.
    ///
    /// # Errors
    /// [`StoreError`]
    fn session_devices(&self) -> Result<Vec<DeviceId>, StoreError>;

    /// Returns up to `limit` messages with a number above `after` that were stored at a time or later, oldest first.
    ///
    /// # Errors
    /// [`StoreError`]
    fn stored_since(&self, time: Timestamp, after: u64, limit: usize) -> Result<Vec<MessageRecord>, StoreError>;

    /// Returns the number of a message; 0 if it is not there.
    ///
    /// # Errors
    /// [`StoreError`]
    fn number_of(&self, sender_device: DeviceId, message: MessageId) -> Result<u64, StoreError>;

    /// Returns when the newest message that was not written here was stored; none if there is none.
    ///
    /// # Errors
    /// [`StoreError`]
    fn newest_received(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Returns the counters, by name.
    ///
    /// # Errors
    /// [`StoreError`]
    fn counters(&self) -> Result<Vec<(String, u64)>, StoreError>;
}
