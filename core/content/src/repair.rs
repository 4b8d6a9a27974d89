//! Places of copies, and what devices tell one another so that nothing stays missing. Spec: 61-repair.md (REP-1, REP-2, REP-24).
//!
//! Owns the shapes and their bounds. Does not know what is missing, or who may ask for what.

use std::fmt;

use bytes::Bytes;
use halcyon_types::{AccountId, ConversationId, DeviceId, EnvelopeId, SuiteId, Timestamp};
use prost::Message as _;

use crate::{CONTENT_BYTES_MAX, decode::DecodeError, encode::EncodeError, wire};

/// Spans or counts in one list of a repair: 64 of at most 50 bytes each, four lists of them, fit into a plaintext (REP-2).
pub const SPANS_MAX: usize = 64;
/// Envelopes in one list of a repair (REP-2).
pub const ENVELOPES_MAX: usize = 128;
/// Bytes that a place takes at most: three numbers of 10 bytes, an id, and their tags (CON-8).
pub const PLACE_BYTES_MAX: usize = 64;

/// Where a copy stands among what its sender's device sealed for one device (REP-1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// Names the numbering of one sending device: one that begins anew takes a higher one.
    pub stream: u64,
    /// From 1, for each conversation and receiving device; 0 if this is not numbered.
    pub number: u64,
    /// The sender's epoch (REP-20).
    pub epoch: u64,
    /// The envelope in whose place this one comes (REP-12).
    pub mends: Option<EnvelopeId>,
}

/// What one device asks another for, and tells it (REP-2). Every list may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// These did not open, at most [`ENVELOPES_MAX`].
    pub unopened: Vec<Unopened>,
    /// These did not come, at most [`SPANS_MAX`].
    pub wanted: Vec<Span>,
    /// So many were sealed for the addressed device, at most [`SPANS_MAX`].
    pub counts: Vec<StreamEnd>,
    /// Everything up to here is here, at most [`SPANS_MAX`].
    pub had: Vec<StreamEnd>,
    /// These cannot be sent again, at most [`SPANS_MAX`].
    pub gone: Vec<Span>,
    /// Nor can these, at most [`ENVELOPES_MAX`].
    pub gone_envelopes: Vec<EnvelopeId>,
    /// The highest epoch that the addressed device ever showed; 0 if none (REP-22).
    pub epoch_seen: u64,
    /// The writer lost what it knew: it asks for all counts (REP-23).
    pub counts_wanted: bool,
    /// From an own device: what was stored since then is to be forwarded (REP-24).
    pub forward_since: Option<Timestamp>,
    /// What was sent again does not get through: what is sealed from now on begins anew (REP-17).
    pub restart: bool,
    /// All counts that were asked for are told, and what was to be forwarded is on its way.
    pub answered: bool,
}

/// A message that did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unopened {
    /// Its envelope.
    pub envelope: EnvelopeId,
    /// Why.
    pub cause: RepairCause,
}

/// Why a message did not open, as far as its sender has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RepairCause {
    /// Signed by the sender's device, and the key is not here.
    NoKey,
    /// Signed by the sender's device, with the key of another message (PQ3-26): the sender is an older copy of itself (REP-22).
    Forked,
    /// A cause that a later version knows.
    Other,
}

/// Messages of one stream that follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The conversation.
    pub conversation: ConversationId,
    /// The stream of the device that sealed them.
    pub stream: u64,
    /// The first, at least 1.
    pub first: u64,
    /// The last, at least the first.
    pub last: u64,
}

/// How far a stream goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamEnd {
    /// The conversation.
    pub conversation: ConversationId,
    /// The stream of the device that sealed it.
    pub stream: u64,
    /// The last number.
    pub last: u64,
}

