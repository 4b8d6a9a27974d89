//! What people write and read: contents, handles, ids, topics, digits, and what is printed of them.
//!
//! - The one decoder that meets a peer's plaintext gives back what our encoder would write (I5, CON-1 to CON-5).
//! - A value has one form: parsing what was printed gives the value again (IDN-1).
//! - Nothing that is shown can move a cursor (CON-3).

use halcyon_content::{
    Act, Animation, CONTENT_BYTES_MAX, Content, ConversationMembers, Deed, Effect, EncodeError, Kind, Mention, Message,
    Own, OwnEntry, OwnKey, OwnValue, PARTS_MAX, PLACE_BYTES_MAX, Part, RECEIPT_IDS_MAX, RECIPIENTS_MAX, Range, Receipt,
    ReceiptKind, SealedMessage, Style, Styled, Subject, TEXT_BYTES_MAX, Tapback, Target, Text, Typing, address_book,
    decode, encode, for_display,
    group::{Change, GroupName, GroupRef, Member, Op, PhotoReference, SignedChange},
};
use halcyon_crypto::{padding, sas::Sas};
use halcyon_types::{
    AccountId, ConversationId, DeviceId, GroupChangeId, GroupHash, GroupId, Handle, HandleKind, LinkId, MessageId,
    PushToken, SessionToken, Storing, Topic,
};

use crate::{
    input::Input,
    people::{ALICE, BOB, NOW},
};

/// No handle is longer (IDN-4): `mailto:` and an address of 254 bytes.
const HANDLE_BYTES_MAX: usize = 261;

/// Reads the first byte as the choice of a text, and the rest as it.
pub fn target(data: &[u8]) {
    let mut input = Input::new(data);
    match input.choice(7) {
        0 => content(input.rest()),
        1 => with_text(input.rest(), handle),
        2 => with_text(input.rest(), ids),
        3 => with_text(input.rest(), topic),
        4 => with_text(input.rest(), display),
        6 => cards(input.rest()),
        _ => members(&mut input),
    }
}

fn with_text(bytes: &[u8], check: fn(&str)) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        check(text);
    }
}

fn content(plaintext: &[u8]) {
    let Ok(content) = decode(plaintext) else { return };
    match &content.kind {
        Kind::Message(message) => {
            let bytes: usize = message.parts.iter().map(text_bytes).sum();
            assert!((1..=PARTS_MAX).contains(&message.parts.len()) && bytes <= TEXT_BYTES_MAX, "CON-3");
            if let Some(text) = message.as_plain_text() {
                display(&text);
            }
        }
        Kind::Receipt(receipt) => {
            assert!((1..=RECEIPT_IDS_MAX).contains(&receipt.message_ids.len()), "CON-4");
        }
        _ => {}
    }
    let recipients = content.members.recipients().len();
    let is_for_own = matches!(content.kind, Kind::Repair(_) | Kind::Forward(_) | Kind::Own(_));
    let has_none = recipients == 0 && (content.members.group().is_some() || is_for_own);
    assert!(has_none || (1..=RECIPIENTS_MAX).contains(&recipients), "CON-2, CON-9, GRP-7");
    let encoded = match encode(&content) {
        Ok(encoded) => encoded,
        // CON-8: what we write leaves room for its place.
        Err(EncodeError::TooLarge(bytes)) if bytes + PLACE_BYTES_MAX > CONTENT_BYTES_MAX => return,
        Err(_) => {
            assert!(is_of_later_version(&content), "what was read can be written");
            return;
        }
    };
    assert!(!is_of_later_version(&content), "what we cannot read we do not write");
    assert!(encoded.len() <= plaintext.len(), "the shortest encoding is ours");
    assert_eq!(decode(&encoded), Ok(content), "a content decodes to itself");
    let padded = padding::padded_len(encoded.len());
    assert!(padded >= encoded.len() && padded <= 16 * 1024, "a content fits an envelope");
}

fn is_of_later_version(content: &Content) -> bool {
    match &content.kind {
        Kind::Message(message) => message.parts.contains(&Part::Unsupported),
        Kind::Unsupported => true,
        _ => false,
    }
}

/// OWN-8
fn cards(file: &[u8]) {
    let Ok(book) = address_book::read(file) else { return };
    assert!(book.cards.len() <= address_book::CARDS_MAX);
    for card in book.cards {
        assert!((1..=address_book::CARD_NAME_BYTES_MAX).contains(&card.name.len()));
        assert!((1..=address_book::CARD_HANDLES_MAX).contains(&card.handles.len()));
        assert_eq!(address_book::name(&card.name).as_ref(), Some(&card.name), "a name that was read is one");
        assert!(!card.name.contains('\n'), "a name is on one line");
        display(&card.name);
    }
}

fn text_bytes(part: &Part) -> usize {
    if let Part::Text(text) = part { text.text.len() } else { 0 }
}

