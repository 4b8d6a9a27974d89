//! Cards as programs write them, as people break them, and as nobody would.

use halcyon_types::{Handle, HandleKind};
use proptest::prelude::*;

use super::{
    Address, CARD_ADDRESSES_MAX, CARD_PROPERTIES_MAX, CARD_TEXT_BYTES_MAX, Card, CardError, Version, read, read_all,
    without_media, write,
};

fn address(kind: HandleKind, text: &str, label: Option<&str>) -> Address {
    Address { kind, text: text.to_owned(), label: label.map(str::to_owned) }
}

fn card_of(lines: &str) -> Result<Card, CardError> {
    read(format!("BEGIN:VCARD\r\nVERSION:4.0\r\n{lines}\r\nEND:VCARD\r\n").as_bytes())
}

/// CON-44: a card as an address book of a telephone exports it: groups, types in both cases, folding, a photo, fields of its own.
#[test]
fn a_card_of_version_3_is_read() {
    let text = "BEGIN:VCARD\r\n\
        VERSION:3.0\r\n\
        PRODID:-//Somebody//Book 1.2//EN\r\n\
        N:Ní Bhriain;Bríd;;Dr.;\r\n\
        FN:Dr. Bríd Ní Bh\r\n riain\r\n\
        ORG:Sea\\, Sky\\; and Co.;Boats;\r\n\
        item1.EMAIL;type=INTERNET;type=WORK:work@Example.ORG\r\n\
        item1.X-ABLabel:_$!<Work>!$_\r\n\
        EMAIL;type=INTERNET;type=HOME;type=pref:brid@example.org\r\n\
        TEL;TYPE=CELL,VOICE:+353 (87) 123-4567\r\n\
        TEL;TYPE=home:01 234\r\n\
        TEL:\r\n\
        PHOTO;ENCODING=b;TYPE=JPEG:/9j/4AAQSkZJRgABAQAAAQABAAD/\r\n 2wBDAAgG\r\n\
        END:VCARD\r\n";
    let card = read(text.as_bytes()).unwrap();
    assert_eq!(card.name, "Dr. Bríd Ní Bhriain");
    assert_eq!(card.organization.as_deref(), Some("Sea, Sky; and Co., Boats"));
    let expected = [
        address(HandleKind::Email, "brid@example.org", Some("home")),
        address(HandleKind::Email, "work@Example.ORG", Some("work")),
        address(HandleKind::Phone, "+353 (87) 123-4567", Some("cell")),
        address(HandleKind::Phone, "01 234", Some("home")),
    ];
    assert_eq!(card.addresses, expected);
    let handles = ["brid@example.org", "work@example.org", "+353871234567"].map(|uri| Handle::parse(uri).unwrap());
    assert_eq!(card.handles(), handles, "what has no country is nobody's handle");
    // Line breaks of other systems, and a byte order mark, change nothing.
    assert_eq!(read(format!("\u{feff}{}", text.replace("\r\n", "\n")).as_bytes()).as_ref(), Ok(&card));
    let slim = without_media(text.as_bytes()).unwrap();
    assert!(!slim.contains("PHOTO") && !slim.contains("2wBD") && slim.contains("X-ABLabel"), "{slim}");
    assert_eq!(read(slim.as_bytes()), Ok(card));
}

