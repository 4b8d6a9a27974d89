//! Text with styles and mentions. Spec: 50-content.md (CON-3, CON-16, CON-17).
//!
//! Owns the shapes and their bounds. Does not know how a style looks.
//!
//! - Ranges count bytes of the UTF-8, lie in the text and between characters, and follow one another; so whoever shows a text can cut it
//!   there without looking.

use std::fmt;

use halcyon_types::Handle;

use crate::{ConversationMembers, TEXT_BYTES_MAX, decode::DecodeError, encode::EncodeError, wire};

/// Stretches of a text with a style (CON-16).
pub const STYLES_MAX: usize = 128;
/// Mentions in a text (CON-17).
pub const MENTIONS_MAX: usize = 32;

/// UTF-8 text, as the peer wrote it: see [`crate::for_display`] before it is printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Text {
    /// What it says.
    pub text: String,
    /// How stretches of it look, in order.
    pub styles: Vec<Styled>,
    /// Who is named in it, in order.
    pub mentions: Vec<Mention>,
}

/// A stretch of a text, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first byte.
    pub start: u32,
    /// How many, at least 1.
    pub length: u32,
}

/// A stretch that looks different (CON-16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Styled {
    /// Which.
    pub range: Range,
    /// How.
    pub style: Style,
}

/// How a stretch looks; several at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Bold.
    pub bold: bool,
    /// Italic.
    pub italic: bool,
    /// Underlined.
    pub underline: bool,
    /// Struck through.
    pub strikethrough: bool,
    /// How it moves.
    pub animation: Option<Animation>,
}

/// How a stretch moves, where a client can show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Animation {
    /// Grows.
    Big,
    /// Shrinks.
    Small,
    /// Shakes.
    Shake,
    /// Nods.
    Nod,
    /// Explodes.
    Explode,
    /// Ripples.
    Ripple,
    /// Blooms.
    Bloom,
    /// Jitters.
    Jitter,
}

/// A stretch that names a member of the conversation (CON-17).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    /// Which.
    pub range: Range,
    /// Whom.
    pub handle: Handle,
}

impl Text {
    /// Returns a text without styles and mentions.
    #[must_use]
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
}

impl Range {
    /// Returns the bytes of a text that has this range.
    #[must_use]
    pub fn bytes(self) -> std::ops::Range<usize> {
        let start = self.start as usize;
        start..start.saturating_add(self.length as usize)
    }

    /// Whether a text can be cut there, and it begins nowhere before `after`.
    fn fits(self, text: &str, after: usize) -> bool {
        let bytes = self.bytes();
        bytes.start >= after && !bytes.is_empty() && text.get(bytes).is_some()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes, redacted)", self.text.len())
    }
}

/// Whether ranges lie in a text, between its characters, one behind the other.
fn in_order(text: &str, ranges: impl Iterator<Item = Range>) -> bool {
    let mut after = 0;
    for range in ranges {
        if !range.fits(text, after) {
            return false;
        }
        after = range.bytes().end;
    }
    true
}

/// What is wrong with a text.
pub(crate) enum TextError {
    Length(usize),
    Styles,
    Mentions,
}

/// CON-3, CON-16, CON-17
fn check(text: &Text, members: &ConversationMembers) -> Result<(), TextError> {
    if !(1..=TEXT_BYTES_MAX).contains(&text.text.len()) {
        return Err(TextError::Length(text.text.len()));
    }
    let styles = text.styles.iter().map(|styled| styled.range);
    if text.styles.len() > STYLES_MAX || !in_order(&text.text, styles) {
        return Err(TextError::Styles);
    }
    let mentions = text.mentions.iter().map(|mention| mention.range);
    let all_members = text.mentions.iter().all(|mention| members.contains(&mention.handle));
    if text.mentions.len() > MENTIONS_MAX || !all_members || !in_order(&text.text, mentions) {
        return Err(TextError::Mentions);
    }
    Ok(())
}

impl From<TextError> for DecodeError {
    fn from(error: TextError) -> Self {
        match error {
            TextError::Length(bytes) => Self::Text(bytes),
            TextError::Styles => Self::Styles,
            TextError::Mentions => Self::Mentions,
        }
    }
}

