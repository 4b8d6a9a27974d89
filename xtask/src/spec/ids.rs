//! Requirement ids in text: `COU-12`, `**COU-12**`, `COU-10 to COU-13`.
//!
//! Owns the grammar: three or four capitals, the last of which may be a digit (`PQ3-1`), a hyphen, one to three digits, nothing
//! that joins on either side. Does not know which ids exist.

use std::fmt;

/// `COU-12`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) prefix: String,
    pub(super) number: u32,
}

/// One id, or a range with both ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Citation {
    pub(super) first: Id,
    pub(super) last: Id,
}

/// Returns the id that a line of a chapter defines.
pub(super) fn definition(line: &str) -> Option<Id> {
    let (inside, _) = line.strip_prefix("**")?.split_once("**")?;
    let (id, length) = id_at(inside)?;
    (length == inside.len()).then_some(id)
}

/// Returns every id and range that a text names, in order.
pub(super) fn citations(text: &str) -> Vec<Citation> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let joined = text[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '-' || c == '_');
        let id = if joined || !text.is_char_boundary(at) { None } else { id_at(&text[at..]) };
        let Some((first, length)) = id else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
            continue;
        };
        at += length;
        let (last, length) = range_end(&first, &text[at..]).unwrap_or((first.clone(), 0));
        at += length;
        found.push(Citation { first, last });
    }
    found
}

/// Returns whether these capitals are known to mean something else than a chapter, as in `UTF-8` and `AES-256`.
pub(super) fn is_foreign(prefix: &str) -> bool {
    const FOREIGN: &[&str] = &[
        "UTF", "SHA", "AES", "RSA", "HMAC", "HKDF", "FIPS", "CVE", "ISO", "GCM", "CTR", "KEM", "DSA", "ECDH", "BASE",
        "RFC",
    ];
    FOREIGN.contains(&prefix)
}

/// Returns the id at the start of a text, and its length.
fn id_at(text: &str) -> Option<(Id, usize)> {
    let letters = text.bytes().take_while(u8::is_ascii_uppercase).count();
    let digit = letters >= 2 && text.as_bytes().get(letters).is_some_and(u8::is_ascii_digit);
    let capitals = letters + usize::from(digit);
    if !(3..=4).contains(&capitals) || text.as_bytes().get(capitals) != Some(&b'-') {
        return None;
    }
    let (number, digits) = number_at(&text[capitals + 1..])?;
    Some((Id { prefix: text[..capitals].into(), number }, capitals + 1 + digits))
}

/// Returns the number at the start of a text, and its length.
fn number_at(text: &str) -> Option<(u32, usize)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let joined = text[digits..].chars().next().is_some_and(|c| c.is_alphanumeric() || c == '_');
    if !(1..=3).contains(&digits) || joined {
        return None;
    }
    Some((text[..digits].parse().ok()?, digits))
}

/// Returns the last id of a range whose first was just read, and the length of what says so.
fn range_end(first: &Id, text: &str) -> Option<(Id, usize)> {
    let between = [" to ", "..=", "..", "–"].into_iter().find(|between| text.starts_with(between))?;
    let rest = &text[between.len()..];
    if let Some((last, length)) = id_at(rest) {
        return (last.prefix == first.prefix).then_some((last, between.len() + length));
    }
    let (number, length) = number_at(rest)?;
    Some((Id { prefix: first.prefix.clone(), number }, between.len() + length))
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.prefix, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        citations(text).iter().map(|citation| format!("{}..{}", citation.first, citation.last)).collect()
    }

    #[test]
    fn ids_and_ranges_are_read() {
        assert_eq!(shown("(COU-30 to COU-33), ACC-1; PAIR-2."), ["COU-30..COU-33", "ACC-1..ACC-1", "PAIR-2..PAIR-2"]);
        assert_eq!(shown("COU-1 to DIR-2"), ["COU-1..COU-1", "DIR-2..DIR-2"]);
        assert_eq!(shown("PQ3-1, PQ3-30 to PQ3-32"), ["PQ3-1..PQ3-1", "PQ3-30..PQ3-32"]);
        assert_eq!(shown("ein Zeichen – COU-1"), ["COU-1..COU-1"]);
    }

    #[test]
    fn what_only_looks_like_an_id_is_none() {
        for text in [
            "ML-KEM-768",
            "RUSTSEC-2023-0071",
            "P-256",
            "COU-",
            "COU-1234",
            "xCOU-1",
            "COU-1a",
            "cou-1",
            "P2-1",
            "PQ31-1",
        ] {
            assert_eq!(shown(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn a_definition_starts_its_line() {
        assert_eq!(definition("**COU-12** The server …").unwrap().to_string(), "COU-12");
        assert_eq!(definition("see **COU-12**"), None);
        assert_eq!(definition("**COU-12 and more** x"), None);
    }
}
