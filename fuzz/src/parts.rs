//! What a message carries besides text: cards.
//!
//! - What is taken of a card can be written, and reads as it was (CON-43, CON-44).

use halcyon_content::vcard::{
    self, CARD_ADDRESSES_MAX, CARD_LABEL_BYTES_MAX, CARD_TEXT_BYTES_MAX, Card, Version, read_all, without_media,
};

use crate::input::Input;

/// Reads the first byte as the choice of a part, and the rest as it.
pub fn target(data: &[u8]) {
    let mut input = Input::new(data);
    let _ = input.choice(4);
    cards(input.rest());
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

/// Cards as programs write them.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let ours: Card = vcard::read(CARDS[0].as_bytes()).unwrap();
    let both = [Version::V3, Version::V4].map(|version| vcard::write(&ours, version).unwrap());
    let cards = CARDS.iter().map(|card| (*card).to_owned()).chain(both).chain([CARDS.concat()]);
    cards.map(|text| [&[0], text.as_bytes()].concat()).collect()
}

const CARDS: [&str; 4] = [
    "BEGIN:VCARD\r\nVERSION:3.0\r\nN:Doe;J\\,ane;;Dr.;\r\nFN:Dr. J\r\n \\, Doe\r\nORG:Sea\\;Sky;Boats\r\n\
     item1.EMAIL;type=INTERNET;type=HOME;type=pref:jane@example.org\r\nitem1.X-ABLabel:_$!<Home>!$_\r\n\
     TEL;TYPE=CELL,VOICE:+1 (555) 123-4567\r\nPHOTO;ENCODING=b;TYPE=JPEG:/9j/4AAQ\r\nEND:VCARD\r\n",
    "BEGIN:VCARD\nVERSION:4.0\nFN:Simon\nTEL;VALUE=uri;PREF=1;TYPE=\"voice,cell\":tel:+1-418-262-6501\n\
     EMAIL;TYPE=work:mailto:simon@example.org\nKEY;VALUE=uri:https://example.org/key\nEND:VCARD",
    "\u{feff}begin:vcard\nversion:2.1\nFN;ENCODING=QUOTED-PRINTABLE:=41\nend:vcard\n",
    "BEGIN:VCARD\r\nVERSION:4.0\r\nFN:ä\r\nNOTE:a\\nb\\\\\r\nBEGIN:VCARD\r\n",
];
