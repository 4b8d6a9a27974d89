//! Bob's phone is connected; a mailbox of a few lines stands for the store.

use std::collections::BTreeMap;

use halcyon_crypto::SigningKey;
use halcyon_types::{Duration, EnvelopeId};
use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng};

use super::*;
use crate::{
    connect::{ChannelBinding, Connect, Handshake, Introduction},
    frame::tests::{request, sealed},
    send::{Part, SentPart},
};

const NOON: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// How the device of a scene proved itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    OwnKey,
    Grant,
}

fn authenticated(topics: Topics, by: By) -> Authenticated {
    let mut rng = StdRng::seed_from_u64(1);
    let key = SigningKey::generate_compact(&mut rng);
    let (handshake, hello) =
        Handshake::begin("h.example".into(), ChannelBinding::None, &Limits::default(), NOON, &mut rng);
    let ServerFrame::Hello(hello) = hello else { unreachable!() };
    let phone = Introduction { device: DeviceId::from_bytes([1; 16]), epoch: 7, topics };
    let connect = match by {
        By::OwnKey => Connect::sign(phone, &key, "h.example", &hello, &ChannelBinding::None, NOON),
        By::Grant => {
            let grant = crate::Grant::sign(phone.device, &key, key.verifying_key(), NOON);
            let whom = (phone.device, phone.topics);
            Connect::sign_granted(whom, (grant, &key), "h.example", &hello, &ChannelBinding::None, NOON)
        }
    };
    let claim = handshake.connect(ClientFrame::Connect(connect), NOON).unwrap();
    claim.verify(Some(key.verifying_key())).unwrap()
}

fn weather() -> Topic {
    Topic::parse("weather").unwrap()
}

fn small_window() -> Limits {
    Limits { window_count: 4, window_bytes: 400, ..Limits::default() }
}

/// A connection with its mailbox. Reads are answered when the story says so.
struct Scene {
    hub: Hub,
    mailbox: BTreeMap<u64, (Topic, Bytes)>,
    pending: Option<Read>,
    /// (seq, envelope, from storage, last from storage)
    got: Vec<(u64, Bytes, bool, bool)>,
    others: Vec<Action>,
}

impl Scene {
    fn new(limits: Limits, topics: Topics, waiting: u64) -> Self {
        Self::of(By::OwnKey, limits, topics, waiting)
    }

    fn of(by: By, limits: Limits, topics: Topics, waiting: u64) -> Self {
        let mut out = Vec::new();
        let hub = Hub::begin(
            authenticated(topics, by),
            PushToken::from_bytes([3; 32]),
            0,
            Arc::new(limits),
            Arc::default(),
            NOON,
            &mut out,
        );
        let mut scene = Self { hub, mailbox: BTreeMap::new(), pending: None, got: vec![], others: vec![] };
        (1..=waiting).for_each(|position| scene.put(position, Topic::message()));
        assert!(matches!(out.remove(0), Action::Write(ServerFrame::Connected(_))));
        scene.perform(out);
        scene
    }

