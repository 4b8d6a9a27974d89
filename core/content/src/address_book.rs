//! Reads a file of vCards, 3.0 or 4.0 (RFC 2426, RFC 6350), as address books write them. Spec: 52-own-devices.md (OWN-8).
//!
//! Owns what is taken of a card: its name, and those addresses and numbers that are handles. Everything else in it is passed over.
//! Does not know files.
//!
//! - Whatever a file holds, reading it takes memory by its size, and nothing of it is trusted but the text.

use halcyon_types::Handle;

/// Bytes of a name: longer ones are cut.
pub const CARD_NAME_BYTES_MAX: usize = 128;
/// Handles of one card; more are passed over.
pub const CARD_HANDLES_MAX: usize = 32;
/// Cards of one file; more are an error, so that nobody believes that all were taken.
pub const CARDS_MAX: usize = 10_000;
/// Bytes of a file: cards with photographs are large.
pub const ADDRESS_BOOK_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What was taken of a card.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Card {
    /// The name, without control characters; never empty.
    pub name: String,
    /// Handles, each once, in the order of the card; never none.
    pub handles: Vec<Handle>,
}

/// A card is about a person (I9).
impl std::fmt::Debug for Card {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Card({} handles, redacted)", self.handles.len())
    }
}

/// What was read of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressBook {
    /// Cards that name somebody who can be written to.
    pub cards: Vec<Card>,
    /// Cards without a name, or without a handle.
    pub passed_over: usize,
}

/// Why a file is no address book. The fault is whoever's chose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressBookError {
    /// It is no text.
    #[error("the file is not text in UTF-8; export the address book as vCard 3.0 or 4.0")]
    NotText,
    /// There is no card in it.
    #[error("the file has no vCard in it")]
    NoCard,
    /// There are too many.
    #[error("the file has more than {CARDS_MAX} cards, or {ADDRESS_BOOK_BYTES_MAX} bytes; split it")]
    TooMuch,
}

/// Returns the people of an address book.
///
/// # Errors
/// [`AddressBookError`]
pub fn read(file: &[u8]) -> Result<AddressBook, AddressBookError> {
    if file.len() > ADDRESS_BOOK_BYTES_MAX {
        return Err(AddressBookError::TooMuch);
    }
    let text = std::str::from_utf8(file).map_err(|_| AddressBookError::NotText)?;
    let mut book = AddressBook::default();
    let mut card: Option<Reading> = None;
    let mut any = false;
    for line in unfolded(text.strip_prefix('\u{feff}').unwrap_or(text)) {
        let Some(line) = Line::parse(&line) else { continue };
        match (line.name.as_str(), line.value.trim().to_ascii_uppercase().as_str()) {
            ("BEGIN", "VCARD") => {
                any = true;
                card = Some(Reading::default());
            }
            ("END", "VCARD") => match card.take().and_then(Reading::finish) {
                Some(_) if book.cards.len() == CARDS_MAX => return Err(AddressBookError::TooMuch),
                Some(card) => book.cards.push(card),
                None => book.passed_over += 1,
            },
            _ => {
                if let Some(card) = &mut card {
                    card.take(&line);
                }
            }
        }
    }
    if any { Ok(book) } else { Err(AddressBookError::NoCard) }
}

/// Returns the lines, each with what was folded behind it: a line that begins with a space or tab goes on (RFC 6350 §3.2).
fn unfolded(text: &str) -> impl Iterator<Item = String> {
    let mut lines = text.lines().map(|line| line.strip_suffix('\r').unwrap_or(line)).peekable();
    std::iter::from_fn(move || {
        let mut whole = lines.next()?.to_owned();
        while let Some(more) = lines.peek().and_then(|next| next.strip_prefix([' ', '\t'])) {
            whole.push_str(more);
            lines.next();
        }
        Some(whole)
    })
}

