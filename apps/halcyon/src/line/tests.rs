use halcyon_client::event::{Origin, ShownGroupName};
use halcyon_client::{
    Act, Animation, Contact, Deed, Effect, GroupName, Image, Link, Location, Mention, Naming, Part, PhotoReference,
    Range, ReceiptKind, ShownChange, ShownDeed, ShownEdit, ShownPart, ShownReceipt, ShownTapback, Style, Styled,
    Subject, Tapback, Target, Text, Typing, WebAddress,
};
use halcyon_directory::alert::DeviceNotice;
use halcyon_types::{AccountId, ConversationId, DeviceId, EnvelopeId, GroupId, Handle, MessageId, SuiteId, Timestamp};

use super::*;
use crate::args::Format;
use crate::output::Output;

fn message(text: Option<&str>) -> ShownMessage {
    ShownMessage {
        number: 7,
        id: MessageId::from_bytes([1; 16]),
        conversation: ConversationId::from_bytes([2; 16]),
        origin: Origin::Peer,
        sender: Handle::parse("alice@example.org").unwrap(),
        sender_maybe: None,
        sender_name: None,
        recipients: vec![Handle::parse("bob@example.org").unwrap()],
        sender_device: DeviceId::from_bytes([3; 16]),
        sender_device_name: Some("phone".into()),
        suite: Some(SuiteId::PAIR_EC),
        sent: Timestamp::from_millis(1_700_000_000_000),
        stored: Timestamp::from_millis(1_700_000_000_250),
        text: text.map(str::to_owned),
        parts: vec![ShownPart { text: text.map(Text::plain), ..ShownPart::default() }],
        reply_to: None,
        subject: None,
        effect: None,
        mentions_me: false,
        group: None,
        change: None,
        act: None,
        about: None,
        missing_before: 0,
        lost_before: 0,
        read: None,
        deleted: None,
        receipts: Vec::new(),
        muted: false,
        apart: false,
    }
}

fn in_group(change: Option<(ShownDeed, bool)>) -> ShownMessage {
    let group = ShownGroupName { id: GroupId::from_bytes([9; 16]), name: GroupName::new("friends").unwrap() };
    let change = change.map(|(deed, counts)| ShownChange { deed, counts });
    let text = if change.is_none() { Some("hello, all") } else { None };
    ShownMessage { recipients: Vec::new(), group: Some(group), change, ..message(text) }
}

fn group_changes() -> Vec<Event> {
    let name = |text: &str| GroupName::new(text).unwrap();
    let bob = || vec![Handle::parse("bob@example.org").unwrap(), Handle::parse("carol@example.org").unwrap()];
    let deeds = [
        (ShownDeed::Created(name("friends"), bob()), true),
        (ShownDeed::Added(bob()), true),
        (ShownDeed::Removed(bob()), false),
        (ShownDeed::Left, true),
        (ShownDeed::Renamed(name("")), true),
        (ShownDeed::Renamed(name("best \u{202e}friends")), true),
        (ShownDeed::Photo(PhotoReference::new("https://example.org/us.jpeg")), true),
        (ShownDeed::Photo(None), true),
        (ShownDeed::Other, false),
    ];
    let changes = deeds.into_iter().map(|deed| Event::Message(in_group(Some(deed))));
    std::iter::once(Event::Message(in_group(None))).chain(changes).collect()
}

fn repair(step: RepairStep, (unopened, missing, lost): (usize, u64, u64), stuck: Option<&str>) -> Event {
    let at = Timestamp::from_millis(1_700_000_000_500);
    let repair = ShownRepair {
        device: DeviceId::from_bytes([3; 16]),
        handle: Handle::parse("alice@example.org").unwrap(),
        device_name: Some("phone".into()),
        unopened,
        missing,
        lost,
        since: at,
        asked: 1,
        next: at.plus(halcyon_types::Duration::from_secs(10)),
        stuck: stuck.map(str::to_owned),
    };
    Event::Repair { step, repair }
}

