//! A request to send, and its answer, envelope by envelope. Spec: 30-courier.md §4 (COU-33, COU-40 to COU-42).
//!
//! Owns the checks that need nothing but the request. Does not know tokens, lists or mailboxes: the server's accept does.
//!
//! - What is wrong with one envelope is that envelope's status and touches no other (COU-41).
//! - What is wrong with the request as a whole is every envelope's status.

use bytes::Bytes;
use halcyon_types::{EnvelopeId, Handle, PushToken, SuiteId, Timestamp, Topic};
use prost::Message as _;

use crate::{
    Limits,
    envelope::parse_normal,
    limits::EXPIRY_MAX,
    wire::{self, Status},
};

/// A send as it arrived: it decodes, and nothing more is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct UncheckedSend(pub(crate) wire::Send);

/// One request for all addressed devices, its form checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendRequest {
    /// Chosen by the device, unique on the connection.
    pub id: u64,
    /// Never `halcyon.alert` (COU-33).
    pub topic: Topic,
    /// Claimed; the server checks that it is one of the account's (COU-40).
    pub sender_handle: Handle,
    /// The version of the sender's own list.
    pub sender_list_version: u64,
    /// How long the envelopes may wait.
    pub expiry: Expiry,
    /// How often the device sealed anything, as its last commit has it (COU-17); 0 does not tell.
    pub epoch: u64,
    /// One part an account.
    pub destinations: Vec<Destination>,
}

/// How long a notification may wait (COU-40).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Delivered at once to a connected device, or never; not stored.
    NowOrNever,
    /// Stored until this time, at most 30 days ahead.
    At(Timestamp),
}

impl Expiry {
    /// Returns what `expires_ms` means at `now`: later times are brought down to 30 days ahead (COU-40).
    #[must_use]
    pub fn from_millis(millis: u64, now: Timestamp) -> Self {
        match millis {
            0 => Self::NowOrNever,
            millis => Self::At(Timestamp::from_millis(millis).min(now.plus(EXPIRY_MAX))),
        }
    }

    /// Says whether there is nobody left to store it for: its time was over before `now` (COU-40).
    #[must_use]
    pub fn has_passed(self, now: Timestamp) -> bool {
        matches!(self, Self::At(time) if time <= now)
    }

    /// Returns the time as it stands in an envelope.
    #[must_use]
    pub fn as_timestamp(self) -> Timestamp {
        match self {
            Self::NowOrNever => Timestamp::default(),
            Self::At(time) => time,
        }
    }
}

/// One account's part of a send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// From the lookup; opaque here (DIR-30).
    pub session_token: Bytes,
    /// The list version that the part was sealed for (DIR-31).
    pub list_version: u64,
    /// One a device.
    pub parts: Vec<Part>,
}

/// One envelope of a send, or why it is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// As sent; repeated in the answer even if it is malformed.
    pub envelope_id: Bytes,
    /// What is to be stored, or the status that its form deserves: `MALFORMED` or `TOO_LARGE`.
    pub sealed: Result<Sealed, Status>,
}

/// One sealed message for one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Drawn by the sender.
    pub id: EnvelopeId,
    /// Whose mailbox.
    pub push_token: PushToken,
    /// The suite that sealed it.
    pub suite: SuiteId,
    /// At most 20 KiB.
    pub payload: Bytes,
}

/// The answer to a send: one status an envelope, in the order sent (COU-41).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Of the send.
    pub id: u64,
    /// In the order sent.
    pub parts: Vec<SentPart>,
}

/// What became of one envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentPart {
    /// As sent.
    pub envelope_id: Bytes,
    /// What became of it.
    pub status: Status,
}

impl UncheckedSend {
    /// Checks the form of a request.
    ///
    /// # Errors
    /// The answer to give when the request as a whole cannot be accepted: `FORBIDDEN` for the topic of alerts (COU-33),
    /// `MALFORMED` for a topic or handle that is none, or too many envelopes, `EXPIRED` when its time is over.
    pub fn check(self, limits: &Limits, now: Timestamp) -> Result<SendRequest, Sent> {
        let wire = self.0;
        let refused = |wire: &wire::Send, status| Err(Sent::all(wire, status));
        let (Ok(topic), Some(sender_handle)) = (Topic::parse(&wire.topic), parse_normal(&wire.sender_handle)) else {
            return refused(&wire, Status::Malformed);
        };
        // COU-33
        if !topic.is_for_clients() {
            return refused(&wire, Status::Forbidden);
        }
        // COU-40
        let count: usize = wire.destinations.iter().map(|destination| destination.sealed.len()).sum();
        if count == 0 || count > limits.envelopes_max {
            return refused(&wire, Status::Malformed);
        }
        let expiry = Expiry::from_millis(wire.expires_ms, now);
        if expiry.has_passed(now) {
            return refused(&wire, Status::Expired);
        }
        let destinations = wire.destinations.into_iter().map(|destination| Destination {
            session_token: destination.session_token,
            list_version: destination.list_version,
            parts: destination.sealed.into_iter().map(|sealed| Part::from_wire(sealed, limits)).collect(),
        });
        Ok(SendRequest {
            id: wire.id,
            topic,
            sender_handle,
            sender_list_version: wire.sender_list_version,
            expiry,
            epoch: wire.epoch,
            destinations: destinations.collect(),
        })
    }

