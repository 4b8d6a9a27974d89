//! What encoder and decoder promise each other, and what a hostile peer may try.

mod naming;
mod own;
mod parts;
mod rich;

use halcyon_types::{DeviceId, EnvelopeId, Handle, MessageId, Timestamp};
use proptest::prelude::*;
use prost::Message as _;

use crate::{
    Act, CONTENT_BYTES_MAX, Content, ConversationMembers, DecodeError, Deed, ENVELOPES_MAX, EncodeError,
    FORWARD_BYTES_MAX, Forward, Kind, MembersError, Message, PLACE_BYTES_MAX, Part, Place, Receipt, ReceiptKind,
    Repair, RepairCause, SPANS_MAX, Span, StreamEnd, Tapback, Target, Text, Unopened, decode, encode, for_display,
    wire, with_place,
};

fn handle(text: &str) -> Handle {
    Handle::parse(text).unwrap()
}

fn alice_to_bob(kind: Kind) -> Content {
    let members = ConversationMembers::new(handle("alice@example.org"), [handle("bob@example.org")]).unwrap();
    Content {
        message_id: MessageId::from_bytes([7; 16]),
        sent: Timestamp::from_millis(1_700_000_000_000),
        members,
        kind,
        place: None,
    }
}

fn hello() -> Content {
    alice_to_bob(Kind::Message(Message::text("hello")))
}

/// What a peer could write: the encoding of `content`, changed.
fn changed(content: &Content, change: impl FnOnce(&mut wire::Content)) -> Vec<u8> {
    let mut wire = wire::Content::decode(encode(content).unwrap().as_slice()).unwrap();
    change(&mut wire);
    wire.encode_to_vec()
}

/// CON-1, CON-2: what Alice writes, Bob reads.
#[test]
fn a_message_arrives_as_it_was_written() {
    assert_eq!(decode(&encode(&hello()).unwrap()), Ok(hello()));
    let receipt = Receipt { kind: ReceiptKind::Delivered, message_ids: vec![MessageId::from_bytes([9; 16])], at: None };
    let receipt = alice_to_bob(Kind::Receipt(receipt));
    assert_eq!(decode(&encode(&receipt).unwrap()), Ok(receipt));
}

/// CON-1, CON-2: the bytes on the wire do not change unnoticed.
#[test]
fn the_encoding_is_pinned() {
    let expected = "08011210070707070707070707070707070707071880d095ffbc31\
                    22186d61696c746f3a616c696365406578616d706c652e6f7267\
                    2a166d61696c746f3a626f62406578616d706c652e6f726732090a070a050a0368";
    let short = alice_to_bob(Kind::Message(Message::text("h")));
    let hex: String = encode(&short).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = expected.replace("32090a070a050a0368", "32070a050a030a0168");
    assert_eq!(hex, expected);
}

/// CON-1: too large is refused before it is decoded; versions are checked.
#[test]
fn size_and_version_are_checked_first() {
    assert_eq!(decode(&vec![0; FORWARD_BYTES_MAX + 1]), Err(DecodeError::TooLarge(FORWARD_BYTES_MAX + 1)));
    // Fields that nobody knows count, too; only what wraps a whole message may have more.
    let long = [encode(&hello()).unwrap(), [&[0xfa, 0x07, 0x98, 0x75][..], &[0; 15_000]].concat()].concat();
    assert!(long.len() > CONTENT_BYTES_MAX && long.len() < FORWARD_BYTES_MAX);
    assert_eq!(decode(&long), Err(DecodeError::TooLarge(long.len())));
    assert_eq!(decode(&changed(&hello(), |wire| wire.version = 0)), Err(DecodeError::NoVersion));
    assert_eq!(decode(b"\xff\xff\xff"), Err(DecodeError::NotProtobuf));
}

/// CON-2: a conversation has one spelling only.
#[test]
fn members_are_in_normal_form() {
    type Change = fn(&mut wire::Content);
    let cases: [(&str, Change); 6] = [
        ("upper case", |wire| wire.sender = "mailto:Alice@example.org".into()),
        ("bare address", |wire| wire.recipients = vec!["bob@example.org".into()]),
        ("sender among recipients", |wire| wire.recipients.push("mailto:alice@example.org".into())),
        ("repeated", |wire| wire.recipients.push("mailto:bob@example.org".into())),
        ("not sorted", |wire| wire.recipients.push("mailto:aaron@example.org".into())),
        ("nobody", |wire| wire.recipients.clear()),
    ];
    for (name, change) in cases {
        assert!(decode(&changed(&hello(), change)).is_err(), "{name}");
    }
    let short_id = changed(&hello(), |wire| wire.message_id = vec![7; 15].into());
    assert_eq!(decode(&short_id), Err(DecodeError::MessageId(15)));
}

