//! Everything that is read from a courier's connection: streams, frames of both sides, envelopes, the first connect.
//!
//! - What decodes is encoded, and decodes to the same (COU-3).
//! - A stream is cut into the same frames whatever the pieces that it arrives in (COU-1).
//! - A request to send is answered envelope by envelope, or accepted within its limits (COU-40, COU-41).
//! - Nobody is authenticated who does not hold the device's key (COU-12).

use bytes::{Bytes, BytesMut};
use halcyon_courier::{
    ClientFrame, Close, CloseCode, Deliver, Envelope, HoldState, Limits, Origin, Part, Sealed, SendRequest, Sent,
    SentPart, ServerFrame, Status, Topics,
    connect::{ChannelBinding, Connect, Handshake, HandshakeEnd, Hello, Introduction},
    envelope::Sender,
    frame::{self, Connected, LENGTH_BYTES},
    hold::{HeldAnswer, HoldQuestion, UncheckedHold},
    limits::{ENVELOPES_MAX, HOLD_MAX},
    send::{Destination, Expiry, UncheckedSend},
};
use halcyon_types::{Duration, EnvelopeId, HoldId, SuiteId, Topic};

use crate::{
    input::Input,
    people::{ALICE, BOB, NOW, SERVER, rng},
};

/// Reads the first byte as the choice of a decoder, and the rest with it.
pub fn target(data: &[u8]) {
    let mut input = Input::new(data);
    match input.choice(5) {
        0 => client_frame(input.rest()),
        1 => server_frame(input.rest()),
        2 => envelope(input.rest()),
        3 => stream(&mut input),
        _ => connect(&mut input),
    }
}

fn client_frame(bytes: &[u8]) {
    let Ok(frame) = ClientFrame::decode(Bytes::copy_from_slice(bytes)) else { return };
    let encoded = frame.clone().encode();
    assert_eq!(ClientFrame::decode(encoded.clone()), Ok(frame.clone()), "a frame decodes to itself");
    let mut framed = BytesMut::new();
    frame.clone().write_to(&mut framed);
    assert_eq!(framed[LENGTH_BYTES..], encoded[..], "both bindings carry the same frame");
    match frame {
        ClientFrame::Send(send) => self::send(send),
        ClientFrame::Hold(hold) => self::hold(*hold),
        _ => {}
    }
}

fn send(send: UncheckedSend) {
    let all = send.answer_all(Status::Unavailable);
    let limits = Limits::default();
    match send.clone().check(&limits, NOW) {
        // COU-41: an answer for each envelope, in the order sent.
        Err(answer) => {
            assert_eq!(answer.id, all.id, "the answer is to this send");
            assert_eq!(ids(&answer), ids(&all), "every envelope is answered");
        }
        Ok(request) => {
            assert_eq!(ids(&request.answer_all(Status::Unavailable)), ids(&all), "every envelope is kept");
            assert!((1..=ENVELOPES_MAX).contains(&all.parts.len()), "the number of envelopes is bounded");
            assert!(request.topic.is_for_clients(), "clients cannot write alerts");
            for sealed in parts(&request).filter_map(|part| part.sealed.as_ref().ok()) {
                assert!(sealed.payload.len() <= limits.payload_bytes_max, "a payload is bounded");
            }
            if let Expiry::At(time) = request.expiry {
                assert!(time <= NOW.plus(halcyon_courier::limits::EXPIRY_MAX), "nothing waits for ever");
            }
            if parts(&request).all(|part| part.sealed.is_ok()) {
                let again = request.clone().into_unchecked().check(&limits, NOW);
                assert_eq!(again, Ok(request), "what was checked passes the check");
            }
        }
    }
}

/// What is held is a send that would be taken now, whole, and not for ever (COU-60, COU-61).
fn hold(hold: UncheckedHold) {
    let all = hold.answer_all(Status::Unavailable);
    assert_eq!((all.id, all.state), (hold.id, HoldState::Refused), "the answer is to this hold");
    match hold.clone().check(&Limits::default(), NOW) {
        Err(HeldAnswer { id, state, parts }) => {
            assert_eq!(id, hold.id, "the answer is to this hold");
            let ids = |parts: &[SentPart]| parts.iter().map(|part| part.envelope_id.clone()).collect::<Vec<_>>();
            match state {
                HoldState::TooFar => assert!(hold.due > NOW.plus(HOLD_MAX), "it is not too far"),
                HoldState::Refused => assert_eq!(ids(&parts), ids(&all.parts), "every envelope is answered"),
                other => panic!("a check does not come to {other:?}"),
            }
        }
        Ok(request) => {
            assert!(hold.due <= NOW.plus(HOLD_MAX), "COU-60: nothing is held for ever");
            assert!(self::parts(&request.send).all(|part| part.sealed.is_ok()), "COU-61: all or nothing");
            assert_eq!(request.hold, hold, "what is kept is what came");
            assert_eq!(
                request.hold.clone().check(&Limits::default(), NOW),
                Ok(request),
                "what was checked passes the check"
            );
        }
    }
}

