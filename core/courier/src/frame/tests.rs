use halcyon_types::{EnvelopeId, SuiteId};
use proptest::prelude::*;

use super::*;
use crate::{
    limits::{FRAME_BYTES_MAX, HANDSHAKE_FRAME_BYTES_MAX, Limits},
    send::{Destination, Expiry, Part, Sealed, SendRequest, SentPart},
    wire::Status,
};

const NOON: Timestamp = Timestamp::from_millis(1_700_000_000_000);

pub(crate) fn sealed(byte: u8, payload: &'static [u8]) -> Sealed {
    Sealed {
        id: EnvelopeId::from_bytes([byte; 16]),
        push_token: PushToken::from_bytes([byte; 32]),
        suite: SuiteId::PAIR_EC,
        payload: Bytes::from_static(payload),
    }
}

pub(crate) fn request(parts: Vec<Part>) -> SendRequest {
    SendRequest {
        id: 7,
        topic: halcyon_types::Topic::message(),
        sender_handle: halcyon_types::Handle::parse("alice@example.org").unwrap(),
        sender_list_version: 2,
        expiry: Expiry::At(NOON.plus(Duration::from_days(30))),
        epoch: 9,
        destinations: vec![Destination { session_token: Bytes::from_static(&[4; 40]), list_version: 3, parts }],
    }
}

fn granted() -> Grant {
    Grant::from_bytes(&[7; Grant::BYTES]).unwrap()
}

fn client_frames() -> Vec<ClientFrame> {
    vec![
        ClientFrame::Connect(Connect {
            device: DeviceId::from_bytes([1; 16]),
            time: NOON,
            audience: "halcyon.example".into(),
            signature: Signature::from_bytes([2; 64]),
            topics: Topics::messages_and_alerts(),
            epoch: 9,
            grant: None,
        }),
        ClientFrame::Filter(Topics::messages_and_alerts()),
        ClientFrame::Send(request(vec![Part::new(sealed(1, b"sealed"))]).into_unchecked()),
        ClientFrame::Ack { seq: 9 },
        ClientFrame::KeepAlive { id: 3 },
        ClientFrame::Close(Close::new(CloseCode::GoingAway, "good night")),
        ClientFrame::Connect(Connect {
            device: DeviceId::from_bytes([1; 16]),
            time: NOON,
            audience: "halcyon.example".into(),
            signature: Signature::from_bytes([2; 64]),
            topics: Topics::messages_and_alerts(),
            epoch: 0,
            grant: Some(Box::new(granted())),
        }),
    ]
}

fn server_frames() -> Vec<ServerFrame> {
    vec![
        ServerFrame::Hello(Hello { nonce: [5; 32], server_time: NOON }),
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
        }),
        ServerFrame::Sent(Sent {
            id: 7,
            parts: vec![SentPart { envelope_id: Bytes::from_static(&[1; 16]), status: Status::Accepted }],
        }),
        ServerFrame::Deliver(Deliver {
            seq: 1,
            envelope: Bytes::from_static(b"envelope"),
            from_storage: true,
            last_from_storage: false,
        }),
        ServerFrame::KeepAliveAnswer { id: 3 },
        ServerFrame::Close(
            Close::new(CloseCode::ClockSkew, "set your clock").at(NOON).retry_after(Duration::from_secs(5)),
        ),
    ]
}

/// COU-1, COU-2: every frame crosses both bindings.
#[test]
fn every_frame_round_trips() {
    let mut stream = BytesMut::new();
    for frame in client_frames() {
        assert_eq!(ClientFrame::decode(frame.clone().encode()), Ok(frame.clone()));
        frame.write_to(&mut stream);
    }
    for frame in client_frames() {
        let bytes = split_frame(&mut stream, FRAME_BYTES_MAX).unwrap().unwrap();
        assert_eq!(ClientFrame::decode(bytes), Ok(frame));
    }
    for frame in server_frames() {
        assert_eq!(ServerFrame::decode(frame.clone().encode()), Ok(frame.clone()));
        frame.write_to(&mut stream);
    }
    for frame in server_frames() {
        let bytes = split_frame(&mut stream, FRAME_BYTES_MAX).unwrap().unwrap();
        assert_eq!(ServerFrame::decode(bytes), Ok(frame));
    }
    assert!(stream.is_empty());
}