/// A message of the history, on its way between devices of one account (REP-24).
#[derive(Clone, PartialEq, Eq)]
pub struct Forward {
    /// The encoded `Content`, as it is stored. Decoded by its reader with [`decode`](crate::decode).
    pub content: Bytes,
    /// The account that sent it.
    pub sender_account: AccountId,
    /// The device that sealed it.
    pub sender_device: DeviceId,
    /// The suite that it arrived in.
    pub suite: Option<SuiteId>,
    /// When the forwarding device stored it.
    pub stored: Timestamp,
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Forward({} bytes, redacted)", self.content.len())
    }
}

impl Repair {
    /// Says whether it tells and asks nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let lists = self.unopened.is_empty() && self.gone_envelopes.is_empty() && self.spans_are_empty();
        lists && !self.counts_wanted && self.forward_since.is_none() && !self.answered
    }

    fn spans_are_empty(&self) -> bool {
        self.wanted.is_empty() && self.counts.is_empty() && self.had.is_empty() && self.gone.is_empty()
    }
}

/// Returns an encoded plaintext with the place of one device's copy behind it, which decodes as a field of it (CON-8).
#[must_use]
pub fn with_place(encoded: &[u8], place: &Place) -> Vec<u8> {
    let tail = wire::Content { place: Some(encode_place(place)), ..Default::default() }.encode_to_vec();
    [encoded, &tail].concat()
}

pub(crate) fn encode_place(place: &Place) -> wire::Place {
    wire::Place {
        stream: place.stream,
        number: place.number,
        epoch: place.epoch,
        mends: place.mends.map(|id| id.as_bytes().to_vec().into()).unwrap_or_default(),
    }
}

pub(crate) fn decode_place(wire: wire::Place) -> Result<Place, DecodeError> {
    let mends = match wire.mends.is_empty() {
        true => None,
        false => Some(EnvelopeId::try_from(&wire.mends[..]).map_err(|_| DecodeError::Place)?),
    };
    Ok(Place { stream: wire.stream, number: wire.number, epoch: wire.epoch, mends })
}

pub(crate) fn encode(repair: &Repair) -> Result<wire::Repair, EncodeError> {
    if let Some(list) = repair.too_long() {
        return Err(EncodeError::Repair(list));
    }
    let unopened = |one: &Unopened| wire::Unopened {
        envelope_id: one.envelope.as_bytes().to_vec().into(),
        cause: match one.cause {
            RepairCause::NoKey => wire::Cause::NoKey.into(),
            RepairCause::Forked => wire::Cause::Forked.into(),
            RepairCause::Other => wire::Cause::Unspecified.into(),
        },
    };
    Ok(wire::Repair {
        unopened: repair.unopened.iter().map(unopened).collect(),
        wanted: repair.wanted.iter().map(encode_span).collect(),
        counts: repair.counts.iter().map(encode_end).collect(),
        had: repair.had.iter().map(encode_end).collect(),
        gone: repair.gone.iter().map(encode_span).collect(),
        gone_envelopes: repair.gone_envelopes.iter().map(|id| id.as_bytes().to_vec().into()).collect(),
        epoch_seen: repair.epoch_seen,
        counts_wanted: repair.counts_wanted,
        forward_since_ms: repair.forward_since.map(Timestamp::as_millis).unwrap_or_default(),
        restart: repair.restart,
        answered: repair.answered,
    })
}

