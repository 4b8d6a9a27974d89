//! What a client tells those who watch it.
//!
//! Owns the types of events, conversations and deliveries as they are shown. Does not know how they are printed: texts of peers
//! are as the peer wrote them (CON-3).

use std::fmt;

use halcyon_directory::{alert::AlertEvent, resolver};
use halcyon_types::{AccountId, ConversationId, DeviceId, EnvelopeId, Handle, MessageId, SuiteId, Timestamp};

pub use crate::ports::store::{DeliveryState, Origin};
use crate::repair::ShownRepair;

/// Something that happened. It was committed before it is told.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A message arrived, or was written here.
    Message(ShownMessage),
    /// A message on its way to one device came further, or was given up.
    Delivery {
        /// The message.
        message: MessageId,
        /// The device and how far.
        delivery: ShownDelivery,
    },
    /// Something arrived that does not open; it is kept, and counted (RCV-3).
    Unopened {
        /// The device that it claims to be from.
        device: Option<DeviceId>,
        /// Why, in one word.
        cause: String,
    },
    /// What did not come or did not open is being asked for, is here, or takes long (REP-31).
    Repair {
        /// How far it is.
        step: RepairStep,
        /// What is being repaired.
        repair: ShownRepair,
    },
    /// The devices of somebody changed, as that person signed it (DIR-8).
    DevicesChanged {
        /// The handle by which this client came upon it.
        handle: Handle,
        /// What changed.
        changes: Vec<resolver::Change>,
    },
    /// The server said something, or this client refused something; shown until it was seen.
    Alert(ShownAlert),
    /// The connection is in another state.
    Connection(ConnectionState),
    /// This many events were not told, because nobody took them in time. Everything is in the store.
    Missed(u64),
}

/// How far a repair is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepairStep {
    /// The device that sent it was asked.
    Asked,
    /// Everything is here, or known to be gone: nothing of it needs to be shown any more.
    Done,
    /// It takes longer than an hour; what to do is in [`ShownRepair::stuck`].
    Stuck,
}

/// A message as it is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ShownMessage {
    /// Rises in the order in which this device committed messages.
    pub number: u64,
    /// Its id, the same on every device.
    pub id: MessageId,
    /// Where it belongs.
    pub conversation: ConversationId,
    /// Where it came from.
    pub origin: Origin,
    /// The sender's handle.
    pub sender: Handle,
    /// Everybody else in the conversation.
    pub recipients: Vec<Handle>,
    /// The sender's device.
    pub sender_device: DeviceId,
    /// What the sender's device is called, if its list is known.
    pub sender_device_name: Option<String>,
    /// The suite that it arrived in; none for one written here.
    pub suite: Option<SuiteId>,
    /// By the sender's clock.
    pub sent: Timestamp,
    /// By this device's clock, when it was committed.
    pub stored: Timestamp,
    /// What it says; none if this version cannot show it (CON-5).
    pub text: Option<String>,
    /// Messages of the sender's device that belong directly before it, did not come, and are asked for (REP-31).
    pub missing_before: u64,
    /// Those that belong directly before it and cannot be sent again.
    pub lost_before: u64,
}

impl fmt::Debug for ShownMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShownMessage({}, {:?}, redacted)", self.id, self.origin)
    }
}

/// A message's way to one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownDelivery {
    /// The device's account.
    pub account: AccountId,
    /// The device.
    pub device: DeviceId,
    /// What it is called, if its list is known.
    pub device_name: Option<String>,
    /// Whether it is one of this account's own devices. Those do not answer with receipts (RCV-6).
    pub own: bool,
    /// The suite that it was sealed with; none if it was not.
    pub suite: Option<SuiteId>,
    /// How far it came.
    pub state: DeliveryState,
}

/// A message that was committed here, and its way to each device so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentMessage {
    /// The message.
    pub message: ShownMessage,
    /// Handles that it is not sealed for yet, because their devices could not be looked up now.
    pub unsealed: Vec<Handle>,
    /// Each device.
    pub deliveries: Vec<ShownDelivery>,
}

/// An alert as it is shown until it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownAlert {
    /// Names it.
    pub id: EnvelopeId,
    /// When it was committed here.
    pub at: Timestamp,
    /// What it says.
    pub notice: Notice,
    /// Whether it was seen.
    pub seen: bool,
}

/// What an alert says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The server says so (DIR-40); it may be wrong.
    Server(AlertEvent),
    /// This client refused an answer about a handle (DIR-6, DIR-7).
    Refused {
        /// The handle asked for.
        handle: Handle,
        /// Why, for people.
        reason: String,
    },
    /// A trusted device found that a link was tampered with (LNK-5).
    LinkTampered {
        /// What the new device called itself.
        name: String,
    },
    /// A message came that only a copy of a device's state can have sealed (PQ3-26): somebody copied the device, or it goes on
    /// from an old backup.
    DeviceCopied {
        /// The sender's handle.
        handle: Handle,
        /// What the device is called.
        name: String,
    },
    /// This profile is an older copy of itself, as a backup that was brought back (REP-21): its sessions began anew, and it asks for
    /// what it missed.
    ProfileRestored,
    /// The server knows less than it did, as after its own backup was brought back (REP-25).
    ServerWentBack,
    /// This device was removed from its account.
    Removed,
    /// Something that this version does not know.
    Unknown,
}

/// How it stands with the courier. Honest: `Online` only after the server said who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionState {
    /// Nobody asked to be online.
    Offline,
    /// A connection is being made.
    Connecting,
    /// Connected and authenticated.
    Online {
        /// Since when.
        since: Timestamp,
    },
    /// There is no connection; the next attempt is at a time.
    Waiting {
        /// Why, for people.
        cause: String,
        /// When it is tried again.
        until: Timestamp,
    },
    /// The server will not have this device, and trying again does not help.
    Refused {
        /// Why and what next, for people.
        cause: String,
    },
}
