//! The records of the store, grouped by the state that they are.
//!
//! - `Debug` of every record is fit for a log: contents, handles, secrets and tokens are redacted by their own types or here.

use std::fmt;

use bytes::Bytes;
pub use halcyon_content::ReceiptKind;
use halcyon_crypto::SecretBytes;
use halcyon_types::{
    AccountId, ConversationId, DeviceId, EnvelopeId, Handle, LinkId, MessageId, PushToken, SuiteId, Timestamp,
};

// Profile, keys.

/// Who this profile is.
#[derive(Clone, Debug)]
pub struct Profile {
    /// How far it came.
    pub stage: Stage,
    /// The server's address as the person gave it, for example `https://example.org`.
    pub server: String,
    /// The account.
    pub account: AccountId,
    /// This device.
    pub device: DeviceId,
    /// The stored form of `suites::DeviceKeys`: the private keys of every suite, prekeys among them.
    pub device_keys: SecretBytes,
    /// Whether the server has the newest prekeys (DIR-11).
    pub prekeys_uploaded: bool,
    /// The private account key (IDN-13).
    pub account_key: SecretBytes,
    /// Where the courier delivers to; absent until the account exists.
    pub push_token: Option<PushToken>,
}

/// How far a profile came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The keys exist, and the server may or may not have heard of them: committed before registration leaves, so that an answer that
    /// got lost does not lose the account.
    Registering,
    /// A device of an account.
    Ready,
    /// This device was removed from its account. History can be read, nothing can be sent.
    Removed,
}

/// A link that may be approved at any moment (LNK-11): all that the new device needs to become one of the account.
#[derive(Clone)]
pub struct LinkRecord {
    /// Its name at the server.
    pub id: LinkId,
    /// The handle that was signed in with.
    pub handle: Handle,
    /// The account.
    pub account: AccountId,
    /// The encoded `DeviceKeys`.
    pub device_keys: SecretBytes,
    /// The encoded `DeviceEntry`, and the counter-signature of this device over it, 64 bytes.
    pub entry: Bytes,
    /// See `entry`.
    pub entry_signature: Bytes,
    /// eN, 32 bytes.
    pub ephemeral: SecretBytes,
    /// rN, 32 bytes.
    pub nonce: SecretBytes,
    /// The device that challenged.
    pub approver: DeviceId,
    /// x(eT), 32 bytes.
    pub approver_ephemeral: [u8; 32],
    /// rT, 32 bytes.
    pub approver_nonce: [u8; 32],
}

impl fmt::Debug for LinkRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkRecord").field("id", &self.id).finish_non_exhaustive()
    }
}

// What was accepted of the directory.

/// What this client accepted of an account, its own included (DIR-6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownAccountRecord {
    /// The account.
    pub account: AccountId,
    /// The version of the newest accepted list.
    pub version: u64,
    /// The stored form of `directory::KnownAccount`.
    pub known: Bytes,
}

/// Which account a handle stands for (DIR-7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownHandleRecord {
    /// The handle.
    pub handle: Handle,
    /// The account.
    pub account: AccountId,
    /// The stored form of `directory::KnownHandle`.
    pub known: Bytes,
}

/// Addresses and session of an account, as the last accepted answer gave them (DIR-24).
#[derive(Clone, PartialEq, Eq)]
pub struct AddressesRecord {
    /// The account.
    pub account: AccountId,
    /// The stored form of `directory::lookup::Addresses`.
    pub addresses: Bytes,
    /// When they should be asked for again.
    pub refresh: Timestamp,
}

impl fmt::Debug for AddressesRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AddressesRecord({}, {} bytes)", self.account, self.addresses.len())
    }
}

// Conversations and messages.

/// A conversation: its id is made from its members (CON-6), or from its group, whose members change (GRP-7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// Its id.
    pub id: ConversationId,
    /// Its members, the own handle among them, sorted.
    pub members: Vec<Handle>,
}

