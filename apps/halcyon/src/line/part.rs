//! What a message carries besides text, as lines: locations, cards, links.
//!
//! - In words, whatever a peer chose is on one line and sanitized (CON-3). Nothing is fetched to show it (CON-47).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use halcyon_client::event::ShownMessage;
use halcyon_client::{Contact, Image, Link, Location, Naming, Part};
use halcyon_types::Handle;
use serde::Serialize;

use super::words::address;
use crate::output::{Output, Style};
use crate::text::one_line;

/// A point on the earth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LocationLine {
    /// The part, from 0.
    pub part: usize,
    /// Ten-millionths of a degree north of the equator.
    pub latitude_e7: i32,
    /// Ten-millionths of a degree east of Greenwich.
    pub longitude_e7: i32,
    /// Meters by which it may be wrong.
    pub accuracy_m: Option<u32>,
    /// What it is called.
    pub name: Option<String>,
    /// The link that opens a map.
    pub geo: String,
}

/// Somebody's card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ContactLine {
    /// The part, from 0.
    pub part: usize,
    /// What they are called.
    pub name: String,
    /// Where they work.
    pub organization: Option<String>,
    /// How they are reached.
    pub addresses: Vec<AddressLine>,
    /// Those of them that are handles.
    pub handles: Vec<String>,
    /// The card itself, for an address book.
    pub vcard: String,
}

/// An address of a card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AddressLine {
    /// As the card spells it.
    pub address: String,
    /// `home`, `work` and so on.
    pub label: Option<String>,
}

/// A link, with what its sender saw there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LinkLine {
    /// The part, from 0.
    pub part: usize,
    /// Where it leads.
    pub url: String,
    /// Who is asked when it is opened.
    pub host: String,
    /// What its sender says the page is called.
    pub title: Option<String>,
    /// What its sender says it is about.
    pub summary: Option<String>,
    /// An image of it.
    pub image: Option<ImageLine>,
}

/// An image that came within a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageLine {
    /// `image/png`, `image/jpeg` or `image/webp`, by its first bytes.
    pub media_type: &'static str,
    /// The file, in base64.
    pub base64: String,
}

impl LocationLine {
    fn new(part: usize, location: &Location) -> Self {
        Self {
            part,
            latitude_e7: location.latitude_e7(),
            longitude_e7: location.longitude_e7(),
            accuracy_m: location.accuracy_m(),
            name: location.name().map(str::to_owned),
            geo: location.geo_uri(),
        }
    }

    fn words(&self) -> String {
        match &self.name {
            Some(name) => format!("location: {}, {}", one_line(name), self.geo),
            None => format!("location: {}", self.geo),
        }
    }
}

impl ContactLine {
    fn new(part: usize, contact: &Contact) -> Self {
        let card = contact.card();
        let address =
            |one: &halcyon_client::vcard::Address| AddressLine { address: one.text.clone(), label: one.label.clone() };
        Self {
            part,
            name: card.name.clone(),
            organization: card.organization.clone(),
            addresses: card.addresses.iter().map(address).collect(),
            handles: card.handles().iter().map(ToString::to_string).collect(),
            vcard: contact.as_vcard().to_owned(),
        }
    }

    fn words(&self) -> String {
        let mut words = format!("contact: {}", one_line(&self.name));
        if let Some(organization) = &self.organization {
            words.push_str(&format!(" ({})", one_line(organization)));
        }
        for AddressLine { address, label } in &self.addresses {
            words.push_str(&format!(", {}", one_line(address)));
            if let Some(label) = label {
                words.push_str(&format!(" ({})", one_line(label)));
            }
        }
        words
    }
}

impl LinkLine {
    fn new(part: usize, link: &Link) -> Self {
        Self {
            part,
            url: link.address().as_str().to_owned(),
            host: link.address().host().to_owned(),
            title: link.title().map(str::to_owned),
            summary: link.summary().map(str::to_owned),
            image: link.image().map(ImageLine::new),
        }
    }

    /// The host comes first: it alone is no claim of the sender's.
    fn words(&self) -> String {
        let title = self.title.as_deref().unwrap_or(&self.url);
        let mut words = format!("link to {}: {}", one_line(&self.host), one_line(title));
        if let Some(summary) = &self.summary {
            words.push_str(&format!(" | {}", one_line(summary)));
        }
        if self.image.is_some() {
            words.push_str(" (with an image)");
        }
        words
    }
}

impl ImageLine {
    /// Returns the line of an image.
    #[must_use]
    pub fn new(image: &Image) -> Self {
        Self { media_type: image.kind().media_type(), base64: BASE64.encode(image.as_bytes()) }
    }
}

/// What somebody wants to be called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamedLine {
    /// Who.
    pub handle: String,
    /// The name; null if they take it back.
    pub name: Option<String>,
    /// Their photo.
    pub photo: Option<ImageLine>,
}

impl NamedLine {
    /// Returns the line of what somebody said.
    #[must_use]
    pub fn new(handle: &Handle, naming: &Naming) -> Self {
        Self {
            handle: handle.to_string(),
            name: naming.name().map(str::to_owned),
            photo: naming.photo().map(ImageLine::new),
        }
    }

    pub(super) fn words(&self, output: &Output) -> String {
        let who = address(&self.handle);
        let photo = if self.photo.is_some() { ", with a photo" } else { "" };
        let words = match &self.name {
            Some(name) => format!("{who} (maybe: {}) says what to call them{photo}", one_line(name)),
            None => format!("{who} takes back what to call them"),
        };
        output.styled(Style::Faint, words)
    }
}

/// What a message carries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Carried {
    /// Where something is.
    pub locations: Vec<LocationLine>,
    /// Cards of people.
    pub contacts: Vec<ContactLine>,
    /// Links with previews.
    pub links: Vec<LinkLine>,
    /// Parts that this version cannot show, from 0.
    pub unsupported_parts: Vec<usize>,
}

impl Carried {
    /// Returns what a message carries.
    #[must_use]
    pub fn of(message: &ShownMessage) -> Self {
        let mut carried = Self::default();
        for (part, shown) in message.parts.iter().enumerate() {
            match &shown.carried {
                Some(Part::Location(location)) => carried.locations.push(LocationLine::new(part, location)),
                Some(Part::Contact(contact)) => carried.contacts.push(ContactLine::new(part, contact)),
                Some(Part::Link(link)) => carried.links.push(LinkLine::new(part, link)),
                _ if shown.text.is_none() && !shown.unsent => carried.unsupported_parts.push(part),
                _ => {}
            }
        }
        carried
    }

    /// Whether it carries nothing that can be shown.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.locations.is_empty() && self.contacts.is_empty() && self.links.is_empty()
    }

    /// Returns it in words, a line a part; nothing if nothing of it can be shown.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        if self.is_empty() {
            return Vec::new();
        }
        let unknown = |part: &usize| (*part, "(a part that this version cannot show)".to_owned()); // CON-5
        let locations = self.locations.iter().map(|line| (line.part, line.words()));
        let contacts = self.contacts.iter().map(|line| (line.part, line.words()));
        let links = self.links.iter().map(|line| (line.part, line.words()));
        let mut words: Vec<(usize, String)> =
            locations.chain(contacts).chain(links).chain(self.unsupported_parts.iter().map(unknown)).collect();
        words.sort_by_key(|(part, _)| *part);
        words.into_iter().map(|(_, words)| words).collect()
    }
}