/// CON-2: nobody writes to nobody, or to everybody.
#[test]
fn a_conversation_is_bounded() {
    let alice = handle("alice@example.org");
    assert_eq!(ConversationMembers::new(alice.clone(), [alice.clone()]), Err(MembersError::Empty));
    let crowd = (0..33).map(|n| handle(&format!("p{n}@example.org")));
    assert_eq!(ConversationMembers::new(alice, crowd), Err(MembersError::TooMany(33)));
}

/// CON-3: limits of text and parts hold on both sides.
#[test]
fn parts_and_text_are_bounded() {
    let too_long = alice_to_bob(Kind::Message(Message::text("x".repeat(12_001))));
    assert_eq!(encode(&too_long), Err(EncodeError::Text(12_001)));
    assert_eq!(encode(&alice_to_bob(Kind::Message(Message::default()))), Err(EncodeError::Parts(0)));
    assert_eq!(encode(&alice_to_bob(Kind::Message(Message::text("")))), Err(EncodeError::Text(0)));

    let text =
        |text: String| wire::Part { part: Some(wire::part::Part::Text(wire::Text { text, ..wire::Text::default() })) };
    let replaced = |parts: Vec<wire::Part>| {
        changed(&hello(), |wire| {
            wire.kind = Some(wire::content::Kind::Message(wire::Message { parts, ..wire::Message::default() }))
        })
    };
    assert_eq!(decode(&replaced(vec![text("x".repeat(12_001))])), Err(DecodeError::Text(12_001)));
    assert_eq!(decode(&replaced(vec![text(String::new())])), Err(DecodeError::Text(0)));
    assert_eq!(decode(&replaced(vec![])), Err(DecodeError::Parts(0)));
    assert_eq!(decode(&replaced(vec![text("x".into()); 65])), Err(DecodeError::Parts(65)));
}

fn target() -> Target {
    Target { message: MessageId::from_bytes([3; 16]), device: DeviceId::from_bytes([4; 16]), part: 63 }
}

fn act(deed: Deed) -> Content {
    alice_to_bob(Kind::Act(Act { target: target(), deed }))
}

/// CON-10 to CON-15: whatever is done or answered arrives as it was meant.
#[test]
fn acts_and_answers_arrive() {
    let mut tapbacks: Vec<Tapback> = Tapback::NAMED.to_vec();
    tapbacks.extend(["🦊", "❤️", "👩🏽‍👩🏽‍👧🏽‍👦🏽", "🇩🇪", "1️⃣"].map(|emoji| Tapback::emoji(emoji).unwrap()));
    let tapbacks = tapbacks
        .into_iter()
        .flat_map(|tapback| [true, false].map(|removed| Deed::Tapback { tapback: tapback.clone(), removed }));
    for deed in tapbacks.chain([Deed::Edit(Text::plain("x".repeat(12_000))), Deed::Unsend]) {
        assert_eq!(decode(&encode(&act(deed.clone())).unwrap()), Ok(act(deed)));
    }
    let answer = alice_to_bob(Kind::Message(Message { reply_to: Some(target()), ..Message::text("yes") }));
    assert_eq!(decode(&encode(&answer).unwrap()), Ok(answer));
}

/// CON-12: one emoji, no words, no control characters.
#[test]
fn a_tapback_is_one_emoji() {
    let long = format!("a{}", "\u{301}".repeat(40));
    for text in ["", "x", "ok", "1", "🦊🦊", "🦊 ", "\u{1b}", "\u{202e}x", "\n", "\u{200b}x", &long] {
        assert_eq!(Tapback::emoji(text), None, "{text:?}");
    }
}