    fn put(&mut self, position: u64, topic: Topic) {
        self.mailbox.insert(position, (topic, envelope(position)));
    }

    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Write(ServerFrame::Deliver(d)) => {
                    self.got.push((d.seq, d.envelope, d.from_storage, d.last_from_storage))
                }
                Action::Read(read) => {
                    assert!(self.pending.replace(read).is_none(), "one read at a time");
                }
                Action::Acknowledge(positions) => {
                    for position in positions {
                        assert!(self.mailbox.remove(&position).is_some(), "acknowledged at most once: {position}");
                    }
                }
                other => self.others.push(other),
            }
        }
    }

    /// What the store answers to the pending read at this moment.
    fn look_up(&self) -> Vec<Stored> {
        let read = self.pending.expect("a read is pending");
        let mut bytes = 0;
        let wanted = self.mailbox.range(read.after + 1..).filter(|(_, (topic, _))| self.hub.topics().contains(topic));
        let fits = wanted.take(read.count).take_while(|(_, (_, envelope))| {
            bytes += envelope.len();
            bytes <= read.bytes
        });
        fits.map(|(position, (_, envelope))| Stored { position: *position, envelope: envelope.clone() }).collect()
    }

    fn answer(&mut self, found: Vec<Stored>) {
        self.pending = None;
        let mut out = Vec::new();
        self.hub.read(found, &mut out);
        self.perform(out);
    }

    /// Answers reads until there are none.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            if self.pending.is_none() {
                return;
            }
            let found = self.look_up();
            self.answer(found);
        }
        panic!("reads without end");
    }

    fn store(&mut self, position: u64, topic: Topic) {
        self.put(position, topic.clone());
        self.notify(Notification::Stored { position, topic, envelope: envelope(position) });
    }

    fn notify(&mut self, notification: Notification) {
        let mut out = Vec::new();
        self.hub.on_notification(notification, &mut out);
        self.perform(out);
    }

    fn frame(&mut self, frame: ClientFrame) {
        let mut out = Vec::new();
        self.hub.on_frame(frame, NOON, &mut out);
        self.perform(out);
    }

    fn got_positions(&self) -> Vec<u64> {
        self.got.iter().map(|(_, envelope, ..)| u64::from_be_bytes(envelope[..8].try_into().unwrap())).collect()
    }

    fn close_code(&self) -> Option<CloseCode> {
        self.others.iter().find_map(|action| match action {
            Action::Close(close) => Some(close.code),
            _ => None,
        })
    }
}

/// Fifty bytes, of which the first eight are the position.
fn envelope(position: u64) -> Bytes {
    let mut bytes = vec![0; 50];
    bytes[..8].copy_from_slice(&position.to_be_bytes());
    bytes.into()
}

/// COU-13: the device learns the limits, and its mailbox is read.
#[test]
fn a_connection_begins_with_the_limits() {
    let mut out = Vec::new();
    let authenticated = authenticated(Topics::messages_and_alerts(), By::OwnKey);
    let _hub = Hub::begin(
        authenticated,
        PushToken::from_bytes([3; 32]),
        9,
        Arc::new(Limits::default()),
        Arc::default(),
        NOON,
        &mut out,
    );
    let Action::Write(ServerFrame::Connected(connected)) = &out[0] else { panic!("connected comes first") };
    assert_eq!((connected.window_count, connected.window_bytes), (64, 1_048_576));
    assert_eq!((connected.frame_bytes_max, connected.payload_bytes_max), (262_144, 20_480));
    assert_eq!((connected.keep_alive_max, connected.epoch), (Duration::from_mins(30), 9));
    assert!(matches!(out[1], Action::Read(Read { after: 0, count: 65, .. })));
}

/// COU-50: what waited comes in order and is marked, the last of it as the last; what is new is not.
#[test]
fn what_waited_comes_first_and_in_order() {
    let mut scene = Scene::new(Limits::default(), Topics::messages_and_alerts(), 3);
    scene.settle();
    scene.store(4, Topic::message());
    let marks: Vec<_> = scene.got.iter().map(|(seq, _, stored, last)| (*seq, *stored, *last)).collect();
    assert_eq!(marks, [(1, true, false), (2, true, false), (3, true, true), (4, false, false)]);
    assert_eq!(scene.got_positions(), [1, 2, 3, 4]);
}

