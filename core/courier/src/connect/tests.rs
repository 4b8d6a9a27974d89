use halcyon_crypto::kdf::labelled_hash;
use halcyon_types::Duration;
use rand::{SeedableRng, rngs::StdRng};

use super::*;

const HOST: &str = "halcyon.example";
const NOON: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const PHONE: DeviceId = DeviceId::from_bytes([1; 16]);
const TLS: ChannelBinding = ChannelBinding::Exporter([8; 32]);

fn rng() -> StdRng {
    StdRng::seed_from_u64(1)
}

fn key() -> SigningKey {
    SigningKey::generate_compact(&mut rng())
}

fn begin(binding: ChannelBinding) -> (Handshake, Hello) {
    let (handshake, frame) = Handshake::begin(HOST.into(), binding, &Limits::default(), NOON, &mut rng());
    let ServerFrame::Hello(hello) = frame else { panic!("the server speaks first") };
    (handshake, hello)
}

fn connect(hello: &Hello, audience: &str, binding: &ChannelBinding, now: Timestamp) -> ClientFrame {
    let phone = Introduction { device: PHONE, epoch: 9, topics: Topics::messages_and_alerts() };
    ClientFrame::Connect(Connect::sign(phone, &key(), audience, hello, binding, now))
}

fn refused(end: Result<Claim, HandshakeEnd>) -> Close {
    match end {
        Err(HandshakeEnd::Refuse(close)) => close,
        Err(HandshakeEnd::Left(_)) | Ok(_) => panic!("the server refuses"),
    }
}

/// COU-10 to COU-12: Alice's phone proves itself over both bindings.
#[test]
fn a_device_proves_itself() {
    for binding in [TLS, ChannelBinding::None] {
        let (handshake, hello) = begin(binding);
        let claim = handshake.connect(connect(&hello, HOST, &binding, NOON), NOON).unwrap();
        assert_eq!(claim.device(), PHONE);
        let authenticated = claim.verify(Some(key().verifying_key())).unwrap();
        assert_eq!((authenticated.device(), authenticated.topics()), (PHONE, &Topics::messages_and_alerts()));
        assert_eq!(authenticated.epoch(), 9);
    }
}

/// COU-12: audience before time, time before the signature; each with its own code.
#[test]
fn the_checks_come_in_order() {
    let late = NOON.plus(CLOCK_SKEW_MAX).plus(Duration::from_millis(1));
    let (handshake, hello) = begin(TLS);
    let close = refused(handshake.connect(connect(&hello, "evil.example", &TLS, NOON), late));
    assert_eq!(close.code, CloseCode::WrongAudience);
    let (handshake, hello) = begin(TLS);
    let close = refused(handshake.connect(connect(&hello, HOST, &TLS, NOON), late));
    assert_eq!((close.code, close.server_time), (CloseCode::ClockSkew, Some(late)));
    let (handshake, hello) = begin(TLS);
    let edge = NOON.plus(CLOCK_SKEW_MAX);
    assert!(handshake.connect(connect(&hello, HOST, &TLS, NOON), edge).is_ok());
}

/// COU-12: an unknown device and a wrong signature get the same bytes.
#[test]
fn unknown_and_unproven_are_one_answer() {
    let stranger = SigningKey::generate_compact(&mut StdRng::seed_from_u64(2));
    let answer = |key: Option<&VerifyingKey>| {
        let (handshake, hello) = begin(TLS);
        let claim = handshake.connect(connect(&hello, HOST, &TLS, NOON), NOON).unwrap();
        claim.verify(key).map(|_| ()).unwrap_err()
    };
    assert_eq!(answer(None), answer(Some(stranger.verifying_key())));
    assert_eq!(answer(None).code, CloseCode::Unauthenticated);
}

/// COU-11: a connect is bound to its nonce, its TLS connection, its device, its time and its epoch.
#[test]
fn a_connect_cannot_be_carried_elsewhere() {
    let verify = |frame: ClientFrame, binding| {
        let (handshake, _) = begin(binding);
        handshake
            .connect(frame, NOON)
            .unwrap()
            .verify(Some(key().verifying_key()))
            .map(|_| ())
            .map_err(|close| close.code)
    };
    let (_, hello) = begin(TLS);
    assert_eq!(verify(connect(&hello, HOST, &TLS, NOON), TLS), Ok(()));
    let unproven = Err(CloseCode::Unauthenticated);
    let other_nonce = Hello { nonce: [0; 32], ..hello };
    assert_eq!(verify(connect(&other_nonce, HOST, &TLS, NOON), TLS), unproven);
    assert_eq!(verify(connect(&hello, HOST, &TLS, NOON), ChannelBinding::Exporter([9; 32])), unproven);
    assert_eq!(verify(connect(&hello, HOST, &TLS, NOON), ChannelBinding::None), unproven);
    assert_eq!(verify(connect(&hello, HOST, &ChannelBinding::None, NOON), TLS), unproven);
    let ClientFrame::Connect(good) = connect(&hello, HOST, &TLS, NOON) else { unreachable!() };
    let redated = Connect { time: NOON.plus(Duration::from_millis(1)), ..good.clone() };
    assert_eq!(verify(ClientFrame::Connect(redated), TLS), unproven);
    let renamed = Connect { device: DeviceId::from_bytes([2; 16]), ..good.clone() };
    assert_eq!(verify(ClientFrame::Connect(renamed), TLS), unproven);
    for epoch in [0, 8, 10] {
        assert_eq!(verify(ClientFrame::Connect(Connect { epoch, ..good.clone() }), TLS), unproven);
    }
}

