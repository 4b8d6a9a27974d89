//! Sends that a server makes later: requests, questions and answers, and the checks of their form. Spec: 30-courier.md §6 (COU-60 to
//! COU-64).
//!
//! Owns what a hold is on the wire. Does not know where it is kept, or when it is made: the server's `courier::hold` does.
//!
//! - What is held is a whole [`UncheckedSend`]: it is checked when it is taken, and again when it is made.

use halcyon_types::{HoldId, Timestamp};

use crate::{
    Limits,
    frame::FrameError,
    limits::HOLD_MAX,
    send::{SendRequest, SentPart, UncheckedSend, statuses_from_wire, statuses_to_wire},
    wire::{self, HoldState, Status},
};

/// A hold as it arrived: its ids are ids, and nothing more is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct UncheckedHold {
    /// Chosen by the device, unique on the connection among sends, holds and questions.
    pub id: u64,
    /// Its name.
    pub hold: HoldId,
    /// When it is to be made.
    pub due: Timestamp,
    /// Only in the place of what is held by this name (COU-62).
    pub replaces: bool,
    /// What is to be made.
    pub send: UncheckedSend,
}

/// A hold whose form was checked.
#[derive(Clone, Debug, PartialEq)]
pub struct HoldRequest {
    /// As it arrived.
    pub hold: UncheckedHold,
    /// What it holds, as it would be sent now.
    pub send: SendRequest,
}

/// A question about a hold (COU-63).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldQuestion {
    /// Chosen by the device, unique on the connection among sends, holds and questions.
    pub id: u64,
    /// Which.
    pub hold: HoldId,
    /// Whether it is not to be made, if it was not yet.
    pub cancel: bool,
}

/// The answer to a hold, or to a question about one (COU-61).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldAnswer {
    /// Of the request.
    pub id: u64,
    /// What became of it. One that this version does not know is read as [`HoldState::HoldUnspecified`].
    pub state: HoldState,
    /// Of one that was refused: why, envelope by envelope.
    pub parts: Vec<SentPart>,
}

impl UncheckedHold {
    /// Wraps a send to be made later.
    #[must_use]
    pub fn new(hold: HoldId, due: Timestamp, replaces: bool, send: SendRequest) -> Self {
        Self { id: send.id, hold, due, replaces, send: send.into_unchecked() }
    }

    /// Checks the form of a hold, as that of a send (COU-40) whose time is not over.
    ///
    /// # Errors
    /// The answer to give: nothing is held.
    pub fn check(self, limits: &Limits, now: Timestamp) -> Result<HoldRequest, HeldAnswer> {
        // COU-60
        if self.due > now.plus(HOLD_MAX) {
            return Err(HeldAnswer::new(self.id, HoldState::TooFar));
        }
        let id = self.id;
        let send = self.send.clone().held_until(now);
        let send = send.check(limits, now).map_err(|sent| HeldAnswer::refused(id, sent.parts))?;
        // COU-61: all or nothing, so that what is held is what was sealed together.
        let malformed =
            send.destinations.iter().flat_map(|destination| &destination.parts).any(|part| part.sealed.is_err());
        if malformed {
            let status = |part: &crate::Part| part.sealed.as_ref().err().copied().unwrap_or(Status::Unavailable);
            let parts = send.destinations.iter().flat_map(|destination| &destination.parts);
            let parts = parts.map(|part| SentPart { envelope_id: part.envelope_id.clone(), status: status(part) });
            return Err(HeldAnswer::refused(id, parts.collect()));
        }
        Ok(HoldRequest { hold: self, send })
    }

    /// Returns the answer that refuses it as a whole.
    #[must_use]
    pub fn answer_all(&self, status: Status) -> HeldAnswer {
        HeldAnswer::refused(self.id, self.send.answer_all(status).parts)
    }

    pub(crate) fn from_wire(wire: wire::Hold) -> Result<Self, FrameError> {
        Ok(Self {
            id: wire.id,
            hold: hold_id(&wire.hold_id)?,
            due: Timestamp::from_millis(wire.due_ms),
            replaces: wire.replaces,
            send: UncheckedSend(wire.send.ok_or(FrameError::Field("send"))?),
        })
    }

    pub(crate) fn into_wire(self) -> wire::Hold {
        wire::Hold {
            id: self.id,
            hold_id: self.hold.as_bytes().to_vec().into(),
            due_ms: self.due.as_millis(),
            replaces: self.replaces,
            send: Some(self.send.0),
        }
    }
}

impl HoldQuestion {
    pub(crate) fn from_wire(wire: &wire::HoldQuestion) -> Result<Self, FrameError> {
        Ok(Self { id: wire.id, hold: hold_id(&wire.hold_id)?, cancel: wire.cancel })
    }

    pub(crate) fn to_wire(self) -> wire::HoldQuestion {
        wire::HoldQuestion { id: self.id, hold_id: self.hold.as_bytes().to_vec().into(), cancel: self.cancel }
    }
}

impl HeldAnswer {
    /// Says what became of a hold.
    #[must_use]
    pub fn new(id: u64, state: HoldState) -> Self {
        Self { id, state, parts: Vec::new() }
    }

    /// Says why one is not held.
    #[must_use]
    pub fn refused(id: u64, parts: Vec<SentPart>) -> Self {
        Self { id, state: HoldState::Refused, parts }
    }

    pub(crate) fn from_wire(wire: wire::Held) -> Self {
        Self { id: wire.id, state: wire.state(), parts: statuses_from_wire(wire.statuses) }
    }

    pub(crate) fn to_wire(&self) -> wire::Held {
        wire::Held { id: self.id, state: self.state.into(), statuses: statuses_to_wire(&self.parts) }
    }
}

fn hold_id(bytes: &[u8]) -> Result<HoldId, FrameError> {
    HoldId::try_from(bytes).map_err(|_| FrameError::Field("hold id"))
}
