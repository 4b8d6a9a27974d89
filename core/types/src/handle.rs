//! A handle: the address by which people find each other, as a URI. Spec: 10-identity.md §1 (IDN-1 to IDN-4).
//!
//! Owns normalization, so that two spellings of one address are one value. Does not know who owns a handle or whether
//! it was verified.

use std::fmt;
use std::str::FromStr;

/// A `mailto:` or `tel:` URI in its one normal form (IDN-1).
///
/// `Debug` prints only the kind: handles name people and must not reach a log. `Display` prints the whole URI and is
/// for eyes and wires.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle {
    uri: String,
    kind: HandleKind,
}

/// The scheme of a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HandleKind {
    /// `mailto:`, verified by a mail.
    Email,
    /// `tel:`, verified by an SMS.
    Phone,
}

/// Why a text is not a handle. The text itself is not repeated, since it may end in a log.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandleError {
    /// Neither scheme, and nothing that could be completed to one.
    #[error("a handle is an email address (mailto:name@example.org) or a phone number (tel:+491701234567)")]
    UnknownScheme,
    /// IDN-2.
    #[error(
        "this is not an email address: it needs one @ with a name before it and a domain with a dot or `localhost` after it"
    )]
    MalformedEmail,
    /// IDN-3.
    #[error("this is not a phone number: write it with + and country code, digits only, 7 to 15 of them")]
    MalformedPhone,
    /// IDN-1.
    #[error("a handle has at most {HANDLE_BYTES_MAX} bytes")]
    TooLong,
}

/// `mailto:`
const MAILTO_BYTES: usize = 7;
/// RFC 5321 limits a mailbox to 254 bytes; the scheme adds seven (IDN-1).
const HANDLE_BYTES_MAX: usize = EMAIL_BYTES_MAX + MAILTO_BYTES;
/// What is left for an address that is typed without its scheme.
const EMAIL_BYTES_MAX: usize = 254;
/// RFC 5321 §4.5.3.1.1.
const EMAIL_LOCAL_BYTES_MAX: usize = 64;
/// E.164: at most 15 digits; shorter than 7 is a short code, which is nobody's account (IDN-3).
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

impl Handle {
    /// Returns the handle of a URI, or of a bare address or number as a person types it.
    ///
    /// # Errors
    /// [`HandleError`] names what is wrong with the text; the fault is the caller's.
    pub fn parse(text: &str) -> Result<Self, HandleError> {
        let text = text.trim();
        if text.len() > HANDLE_BYTES_MAX {
            return Err(HandleError::TooLong);
        }
        if let Some(rest) = strip_scheme(text, "mailto:") {
            return email(rest);
        }
        if let Some(rest) = strip_scheme(text, "tel:") {
            return phone(rest);
        }
        if text.contains('@') {
            return email(text);
        }
        if text.starts_with('+') {
            return phone(text);
        }
        Err(HandleError::UnknownScheme)
    }

    /// Returns the URI, for example `mailto:alice@example.org`.
    #[must_use]
    pub fn as_uri(&self) -> &str {
        &self.uri
    }

    /// Returns the address without its scheme, as people read it.
    #[must_use]
    pub fn address(&self) -> &str {
        self.uri.split_once(':').map_or("", |(_, address)| address)
    }

    /// Returns the scheme.
    #[must_use]
    pub fn kind(&self) -> HandleKind {
        self.kind
    }
}

impl FromStr for Handle {
    type Err = HandleError;
    fn from_str(text: &str) -> Result<Self, HandleError> {
        Self::parse(text)
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({:?}, redacted)", self.kind)
    }
}

fn strip_scheme<'a>(text: &'a str, scheme: &str) -> Option<&'a str> {
    let head = text.get(..scheme.len())?;
    head.eq_ignore_ascii_case(scheme).then(|| &text[scheme.len()..])
}

