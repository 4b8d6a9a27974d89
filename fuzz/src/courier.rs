//! The two state machines of a connection: the server's half with a device that does what it likes, the device's half
//! with a server that does what it likes, and both together over a network that breaks.
//!
//! Owns what is driven against what. [`server`] has the driver of a hub, with the mailbox and the promises to the device.
//!
//! - A device that says anything costs a window of memory, and touches nothing but what it was given (COU-51, COU-52).
//! - A link takes nothing out of turn, and acknowledges nothing that was not committed (COU-50, RCV-1).
//! - Between an honest device and an honest server everything arrives, whatever breaks (COU-53).

mod server;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::LazyLock,
};

use bytes::Bytes;
use halcyon_courier::{
    ClientFrame, Close, CloseCode, Deliver, Limits, Sent, SentPart, ServerFrame, Status, Topics,
    connect::{Authenticated, ChannelBinding, Handshake},
    frame::Connected,
    link::{KeepAliveInterval, Link, LinkConfig, LinkEvent, SENDS_UNANSWERED_MAX},
};
use halcyon_types::{Duration, Timestamp, Topic};

use self::server::{Mailbox, Server};
use crate::{
    frames,
    input::Input,
    people::{ALICE, BOB, NOW, SERVER, rng},
};

/// Steps of one run.
const STEPS_MAX: usize = 300;

/// Reads the first byte as who is hostile, and the rest as what happens.
pub fn target(data: &[u8]) {
    let mut input = Input::new(data);
    match input.choice(3) {
        0 => hostile_device(&mut input),
        1 => hostile_server(&mut input),
        _ => broken_network(&mut input),
    }
}

/// The topics that a filter names by bits. None is all.
fn topics(bits: u8) -> Topics {
    let all = TOPICS.each_ref();
    let named = all.iter().enumerate().filter(|(index, _)| bits & 1 << index != 0).map(|(_, topic)| (*topic).clone());
    Topics::new(named).unwrap_or_else(|_| Topics::new(TOPICS.iter().cloned()).unwrap())
}

static TOPICS: LazyLock<[Topic; 4]> = LazyLock::new(|| {
    [Topic::message(), Topic::alert(), Topic::parse("weather").unwrap(), Topic::parse("halcyon.presence").unwrap()]
});

/// Windows from the smallest to more than a run fills.
fn limits(choice: u8) -> Limits {
    Limits {
        window_count: [1, 2, 3, 8][usize::from(choice) % 4],
        window_bytes: [100, 1500, 20_000, 1 << 20][usize::from(choice >> 2) % 4],
        sends_in_flight_max: 1 + usize::from(choice >> 4) % 3,
        sends_burst: 5,
        sends_per_s: 1,
        ..Limits::default()
    }
}

fn authenticated() -> Authenticated {
    static PHONE: LazyLock<Authenticated> = LazyLock::new(|| {
        let (handshake, hello) =
            Handshake::begin(SERVER.into(), ChannelBinding::None, &Limits::default(), NOW, &mut rng(1));
        let mut link = Link::begin(config(), NOW);
        let mut events = Vec::new();
        link.on_frame(hello, &ALICE.phone.keys.device, NOW, &mut events).unwrap();
        let Some(LinkEvent::Write(connect)) = events.pop() else { panic!("a link answers a hello") };
        handshake.connect(connect, NOW).unwrap().verify(Some(ALICE.phone.keys.device.verifying_key())).unwrap()
    });
    PHONE.clone()
}

fn config() -> LinkConfig {
    LinkConfig {
        device: ALICE.phone.id(),
        epoch: 9,
        audience: SERVER.into(),
        binding: ChannelBinding::None,
        topics: Topics::messages_and_alerts(),
        grant: None,
        keep_alive: KeepAliveInterval::default(),
    }
}

