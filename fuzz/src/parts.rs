//! What a message carries besides text: cards, places, links, and pages of the web before they are a link.
//!
//! - What is taken of a card can be written, and reads as it was (CON-43, CON-44).
//! - A place that is spelled is the same place (CON-41).
//! - An address is found in a text only if it is one, and leads where it says (CON-45, CON-50).
//! - What is taken of a page fits a link (CON-50).
//! - A message with such parts that was read can be written, and reads as it was.

use halcyon_content::{
    Contact, Content, ConversationMembers, Image, Kind, Link, Location, Message, Naming, Page, Part, Text, WebAddress,
    decode, encode, for_display,
    vcard::{
        self, CARD_ADDRESSES_MAX, CARD_LABEL_BYTES_MAX, CARD_TEXT_BYTES_MAX, Card, Version, read_all, without_media,
    },
};
use halcyon_types::MessageId;

use crate::{
    input::Input,
    people::{ALICE, BOB, NOW},
};

/// Reads the first byte as the choice of a part, and the rest as it.
pub fn target(data: &[u8]) {
    let mut input = Input::new(data);
    match input.choice(5) {
        0 => cards(input.rest()),
        1 => place(&String::from_utf8_lossy(input.rest())),
        2 => address(&String::from_utf8_lossy(input.rest())),
        3 => page(input.rest()),
        _ => message(input.rest()),
    }
}

fn place(typed: &str) {
    let Some(place) = Location::parse(typed) else { return };
    let spelled = place.geo_uri();
    let again = Location::parse(spelled.strip_prefix("geo:").unwrap()).unwrap();
    assert_eq!((again.latitude_e7(), again.longitude_e7()), (place.latitude_e7(), place.longitude_e7()), "CON-41");
}

fn address(text: &str) {
    if let Some(url) = WebAddress::at_end_of(text) {
        assert_eq!(WebAddress::parse(url.as_str()).as_ref(), Some(&url), "CON-45");
        let longer = WebAddress::at_end_of(&format!("see {}/x", url.as_str()));
        assert!(longer.is_none_or(|longer| longer.host() == url.host()), "CON-50");
    }
    if let Some(url) = WebAddress::parse(text) {
        assert!(text.contains(&format!("://{}", url.host())) && !url.host().contains(['@', '/', '?', '#']), "CON-45");
        assert_eq!(for_display(text), text, "an address is plain");
    }
}

fn page(html: &[u8]) {
    let Page { title, summary, .. } = Page::read(html);
    let link = Link::new(WebAddress::parse("https://example.org/").unwrap());
    let link = title.map_or(Some(link.clone()), |title| link.with_title(title));
    link.and_then(|link| summary.map_or(Some(link.clone()), |summary| link.with_summary(summary))).expect("CON-50");
}

fn message(plaintext: &[u8]) {
    let Ok(content) = decode(plaintext) else { return };
    let parts = match &content.kind {
        Kind::Message(message) => &message.parts[..],
        Kind::Naming(naming) => {
            assert!(naming.name().is_some() || naming.photo().is_none(), "CON-51");
            &[]
        }
        _ => return,
    };
    for part in parts {
        match part {
            Part::Contact(contact) => assert!(vcard::read(contact.as_vcard().as_bytes()).is_ok(), "CON-42"),
            Part::Location(place) => self::place(place.geo_uri().strip_prefix("geo:").unwrap()),
            Part::Link(link) => address(link.address().as_str()),
            _ => {}
        }
    }
    if let Ok(encoded) = encode(&content) {
        assert_eq!(decode(&encoded), Ok(content), "a message decodes to itself");
    }
}

fn cards(text: &[u8]) {
    for card in read_all(text).unwrap().into_iter().flatten() {
        let lines = [Some(&card.name), card.organization.as_ref()].into_iter().flatten();
        for line in lines.chain(card.addresses.iter().map(|address| &address.text)) {
            assert!((1..=CARD_TEXT_BYTES_MAX).contains(&line.len()) && !line.contains(char::is_control), "CON-44");
        }
        let labels = card.addresses.iter().filter_map(|address| address.label.as_ref());
        assert!(labels.into_iter().all(|label| label.len() <= CARD_LABEL_BYTES_MAX), "CON-44");
        assert!(card.addresses.len() <= CARD_ADDRESSES_MAX && card.handles().len() <= CARD_ADDRESSES_MAX, "CON-44");
        for version in [Version::V3, Version::V4] {
            let written = vcard::write(&card, version).unwrap();
            assert_eq!(vcard::read(written.as_bytes()).as_ref(), Ok(&card), "a card reads as it was");
        }
    }
    if let Ok(card) = vcard::read(text) {
        assert_eq!(vcard::read(without_media(text).unwrap().as_bytes()), Ok(card), "media say nothing of it");
    }
}