/// CON-10 to CON-14: what is out of its bounds is refused on both sides; what a later version knows is kept.
#[test]
fn acts_are_bounded() {
    let too_far = Target { part: 64, ..target() };
    let deed = Deed::Unsend;
    assert_eq!(encode(&alice_to_bob(Kind::Act(Act { target: too_far, deed }))), Err(EncodeError::Target));
    assert_eq!(encode(&act(Deed::Edit(Text::plain(String::new())))), Err(EncodeError::Text(0)));
    assert_eq!(encode(&act(Deed::Edit(Text::plain("x".repeat(12_001))))), Err(EncodeError::Text(12_001)));
    let emoji = Tapback::Emoji("no emoji".into());
    assert_eq!(encode(&act(Deed::Tapback { tapback: emoji, removed: false })), Err(EncodeError::Emoji));
    let answer = Message { reply_to: Some(too_far), ..Message::text("yes") };
    assert_eq!(encode(&alice_to_bob(Kind::Message(answer))), Err(EncodeError::Target));

    let with = |change: &dyn Fn(&mut wire::Act)| {
        let changed = changed(&act(Deed::Unsend), |wire| match &mut wire.kind {
            Some(wire::content::Kind::Act(act)) => change(act),
            other => panic!("{other:?}"),
        });
        decode(&changed).map(|content| content.kind)
    };
    let tapback = |reaction, emoji: &str| {
        Some(wire::act::Deed::Tapback(wire::Tapback { reaction, emoji: emoji.into(), removed: false }))
    };
    assert_eq!(with(&|act| act.target = None), Err(DecodeError::MessageId(0)));
    assert_eq!(with(&|act| act.target.as_mut().unwrap().sender_device = vec![1; 15].into()), Err(DecodeError::Target));
    assert_eq!(with(&|act| act.target.as_mut().unwrap().part = 64), Err(DecodeError::Target));
    assert_eq!(with(&|act| act.deed = tapback(7, "no emoji")), Err(DecodeError::Emoji));
    assert_eq!(with(&|act| act.deed = tapback(1, "🦊")), Err(DecodeError::Emoji));
    let edit = |text: String| Some(wire::act::Deed::Edit(wire::Edit { text, ..wire::Edit::default() }));
    assert_eq!(with(&|act| act.deed = edit(String::new())), Err(DecodeError::Text(0)));
    assert_eq!(with(&|act| act.deed = edit("x".repeat(12_001))), Err(DecodeError::Text(12_001)));
    // CON-5
    assert_eq!(with(&|act| act.deed = None), Ok(Kind::Unsupported));
    assert_eq!(with(&|act| act.deed = tapback(0, "")), Ok(Kind::Unsupported));
    assert_eq!(with(&|act| act.deed = tapback(8, "?")), Ok(Kind::Unsupported));
}

/// CON-4: a receipt names some messages, not none and not a flood.
#[test]
fn receipts_are_bounded() {
    let receipt = |count: usize| {
        let message_ids = vec![MessageId::from_bytes([9; 16]); count];
        alice_to_bob(Kind::Receipt(Receipt { kind: ReceiptKind::Delivered, message_ids, at: None }))
    };
    assert!(encode(&receipt(256)).is_ok());
    assert_eq!(encode(&receipt(257)), Err(EncodeError::ReceiptIds(257)));
    let none = changed(&receipt(1), |wire| {
        wire.kind = Some(wire::content::Kind::Receipt(wire::Receipt { kind: 1, ..Default::default() }));
    });
    assert_eq!(decode(&none), Err(DecodeError::ReceiptIds(0)));
}

/// CON-5: what a later version says is unsupported, not an error.
#[test]
fn later_kinds_are_kept_as_unsupported() {
    let unknown_kind = changed(&hello(), |wire| wire.kind = None);
    assert_eq!(decode(&unknown_kind).unwrap().kind, Kind::Unsupported);
    let later_version = changed(&hello(), |wire| wire.version = 2);
    assert_eq!(decode(&later_version).unwrap().kind, Kind::Unsupported);
    let unknown_receipt = changed(&hello(), |wire| {
        let message_ids = vec![vec![1; 16].into()];
        wire.kind = Some(wire::content::Kind::Receipt(wire::Receipt { kind: 99, message_ids, at_ms: 0 }));
    });
    assert_eq!(decode(&unknown_receipt).unwrap().kind, Kind::Unsupported);
    let unknown_part = changed(&hello(), |wire| {
        wire.kind = Some(wire::content::Kind::Message(wire::Message {
            parts: vec![wire::Part { part: None }],
            ..wire::Message::default()
        }));
    });
    assert_eq!(
        decode(&unknown_part).unwrap().kind,
        Kind::Message(Message { parts: vec![Part::Unsupported], ..Message::default() })
    );
    let mut with_unknown_field = encode(&hello()).unwrap();
    with_unknown_field.extend_from_slice(&[0xfa, 0x3f, 1, 0]); // field 1023, one byte
    assert_eq!(decode(&with_unknown_field), Ok(hello()));
}

