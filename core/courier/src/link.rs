//! The device's half of one connection. Spec: 30-courier.md §2 to §5 (COU-10 to COU-15, COU-40 to COU-53).
//!
//! Owns what may come when, which sends wait for an answer, which deliveries may be acknowledged, and when to give a sign
//! of life. Does not know sockets, the outbox or what an envelope means: frames go in, [`LinkEvent`]s come out.
//!
//! - A delivery is acknowledged only when it and all before it were reported as committed (RCV-1, COU-52).
//! - A send that is not answered when the link ends is nobody's loss: it stays in the outbox (SND-2).
//! - After an error the link is of no use; the caller hangs up and connects again.

mod keep_alive;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use halcyon_crypto::SigningKey;
use halcyon_types::{DeviceId, Duration, Timestamp};

pub use keep_alive::KeepAliveInterval;

use crate::{
    connect::{ChannelBinding, Connect, Introduction},
    envelope::{Envelope, EnvelopeError},
    frame::{ClientFrame, Close, Connected, Deliver, ServerFrame},
    grant::Grant,
    hold::{HeldAnswer, HoldQuestion, UncheckedHold},
    limits::HANDSHAKE_TIMEOUT,
    send::{SendRequest, Sent},
    topics::Topics,
    wire::CloseCode,
};

/// Sends that wait for an answer. The server answers in the order of its commits; more under way would only wait there.
pub const SENDS_UNANSWERED_MAX: usize = 8;
/// A server answers when its disk has synced, within a second; after this long it is gone, and the outbox sends again.
pub const SENT_TIMEOUT: Duration = Duration::from_secs(30);
/// A sign of life crosses the worst of networks in this time.
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// What a link needs to know before it begins.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// This device.
    pub device: DeviceId,
    /// How often it sealed anything, as its last commit has it (COU-17); 0 does not tell.
    pub epoch: u64,
    /// The host name that was dialed, in lower case (COU-11).
    pub audience: String,
    /// From the TLS connection, or none over WebSocket.
    pub binding: ChannelBinding,
    /// The topics wanted.
    pub topics: Topics,
    /// By what the key may receive that signs the connect, if it is not the device's own (COU-20). Then the epoch is not told.
    pub grant: Option<Grant>,
    /// As the last connection left it.
    pub keep_alive: KeepAliveInterval,
}

/// One connection to the server.
pub struct Link {
    config: LinkConfig,
    state: State,
    /// When something was sent last.
    sent_at: Timestamp,
}

enum State {
    AwaitingHello {
        until: Timestamp,
    },
    AwaitingConnected {
        until: Timestamp,
        /// What the connect asked for.
        topics: Topics,
    },
    Open(Open),
    Over,
}

/// What an open connection owes and is owed.
#[derive(Default)]
struct Open {
    next_send: u64,
    unanswered: BTreeMap<u64, Timestamp>,
    /// Number of the newest delivery.
    delivered: u64,
    /// Everything up to here is acknowledged.
    acknowledged: u64,
    /// Committed, but something before them is not yet.
    committed: BTreeSet<u64>,
    /// Id of a sign of life, and when its answer is overdue.
    asked: Option<(u64, Timestamp)>,
    next_keep_alive: u64,
}

/// What the driver is to do, or to know, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum LinkEvent {
    /// Write a frame.
    Write(ClientFrame),
    /// The device is connected. If the server remembers a higher epoch than the device showed, the device is an older copy
    /// of itself (COU-18): the link goes on, and what follows from it is the caller's to decide.
    Connected(Connected),
    /// A send was answered.
    Sent(Sent),
    /// A hold was answered, or a question about one.
    Held(HeldAnswer),
    /// A notification arrived, to be committed and then reported with [`Link::committed`].
    Delivered(Delivery),
    /// The server ended the connection.
    Closed(Close),
}