/// A hub, and frames that no client would send in this order.
fn hostile_device(input: &mut Input<'_>) {
    let mut server = Server::connect(authenticated(), limits(input.byte()), Mailbox::default(), NOW);
    for _ in 0..STEPS_MAX {
        if input.is_empty() || server.is_over() {
            break;
        }
        match input.choice(16) {
            choice @ 0..=6 => server.outside(choice, input),
            7 | 8 => {
                let behind = u64::from(input.byte() % 8);
                server.frame(ClientFrame::Ack { seq: server.delivered().saturating_sub(behind) });
            }
            9 => server.frame(ClientFrame::Ack { seq: input.u64() >> (input.byte() % 64) }),
            10 => server.frame(ClientFrame::Filter(topics(input.byte()))),
            11 => server.frame(ClientFrame::KeepAlive { id: input.u64() }),
            12 => server.frame(ClientFrame::Send(frames::request().into_unchecked())),
            13 => {
                // Whatever decodes.
                let bytes = Bytes::copy_from_slice(input.piece());
                if let Ok(frame) = ClientFrame::decode(bytes) {
                    server.frame(frame);
                }
            }
            14 => server.answer_send(),
            _ => server.pass(Duration::from_secs(u64::from(input.u16()))),
        }
    }
    server.drain();
}

/// A link, and frames in any order.
fn hostile_server(input: &mut Input<'_>) {
    let mut link = Link::begin(config(), NOW);
    let (mut now, mut delivered, mut committed, mut acknowledged) = (NOW, 0, BTreeSet::new(), 0);
    let mut unanswered = 0;
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        let was_open = link.is_open();
        let mut events = Vec::new();
        match input.choice(12) {
            0 => {
                let _ = link.send(frames::request(), now, &mut events).map(|_| unanswered += 1);
            }
            1 => {
                let seq = u64::from(input.byte());
                if link.is_open() && seq <= delivered {
                    committed.insert(seq);
                }
                link.committed(seq, now, &mut events);
            }
            2 => link.filter(topics(input.byte()), now, &mut events),
            3 => {
                now = now.plus(Duration::from_secs(u64::from(input.byte())));
                if link.on_deadline(now, &mut events).is_err() {
                    return; // The caller hangs up.
                }
                assert!(link.deadline().is_none_or(|next| next > now), "a deadline that was met is over");
            }
            choice => {
                let frame = server_frame(choice, input, delivered);
                if let ServerFrame::Sent(_) = frame {
                    unanswered -= i32::from(was_open && !matches!(frame, ServerFrame::Sent(ref sent) if sent.id == 0));
                }
                if link.on_frame(frame, &ALICE.phone.keys.device, now, &mut events).is_err() {
                    return;
                }
            }
        }
        for event in events {
            match event {
                LinkEvent::Connected(_) => assert!(!was_open, "connected twice"),
                LinkEvent::Delivered(delivery) => {
                    assert!(was_open && delivery.seq == delivered + 1, "COU-50: a delivery out of turn was taken");
                    delivered = delivery.seq;
                }
                LinkEvent::Write(ClientFrame::Ack { seq }) => {
                    assert!(seq > acknowledged && seq <= delivered, "COU-52");
                    assert!((acknowledged + 1..=seq).all(|seq| committed.contains(&seq)), "RCV-1: not committed");
                    acknowledged = seq;
                }
                LinkEvent::Sent(_) | LinkEvent::Held(_) => assert!(was_open, "an answer before it was connected"),
                LinkEvent::Write(_) | LinkEvent::Closed(_) => {}
            }
        }
        assert!(unanswered <= SENDS_UNANSWERED_MAX as i32, "sends that wait for an answer are bounded");
        assert_eq!(link.deadline().is_none(), is_over(&link), "a link that is not over has a deadline");
    }
}

fn is_over(link: &Link) -> bool {
    // A link that is over takes no time any more.
    !link.is_open() && link.deadline().is_none()
}