/// CON-6: both ends file their messages in one conversation; another member makes another one.
#[test]
fn a_conversation_has_one_id_whoever_writes() {
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| handle(&format!("{name}@example.org")));
    let id = |sender: &Handle, others: &[&Handle]| {
        ConversationMembers::new(sender.clone(), others.iter().copied().cloned()).unwrap().id()
    };
    assert_eq!(id(&alice, &[&bob]), id(&bob, &[&alice]));
    assert_eq!(id(&alice, &[&bob, &carol]), id(&carol, &[&bob, &alice]));
    assert_ne!(id(&alice, &[&bob]), id(&alice, &[&bob, &carol]));
    assert_ne!(id(&alice, &[&bob]), id(&alice, &[&carol]));
}

/// CON-3: a peer's text cannot drive the terminal.
#[test]
fn control_and_direction_characters_are_not_shown() {
    assert_eq!(for_display("plain\n\ttext"), "plain\n\ttext");
    assert_eq!(for_display("\u{1b}[2J\u{202e}evil\u{9b}"), "\u{fffd}[2J\u{fffd}evil\u{fffd}");
}

/// I9: no content in a log line.
#[test]
fn debug_is_redacted() {
    let printed = format!("{:?}", alice_to_bob(Kind::Message(Message::text("secret"))));
    assert!(!printed.contains("secret") && !printed.contains("alice"), "{printed}");
}

proptest! {
    /// CON-1: no bytes of a peer make the decoder panic, and what it accepts is written the same again.
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = decode(&bytes);
    }

    /// CON-1: one changed byte is an error or another well-formed content, never a panic.
    #[test]
    fn changed_bytes_never_panic(at in 0_usize..100, to in any::<u8>()) {
        let mut bytes = encode(&hello()).unwrap();
        let at = at % bytes.len();
        bytes[at] = to;
        if let Ok(content) = decode(&bytes) {
            match content.kind {
                Kind::Unsupported => {}
                Kind::Message(ref message) if message.parts.contains(&Part::Unsupported) => {}
                _ => prop_assert_eq!(decode(&encode(&content).unwrap()), Ok(content)),
            }
        }
    }
}

fn conversation() -> halcyon_types::ConversationId {
    hello().members.id()
}

/// CON-8, REP-1: what is put behind a plaintext is read as the place of that copy; without it there is none.
#[test]
fn a_place_is_put_behind_a_plaintext() {
    let place = Place { stream: u64::MAX, number: 3, epoch: 9, mends: Some(EnvelopeId::from_bytes([5; 16])) };
    let encoded = encode(&hello()).unwrap();
    let placed = with_place(&encoded, &place);
    assert!(placed.len() - encoded.len() <= PLACE_BYTES_MAX);
    assert_eq!(decode(&placed), Ok(Content { place: Some(place), ..hello() }));
    let bad = changed(&hello(), |wire| {
        wire.place = Some(wire::Place { mends: vec![1; 15].into(), ..wire::Place::default() });
    });
    assert_eq!(decode(&bad), Err(DecodeError::Place));
}

/// CON-1, CON-8: the largest place of a message that was just small enough leaves it small enough.
#[test]
fn there_is_room_for_every_place() {
    let largest =
        Place { stream: u64::MAX, number: u64::MAX, epoch: u64::MAX, mends: Some(EnvelopeId::from_bytes([5; 16])) };
    let tail = with_place(&[], &largest);
    assert!(tail.len() <= PLACE_BYTES_MAX, "{}", tail.len());
}

