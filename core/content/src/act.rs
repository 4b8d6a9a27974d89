//! What is done to a part of a message: tapbacks, edits, unsending. Spec: 50-content.md (CON-10 to CON-14).
//!
//! Owns the shapes and their bounds. Does not know whether an act counts: that is [`crate::judge`]'s.

use std::fmt;

use halcyon_types::{DeviceId, MessageId};
use unicode_segmentation::UnicodeSegmentation as _;

use crate::{
    ConversationMembers, PARTS_MAX,
    decode::{DecodeError, decode_message_id},
    encode::EncodeError,
    model::Kind,
    text::{self, Text},
    wire,
};

/// Bytes of an emoji (CON-12): families with skin tones have 41.
pub const EMOJI_BYTES_MAX: usize = 64;

/// A part of a message (CON-10). Message ids are their writers' to choose, so only id and device together name a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The message.
    pub message: MessageId,
    /// The device that wrote it.
    pub device: DeviceId,
    /// The part, from 0, below [`PARTS_MAX`].
    pub part: u32,
}

/// Something that is done to a part of a message (CON-11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// To which.
    pub target: Target,
    /// What.
    pub deed: Deed,
}

/// What is done to a part.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deed {
    /// A tapback is put in the place of the one before, or taken back (CON-12).
    Tapback {
        /// Which one.
        tapback: Tapback,
        /// Whether it is taken back.
        removed: bool,
    },
    /// The text is another one (CON-13).
    Edit(Text),
    /// It was not meant to be said (CON-14).
    Unsend,
}

/// How somebody feels about a part (CON-12).
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tapback {
    /// ♥
    Love,
    /// Thumbs up.
    Like,
    /// Thumbs down.
    Dislike,
    /// Ha ha.
    Laugh,
    /// ‼
    Emphasise,
    /// ?
    Question,
    /// Any single emoji: see [`Tapback::emoji`].
    Emoji(String),
}

impl Tapback {
    /// Those that have a name of their own.
    pub const NAMED: [Self; 6] = [Self::Love, Self::Like, Self::Dislike, Self::Laugh, Self::Emphasise, Self::Question];

    /// Returns the tapback with an emoji; `None` unless it is one character as people count them, and not of ASCII alone.
    #[must_use]
    pub fn emoji(text: &str) -> Option<Self> {
        let is_one = text.graphemes(true).count() == 1;
        let is_plain = text.is_ascii() || text.chars().any(|one| one.is_control() || one.is_whitespace());
        (is_one && !is_plain && text.len() <= EMOJI_BYTES_MAX).then(|| Self::Emoji(text.to_owned()))
    }
}

/// An emoji is content (I9).
impl fmt::Debug for Tapback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tapback(redacted)")
    }
}

pub(crate) fn decode_target(wire: &wire::Target) -> Result<Target, DecodeError> {
    let message = decode_message_id(&wire.message_id)?;
    let device = DeviceId::try_from(&wire.sender_device[..]).map_err(|_| DecodeError::Target)?;
    if wire.part as usize >= PARTS_MAX {
        return Err(DecodeError::Target); // CON-10
    }
    Ok(Target { message, device, part: wire.part })
}

pub(crate) fn encode_target(target: &Target) -> Result<wire::Target, EncodeError> {
    if target.part as usize >= PARTS_MAX {
        return Err(EncodeError::Target); // CON-10
    }
    Ok(wire::Target {
        message_id: target.message.as_bytes().to_vec().into(),
        sender_device: target.device.as_bytes().to_vec().into(),
        part: target.part,
    })
}

pub(crate) fn decode(wire: wire::Act, members: &ConversationMembers) -> Result<Kind, DecodeError> {
    let target = decode_target(&wire.target.unwrap_or_default())?;
    let deed = match wire.deed {
        None => return Ok(Kind::Unsupported), // CON-5
        Some(wire::act::Deed::Tapback(tapback)) => match decode_tapback(&tapback)? {
            Some(deed) => deed,
            None => return Ok(Kind::Unsupported), // CON-5
        },
        Some(wire::act::Deed::Edit(edit)) => {
            let wire::Edit { text, styles, mentions } = edit;
            Deed::Edit(text::decode(wire::Text { text, styles, mentions }, members)?) // CON-13
        }
        Some(wire::act::Deed::Unsend(_)) => Deed::Unsend,
    };
    Ok(Kind::Act(Act { target, deed }))
}

/// None for a reaction that a later version knows.
fn decode_tapback(wire: &wire::Tapback) -> Result<Option<Deed>, DecodeError> {
    let Ok(reaction) = wire::Reaction::try_from(wire.reaction) else { return Ok(None) };
    let tapback = match reaction {
        wire::Reaction::Unspecified => return Ok(None),
        wire::Reaction::Emoji => Tapback::emoji(&wire.emoji).ok_or(DecodeError::Emoji)?, // CON-12
        _ if !wire.emoji.is_empty() => return Err(DecodeError::Emoji),
        wire::Reaction::Love => Tapback::Love,
        wire::Reaction::Like => Tapback::Like,
        wire::Reaction::Dislike => Tapback::Dislike,
        wire::Reaction::Laugh => Tapback::Laugh,
        wire::Reaction::Emphasise => Tapback::Emphasise,
        wire::Reaction::Question => Tapback::Question,
    };
    Ok(Some(Deed::Tapback { tapback, removed: wire.removed }))
}

pub(crate) fn encode(act: &Act, members: &ConversationMembers) -> Result<wire::Act, EncodeError> {
    let deed = match &act.deed {
        Deed::Tapback { tapback, removed } => {
            let (reaction, emoji) = encode_tapback(tapback)?;
            wire::act::Deed::Tapback(wire::Tapback { reaction: reaction.into(), emoji, removed: *removed })
        }
        Deed::Edit(text) => {
            let wire::Text { text, styles, mentions } = text::encode(text, members)?; // CON-13
            wire::act::Deed::Edit(wire::Edit { text, styles, mentions })
        }
        Deed::Unsend => wire::act::Deed::Unsend(wire::Unsend {}),
    };
    Ok(wire::Act { target: Some(encode_target(&act.target)?), deed: Some(deed) })
}

fn encode_tapback(tapback: &Tapback) -> Result<(wire::Reaction, String), EncodeError> {
    let named = |reaction| Ok((reaction, String::new()));
    match tapback {
        Tapback::Love => named(wire::Reaction::Love),
        Tapback::Like => named(wire::Reaction::Like),
        Tapback::Dislike => named(wire::Reaction::Dislike),
        Tapback::Laugh => named(wire::Reaction::Laugh),
        Tapback::Emphasise => named(wire::Reaction::Emphasise),
        Tapback::Question => named(wire::Reaction::Question),
        Tapback::Emoji(text) if Tapback::emoji(text).is_none() => Err(EncodeError::Emoji),
        Tapback::Emoji(text) => Ok((wire::Reaction::Emoji, text.clone())),
    }
}