/// Where a message came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Written on this device.
    Here,
    /// Written on another device of this account (RCV-6).
    OwnDevice,
    /// Written by somebody else.
    Peer,
}

/// What a message is, as far as the store cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// Something that this version can show.
    Message,
    /// Something that this version keeps but cannot show (CON-5).
    Unsupported,
    /// Something that was done to a part of a message (CON-11). It is no part of the history, but of what it was done to.
    Act,
    /// A change of a group (GRP-10).
    Change,
    /// What was told own devices (OWN-1). It is no part of any history.
    Own,
    /// A message that was deleted for good: its ids are left, so that a copy of it stays a duplicate (RCV-4).
    Gone,
}

/// A message to add.
#[derive(Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// Its id.
    pub id: MessageId,
    /// Where it belongs.
    pub conversation: ConversationId,
    /// Where it came from.
    pub origin: Origin,
    /// What it is.
    pub kind: MessageKind,
    /// The sender's handle.
    pub sender: Handle,
    /// The sender's account.
    pub sender_account: AccountId,
    /// The sender's device.
    pub sender_device: DeviceId,
    /// The suite that it arrived in; none for one written here.
    pub suite: Option<SuiteId>,
    /// The sender's clock.
    pub sent: Timestamp,
    /// This device's clock when it was committed.
    pub stored: Timestamp,
    /// The encoded `Content`, unknown fields kept.
    pub content: Bytes,
    /// Where it stands in its sender's numbering; none for one written here, or of a sender that does not number (REP-1).
    pub place: Option<StreamPlace>,
    /// The message to which an act was done; none for everything else.
    pub target: Option<MessageId>,
}

/// A number in a stream: of one sending device, in one conversation, for one receiving device (REP-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamPlace {
    /// The stream.
    pub stream: u64,
    /// The number in it, from 1.
    pub number: u64,
}

impl fmt::Debug for NewMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewMessage({}, {:?}, {} bytes)", self.id, self.origin, self.content.len())
    }
}

/// A message as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRecord {
    /// Its number: rises in the order in which messages were committed on this device, never used twice, at least 1.
    pub number: u64,
    /// The message.
    pub message: NewMessage,
    /// When the person of this account read it.
    pub read: Option<Timestamp>,
    /// When the person of this account deleted it.
    pub deleted: Option<Timestamp>,
}

/// A message that this account sent, on its way to one device. The key is message and device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The message.
    pub message: MessageId,
    /// The device's account.
    pub account: AccountId,
    /// The device.
    pub device: DeviceId,
    /// The suite that it was sealed with; none if it was not.
    pub suite: Option<SuiteId>,
    /// Where it stands among what was sealed for that device; none before it is sealed for the first time (REP-1).
    pub place: Option<StreamPlace>,
    /// How far it came.
    pub state: DeliveryState,
}

/// How far a message to one device came.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliveryState {
    /// Sealed, in the outbox.
    Waiting,
    /// The server has it on stable storage.
    Accepted(Timestamp),
    /// The device said so in a receipt (RCV-7).
    Delivered(Timestamp),
    /// It was given up, with the reason for people (SND-3, SND-4, SND-6).
    Failed(String),
}

// The outbox.

/// Something to be sent: the content and whom it still has to be sealed for. It is in the outbox until nothing is left to do (SND-2).
#[derive(Clone, PartialEq, Eq)]
pub struct OutboxJob {
    /// The content's message id, which names the job.
    pub message: MessageId,
    /// Whether it is not shown as a message: a receipt, or what devices tell one another (REP-2).
    pub silent: bool,
    /// The handle it is sent from.
    pub sender: Handle,
    /// The encoded `Content`.
    pub content: Bytes,
    /// The suite that the person forced.
    pub forced_suite: Option<SuiteId>,
    /// Whom it is for: every recipient, and the sender's own handle for the own other devices.
    pub targets: Vec<OutboxTarget>,
    /// When it was committed first.
    pub created: Timestamp,
}