/// COU-3: a lying length ends the connection before anything is allocated for it.
#[test]
fn a_lying_length_is_refused_at_once() {
    let mut stream = BytesMut::from(&u32::MAX.to_be_bytes()[..]);
    let refused = split_frame(&mut stream, FRAME_BYTES_MAX).unwrap_err();
    assert_eq!(refused, FrameError::TooLarge { length: u32::MAX as usize, max: FRAME_BYTES_MAX });
    assert_eq!(refused.close_code(), CloseCode::FrameTooLarge);
    assert!(stream.capacity() < 1024);
    assert!(check_length(FRAME_BYTES_MAX, FRAME_BYTES_MAX).is_ok());
    assert!(check_length(FRAME_BYTES_MAX + 1, FRAME_BYTES_MAX).is_err());
}

/// COU-3: garbage, nothing, the future, and the other side's frames end the connection by name.
#[test]
fn malformed_frames_are_named() {
    let code = |bytes: &'static [u8]| ClientFrame::decode(Bytes::from_static(bytes)).unwrap_err().close_code();
    assert_eq!(code(b"\xff\xff"), CloseCode::MalformedFrame);
    assert_eq!(ClientFrame::decode(Bytes::new()), Err(FrameError::NoBody));
    // Field 99, empty: a body from the future.
    assert_eq!(ClientFrame::decode(Bytes::from_static(&[0x9a, 0x06, 0x00])), Err(FrameError::NoBody));
    for frame in server_frames().into_iter().filter(|frame| !matches!(frame, ServerFrame::Close(_))) {
        assert_eq!(ClientFrame::decode(frame.encode()), Err(FrameError::WrongSide));
    }
    for frame in client_frames().into_iter().filter(|frame| !matches!(frame, ClientFrame::Close(_))) {
        assert_eq!(ServerFrame::decode(frame.encode()), Err(FrameError::WrongSide));
    }
}

/// COU-12: another version is told so, whatever else is in the frame.
#[test]
fn another_version_is_told_so() {
    let future = wire::Connect { version: 2, ..wire::Connect::default() };
    let refused = ClientFrame::decode(encode(Body::Connect(Box::new(future)))).unwrap_err();
    assert_eq!(refused, FrameError::Version(2));
    assert_eq!(refused.to_close().code, CloseCode::UnsupportedVersion);
    let future = wire::Hello { version: 2, ..wire::Hello::default() };
    assert_eq!(ServerFrame::decode(encode(Body::Hello(future))), Err(FrameError::Version(2)));
}

/// COU-11: each field of a connect has its form.
#[test]
fn a_connect_has_its_form() {
    let good = wire::Connect {
        version: 1,
        device_id: Bytes::from_static(&[1; 16]),
        time_ms: 5,
        audience: "halcyon.example".into(),
        signature: Bytes::from_static(&[2; 64]),
        topics: vec!["halcyon.message".into()],
        epoch: 9,
        grant: None,
    };
    let read = |change: &dyn Fn(&mut wire::Connect)| {
        let mut connect = good.clone();
        change(&mut connect);
        ClientFrame::decode(encode(Body::Connect(Box::new(connect))))
    };
    assert!(read(&|_| {}).is_ok());
    assert_eq!(read(&|connect| connect.device_id.clear()), Err(FrameError::Field("device id")));
    assert_eq!(read(&|connect| connect.signature.clear()), Err(FrameError::Field("signature")));
    assert_eq!(read(&|connect| connect.topics.clear()), Err(FrameError::Field("topic")));
    assert_eq!(read(&|connect| connect.audience = "a".repeat(254)), Err(FrameError::Field("audience")));
    // COU-20
    let grant = |key: &'static [u8], signature: &'static [u8]| {
        read(&|connect| {
            let (key, signature) = (Bytes::from_static(key), Bytes::from_static(signature));
            connect.epoch = 0;
            connect.grant = Some(wire::Grant { key, until_ms: 1, signature });
        })
    };
    assert!(grant(&[3; 32], &[4; 64]).is_ok());
    assert_eq!(grant(&[3; 33], &[4; 64]), Err(FrameError::Field("granted key")));
    assert_eq!(grant(&[3; 32], &[4; 63]), Err(FrameError::Field("signature")));
}

/// COU-14: the largest connect fits what a stranger may send.
#[test]
fn the_largest_connect_fits_the_handshakes_limit() {
    let topics = (0..16).map(|i| halcyon_types::Topic::parse(&format!("{}{i:02}", "t".repeat(62))).unwrap());
    let connect = Connect {
        device: DeviceId::from_bytes([1; 16]),
        time: Timestamp::from_millis(u64::MAX),
        audience: "a".repeat(253),
        signature: Signature::from_bytes([2; 64]),
        topics: Topics::new(topics).unwrap(),
        epoch: u64::MAX,
        grant: Some(Box::new(granted())),
    };
    assert!(ClientFrame::Connect(connect).encode().len() <= HANDSHAKE_FRAME_BYTES_MAX);
}

