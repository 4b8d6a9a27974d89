//! Messages and what was done to them, as lines.

use halcyon_client::event::{Origin, ShownMessage, ShownPart, ShownReceipt};
use halcyon_client::{Act, Deed, Effect, Mention, ReceiptKind, Style, Styled, Tapback, Target, Text};
use serde::Serialize;

use super::GroupNameLine;
use super::part::Carried;
use crate::markup::ANIMATIONS;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MessageLine {
    /// The same on every device.
    pub id: String,
    /// Rises in the order in which this device stored messages.
    pub number: u64,
    /// The same for all messages between the same people.
    pub conversation: String,
    /// `here`, `own-device` or `peer`.
    pub origin: &'static str,
    /// The sender's handle.
    pub sender: String,
    /// What the sender wants to be called: a claim of theirs. Null if they did not say, and for own messages.
    pub sender_maybe: Option<String>,
    /// What this account calls the sender.
    pub sender_name: Option<String>,
    /// The sender's device.
    pub sender_device: String,
    /// Its name, if known.
    pub sender_device_name: Option<String>,
    /// Everybody else in the conversation; nobody where it is a group's.
    pub recipients: Vec<String>,
    /// The group in which it was said.
    pub group: Option<GroupNameLine>,
    /// The suite that it arrived in; null for one written here.
    pub suite: Option<String>,
    /// By the sender's clock.
    pub sent_ms: u64,
    /// By this device's clock.
    pub stored_ms: u64,
    /// What it says now; null if this version cannot show it, if it was unsent, or if it has no text.
    pub text: Option<String>,
    /// How stretches of the text look, in order.
    pub styles: Vec<StyleLine>,
    /// Who is named in it, in order.
    pub mentions: Vec<MentionLine>,
    /// Whether one of them is this account.
    pub mentions_me: bool,
    /// A line above it.
    pub subject: Option<String>,
    /// How it appears: `gentle`, `invisible-ink`, `confetti` and so on.
    pub effect: Option<&'static str>,
    /// What it answers.
    pub reply_to: Option<TargetLine>,
    /// Whether all of it was unsent.
    pub unsent: bool,
    /// When it was edited last.
    pub edited_ms: Option<u64>,
    /// What it said before it was edited, oldest first.
    pub earlier: Vec<EarlierLine>,
    /// How people feel about it.
    pub tapbacks: Vec<TapbackLine>,
    /// What it carries besides text: `locations`, `contacts`, `links`.
    #[serde(flatten)]
    pub carried: Carried,
    /// Messages of the sender's device that belong directly before it and are asked for.
    pub missing_before: u64,
    /// Those that belong directly before it and cannot be recovered.
    pub lost_before: u64,
    /// When this account read it, if it is of somebody else.
    pub read_ms: Option<u64>,
    /// When this account deleted it for itself.
    pub deleted_ms: Option<u64>,
    /// Who read or played it, if it is of this account.
    pub receipts: Vec<ReceiptLine>,
    /// Whether its conversation is muted.
    pub muted: bool,
    /// Whether it is kept apart, since its sender is unknown.
    pub unknown: bool,
}

/// That somebody read or played a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReceiptLine {
    /// Who.
    pub by: String,
    /// `read` or `played`.
    pub receipt: &'static str,
    /// When, by that person's clock.
    pub at_ms: u64,
}

impl From<&ShownReceipt> for ReceiptLine {
    fn from(receipt: &ShownReceipt) -> Self {
        let name = match receipt.kind {
            ReceiptKind::Played => "played",
            _ => "read",
        };
        Self { by: receipt.by.to_string(), receipt: name, at_ms: receipt.at.as_millis() }
    }
}

/// How a stretch of a text looks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StyleLine {
    /// Its first byte in the UTF-8 of the text.
    pub start: usize,
    /// Its bytes.
    pub length: usize,
    /// `bold`, `italic`, `underline`, `strikethrough`.
    pub styles: Vec<&'static str>,
    /// How it moves: `shake`, `nod` and so on.
    pub animation: Option<&'static str>,
}

/// Somebody who is named in a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MentionLine {
    /// The first byte of the name in the UTF-8 of the text.
    pub start: usize,
    /// Its bytes.
    pub length: usize,
    /// Who it is.
    pub handle: String,
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetLine {
    /// The message.
    pub message: String,
    /// Its number here; null if it is not here.
    pub number: Option<u64>,
    /// The device that wrote it.
    pub sender_device: String,
    /// The part, from 0.
    pub part: u32,
}

/// What a part said before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EarlierLine {
    /// The part, from 0.
    pub part: usize,
    /// When it said so.
    pub said_ms: u64,
    /// What it said.
    pub text: String,
}

