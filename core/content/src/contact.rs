//! Cards that travel in messages. Spec: 50-content.md (CON-42).
//!
//! Owns the bound. Does not know what a card looks like: [`crate::vcard`] does.
//!
//! - The card is kept as it was sent, so that it can be given to an address book with everything that is in it.

use std::fmt;

use crate::{
    decode::DecodeError,
    vcard::{self, CARD_BYTES_MAX, Card, CardError},
    wire,
};

/// A card of somebody, in a message (CON-42).
#[derive(Clone, PartialEq, Eq)]
pub struct Contact {
    text: String,
    card: Card,
}

/// Why a card cannot travel in a message. Nothing of it is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContactError {
    /// It is no card.
    #[error(transparent)]
    Card(#[from] CardError),
    /// It is longer than a message has room for.
    #[error("a card in a message has at most {CARD_BYTES_MAX} bytes, not {0}")]
    TooLarge(usize),
}

impl Contact {
    /// Returns a card as it is.
    ///
    /// # Errors
    /// [`ContactError`]
    pub fn new(text: impl Into<String>) -> Result<Self, ContactError> {
        let text = text.into();
        if text.len() > CARD_BYTES_MAX {
            return Err(ContactError::TooLarge(text.len())); // CON-42
        }
        let card = vcard::read(text.as_bytes())?;
        Ok(Self { text, card })
    }

    /// Returns a card of a file: as it is if it fits, else without photos and other media.
    ///
    /// # Errors
    /// [`ContactError`] if it is no card, or too large all the same.
    pub fn of_file(bytes: &[u8]) -> Result<Self, ContactError> {
        match std::str::from_utf8(bytes) {
            Ok(text) if text.len() <= CARD_BYTES_MAX => Self::new(text),
            _ => Self::new(vcard::without_media(bytes)?),
        }
    }

    /// Returns the card as it was sent, for an address book.
    #[must_use]
    pub fn as_vcard(&self) -> &str {
        &self.text
    }

    /// Returns what it says, as far as it is shown: see [`crate::for_display`] before it is printed.
    #[must_use]
    pub fn card(&self) -> &Card {
        &self.card
    }
}

/// A card is content (I9).
impl fmt::Debug for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Contact({} bytes, redacted)", self.text.len())
    }
}

pub(crate) fn decode(wire: wire::Contact) -> Result<Contact, DecodeError> {
    Contact::new(wire.card).map_err(DecodeError::Contact)
}

pub(crate) fn encode(contact: &Contact) -> wire::Contact {
    wire::Contact { card: contact.text.clone() }
}