/// COU-4: a reason is short and cannot move a cursor.
#[test]
fn a_closes_detail_is_harmless() {
    let wire = wire::Close { code: 9999, detail: format!("\u{1b}[2J{}", "ä".repeat(300)), ..wire::Close::default() };
    let close = Close::from_wire(wire);
    assert_eq!(close.code, CloseCode::CloseUnspecified);
    assert!(close.detail.starts_with("\u{fffd}[2J") && close.detail.len() <= CLOSE_DETAIL_BYTES_MAX);
}

/// COU-33, COU-40, COU-42: each flaw gives the envelope, or the request, its status, and the rest goes on.
#[test]
fn a_send_is_checked_envelope_by_envelope() {
    let limits = Limits::default();
    let check = |change: &dyn Fn(&mut wire::Send)| {
        let mut send = request(vec![Part::new(sealed(1, b"one")), Part::new(sealed(2, b"two"))]).into_unchecked();
        change(&mut send.0);
        send.check(&limits, NOON)
    };
    let good = check(&|_| {}).unwrap();
    assert_eq!(good, request(vec![Part::new(sealed(1, b"one")), Part::new(sealed(2, b"two"))]));

    let statuses = |change: &dyn Fn(&mut wire::Sealed)| -> Vec<Option<Status>> {
        let request = check(&|send| change(&mut send.destinations[0].sealed[0])).unwrap();
        request.destinations[0].parts.iter().map(|part| part.sealed.as_ref().err().copied()).collect()
    };
    assert_eq!(statuses(&|sealed| sealed.payload = vec![0; 20_481].into()), [Some(Status::TooLarge), None]);
    assert_eq!(statuses(&|sealed| sealed.payload = vec![0; 20_480].into()), [None, None]);
    assert_eq!(statuses(&|sealed| sealed.envelope_id.clear()), [Some(Status::Malformed), None]);
    assert_eq!(statuses(&|sealed| sealed.push_token.clear()), [Some(Status::Malformed), None]);

    let whole = |change: &dyn Fn(&mut wire::Send)| {
        check(change).unwrap_err().parts.iter().map(|part| part.status).collect::<Vec<_>>()
    };
    assert_eq!(whole(&|send| send.topic = "halcyon.alert".into()), [Status::Forbidden; 2]);
    assert_eq!(whole(&|send| send.topic = "No Topic".into()), [Status::Malformed; 2]);
    assert_eq!(whole(&|send| send.sender_handle = "Alice@example.org".into()), [Status::Malformed; 2]);
    assert_eq!(whole(&|send| send.expires_ms = NOON.as_millis()), [Status::Expired; 2]);
    assert_eq!(whole(&|send| send.expires_ms = 1), [Status::Expired; 2]);
    assert_eq!(whole(&|send| send.destinations.clear()), []);
    let many = |send: &mut wire::Send| send.destinations[0].sealed = vec![wire::Sealed::default(); 513];
    assert_eq!(whole(&many), [Status::Malformed; 513]);
}

/// COU-40: what is to wait for longer than 30 days waits for 30 days, and 0 does not wait.
#[test]
fn expiry_is_brought_down() {
    let month = NOON.plus(Duration::from_days(30));
    assert_eq!(Expiry::from_millis(u64::MAX, NOON), Expiry::At(month));
    assert_eq!(Expiry::from_millis(NOON.as_millis() + 1, NOON), Expiry::At(NOON.plus(Duration::from_millis(1))));
    assert_eq!(Expiry::from_millis(0, NOON), Expiry::NowOrNever);
    assert_eq!(Expiry::NowOrNever.as_timestamp(), Timestamp::default());
}

/// COU-42: a status from the future is none that would take the envelope out of the outbox.
#[test]
fn an_unknown_status_is_unspecified() {
    let status = wire::SealedStatus { envelope_id: Bytes::new(), status: 99 };
    let sent = Sent::from_wire(wire::Sent { id: 1, statuses: vec![status] });
    assert_eq!(sent.parts[0].status, Status::Unspecified);
}