/// One notification, as it arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// Number on this connection.
    pub seq: u64,
    /// The envelope. A malformed one is acknowledged like any other, or it would come for ever.
    pub envelope: Result<Envelope, EnvelopeError>,
    /// The encoded envelope.
    pub bytes: Bytes,
    /// It waited in storage.
    pub from_storage: bool,
    /// It is the last that waited.
    pub last_from_storage: bool,
}

/// Why a link is of no use any more. Nothing is lost: what was not answered is sent again, what was not acknowledged
/// comes again.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkError {
    /// The server did not get us connected in time (COU-14).
    #[error("the server did not answer the connect in time; check the network")]
    HandshakeTimeout,
    /// No sign of life (COU-15).
    #[error("nothing was heard of the server; the connection is dead")]
    Silent,
    /// No answer to a send.
    #[error("the server did not answer a send in time; the connection is dead")]
    SendUnanswered,
    /// A frame that may not come now. The server is at fault.
    #[error("the server sent {0}, which it may not do at this point")]
    Unexpected(&'static str),
}

/// Why a send was not taken. It stays in the outbox.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotSent {
    /// Not connected.
    #[error("not connected")]
    NotOpen,
    /// As many sends as may be are waiting for an answer: try when one came.
    #[error("{SENDS_UNANSWERED_MAX} sends wait for an answer")]
    Busy,
}

impl Link {
    /// Begins after the connection was made: the server speaks first (COU-10).
    #[must_use]
    pub fn begin(config: LinkConfig, now: Timestamp) -> Self {
        Self { config, state: State::AwaitingHello { until: now.plus(HANDSHAKE_TIMEOUT) }, sent_at: now }
    }

    /// Says whether the device is connected.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// Says whether [`send`](Self::send) would be taken.
    #[must_use]
    pub fn can_send(&self) -> bool {
        matches!(&self.state, State::Open(open) if open.unanswered.len() < SENDS_UNANSWERED_MAX)
    }

    /// Returns the keep-alive interval, to be carried over to the next connection: after a connection that died rather
    /// than was closed, through [`KeepAliveInterval::lost`] (COU-15).
    #[must_use]
    pub fn keep_alive(&self) -> KeepAliveInterval {
        self.config.keep_alive
    }

    /// Takes a frame from the server. The device key, or the granted one, signs the connect (COU-11, COU-20).
    ///
    /// # Errors
    /// [`LinkError`]: hang up and connect again.
    pub fn on_frame(
        &mut self,
        frame: ServerFrame,
        device_key: &SigningKey,
        now: Timestamp,
        out: &mut Vec<LinkEvent>,
    ) -> Result<(), LinkError> {
        match (&mut self.state, frame) {
            (_, ServerFrame::Close(close)) => {
                self.state = State::Over;
                out.push(LinkEvent::Closed(close));
            }
            (State::AwaitingHello { until }, ServerFrame::Hello(hello)) => {
                let LinkConfig { device, epoch, audience, binding, topics, grant, .. } = &self.config;
                self.state = State::AwaitingConnected { until: *until, topics: topics.clone() };
                let connect = match grant {
                    Some(grant) => {
                        let (whom, by) = ((*device, topics.clone()), (grant.clone(), device_key));
                        Connect::sign_granted(whom, by, audience, &hello, binding, now)
                    }
                    None => {
                        let introduction = Introduction { device: *device, epoch: *epoch, topics: topics.clone() };
                        Connect::sign(introduction, device_key, audience, &hello, binding, now)
                    }
                };
                self.write(ClientFrame::Connect(connect), now, out);
            }
            (State::AwaitingConnected { topics, .. }, ServerFrame::Connected(connected)) => {
                let is_outdated = *topics != self.config.topics;
                self.config.keep_alive =
                    self.config.keep_alive.within(connected.keep_alive_min, connected.keep_alive_max);
                self.state = State::Open(Open { next_send: 1, ..Open::default() });
                out.push(LinkEvent::Connected(connected));
                // COU-34: other topics were wanted since the connect was on its way.
                if is_outdated {
                    self.write(ClientFrame::Filter(self.config.topics.clone()), now, out);
                }
            }
            (State::Open(open), ServerFrame::Sent(sent)) => {
                open.unanswered.remove(&sent.id).ok_or(LinkError::Unexpected("an answer to no send"))?;
                out.push(LinkEvent::Sent(sent));
            }
            (State::Open(open), ServerFrame::Held(held)) => {
                open.unanswered.remove(&held.id).ok_or(LinkError::Unexpected("an answer to no hold"))?;
                out.push(LinkEvent::Held(held));
            }
            (State::Open(open), ServerFrame::Deliver(deliver)) => {
                out.push(LinkEvent::Delivered(open.delivered(deliver)?))
            }
            (State::Open(open), ServerFrame::KeepAliveAnswer { id }) => {
                if open.asked.take_if(|(asked, _)| *asked == id).is_none() {
                    return Err(LinkError::Unexpected("a sign of life that nobody asked for"));
                }
                self.config.keep_alive = self.config.keep_alive.succeeded();
            }
            (_, ServerFrame::Hello(_)) => return Err(LinkError::Unexpected("a second hello")),
            (_, ServerFrame::Connected(_)) => return Err(LinkError::Unexpected("connected")),
            (_, _) => return Err(LinkError::Unexpected("a frame before it was connected")),
        }
        Ok(())
    }