/// COU-51, COU-52: a slow phone has four under way, and gets more when it acknowledged half of them.
#[test]
fn a_slow_device_fills_its_window_and_no_more() {
    let mut scene = Scene::new(small_window(), Topics::messages_and_alerts(), 10);
    scene.settle();
    assert_eq!(scene.got_positions(), [1, 2, 3, 4]);
    scene.store(11, Topic::message());
    scene.frame(ClientFrame::Ack { seq: 1 });
    scene.settle();
    assert_eq!(scene.got.len(), 4);
    scene.frame(ClientFrame::Ack { seq: 2 });
    scene.settle();
    assert_eq!(scene.got_positions(), [1, 2, 3, 4, 5, 6]);
    for seq in 3..=11 {
        scene.frame(ClientFrame::Ack { seq });
        scene.settle();
    }
    assert_eq!(scene.got_positions(), (1..=11).collect::<Vec<_>>());
    assert!(scene.mailbox.is_empty());
    assert!(scene.got[10].3, "the eleventh was the last that waited");
}

/// COU-51: bytes fill a window too, and an envelope larger than the window still goes, alone.
#[test]
fn bytes_fill_the_window_too() {
    let limits = Limits { window_count: 64, window_bytes: 120, ..Limits::default() };
    let mut scene = Scene::new(limits, Topics::messages_and_alerts(), 5);
    scene.settle();
    assert_eq!(scene.got_positions(), [1, 2]);
    let tiny = Limits { window_bytes: 10, ..Limits::default() };
    let mut scene = Scene::new(tiny, Topics::messages_and_alerts(), 2);
    scene.settle();
    assert_eq!(scene.got_positions(), [1]);
    scene.frame(ClientFrame::Ack { seq: 1 });
    scene.settle();
    assert_eq!(scene.got_positions(), [1, 2]);
}

/// COU-52: an acknowledgement covers everything before it; an old one is no news, one of the future ends it.
#[test]
fn acknowledgements_are_cumulative() {
    let mut scene = Scene::new(Limits::default(), Topics::messages_and_alerts(), 3);
    scene.settle();
    scene.frame(ClientFrame::Ack { seq: 2 });
    assert_eq!(scene.mailbox.keys().collect::<Vec<_>>(), [&3]);
    scene.frame(ClientFrame::Ack { seq: 1 });
    scene.frame(ClientFrame::Ack { seq: 2 });
    assert!(scene.close_code().is_none());
    for never in [0, 4, u64::MAX] {
        let mut scene = Scene::new(Limits::default(), Topics::messages_and_alerts(), 3);
        scene.settle();
        scene.frame(ClientFrame::Ack { seq: never });
        assert_eq!(scene.close_code(), Some(CloseCode::MalformedFrame), "{never}");
        assert_eq!(scene.mailbox.len(), 3);
    }
}

/// COU-50: what is stored while a read is under way is neither lost nor overtakes.
#[test]
fn a_message_during_a_read_is_not_lost() {
    let mut scene = Scene::new(Limits::default(), Topics::messages_and_alerts(), 2);
    let before = scene.look_up();
    scene.store(3, Topic::message());
    assert!(scene.got.is_empty(), "nothing overtakes what waits");
    scene.answer(before);
    scene.settle();
    assert_eq!(scene.got_positions(), [1, 2, 3]);

    // The read saw it already when word of it comes.
    let mut scene = Scene::new(Limits::default(), Topics::messages_and_alerts(), 3);
    scene.settle();
    scene.notify(Notification::Stored { position: 3, topic: Topic::message(), envelope: envelope(3) });
    scene.notify(Notification::Wake);
    scene.settle();
    assert_eq!(scene.got_positions(), [1, 2, 3]);
}

/// COU-53: a read that failed is made again, and loses nothing.
#[test]
fn a_failed_read_is_made_again() {
    let mut scene = Scene::new(Limits::default(), Topics::messages_and_alerts(), 2);
    scene.pending = None;
    scene.hub.read_failed();
    scene.store(3, Topic::message());
    scene.settle();
    assert_eq!(scene.got_positions(), [1, 2, 3]);
}