/// COU-11, COU-18, COU-40, COU-50: the bytes of frames of each direction, pinned.
#[test]
fn the_bytes_are_pinned() {
    let mut stream = BytesMut::new();
    client_frames().remove(0).write_to(&mut stream);
    assert_eq!(
        hex::encode(stream.split()),
        "0000009312900108011210010101010101010101010101010101011880d095ffbc31220f68616c63796f6e2e6578616d706c652a4002020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202320d68616c63796f6e2e616c657274320f68616c63796f6e2e6d6573736167653809"
    );
    client_frames().remove(2).write_to(&mut stream);
    assert_eq!(
        hex::encode(stream.split()),
        "000000a92aa6010807120f68616c63796f6e2e6d6573736167651a186d61696c746f3a616c696365406578616d706c652e6f726720022880e090d3c631326c0a280404040404040404040404040404040404040404040404040404040404040404040404040404040410031a3e0a100101010101010101010101010101010112200101010101010101010101010101010101010101010101010101010101010101180222067365616c65643809"
    );
    server_frames().remove(3).write_to(&mut stream);
    assert_eq!(hex::encode(stream.split()), "000000103a0e08011208656e76656c6f70651801");
    // What a connect is answered ends with the epoch.
    server_frames().remove(1).write_to(&mut stream);
    assert!(stream.ends_with(&[0x48, 9]));
}

proptest! {
    /// COU-3: hostile bytes are judged without a panic, in both directions.
    #[test]
    fn any_bytes_are_judged(bytes: Vec<u8>) {
        if let Ok(ClientFrame::Send(send)) = ClientFrame::decode(bytes.clone().into()) {
            let _ = send.check(&Limits::default(), NOON);
        }
        let _ = ServerFrame::decode(bytes.clone().into());
        let mut stream = BytesMut::from(&bytes[..]);
        while let Ok(Some(_)) = split_frame(&mut stream, FRAME_BYTES_MAX) {}
    }

    /// COU-3: a valid frame with one changed byte is judged without a panic.
    #[test]
    fn changed_frames_are_judged(which in 0usize..6, at: prop::sample::Index, change in 1u8..) {
        let mut bytes = client_frames().remove(which).encode().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        if let Ok(ClientFrame::Send(send)) = ClientFrame::decode(bytes.into()) {
            let _ = send.check(&Limits::default(), NOON);
        }
        let mut bytes = server_frames().remove(which).encode().to_vec();
        let at = at % bytes.len();
        bytes[at] ^= change;
        let _ = ServerFrame::decode(bytes.into());
    }

    /// COU-1: however the network cuts a stream, the same frames come out.
    #[test]
    fn cuts_do_not_matter(cuts in prop::collection::vec(1usize..50, 1..100)) {
        let mut whole = BytesMut::new();
        client_frames().into_iter().for_each(|frame| frame.write_to(&mut whole));
        let (mut stream, mut frames) = (BytesMut::new(), Vec::new());
        let mut cuts = cuts.into_iter().cycle();
        while !whole.is_empty() {
            let cut = cuts.next().unwrap().min(whole.len());
            stream.extend_from_slice(&whole.split_to(cut));
            while let Some(bytes) = split_frame(&mut stream, FRAME_BYTES_MAX).unwrap() {
                frames.push(ClientFrame::decode(bytes).unwrap());
            }
        }
        prop_assert_eq!(frames, client_frames());
    }
}

/// COU-60, COU-63: holds, questions and answers survive their way, and a hold without a send or name is none.
#[test]
fn holds_have_their_form() {
    let good = wire::Hold {
        id: 7,
        hold_id: Bytes::from_static(&[1; 16]),
        due_ms: 9,
        replaces: true,
        send: Some(wire::Send::default()),
    };
    let read = |change: &dyn Fn(&mut wire::Hold)| {
        let mut hold = good.clone();
        change(&mut hold);
        ClientFrame::decode(encode(Body::Hold(Box::new(hold))))
    };
    let frame = read(&|_| {}).unwrap();
    assert_eq!(ClientFrame::decode(frame.clone().encode()), Ok(frame.clone()));
    assert_eq!(ServerFrame::decode(frame.encode()), Err(FrameError::WrongSide));
    assert_eq!(read(&|hold| hold.hold_id.truncate(15)), Err(FrameError::Field("hold id")));
    assert_eq!(read(&|hold| hold.send = None), Err(FrameError::Field("send")));
    let question = ClientFrame::HoldQuestion(HoldQuestion {
        id: 1,
        hold: halcyon_types::HoldId::from_bytes([2; 16]),
        cancel: true,
    });
    assert_eq!(ClientFrame::decode(question.clone().encode()), Ok(question));
    let answer = ServerFrame::Held(HeldAnswer::new(1, wire::HoldState::Cancelled));
    assert_eq!(ServerFrame::decode(answer.clone().encode()), Ok(answer.clone()));
    assert_eq!(ClientFrame::decode(answer.encode()), Err(FrameError::WrongSide));
}
