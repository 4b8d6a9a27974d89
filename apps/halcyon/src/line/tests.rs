use halcyon_directory::alert::DeviceNotice;
use halcyon_types::{AccountId, ConversationId, DeviceId, EnvelopeId, Handle, MessageId, SuiteId, Timestamp};

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
        recipients: vec![Handle::parse("bob@example.org").unwrap()],
        sender_device: DeviceId::from_bytes([3; 16]),
        sender_device_name: Some("phone".into()),
        suite: Some(SuiteId::PAIR_EC),
        sent: Timestamp::from_millis(1_700_000_000_000),
        stored: Timestamp::from_millis(1_700_000_000_250),
        text: text.map(str::to_owned),
    }
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
        delivery(DeliveryState::Accepted(at)),
        delivery(DeliveryState::Delivered(at)),
        delivery(DeliveryState::Failed("no prekey".into())),
        Event::Unopened { device: None, cause: "unauthentic".into() },
        Event::DevicesChanged {
            handle: Handle::parse("bob@example.org").unwrap(),
            changes: vec![Change::DeviceAdded { device: DeviceId::from_bytes([6; 16]), name: "tablet".into() }],
        },
        Event::Alert(alert),
        Event::Connection(ConnectionState::Online { since: at }),
        Event::Connection(ConnectionState::Waiting { cause: "the courier cannot be reached".into(), until: at }),
        Event::Missed(3),
    ]
}

/// Scripts rely on these fields.
#[test]
fn json_lines_are_stable() {
    let lines: Vec<String> =
        events().iter().map(|event| serde_json::to_string(&Line::of_event(event).unwrap()).unwrap()).collect();
    insta::assert_snapshot!("json_lines", lines.join("\n"));
}

#[test]
fn lines_read_well() {
    let output = Output::plain(Format::Text);
    let lines: Vec<String> = events().iter().map(|event| Line::of_event(event).unwrap().words(&output)).collect();
    insta::assert_snapshot!("words", lines.join("\n"));
}

/// CON-3: neither a text nor the name of a device drives the terminal.
#[test]
fn what_peers_wrote_is_sanitized_in_words() {
    let mut hostile = message(Some("\u{1b}[2Jgone\u{202e}"));
    hostile.sender_device_name = Some("ph\u{1b}one\n[now] eve".into());
    let words = Line::of_event(&Event::Message(hostile)).unwrap().words(&Output::plain(Format::Text));
    assert!(!words.contains(['\u{1b}', '\u{202e}', '\n']), "{words:?}");
}
