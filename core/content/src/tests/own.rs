//! What own devices tell one another, and who is typing: encoded, decoded, and refused.

use halcyon_types::{ConversationId, DeviceId};

use super::*;
use crate::{
    OWN_ENTRIES_MAX, OWN_READ_MAX, OWN_VALUE_BYTES_MAX, Own, OwnEntry, OwnKey, OwnValue, SealedMessage, Typing,
};

fn to_own(own: Own) -> Content {
    let members = ConversationMembers::own(handle("alice@example.org"));
    Content { members, ..alice_to_bob(Kind::Own(own)) }
}

fn sealed(n: u8) -> SealedMessage {
    SealedMessage { device: DeviceId::from_bytes([n; 16]), message: MessageId::from_bytes([n; 16]) }
}

fn keys() -> Vec<OwnKey> {
    let conversation = ConversationId::from_bytes([3; 16]);
    let bob = handle("bob@example.org");
    vec![
        OwnKey::Setting("read-receipts".into()),
        OwnKey::Muted(conversation),
        OwnKey::Pinned(conversation),
        OwnKey::ReadReceipts(conversation),
        OwnKey::SendsFrom(conversation),
        OwnKey::Blocked(bob.clone()),
        OwnKey::Accepted(bob.clone()),
        OwnKey::Contact(bob),
        OwnKey::Deleted(sealed(4)),
    ]
}

fn entry(key: OwnKey, value: &str) -> OwnEntry {
    let value = OwnValue::new(value).unwrap();
    OwnEntry { key, value, chosen: Timestamp::from_millis(5), device: DeviceId::from_bytes([6; 16]) }
}

/// OWN-1, OWN-2: every key comes as it was written, and has one spelling.
#[test]
fn what_was_chosen_arrives_as_it_was_written() {
    let entries = keys().into_iter().map(|key| entry(key, "on")).collect();
    let own = Own { entries, read: vec![sealed(1), sealed(2)], read_at: Timestamp::from_millis(9), wanted: true };
    let content = to_own(own);
    assert_eq!(decode(&encode(&content).unwrap()), Ok(content));
    for key in keys() {
        assert_eq!(key.to_string().parse(), Ok(key));
    }
    for text in ["", "muted", "muted/12", "setting/", "setting/A", "blocked/bob@example.org", "deleted/00", "other/x"] {
        assert!(text.parse::<OwnKey>().is_err(), "{text}");
    }
    let debug = format!("{:?}", entry(OwnKey::Contact(handle("bob@example.org")), "Bob"));
    assert!(!debug.contains("bob") && !debug.contains("Bob"), "I9: {debug}");
}

/// OWN-1: nobody else is ever told.
#[test]
fn what_is_for_own_devices_has_no_recipients() {
    let content = alice_to_bob(Kind::Own(Own::default()));
    assert_eq!(encode(&content), Err(EncodeError::Own("recipients")));
    let forged = changed(&to_own(Own::default()), |wire| wire.recipients.push("mailto:bob@example.org".into()));
    assert_eq!(decode(&forged), Err(DecodeError::NotNormal));
}