    /// Returns the answer that gives every envelope the same status, for a failure of the request as a whole.
    #[must_use]
    pub fn answer_all(&self, status: Status) -> Sent {
        Sent::all(&self.0, status)
    }

    /// Gives the send the time that it has when it is made at `due` (COU-65).
    #[must_use]
    pub fn held_until(mut self, due: Timestamp) -> Self {
        self.0.expires_ms = due.plus(EXPIRY_MAX).as_millis();
        self
    }

    /// Returns the send as it is kept while it is held (COU-60).
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.0.encode_to_vec().into()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) made; none if it is damaged.
    #[must_use]
    pub fn from_bytes(bytes: Bytes) -> Option<Self> {
        wire::Send::decode(bytes).ok().map(Self)
    }

    /// Leaves only the envelopes of these places, as those that did not find room (COU-65).
    #[must_use]
    pub fn only(mut self, wanted: impl Fn(usize) -> bool) -> Self {
        let mut place = 0;
        for destination in &mut self.0.destinations {
            destination.sealed.retain(|_| {
                place += 1;
                wanted(place - 1)
            });
        }
        self.0.destinations.retain(|destination| !destination.sealed.is_empty());
        self
    }
}

impl SendRequest {
    /// Returns the request as it is sent.
    #[must_use]
    pub fn into_unchecked(self) -> UncheckedSend {
        UncheckedSend(self.to_wire())
    }

    fn to_wire(&self) -> wire::Send {
        let destinations = self.destinations.iter().map(|destination| wire::Destination {
            session_token: destination.session_token.clone(),
            list_version: destination.list_version,
            sealed: destination.parts.iter().filter_map(Part::to_wire).collect(),
        });
        wire::Send {
            id: self.id,
            topic: self.topic.as_str().to_owned(),
            sender_handle: self.sender_handle.as_uri().to_owned(),
            sender_list_version: self.sender_list_version,
            expires_ms: self.expiry.as_timestamp().as_millis(),
            epoch: self.epoch,
            destinations: destinations.collect(),
        }
    }

    /// Returns the answer that gives every envelope the same status, for a failure of the request as a whole.
    #[must_use]
    pub fn answer_all(&self, status: Status) -> Sent {
        let parts = self.destinations.iter().flat_map(|destination| &destination.parts);
        let parts = parts.map(|part| SentPart { envelope_id: part.envelope_id.clone(), status });
        Sent { id: self.id, parts: parts.collect() }
    }
}

impl Part {
    /// Wraps an envelope to send.
    #[must_use]
    pub fn new(sealed: Sealed) -> Self {
        Self { envelope_id: Bytes::copy_from_slice(sealed.id.as_bytes()), sealed: Ok(sealed) }
    }

    fn from_wire(wire: wire::Sealed, limits: &Limits) -> Self {
        Self { envelope_id: wire.envelope_id.clone(), sealed: Sealed::from_wire(wire, limits) }
    }

    fn to_wire(&self) -> Option<wire::Sealed> {
        let sealed = self.sealed.as_ref().ok()?;
        Some(wire::Sealed {
            envelope_id: self.envelope_id.clone(),
            push_token: Bytes::copy_from_slice(sealed.push_token.as_bytes()),
            suite: sealed.suite.as_u32(),
            payload: sealed.payload.clone(),
        })
    }
}

impl Sealed {
    fn from_wire(wire: wire::Sealed, limits: &Limits) -> Result<Self, Status> {
        if wire.payload.len() > limits.payload_bytes_max {
            return Err(Status::TooLarge);
        }
        Ok(Self {
            id: EnvelopeId::try_from(&wire.envelope_id[..]).map_err(|_| Status::Malformed)?,
            push_token: PushToken::try_from(&wire.push_token[..]).map_err(|_| Status::Malformed)?,
            suite: SuiteId::from_u32(wire.suite),
            payload: wire.payload,
        })
    }
}

impl Sent {
    fn all(wire: &wire::Send, status: Status) -> Self {
        let sealed = wire.destinations.iter().flat_map(|destination| &destination.sealed);
        let parts = sealed.map(|sealed| SentPart { envelope_id: sealed.envelope_id.clone(), status });
        Self { id: wire.id, parts: parts.collect() }
    }

    pub(crate) fn to_wire(&self) -> wire::Sent {
        wire::Sent { id: self.id, statuses: statuses_to_wire(&self.parts) }
    }

    /// A status that this version does not know is read as [`Status::Unspecified`]: the envelope stays in the outbox.
    pub(crate) fn from_wire(wire: wire::Sent) -> Self {
        Self { id: wire.id, parts: statuses_from_wire(wire.statuses) }
    }
}

pub(crate) fn statuses_to_wire(parts: &[SentPart]) -> Vec<wire::SealedStatus> {
    let status =
        |part: &SentPart| wire::SealedStatus { envelope_id: part.envelope_id.clone(), status: part.status.into() };
    parts.iter().map(status).collect()
}

pub(crate) fn statuses_from_wire(statuses: Vec<wire::SealedStatus>) -> Vec<SentPart> {
    let part = |status: wire::SealedStatus| SentPart { status: status.status(), envelope_id: status.envelope_id };
    statuses.into_iter().map(part).collect()
}