impl From<TextError> for EncodeError {
    fn from(error: TextError) -> Self {
        match error {
            TextError::Length(bytes) => Self::Text(bytes),
            TextError::Styles => Self::Styles,
            TextError::Mentions => Self::Mentions,
        }
    }
}

pub(crate) fn decode(wire: wire::Text, members: &ConversationMembers) -> Result<Text, DecodeError> {
    // Before anything is made of them.
    if wire.styles.len() > STYLES_MAX {
        return Err(DecodeError::Styles);
    }
    if wire.mentions.len() > MENTIONS_MAX {
        return Err(DecodeError::Mentions);
    }
    let styled = |styled: &wire::Styled| Styled {
        range: Range { start: styled.start, length: styled.length },
        style: decode_style(styled),
    };
    let mention = |mention: &wire::Mention| {
        let range = Range { start: mention.start, length: mention.length };
        Ok(Mention { range, handle: crate::decode::decode_handle(&mention.handle)? })
    };
    let mentions = wire.mentions.iter().map(mention).collect::<Result<_, DecodeError>>()?;
    let text = Text { text: wire.text, styles: wire.styles.iter().map(styled).collect(), mentions };
    check(&text, members)?;
    Ok(text)
}

pub(crate) fn encode(text: &Text, members: &ConversationMembers) -> Result<wire::Text, EncodeError> {
    check(text, members)?;
    let styled = |Styled { range, style }: &Styled| wire::Styled {
        start: range.start,
        length: range.length,
        style: encode_style(*style),
        animation: style.animation.map_or(wire::Animation::Unspecified, encode_animation).into(),
    };
    let mention = |Mention { range, handle }: &Mention| wire::Mention {
        start: range.start,
        length: range.length,
        handle: handle.as_uri().to_owned(),
    };
    Ok(wire::Text {
        text: text.text.clone(),
        styles: text.styles.iter().map(styled).collect(),
        mentions: text.mentions.iter().map(mention).collect(),
    })
}

const BOLD: u32 = 1;
const ITALIC: u32 = 2;
const UNDERLINE: u32 = 4;
const STRIKETHROUGH: u32 = 8;

/// What a later version means by other bits is not shown (CON-16).
fn decode_style(wire: &wire::Styled) -> Style {
    let has = |bit| wire.style & bit != 0;
    Style {
        bold: has(BOLD),
        italic: has(ITALIC),
        underline: has(UNDERLINE),
        strikethrough: has(STRIKETHROUGH),
        animation: wire::Animation::try_from(wire.animation).ok().and_then(decode_animation),
    }
}

fn encode_style(style: Style) -> u32 {
    let bits = [
        (style.bold, BOLD),
        (style.italic, ITALIC),
        (style.underline, UNDERLINE),
        (style.strikethrough, STRIKETHROUGH),
    ];
    bits.into_iter().filter(|(is_set, _)| *is_set).map(|(_, bit)| bit).sum()
}

fn decode_animation(wire: wire::Animation) -> Option<Animation> {
    Some(match wire {
        wire::Animation::Unspecified => return None,
        wire::Animation::Big => Animation::Big,
        wire::Animation::Small => Animation::Small,
        wire::Animation::Shake => Animation::Shake,
        wire::Animation::Nod => Animation::Nod,
        wire::Animation::Explode => Animation::Explode,
        wire::Animation::Ripple => Animation::Ripple,
        wire::Animation::Bloom => Animation::Bloom,
        wire::Animation::Jitter => Animation::Jitter,
    })
}

fn encode_animation(animation: Animation) -> wire::Animation {
    match animation {
        Animation::Big => wire::Animation::Big,
        Animation::Small => wire::Animation::Small,
        Animation::Shake => wire::Animation::Shake,
        Animation::Nod => wire::Animation::Nod,
        Animation::Explode => wire::Animation::Explode,
        Animation::Ripple => wire::Animation::Ripple,
        Animation::Bloom => wire::Animation::Bloom,
        Animation::Jitter => wire::Animation::Jitter,
    }
}
