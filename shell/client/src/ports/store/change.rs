//! What one commit changes.

use halcyon_crypto::SecretBytes;
use halcyon_types::{AccountId, DeviceId, EnvelopeId, Handle, HoldId, MessageId, Timestamp};

use super::{
    group::{GroupRecord, HeldMessage},
    own::{OwnRecord, ReceiptRecord},
    record::{
        AddressesRecord, AlertRecord, Conversation, Delivery, KnownAccountRecord, KnownHandleRecord, LinkRecord,
        NewMessage, OutboxEnvelope, OutboxJob, PendingReceipt, Profile, SeenMark, UnopenedRecord,
    },
    repair::{Heard, RepairRecord, SentEnd, SentEnvelope},
    scheduled::ScheduledRecord,
};

/// Changes that happen together or not at all. Built in one place, then handed over once: that place shows what is atomic.
#[derive(Clone, Debug, Default)]
#[must_use = "a commit does nothing until it is given to the store"]
pub struct Commit {
    changes: Vec<Change>,
}

impl Commit {
    /// Returns a commit without changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a change, after those already there.
    pub fn push(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Adds a change, after those already there, and returns the commit.
    pub fn with(mut self, change: Change) -> Self {
        self.push(change);
        self
    }

    /// Adds the changes of another commit after those already there.
    pub fn append(&mut self, mut other: Commit) {
        self.changes.append(&mut other.changes);
    }

    /// Returns the changes in their order.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Returns whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

/// One change. `Put` replaces what has the same key; removing what is not there is no error.
///
/// Exhaustive on purpose: a store that does not know a new kind of change must not compile.
#[derive(Clone, Debug)]
pub enum Change {
    /// Replaces the profile.
    PutProfile(Profile),
    /// Removes everything of every kind: the profile is as new (LNK-10, and `halcyon` when a device was removed).
    Wipe,
    /// Replaces the link that may be approved at any moment.
    PutLink(LinkRecord),
    /// Removes it.
    RemoveLink,
    /// Adds an own handle at the end; no effect if it is there.
    AddOwnHandle(Handle),
    /// Removes an own handle.
    RemoveOwnHandle(Handle),
    /// Replaces a setting.
    PutSetting {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// Removes a setting.
    RemoveSetting(String),

    /// Replaces what was accepted of an account (DIR-6).
    PutKnownAccount(KnownAccountRecord),
    /// Replaces the account that a handle stands for (DIR-7).
    PutKnownHandle(KnownHandleRecord),
    /// Replaces the addresses and session of an account (DIR-24).
    PutAddresses(AddressesRecord),
    /// Removes the addresses and session of an account, so that the next use looks up.
    RemoveAddresses(AccountId),

    /// Adds a conversation; no effect if it is there.
    AddConversation(Conversation),
    /// Adds a conversation, or replaces its members.
    PutConversation(Conversation),
    /// Replaces what is known of a group.
    PutGroup(GroupRecord),
    /// Holds something that was said in a group; no effect if it is held. The oldest go where there are too many.
    AddHeld {
        /// What was said.
        held: HeldMessage,
        /// How many of its device stay.
        of_device: u64,
        /// How many stay in all.
        in_all: u64,
    },
    /// Removes what was held of a device, by its id.
    RemoveHeld(DeviceId, MessageId),
    /// Removes what was held before a time.
    ForgetHeldBefore(Timestamp),
    /// Adds a message and gives it the next number. No effect if there is one of the same sending device and message id.
    AddMessage(NewMessage),
    /// Adds texts to the index of words, by the numbers of their messages, and notes that nothing up to a number is missing in it.
    /// Each number is added once.
    IndexWords {
        /// Numbers, rising, and texts.
        entries: Vec<(u64, String)>,
        /// Up to here.
        up_to: u64,
    },
    /// Replaces something that was chosen. Whether it is the later one is the caller's to know (OWN-3).
    PutOwnEntry(OwnRecord),
    /// Adds or replaces a message that waits for its time.
    PutScheduled(Box<ScheduledRecord>),
    /// Removes one.
    RemoveScheduled(HoldId),
    /// Notes that a message was read; one that was keeps its time, and one that is not here is marked when it comes.
    MarkRead {
        /// The device that sealed it.
        device: DeviceId,
        /// Its id.
        message: MessageId,
        /// When.
        at: Timestamp,
    },
    /// Notes that a message was deleted, and takes it and what was done to it out of the index of words; or that it was not, after all.
    /// No effect if it is not here.
    MarkDeleted {
        /// The device that sealed it.
        device: DeviceId,
        /// Its id.
        message: MessageId,
        /// When; none: not.
        at: Option<Timestamp>,
    },
    /// Makes [`Gone`](super::MessageKind::Gone) what was deleted before a time, with all that was done to it.
    ForgetDeletedBefore(Timestamp),
    /// Removes what was told own devices before a time, what is known of its way, and marks for messages that never came.
    ForgetOwnBefore(Timestamp),
    /// Notes that somebody read or played a message; what is known already stays.
    PutReceipt(ReceiptRecord),
    /// Replaces what is known of a message on its way to one device. Its place in the order stays.
    PutDelivery(Delivery),

    /// Adds a job at the end of the outbox, or replaces one in its place, by message id.
    PutOutboxJob(OutboxJob),
    /// Adds a job at the end of the outbox, or replaces one and moves it there with its envelopes.
    PutOutboxJobLast(OutboxJob),
    /// Removes a job and its envelopes.
    RemoveOutboxJob(MessageId),
    /// Adds a sealed envelope to its job, which was put before it, or replaces one in its place, by envelope id.
    PutOutboxEnvelope(OutboxEnvelope),
    /// Removes an envelope.
    RemoveOutboxEnvelope(EnvelopeId),
    /// Adds a receipt that waits; no effect if the same one waits.
    AddPendingReceipt(PendingReceipt),
    /// Removes a receipt that waited.
    RemovePendingReceipt(PendingReceipt),

    /// Replaces the session with a peer's device: counters, replay windows, ratchets of every suite.
    PutSession {
        /// The peer's device.
        device: DeviceId,
        /// The stored form of `suites::Session`.
        session: SecretBytes,
    },
    /// Removes the session with a device, as when it left its account.
    RemoveSession(DeviceId),

    /// Puts a seen-mark (RCV-4).
    MarkSeen {
        /// The mark.
        mark: SeenMark,
        /// When; a mark that is there keeps its time.
        at: Timestamp,
    },
    /// Removes the marks that were put before a time.
    ForgetSeenBefore(Timestamp),
    /// Keeps a delivery that did not open (RCV-3); no effect if its envelope id is there.
    AddUnopened(UnopenedRecord),
    /// Removes a kept delivery, as when it opened after all.
    RemoveUnopened(EnvelopeId),
    /// Removes the deliveries that were kept before a time.
    ForgetUnopenedBefore(Timestamp),
    /// Removes what is too much of the deliveries that did not open: of one device, and in all. Those whose sender is not asked for
    /// them go first, then the oldest.
    BoundUnopened {
        /// The device.
        device: Option<DeviceId>,
        /// How many of it stay.
        of_device: u64,
        /// How many stay in all.
        in_all: u64,
        /// The causes that are asked for.
        asked: Vec<String>,
    },
    /// Notes that a kept delivery cannot be sent again (REP-14).
    MarkUnopenedGone(EnvelopeId),

    /// Replaces how much was sealed for a device (REP-1).
    PutSentEnd(SentEnd),
    /// Replaces what came of a stream (REP-10).
    PutHeard(Heard),
    /// Notes the epoch that a device showed, if it is higher than those before (REP-22).
    RaiseEpochSeen {
        /// The device.
        device: DeviceId,
        /// Its epoch.
        epoch: u64,
    },
    /// Replaces what is to be repaired with a device (REP-11).
    PutRepair(RepairRecord),
    /// Removes it, as when nothing is left to repair.
    RemoveRepair(DeviceId),
    /// Adds an envelope that may have to be sent again (REP-12).
    PutSentEnvelope(SentEnvelope),
    /// Notes of the envelopes with a message for a device that it has the message. They stay: it may have kept one of several unopened,
    /// or be restored from before it opened one, and ask for it (REP-12). But they make room first.
    MarkSentEnvelopesHad {
        /// The message.
        message: MessageId,
        /// The device.
        device: DeviceId,
    },
    /// Removes the envelopes that were accepted before a time, and beyond so many those whose device has the message, then the oldest.
    ForgetSentEnvelopes {
        /// The time.
        before: Timestamp,
        /// How many stay.
        keep: u64,
    },
    /// Adds one to a counter.
    CountUp(String),
    /// Adds an alert; no effect if its id is there.
    AddAlert(AlertRecord),
    /// Notes that the person saw an alert.
    MarkAlertSeen(EnvelopeId),
}
