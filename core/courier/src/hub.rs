//! The server's half of one connection, after it was authenticated. Spec: 30-courier.md §2 to §5 (COU-13, COU-15, COU-31 to COU-53).
//!
//! Owns which delivery has which number, what is unacknowledged, when storage is to be read, and when it was heard last. How
//! fast the device may send is counted over all its connections, in [`SendBudgets`]. Does not know sockets, storage, or
//! other connections: frames and notifications go in, [`Action`]s come out.
//!
//! - Numbers rise by one a delivery, and positions of storage are delivered in rising order (COU-50).
//! - Never more is unacknowledged than the window (COU-51), so a slow device costs bounded memory here.
//! - A position is reported as acknowledged at most once, and only if it was delivered on this connection (COU-34, COU-52).
//! - While anything stored may be undelivered, nothing newer overtakes it: a notification from outside is then only a
//!   reason to read again.
//!
//! An idle connection holds no queue, and its memory is the size of the struct and its topics.

mod window;

use std::sync::Arc;

use bytes::Bytes;
use halcyon_types::{DeviceId, PushToken, Timestamp, Topic};

use crate::{
    bucket::SendBudgets,
    connect::Authenticated,
    frame::{ClientFrame, Close, Connected, Deliver, ServerFrame},
    hold::{HeldAnswer, HoldQuestion, HoldRequest},
    limits::{ENVELOPE_BYTES_MAX, Limits},
    send::{SendRequest, Sent},
    topics::Topics,
    wire::{CloseCode, Status},
};
use window::Window;

/// One connected device.
pub struct Hub {
    device: DeviceId,
    limits: Arc<Limits>,
    topics: Topics,
    may_send: bool,
    window: Window,
    storage: Storage,
    budgets: Arc<SendBudgets>,
    sends_in_flight: usize,
    heard: Timestamp,
}

/// What is known of the device's mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Storage {
    /// Something may wait after this position, and nobody is reading.
    Waiting { after: u64 },
    /// A read is under way.
    Reading { asked: Read, then: Then },
    /// Nothing waits up to this position: what is stored from now on is delivered at once.
    Live { after: u64 },
}

/// What the outcome of a read is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// If it reached the end of storage, nothing waits any more.
    Done,
    /// Something was stored since the read began, so its end need not be storage's.
    ReadOn,
    /// The topics changed since it began: it is dropped, and storage is read after this position.
    Discard { after: u64 },
}

/// What the driver is to do, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Write a frame.
    Write(ServerFrame),
    /// Store a send, and give the outcome to [`Hub::sent`].
    Accept(SendRequest),
    /// Hold a send until it is due, and give the outcome to [`Hub::held`] (COU-60).
    Hold(Box<HoldRequest>),
    /// Say what became of a hold, and give the outcome to [`Hub::held`] (COU-63).
    Ask(HoldQuestion),
    /// Read the mailbox, and give the outcome to [`Hub::read`]. Only one read is under way at a time.
    Read(Read),
    /// Delete these positions, which the device committed (COU-52).
    Acknowledge(Vec<u64>),
    /// Write this frame and end the connection.
    Close(Close),
    /// The device ended the connection.
    Left(Close),
}

/// A read of the device's mailbox: its wanted topics, after a position, in rising order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// Positions up to and including this one are not wanted.
    pub after: u64,
    /// Envelopes to return at most. One more than fits the window, which is how the end of storage is seen.
    pub count: usize,
    /// Bytes of envelopes to return at most, with room for the one more.
    pub bytes: usize,
}

/// Something for this device happened outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notification {
    /// An envelope was stored. For one device these come in rising order of position.
    Stored {
        /// Its place in the order of acceptance.
        position: u64,
        /// What it is about.
        topic: Topic,
        /// Encoded envelope.
        envelope: Bytes,
    },
    /// Something was stored, and the notifier does not carry it.
    Wake,
    /// An envelope to be delivered now or never (COU-40).
    Transient {
        /// What it is about.
        topic: Topic,
        /// Encoded envelope.
        envelope: Bytes,
    },
}

