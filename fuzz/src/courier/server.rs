//! The driver of a hub, as a server has it, with everything that it promises looked at.
//!
//! Owns the mailbox, what is under way to the device, and the outside world's order of events. Does not know whether the
//! device is honest.
//!
//! - Deliveries are numbered by one, in the order of acceptance, and each within the window (COU-50, COU-51).
//! - What is acknowledged was delivered on this connection, and is reported once (COU-52).
//! - One read of the mailbox is under way at a time, and asks for a window at most.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use halcyon_courier::{
    ClientFrame, CloseCode, Deliver, Envelope, HeldAnswer, HoldState, Limits, ServerFrame, Status,
    bucket::SendBudgets,
    connect::Authenticated,
    hub::{Action, Hub, Notification, Read, Stored},
    limits::ENVELOPE_BYTES_MAX,
    send::SendRequest,
};
use halcyon_types::{Duration, EnvelopeId, Timestamp, Topic};

use crate::{courier::TOPICS, frames, input::Input, people::ALICE};

/// Position of what is not stored.
const TRANSIENT: u64 = u64::MAX;

/// What waits for one device.
#[derive(Default)]
pub(super) struct Mailbox {
    stored: BTreeMap<u64, (Topic, Bytes)>,
    newest: u64,
    /// What was accepted and did not expire.
    accepted: BTreeSet<u64>,
}

/// A delivery that is not acknowledged.
struct UnderWay {
    seq: u64,
    position: u64,
    bytes: usize,
}

pub(super) struct Server {
    hub: Hub,
    limits: Limits,
    mailbox: Mailbox,
    now: Timestamp,
    heard: Timestamp,
    under_way: VecDeque<UnderWay>,
    delivered: u64,
    /// The newest stored position that was delivered since storage was last read from its start.
    newest_position: u64,
    reading: Option<(Read, Vec<Topic>)>,
    news: VecDeque<Notification>,
    sends: VecDeque<SendRequest>,
    written: Vec<ServerFrame>,
    over: bool,
}

/// Returns the position that an envelope of these tests carries.
pub(super) fn position(envelope: &Bytes) -> u64 {
    let envelope = Envelope::decode(envelope.clone()).unwrap();
    u64::from_be_bytes(*envelope.payload.first_chunk().unwrap())
}