/// `group.NAME;PARAMETER=value:value`
struct Line {
    name: String,
    parameters: String,
    value: String,
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        let colon = colon(line)?;
        let (head, value) = (&line[..colon], &line[colon + 1..]);
        let (name, parameters) = head.split_once(';').unwrap_or((head, ""));
        let name = name.rsplit('.').next().unwrap_or(name).trim().to_ascii_uppercase();
        Some(Self { name, parameters: parameters.to_ascii_uppercase(), value: value.to_owned() })
    }
}

/// The first colon that is in no quotation marks: a parameter may have one in them.
fn colon(line: &str) -> Option<usize> {
    let mut is_quoted = false;
    line.char_indices().find_map(|(at, one)| match one {
        '"' => {
            is_quoted = !is_quoted;
            None
        }
        ':' if !is_quoted => Some(at),
        _ => None,
    })
}

/// A card while it is read.
#[derive(Default)]
struct Reading {
    formatted: Option<String>,
    structured: Option<String>,
    handles: Vec<Handle>,
}

impl Reading {
    fn take(&mut self, line: &Line) {
        // Version 2.1 writes other character sets so; what is in them cannot be told.
        if line.parameters.contains("ENCODING=QUOTED-PRINTABLE") {
            return;
        }
        match line.name.as_str() {
            "FN" if self.formatted.is_none() => self.formatted = name(&unescaped(&line.value)),
            "N" if self.structured.is_none() => {
                let parts: Vec<String> = split(&line.value, ';').iter().map(|part| unescaped(part)).collect();
                let part = |at: usize| parts.get(at).map_or("", |part| part.trim());
                self.structured = name(&format!("{} {}", part(1), part(0)));
            }
            "EMAIL" => self.handle(line.value.trim()),
            "TEL" => {
                let plain = line.value.trim();
                let number =
                    plain.get(..4).filter(|start| start.eq_ignore_ascii_case("tel:")).map_or(plain, |_| &plain[4..]);
                let digits: String = number.chars().filter(|one| one.is_ascii_digit() || *one == '+').collect();
                self.handle(&digits);
            }
            _ => {}
        }
    }

    /// What is no handle, as a number without its country, is passed over.
    fn handle(&mut self, text: &str) {
        let Ok(handle) = Handle::parse(&unescaped(text)) else { return };
        if !self.handles.contains(&handle) && self.handles.len() < CARD_HANDLES_MAX {
            self.handles.push(handle);
        }
    }

    fn finish(self) -> Option<Card> {
        let name = self.formatted.or(self.structured)?;
        (!self.handles.is_empty()).then_some(Card { name, handles: self.handles })
    }
}

/// Returns a name as it is kept: on one line, cut between characters; none if nothing is left.
#[must_use]
pub fn name(text: &str) -> Option<String> {
    let plain: String = crate::for_display(text).chars().map(|one| if one.is_control() { ' ' } else { one }).collect();
    let mut name = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    while name.len() > CARD_NAME_BYTES_MAX {
        name.pop();
    }
    let name = name.trim().to_owned();
    (!name.is_empty()).then_some(name)
}

/// Returns a value without its escapes: `\n`, and a backslash before any other character (RFC 6350 §3.4).
fn unescaped(value: &str) -> String {
    let mut plain = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(one) = characters.next() {
        match one {
            '\\' => match characters.next() {
                Some('n' | 'N') => plain.push('\n'),
                Some(other) => plain.push(other),
                None => {}
            },
            other => plain.push(other),
        }
    }
    plain
}

