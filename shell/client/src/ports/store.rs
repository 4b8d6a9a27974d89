//! The client's store: everything that must survive the process. Spec: 60-client.md (SND-1, RCV-1).
//!
//! Owns the records and the one way to change them. Does not know protocols: what a suite or the resolver keeps is bytes
//! to it, except where a query needs a column.
//!
//! - Every write is a [`Commit`]: all of its changes happen, on stable storage, or none does.
//! - Changes of one commit apply in their order, so a later one sees the earlier.
//! - Reads see every commit that returned `Ok`, and nothing of one that failed.
//!
//! Every implementation passes `halcyon_testkit::conformance::store`.

mod change;
mod group;
mod outbox;
mod own;
mod record;
mod repair;
mod scheduled;
mod words;

use halcyon_types::{AccountId, ConversationId, DeviceId, EnvelopeId, Handle, MessageId, Timestamp};

pub use change::{Change, Commit};
pub use group::{GroupQueries, GroupRecord, HeldMessage};
pub use outbox::{OutboxHead, OutboxQueries, UnsealedTarget};
pub use own::{EARLY_READ, OwnQueries, OwnRecord, ReceiptRecord, deletion, early_read};
pub use record::{
    AddressesRecord, AlertRecord, Conversation, Delivery, DeliveryState, KnownAccountRecord, KnownHandleRecord,
    LinkRecord, MessageKind, MessageRecord, NewMessage, Origin, OutboxEnvelope, OutboxJob, OutboxTarget,
    PendingReceipt, Profile, ReceiptKind, SeenMark, Stage, StreamPlace, TargetState, UnopenedRecord,
};
pub use repair::{Heard, RepairQueries, RepairRecord, SentEnd, SentEnvelope, UnopenedHead};
pub use scheduled::{HeldCopy, ScheduledRecord};
pub use words::WordIndex;

use halcyon_crypto::SecretBytes;

/// Why a store operation failed. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk is full: make room, then try again.
    #[error("the disk that holds the profile is full; nothing was changed")]
    Full,
    /// The file is not what this program wrote: it was tampered with, truncated, or belongs to a newer version.
    #[error("the profile is damaged: {0}")]
    Damaged(String),
    /// Anything else that the operating system or engine said. Holds no content.
    #[error("the profile could not be read or written: {0}")]
    Failed(String),
}

/// Durable, private storage of one profile. One process has it open; one caller writes at a time, which `&mut self` shows.
///
/// Blocking: a commit takes a disk sync. Lists without a limit are bounded by what their records are bounded by.
pub trait Store: Send {
    /// Applies all changes or none, and returns when they are on stable storage (SND-1, RCV-1).
    ///
    /// # Errors
    /// [`StoreError`]; then nothing of the commit happened, and nothing that depended on it may leave the device.
    fn commit(&mut self, commit: &Commit) -> Result<(), StoreError>;

    // Profile, keys, settings.

    /// Returns who this profile is, if it ever began to be somebody.
    ///
    /// # Errors
    /// [`StoreError`], as for every query below.
    fn profile(&self) -> Result<Option<Profile>, StoreError>;

    /// Returns the link that may be approved at any moment (LNK-11).
    ///
    /// # Errors
    /// [`StoreError`]
    fn link(&self) -> Result<Option<LinkRecord>, StoreError>;

    /// Returns the own handles, in the order in which they were put.
    ///
    /// # Errors
    /// [`StoreError`]
    fn own_handles(&self) -> Result<Vec<Handle>, StoreError>;

    /// Returns a setting.
    ///
    /// # Errors
    /// [`StoreError`]
    fn setting(&self, name: &str) -> Result<Option<String>, StoreError>;

    // What was accepted of the directory.

    /// Returns what this client accepted of an account (DIR-6).
    ///
    /// # Errors
    /// [`StoreError`]
    fn known_account(&self, account: AccountId) -> Result<Option<KnownAccountRecord>, StoreError>;

    /// Returns the account that a handle stands for, as first accepted (DIR-7).
    ///
    /// # Errors
    /// [`StoreError`]
    fn known_handle(&self, handle: &Handle) -> Result<Option<KnownHandleRecord>, StoreError>;

    /// Returns the addresses and session of an account, also when they are out of date (DIR-24).
    ///
    /// # Errors
    /// [`StoreError`]
    fn addresses(&self, account: AccountId) -> Result<Option<AddressesRecord>, StoreError>;

    // Conversations and messages.

    /// Returns every conversation, the one with the newest message first.
    ///
    /// # Errors
    /// [`StoreError`]
    fn conversations(&self) -> Result<Vec<Conversation>, StoreError>;

    /// Returns one conversation.
    ///
    /// # Errors
    /// [`StoreError`]
    fn conversation(&self, id: ConversationId) -> Result<Option<Conversation>, StoreError>;