fn server_frame(choice: usize, input: &mut Input<'_>, delivered: u64) -> ServerFrame {
    match choice {
        4 => Handshake::begin(SERVER.into(), ChannelBinding::None, &Limits::default(), NOW, &mut rng(1)).1,
        5 => ServerFrame::Connected(Connected {
            push_token: BOB.phone.push_token(),
            server_time: NOW,
            frame_bytes_max: 0,
            payload_bytes_max: 0,
            window_count: 0,
            window_bytes: 0,
            keep_alive_min: Duration::from_secs(input.u16().into()),
            keep_alive_max: Duration::from_secs(input.u16().into()),
            epoch: 0,
        }),
        6 | 7 => ServerFrame::Deliver(Deliver {
            seq: if choice == 6 { delivered + 1 } else { u64::from(input.byte()) },
            envelope: frames::letter(input.byte(), b"sealed").encode(),
            from_storage: false,
            last_from_storage: false,
        }),
        8 => {
            let part = SentPart { envelope_id: Bytes::from_static(&[1; 16]), status: Status::Accepted };
            ServerFrame::Sent(Sent { id: u64::from(input.byte() % 16), parts: vec![part] })
        }
        9 => ServerFrame::KeepAliveAnswer { id: u64::from(input.byte() % 4) },
        10 => ServerFrame::Close(Close::new(CloseCode::GoingAway, "later")),
        _ => {
            let decoded = ServerFrame::decode(Bytes::copy_from_slice(input.piece()));
            decoded.unwrap_or(ServerFrame::KeepAliveAnswer { id: 0 })
        }
    }
}

/// An honest device and an honest server; connections break at any moment, frames are on their way, commits take time.
struct Wire {
    server: Server,
    link: Link,
    to_server: VecDeque<Bytes>,
    to_device: VecDeque<Bytes>,
    /// Numbers that the device has and did not commit yet.
    uncommitted: Vec<u64>,
}

fn broken_network(input: &mut Input<'_>) {
    let limits = limits(input.byte());
    let mut now = NOW;
    let mut received = BTreeSet::new();
    let mut wire = Wire::dial(limits.clone(), Mailbox::default(), now);
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        match input.choice(16) {
            choice @ 0..=6 => wire.server.outside(choice, input),
            7 | 8 => wire.move_to_device(now, &mut received),
            9 => wire.move_to_server(),
            10 | 11 => wire.commit(input, now),
            12 => {
                let topics = topics(input.byte());
                wire.act(|link, events| link.filter(topics, now, events));
            }
            13 => {
                wire.act(|link, events| {
                    let _ = link.send(frames::request(), now, events);
                });
                wire.server.answer_send();
            }
            14 => {
                now = now.plus(Duration::from_secs(u64::from(input.byte())));
                wire.server.pass_to(now);
            }
            _ => wire = Wire::dial(limits.clone(), wire.server.hang_up(), now),
        }
        wire.collect();
        if wire.server.is_over() {
            wire = Wire::dial(limits.clone(), wire.server.hang_up(), now);
        }
    }
    // The network mends, and everything arrives.
    let all = topics(0);
    wire = Wire::dial(limits, wire.server.hang_up(), now);
    wire.act(|link, events| link.filter(all, now, events));
    for _ in 0..2000 {
        wire.server.flush();
        wire.collect();
        wire.move_to_device(now, &mut received);
        wire.commit(&mut Input::new(&[]), now);
        wire.move_to_server();
    }
    assert!(wire.server.is_empty(), "something stored does not arrive");
    assert!(wire.server.accepted().is_subset(&received), "something accepted was lost");
}

impl Wire {
    fn dial(limits: Limits, mailbox: Mailbox, now: Timestamp) -> Self {
        let server = Server::connect(authenticated(), limits, mailbox, now);
        let mut link = Link::begin(config(), now);
        let (_, hello) = Handshake::begin(SERVER.into(), ChannelBinding::None, &Limits::default(), now, &mut rng(1));
        let mut events = Vec::new();
        link.on_frame(hello, &ALICE.phone.keys.device, now, &mut events).unwrap();
        let mut wire =
            Self { server, link, to_server: VecDeque::new(), to_device: VecDeque::new(), uncommitted: Vec::new() };
        wire.collect();
        wire
    }