fn target() -> Target {
    Target { message: MessageId::from_bytes([1; 16]), device: DeviceId::from_bytes([3; 16]), part: 0 }
}

fn act(deed: Deed) -> Event {
    let act = ShownMessage {
        parts: Vec::new(),
        act: Some(Act { target: target(), deed }),
        about: Some(7),
        number: 8,
        ..message(None)
    };
    Event::Acted { act, message: None }
}

/// A message to which everything was done.
fn treated() -> ShownMessage {
    let bob = Handle::parse("bob@example.org").unwrap();
    let said = Timestamp::from_millis(1_700_000_000_000);
    let part = ShownPart {
        text: Some(Text::plain("hullo")),
        carried: None,
        earlier: vec![ShownEdit { said, text: "hello".into() }],
        edited: Some(Timestamp::from_millis(1_700_000_060_000)),
        unsent: false,
        tapbacks: vec![ShownTapback { by: bob, tapback: Tapback::emoji("🦊").unwrap() }],
    };
    ShownMessage { parts: vec![part], reply_to: Some(target()), about: None, ..message(Some("hullo")) }
}

/// A message with everything that a text can have.
fn rich() -> ShownMessage {
    let bob = Handle::parse("bob@example.org").unwrap();
    let range = |start, length| Range { start, length };
    let loud = Style { bold: true, underline: true, ..Style::default() };
    let moving = Style { animation: Some(Animation::Nod), ..Style::default() };
    let text = Text {
        text: "Grüße, @bob!".into(),
        styles: vec![Styled { range: range(0, 7), style: loud }, Styled { range: range(13, 1), style: moving }],
        mentions: vec![Mention { range: range(9, 4), handle: bob }],
    };
    let parts = [Text::plain("first line"), text].map(|text| ShownPart { text: Some(text), ..ShownPart::default() });
    ShownMessage {
        parts: parts.to_vec(),
        subject: Subject::new("a subject"),
        effect: Some(Effect::InvisibleInk),
        mentions_me: true,
        ..message(Some("first line\nGrüße, @bob!"))
    }
}

/// A message with everything that is no text; what peers chose tries to be something else.
fn laden(text: Option<&str>) -> ShownMessage {
    let place = Location::parse("52.5163,13.3777,Brandenburg \u{202e}Gate").unwrap().with_accuracy(10).unwrap();
    let card = "BEGIN:VCARD\nVERSION:4.0\nFN:Jane \u{2066}Doe\nORG:Sea;Sky\nEMAIL;TYPE=home:jane@example.org\nTEL:030 1\nEND:VCARD\n";
    let link = |url| Link::new(WebAddress::parse(url).unwrap());
    let image = Image::new(*b"\x89PNG\r\n\x1a\n").unwrap();
    let full =
        link("https://example.org/a?b").with_title("A \u{202e}title").unwrap().with_summary("What it is").unwrap();
    let carried = [
        Part::Location(place),
        Part::Contact(Contact::new(card).unwrap()),
        Part::Link(full.with_image(image).unwrap()),
        Part::Link(link("http://192.0.2.1/")),
    ];
    let parts = carried.map(|part| ShownPart { carried: Some(part), ..ShownPart::default() });
    // Of a version that is not here yet: then the text is not shown either (CON-5).
    let later = text.is_none().then(ShownPart::default);
    let said = text.map(|text| ShownPart { text: Some(Text::plain(text)), ..ShownPart::default() });
    ShownMessage { parts: said.into_iter().chain(parts).chain(later).collect(), ..message(text) }
}

fn named(name: Option<&str>) -> Event {
    let photo = Image::new(*b"\x89PNG\r\n\x1a\n").unwrap();
    let naming = name.map_or(Naming::nothing(), |name| Naming::new(name).unwrap().with_photo(photo).unwrap());
    Event::Named { handle: Handle::parse("alice@example.org").unwrap(), naming }
}

fn receipt(kind: ReceiptKind) -> ShownReceipt {
    let by = Handle::parse("bob@example.org").unwrap();
    ShownReceipt { by, kind, at: Timestamp::from_millis(1_700_000_060_000) }
}