/// Cards as programs write them, and what people and pages say.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let ours: Card = vcard::read(CARDS[0].as_bytes()).unwrap();
    let both = [Version::V3, Version::V4].map(|version| vcard::write(&ours, version).unwrap());
    let cards = CARDS.iter().map(|card| (*card).to_owned()).chain(both).chain([CARDS.concat()]);
    let mut seeds: Vec<Vec<u8>> = cards.map(|text| [&[0], text.as_bytes()].concat()).collect();
    let texts: [(u8, &str); 7] = [
        (1, "52.5163,13.3777,Brandenburg Gate"),
        (1, "-0.0000001, +180"),
        (2, "look: HTTPS://Example.org:8443/K\u{f6}ln_(x))."),
        (2, "http://[2001:db8::1]/?q=1#f"),
        (2, "https://user:pw@example.org/"),
        (3, PAGE),
        (3, "<meta name=description content='a &amp; b'><!-- x --><title>&#x1F98A;</title"),
    ];
    seeds.extend(texts.map(|(kind, text)| [&[kind], text.as_bytes()].concat()));
    let photo = Image::new(*b"\xff\xd8\xff\xe0").unwrap();
    let named = Naming::new("Al").unwrap().with_photo(photo).unwrap();
    let contents = [of_all_parts(), Kind::Naming(named), Kind::Naming(Naming::nothing())];
    seeds.extend(contents.into_iter().map(|kind| [&[4], &encoded(kind)[..]].concat()));
    seeds
}

fn of_all_parts() -> Kind {
    let place = Location::new(525_163_000, 133_777_000).unwrap().with_accuracy(10).unwrap();
    let link = Link::new(WebAddress::parse("https://example.org/").unwrap());
    let link = link.with_title("A title").unwrap().with_summary("A summary").unwrap();
    let parts = vec![
        Part::Text(Text::plain("all of it")),
        Part::Location(place.with_name("Brandenburg Gate").unwrap()),
        Part::Contact(Contact::new(CARDS[0]).unwrap()),
        Part::Link(link.with_image(Image::new(*b"\x89PNG\r\n\x1a\n").unwrap()).unwrap()),
    ];
    Kind::Message(Message { parts, ..Message::default() })
}

fn encoded(kind: Kind) -> Vec<u8> {
    let members = ConversationMembers::new(ALICE.handle.clone(), [BOB.handle.clone()]).unwrap();
    let message_id = MessageId::from_bytes([7; 16]);
    encode(&Content { message_id, sent: NOW, members, kind, place: None }).unwrap()
}

const PAGE: &str = "<!DOCTYPE html><HTML><head><script>'<title>no</title>'</script><TITLE>A &amp; B</TITLE>\
    <meta property=\"og:description\" content='The &#8220;best'><META NAME=x PROPERTY = og:image CONTENT = /a.png?x&amp;y></head><body>";

const CARDS: [&str; 4] = [
    "BEGIN:VCARD\r\nVERSION:3.0\r\nN:Doe;J\\,ane;;Dr.;\r\nFN:Dr. J\r\n \\, Doe\r\nORG:Sea\\;Sky;Boats\r\n\
     item1.EMAIL;type=INTERNET;type=HOME;type=pref:jane@example.org\r\nitem1.X-ABLabel:_$!<Home>!$_\r\n\
     TEL;TYPE=CELL,VOICE:+1 (555) 123-4567\r\nPHOTO;ENCODING=b;TYPE=JPEG:/9j/4AAQ\r\nEND:VCARD\r\n",
    "BEGIN:VCARD\nVERSION:4.0\nFN:Simon\nTEL;VALUE=uri;PREF=1;TYPE=\"voice,cell\":tel:+1-418-262-6501\n\
     EMAIL;TYPE=work:mailto:simon@example.org\nKEY;VALUE=uri:https://example.org/key\nEND:VCARD",
    "\u{feff}begin:vcard\nversion:2.1\nFN;ENCODING=QUOTED-PRINTABLE:=41\nend:vcard\n",
    "BEGIN:VCARD\r\nVERSION:4.0\r\nFN:ä\r\nNOTE:a\\nb\\\\\r\nBEGIN:VCARD\r\n",
];