    /// What the server wrote is on its way.
    fn collect(&mut self) {
        self.to_device.extend(self.server.written().map(ServerFrame::encode));
    }

    fn act(&mut self, act: impl FnOnce(&mut Link, &mut Vec<LinkEvent>)) {
        let mut events = Vec::new();
        act(&mut self.link, &mut events);
        for event in events {
            let LinkEvent::Write(frame) = event else { panic!("only frames come of what a device does") };
            self.to_server.push_back(frame.encode());
        }
    }

    fn move_to_server(&mut self) {
        if self.server.wants_frames()
            && let Some(bytes) = self.to_server.pop_front()
        {
            self.server.frame(ClientFrame::decode(bytes).unwrap());
        }
    }

    fn move_to_device(&mut self, now: Timestamp, received: &mut BTreeSet<u64>) {
        let Some(bytes) = self.to_device.pop_front() else { return };
        let mut events = Vec::new();
        let taken = self.link.on_frame(ServerFrame::decode(bytes).unwrap(), &ALICE.phone.keys.device, now, &mut events);
        assert_eq!(taken, Ok(()), "an honest server says nothing out of turn");
        for event in events {
            match event {
                LinkEvent::Delivered(delivery) => {
                    self.uncommitted.push(delivery.seq);
                    received.insert(server::position(&delivery.bytes));
                }
                LinkEvent::Write(frame) => self.to_server.push_back(frame.encode()),
                _ => {}
            }
        }
    }

    /// The device commits one of those that it has, not always the oldest.
    fn commit(&mut self, input: &mut Input<'_>, now: Timestamp) {
        if !self.uncommitted.is_empty() {
            let seq = self.uncommitted.remove(input.choice(self.uncommitted.len()));
            self.act(|link, events| link.committed(seq, now, events));
        }
    }
}

/// Short plays for each of the three.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let ack = ClientFrame::Ack { seq: 1 }.encode();
    let close = ServerFrame::Close(Close::new(CloseCode::Idle, "")).encode();
    let store = |size: u8| [0, 0, 0, size, 0];
    let stored = [store(10), store(200), store(30)].concat();
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    let mut add = |parts: &[&[u8]]| seeds.push(parts.concat());
    for limits in [0x00, 0x15, 0x0f, 0x2a] {
        add(&[&[0, limits], &stored, &[2, 2, 7, 0, 10, 4, 2, 7, 2, 2, 7, 0, 12, 12, 14, 15, 0, 9]]);
        add(&[&[2, limits], &stored, &[2, 7, 7, 7, 10, 1, 10, 0, 9, 9, 15, 2, 7, 7, 13, 9, 14, 60, 12, 4, 9, 10, 0]]);
    }
    add(&[&[0, 0x0f, 13], &crate::input::piece(&ack), &[9, 0, 0, 0, 0, 0, 0, 0, 9, 0]]);
    add(&[&[0, 0x0f, 15, 0xff, 0xff, 11, 0, 0, 0, 0, 0, 0, 0, 1]]);
    add(&[&[1, 4, 5, 0, 60, 7, 8, 6, 1, 6, 2, 1, 2, 1, 1, 0, 8, 1, 3, 61, 9, 0, 2, 5, 10]]);
    add(&[&[1, 4, 5, 0, 60, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 20, 11], &crate::input::piece(&close)]);
    add(&[&[1, 3, 9, 3, 2]]);
    // Holds, questions about them and their answers, where whatever decodes is taken.
    for frame in frames::holds() {
        let frame = crate::input::piece(&frame.encode());
        add(&[&[0, 0x0f, 13], &frame, &stored, &[12, 13], &frame, &[2, 14]]);
    }
    for frame in frames::held() {
        let frame = crate::input::piece(&frame.encode());
        add(&[&[1, 4, 5, 0, 60, 7, 8, 11], &frame, &[0, 11], &frame, &[8, 1]]);
    }
    seeds
}
