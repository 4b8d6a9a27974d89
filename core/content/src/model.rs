//! The values that a plaintext decodes to. Spec: 50-content.md (CON-2 to CON-5, CON-18).
//!
//! Owns nothing but their shape. `Debug` of texts is redacted, so that no content reaches a log (I9).

use std::fmt;

use halcyon_types::{MessageId, Timestamp};

use crate::{
    Act, Contact, ConversationMembers, Effect, Forward, Link, Location, Naming, Own, Place, Repair, SUBJECT_BYTES_MAX,
    Target, Text, group::SignedChange, line,
};

/// One plaintext, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The same on every device that gets it.
    pub message_id: MessageId,
    /// By the sender's clock.
    pub sent: Timestamp,
    /// Who says it, to whom. What a sender claims here is compared with what was authenticated (CON-7).
    pub members: ConversationMembers,
    /// What is said.
    pub kind: Kind,
    /// Where this copy stands among those that were sealed for this device; none before it is sealed (CON-8).
    pub place: Option<Place>,
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Something to read.
    Message(Message),
    /// Something about messages of the other side.
    Receipt(Receipt),
    /// What did not come or did not open, from device to device (REP-2).
    Repair(Repair),
    /// A message of the history, from an own device (REP-24).
    Forward(Forward),
    /// Something that is done to a part of a message (CON-11).
    Act(Act),
    /// A change of a group (GRP-2).
    GroupChange(Box<SignedChange>),
    /// Changes of a group, for somebody who may lack them (GRP-9).
    GroupState(Vec<SignedChange>),
    /// Somebody asks for the changes of a group (GRP-9).
    GroupAsk,
    /// What its sender wants to be called (CON-51).
    Naming(Naming),
    /// Somebody is typing, or stopped (CON-28).
    Typing(Typing),
    /// What the person of this account chose, from an own device (OWN-1).
    Own(Own),
    /// A kind that a later version knows (CON-5).
    Unsupported,
}

/// Something to read: 1 to 64 parts (CON-3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// In the order in which they are shown.
    pub parts: Vec<Part>,
    /// What this answers (CON-15).
    pub reply_to: Option<Target>,
    /// A line above the parts (CON-18).
    pub subject: Option<Subject>,
    /// How it appears (CON-19).
    pub effect: Option<Effect>,
}

/// A line above a message: 1 to [`SUBJECT_BYTES_MAX`] bytes without control characters (CON-18).
#[derive(Clone, PartialEq, Eq)]
pub struct Subject(String);

impl Subject {
    /// Returns a subject; none if it is empty, too long, or has a control character in it.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        line::fits(&text, SUBJECT_BYTES_MAX).then_some(Self(text))
    }

    /// Returns what it says: see [`crate::for_display`] before it is printed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A subject is content (I9).
impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subject({} bytes, redacted)", self.0.len())
    }
}

/// One part of a message; later kinds name it by its index.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// Text.
    Text(Text),
    /// Somebody's card (CON-42).
    Contact(Contact),
    /// Where something is (CON-40).
    Location(Location),
    /// An address of the web, with what its sender saw there (CON-45).
    Link(Link),
    /// A part that a later version knows (CON-5).
    Unsupported,
}

/// What happened to messages of the other side (CON-4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// What happened.
    pub kind: ReceiptKind,
    /// To which, 1 to 256.
    pub message_ids: Vec<MessageId>,
    /// When it was read or played, by the reader's clock; none for delivered (CON-21).
    pub at: Option<Timestamp>,
}

/// What happened to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ReceiptKind {
    /// A device committed it.
    Delivered,
    /// Somebody looked at it.
    Read,
    /// Somebody listened to it, or watched it.
    Played,
}

/// What somebody does with the keyboard (CON-28).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typing {
    /// There is something to come.
    Started,
    /// Not any more.
    Stopped,
}

impl Message {
    /// Returns a message of one text part.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { parts: vec![Part::Text(Text::plain(text))], ..Self::default() }
    }

    /// Returns the texts of all parts, one a line; `None` if a part is not text that this version shows.
    #[must_use]
    pub fn as_plain_text(&self) -> Option<String> {
        let texts: Option<Vec<&str>> = self.parts.iter().map(Part::as_text).collect();
        texts.map(|texts| texts.join("\n"))
    }
}

impl Part {
    fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(Text { text, .. }) => Some(text),
            _ => None,
        }
    }
}
