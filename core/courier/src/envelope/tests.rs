use halcyon_types::Duration;
use proptest::prelude::*;

use super::*;

fn from_bob() -> Envelope {
    Envelope {
        id: EnvelopeId::from_bytes([1; 16]),
        topic: Topic::message(),
        origin: Origin::Device(Sender {
            account: AccountId::from_bytes([0xb0; 16]),
            device: DeviceId::from_bytes([2; 16]),
            handle: Handle::parse("bob@example.org").unwrap(),
            list_version: 3,
            suite: SuiteId::PAIR_EC,
        }),
        payload: Bytes::from_static(b"sealed"),
        accepted: Timestamp::from_millis(1_700_000_000_000),
        expires: Timestamp::from_millis(1_700_000_000_000).plus(Duration::from_days(30)),
    }
}

fn alert() -> Envelope {
    Envelope { topic: Topic::alert(), origin: Origin::Server, ..from_bob() }
}

/// COU-43: what the server wrote, the device reads.
#[test]
fn envelopes_round_trip() {
    for envelope in [from_bob(), alert()] {
        assert_eq!(Envelope::decode(envelope.encode()), Ok(envelope));
    }
}

/// COU-33, COU-43: an alert with a sender, or a message without one, is neither.
#[test]
fn alerts_and_messages_cannot_pass_for_each_other() {
    let alert_from_bob = Envelope { topic: Topic::alert(), ..from_bob() };
    assert_eq!(Envelope::decode(alert_from_bob.encode()), Err(EnvelopeError));
    let message_from_nobody = Envelope { topic: Topic::message(), ..alert() };
    assert_eq!(Envelope::decode(message_from_nobody.encode()), Err(EnvelopeError));
}

/// COU-40: the largest payload with the longest handle and topic fits an envelope, and nothing much larger does.
#[test]
fn the_largest_envelope_fits() {
    let mut envelope = from_bob();
    envelope.payload = vec![0; crate::limits::PAYLOAD_BYTES_MAX].into();
    envelope.topic = Topic::parse(&"t".repeat(64)).unwrap();
    envelope.expires = Timestamp::from_millis(u64::MAX);
    envelope.accepted = Timestamp::from_millis(u64::MAX);
    let Origin::Device(sender) = &mut envelope.origin else { unreachable!() };
    let label = "d".repeat(61);
    sender.handle = Handle::parse(&format!("{}@{label}.{label}.{label}.org", "l".repeat(64))).unwrap();
    sender.list_version = u64::MAX;
    assert!(envelope.encode().len() <= ENVELOPE_BYTES_MAX);
    assert_eq!(Envelope::decode(envelope.encode()), Ok(envelope));
    assert_eq!(Envelope::decode(vec![0; ENVELOPE_BYTES_MAX + 1].into()), Err(EnvelopeError));
}

/// COU-43: the bytes, pinned.
#[test]
fn the_bytes_are_pinned() {
    assert_eq!(
        hex::encode(from_bob().encode()),
        "0a1001010101010101010101010101010101120f68616c63796f6e2e6d6573736167651a10b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b02210020202020202020202020202020202022a166d61696c746f3a626f62406578616d706c652e6f72673003380242067365616c65644880d095ffbc315080e090d3c631"
    );
}

proptest! {
    #[test]
    fn any_bytes_are_judged(bytes: Vec<u8>) {
        let _ = Envelope::decode(bytes.into());
    }
}