/// COU-20 to COU-22: a granted key receives for the device, and nobody takes it for the device.
#[test]
fn a_granted_key_receives() {
    let granted = SigningKey::generate_compact(&mut StdRng::seed_from_u64(5));
    let stranger = SigningKey::generate_compact(&mut StdRng::seed_from_u64(6));
    let connect = |grant: Grant, by: &SigningKey| {
        let (handshake, hello) = begin(TLS);
        let whom = (PHONE, Topics::messages_and_alerts());
        let connect = Connect::sign_granted(whom, (grant, by), HOST, &hello, &TLS, NOON);
        // Through its bytes, as it comes.
        let frame = ClientFrame::decode(ClientFrame::Connect(connect).encode()).unwrap();
        let claim = handshake.connect(frame, NOON).map_err(|end| match end {
            HandshakeEnd::Refuse(close) | HandshakeEnd::Left(close) => close.code,
        })?;
        claim.verify(Some(key().verifying_key())).map_err(|close| close.code)
    };
    let grant = |by: &SigningKey, until| Grant::sign(PHONE, by, granted.verifying_key(), until);
    let good = connect(grant(&key(), NOON), &granted).unwrap();
    assert_eq!((good.device(), good.epoch(), good.may_send()), (PHONE, 0, false));
    let unproven =
        |grant: Grant, by: &SigningKey| assert_eq!(connect(grant, by).unwrap_err(), CloseCode::Unauthenticated);
    unproven(grant(&key(), NOON), &stranger);
    unproven(grant(&key(), NOON), &key());
    unproven(grant(&stranger, NOON), &granted);
    unproven(grant(&key(), Timestamp::from_millis(NOON.as_millis() - 1)), &granted);
    unproven(grant(&key(), NOON.plus(crate::GRANT_MAX).plus(Duration::from_millis(1))), &granted);
    // Another device's, whose key it is, for this one.
    unproven(Grant::sign(DeviceId::from_bytes([2; 16]), &key(), granted.verifying_key(), NOON), &granted);
    let (handshake, hello) = begin(TLS);
    let own = handshake.connect(self::connect(&hello, HOST, &TLS, NOON), NOON).unwrap();
    assert!(own.verify(Some(key().verifying_key())).unwrap().may_send());
}

/// COU-20: a granted key tells no epoch, which is not its to know.
#[test]
fn a_granted_connect_shows_no_epoch() {
    let (_, hello) = begin(TLS);
    let grant = Grant::sign(PHONE, &key(), key().verifying_key(), NOON);
    let whom = (PHONE, Topics::messages_and_alerts());
    let connect = Connect::sign_granted(whom, (grant, &key()), HOST, &hello, &TLS, NOON);
    let bent = ClientFrame::Connect(Connect { epoch: 1, ..connect }).encode();
    assert_eq!(ClientFrame::decode(bent), Err(crate::FrameError::Field("epoch")));
}

/// COU-3, COU-14: whoever does not connect first, or not at all, is sent away.
#[test]
fn a_handshake_is_a_connect_in_time() {
    let (handshake, _) = begin(TLS);
    assert_eq!(handshake.deadline(), NOON.plus(Duration::from_secs(10)));
    assert_eq!(Handshake::timed_out().code, CloseCode::HandshakeTimeout);
    assert_eq!(refused(handshake.connect(ClientFrame::Ack { seq: 1 }, NOON)).code, CloseCode::MalformedFrame);
    let (handshake, _) = begin(TLS);
    let bye = Close::new(CloseCode::GoingAway, "");
    assert!(matches!(handshake.connect(ClientFrame::Close(bye), NOON), Err(HandshakeEnd::Left(_))));
}

/// COU-11, IDN-11: the signed preimage, as its hash, pinned, with and without a channel binding.
#[test]
fn the_bytes_are_pinned() {
    let numbers = Numbers::of(NOON, 9);
    let hash =
        |binding| hex::encode(labelled_hash(Label::CourierConnect, &parts(&PHONE, &numbers, HOST, &[7; 32], &binding)));
    assert_eq!(hash(TLS), "23ff606da81dbb910ad016d6568e76140195166915bc60ef76c446e3cfb39234");
    assert_eq!(hash(ChannelBinding::None), "17cde7e615839c586701b243b3bb8c05de6a6ecad2e1b37b45e8be3e4b46bbee");
    assert_eq!(format!("{TLS:?}"), "Exporter(32 bytes)");
}