    /// Sends a request, whose id is set here, and returns the id that its answer will have.
    ///
    /// # Errors
    /// [`NotSent`]
    pub fn send(&mut self, mut request: SendRequest, now: Timestamp, out: &mut Vec<LinkEvent>) -> Result<u64, NotSent> {
        request.id = self.next_request(now)?;
        let id = request.id;
        self.write(ClientFrame::Send(request.into_unchecked()), now, out);
        Ok(id)
    }

    /// Has a send made later, under an id that is set here, and returns the id that its answer will have (COU-60).
    ///
    /// # Errors
    /// [`NotSent`]
    pub fn hold(&mut self, mut hold: UncheckedHold, now: Timestamp, out: &mut Vec<LinkEvent>) -> Result<u64, NotSent> {
        hold.id = self.next_request(now)?;
        let id = hold.id;
        self.write(ClientFrame::Hold(Box::new(hold)), now, out);
        Ok(id)
    }

    /// Asks what became of a hold, under an id that is set here, and returns the id that the answer will have (COU-63).
    ///
    /// # Errors
    /// [`NotSent`]
    pub fn ask(&mut self, mut ask: HoldQuestion, now: Timestamp, out: &mut Vec<LinkEvent>) -> Result<u64, NotSent> {
        ask.id = self.next_request(now)?;
        self.write(ClientFrame::HoldQuestion(ask), now, out);
        Ok(ask.id)
    }

    fn next_request(&mut self, now: Timestamp) -> Result<u64, NotSent> {
        let State::Open(open) = &mut self.state else { return Err(NotSent::NotOpen) };
        if open.unanswered.len() >= SENDS_UNANSWERED_MAX {
            return Err(NotSent::Busy);
        }
        let id = open.next_send;
        open.next_send += 1;
        open.unanswered.insert(id, now.plus(SENT_TIMEOUT));
        Ok(id)
    }

    /// Reports that a delivery is committed. It is acknowledged once everything before it is, too (COU-52).
    ///
    /// A number of an earlier connection, or one that was reported before, changes nothing.
    pub fn committed(&mut self, seq: u64, now: Timestamp, out: &mut Vec<LinkEvent>) {
        let State::Open(open) = &mut self.state else { return };
        if let Some(seq) = open.committed(seq) {
            self.write(ClientFrame::Ack { seq }, now, out);
        }
    }