/// CON-44: the card of RFC 6350 §8, and addresses that are URIs.
#[test]
fn a_card_of_version_4_is_read() {
    let card = card_of(
        "FN:Simon Perreault\r\nN:Perreault;Simon;;;ing. jr,M.Sc.\r\nBDAY:--0203\r\nGENDER:M\r\nLANG;PREF=1:fr\r\n\
         ORG;TYPE=work:Viagenie\r\n\
         TEL;VALUE=uri;TYPE=\"work,voice\":tel:+1-418-656-9254;ext=102\r\n\
         TEL;VALUE=uri;PREF=1;TYPE=\"voice,cell\":TEL:+1-418-262-6501\r\n\
         EMAIL;TYPE=work:simon.perreault@viagenie.ca\r\n\
         GEO;TYPE=work:geo:46.772673,-71.282945\r\nKEY;TYPE=work;VALUE=uri:http://www.viagenie.ca/simon.asc\r\n\
         TZ:-0500\r\nURL;TYPE=home:http://nomis80.org",
    )
    .unwrap();
    let expected = [
        address(HandleKind::Phone, "+1-418-262-6501", Some("cell")),
        address(HandleKind::Phone, "+1-418-656-9254;ext=102", Some("work")),
        address(HandleKind::Email, "simon.perreault@viagenie.ca", Some("work")),
    ];
    assert_eq!(card.addresses, expected);
    assert_eq!((card.name.as_str(), card.organization.as_deref()), ("Simon Perreault", Some("Viagenie")));
    assert_eq!(card.handles().len(), 2);
    let again = card_of("FN:x\r\nTEL:tel: tel:1\r\nEMAIL:Mailto:a@example.org\r\nTEL:mailto:2").unwrap();
    assert_eq!(
        again.addresses.iter().map(|one| one.text.as_str()).collect::<Vec<_>>(),
        ["1", "a@example.org", "mailto:2"]
    );
}

/// CON-44: a name is one line, and comes from its parts if nothing else says it.
#[test]
fn a_name_is_found_or_missed() {
    assert_eq!(card_of("N:Doe;Jane;Q.;;Jr.").unwrap().name, "Jane Q. Doe Jr.");
    assert_eq!(card_of("FN:\r\nN:Doe;Jane").unwrap().name, "Jane Doe");
    assert_eq!(card_of("FN: two\\nlines  wide ").unwrap().name, "two lines wide");
    assert_eq!(card_of("FN:first\r\nFN:second").unwrap().name, "first");
    assert_eq!(card_of("NOTE:x"), Err(CardError::NoName(1)));
    assert_eq!(card_of("N:;;;;"), Err(CardError::NoName(1)));
}

/// CON-43: what is not a card of these versions is refused, and the line is named.
#[test]
fn what_is_no_card_is_refused() {
    for line in [
        "no colon",
        ":x",
        "FN",
        "FN;:x",
        "FN;X:x",
        ".FN:x",
        "a.b.FN:x",
        "FN;X=\"y:x",
        "FN;X=y\"z:x",
        " FN:x",
        "FN:a\\x",
        "FN:a\\",
        "FN:\u{1b}[2J",
        "FN:a\rb",
        "FN;ENCODING=QUOTED-PRINTABLE:=41",
        "TEL:\\q",
        "F N:x",
        "VERSION:4.0",
    ] {
        let lines = format!("NOTE:before\r\n{line}");
        let folded = line.starts_with(' ');
        let expected = if folded { CardError::NoName(1) } else { CardError::Malformed(4) };
        assert_eq!(card_of(&lines), Err(expected), "{line:?}");
    }
    assert_eq!(read(b"BEGIN:VCARD\nVERSION:3.0\nFN:\xff\nEND:VCARD"), Err(CardError::Malformed(3)));
    for version in ["2.1", "4.1", "", "3"] {
        let text = format!("BEGIN:VCARD\nVERSION:{version}\nFN:x\nEND:VCARD");
        assert_eq!(read(text.as_bytes()), Err(CardError::Version(1)), "{version:?}");
    }
    assert_eq!(read(b"BEGIN:VCARD\nFN:x\nEND:VCARD"), Err(CardError::Version(1)));
    assert_eq!(read(b"BEGIN:VCARD\nVERSION:4.0\nFN:x\n"), Err(CardError::NoEnd(1)));
    assert_eq!(read(b"hello"), Err(CardError::NoBeginning(1)));
    assert_eq!(read(b"\r\n\n"), Err(CardError::NotOne(0)));
    let nested = "FN:x\nBEGIN:VCARD\nVERSION:4.0\nFN:y\nEND:VCARD";
    assert_eq!(card_of(nested), Err(CardError::NotOne(3)));
}

