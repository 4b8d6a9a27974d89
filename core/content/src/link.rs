//! Links with what their sender saw behind them. Spec: 50-content.md (CON-45 to CON-47).
//!
//! Owns the shape of an address and of a preview, and their bounds. Fetches nothing, and neither does whoever shows a link (CON-47): what
//! is not in the message is not shown.
//!
//! - A [`WebAddress`] is one that a program can hand to a browser: no space, no control character, nobody's password.

use std::fmt;

use crate::{decode::DecodeError, image::Image, line, wire};

/// Bytes of a link's address (CON-45).
pub const URL_BYTES_MAX: usize = 2048;
/// Bytes of a link's title (CON-45).
pub const LINK_TITLE_BYTES_MAX: usize = 256;
/// Bytes of a link's summary (CON-45).
pub const LINK_SUMMARY_BYTES_MAX: usize = 1024;
/// Bytes of a link's image (CON-46): with the rest of a link and a text of some length it fits a plaintext.
pub const LINK_IMAGE_BYTES_MAX: usize = 6 * 1024;

/// An address of the web: `http` or `https`, in ASCII, without user and password (CON-45).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct WebAddress(String);

/// A link with its preview (CON-45).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    address: WebAddress,
    title: Words,
    summary: Words,
    image: Option<Image>,
}

/// Content (I9).
#[derive(Clone, Default, PartialEq, Eq)]
struct Words(String);

impl WebAddress {
    /// Returns an address; none for a text that is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\`".contains(&byte);
        if text.len() > URL_BYTES_MAX || !text.bytes().all(is_plain) {
            return None;
        }
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
        is_authority(&rest[..end_of_authority(rest)]).then(|| Self(text.to_owned()))
    }

    /// Returns the address that a text is, or that stands at its end, as people write one (CON-50): the scheme in any case, letters of all
    /// languages behind the host, a full stop or a bracket after it.
    #[must_use]
    pub fn at_end_of(text: &str) -> Option<Self> {
        let word = text.split_whitespace().next_back()?;
        let mut word = word.trim_start_matches(['<', '(', '[', '"', '\'']);
        word = word.trim_end_matches(['>', ',', ';', '!', '.', '?', '"', '\'', ':']);
        // A bracket belongs to the address if it was opened there.
        for (open, close) in [('(', ')'), ('[', ']')] {
            while word.ends_with(close) && word.matches(close).count() > word.matches(open).count() {
                word = word[..word.len() - 1].trim_end_matches([',', ';', '!', '.', '?']);
            }
        }
        let (scheme, rest) = word.split_once("://")?;
        let (host, path) = rest.split_at(end_of_authority(rest));
        let mut address = format!("{}://{}", scheme.to_ascii_lowercase(), host.to_ascii_lowercase());
        for letter in path.chars() {
            let mut bytes = [0; 4];
            match letter.is_ascii() {
                true => address.push(letter),
                false => {
                    letter.encode_utf8(&mut bytes).bytes().for_each(|byte| address.push_str(&format!("%{byte:02X}")))
                }
            }
        }
        Self::parse(&address)
    }

    /// Returns the address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns where a reference leads that stands in the page at this address: an address, or a part of one (CON-48, RFC 3986 §5.2, but
    /// dots in a path are left for the server); none if that is no address of the web.
    #[must_use]
    pub fn join(&self, reference: &str) -> Option<Self> {
        let reference = reference.trim().split('#').next()?;
        let scheme = reference.split_once(':').map(|(scheme, _)| scheme).filter(|scheme| is_scheme(scheme));
        if let Some(scheme) = scheme {
            return Self::parse(&format!("{}{}", scheme.to_ascii_lowercase(), &reference[scheme.len()..]));
        }
        let (scheme, rest) = self.0.split_once("://")?;
        let (authority, path) = rest.split_at(end_of_authority(rest));
        let path = path.split(['?', '#']).next().filter(|path| !path.is_empty()).unwrap_or("/");
        let folder = &path[..=path.rfind('/')?];
        Self::parse(&match reference {
            full if full.starts_with("//") => format!("{scheme}:{full}"),
            from_root if from_root.starts_with('/') => format!("{scheme}://{authority}{from_root}"),
            query if query.is_empty() || query.starts_with('?') => format!("{scheme}://{authority}{path}{query}"),
            relative => format!("{scheme}://{authority}{folder}{relative}"),
        })
    }

    /// Returns whether it is asked over TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https:")
    }

    /// Returns host and port as they stand in it.
    #[must_use]
    pub fn authority(&self) -> &str {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        &rest[..end_of_authority(rest)]
    }

    /// Returns the port, that of its scheme if it names none.
    #[must_use]
    pub fn port(&self) -> u16 {
        let usual = if self.is_https() { 443 } else { 80 };
        host_and_port(self.authority()).1.and_then(|port| port.parse().ok()).unwrap_or(usual)
    }

    /// Returns what its server is asked for.
    #[must_use]
    pub fn path_and_query(&self) -> String {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        let path = rest[end_of_authority(rest)..].split('#').next().unwrap_or_default();
        if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
    }

    /// Returns who is asked when it is opened, as it stands in the address: what a person should look at first.
    #[must_use]
    pub fn host(&self) -> &str {
        host_and_port(self.authority()).0
    }
}

