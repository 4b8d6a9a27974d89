//! Reads plaintexts: the one place where a peer's content is parsed (I5). Spec: 50-content.md.
//!
//! Owns every check on what a peer wrote. Does not know whether the claims in it are true.
//!
//! - The size is checked before anything is decoded.
//! - Well-formed content of a later version is [`Kind::Unsupported`], never an error: it is kept and shown as such.

use halcyon_types::{GroupHash, GroupId, Handle, HandleError, MessageId, Timestamp};
use prost::Message as _;

use crate::{
    CONTENT_BYTES_MAX, CONTENT_VERSION, ConversationMembers, FORWARD_BYTES_MAX, GROUP_STATE_CHANGES_MAX, MembersError,
    PARTS_MAX, RECEIPT_IDS_MAX, SUBJECT_BYTES_MAX, TEXT_BYTES_MAX, act,
    contact::{self, ContactError},
    effect,
    group::{self, GroupRef, SignedChange},
    link, location,
    model::{Content, Kind, Message, Part, Receipt, ReceiptKind, Subject, Typing},
    naming, own, repair, text, wire,
};

/// Why a plaintext is not content. The peer's fault: it is kept sealed, acknowledged, and shown as unreadable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// CON-1.
    #[error("the plaintext has {0} bytes, more than {CONTENT_BYTES_MAX}")]
    TooLarge(usize),
    /// Not protobuf of the schema.
    #[error("the plaintext does not decode")]
    NotProtobuf,
    /// CON-1: version 0 does not exist.
    #[error("the plaintext names no version")]
    NoVersion,
    /// CON-2.
    #[error("the message id has {0} bytes, not 16")]
    MessageId(usize),
    /// CON-2: sender or a recipient.
    #[error("a handle is malformed")]
    Handle(#[source] HandleError),
    /// CON-2: not in normal form, not sorted, repeated, or the sender among the recipients.
    #[error("the recipients are not in their normal form")]
    NotNormal,
    /// CON-2.
    #[error("the members do not make a conversation")]
    Members(#[source] MembersError),
    /// CON-3.
    #[error("a message has 1 to {PARTS_MAX} parts, not {0}")]
    Parts(usize),
    /// CON-3.
    #[error("text has 1 to {TEXT_BYTES_MAX} bytes, not {0}")]
    Text(usize),
    /// CON-16.
    #[error("a style does not lie in its text")]
    Styles,
    /// CON-17.
    #[error("a mention does not lie in its text, or names nobody of the conversation")]
    Mentions,
    /// CON-18.
    #[error("a subject is one line of 1 to {SUBJECT_BYTES_MAX} bytes")]
    Subject,
    /// CON-40.
    #[error("a location is not on the earth, or its name not a line")]
    Location,
    /// CON-42.
    #[error("a card is none")]
    Contact(#[source] ContactError),
    /// CON-45, CON-46.
    #[error("a link leads nowhere, or says more of it than it may")]
    Link,
    /// CON-51.
    #[error("what somebody wants to be called is not a line, or their photo too large")]
    Naming,
    /// CON-4.
    #[error("a receipt names 1 to {RECEIPT_IDS_MAX} messages, not {0}")]
    ReceiptIds(usize),
    /// CON-8.
    #[error("the copy's place is malformed")]
    Place,
    /// CON-10.
    #[error("what a message is about is malformed")]
    Target,
    /// CON-12.
    #[error("a tapback's emoji is not one emoji")]
    Emoji,
    /// REP-2, REP-24: a list too long, or a field out of its bounds.
    #[error("a repair's {0} are out of bounds")]
    Repair(&'static str),
    /// GRP-2, GRP-7, GRP-9: a field of a group, or of a change of one, that is out of its bounds.
    #[error("the {0} of a group is out of bounds")]
    Group(&'static str),
    /// OWN-2: a list too long, or a field out of its bounds.
    #[error("what an own device tells is out of bounds: {0}")]
    Own(&'static str),
}

/// Returns the content of a plaintext whose padding was stripped.
///
/// # Errors
/// [`DecodeError`] names the first thing that is wrong. Nothing of the plaintext is repeated in it.
pub fn decode(plaintext: &[u8]) -> Result<Content, DecodeError> {
    if plaintext.len() > FORWARD_BYTES_MAX {
        return Err(DecodeError::TooLarge(plaintext.len())); // CON-1: before anything is allocated for it
    }
    let wire = wire::Content::decode(plaintext).map_err(|_| DecodeError::NotProtobuf)?;
    let forwards = matches!(wire.kind, Some(wire::content::Kind::Forward(_)));
    if plaintext.len() > CONTENT_BYTES_MAX && !forwards {
        return Err(DecodeError::TooLarge(plaintext.len())); // CON-1
    }
    if wire.version == 0 {
        return Err(DecodeError::NoVersion);
    }
    let message_id = decode_message_id(&wire.message_id)?;
    let members = decode_members(&wire)?;
    let kind = match wire.kind {
        // CON-5: a later version may have changed what the fields mean.
        _ if wire.version > CONTENT_VERSION => Kind::Unsupported,
        None => Kind::Unsupported, // CON-5: a kind with a number that we do not know
        Some(wire::content::Kind::Message(message)) => Kind::Message(decode_message(message, &members)?),
        Some(wire::content::Kind::Receipt(receipt)) => decode_receipt(receipt)?,
        Some(wire::content::Kind::Repair(repair)) => Kind::Repair(repair::decode(repair)?),
        Some(wire::content::Kind::Forward(forward)) => Kind::Forward(repair::decode_forward(forward)?),
        Some(wire::content::Kind::Act(act)) => act::decode(act, &members)?,
        Some(wire::content::Kind::GroupChange(change)) => Kind::GroupChange(Box::new(decode_change(change, &members)?)),
        Some(wire::content::Kind::GroupState(state)) => Kind::GroupState(decode_changes(state, &members)?),
        Some(wire::content::Kind::GroupAsk(_)) => Kind::GroupAsk,
        Some(wire::content::Kind::Naming(naming)) => naming::decode(naming)?,
        Some(wire::content::Kind::Typing(typing)) => {
            Kind::Typing(if typing.stopped { Typing::Stopped } else { Typing::Started })
        }
        Some(wire::content::Kind::Own(own)) => Kind::Own(own::decode(own)?),
    };
    let place = wire.place.map(repair::decode_place).transpose()?;
    Ok(Content { message_id, sent: Timestamp::from_millis(wire.sent_ms), members, kind, place })
}

pub(crate) fn decode_message_id(bytes: &[u8]) -> Result<MessageId, DecodeError> {
    MessageId::try_from(bytes).map_err(|_| DecodeError::MessageId(bytes.len()))
}

/// CON-2: a peer writes the normal form, or two devices would file one message in two conversations.
fn decode_members(wire: &wire::Content) -> Result<ConversationMembers, DecodeError> {
    let sender = decode_handle(&wire.sender)?;
    let recipients = wire.recipients.iter().map(|uri| decode_handle(uri)).collect::<Result<Vec<_>, _>>()?;
    if let Some(group) = &wire.group {
        return decode_in_group(wire, group, sender, &recipients);
    }
    if is_of_group(wire) {
        return Err(DecodeError::Group("id")); // GRP-7
    }
    // CON-9
    let may_be_own = matches!(wire.kind, Some(wire::content::Kind::Repair(_) | wire::content::Kind::Forward(_)));
    let is_own = matches!(wire.kind, Some(wire::content::Kind::Own(_)));
    if (may_be_own || is_own) && recipients.is_empty() {
        return Ok(ConversationMembers::own(sender));
    }
    if is_own {
        return Err(DecodeError::NotNormal); // OWN-1
    }
    let members = ConversationMembers::new(sender, recipients.iter().cloned()).map_err(DecodeError::Members)?;
    if members.recipients() == recipients { Ok(members) } else { Err(DecodeError::NotNormal) }
}

fn is_of_group(wire: &wire::Content) -> bool {
    use wire::content::Kind::{GroupAsk, GroupChange, GroupState};
    matches!(wire.kind, Some(GroupChange(_) | GroupState(_) | GroupAsk(_)))
}

/// GRP-7: what is said in a group names nobody else, and is nothing that goes from device to device outside of it.
fn decode_in_group(
    wire: &wire::Content,
    group: &wire::GroupRef,
    sender: Handle,
    recipients: &[Handle],
) -> Result<ConversationMembers, DecodeError> {
    use wire::content::Kind::{Forward, Naming, Own, Receipt, Repair};
    let is_elsewhere = matches!(wire.kind, Some(Receipt(_) | Repair(_) | Forward(_) | Naming(_) | Own(_)));
    if !recipients.is_empty() || is_elsewhere {
        return Err(DecodeError::Group("kind"));
    }
    let id = GroupId::try_from(&group.id[..]).map_err(|_| DecodeError::Group("id"))?;
    let hash = GroupHash::try_from(&group.hash[..]).map_err(|_| DecodeError::Group("hash"))?;
    Ok(ConversationMembers::in_group(sender, GroupRef { id, hash }))
}

/// GRP-2: a change is told in its own group.
fn decode_change(wire: wire::SignedGroupChange, members: &ConversationMembers) -> Result<SignedChange, DecodeError> {
    let change = group::decode_signed(wire)?;
    let is_told_in_its_group = members.group().is_some_and(|group| group.id == change.group());
    if is_told_in_its_group { Ok(change) } else { Err(DecodeError::Group("id")) }
}

/// GRP-9
fn decode_changes(wire: wire::GroupState, members: &ConversationMembers) -> Result<Vec<SignedChange>, DecodeError> {
    if !(1..=GROUP_STATE_CHANGES_MAX).contains(&wire.changes.len()) {
        return Err(DecodeError::Group("changes"));
    }
    wire.changes.into_iter().map(|change| decode_change(change, members)).collect()
}

pub(crate) fn decode_handle(uri: &str) -> Result<Handle, DecodeError> {
    let handle = Handle::parse(uri).map_err(DecodeError::Handle)?;
    if handle.as_uri() == uri { Ok(handle) } else { Err(DecodeError::NotNormal) }
}

fn decode_message(wire: wire::Message, members: &ConversationMembers) -> Result<Message, DecodeError> {
    // CON-3
    if !(1..=PARTS_MAX).contains(&wire.parts.len()) {
        return Err(DecodeError::Parts(wire.parts.len()));
    }
    let mut text_bytes = 0;
    let mut parts = Vec::with_capacity(wire.parts.len());
    for part in wire.parts {
        parts.push(match part.part {
            None => Part::Unsupported, // CON-5
            Some(wire::part::Part::Text(text)) => {
                text_bytes += text.text.len();
                Part::Text(text::decode(text, members)?)
            }
            Some(wire::part::Part::Contact(card)) => Part::Contact(contact::decode(card)?),
            Some(wire::part::Part::Location(point)) => Part::Location(location::decode(point)?),
            Some(wire::part::Part::Link(link)) => Part::Link(link::decode(link)?),
        });
    }
    if text_bytes > TEXT_BYTES_MAX {
        return Err(DecodeError::Text(text_bytes));
    }
    let reply_to = wire.reply_to.as_ref().map(act::decode_target).transpose()?; // CON-15
    let subject = match wire.subject {
        none if none.is_empty() => None,
        text => Some(Subject::new(text).ok_or(DecodeError::Subject)?), // CON-18
    };
    Ok(Message { parts, reply_to, subject, effect: effect::decode(wire.effect) })
}

fn decode_receipt(wire: wire::Receipt) -> Result<Kind, DecodeError> {
    // CON-4
    if !(1..=RECEIPT_IDS_MAX).contains(&wire.message_ids.len()) {
        return Err(DecodeError::ReceiptIds(wire.message_ids.len()));
    }
    let message_ids = wire.message_ids.iter().map(|id| decode_message_id(id)).collect::<Result<_, _>>()?;
    let kind = match wire::ReceiptKind::try_from(wire.kind) {
        Ok(wire::ReceiptKind::Delivered) => ReceiptKind::Delivered,
        Ok(wire::ReceiptKind::Read) => ReceiptKind::Read,
        Ok(wire::ReceiptKind::Played) => ReceiptKind::Played,
        // CON-5: a receipt about something that a later version knows.
        Ok(wire::ReceiptKind::ReceiptUnspecified) | Err(_) => return Ok(Kind::Unsupported),
    };
    // CON-21
    let at = (kind != ReceiptKind::Delivered).then(|| Timestamp::from_millis(wire.at_ms));
    Ok(Kind::Receipt(Receipt { kind, message_ids, at }))
}