/// REP-2: a repair arrives as it was written, also between own devices, who need no recipient (CON-9).
#[test]
fn a_repair_arrives_as_it_was_written() {
    let span = Span { conversation: conversation(), stream: 1, first: 2, last: 9 };
    let end = StreamEnd { conversation: conversation(), stream: 1, last: 9 };
    let envelope = EnvelopeId::from_bytes([3; 16]);
    let repair = Repair {
        unopened: [RepairCause::NoKey, RepairCause::Forked, RepairCause::Other]
            .map(|cause| Unopened { envelope, cause })
            .to_vec(),
        wanted: vec![span],
        counts: vec![end],
        had: vec![end],
        gone: vec![span],
        gone_envelopes: vec![envelope],
        epoch_seen: 7,
        counts_wanted: true,
        forward_since: Some(Timestamp::from_millis(1)),
        restart: true,
        answered: true,
    };
    assert!(!repair.is_empty());
    let to_bob = alice_to_bob(Kind::Repair(repair.clone()));
    assert_eq!(decode(&encode(&to_bob).unwrap()), Ok(to_bob));
    let own = ConversationMembers::own(handle("alice@example.org"));
    let to_own = Content { members: own.clone(), ..alice_to_bob(Kind::Repair(repair)) };
    assert_eq!(decode(&encode(&to_own).unwrap()), Ok(to_own));
    // A message still needs somebody to read it.
    let alone = Content { members: own, ..hello() };
    assert_eq!(decode(&encode(&alone).unwrap()), Err(DecodeError::Members(MembersError::Empty)));
}

/// REP-2: lists beyond their bounds, and spans that end before they begin, are refused by both sides.
#[test]
fn a_repair_is_bounded() {
    let span = Span { conversation: conversation(), stream: 1, first: 1, last: 1 };
    let full = |count| alice_to_bob(Kind::Repair(Repair { wanted: vec![span; count], ..Repair::default() }));
    assert!(decode(&encode(&full(SPANS_MAX)).unwrap()).is_ok());
    assert_eq!(encode(&full(SPANS_MAX + 1)), Err(EncodeError::Repair("spans")));
    let changed_repair = |change: &dyn Fn(&mut wire::Repair)| {
        let bytes = changed(&full(1), |wire| {
            let Some(wire::content::Kind::Repair(repair)) = &mut wire.kind else { unreachable!() };
            change(repair);
        });
        decode(&bytes)
    };
    let spans = Err(DecodeError::Repair("spans"));
    assert_eq!(changed_repair(&|repair| repair.had = vec![wire::Count::default(); SPANS_MAX + 1]), spans);
    assert_eq!(changed_repair(&|repair| repair.wanted[0].first = 0), spans);
    assert_eq!(changed_repair(&|repair| repair.wanted[0].first = 2), spans);
    let envelopes = Err(DecodeError::Repair("envelopes"));
    assert_eq!(
        changed_repair(&|repair| repair.gone_envelopes = vec![vec![1; 16].into(); ENVELOPES_MAX + 1]),
        envelopes
    );
    assert_eq!(changed_repair(&|repair| repair.gone_envelopes = vec![vec![1; 17].into()]), envelopes);
    let nowhere = changed_repair(&|repair| repair.wanted[0].conversation = vec![1; 3].into());
    assert_eq!(nowhere, Err(DecodeError::Repair("conversations")));
}

/// REP-24: the longest message that can be written can also be forwarded.
#[test]
fn the_longest_message_can_be_forwarded() {
    let mut long = hello();
    let room = CONTENT_BYTES_MAX - PLACE_BYTES_MAX;
    let others: Vec<Handle> = (0..32).map(|n| handle(&format!("{n:0>60}@example.org"))).collect();
    long.members = ConversationMembers::new(handle("alice@example.org"), others).unwrap();
    let mut text = 12_000;
    while encode(&Content { kind: Kind::Message(Message::text("x".repeat(text))), ..long.clone() }).is_err() {
        text -= 1;
    }
    let inner = encode(&Content { kind: Kind::Message(Message::text("x".repeat(text))), ..long }).unwrap();
    assert!(inner.len() <= room);
    let placed = with_place(&inner, &Place { stream: u64::MAX, number: u64::MAX, epoch: u64::MAX, mends: None });
    let forward = Forward {
        content: placed.into(),
        sender_account: halcyon_types::AccountId::from_bytes([1; 16]),
        sender_device: halcyon_types::DeviceId::from_bytes([2; 16]),
        suite: Some(halcyon_types::SuiteId::PQ3),
        stored: Timestamp::from_millis(u64::MAX),
    };
    let own = ConversationMembers::own(handle("alice@example.org"));
    let content = Content { members: own, ..alice_to_bob(Kind::Forward(forward)) };
    assert_eq!(decode(&encode(&content).unwrap()), Ok(content));
}