fn parts(request: &SendRequest) -> impl Iterator<Item = &Part> {
    request.destinations.iter().flat_map(|destination| &destination.parts)
}

fn ids(sent: &Sent) -> Vec<&Bytes> {
    sent.parts.iter().map(|part| &part.envelope_id).collect()
}

fn server_frame(bytes: &[u8]) {
    let Ok(frame) = ServerFrame::decode(Bytes::copy_from_slice(bytes)) else { return };
    if let ServerFrame::Close(close) = &frame {
        assert!(close.detail.len() <= 256 && !close.detail.contains(char::is_control), "a detail is safe to print");
    }
    let encoded = frame.clone().encode();
    assert_eq!(ServerFrame::decode(encoded), Ok(frame), "a frame decodes to itself");
}

fn envelope(bytes: &[u8]) {
    let Ok(envelope) = Envelope::decode(Bytes::copy_from_slice(bytes)) else { return };
    let encoded = envelope.encode();
    assert!(encoded.len() <= bytes.len(), "the shortest encoding is ours");
    assert_eq!(matches!(envelope.origin, Origin::Server), !envelope.topic.is_for_clients(), "alerts are the server's");
    assert_eq!(Envelope::decode(encoded), Ok(envelope), "an envelope decodes to itself");
}

/// What a stream is cut into, however it arrives.
fn stream(input: &mut Input<'_>) {
    let max = usize::from(input.byte()) * 4;
    let step = usize::from(input.byte()) + 1;
    let bytes = input.rest();
    let at_once = cut([bytes].into_iter(), max);
    let in_pieces = cut(bytes.chunks(step), max);
    assert_eq!(at_once, in_pieces, "the pieces that a stream arrives in mean nothing");
    let (frames, end) = at_once;
    assert!(frames.iter().all(|frame| frame.len() <= max), "a frame is bounded");
    let used: usize = frames.iter().map(|frame| LENGTH_BYTES + frame.len()).sum();
    assert!(bytes[..used] == frames.iter().flat_map(|frame| framed(frame)).collect::<Vec<u8>>()[..]);
    let rest = &bytes[used..];
    let announced = rest.first_chunk().map(|head| u32::from_be_bytes(*head) as usize);
    match end {
        // COU-3
        End::Refused => assert!(announced.is_some_and(|length| length > max), "refused for its length"),
        End::Waiting => assert!(
            announced.is_none_or(|length| length <= max && rest.len() < LENGTH_BYTES + length),
            "waits for what is missing"
        ),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Waiting,
    Refused,
}

fn cut<'a>(pieces: impl Iterator<Item = &'a [u8]>, max: usize) -> (Vec<Bytes>, End) {
    let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match frame::split_frame(&mut buffer, max) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(_) => return (frames, End::Refused),
            }
        }
    }
    (frames, End::Waiting)
}

fn framed(frame: &[u8]) -> Vec<u8> {
    [&(frame.len() as u32).to_be_bytes(), frame].concat()
}

/// A stranger's first frame, to a server that knows Alice's phone.
fn connect(input: &mut Input<'_>) {
    let binding = BINDINGS[input.choice(2)];
    let key = ALICE.phone.keys.device.verifying_key();
    let (handshake, hello) = Handshake::begin(SERVER.into(), binding, &Limits::default(), NOW, &mut rng(1));
    assert_eq!(hello, ServerFrame::Hello(hello_of_test()), "randomness is fixed");
    let Ok(frame) = ClientFrame::decode(Bytes::copy_from_slice(input.rest())) else { return };
    match handshake.connect(frame, NOW) {
        Err(HandshakeEnd::Refuse(close)) => assert!(
            matches!(close.code, CloseCode::MalformedFrame | CloseCode::WrongAudience | CloseCode::ClockSkew),
            "a refusal says why"
        ),
        Err(HandshakeEnd::Left(_)) => {}
        Ok(claim) => {
            let device = claim.device();
            if let Ok(authenticated) = claim.verify(Some(key)) {
                assert_eq!(device, ALICE.phone.id(), "a signature is for one device id");
                assert_eq!(authenticated.device(), device);
                assert!((1..=16).contains(&authenticated.topics().as_slice().len()));
            }
        }
    }
}

const BINDINGS: [ChannelBinding; 2] = [ChannelBinding::None, ChannelBinding::Exporter([7; 32])];

fn hello_of_test() -> Hello {
    let mut nonce = [0; 32];
    rand::RngCore::fill_bytes(&mut rng(1), &mut nonce);
    Hello { nonce, server_time: NOW }
}

/// Returns a request with one envelope for each of Bob's devices.
pub(crate) fn request() -> SendRequest {
    let part = |(index, token): (u8, _)| {
        let id = EnvelopeId::from_bytes([index; 16]);
        Part::new(Sealed { id, push_token: token, suite: SuiteId::PAIR_EC, payload: Bytes::from_static(b"sealed") })
    };
    let tokens = [(1, BOB.phone.push_token()), (2, BOB.laptop.push_token())];
    let destination = Destination {
        session_token: Bytes::copy_from_slice(&[9; 40]),
        list_version: 2,
        parts: tokens.into_iter().map(part).collect(),
    };
    SendRequest {
        id: 7,
        topic: Topic::message(),
        sender_handle: ALICE.handle.clone(),
        sender_list_version: 2,
        expiry: Expiry::At(NOW.plus(Duration::from_days(30))),
        epoch: 9,
        destinations: vec![destination],
    }
}

