//! Lines of a card: unfolded, and cut into name, parameters and value. Spec: RFC 6350 §3.2 to 3.4, RFC 2426 §4.
//!
//! Owns the grammar. Does not know what a property means.
//!
//! - A line break is CR LF, or LF alone as files have it that went through other hands.
//! - Folding may cut a character in two, so that it is undone before anything is read as text.

use std::borrow::Cow;

use super::one_line;

/// Parameters of one property; the fullest that programs write have about ten.
const PARAMETERS_MAX: usize = 64;

/// The lines of a text, unfolded, without empty ones.
pub(super) struct Lines<'a> {
    rest: &'a [u8],
    /// Of the first line of `rest`, from 1.
    number: u32,
}

/// A line that was not looked into yet.
pub(super) struct RawLine<'a> {
    /// Of the first line that it was folded into.
    pub(super) number: u32,
    bytes: Cow<'a, [u8]>,
}

/// A property of a card.
pub(super) struct Line<'a> {
    /// In upper case, without its group.
    pub(super) name: String,
    /// Names in upper case.
    parameters: Vec<(String, String)>,
    pub(super) value: &'a str,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        let rest = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text); // a byte order mark, as some programs write
        Self { rest, number: 1 }
    }

    /// Returns the next line, and leaves it.
    pub(super) fn peek(&self) -> Option<RawLine<'a>> {
        Self { rest: self.rest, number: self.number }.next()
    }

    /// Goes on behind the end of the card that a mistake is in: where another one begins, or behind `END:VCARD`.
    pub(super) fn skip_card(&mut self) {
        while let Some(line) = self.peek() {
            if line.is("BEGIN:VCARD") {
                return;
            }
            self.next();
            if line.is("END:VCARD") {
                return;
            }
        }
    }

    fn physical(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let end = self.rest.iter().position(|byte| *byte == b'\n');
        let (line, rest) = match end {
            Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
            None => (self.rest, &[][..]),
        };
        self.rest = rest;
        self.number = self.number.saturating_add(1);
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = RawLine<'a>;

    fn next(&mut self) -> Option<RawLine<'a>> {
        loop {
            let number = self.number;
            let mut bytes = Cow::Borrowed(self.physical()?);
            while let Some(b' ' | b'\t') = self.rest.first() {
                let more = self.physical().unwrap_or_default();
                bytes.to_mut().extend_from_slice(more.get(1..).unwrap_or_default());
            }
            if !bytes.is_empty() {
                return Some(RawLine { number, bytes });
            }
        }
    }
}

impl RawLine<'_> {
    /// Whether it says this and nothing else, in whatever case.
    pub(super) fn is(&self, text: &str) -> bool {
        self.bytes.trim_ascii_end().eq_ignore_ascii_case(text.as_bytes())
    }

    /// Returns the bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the property; nothing if it is none, or has an encoding that only vCard 2.1 has.
    pub(super) fn parse(&self) -> Option<Line<'_>> {
        let text = std::str::from_utf8(&self.bytes).ok()?;
        if text.contains(|letter: char| letter.is_control() && letter != '\t') {
            return None;
        }
        let (mut name, mut rest) = token(text)?;
        if let Some(behind) = rest.strip_prefix('.') {
            (name, rest) = token(behind)?; // what stood before was the group
        }
        let mut parameters = Vec::new();
        while let Some(behind) = rest.strip_prefix(';') {
            rest = parameter(behind, &mut parameters)?;
        }
        let line = Line { name: name.to_ascii_uppercase(), parameters, value: rest.strip_prefix(':')? };
        let is_older = |encoding: &str| !matches!(encoding, "b" | "base64" | "8bit");
        if line.parameters("ENCODING").any(|encoding| is_older(&encoding.to_ascii_lowercase())) {
            return None;
        }
        Some(line)
    }
}

/// Returns the name at the beginning of a text, and what is behind it.
fn token(text: &str) -> Option<(&str, &str)> {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let end = text.bytes().position(|byte| !is_of_name(byte)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// Reads `NAME=VALUE,"VALUE",…` and returns what is behind it.
fn parameter<'a>(text: &'a str, parameters: &mut Vec<(String, String)>) -> Option<&'a str> {
    let (name, rest) = token(text)?;
    let mut rest = rest.strip_prefix('=')?;
    loop {
        let (value, behind) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => rest.split_at(rest.find([';', ':', ',', '"'])?),
        };
        if parameters.len() >= PARAMETERS_MAX {
            return None;
        }
        parameters.push((name.to_ascii_uppercase(), value.to_owned()));
        match behind.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Some(behind),
        }
    }
}

impl Line<'_> {
    /// Returns the value as one line of text; nothing if it has an escape that there is not.
    pub(super) fn text(&self) -> Option<String> {
        Some(one_line(&self.pieces(None)?.concat()))
    }

    /// Returns the parts of a value that has several.
    pub(super) fn components(&self) -> Option<Vec<String>> {
        self.pieces(Some(';'))
    }

    /// Returns what kind of address it is, in lower case.
    pub(super) fn types(&self) -> Vec<String> {
        // RFC 6350 §6.4.1 writes several in one pair of quotes.
        let types = self.parameters("TYPE").flat_map(|types| types.split(','));
        types.map(|one| one.trim().to_ascii_lowercase()).collect()
    }

    pub(super) fn has_parameter(&self, name: &str) -> bool {
        self.parameters(name).next().is_some()
    }

    fn parameters(&self, name: &str) -> impl Iterator<Item = &str> {
        self.parameters.iter().filter(move |(named, _)| named == name).map(|(_, value)| value.as_str())
    }

    fn pieces(&self, between: Option<char>) -> Option<Vec<String>> {
        let mut pieces = vec![String::new()];
        let mut letters = self.value.chars();
        while let Some(letter) = letters.next() {
            if Some(letter) == between {
                pieces.push(String::new());
                continue;
            }
            let meant = match letter {
                '\\' => match letters.next()? {
                    'n' | 'N' => '\n',
                    escaped @ ('\\' | ',' | ';' | ':') => escaped,
                    _ => return None,
                },
                plain => plain,
            };
            pieces.last_mut()?.push(meant);
        }
        Some(pieces)
    }
}