/// One envelope as it was read from storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its place in the order of acceptance.
    pub position: u64,
    /// Encoded envelope.
    pub envelope: Bytes,
}

impl Hub {
    /// Begins a connection of a device that proved itself: returns `Connected`, and the first read of its mailbox (COU-13).
    /// `remembered` is the highest epoch that the device showed before (COU-18).
    #[must_use]
    pub fn begin(
        authenticated: Authenticated,
        push_token: PushToken,
        remembered: u64,
        limits: Arc<Limits>,
        budgets: Arc<SendBudgets>,
        now: Timestamp,
        out: &mut Vec<Action>,
    ) -> Self {
        let bounded = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        out.push(Action::Write(ServerFrame::Connected(Connected {
            push_token,
            server_time: now,
            frame_bytes_max: bounded(limits.frame_bytes_max),
            payload_bytes_max: bounded(limits.payload_bytes_max),
            window_count: bounded(limits.window_count),
            window_bytes: bounded(limits.window_bytes),
            keep_alive_min: limits.keep_alive_min,
            keep_alive_max: limits.keep_alive_max,
            epoch: remembered,
        })));
        let mut hub = Self {
            device: authenticated.device(),
            topics: authenticated.topics().clone(),
            may_send: authenticated.may_send(),
            window: Window::default(),
            storage: Storage::Waiting { after: 0 },
            budgets,
            sends_in_flight: 0,
            heard: now,
            limits,
        };
        hub.read_if_room(out);
        hub
    }

    /// Returns the device.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// Returns the topics wanted, which a [`Read`] is limited to.
    #[must_use]
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// Says whether the driver may read another frame. While too many sends are being stored it waits, and the device's
    /// bytes stay in the network.
    #[must_use]
    pub fn wants_frames(&self) -> bool {
        self.sends_in_flight < self.limits.sends_in_flight_max
    }