/// Splits where a character has no backslash before it.
fn split(value: &str, at: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut is_escaped = false;
    for one in value.chars() {
        if one == at && !is_escaped {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(one);
        }
        is_escaped = one == '\\' && !is_escaped;
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(file: &str) -> Vec<(String, Vec<String>)> {
        let cards = read(file.as_bytes()).unwrap().cards;
        cards.into_iter().map(|card| (card.name, card.handles.iter().map(ToString::to_string).collect())).collect()
    }

    /// OWN-8: cards as the address books of telephones and webmail write them.
    #[test]
    fn an_address_book_is_read() {
        let file = "\u{feff}BEGIN:VCARD\r\nVERSION:3.0\r\nN:Rivest;Bob;;;\r\nFN:Bob\\, the\r\n  Builder\r\n\
            item1.EMAIL;type=INTERNET;type=pref:Bob@Example.org\r\nEMAIL:bob@example.org\r\nTEL;TYPE=CELL:+49 (170) 123-4567\r\n\
            TEL:0170 1234567\r\nPHOTO;ENCODING=b:AAAA\r\n BBBB\r\nEND:VCARD\r\n\
            begin:vcard\nversion:4.0\nN:M\\;ller;Anna;;;\nTEL;VALUE=uri;PREF=1;TYPE=\"voice,home:1\":tel:+33-01-23-45-67-89\nend:vcard\n\
            BEGIN:VCARD\nVERSION:4.0\nFN:Nobody\nEND:VCARD\nBEGIN:VCARD\nEMAIL:x@example.org\nEND:VCARD\n";
        let bob =
            ("Bob, the Builder".to_owned(), vec!["mailto:bob@example.org".to_owned(), "tel:+491701234567".to_owned()]);
        let anna = ("Anna M;ller".to_owned(), vec!["tel:+330123456789".to_owned()]);
        assert_eq!(shown(file), [bob, anna]);
        assert_eq!(read(file.as_bytes()).unwrap().passed_over, 2, "no handle; no name");
    }

    /// OWN-8: what a file says is bounded, and cannot move a cursor or begin a line.
    #[test]
    fn a_hostile_card_is_bounded() {
        let many: String = (0..100).map(|n| format!("EMAIL:b{n}@example.org\n")).collect();
        let long = "é\u{1b}[2J\u{202e}\\n".repeat(200);
        let file = format!("BEGIN:VCARD\nFN:{long}\n{many}END:VCARD\n");
        let card = read(file.as_bytes()).unwrap().cards.remove(0);
        assert_eq!(card.handles.len(), CARD_HANDLES_MAX);
        assert!(
            card.name.len() <= CARD_NAME_BYTES_MAX && !card.name.contains(|one: char| one.is_control()),
            "{}",
            card.name
        );
        assert!(!card.name.contains('\u{202e}'));
        assert_eq!(read(b"\xff\xfe"), Err(AddressBookError::NotText));
        assert_eq!(read(b"Name,Email\nBob,bob@example.org"), Err(AddressBookError::NoCard));
        let card = "BEGIN:VCARD\nFN:B\nEMAIL:b@example.org\nEND:VCARD\n";
        let cards = card.repeat(CARDS_MAX + 1);
        assert_eq!(read(cards.as_bytes()), Err(AddressBookError::TooMuch));
        assert_eq!(read(&cards.as_bytes()[card.len()..]).unwrap().cards.len(), CARDS_MAX);
    }

    proptest! {
        /// OWN-8: whatever is in a file, reading it ends, and what is taken is within its bounds.
        #[test]
        fn any_text_is_read_or_refused(lines in proptest::collection::vec(
            prop_oneof![
                Just("BEGIN:VCARD".to_owned()), Just("END:VCARD".to_owned()), Just("FN:A\\".to_owned()),
                Just("EMAIL:a@example.org".to_owned()), Just("TEL;\":+49170".to_owned()), Just("TEL:tel:é".to_owned()),
                Just("N:;;".to_owned()), "[ \\t]?[A-Z;.:\\\\\"]{0,8}:?\\PC{0,20}",
            ], 0..40)) {
            if let Ok(book) = read(lines.join("\r\n").as_bytes()) {
                for card in book.cards {
                    prop_assert!((1..=CARD_NAME_BYTES_MAX).contains(&card.name.len()));
                    prop_assert!((1..=CARD_HANDLES_MAX).contains(&card.handles.len()));
                }
            }
        }
    }
}