/// A tapback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TapbackLine {
    /// The part, from 0.
    pub part: usize,
    /// Whose it is.
    pub by: String,
    /// `love`, `like`, `dislike`, `laugh`, `emphasise`, `question`, or an emoji.
    pub tapback: String,
}

/// Something that was done to a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ActLine {
    /// Its own id.
    pub id: String,
    /// Its own number, among those of the messages.
    pub number: u64,
    /// The conversation.
    pub conversation: String,
    /// `here`, `own-device` or `peer`.
    pub origin: &'static str,
    /// Who did it.
    pub sender: String,
    /// On which device.
    pub sender_device: String,
    /// Its name, if known.
    pub sender_device_name: Option<String>,
    /// By the sender's clock.
    pub sent_ms: u64,
    /// By this device's clock.
    pub stored_ms: u64,
    /// To which part of which message.
    pub on: TargetLine,
    /// `tapback`, `tapback-removed`, `edit`, `unsend` or `other`.
    pub act: &'static str,
    /// Which tapback.
    pub tapback: Option<String>,
    /// What it says after an edit. Whether the edit counts, `halcyon history` says.
    pub text: Option<String>,
}

/// Returns the name by which a tapback is called.
#[must_use]
pub fn tapback_name(tapback: &Tapback) -> String {
    match tapback {
        Tapback::Love => "love",
        Tapback::Like => "like",
        Tapback::Dislike => "dislike",
        Tapback::Laugh => "laugh",
        Tapback::Emphasise => "emphasise",
        Tapback::Question => "question",
        Tapback::Emoji(emoji) => emoji,
        _ => "other",
    }
    .to_owned()
}

/// Returns the tapback of a name, or of an emoji.
#[must_use]
pub fn tapback_named(name: &str) -> Option<Tapback> {
    Tapback::NAMED.into_iter().find(|tapback| tapback_name(tapback) == name).or_else(|| Tapback::emoji(name))
}

/// Returns the name of an effect.
#[must_use]
pub fn effect_name(effect: Effect) -> &'static str {
    match effect {
        Effect::Gentle => "gentle",
        Effect::Impact => "impact",
        Effect::InvisibleInk => "invisible-ink",
        Effect::Loud => "loud",
        Effect::Confetti => "confetti",
        Effect::Echo => "echo",
        Effect::Fireworks => "fireworks",
        Effect::HappyBirthday => "happy-birthday",
        Effect::Heart => "heart",
        Effect::Lasers => "lasers",
        Effect::ShootingStar => "shooting-star",
        Effect::Sparkles => "sparkles",
        Effect::Spotlight => "spotlight",
        _ => "other",
    }
}

/// Returns the effect of a name.
#[must_use]
pub fn effect_named(name: &str) -> Option<Effect> {
    Effect::ALL.iter().copied().find(|effect| effect_name(*effect) == name)
}

impl StyleLine {
    fn new(styled: &Styled, offset: usize) -> Self {
        let Style { bold, italic, underline, strikethrough, animation } = styled.style;
        let named = [(bold, "bold"), (italic, "italic"), (underline, "underline"), (strikethrough, "strikethrough")];
        let moves = |one| ANIMATIONS.into_iter().find(|(_, known)| *known == one).map(|(name, _)| name);
        Self {
            start: offset + styled.range.bytes().start,
            length: styled.range.bytes().len(),
            styles: named.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name).collect(),
            animation: animation.and_then(moves),
        }
    }
}

impl MentionLine {
    fn new(mention: &Mention, offset: usize) -> Self {
        let bytes = mention.range.bytes();
        Self { start: offset + bytes.start, length: bytes.len(), handle: mention.handle.to_string() }
    }
}

/// Cuts a text where a style or a mention begins or ends: each stretch with its style, and whether it names somebody.
#[must_use]
pub fn stretches<'a>(
    text: &'a str,
    styles: &'a [StyleLine],
    mentions: &[MentionLine],
) -> Vec<(&'a str, Option<&'a StyleLine>, bool)> {
    let has = |start: usize, length: usize, at: usize| (start..start.saturating_add(length)).contains(&at);
    let styled = styles.iter().map(|one| (one.start, one.length));
    let named = mentions.iter().map(|one| (one.start, one.length));
    let mut cuts: Vec<usize> = styled.chain(named).flat_map(|(start, length)| [start, start + length]).collect();
    cuts.extend([0, text.len()]);
    cuts.sort_unstable();
    cuts.dedup();
    let stretch = |cut: &[usize]| {
        let style = styles.iter().find(|one| has(one.start, one.length, cut[0]));
        let is_mention = mentions.iter().any(|one| has(one.start, one.length, cut[0]));
        // Every cut lies between characters (CON-16, CON-17).
        (text.get(cut[0]..cut[1]).unwrap_or_default(), style, is_mention)
    };
    cuts.windows(2).map(stretch).collect()
}