/// CON-43: exactly so much, and no more.
#[test]
fn cards_are_bounded() {
    let lines = |line: &str, count: usize| vec![line; count].join("\n");
    let fits = card_of(&format!("FN:x\n{}", lines("TEL:1", CARD_ADDRESSES_MAX))).unwrap();
    assert_eq!(fits.addresses.len(), CARD_ADDRESSES_MAX);
    let addresses = Err(CardError::Bound(1, "addresses"));
    assert_eq!(card_of(&format!("FN:x\n{}", lines("TEL:1", CARD_ADDRESSES_MAX + 1))), addresses);
    let long = |bytes: usize| "y".repeat(bytes);
    assert!(card_of(&format!("FN:x\nEMAIL:{}", long(CARD_TEXT_BYTES_MAX))).is_ok());
    assert_eq!(card_of(&format!("FN:x\nEMAIL:{}", long(CARD_TEXT_BYTES_MAX + 1))), addresses);
    let names = Err(CardError::Bound(1, "names"));
    assert!(card_of(&format!("FN:{}", long(CARD_TEXT_BYTES_MAX))).is_ok());
    assert_eq!(card_of(&format!("FN:{}", long(CARD_TEXT_BYTES_MAX + 1))), names);
    assert_eq!(card_of(&format!("FN:x\nORG:{}", long(CARD_TEXT_BYTES_MAX + 1))), names);
    // VERSION, FN and END are lines, too.
    assert!(card_of(&format!("FN:x\n{}", lines("X:1", CARD_PROPERTIES_MAX - 3))).is_ok());
    let properties = Err(CardError::Bound(1, "properties"));
    assert_eq!(card_of(&format!("FN:x\n{}", lines("X:1", CARD_PROPERTIES_MAX - 2))), properties);
    let parameters = |count: usize| card_of(&format!("FN{}:x", ";X=1".repeat(count)));
    assert!(parameters(64).is_ok());
    assert_eq!(parameters(65), Err(CardError::Malformed(3)));
}

/// A broken card does not keep the others of a file from being read.
#[test]
fn a_file_of_cards_is_read_as_far_as_it_can_be() {
    let good = |name: &str| format!("BEGIN:VCARD\nVERSION:3.0\nFN:{name}\nEND:VCARD\n");
    let broken = "BEGIN:VCARD\nVERSION:3.0\nFN\nTEL:1\nEND:VCARD\n";
    let cut = "begin:vcard\nversion:3.0\n";
    let text = [good("a"), broken.into(), "\n".into(), cut.into(), good("b"), "garbage\n".into(), good("c")].concat();
    let read = read_all(text.as_bytes()).unwrap();
    let names: Vec<_> = read.iter().map(|card| card.as_ref().map(|card| card.name.as_str())).collect();
    assert_eq!(
        names,
        [
            Ok("a"),
            Err(&CardError::Malformed(7)),
            Err(&CardError::NoEnd(11)),
            Ok("b"),
            Err(&CardError::NoBeginning(17)),
            Ok("c")
        ]
    );
}

