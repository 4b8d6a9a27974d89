//! Alice's phone speaks to a server that does what the story needs.

use halcyon_types::{PushToken, Topic};
use rand::{SeedableRng, rngs::StdRng};

use super::*;
use crate::{
    connect::Hello,
    frame::tests::{request, sealed},
    send::{Part, SentPart},
    wire::Status,
};

const NOON: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn key() -> SigningKey {
    SigningKey::generate_compact(&mut StdRng::seed_from_u64(1))
}

fn config() -> LinkConfig {
    LinkConfig {
        device: DeviceId::from_bytes([1; 16]),
        epoch: 7,
        audience: "halcyon.example".into(),
        binding: ChannelBinding::None,
        topics: Topics::messages_and_alerts(),
        grant: None,
        keep_alive: KeepAliveInterval::default(),
    }
}

fn hello() -> ServerFrame {
    ServerFrame::Hello(Hello { nonce: [5; 32], server_time: NOON })
}

fn connected() -> ServerFrame {
    ServerFrame::Connected(Connected {
        push_token: PushToken::from_bytes([6; 32]),
        server_time: NOON,
        frame_bytes_max: 262_144,
        payload_bytes_max: 20_480,
        window_count: 64,
        window_bytes: 1_048_576,
        keep_alive_min: Duration::from_mins(1),
        keep_alive_max: Duration::from_mins(30),
        epoch: 9,
    })
}

fn deliver(seq: u64) -> ServerFrame {
    ServerFrame::Deliver(Deliver {
        seq,
        envelope: Bytes::from_static(b"?"),
        from_storage: false,
        last_from_storage: false,
    })
}

/// A link and everything that came out of it.
struct Scene {
    link: Link,
    now: Timestamp,
    out: Vec<LinkEvent>,
}

impl Scene {
    fn new() -> Self {
        Self { link: Link::begin(config(), NOON), now: NOON, out: vec![] }
    }

    fn open() -> Self {
        let mut scene = Self::new();
        scene.hear(hello()).unwrap();
        scene.hear(connected()).unwrap();
        scene.out.clear();
        scene
    }

    fn hear(&mut self, frame: ServerFrame) -> Result<(), LinkError> {
        self.link.on_frame(frame, &key(), self.now, &mut self.out)
    }

    fn commit(&mut self, seq: u64) -> Vec<LinkEvent> {
        let mut out = Vec::new();
        self.link.committed(seq, self.now, &mut out);
        out
    }

    fn send(&mut self) -> Result<u64, NotSent> {
        self.link.send(request(vec![Part::new(sealed(1, b"x"))]), self.now, &mut self.out)
    }

    /// Waits for the link's own deadline.
    fn wait(&mut self) -> Result<Vec<LinkEvent>, LinkError> {
        self.now = self.link.deadline().expect("there is a deadline");
        let mut out = Vec::new();
        self.link.on_deadline(self.now, &mut out).map(|()| out)
    }
}

/// COU-10, COU-11, COU-13: hello, connect, connected.
#[test]
fn a_device_connects() {
    let mut scene = Scene::new();
    assert!(!scene.link.is_open() && scene.send() == Err(NotSent::NotOpen));
    scene.hear(hello()).unwrap();
    let LinkEvent::Write(ClientFrame::Connect(connect)) = scene.out.remove(0) else { panic!("a connect goes out") };
    assert_eq!((connect.audience.as_str(), connect.time), ("halcyon.example", NOON));
    scene.hear(connected()).unwrap();
    assert!(matches!(scene.out[..], [LinkEvent::Connected(_)]));
    assert!(scene.link.is_open() && scene.link.can_send());
}

/// COU-17, COU-18: a phone shows its epoch when it connects and when it sends, and hears which one the server remembers.
/// That it is an older copy of itself is for the caller to find.
#[test]
fn epochs_are_shown_and_told() {
    let mut scene = Scene::new();
    scene.hear(hello()).unwrap();
    let LinkEvent::Write(ClientFrame::Connect(connect)) = scene.out.remove(0) else { panic!("a connect goes out") };
    assert_eq!(connect.epoch, 7);
    scene.hear(connected()).unwrap();
    let LinkEvent::Connected(connected) = scene.out.remove(0) else { panic!("it is connected") };
    assert_eq!(connected.epoch, 9);
    let request = SendRequest { epoch: 8, ..request(vec![Part::new(sealed(1, b"x"))]) };
    scene.link.send(request, scene.now, &mut scene.out).unwrap();
    let LinkEvent::Write(ClientFrame::Send(send)) = scene.out.remove(0) else { panic!("a send goes out") };
    assert_eq!(send.check(&crate::Limits::default(), NOON).unwrap().epoch, 8);
}

/// COU-14: a server that does not speak is given up.
#[test]
fn a_silent_server_is_given_up() {
    let mut scene = Scene::new();
    assert_eq!(scene.wait(), Err(LinkError::HandshakeTimeout));
    let mut scene = Scene::new();
    scene.hear(hello()).unwrap();
    assert_eq!(scene.link.deadline(), Some(NOON.plus(Duration::from_secs(10))));
    assert_eq!(scene.wait(), Err(LinkError::HandshakeTimeout));
}

/// COU-3: what may not come now ends it.
#[test]
fn frames_out_of_place_are_errors() {
    for frame in [connected(), deliver(1), ServerFrame::KeepAliveAnswer { id: 0 }] {
        assert!(matches!(Scene::new().hear(frame), Err(LinkError::Unexpected(_))));
    }
    let answer = ServerFrame::Sent(Sent { id: 9, parts: vec![] });
    for frame in [hello(), connected(), deliver(2), deliver(0), ServerFrame::KeepAliveAnswer { id: 0 }, answer] {
        assert!(matches!(Scene::open().hear(frame), Err(LinkError::Unexpected(_))));
    }
}

