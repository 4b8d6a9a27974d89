//! Cards of people: vCard 3.0 (RFC 2426) and 4.0 (RFC 6350). Spec: 50-content.md (CON-43, CON-44).
//!
//! Owns what is taken of a card (a name, addresses, an organization), and the bounds of it. Everything else in a card is checked to
//! be of the form that a card has, and left out: photos, keys, birthdays, notes. Does not know files, or whose card it is.
//!
//! - Reading never panics, whatever is read, and takes a time and a memory that grow with the text alone.
//! - A card that was written reads as it was ([`write`], [`read`]).
//!
//! Next: [`read`] takes one card, [`read_all`] a file of them; `vcard/line.rs` knows folding, groups, parameters and escapes.

mod line;
mod write;

use std::fmt;

use halcyon_types::{Handle, HandleKind};

use self::line::{Line, Lines};

pub use self::write::{Version, without_media, write};

/// Bytes of a card that travels in a message: it leaves room for a text beside it in a plaintext (CON-43).
pub const CARD_BYTES_MAX: usize = 8 * 1024;
/// Bytes of a file of cards: an address book of some thousand people with their photos.
pub const CARD_FILE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Properties of a card. The fullest cards that programs write have about a hundred.
pub const CARD_PROPERTIES_MAX: usize = 1024;
/// Bytes of a name, of an organization, and of an address in a card (IDN-1 allows addresses of 254).
pub const CARD_TEXT_BYTES_MAX: usize = 256;
/// Email addresses and telephone numbers of a card.
pub const CARD_ADDRESSES_MAX: usize = 32;
/// Bytes of what an address is called, such as `home`.
pub const CARD_LABEL_BYTES_MAX: usize = 32;

/// What a card says of somebody.
#[derive(Clone, PartialEq, Eq)]
pub struct Card {
    /// What they are called: one line of 1 to [`CARD_TEXT_BYTES_MAX`] bytes.
    pub name: String,
    /// How they are reached, preferred ones first; at most [`CARD_ADDRESSES_MAX`].
    pub addresses: Vec<Address>,
    /// Where they work: one line.
    pub organization: Option<String>,
}

/// An email address or a telephone number, as the card spells it.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// Which of both.
    pub kind: HandleKind,
    /// One line: see [`handle`](Self::handle) for its normal form, which not every address has.
    pub text: String,
    /// What it is called: lower-case letters, digits and hyphens, such as `home`, `work`, `cell`.
    pub label: Option<String>,
}

/// Why a text is no card. It is whoever's wrote the text; nothing of it is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CardError {
    /// The file is longer than any that is read.
    #[error(
        "a file of cards has at most {CARD_FILE_BYTES_MAX} bytes, not {0}: export fewer people, or leave photos out"
    )]
    TooLarge(usize),
    /// No `BEGIN:VCARD` where one has to be.
    #[error("line {0} is not the beginning of a card: a vCard begins with BEGIN:VCARD")]
    NoBeginning(u32),
    /// The text ends within a card, or another card begins there.
    #[error("the card that begins in line {0} has no END:VCARD")]
    NoEnd(u32),
    /// Not `NAME:VALUE`, not UTF-8, a control character, an escape that there is not, or an encoding of vCard 2.1.
    #[error("line {0} is not a line of a vCard 3.0 or 4.0")]
    Malformed(u32),
    /// An older or a newer version, or none.
    #[error("the card that begins in line {0} is not a vCard 3.0 or 4.0: export it as one of these")]
    Version(u32),
    /// No `FN` and no `N`.
    #[error("the card that begins in line {0} has no name")]
    NoName(u32),
    /// A bound of this module.
    #[error("the card that begins in line {0} has more or longer {1} than a card may have")]
    Bound(u32, &'static str),
    /// Where one card is wanted, there is none, or another one.
    #[error("there is not one card in it, but {0}")]
    NotOne(usize),
}

impl Card {
    /// Returns the addresses that are handles, in their normal form, none twice: by these somebody may be found.
    #[must_use]
    pub fn handles(&self) -> Vec<Handle> {
        let mut handles = Vec::new();
        for handle in self.addresses.iter().filter_map(Address::handle) {
            if !handles.contains(&handle) {
                handles.push(handle);
            }
        }
        handles
    }
}

impl Address {
    /// Returns the handle; none for what only people can dial, such as a number without its country.
    #[must_use]
    pub fn handle(&self) -> Option<Handle> {
        Handle::parse(&self.text).ok().filter(|handle| handle.kind() == self.kind)
    }
}

/// A card is content (I9).
impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Card({} addresses, redacted)", self.addresses.len())
    }
}

/// So is an address.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({:?}, redacted)", self.kind)
    }
}

/// Returns the card of a text that has one and nothing else.
///
/// # Errors
/// [`CardError`]
pub fn read(text: &[u8]) -> Result<Card, CardError> {
    let mut cards = read_all(text)?;
    match cards.len() {
        1 => cards.remove(0),
        count => Err(CardError::NotOne(count)),
    }
}