/// OWN-2: lists and values are bounded; an entry of a later version is left out, and the others are taken.
#[test]
fn what_is_told_is_bounded() {
    let one = entry(OwnKey::Pinned(ConversationId::from_bytes([3; 16])), "on");
    let many = |count| to_own(Own { entries: vec![one.clone(); count], ..Own::default() });
    assert!(encode(&many(OWN_ENTRIES_MAX)).is_ok());
    assert_eq!(encode(&many(OWN_ENTRIES_MAX + 1)), Err(EncodeError::Own("entries")));
    let grown = changed(&many(OWN_ENTRIES_MAX), |wire| {
        let Some(wire::content::Kind::Own(own)) = &mut wire.kind else { panic!() };
        own.entries.push(own.entries[0].clone());
    });
    assert_eq!(decode(&grown), Err(DecodeError::Own("entries")));
    let read = |count| to_own(Own { read: vec![sealed(1); count], ..Own::default() });
    assert!(encode(&read(OWN_READ_MAX)).is_ok());
    assert_eq!(encode(&read(OWN_READ_MAX + 1)), Err(EncodeError::Own("read")));
    assert!(OwnValue::new("x".repeat(OWN_VALUE_BYTES_MAX)).is_some());
    assert!(OwnValue::new("x".repeat(OWN_VALUE_BYTES_MAX + 1)).is_none());

    let with = |change: fn(&mut wire::OwnEntry)| {
        decode(&changed(&many(2), |wire| {
            let Some(wire::content::Kind::Own(own)) = &mut wire.kind else { panic!() };
            change(&mut own.entries[0]);
        }))
    };
    use wire::own_entry::Key;
    assert_eq!(with(|entry| entry.value = "x".repeat(OWN_VALUE_BYTES_MAX + 1)), Err(DecodeError::Own("a value")));
    assert_eq!(with(|entry| entry.device = vec![1; 15].into()), Err(DecodeError::Own("a device")));
    assert_eq!(with(|entry| entry.key = Some(Key::Muted(vec![1; 17].into()))), Err(DecodeError::Own("a conversation")));
    assert_eq!(
        with(|entry| entry.key = Some(Key::Setting("Upper".into()))),
        Err(DecodeError::Own("the name of a setting"))
    );
    assert_eq!(with(|entry| entry.key = Some(Key::Blocked("bob@example.org".into()))), Err(DecodeError::NotNormal));
    let Ok(Content { kind: Kind::Own(own), .. }) = with(|entry| entry.key = None) else { panic!() };
    assert_eq!(own.entries, [one]);
}

/// CON-28
#[test]
fn typing_arrives() {
    for typing in [Typing::Started, Typing::Stopped] {
        let content = alice_to_bob(Kind::Typing(typing));
        assert_eq!(decode(&encode(&content).unwrap()), Ok(content));
    }
}

/// CON-20, CON-21: read and played say when; delivered does not.
#[test]
fn receipts_say_when() {
    let receipt = |kind, at| {
        let message_ids = vec![MessageId::from_bytes([9; 16])];
        alice_to_bob(Kind::Receipt(Receipt { kind, message_ids, at }))
    };
    let noon = Some(Timestamp::from_millis(12));
    for kind in [ReceiptKind::Read, ReceiptKind::Played] {
        let content = receipt(kind, noon);
        assert_eq!(decode(&encode(&content).unwrap()), Ok(content));
    }
    let delivered = receipt(ReceiptKind::Delivered, None);
    assert_eq!(encode(&receipt(ReceiptKind::Delivered, noon)), encode(&delivered));
    let later = changed(&delivered, |wire| {
        let Some(wire::content::Kind::Receipt(receipt)) = &mut wire.kind else { panic!() };
        receipt.kind = 4;
    });
    assert_eq!(decode(&later).unwrap().kind, Kind::Unsupported);
}

proptest! {
    /// OWN-3: of any entries with one key the same one counts, in whatever order they come.
    #[test]
    fn the_order_does_not_matter(
        chosen in proptest::collection::vec((0_u64..4, 0_u8..3, "[ab]{0,1}"), 1..8),
        order in any::<u64>(),
    ) {
        let key = OwnKey::Setting("typing".into());
        let entries: Vec<OwnEntry> = chosen.iter().map(|(at, device, value)| OwnEntry {
            key: key.clone(),
            value: OwnValue::new(value.clone()).unwrap(),
            chosen: Timestamp::from_millis(*at),
            device: DeviceId::from_bytes([*device; 16]),
        }).collect();
        let last = |entries: &[OwnEntry]| entries.iter().cloned().reduce(|kept, new| if new.beats(&kept) { new } else { kept });
        let mut other = entries.clone();
        let length = other.len();
        other.rotate_left(usize::try_from(order % length as u64).unwrap());
        if order % 2 == 0 {
            other.reverse();
        }
        prop_assert_eq!(last(&entries), last(&other));
    }
}