/// COU-41, SND-2: each send is answered under its id; too many wait, and one without an answer means a dead connection.
#[test]
fn sends_are_answered_by_id() {
    let mut scene = Scene::open();
    let (first, second) = (scene.send().unwrap(), scene.send().unwrap());
    assert_ne!(first, second);
    let parts = vec![SentPart { envelope_id: Bytes::from_static(&[1; 16]), status: Status::Accepted }];
    let answer = Sent { id: second, parts };
    scene.hear(ServerFrame::Sent(answer.clone())).unwrap();
    assert_eq!(scene.out.last(), Some(&LinkEvent::Sent(answer.clone())));
    assert!(scene.hear(ServerFrame::Sent(answer)).is_err(), "an answer comes once");
    for _ in 1..SENDS_UNANSWERED_MAX {
        scene.send().unwrap();
    }
    assert_eq!((scene.link.can_send(), scene.send()), (false, Err(NotSent::Busy)));
    assert_eq!(scene.link.deadline(), Some(NOON.plus(SENT_TIMEOUT)));
    assert_eq!(scene.wait(), Err(LinkError::SendUnanswered));
}

/// COU-52, RCV-1: what was committed out of order is acknowledged in order.
#[test]
fn acknowledgements_wait_for_what_is_before() {
    let mut scene = Scene::open();
    (1..=4).for_each(|seq| scene.hear(deliver(seq)).unwrap());
    let LinkEvent::Delivered(delivery) = &scene.out[0] else { panic!("delivered") };
    assert_eq!((delivery.seq, &delivery.envelope), (1, &Err(EnvelopeError)));
    let ack = |seq| vec![LinkEvent::Write(ClientFrame::Ack { seq })];
    assert_eq!(scene.commit(2), []);
    assert_eq!(scene.commit(1), ack(2));
    assert_eq!(scene.commit(1), [], "reported before");
    assert_eq!(scene.commit(9), [], "never delivered");
    assert_eq!(scene.commit(4), []);
    assert_eq!(scene.commit(3), ack(4));
}

/// COU-15: after a minute of silence a sign of life; its answer lets the next one wait longer; without one it is over.
#[test]
fn a_sign_of_life_after_silence() {
    let mut scene = Scene::open();
    assert_eq!(scene.link.deadline(), Some(NOON.plus(Duration::from_mins(1))));
    let [LinkEvent::Write(ClientFrame::KeepAlive { id })] = scene.wait().unwrap()[..] else { panic!("a sign of life") };
    scene.hear(ServerFrame::KeepAliveAnswer { id }).unwrap();
    assert_eq!(scene.link.deadline(), Some(scene.now.plus(Duration::from_secs(90))));
    // Anything that is sent is a sign of life as well.
    scene.now = scene.now.plus(Duration::from_secs(60));
    scene.hear(deliver(1)).unwrap();
    assert_eq!(scene.commit(1).len(), 1);
    assert_eq!(scene.link.deadline(), Some(scene.now.plus(Duration::from_secs(90))));
    assert_eq!(scene.wait().unwrap().len(), 1);
    assert_eq!(scene.link.deadline(), Some(scene.now.plus(KEEP_ALIVE_TIMEOUT)));
    assert_eq!(scene.wait(), Err(LinkError::Silent));
    assert_eq!(scene.link.keep_alive().lost().as_duration(), Duration::from_mins(1));
}

/// COU-4: the server says why it ends; the device says goodbye.
#[test]
fn a_connection_ends_with_a_reason() {
    let mut scene = Scene::open();
    let close = Close::replaced();
    scene.hear(ServerFrame::Close(close.clone())).unwrap();
    assert_eq!(scene.out, [LinkEvent::Closed(close)]);
    assert_eq!((scene.link.is_open(), scene.link.deadline()), (false, None));
    let mut scene = Scene::open();
    scene.link.close(&mut scene.out);
    assert!(matches!(scene.out[..], [LinkEvent::Write(ClientFrame::Close(_))]));
    assert!(!scene.link.is_open());
}

/// COU-34: other topics that are wanted while the connect is on its way go out as soon as it was answered.
#[test]
fn a_filter_during_the_connect_is_not_lost() {
    let mut scene = Scene::new();
    scene.hear(hello()).unwrap();
    scene.out.clear();
    let alerts = Topics::new([Topic::alert()]).unwrap();
    scene.link.filter(alerts.clone(), NOON, &mut scene.out);
    assert_eq!(scene.out, [], "nothing may come before the answer");
    scene.hear(connected()).unwrap();
    assert_eq!(scene.out.last(), Some(&LinkEvent::Write(ClientFrame::Filter(alerts))));
}

/// COU-34: a filter goes out at once, or with the next connect.
#[test]
fn topics_can_change() {
    let mut scene = Scene::open();
    let alerts = Topics::new([halcyon_types::Topic::alert()]).unwrap();
    scene.link.filter(alerts.clone(), NOON, &mut scene.out);
    assert_eq!(scene.out, [LinkEvent::Write(ClientFrame::Filter(alerts.clone()))]);
    let mut scene = Scene::new();
    scene.link.filter(alerts.clone(), NOON, &mut scene.out);
    scene.hear(hello()).unwrap();
    let [LinkEvent::Write(ClientFrame::Connect(connect))] = &scene.out[..] else { panic!("one connect") };
    assert_eq!(connect.topics, alerts);
}