/// COU-34: other topics wait; when they are wanted they come, and nothing that is under way comes twice.
#[test]
fn unwanted_topics_wait() {
    let mut scene = Scene::new(Limits::default(), Topics::new([Topic::message()]).unwrap(), 0);
    scene.settle();
    scene.store(1, weather());
    scene.store(2, Topic::message());
    assert_eq!(scene.got_positions(), [2]);
    scene.frame(ClientFrame::Filter(Topics::new([Topic::message(), weather()]).unwrap()));
    scene.settle();
    assert_eq!(scene.got_positions(), [2, 1]);
    scene.store(3, weather());
    assert_eq!(scene.got_positions(), [2, 1, 3]);
    scene.frame(ClientFrame::Ack { seq: 3 });
    assert!(scene.mailbox.is_empty());
}

/// COU-34: topics that change during a read: its outcome is of the old ones, and is not used.
#[test]
fn a_filter_during_a_read_counts() {
    let mut scene = Scene::new(Limits::default(), Topics::new([Topic::message()]).unwrap(), 1);
    scene.put(2, weather());
    let before = scene.look_up();
    scene.frame(ClientFrame::Filter(Topics::new([weather()]).unwrap()));
    scene.answer(before);
    scene.settle();
    assert_eq!(scene.got_positions(), [2]);
    assert_eq!(scene.mailbox.len(), 2);
}