    /// Returns when [`on_deadline`](Self::on_deadline) is to be called, unless a frame comes before (COU-15).
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        self.heard.plus(self.limits.idle_timeout())
    }

    /// Ends a connection that was silent for too long (COU-15).
    pub fn on_deadline(&mut self, now: Timestamp, out: &mut Vec<Action>) {
        if now >= self.deadline() {
            out.push(Action::Close(Close::new(
                CloseCode::Idle,
                "nothing was heard of the device for too long; connect again",
            )));
        }
    }

    /// Takes a frame from the device.
    pub fn on_frame(&mut self, frame: ClientFrame, now: Timestamp, out: &mut Vec<Action>) {
        self.heard = self.heard.max(now);
        match frame {
            ClientFrame::Send(send) => {
                // COU-22, COU-45: refused before anything is looked at.
                let checked = if !self.may_send {
                    Err(send.answer_all(Status::Forbidden))
                } else if self.budgets.take(self.device, &self.limits, now) {
                    send.check(&self.limits, now)
                } else {
                    Err(send.answer_all(Status::RateLimited))
                };
                match checked {
                    Ok(request) => {
                        self.sends_in_flight += 1;
                        out.push(Action::Accept(request));
                    }
                    Err(answer) => out.push(Action::Write(ServerFrame::Sent(answer))),
                }
            }
            ClientFrame::Hold(hold) => {
                let checked = if !self.may_send {
                    Err(hold.answer_all(Status::Forbidden))
                } else if self.budgets.take(self.device, &self.limits, now) {
                    hold.check(&self.limits, now)
                } else {
                    Err(hold.answer_all(Status::RateLimited))
                };
                match checked {
                    Ok(request) => {
                        self.sends_in_flight += 1;
                        out.push(Action::Hold(Box::new(request)));
                    }
                    Err(answer) => out.push(Action::Write(ServerFrame::Held(answer))),
                }
            }
            ClientFrame::HoldQuestion(question) => {
                // COU-22: what receives for a device has no say in what it sends.
                if self.may_send && self.budgets.take(self.device, &self.limits, now) {
                    self.sends_in_flight += 1;
                    out.push(Action::Ask(question));
                } else {
                    out.push(Action::Write(ServerFrame::Held(HeldAnswer::refused(question.id, Vec::new()))));
                }
            }
            ClientFrame::Ack { seq } => self.on_ack(seq, out),
            ClientFrame::Filter(topics) => self.on_filter(topics, out),
            ClientFrame::KeepAlive { id } => out.push(Action::Write(ServerFrame::KeepAliveAnswer { id })),
            ClientFrame::Close(close) => out.push(Action::Left(close)),
            // COU-3
            ClientFrame::Connect(_) => out.push(malformed("a device connects once")),
        }
    }

    /// Takes the outcome of an [`Action::Accept`]. It must be durable: the answer goes out at once (COU-41).
    pub fn sent(&mut self, sent: Sent, out: &mut Vec<Action>) {
        self.sends_in_flight = self.sends_in_flight.saturating_sub(1);
        out.push(Action::Write(ServerFrame::Sent(sent)));
    }

    /// Takes the outcome of an [`Action::Hold`] or [`Action::Ask`]. It must be durable: the answer goes out at once (COU-61).
    pub fn held(&mut self, answer: HeldAnswer, out: &mut Vec<Action>) {
        self.sends_in_flight = self.sends_in_flight.saturating_sub(1);
        out.push(Action::Write(ServerFrame::Held(answer)));
    }

    /// Takes word of something for this device.
    pub fn on_notification(&mut self, notification: Notification, out: &mut Vec<Action>) {
        match notification {
            Notification::Stored { position, topic, envelope } => {
                // COU-34: it waits in storage until its topic is wanted.
                if self.topics.contains(&topic) {
                    self.on_stored(position, envelope, out);
                }
            }
            Notification::Wake => self.look_again(out),
            Notification::Transient { topic, envelope } => {
                // COU-40, COU-51: now, if there is room; otherwise never.
                if self.topics.contains(&topic) && self.has_room(envelope.len()) {
                    self.deliver(None, envelope, Source::Live, out);
                }
            }
        }
    }

    /// Takes the outcome of an [`Action::Read`]: envelopes in rising order of position, at most what was asked for.
    pub fn read(&mut self, found: Vec<Stored>, out: &mut Vec<Action>) {
        let Storage::Reading { asked, then } = self.storage else { return };
        if let Then::Discard { after } = then {
            self.storage = Storage::Waiting { after };
            return self.read_if_room(out);
        }
        let bytes: usize = found.iter().map(|stored| stored.envelope.len()).sum();
        // If another envelope had been there, it would have been returned too.
        let saw_the_end = then == Then::Done && found.len() < asked.count && bytes + ENVELOPE_BYTES_MAX <= asked.bytes;
        // After a filter, storage is read from the start again: what is on its way to the device is not sent twice.
        let last_fresh = found.iter().rposition(|stored| !self.window.holds(stored.position));
        let mut after = asked.after;
        for (index, Stored { position, envelope }) in found.into_iter().enumerate() {
            if !self.window.holds(position) {
                if !self.has_room(envelope.len()) {
                    // COU-51: the rest is read again when the device has acknowledged something.
                    self.storage = Storage::Waiting { after };
                    return;
                }
                let last = saw_the_end && last_fresh == Some(index);
                let source = if last { Source::LastStored } else { Source::Stored };
                self.deliver(Some(position), envelope, source, out);
            }
            after = position;
        }
        self.storage = if saw_the_end { Storage::Live { after } } else { Storage::Waiting { after } };
        self.read_if_room(out);
    }

    /// Takes the failure of an [`Action::Read`]. Storage is asked again when something is stored or acknowledged.
    pub fn read_failed(&mut self) {
        if let Storage::Reading { asked, then } = self.storage {
            let after = if let Then::Discard { after } = then { after } else { asked.after };
            self.storage = Storage::Waiting { after };
        }
    }

    /// COU-52
    fn on_ack(&mut self, seq: u64, out: &mut Vec<Action>) {
        let Some(positions) = self.window.acknowledge(seq) else {
            return out.push(malformed("the device acknowledged a delivery that it never got"));
        };
        if !positions.is_empty() {
            out.push(Action::Acknowledge(positions));
        }
        self.read_if_room(out);
    }

    /// COU-34
    fn on_filter(&mut self, topics: Topics, out: &mut Vec<Action>) {
        let wants_more = topics.as_slice().iter().any(|topic| !self.topics.contains(topic));
        self.topics = topics;
        // What waited of the newly wanted topics may lie before what was delivered of the others.
        let from = |after| if wants_more { 0 } else { after };
        self.storage = match self.storage {
            // The read under way is of the topics wanted before.
            Storage::Reading { asked, then: Then::Discard { after } } => {
                Storage::Reading { asked, then: Then::Discard { after: from(after) } }
            }
            Storage::Reading { asked, .. } => {
                Storage::Reading { asked, then: Then::Discard { after: from(asked.after) } }
            }
            Storage::Live { after } if !wants_more => Storage::Live { after },
            Storage::Live { after } | Storage::Waiting { after } => Storage::Waiting { after: from(after) },
        };
        self.read_if_room(out);
    }

    fn on_stored(&mut self, position: u64, envelope: Bytes, out: &mut Vec<Action>) {
        match self.storage {
            Storage::Live { after } if position <= after => {}
            Storage::Live { .. } if self.has_room(envelope.len()) => {
                self.storage = Storage::Live { after: position };
                self.deliver(Some(position), envelope, Source::Live, out);
            }
            // COU-51: no room. It stays in storage, and its memory here is given back.
            _ => self.look_again(out),
        }
    }

    /// Something may be in storage that was not delivered.
    fn look_again(&mut self, out: &mut Vec<Action>) {
        self.storage = match self.storage {
            Storage::Live { after } | Storage::Waiting { after } => Storage::Waiting { after },
            Storage::Reading { asked, then: Then::Done } => Storage::Reading { asked, then: Then::ReadOn },
            reading @ Storage::Reading { .. } => reading,
        };
        self.read_if_room(out);
    }

    /// Reads on once half of the window is free: a device that acknowledges one by one would otherwise cost a read each.
    fn read_if_room(&mut self, out: &mut Vec<Action>) {
        let Storage::Waiting { after } = self.storage else { return };
        let (count, bytes) = self.window.room(&self.limits);
        let half_free = count >= self.limits.window_count.div_ceil(2) && bytes >= self.limits.window_bytes / 2;
        if !(half_free || self.window.is_empty()) {
            return;
        }
        let asked = Read { after, count: count + 1, bytes: bytes + ENVELOPE_BYTES_MAX };
        self.storage = Storage::Reading { asked, then: Then::Done };
        out.push(Action::Read(asked));
    }

    fn has_room(&self, envelope_bytes: usize) -> bool {
        let (count, bytes) = self.window.room(&self.limits);
        // A window smaller than one envelope still lets one through.
        count > 0 && (envelope_bytes <= bytes || self.window.is_empty())
    }

    fn deliver(&mut self, position: Option<u64>, envelope: Bytes, source: Source, out: &mut Vec<Action>) {
        let seq = self.window.push(position, envelope.len());
        out.push(Action::Write(ServerFrame::Deliver(Deliver {
            seq,
            envelope,
            from_storage: matches!(source, Source::Stored | Source::LastStored),
            last_from_storage: matches!(source, Source::LastStored),
        })));
    }
}

/// Where a delivery comes from (COU-50).
enum Source {
    Live,
    Stored,
    LastStored,
}

fn malformed(detail: &str) -> Action {
    Action::Close(Close::new(CloseCode::MalformedFrame, detail))
}

#[cfg(test)]
mod tests;