impl Server {
    pub(super) fn connect(authenticated: Authenticated, limits: Limits, mailbox: Mailbox, now: Timestamp) -> Self {
        let (budgets, mut actions) = (Arc::new(SendBudgets::default()), Vec::new());
        let hub = Hub::begin(
            authenticated,
            ALICE.phone.push_token(),
            0,
            Arc::new(limits.clone()),
            budgets,
            now,
            &mut actions,
        );
        let mut server = Self {
            hub,
            limits,
            mailbox,
            now,
            heard: now,
            under_way: VecDeque::new(),
            delivered: 0,
            newest_position: 0,
            reading: None,
            news: VecDeque::new(),
            sends: VecDeque::new(),
            written: Vec::new(),
            over: false,
        };
        server.act(actions);
        server
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    pub(super) fn is_empty(&self) -> bool {
        self.mailbox.stored.is_empty()
    }

    pub(super) fn accepted(&self) -> &BTreeSet<u64> {
        &self.mailbox.accepted
    }

    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    pub(super) fn wants_frames(&self) -> bool {
        !self.over && self.hub.wants_frames()
    }

    pub(super) fn written(&mut self) -> impl Iterator<Item = ServerFrame> + use<> {
        std::mem::take(&mut self.written).into_iter()
    }

    pub(super) fn hang_up(&mut self) -> Mailbox {
        self.over = true;
        std::mem::take(&mut self.mailbox)
    }

    /// Something happens that is not the device's doing.
    pub(super) fn outside(&mut self, choice: usize, input: &mut Input<'_>) {
        match choice {
            0 | 1 => {
                let topic = TOPICS[input.choice(TOPICS.len())].clone();
                let (kind, size) = (input.byte(), usize::from(input.u16()) % (16 * 1024));
                if choice == 0 { self.store(topic, size, kind) } else { self.transient(topic, size) }
            }
            2 | 3 => self.finish_read(),
            4 => self.fail_read(),
            5 => self.tell(),
            _ => self.expire(input),
        }
    }

    fn envelope(position: u64, topic: &Topic, size: usize) -> Bytes {
        let mut payload = position.to_be_bytes().to_vec();
        payload.resize(8 + size, 0);
        let letter = frames::letter(0, &payload);
        // Only the topic of the notification counts here; an alert has no sender.
        let topic = if topic.is_for_clients() { topic.clone() } else { Topic::message() };
        let envelope = Envelope { id: EnvelopeId::from_bytes([1; 16]), topic, ..letter }.encode();
        assert!(envelope.len() <= ENVELOPE_BYTES_MAX);
        envelope
    }

    /// An envelope is accepted. The hub hears of it at once or later, with it or without.
    fn store(&mut self, topic: Topic, size: usize, kind: u8) {
        self.mailbox.newest += 1;
        let position = self.mailbox.newest;
        let envelope = Self::envelope(position, &topic, size);
        self.mailbox.accepted.insert(position);
        self.mailbox.stored.insert(position, (topic.clone(), envelope.clone()));
        let news = if kind & 1 == 0 { Notification::Stored { position, topic, envelope } } else { Notification::Wake };
        self.news.push_back(news);
        if kind & 2 == 0 {
            self.flush_news();
        }
    }

    fn transient(&mut self, topic: Topic, size: usize) {
        let envelope = Self::envelope(TRANSIENT, &topic, size);
        self.notify(Notification::Transient { topic, envelope });
    }

    fn tell(&mut self) {
        if let Some(news) = self.news.pop_front() {
            self.notify(news);
        }
    }

    fn flush_news(&mut self) {
        while !self.news.is_empty() {
            self.tell();
        }
    }

    fn notify(&mut self, news: Notification) {
        if !self.over {
            let mut actions = Vec::new();
            self.hub.on_notification(news, &mut actions);
            self.act(actions);
        }
    }

    fn finish_read(&mut self) {
        let Some((read, topics)) = self.reading.take() else { return };
        let (mut found, mut bytes) = (Vec::new(), 0);
        for (position, (topic, envelope)) in self.mailbox.stored.range(read.after + 1..) {
            if !topics.contains(topic) {
                continue;
            }
            bytes += envelope.len();
            let first = found.is_empty();
            if found.len() == read.count || bytes > read.bytes && !first {
                break;
            }
            found.push(Stored { position: *position, envelope: envelope.clone() });
        }
        let mut actions = Vec::new();
        self.hub.read(found, &mut actions);
        self.act(actions);
    }

    fn fail_read(&mut self) {
        if self.reading.take().is_some() {
            self.hub.read_failed();
            // The driver's next reason to read.
            self.news.push_back(Notification::Wake);
        }
    }

    /// Something that waits is too old.
    fn expire(&mut self, input: &mut Input<'_>) {
        let index = input.choice(self.mailbox.stored.len().max(1));
        let Some(position) = self.mailbox.stored.keys().nth(index).copied() else { return };
        self.mailbox.stored.remove(&position);
        self.mailbox.accepted.remove(&position);
    }

    pub(super) fn frame(&mut self, frame: ClientFrame) {
        if self.over || !self.hub.wants_frames() {
            return;
        }
        self.heard = self.now;
        let mut actions = Vec::new();
        match &frame {
            ClientFrame::Ack { seq } => return self.ack(*seq),
            ClientFrame::Filter(topics) => {
                let widens = topics.as_slice().iter().any(|topic| !self.hub.topics().contains(topic));
                if widens {
                    self.newest_position = 0;
                }
            }
            _ => {}
        }
        let (ends, asks) = match &frame {
            ClientFrame::Connect(_) | ClientFrame::Close(_) => (true, None),
            ClientFrame::KeepAlive { id } => (false, Some(*id)),
            _ => (false, None),
        };
        self.hub.on_frame(frame, self.now, &mut actions);
        if let Some(id) = asks {
            assert_eq!(actions, [Action::Write(ServerFrame::KeepAliveAnswer { id })], "COU-15");
        }
        self.act(actions);
        assert_eq!(self.over, ends, "COU-3: a frame out of turn ends the connection, and no other does");
    }

    fn ack(&mut self, seq: u64) {
        let mut actions = Vec::new();
        self.hub.on_frame(ClientFrame::Ack { seq }, self.now, &mut actions);
        if !(1..=self.delivered).contains(&seq) {
            let closes = matches!(&actions[..], [Action::Close(close)] if close.code == CloseCode::MalformedFrame);
            assert!(closes, "COU-52: a number that was never delivered");
            self.over = true;
            return;
        }
        let mut expected = Vec::new();
        while self.under_way.front().is_some_and(|delivery| delivery.seq <= seq) {
            let delivery = self.under_way.pop_front().unwrap();
            if delivery.position != TRANSIENT {
                expected.push(delivery.position);
            }
        }
        let reported: Vec<u64> = actions
            .iter()
            .filter_map(
                |action| if let Action::Acknowledge(positions) = action { Some(positions.clone()) } else { None },
            )
            .flatten()
            .collect();
        assert_eq!(reported, expected, "COU-52: what is reported is what was acknowledged");
        reported.iter().for_each(|position| drop(self.mailbox.stored.remove(position)));
        self.act(actions);
    }

    pub(super) fn answer_send(&mut self) {
        let Some(request) = self.sends.pop_front() else { return };
        let mut actions = Vec::new();
        self.hub.sent(request.answer_all(Status::Accepted), &mut actions);
        self.act(actions);
    }

    pub(super) fn pass(&mut self, span: Duration) {
        self.pass_to(self.now.plus(span));
    }

    pub(super) fn pass_to(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        if self.over {
            return;
        }
        let idle = self.now >= self.heard.plus(self.limits.idle_timeout());
        let mut actions = Vec::new();
        self.hub.on_deadline(self.now, &mut actions);
        self.act(actions);
        assert_eq!(self.over, idle, "COU-15: silence ends a connection, at its time and not before");
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            assert!(!self.over, "nothing is done after the end");
            match action {
                Action::Write(ServerFrame::Deliver(deliver)) => self.delivery(deliver),
                Action::Write(frame) => self.written.push(frame),
                Action::Accept(request) => {
                    self.sends.push_back(request);
                    assert!(self.sends.len() <= self.limits.sends_in_flight_max, "sends under way are bounded");
                }
                Action::Read(read) => {
                    assert!(self.reading.is_none(), "one read at a time");
                    assert!(read.count <= self.limits.window_count + 1, "a read is bounded");
                    assert!(read.bytes <= self.limits.window_bytes + ENVELOPE_BYTES_MAX, "a read is bounded");
                    self.reading = Some((read, self.hub.topics().as_slice().to_vec()));
                }
                Action::Hold(request) => self.held(request.hold.id),
                Action::Ask(question) => self.held(question.id),
                Action::Acknowledge(_) => {}
                Action::Close(_) | Action::Left(_) => self.over = true,
            }
        }
    }