fn is_scheme(text: &str) -> bool {
    let is_of_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.bytes().all(is_of_scheme)
}

fn end_of_authority(rest: &str) -> usize {
    rest.find(['/', '?', '#']).unwrap_or(rest.len())
}

fn host_and_port(authority: &str) -> (&str, Option<&str>) {
    let after_host = authority.rfind(']').unwrap_or(0);
    match authority[after_host..].find(':') {
        Some(at) => (&authority[..after_host + at], Some(&authority[after_host + at + 1..])),
        None => (authority, None),
    }
}

/// CON-45: nobody's name or password, and a host in ASCII.
fn is_authority(authority: &str) -> bool {
    let (host, port) = host_and_port(authority);
    let is_port = |port: &str| port.len() <= 5 && port.parse::<u16>().is_ok_and(|port| port > 0);
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_host = match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(inner) => inner.parse::<core::net::Ipv6Addr>().is_ok(),
        None => (1..=253).contains(&host.len()) && host.bytes().all(is_of_name),
    };
    is_host && port.is_none_or(is_port)
}

impl Link {
    /// Returns a link without preview.
    #[must_use]
    pub fn new(address: WebAddress) -> Self {
        Self { address, title: Words::default(), summary: Words::default(), image: None }
    }

    /// Returns the link with a title: one line of 1 to [`LINK_TITLE_BYTES_MAX`] bytes; none for any other.
    #[must_use]
    pub fn with_title(self, title: impl Into<String>) -> Option<Self> {
        let title = title.into();
        line::fits(&title, LINK_TITLE_BYTES_MAX).then_some(Self { title: Words(title), ..self })
    }

    /// Returns the link with a summary: one line of 1 to [`LINK_SUMMARY_BYTES_MAX`] bytes; none for any other.
    #[must_use]
    pub fn with_summary(self, summary: impl Into<String>) -> Option<Self> {
        let summary = summary.into();
        line::fits(&summary, LINK_SUMMARY_BYTES_MAX).then_some(Self { summary: Words(summary), ..self })
    }

    /// Returns the link with an image of at most [`LINK_IMAGE_BYTES_MAX`] bytes; none for a larger one.
    #[must_use]
    pub fn with_image(self, image: Image) -> Option<Self> {
        (image.as_bytes().len() <= LINK_IMAGE_BYTES_MAX).then_some(Self { image: Some(image), ..self })
    }

    /// Returns the link without its image.
    #[must_use]
    pub fn without_image(self) -> Self {
        Self { image: None, ..self }
    }

    /// Returns where it leads.
    #[must_use]
    pub fn address(&self) -> &WebAddress {
        &self.address
    }

    /// Returns what its sender says the page is called: see [`crate::for_display`] before it is printed.
    #[must_use]
    pub fn title(&self) -> Option<&str> {
        (!self.title.0.is_empty()).then_some(&self.title.0)
    }

    /// Returns what its sender says the page is about: see [`crate::for_display`] before it is printed.
    #[must_use]
    pub fn summary(&self) -> Option<&str> {
        (!self.summary.0.is_empty()).then_some(&self.summary.0)
    }

    /// Returns its image.
    #[must_use]
    pub fn image(&self) -> Option<&Image> {
        self.image.as_ref()
    }
}

/// What somebody looks at is content (I9).
impl fmt::Debug for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebAddress({} bytes, redacted)", self.0.len())
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Words({} bytes, redacted)", self.0.len())
    }
}

pub(crate) fn decode(wire: wire::Link) -> Result<Link, DecodeError> {
    let mut link = Link::new(WebAddress::parse(&wire.url).ok_or(DecodeError::Link)?); // CON-45
    if !wire.title.is_empty() {
        link = link.with_title(wire.title).ok_or(DecodeError::Link)?;
    }
    if !wire.summary.is_empty() {
        link = link.with_summary(wire.summary).ok_or(DecodeError::Link)?;
    }
    if wire.image.len() > LINK_IMAGE_BYTES_MAX {
        return Err(DecodeError::Link); // CON-46
    }
    // CON-46: one of a kind that is not known here is left out.
    link.image = Image::new(wire.image);
    Ok(link)
}

pub(crate) fn encode(link: &Link) -> wire::Link {
    wire::Link {
        url: link.address.0.clone(),
        title: link.title.0.clone(),
        summary: link.summary.0.clone(),
        image: link.image.as_ref().map(|image| image.as_bytes().to_vec()).unwrap_or_default().into(),
    }
}