/// IDN-2: the whole address is lower-cased. RFC 5321 lets the local part depend on case, but no provider that people
/// use does, and two accounts that differ in case only would be a trap.
fn email(address: &str) -> Result<Handle, HandleError> {
    // IDN-1: the bound is that of the normal form, or what is taken here would be refused everywhere else.
    if address.len() > EMAIL_BYTES_MAX {
        return Err(HandleError::TooLong);
    }
    let (local, domain) = address.rsplit_once('@').ok_or(HandleError::MalformedEmail)?;
    let local_fits = !local.is_empty() && local.len() <= EMAIL_LOCAL_BYTES_MAX;
    let local_is_dot_atom = local.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atom_byte));
    let labels_fit = domain.split('.').all(is_domain_label);
    let domain_fits = domain.contains('.') || domain.eq_ignore_ascii_case("localhost");
    if !(local_fits && local_is_dot_atom && labels_fit && domain_fits) {
        return Err(HandleError::MalformedEmail);
    }
    Ok(Handle { uri: format!("mailto:{}", address.to_ascii_lowercase()), kind: HandleKind::Email })
}

/// RFC 5322 `atext`. Quoted local parts and non-ASCII addresses are left out on purpose: they are where two systems
/// disagree about who is who.
fn is_atom_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

fn is_domain_label(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= 63
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// IDN-3: visual separators are dropped, as RFC 3966 §5.1.1 has it.
fn phone(number: &str) -> Result<Handle, HandleError> {
    let digits = number.strip_prefix('+').ok_or(HandleError::MalformedPhone)?;
    let digits: String = digits.chars().filter(|c| !matches!(c, '-' | '.' | '(' | ')' | ' ')).collect();
    let valid =
        PHONE_DIGITS.contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    if !valid {
        return Err(HandleError::MalformedPhone);
    }
    Ok(Handle { uri: format!("tel:+{digits}"), kind: HandleKind::Phone })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// IDN-1, IDN-2: spellings of one address are one handle.
    #[test]
    fn spellings_of_one_email_are_one_handle() {
        let normal = Handle::parse("mailto:alice@example.org").unwrap();
        for spelling in ["alice@example.org", "MAILTO:Alice@Example.ORG", " alice@EXAMPLE.org "] {
            assert_eq!(Handle::parse(spelling).unwrap(), normal);
        }
        assert_eq!(normal.as_uri(), "mailto:alice@example.org");
        assert_eq!(normal.address(), "alice@example.org");
    }

    /// IDN-3: separators do not make another number.
    #[test]
    fn spellings_of_one_number_are_one_handle() {
        let normal = Handle::parse("tel:+491701234567").unwrap();
        for spelling in ["+49 (170) 123-45.67", "TEL:+491701234567"] {
            assert_eq!(Handle::parse(spelling).unwrap(), normal);
        }
        assert_eq!(normal.kind(), HandleKind::Phone);
    }

    /// IDN-2, IDN-3: what is not an address is refused, and never panics.
    #[test]
    fn malformed_handles_are_refused() {
        for text in [
            "@example.org",
            "a@",
            "a b@example.org",
            "a@b",
            "a..b@example.org",
            "a@-x.org",
            "mailto:",
            "ä@example.org",
            "\"a\"@x.org",
        ] {
            assert_eq!(Handle::parse(text), Err(HandleError::MalformedEmail), "{text}");
        }
        for text in ["tel:123", "+12", "+0123456789", "+1234567890123456", "tel:+49a1701234567"] {
            assert_eq!(Handle::parse(text), Err(HandleError::MalformedPhone), "{text}");
        }
        assert_eq!(Handle::parse("alice"), Err(HandleError::UnknownScheme));
        assert_eq!(Handle::parse(&"a".repeat(300)), Err(HandleError::TooLong));
    }

    /// IDN-1: an address is as long with its scheme as without, so that what is taken can be written and read again.
    #[test]
    fn the_bound_is_that_of_the_normal_form() {
        let address = |domain: usize| format!("a@{}.example.org", vec!["b"; domain.div_ceil(2)].join("."));
        let (longest, longer) = (address(240), address(242));
        assert_eq!([longest.len(), longer.len()], [253, 255]);
        let handle = Handle::parse(&longest).unwrap();
        assert_eq!(Handle::parse(handle.as_uri()), Ok(handle));
        for text in [longer.clone(), format!("mailto:{longer}")] {
            assert_eq!(Handle::parse(&text), Err(HandleError::TooLong));
        }
    }

    /// I9: a handle in a log line names nobody.
    #[test]
    fn debug_is_redacted() {
        let handle = Handle::parse("alice@example.org").unwrap();
        assert_eq!(format!("{handle:?}"), "Handle(Email, redacted)");
    }
}