/// Returns an envelope from Alice.
pub(crate) fn letter(id: u8, payload: &[u8]) -> Envelope {
    Envelope {
        id: EnvelopeId::from_bytes([id; 16]),
        topic: Topic::message(),
        origin: Origin::Device(Sender {
            account: ALICE.account(),
            device: ALICE.phone.id(),
            handle: ALICE.handle.clone(),
            list_version: 2,
            suite: SuiteId::PAIR_EC,
        }),
        payload: Bytes::copy_from_slice(payload),
        accepted: NOW,
        expires: NOW.plus(Duration::from_days(30)),
    }
}

/// Returns holds as a device writes them, in time and too far, and questions about them (COU-60 to COU-63).
pub(crate) fn holds() -> [ClientFrame; 5] {
    let name = HoldId::from_bytes([5; HoldId::LEN]);
    let hold =
        |due, replaces| ClientFrame::Hold(Box::new(UncheckedHold::new(name, NOW.plus(due), replaces, request())));
    let ask = |cancel| ClientFrame::HoldQuestion(HoldQuestion { id: 8, hold: name, cancel });
    let too_far = Duration::from_days(15);
    [
        hold(Duration::from_days(3), false),
        hold(Duration::from_millis(0), true),
        hold(too_far, false),
        ask(false),
        ask(true),
    ]
}

/// Returns answers to holds, one that is held and one that is not (COU-61).
pub(crate) fn held() -> [ServerFrame; 2] {
    let status = |status| SentPart { envelope_id: Bytes::from_static(&[1; 16]), status };
    let refused = HeldAnswer::refused(8, vec![status(Status::Accepted), status(Status::StaleList)]);
    [ServerFrame::Held(HeldAnswer::new(7, HoldState::Held)), ServerFrame::Held(refused)]
}

/// Frames, envelopes and connects as honest parties write them.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let close = Close::new(CloseCode::Idle, "nothing was heard of the device").at(NOW);
    let close = close.retry_after(Duration::from_secs(5));
    let connects = BINDINGS.map(|binding| {
        let phone = &ALICE.phone;
        let topics = Topics::messages_and_alerts();
        let key = &phone.keys.device;
        let introduction = Introduction { device: phone.id(), epoch: 9, topics };
        ClientFrame::Connect(Connect::sign(introduction, key, SERVER, &hello_of_test(), &binding, NOW))
    });
    let mut client = vec![
        connects[0].clone(),
        ClientFrame::Filter(Topics::new([Topic::message(), Topic::parse("weather.berlin").unwrap()]).unwrap()),
        ClientFrame::Send(request().into_unchecked()),
        ClientFrame::Ack { seq: 300 },
        ClientFrame::KeepAlive { id: 1 },
        ClientFrame::Close(close.clone()),
    ];
    client.extend(holds());
    let connected = Connected {
        push_token: BOB.phone.push_token(),
        server_time: NOW,
        frame_bytes_max: 262_144,
        payload_bytes_max: 16_384,
        window_count: 64,
        window_bytes: 1 << 20,
        keep_alive_min: Duration::from_mins(1),
        keep_alive_max: Duration::from_mins(30),
        epoch: 9,
    };
    let status = |status| SentPart { envelope_id: Bytes::from_static(&[1; 16]), status };
    let alert = Envelope { topic: Topic::alert(), origin: Origin::Server, ..letter(4, b"alert") };
    let envelope = letter(3, b"sealed").encode();
    let mut server = vec![
        ServerFrame::Hello(hello_of_test()),
        ServerFrame::Connected(connected),
        ServerFrame::Sent(Sent { id: 7, parts: vec![status(Status::Accepted), status(Status::StaleList)] }),
        ServerFrame::Deliver(Deliver { seq: 1, envelope, from_storage: true, last_from_storage: true }),
        ServerFrame::KeepAliveAnswer { id: 1 },
        ServerFrame::Close(close),
    ];
    server.extend(held());
    let stream: Vec<u8> = client.iter().flat_map(|frame| framed(&frame.clone().encode())).collect();
    let of = |kind: u8, bytes: &[u8]| [&[kind], bytes].concat();
    let mut seeds: Vec<Vec<u8>> = client.iter().map(|frame| of(0, &frame.clone().encode())).collect();
    seeds.extend(server.iter().map(|frame| of(1, &frame.clone().encode())));
    seeds.extend([letter(3, b"sealed"), alert].map(|envelope| of(2, &envelope.encode())));
    seeds.extend([of(3, &[&[255, 3], &stream[..]].concat()), of(3, &[10, 0, 0, 0, 0, 5, 1, 2, 3, 4, 5, 255])]);
    seeds.extend(connects.into_iter().zip(0..).map(|(frame, binding)| of(4, &of(binding, &frame.encode()))));
    seeds
}