    /// COU-61: an answer for each, and at once, since nothing is stored here.
    fn held(&mut self, id: u64) {
        let (answer, mut actions) = (HeldAnswer::new(id, HoldState::Held), Vec::new());
        self.hub.held(answer.clone(), &mut actions);
        assert_eq!(actions, [Action::Write(ServerFrame::Held(answer))]);
        self.act(actions);
    }

    fn delivery(&mut self, deliver: Deliver) {
        self.delivered += 1;
        assert_eq!(deliver.seq, self.delivered, "COU-50: numbers rise by one");
        let (position, bytes) = (position(&deliver.envelope), deliver.envelope.len());
        if position != TRANSIENT {
            assert!(self.under_way.iter().all(|other| other.position != position), "delivered twice at a time");
            assert!(position > self.newest_position, "COU-50: the order of acceptance");
            self.newest_position = position;
        }
        self.under_way.push_back(UnderWay { seq: deliver.seq, position, bytes });
        // COU-51
        let total: usize = self.under_way.iter().map(|delivery| delivery.bytes).sum();
        assert!(self.under_way.len() <= self.limits.window_count, "the window in number");
        assert!(total <= self.limits.window_bytes || self.under_way.len() == 1, "the window in bytes");
        assert!(!deliver.last_from_storage || deliver.from_storage, "the last that waited had waited");
        self.written.push(ServerFrame::Deliver(deliver));
    }

    /// The outside world catches up: what was stored is told, and reads end.
    pub(super) fn flush(&mut self) {
        self.flush_news();
        self.finish_read();
        while !self.sends.is_empty() {
            self.answer_send();
        }
    }

    /// Liveness: a device that wants everything and acknowledges what it gets, gets everything that waits.
    pub(super) fn drain(&mut self) {
        while !self.sends.is_empty() && !self.over {
            self.answer_send();
        }
        self.frame(ClientFrame::Filter(super::topics(0)));
        for _ in 0..2 * self.mailbox.stored.len() + 10 {
            if self.over {
                return;
            }
            self.flush();
            if self.delivered > 0 {
                self.frame(ClientFrame::Ack { seq: self.delivered });
            }
        }
        assert!(self.over || self.mailbox.stored.is_empty(), "something stored is never delivered");
    }
}