/// Returns the cards of a file in their order; in place of one that is broken, why: it does not keep the others from being read.
///
/// # Errors
/// [`CardError::TooLarge`]
pub fn read_all(text: &[u8]) -> Result<Vec<Result<Card, CardError>>, CardError> {
    if text.len() > CARD_FILE_BYTES_MAX {
        return Err(CardError::TooLarge(text.len()));
    }
    let mut lines = Lines::new(text);
    let mut cards = Vec::new();
    while let Some(first) = lines.next() {
        let read = match first.is("BEGIN:VCARD") {
            true => read_card(first.number, &mut lines),
            false => Err(CardError::NoBeginning(first.number)),
        };
        if read.is_err() {
            lines.skip_card();
        }
        cards.push(read);
    }
    Ok(cards)
}

/// Reads a card from behind its first line.
fn read_card(begins: u32, lines: &mut Lines<'_>) -> Result<Card, CardError> {
    let mut found = Found::default();
    for _ in 0..CARD_PROPERTIES_MAX {
        match lines.peek() {
            None => return Err(CardError::NoEnd(begins)),
            Some(line) if line.is("BEGIN:VCARD") => return Err(CardError::NoEnd(begins)),
            Some(_) => {}
        }
        let Some(raw) = lines.next() else { return Err(CardError::NoEnd(begins)) };
        if raw.is("END:VCARD") {
            return found.card(begins);
        }
        found.take(&raw.parse().ok_or(CardError::Malformed(raw.number))?, begins, raw.number)?;
    }
    Err(CardError::Bound(begins, "properties"))
}

/// What was read of a card so far.
#[derive(Default)]
struct Found {
    version: Option<Version>,
    name: Option<String>,
    /// Of `N`, for cards whose `FN` is empty.
    parts_of_name: Option<String>,
    organization: Option<String>,
    addresses: Vec<(bool, Address)>,
}

impl Found {
    fn take(&mut self, line: &Line<'_>, begins: u32, number: u32) -> Result<(), CardError> {
        let malformed = || CardError::Malformed(number);
        match line.name.as_str() {
            "VERSION" => {
                if self.version.is_some() {
                    return Err(malformed());
                }
                self.version = Some(Version::named(line.value).ok_or(CardError::Version(begins))?);
            }
            "FN" => keep_first(&mut self.name, line.text().ok_or_else(malformed)?),
            "N" => {
                let parts = line.components().ok_or_else(malformed)?;
                // Family, given, additional names, prefixes, suffixes; shown as they are spoken.
                let spoken = [3, 1, 2, 0, 4].iter().filter_map(|at| parts.get(*at)).map(String::as_str);
                keep_first(&mut self.parts_of_name, one_line(&spoken.collect::<Vec<_>>().join(" ")));
            }
            "ORG" => {
                let mut parts = line.components().ok_or_else(malformed)?;
                parts.retain(|part| !one_line(part).is_empty());
                keep_first(&mut self.organization, one_line(&parts.join(", ")));
            }
            "EMAIL" => self.add(line, HandleKind::Email, begins, number)?,
            "TEL" => self.add(line, HandleKind::Phone, begins, number)?,
            _ => {}
        }
        Ok(())
    }

    fn add(&mut self, line: &Line<'_>, kind: HandleKind, begins: u32, number: u32) -> Result<(), CardError> {
        let text = line.text().ok_or(CardError::Malformed(number))?;
        let text = without_scheme(kind, &text).to_owned(); // RFC 6350 §6.4.1: it may be a URI
        if text.is_empty() {
            return Ok(());
        }
        if self.addresses.len() >= CARD_ADDRESSES_MAX || text.len() > CARD_TEXT_BYTES_MAX {
            return Err(CardError::Bound(begins, "addresses"));
        }
        let types = line.types();
        let is_preferred = types.iter().any(|one| one == "pref") || line.has_parameter("PREF");
        let label = types.into_iter().find(|one| is_label(one));
        self.addresses.push((is_preferred, Address { kind, text, label }));
        Ok(())
    }

    fn card(mut self, begins: u32) -> Result<Card, CardError> {
        if self.version.is_none() {
            return Err(CardError::Version(begins));
        }
        self.addresses.sort_by_key(|(is_preferred, _)| !is_preferred);
        let filled = |text: &String| !text.is_empty();
        let name = self.name.filter(filled).or_else(|| self.parts_of_name.filter(filled));
        let card = Card {
            name: name.ok_or(CardError::NoName(begins))?,
            addresses: self.addresses.into_iter().map(|(_, address)| address).collect(),
            organization: self.organization.filter(filled),
        };
        match card.name.len().max(card.organization.as_ref().map_or(0, String::len)) {
            ..=CARD_TEXT_BYTES_MAX => Ok(card),
            _ => Err(CardError::Bound(begins, "names")),
        }
    }
}

fn without_scheme(kind: HandleKind, mut text: &str) -> &str {
    let scheme = if kind == HandleKind::Email { "mailto:" } else { "tel:" };
    while let Some((_, behind)) =
        text.split_at_checked(scheme.len()).filter(|(head, _)| head.eq_ignore_ascii_case(scheme))
    {
        text = behind.trim_start();
    }
    text
}

fn keep_first(kept: &mut Option<String>, found: String) {
    if kept.as_ref().is_none_or(String::is_empty) {
        *kept = Some(found);
    }
}

/// What tells an address from the others; not what kind of line it is, which programs put beside it.
fn is_label(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let fits = (1..=CARD_LABEL_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_plain);
    fits && !matches!(text, "internet" | "pref" | "voice" | "x400")
}

/// Returns a text as one line without space around it.
fn one_line(text: &str) -> String {
    let spaced: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    spaced.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
