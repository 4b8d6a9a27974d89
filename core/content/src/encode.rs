//! Writes plaintexts. Spec: 50-content.md.
//!
//! Owns the check that what we write is what a peer's decoder accepts. Does not pad: that is the suite's.

use halcyon_types::Timestamp;
use prost::Message as _;

use crate::{
    CONTENT_BYTES_MAX, CONTENT_VERSION, ConversationMembers, FORWARD_BYTES_MAX, MENTIONS_MAX, PARTS_MAX,
    RECEIPT_IDS_MAX, STYLES_MAX, TEXT_BYTES_MAX, act, contact, effect, group, link, location,
    model::{Content, Kind, Message, Part, Receipt, ReceiptKind, Typing},
    naming, own,
    repair::{self, PLACE_BYTES_MAX},
    text, wire,
};

/// Why a content cannot be written. The fault is the caller's; nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// CON-3.
    #[error("a message has 1 to {PARTS_MAX} parts, not {0}")]
    Parts(usize),
    /// CON-3.
    #[error("text has 1 to {TEXT_BYTES_MAX} bytes, not {0}; send longer text as a file")]
    Text(usize),
    /// CON-16.
    #[error("a text has at most {STYLES_MAX} styles, which lie in it")]
    Styles,
    /// CON-17.
    #[error("a text has at most {MENTIONS_MAX} mentions, which lie in it and name members of the conversation")]
    Mentions,
    /// CON-4.
    #[error("a receipt names 1 to {RECEIPT_IDS_MAX} messages, not {0}")]
    ReceiptIds(usize),
    /// CON-1.
    #[error("a plaintext has at most {CONTENT_BYTES_MAX} bytes, not {0}")]
    TooLarge(usize),
    /// REP-2: a list of a repair is too long, or says what cannot be.
    #[error("a repair's {0} are out of bounds")]
    Repair(&'static str),
    /// CON-10.
    #[error("a message has no part with that number")]
    Target,
    /// CON-12.
    #[error("a tapback is one of the six with names, or one emoji")]
    Emoji,
    /// OWN-1, OWN-2: too much for one content, a value out of its bounds, or somebody else among its recipients.
    #[error("what is told own devices is out of bounds: {0}")]
    Own(&'static str),
    /// What this version cannot read it does not write.
    #[error("content of an unsupported kind cannot be sent")]
    Unsupported,
}

/// Returns the encoded plaintext, not padded. With its place ([`with_place`](crate::with_place)) it has at most
/// [`CONTENT_BYTES_MAX`] bytes.
///
/// # Errors
/// [`EncodeError`] names the limit that the content breaks.
pub fn encode(content: &Content) -> Result<Vec<u8>, EncodeError> {
    let kind = match &content.kind {
        Kind::Message(message) => wire::content::Kind::Message(encode_message(message, &content.members)?),
        Kind::Receipt(receipt) => wire::content::Kind::Receipt(encode_receipt(receipt)?),
        Kind::Repair(repair) => wire::content::Kind::Repair(repair::encode(repair)?),
        Kind::Forward(forward) => wire::content::Kind::Forward(repair::encode_forward(forward)),
        Kind::Act(act) => wire::content::Kind::Act(act::encode(act, &content.members)?),
        Kind::GroupChange(change) => wire::content::Kind::GroupChange(group::encode_signed(change)),
        Kind::GroupState(changes) => wire::content::Kind::GroupState(wire::GroupState {
            changes: changes.iter().map(group::encode_signed).collect(),
        }),
        Kind::GroupAsk => wire::content::Kind::GroupAsk(wire::GroupAsk {}),
        Kind::Naming(naming) => wire::content::Kind::Naming(naming::encode(naming)),
        Kind::Typing(typing) => wire::content::Kind::Typing(wire::Typing { stopped: *typing == Typing::Stopped }),
        Kind::Own(_) if !content.members.recipients().is_empty() => return Err(EncodeError::Own("recipients")),
        Kind::Own(own) => wire::content::Kind::Own(own::encode(own)?),
        Kind::Unsupported => return Err(EncodeError::Unsupported),
    };
    let encoded = wire::Content {
        version: CONTENT_VERSION, // CON-1
        message_id: content.message_id.as_bytes().to_vec().into(),
        sent_ms: content.sent.as_millis(),
        sender: content.members.sender().as_uri().to_owned(),
        recipients: content.members.recipients().iter().map(|handle| handle.as_uri().to_owned()).collect(),
        kind: Some(kind),
        group: content.members.group().map(|group| wire::GroupRef {
            id: group.id.as_bytes().to_vec().into(),
            hash: group.hash.as_bytes().to_vec().into(),
        }),
        place: content.place.as_ref().map(repair::encode_place),
    }
    .encode_to_vec();
    let place = if content.place.is_some() { 0 } else { PLACE_BYTES_MAX };
    let bound = if matches!(content.kind, Kind::Forward(_)) { FORWARD_BYTES_MAX } else { CONTENT_BYTES_MAX };
    if encoded.len() + place > bound {
        return Err(EncodeError::TooLarge(encoded.len())); // CON-1
    }
    Ok(encoded)
}

fn encode_message(message: &Message, members: &ConversationMembers) -> Result<wire::Message, EncodeError> {
    // CON-3
    if !(1..=PARTS_MAX).contains(&message.parts.len()) {
        return Err(EncodeError::Parts(message.parts.len()));
    }
    let mut text_bytes = 0;
    let mut parts = Vec::with_capacity(message.parts.len());
    for part in &message.parts {
        let part = match part {
            Part::Text(text) => {
                text_bytes += text.text.len();
                wire::part::Part::Text(text::encode(text, members)?)
            }
            Part::Contact(card) => wire::part::Part::Contact(contact::encode(card)),
            Part::Location(point) => wire::part::Part::Location(location::encode(point)),
            Part::Link(link) => wire::part::Part::Link(link::encode(link)),
            Part::Unsupported => return Err(EncodeError::Unsupported),
        };
        parts.push(wire::Part { part: Some(part) });
    }
    if text_bytes > TEXT_BYTES_MAX {
        return Err(EncodeError::Text(text_bytes));
    }
    let reply_to = message.reply_to.as_ref().map(act::encode_target).transpose()?; // CON-15
    let subject = message.subject.as_ref().map(|subject| subject.as_str().to_owned()).unwrap_or_default();
    Ok(wire::Message { parts, reply_to, subject, effect: effect::encode(message.effect) })
}

fn encode_receipt(receipt: &Receipt) -> Result<wire::Receipt, EncodeError> {
    // CON-4
    if !(1..=RECEIPT_IDS_MAX).contains(&receipt.message_ids.len()) {
        return Err(EncodeError::ReceiptIds(receipt.message_ids.len()));
    }
    let kind = match receipt.kind {
        ReceiptKind::Delivered => wire::ReceiptKind::Delivered,
        ReceiptKind::Read => wire::ReceiptKind::Read,
        ReceiptKind::Played => wire::ReceiptKind::Played,
    };
    let message_ids = receipt.message_ids.iter().map(|id| id.as_bytes().to_vec().into()).collect();
    let at_ms = receipt.at.filter(|_| receipt.kind != ReceiptKind::Delivered).map(Timestamp::as_millis);
    Ok(wire::Receipt { kind: kind.into(), message_ids, at_ms: at_ms.unwrap_or_default() })
}
