//! Locations, cards, links.

use super::*;
use crate::{
    Contact, ContactError, Image, ImageKind, LINK_IMAGE_BYTES_MAX, LINK_SUMMARY_BYTES_MAX, LINK_TITLE_BYTES_MAX, Link,
    Location, WebAddress,
    vcard::{CARD_BYTES_MAX, CardError},
};

const PNG: [u8; 8] = [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n'];
const CARD: &str = "BEGIN:VCARD\r\nVERSION:4.0\r\nFN:Jane Doe\r\nEMAIL:jane@example.org\r\nNOTE:kept\r\nEND:VCARD\r\n";

fn of(part: Part) -> Content {
    alice_to_bob(Kind::Message(Message { parts: vec![part], ..Message::default() }))
}

/// What a peer could write as a part.
fn with_part(part: wire::part::Part) -> Result<Content, DecodeError> {
    decode(&changed(&hello(), |wire| {
        let parts = vec![wire::Part { part: Some(part) }];
        wire.kind = Some(wire::content::Kind::Message(wire::Message { parts, ..wire::Message::default() }));
    }))
}

fn gate() -> Location {
    Location::new(525_163_000, 133_777_000).unwrap()
}

fn link(url: &str) -> Link {
    Link::new(WebAddress::parse(url).unwrap())
}

/// CON-40, CON-42, CON-45: with everything that they can have, and with nothing but what they must.
#[test]
fn parts_arrive_as_they_were_sent() {
    let full_link =
        link("https://example.org:8443/a?b#c").with_title("Title").unwrap().with_summary("What it is").unwrap();
    let image = Image::new([&PNG[..], &[0; 100]].concat()).unwrap();
    let parts = [
        Part::Location(gate()),
        Part::Location(gate().with_accuracy(10).unwrap().with_name("Brandenburg Gate").unwrap()),
        Part::Location(Location::new(-900_000_000, -1_800_000_000).unwrap()),
        Part::Contact(Contact::new(CARD).unwrap()),
        Part::Link(link("http://[2001:db8::1]/")),
        Part::Link(full_link.with_image(image).unwrap()),
    ];
    for part in parts.clone() {
        assert_eq!(decode(&encode(&of(part.clone())).unwrap()), Ok(of(part)));
    }
    let together = Message { parts: [&[Part::Text(Text::plain("look"))], &parts[..]].concat(), ..Message::default() };
    let together = alice_to_bob(Kind::Message(together));
    assert_eq!(decode(&encode(&together).unwrap()), Ok(together));
}

/// CON-40: there is no place beyond the earth.
#[test]
fn locations_are_bounded() {
    let wire = wire::Location { latitude_e7: 525_163_000, longitude_e7: 133_777_000, ..wire::Location::default() };
    let decoded = |change: &dyn Fn(&mut wire::Location)| {
        let mut wire = wire.clone();
        change(&mut wire);
        with_part(wire::part::Part::Location(wire))
    };
    assert_eq!(decoded(&|_| {}), Ok(of(Part::Location(gate()))));
    assert!(
        decoded(&|wire| wire.accuracy_m = 20_037_508).is_ok() && decoded(&|wire| wire.name = "x".repeat(256)).is_ok()
    );
    let refused: [&dyn Fn(&mut wire::Location); 8] = [
        &|wire| wire.latitude_e7 = 900_000_001,
        &|wire| wire.latitude_e7 = -900_000_001,
        &|wire| wire.latitude_e7 = i32::MIN,
        &|wire| wire.longitude_e7 = 1_800_000_001,
        &|wire| wire.longitude_e7 = i32::MIN,
        &|wire| wire.accuracy_m = 20_037_509,
        &|wire| wire.name = "two\nlines".into(),
        &|wire| wire.name = "x".repeat(257),
    ];
    for change in refused {
        assert_eq!(decoded(change), Err(DecodeError::Location));
    }
    assert_eq!(gate().with_accuracy(0), None);
}

/// CON-41: as RFC 5870 spells a point.
#[test]
fn a_location_is_a_geo_uri() {
    let spelled = |typed: &str| Location::parse(typed).map(|location| location.geo_uri());
    for (typed, uri) in [
        ("52.5163,13.3777", "geo:52.5163,13.3777"),
        (" +52.516300 , -13.0 ", "geo:52.5163,-13"),
        ("-0.0000001,180", "geo:-0.0000001,180"),
        ("0,0", "geo:0,0"),
        ("1.23456789012,2", "geo:1.2345678,2"),
        ("-90,-180,The end, they say", "geo:-90,-180"),
    ] {
        assert_eq!(spelled(typed).as_deref(), Some(uri), "{typed}");
    }
    assert_eq!(Location::parse("1,2, The end, they say").unwrap().name(), Some("The end, they say"));
    assert_eq!(gate().with_accuracy(10).unwrap().geo_uri(), "geo:52.5163,13.3777;u=10");
    for typed in [
        "",
        "1",
        "1,",
        ",1",
        "90.1,0",
        "0,180.0000001",
        "1e1,2",
        "1.,2",
        ".5,2",
        "--1,2",
        "0x1,2",
        "1,2,",
        "1,2,\u{7}",
        "99999999999,0",
    ] {
        assert_eq!(spelled(typed), None, "{typed:?}");
    }
}

/// CON-42: one card, within its bound, kept as it is.
#[test]
fn contacts_are_cards() {
    let card = |card: &str| with_part(wire::part::Part::Contact(wire::Contact { card: card.into() }));
    let Ok(Content { kind: Kind::Message(message), .. }) = card(CARD) else { panic!("a message") };
    let [Part::Contact(contact)] = &message.parts[..] else { panic!("a contact") };
    assert_eq!((contact.as_vcard(), contact.card().name.as_str()), (CARD, "Jane Doe"));
    let refused = |error| Err(DecodeError::Contact(error));
    assert_eq!(card(""), refused(ContactError::Card(CardError::NotOne(0))));
    assert_eq!(card(&CARD.repeat(2)), refused(ContactError::Card(CardError::NotOne(2))));
    let of_length = |bytes: usize| {
        let mut lines = CARD.to_owned();
        while lines.len() < bytes {
            // A line takes at least `X:` and a line break.
            let left = bytes - lines.len();
            let more = if left > 80 { 75 } else { left };
            lines.insert_str(lines.len() - 11, &format!("X:{}\r\n", "x".repeat(more - 4)));
        }
        lines
    };
    let longest = of_length(CARD_BYTES_MAX);
    assert_eq!(longest.len(), CARD_BYTES_MAX);
    assert!(card(&longest).is_ok());
    let longer = format!("{longest}\n");
    assert_eq!(card(&longer), refused(ContactError::TooLarge(CARD_BYTES_MAX + 1)));
    // A photo is left out of a card that would be too large with it.
    let photo = CARD.replace("NOTE", &format!("PHOTO:data:image/png,{}\r\nNOTE", "x".repeat(9_000)));
    assert_eq!(Contact::of_file(photo.as_bytes()), Ok(Contact::new(CARD).unwrap()));
    let small_photo = CARD.replace("NOTE", "PHOTO:data:image/png,x\r\nNOTE");
    assert_eq!(Contact::of_file(small_photo.as_bytes()).unwrap().as_vcard(), small_photo);
}

/// CON-45: what leads elsewhere than it seems, or nowhere, is no link.
#[test]
fn links_are_addresses_of_the_web() {
    for url in [
        "https://example.org",
        "http://example.org/",
        "https://example.org:1/x?y=[z]&w=%20#f",
        "https://192.0.2.1/",
        "https://[::1]:65535/",
        "https://xn--mnchen-3ya.de/",
        "https://a_b.example.org?x@y",
    ] {
        assert_eq!(WebAddress::parse(url).map(|url| url.as_str().to_owned()).as_deref(), Some(url));
    }
    let long = format!("https://example.org/{}", "x".repeat(2_029));
    for url in [
        "",
        "example.org",
        "ftp://example.org",
        "HTTPS://example.org",
        "https://",
        "https:///x",
        "https://user@example.org/",
        "https://user:pw@example.org/",
        "https://example.org:0/",
        "https://example.org:65536/",
        "https://example.org:/",
        "https://[::1",
        "https://[x]/",
        "https://exa mple.org/",
        "https://example.org/\u{e9}",
        "https://example.org/\"",
        "https://example.org\\x",
        "https://münchen.de/",
        "javascript:alert(1)",
        "https://example.org/\u{202e}",
        "https://:80/",
        &long,
    ] {
        assert_eq!(WebAddress::parse(url), None, "{url}");
        let wire = wire::Link { url: url.into(), ..wire::Link::default() };
        assert_eq!(with_part(wire::part::Part::Link(wire)), Err(DecodeError::Link), "{url}");
    }
    assert_eq!(WebAddress::parse("https://[::1]:8443/x").unwrap().host(), "[::1]");
    assert_eq!(WebAddress::parse("http://a.example.org:80?x").unwrap().host(), "a.example.org");
}

/// CON-45, CON-46: exactly so much, and no more.
#[test]
fn links_are_bounded() {
    let url = "https://example.org/".to_owned();
    let wire = |title: String, summary: String, image: Vec<u8>| {
        with_part(wire::part::Part::Link(wire::Link { url: url.clone(), title, summary, image: image.into() }))
    };
    let (title, summary) = ("x".repeat(LINK_TITLE_BYTES_MAX), "x".repeat(LINK_SUMMARY_BYTES_MAX));
    let image = [&PNG[..], &vec![0; LINK_IMAGE_BYTES_MAX - PNG.len()]].concat();
    assert!(wire(title.clone(), summary.clone(), image.clone()).is_ok());
    assert_eq!(wire(format!("{title}x"), String::new(), vec![]), Err(DecodeError::Link));
    assert_eq!(wire("a\u{1b}".into(), String::new(), vec![]), Err(DecodeError::Link));
    assert_eq!(wire(String::new(), format!("{summary}x"), vec![]), Err(DecodeError::Link));
    assert_eq!(wire(String::new(), String::new(), [image, vec![0]].concat()), Err(DecodeError::Link));
    // What a later version draws is left out.
    assert_eq!(wire(String::new(), String::new(), b"\0\0\0\x1cftypavif".to_vec()), Ok(of(Part::Link(link(&url)))));
    for (bytes, kind) in [
        (&PNG[..], ImageKind::Png),
        (&[0xff, 0xd8, 0xff, 0xe0], ImageKind::Jpeg),
        (b"RIFF\x04\0\0\0WEBP", ImageKind::Webp),
    ] {
        assert_eq!(Image::new(bytes).map(|image| image.kind()), Some(kind));
        assert_eq!(Image::new(&bytes[..bytes.len() - 2]), None);
    }
}

/// CON-50: an address that stands alone, or last in a text.
#[test]
fn an_address_is_found_at_the_end_of_a_text() {
    for (text, found) in [
        ("https://example.org", Some("https://example.org")),
        ("look: HTTPS://Example.ORG/A, ", Some("https://example.org/A")),
        ("(see http://example.org/x_(y)).\n", Some("http://example.org/x_(y)")),
        ("<https://de.example.org/wiki/Köln>", Some("https://de.example.org/wiki/K%C3%B6ln")),
        ("is it https://example.org/?q=1&r=2?", Some("https://example.org/?q=1&r=2")),
        ("https://example.org and more", None),
        ("example.org", None),
        ("ftp://example.org", None),
        ("https://münchen.de", None),
        ("https://me@example.org", None),
        ("https://)", None),
        ("", None),
    ] {
        assert_eq!(WebAddress::at_end_of(text).map(|url| url.as_str().to_owned()).as_deref(), found, "{text}");
    }
}

/// CON-48: where a page says that another one is, and what a server is asked for.
#[test]
fn references_lead_from_page_to_page() {
    let page = WebAddress::parse("https://example.org:8443/a/b?c#d").unwrap();
    for (reference, found) in [
        ("HTTP://Other.example.org/x", Some("http://Other.example.org/x")),
        ("//other.example.org/x", Some("https://other.example.org/x")),
        ("/x?y#z", Some("https://example.org:8443/x?y")),
        ("x/y:z", Some("https://example.org:8443/a/x/y:z")),
        (" ?q ", Some("https://example.org:8443/a/b?q")),
        ("", Some("https://example.org:8443/a/b")),
        ("//user@example.org/", None),
        ("ftp://example.org/", None),
        ("javascript:alert(1)", None),
        ("data:text/html,x", None),
        ("https:x", None),
        ("a b", None),
        ("//", None),
    ] {
        assert_eq!(page.join(reference).map(|url| url.as_str().to_owned()).as_deref(), found, "{reference}");
    }
    let root = WebAddress::parse("http://example.org?q").unwrap();
    assert_eq!(root.join("x").unwrap().as_str(), "http://example.org/x");
    let asked = |url: &str| {
        let url = WebAddress::parse(url).unwrap();
        (url.is_https(), url.authority().to_owned(), url.port(), url.path_and_query())
    };
    let expected = |tls, authority: &str, port, path: &str| (tls, authority.to_owned(), port, path.to_owned());
    assert_eq!(asked("https://example.org:8443/a/b?c#d"), expected(true, "example.org:8443", 8443, "/a/b?c"));
    assert_eq!(asked("http://example.org?q"), expected(false, "example.org", 80, "/?q"));
    assert_eq!(asked("https://[2001:db8::1]#x"), expected(true, "[2001:db8::1]", 443, "/"));
}

/// I9: no content in a log line.
#[test]
fn parts_are_redacted() {
    let link = link("https://secret.example.org").with_title("secret").unwrap();
    let parts = vec![
        Part::Location(gate().with_name("secret").unwrap()),
        Part::Contact(Contact::new(CARD.replace("Jane Doe", "secret")).unwrap()),
        Part::Link(link.with_image(Image::new(PNG).unwrap()).unwrap()),
    ];
    let printed = format!("{:?}", Message { parts, ..Message::default() });
    assert!(!printed.contains("secret") && !printed.contains("5163") && !printed.contains("137"), "{printed}");
}

fn any_part() -> impl Strategy<Value = Part> {
    let line = "[ -~ä-ü]{0,60}";
    let location = (-900_000_000..=900_000_000, -1_800_000_000..=1_800_000_000, 0_u32..=20_037_508, line).prop_map(
        |(latitude, longitude, meters, name)| {
            let point = Location::new(latitude, longitude).unwrap();
            let point = point.clone().with_accuracy(meters).unwrap_or(point);
            Part::Location(point.clone().with_name(name).unwrap_or(point))
        },
    );
    let link = ("[a-z]{1,20}", "[!#-;=?-Z^-z]{0,40}", line, line, any::<bool>()).prop_map(
        |(host, path, title, summary, has_image)| {
            let link = Link::new(WebAddress::parse(&format!("https://{host}/{}", path.replace('`', ""))).unwrap());
            let link = link.clone().with_title(title).unwrap_or(link);
            let link = link.clone().with_summary(summary).unwrap_or(link);
            Part::Link(if has_image { link.with_image(Image::new(PNG).unwrap()).unwrap() } else { link })
        },
    );
    let text = "[ -~ä-ü☃]{1,40}".prop_map(|text| Part::Text(Text::plain(text)));
    let contact = "[a-z]{1,30}".prop_map(|name| Part::Contact(Contact::new(CARD.replace("Jane Doe", &name)).unwrap()));
    prop_oneof![location, link, text, contact]
}

proptest! {
    /// CON-40 to CON-46: whatever is sent arrives as it was; one changed byte is an error or well-formed, never a panic.
    #[test]
    fn all_parts_arrive(parts in proptest::collection::vec(any_part(), 1..6), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let content = alice_to_bob(Kind::Message(Message { parts, ..Message::default() }));
        let mut bytes = encode(&content).unwrap();
        prop_assert_eq!(decode(&bytes), Ok(content));
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(content) = decode(&bytes)
            && let Ok(again) = encode(&content)
        {
            prop_assert_eq!(decode(&again), Ok(content));
        }
    }

    /// CON-41: a point that is spelled is the same point.
    #[test]
    fn a_spelled_point_is_the_same(latitude in -900_000_000..=900_000_000, longitude in -1_800_000_000..=1_800_000_000) {
        let point = Location::new(latitude, longitude).unwrap();
        let spelled = point.geo_uri();
        prop_assert_eq!(Location::parse(spelled.strip_prefix("geo:").unwrap()), Some(point));
    }
}