    /// Returns up to `limit` messages of a conversation that stand before the one with the number `before` (`u64::MAX`: all), the
    /// last of them, in their order: that of their numbers, but for a message that came late: it stands right before the next of its
    /// sender's stream that is there (REP-15).
    ///
    /// # Errors
    /// [`StoreError`]
    fn history(
        &self,
        conversation: ConversationId,
        before: u64,
        limit: usize,
    ) -> Result<Vec<MessageRecord>, StoreError>;

    /// Returns every message that was sent under an id, oldest first: an id is its writer's to choose (CON-10).
    ///
    /// # Errors
    /// [`StoreError`]
    fn messages_with(&self, id: MessageId) -> Result<Vec<MessageRecord>, StoreError>;

    /// Returns the acts on messages with an id, oldest first (CON-11).
    ///
    /// # Errors
    /// [`StoreError`]
    fn acts_on(&self, id: MessageId) -> Result<Vec<MessageRecord>, StoreError>;

    /// Returns the message that this account sent under an id, from this device or another of its own (RCV-7).
    ///
    /// # Errors
    /// [`StoreError`]
    fn own_message(&self, id: MessageId) -> Result<Option<MessageRecord>, StoreError>;

    /// Returns whether there is a message that this device sent under this id, however old (RCV-4).
    ///
    /// # Errors
    /// [`StoreError`]
    fn has_message(&self, sender_device: DeviceId, id: MessageId) -> Result<bool, StoreError>;

    /// Returns the number of the newest message, 0 if there is none.
    ///
    /// # Errors
    /// [`StoreError`]
    fn newest_number(&self) -> Result<u64, StoreError>;

    /// Returns what is known of a message on its way to each device, in the order in which the devices were put.
    ///
    /// # Errors
    /// [`StoreError`]
    fn deliveries(&self, message: MessageId) -> Result<Vec<Delivery>, StoreError>;

    // The outbox.

    /// Returns the queries of the outbox as a whole.
    fn outbox(&self) -> &dyn OutboxQueries;

    /// Returns all jobs of the outbox, oldest first. Their contents are bounded by the jobs that a person can make in 30 days (SND-6).
    ///
    /// # Errors
    /// [`StoreError`]
    fn outbox_jobs(&self) -> Result<Vec<OutboxJob>, StoreError>;

    /// Returns one job.
    ///
    /// # Errors
    /// [`StoreError`]
    fn outbox_job(&self, message: MessageId) -> Result<Option<OutboxJob>, StoreError>;

    /// Returns the sealed envelopes of a job in the order in which they were put.
    ///
    /// # Errors
    /// [`StoreError`]
    fn outbox_envelopes(&self, message: MessageId) -> Result<Vec<OutboxEnvelope>, StoreError>;

    /// Returns one sealed envelope.
    ///
    /// # Errors
    /// [`StoreError`]
    fn outbox_envelope(&self, id: EnvelopeId) -> Result<Option<OutboxEnvelope>, StoreError>;

    /// Returns the receipts that wait to be sealed, oldest first (RCV-5).
    ///
    /// # Errors
    /// [`StoreError`]
    fn pending_receipts(&self) -> Result<Vec<PendingReceipt>, StoreError>;

    // Sessions.

    /// Returns the queries of repairs.
    fn repairs(&self) -> &dyn RepairQueries;

    /// Returns the session with a peer's device.
    ///
    /// # Errors
    /// [`StoreError`]
    fn session(&self, device: DeviceId) -> Result<Option<SecretBytes>, StoreError>;

    /// Returns the queries of groups.
    fn groups(&self) -> &dyn GroupQueries;

    /// Returns the queries about what was chosen, read and deleted.
    fn own(&self) -> &dyn OwnQueries;

    /// Returns the index of words.
    fn words(&self) -> &dyn WordIndex;

    // Receiving.

    /// Returns whether a mark was put and not yet forgotten (RCV-4).
    ///
    /// # Errors
    /// [`StoreError`]
    fn has_seen(&self, mark: &SeenMark) -> Result<bool, StoreError>;

    /// Returns the deliveries that did not open, oldest first (RCV-3).
    ///
    /// # Errors
    /// [`StoreError`]
    fn unopened(&self) -> Result<Vec<UnopenedRecord>, StoreError>;

    /// Returns every alert, oldest first (DIR-40).
    ///
    /// # Errors
    /// [`StoreError`]
    fn alerts(&self) -> Result<Vec<AlertRecord>, StoreError>;

    /// Returns how many marks were put before a time, for those who check that they are forgotten.
    ///
    /// # Errors
    /// [`StoreError`]
    fn seen_before(&self, time: Timestamp) -> Result<u64, StoreError>;
}
