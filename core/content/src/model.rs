//! The values that a plaintext decodes to. Spec: 50-content.md (CON-2 to CON-5).
//!
//! Owns nothing but their shape. `Debug` of texts is redacted, so that no content reaches a log (I9).

use std::fmt;

use halcyon_types::{MessageId, Timestamp};

use crate::{Act, ConversationMembers, Forward, Place, Repair, Target};

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
}

/// One part of a message; later kinds name it by its index.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// Text.
    Text(Text),
    /// A part that a later version knows (CON-5).
    Unsupported,
}

/// UTF-8 text, as the peer wrote it: see [`crate::for_display`] before it is printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(pub String);

/// What happened to messages of the other side (CON-4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// What happened.
    pub kind: ReceiptKind,
    /// To which, 1 to 256.
    pub message_ids: Vec<MessageId>,
}

/// What happened to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReceiptKind {
    /// A device committed it.
    Delivered,
}

impl Message {
    /// Returns a message of one text part.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { parts: vec![Part::Text(Text(text.into()))], reply_to: None }
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
            Self::Text(Text(text)) => Some(text),
            Self::Unsupported => None,
        }
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes, redacted)", self.0.len())
    }
}
