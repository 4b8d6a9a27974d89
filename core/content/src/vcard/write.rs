//! Writes cards. Spec: RFC 6350, RFC 2426; 50-content.md (CON-43).
//!
//! Owns escapes and folding on the way out, and the check that what is written can be read.

use std::fmt::Write as _;

use halcyon_types::HandleKind;

use super::{
    Address, CARD_ADDRESSES_MAX, CARD_PROPERTIES_MAX, CARD_TEXT_BYTES_MAX, Card, CardError, is_label,
    line::{Lines, RawLine},
    one_line, read, without_scheme,
};

/// Octets of a line before it is folded (RFC 6350 §3.2).
const LINE_BYTES_MAX: usize = 75;
/// What cards carry that is large, and nothing that a message needs.
const MEDIA: [&str; 4] = ["PHOTO", "LOGO", "SOUND", "KEY"];

/// How a card is written. Both are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// RFC 2426.
    V3,
    /// RFC 6350.
    V4,
}

impl Version {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name.trim() {
            "3.0" => Some(Self::V3),
            "4.0" => Some(Self::V4),
            _ => None,
        }
    }
}

/// Returns the text of a card, which reads as the card again.
///
/// # Errors
/// [`CardError`] if something in it could not be read again: too long, too many, or more than a line.
pub fn write(card: &Card, version: Version) -> Result<String, CardError> {
    check(card)?;
    let mut text = String::from("BEGIN:VCARD\r\n");
    add(&mut text, "VERSION", if version == Version::V3 { "3.0" } else { "4.0" });
    let name = escaped(&card.name);
    add(&mut text, "FN", &name);
    if version == Version::V3 {
        add(&mut text, "N", &format!("{name};;;;")); // RFC 2426 §3.1.2 wants it
    }
    if let Some(organization) = &card.organization {
        add(&mut text, "ORG", &escaped(organization));
    }
    for Address { kind, text: address, label } in &card.addresses {
        let mut name = String::from(if *kind == HandleKind::Email { "EMAIL" } else { "TEL" });
        if let Some(label) = label {
            let _ = write!(name, ";TYPE={label}");
        }
        add(&mut text, &name, &escaped(address));
    }
    text.push_str("END:VCARD\r\n");
    Ok(text)
}

/// Returns the text of one card without photos, logos, sounds and keys, and otherwise as it is.
///
/// # Errors
/// [`CardError`] if it is not one card.
pub fn without_media(text: &[u8]) -> Result<String, CardError> {
    read(text)?;
    let mut kept = String::new();
    for line in Lines::new(text).filter(|line| !is_media(line)) {
        let line = std::str::from_utf8(line.bytes()).map_err(|_| CardError::Malformed(line.number))?;
        fold(&mut kept, line);
    }
    Ok(kept)
}

fn is_media(line: &RawLine<'_>) -> bool {
    line.parse().is_some_and(|line| MEDIA.contains(&line.name.as_str()))
}

fn check(card: &Card) -> Result<(), CardError> {
    let is_line = |text: &str| {
        let fits = (1..=CARD_TEXT_BYTES_MAX).contains(&text.len());
        fits && one_line(text) == text
    };
    if !is_line(&card.name) || !card.organization.as_deref().is_none_or(is_line) {
        return Err(CardError::Bound(1, "names"));
    }
    // With the lines that every card has.
    const { assert!(CARD_ADDRESSES_MAX + 5 < CARD_PROPERTIES_MAX) };
    let fits = |address: &Address| {
        let is_bare = without_scheme(address.kind, &address.text) == address.text;
        is_line(&address.text) && is_bare && address.label.as_deref().is_none_or(is_label)
    };
    if card.addresses.len() > CARD_ADDRESSES_MAX || !card.addresses.iter().all(fits) {
        return Err(CardError::Bound(1, "addresses"));
    }
    Ok(())
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '\\' | ',' | ';') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

fn add(text: &mut String, name: &str, value: &str) {
    fold(text, &format!("{name}:{value}"));
}

/// Adds a line, folded between characters.
fn fold(text: &mut String, line: &str) {
    let mut on_line = 0;
    for letter in line.chars() {
        if on_line + letter.len_utf8() > LINE_BYTES_MAX {
            text.push_str("\r\n ");
            on_line = 1;
        }
        text.push(letter);
        on_line += letter.len_utf8();
    }
    text.push_str("\r\n");
}