/// The texts that are shown, each with its place in the one that is made of all of them.
fn placed(message: &ShownMessage) -> Vec<(usize, &Text)> {
    let mut after = 0;
    let mut placed = Vec::new();
    for text in message.parts.iter().filter(|part| !part.unsent).filter_map(|part| part.text.as_ref()) {
        placed.push((after, text));
        // One a line.
        after += text.text.len() + 1;
    }
    if message.text.is_some() { placed } else { Vec::new() }
}

impl From<&ShownMessage> for MessageLine {
    fn from(message: &ShownMessage) -> Self {
        let texts = placed(message);
        let styles = |(at, text): &(usize, &Text)| -> Vec<StyleLine> {
            text.styles.iter().map(|styled| StyleLine::new(styled, *at)).collect()
        };
        let mentions = |(at, text): &(usize, &Text)| -> Vec<MentionLine> {
            text.mentions.iter().map(|mention| MentionLine::new(mention, *at)).collect()
        };
        let parts = || message.parts.iter().enumerate();
        let earlier = |(part, shown): (usize, &ShownPart)| -> Vec<EarlierLine> {
            let line = |said: &halcyon_client::ShownEdit| EarlierLine {
                part,
                said_ms: said.said.as_millis(),
                text: said.text.clone(),
            };
            shown.earlier.iter().map(line).collect()
        };
        let tapbacks = |(part, shown): (usize, &ShownPart)| -> Vec<TapbackLine> {
            let line = |one: &halcyon_client::ShownTapback| TapbackLine {
                part,
                by: one.by.to_string(),
                tapback: tapback_name(&one.tapback),
            };
            shown.tapbacks.iter().map(line).collect()
        };
        Self {
            id: message.id.to_hex(),
            number: message.number,
            conversation: message.conversation.to_hex(),
            origin: origin(message.origin),
            sender: message.sender.to_string(),
            sender_maybe: message.sender_maybe.clone(),
            sender_name: message.sender_name.clone(),
            sender_device: message.sender_device.to_hex(),
            sender_device_name: message.sender_device_name.clone(),
            recipients: message.recipients.iter().map(ToString::to_string).collect(),
            group: message.group.as_ref().map(GroupNameLine::from),
            suite: message.suite.map(|suite| suite.to_string()),
            sent_ms: message.sent.as_millis(),
            stored_ms: message.stored.as_millis(),
            text: message.text.clone(),
            styles: texts.iter().flat_map(styles).collect(),
            mentions: texts.iter().flat_map(mentions).collect(),
            mentions_me: message.mentions_me,
            subject: message.subject.as_ref().map(|subject| subject.as_str().to_owned()),
            effect: message.effect.map(effect_name),
            reply_to: message.reply_to.as_ref().map(|target| TargetLine::new(target, message.about)),
            unsent: message.is_unsent(),
            edited_ms: message.parts.iter().filter_map(|part| part.edited).max().map(|at| at.as_millis()),
            earlier: parts().flat_map(earlier).collect(),
            tapbacks: parts().flat_map(tapbacks).collect(),
            carried: Carried::of(message),
            missing_before: message.missing_before,
            lost_before: message.lost_before,
            read_ms: message.read.map(|at| at.as_millis()),
            deleted_ms: message.deleted.map(|at| at.as_millis()),
            receipts: message.receipts.iter().map(ReceiptLine::from).collect(),
            muted: message.muted,
            unknown: message.apart,
        }
    }
}

impl TargetLine {
    fn new(target: &Target, number: Option<u64>) -> Self {
        Self { message: target.message.to_hex(), number, sender_device: target.device.to_hex(), part: target.part }
    }
}

impl ActLine {
    /// Returns the line of an act, as its shown form holds it.
    #[must_use]
    pub fn new(shown: &ShownMessage, act: &Act) -> Self {
        let (name, tapback, text) = match &act.deed {
            Deed::Tapback { tapback, removed: false } => ("tapback", Some(tapback_name(tapback)), None),
            Deed::Tapback { tapback, removed: true } => ("tapback-removed", Some(tapback_name(tapback)), None),
            Deed::Edit(text) => ("edit", None, Some(text.text.clone())),
            Deed::Unsend => ("unsend", None, None),
            _ => ("other", None, None),
        };
        Self {
            id: shown.id.to_hex(),
            number: shown.number,
            conversation: shown.conversation.to_hex(),
            origin: origin(shown.origin),
            sender: shown.sender.to_string(),
            sender_device: shown.sender_device.to_hex(),
            sender_device_name: shown.sender_device_name.clone(),
            sent_ms: shown.sent.as_millis(),
            stored_ms: shown.stored.as_millis(),
            on: TargetLine::new(&act.target, shown.about),
            act: name,
            tapback,
            text,
        }
    }
}

pub(super) fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Here => "here",
        Origin::OwnDevice => "own-device",
        Origin::Peer => "peer",
    }
}
