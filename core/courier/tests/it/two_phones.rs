//! Alice's phone writes to Bob's. Both links and both hubs are real; a vector stands for the store, and frames cross as
//! the bytes of the native binding.

use std::{collections::BTreeMap, sync::Arc};

use bytes::{Bytes, BytesMut};
use halcyon_courier::{
    ClientFrame, Destination, Envelope, Limits, Origin, Part, Sealed, SendRequest, Sent, SentPart, ServerFrame, Status,
    Topics,
    connect::{ChannelBinding, Handshake},
    envelope::Sender,
    frame::split_frame,
    hub::{Action, Hub, Notification, Stored},
    limits::FRAME_BYTES_MAX,
    link::{Delivery, KeepAliveInterval, Link, LinkConfig, LinkEvent},
    send::Expiry,
};
use halcyon_crypto::SigningKey;
use halcyon_types::{AccountId, DeviceId, Duration, EnvelopeId, Handle, PushToken, SuiteId, Timestamp, Topic};
use rand::{SeedableRng, rngs::StdRng};

const HOST: &str = "halcyon.example";
const NOON: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const TLS: ChannelBinding = ChannelBinding::Exporter([8; 32]);

/// A phone, its connection, and what it saw.
struct Phone {
    id: DeviceId,
    key: SigningKey,
    online: Option<(Link, Hub)>,
    delivered: Vec<Delivery>,
    answers: Vec<Sent>,
    mailbox: BTreeMap<u64, Bytes>,
}

/// Two phones and what lies between them.
struct World {
    alice: Phone,
    bob: Phone,
    position: u64,
}

impl Phone {
    fn new(byte: u8) -> Self {
        let key = SigningKey::generate_compact(&mut StdRng::seed_from_u64(byte.into()));
        let id = DeviceId::from_bytes([byte; 16]);
        Self { id, key, online: None, delivered: vec![], answers: vec![], mailbox: BTreeMap::new() }
    }

    fn token(&self) -> PushToken {
        PushToken::from_bytes([self.id.as_bytes()[0]; 32])
    }

    fn connect(&mut self) {
        let config = LinkConfig {
            device: self.id,
            epoch: 7,
            audience: HOST.into(),
            binding: TLS,
            topics: Topics::messages_and_alerts(),
            grant: None,
            keep_alive: KeepAliveInterval::default(),
        };
        let mut link = Link::begin(config, NOON);
        let limits = Arc::new(Limits { window_count: 2, ..Limits::default() });
        let (handshake, hello) = Handshake::begin(HOST.into(), TLS, &limits, NOON, &mut StdRng::seed_from_u64(9));
        let mut events = Vec::new();
        link.on_frame(to_device(hello), &self.key, NOON, &mut events).unwrap();
        let LinkEvent::Write(connect) = events.remove(0) else { panic!("the device connects") };
        let claim = handshake.connect(to_server(connect), NOON).unwrap();
        assert_eq!(claim.device(), self.id);
        let authenticated = claim.verify(Some(self.key.verifying_key())).unwrap();
        let mut actions = Vec::new();
        let hub = Hub::begin(authenticated, self.token(), 0, limits, Arc::default(), NOON, &mut actions);
        self.online = Some((link, hub));
        assert!(self.perform(actions).is_empty());
        assert!(self.online.as_ref().is_some_and(|(link, _)| link.is_open()));
    }

    /// Does what the hub says; returns the sends that are to be stored.
    fn perform(&mut self, actions: Vec<Action>) -> Vec<SendRequest> {
        let mut sends = Vec::new();
        for action in actions {
            let (link, hub) = self.online.as_mut().expect("the phone is online");
            match action {
                Action::Write(frame) => {
                    let mut events = Vec::new();
                    link.on_frame(to_device(frame), &self.key, NOON, &mut events).unwrap();
                    for event in events {
                        match event {
                            LinkEvent::Delivered(delivery) => self.delivered.push(delivery),
                            LinkEvent::Sent(sent) => self.answers.push(sent),
                            LinkEvent::Connected(connected) => assert_eq!(connected.window_count, 2),
                            other => panic!("unexpected {other:?}"),
                        }
                    }
                }
                Action::Read(read) => {
                    let found = self.mailbox.range(read.after + 1..).take(read.count);
                    let found =
                        found.map(|(position, envelope)| Stored { position: *position, envelope: envelope.clone() });
                    let mut actions = Vec::new();
                    hub.read(found.collect(), &mut actions);
                    sends.extend(self.perform(actions));
                }
                Action::Acknowledge(positions) => {
                    positions.iter().for_each(|position| drop(self.mailbox.remove(position)))
                }
                Action::Accept(request) => sends.push(request),
                Action::Hold(_) | Action::Ask(_) => panic!("nobody asked for a hold"),
                Action::Close(close) | Action::Left(close) => panic!("closed: {close:?}"),
            }
        }
        sends
    }

    /// Takes what the link wants to write to its hub.
    fn write(&mut self, events: Vec<LinkEvent>) -> Vec<SendRequest> {
        let mut actions = Vec::new();
        for event in events {
            let LinkEvent::Write(frame) = event else { panic!("only frames go out") };
            let (_, hub) = self.online.as_mut().expect("the phone is online");
            hub.on_frame(to_server(frame), NOON, &mut actions);
        }
        self.perform(actions)
    }

    fn commit(&mut self, seq: u64) {
        let mut events = Vec::new();
        let (link, _) = self.online.as_mut().expect("the phone is online");
        link.committed(seq, NOON, &mut events);
        self.write(events);
    }