/// IDN-1 to IDN-4
fn handle(text: &str) {
    let Ok(handle) = Handle::parse(text) else { return };
    let uri = handle.as_uri();
    assert!(uri.len() <= HANDLE_BYTES_MAX, "a handle is bounded: {} bytes", uri.len());
    assert!(uri.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase()), "a handle is plain");
    assert_eq!(Handle::parse(uri).as_ref(), Ok(&handle), "a handle has one form");
    assert_eq!(Handle::parse(handle.address()).as_ref(), Ok(&handle), "an address says which kind it is");
    assert_eq!(Handle::parse(&text.to_ascii_uppercase()).as_ref(), Ok(&handle), "case means nothing");
    let scheme = if handle.kind() == HandleKind::Email { "mailto:" } else { "tel:+" };
    assert!(uri.starts_with(scheme));
    assert!(!format!("{handle:?}").contains(handle.address()), "I9");
}

fn ids(text: &str) {
    macro_rules! id {
        ($($name:ident),*) => {
            $(if let Ok(id) = text.parse::<$name>() {
                assert_eq!(id.to_hex(), text, "an id has one form");
                assert_eq!($name::try_from(&id.as_bytes()[..]), Ok(id));
            })*
        };
    }
    id!(AccountId, DeviceId, MessageId, LinkId, PushToken, SessionToken);
    let digits = Sas::from_transcript(&[7; 32]);
    let typed: String = text.chars().filter(|letter| !letter.is_whitespace()).collect();
    if digits.matches(text) {
        assert_eq!(typed, digits.to_string().replace(' ', ""), "LNK-6: six digits, and no others");
    }
}

fn topic(text: &str) {
    let Ok(topic) = Topic::parse(text) else { return };
    assert_eq!(topic.as_str(), text, "a topic has one form");
    assert!((1..=64).contains(&text.len()), "COU-30");
    let queued = matches!(text, Topic::MESSAGE | Topic::ALERT);
    assert_eq!(matches!(topic.storing(), Storing::Queue), queued, "COU-31, COU-32");
    assert_eq!(topic.is_for_clients(), text != Topic::ALERT, "COU-33");
}

fn display(text: &str) {
    let shown = for_display(text);
    assert!(shown.chars().all(|letter| !letter.is_control() || matches!(letter, '\n' | '\t')), "CON-3");
    assert!(!shown.contains(['\u{202e}', '\u{2066}', '\u{2069}']), "CON-3");
    assert_eq!(shown.chars().count(), text.chars().count(), "nothing is left out");
    assert_eq!(for_display(&shown), shown, "what is safe stays as it is");
}

/// CON-6: a conversation is the same for all of its members, in whatever order they are named.
fn members(input: &mut Input<'_>) {
    let text = String::from_utf8_lossy(input.rest());
    let handles: Vec<Handle> = text.lines().filter_map(|line| Handle::parse(line).ok()).collect();
    let Some((sender, others)) = handles.split_first() else { return };
    let Ok(members) = ConversationMembers::new(sender.clone(), others.iter().cloned()) else { return };
    assert!(members.recipients().is_sorted_by(|a, b| a < b) && !members.recipients().contains(sender), "CON-2");
    let backwards = ConversationMembers::new(sender.clone(), others.iter().rev().cloned());
    assert_eq!(backwards.as_ref(), Ok(&members));
    let other = members.recipients()[0].clone();
    let answer = ConversationMembers::new(other, handles.iter().cloned()).unwrap();
    assert_eq!(answer.id(), members.id(), "an answer is in the same conversation");
}

/// One entry of every key, and a message that was read.
fn own() -> Own {
    let (device, conversation) = (DeviceId::from_bytes([8; 16]), ConversationId::from_bytes([3; 16]));
    let message = SealedMessage { device, message: MessageId::from_bytes([9; 16]) };
    let keys = [
        OwnKey::Setting("typing".into()),
        OwnKey::Muted(conversation),
        OwnKey::Pinned(conversation),
        OwnKey::ReadReceipts(conversation),
        OwnKey::SendsFrom(conversation),
        OwnKey::Blocked(BOB.handle.clone()),
        OwnKey::Accepted(BOB.handle.clone()),
        OwnKey::Contact(BOB.handle.clone()),
        OwnKey::Deleted(message),
    ];
    let value = OwnValue::new("on").expect("it is short");
    let chosen = NOW;
    let entries = keys.map(|key| OwnEntry { key, value: value.clone(), chosen, device });
    Own { entries: entries.into(), read: vec![message], read_at: chosen, wanted: true }
}