/// CON-43: what could not be read again is not written.
#[test]
fn what_is_written_can_be_read() {
    let plain = |name: &str| Card { name: name.into(), addresses: vec![], organization: None };
    let with = |address: Address| Card { addresses: vec![address], ..plain("x") };
    for card in [
        plain(""),
        plain("two\nlines"),
        plain(" x"),
        plain(&"x".repeat(CARD_TEXT_BYTES_MAX + 1)),
        Card { organization: Some(String::new()), ..plain("x") },
        with(address(HandleKind::Email, "", None)),
        with(address(HandleKind::Email, "MAILTO:a@example.org", None)),
        with(address(HandleKind::Phone, "1", Some("Home"))),
        with(address(HandleKind::Phone, "1", Some("pref"))),
        with(address(HandleKind::Phone, "1", Some("a:b"))),
        Card { addresses: vec![address(HandleKind::Phone, "1", None); CARD_ADDRESSES_MAX + 1], ..plain("x") },
    ] {
        assert!(matches!(write(&card, Version::V4), Err(CardError::Bound(..))), "{:?}", card.name);
    }
    let card = Card {
        name: "Jane Doe; the \\first, ünd löngest nämé thät is földéd ön its wäy, änd réads as bèfore".into(),
        addresses: vec![
            address(HandleKind::Email, "jane@example.org", Some("home")),
            address(HandleKind::Phone, "+15551234567", None),
        ],
        organization: Some("A, B; C".into()),
    };
    assert_eq!(
        write(&card, Version::V4).unwrap(),
        "BEGIN:VCARD\r\n\
        VERSION:4.0\r\n\
        FN:Jane Doe\\; the \\\\first\\, ünd löngest nämé thät is földéd ön its \r\n\x20wäy\\, \
        änd réads as bèfore\r\n\
        ORG:A\\, B\\; C\r\n\
        EMAIL;TYPE=home:jane@example.org\r\n\
        TEL:+15551234567\r\n\
        END:VCARD\r\n"
    );
    assert!(write(&card, Version::V3).unwrap().contains("\r\nN:Jane Doe\\; the"));
}

/// I9: no content in a log line.
#[test]
fn debug_is_redacted() {
    let card = card_of("FN:Jane\nEMAIL:jane@example.org").unwrap();
    let printed = format!("{card:?} {:?}", card.addresses);
    assert!(!printed.contains("Jane") && !printed.contains("jane"), "{printed}");
}

fn line_of_text() -> impl Strategy<Value = String> {
    "[ -~ä-ü☃]{1,40}".prop_map(|text| super::one_line(&text)).prop_filter("not empty", |text| !text.is_empty())
}

fn any_card() -> impl Strategy<Value = Card> {
    let label = proptest::option::of("[a-z0-9-]{1,32}").prop_map(|label| label.filter(|label| super::is_label(label)));
    let kind = any::<bool>().prop_map(|email| if email { HandleKind::Email } else { HandleKind::Phone });
    let address = (kind, line_of_text(), label)
        .prop_map(|(kind, text, label)| Address { kind, text, label })
        .prop_filter("bare", |address| super::without_scheme(address.kind, &address.text) == address.text);
    let addresses = proptest::collection::vec(address, 0..5);
    (line_of_text(), addresses, proptest::option::of(line_of_text())).prop_map(|(name, addresses, organization)| Card {
        name,
        addresses,
        organization,
    })
}

proptest! {
    /// CON-43: a card that was written reads as it was, in both versions, wherever somebody folds it, and without media.
    #[test]
    fn cards_arrive_as_they_were(card in any_card(), at in any::<prop::sample::Index>()) {
        for version in [Version::V3, Version::V4] {
            let text = write(&card, version).unwrap();
            prop_assert!(text.split("\r\n").all(|line| line.len() <= 75));
            prop_assert_eq!(read(text.as_bytes()), Ok(card.clone()));
            prop_assert_eq!(without_media(text.as_bytes()), Ok(text.clone()));
            // Between any two bytes but those of a line break or of a fold that is there, even within a character.
            let mut bytes = text.into_bytes();
            let at = 1 + at.index(bytes.len() - 1);
            if !bytes[at - 1..=at].iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
                bytes.splice(at..at, *b"\r\n\t");
                prop_assert_eq!(read(&bytes), Ok(card.clone()));
            }
        }
    }

    /// CON-43: nothing that somebody writes makes the reader panic, and what it takes can be written.
    #[test]
    fn nothing_makes_the_reader_panic(
        lines in proptest::collection::vec("[A-Z.;:=,\"\\\\a-z \u{0}-\u{ff}]{0,40}", 0..8),
        bytes in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let text = format!("BEGIN:VCARD\r\nVERSION:4.0\r\nFN:x\r\n{}\r\nEND:VCARD", lines.join("\r\n"));
        for text in [text.as_bytes(), &bytes] {
            for card in read_all(text).unwrap().into_iter().flatten() {
                prop_assert_eq!(read(write(&card, Version::V4).unwrap().as_bytes()), Ok(card));
            }
        }
    }
}