    /// Wants other topics from now on (COU-34).
    pub fn filter(&mut self, topics: Topics, now: Timestamp, out: &mut Vec<LinkEvent>) {
        self.config.topics = topics.clone();
        if self.is_open() {
            self.write(ClientFrame::Filter(topics), now, out);
        }
    }

    /// Ends the connection from this side (COU-4).
    pub fn close(&mut self, out: &mut Vec<LinkEvent>) {
        self.state = State::Over;
        let close = Close::new(CloseCode::GoingAway, "the device goes offline");
        out.push(LinkEvent::Write(ClientFrame::Close(close)));
    }

    /// Returns when [`on_deadline`](Self::on_deadline) is to be called, whatever happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        match &self.state {
            State::AwaitingHello { until } | State::AwaitingConnected { until, .. } => Some(*until),
            State::Open(open) => {
                let keep_alive = open.asked.map_or(self.keep_alive_due(), |(_, until)| until);
                // Ids rise and the timeout is the same for all, so the first is due first.
                let answer = open.unanswered.values().next().copied();
                Some(answer.map_or(keep_alive, |answer| answer.min(keep_alive)))
            }
            State::Over => None,
        }
    }

    /// Does what is due: gives a sign of life, or gives up (COU-14, COU-15).
    ///
    /// # Errors
    /// [`LinkError`]: hang up and connect again.
    pub fn on_deadline(&mut self, now: Timestamp, out: &mut Vec<LinkEvent>) -> Result<(), LinkError> {
        let due = self.keep_alive_due();
        match &mut self.state {
            State::AwaitingHello { until } | State::AwaitingConnected { until, .. } if now >= *until => {
                Err(LinkError::HandshakeTimeout)
            }
            State::Open(open) => {
                if open.unanswered.values().next().is_some_and(|until| now >= *until) {
                    return Err(LinkError::SendUnanswered);
                }
                match open.asked {
                    Some((_, until)) if now >= until => return Err(LinkError::Silent),
                    None if now >= due => {
                        let id = open.ask(now);
                        self.write(ClientFrame::KeepAlive { id }, now, out);
                    }
                    Some(_) | None => {}
                }
                Ok(())
            }
            State::AwaitingHello { .. } | State::AwaitingConnected { .. } | State::Over => Ok(()),
        }
    }

    /// COU-15: only silence asks for a sign of life.
    fn keep_alive_due(&self) -> Timestamp {
        self.sent_at.plus(self.config.keep_alive.as_duration())
    }

    fn write(&mut self, frame: ClientFrame, now: Timestamp, out: &mut Vec<LinkEvent>) {
        self.sent_at = self.sent_at.max(now);
        out.push(LinkEvent::Write(frame));
    }
}

impl Open {
    /// COU-50: numbers rise by one.
    fn delivered(&mut self, deliver: Deliver) -> Result<Delivery, LinkError> {
        if self.delivered.checked_add(1) != Some(deliver.seq) {
            return Err(LinkError::Unexpected("a delivery out of sequence"));
        }
        self.delivered = deliver.seq;
        Ok(Delivery {
            seq: deliver.seq,
            envelope: Envelope::decode(deliver.envelope.clone()),
            bytes: deliver.envelope,
            from_storage: deliver.from_storage,
            last_from_storage: deliver.last_from_storage,
        })
    }

    /// Returns the number to acknowledge, if it moved.
    fn committed(&mut self, seq: u64) -> Option<u64> {
        if seq <= self.acknowledged || seq > self.delivered {
            return None;
        }
        self.committed.insert(seq);
        let before = self.acknowledged;
        while self.committed.remove(&(self.acknowledged + 1)) {
            self.acknowledged += 1;
        }
        (self.acknowledged > before).then_some(self.acknowledged)
    }

    fn ask(&mut self, now: Timestamp) -> u64 {
        let id = self.next_keep_alive;
        self.next_keep_alive += 1;
        self.asked = Some((id, now.plus(KEEP_ALIVE_TIMEOUT)));
        id
    }
}

#[cfg(test)]
mod tests;