pub(crate) fn decode(wire: wire::Repair) -> Result<Repair, DecodeError> {
    // REP-2: the lengths first, so that nothing is allocated for what is refused.
    let counts = [wire.wanted.len(), wire.counts.len(), wire.had.len(), wire.gone.len()];
    if counts.into_iter().any(|count| count > SPANS_MAX) {
        return Err(DecodeError::Repair("spans"));
    }
    if wire.unopened.len() > ENVELOPES_MAX || wire.gone_envelopes.len() > ENVELOPES_MAX {
        return Err(DecodeError::Repair("envelopes"));
    }
    let envelope = |bytes: &Bytes| EnvelopeId::try_from(&bytes[..]).map_err(|_| DecodeError::Repair("envelopes"));
    let unopened = |one: &wire::Unopened| {
        let cause = match wire::Cause::try_from(one.cause) {
            Ok(wire::Cause::NoKey) => RepairCause::NoKey,
            Ok(wire::Cause::Forked) => RepairCause::Forked,
            Ok(wire::Cause::Unspecified) | Err(_) => RepairCause::Other,
        };
        Ok(Unopened { envelope: envelope(&one.envelope_id)?, cause })
    };
    Ok(Repair {
        unopened: wire.unopened.iter().map(unopened).collect::<Result<_, DecodeError>>()?,
        wanted: wire.wanted.iter().map(decode_span).collect::<Result<_, _>>()?,
        counts: wire.counts.iter().map(decode_end).collect::<Result<_, _>>()?,
        had: wire.had.iter().map(decode_end).collect::<Result<_, _>>()?,
        gone: wire.gone.iter().map(decode_span).collect::<Result<_, _>>()?,
        gone_envelopes: wire.gone_envelopes.iter().map(envelope).collect::<Result<_, _>>()?,
        epoch_seen: wire.epoch_seen,
        counts_wanted: wire.counts_wanted,
        forward_since: (wire.forward_since_ms > 0).then(|| Timestamp::from_millis(wire.forward_since_ms)),
        restart: wire.restart,
        answered: wire.answered,
    })
}

impl Repair {
    fn too_long(&self) -> Option<&'static str> {
        let spans = [self.wanted.len(), self.counts.len(), self.had.len(), self.gone.len()];
        if spans.into_iter().any(|count| count > SPANS_MAX) {
            return Some("spans");
        }
        (self.unopened.len() > ENVELOPES_MAX || self.gone_envelopes.len() > ENVELOPES_MAX).then_some("envelopes")
    }
}

fn encode_span(span: &Span) -> wire::Span {
    let conversation = span.conversation.as_bytes().to_vec().into();
    wire::Span { conversation, stream: span.stream, first: span.first, last: span.last }
}

fn decode_span(wire: &wire::Span) -> Result<Span, DecodeError> {
    // REP-2
    if wire.first == 0 || wire.last < wire.first {
        return Err(DecodeError::Repair("spans"));
    }
    let conversation = conversation(&wire.conversation)?;
    Ok(Span { conversation, stream: wire.stream, first: wire.first, last: wire.last })
}

fn encode_end(end: &StreamEnd) -> wire::Count {
    wire::Count { conversation: end.conversation.as_bytes().to_vec().into(), stream: end.stream, last: end.last }
}

fn decode_end(wire: &wire::Count) -> Result<StreamEnd, DecodeError> {
    Ok(StreamEnd { conversation: conversation(&wire.conversation)?, stream: wire.stream, last: wire.last })
}

fn conversation(bytes: &[u8]) -> Result<ConversationId, DecodeError> {
    ConversationId::try_from(bytes).map_err(|_| DecodeError::Repair("conversations"))
}

pub(crate) fn encode_forward(forward: &Forward) -> wire::Forward {
    wire::Forward {
        content: forward.content.clone(),
        sender_account: forward.sender_account.as_bytes().to_vec().into(),
        sender_device: forward.sender_device.as_bytes().to_vec().into(),
        suite: forward.suite.map(SuiteId::as_u32).unwrap_or_default(),
        stored_ms: forward.stored.as_millis(),
    }
}

pub(crate) fn decode_forward(wire: wire::Forward) -> Result<Forward, DecodeError> {
    if wire.content.len() > CONTENT_BYTES_MAX {
        return Err(DecodeError::TooLarge(wire.content.len()));
    }
    Ok(Forward {
        sender_account: AccountId::try_from(&wire.sender_account[..]).map_err(|_| DecodeError::Repair("senders"))?,
        sender_device: DeviceId::try_from(&wire.sender_device[..]).map_err(|_| DecodeError::Repair("senders"))?,
        suite: (wire.suite != 0).then(|| SuiteId::from_u32(wire.suite)),
        stored: Timestamp::from_millis(wire.stored_ms),
        content: wire.content,
    })
}