/// Contents, and texts of every kind.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let members = || ConversationMembers::new(ALICE.handle.clone(), [BOB.handle.clone()]).unwrap();
    let content = |kind| {
        let members = match kind {
            Kind::Own(_) => ConversationMembers::own(ALICE.handle.clone()),
            _ => members(),
        };
        let content = Content { message_id: MessageId::from_bytes([7; 16]), sent: NOW, members, kind, place: None };
        encode(&content).unwrap()
    };
    let two = Message {
        parts: vec![Part::Text(Text::plain("hello")), Part::Text(Text::plain("w\u{202e}rld\u{7}"))],
        subject: Subject::new("greetings"),
        effect: Some(Effect::Confetti),
        ..Message::default()
    };
    let range = |start, length| Range { start, length };
    let style = Style { bold: true, animation: Some(Animation::Shake), ..Style::default() };
    let styled = Text {
        text: "hi böb".into(),
        styles: vec![Styled { range: range(0, 2), style }, Styled { range: range(4, 2), style: Style::default() }],
        mentions: vec![Mention { range: range(3, 4), handle: BOB.handle.clone() }],
    };
    let rich = Message { parts: vec![Part::Text(styled.clone())], ..Message::default() };
    let receipt = Receipt {
        kind: ReceiptKind::Delivered,
        message_ids: vec![MessageId::from_bytes([7; 16]), MessageId::from_bytes([8; 16])],
        at: None,
    };
    let read = Receipt { kind: ReceiptKind::Read, at: Some(NOW), ..receipt.clone() };
    let (local, label) = ("a".repeat(60), "b".repeat(60));
    let long = format!("{local}@{label}.{label}.{label}.example.org");
    let texts: [(u8, &str); 18] = [
        (1, "alice@example.org"),
        (1, " MAILTO:Alice@Example.ORG"),
        (1, "tel:+49 (170) 123-45.67"),
        (1, "+491701234567"),
        (1, &long),
        (2, "a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5"),
        (2, &"0f".repeat(32)),
        (2, &"0f".repeat(40)),
        (2, "012 345"),
        (3, Topic::MESSAGE),
        (3, Topic::ALERT),
        (3, "weather.berlin-1"),
        (4, "plain\ttext\nand \u{1b}[31mred\u{2066}"),
        (4, "\u{202a}\u{85}\u{0}"),
        (5, "alice@example.org\nbob@example.org\n+491701234567"),
        (5, "alice@example.org\nalice@example.org"),
        (6, "BEGIN:VCARD\r\nN:B;Anna;;;\r\nTEL;TYPE=\"a:b\":tel:+49 170\r\n 1234567\r\nEND:VCARD\r\n"),
        (6, "BEGIN:VCARD\nFN:Bob\\, B\\n\nitem1.EMAIL;PREF=1:bob@example.org\nEND:VCARD\n"),
    ];
    let target = Target { message: MessageId::from_bytes([9; 16]), device: DeviceId::from_bytes([8; 16]), part: 1 };
    let deeds = [
        Deed::Tapback { tapback: Tapback::Laugh, removed: true },
        Deed::Tapback { tapback: Tapback::emoji("🦊").expect("it is one"), removed: false },
        Deed::Edit(Text::plain("hullo")),
        Deed::Edit(styled),
        Deed::Unsend,
    ];
    let answer = Message { reply_to: Some(target), ..Message::text("yes") };
    let kinds = [
        Kind::Message(Message::text("hello")),
        Kind::Message(two),
        Kind::Message(rich),
        Kind::Message(answer),
        Kind::Receipt(receipt),
        Kind::Receipt(read),
        Kind::Typing(Typing::Stopped),
        Kind::Own(own()),
    ];
    let acts = deeds.map(|deed| Kind::Act(Act { target, deed }));
    let mut seeds: Vec<Vec<u8>> =
        kinds.into_iter().chain(acts).map(|kind| [&[0], &content(kind)[..]].concat()).collect();
    seeds.extend(texts.map(|(kind, text)| [&[kind], text.as_bytes()].concat()));
    seeds.extend(of_groups().map(|content| [&[0], &encode(&content).unwrap()[..]].concat()));
    seeds
}

/// What is said in a group of itself, with a change of each kind (GRP-2, GRP-9).
fn of_groups() -> [Content; 4] {
    let member = |account| Member { account: AccountId::from_bytes([account; 16]), handle: BOB.handle.clone() };
    let name = |text| GroupName::new(text).unwrap();
    let begun = signed(None, Vec::new(), Op::Create { name: name("friends"), members: vec![member(1), member(2)] });
    let parents = vec![begun.clone().verify().unwrap().id()];
    let ops = [
        Op::Add(vec![member(3)]),
        Op::Remove(vec![AccountId::from_bytes([2; 16])]),
        Op::Leave,
        Op::Rename(name("b\u{f6}b\u{202e}")),
        Op::Photo(PhotoReference::new("https://example.org/photo")),
        Op::Photo(None),
    ];
    let changes = ops.map(|op| signed(Some(begun.group()), parents.clone(), op));
    let reference = GroupRef { id: begun.group(), hash: GroupHash::from_bytes([6; 16]) };
    let content = |kind| {
        let members = ConversationMembers::in_group(ALICE.handle.clone(), reference);
        Content { message_id: MessageId::from_bytes([7; 16]), sent: NOW, members, kind, place: None }
    };
    [
        content(Kind::GroupState([std::slice::from_ref(&begun), &changes[..]].concat())),
        content(Kind::GroupChange(Box::new(begun))),
        content(Kind::GroupAsk),
        content(Kind::Typing(Typing::Started)),
    ]
}

fn signed(group: Option<GroupId>, parents: Vec<GroupChangeId>, op: Op) -> SignedChange {
    let (author, device) = (ALICE.handle.clone(), ALICE.phone.id());
    let change = Change { group, parents, author, device, made: NOW, nonce: [5; 16], op };
    SignedChange::sign(change, &ALICE.key).unwrap()
}
