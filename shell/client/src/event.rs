//! What a client tells those who watch it.
//!
//! Owns the types of events, conversations and deliveries as they are shown. Does not know how they are printed: texts of peers
//! are as the peer wrote them (CON-3).

use std::fmt;

use halcyon_content::{
    Act, Effect, Naming, Part, ReceiptKind, Subject, Tapback, Target, Text, Typing, group::GroupName,
};
use halcyon_directory::{alert::AlertEvent, resolver};
use halcyon_types::{AccountId, ConversationId, DeviceId, EnvelopeId, GroupId, Handle, MessageId, SuiteId, Timestamp};

use crate::groups::ShownChange;
pub use crate::ports::store::{DeliveryState, Origin};
use crate::repair::ShownRepair;

/// Something that happened. It was committed before it is told.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A message arrived, or was written here.
    Message(ShownMessage),
    /// Something was done to a message, here or elsewhere (CON-11).
    Acted {
        /// Who did what, when.
        act: ShownMessage,
        /// The message after it; none if it did not come yet.
        message: Option<Box<ShownMessage>>,
    },
    /// Somebody said what they want to be called, or takes that back (CON-51).
    Named {
        /// Who.
        handle: Handle,
        /// What they said.
        naming: Naming,
    },
    /// A message on its way to one device came further, or was given up.
    Delivery {
        /// The message.
        message: MessageId,
        /// The device and how far.
        delivery: ShownDelivery,
    },
    /// Somebody read or played a message of this account (CON-21).
    Receipt {
        /// The message.
        message: MessageId,
        /// Who did what, when.
        receipt: ShownReceipt,
    },
    /// Somebody types, or stopped, or said nothing more of it for a minute (CON-29).
    Typing {
        /// Where.
        conversation: ConversationId,
        /// Who.
        by: Handle,
        /// Whether it began or ended.
        typing: Typing,
    },
    /// Another device of this account told what its person chose or read (OWN-1): what is listed may look different.
    Chosen {
        /// Choices that count.
        entries: usize,
        /// Messages that were read.
        read: usize,
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
    /// What the sender wants to be called, if they said so and are somebody else: a claim of theirs (CON-52).
    pub sender_maybe: Option<String>,
    /// What the person of this account calls the sender (OWN-8).
    pub sender_name: Option<String>,
    /// Everybody else in the conversation; nobody where it is a group's.
    pub recipients: Vec<Handle>,
    /// The group in which it was said (GRP-7).
    pub group: Option<ShownGroupName>,
    /// What it changes in that group; none for a message.
    pub change: Option<ShownChange>,
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
    /// What it says now; none if this version cannot show it (CON-5), if no text is left or was there, or if it is an act.
    pub text: Option<String>,
    /// Its parts, after what was done to them.
    pub parts: Vec<ShownPart>,
    /// The part that it answers (CON-15). Nothing says that there is one.
    pub reply_to: Option<Target>,
    /// A line above it (CON-18).
    pub subject: Option<Subject>,
    /// How it appears (CON-19).
    pub effect: Option<Effect>,
    /// Whether it names this account (CON-17).
    pub mentions_me: bool,
    /// What it does to another message; none for a message.
    pub act: Option<Act>,
    /// The number of the message that it answers, or to which it does something, if that is here.
    pub about: Option<u64>,
    /// Messages of the sender's device that belong directly before it, did not come, and are asked for (REP-31).
    pub missing_before: u64,
    /// Those that belong directly before it and cannot be sent again.
    pub lost_before: u64,
    /// When the person of this account read it, if it is somebody else's.
    pub read: Option<Timestamp>,
    /// When the person of this account deleted it.
    pub deleted: Option<Timestamp>,
    /// Who read or played it, if it is this account's.
    pub receipts: Vec<ShownReceipt>,
    /// Whether its conversation is to make no noise.
    pub muted: bool,
    /// Whether it is kept apart, since its sender is unknown (OWN-13): nobody is notified of it.
    pub apart: bool,
}

/// That somebody read or played a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownReceipt {
    /// Who.
    pub by: Handle,
    /// Read, or played.
    pub kind: ReceiptKind,
    /// When, by that person's clock, but not later than it became known.
    pub at: Timestamp,
}

/// A group, where something was said in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownGroupName {
    /// The group.
    pub id: GroupId,
    /// What it is called now; empty: nothing.
    pub name: GroupName,
}

/// A part of a message, after what was done to it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ShownPart {
    /// What it says, with styles and mentions; none if it is no text that this version can show, or was unsent.
    pub text: Option<Text>,
    /// What it carries, if it is no text: a card, a location, a link; none if this version cannot show it, or it was unsent.
    pub carried: Option<Part>,
    /// What it said before, oldest first (CON-13).
    pub earlier: Vec<ShownEdit>,
    /// When it was edited last.
    pub edited: Option<Timestamp>,
    /// Whether it was unsent (CON-14).
    pub unsent: bool,
    /// One of each person at most (CON-12).
    pub tapbacks: Vec<ShownTapback>,
}

impl fmt::Debug for ShownPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShownPart(redacted)")
    }
}

/// What a part said before it was edited.
#[derive(Clone, PartialEq, Eq)]
pub struct ShownEdit {
    /// When it was said.
    pub said: Timestamp,
    /// What it said.
    pub text: String,
}

impl fmt::Debug for ShownEdit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShownEdit(redacted)")
    }
}

/// A tapback on a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownTapback {
    /// Whose it is.
    pub by: Handle,
    /// Which one.
    pub tapback: Tapback,
}

impl ShownMessage {
    /// Says whether all of it was unsent (CON-14).
    #[must_use]
    pub fn is_unsent(&self) -> bool {
        !self.parts.is_empty() && self.parts.iter().all(|part| part.unsent)
    }
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