    fn read_texts(&self) -> Vec<&[u8]> {
        self.delivered.iter().map(|delivery| &delivery.envelope.as_ref().unwrap().payload[..]).collect()
    }
}

impl World {
    fn new() -> Self {
        Self { alice: Phone::new(0xa1), bob: Phone::new(0xb0), position: 0 }
    }

    /// Alice sends; the server stores, answers, and tells Bob's hub if there is one.
    fn alice_sends(&mut self, text: &'static str) {
        let sealed = Sealed {
            id: EnvelopeId::from_bytes([self.position as u8; 16]),
            push_token: self.bob.token(),
            suite: SuiteId::PAIR_EC,
            payload: Bytes::from_static(text.as_bytes()),
        };
        let request = SendRequest {
            id: 0,
            topic: Topic::message(),
            sender_handle: Handle::parse("alice@example.org").unwrap(),
            sender_list_version: 1,
            expiry: Expiry::At(NOON.plus(Duration::from_days(30))),
            epoch: 7,
            destinations: vec![Destination {
                session_token: Bytes::from_static(&[4; 40]),
                list_version: 1,
                parts: vec![Part::new(sealed)],
            }],
        };
        let mut events = Vec::new();
        let (link, _) = self.alice.online.as_mut().expect("alice is online");
        link.send(request, NOON, &mut events).unwrap();
        for request in self.alice.write(events) {
            let answer = self.store(request);
            let mut actions = Vec::new();
            let (_, hub) = self.alice.online.as_mut().expect("alice is online");
            hub.sent(answer, &mut actions);
            self.alice.perform(actions);
        }
    }

    fn store(&mut self, request: SendRequest) -> Sent {
        let mut parts = Vec::new();
        for part in request.destinations.into_iter().flat_map(|destination| destination.parts) {
            let sealed = part.sealed.unwrap();
            assert_eq!(sealed.push_token, self.bob.token());
            let envelope = Envelope {
                id: sealed.id,
                topic: request.topic.clone(),
                origin: Origin::Device(Sender {
                    account: AccountId::from_bytes([0xa1; 16]),
                    device: self.alice.id,
                    handle: request.sender_handle.clone(),
                    list_version: request.sender_list_version,
                    suite: sealed.suite,
                }),
                payload: sealed.payload,
                accepted: NOON,
                expires: request.expiry.as_timestamp(),
            };
            self.position += 1;
            let (position, bytes) = (self.position, envelope.encode());
            self.bob.mailbox.insert(position, bytes.clone());
            if let Some((_, hub)) = &mut self.bob.online {
                let mut actions = Vec::new();
                hub.on_notification(
                    Notification::Stored { position, topic: envelope.topic, envelope: bytes },
                    &mut actions,
                );
                self.bob.perform(actions);
            }
            parts.push(SentPart { envelope_id: part.envelope_id, status: Status::Accepted });
        }
        Sent { id: request.id, parts }
    }
}

fn to_device(frame: ServerFrame) -> ServerFrame {
    let mut stream = BytesMut::new();
    frame.write_to(&mut stream);
    ServerFrame::decode(split_frame(&mut stream, FRAME_BYTES_MAX).unwrap().unwrap()).unwrap()
}

fn to_server(frame: ClientFrame) -> ClientFrame {
    let mut stream = BytesMut::new();
    frame.write_to(&mut stream);
    ClientFrame::decode(split_frame(&mut stream, FRAME_BYTES_MAX).unwrap().unwrap()).unwrap()
}

/// COU-41, COU-43, COU-50: Bob is there: it arrives, from Alice, and she is told that it is safe.
#[test]
fn a_message_crosses() {
    let mut world = World::new();
    world.alice.connect();
    world.bob.connect();
    world.alice_sends("hello");
    assert_eq!(world.bob.read_texts(), [b"hello"]);
    let Origin::Device(sender) = &world.bob.delivered[0].envelope.as_ref().unwrap().origin else {
        panic!("from alice")
    };
    assert_eq!((sender.device, sender.handle.as_uri()), (world.alice.id, "mailto:alice@example.org"));
    assert_eq!(world.alice.answers[0].parts[0].status, Status::Accepted);
    world.bob.commit(1);
    assert!(world.bob.mailbox.is_empty());
}

/// COU-51, COU-53: Bob was away; what waited comes in order, through a window of two, and what he did not acknowledge
/// before the line broke comes again.
#[test]
fn what_was_not_acknowledged_comes_again() {
    let mut world = World::new();
    world.alice.connect();
    ["one", "two", "three", "four"].into_iter().for_each(|text| world.alice_sends(text));
    world.bob.connect();
    assert_eq!(world.bob.read_texts(), [&b"one"[..], b"two"]);
    world.bob.commit(1);
    world.bob.commit(2);
    assert_eq!(world.bob.read_texts(), [&b"one"[..], b"two", b"three", b"four"]);
    assert!(world.bob.delivered[3].last_from_storage);
    world.bob.commit(3);

    world.bob.online = None;
    world.bob.delivered.clear();
    world.alice_sends("five");
    world.bob.connect();
    assert_eq!(world.bob.read_texts(), [&b"four"[..], b"five"]);
    assert_eq!(world.bob.delivered.iter().map(|delivery| delivery.seq).collect::<Vec<_>>(), [1, 2]);
    world.bob.commit(1);
    world.bob.commit(2);
    assert!(world.bob.mailbox.is_empty());
}