/// COU-40, COU-52: now or never: it counts like any other, nothing is deleted for it, and without room it is gone.
#[test]
fn now_or_never_counts_and_does_not_wait() {
    let mut scene = Scene::new(small_window(), Topics::messages_and_alerts(), 0);
    scene.settle();
    let typing = || Notification::Transient { topic: Topic::message(), envelope: envelope(9) };
    (0..6).for_each(|_| scene.notify(typing()));
    assert_eq!(scene.got.iter().map(|(seq, ..)| *seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
    scene.notify(Notification::Transient { topic: weather(), envelope: envelope(9) });
    scene.frame(ClientFrame::Ack { seq: 4 });
    scene.notify(typing());
    assert_eq!(scene.got.len(), 5);
    assert!(!scene.others.iter().any(|action| matches!(action, Action::Acknowledge(_))));
}

/// COU-45, COU-41: a burst of sends is taken, the one after it is told to come back; answers go out as they are.
#[test]
fn sends_are_limited_in_rate() {
    let limits = Limits { sends_per_s: 1, sends_burst: 2, ..Limits::default() };
    let mut scene = Scene::new(limits, Topics::messages_and_alerts(), 0);
    let send = || ClientFrame::Send(request(vec![Part::new(sealed(1, b"x"))]).into_unchecked());
    (0..3).for_each(|_| scene.frame(send()));
    let taken = scene.others.iter().filter(|action| matches!(action, Action::Accept(_))).count();
    assert_eq!(taken, 2);
    let answer = |status| {
        let parts = vec![SentPart { envelope_id: Bytes::from_static(&[1; 16]), status }];
        ServerFrame::Sent(Sent { id: 7, parts })
    };
    assert!(scene.others.contains(&Action::Write(answer(Status::RateLimited))));
    let ServerFrame::Sent(stored) = answer(Status::Accepted) else { unreachable!() };
    let mut out = Vec::new();
    scene.hub.sent(stored, &mut out);
    assert_eq!(out, [Action::Write(answer(Status::Accepted))]);
}

/// COU-33: the answer to a send that may not be needs no store.
#[test]
fn a_forbidden_send_is_answered_at_once() {
    let mut scene = Scene::new(Limits::default(), Topics::messages_and_alerts(), 0);
    let forged = SendRequest { topic: Topic::alert(), ..request(vec![Part::new(sealed(1, b"x"))]) };
    scene.frame(ClientFrame::Send(forged.into_unchecked()));
    let Some(Action::Write(ServerFrame::Sent(sent))) = scene.others.first() else { panic!("answered") };
    assert_eq!(sent.parts[0].status, Status::Forbidden);
    assert!(EnvelopeId::try_from(&sent.parts[0].envelope_id[..]).is_ok());
}

/// COU-22: whoever only may receive sends nothing, and is delivered to.
#[test]
fn a_granted_connection_receives_and_does_not_send() {
    let mut scene = Scene::of(By::Grant, Limits::default(), Topics::messages_and_alerts(), 2);
    scene.settle();
    assert_eq!(scene.got.len(), 2);
    scene.frame(ClientFrame::Ack { seq: 2 });
    assert!(scene.mailbox.is_empty() && scene.others.is_empty());
    let send = request(vec![Part::new(sealed(1, b"x")), Part::new(sealed(2, b"y"))]);
    scene.frame(ClientFrame::Send(send.into_unchecked()));
    let [Action::Write(ServerFrame::Sent(sent))] = &scene.others[..] else { panic!("answered") };
    assert!(sent.parts.iter().all(|part| part.status == Status::Forbidden) && sent.parts.len() == 2);
}

/// COU-41: while a device's sends are being stored, only so many more are read.
#[test]
fn a_fast_sender_is_read_no_faster_than_the_disk() {
    let limits = Limits { sends_in_flight_max: 2, ..Limits::default() };
    let mut scene = Scene::new(limits, Topics::messages_and_alerts(), 0);
    let send = || ClientFrame::Send(request(vec![Part::new(sealed(1, b"x"))]).into_unchecked());
    scene.frame(send());
    assert!(scene.hub.wants_frames());
    scene.frame(send());
    assert!(!scene.hub.wants_frames());
    scene.hub.sent(Sent { id: 7, parts: vec![] }, &mut Vec::new());
    assert!(scene.hub.wants_frames());
}

/// COU-15: a sign of life is answered and heard; half an hour and a minute of silence end it.
#[test]
fn silence_ends_a_connection() {
    let mut scene = Scene::new(Limits::default(), Topics::messages_and_alerts(), 0);
    let later = NOON.plus(Duration::from_mins(10));
    let mut out = Vec::new();
    scene.hub.on_frame(ClientFrame::KeepAlive { id: 5 }, later, &mut out);
    assert_eq!(out, [Action::Write(ServerFrame::KeepAliveAnswer { id: 5 })]);
    let deadline = later.plus(Duration::from_secs(30 * 60 + 60));
    assert_eq!(scene.hub.deadline(), deadline);
    scene.hub.on_deadline(deadline.minus(Duration::from_millis(1)), &mut scene.others);
    assert_eq!(scene.close_code(), None);
    scene.hub.on_deadline(deadline, &mut scene.others);
    assert_eq!(scene.close_code(), Some(CloseCode::Idle));
}

/// COU-3, COU-4: a second connect ends it; a goodbye is passed on.
#[test]
fn frames_out_of_place_end_a_connection() {
    let mut scene = Scene::new(Limits::default(), Topics::messages_and_alerts(), 0);
    let bye = Close::new(CloseCode::GoingAway, "");
    scene.frame(ClientFrame::Close(bye.clone()));
    assert_eq!(scene.others, [Action::Left(bye)]);
    let connect = Connect {
        device: DeviceId::from_bytes([1; 16]),
        time: NOON,
        audience: String::new(),
        signature: halcyon_crypto::Signature::from_bytes([0; 64]),
        topics: Topics::messages_and_alerts(),
        epoch: 0,
        grant: None,
    };
    scene.frame(ClientFrame::Connect(connect));
    assert_eq!(scene.close_code(), Some(CloseCode::MalformedFrame));
    assert_eq!((Close::replaced().code, Close::revoked().code), (CloseCode::Replaced, CloseCode::Revoked)); // COU-13, COU-55
    assert_eq!((Close::going_away().code, Close::storage().code), (CloseCode::GoingAway, CloseCode::Storage)); // COU-56, COU-44
    let many = Close::too_many_connections(Duration::from_secs(60));
    assert_eq!((many.code, many.retry_after), (CloseCode::TooManyConnections, Some(Duration::from_secs(60)))); // COU-14
}

/// An idle connection is small: this is what makes many of them cheap.
#[test]
fn an_idle_connection_is_small() {
    assert!(size_of::<Hub>() <= 256, "{} bytes", size_of::<Hub>());
}

#[derive(Clone, Debug)]
enum Step {
    Store,
    StoreWithoutWord,
    Wake,
    Transient,
    AnswerRead,
    LookUpThenStore,
    Ack(prop::sample::Index),
    Filter(bool),
    ReadFails,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Store),
        1 => Just(Step::StoreWithoutWord),
        1 => Just(Step::Wake),
        1 => Just(Step::Transient),
        4 => Just(Step::AnswerRead),
        2 => Just(Step::LookUpThenStore),
        4 => any::<prop::sample::Index>().prop_map(Step::Ack),
        1 => any::<bool>().prop_map(Step::Filter),
        1 => Just(Step::ReadFails),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// COU-50 to COU-53, I3, I7: whatever the order of things, the window holds, nothing wanted is lost, nothing that is
    /// under way comes twice, and in the end the mailbox is empty.
    #[test]
    fn nothing_is_lost_in_any_order(steps in prop::collection::vec(step(), 0..80)) {
        let mut scene = Scene::new(small_window(), Topics::messages_and_alerts(), 3);
        let (mut position, mut acked) = (3, 0);
        let mut stored: Vec<u64> = vec![1, 2, 3];
        for step in steps {
            match step {
                Step::Store => {
                    position += 1;
                    stored.push(position);
                    scene.store(position, Topic::message());
                }
                Step::StoreWithoutWord => {
                    position += 1;
                    stored.push(position);
                    scene.put(position, Topic::message());
                    scene.notify(Notification::Wake);
                }
                Step::Wake => scene.notify(Notification::Wake),
                Step::Transient => scene.notify(Notification::Transient { topic: Topic::message(), envelope: envelope(0) }),
                Step::AnswerRead => {
                    if scene.pending.is_some() {
                        let found = scene.look_up();
                        scene.answer(found);
                    }
                }
                Step::LookUpThenStore => {
                    position += 1;
                    stored.push(position);
                    let found = scene.pending.is_some().then(|| scene.look_up());
                    scene.store(position, Topic::message());
                    if let Some(found) = found {
                        scene.answer(found);
                    }
                }
                Step::Ack(index) => {
                    let newest = scene.got.len() as u64;
                    if newest > acked {
                        acked += 1 + index.index((newest - acked) as usize) as u64;
                        scene.frame(ClientFrame::Ack { seq: acked });
                    }
                }
                Step::Filter(all) => {
                    let topics = if all { vec![Topic::message(), Topic::alert(), weather()] } else { vec![Topic::message()] };
                    scene.frame(ClientFrame::Filter(Topics::new(topics).unwrap()));
                }
                Step::ReadFails => {
                    if scene.pending.take().is_some() {
                        scene.hub.read_failed();
                    }
                }
            }
            prop_assert!(scene.got.len() as u64 - acked <= 4);
            let under_way = &scene.got_positions()[acked as usize..];
            let mut unique: Vec<u64> = under_way.iter().copied().filter(|position| *position > 0).collect();
            let count = unique.len();
            unique.sort_unstable();
            unique.dedup();
            prop_assert_eq!(unique.len(), count, "nothing under way comes twice");
        }
        scene.notify(Notification::Wake);
        while { scene.settle(); (scene.got.len() as u64) > acked } {
            acked = scene.got.len() as u64;
            scene.frame(ClientFrame::Ack { seq: acked });
        }
        prop_assert!(scene.mailbox.is_empty());
        prop_assert!(scene.close_code().is_none());
        let mut got = scene.got_positions();
        got.retain(|position| *position > 0);
        got.sort_unstable();
        got.dedup();
        prop_assert_eq!(got, stored);
        prop_assert!(scene.got.iter().enumerate().all(|(i, (seq, ..))| *seq == i as u64 + 1));
    }
}