fn typing(typing: Typing) -> Event {
    let by = Handle::parse("bob@example.org").unwrap();
    Event::Typing { conversation: ConversationId::from_bytes([2; 16]), by, typing }
}

/// Of somebody with a name, read here; and who read and played it.
fn read() -> ShownMessage {
    ShownMessage {
        sender_name: Some("Alice".into()),
        read: Some(Timestamp::from_millis(1_700_000_060_000)),
        receipts: vec![receipt(ReceiptKind::Read), receipt(ReceiptKind::Played)],
        muted: true,
        ..message(Some("named"))
    }
}

fn unsent() -> ShownMessage {
    ShownMessage { parts: vec![ShownPart { unsent: true, ..ShownPart::default() }], ..message(None) }
}

/// Before a message, at the end, and what cannot be recovered.
fn gaps() -> Vec<GapLine> {
    let behind = ShownMessage { missing_before: 2, lost_before: 1, ..message(Some("behind a gap")) };
    let end = ShownGap {
        conversation: ConversationId::from_bytes([2; 16]),
        device: DeviceId::from_bytes([3; 16]),
        handle: Handle::parse("alice@example.org").unwrap(),
        device_name: None,
        missing: vec![(7, 7)],
        lost: Vec::new(),
        stream: 0,
        since: Timestamp::from_millis(1_700_000_000_500),
    };
    vec![GapLine::before(&behind).unwrap(), GapLine::from(&end)]
}

fn delivery(state: DeliveryState) -> Event {
    let delivery = ShownDelivery {
        account: AccountId::from_bytes([4; 16]),
        device: DeviceId::from_bytes([5; 16]),
        device_name: Some("tablet".into()),
        own: false,
        suite: Some(SuiteId::PAIR_EC),
        state,
    };
    Event::Delivery { message: MessageId::from_bytes([1; 16]), delivery }
}

fn events() -> Vec<Event> {
    let at = Timestamp::from_millis(1_700_000_000_500);
    let device = DeviceNotice { device: DeviceId::from_bytes([6; 16]), name: "tablet".into(), list_version: 2 };
    let alert = ShownAlert {
        id: EnvelopeId::from_bytes([7; 16]),
        at,
        notice: Notice::Server(AlertEvent::DeviceAdded(device)),
        seen: false,
    };
    vec![
        Event::Message(message(Some("hello\nthere"))),
        Event::Message(message(None)),
        Event::Message(treated()),
        Event::Message(rich()),
        Event::Message(laden(Some("look at\nthis"))),
        Event::Message(laden(None)),
        Event::Message(ShownMessage { sender_maybe: Some("Al\u{202e}\u{1b}".into()), ..message(Some("hi")) }),
        named(Some("Al\u{202e}")),
        named(None),
        Event::Message(unsent()),
        act(Deed::Tapback { tapback: Tapback::Love, removed: false }),
        act(Deed::Tapback { tapback: Tapback::Love, removed: true }),
        act(Deed::Edit(Text::plain("hullo\nthere"))),
        act(Deed::Unsend),
        delivery(DeliveryState::Accepted(at)),
        delivery(DeliveryState::Delivered(at)),
        delivery(DeliveryState::Failed("no prekey".into())),
        Event::Message(read()),
        Event::Receipt { message: MessageId::from_bytes([1; 16]), receipt: receipt(ReceiptKind::Read) },
        typing(Typing::Started),
        typing(Typing::Stopped),
        Event::Chosen { entries: 2, read: 1 },
        Event::Unopened { device: None, cause: "unauthentic".into() },
        Event::Unopened { device: Some(DeviceId::from_bytes([3; 16])), cause: "no-key".into() },
        repair(RepairStep::Asked, (1, 2, 0), None),
        repair(RepairStep::Asked, (0, 0, 0), None),
        repair(RepairStep::Stuck, (1, 0, 0), Some("the device that sent them does not answer")),
        repair(RepairStep::Done, (0, 0, 0), None),
        repair(RepairStep::Done, (0, 0, 2), None),
        Event::DevicesChanged {
            handle: Handle::parse("bob@example.org").unwrap(),
            changes: vec![Change::DeviceAdded { device: DeviceId::from_bytes([6; 16]), name: "tablet".into() }],
        },
        Event::Alert(alert.clone()),
        Event::Alert(ShownAlert { notice: Notice::ProfileRestored, ..alert.clone() }),
        Event::Alert(ShownAlert { notice: Notice::ServerWentBack, ..alert }),
        Event::Connection(ConnectionState::Online { since: at }),
        Event::Connection(ConnectionState::Waiting { cause: "the courier cannot be reached".into(), until: at }),
        Event::Missed(3),
    ]
}