impl fmt::Debug for OutboxJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutboxJob({}, {} bytes, {} targets)", self.message, self.content.len(), self.targets.len())
    }
}

/// One addressee of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxTarget {
    /// The handle to look up.
    pub handle: Handle,
    /// What was done for it.
    pub state: TargetState,
    /// Devices that need nothing more: the server accepted their envelope, or it was given up.
    pub done: Vec<DeviceId>,
    /// How often it had to be sealed anew.
    pub attempts: u32,
    /// Not to be looked up before this.
    pub not_before: Timestamp,
    /// The one device that it is for; none: every device of the account that is not among `done`.
    pub only: Option<DeviceId>,
    /// The envelope that did not open, and in whose place this one comes (REP-12).
    pub mends: Option<EnvelopeId>,
}

/// What was done for one addressee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetState {
    /// Nothing yet, or the server refused what was sealed as stale: look up, then seal for devices that do not have it (SND-3).
    ToSeal,
    /// Sealed for every device of this account.
    Sealed(AccountId),
    /// Given up.
    GivenUp,
}

/// One sealed envelope. Its bytes and id never change (SND-2).
#[derive(Clone, PartialEq, Eq)]
pub struct OutboxEnvelope {
    /// Its id.
    pub id: EnvelopeId,
    /// The job that it is part of.
    pub message: MessageId,
    /// The target's handle.
    pub handle: Handle,
    /// The device's account.
    pub account: AccountId,
    /// The version of the list that it was sealed for.
    pub list_version: u64,
    /// The device.
    pub device: DeviceId,
    /// Where the courier delivers it.
    pub push_token: PushToken,
    /// The suite.
    pub suite: SuiteId,
    /// The sealed bytes.
    pub payload: Bytes,
    /// How often the server said to try later.
    pub attempts: u32,
    /// Not to be sent before this (SND-3).
    pub not_before: Timestamp,
}

impl fmt::Debug for OutboxEnvelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutboxEnvelope({} to {}, {}, {} bytes)", self.id, self.device, self.suite, self.payload.len())
    }
}

/// A receipt that waits to be sealed with others for the same person (RCV-5). The key is all of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PendingReceipt {
    /// The sender of the message.
    pub to: Handle,
    /// The own handle that it was sent to.
    pub from: Handle,
    /// The message.
    pub message: MessageId,
    /// What happened to it.
    pub kind: ReceiptKind,
    /// When it was read or played; nothing for delivered.
    pub at: Timestamp,
}

// Receiving.

/// A hash by which a duplicate is known (RCV-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeenMark(pub [u8; 32]);

/// A delivery that did not open, kept sealed (RCV-3).
#[derive(Clone, PartialEq, Eq)]
pub struct UnopenedRecord {
    /// Its envelope id.
    pub id: EnvelopeId,
    /// The encoded `Envelope`.
    pub envelope: Bytes,
    /// The device that it is from, as the server says; none if the envelope says no device.
    pub device: Option<DeviceId>,
    /// The name of the cause, for counting.
    pub cause: String,
    /// When it was kept.
    pub at: Timestamp,
    /// Whether its sender said that it cannot send it again (REP-14).
    pub gone: bool,
}

impl fmt::Debug for UnopenedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnopenedRecord({}, {}, {} bytes)", self.id, self.cause, self.envelope.len())
    }
}

/// An alert of the server, or an alarm of this client (DIR-40, DIR-6).
#[derive(Clone, PartialEq, Eq)]
pub struct AlertRecord {
    /// The envelope that brought it, or a random id for an alarm of this client.
    pub id: EnvelopeId,
    /// When it was committed here.
    pub at: Timestamp,
    /// What it says, in the client's own encoding.
    pub body: Bytes,
    /// Whether the person saw it.
    pub seen: bool,
}

impl fmt::Debug for AlertRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlertRecord({}, {} bytes)", self.id, self.body.len())
    }
}