fn lines() -> Vec<Line> {
    let events: Vec<Event> = events().into_iter().chain(group_changes()).collect();
    let of_events = events.iter().map(|event| Line::of_event(event).unwrap()).collect::<Vec<_>>();
    of_events.into_iter().chain(gaps().into_iter().map(Line::Gap)).collect()
}

/// REP-31: what is lost and what is missing is there only where something is.
#[test]
fn a_message_without_a_gap_has_no_marker() {
    assert_eq!(GapLine::before(&message(Some("hello"))), None);
}

/// Scripts rely on these fields.
#[test]
fn json_lines_are_stable() {
    let lines: Vec<String> = lines().iter().map(|line| serde_json::to_string(line).unwrap()).collect();
    insta::assert_snapshot!("json_lines", lines.join("\n"));
}

#[test]
fn lines_read_well() {
    let output = Output::plain(Format::Text);
    let lines: Vec<String> = lines().iter().map(|line| line.words(&output)).collect();
    insta::assert_snapshot!("words", lines.join("\n"));
}

/// CON-16, CON-17: on a terminal a text looks as it was meant, and nothing of it is lost.
#[test]
fn styles_are_codes_where_there_are_colors() {
    let line = Line::of_message(&rich());
    let Line::Message(shown) = &line else { panic!("a message") };
    let stretches: Vec<&str> = shown
        .styles
        .iter()
        .map(|one| (one.start, one.length))
        .chain(shown.mentions.iter().map(|one| (one.start, one.length)))
        .map(|(start, length)| &shown.text.as_deref().unwrap()[start..start + length])
        .collect();
    assert_eq!(stretches, ["Grüße", "!", "@bob"]);
    let words = line.words(&Output::to(std::sync::Arc::new(Nobody), Format::Text, true));
    assert!(words.ends_with("first line\n    \u{1b}[1;4mGrüße\u{1b}[0m, \u{1b}[1m@bob\u{1b}[0m!"), "{words:?}");
    assert!(words.contains("\u{1b}[1ma subject\u{1b}[0m"), "{words:?}");
}

struct Nobody;

impl crate::output::Reader for Nobody {
    fn result(&self, _: serde_json::Value, _: Option<String>) -> Result<(), crate::failure::Failure> {
        Ok(())
    }

    fn note(&self, _: String) {}

    fn doing(&self, _: Option<&'static str>) {}
}

/// CON-3, CON-41, CON-45: neither a place, a card nor a link drives the terminal, or passes for a message of its own.
#[test]
fn what_a_message_carries_is_sanitized_in_words() {
    let words = Line::of_message(&laden(None)).words(&Output::plain(Format::Text));
    assert!(
        !words.contains(['\u{202e}', '\u{2066}']) && words.lines().skip(1).all(|line| line.starts_with("    ")),
        "{words:?}"
    );
}

/// CON-3: neither a text nor the name of a device drives the terminal.
#[test]
fn what_peers_wrote_is_sanitized_in_words() {
    let mut hostile = message(Some("\u{1b}[2Jgone\u{202e}"));
    hostile.sender_device_name = Some("ph\u{1b}one\n[now] eve".into());
    let words = Line::of_event(&Event::Message(hostile)).unwrap().words(&Output::plain(Format::Text));
    assert!(!words.contains(['\u{1b}', '\u{202e}', '\n']), "{words:?}");
}
